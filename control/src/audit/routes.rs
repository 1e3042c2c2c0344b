//! `/api/audit/`.

use axum::extract::State;
use axum::response::Response;
use shared::contract::permissions::marker::AuditRead;

use super::EntryOut;
use super::store::At;
use crate::access::{Allowed, Authenticated};
use crate::control::Control;
use crate::http::answer::Refused;
use crate::http::body::FromFields;
use crate::http::described::{Cursor, Ordering, Paging};
use crate::http::fields::Fields;
use crate::http::list::{Asked, List, Order};
use crate::http::page::ListOut;

/// The log has no filters yet.
pub struct Filters;

impl FromFields for Filters {
    fn read(_: &mut Fields) -> Option<Self> {
        Some(Self)
    }
}

impl List for Filters {
    type Key = At;
    const ORDERINGS: &'static [(&'static str, At)] = &[("at", At)];
    const DEFAULT: Order<At> = Order { by: At, descending: true };
}

/// Entries of the tenant, newest first.
#[utoipa::path(
    get, path = "/api/audit/", tag = "Audit", operation_id = "audit_list", summary = "Read the audit log",
    description = "Needs `audit.read`. Newest first.",
    params(Ordering, Paging, Cursor),
    responses((status = 200, description = "A part of the log", body = ListOut<EntryOut>, example = json!({
        "count": 1, "next": null, "previous": null,
        "results": [{
            "id": "019a1f0e-6c8d-7e32-8d4f-1b2c3d4e5f60", "at": "2026-01-02T03:04:05.678901Z", "actor_kind": "person",
            "actor": "019a1f0e-5b7c-7d21-9c3e-0a1b2c3d4e5f", "action": "user.status_changed", "outcome": "done",
            "target": "019a1f0e-5b7c-7d21-9c3e-0a1b2c3d4e5f", "request_id": "0f8fad5bd9cb469fa16570867728950e",
            "client": "192.0.2.7", "details": {"from": "active", "to": "suspended"},
        }],
    })))
)]
pub async fn list(
    State(control): State<Control>,
    allowed: Allowed<AuditRead>,
    Asked { part, .. }: Asked<Filters>,
) -> Result<Response, Refused> {
    let Authenticated { mut tx, .. } = allowed.by;
    let count = super::count(&mut tx).await?;
    let span = part.of(&control, &mut tx, count).await?;
    let entries = super::page(&mut tx, &span.rows).await?;
    span.answer(count, entries, |entry, At| entry.position(), EntryOut::from)
}

//! `/api/audit/`.

use axum::extract::State;
use axum::response::Response;
use shared::contract::permissions::marker::AuditRead;

use super::EntryOut;
use super::filters::{self, Filters, Named};
use crate::access::Allowed;
use crate::control::Control;
use crate::http::answer::Refused;
use crate::http::described::{CreatedAt, Cursor, Ordering, Paging};
use crate::http::list::Asked;
use crate::http::page::ListOut;

/// Entries of the tenant, newest first, by what [`Filters`] can ask for.
#[utoipa::path(
    get, path = "/api/audit/", tag = "Audit", operation_id = "audit_list", summary = "Read the audit log",
    description = "Needs `audit.read`. Newest first, unless ordered otherwise.",
    params(Filters, Named, CreatedAt, Ordering, Paging, Cursor),
    responses((status = 200, description = "A part of the log", body = ListOut<EntryOut>, example = json!({
        "count": 1, "next": null, "previous": null,
        "results": [{
            "id": "019a1f0e-6c8d-7e32-8d4f-1b2c3d4e5f60", "position": 42, "at": "2026-01-02T03:04:05.678901Z",
            "recorded_at": "2026-01-02T03:04:05.681234Z", "actor_kind": "person",
            "actor": "019a1f0e-5b7c-7d21-9c3e-0a1b2c3d4e5f", "action": "user.status_changed", "outcome": "done",
            "target": "019a1f0e-5b7c-7d21-9c3e-0a1b2c3d4e5f", "request_id": "0f8fad5bd9cb469fa16570867728950e",
            "client": "192.0.2.7", "details": {"from": "active", "to": "suspended"},
        }],
    })))
)]
pub async fn list(
    State(control): State<Control>,
    allowed: Allowed<AuditRead>,
    Asked { filters, part }: Asked<Filters>,
) -> Result<Response, Refused> {
    let mut tx = allowed.by.tx.for_long_read(&control.db).await?;
    let count = filters::count(&mut tx, &filters, part.counts_all()).await?;
    let span = part.of(&control, &mut tx, count).await?;
    let entries = filters::list(&mut tx, &filters, &span.rows).await?;
    span.answer(entries, EntryOut::from)
}

//! `/api/audit/`.

use axum::extract::State;
use axum::response::Response;
use shared::permissions::marker::AuditRead;

use super::EntryOut;
use crate::control::Control;
use crate::http::access::{Allowed, Authenticated};
use crate::http::answer::Refused;
use crate::http::body::FromFields;
use crate::http::fields::Fields;
use crate::http::list::{Asked, List, Order};

/// The log has no filters yet.
pub struct Filters;

/// What entries are ordered by.
#[derive(Clone, Copy, Debug)]
pub struct At;

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

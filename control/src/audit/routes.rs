//! `/api/audit/`.

use axum::response::Response;
use shared::permissions::marker::AuditRead;

use crate::http::access::{Allowed, Authenticated};
use crate::http::answer::Refused;
use crate::http::page::PageOf;

/// Entries of the tenant by pages, newest first.
pub async fn list(allowed: Allowed<AuditRead>, page: PageOf) -> Result<Response, Refused> {
    let Authenticated { mut tx, .. } = allowed.by;
    let count = super::count(&mut tx).await?;
    let entries = super::page(&mut tx, page.limit(), page.offset(count)?).await?;
    page.answer(count, entries)
}

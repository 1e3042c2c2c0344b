//! `/api/audit/`.

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use shared::contract::permissions::marker::AuditRead;
use shared::contract::refusal::Refusal;
use utoipa::IntoParams;

use super::checkpoints::own_keys;
use super::export::{Export, MEDIA_TYPE};
use super::filters::{self, Filters, Named};
use super::line::LineOut;
use super::verify::{Verification, verify as verify_part};
use super::within::NamedUsers;
use super::{Action, EntryOut, Recorded};
use crate::access::{Allowed, Authenticated, Within};
use crate::control::Control;
use crate::http::answer::{Refused, ok};
use crate::http::body::FromFields;
use crate::http::described::{CreatedAt, Cursor, Ordering, Paging};
use crate::http::fields::Fields;
use crate::http::list::ListQuery;
use crate::http::page::ListOut;
use crate::http::query::Query;

/// The greatest number of entries that one request verifies: about a second of work.
const VERIFIED_AT_ONCE: i64 = 50_000;

/// Lists entries of the tenant, newest first.
#[utoipa::path(
    get, path = "/api/audit/", tag = "Audit", operation_id = "audit_list", summary = "Read the audit log",
    description = "Needs `audit.read`. Newest first, unless ordered otherwise. Client addresses are shown, and can \
        be filtered by, as far as the caller's roles allow. Archived entries are neither listed nor counted; `GET \
        /api/audit/verify/` says up to which position entries are archived (`archived`). By a role of a branch, entries \
        about users of that branch and those below it are listed; users outside it are not named in them.",
    params(Filters, Named, CreatedAt, Ordering, Paging, Cursor),
    responses((status = 200, description = "One page of the log", body = ListOut<EntryOut>, example = json!({
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
    within: Within<AuditRead>,
    asked: ListQuery<Filters>,
) -> Result<Response, Refused> {
    let Authenticated { tx, viewer, user, .. } = within.by;
    let (permitted, part) = viewer.asked(asked)?;
    let mut tx = tx.for_long_read(&control.db).await?;
    let count = filters::count(&mut tx, &permitted, part.counts_all()).await?;
    let span = part.of(&mut tx, count).await?;
    let entries = filters::list(&mut tx, &permitted, &span.rows).await?;
    let named = NamedUsers::of(&mut tx, user.id, entries.iter().flat_map(Recorded::others)).await?;
    span.answer(entries, |entry| EntryOut::seen_by(&viewer, entry).naming(&named))
}

/// The start of a verification or an export.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Verify {
    /// The position of the last entry that an earlier request covered; it is not checked again. 0, the beginning of the
    /// log, by default.
    #[param(value_type = Option<i64>, minimum = 0)]
    pub after: i64,
}

impl FromFields for Verify {
    fn read(fields: &mut Fields) -> Option<Self> {
        let Some(text) = fields.text("after") else { return Some(Self { after: 0 }) };
        let after = text.parse().ok().filter(|after| *after >= 0);
        if after.is_none() {
            fields.fault("after", "A valid integer is required.");
        }
        Some(Self { after: after? })
    }
}

/// Verifies the hash chain of the tenant's log, or a part of it.
///
/// 1. 400 if `after` is not a position.
/// 2. 404 if `after` is beyond the end of the log.
#[utoipa::path(
    get, path = "/api/audit/verify/", tag = "Audit", operation_id = "audit_verify", summary = "Verify the audit log",
    description = "Needs `audit.read`. Reads the entries in order and checks the hash chain. The answer names the \
        first entry that was changed, removed, inserted or moved, and a truncated end. One request verifies at most \
        50,000 entries: if `to` is below `head`, ask again with `after` = `to`. Entries up to `archived` are in \
        archives, as a signed manifest in the database says; they are not read here, and `from` is the position after \
        them. The owner of the database can rewrite the whole chain; only a comparison with signed checkpoints detects \
        that, which `wardgate audit verify` does. It also reads the archives.",
    params(Verify),
    responses((status = 200, description = "The result of the verification", body = Verification, example = json!({
        "intact": false, "from": 1, "to": 1234, "archived": 0, "head": 1234,
        "finding": {"position": 42, "until": null, "fault": "changed", "detail": "the entry was changed"},
    })))
)]
pub async fn verify(
    State(control): State<Control>,
    allowed: Allowed<AuditRead>,
    Query(asked): Query<Verify>,
) -> Result<Response, Refused> {
    let mut tx = allowed.by.tx.for_long_read(&control.db).await?;
    let found = verify_part(&mut tx, &own_keys(&control), asked.after, VERIFIED_AT_ONCE).await?;
    Ok(ok(&found.ok_or_else(Refusal::not_found)?))
}

/// Exports the log, or the part after an entry, as a file that can be verified offline.
///
/// 1. 400 if `after` is not a position.
/// 2. The audit entry of the export is committed first, so that every export has one.
/// 3. 404 if `after` is beyond the end of the log.
#[utoipa::path(
    get, path = "/api/audit/export/", tag = "Audit", operation_id = "audit_export", summary = "Export the audit log",
    description = "Needs `audit.read`; the export is recorded in the log (`audit.exported`). JSON lines, oldest \
        entry first. Each line has the bytes that are hashed, in which client addresses and details are encrypted, and \
        the entry as the caller's roles show it. The last line is a signed checkpoint. `wardgate audit verify --export \
        FILE --public-key KEY` verifies the file with the public key alone. The file begins after the entry `after`, or \
        after the archived entries if these end later: its first line gives the position (`position`). A file without a \
        checkpoint at its end is incomplete.",
    params(Verify),
    responses((status = 200, description = "The entries", body = LineOut, content_type = "application/jsonl"))
)]
pub async fn export(
    State(control): State<Control>,
    allowed: Allowed<AuditRead>,
    Query(asked): Query<Verify>,
) -> Result<Response, Refused> {
    let Authenticated { mut tx, actor, viewer, tenant, .. } = allowed.by;
    let details = serde_json::json!({ "after": asked.after });
    super::record(&mut tx, &actor, control.clock.now(), Action::AuditExported, None, details);
    tx.commit().await?;
    let export =
        Export::begin(control, viewer, tenant.id, asked.after).await?.ok_or_else(Refusal::not_found)?;
    let name = format!("attachment; filename=\"audit-{}.jsonl\"", tenant.slug);
    Ok((
        [(CONTENT_TYPE, MEDIA_TYPE.to_owned()), (CONTENT_DISPOSITION, name)],
        Body::from_stream(export.stream()),
    )
        .into_response())
}

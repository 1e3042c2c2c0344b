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
use super::{Action, EntryOut};
use crate::access::{Allowed, Authenticated};
use crate::control::Control;
use crate::http::answer::{Refused, ok};
use crate::http::body::FromFields;
use crate::http::described::{CreatedAt, Cursor, Ordering, Paging};
use crate::http::fields::Fields;
use crate::http::list::Asked;
use crate::http::page::ListOut;
use crate::http::query::Query;

/// How many entries one request verifies at most: about a second of work.
const VERIFIED_AT_ONCE: i64 = 50_000;

/// Entries of the tenant, newest first, by what [`Filters`] can ask for.
#[utoipa::path(
    get, path = "/api/audit/", tag = "Audit", operation_id = "audit_list", summary = "Read the audit log",
    description = "Needs `audit.read`. Newest first, unless ordered otherwise. Clients' addresses are shown, and can be \
        filtered by, as far as the caller's roles show them. Entries that were archived are not here, and not counted: \
        `GET /api/audit/verify/` says up to which position (`archived`).",
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
    asked: Asked<Filters>,
) -> Result<Response, Refused> {
    let Authenticated { tx, viewer, .. } = allowed.by;
    let (permitted, part) = viewer.asked(asked)?;
    let mut tx = tx.for_long_read(&control.db).await?;
    let count = filters::count(&mut tx, &permitted, part.counts_all()).await?;
    let span = part.of(&mut tx, count).await?;
    let entries = filters::list(&mut tx, &permitted, &span.rows).await?;
    span.answer(entries, |entry| EntryOut::seen_by(&viewer, entry))
}

/// Where a verification begins.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Verify {
    /// The last entry that was verified by a request before, which this one takes as it stands. 0, the
    /// beginning, by default.
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

/// Verifies the chain of the tenant's log, or a part of it.
///
/// 1. 400 where `after` is not a position.
/// 2. 404 for one behind the end of the log.
#[utoipa::path(
    get, path = "/api/audit/verify/", tag = "Audit", operation_id = "audit_verify", summary = "Verify the audit log",
    description = "Needs `audit.read`. Reads the entries in order and says whether each follows the one before: the \
        first one that was changed, removed, inserted or moved is named, and so is an end that was cut off. One \
        request verifies 50,000 entries at most. Where `to` is below `head`, the log goes on: ask again with `after` \
        = `to`. Entries up to `archived` are in archives, by the signed word of what the database knows of them; they \
        are not read here, and `from` is behind them. The owner of the database can rewrite the whole chain: only a comparison with signed checkpoints \
        shows that, which `wardgate audit verify` makes; it reads the archives, too.",
    params(Verify),
    responses((status = 200, description = "What was found", body = Verification, example = json!({
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

/// The log, or the part of it behind an entry, as a file that verifies offline.
///
/// 1. 400 where `after` is not a position.
/// 2. The export's own entry is committed, so that no log is exported without one.
/// 3. 404 for a position behind the end of the log.
#[utoipa::path(
    get, path = "/api/audit/export/", tag = "Audit", operation_id = "audit_export", summary = "Export the audit log",
    description = "Needs `audit.read`; the export is itself in the log (`audit.exported`). JSON lines, oldest entry first: \
        each has what is hashed of an entry, in which clients' addresses and details are encrypted, beside the entry as \
        far as the caller's roles show it; the last line is a signed checkpoint. \
        `wardgate audit verify --export FILE --public-key KEY` verifies the file with nothing but the public key. The \
        file begins behind `after`, or behind the entries that were archived where that is later: its first line says \
        where (`position`). An answer that ends without a checkpoint is not whole.",
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

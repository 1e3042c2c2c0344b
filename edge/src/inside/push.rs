//! From control: `push` puts rows where they are newer, in one batch that follows the mark.

use serde::Serialize;
use serde_json::json;
use shared::ids::TenantId;
use shared::limits::PUSH_ROWS;
use shared::push::{Mark, Push, Pushed, Snapshot, SnapshotStep};
use shared::refusal::{Code, Refusal};

use crate::app::App;
use crate::context::Context;
use crate::http::Answer;
use crate::platform::{Platform, Statement, StoreError, read};
use crate::sql;
use crate::sql::millis;
use crate::tenants::find::NAMES_SHARD;

/// Applies a push.
///
/// 1. The message is checked: 400.
/// 2. One batch: whatever does not follow the mark aborts it, 409 with the mark; rows are put where
///    they are newer; the mark moves.
///
/// # Errors
/// As above, and 503 where the database did not answer.
pub async fn push<P: Platform>(ctx: Context<'_, P>, push: &Push) -> Result<Answer, Refusal> {
    push.check().map_err(|invalid| Refusal::field("non_field_errors", &invalid.to_string()))?;
    let statements = statements(push, ctx.now_ms)?;
    let mark_at = statements.len().saturating_sub(1);
    match ctx.app.platform.batch(NAMES_SHARD, statements).await {
        Ok(rows) => {
            let mark = read::<P, Mark>(&rows, mark_at)?.pop().unwrap_or_default();
            let sweeps = push.snapshot.as_ref().is_some_and(|it| it.step != SnapshotStep::Page);
            let remaining = sweeps && swept::<P>(&rows)? >= PUSH_ROWS;
            Ok(Answer::json(200, &Pushed { mark, remaining }))
        }
        Err(StoreError::RevisionGap) => Err(conflict(ctx.app, push.tenant, Code::RevisionGap).await?),
        Err(StoreError::StaleHistory) => Err(conflict(ctx.app, push.tenant, Code::StaleHistory).await?),
        Err(StoreError::Unreachable) => Err(Refusal::unavailable()),
    }
}

/// The most rows that one of the statements between the first and the last returned: the sweeps.
fn swept<P: Platform>(rows: &[P::Rows]) -> Result<usize, Refusal> {
    let mut most = 0;
    for at in 1..rows.len().saturating_sub(1) {
        most = most.max(read::<P, serde::de::IgnoredAny>(rows, at)?.len());
    }
    Ok(most)
}

async fn conflict<P: Platform>(app: &App<P>, tenant: TenantId, code: Code) -> Result<Refusal, Refusal> {
    let statement = sql::MARK.bind([tenant.to_string().into()]);
    let rows = app.platform.batch(NAMES_SHARD, vec![statement]).await.map_err(|_| Refusal::unavailable())?;
    let mark = read::<P, Mark>(&rows, 0)?.pop().unwrap_or_default();
    let body = json!({
        "detail": "The push does not follow the mark.",
        "code": code.as_str(),
        "history": mark.history,
        "mark": mark.rev,
    });
    Ok(Refusal { status: 409, body, retry_after_secs: None })
}

fn json_rows<T: Serialize>(rows: &[T]) -> Result<String, Refusal> {
    serde_json::to_string(rows).map_err(|_| Refusal::internal())
}

fn statements(push: &Push, now_ms: u64) -> Result<Vec<Statement>, Refusal> {
    let tenant = push.tenant.to_string();
    let tenant = tenant.as_str();
    let (history, now) = (push.history, millis(now_ms));
    let from = push.complete.map(|range| range.from);
    let mut batch = vec![sql::FOLLOW_MARK.bind([tenant.into(), history.into(), from.into()])];
    if let Some(row) = &push.document {
        let status = status_word(row.document.status);
        let text = serde_json::to_string(&row.document).map_err(|_| Refusal::internal())?;
        batch.push(sql::PUT_DOCUMENT.bind([
            tenant.into(),
            status.into(),
            history.into(),
            row.rev.into(),
            text.into(),
            now.into(),
        ]));
    }
    let (names, users) = (json_rows(&push.names)?, json_rows(&push.users)?);
    let identifiers = json_rows(&push.identifiers)?;
    if !push.names.is_empty() {
        batch.push(sql::PUT_NAMES.bind([history.into(), names.as_str().into(), now.into()]));
    }
    if !push.users.is_empty() {
        batch.push(sql::PUT_USERS.bind([tenant.into(), history.into(), users.as_str().into(), now.into()]));
    }
    if !push.identifiers.is_empty() {
        let rows = identifiers.as_str().into();
        batch.push(sql::PUT_IDENTIFIERS.bind([tenant.into(), history.into(), rows, now.into()]));
    }
    if !push.ended_sessions.is_empty() {
        let rows = json_rows(&push.ended_sessions)?;
        batch.push(sql::END_PUSHED_SESSIONS.bind([tenant.into(), rows.into(), now.into()]));
    }
    if let Some(snapshot) = &push.snapshot {
        match snapshot.step {
            SnapshotStep::Page => batch.extend(stamps(push, snapshot, [&names, &users, &identifiers])),
            SnapshotStep::Sweep | SnapshotStep::SweepNames => batch.extend(sweeps(push, snapshot, now)),
        }
    }
    if let Some(range) = push.complete {
        batch.push(sql::MOVE_MARK.bind([tenant.into(), history.into(), range.to.into()]));
    }
    batch.push(sql::MARK.bind([tenant.into()]));
    Ok(batch)
}

fn status_word(status: shared::tenant::Status) -> &'static str {
    use shared::tenant::Status;
    match status {
        Status::Provisioning => "provisioning",
        Status::Active => "active",
        Status::Suspended => "suspended",
        Status::Deleted => "deleted",
    }
}

fn stamps(push: &Push, snapshot: &Snapshot, [names, users, identifiers]: [&str; 3]) -> [Statement; 3] {
    let (tenant, stamp) = (push.tenant.to_string(), snapshot.id.as_str());
    let tenant = tenant.as_str();
    [
        sql::STAMP_NAMES.bind([names.into(), stamp.into()]),
        sql::STAMP_USERS.bind([tenant.into(), users.into(), stamp.into()]),
        sql::STAMP_IDENTIFIERS.bind([tenant.into(), identifiers.into(), stamp.into()]),
    ]
}

/// One kind of row for each sweep, `PUSH_ROWS` of each at most.
fn sweeps(push: &Push, snapshot: &Snapshot, now: i64) -> Vec<Statement> {
    let (tenant, stamp, most) = (push.tenant.to_string(), snapshot.id.as_str(), millis(PUSH_ROWS as u64));
    let (history, to) = (push.history, snapshot.to);
    if snapshot.step == SnapshotStep::SweepNames {
        return vec![sql::SWEEP_NAMES.bind([
            history.into(),
            to.into(),
            stamp.into(),
            now.into(),
            most.into(),
        ])];
    }
    let of_tenant = |statement: sql::Sql| {
        statement.bind([
            tenant.as_str().into(),
            history.into(),
            to.into(),
            stamp.into(),
            now.into(),
            most.into(),
        ])
    };
    vec![of_tenant(sql::SWEEP_USERS), of_tenant(sql::SWEEP_IDENTIFIERS)]
}

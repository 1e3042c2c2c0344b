//! From control: `push` puts rows where they are newer, in one batch that follows the mark.

use serde::Serialize;
use serde_json::json;
use shared::contract::limits::PUSH_ROWS;
use shared::contract::refusal::{Code, Refusal};
use shared::ids::TenantId;
use shared::tenant::role_timeout::{RoleTimeout, Timeout};
use shared::tenant::settings::Settings;
use shared::wire::push::{Mark, Push, Pushed, Snapshot, SnapshotStep};
use shared::wire::signature::content_digest;

use crate::context::Context;
use crate::http::Answer;
use crate::inside::sealed::opens_here;
use crate::isolate::feed::ShardRow;
use crate::platform::{Platform, Statement, StoreError};
use crate::sql::batch::{Batch, CountHandle, Handle};
use crate::sql::{self, Sql, millis, secs_as_ms};
use crate::tenants::find::NAMES_SHARD;

/// Applies a push.
///
/// 1. 400 for an invalid message.
/// 2. 422 if this edge cannot unseal the values in it, so that a key which only control has replaces no working data.
/// 3. One batch: 409 with the mark if the message does not continue from it; newer rows are written; the mark moves.
///
/// # Errors
/// As above, and 503 if the database did not answer.
pub async fn push<P: Platform>(ctx: Context<'_, P>, push: &Push) -> Result<Answer, Refusal> {
    push.check().map_err(|invalid| Refusal::field("non_field_errors", &invalid.to_string()))?;
    if !opens_here(push, ctx.app.settings()?) {
        let detail = "Sealed under a key-encryption key that this edge does not have.";
        return Err(Refusal::new(422, detail, Code::EdgeKeyUnknown));
    }
    let (batch, PushHandles { shard, mark, sweeps }) = statements(push, ctx.now())?;
    let rows = match ctx.run(batch).await {
        Ok(rows) => rows,
        Err(StoreError::RevisionGap) => return Err(conflict(ctx, push.tenant, Code::RevisionGap).await?),
        Err(StoreError::StaleHistory) => return Err(conflict(ctx, push.tenant, Code::StaleHistory).await?),
        Err(error @ (StoreError::Unreachable | StoreError::OtherBatch)) => return Err(error.into()),
    };
    if let Some(shard) = rows.take_one(shard)? {
        ctx.app.shard_cache.borrow_mut().outdate(&shard, ctx.now_ms);
    }
    let mark = rows.take_one(mark)?.unwrap_or_default();
    let mut remaining = false;
    for swept in sweeps {
        remaining |= rows.count(swept)? >= PUSH_ROWS;
    }
    Ok(Answer::json(200, &Pushed { mark, remaining }))
}

async fn conflict<P: Platform>(
    ctx: Context<'_, P>,
    tenant: TenantId,
    code: Code,
) -> Result<Refusal, Refusal> {
    let mut batch = Batch::new(NAMES_SHARD);
    let mark = batch.add::<Mark>(sql::MARK.bind([tenant.to_string().into()]));
    let mark = ctx.run(batch).await?.take_one(mark)?.unwrap_or_default();
    let body = json!({
        "detail": "The push does not follow the mark.",
        "code": code.as_str(),
        "history": mark.history,
        "mark": mark.rev,
    });
    Ok(Refusal { status: 409, body, retry_after_secs: None })
}

/// The tighter timeouts of roles as the tenant's row has them; `None` for none.
fn timeouts(settings: &Settings) -> Option<String> {
    let timeout = |rule: &RoleTimeout| {
        let ms = secs_as_ms(rule.secs);
        match rule.timeout {
            Timeout::Idle => json!({"role": rule.role, "idle": ms}),
            Timeout::Absolute => json!({"role": rule.role, "absolute": ms}),
        }
    };
    let rules: Vec<_> = settings.role_timeouts.iter().map(timeout).collect();
    (!rules.is_empty()).then(|| json!(rules).to_string())
}

fn json_rows<T: Serialize>(rows: &[T]) -> Result<String, Refusal> {
    serde_json::to_string(rows).map_err(|_| Refusal::internal())
}

/// The handles of rows that are read after a push.
struct PushHandles {
    /// The end of the feed.
    shard: Handle<ShardRow>,
    mark: Handle<Mark>,
    /// The rows that each sweep of a snapshot took, `PUSH_ROWS` at most: as many mean that there are more.
    sweeps: Vec<CountHandle>,
}

fn statements(push: &Push, now: i64) -> Result<(Batch, PushHandles), Refusal> {
    let tenant = push.tenant.to_string();
    let tenant = tenant.as_str();
    let history = push.history;
    let from = push.complete.map(|range| range.from);
    let (mut batch, mut sweeps) = (Batch::new(NAMES_SHARD), Vec::new());
    batch.also(sql::FOLLOW_MARK.bind([tenant.into(), history.into(), from.into()]));
    if let Some(row) = &push.document {
        let text = serde_json::to_string(&row.document).map_err(|_| Refusal::internal())?;
        let digest = content_digest(text.as_bytes());
        batch.also(sql::PUT_DOCUMENT.bind([
            tenant.into(),
            history.into(),
            row.rev.into(),
            text.into(),
            now.into(),
            digest.into(),
            timeouts(&row.document.settings).into(),
        ]));
    }
    let (names, users) = (json_rows(&push.names)?, json_rows(&push.users)?);
    let identifiers = json_rows(&push.identifiers)?;
    if !push.names.is_empty() {
        batch.also(sql::PUT_NAMES.bind([history.into(), names.as_str().into(), now.into()]));
    }
    if !push.users.is_empty() {
        put_users(&mut batch, push, tenant, &users, now);
    }
    if !push.identifiers.is_empty() {
        let rows = identifiers.as_str().into();
        batch.also(sql::PUT_IDENTIFIERS.bind([tenant.into(), history.into(), rows, now.into()]));
    }
    if !push.ended_sessions.is_empty() {
        let rows = json_rows(&push.ended_sessions)?;
        let owners = serde_json::to_string(&push.session_owners).map_err(|_| Refusal::internal())?;
        let ended = [tenant.into(), rows.into(), now.into(), owners.into()];
        batch.also(sql::END_PUSHED_SESSIONS.bind(ended));
    }
    if let Some(snapshot) = &push.snapshot {
        match snapshot.step {
            SnapshotStep::Page => {
                stamps(push, snapshot, [&names, &users, &identifiers])
                    .into_iter()
                    .for_each(|it| batch.also(it));
            }
            SnapshotStep::Sweep => {
                for kind in [sql::SWEEP_USERS, sql::SWEEP_IDENTIFIERS] {
                    sweeps.push(batch.add_counted(sweep(kind, push, snapshot, now)));
                }
            }
            SnapshotStep::SweepNames => {
                sweeps.push(batch.add_counted(sweep_names(push, snapshot, now)));
            }
        }
    }
    if let Some(range) = push.complete {
        batch.also(sql::MOVE_MARK.bind([tenant.into(), history.into(), range.to.into()]));
    }
    let mark = batch.add::<Mark>(sql::MARK.bind([tenant.into()]));
    let shard = batch.add::<ShardRow>(sql::SHARD.bind([]));
    Ok((batch, PushHandles { shard, mark, sweeps }))
}

/// Writes the users of a push with their second factors and kept sessions. `users` are their rows as JSON.
fn put_users(batch: &mut Batch, push: &Push, tenant: &str, users: &str, now: i64) {
    let history = push.history;
    batch.also(sql::PUT_USERS.bind([tenant.into(), history.into(), users.into(), now.into()]));
    // Read the present rows first: a user whose last authenticator is replaced by another one was not reset.
    for factors in
        [sql::PUT_AUTHENTICATORS, sql::DROP_AUTHENTICATORS, sql::DROP_RECOVERY_CODES, sql::PUT_RECOVERY_CODES]
    {
        batch.also(factors.bind([tenant.into(), history.into(), users.into()]));
    }
    if push.users.iter().any(|row| row.kept_session.is_some()) {
        batch.also(sql::LIFT_KEPT_SESSIONS.bind([tenant.into(), history.into(), users.into()]));
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

/// Sweeps one kind of row of the tenant.
fn sweep(kind: Sql, push: &Push, snapshot: &Snapshot, now: i64) -> Statement {
    kind.bind([
        push.tenant.to_string().into(),
        push.history.into(),
        snapshot.to.into(),
        snapshot.id.as_str().into(),
        now.into(),
        millis(PUSH_ROWS as u64).into(),
    ])
}

/// Names are of all tenants, so that a sweep of them names none.
fn sweep_names(push: &Push, snapshot: &Snapshot, now: i64) -> Statement {
    sql::SWEEP_NAMES.bind([
        push.history.into(),
        snapshot.to.into(),
        snapshot.id.as_str().into(),
        now.into(),
        millis(PUSH_ROWS as u64).into(),
    ])
}

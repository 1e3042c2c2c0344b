//! From control: `push` puts rows, `command` asks and orders. Both signed, both one batch.

use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::ids::{SessionId, TenantId, UserId};
use shared::limits::PUSH_ROWS;
use shared::push::{
    Command, EndSessionOut, Mark, Push, Pushed, SessionOut, SessionsOut, Snapshot, SnapshotStep, StatusOut,
    TenantMark,
};
use shared::refusal::{Code, Refusal};

use crate::app::App;
use crate::http::Answer;
use crate::platform::Statement;
use crate::platform::{Platform, StoreError, read};
use crate::sql;
use crate::sql::millis;
use crate::tenants::feed::ShardRow;
use crate::tenants::find::{NAMES_SHARD, document_key, name_key};

/// Applies a push.
///
/// 1. The message is checked: 400.
/// 2. One batch: whatever does not follow the mark aborts it, 409 with the mark; rows are put where
///    they are newer; the mark moves.
///
/// # Errors
/// As above, and 503 where the database did not answer.
pub async fn push<P: Platform>(app: &App<P>, push: &Push, now_ms: u64) -> Result<Answer, Refusal> {
    push.check().map_err(|invalid| Refusal::field("non_field_errors", &invalid.to_string()))?;
    let statements = statements(push, now_ms)?;
    let mark_at = statements.len().saturating_sub(1);
    match app.platform.batch(NAMES_SHARD, statements).await {
        Ok(rows) => {
            let mark = read::<P, Mark>(&rows, mark_at)?.pop().unwrap_or_default();
            let sweeps = push.snapshot.as_ref().is_some_and(|it| it.step != SnapshotStep::Page);
            let remaining = sweeps && swept::<P>(&rows)? >= PUSH_ROWS;
            Ok(Answer::json(200, &Pushed { mark, remaining }))
        }
        Err(StoreError::RevisionGap) => Err(conflict(app, push.tenant, Code::RevisionGap).await?),
        Err(StoreError::StaleHistory) => Err(conflict(app, push.tenant, Code::StaleHistory).await?),
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

/// Carries out a command.
///
/// # Errors
/// 400 for too many tenants, 503 where the database did not answer.
pub async fn command<P: Platform>(app: &App<P>, command: &Command, now_ms: u64) -> Result<Answer, Refusal> {
    match command {
        Command::Status { tenants } => status(app, tenants, now_ms).await,
        Command::Sessions { tenant, user } => sessions(app, *tenant, *user, now_ms).await,
        Command::EndSession { tenant, sid } => end_session(app, *tenant, *sid, now_ms).await,
    }
}

#[derive(Deserialize)]
struct MarkRow {
    tenant: TenantId,
    history: i64,
    rev: i64,
    doc_rev: i64,
    kv_rev: i64,
}

#[derive(Deserialize)]
struct WaitingRow {
    waiting: u64,
}

async fn status<P: Platform>(app: &App<P>, tenants: &[TenantId], now_ms: u64) -> Result<Answer, Refusal> {
    if tenants.len() > PUSH_ROWS {
        return Err(Refusal::field("tenants", "At most 500 at once."));
    }
    let statements =
        vec![sql::SHARD.bind([]), sql::OUTBOX_SIZE.bind([]), sql::MARKS.bind([json_rows(tenants)?.into()])];
    let rows = app.platform.batch(NAMES_SHARD, statements).await.map_err(|_| Refusal::unavailable())?;
    let shard = read::<P, ShardRow>(&rows, 0)?.pop().ok_or_else(Refusal::unavailable)?;
    let waiting = read::<P, WaitingRow>(&rows, 1)?.pop().map_or(0, |row| row.waiting);
    let marks = read::<P, MarkRow>(&rows, 2)?;
    let marks = marks.into_iter().map(|row| TenantMark {
        tenant: row.tenant,
        mark: Mark { history: row.history, rev: row.rev },
        doc_rev: row.doc_rev,
        kv_rev: row.kv_rev,
    });
    let incarnation = shard.incarnation;
    Ok(Answer::json(200, &StatusOut { incarnation, now_ms, outbox: waiting, marks: marks.collect() }))
}

#[derive(Deserialize)]
struct SessionRow {
    id: SessionId,
    created_at: u64,
    rotated_at: u64,
    expires_at: u64,
}

async fn sessions<P: Platform>(
    app: &App<P>,
    tenant: TenantId,
    user: UserId,
    now_ms: u64,
) -> Result<Answer, Refusal> {
    let params = [tenant.to_string().into(), user.to_string().into(), millis(now_ms).into()];
    let statement = sql::LIVING_FAMILIES.bind(params);
    let rows = app.platform.batch(NAMES_SHARD, vec![statement]).await.map_err(|_| Refusal::unavailable())?;
    let sessions = read::<P, SessionRow>(&rows, 0)?.into_iter().map(|row| SessionOut {
        sid: row.id,
        created_at: row.created_at,
        rotated_at: row.rotated_at,
        expires_at: row.expires_at,
    });
    Ok(Answer::json(200, &SessionsOut { sessions: sessions.collect() }))
}

async fn end_session<P: Platform>(
    app: &App<P>,
    tenant: TenantId,
    sid: SessionId,
    now_ms: u64,
) -> Result<Answer, Refusal> {
    let (text, event) = (sid.to_string(), app.event_id(now_ms).to_string());
    let statements = vec![
        sql::END_FAMILY.bind([
            text.as_str().into(),
            tenant.to_string().into(),
            millis(now_ms).into(),
            event.as_str().into(),
            "session_ended".into(),
        ]),
        sql::RECORD_END.bind([event.as_str().into(), millis(now_ms).into(), text.as_str().into()]),
    ];
    let rows = app.platform.batch(sid.shard(), statements).await.map_err(|_| Refusal::unavailable())?;
    let ended = !read::<P, serde::de::IgnoredAny>(&rows, 0)?.is_empty();
    app.knowledge.borrow_mut().end(tenant, sid);
    Ok(Answer::json(200, &EndSessionOut { ended }))
}

#[derive(Deserialize)]
struct BehindRow {
    id: TenantId,
    history: i64,
    rev: i64,
    document: String,
}

/// Puts the documents whose copy in KV is behind: after a push, and again by the cron where that
/// failed. D1 remembers what was put.
///
/// # Errors
/// The database did not answer.
pub async fn put_copies<P: Platform>(app: &App<P>) -> Result<(), StoreError> {
    let rows = app.platform.batch(NAMES_SHARD, vec![sql::KV_BEHIND.bind([millis(20).into()])]).await?;
    let behind = read::<P, BehindRow>(&rows, 0).map_err(|_| StoreError::Unreachable)?;
    for row in behind {
        if !put_copy(app, &row).await {
            continue;
        }
        let params = [row.id.to_string().into(), row.history.into(), row.rev.into()];
        app.platform.batch(NAMES_SHARD, vec![sql::KV_PUT.bind(params)]).await?;
    }
    Ok(())
}

async fn put_copy<P: Platform>(app: &App<P>, row: &BehindRow) -> bool {
    let Ok(tenant) = serde_json::from_str::<shared::tenant::Tenant>(&row.document) else { return false };
    let id = row.id.to_string();
    let mut names = vec![format!("slug:{}", tenant.slug)];
    names.extend(tenant.hosts.iter().map(|host| format!("host:{host}")));
    for name in names {
        if !app.platform.put(&name_key(&name), &id).await {
            return false;
        }
    }
    app.platform.put(&document_key(row.id), &row.document).await
}

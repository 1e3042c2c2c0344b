//! The call `command` of control: reads this edge's state, sessions and remembered devices, ends and revokes them,
//! confirms networks, resets counters of wrong passwords, and reports a restore.

use serde::Deserialize;
use shared::contract::limits::PUSH_ROWS;
use shared::contract::refusal::Refusal;
use shared::ids::{SessionId, TenantId, UserId};
use shared::wire::push::{
    Command, ConfirmNetworkOut, DeviceOut, DevicesOut, EndSessionOut, ForgottenOut, LiftAttemptsOut, Mark,
    RestoredOut, SessionOut, SessionsOut, StatusOut, TenantMark,
};

use crate::context::Context;
use crate::http::Answer;
use crate::inside::client::opened;
use crate::isolate::feed::ShardRow;
use crate::platform::Platform;
use crate::sql;
use crate::sql::batch::Batch;
use crate::tenants::find::NAMES_SHARD;
use crate::tokens::amr::Amr;

/// Carries out a command.
///
/// # Errors
/// 400 for too many tenants, 503 if the database did not answer.
pub async fn command<P: Platform>(ctx: Context<'_, P>, command: &Command) -> Result<Answer, Refusal> {
    match command {
        Command::Status { tenants } => status(ctx, tenants).await,
        Command::Sessions { tenant, user } => sessions(ctx, *tenant, *user).await,
        Command::EndSession { tenant, sid } => end_session(ctx, *tenant, *sid).await,
        Command::ConfirmNetwork { tenant, user, network, until_ms } => {
            confirm_network(ctx, (*tenant, *user), network, *until_ms).await
        }
        Command::LiftAttempts { tenant, user } => lift_attempts(ctx, *tenant, *user).await,
        Command::Devices { tenant, user } => devices(ctx, *tenant, *user).await,
        Command::ForgetDevices { tenant, user, device } => {
            forget(ctx, *tenant, *user, device.as_deref()).await
        }
        Command::Restored { shard } => restored(ctx, *shard).await,
    }
}

#[derive(Deserialize)]
struct MarkRow {
    tenant: TenantId,
    history: i64,
    rev: i64,
    highest: i64,
    doc_rev: i64,
    kv_rev: i64,
}

#[derive(Deserialize)]
struct WaitingRow {
    waiting: u64,
}

async fn status<P: Platform>(ctx: Context<'_, P>, tenants: &[TenantId]) -> Result<Answer, Refusal> {
    if tenants.len() > PUSH_ROWS {
        return Err(Refusal::field("tenants", "At most 500 at once."));
    }
    let ids = serde_json::to_string(tenants).map_err(|_| Refusal::internal())?;
    let mut batch = Batch::new(NAMES_SHARD);
    let shard = batch.add::<ShardRow>(sql::SHARD.bind([]));
    let outbox = batch.add::<WaitingRow>(sql::OUTBOX_SIZE.bind([]));
    let marks = batch.add::<MarkRow>(sql::MARKS.bind([ids.into()]));
    let rows = ctx.run(batch).await?;
    let shard = rows.take_one(shard)?.ok_or_else(Refusal::unavailable)?;
    let waiting = rows.take_one(outbox)?.map_or(0, |row| row.waiting);
    let marks = rows.take(marks)?.into_iter().map(|row| TenantMark {
        tenant: row.tenant,
        mark: Mark { history: row.history, rev: row.rev },
        history: Some(row.highest),
        doc_rev: row.doc_rev,
        kv_rev: row.kv_rev,
    });
    let incarnation = shard.incarnation;
    Ok(Answer::json(
        200,
        &StatusOut { incarnation, now_ms: ctx.now_ms, outbox: waiting, marks: marks.collect() },
    ))
}

#[derive(Deserialize)]
struct SessionRow {
    id: SessionId,
    created_at: u64,
    rotated_at: u64,
    used_at: u64,
    expires_at: u64,
    absolute_deadline: u64,
    amr: String,
    auth_time: u64,
    client: Option<String>,
}

async fn sessions<P: Platform>(
    ctx: Context<'_, P>,
    tenant: TenantId,
    user: UserId,
) -> Result<Answer, Refusal> {
    let mut batch = Batch::new(NAMES_SHARD);
    let params = [tenant.to_string().into(), user.to_string().into(), ctx.now().into()];
    let living = batch.add::<SessionRow>(sql::LIVING_FAMILIES.bind(params));
    let rows = ctx.run(batch).await?;
    let settings = ctx.app.settings()?;
    let sessions = rows.take(living)?.into_iter().map(|row| SessionOut {
        client: row.client.and_then(|sealed| opened(settings, tenant, row.id, &sealed)).unwrap_or_default(),
        sid: row.id,
        created_at: row.created_at,
        rotated_at: row.rotated_at,
        expires_at: row.expires_at,
        used_at: Some(row.used_at),
        absolute_deadline: Some(row.absolute_deadline),
        amr: Amr::from_column(&row.amr).into_claim(),
        auth_time: Some(row.auth_time),
    });
    Ok(Answer::json(200, &SessionsOut { sessions: sessions.collect() }))
}

async fn end_session<P: Platform>(
    ctx: Context<'_, P>,
    tenant: TenantId,
    sid: SessionId,
) -> Result<Answer, Refusal> {
    let (text, event) = (sid.to_string(), ctx.event_id().to_string());
    let mut batch = Batch::new(sid.shard());
    let ended = batch.add_counted(sql::END_FAMILY.bind([
        text.as_str().into(),
        tenant.to_string().into(),
        ctx.now().into(),
        event.as_str().into(),
        "session_ended".into(),
    ]));
    batch.also(sql::RECORD_END.bind([event.as_str().into(), ctx.now().into(), text.as_str().into()]));
    let rows = ctx.run(batch).await?;
    let ended = rows.count(ended)? > 0;
    ctx.app.shard_cache.borrow_mut().end(tenant, sid);
    Ok(Answer::json(200, &EndSessionOut { ended }))
}

/// Idempotent.
async fn confirm_network<P: Platform>(
    ctx: Context<'_, P>,
    (tenant, user): (TenantId, UserId),
    network: &str,
    until_ms: i64,
) -> Result<Answer, Refusal> {
    let mut batch = Batch::new(NAMES_SHARD);
    let confirmed = batch.add_counted(sql::CONFIRM_NETWORK.bind([
        tenant.to_string().into(),
        user.to_string().into(),
        network.into(),
        until_ms.into(),
    ]));
    let confirmed = ctx.run(batch).await?.count(confirmed)? > 0;
    Ok(Answer::json(200, &ConfirmNetworkOut { confirmed }))
}

async fn lift_attempts<P: Platform>(
    ctx: Context<'_, P>,
    tenant: TenantId,
    user: UserId,
) -> Result<Answer, Refusal> {
    let mut batch = Batch::new(NAMES_SHARD);
    let params = [tenant.to_string().into(), user.to_string().into()];
    let lifted = batch.add_counted(sql::LIFT_ATTEMPTS.bind(params));
    let lifted = ctx.run(batch).await?.count(lifted)?;
    Ok(Answer::json(200, &LiftAttemptsOut { lifted }))
}

async fn devices<P: Platform>(
    ctx: Context<'_, P>,
    tenant: TenantId,
    user: UserId,
) -> Result<Answer, Refusal> {
    let mut batch = Batch::new(NAMES_SHARD);
    let params = [tenant.to_string().into(), user.to_string().into(), ctx.now().into()];
    let living = batch.add::<DeviceOut>(sql::LIVING_DEVICES.bind(params));
    let devices = ctx.run(batch).await?.take(living)?;
    Ok(Answer::json(200, &DevicesOut { devices }))
}

async fn forget<P: Platform>(
    ctx: Context<'_, P>,
    tenant: TenantId,
    user: UserId,
    device: Option<&str>,
) -> Result<Answer, Refusal> {
    let mut batch = Batch::new(NAMES_SHARD);
    let params = [tenant.to_string().into(), user.to_string().into(), device.into()];
    let gone = batch.add_counted(sql::FORGET_DEVICES.bind(params));
    let gone = ctx.run(batch).await?.count(gone)?;
    Ok(Answer::json(200, &ForgottenOut { forgotten: u64::try_from(gone).unwrap_or(u64::MAX) }))
}

#[derive(Deserialize)]
struct LifeRow {
    incarnation: String,
}

/// Gives a restored database a new incarnation. Isolates drop their caches of it, and control reads its events from
/// the start. A repeat is harmless.
async fn restored<P: Platform>(ctx: Context<'_, P>, shard: u8) -> Result<Answer, Refusal> {
    let mut batch = Batch::new(shard);
    let life = batch.add::<LifeRow>(sql::RENAME_LIFE.bind([]));
    let life = ctx.run(batch).await?.take_one(life)?.ok_or_else(Refusal::unavailable)?;
    Ok(Answer::json(200, &RestoredOut { incarnation: life.incarnation }))
}

//! How a token of a crowded tenant is judged: the feed is silent about its users and sessions, so the rows of
//! the token's own user and session are read, by key, once in three seconds while the token is used.

use serde::Deserialize;
use shared::contract::limits::STALE_MS;
use shared::contract::refusal::{Refusal, TokenFault};
use shared::epochs;
use shared::user::UserStatus;

use crate::context::Context;
use crate::isolate::opened::OpenedTenant;
use crate::isolate::verified::{Standing, VerifiedToken};
use crate::platform::{Platform, Statement, StoreError};
use crate::sql;
use crate::sql::batch::Batch;
use crate::tenants::find::TenantName;
use crate::tenants::state::{State, StateRow};

/// The rows of a token's user and session, as [`crate::sql::STANDING`] selects them.
#[derive(Clone, Copy, Debug, Deserialize)]
struct StandingRow {
    history: i64,
    status: Option<UserStatus>,
    access_epoch: Option<i64>,
    password_epoch: Option<i64>,
    ended_at: Option<i64>,
}

impl StandingRow {
    /// In the contract's order. A missing session row is no fault: a legacy access token has none, and old rows are
    /// deleted. Only an end counts.
    fn judge(self, epoch: i64) -> Result<(), TokenFault> {
        let counter = epoch.saturating_sub(epochs::floor(self.history));
        match self.status {
            None | Some(UserStatus::Deleted) => Err(TokenFault::UserNotFound),
            Some(UserStatus::Suspended | UserStatus::Inactive | UserStatus::Pending) => {
                Err(TokenFault::UserInactive)
            }
            Some(UserStatus::Active) if counter < 0 => Err(TokenFault::Blacklisted),
            Some(UserStatus::Active) if self.password_epoch.is_none_or(|changed| counter < changed) => {
                Err(TokenFault::PasswordChanged)
            }
            Some(UserStatus::Active) if self.access_epoch.is_none_or(|current| counter < current) => {
                Err(TokenFault::Blacklisted)
            }
            Some(UserStatus::Active) if self.ended_at.is_some() => Err(TokenFault::Blacklisted),
            Some(UserStatus::Active) => Ok(()),
        }
    }
}

/// The cached state of a token's rows, if it is recent enough.
#[must_use]
pub fn remembered(access: &VerifiedToken, now_ms: u64) -> Option<Standing> {
    access.standing.filter(|standing| standing.age_ms(now_ms) <= STALE_MS)
}

/// Reads the rows, unless their cached state is recent. If they cannot be read, the cached state is used up to the
/// tenant's staleness limit.
///
/// # Errors
/// 404 if the tenant was deleted, 503 if the data cannot be read.
pub async fn stand<P: Platform>(
    ctx: Context<'_, P>,
    known: &OpenedTenant,
    access: &VerifiedToken,
    token: &str,
) -> Result<Standing, Refusal> {
    if let Some(standing) = remembered(access, ctx.now_ms) {
        return Ok(standing);
    }
    let as_of = ctx.app.platform.now_ms();
    let row = match read(ctx, access).await {
        Ok(row) => row.ok_or_else(Refusal::not_found)?,
        Err(error) => {
            let limit_ms = known.tenant.settings.staleness_limit_secs.saturating_mul(1000);
            let last = access.standing.filter(|last| last.age_ms(ctx.now_ms) <= limit_ms);
            return last.ok_or_else(|| error.into());
        }
    };
    let standing = Standing { as_of, verdict: row.judge(access.epoch) };
    ctx.app.verified.borrow_mut().stands(token, standing);
    Ok(standing)
}

/// Reads the rows of a token at a strict tenant, without any cache, together with the tenant's state.
///
/// # Errors
/// The database did not answer.
pub async fn read_strictly<P: Platform>(
    ctx: Context<'_, P>,
    known: &OpenedTenant,
    named: &TenantName,
    access: &VerifiedToken,
) -> Result<(Option<Standing>, State), StoreError> {
    let as_of = ctx.app.platform.now_ms();
    let mut batch = Batch::new(access.sid.shard());
    let row = batch.add::<StandingRow>(bind(access));
    let params = [access.tenant.to_string().into(), named.name.as_str().into()];
    let state = batch.add::<StateRow>(sql::TENANT_STATE.bind(params));
    let rows = ctx.run(batch).await?;
    let state = StateRow::compare(rows.take_one(state)?.as_ref(), known);
    let row = rows.take_one(row)?;
    Ok((row.map(|row| Standing { as_of, verdict: row.judge(access.epoch) }), state))
}

fn bind(access: &VerifiedToken) -> Statement {
    sql::STANDING.bind([
        access.tenant.to_string().into(),
        access.sub.to_string().into(),
        access.sid.to_string().into(),
    ])
}

async fn read<P: Platform>(
    ctx: Context<'_, P>,
    access: &VerifiedToken,
) -> Result<Option<StandingRow>, StoreError> {
    let mut batch = Batch::new(access.sid.shard());
    let row = batch.add::<StandingRow>(bind(access));
    ctx.run(batch).await?.take_one(row)
}

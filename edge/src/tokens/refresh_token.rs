//! Refresh tokens, verified before storage is read. The family's row then decides ([`crate::sessions`]).

use shared::contract::refusal::{Refusal, TokenFault};
use shared::ids::SessionId;
use shared::tokens::Refresh;
use shared::tokens::jws::Jws;
use shared::tokens::legacy::LegacyKind;

use crate::context::Context;
use crate::isolate::opened::OpenedTenant;
use crate::isolate::verified::LegacyTrail;
use crate::platform::{Platform, StoreError};
use crate::sql::batch::{Batch, BatchRows, Handle};
use crate::tokens::access::access_token_fault;
use crate::tokens::error::TokenError;
use crate::tokens::legacy::{self, UserRow};

/// A refresh token with a valid signature. The family's row decides about it.
#[derive(Clone, Debug)]
pub struct VerifiedRefresh {
    /// The family.
    pub sid: SessionId,
    /// The generation: 0 of a legacy token, which is the one before any of ours.
    pub generation: i64,
    /// Its `exp`, Unix seconds, which counts only if there is no row.
    pub expires_at: i64,
    /// The user and session of a legacy token.
    pub legacy: Option<LegacyTrail>,
}

/// A refresh token, verified against the tenant's keys before storage is read.
///
/// # Errors
/// Invalid, or the wrong type (or expired) for an access token of this tenant. 503 where the
/// cryptography fails, and for the token of another root while the feed cannot be read: the tenant may have a
/// new one.
pub async fn presented<P: Platform>(
    ctx: Context<'_, P>,
    known: &OpenedTenant,
    unverified_token: &str,
) -> Result<VerifiedRefresh, TokenError> {
    for key in &known.refresh_keys {
        if key.wrote_header_of(unverified_token) {
            let Refresh { sid, generation, expires_at, .. } = key.verify(unverified_token)?;
            return Ok(VerifiedRefresh { sid, generation, expires_at, legacy: None });
        }
    }
    if known.lacks_root_of(unverified_token) && !ctx.knows_lately() {
        return Err(Refusal::unavailable().into());
    }
    match Jws::split(unverified_token).filter(Jws::is_legacy) {
        Some(jws) => presented_legacy(ctx, known, jws).await,
        None => Err(access_token_fault(ctx, known, unverified_token).await.into()),
    }
}

async fn presented_legacy<P: Platform>(
    ctx: Context<'_, P>,
    known: &OpenedTenant,
    jws: Jws<'_>,
) -> Result<VerifiedRefresh, TokenError> {
    let token = legacy::verify(ctx, known, jws).await?;
    if token.kind == LegacyKind::Access {
        return Err(TokenFault::WrongType.into());
    }
    let trail = LegacyTrail::of(known, &token);
    let (sid, expires_at) = (trail.sid, token.expires_at);
    Ok(VerifiedRefresh { sid, generation: 0, expires_at, legacy: Some(trail) })
}

/// The handle of a legacy token's user in a batch.
#[must_use]
pub struct LegacyUser(Option<Handle<UserRow>>);

impl VerifiedRefresh {
    /// Begins the batch that uses the token: creates the family of a legacy one if it does not exist.
    pub fn open<P: Platform>(
        &self,
        ctx: Context<'_, P>,
        known: &OpenedTenant,
        batch: &mut Batch,
    ) -> LegacyUser {
        LegacyUser(self.legacy.as_ref().map(|trail| trail.exchange(ctx, known, batch)))
    }

    /// Begins a batch that ends the family of the token: that of a legacy token is created ended, so that the token
    /// can never be exchanged.
    pub fn open_to_end<P: Platform>(
        &self,
        ctx: Context<'_, P>,
        known: &OpenedTenant,
        batch: &mut Batch,
    ) -> LegacyUser {
        if let Some(trail) = &self.legacy {
            batch.also(trail.family_to_end(ctx, known));
        }
        self.look(known, batch)
    }

    /// Begins a batch that only reads.
    pub fn look(&self, known: &OpenedTenant, batch: &mut Batch) -> LegacyUser {
        LegacyUser(self.legacy.as_ref().map(|trail| batch.add(trail.user(known))))
    }

    /// The fault of a token without a family, after a batch that it began. `None` for a legacy token that could have
    /// one.
    ///
    /// # Errors
    /// As [`BatchRows::take`].
    pub fn without_row<P: Platform>(
        &self,
        rows: &BatchRows<P::Rows>,
        user: LegacyUser,
        ctx: Context<'_, P>,
        known: &OpenedTenant,
    ) -> Result<Option<TokenFault>, StoreError> {
        let Some(trail) = &self.legacy else {
            let expired = self.expires_at <= ctx.now_secs();
            return Ok(Some(if expired { TokenFault::Expired } else { TokenFault::Invalid }));
        };
        let user = user.0.map(|handle| rows.take_one(handle)).transpose()?.flatten();
        Ok(trail.fault(user.as_ref(), &known.tenant.settings, ctx.now()))
    }
}

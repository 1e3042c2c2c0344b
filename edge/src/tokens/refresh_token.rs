//! Refresh tokens, verified before storage is read. What one is good for, its family's row says
//! ([`crate::sessions`]).

use shared::ids::SessionId;
use shared::jws::Jws;
use shared::legacy::LegacyKind;
use shared::refusal::{Refusal, TokenFault};
use shared::token::Refresh;

use crate::context::Context;
use crate::isolate::opened::Known;
use crate::isolate::verified::Trail;
use crate::platform::{Platform, Statement, read};
use crate::sql::millis;
use crate::tokens::access::access_token_fault;
use crate::tokens::error::Refused;
use crate::tokens::legacy;
use crate::tokens::legacy::UserRow;

/// A refresh token whose own signature held. What it is good for, its family's row says.
#[derive(Clone, Debug)]
pub struct Proven {
    /// The family.
    pub sid: SessionId,
    /// The generation: 0 of a legacy token, which is the one before any of ours.
    pub generation: i64,
    /// Its own `exp`, Unix seconds, which counts only where there is no row.
    pub expires_at: i64,
    /// Where it leads, of a legacy token.
    pub legacy: Option<Trail>,
}

/// A refresh token, verified against the tenant's keys before storage is read.
///
/// # Errors
/// Invalid, or the wrong type (or expired) for an access token of this tenant. 503 where the
/// cryptography fails.
pub async fn presented<P: Platform>(
    ctx: Context<'_, P>,
    known: &Known,
    unverified_token: &str,
) -> Result<Proven, Refused> {
    for key in &known.refresh_keys {
        if key.wrote_header_of(unverified_token) {
            let Refresh { sid, generation, expires_at, .. } = key.verify(unverified_token)?;
            return Ok(Proven { sid, generation, expires_at, legacy: None });
        }
    }
    match Jws::split(unverified_token).filter(Jws::is_legacy) {
        Some(jws) => presented_legacy(ctx, known, jws).await,
        None => Err(access_token_fault(ctx, known, unverified_token).await.into()),
    }
}

async fn presented_legacy<P: Platform>(
    ctx: Context<'_, P>,
    known: &Known,
    jws: Jws<'_>,
) -> Result<Proven, Refused> {
    let token = legacy::verify(ctx, known, jws).await?;
    if token.kind == LegacyKind::Access {
        return Err(TokenFault::WrongType.into());
    }
    let trail = Trail::of(known, &token);
    let (sid, expires_at) = (trail.sid, token.expires_at);
    Ok(Proven { sid, generation: 0, expires_at, legacy: Some(trail) })
}

impl Proven {
    /// What goes first in the batch that uses the token: nothing, or what makes the family of a legacy
    /// one unless it is there. The last of these statements is for [`Proven::without_row`].
    #[must_use]
    pub fn opening<P: Platform>(&self, ctx: Context<'_, P>, known: &Known) -> Vec<Statement> {
        let events = || [ctx.event_id(), ctx.event_id()];
        self.legacy.as_ref().map_or_else(Vec::new, |trail| trail.exchange(known, events(), ctx.now_ms))
    }

    /// What is wrong with a token that has no family, after a batch whose first `opening` statements were
    /// the opening or ended with the read of its user. `None` for a legacy token that could have one.
    ///
    /// # Errors
    /// 503 where the database answered something else.
    pub fn without_row<P: Platform>(
        &self,
        rows: &[P::Rows],
        opening: usize,
        now_ms: u64,
    ) -> Result<Option<TokenFault>, Refusal> {
        let Some(trail) = &self.legacy else {
            let expired = self.expires_at <= millis(now_ms) / 1000;
            return Ok(Some(if expired { TokenFault::Expired } else { TokenFault::Invalid }));
        };
        let user = read::<P, UserRow>(rows, opening.saturating_sub(1))?.pop();
        Ok(trail.fault(user.as_ref()))
    }
}

//! The access token, verified again in control: the forward key alone is not enough to act as a user.

use shared::contract::refusal::TokenFault;
use shared::epochs;
use shared::ids::{SessionId, UserId};
use shared::tokens::RefreshKey;
use shared::tokens::claims::{AccessClaims, Expected};
use shared::tokens::jws::Jws;
use shared::tokens::legacy::{LegacyKind, LegacyToken};
use shared::user::UserStatus;

use super::proven::Proven;
use crate::control::Control;
use crate::crypt::roots::{RootKind, roots};
use crate::db::TenantTx;
use crate::http::answer::Refused;
use crate::keys::rsa;
use crate::keys::store::verifying;
use crate::legacy::tokens;
use crate::tenants::Tenant;
use crate::tenants::claims::accepted;
use crate::users::{self, User, UserError};

/// The subject of a token.
pub struct Presented {
    /// The user, by their current row.
    pub user: User,
    /// The session of the token. One of the legacy service names none.
    pub session: Option<SessionId>,
    /// The authentication of that session.
    pub proven: Option<Proven>,
    /// Whether it is a token of the legacy service, which reads its own user alone.
    pub legacy: bool,
}

/// The user of a token, by their current row:
/// 1. signature, tenant, times, kind; without a key id, under the legacy key alone;
/// 2. deleted, not active, from before a reseed, password changed, any other raised epoch;
/// 3. without a second factor where the tenant demands one of the user.
///
/// Families that ended are the edge's to know, and it has looked.
///
/// # Errors
/// The contract's words for each, in this order.
pub async fn user(
    control: &Control,
    tx: &mut TenantTx,
    tenant: &Tenant,
    unverified_token: &str,
) -> Result<Presented, Refused> {
    let now = control.clock.now();
    let now_secs = now.timestamp();
    if let Some(token) = legacy(tenant, unverified_token, now_secs)? {
        let epoch = 0;
        let user = match tokens::user_of(tx, &token.user.to_string()).await? {
            Some(id) => standing(tx, id, epoch).await?,
            None => return Err(TokenFault::UserNotFound.into()),
        };
        shows_enough(tenant, &user, false, now_secs)?;
        return Ok(Presented { user, session: None, proven: None, legacy: true });
    }
    let payload = match signed_payload(tx, unverified_token).await? {
        Some(payload) => payload,
        None => return Err(of_another_kind(tx, unverified_token, now_secs).await?.into()),
    };
    let former = accepted(&tenant.former_claims, now);
    let (issuer, audience) = (tenant.issuer.as_str(), tenant.audience.as_deref());
    let expected = Expected { tenant: tenant.id, issuer, audience, former: &former };
    let claims = AccessClaims::check(&payload, expected, now_secs).map_err(TokenFault::from)?.claims;
    let user = standing(tx, claims.sub, claims.epoch).await?;
    let proven = Proven::by(&claims);
    shows_enough(tenant, &user, proven.second_factor, now_secs)?;
    Ok(Presented { user, session: Some(claims.sid), proven: Some(proven), legacy: false })
}

/// Whether a token shows what the tenant demands of its user: judged as the edge judges it, by the roles of now.
fn shows_enough(tenant: &Tenant, user: &User, second_factor: bool, now_secs: i64) -> Result<(), TokenFault> {
    let demanded = tenant.settings.demands_second_factor(&user.roles, now_secs);
    if second_factor || !demanded { Ok(()) } else { Err(TokenFault::Blacklisted) }
}

/// The user, if what a token of this epoch says of them is still so.
async fn standing(tx: &mut TenantTx, id: UserId, epoch: i64) -> Result<User, Refused> {
    let user = match users::find(tx, id).await {
        Ok(user) => user,
        Err(UserError::NotFound) => return Err(TokenFault::UserNotFound.into()),
        Err(other) => return Err(other.into()),
    };
    if user.status != UserStatus::Active {
        return Err(TokenFault::UserInactive.into());
    }
    let counter = epoch.saturating_sub(epochs::floor(tx.history().await?));
    if counter < 0 {
        return Err(TokenFault::Blacklisted.into());
    }
    if counter < user.password_epoch {
        return Err(TokenFault::PasswordChanged.into());
    }
    if counter < user.access_epoch {
        return Err(TokenFault::Blacklisted.into());
    }
    Ok(user)
}

/// A token without a key id is tried under the tenant's legacy key alone, and that key on these alone. It
/// counts with epoch 0, what the import gave. `None`: it has a key id or another header.
fn legacy(tenant: &Tenant, unverified_token: &str, now_secs: i64) -> Result<Option<LegacyToken>, TokenFault> {
    let Some(jws) = Jws::split(unverified_token).filter(Jws::is_legacy) else { return Ok(None) };
    let legacy = tenant.legacy.tokens.as_ref().ok_or(TokenFault::Invalid)?;
    let signature = jws.signature_bytes().ok_or(TokenFault::Invalid)?;
    if !rsa::verifies(&legacy.key, jws.signed.as_bytes(), &signature) {
        return Err(TokenFault::Invalid);
    }
    let payload = jws.payload_bytes().ok_or(TokenFault::Invalid)?;
    let token = legacy.check(&payload, now_secs)?;
    match token.kind {
        LegacyKind::Access => Ok(Some(token)),
        // The edge has looked at its list; here nothing depends on which refusal it is.
        LegacyKind::Refresh if token.marked => Err(TokenFault::WrongType),
        LegacyKind::Refresh => Err(TokenFault::Invalid),
    }
}

/// The payload, if one of the tenant's keys signed it.
async fn signed_payload(tx: &mut TenantTx, unverified_token: &str) -> Result<Option<Vec<u8>>, Refused> {
    let Some(jws) = Jws::split(unverified_token) else { return Ok(None) };
    let Some(claimed_kid) = jws.access_key_id() else { return Ok(None) };
    let Some(key) = verifying(tx, &claimed_kid).await? else { return Ok(None) };
    let holds = jws.signature_bytes().is_some_and(|bytes| rsa::verifies(&key, jws.signed.as_bytes(), &bytes));
    Ok(if holds { jws.payload_bytes() } else { None })
}

/// A refresh token of this tenant is of the wrong type; everything else is garbage.
async fn of_another_kind(
    tx: &mut TenantTx,
    unverified_token: &str,
    now_secs: i64,
) -> Result<TokenFault, Refused> {
    let tenant = tx.tenant();
    for (version, root) in roots(tx, RootKind::Session).await? {
        if let Ok(refresh) = RefreshKey::new(version, &root, tenant).verify(unverified_token) {
            let expired = refresh.expires_at <= now_secs;
            return Ok(if expired { TokenFault::Expired } else { TokenFault::WrongType });
        }
    }
    Ok(TokenFault::Invalid)
}

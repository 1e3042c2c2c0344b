//! Legacy tokens, of the service that a tenant was moved from: verified only with its key.
//!
//! A legacy access token is accepted as long as its user's access epoch is as imported. A legacy refresh token is
//! generation 0 of the family whose id is derived from its `jti`, so that all rules of [`crate::sessions::refresh`]
//! apply.

use std::cell::OnceCell;

use serde::Deserialize;
use shared::contract::limits::LEGACY_RECHECK_SECS;
use shared::contract::refusal::TokenFault;
use shared::derive::{legacy_family, legacy_session, legacy_token_hash, legacy_user_hash};
use shared::ids::{EventId, UserId};
use shared::tenant::settings::Settings;
use shared::tokens::claims::UserIdClaim;
use shared::tokens::jws::Jws;
use shared::tokens::legacy::{LegacyKind, LegacyToken};
use shared::user::UserStatus;
use shared::wire::push::{IdentifierRow, PasswordDue};

use crate::context::Context;
use crate::isolate::opened::{LookupKeys, OpenedTenant};
use crate::isolate::verified::{LegacyTrail, Standing, VerifiedToken};
use crate::platform::{Param, Platform, Statement};
use crate::sql::batch::{Batch, Handle};

use crate::sql::{self, millis, secs_as_ms};
use crate::tokens::amr::{Amr, Method};
use crate::tokens::error::TokenError;
use crate::tokens::password_due::{owes_a_password, too_old};

/// The end of the year 9999 in Unix seconds: the greatest time that is stored; later ones are reduced to it.
const NEVER_SECS: i64 = 253_402_300_799;
/// No document has a later history or revision (2^53 - 1, the last whole number of D1's).
const NEWEST: i64 = 9_007_199_254_740_991;

/// Verifies a token without a key id under the tenant's legacy key, and reads it.
///
/// # Errors
/// Invalid at a tenant without a legacy key and for a signature of another key; then as
/// [`shared::tokens::legacy::Legacy::check`]. 503 if the cryptography fails.
pub async fn verify<P: Platform>(
    ctx: Context<'_, P>,
    known: &OpenedTenant,
    jws: Jws<'_>,
) -> Result<LegacyToken, TokenError> {
    let legacy = known.tenant.legacy.as_ref().filter(|_| jws.is_legacy()).ok_or(TokenFault::Invalid)?;
    let signature = jws.signature_bytes().ok_or(TokenFault::Invalid)?;
    if !ctx.app.platform.verify(&legacy.key, jws.signed.as_bytes(), &signature).await? {
        return Err(TokenFault::Invalid.into());
    }
    let payload = jws.payload_bytes().ok_or(TokenFault::Invalid)?;
    Ok(legacy.check(&payload, ctx.now_secs())?)
}

impl LegacyTrail {
    /// The trail of a token.
    #[must_use]
    pub fn of(known: &OpenedTenant, token: &LegacyToken) -> Self {
        let (tenant, shard) = (known.tenant.id, known.tenant.shard());
        let former = known.former_lookup.as_ref();
        let name = match token.kind {
            LegacyKind::Access => legacy_session,
            LegacyKind::Refresh => legacy_family,
        };
        let user = |keys: &LookupKeys| {
            let hash = legacy_user_hash(&keys.identifier, tenant, &token.user.to_string());
            IdentifierRow::encode_hash(&hash)
        };
        let listed = |keys: &LookupKeys| {
            let hash = legacy_token_hash(&keys.identifier, tenant, &token.jti);
            IdentifierRow::encode_hash(&hash)
        };
        Self {
            sid: name(tenant, shard, &token.jti),
            user: user(&known.lookup),
            former_user: former.map(user),
            listed: token.by_list.then(|| listed(&known.lookup)),
            former_listed: former.filter(|_| token.by_list).map(listed),
            expires_at: token.expires_at,
            vouched: known.tenant.revision(),
        }
    }

    /// Reads the user: a [`UserRow`].
    #[must_use]
    pub fn user(&self, known: &OpenedTenant) -> Statement {
        sql::LEGACY_USER.bind([
            known.tenant.id.to_string().into(),
            self.user.as_str().into(),
            self.listed.as_deref().into(),
            self.sid.to_string().into(),
            self.former_user.as_deref().into(),
            self.former_listed.as_deref().into(),
        ])
    }

    /// Creates the token's family to be ended in the same batch, whatever the state of the document and the user's
    /// needs.
    #[must_use]
    pub fn family_to_end<P: Platform>(&self, ctx: Context<'_, P>, known: &OpenedTenant) -> Statement {
        self.family(ctx, known, ctx.event_id(), (NEWEST, NEWEST), Param::Null)
    }

    /// Creates the token's family at generation 0, if it does not exist. It has the lifetime of a sign-in's family,
    /// but `auth_time` 0, because the user did not sign in: it never counts as a recent sign-in.
    fn family<P: Platform>(
        &self,
        ctx: Context<'_, P>,
        known: &OpenedTenant,
        event: EventId,
        vouched: (i64, i64),
        understood: Param,
    ) -> Statement {
        let (now, settings) = (ctx.now(), &known.tenant.settings);
        let absolute = now.saturating_add(secs_as_ms(settings.absolute_secs));
        let idle = now.saturating_add(secs_as_ms(settings.idle_secs)).min(absolute);
        sql::INSERT_LEGACY_FAMILY.bind([
            self.sid.to_string().into(),
            known.tenant.id.to_string().into(),
            self.user.as_str().into(),
            self.listed.as_deref().into(),
            now.into(),
            idle.into(),
            absolute.into(),
            self.expires_at.min(NEVER_SECS).saturating_mul(1000).into(),
            event.to_string().into(),
            vouched.0.into(),
            vouched.1.into(),
            Amr::new(&[Method::Pwd]).to_column().into(),
            understood,
            self.former_user.as_deref().into(),
            self.former_listed.as_deref().into(),
            too_old(settings, now).into(),
        ])
    }

    /// The statements before a batch uses the family: create it, record that, end the user's sessions above the
    /// limit, and read the user.
    pub fn exchange<P: Platform>(
        &self,
        ctx: Context<'_, P>,
        known: &OpenedTenant,
        batch: &mut Batch,
    ) -> Handle<UserRow> {
        let (tenant, sid) = (known.tenant.id.to_string(), self.sid.to_string());
        let (made, evicted) = (ctx.event_id(), ctx.event_id().to_string());
        let evict = |statement: sql::Sql| {
            statement.bind([
                evicted.as_str().into(),
                tenant.as_str().into(),
                ctx.now().into(),
                sid.as_str().into(),
                millis(known.tenant.settings.most_sessions()).into(),
            ])
        };
        batch.also(self.family(ctx, known, made, self.vouched, sql::understood()));
        batch.also(sql::RECORD_EXCHANGE.bind([
            made.to_string().into(),
            ctx.now().into(),
            sid.as_str().into(),
        ]));
        batch.also(evict(sql::RECORD_EVICTION));
        batch.also(evict(sql::EVICT_FAMILIES));
        batch.add(self.user(known))
    }

    /// The fault of a refresh token without a family: `None` if it could have one. A user who must change the
    /// password, or has or must have a second factor, must sign in.
    #[must_use]
    pub fn fault(&self, user: Option<&UserRow>, settings: &Settings, now: i64) -> Option<TokenFault> {
        match user {
            Some(user) => {
                let has_to_sign_in = user.owes_a_password(settings, now) || user.has_or_owes_a_factor(now);
                user.refresh_fault().or(has_to_sign_in.then_some(TokenFault::Blacklisted))
            }
            // Without the marker it need not be this tenant's at all.
            None if self.listed.is_some() => Some(TokenFault::Invalid),
            None => Some(TokenFault::UserNotFound),
        }
    }
}

/// The user of a legacy token, as [`sql::LEGACY_USER`] selects them.
#[derive(Clone, Debug, Deserialize)]
pub struct UserRow {
    id: UserId,
    status: UserStatus,
    access_epoch: i64,
    session_epoch: i64,
    password_counter: i64,
    roles: String,
    legacy_id: Option<String>,
    legacy_over: i64,
    password_due: Option<PasswordDue>,
    password_changed_at: Option<i64>,
    has_factor: i64,
    factor_from: Option<i64>,
    listed: i64,
    ended_at: Option<i64>,
}

impl UserRow {
    /// Not of this tenant, deleted, not active: in the contract's order.
    fn absence(&self) -> Option<TokenFault> {
        if self.listed == 0 {
            return Some(TokenFault::Invalid);
        }
        match self.status {
            UserStatus::Active => None,
            UserStatus::Deleted => Some(TokenFault::UserNotFound),
            UserStatus::Suspended | UserStatus::Inactive | UserStatus::Pending => {
                Some(TokenFault::UserInactive)
            }
        }
    }

    /// A legacy token has epoch 0, as the import set it.
    fn access_fault(&self) -> Option<TokenFault> {
        let ended = self.access_epoch > 0 || self.legacy_over != 0 || self.ended_at.is_some();
        self.absence()
            .or((self.password_counter > 0).then_some(TokenFault::PasswordChanged))
            .or(ended.then_some(TokenFault::Blacklisted))
    }

    /// Whether the user must choose a new password before there is a session.
    fn owes_a_password(&self, settings: &Settings, now: i64) -> bool {
        owes_a_password(self.password_due, self.password_changed_at, settings, now)
    }

    fn has_or_owes_a_factor(&self, now: i64) -> bool {
        self.has_factor != 0 || self.factor_from.is_some_and(|from| from <= now)
    }

    fn refresh_fault(&self) -> Option<TokenFault> {
        let ended = self.session_epoch > 0 || self.legacy_over != 0;
        self.absence().or(ended.then_some(TokenFault::Blacklisted))
    }
}

/// The content of a verified legacy access token, with the present state of its user.
///
/// One read, repeated each minute while the token is used, because the token may outlive the feed's rows.
///
/// # Errors
/// The wrong type; the user's state, in the contract's order; 503.
pub async fn access<P: Platform>(
    ctx: Context<'_, P>,
    known: &OpenedTenant,
    token: &LegacyToken,
) -> Result<VerifiedToken, TokenError> {
    let (tenant, trail) = (&known.tenant, LegacyTrail::of(known, token));
    if token.kind == LegacyKind::Refresh && token.marked {
        return Err(TokenFault::WrongType.into());
    }
    let as_of = ctx.app.platform.now_ms();
    let mut batch = Batch::new(tenant.shard());
    let user = batch.add::<UserRow>(trail.user(known));
    let user = ctx.run(batch).await?.take_one(user)?;
    if token.kind == LegacyKind::Refresh {
        // An unlisted token may belong to another tenant: it is treated as invalid.
        let listed = user.is_some_and(|user| user.listed != 0);
        return Err(if listed { TokenFault::WrongType } else { TokenFault::Invalid }.into());
    }
    let user = user.ok_or(TokenFault::UserNotFound)?;
    if let Some(fault) = user.access_fault() {
        return Err(fault.into());
    }
    let until = tenant.legacy.as_ref().map_or(0, |legacy| millis(legacy.until));
    let recheck = ctx.now_secs().saturating_add(LEGACY_RECHECK_SECS);
    Ok(VerifiedToken {
        tenant: tenant.id,
        revision: tenant.revision(),
        sub: user.id,
        user_id: UserIdClaim::of(user.id, user.legacy_id.as_deref(), tenant.user_id),
        sid: trail.sid,
        epoch: 0,
        roles: serde_json::from_str(&user.roles).unwrap_or_default(),
        mfa: false,
        exp: token.expires_at,
        known_until: token.expires_at.min(until).min(recheck),
        legacy: Some(trail),
        standing: Some(Standing { as_of, verdict: Ok(()) }),
        body: OnceCell::new(),
    })
}

//! A typed second factor: which authenticator's step or recovery code it matches, and the statements of the batch
//! that uses it.
//!
//! Reading a code has no effect that the client sees. The batch counts the attempt first, and only a counted attempt
//! can use a code; so above the limit a correct code is answered like a wrong one.

use serde::Deserialize;
use serde_json::{Value, json};
use shared::contract::limits::{CODE_TRIES, CODE_WINDOW_SECS};
use shared::contract::refusal::Refusal;
use shared::derive::Secret;
use shared::ids::AuthenticatorId;
use shared::second_factor::totp::{Seed, matching_step};
use shared::tenant::Tenant;
use shared::wire::push::IdentifierRow;
use shared::wire::seal::{Context as SealContext, Kind, Sealed};
use zeroize::Zeroizing;

use crate::body::TypedFactor;
use crate::context::Context;
use crate::platform::{Platform, Rows, StoreError};
use crate::sign_in::password::UserRow;
use crate::sql::batch::{Batch, BatchRows, CountHandle, Handle};
use crate::sql::{self, millis, secs_as_ms};

/// An authenticator, as `subjects` lists it.
#[derive(Deserialize)]
struct AuthenticatorRow {
    id: AuthenticatorId,
    seed: String,
}

/// The match of a typed second factor.
pub(super) enum ReadFactor {
    /// The code of a step of an authenticator, used before or not.
    Step {
        /// The authenticator.
        authenticator: AuthenticatorId,
        /// The time step.
        step: i64,
    },
    /// A recovery code by its hash, of the user's set or not.
    Recovery(String),
    /// A code of no authenticator.
    NoCode,
    /// Something that can be no recovery code of the user.
    NoRecoveryCode,
}

impl ReadFactor {
    /// Compares a second factor of `user` with every authenticator, also after a match.
    ///
    /// # Errors
    /// 503 if a seed or key cannot be unsealed, or if the row says that there is a second factor but has none.
    pub(super) fn read<P: Platform>(
        ctx: Context<'_, P>,
        tenant: &Tenant,
        user: &UserRow,
        typed: &TypedFactor,
    ) -> Result<Self, Refusal> {
        let listed = authenticators(user)?;
        let open = |kind, subject: &str, text: &str| open(ctx, tenant, (kind, subject), text);
        match typed {
            TypedFactor::Code(code) => {
                let mut found = Self::NoCode;
                for AuthenticatorRow { id, seed } in listed {
                    let seed = open(Kind::TotpSeed, &id.to_string(), &seed)?;
                    let seed = Seed::from_slice(&seed).map_err(|_| Refusal::unavailable())?;
                    let step = code.as_ref().and_then(|code| matching_step(&seed, code, ctx.now_ms / 1000));
                    if let Some(step) = step {
                        found = Self::Step { authenticator: id, step: millis(step) };
                    }
                }
                Ok(found)
            }
            TypedFactor::Recovery(code) => {
                let (Some(key), Some(code)) = (&user.recovery_key, code) else {
                    return Ok(Self::NoRecoveryCode);
                };
                let key = open(Kind::RecoveryKey, &user.id.to_string(), key)?;
                let key = Secret::from_slice(&key).ok_or_else(Refusal::unavailable)?;
                Ok(Self::Recovery(IdentifierRow::encode_hash(&code.hash(&key, tenant.id, user.id))))
            }
        }
    }

    /// Its name in facts.
    fn method(&self) -> &'static str {
        match self {
            Self::Step { .. } | Self::NoCode => "otp",
            Self::Recovery(_) | Self::NoRecoveryCode => "recovery_code",
        }
    }

    /// Adds the used code to `more` of a fact, for control.
    pub(super) fn tell(&self, mut more: Value) -> String {
        if let (Self::Step { authenticator, step }, Some(object)) = (self, more.as_object_mut()) {
            object.insert(String::from("authenticator"), authenticator.to_string().into());
            object.insert(String::from("step"), (*step).into());
        }
        more.to_string()
    }

    /// `more` of the fact of a step-up.
    pub(super) fn tell_method(&self) -> String {
        self.tell(json!({"method": self.method()}))
    }
}

/// The accepted methods of a user with a second factor.
pub(super) fn methods(user: &UserRow) -> Result<&'static [&'static str], Refusal> {
    authenticators(user)?;
    Ok(if user.recovery_key.is_some() { &["totp", "recovery_code"] } else { &["totp"] })
}

/// A row that needs a second factor and lists none is not whole here.
fn authenticators(user: &UserRow) -> Result<Vec<AuthenticatorRow>, Refusal> {
    let listed: Vec<_> = serde_json::from_str(&user.authenticators).map_err(|_| Refusal::unavailable())?;
    if listed.is_empty() { Err(Refusal::unavailable()) } else { Ok(listed) }
}

fn open<P: Platform>(
    ctx: Context<'_, P>,
    tenant: &Tenant,
    (kind, subject): (Kind, &str),
    text: &str,
) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let settings = ctx.app.settings()?;
    let context = SealContext { edge: &settings.edge_id, tenant: tenant.id, kind, subject };
    let sealed = Sealed::parse(text).map_err(|_| Refusal::unavailable())?;
    sealed.open(&settings.edge_keys, &context).map_err(|_| Refusal::unavailable())
}

/// A window in which tries of codes are counted.
#[derive(Deserialize)]
struct WindowRow {
    /// When it began.
    window_start: i64,
}

/// Seconds until a window that lasts `lasts` milliseconds is over. A try that arrived a moment later may have begun it.
fn wait_secs(window_start: i64, lasts: i64, now: i64) -> u64 {
    let wait_ms = window_start.saturating_add(lasts).saturating_sub(now).clamp(1, lasts);
    u64::try_from(wait_ms).unwrap_or(1).div_ceil(1000)
}

/// The context of a second factor: user, session and challenge.
pub(super) struct Showing<'a> {
    /// The tenant's id.
    pub tenant: &'a str,
    /// The user.
    pub user: &'a UserRow,
    /// The session that a correct one opens or steps up.
    pub sid: &'a str,
    /// Whether that session exists already.
    pub in_session: bool,
    /// The client's network.
    pub network: &'a str,
    /// The digest of the challenge; its own attempt was counted with the same event.
    pub challenge: Option<&'a str>,
}

/// A second factor in a batch.
pub(super) struct FactorTry {
    reserved: CountHandle,
    full: Handle<WindowRow>,
    claimed: Option<CountHandle>,
}

/// The outcome.
pub(super) enum Verdict {
    /// It was correct, and is used up.
    Good,
    /// It was wrong, or used before.
    Wrong,
    /// Too many codes were wrong: 429.
    Throttled(Refusal),
    /// User or tenant changed, or the challenge is invalid: nothing was counted.
    Uncounted,
}

impl FactorTry {
    /// Adds to a batch: counts the attempt with `event`, uses the code, takes the attempt of a correct one back, and
    /// records the fact.
    pub(super) fn judge<P: Platform>(
        ctx: Context<'_, P>,
        batch: &mut Batch,
        showing: &Showing<'_>,
        read: &ReadFactor,
        event: &str,
    ) -> Self {
        let (tenant, user, now) = (showing.tenant, showing.user.id.to_string(), ctx.now());
        let (user, window) = (user.as_str(), secs_as_ms(CODE_WINDOW_SECS));
        let reserved = batch.add_counted(sql::RESERVE_CODE_TRY.bind([
            tenant.into(),
            user.into(),
            now.into(),
            event.into(),
            window.into(),
            i64::from(CODE_TRIES).into(),
            showing.user.session_counter.into(),
            sql::understood(),
            showing.challenge.into(),
        ]));
        let full = batch.add(sql::FULL_CODE_WINDOW.bind([
            tenant.into(),
            user.into(),
            now.into(),
            window.into(),
            i64::from(CODE_TRIES).into(),
        ]));
        let claim = match read {
            ReadFactor::Step { authenticator, step } => Some(sql::CLAIM_STEP.bind([
                tenant.into(),
                user.into(),
                authenticator.to_string().into(),
                (*step).into(),
                event.into(),
            ])),
            ReadFactor::Recovery(hash) => Some(sql::CLAIM_RECOVERY_CODE.bind([
                tenant.into(),
                user.into(),
                hash.as_str().into(),
                now.into(),
                event.into(),
            ])),
            ReadFactor::NoCode | ReadFactor::NoRecoveryCode => None,
        };
        let claimed = claim.map(|claim| batch.add_counted(claim));
        batch.also(sql::RETURN_CODE_TRY.bind([tenant.into(), user.into(), event.into()]));
        let fact = [
            event.into(),
            tenant.into(),
            now.into(),
            user.into(),
            showing.sid.into(),
            showing.network.into(),
        ];
        batch.also(sql::RECORD_RECOVERY_CODE.bind(fact));
        batch.also(sql::RECORD_CODE_REFUSED.bind([
            event.into(),
            tenant.into(),
            now.into(),
            user.into(),
            showing.in_session.then_some(showing.sid).into(),
            showing.network.into(),
            json!({"method": read.method()}).to_string().into(),
        ]));
        Self { reserved, full, claimed }
    }

    /// The outcome, from the rows of the batch.
    ///
    /// # Errors
    /// As [`BatchRows::take`].
    pub(super) fn verdict<R: Rows>(self, rows: &BatchRows<R>, now: i64) -> Result<Verdict, StoreError> {
        if rows.count(self.reserved)? == 0 {
            let full = rows.take_one(self.full)?;
            return Ok(match full {
                Some(window) => Verdict::Throttled(Refusal::throttled(wait_secs(
                    window.window_start,
                    secs_as_ms(CODE_WINDOW_SECS),
                    now,
                ))),
                None => Verdict::Uncounted,
            });
        }
        let claimed = self.claimed.map(|claimed| rows.count(claimed)).transpose()?.unwrap_or(0);
        Ok(if claimed > 0 { Verdict::Good } else { Verdict::Wrong })
    }
}

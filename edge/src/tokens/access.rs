//! Access tokens: issued after a sign-in or refresh, and checked wherever one is presented.

use std::cell::OnceCell;
use std::rc::Rc;

use shared::contract::limits::UNKNOWN_KID_MS;
use shared::contract::refusal::{Refusal, TokenFault};
use shared::ids::{SessionId, UserId};
use shared::tokens::claims::{AccessClaims, Audience, ClaimsFault, UserIdClaim};
use shared::tokens::jwk::PublicKey;
use shared::tokens::jws::Jws;
use shared::tokens::{access_signing_input, join_signature};

use crate::app::App;
use crate::context::Context;
use crate::isolate::memory::Judgement;
use crate::isolate::opened::OpenedTenant;
use crate::isolate::verified::VerifiedToken;
use crate::platform::Platform;
use crate::tenants::find::{TenantName, find_fresh, read_feed, renew};
use crate::tenants::state::State;
use crate::tokens::amr::{Amr, Method};
use crate::tokens::error::TokenError;
use crate::tokens::{legacy, standing};

/// The subject of an access token.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The user.
    pub user: UserId,
    /// The user's id as `user_id` has it.
    pub user_id: UserIdClaim,
    /// The session.
    pub sid: SessionId,
    /// The user's access epoch.
    pub epoch: i64,
    /// Role names.
    pub roles: Vec<String>,
    /// How the user signed in.
    pub amr: Amr,
    /// When the user signed in, Unix seconds.
    pub auth_time: i64,
}

/// Issues an access token at `now_ms`.
///
/// # Errors
/// 503 where no key may sign or the key does not open.
pub async fn issue<P: Platform>(
    ctx: Context<'_, P>,
    known: &OpenedTenant,
    subject: Subject,
) -> Result<String, Refusal> {
    let now_secs = ctx.now_ms / 1000;
    let tenant = &known.tenant;
    let key = tenant.signing_key(now_secs).ok_or_else(Refusal::unavailable)?;
    let jti: [u8; 16] = ctx.app.random();
    let iat = i64::try_from(now_secs).unwrap_or(i64::MAX);
    let ttl = i64::try_from(tenant.settings.access_ttl_secs).unwrap_or(0);
    let claims = AccessClaims {
        token_type: "access".into(),
        exp: iat.saturating_add(ttl),
        iat,
        jti: format!("{:032x}", u128::from_be_bytes(jti)).into(),
        user_id: subject.user_id,
        sub: subject.user,
        iss: tenant.issuer.as_str().into(),
        tenant: tenant.id,
        sid: subject.sid,
        epoch: subject.epoch,
        roles: subject.roles,
        amr: subject.amr.into_claim(),
        auth_time: subject.auth_time,
        aud: tenant.audience.clone().map(Audience::One),
        nbf: None,
    };
    let input = access_signing_input(&key.kid, &claims).map_err(|_| Refusal::internal())?;
    let signature = ctx.app.platform.sign(tenant.id, key, input.as_bytes()).await?;
    Ok(join_signature(input, &signature))
}

/// Judges a token that was verified before, without storage and without waiting. `None` where the
/// signature has to be checked or rows have to be read first.
pub fn judge_now<P: Platform>(
    ctx: Context<'_, P>,
    known: &OpenedTenant,
    unverified_token: &str,
) -> Option<Result<Rc<VerifiedToken>, TokenFault>> {
    // A strict tenant's tokens are judged by rows alone.
    if known.tenant.settings.strict {
        return None;
    }
    let verified = ctx.app.verified.borrow();
    let access = verified.get(unverified_token).filter(|access| is_current(ctx, known, access))?;
    let verdict = match judge(ctx, access)? {
        Judgement::Good => Ok(()),
        Judgement::Denied(fault) => Err(fault),
        Judgement::AskStorage => standing::remembered(access, ctx.now_ms)?.verdict,
    };
    Some(verdict.and_then(|()| judge_factor(ctx, known, access)).map(|()| Rc::clone(access)))
}

/// Whether a token that was verified under this revision of the document is good, without storage and without waiting.
/// Where rows have to be read first, it is not.
pub fn is_good<P: Platform>(ctx: Context<'_, P>, known: &OpenedTenant, access: &VerifiedToken) -> bool {
    !known.tenant.settings.strict
        && is_current(ctx, known, access)
        && matches!(judge(ctx, access), Some(Judgement::Good))
        && judge_factor(ctx, known, access).is_ok()
}

/// A token of which everything holds but its signature, which is being checked.
pub struct Unproven {
    token: String,
    /// The tenant, as it was when the check began.
    known: Rc<OpenedTenant>,
    kid: String,
    signature: Vec<u8>,
    unverified: VerifiedToken,
}

impl Unproven {
    /// The key, what was signed, and the signature. `None` cannot happen: the token was taken apart before.
    #[must_use]
    pub fn parts(&self) -> Option<(&PublicKey, &[u8], &[u8])> {
        let key = self.known.tenant.verifying_key(&self.kid)?;
        let jws = Jws::split(&self.token)?;
        Some((&key.public, jws.signed.as_bytes(), &self.signature))
    }
}

/// Begins to judge an access token that was not verified before, if its signature is all that is missing. `None` for
/// everything else, which [`authenticate`] judges: what is read or refused there is not decided here.
pub fn begin<P: Platform>(
    ctx: Context<'_, P>,
    known: &Rc<OpenedTenant>,
    unverified_token: &str,
) -> Option<Unproven> {
    if known.tenant.settings.strict || refresh_token_fault(known, unverified_token, ctx.now_secs()).is_some()
    {
        return None;
    }
    let jws = Jws::split(unverified_token)?;
    let kid = jws.access_key_id()?;
    known.tenant.verifying_key(&kid)?;
    let signature = jws.signature_bytes()?;
    let unverified = read(known, &jws.payload_bytes()?, ctx.now_secs()).ok()?;
    Some(Unproven { token: unverified_token.to_owned(), known: known.clone(), kid, signature, unverified })
}

/// Remembers a token whose signature held: from here on [`judge_now`] judges it.
pub fn proved<P: Platform>(app: &App<P>, Unproven { token, unverified, .. }: Unproven) {
    app.verified.borrow_mut().insert(&token, unverified);
}

/// Whether a cached verification still applies.
fn is_current<P: Platform>(ctx: Context<'_, P>, known: &OpenedTenant, access: &VerifiedToken) -> bool {
    let current = access.tenant == known.tenant.id && access.revision == known.tenant.revision();
    // For legacy tokens the feed only shows that the user changed, so the user's row is read again. At a crowded
    // tenant it shows nothing: the user is read again if the last read is older than three seconds.
    let told = access.legacy.is_some() && {
        let cache = ctx.app.shard_cache.borrow();
        let silent = cache.is_crowded(access.tenant);
        cache.lists_user(access.tenant, access.sub)
            || (silent && standing::remembered(access, ctx.now_ms).is_none())
    };
    let now = ctx.now_secs();
    current && !told && (now < access.known_until || access.exp <= now)
}

/// `None` if the tenant, and so its denials, are not cached.
fn judge<P: Platform>(ctx: Context<'_, P>, access: &VerifiedToken) -> Option<Judgement> {
    if access.exp <= ctx.now_secs() {
        return Some(Judgement::Denied(TokenFault::Expired));
    }
    ctx.app.shard_cache.borrow().judge(access.tenant, access.sub, access.sid, access.epoch)
}

/// A token without a second factor counts like one with a lower epoch if the tenant requires one of a role in it. The
/// clock decides, because the requirement may begin without a new document.
fn judge_factor<P: Platform>(
    ctx: Context<'_, P>,
    known: &OpenedTenant,
    access: &VerifiedToken,
) -> Result<(), TokenFault> {
    let demanded = || known.tenant.settings.demands_second_factor(&access.roles, ctx.now_secs());
    if access.mfa || !demanded() { Ok(()) } else { Err(TokenFault::Blacklisted) }
}

/// Checks an access token of the found tenant.
///
/// 1. If it is cached: only expiry and denials.
/// 2. A refresh token of this tenant: wrong type.
/// 3. Without a `kid`: the legacy key, and one read of the user.
/// 4. The key that its header names; an unknown one causes one read of the feed, within a limit.
/// 5. The signature, the claims, then the denials. An unknown issuer causes one read of the feed, too, because
///    another isolate may have learned of a change before this one. At a crowded tenant, the rows of user and session
///    are also read.
/// 6. Whether the tenant requires a second factor of its roles, and its session used one.
///
/// At a strict tenant one read of user and session replaces step 1 and the cached denials.
///
/// # Errors
/// The token's fault, in the contract's order, or 503.
pub async fn authenticate<P: Platform>(
    ctx: Context<'_, P>,
    known: &Rc<OpenedTenant>,
    named: &TenantName,
    unverified_token: &str,
) -> Result<VerifiedToken, TokenError> {
    if let Some(judged) = judge_now(ctx, known, unverified_token) {
        return judged.map(Rc::unwrap_or_clone).map_err(TokenError::Token);
    }
    if known.tenant.settings.strict {
        return judge_strictly(ctx, known, named, unverified_token).await;
    }
    let access = proven(ctx, known, named, unverified_token).await?;
    let judged = match judge(ctx, &access) {
        Some(judged) => judged,
        // The tenant was forgotten while the signature was checked: it is met again.
        None => {
            find_fresh(ctx, named).await?;
            judge(ctx, &access).ok_or_else(Refusal::unavailable)?
        }
    };
    match judged {
        Judgement::Good => {
            judge_factor(ctx, known, &access)?;
            Ok(access)
        }
        Judgement::Denied(fault) => Err(fault.into()),
        Judgement::AskStorage => {
            let standing = standing::stand(ctx, known, &access, unverified_token).await?;
            standing.verdict?;
            judge_factor(ctx, known, &access)?;
            Ok(VerifiedToken { standing: Some(standing), ..access })
        }
    }
}

/// Checks an access token of a strict tenant.
///
/// 1. The signature and the claims, from the cache if they were verified before; an expired token causes no read.
/// 2. One batch: the rows of its user and session, and the tenant's state.
/// 3. If there is a newer document, it is read, and the token is verified again, because its key may be revoked.
/// 4. The rows, and whether the tenant requires a second factor of its roles.
///
/// # Errors
/// The token's fault; 404 if the tenant was deleted, 503 if the database does not answer.
async fn judge_strictly<P: Platform>(
    ctx: Context<'_, P>,
    known: &Rc<OpenedTenant>,
    named: &TenantName,
    unverified_token: &str,
) -> Result<VerifiedToken, TokenError> {
    let mut access = proven(ctx, known, named, unverified_token).await?;
    if access.exp <= ctx.now_secs() {
        return Err(TokenFault::Expired.into());
    }
    let (standing, state) =
        standing::read_strictly(ctx, known, named, &access).await.map_err(Refusal::from)?;
    let mut known = known.clone();
    match state {
        State::Current => {}
        // Validation also works with a document that needs features which this release does not know.
        State::Newer | State::NotUnderstood => {
            known = renew(ctx.app, known.tenant.id).await?;
            access = proven(ctx, &known, named, unverified_token).await?;
        }
        State::Suspended => return Err(TokenFault::Invalid.into()),
        State::Gone => return Err(Refusal::not_found().into()),
        State::Renamed => {
            ctx.app.shard_cache.borrow_mut().forget_name(&named.name);
            return Err(TokenFault::Invalid.into());
        }
    }
    let standing = standing.ok_or_else(Refusal::not_found)?;
    standing.verdict?;
    judge_factor(ctx, &known, &access)?;
    Ok(VerifiedToken { standing: Some(standing), ..access })
}

/// The token's claims, if its signature and claims are valid: from the cache, or verified now.
async fn proven<P: Platform>(
    ctx: Context<'_, P>,
    known: &Rc<OpenedTenant>,
    named: &TenantName,
    unverified_token: &str,
) -> Result<VerifiedToken, TokenError> {
    match verified_before(ctx, known, unverified_token) {
        Some(access) => Ok(access),
        None => verify_anew(ctx, known, named, unverified_token).await,
    }
}

/// The cached verification of a token, if it still applies.
fn verified_before<P: Platform>(
    ctx: Context<'_, P>,
    known: &OpenedTenant,
    unverified_token: &str,
) -> Option<VerifiedToken> {
    let verified = ctx.app.verified.borrow();
    let access = verified.get(unverified_token).filter(|access| is_current(ctx, known, access));
    access.map(|access| VerifiedToken::clone(access))
}

/// Verifies a token that is not cached, or has a cached verification that no longer applies.
async fn verify_anew<P: Platform>(
    ctx: Context<'_, P>,
    known: &Rc<OpenedTenant>,
    named: &TenantName,
    unverified_token: &str,
) -> Result<VerifiedToken, TokenError> {
    if let Some(fault) = refresh_token_fault(known, unverified_token, ctx.now_secs()) {
        return Err(fault.into());
    }
    let jws = Jws::split(unverified_token).ok_or(TokenFault::Invalid)?;
    let access = if jws.is_legacy() {
        let token = legacy::verify(ctx, known, jws).await?;
        legacy::access(ctx, known, &token).await?
    } else {
        verify_ours(ctx, known, named, jws).await?
    };
    ctx.app.verified.borrow_mut().insert(unverified_token, access.clone());
    Ok(access)
}

async fn verify_ours<P: Platform>(
    ctx: Context<'_, P>,
    known: &Rc<OpenedTenant>,
    named: &TenantName,
    jws: Jws<'_>,
) -> Result<VerifiedToken, TokenError> {
    let kid = jws.access_key_id().ok_or(TokenFault::Invalid)?;
    let mut known = known.clone();
    if known.tenant.verifying_key(&kid).is_none() {
        known = look_again(ctx, known, named).await?;
    }
    let payload = signed_payload(ctx, &known, jws, &kid).await?;
    match read(&known, &payload, ctx.now_secs()) {
        Err(ClaimsFault::OtherIssuer) => {
            known = look_again(ctx, known, named).await?;
            known.tenant.verifying_key(&kid).ok_or(TokenFault::Invalid)?;
            Ok(read(&known, &payload, ctx.now_secs()).map_err(TokenFault::from)?)
        }
        verified => Ok(verified.map_err(TokenFault::from)?),
    }
}

/// The tenant after another read of the feed, for an unknown key or issuer: at most one read in five seconds.
///
/// # Errors
/// 404 if the tenant was deleted, 503 if the data cannot be read.
pub async fn look_again<P: Platform>(
    ctx: Context<'_, P>,
    known: Rc<OpenedTenant>,
    named: &TenantName,
) -> Result<Rc<OpenedTenant>, Refusal> {
    let asks = ctx.app.shard_cache.borrow_mut().may_ask_for_kid(known.tenant.id, ctx.now_ms, UNKNOWN_KID_MS);
    if asks && read_feed(ctx.app).await.is_ok() {
        return find_fresh(ctx, named).await;
    }
    Ok(known)
}

/// The payload, if the key that the header names signed it.
async fn signed_payload<P: Platform>(
    ctx: Context<'_, P>,
    known: &OpenedTenant,
    jws: Jws<'_>,
    kid: &str,
) -> Result<Vec<u8>, TokenError> {
    let key = known.tenant.verifying_key(kid).ok_or(TokenFault::Invalid)?;
    let signature = jws.signature_bytes().ok_or(TokenFault::Invalid)?;
    if !ctx.app.platform.verify(&key.public, jws.signed.as_bytes(), &signature).await? {
        return Err(TokenFault::Invalid.into());
    }
    Ok(jws.payload_bytes().ok_or(TokenFault::Invalid)?)
}

/// Reads the claims, if the tenant accepts them.
fn read(known: &OpenedTenant, payload: &[u8], now_secs: i64) -> Result<VerifiedToken, ClaimsFault> {
    let tenant = &known.tenant;
    let accepted = AccessClaims::check(payload, tenant.expected(), now_secs)?;
    let claims = accepted.claims;
    Ok(VerifiedToken {
        tenant: tenant.id,
        revision: tenant.revision(),
        sub: claims.sub,
        user_id: claims.user_id,
        sid: claims.sid,
        epoch: claims.epoch,
        roles: claims.roles,
        mfa: claims.amr.iter().any(|method| method == Method::Mfa.as_str()),
        exp: claims.exp,
        known_until: accepted.until,
        legacy: None,
        standing: None,
        body: OnceCell::new(),
    })
}

/// The session of an access token that is expired and otherwise valid. Its row says whether the session is active.
///
/// # Errors
/// Expired for a token without a session (a legacy one, a refresh token); the token's other faults; 503.
pub async fn session_of_expired<P: Platform>(
    ctx: Context<'_, P>,
    known: &OpenedTenant,
    unverified_token: &str,
) -> Result<SessionId, TokenError> {
    let jws = Jws::split(unverified_token).ok_or(TokenFault::Invalid)?;
    let kid = jws.access_key_id().ok_or(TokenFault::Expired)?;
    let payload = signed_payload(ctx, known, jws, &kid).await?;
    let accepted = AccessClaims::check_but_expiry(&payload, known.tenant.expected(), ctx.now_secs());
    Ok(accepted.map_err(TokenFault::from)?.claims.sid)
}

/// A refresh token of this tenant where an access token belongs: expired, else of the wrong type.
fn refresh_token_fault(known: &OpenedTenant, unverified_token: &str, now_secs: i64) -> Option<TokenFault> {
    let refresh = known.refresh_keys.iter().find_map(|key| key.verify(unverified_token).ok())?;
    Some(if refresh.expires_at <= now_secs { TokenFault::Expired } else { TokenFault::WrongType })
}

/// The fault of an access token of this tenant that was sent as a refresh token: "wrong type", unless its signature
/// is not valid or it is expired.
pub async fn access_token_fault<P: Platform>(
    ctx: Context<'_, P>,
    known: &OpenedTenant,
    unverified_token: &str,
) -> TokenFault {
    let Some(jws) = Jws::split(unverified_token) else { return TokenFault::Invalid };
    let Some(kid) = jws.access_key_id() else { return TokenFault::Invalid };
    let Ok(payload) = signed_payload(ctx, known, jws, &kid).await else { return TokenFault::Invalid };
    match read(known, &payload, ctx.now_secs()).map_err(TokenFault::from) {
        Ok(_) => TokenFault::WrongType,
        Err(TokenFault::Expired) => TokenFault::Expired,
        Err(_) => TokenFault::Invalid,
    }
}

//! The tenant's document as it is pushed: secrets are opened here and sealed to the edge at once.

use chrono::{DateTime, Utc};
use shared::epochs;
use shared::passwords::Verifier;
use shared::tenant::{self as document, KeyState, Root, SessionRoot, SigningKey};
use shared::wire::needs::{
    CAPTCHA, FORMER_LOOKUP_ROOT, NETWORKS, Needs, PASSWORD_MAX_AGE, ROLE_TIMEOUTS, SECOND_FACTOR_POLICY,
};
use shared::wire::seal::{Context, Kind, NONCE_BYTES, Sealed};

use super::captcha::{self, Own};
use super::{claims, store};
use crate::control::{Control, Inner};
use crate::crypt::lookup::{self, LookupRoot, Stage};
use crate::crypt::roots::{RootKind, roots};
use crate::db::TenantTx;
use crate::failure::Failure;
use crate::keys::model::State;
use crate::keys::store::{Published, published};
use crate::sessions::root;
use crate::tenants::TenantError;
use crate::world::random;
use shared::ids::TenantId;

/// Seals `plaintext` for the edge of this control.
///
/// # Errors
/// No randomness.
pub fn seal(
    control: &Inner,
    tenant: TenantId,
    kind: Kind,
    subject: &str,
    plaintext: &[u8],
) -> Result<String, Failure> {
    let nonce: [u8; NONCE_BYTES] = random()?;
    let context = Context { edge: &control.settings.edge.id, tenant, kind, subject };
    let sealed = Sealed::seal(&control.settings.edge.kek.0, &context, nonce, plaintext);
    sealed.map(|sealed| sealed.to_string()).map_err(|_| Failure::Crypto("sealing"))
}

/// Builds the document of the tenant the transaction is in, at this revision.
///
/// # Errors
/// The database's, or a secret that does not open.
pub async fn build(
    control: &Control,
    tx: &mut TenantTx,
    history: i64,
    doc_rev: i64,
) -> Result<document::Tenant, TenantError> {
    let id = tx.tenant();
    let tenant = store::find(tx, id).await?;
    let mut keys = Vec::new();
    for key in published(tx).await? {
        keys.push(signing_key(control, id, key)?);
    }
    let session_roots = session_roots(control, tx).await?;
    let lookup = lookup::roots(tx).await?;
    let lookup_root = sealed_lookup_root(control, id, &lookup.current)?;
    let former_lookup_root =
        lookup.former().map(|(root, _)| sealed_lookup_root(control, id, root)).transpose()?;
    let windows_live = lookup.former().is_some_and(|(_, stage)| stage == Stage::Switched);
    let mut needs = needs(tx, id, history).await?;
    // Until the time windows that began under the old root are over, attempts must be counted under both roots.
    if windows_live {
        needs = needs.and(FORMER_LOOKUP_ROOT);
    }
    if tenant.settings.password_max_age_secs > 0 {
        needs = needs.and(PASSWORD_MAX_AGE);
    }
    if !tenant.settings.role_timeouts.is_empty() {
        needs = needs.and(ROLE_TIMEOUTS);
    }
    if !tenant.settings.second_factor_roles.is_empty() {
        needs = needs.and(SECOND_FACTOR_POLICY);
    }
    if tenant.settings.lists_networks() {
        needs = needs.and(NETWORKS);
    }
    let captcha = captcha(control, tx).await?;
    if captcha.is_some() {
        needs = needs.and(CAPTCHA);
    }
    Ok(document::Tenant {
        id,
        status: tenant.status,
        history,
        doc_rev,
        former_claims: claims::accepted(&tenant.former_claims, control.clock.now()),
        issuer: tenant.issuer,
        slug: tenant.slug,
        audience: tenant.audience,
        hosts: tenant.hosts,
        shards: vec![0],
        // The edge shows no user data, and creates no users.
        settings: tenant.settings.for_edge(),
        keys,
        session_roots,
        lookup_root,
        former_lookup_root,
        dummy_verifier: dummy(control, id)?,
        user_id: tenant.legacy.user_id,
        foreign: tenant.legacy.foreign(),
        captcha,
        needs,
        legacy: tenant.legacy.tokens,
    })
}

fn signing_key(control: &Inner, tenant: TenantId, key: Published) -> Result<SigningKey, Failure> {
    let Published { key, public, pkcs8 } = key;
    let state = match key.state {
        State::Next => KeyState::Next,
        State::Active => KeyState::Active,
        State::Retired => KeyState::Retired,
        State::Revoked | State::Removed => KeyState::Revoked,
    };
    let sealed =
        pkcs8.map(|pkcs8| seal(control, tenant, Kind::SigningKey, key.kid.as_str(), &pkcs8)).transpose()?;
    Ok(SigningKey { state, public, sign_from: key.sign_from.map(unix_secs), sealed, kid: key.kid })
}

/// A planned time is rounded up: a verifier must not get a token earlier than announced.
fn unix_secs(at: DateTime<Utc>) -> u64 {
    let seconds = at.timestamp() + i64::from(at.timestamp_subsec_nanos() > 0);
    u64::try_from(seconds).unwrap_or(0)
}

/// The stored `needs` of the tenant, including words of a later release. After a reseed, also that epochs have a
/// floor.
async fn needs(tx: &mut TenantTx, id: TenantId, history: i64) -> Result<Needs, Failure> {
    let words = sqlx::query_scalar!("select needs from platform.tenants where id = $1", id.uuid())
        .fetch_one(&mut **tx)
        .await?;
    let needs = Needs::from(words);
    Ok(if epochs::floor(history) > 0 { needs.and(epochs::NEED) } else { needs })
}

fn sealed_lookup_root(control: &Control, tenant: TenantId, root: &LookupRoot) -> Result<Root, Failure> {
    let version = u32::try_from(root.version).map_err(|_| Failure::Unreadable("lookup root"))?;
    let sealed = seal(control, tenant, Kind::LookupRoot, &version.to_string(), root.secret.expose())?;
    Ok(Root { version, sealed })
}

/// The CAPTCHA, its secret sealed to the edge and to the service that it is for.
async fn captcha(control: &Inner, tx: &mut TenantTx) -> Result<Option<document::captcha::Captcha>, Failure> {
    let tenant = tx.tenant();
    let Some(Own { policy, secret, .. }) = captcha::own(tx).await? else { return Ok(None) };
    let url = policy.verify_url.as_str();
    let secret = seal(control, tenant, Kind::CaptchaSecret, url, secret.as_bytes())?;
    Ok(Some(document::captcha::Captcha { policy, secret }))
}

/// The root that signs now first, which is the one that a reader of the release before signs with.
async fn session_roots(control: &Control, tx: &mut TenantTx) -> Result<Vec<SessionRoot>, Failure> {
    let rotation = root::rotation(tx).await?;
    let sign_from = rotation.and_then(|rotation| rotation.sign_from);
    let (tenant, newest_first) = (tx.tenant(), roots(tx, RootKind::Session).await?);
    let is_planned = newest_first.len() > 1 && sign_from.is_none_or(|at| control.clock.now() < at);
    let roots = newest_first.into_iter().enumerate().map(|(place, (version, root))| {
        let sign_from = sign_from.filter(|_| place == 0).map(unix_secs);
        let sealed = seal(control, tenant, Kind::SessionRoot, &version.to_string(), root.expose())?;
        Ok(SessionRoot { version, sealed, sign_from })
    });
    let mut roots = roots.collect::<Result<Vec<_>, Failure>>()?;
    if is_planned {
        roots.reverse();
    }
    Ok(roots)
}

/// A verifier that no password satisfies, so that a sign-in with an unknown name costs one hash, too.
fn dummy(control: &Inner, tenant: TenantId) -> Result<String, Failure> {
    let verifier = Verifier::dummy(random()?, random()?);
    seal(control, tenant, Kind::Dummy, "", verifier.to_phc().as_bytes())
}

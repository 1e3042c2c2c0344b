//! Rows of signing keys, under the row security of their tenant.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::ids::{KeyId, TenantId};
use shared::tenant::settings::Settings;
use shared::tokens::jwk::PublicKey;
use sqlx::PgConnection;
use zeroize::Zeroizing;

use super::maker::RestingKey;
use super::model::{Key, KeyRing, State};
use crate::crypt::sealed::Column;
use crate::db::TenantTx;
use crate::failure::Failure;
use crate::jobs::queue;

/// Carries out what is planned for a tenant's keys; [`super::due`] does it.
#[derive(Serialize, Deserialize)]
pub struct AdvanceKeys {
    /// The tenant.
    pub tenant: TenantId,
}

struct Row {
    kid: String,
    state: String,
    created_at: DateTime<Utc>,
    confirmed_at: Option<DateTime<Utc>>,
    sign_from: Option<DateTime<Utc>>,
    remove_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
}

impl TryFrom<Row> for Key {
    type Error = Failure;
    fn try_from(row: Row) -> Result<Self, Failure> {
        Ok(Self {
            kid: KeyId::parse(&row.kid).map_err(|_| Failure::Unreadable("key id"))?,
            state: State::parse(&row.state).ok_or(Failure::Unreadable("key state"))?,
            created_at: row.created_at,
            confirmed_at: row.confirmed_at,
            sign_from: row.sign_from,
            remove_at: row.remove_at,
            ended_at: row.ended_at,
        })
    }
}

/// The tenant's keys, oldest first.
///
/// # Errors
/// Errors of the database.
pub async fn ring(tx: &mut TenantTx, settings: &Settings) -> Result<KeyRing, Failure> {
    let rows = sqlx::query_as!(
        Row,
        "select kid, state, created_at, confirmed_at, sign_from, remove_at, ended_at
         from platform.signing_keys
         order by created_at, sign_from nulls last, kid"
    )
    .fetch_all(&mut **tx)
    .await?;
    let keys = rows.into_iter().map(Key::try_from).collect::<Result<_, _>>()?;
    Ok(KeyRing { keys, staleness_secs: settings.staleness_limit_secs })
}

/// The same, locked until the transaction ends, so that two operations do not decide on the same state.
pub(super) async fn lock_ring(tx: &mut TenantTx, settings: &Settings) -> Result<KeyRing, Failure> {
    let tenant = tx.tenant();
    // The tenant's row is the lock: the set of keys itself may grow.
    sqlx::query!("select id from platform.tenants where id = $1 for no key update", tenant.uuid())
        .fetch_one(&mut **tx)
        .await?;
    ring(tx, settings).await
}

/// Adds a fresh key to a ring and to what is stored of it. The ring leaves every other key as it is, so what
/// was saved stays right; a `next` has no time and needs no plan.
pub(super) async fn add(
    tx: &mut TenantTx,
    ring: &mut KeyRing,
    key: &RestingKey,
    now: DateTime<Utc>,
) -> Result<(), Failure> {
    ring.add(key.public.key_id(), now).map_err(|_| Failure::Crypto("making a key"))?;
    insert(tx, key, false, now).await
}

/// Adds a key in the state that the ring gives it; [`save`] follows.
pub(crate) async fn insert(
    tx: &mut TenantTx,
    key: &RestingKey,
    imported: bool,
    now: DateTime<Utc>,
) -> Result<(), Failure> {
    let (tenant, kid) = (tx.tenant(), key.public.key_id());
    let public_jwk = serde_json::to_value(&key.public).map_err(|_| Failure::Unreadable("public key"))?;
    // It was made before the transaction began, and since then the tenant may have got another data key. One whose
    // data key is gone is not stored, and is made again where that is tried again.
    let renewed = match tx.keys().renew(Column::SigningKey, kid.as_str(), &key.wrapped) {
        Err(Failure::Unreadable(_)) => return Err(Failure::KeyReplaced),
        renewed => renewed?,
    };
    let wrapped = renewed.as_ref().unwrap_or(&key.wrapped);
    sqlx::query!(
        "with known as (insert into platform.key_ids (kid, tenant_id) values ($2, $1))
         insert into platform.signing_keys
            (tenant_id, kid, state, bits, public_jwk, wrapped_private, imported, created_at)
         values ($1, $2, 'next', $3, $4, $5, $6, $7)",
        tenant.uuid(),
        kid.as_str(),
        i32::try_from(key.public.bits()).unwrap_or(0),
        public_jwk,
        wrapped,
        imported,
        now,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes the changed keys, and schedules the next transition. Keys that leave a state are written before keys that
/// enter it, because at most one key is active and one is next.
pub(crate) async fn save(
    tx: &mut TenantTx,
    before: &KeyRing,
    after: &KeyRing,
    now: DateTime<Utc>,
) -> Result<(), Failure> {
    let tenant = tx.tenant();
    let changed = after.keys.iter().filter(|key| !before.keys.contains(key));
    let mut changed: Vec<_> = changed.collect();
    changed.sort_by_key(|key| match key.state {
        State::Revoked | State::Removed | State::Retired => 0,
        State::Active => 1,
        State::Next => 2,
    });
    for key in changed {
        sqlx::query!(
            "update platform.signing_keys
             set state = $3, sign_from = $4, remove_at = $5, ended_at = $6,
                 wrapped_private = case when $3 in ('revoked', 'removed') then null else wrapped_private end
             where tenant_id = $1 and kid = $2",
            tenant.uuid(),
            key.kid.as_str(),
            key.state.as_str(),
            key.sign_from,
            key.remove_at,
            key.ended_at,
        )
        .execute(&mut **tx)
        .await?;
    }
    plan(tx, after, now).await
}

/// Enqueues the next transition, replacing an earlier job. If there is none, an earlier job may be left, which then
/// finds nothing to do.
pub(super) async fn plan(tx: &mut TenantTx, ring: &KeyRing, now: DateTime<Utc>) -> Result<(), Failure> {
    let Some(due_at) = ring.due_at() else { return Ok(()) };
    let job = AdvanceKeys { tenant: tx.tenant() };
    queue::enqueue(tx, &job, due_at - now).await
}

/// Notes that the edge publishes these keys: from now on every cache of the key set ages.
///
/// # Errors
/// Errors of the database.
pub async fn confirm(tx: &mut TenantTx, kids: &[String], now: DateTime<Utc>) -> Result<(), Failure> {
    let tenant = tx.tenant();
    sqlx::query!(
        "update platform.signing_keys
         set confirmed_at = $3
         where tenant_id = $1 and kid = any ($2) and confirmed_at is null",
        tenant.uuid(),
        kids,
        now,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A key as the document needs it.
pub struct Published {
    /// State and times.
    pub key: Key,
    /// Public half.
    pub public: PublicKey,
    /// PKCS#8, opened; absent once it may not sign any more.
    pub pkcs8: Option<Zeroizing<Vec<u8>>>,
}

struct PublishedRow {
    kid: String,
    state: String,
    created_at: DateTime<Utc>,
    confirmed_at: Option<DateTime<Utc>>,
    sign_from: Option<DateTime<Utc>>,
    remove_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
    public_jwk: Value,
    wrapped_private: Option<Vec<u8>>,
}

/// Every key the edge must know of, private halves opened.
///
/// # Errors
/// The database's, or a key that does not open.
pub async fn published(tx: &mut TenantTx) -> Result<Vec<Published>, Failure> {
    let rows = sqlx::query_as!(
        PublishedRow,
        "select kid, state, created_at, confirmed_at, sign_from, remove_at, ended_at, public_jwk, wrapped_private
         from platform.signing_keys
         where state <> 'removed'
         order by created_at, sign_from nulls last, kid"
    )
    .fetch_all(&mut **tx)
    .await?;
    let mut published = Vec::with_capacity(rows.len());
    for row in rows {
        let pkcs8 = match &row.wrapped_private {
            Some(wrapped) => Some(tx.keys().open(Column::SigningKey, &row.kid, wrapped)?),
            None => None,
        };
        let key = Row {
            kid: row.kid,
            state: row.state,
            created_at: row.created_at,
            confirmed_at: row.confirmed_at,
            sign_from: row.sign_from,
            remove_at: row.remove_at,
            ended_at: row.ended_at,
        };
        published.push(Published { key: key.try_into()?, public: public(row.public_jwk)?, pkcs8 });
    }
    Ok(published)
}

/// The public half of a key that verifies tokens now; none for revoked, removed and unknown ones.
///
/// # Errors
/// Errors of the database.
pub async fn verifying(tx: &mut TenantTx, claimed_kid: &str) -> Result<Option<PublicKey>, Failure> {
    let row = sqlx::query_scalar!(
        "select public_jwk from platform.signing_keys
         where kid = $1 and state in ('next', 'active', 'retired')",
        claimed_kid,
    )
    .fetch_optional(&mut **tx)
    .await?;
    row.map(public).transpose()
}

/// Whether any tenant has a key of this id, in whatever state.
///
/// # Errors
/// Errors of the database.
pub async fn is_known(connection: &mut PgConnection, kid: &KeyId) -> Result<bool, Failure> {
    let known = sqlx::query_scalar!(
        r#"select exists (select from platform.key_ids where kid = $1) as "known!""#,
        kid.as_str(),
    )
    .fetch_one(connection)
    .await?;
    Ok(known)
}

fn public(jwk: Value) -> Result<PublicKey, Failure> {
    serde_json::from_value(jwk).map_err(|_| Failure::Unreadable("public key"))
}

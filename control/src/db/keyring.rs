//! The data keys of tenants: read, unwrapped by the key provider and kept in memory for a bounded time, before a
//! transaction of the tenant begins. So nothing waits for the provider while it holds a connection, and what a
//! transaction seals and opens needs no call.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use moka::future::Cache;
use shared::derive::Secret;
use shared::ids::TenantId;
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Postgres, Transaction};

use crate::crypt::sealed::TenantKeys;
use crate::crypt::wrapped::KeyWrapper;
use crate::failure::Failure;
use crate::world::{Clock, random};

/// How long unwrapped keys stay in memory: a key that is disabled at the provider works here for this long at most.
const KEPT: Duration = Duration::from_secs(5 * 60);
/// After this time every control process has read a change of a tenant's keys, and transactions with the earlier keys
/// have ended, because none takes two minutes.
pub(super) const SPREAD: TimeDelta = TimeDelta::minutes(7);
/// The keys of how many tenants.
const TENANTS: u64 = 10_000;
/// The version of a tenant's first key.
const FIRST: u32 = 1;

/// See the module. Cheap to clone; no `Debug`.
#[derive(Clone)]
pub(super) struct Keyring {
    wrapper: KeyWrapper,
    /// Reads wrapped keys, and nothing else: it neither waits for requests nor keeps them waiting.
    pool: PgPool,
    clock: Clock,
    at_hand: Cache<TenantId, Held>,
}

/// The keys of a tenant in memory.
#[derive(Clone)]
struct Held {
    keys: Arc<TenantKeys>,
    /// By the wall clock, because the cache's own clock stops while the machine is suspended.
    read_at: DateTime<Utc>,
}

/// A stored key.
pub(super) struct Stored {
    pub version: u32,
    wrapped: Vec<u8>,
    /// Whether every control has read it.
    spread: bool,
}

impl Keyring {
    pub fn new(wrapper: KeyWrapper, pool: PgPool, clock: Clock) -> Self {
        let at_hand = Cache::builder().time_to_live(KEPT).max_capacity(TENANTS).build();
        Self { wrapper, pool, clock, at_hand }
    }

    /// The keys of a tenant. Requests that need the same keys at once share one fetch.
    pub async fn of(&self, tenant: TenantId) -> Result<Arc<TenantKeys>, Failure> {
        match self.at_hand(tenant).await {
            Some(keys) => Ok(keys),
            None => {
                let held = self.at_hand.try_get_with(tenant, self.fetch(tenant)).await;
                Ok(held.map_err(Failure::Shared)?.keys)
            }
        }
    }

    /// The keys of the tenant, if they are in memory.
    pub async fn at_hand(&self, tenant: TenantId) -> Option<Arc<TenantKeys>> {
        let Held { keys, read_at } = self.at_hand.get(&tenant).await?;
        let age = (self.clock.now() - read_at).abs();
        if age.to_std().is_ok_and(|age| age <= KEPT) {
            return Some(keys);
        }
        self.forget(tenant).await;
        None
    }

    /// Removes the tenant's keys from memory, so that they are read again at the next use.
    pub async fn forget(&self, tenant: TenantId) {
        self.at_hand.invalidate(&tenant).await;
    }

    /// A new key seals once every control can open what it sealed.
    async fn fetch(&self, tenant: TenantId) -> Result<Held, Failure> {
        let read_at = self.clock.now();
        let stored = self.read(tenant).await?;
        let spread = stored.iter().filter(|key| key.spread).map(|key| key.version).max();
        let sealing = spread.or_else(|| stored.iter().map(|key| key.version).min());
        let mut keys = Vec::with_capacity(stored.len());
        for Stored { version, wrapped, .. } in stored {
            keys.push((version, self.wrapper.unwrap(tenant, version, &wrapped).await?));
        }
        let sealing = sealing.ok_or(Failure::Unreadable("tenant_keys"))?;
        let keys = TenantKeys::new(tenant, keys)?.sealing_with(sealing)?;
        Ok(Held { keys: Arc::new(keys), read_at })
    }

    /// Reads the stored keys of a tenant.
    pub async fn read(&self, tenant: TenantId) -> Result<Vec<Stored>, Failure> {
        let mut tx = self.begin(tenant).await?;
        let rows = sqlx::query!(
            r#"select version, wrapped, created_at <= clock_timestamp() - make_interval(secs => $1) as "spread!"
            from platform.tenant_keys"#,
            SPREAD.as_seconds_f64(),
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.rollback().await?;
        let version =
            |version| u32::try_from(version).map_err(|_| Failure::Unreadable("tenant_keys.version"));
        rows.into_iter()
            .map(|row| {
                Ok(Stored { version: version(row.version)?, wrapped: row.wrapped, spread: row.spread })
            })
            .collect()
    }

    async fn begin(&self, tenant: TenantId) -> Result<Transaction<'static, Postgres>, Failure> {
        // Safe by type: a UUID.
        let begin = format!("BEGIN; SET LOCAL app.tenant = '{tenant}'");
        Ok(self.pool.begin_with(AssertSqlSafe(begin)).await?)
    }

    /// Rewraps a key, if a former key-encryption key wraps it. No connection is held during the provider's call; of
    /// two concurrent calls one succeeds.
    pub async fn rewrap(&self, tenant: TenantId, version: u32) -> Result<bool, Failure> {
        let stored = self.read(tenant).await?.into_iter().find(|stored| stored.version == version);
        let Some(Stored { wrapped: before, .. }) = stored else { return Ok(false) };
        let key = self.wrapper.unwrap(tenant, version, &before).await?;
        let after = self.wrapper.wrap(tenant, version, &key).await?;
        let mut tx = self.begin(tenant).await?;
        let done = sqlx::query!(
            "update platform.tenant_keys
             set wrapped = $3, wrapped_by = $4
             where tenant_id = $1 and version = $2 and wrapped = $5 and wrapped_by <> $4",
            tenant.uuid(),
            i32::try_from(version).unwrap_or(i32::MAX),
            after,
            self.wrapper.current(),
            before,
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// The key of a tenant that is about to be made: wrapped before a transaction begins. No `Debug`.
pub struct NewTenantKey {
    keys: TenantKeys,
    wrapped: Vec<u8>,
    wrapped_by: String,
}

impl NewTenantKey {
    pub(super) async fn make(wrapper: &KeyWrapper, tenant: TenantId) -> Result<Self, Failure> {
        let key = Secret::new(random()?);
        let wrapped = wrapper.wrap(tenant, FIRST, &key).await?;
        let wrapped_by = wrapper.current().to_owned();
        Ok(Self { keys: TenantKeys::new(tenant, vec![(FIRST, key)])?, wrapped, wrapped_by })
    }

    /// The tenant of the key.
    #[must_use]
    pub fn tenant(&self) -> TenantId {
        self.keys.tenant()
    }

    /// Seals for the new tenant.
    #[must_use]
    pub fn keys(&self) -> &TenantKeys {
        &self.keys
    }

    /// Stores the key, in the transaction that stores its tenant.
    ///
    /// # Errors
    /// Errors of the database.
    pub async fn keep(&self, connection: &mut PgConnection) -> Result<(), Failure> {
        let tenant = self.tenant();
        // The transaction sees the rows of the platform tenant, before and afterwards.
        let before = sqlx::query_scalar!(r#"select current_setting('app.tenant', true) as "before""#)
            .fetch_one(&mut *connection)
            .await?;
        see(connection, &tenant.to_string()).await?;
        sqlx::query!(
            "insert into platform.tenant_keys (tenant_id, version, wrapped, wrapped_by, created_at)
             values ($1, $2, $3, $4, clock_timestamp())",
            tenant.uuid(),
            i32::try_from(FIRST).unwrap_or(i32::MAX),
            self.wrapped,
            self.wrapped_by,
        )
        .execute(&mut *connection)
        .await?;
        see(connection, before.as_deref().unwrap_or_default()).await
    }
}

/// Sets the tenant of the transaction.
async fn see(connection: &mut PgConnection, tenant: &str) -> Result<(), Failure> {
    sqlx::query_scalar!("select set_config('app.tenant', $1, true)", tenant).fetch_one(connection).await?;
    Ok(())
}

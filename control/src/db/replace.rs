//! Replacing the data key of a tenant while serving.
//!
//! 1. The new version is stored. Control processes read it within [`SPREAD`], so that each can decrypt values of the
//!    others.
//! 2. From then on they encrypt under it, when they read the keys again; after twice that time all of them do.
//! 3. The former version is retired: nothing that it encrypted is committed any more. That does not depend on clocks:
//!    writers of the audit log and [`TenantTx::hold_key`] check it in the transaction that encrypted.
//! 4. Its values are re-encrypted ([`super::reseal`]). When a later pass over every column finds none, the version is
//!    deleted.
//!
//! The tables show what is left to do, so the work can be stopped and continued at any point.

use chrono::{DateTime, Utc};
use shared::derive::Secret;
use shared::ids::TenantId;

use super::keyring::SPREAD;
use super::{Db, TenantTx};
use crate::failure::Failure;
use crate::world::random;

/// The data keys of a tenant, as far as they can be shown.
#[derive(Debug)]
pub struct Versions {
    /// The newest.
    pub newest: Version,
    /// Those that give way to it, oldest first.
    pub former: Vec<Version>,
    /// Seconds until controls can be asked to seal nothing under the former ones.
    pub due_in_secs: f64,
}

/// A version of a tenant's data key.
#[derive(Debug)]
pub struct Version {
    /// Its number.
    pub version: u32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// From when on nothing that it sealed is committed.
    pub retired_at: Option<DateTime<Utc>>,
}

/// A tenant of which one key gives way to another.
#[derive(Debug)]
pub struct Replacement {
    /// The tenant.
    pub tenant: TenantId,
    /// The tenant's short name.
    pub slug: String,
    /// The newest version.
    pub version: u32,
    /// When it was made.
    pub began_at: DateTime<Utc>,
    /// How long ago, by the database's clock.
    pub age_secs: f64,
}

impl Versions {
    /// The number of the newest, and those of the others.
    #[must_use]
    pub fn numbers(&self) -> (u32, Vec<u32>) {
        (self.newest.version, self.former.iter().map(|former| former.version).collect())
    }
}

/// The next version of a tenant's key, wrapped before a transaction begins. No `Debug`.
pub struct NextKey {
    tenant: TenantId,
    /// Its number.
    pub version: u32,
    wrapped: Vec<u8>,
    wrapped_by: String,
}

impl Db {
    /// Makes the next version of a tenant's key; `None` while one gives way to another.
    ///
    /// # Errors
    /// Errors of the database and of the key provider.
    pub async fn next_key(&self, tenant: TenantId) -> Result<Option<NextKey>, Failure> {
        let stored = self.keyring.read(tenant).await?;
        let [only] = &stored[..] else { return Ok(None) };
        let version = only.version + 1;
        let wrapped = self.wrapper.wrap(tenant, version, &Secret::new(random()?)).await?;
        let wrapped_by = self.wrapper.current().to_owned();
        Ok(Some(NextKey { tenant, version, wrapped, wrapped_by }))
    }

    /// Removes the tenant's keys from memory, so that they are read again at the next use.
    pub async fn forget_keys(&self, tenant: TenantId) {
        self.keyring.forget(tenant).await;
    }

    /// Tenants of which one key gives way to another, the first that began first.
    ///
    /// # Errors
    /// Errors of the database.
    pub async fn replacements(&self) -> Result<Vec<Replacement>, Failure> {
        let rows = sqlx::query!(
            r#"select k.tenant_id, t.slug, max(k.version) as "version!", max(k.created_at) as "began_at!",
                extract(epoch from clock_timestamp() - max(k.created_at))::float8 as "age_secs!"
            from platform.tenant_keys k
            join platform.tenants t on t.id = k.tenant_id
            group by k.tenant_id, t.slug
            having count(*) > 1
            order by max(k.created_at)"#
        )
        .fetch_all(&self.relay)
        .await?;
        let mut replacements = Vec::with_capacity(rows.len());
        for row in rows {
            replacements.push(Replacement {
                tenant: row.tenant_id.into(),
                slug: row.slug,
                version: version_of(row.version)?,
                began_at: row.began_at,
                age_secs: row.age_secs,
            });
        }
        Ok(replacements)
    }
}

impl NextKey {
    /// Stores the key, in a transaction of its tenant. Whether this was the first to do so.
    ///
    /// # Errors
    /// Errors of the database.
    pub async fn insert(&self, tx: &mut TenantTx) -> Result<bool, Failure> {
        let inserted = sqlx::query!(
            "insert into platform.tenant_keys (tenant_id, version, wrapped, wrapped_by, created_at)
             select $1, $2::integer, $3, $4, clock_timestamp()
             where array(select version from platform.tenant_keys where tenant_id = $1) = array[$2::integer - 1]
             on conflict do nothing",
            self.tenant.uuid(),
            number(self.version),
            self.wrapped,
            self.wrapped_by,
        )
        .execute(&mut **tx)
        .await?;
        Ok(inserted.rows_affected() > 0)
    }
}

fn number(version: u32) -> i32 {
    i32::try_from(version).unwrap_or(i32::MAX)
}

fn version_of(number: i32) -> Result<u32, Failure> {
    u32::try_from(number).map_err(|_| Failure::Unreadable("tenant_keys.version"))
}

impl TenantTx {
    /// The tenant's keys as they are stored now.
    ///
    /// # Errors
    /// Errors of the database; [`Failure::Unreadable`] for a tenant without keys.
    pub async fn key_versions(&mut self) -> Result<Versions, Failure> {
        let tenant = self.tenant();
        let rows = sqlx::query!(
            r#"select version, created_at, retired_at,
                extract(epoch from created_at - clock_timestamp() + make_interval(secs => $2))::float8 as "due_in_secs!"
            from platform.tenant_keys
            where tenant_id = $1
            order by version"#,
            tenant.uuid(),
            (SPREAD * 2).as_seconds_f64(),
        )
        .fetch_all(&mut **self)
        .await?;
        let due_in_secs = rows.last().map_or(0.0, |newest| newest.due_in_secs);
        let mut former = Vec::with_capacity(rows.len());
        for row in rows {
            let version = version_of(row.version)?;
            former.push(Version { version, created_at: row.created_at, retired_at: row.retired_at });
        }
        let newest = former.pop().ok_or(Failure::Unreadable("tenant_keys"))?;
        Ok(Versions { newest, former, due_in_secs })
    }

    /// For a transaction that seals and notes no entry of the audit log: the key that seals is not retired before the
    /// transaction ends.
    ///
    /// # Errors
    /// [`Failure::KeyReplaced`] where it is retired already; errors of the database.
    pub async fn hold_key(&mut self) -> Result<(), Failure> {
        let (tenant, sealing) = (self.tenant(), self.keys().sealing());
        sqlx::query!(
            "select version
             from platform.tenant_keys
             where tenant_id = $1 and version = $2 and retired_at is null
             for key share",
            tenant.uuid(),
            number(sealing),
        )
        .fetch_optional(&mut **self)
        .await?
        .ok_or(Failure::KeyReplaced)?;
        Ok(())
    }

    /// Retires the former versions if that is due: after this has committed, nothing that they encrypt is committed.
    ///
    /// Waits for transactions that [hold](TenantTx::hold_key) a key, and for those that are writing to the audit log.
    ///
    /// # Errors
    /// Errors of the database.
    pub async fn retire_keys(&mut self) -> Result<(), Failure> {
        let tenant = self.tenant();
        // In the order in which others lock: a key while they work, the head when nothing but COMMIT is left to do.
        sqlx::query!(
            "select version from platform.tenant_keys where tenant_id = $1 order by version for update",
            tenant.uuid(),
        )
        .fetch_all(&mut **self)
        .await?;
        sqlx::query!(
            "select position from platform.audit_heads where tenant_id = $1 for update",
            tenant.uuid(),
        )
        .fetch_optional(&mut **self)
        .await?;
        sqlx::query!(
            "update platform.tenant_keys former
             set retired_at = clock_timestamp()
             where tenant_id = $1 and retired_at is null
                 and exists (
                     select from platform.tenant_keys newer
                     where newer.tenant_id = $1 and newer.version > former.version
                         and newer.created_at <= clock_timestamp() - make_interval(secs => $2)
                 )",
            tenant.uuid(),
            (SPREAD * 2).as_seconds_f64(),
        )
        .execute(&mut **self)
        .await?;
        Ok(())
    }

    /// Deletes retired versions of which nothing is left. Whether this was the first to do so.
    ///
    /// # Errors
    /// Errors of the database.
    pub async fn delete_keys(&mut self, versions: &[u32]) -> Result<bool, Failure> {
        let tenant = self.tenant();
        let versions: Vec<i32> = versions.iter().copied().map(number).collect();
        let deleted = sqlx::query!(
            "delete from platform.tenant_keys
             where tenant_id = $1 and version = any ($2) and retired_at is not null",
            tenant.uuid(),
            &versions,
        )
        .execute(&mut **self)
        .await?;
        Ok(deleted.rows_affected() > 0)
    }
}

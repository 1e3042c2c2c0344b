//! After a change of the key-encryption key: rewraps the data keys of tenants while serving. The table shows what is
//! left, so the work can be stopped and continued at any point.

use serde::Serialize;
use shared::ids::TenantId;

use super::Db;
use crate::failure::{Failure, chain};

/// How many keys of tenants a key-encryption key has wrapped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Wrapping {
    /// The id of the key-encryption key.
    pub key: String,
    /// How many keys.
    pub keys: i64,
    /// Whether it is the one that wraps now.
    pub current: bool,
}

impl Db {
    /// How many keys of tenants each key-encryption key has wrapped, by its id.
    ///
    /// # Errors
    /// Errors of the database.
    pub async fn wrappings(&self) -> Result<Vec<Wrapping>, Failure> {
        let rows = sqlx::query!(
            r#"select wrapped_by, count(*) as "keys!" from platform.tenant_keys group by wrapped_by order by wrapped_by"#
        )
        .fetch_all(&self.relay)
        .await?;
        let wrapping = |key: String, keys| Wrapping { current: key == self.wrapper.current(), key, keys };
        Ok(rows.into_iter().map(|row| wrapping(row.wrapped_by, row.keys)).collect())
    }

    /// Rewraps at most `limit` keys that a former key-encryption key wraps. Returns the number; 0 means that none is
    /// left.
    ///
    /// # Errors
    /// Errors of the database and of the key provider. Rewrapped keys stay.
    pub async fn rewrap(&self, limit: i64) -> Result<u64, Failure> {
        let left = sqlx::query!(
            "select tenant_id, version
             from platform.tenant_keys
             where wrapped_by <> $1
             order by tenant_id, version
             limit $2",
            self.wrapper.current(),
            limit,
        )
        .fetch_all(&self.relay)
        .await?;
        let mut done = 0;
        for row in left {
            let version =
                u32::try_from(row.version).map_err(|_| Failure::Unreadable("tenant_keys.version"))?;
            let tenant = TenantId::from(row.tenant_id);
            match self.keyring.rewrap(tenant, version).await {
                Ok(rewrapped) => done += u64::from(rewrapped),
                // A key that cannot be unwrapped does not stop the others; `wrappings` still counts it.
                Err(failure @ Failure::Unreadable(_)) => {
                    tracing::error!(%tenant, error = %chain(&failure), "a tenant's key cannot be wrapped anew");
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(done)
    }
}

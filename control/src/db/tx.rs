//! The transaction of one tenant. Its effects beyond its own rows, such as what the edge must learn, are
//! noted on it while the slices work and carried out right before COMMIT.

use std::ops::{Deref, DerefMut};

use shared::ids::TenantId;
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Postgres, Transaction};

use super::changes::Changes;
use super::effects::Effects;
use super::{CellName, Db};
use crate::failure::Failure;

/// A transaction that sees one tenant's rows. Dropped without [`TenantTx::commit`], it never was.
pub struct TenantTx {
    tx: Transaction<'static, Postgres>,
    tenant: TenantId,
    effects: Effects,
}

impl TenantTx {
    pub(super) async fn begin(
        pool: &PgPool,
        tenant: TenantId,
        cell: &CellName,
        mode: &str,
    ) -> Result<Self, Failure> {
        // Both values are safe by type: a UUID and a validated cell name. `SET LOCAL` ends with the
        // transaction, also when a request is cancelled half way.
        let begin = format!(
            "BEGIN{mode}; SET LOCAL search_path = {cell}, pg_temp; SET LOCAL app.tenant = '{tenant}'"
        );
        let tx = pool.begin_with(AssertSqlSafe(begin)).await?;
        Ok(Self { tx, tenant, effects: Effects::default() })
    }

    /// The tenant whose rows this transaction sees.
    #[must_use]
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// Goes on in another tenant's rows, in the same transaction: how a platform administrator acts
    /// on a tenant. The permission must be checked before.
    ///
    /// # Errors
    /// The database's.
    pub async fn enter(&mut self, db: &Db, tenant: TenantId) -> Result<(), Failure> {
        let cell = db.cell_of(&db.app, tenant).await?;
        let enter = format!("SET LOCAL search_path = {cell}, pg_temp; SET LOCAL app.tenant = '{tenant}'");
        sqlx::raw_sql(AssertSqlSafe(enter)).execute(&mut *self.tx).await?;
        self.tenant = tenant;
        Ok(())
    }

    /// Gives the connection back while `work` goes on, and begins anew in the same tenant. What was read
    /// before may have changed since, and nothing may have been written yet.
    ///
    /// # Errors
    /// As [`Db::tenant_tx`].
    pub async fn pause<T>(self, db: &Db, work: impl Future<Output = T>) -> Result<(T, Self), Failure> {
        let tenant = self.tenant;
        debug_assert!(self.effects.is_empty(), "what was written would be lost");
        self.tx.rollback().await?;
        let done = work.await;
        Ok((done, db.tenant_tx(tenant).await?))
    }

    /// Notes what the edge must learn if this transaction commits.
    pub fn changes(&mut self) -> &mut Changes {
        &mut self.effects.changes
    }

    /// Carries out the effects that were noted, and commits.
    ///
    /// # Errors
    /// [`Failure::Halted`] where the edge is ahead of us; else the database's.
    pub async fn commit(mut self) -> Result<(), Failure> {
        self.effects.apply(&mut self.tx).await?;
        self.tx.commit().await?;
        Ok(())
    }
}

impl Deref for TenantTx {
    type Target = PgConnection;
    fn deref(&self) -> &PgConnection {
        &self.tx
    }
}

impl DerefMut for TenantTx {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.tx
    }
}

//! The transaction of one tenant. Its effects beyond its own rows, such as what the edge must learn, are
//! noted on it while the slices work and carried out right before COMMIT.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use shared::ids::TenantId;
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Postgres, Transaction};

use super::account::Account;
use super::changes::Changes;
use super::effects::Effects;
use super::entries::Entry;
use super::{CellName, Db, Scope};
use crate::crypt::sealed::TenantKeys;
use crate::failure::Failure;
use crate::shares::Seat;

/// A read that may go through all rows of a tenant ends after this.
const LONGEST_READ: &str = "SET LOCAL statement_timeout = '10s'";

/// A transaction that sees one tenant's rows. Dropped without [`TenantTx::commit`], it never was.
pub struct TenantTx {
    tx: Transaction<'static, Postgres>,
    keys: Arc<TenantKeys>,
    cell: CellName,
    effects: Effects,
    account: Account,
    scope: Scope,
    // Given back after the connection.
    _share: Option<Seat>,
    long_read: Option<Seat>,
}

impl TenantTx {
    pub(super) async fn begin(
        pool: &PgPool,
        account: Account,
        share: Option<Seat>,
        (keys, cell, mode): (Arc<TenantKeys>, &CellName, &str),
        effects: Effects,
    ) -> Result<Self, Failure> {
        let tenant = keys.tenant();
        // Both values are safe by type: a UUID and a validated cell name. `SET LOCAL` ends with the
        // transaction, also when a request is cancelled half way.
        let begin = format!(
            "BEGIN{mode}; SET LOCAL search_path = {cell}, pg_temp; SET LOCAL app.tenant = '{tenant}'"
        );
        let tx = pool.begin_with(AssertSqlSafe(begin)).await?;
        Ok(Self {
            tx,
            keys,
            cell: cell.clone(),
            effects,
            account,
            scope: Scope::Everyone,
            _share: share,
            long_read: None,
        })
    }

    /// The tenant whose rows this transaction sees.
    #[must_use]
    pub fn tenant(&self) -> TenantId {
        self.keys.tenant()
    }

    /// The tenant's data keys.
    #[must_use]
    pub fn keys(&self) -> &TenantKeys {
        &self.keys
    }

    /// The users whom the statements of users and branches find.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Limits the transaction to the users of a scope, and returns the former one.
    pub fn limit(&mut self, scope: Scope) -> Scope {
        std::mem::replace(&mut self.scope, scope)
    }

    /// The tenant whose shares are used: the one in which the request began.
    #[must_use]
    pub fn payer(&self) -> TenantId {
        self.account.tenant
    }

    /// The tenant's restore counter, which is the floor of its users' epochs.
    ///
    /// # Errors
    /// Errors of the database.
    pub async fn history(&mut self) -> Result<i64, Failure> {
        let tenant = self.tenant().uuid();
        let history =
            sqlx::query_scalar!("select history from platform.revisions where tenant_id = $1", tenant)
                .fetch_one(&mut *self.tx)
                .await?;
        Ok(history)
    }

    /// Switches the transaction to another tenant, for a platform administrator who acts on it. The permission must
    /// be checked before, and the tenant's keys must be in memory ([`Db::has_keys`]).
    ///
    /// # Errors
    /// [`Failure::Busy`] if the keys are no longer in memory; errors of the database.
    pub async fn enter(&mut self, db: &Db, tenant: TenantId) -> Result<(), Failure> {
        // The provider is not called for them while a connection is held.
        let keys = db.keyring.at_hand(tenant).await.ok_or(Failure::Busy("keys in memory"))?;
        let cell = db.cell_of(&mut *self.tx, tenant).await?;
        let enter = format!("SET LOCAL search_path = {cell}, pg_temp; SET LOCAL app.tenant = '{tenant}'");
        sqlx::raw_sql(AssertSqlSafe(enter)).execute(&mut *self.tx).await?;
        self.keys = keys;
        self.cell = cell;
        Ok(())
    }

    /// The tenant's keys, kept for as long as they are needed.
    #[must_use]
    pub fn keep_keys(&self) -> Arc<TenantKeys> {
        self.keys.clone()
    }

    /// Releases the connection during `work`, and begins a new transaction at the same tenant. Earlier reads may be
    /// outdated then, and nothing may have been written before.
    ///
    /// # Errors
    /// As [`Db::tenant_tx`].
    pub async fn pause<T>(self, db: &Db, work: impl Future<Output = T>) -> Result<(T, Self), Failure> {
        debug_assert!(self.effects.is_empty(), "what was written would be lost");
        let (account, tenant, scope) = (self.account, self.tenant(), self.scope.clone());
        self.end().await?;
        let done = work.await;
        Ok((done, Self { scope, ..db.begin(account, tenant).await? }))
    }

    /// Rolls back, and begins a new transaction at the same tenant.
    ///
    /// # Errors
    /// As [`Db::tenant_tx`].
    pub async fn anew(self, db: &Db) -> Result<Self, Failure> {
        let (account, tenant, scope) = (self.account, self.tenant(), self.scope.clone());
        self.end().await?;
        Ok(Self { scope, ..db.begin(account, tenant).await? })
    }

    /// Gives back the connection and then the shares.
    async fn end(self) -> Result<(), Failure> {
        self.tx.rollback().await?;
        Ok(())
    }

    /// Continues with a read that may scan all rows of the tenant: within a smaller share and for a limited time. No
    /// connection is held while it waits for other long reads of the tenant.
    ///
    /// # Errors
    /// As [`Db::tenant_tx`].
    pub async fn for_long_read(self, db: &Db) -> Result<Self, Failure> {
        let (seat, mut tx) = match db.long_reads.take_now(self.payer()) {
            Some(seat) => (seat, self),
            None => {
                let take = db.long_reads.take(self.payer());
                let (seat, tx) = self.pause(db, take).await?;
                (seat?, tx)
            }
        };
        sqlx::raw_sql(LONGEST_READ).execute(&mut *tx.tx).await?;
        tx.long_read = Some(seat);
        Ok(tx)
    }

    /// Notes what the edge must learn if this transaction commits.
    pub fn changes(&mut self) -> &mut Changes {
        &mut self.effects.changes
    }

    /// Notes what the log of the tenant must tell if this transaction commits.
    pub fn note(&mut self, entry: Entry) {
        self.effects.entries.note(&self.keys, &self.cell, entry);
    }

    /// Carries out the effects that were noted, and commits.
    ///
    /// # Errors
    /// [`Failure::Halted`] where the edge is ahead of us; [`Failure::KeyReplaced`]; else errors of the database.
    pub async fn commit(mut self) -> Result<(), Failure> {
        self.effects.apply(&mut self.tx, self.keys.tenant()).await?;
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

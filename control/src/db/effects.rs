//! What a transaction brings about beyond the rows that it writes itself.
//!
//! A slice notes an effect on its [`TenantTx`](super::TenantTx) while it works; [`Effects::apply`] carries
//! all of them out when COMMIT is next, or none of them where the transaction ends otherwise. Effects are
//! late because each takes its position from the tenant's counter, a row that every writer of the tenant
//! locks: held from the last statements on, the order of positions is the order of commits.

use sqlx::PgConnection;

use super::changes::{Changes, stamp};
use crate::failure::Failure;

/// The effects that one transaction noted.
#[derive(Debug, Default)]
pub(super) struct Effects {
    /// What the edge must learn.
    pub changes: Changes,
}

impl Effects {
    /// Whether nothing was noted.
    pub fn is_empty(&self) -> bool {
        let Self { changes } = self;
        changes.is_empty()
    }

    /// Carries out what was noted:
    /// 1. the edge's rows get their revisions. This locks the counters in their one order, so whatever else
    ///    takes a position from a counter (an audit entry, an event) comes after it and under the same lock.
    ///
    /// A kind of effect is a field above, which the compiler asks for here, and a step.
    ///
    /// # Errors
    /// [`Failure::Halted`] where the edge is ahead of us; else the database's. Nothing of the transaction
    /// may be committed then.
    pub async fn apply(self, connection: &mut PgConnection) -> Result<(), Failure> {
        let Self { changes } = self;
        if !changes.is_empty() {
            stamp(connection, &changes).await?;
        }
        Ok(())
    }
}

//! Effects of a transaction beyond the rows that it writes itself.
//!
//! A slice notes an effect on its [`TenantTx`](super::TenantTx) while it works; [`Effects::apply`] carries
//! all of them out when COMMIT is next, or none of them where the transaction ends otherwise. Effects are
//! late because each takes its position from a row of the tenant that every writer locks: held from the last
//! statements on, the order of positions is the order of commits.

use std::sync::Arc;

use shared::ids::TenantId;
use sqlx::PgConnection;

use super::changes::{Changes, stamp};
use super::entries::{self, Entries};
use crate::failure::Failure;

/// The effects that one transaction noted.
pub(super) struct Effects {
    /// The changes for the edge.
    pub changes: Changes,
    /// The audit entries.
    pub entries: Entries,
}

impl Effects {
    /// None yet, of a control that seals for the edge with this key.
    pub fn sealed_by(key: Arc<str>) -> Self {
        Self { changes: Changes::sealed_by(key), entries: Entries::default() }
    }

    /// Whether nothing was noted.
    pub fn is_empty(&self) -> bool {
        let Self { changes, entries } = self;
        changes.is_empty() && entries.is_empty()
    }

    /// Applies the noted effects of a transaction at the tenant `here`:
    /// 1. the edge's rows get their revisions. This locks the counters in their one order;
    /// 2. the audit logs get their entries. This locks the heads of the logs in the same order, after all
    ///    counters, so that two transactions never wait for each other.
    ///
    /// Each kind of effect is a field above and a step here. Only COMMIT may follow, because the connection is left
    /// at some tenant.
    ///
    /// # Errors
    /// [`Failure::Halted`] if the edge is ahead of this database; [`Failure::KeyReplaced`]; else errors of the
    /// database. Nothing of the transaction may be committed then.
    pub async fn apply(self, connection: &mut PgConnection, here: TenantId) -> Result<(), Failure> {
        let Self { changes, entries } = self;
        if !changes.is_empty() {
            stamp(connection, &changes).await?;
        }
        entries::append(connection, entries, here).await
    }
}

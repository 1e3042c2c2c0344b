//! Wrong passwords of a user, counted at the edge and here: an administrator lifts the counts.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::ids::{TenantId, UserId};
use shared::wire::push::{Command, LiftAttemptsOut};

use super::{UserError, lock, outrank};
use crate::audit::{self, Action, Actor};
use crate::control::Control;
use crate::db::TenantTx;
use crate::edges::client::CallError;
use crate::jobs::queue::{Enqueued, Job, Pool, enqueue};

/// Lifts the counts of wrong passwords of a user, as an administrator who outranks them. Those of one-time codes stay.
///
/// 1. The count of `current_password` is gone with the transaction.
/// 2. A job lifts those of sign-ins at the edge, within seconds.
///
/// # Errors
/// [`UserError::NotFound`], [`UserError::Rank`]; errors of the database.
pub async fn lift(
    control: &Control,
    tx: &mut TenantTx,
    actor: &Actor,
    user: UserId,
) -> Result<(), UserError> {
    let user = lock(tx, user).await?;
    outrank(actor, &user)?;
    super::password::forget_tries(tx, user.id).await?;
    let target = Some(user.id.to_string());
    audit::record(tx, actor, control.clock.now(), Action::AttemptsLifted, target, json!({}));
    let job = LiftAttempts { tenant: tx.tenant(), user: user.id };
    Ok(enqueue(tx, &job, TimeDelta::zero()).await?)
}

/// Lifts the counts of wrong passwords of a user at the edge.
#[derive(Serialize, Deserialize)]
pub struct LiftAttempts {
    /// At which tenant.
    pub tenant: TenantId,
    /// The user.
    pub user: UserId,
}

/// The edge did not lift them.
#[derive(Debug, thiserror::Error)]
#[error("the edge did not lift the counts of wrong passwords")]
pub struct LiftError(#[from] CallError);

impl Job for LiftAttempts {
    const TASK: &'static str = "lift_attempts";
    const POOL: Pool = Pool::Answers;
    const DELAYS_SECS: &'static [i32] = &[1, 2, 5, 10, 30, 60, 300];
    type Error = LiftError;

    async fn run(self, control: &Control) -> Result<(), LiftError> {
        let command = Command::LiftAttempts { tenant: self.tenant, user: self.user };
        let _: LiftAttemptsOut = control.edge.command(&command, control.clock.now()).await?;
        Ok(())
    }
}

impl Enqueued for LiftAttempts {
    fn about(&self) -> String {
        self.user.to_string()
    }

    fn tenant(&self) -> Option<TenantId> {
        Some(self.tenant)
    }
}

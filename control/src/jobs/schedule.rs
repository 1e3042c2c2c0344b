//! Every kind of job, and what is done without being asked for.
//!
//! A scheduled minute is claimed in the database, so it happens once however many controls run, and
//! a minute that passed while none ran is not made up for: each sweep takes all that is left.

use graphile_worker::{Cron, Crontab};
use serde::{Deserialize, Serialize};

use super::kind::{Kind, Task};
use super::listed;
use super::queue::Job;
use crate::accounts::answer::AnswerRequest;
use crate::accounts::network::ConfirmNetwork;
use crate::audit::checkpoints::{self, CheckpointError};
use crate::control::Control;
use crate::edges::{reseal, sweep};
use crate::failure::Failure;
use crate::http::once;
use crate::keys::store::AdvanceKeys;
use crate::legacy::{passwords, tokens};
use crate::mail::send::{ForgetMail, SendMail};
use crate::mfa::announce::AnnounceDemand;
use crate::requests::ForgetExpired;
use crate::resets::AnswerReset;
use crate::sessions::rotate;
use crate::tenants::data_key::ReplaceTenantKeys;
use crate::tenants::provision::Provision;
use crate::users::attempts::LiftAttempts;
use crate::users::completion::RecountProfiles;
use crate::users::lookup::rotation::{self, RotateLookup};
use crate::users::password_history::ForgetPasswords;
use crate::users::search::rebuild::{self, RebuildSearch};

/// The kinds that this control can run. A job of another kind waits for a control that knows it.
pub const KINDS: [Kind; 26] = [
    // Enqueued.
    Kind::of::<Provision>(),
    Kind::of::<AdvanceKeys>(),
    Kind::of::<RebuildSearch>(),
    Kind::of::<RotateLookup>(),
    Kind::of::<ForgetExpired>(),
    Kind::of::<AnswerReset>(),
    Kind::of::<AnswerRequest>(),
    Kind::of::<ConfirmNetwork>(),
    Kind::of::<LiftAttempts>(),
    Kind::of::<SendMail>(),
    Kind::of::<ForgetMail>(),
    Kind::of::<ForgetPasswords>(),
    Kind::of::<RecountProfiles>(),
    Kind::of::<AnnounceDemand>(),
    // Scheduled.
    Kind::of::<SweepTombstones>(),
    Kind::of::<SweepIdempotencyKeys>(),
    Kind::of::<SweepForeignPasswords>(),
    Kind::of::<SweepLegacyTokens>(),
    Kind::of::<CopyCheckpoints>(),
    Kind::of::<RewrapTenantKeys>(),
    Kind::of::<ReplaceTenantKeys>(),
    Kind::of::<FindLostIndexes>(),
    Kind::of::<AdvanceSessionRoots>(),
    Kind::of::<ResealEdge>(),
    Kind::of::<FindLookupRotations>(),
    Kind::of::<SweepDeadJobs>(),
];

/// The schedules: each minute.
#[must_use]
pub fn crontabs() -> Vec<Crontab> {
    vec![
        // Confirmed deletions are kept for a day; in between, the table grows.
        each_minute::<SweepTombstones>(),
        // A repeated creation is recognised for a day; its claim is kept no longer than that.
        each_minute::<SweepIdempotencyKeys>(),
        // A date that an administrator sets takes effect within a minute of it.
        each_minute::<SweepForeignPasswords>(),
        // Also the date from which legacy tokens are refused.
        each_minute::<SweepLegacyTokens>(),
        // Until a checkpoint is written, an attacker with the database could remove entries undetected.
        each_minute::<CopyCheckpoints>(),
        // After a change of the key-encryption key, the former one should be needed no longer than it takes.
        each_minute::<RewrapTenantKeys>(),
        // A tenant has a former data key for no longer than it takes.
        each_minute::<ReplaceTenantKeys>(),
        // A crash of PostgreSQL empties the index of searches. This rebuilds it without waiting for a search.
        each_minute::<FindLostIndexes>(),
        // A new session root signs, and the one before leaves, within a minute of its time.
        each_minute::<AdvanceSessionRoots>(),
        // Continues a reseal if its command was killed.
        each_minute::<ResealEdge>(),
        // The rotation of a lookup root waits for the edge, and for times that isolates and old tokens take.
        each_minute::<FindLookupRotations>(),
        // A dead job has its time; what is left of replaced jobs would pile up.
        each_minute::<SweepDeadJobs>(),
    ]
}

/// The key allows at most one waiting job of the kind: if none runs for a while, jobs do not accumulate, and a
/// failing one restarts its delays each minute.
fn each_minute<J: Job>() -> Crontab {
    Cron::every_minute::<Task<J>>().job_key(J::TASK).payload_value(serde_json::json!({})).into()
}

/// See [`checkpoints::copy_out`].
#[derive(Serialize, Deserialize)]
pub struct CopyCheckpoints {}

impl Job for CopyCheckpoints {
    const TASK: &'static str = "copy_checkpoints";
    type Error = CheckpointError;

    async fn run(self, control: &Control) -> Result<(), CheckpointError> {
        checkpoints::copy_out(control).await
    }
}

/// Rewraps the keys of tenants after a change of the key-encryption key, with a limit per minute for the key service.
#[derive(Serialize, Deserialize)]
pub struct RewrapTenantKeys {}

/// Keys that are rewrapped in a minute.
const REWRAPPED_EACH_MINUTE: i64 = 500;

impl Job for RewrapTenantKeys {
    const TASK: &'static str = "rewrap_tenant_keys";
    type Error = Failure;

    async fn run(self, control: &Control) -> Result<(), Failure> {
        let done = control.db.rewrap(REWRAPPED_EACH_MINUTE).await?;
        if done > 0 {
            tracing::info!(keys = done, "keys of tenants were wrapped anew");
        }
        Ok(())
    }
}

macro_rules! sweeps {
    ($( $(#[doc = $doc:expr])+ $name:ident, $task:literal => $sweep:expr; )+) => { $(
        $(#[doc = $doc])+
        #[derive(Serialize, Deserialize)]
        pub struct $name {}

        impl Job for $name {
            const TASK: &'static str = $task;
            type Error = Failure;

            async fn run(self, control: &Control) -> Result<(), Failure> {
                $sweep(control).await?;
                Ok(())
            }
        }
    )+ };
}

sweeps! {
    /// See [`sweep::tombstones`].
    SweepTombstones, "sweep_tombstones" => sweep::tombstones;
    /// See [`once::sweep`].
    SweepIdempotencyKeys, "sweep_idempotency_keys" => once::sweep;
    /// See [`passwords::sweep`].
    SweepForeignPasswords, "sweep_foreign_passwords" => passwords::sweep;
    /// See [`tokens::sweep`].
    SweepLegacyTokens, "sweep_legacy_tokens" => tokens::sweep;
    /// See [`rebuild::look`].
    FindLostIndexes, "find_lost_indexes" => rebuild::look;
    /// See [`rotate::advance_all`].
    AdvanceSessionRoots, "advance_session_roots" => rotate::advance_all;
    /// See [`reseal::go_on`].
    ResealEdge, "reseal_edge" => reseal::go_on;
    /// See [`rotation::look`].
    FindLookupRotations, "find_lookup_rotations" => rotation::look;
    /// See [`listed::sweep`].
    SweepDeadJobs, "sweep_dead_jobs" => listed::sweep;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_scheduled_is_known() {
        for crontab in crontabs() {
            assert!(KINDS.iter().any(|kind| kind.task == crontab.task_identifier()));
        }
    }
}

//! The transactions of a rotation: short, and of one run at a time.

use shared::ids::TenantId;

use super::store::{self, Rotation};
use crate::control::Control;
use crate::crypt::lookup::Stage;
use crate::db::TenantTx;
use crate::failure::Failure;

/// How a run ended, for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// No rotation is under way, or it has just ended.
    Over,
    /// The edge has not confirmed yet what the next step needs.
    WaitsForEdge,
    /// There is something to do again when its time has come.
    WaitsForTime,
    /// Another run is at work on it.
    Elsewhere,
    /// The edge is ahead of us: nothing is written for the tenant until `wardgate edges reseed`.
    Halted,
}

/// Why a run goes no further.
pub(super) enum Stop {
    Ended(Outcome),
    /// The tenant was deleted meanwhile.
    TenantGone,
    Failed(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<sqlx::Error> for Stop {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// A transaction of the one run that is at work, while the rotation is there.
pub(super) async fn begin(control: &Control, tenant: TenantId) -> Result<(TenantTx, Rotation), Stop> {
    let mut tx = control.db.work_tx(tenant).await?;
    let standing = store::standing(&mut tx).await?;
    if !standing.alone {
        return Err(Stop::Ended(Outcome::Elsewhere));
    }
    let Some(rotation) = store::find(&mut tx).await? else { return Err(Stop::Ended(Outcome::Over)) };
    match (standing.halted, standing.lives) {
        (true, _) => Err(Stop::Ended(Outcome::Halted)),
        (false, false) => Err(Stop::TenantGone),
        (false, true) => Ok((tx, rotation)),
    }
}

/// The same at one stage: at the next one there is nothing left to do.
pub(super) async fn begin_at(
    control: &Control,
    tenant: TenantId,
    stage: Stage,
) -> Result<Option<(TenantTx, Rotation)>, Stop> {
    let (tx, rotation) = begin(control, tenant).await?;
    Ok((rotation.stage == stage).then_some((tx, rotation)))
}

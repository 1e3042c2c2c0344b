//! Remembered devices: browsers in which a code was good and the password alone signs in for some days.
//!
//! They exist at the edge alone, which remembers, uses and forgets them. Here they are listed and revoked by signed calls:
//! when the call is answered, the edge has forgotten the device, so a revocation is in force before it is answered for.

use chrono::{DateTime, Utc};
use serde_json::json;
use shared::ids::{TenantId, UserId};
use shared::tokens::device::is_digest;
use shared::wire::push::{Command, DeviceOut, DevicesOut, ForgottenOut};

use crate::audit::{self, Action, Actor};
use crate::control::Control;
use crate::db::TenantTx;
use crate::edges::client::CallError;

/// A remembered device.
pub struct Device {
    /// Its id, which is not secret.
    pub id: String,
    /// How the browser called itself, or empty.
    pub name: String,
    /// When a code was shown there.
    pub created_at: DateTime<Utc>,
    /// When it was last used in place of a code.
    pub last_used_at: Option<DateTime<Utc>>,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

impl From<DeviceOut> for Device {
    fn from(device: DeviceOut) -> Self {
        let moment = |ms: u64| {
            let at = i64::try_from(ms).ok().and_then(DateTime::from_timestamp_millis);
            at.unwrap_or_default()
        };
        Self {
            id: device.id,
            name: device.name,
            created_at: moment(device.created_at),
            last_used_at: device.used_at.map(moment),
            expires_at: moment(device.expires_at),
        }
    }
}

/// The valid remembered devices of a user, the newest first. The caller must hold no database connection during the
/// call.
///
/// # Errors
/// See [`CallError`].
pub async fn list(control: &Control, tenant: TenantId, user: UserId) -> Result<Vec<Device>, CallError> {
    let command = Command::Devices { tenant, user };
    let listed: DevicesOut = control.edge.command(&command, control.clock.now()).await?;
    Ok(listed.devices.into_iter().map(Device::from).collect())
}

/// Makes the edge forget a device of a user, or all of them, and returns their number. The caller must hold no
/// database connection during the call.
///
/// # Errors
/// See [`CallError`].
pub async fn forget(
    control: &Control,
    (tenant, user): (TenantId, UserId),
    device: Option<&str>,
) -> Result<u64, CallError> {
    // A text that cannot be a device's id matches none, so the edge need not be called.
    if device.is_some_and(|id| !is_digest(id)) {
        return Ok(0);
    }
    let command = Command::ForgetDevices { tenant, user, device: device.map(ToOwned::to_owned) };
    let gone: ForgottenOut = control.edge.command(&command, control.clock.now()).await?;
    metrics::counter!("wardgate_devices_revoked_total").increment(gone.forgotten);
    Ok(gone.forgotten)
}

/// Notes that devices of a user were forgotten. The edge has done it by then: an entry that could not be written leaves the
/// caller with an error and the device forgotten.
pub fn record(control: &Control, tx: &mut TenantTx, actor: &Actor, user: UserId, device: Option<&str>) {
    let details = json!({ "device": device });
    let target = Some(user.to_string());
    audit::record(tx, actor, control.clock.now(), Action::DevicesForgotten, target, details);
}

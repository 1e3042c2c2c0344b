//! `wardgate user devices`: browsers in which a user's password alone signs in. They exist at the edge alone, so this asks
//! the edge by signed calls, and needs it to be reachable.

use serde::Serialize;

use super::confirm::Yes;
use super::outcome::CliError;
use super::show::{Rows, Show, counted, optional};
use crate::audit::Actor;
use crate::control::Control;
use crate::http::time::text;
use crate::mfa::devices::{self, Device};
use crate::tenants::Tenant;
use crate::users::User;

pub(super) const EXAMPLES: &str = "\
Examples:
  wardgate user devices ada --tenant acme
  wardgate user devices ada --tenant acme --revoke S7Bvjk46dxXSAdVz0KpCN2LlXavWGiwCJ4-lbMbSlOA --yes
  wardgate user devices ada --tenant acme --revoke-all --yes";

/// The output for one device.
#[derive(Serialize)]
struct Row {
    id: String,
    user_agent: String,
    created_at: String,
    last_used_at: Option<String>,
    expires_at: String,
}

impl From<Device> for Row {
    fn from(device: Device) -> Self {
        Self {
            id: device.id,
            user_agent: device.name,
            created_at: text(device.created_at),
            last_used_at: device.last_used_at.map(text),
            expires_at: text(device.expires_at),
        }
    }
}

const DEVICES: Rows<Row> = Rows {
    names: ["device", "devices"],
    head: &["device", "remembered", "last used", "expires", "browser"],
    line: |row| {
        let Row { id, user_agent, created_at, last_used_at, expires_at } = row;
        let last_used_at = optional(last_used_at.clone());
        vec![id.clone(), created_at.clone(), last_used_at, expires_at.clone(), user_agent.clone()]
    },
};

/// Lists them.
pub(super) async fn list(
    control: &Control,
    show: Show,
    tenant: &Tenant,
    user: &User,
) -> Result<(), CliError> {
    let rows: Vec<Row> =
        devices::list(control, tenant.id, user.id).await?.into_iter().map(Row::from).collect();
    show.list(&DEVICES, &rows);
    Ok(())
}

/// Has the edge forget one of them, or all.
pub(super) async fn revoke(
    control: &Control,
    show: Show,
    tenant: &Tenant,
    user: &User,
    (device, yes): (Option<&str>, Yes),
) -> Result<(), CliError> {
    let name = user.username.expose();
    let which =
        device.map_or_else(|| String::from("all remembered devices"), |id| format!("the device {id}"));
    yes.to(&format!("revokes {which} of {name}: a sign-in there needs a code again"))?;
    let forgotten = devices::forget(control, (tenant.id, user.id), device).await?;
    if let (0, Some(id)) = (forgotten, device) {
        return Err(CliError::NotFound(format!("{name} has no remembered device `{id}`")));
    }
    if forgotten > 0 {
        let mut tx = control.db.tenant_tx(tenant.id).await?;
        devices::record(control, &mut tx, &Actor::operator(), user.id, device);
        tx.commit().await?;
    }
    let line = format!("revoked: {}", counted(forgotten, ["device", "devices"]));
    show.one(&serde_json::json!({ "user": user.id, "devices_revoked": forgotten }), &line);
    Ok(())
}

//! `wardgate session-root`: the session root, the secret that refresh tokens of a tenant are signed with.

use clap::Subcommand;
use serde::Serialize;
use shared::ids::TenantId;

use super::confirm::Yes;
use super::outcome::CliError;
use super::show::Show;
use super::target::made_tenant;
use crate::audit::Actor;
use crate::control::Control;
use crate::crypt::roots::{RootKind, newest_version};
use crate::http::time;
use crate::sessions::root::{self, Rotation};
use crate::sessions::rotate;
use crate::tenants::Tenant;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Show which root signs, and the state of a rotation.
    #[command(after_help = "Example:\n  wardgate session-root status acme")]
    Status {
        /// Slug or id.
        tenant: String,
    },
    /// Replace the session root of a tenant. A running `serve` completes it: the new root signs once the edge has had it
    /// for the tenant's staleness limit, and the former one verifies for as long as a session can last. Sessions
    /// continue.
    #[command(after_help = EXAMPLES)]
    Rotate {
        /// Slug or id.
        tenant: String,
        /// After a leak: delete the former root at once; every session of the tenant ends.
        #[arg(long)]
        ends_sessions: bool,
        #[command(flatten)]
        yes: Yes,
    },
}

const EXAMPLES: &str = "\
If the command is killed, a running `serve` completes the rotation. Only --ends-sessions asks for confirmation.

Examples:
  wardgate session-root rotate acme
  wardgate session-root rotate acme --ends-sessions --yes";

/// The output: a tenant's root, and a rotation in progress.
#[derive(Serialize)]
struct RootOut {
    tenant: TenantId,
    /// `one` if no rotation is in progress.
    state: &'static str,
    /// The version of the newest root.
    version: i32,
    rotation: Option<Rotation>,
}

pub(super) async fn run(control: &Control, show: Show, command: Command) -> Result<(), CliError> {
    match command {
        Command::Status { tenant } => {
            let tenant = made_tenant(control, &tenant).await?;
            status(control, show, &tenant).await
        }
        Command::Rotate { tenant, ends_sessions: false, .. } => {
            let tenant = made_tenant(control, &tenant).await?;
            let mut tx = control.db.tenant_tx(tenant.id).await?;
            rotate::begin(control, &mut tx, &Actor::operator()).await?;
            tx.commit().await?;
            status(control, show, &tenant).await
        }
        Command::Rotate { tenant, ends_sessions: true, yes } => {
            let tenant = made_tenant(control, &tenant).await?;
            yes.to(&format!("ends every session of tenant `{}` at once", tenant.slug))?;
            let mut tx = control.db.tenant_tx(tenant.id).await?;
            rotate::replace(control, &mut tx, &Actor::operator()).await?;
            tx.commit().await?;
            status(control, show, &tenant).await
        }
    }
}

async fn status(control: &Control, show: Show, tenant: &Tenant) -> Result<(), CliError> {
    let mut tx = control.db.tenant_tx(tenant.id).await?;
    let version = newest_version(&mut tx, RootKind::Session).await?;
    let rotation = root::rotation(&mut tx).await?;
    let state = rotation.as_ref().map_or("one", |rotation| rotation.state(control.clock.now()));
    let line = format!("{}: {}", tenant.slug, described(version, rotation.as_ref(), state));
    show.one(&RootOut { tenant: tenant.id, state, version, rotation }, &line);
    Ok(())
}

fn described(version: i32, rotation: Option<&Rotation>, state: &str) -> String {
    let Some(Rotation { sign_from, remove_at, .. }) = rotation else {
        return format!("root {version} signs, and verifies alone");
    };
    let former = match remove_at {
        Some(at) => format!("the one before verifies until {}", time::text(*at)),
        None => String::from("the one before verifies, too"),
    };
    match (state, sign_from) {
        ("planned", Some(at)) => format!("root {version} signs from {}; {former}", time::text(*at)),
        ("both", _) => format!("root {version} signs; {former}"),
        _ => format!(
            "root {version} is made and signs later: a running `serve` pushes it, and the edge has to confirm it; {former}"
        ),
    }
}

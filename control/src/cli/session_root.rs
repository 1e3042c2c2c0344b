//! `wardgate session-root`: the secret of a tenant that signs refresh tokens.

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
    /// Which root signs, and how far a change of it is.
    #[command(after_help = "Example:\n  wardgate session-root status acme")]
    Status {
        /// Slug or id.
        tenant: String,
    },
    /// Give a tenant a new root. A running `serve` carries the change on: the new root signs once the edge has known it
    /// for the tenant's staleness limit, and the former one verifies for as long as a session can last. Nobody is
    /// signed out.
    #[command(after_help = EXAMPLES)]
    Rotate {
        /// Slug or id.
        tenant: String,
        /// For a root that is in wrong hands: the former one verifies nothing from now on, and every session of the
        /// tenant ends.
        #[arg(long)]
        ends_sessions: bool,
        #[command(flatten)]
        yes: Yes,
    },
}

const EXAMPLES: &str = "\
A kill at any point leaves the rest to a running `serve`. Without --ends-sessions no confirmation is asked.

Examples:
  wardgate session-root rotate acme
  wardgate session-root rotate acme --ends-sessions --yes";

/// A tenant's root, and the change of it that is under way.
#[derive(Serialize)]
struct RootOut {
    tenant: TenantId,
    /// `one` where nothing is under way.
    state: &'static str,
    /// Of the newest root.
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

//! `wardgate user mfa`: a user's second factor.

use clap::Subcommand;
use serde::Serialize;
use shared::ids::{AuthenticatorId, UserId};

use super::confirm::Yes;
use super::outcome::CliError;
use super::show::{Show, counted};
use crate::audit::Actor;
use crate::control::Control;
use crate::http::time::text;
use crate::mfa;
use crate::tenants::Tenant;
use crate::users::User;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Show a user's authenticators, the number of recovery codes left, and whether the tenant requires a second factor.
    #[command(after_help = "Example:\n  wardgate user mfa show ada --tenant acme")]
    Show {
        /// User name, address or id.
        user: String,
    },
    /// Remove all authenticators and recovery codes of a user; the user's sessions end. If the tenant requires a second
    /// factor, the user must enrol one at the next sign-in.
    #[command(after_help = "Example:\n  wardgate user mfa reset ada --tenant acme --yes")]
    Reset {
        /// User name, address or id.
        user: String,
        #[command(flatten)]
        yes: Yes,
    },
}

/// A second factor as the command line shows it.
#[derive(Serialize)]
struct Shown {
    user: UserId,
    enabled: bool,
    /// Whether the tenant requires one of the user now.
    required: bool,
    authenticators: Vec<ShownAuthenticator>,
    recovery_codes_left: i64,
}

#[derive(Serialize)]
struct ShownAuthenticator {
    id: AuthenticatorId,
    name: String,
    created_at: String,
    last_used_at: Option<String>,
}

impl Command {
    /// The user that the command names.
    pub(super) fn user(&self) -> &str {
        match self {
            Self::Show { user } | Self::Reset { user, .. } => user,
        }
    }
}

/// Does it to the user; `which` names the user in a question.
pub(super) async fn run(
    control: &Control,
    show: Show,
    tenant: &Tenant,
    (user, which): (&User, &str),
    command: Command,
) -> Result<(), CliError> {
    match command {
        Command::Show { .. } => {
            show.details(&shown(control, tenant, user).await?);
            Ok(())
        }
        Command::Reset { yes, .. } => {
            yes.to(&format!("removes the second factor of {which} and ends their sessions"))?;
            reset(control, show, tenant, user).await
        }
    }
}

async fn shown(control: &Control, tenant: &Tenant, user: &User) -> Result<Shown, CliError> {
    let mut tx = control.db.tenant_tx(tenant.id).await?;
    let state = mfa::state(&mut tx, user.id).await?;
    let now = control.clock.now().timestamp();
    Ok(Shown {
        user: user.id,
        enabled: state.is_enabled(),
        required: tenant.settings.demands_second_factor(&user.roles, now),
        recovery_codes_left: state.recovery_codes_left.unwrap_or(0),
        authenticators: state
            .authenticators
            .into_iter()
            .map(|it| ShownAuthenticator {
                id: it.id,
                name: it.name.expose().to_owned(),
                created_at: text(it.created_at),
                last_used_at: it.last_used_at.map(text),
            })
            .collect(),
    })
}

async fn reset(control: &Control, show: Show, tenant: &Tenant, user: &User) -> Result<(), CliError> {
    let mut tx = control.db.tenant_tx(tenant.id).await?;
    let had = mfa::state(&mut tx, user.id).await?.authenticators.len();
    mfa::reset(control, &mut tx, &Actor::operator(), user.id).await?;
    tx.commit().await?;
    let removed = u64::try_from(had).unwrap_or(0);
    let line = format!(
        "reset: {} had {}",
        user.username.expose(),
        counted(removed, ["authenticator", "authenticators"])
    );
    show.one(&serde_json::json!({ "user": user.id, "authenticators_removed": removed }), &line);
    Ok(())
}

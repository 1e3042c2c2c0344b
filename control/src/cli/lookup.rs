//! `wardgate lookup`: the lookup root, the secret that user names and addresses are hashed with.

use std::time::Duration;

use clap::Subcommand;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::confirm::Yes;
use super::outcome::CliError;
use super::show::Show;
use super::target::made_tenant;
use crate::audit::Actor;
use crate::control::Control;
use crate::http::time;
use crate::tenants::Tenant;
use crate::users::lookup::progress::{self, Progress};
use crate::users::lookup::rotation::{self, Outcome, Refused};

/// The interval between two checks of progress at the edge or in a running `serve`.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Subcommand)]
pub(super) enum Command {
    /// Show the version of a tenant's lookup root, the state of a rotation, and the users that it could not include.
    #[command(after_help = "Example:\n  wardgate lookup status acme")]
    Status {
        /// Slug or id.
        tenant: String,
    },
    /// Replace the lookup root of a tenant, after a leak of it. Sessions continue and sign-in works meanwhile. The command
    /// returns when the new root is in force; a running `serve` then deletes the identifiers under the old root after
    /// minutes, and the old root after a day, or after 30 days if legacy tokens are accepted. Earlier cursors of lists are
    /// answered 404.
    #[command(
        after_help = "A kill leaves the rest to a running `serve`, or to `wardgate lookup resume`.\n\nExample:\n  wardgate lookup rotate acme --yes"
    )]
    Rotate {
        /// Slug or id.
        tenant: String,
        #[command(flatten)]
        yes: Yes,
    },
    /// Continue a rotation that is in progress, as a running `serve` does, and show its progress.
    #[command(
        after_help = "Can be repeated after a kill at any point.\n\nExample:\n  wardgate lookup resume acme"
    )]
    Resume {
        /// Slug or id.
        tenant: String,
    },
    /// Delete the old root now. Legacy tokens that were listed before the rotation are then refused, `Idempotency-Key`s from
    /// before it are not recognised, and users who could not get new identifiers cannot be found by name.
    #[command(after_help = "Example:\n  wardgate lookup forget acme --yes")]
    Forget {
        /// Slug or id.
        tenant: String,
        #[command(flatten)]
        yes: Yes,
    },
}

pub(super) async fn run(control: &Control, show: Show, command: Command) -> Result<(), CliError> {
    let (Command::Status { tenant: name }
    | Command::Rotate { tenant: name, .. }
    | Command::Resume { tenant: name }
    | Command::Forget { tenant: name, .. }) = &command;
    let tenant = made_tenant(control, name).await?;
    match command {
        Command::Status { .. } => {}
        Command::Rotate { yes, .. } => {
            yes.to(&format!("gives tenant `{}` another lookup root", tenant.slug))?;
            let tx = control.db.tenant_tx(tenant.id).await?;
            rotation::rotate(control, tx, &Actor::operator()).await.map_err(|why| refusal(why, &tenant))?;
            resume(control, show, &tenant).await?;
        }
        Command::Resume { .. } => resume(control, show, &tenant).await?,
        Command::Forget { yes, .. } => {
            yes.to(&format!("gives up what tenant `{}` has under its old lookup root alone", tenant.slug))?;
            let tx = control.db.tenant_tx(tenant.id).await?;
            rotation::forget(control, tx, &Actor::operator()).await.map_err(|why| refusal(why, &tenant))?;
            resume(control, show, &tenant).await?;
        }
    }
    status(control, show, &tenant).await
}

fn refusal(why: Refused, tenant: &Tenant) -> CliError {
    let slug = &tenant.slug;
    match why {
        Refused::Failure(failure) => failure.into(),
        Refused::UnderWay => CliError::Refused(format!(
            "a rotation of the lookup root of `{slug}` is under way: `wardgate lookup status {slug}` says how far, \
             `wardgate lookup resume {slug}` continues it"
        )),
        Refused::TooEarly | Refused::NotInUse => CliError::Refused(format!("tenant `{slug}`: {why}")),
    }
}

async fn status(control: &Control, show: Show, tenant: &Tenant) -> Result<(), CliError> {
    let mut tx = control.db.tenant_tx(tenant.id).await?;
    let progress = progress::progress(&mut tx).await?;
    show.one(&progress, &format!("{}: {}", tenant.slug, told(&progress)));
    Ok(())
}

/// The state in a line, and a line for each user who was left behind.
fn told(progress: &Progress) -> String {
    let Some(rotating) = &progress.rotation else {
        return format!("root {} is in force, and none is rotated", progress.version);
    };
    let (users, added, due) = (rotating.users, rotating.added, time::text(rotating.due_at));
    let mut said = format!("root {} is in force, to {}: {}, ", progress.version, rotating.to, rotating.stage);
    said += &match rotating.stage {
        "adding" => format!("{added} of {users} users have their new identifiers"),
        "confirming" => String::from("the edge has not confirmed them all yet"),
        "switched" => format!("{} old identifiers go from {due} on", rotating.old),
        "removing" => format!("{} old identifiers are left", rotating.old),
        _ => format!("the old root goes at {due}; {} old tokens are out", rotating.old_tokens),
    };
    if let Some(left) = rotating.left_behind.as_ref().filter(|left| left.users > 0) {
        said += &format!("\n{} users have no identifiers under the new root:", left.users);
        for id in &left.ids {
            said += &format!("\n  {id}");
        }
    }
    said
}

/// Goes on until the new root is in force and only time is left, or shows how far a running `serve` is.
async fn resume(control: &Control, show: Show, tenant: &Tenant) -> Result<(), CliError> {
    let bar = bar();
    let mut waited = false;
    loop {
        let mut tx = control.db.tenant_tx(tenant.id).await?;
        let now = progress::progress(&mut tx).await?;
        tx.commit().await?;
        if let Some(rotating) = &now.rotation {
            bar.set_length(u64::try_from(rotating.users).unwrap_or(0));
            bar.set_position(u64::try_from(rotating.added).unwrap_or(0));
        }
        match rotation::advance(control, tenant.id, |users| bar.inc(u64::try_from(users).unwrap_or(0)))
            .await?
        {
            Outcome::Over | Outcome::WaitsForTime => break,
            Outcome::Halted => {
                let slug = &tenant.slug;
                return Err(CliError::Refused(format!(
                    "tenant `{slug}` is halted: the rotation continues after `wardgate edges reseed {slug}`"
                )));
            }
            Outcome::WaitsForEdge | Outcome::Elsewhere => {
                if !waited {
                    waited = true;
                    show.note("waiting for the edge, to which a running `serve` pushes; the rotation continues without this command");
                }
                tokio::time::sleep(LOOK).await;
            }
        }
    }
    bar.finish_and_clear();
    Ok(())
}

/// A bar on the terminal; none where standard error is no terminal.
fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let style =
        ProgressStyle::with_template("{msg:10} {bar:30} {human_pos}/{human_len} {per_sec} {eta} left");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.set_message("adding");
    bar
}

//! `wardgate mail`: the mail server of a tenant.

use clap::{Subcommand, ValueEnum};
use zeroize::Zeroizing;

use super::confirm::Yes;
use super::outcome::CliError;
use super::password::password;
use super::show::Show;
use super::target::made_tenant;
use crate::audit::Actor;
use crate::control::Control;
use crate::mail::probe::{self, Outcome};
use crate::mail::sender::{self, Own, Sender};
use crate::mail::{Recipient, routes::SenderOut};
use crate::settings::MailTls;
use crate::tenants::{Tenant, TenantError};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Show the mail server of a tenant; its password is never shown.
    #[command(after_help = "Example:\n  wardgate mail show --tenant acme")]
    Show,
    /// Set a mail server of the tenant's own. With --username a password is needed: prompted for at a terminal, else the
    /// first line of standard input.
    #[command(after_help = EXAMPLES)]
    Set(Box<Set>),
    /// Remove a tenant's own server: its mail then goes through the platform's.
    #[command(after_help = "Example:\n  wardgate mail remove --tenant acme --yes")]
    Remove {
        #[command(flatten)]
        yes: Yes,
    },
    /// Send one message and print the server's answer; exit code 1 if the server did not accept it.
    #[command(after_help = "Example:\n  wardgate mail test ada@acme.example --tenant acme")]
    Test {
        /// The recipient.
        address: String,
    },
}

const EXAMPLES: &str = "\
The settings of `serve` name the platform's server: WARDGATE_MAIL_HOST and so on.

Examples:
  pass show smtp | wardgate mail set smtp.acme.example --from accounts@acme.example --username accounts --tenant acme
  wardgate mail set smtp.acme.example --tls implicit --port 465 --from accounts@acme.example --tenant acme";

#[derive(clap::Args)]
pub(super) struct Set {
    /// The server: a name or an address.
    host: String,
    /// The address that mail comes from.
    #[arg(long)]
    from: String,
    /// The display name of the sender. Default: the tenant's name.
    #[arg(long, default_value = "")]
    from_name: String,
    /// The `Reply-To` address. Default: the sender's.
    #[arg(long, default_value = "")]
    reply_to: String,
    /// The port. Default: 465 for implicit TLS, else 587.
    #[arg(long)]
    port: Option<u16>,
    /// How the connection is encrypted.
    #[arg(long, value_enum, default_value_t = Tls::Starttls)]
    tls: Tls,
    /// The user name at the server. Default: no authentication.
    #[arg(long, default_value = "")]
    username: String,
}

/// As [`MailTls`].
#[derive(Clone, Copy, ValueEnum)]
enum Tls {
    Starttls,
    Implicit,
    None,
}

impl From<Tls> for MailTls {
    fn from(tls: Tls) -> Self {
        match tls {
            Tls::Starttls => Self::Starttls,
            Tls::Implicit => Self::Implicit,
            Tls::None => Self::None,
        }
    }
}

pub(super) async fn run(
    control: &Control,
    show: Show,
    tenant: &str,
    command: Command,
) -> Result<(), CliError> {
    let tenant = made_tenant(control, tenant).await?;
    match command {
        Command::Show => shown(control, show, &tenant).await,
        Command::Set(args) => set(control, show, &tenant, *args).await,
        Command::Remove { yes } => remove(control, show, &tenant, yes).await,
        Command::Test { address } => test(control, show, &tenant, &address).await,
    }
}

async fn shown(control: &Control, show: Show, tenant: &Tenant) -> Result<(), CliError> {
    let mut tx = control.db.tenant_tx(tenant.id).await?;
    match sender::own(&mut tx).await? {
        Some(own) => print(show, tenant, own),
        None => {
            let line = match sender::of_settings(control) {
                Some(Sender { host, port, from, .. }) => {
                    format!(
                        "{}: no server of its own; {from} through {host}:{port}, the platform's",
                        tenant.slug
                    )
                }
                None => {
                    format!("{}: no server of its own, and the platform has none: mail waits", tenant.slug)
                }
            };
            show.one(&serde_json::json!(null), &line);
        }
    }
    Ok(())
}

async fn set(control: &Control, show: Show, tenant: &Tenant, args: Set) -> Result<(), CliError> {
    let Set { host, from, from_name, reply_to, port, tls, username } = args;
    let tls = MailTls::from(tls);
    let port = port.unwrap_or(if tls == MailTls::Implicit { 465 } else { 587 });
    let password = if username.is_empty() { Zeroizing::default() } else { password()? };
    let sender = Sender { from, from_name, reply_to, host, port, tls, username, password };
    let faults = sender.faults(&control.smtp);
    if !faults.is_empty() {
        return Err(TenantError::Fields(faults).into());
    }
    let mut tx = control.db.tenant_tx(tenant.id).await?;
    sender::put(control, &mut tx, &Actor::operator(), &sender).await?;
    let own = sender::own(&mut tx).await?;
    tx.commit().await?;
    if let Some(own) = own {
        print(show, tenant, own);
    }
    Ok(())
}

async fn remove(control: &Control, show: Show, tenant: &Tenant, yes: Yes) -> Result<(), CliError> {
    yes.to(&format!("forgets the mail server of tenant `{}` and its password", tenant.slug))?;
    let mut tx = control.db.tenant_tx(tenant.id).await?;
    if !sender::remove(control, &mut tx, &Actor::operator()).await? {
        return Err(CliError::NotFound(format!("tenant `{}` has no mail server of its own", tenant.slug)));
    }
    tx.commit().await?;
    shown(control, show, tenant).await
}

async fn test(control: &Control, show: Show, tenant: &Tenant, address: &str) -> Result<(), CliError> {
    let mut tx = control.db.tenant_tx(tenant.id).await?;
    let sender = sender::in_force(control, &mut tx).await?;
    drop(tx);
    let sender = sender.ok_or_else(|| {
        CliError::Refused(String::from(
            "mail is off: WARDGATE_MAIL_HOST names no server, and the tenant has none of its own",
        ))
    })?;
    let outcome = probe::send(control, tenant, &sender, Recipient::address(address, "")).await?;
    let mut tx = control.db.tenant_tx(tenant.id).await?;
    probe::record(control, &mut tx, &Actor::operator(), &outcome);
    tx.commit().await?;
    let Outcome { accepted, detail } = &outcome;
    if !accepted {
        return Err(CliError::Failed(format!("not sent: {detail}")));
    }
    show.one(&outcome, &format!("sent: {detail}"));
    Ok(())
}

fn print(show: Show, tenant: &Tenant, own: Own) {
    let Sender { from, host, port, username, .. } = &own.sender;
    let signs_in = if username.is_empty() { String::new() } else { format!(", as {username}") };
    let line = format!("{}: {from} through {host}:{port}{signs_in}", tenant.slug);
    show.one(&SenderOut::from(own), &line);
}

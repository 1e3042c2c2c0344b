//! `wardgate captcha`: the CAPTCHA settings of a tenant.

use clap::{Subcommand, ValueEnum};
use shared::contract::limits::{CAPTCHA_AFTER, CAPTCHA_TIMEOUT_MS};
use shared::ids::HostName;
use shared::tenant::captcha::{CaptchaDemand, CaptchaPolicy, OnFailure, VerifyUrl};

use super::confirm::Yes;
use super::outcome::CliError;
use super::password::password;
use super::show::Show;
use super::target::made_tenant;
use crate::audit::Actor;
use crate::control::Control;
use crate::tenants::captcha::{self, CaptchaChange, Own};
use crate::tenants::routes::captcha::CaptchaOut;
use crate::tenants::{self, Tenant};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Show the CAPTCHA settings of a tenant, without the secret.
    #[command(after_help = "Example:\n  wardgate captcha show --tenant acme")]
    Show,
    /// Make a tenant require a CAPTCHA at sign-ins, or change its settings. The secret is prompted for on a terminal,
    /// else read from the first line of standard input.
    #[command(after_help = EXAMPLES)]
    Set(Box<Set>),
    /// Stop requiring a CAPTCHA, and delete the secret.
    #[command(after_help = "Example:\n  wardgate captcha remove --tenant acme --yes")]
    Remove {
        #[command(flatten)]
        yes: Yes,
    },
}

const EXAMPLES: &str = "\
What is not given is as it is by default, whatever was set before.

Examples:
  pass show turnstile | wardgate captcha set 0x4AAAAAAADnPIDROrmt1Wwj --tenant acme
  wardgate captcha set 0x4AAAAAAADnPIDROrmt1Wwj --keep-secret --asked always --forms --on-failure refuse --tenant acme
  pass show hcaptcha | wardgate captcha set 10000000-ffff-ffff-ffff-000000000001 \\
    --verify-url https://api.hcaptcha.com/siteverify --tenant acme";

#[derive(clap::Args)]
pub(super) struct Set {
    /// The widget's public key, which clients get.
    site_key: String,
    /// Keep the present secret; only if the service does not change.
    #[arg(long)]
    keep_secret: bool,
    /// The URL of the service that verifies tokens. Default: Cloudflare Turnstile's.
    #[arg(long, value_name = "URL")]
    verify_url: Option<String>,
    /// At which sign-ins it is required.
    #[arg(long, value_enum, default_value_t = When::Suspicious)]
    asked: When,
    /// With suspicious: the number of wrong passwords for one account from one network after which it is required.
    #[arg(long, default_value_t = CAPTCHA_AFTER)]
    after: u64,
    /// Also require it at registrations, password resets and repeated verification links.
    #[arg(long)]
    forms: bool,
    /// The timeout of a call of the service, in milliseconds.
    #[arg(long, default_value_t = CAPTCHA_TIMEOUT_MS)]
    timeout_ms: u64,
    /// What happens if the service does not answer.
    #[arg(long, value_enum, default_value_t = Then::Allow)]
    on_failure: Then,
    /// A host on whose pages it may be solved; may be repeated. Default: those that the service allows.
    #[arg(long = "hostname", value_name = "HOST")]
    hostnames: Vec<String>,
    /// The required action of the widget. Default: any.
    #[arg(long, default_value = "")]
    action: String,
}

/// As [`CaptchaDemand`].
#[derive(Clone, Copy, ValueEnum)]
enum When {
    Suspicious,
    Always,
}

/// As [`OnFailure`].
#[derive(Clone, Copy, ValueEnum)]
enum Then {
    Allow,
    Refuse,
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
    }
}

async fn shown(control: &Control, show: Show, tenant: &Tenant) -> Result<(), CliError> {
    let mut tx = control.db.tenant_tx(tenant.id).await?;
    match captcha::own(&mut tx).await? {
        Some(own) => print(show, tenant, own),
        None => show.one(&serde_json::json!(null), &format!("{}: asks for no CAPTCHA", tenant.slug)),
    }
    Ok(())
}

impl Set {
    fn policy(&self) -> Result<CaptchaPolicy, CliError> {
        let verify_url = self.verify_url.as_deref().map(|text| {
            let words = "expected an https URL with a path; http only for localhost";
            VerifyUrl::parse(text).map_err(|_| CliError::Refused(format!("`{text}` is no such URL: {words}")))
        });
        let host = |text: &String| {
            HostName::parse(text).map_err(|_| CliError::Refused(format!("`{text}` is no host name")))
        };
        Ok(CaptchaPolicy {
            site_key: self.site_key.clone(),
            verify_url: verify_url.transpose()?.unwrap_or_default(),
            asked: match self.asked {
                When::Suspicious => CaptchaDemand::Suspicious,
                When::Always => CaptchaDemand::Always,
            },
            after: self.after,
            forms: self.forms,
            timeout_ms: self.timeout_ms,
            on_failure: match self.on_failure {
                Then::Allow => OnFailure::Allow,
                Then::Refuse => OnFailure::Refuse,
            },
            hostnames: self.hostnames.iter().map(host).collect::<Result<_, _>>()?,
            action: self.action.clone(),
        })
    }
}

async fn set(control: &Control, show: Show, tenant: &Tenant, args: Set) -> Result<(), CliError> {
    let policy = args.policy()?;
    let secret = if args.keep_secret { None } else { Some(password()?) };
    let mut tx = control.db.tenant_tx(tenant.id).await?;
    tenants::lock(&mut tx, tenant.id).await?;
    let wanted = CaptchaChange { policy, secret, any_service: true };
    let own = captcha::put(control, &mut tx, &Actor::operator(), wanted).await?;
    tx.commit().await?;
    print(show, tenant, own);
    Ok(())
}

async fn remove(control: &Control, show: Show, tenant: &Tenant, yes: Yes) -> Result<(), CliError> {
    yes.to(&format!("has tenant `{}` ask for no CAPTCHA, and forgets its secret", tenant.slug))?;
    let mut tx = control.db.tenant_tx(tenant.id).await?;
    if !captcha::remove(control, &mut tx, &Actor::operator()).await? {
        return Err(CliError::NotFound(format!("tenant `{}` asks for no CAPTCHA", tenant.slug)));
    }
    tx.commit().await?;
    shown(control, show, tenant).await
}

fn print(show: Show, tenant: &Tenant, own: Own) {
    let CaptchaPolicy { site_key, verify_url, asked, after, forms, on_failure, .. } = &own.policy;
    let when = match asked {
        CaptchaDemand::Always => String::from("at every sign-in"),
        CaptchaDemand::Suspicious => format!("after {after} wrong passwords"),
    };
    let forms = if *forms { ", and at forms" } else { "" };
    let then = on_failure.as_str();
    let line = format!("{}: {site_key} {when}{forms}; {verify_url}, where it fails: {then}", tenant.slug);
    show.one(&CaptchaOut::from(own), &line);
}

//! `wardgate tenant`: as the platform's administrators do over the API.

use clap::Subcommand;
use serde_json::Value;
use shared::ids::{HostName, Slug};
use shared::tenant::settings::Settings;

use super::claims::{self, Consent};
use super::import::UserId;
use super::legacy;
use super::outcome::CliError;
use super::show::Show;
use super::target::{made_tenant, tenant_named};
use super::tenant_list::{self, ListArgs};
use crate::audit::Actor;
use crate::control::Control;
use crate::tenants::claims::change::Change;
use crate::tenants::{
    self, Edit, EditLegacy, Isolation, NewTenant, Tenant, TenantError, TenantOut, provision,
};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Make a tenant and wait until it can be used.
    #[command(after_help = "Example:\n  wardgate tenant create acme --name Acme --host acme.example")]
    Create(Create),
    /// List tenants.
    #[command(after_help = tenant_list::EXAMPLES)]
    List(ListArgs),
    /// Show one tenant; exit code 4 if there is none.
    #[command(after_help = "Example:\n  wardgate tenant show acme --json")]
    Show {
        /// Slug or id.
        tenant: String,
    },
    /// Change a tenant's name, hosts or settings.
    #[command(after_help = "Examples:
  wardgate tenant edit acme --set access_ttl_secs=600
  wardgate tenant edit acme --set cookies=plain --set origins=https://app.acme.example,https://acme.example
  wardgate tenant edit acme --set cors_headers=x-acme-trace,x-cloud-trace-context")]
    Edit(EditArgs),
    /// Show what a tenant's tokens say of it, and which former issuers and audiences are still accepted.
    #[command(after_help = "Example:\n  wardgate tenant claims acme --json")]
    Claims {
        /// Slug or id.
        tenant: String,
    },
    /// Change `iss` of a tenant's tokens, after saying what breaks.
    #[command(after_help = "Example:\n  wardgate tenant set-issuer acme https://id.acme.example")]
    SetIssuer {
        /// Slug or id.
        tenant: String,
        /// A URL that no other tenant has or had.
        issuer: String,
        #[command(flatten)]
        consent: Consent,
    },
    /// Change `aud` of a tenant's access tokens, after saying what breaks.
    #[command(after_help = "Examples:
  wardgate tenant set-audience acme acme-api
  wardgate tenant set-audience acme ''")]
    SetAudience {
        /// Slug or id.
        tenant: String,
        /// Empty: none.
        audience: String,
        #[command(flatten)]
        consent: Consent,
    },
    /// Change how a tenant's tokens write `user_id`, after saying what breaks.
    #[command(after_help = "Example:\n  wardgate tenant set-user-id acme string")]
    SetUserId {
        /// Slug or id.
        tenant: String,
        /// `uuid`, or the old service's id as an `integer` or a `string`.
        form: UserId,
        #[command(flatten)]
        consent: Consent,
    },
    /// Tokens of the service that a tenant came from.
    Legacy {
        #[command(subcommand)]
        command: legacy::Command,
    },
    /// Stop a tenant: the edge serves its keys, nothing else.
    Suspend {
        /// Slug or id.
        tenant: String,
    },
    /// Let a suspended tenant work again.
    Resume {
        /// Slug or id.
        tenant: String,
    },
    /// Delete a tenant for good. Slug, hosts and ids are never given again.
    Delete {
        /// Slug or id.
        tenant: String,
        /// Yes, for good.
        #[arg(long)]
        yes: bool,
    },
}

#[derive(clap::Args)]
pub(super) struct Create {
    /// Its short name, in `/t/<slug>/` and `X-Tenant`.
    slug: String,
    /// What people call it; default: the slug.
    #[arg(long)]
    name: Option<String>,
    /// A host of its own; may be repeated.
    #[arg(long = "host")]
    hosts: Vec<String>,
    /// `iss` of its tokens; default: `https://<first host>`, else `<shared origin>/t/<slug>`. It does not
    /// follow the hosts later.
    #[arg(long)]
    issuer: Option<String>,
    /// `aud` of its access tokens; default: none.
    #[arg(long)]
    audience: Option<String>,
    /// `schema` (its own) or `shared`.
    #[arg(long, default_value = "schema")]
    isolation: String,
    /// A setting as `name=value`; may be repeated.
    #[arg(long = "set")]
    settings: Vec<String>,
}

#[derive(clap::Args)]
pub(super) struct EditArgs {
    /// Slug or id.
    tenant: String,
    /// What people call it.
    #[arg(long)]
    name: Option<String>,
    /// All of its hosts; may be repeated.
    #[arg(long = "host")]
    hosts: Option<Vec<String>>,
    /// A setting as `name=value`; may be repeated.
    #[arg(long = "set")]
    settings: Vec<String>,
    /// From when passwords that another service hashed are not checked any more but forgotten, so that the
    /// rest need a reset; empty: they are until none is left.
    #[arg(long, value_name = "TIME")]
    foreign_until: Option<String>,
}

pub(super) async fn run(control: &Control, show: Show, command: Command) -> Result<(), CliError> {
    match command {
        Command::Create(args) => create(control, show, args).await,
        Command::List(args) => tenant_list::run(control, show, args).await,
        Command::Show { tenant } => {
            let tenant = tenant_named(control, &tenant).await?;
            print(show, tenant, "");
            Ok(())
        }
        Command::Claims { tenant } => claims::show(control, show, &tenant).await,
        Command::SetIssuer { tenant, issuer, consent } => {
            let change = Change { issuer: Some(issuer), ..Change::default() };
            claims::set(control, show, &tenant, change, consent).await
        }
        Command::SetAudience { tenant, audience, consent } => {
            let audience = Some(audience).filter(|audience| !audience.is_empty());
            let change = Change { audience: Some(audience), ..Change::default() };
            claims::set(control, show, &tenant, change, consent).await
        }
        Command::SetUserId { tenant, form, consent } => {
            let change = Change { user_id: Some(form.form()), ..Change::default() };
            claims::set(control, show, &tenant, change, consent).await
        }
        Command::Edit(args) => edit(control, show, args).await,
        Command::Legacy { command } => legacy::run(control, show, command).await,
        Command::Suspend { tenant } => set_status(control, show, &tenant, true).await,
        Command::Resume { tenant } => set_status(control, show, &tenant, false).await,
        Command::Delete { tenant, yes: true } => delete(control, show, &tenant).await,
        Command::Delete { .. } => Err(CliError::Refused("deleting is for good: say --yes".into())),
    }
}

async fn create(control: &Control, show: Show, args: Create) -> Result<(), CliError> {
    let new = NewTenant {
        name: args.name.unwrap_or_else(|| args.slug.clone()),
        slug: Slug::parse(&args.slug).map_err(|invalid| CliError::Refused(invalid.to_string()))?,
        hosts: hosts(&args.hosts)?,
        issuer: args.issuer,
        audience: args.audience,
        isolation: Isolation::parse(&args.isolation)
            .ok_or_else(|| CliError::Refused("isolation is `schema` or `shared`".into()))?,
        settings: settings(Settings::default(), &args.settings)?,
        admin: None,
    };
    let platform = control.db.platform().await?;
    let mut tx = control.db.tenant_tx(platform).await?;
    let tenant = tenants::create(control, &mut tx, &Actor::operator(), new).await?;
    tx.commit().await?;
    provision::run(control, tenant.id).await?;
    let tenant = settled(control, tenant).await?;
    print(show, tenant, "created: ");
    Ok(())
}

/// A running `serve` may have been quicker to take the job: wait for it.
async fn settled(control: &Control, tenant: Tenant) -> Result<Tenant, CliError> {
    for _ in 0..300 {
        let now = tenant_named(control, &tenant.id.to_string()).await?;
        if now.status != shared::tenant::Status::Provisioning {
            return Ok(now);
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    Err(CliError::Failed(format!(
        "tenant `{}` is still provisioning; a running `serve` goes on with it",
        tenant.slug
    )))
}

async fn edit(control: &Control, show: Show, args: EditArgs) -> Result<(), CliError> {
    let tenant = made_tenant(control, &args.tenant).await?;
    let wanted = Edit {
        name: args.name,
        hosts: args.hosts.as_deref().map(hosts).transpose()?,
        settings: Some(settings(tenant.settings.clone(), &args.settings)?),
        legacy: EditLegacy {
            foreign_until: match args.foreign_until.as_deref() {
                None => None,
                Some("") => Some(None),
                Some(text) => Some(Some(legacy::moment(text)?)),
            },
            tokens: None,
        },
    };
    let mut tx = control.db.tenant_tx(tenant.id).await?;
    let before = tenant;
    let tenant = tenants::edit(control, &mut tx, &Actor::operator(), before.id, wanted).await?;
    tx.commit().await?;
    for warning in claims::warnings(&before, &tenant) {
        show.note(&warning);
    }
    print(show, tenant, "edited: ");
    Ok(())
}

async fn set_status(control: &Control, show: Show, name: &str, suspended: bool) -> Result<(), CliError> {
    let id = made_tenant(control, name).await?.id;
    let mut tx = control.db.tenant_tx(id).await?;
    let actor = Actor::operator();
    let tenant = if suspended {
        tenants::suspend(control, &mut tx, &actor, id).await?
    } else {
        tenants::resume(control, &mut tx, &actor, id).await?
    };
    tx.commit().await?;
    print(show, tenant, "");
    Ok(())
}

async fn delete(control: &Control, show: Show, name: &str) -> Result<(), CliError> {
    let tenant = made_tenant(control, name).await?;
    let mut tx = control.db.tenant_tx(tenant.id).await?;
    tenants::delete(control, &mut tx, &Actor::operator(), tenant.id).await?;
    tx.commit().await?;
    show.one(
        &serde_json::json!({ "deleted": tenant.id }),
        &format!("deleted: {} ({})", tenant.slug, tenant.id),
    );
    Ok(())
}

fn print(show: Show, tenant: Tenant, what: &str) {
    let out = TenantOut::new(tenant);
    let line = format!("{what}{} ({}) is {}; issuer {}", out.slug, out.id, out.status, out.issuer);
    show.one(&out, &line);
}

fn hosts(texts: &[String]) -> Result<Vec<HostName>, CliError> {
    let parsed = texts.iter().map(|text| HostName::parse(text)).collect::<Result<_, _>>();
    parsed.map_err(|_| CliError::Refused("hosts are lower-case A-labels without port or final dot".into()))
}

/// Lays `name=value` over what there is.
fn settings(before: Settings, changes: &[String]) -> Result<Settings, CliError> {
    let mut settings = before;
    for change in changes {
        let (name, text) =
            change.split_once('=').ok_or_else(|| CliError::Refused("use --set name=value".into()))?;
        settings.set(name, &setting(name, text)).map_err(|fault| TenantError::Fields(vec![fault]))?;
    }
    let faults: Vec<_> = settings.faults();
    if faults.is_empty() { Ok(settings) } else { Err(TenantError::Fields(faults).into()) }
}

/// A value as JSON: `origins` and `cors_headers` are separated by commas, `cookies` is a word, all others are
/// numbers.
fn setting(name: &str, text: &str) -> Value {
    match name {
        "origins" | "cors_headers" => {
            text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect()
        }
        "cookies" => text.into(),
        _ => text.parse::<u64>().map_or(Value::Null, Value::from),
    }
}

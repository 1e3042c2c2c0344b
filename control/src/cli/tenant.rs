//! `wardgate tenant`: as the platform's administrators do over the API.

use clap::Subcommand;
use shared::ids::{HostName, Slug};

use super::claims;
use super::confirm::Yes;
use super::import::UserId;
use super::legacy;
use super::outcome::CliError;
use super::settings::{self, assigned};
use super::show::Show;
use super::target::{made_tenant, tenant_named};
use super::tenant_list::{self, ListArgs};
use crate::audit::Actor;
use crate::control::Control;
use crate::http::time;
use crate::tenants::claims::change::Change;
use crate::tenants::{
    self, Edit, EditLegacy, FirstAdmin, InvitedAdmin, Isolation, NewTenant, Tenant, TenantOut, provision,
};
use crate::users::{self, Faults, UserError};

/// Explains the form of a slug in an error.
const SLUG: &str =
    "1 to 40 lower-case letters (a-z), digits and hyphens, with a letter or digit at either end";
/// Explains the form of a host name in an error.
const HOST: &str = "a name like acme.example: lower-case letters (an international name in its xn-- form), digits and \
                    hyphens, without scheme, port, path or final dot";

#[derive(Subcommand)]
pub(super) enum Command {
    /// Create a tenant and wait until it can be used. It requires a second factor of root-admins and co-admins unless
    /// `--set second_factor_roles=` says otherwise.
    #[command(after_help = settings::help("Example:\n  wardgate tenant create acme --name Acme --host acme.example --invite ada@acme.example"))]
    Create(Create),
    /// List the settings of a tenant with their meaning, bounds and defaults.
    #[command(after_help = "Needs neither settings nor a database.\n\nExample:\n  wardgate tenant settings")]
    Settings,
    /// List tenants.
    #[command(after_help = tenant_list::EXAMPLES)]
    List(ListArgs),
    /// Show one tenant in full, with its settings; exit code 4 if there is none.
    #[command(after_help = "Example:\n  wardgate tenant show acme")]
    Show {
        /// Slug or id.
        tenant: String,
    },
    /// Change a tenant's name, hosts or settings.
    #[command(after_help = settings::help("Examples:
  wardgate tenant edit acme --set access_ttl_secs=600
  wardgate tenant edit acme --set cookies=plain --set origins=https://app.acme.example,https://acme.example
  wardgate tenant edit acme --set cors_headers=x-acme-trace,x-cloud-trace-context
  wardgate tenant edit acme --set second_factor_roles=co-admin --reason 'Ticket 4711: the last phone is lost'"))]
    Edit(EditArgs),
    /// Show issuer, audience and form of `user_id` of a tenant, and the former values that are still accepted.
    #[command(after_help = "Example:\n  wardgate tenant claims acme --json")]
    Claims {
        /// Slug or id.
        tenant: String,
    },
    /// Change the issuer (`iss`) of a tenant; lists the consequences and asks first.
    #[command(after_help = "Example:\n  wardgate tenant set-issuer acme https://id.acme.example")]
    SetIssuer {
        /// Slug or id.
        tenant: String,
        /// A URL that no other tenant has or had.
        issuer: String,
        #[command(flatten)]
        yes: Yes,
    },
    /// Change the audience (`aud`) of a tenant; lists the consequences and asks first.
    #[command(after_help = "Examples:
  wardgate tenant set-audience acme acme-api
  wardgate tenant set-audience acme ''")]
    SetAudience {
        /// Slug or id.
        tenant: String,
        /// Empty: none.
        audience: String,
        #[command(flatten)]
        yes: Yes,
    },
    /// Change the form of `user_id` in a tenant's tokens; lists the consequences and asks first.
    #[command(after_help = "Example:\n  wardgate tenant set-user-id acme string")]
    SetUserId {
        /// Slug or id.
        tenant: String,
        /// `uuid`, or the legacy id as an `integer` or a `string`.
        form: UserId,
        #[command(flatten)]
        yes: Yes,
    },
    /// The legacy tokens that a tenant accepts.
    Legacy {
        #[command(subcommand)]
        command: legacy::Command,
    },
    /// Suspend a tenant: until `resume`, only its public keys are served.
    #[command(after_help = "Example:\n  wardgate tenant suspend acme --yes")]
    Suspend {
        /// Slug or id.
        tenant: String,
        #[command(flatten)]
        yes: Yes,
    },
    /// Make a suspended tenant active again.
    #[command(after_help = "Example:\n  wardgate tenant resume acme")]
    Resume {
        /// Slug or id.
        tenant: String,
    },
    /// Delete a tenant permanently. Slug, hosts and ids are never reused.
    #[command(after_help = "Example:\n  wardgate tenant delete acme --yes")]
    Delete {
        /// Slug or id.
        tenant: String,
        #[command(flatten)]
        yes: Yes,
    },
}

#[derive(clap::Args)]
pub(super) struct Create {
    /// Its short name, in `/t/<slug>/` and `X-Tenant`: a to z, digits and hyphens, at most 40.
    slug: String,
    /// Its display name; default: the slug.
    #[arg(long)]
    name: Option<String>,
    /// A host of its own; may be repeated.
    #[arg(long = "host")]
    hosts: Vec<String>,
    /// `iss` of its tokens; default: `https://<first host>`, else `<shared origin>/t/<slug>`. A later change of the hosts
    /// does not change it.
    #[arg(long)]
    issuer: Option<String>,
    /// `aud` of its access tokens; default: none.
    #[arg(long)]
    audience: Option<String>,
    /// Where its users are stored: in a schema of its own, or in the one that small tenants share.
    #[arg(long, default_value = "schema", value_parser = ["schema", "shared"])]
    isolation: String,
    /// One of the settings below; may be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    settings: Vec<String>,
    /// Invite the first root-admin by mail. A running `serve` sends it.
    #[arg(long, value_name = "EMAIL")]
    invite: Option<String>,
}

#[derive(clap::Args)]
pub(super) struct EditArgs {
    /// Slug or id.
    tenant: String,
    /// Its display name.
    #[arg(long)]
    name: Option<String>,
    /// All of its hosts; may be repeated.
    #[arg(long = "host")]
    hosts: Option<Vec<String>>,
    /// One of the settings below; may be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    settings: Vec<String>,
    /// From this time on, imported password hashes of another service are not checked any more, and are deleted; their
    /// owners need a reset. Empty: no such time.
    #[arg(long, value_name = "TIME")]
    foreign_until: Option<String>,
    /// A reason for the audit log. Required if the change stops requiring a second factor of root-admins.
    #[arg(long)]
    reason: Option<String>,
    #[command(flatten)]
    yes: Yes,
}

impl EditArgs {
    /// Whether the command changes nothing.
    fn is_empty(&self) -> bool {
        self.name.is_none()
            && self.hosts.is_none()
            && self.settings.is_empty()
            && self.foreign_until.is_none()
    }
}

pub(super) async fn run(control: &Control, show: Show, command: Command) -> Result<(), CliError> {
    match command {
        Command::Create(args) => create(control, show, args).await,
        Command::List(args) => tenant_list::run(control, show, args).await,
        Command::Show { tenant } => {
            let tenant = tenant_named(control, &tenant).await?;
            show.details(&TenantOut::new(tenant).at(control.clock.now()));
            Ok(())
        }
        Command::Claims { tenant } => claims::show(control, show, &tenant).await,
        Command::SetIssuer { tenant, issuer, yes } => {
            let change = Change { issuer: Some(issuer), ..Change::default() };
            claims::set(control, show, &tenant, change, yes).await
        }
        Command::SetAudience { tenant, audience, yes } => {
            let audience = Some(audience).filter(|audience| !audience.is_empty());
            let change = Change { audience: Some(audience), ..Change::default() };
            claims::set(control, show, &tenant, change, yes).await
        }
        Command::SetUserId { tenant, form, yes } => {
            let change = Change { user_id: Some(form.form()), ..Change::default() };
            claims::set(control, show, &tenant, change, yes).await
        }
        Command::Settings => {
            settings::list(show);
            Ok(())
        }
        Command::Edit(args) => edit(control, show, args).await,
        Command::Legacy { command } => legacy::run(control, show, command).await,
        Command::Suspend { tenant, yes } => suspend(control, show, &tenant, yes).await,
        Command::Resume { tenant } => resume(control, show, &tenant).await,
        Command::Delete { tenant, yes } => delete(control, show, &tenant, yes).await,
    }
}

async fn create(control: &Control, show: Show, args: Create) -> Result<(), CliError> {
    let new = NewTenant {
        name: args.name.unwrap_or_else(|| args.slug.clone()),
        slug: Slug::parse(&args.slug)
            .map_err(|_| CliError::Refused(format!("`{}` is no slug: expected {SLUG}", args.slug)))?,
        hosts: hosts(&args.hosts)?,
        issuer: args.issuer,
        audience: args.audience,
        isolation: Isolation::parse(&args.isolation).unwrap_or_default(),
        settings: assigned(tenants::first_settings(), &args.settings)?,
        admin: args.invite.map(invited).transpose()?,
    };
    let platform = control.db.platform().await?;
    let key = tenants::prepare(control).await?;
    let mut tx = control.db.tenant_tx(platform).await?;
    let tenant = tenants::create(control, &mut tx, &Actor::operator(), &key, new).await?;
    tx.commit().await?;
    provision::run(control, tenant.id).await?;
    let tenant = settled(control, tenant).await?;
    print(show, tenant, "created: ");
    Ok(())
}

/// Parses the invited first root-admin.
fn invited(email: String) -> Result<FirstAdmin, CliError> {
    let mut faults = Faults::default();
    users::check_address(&email, &mut faults);
    match faults.is_empty() {
        true => Ok(FirstAdmin::Invited(InvitedAdmin { username: None, email })),
        false => Err(UserError::Fields(faults).into()),
    }
}

/// Waits for the job, which a running `serve` may have taken.
async fn settled(control: &Control, tenant: Tenant) -> Result<Tenant, CliError> {
    for _ in 0..300 {
        let now = tenant_named(control, &tenant.id.to_string()).await?;
        if now.status != shared::tenant::Status::Provisioning {
            return Ok(now);
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    Err(CliError::Failed(format!(
        "tenant `{}` is still provisioning; a running `serve` completes it",
        tenant.slug
    )))
}

async fn edit(control: &Control, show: Show, args: EditArgs) -> Result<(), CliError> {
    let tenant = made_tenant(control, &args.tenant).await?;
    if args.is_empty() {
        return Err(CliError::Refused(
            "nothing was to be changed: `wardgate tenant edit --help` says what can be".into(),
        ));
    }
    // What is wrong is said before anything is asked.
    assigned(tenant.settings.clone(), &args.settings)?;
    let mut wanted = Edit {
        name: args.name,
        hosts: args.hosts.as_deref().map(hosts).transpose()?,
        settings: None,
        legacy: EditLegacy {
            foreign_until: match args.foreign_until.as_deref() {
                None => None,
                Some("") => Some(None),
                Some(text) => Some(Some(legacy::moment(text)?)),
            },
            tokens: None,
        },
        reason: args.reason,
        exclude_self: false,
    };
    if let Some(Some(until)) = wanted.legacy.foreign_until {
        args.yes.to(&format!(
            "forgets at {} the passwords of tenant `{}` that another service hashed: users with such a password need a reset",
            time::text(until),
            tenant.slug
        ))?;
    }
    let mut tx = control.db.tenant_tx(tenant.id).await?;
    // What is assigned is laid over settings that no other edit is changing.
    let before = tenants::lock(&mut tx, tenant.id).await?;
    wanted.settings = Some(assigned(before.settings.clone(), &args.settings)?);
    let tenant = tenants::edit(control, &mut tx, &Actor::operator(), before.id, wanted).await?;
    tx.commit().await?;
    for warning in claims::warnings(&before, &tenant) {
        show.note(&warning);
    }
    print(show, tenant, "edited: ");
    Ok(())
}

async fn suspend(control: &Control, show: Show, name: &str, yes: Yes) -> Result<(), CliError> {
    let tenant = made_tenant(control, name).await?;
    yes.to(&format!("stops tenant `{}`: its users can neither sign in nor use what they have", tenant.slug))?;
    let mut tx = control.db.tenant_tx(tenant.id).await?;
    let tenant = tenants::suspend(control, &mut tx, &Actor::operator(), tenant.id).await?;
    tx.commit().await?;
    print(show, tenant, "");
    Ok(())
}

async fn resume(control: &Control, show: Show, name: &str) -> Result<(), CliError> {
    let id = made_tenant(control, name).await?.id;
    let mut tx = control.db.tenant_tx(id).await?;
    let tenant = tenants::resume(control, &mut tx, &Actor::operator(), id).await?;
    tx.commit().await?;
    print(show, tenant, "");
    Ok(())
}

async fn delete(control: &Control, show: Show, name: &str, yes: Yes) -> Result<(), CliError> {
    let tenant = made_tenant(control, name).await?;
    yes.to(&format!("deletes tenant `{}` ({}) with all of its users for good", tenant.slug, tenant.id))?;
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
    let parse = |text: &String| {
        HostName::parse(text)
            .map_err(|_| CliError::Refused(format!("`{text}` is no host name: expected {HOST}")))
    };
    texts.iter().map(parse).collect()
}

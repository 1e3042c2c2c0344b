//! `wardgate role`: roles of a tenant. The operator of the command line is above every rank and has every permission.

use clap::Subcommand;
use serde_json::{Map, Value};
use shared::contract::permissions::Permission;

use super::branch::chosen;
use super::confirm::Yes;
use super::known::unknown;
use super::outcome::{CliError, bad_arguments};
use super::show::{Rows as Table, Show};
use super::target::made_tenant;
use crate::audit::Actor;
use crate::control::Control;
use crate::db::TenantTx;
use crate::http::list::given;
use crate::roles::{self, Filters, NewRole, Role, RoleChange, RoleError, RoleOut};
use crate::tenants::Tenant;

#[derive(Subcommand)]
pub(super) enum Command {
    /// List the roles of a tenant, highest rank first.
    #[command(
        after_help = "Examples:\n  wardgate role list --tenant acme\n  wardgate role list --search desk --ordering name --tenant acme --json"
    )]
    List {
        /// Only roles with these words in name or title.
        #[arg(long, value_name = "WORDS")]
        search: Option<String>,
        /// One or more of id, name, title, rank, `created_at` and `updated_at`, separated by commas; a hyphen reverses the
        /// order: --ordering=-rank.
        #[arg(long, value_name = "FIELDS", allow_hyphen_values = true)]
        ordering: Option<String>,
    },
    /// Show one role in full; exit code 4 if there is none.
    #[command(after_help = "Example:\n  wardgate role show help-desk --tenant acme")]
    Show {
        /// Its name.
        role: String,
    },
    /// Create a custom role.
    #[command(after_help = EXAMPLES)]
    Create(Create),
    /// Change title, description, rank or permissions of a custom role. What its users may do follows with their next
    /// request.
    #[command(
        after_help = "Examples:\n  wardgate role edit help-desk --add sessions.end --remove users.write --tenant acme\n  wardgate role edit help-desk --rank 35 --title 'Service desk' --tenant acme"
    )]
    Edit(Edit),
    /// Delete a custom role that no user has and no setting names.
    #[command(after_help = "Example:\n  wardgate role delete help-desk --tenant acme --yes")]
    Delete {
        /// Its name.
        role: String,
        #[command(flatten)]
        yes: Yes,
    },
}

const EXAMPLES: &str = "\
Users with the role can act only on users of a lower rank: root-admin has 100, co-admin 80, staff 40, client 10.

Examples:
  wardgate role create help-desk --rank 30 --title 'Help desk' \\
    --permission users.read --permission sessions.end --tenant acme
  wardgate role create auditor --rank 50 --permission audit.read --tenant acme";

#[derive(clap::Args)]
pub(super) struct Create {
    /// Its name, which cannot be changed later: lower-case letters, digits and single hyphens, with a letter first.
    name: String,
    /// Its rank, from 1 to 99.
    #[arg(long)]
    rank: i32,
    /// A title for people.
    #[arg(long, default_value = "")]
    title: String,
    /// A description for people.
    #[arg(long, default_value = "")]
    description: String,
    /// A permission; may be repeated. Default: none.
    #[arg(long = "permission", value_name = "PERMISSION")]
    permissions: Vec<String>,
    /// The path or id of a branch: the permissions hold over its users and those of the branches below it.
    #[arg(long)]
    branch: Option<String>,
}

#[derive(clap::Args)]
pub(super) struct Edit {
    /// Its name.
    role: String,
    /// Another rank, from 1 to 99.
    #[arg(long)]
    rank: Option<i32>,
    /// Another title.
    #[arg(long)]
    title: Option<String>,
    /// Another description.
    #[arg(long)]
    description: Option<String>,
    /// A permission to add; may be repeated.
    #[arg(long, value_name = "PERMISSION")]
    add: Vec<String>,
    /// A permission to remove; may be repeated.
    #[arg(long, value_name = "PERMISSION")]
    remove: Vec<String>,
    /// The path or id of another branch; `none` makes the permissions hold over all users.
    #[arg(long)]
    branch: Option<String>,
}

const ROLES: Table<RoleOut> = Table {
    names: ["role", "roles"],
    head: &["name", "rank", "kind", "title", "permissions"],
    line: RoleOut::line,
};

pub(super) async fn run(
    control: &Control,
    show: Show,
    tenant: &str,
    command: Command,
) -> Result<(), CliError> {
    let tenant = made_tenant(control, tenant).await?;
    let mut tx = control.db.tenant_tx(tenant.id).await?;
    match command {
        Command::List { search, ordering } => {
            let fields = [("search", search), ("ordering", ordering)];
            let fields = fields.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?.into())));
            let (filters, order) =
                given::<Filters>(fields.collect::<Map<String, Value>>()).map_err(bad_arguments)?;
            let roles = roles::selected(roles::store::all(&mut tx).await?, &filters, &order);
            let out = |role| RoleOut::of(role, tenant.is_platform);
            show.list(&ROLES, &roles.into_iter().map(out).collect::<Vec<_>>());
            Ok(())
        }
        Command::Show { role } => {
            let role = named(&mut tx, &role).await?;
            show.details(&RoleOut::of(role, tenant.is_platform));
            Ok(())
        }
        Command::Create(args) => create(control, show, &tenant, tx, args).await,
        Command::Edit(args) => edit(control, show, &tenant, tx, args).await,
        Command::Delete { role, yes } => {
            named(&mut tx, &role).await?;
            yes.to(&format!("deletes the role `{role}` of tenant `{}`", tenant.slug))?;
            roles::delete(control, &mut tx, &Actor::operator(), &role).await?;
            tx.commit().await?;
            show.one(&serde_json::json!({ "deleted": role }), &format!("deleted: {role}"));
            Ok(())
        }
    }
}

async fn create(
    control: &Control,
    show: Show,
    tenant: &Tenant,
    mut tx: TenantTx,
    args: Create,
) -> Result<(), CliError> {
    permissions_exist(tenant, &args.permissions)?;
    let Create { name, rank, title, description, permissions, branch } = args;
    let branch = match &branch {
        None => None,
        Some(branch) => chosen(&mut tx, branch).await?,
    };
    let new = NewRole { name, title, description, rank, permissions, branch };
    let role = roles::create(control, &mut tx, &Actor::operator(), new).await?;
    tx.commit().await?;
    print(show, tenant, role, "created: ");
    Ok(())
}

async fn edit(
    control: &Control,
    show: Show,
    tenant: &Tenant,
    mut tx: TenantTx,
    args: Edit,
) -> Result<(), CliError> {
    permissions_exist(tenant, &args.add)?;
    let Edit { rank, title, description, add, remove, branch, .. } = &args;
    let is_empty = rank.is_none() && title.is_none() && description.is_none() && branch.is_none();
    if is_empty && add.is_empty() && remove.is_empty() {
        let said = "nothing to change: give --rank, --title, --description, --branch, --add or --remove";
        return Err(CliError::Refused(String::from(said)));
    }
    let before = match roles::lock(&mut tx, &args.role).await {
        Err(RoleError::NotFound) => return Err(no_role(&mut tx, &args.role).await),
        found => found?,
    };
    if let Some(missing) = args.remove.iter().find(|name| !before.stored.contains(name)) {
        let said = format!("the role `{}` has no permission `{missing}`", before.name);
        return Err(CliError::Refused(said));
    }
    let kept = before.stored.iter().filter(|name| !args.remove.contains(name));
    let permissions = kept.chain(&args.add).cloned().collect();
    let branch = match &args.branch {
        None => None,
        Some(branch) => Some(chosen(&mut tx, branch).await?),
    };
    let change = RoleChange {
        branch,
        name: None,
        title: args.title,
        description: args.description,
        rank: args.rank,
        permissions: (!args.add.is_empty() || !args.remove.is_empty()).then_some(permissions),
    };
    let role = roles::edit(control, &mut tx, &Actor::operator(), &before.name, change).await?;
    tx.commit().await?;
    print(show, tenant, role, "changed: ");
    Ok(())
}

async fn named(tx: &mut TenantTx, name: &str) -> Result<Role, CliError> {
    match roles::store::find(tx, name).await? {
        Some(role) => Ok(role),
        None => Err(no_role(tx, name).await),
    }
}

async fn no_role(tx: &mut TenantTx, name: &str) -> CliError {
    match roles::store::all(tx).await {
        Ok(roles) => {
            let there: Vec<_> = roles.iter().map(|role| role.name.as_str()).collect();
            CliError::NotFound(unknown("role", name, &there))
        }
        Err(failure) => failure.into(),
    }
}

/// The API names permissions that do not exist; here, where they are typed, all that there are.
fn permissions_exist(tenant: &Tenant, wanted: &[String]) -> Result<(), CliError> {
    let here = Permission::ALL.iter().filter(|permission| permission.exists(tenant.is_platform));
    let here: Vec<_> = here.map(|permission| permission.as_str()).collect();
    match wanted.iter().find(|name| !here.contains(&name.as_str())) {
        Some(name) => Err(CliError::Refused(unknown("permission", name, &here))),
        None => Ok(()),
    }
}

fn print(show: Show, tenant: &Tenant, role: Role, done: &str) {
    let line = format!("{done}{} (rank {})", role.name, role.rank);
    show.one(&RoleOut::of(role, tenant.is_platform), &line);
}

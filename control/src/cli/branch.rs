//! `wardgate branch`: the tree of branches of a tenant. A branch is named by its path (`Germany/Berlin`) or its id.

use clap::Subcommand;
use serde_json::{Map, Value};
use shared::ids;
use uuid::Uuid;

use super::confirm::Yes;
use super::known::nearest;
use super::outcome::{CliError, bad_arguments};
use super::show::{Rows as Table, Show};
use super::target::made_tenant;
use crate::audit::Actor;
use crate::branches::filters::selected;
use crate::branches::{self, Branch, BranchChange, BranchOut, Filters, NewBranch, store};
use crate::control::Control;
use crate::db::{Scope, TenantTx};
use crate::http::list::given;

#[derive(Subcommand)]
pub(super) enum Command {
    /// List the branches of a tenant in the order of the tree.
    #[command(
        after_help = "Examples:\n  wardgate branch list --tenant acme\n  wardgate branch list --within Germany --archived false --tenant acme --json"
    )]
    List {
        /// Only this branch and those below it.
        #[arg(long, value_name = "BRANCH")]
        within: Option<String>,
        /// Only branches that are archived, or are not.
        #[arg(long, value_name = "BOOL", value_parser = ["true", "false"])]
        archived: Option<String>,
        /// Only branches with these words in the name.
        #[arg(long, value_name = "WORDS")]
        search: Option<String>,
        /// One or more of id, path, name, `created_at` and `updated_at`, separated by commas; a hyphen reverses the order:
        /// --ordering=-created_at.
        #[arg(long, value_name = "FIELDS", allow_hyphen_values = true)]
        ordering: Option<String>,
    },
    /// Show one branch in full. The exit code is 4 if the branch does not exist.
    #[command(after_help = "Example:\n  wardgate branch show Germany/Berlin --tenant acme")]
    Show {
        /// Its path or id.
        branch: String,
    },
    /// Create a branch.
    #[command(
        after_help = "The branches above it must exist.\n\nExamples:\n  wardgate branch create Germany --tenant acme\n  wardgate branch create Germany/Berlin --tenant acme"
    )]
    Create {
        /// Its path.
        path: String,
    },
    /// Rename a branch.
    #[command(after_help = "Example:\n  wardgate branch rename Germany/Berlin Berlin-Mitte --tenant acme")]
    Rename {
        /// Its path or id.
        branch: String,
        /// The new name.
        name: String,
    },
    /// Move a branch, with the branches below it. The roles of the branches above it have power over its users at once.
    #[command(
        after_help = "Examples:\n  wardgate branch move Berlin --below Germany --tenant acme\n  wardgate branch move Germany/Berlin --top --tenant acme"
    )]
    Move {
        /// Its path or id.
        branch: String,
        /// The branch that it is to be directly below.
        #[arg(long, value_name = "BRANCH", required_unless_present = "top", conflicts_with = "top")]
        below: Option<String>,
        /// Move it to the top of the tree.
        #[arg(long)]
        top: bool,
    },
    /// Archive a branch: no user can be added to it. Its users stay. --off undoes this.
    #[command(after_help = "Example:\n  wardgate branch archive Germany/Bonn --tenant acme")]
    Archive {
        /// Its path or id.
        branch: String,
        /// Undo it.
        #[arg(long)]
        off: bool,
    },
    /// Delete a branch without users, without branches below it, and that no role names.
    #[command(after_help = "Example:\n  wardgate branch delete Germany/Bonn --tenant acme --yes")]
    Delete {
        /// Its path or id.
        branch: String,
        #[command(flatten)]
        yes: Yes,
    },
}

const BRANCHES: Table<BranchOut> =
    Table { names: ["branch", "branches"], head: &["path", "state", "id"], line: BranchOut::line };

pub(super) async fn run(
    control: &Control,
    show: Show,
    tenant: &str,
    command: Command,
) -> Result<(), CliError> {
    let tenant = made_tenant(control, tenant).await?;
    let mut tx = control.db.tenant_tx(tenant.id).await?;
    match command {
        Command::List { within, archived, search, ordering } => {
            let within = match within {
                None => None,
                Some(branch) => Some(named(&mut tx, &branch).await?.id.to_string()),
            };
            let fields =
                [("within", within), ("archived", archived), ("search", search), ("ordering", ordering)];
            let fields = fields.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?.into())));
            let (filters, order) =
                given::<Filters>(fields.collect::<Map<String, Value>>()).map_err(bad_arguments)?;
            let branches = selected(store::all(&mut tx).await?, &Scope::Everyone, &filters, &order);
            show.list(&BRANCHES, &branches.into_iter().map(BranchOut::from).collect::<Vec<_>>());
            Ok(())
        }
        Command::Show { branch } => {
            let branch = named(&mut tx, &branch).await?;
            show.details(&branches::out(&mut tx, branch).await?);
            Ok(())
        }
        Command::Create { path } => create(control, show, tx, &path).await,
        Command::Rename { branch, name } => {
            let change = BranchChange { name: Some(name), ..BranchChange::default() };
            edit(control, show, tx, &branch, change).await
        }
        Command::Move { branch, below, top: _ } => {
            let parent = match below {
                None => None,
                Some(parent) => Some(named(&mut tx, &parent).await?.id),
            };
            let change = BranchChange { parent: Some(parent), ..BranchChange::default() };
            edit(control, show, tx, &branch, change).await
        }
        Command::Archive { branch, off } => {
            let change = BranchChange { archived: Some(!off), ..BranchChange::default() };
            edit(control, show, tx, &branch, change).await
        }
        Command::Delete { branch, yes } => {
            let found = named(&mut tx, &branch).await?;
            yes.to(&format!("deletes the branch `{branch}` of tenant `{}`", tenant.slug))?;
            branches::delete(control, &mut tx, &Actor::operator(), found.id).await?;
            tx.commit().await?;
            show.one(&serde_json::json!({ "deleted": found.id }), &format!("deleted: {branch}"));
            Ok(())
        }
    }
}

async fn create(control: &Control, show: Show, mut tx: TenantTx, path: &str) -> Result<(), CliError> {
    let (parent, name) = match path.rsplit_once('/') {
        None => (None, path),
        Some((parent, name)) => (Some(named(&mut tx, parent).await?.id), name),
    };
    let new = NewBranch { name: name.to_owned(), parent };
    let branch = branches::create(control, &mut tx, &Actor::operator(), new).await?;
    finish(show, tx, branch, "created: ").await
}

async fn edit(
    control: &Control,
    show: Show,
    mut tx: TenantTx,
    branch: &str,
    change: BranchChange,
) -> Result<(), CliError> {
    let id = named(&mut tx, branch).await?.id;
    let branch = branches::edit(control, &mut tx, &Actor::operator(), id, change).await?;
    finish(show, tx, branch, "changed: ").await
}

async fn finish(show: Show, mut tx: TenantTx, branch: Branch, done: &str) -> Result<(), CliError> {
    let out = branches::out(&mut tx, branch).await?;
    tx.commit().await?;
    show.one(&out, &format!("{done}{}", out.path()));
    Ok(())
}

/// The branch of a path or an id.
pub(super) async fn named(tx: &mut TenantTx, text: &str) -> Result<Branch, CliError> {
    if let Ok(id) = ids::uuid(text) {
        let found = store::find(tx, id).await?;
        return found.ok_or_else(|| CliError::NotFound(String::from("no such branch")));
    }
    let wanted: Vec<_> = text.split('/').map(shared::identifiers::folded).collect();
    let all = branches::filters::named(store::all(tx).await?);
    let paths: Vec<_> = all.iter().map(|branch| branch.path.join("/")).collect();
    match all.into_iter().find(|branch| branch.has_path(&wanted)) {
        Some(found) => Ok(found.branch),
        None => {
            let paths: Vec<_> = paths.iter().map(String::as_str).collect();
            let hint = nearest(text, &paths).map(|near| format!(": did you mean `{near}`?"));
            Err(CliError::NotFound(format!("there is no branch `{text}`{}", hint.unwrap_or_default())))
        }
    }
}

/// The id of a branch in an option that may be `none`.
pub(super) async fn chosen(tx: &mut TenantTx, text: &str) -> Result<Option<Uuid>, CliError> {
    if text == "none" { Ok(None) } else { Ok(Some(named(tx, text).await?.id)) }
}

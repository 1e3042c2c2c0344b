//! `wardgate user`: users of a tenant, by somebody who stands above every rank.

use std::io::Read as _;

use clap::Subcommand;
use shared::ids::{TenantId, UserId};
use shared::user::UserStatus;
use zeroize::Zeroizing;

use super::outcome::CliError;
use super::show::Show;
use super::target::made_tenant;
use crate::audit::Actor;
use crate::control::Control;
use crate::db::TenantTx;
use crate::passwords::Hashed;
use crate::users::{self, Change, Matching, NewUser, Profile, User, UserError, UserOut};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Make a user.
    #[command(
        after_help = "Example:\n  echo 'correct horse battery' | wardgate user create ada --tenant acme --email ada@acme.example --role staff --password-stdin"
    )]
    Create(Create),
    /// List users.
    #[command(after_help = "Example:\n  wardgate user list --tenant acme --json")]
    List {
        /// Which hundred, from 1.
        #[arg(long, default_value_t = 1)]
        page: i64,
    },
    /// Show one user; exit code 4 if there is none.
    Show {
        /// User name, address or id.
        user: String,
    },
    /// Stop a user: sessions end, sign-in is refused.
    Suspend {
        /// User name, address or id.
        user: String,
    },
    /// Let a suspended user sign in again.
    Resume {
        /// User name, address or id.
        user: String,
    },
    /// Set a user's password from standard input; their sessions end.
    #[command(
        after_help = "Example:\n  echo 'a new passphrase for her' | wardgate user set-password ada --tenant acme"
    )]
    SetPassword {
        /// User name, address or id.
        user: String,
    },
    /// Give a user exactly these roles.
    #[command(after_help = "Example:\n  wardgate user set-roles ada staff client --tenant acme")]
    SetRoles {
        /// User name, address or id.
        user: String,
        /// All of their roles.
        roles: Vec<String>,
    },
    /// List a user's living sessions, as the edge has them; with --end, end one.
    #[command(after_help = super::sessions::EXAMPLES)]
    Sessions {
        /// User name, address or id.
        user: String,
        /// The session to end.
        #[arg(long, value_name = "SESSION")]
        end: Option<String>,
    },
    /// End all sessions of a user.
    EndSessions {
        /// User name, address or id.
        user: String,
    },
    /// Delete a user.
    Delete {
        /// User name, address or id.
        user: String,
    },
}

#[derive(clap::Args)]
pub(super) struct Create {
    /// User name.
    username: String,
    /// Address; counts as verified.
    #[arg(long)]
    email: Option<String>,
    /// First name.
    #[arg(long, default_value = "")]
    first_name: String,
    /// Last name.
    #[arg(long, default_value = "")]
    last_name: String,
    /// A role; may be repeated. Default: `client`.
    #[arg(long = "role", default_value = "client")]
    roles: Vec<String>,
    /// Read the password from standard input; without it the user cannot sign in yet.
    #[arg(long)]
    password_stdin: bool,
}

pub(super) async fn run(
    control: &Control,
    show: Show,
    tenant: &str,
    command: Command,
) -> Result<(), CliError> {
    let tenant = made_tenant(control, tenant).await?.id;
    match command {
        Command::Create(args) => create(control, show, tenant, args).await,
        Command::List { page } => list(control, show, tenant, page).await,
        Command::Show { user } => {
            let mut tx = control.db.tenant_tx(tenant).await?;
            let user = named(control, &mut tx, &user).await?;
            print(show, user, "");
            Ok(())
        }
        Command::Suspend { user } => {
            let change = Change { status: Some(UserStatus::Suspended), ..Change::default() };
            apply(control, show, tenant, &user, change).await
        }
        Command::Resume { user } => {
            let change = Change { status: Some(UserStatus::Active), ..Change::default() };
            apply(control, show, tenant, &user, change).await
        }
        Command::SetPassword { user } => {
            let password = Some(hashed(control, tenant).await?);
            let change = Change { password, ..Change::default() };
            apply(control, show, tenant, &user, change).await
        }
        Command::SetRoles { user, roles } => {
            apply(control, show, tenant, &user, Change { roles: Some(roles), ..Change::default() }).await
        }
        Command::Sessions { user, end } => {
            let mut tx = control.db.tenant_tx(tenant).await?;
            let user = named(control, &mut tx, &user).await?;
            drop(tx);
            super::sessions::run(control, show, tenant, &user, end.as_deref()).await
        }
        Command::EndSessions { user } => {
            let mut tx = control.db.tenant_tx(tenant).await?;
            let user = named(control, &mut tx, &user).await?;
            users::end_sessions(control, &mut tx, &Actor::operator(), user.id).await?;
            tx.commit().await?;
            print(show, user, "sessions ended: ");
            Ok(())
        }
        Command::Delete { user } => {
            let mut tx = control.db.tenant_tx(tenant).await?;
            let user = named(control, &mut tx, &user).await?;
            users::delete(control, &mut tx, &Actor::operator(), user.id).await?;
            tx.commit().await?;
            print(show, user, "deleted: ");
            Ok(())
        }
    }
}

async fn create(control: &Control, show: Show, tenant: TenantId, args: Create) -> Result<(), CliError> {
    let password = if args.password_stdin { Some(hashed(control, tenant).await?) } else { None };
    let new = NewUser {
        profile: Profile {
            username: args.username,
            email: args.email,
            first_name: args.first_name,
            last_name: args.last_name,
            phone: String::new(),
        },
        status: UserStatus::Active,
        roles: args.roles,
        password,
        email_verified: true,
    };
    let mut tx = control.db.tenant_tx(tenant).await?;
    let user = users::create(control, &mut tx, &Actor::operator(), new).await?;
    tx.commit().await?;
    print(show, user, "created: ");
    Ok(())
}

async fn list(control: &Control, show: Show, tenant: TenantId, page: i64) -> Result<(), CliError> {
    let mut tx = control.db.tenant_tx(tenant).await?;
    let rows = users::filters::in_order(100, 100 * (page.max(1) - 1));
    let users = users::list(&mut tx, &Matching::default(), &rows).await?;
    let rows: Vec<_> = users.into_iter().map(UserOut::from).collect();
    show.table(&["username", "email", "status", "roles", "id"], &rows, UserOut::line);
    Ok(())
}

async fn apply(
    control: &Control,
    show: Show,
    tenant: TenantId,
    name: &str,
    change: Change,
) -> Result<(), CliError> {
    let mut tx = control.db.tenant_tx(tenant).await?;
    let user = named(control, &mut tx, name).await?;
    let user = users::change(control, &mut tx, &Actor::operator(), user.id, change).await?;
    tx.commit().await?;
    print(show, user, "changed: ");
    Ok(())
}

async fn named(control: &Control, tx: &mut TenantTx, name: &str) -> Result<User, CliError> {
    let mut found = match UserId::parse(name) {
        Ok(id) => users::find(tx, id).await,
        Err(_) => Err(UserError::NotFound),
    };
    // 32 hexadecimal digits may be a user name, too.
    if matches!(found, Err(UserError::NotFound)) {
        found = users::find_by_name(control, tx, name).await;
    }
    found.map_err(|error| match error {
        UserError::NotFound => CliError::NotFound(format!("no user `{name}` in this tenant")),
        other => other.into(),
    })
}

fn print(show: Show, user: User, what: &str) {
    let out = UserOut::from(user);
    let line = format!("{what}{}", out.line().join("  "));
    show.one(&out, &line);
}

async fn hashed(control: &Control, tenant: TenantId) -> Result<Hashed, CliError> {
    Ok(Hashed::of(&control.hasher, tenant, &password()?).await?)
}

/// The first line of standard input, without its line feed. Never an argument: those are in `ps`.
fn password() -> Result<Zeroizing<String>, CliError> {
    let mut text = Zeroizing::new(String::new());
    let limit = u64::try_from(shared::contract::limits::PASSWORD_BYTES + 2).unwrap_or(1026);
    std::io::stdin()
        .take(limit)
        .read_to_string(&mut text)
        .map_err(|_| CliError::Refused("standard input is not text".into()))?;
    let line = text.lines().next().unwrap_or_default().to_owned();
    if line.is_empty() {
        Err(CliError::Refused("no password on standard input".into()))
    } else {
        Ok(Zeroizing::new(line))
    }
}

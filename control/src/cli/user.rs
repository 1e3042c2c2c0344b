//! `wardgate user`: users of a tenant. The operator of the command line is above every rank.

use clap::Subcommand;
use serde::Serialize;
use shared::ids::UserId;
use shared::user::UserStatus;

use super::branch::chosen;
use super::confirm::Yes;
use super::invitations::InviteArgs;
use super::mfa;
use super::outcome::CliError;
use super::password::password;
use super::roles::roles_exist;
use super::show::Show;
use super::target::made_tenant;
use super::user_list::{self as listing, ListArgs};
use crate::audit::Actor;
use crate::control::Control;
use crate::db::TenantTx;
use crate::passwords::Hashed;
use crate::resets::{self, Mailed};
use crate::tenants::Tenant;
use crate::users::{
    self, Change, NewUser, PasswordKept, Profile, Successor, User, UserError, UserOut, Viewer,
};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Create a user.
    #[command(
        after_help = "Example:\n  echo 'correct horse battery' | wardgate user create ada --tenant acme --email ada@acme.example --role staff --password-stdin"
    )]
    Create(Create),
    /// List users: one page and the total, or all.
    #[command(after_help = listing::EXAMPLES)]
    List(ListArgs),
    /// Show one user in full; exit code 4 if there is none.
    #[command(after_help = "Example:\n  wardgate user show ada --tenant acme")]
    Show {
        /// User name, address or id.
        user: String,
    },
    /// Suspend a user: sessions end and sign-in is refused until `resume`.
    #[command(after_help = "Example:\n  wardgate user suspend ada --tenant acme")]
    Suspend {
        /// User name, address or id.
        user: String,
    },
    /// Make a suspended, inactive or pending user active again.
    #[command(after_help = "Example:\n  wardgate user resume ada --tenant acme")]
    Resume {
        /// User name, address or id.
        user: String,
    },
    /// Set a user's password; the user's sessions end. At a terminal the password is prompted for, else it is the first
    /// line of standard input.
    #[command(
        after_help = "Examples:\n  wardgate user set-password ada --tenant acme\n  pass show ada | wardgate user set-password ada --tenant acme"
    )]
    SetPassword {
        /// User name, address or id.
        user: String,
        /// The user must choose a new password at the next sign-in.
        #[arg(long)]
        must_change: bool,
    },
    /// Require a user to choose a new password at the next sign-in; the user's sessions end. With --off, undo the
    /// requirement.
    #[command(
        after_help = "Examples:\n  wardgate user must-change-password ada --tenant acme\n  wardgate user must-change-password ada --off --tenant acme"
    )]
    MustChangePassword {
        /// User name, address or id.
        user: String,
        /// Undo the requirement.
        #[arg(long)]
        off: bool,
    },
    /// Mail a user a link to set a new password. It goes to the user's verified address; present password and sessions
    /// stay until the link is used.
    #[command(after_help = "Example:\n  wardgate user reset-password ada --mail --tenant acme")]
    ResetPassword {
        /// User name, address or id.
        user: String,
        /// Send the link by mail; required, because there is no other way yet.
        #[arg(long, required = true)]
        mail: bool,
    },
    /// Set the roles of a user: roles that are not named are removed.
    #[command(
        after_help = "Examples:\n  wardgate user set-roles ada staff client --tenant acme\n  wardgate user set-roles ada --none --tenant acme"
    )]
    SetRoles {
        /// User name, address or id.
        user: String,
        /// All roles of the user.
        #[arg(conflicts_with = "none")]
        roles: Vec<String>,
        /// Remove every role.
        #[arg(long)]
        none: bool,
    },
    /// Put a user into a branch; `none` takes them out of theirs.
    #[command(
        after_help = "Examples:\n  wardgate user set-branch ada Germany/Berlin --tenant acme\n  wardgate user set-branch ada none --tenant acme"
    )]
    SetBranch {
        /// User name, address or id.
        user: String,
        /// The path or id of the branch, or `none`.
        branch: String,
    },
    /// Show a user's profile: education, employment, skills and certifications, and what is missing.
    #[command(after_help = super::profile::EXAMPLES)]
    Profile {
        /// User name, address or id.
        user: String,
    },
    /// Show or reset a user's second factor.
    Mfa {
        #[command(subcommand)]
        command: mfa::Command,
    },
    /// Reset the counters of wrong passwords of a user: sign-ins are accepted from every network again. A running `serve`
    /// tells the edge within seconds.
    #[command(after_help = "Example:\n  wardgate user unlock ada --tenant acme")]
    Unlock {
        /// User name, address or id.
        user: String,
    },
    /// List the remembered browsers of a user, in which sign-ins need no code; with --revoke, revoke one. The edge must
    /// answer.
    #[command(after_help = super::devices::EXAMPLES)]
    Devices {
        /// User name, address or id.
        user: String,
        /// The device to revoke.
        #[arg(long, value_name = "DEVICE", conflicts_with = "revoke_all")]
        revoke: Option<String>,
        /// Revoke all of them.
        #[arg(long)]
        revoke_all: bool,
        #[command(flatten)]
        yes: Yes,
    },
    /// Mail an invitation: a link to create an account. A running `serve` sends it.
    #[command(after_help = super::invitations::EXAMPLES)]
    Invite(InviteArgs),
    /// List the open invitations.
    #[command(after_help = "Example:\n  wardgate user invitations --tenant acme")]
    Invitations,
    /// Revoke an invitation: its link becomes invalid.
    #[command(
        after_help = "Example:\n  wardgate user revoke-invitation 019a1f0e-7c9d-7e32-8f4a-1b2c3d4e5f60 --tenant acme"
    )]
    RevokeInvitation {
        /// Its id, as `invitations` lists it.
        id: String,
    },
    /// Delete a user permanently. User name and address become free.
    #[command(after_help = "Example:\n  wardgate user delete ada --tenant acme --yes")]
    Delete {
        /// User name, address or id.
        user: String,
        #[command(flatten)]
        yes: Yes,
    },
}

#[derive(clap::Args)]
pub(super) struct Create {
    /// User name.
    username: String,
    /// Email address; counts as verified.
    #[arg(long)]
    email: Option<String>,
    /// First name.
    #[arg(long, default_value = "")]
    first_name: String,
    /// Last name.
    #[arg(long, default_value = "")]
    last_name: String,
    /// The language of mails to the user: a tag such as `de`. Default: the tenant's.
    #[arg(long, default_value = "")]
    language: String,
    /// A role; may be repeated. Default: `client`.
    #[arg(long = "role", default_value = "client")]
    roles: Vec<String>,
    /// The path or id of the user's branch.
    #[arg(long)]
    branch: Option<String>,
    /// Set a password: prompted for at a terminal, else the first line of standard input. Without this option the user
    /// cannot sign in until `set-password`.
    #[arg(long)]
    password_stdin: bool,
    /// They must choose another password before there is a session.
    #[arg(long)]
    must_change: bool,
}

/// A user as the command line shows one.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    user: UserOut,
    /// `none`, `set`, or `foreign`: an imported hash of another service.
    password: &'static str,
}

pub(super) async fn run(
    control: &Control,
    show: Show,
    tenant: &str,
    command: Command,
) -> Result<(), CliError> {
    let tenant = made_tenant(control, tenant).await?;
    match command {
        Command::Create(args) => create(control, show, &tenant, args).await,
        Command::List(args) => listing::run(control, show, &tenant, args).await,
        Command::Show { user } => {
            let mut tx = control.db.tenant_tx(tenant.id).await?;
            let user = named(&mut tx, &tenant, &user).await?;
            show.details(&shown(&mut tx, user).await?);
            Ok(())
        }
        Command::Suspend { user } => {
            let change = Change { status: Some(UserStatus::Suspended), ..Change::default() };
            apply(control, show, &tenant, &user, change).await
        }
        Command::Resume { user } => {
            let change = Change { status: Some(UserStatus::Active), ..Change::default() };
            apply(control, show, &tenant, &user, change).await
        }
        Command::SetPassword { user, must_change } => {
            set_password(control, show, &tenant, &user, must_change).await
        }
        Command::MustChangePassword { user, off } => {
            let change = Change { must_change_password: Some(!off), ..Change::default() };
            apply(control, show, &tenant, &user, change).await
        }
        Command::ResetPassword { user, mail: _ } => reset_password(control, show, &tenant, &user).await,
        Command::SetRoles { roles, none: false, .. } if roles.is_empty() => {
            Err(CliError::Refused(String::from(
                "no role is named, and all others would be taken away: name those to have; --none takes all away",
            )))
        }
        Command::SetRoles { user, roles, none: _ } => {
            let mut tx = control.db.tenant_tx(tenant.id).await?;
            roles_exist(&mut tx, &roles).await?;
            drop(tx);
            apply(control, show, &tenant, &user, Change { roles: Some(roles), ..Change::default() }).await
        }
        Command::SetBranch { user, branch } => {
            let mut tx = control.db.tenant_tx(tenant.id).await?;
            let branch = chosen(&mut tx, &branch).await?;
            drop(tx);
            apply(control, show, &tenant, &user, Change { branch: Some(branch), ..Change::default() }).await
        }
        Command::Profile { user } => {
            let mut tx = control.db.tenant_tx(tenant.id).await?;
            let user = named(&mut tx, &tenant, &user).await?;
            super::profile::show(&mut tx, show, &user).await
        }
        Command::Mfa { command } => {
            let user = looked_up(control, &tenant, command.user()).await?;
            mfa::run(control, show, &tenant, (&user, &which(&user, &tenant)), command).await
        }
        Command::Unlock { user } => unlock(control, show, &tenant, &user).await,
        Command::Devices { user, revoke, revoke_all, yes } => {
            let user = looked_up(control, &tenant, &user).await?;
            match (revoke, revoke_all) {
                (None, false) => super::devices::list(control, show, &tenant, &user).await,
                (device, _) => {
                    super::devices::revoke(control, show, &tenant, &user, (device.as_deref(), yes)).await
                }
            }
        }
        Command::Invite(args) => super::invitations::invite(control, show, &tenant, args).await,
        Command::Invitations => super::invitations::list(control, show, &tenant).await,
        Command::RevokeInvitation { id } => super::invitations::revoke(control, show, &tenant, &id).await,
        Command::Delete { user, yes } => delete(control, show, &tenant, &user, yes).await,
    }
}

async fn unlock(control: &Control, show: Show, tenant: &Tenant, name: &str) -> Result<(), CliError> {
    let mut tx = control.db.tenant_tx(tenant.id).await?;
    let user = named(&mut tx, tenant, name).await?;
    users::attempts::lift(control, &mut tx, &Actor::operator(), user.id).await?;
    tx.commit().await?;
    let line = format!("unlocked: {}; in force at the edge within seconds", user.username.expose());
    show.one(&serde_json::json!({ "user": user.id }), &line);
    Ok(())
}

/// Names a user in a confirmation prompt: user name, id and tenant.
pub(super) fn which(user: &User, tenant: &Tenant) -> String {
    format!("the user {} ({}) of tenant `{}`", user.username.expose(), user.id, tenant.slug)
}

async fn create(control: &Control, show: Show, tenant: &Tenant, args: Create) -> Result<(), CliError> {
    let mut tx = control.db.tenant_tx(tenant.id).await?;
    roles_exist(&mut tx, &args.roles).await?;
    let branch = match &args.branch {
        None => None,
        Some(branch) => chosen(&mut tx, branch).await?,
    };
    drop(tx);
    let password = match args.password_stdin {
        true => Some(Hashed::of(&control.hasher, tenant.id, &password()?).await?),
        false => None,
    };
    let new = NewUser {
        profile: Profile {
            username: args.username,
            email: args.email,
            first_name: args.first_name,
            last_name: args.last_name,
            phone: String::new(),
            language: args.language,
        },
        status: UserStatus::Active,
        roles: args.roles,
        branch,
        password,
        must_change_password: args.must_change,
        email_verified: true,
    };
    let mut tx = control.db.tenant_tx(tenant.id).await?;
    let user = users::create(control, &mut tx, &Actor::operator(), new).await?;
    let name = user.username.expose().to_owned();
    let shown = shown(&mut tx, user).await?;
    tx.commit().await?;
    print(show, &shown, "created: ");
    note_without_password(show, tenant, &name, &shown);
    Ok(())
}

/// Warns about an active user without a password, who cannot sign in.
fn note_without_password(show: Show, tenant: &Tenant, name: &str, shown: &Shown) {
    if shown.password == "none" {
        show.note(&format!(
            "{name} has no password and cannot sign in before `wardgate user set-password {name} --tenant {}`",
            tenant.slug
        ));
    }
}

async fn set_password(
    control: &Control,
    show: Show,
    tenant: &Tenant,
    name: &str,
    must_change: bool,
) -> Result<(), CliError> {
    // Look for the user first, so that no password is typed in vain.
    looked_up(control, tenant, name).await?;
    let password = Some(Successor::of(&control.hasher, tenant.id, &password()?).await?);
    // A demand that stands is not taken back by another password.
    let must_change_password = must_change.then_some(true);
    let change = Change { password, must_change_password, ..Change::default() };
    apply(control, show, tenant, name, change).await
}

async fn reset_password(control: &Control, show: Show, tenant: &Tenant, name: &str) -> Result<(), CliError> {
    let mut tx = control.db.tenant_tx(tenant.id).await?;
    let user = named(&mut tx, tenant, name).await?;
    let refused = |why: &str| Err(CliError::Refused(format!("no link was mailed to {name}: {why}")));
    match resets::mail_link(control, &mut tx, &Actor::operator(), user.id).await? {
        Mailed::Promised => {}
        Mailed::Gone => return refused("the user was deleted meanwhile"),
        Mailed::NotActive => {
            return refused(
                "only an active user can set a password; `wardgate user resume` makes one active",
            );
        }
        Mailed::NoProvenAddress => {
            return refused("no address of theirs is proven; `wardgate user set-password` sets a password");
        }
        Mailed::OverBudget => {
            return refused("they had their share of mails in this hour, or their domain in this minute");
        }
    }
    let shown = shown(&mut tx, user).await?;
    tx.commit().await?;
    print(show, &shown, "a link is on its way to: ");
    Ok(())
}

async fn delete(
    control: &Control,
    show: Show,
    tenant: &Tenant,
    name: &str,
    yes: Yes,
) -> Result<(), CliError> {
    let mut tx = control.db.tenant_tx(tenant.id).await?;
    let user = named(&mut tx, tenant, name).await?;
    let shown = shown(&mut tx, user.clone()).await?;
    drop(tx);
    yes.to(&format!("deletes {} for good", which(&user, tenant)))?;
    let mut tx = control.db.tenant_tx(tenant.id).await?;
    users::delete(control, &mut tx, &Actor::operator(), user.id).await?;
    tx.commit().await?;
    print(show, &shown, "deleted: ");
    Ok(())
}

async fn apply(
    control: &Control,
    show: Show,
    tenant: &Tenant,
    name: &str,
    change: Change,
) -> Result<(), CliError> {
    let resumes = change.status == Some(UserStatus::Active);
    let mut tx = control.db.tenant_tx(tenant.id).await?;
    let user = named(&mut tx, tenant, name).await?;
    let user = users::change(control, &mut tx, &Actor::operator(), user.id, change).await?;
    let shown = shown(&mut tx, user).await?;
    tx.commit().await?;
    print(show, &shown, "changed: ");
    if resumes {
        note_without_password(show, tenant, name, &shown);
    }
    Ok(())
}

/// Looks a user up by name or id before a prompt, in a transaction of its own: no connection is held while the prompt waits.
pub(super) async fn looked_up(control: &Control, tenant: &Tenant, name: &str) -> Result<User, CliError> {
    let mut tx = control.db.tenant_tx(tenant.id).await?;
    named(&mut tx, tenant, name).await
}

async fn named(tx: &mut TenantTx, tenant: &Tenant, name: &str) -> Result<User, CliError> {
    let mut found = match UserId::parse(name) {
        Ok(id) => users::find(tx, id).await,
        Err(_) => Err(UserError::NotFound),
    };
    // 32 hexadecimal digits may be a user name, too.
    if matches!(found, Err(UserError::NotFound)) {
        found = users::find_by_name(tx, name).await;
    }
    found.map_err(|error| match error {
        UserError::NotFound => CliError::NotFound(format!(
            "there is no user `{name}` in tenant `{0}`: `wardgate user list --tenant {0}` lists them, --tenant names another tenant",
            tenant.slug
        )),
        other => other.into(),
    })
}

async fn shown(tx: &mut TenantTx, user: User) -> Result<Shown, CliError> {
    let password = match users::password_kept(tx, user.id).await? {
        PasswordKept::None => "none",
        PasswordKept::Own => "set",
        PasswordKept::Foreign => "foreign",
    };
    Ok(Shown { user: Viewer::operator().shows(user), password })
}

fn print(show: Show, shown: &Shown, what: &str) {
    let line = format!("{what}{}", shown.user.line().join("  "));
    show.one(shown, &line);
}

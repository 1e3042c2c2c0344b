//! `dev.json`: what runs and how to reach it, for scripts, editors and tests. It holds passwords,
//! but no key.

use std::fs;
use std::path::PathBuf;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::mail;
use crate::settings::Addresses;
use crate::stack::{PLATFORM_TENANT, People, Stack};
use crate::state::{State, write_private};

/// The file's format.
const VERSION: u32 = 1;

/// The whole file.
#[derive(Serialize, Deserialize)]
pub struct DevJson {
    /// The format.
    pub version: u32,
    /// Whether every part runs.
    pub ready: bool,
    /// The `dev` that runs it all.
    pub pid: u32,
    /// When it was ready, RFC 3339.
    pub started_at: String,
    /// The state folder.
    pub state_dir: PathBuf,
    /// The Worker.
    pub edge: EdgeOut,
    /// Control.
    pub control: ControlOut,
    /// PostgreSQL.
    pub postgres: PostgresOut,
    /// The mailbox.
    pub mail: MailOut,
    /// The tenant that was made.
    pub tenant: TenantOut,
    /// Its administrator.
    pub admin: AdminOut,
    /// The platform's administrator.
    pub platform_admin: PlatformAdminOut,
    /// Logs by name.
    pub logs: Logs,
}

/// The Worker. A pid is null while its process does not run.
#[derive(Serialize, Deserialize)]
pub struct EdgeOut {
    /// As a client meets it.
    pub url: String,
    /// Without miniflare's entry.
    pub direct_url: String,
    /// The script that runs workerd.
    pub pid: Option<u32>,
    /// workerd itself.
    pub workerd_pid: Option<u32>,
}

/// Control.
#[derive(Serialize, Deserialize)]
pub struct ControlOut {
    /// Its interface.
    pub url: String,
    /// Its metrics.
    pub metrics_url: String,
    /// Whether it takes requests that did not come through the edge.
    pub direct: bool,
    /// Its process.
    pub pid: Option<u32>,
}

/// PostgreSQL.
#[derive(Serialize, Deserialize)]
pub struct PostgresOut {
    /// As the role that serves requests.
    pub url: String,
    /// As the superuser, or the user of DATABASE_URL.
    pub owner_url: String,
    /// Whether it is ours.
    pub managed: bool,
    /// Its process, where it is ours.
    pub pid: Option<u32>,
}

/// The mailbox, which takes control's mails.
#[derive(Serialize, Deserialize)]
pub struct MailOut {
    /// The page that shows them.
    pub url: String,
    /// Its SMTP: host and port.
    pub smtp: String,
    /// Where they are kept.
    pub folder: PathBuf,
    /// Its process.
    pub pid: Option<u32>,
}

/// The tenant.
#[derive(Serialize, Deserialize)]
pub struct TenantOut {
    /// Its id.
    pub id: String,
    /// Its short name.
    pub slug: String,
    /// Its hosts.
    pub hosts: Vec<String>,
    /// The issuer of its tokens.
    pub issuer: String,
    /// Its public keys.
    pub jwks_url: String,
}

/// The tenant's administrator.
#[derive(Serialize, Deserialize)]
pub struct AdminOut {
    /// Their id.
    pub user_id: String,
    /// Their name at sign-in.
    pub username: String,
    /// Their address.
    pub email: String,
    /// Their password.
    pub password: String,
    /// Their roles.
    pub roles: Vec<String>,
}

/// The platform's administrator.
#[derive(Serialize, Deserialize)]
pub struct PlatformAdminOut {
    /// Their tenant.
    pub tenant: String,
    /// Their name at sign-in.
    pub username: String,
    /// Their password.
    pub password: String,
}

/// Log files.
#[derive(Serialize, Deserialize)]
pub struct Logs {
    /// PostgreSQL's.
    pub postgres: PathBuf,
    /// Control's.
    pub control: PathBuf,
    /// The mailbox's.
    pub mailbox: PathBuf,
    /// The Worker's.
    pub edge: PathBuf,
}

impl DevJson {
    /// The description of this stack.
    pub fn of(stack: &Stack<'_>, people: &People, started_at: String) -> Self {
        let Addresses { edge, control, metrics, admin_database, app_database, .. } = &stack.addresses;
        let issuer = people.tenant.issuer.clone();
        Self {
            version: VERSION,
            ready: true,
            pid: std::process::id(),
            started_at,
            state_dir: stack.state.folder().to_owned(),
            edge: EdgeOut { url: edge.clone(), direct_url: String::new(), pid: None, workerd_pid: None },
            control: ControlOut {
                url: control.clone(),
                metrics_url: metrics.clone(),
                direct: true,
                pid: None,
            },
            postgres: PostgresOut {
                url: app_database.clone(),
                owner_url: admin_database.clone(),
                managed: stack.secrets.managed_database,
                pid: None,
            },
            mail: MailOut {
                url: mail::page(stack.ports),
                smtp: format!("127.0.0.1:{}", stack.ports.smtp),
                folder: mail::folder(&stack.state),
                pid: None,
            },
            tenant: TenantOut {
                id: people.tenant.id.clone(),
                slug: people.tenant.slug.clone(),
                hosts: people.tenant.hosts.clone(),
                jwks_url: format!("{issuer}/.well-known/jwks.json"),
                issuer,
            },
            admin: AdminOut {
                user_id: people.admin.id.clone(),
                username: people.admin.username.clone(),
                email: people.admin.email.clone(),
                password: stack.secrets.admin_password.clone(),
                roles: people.admin.roles.clone(),
            },
            platform_admin: PlatformAdminOut {
                tenant: PLATFORM_TENANT.to_owned(),
                username: people.platform_admin.username.clone(),
                password: stack.secrets.platform_password.clone(),
            },
            logs: Logs {
                postgres: stack.state.log_path("postgres"),
                control: stack.state.log_path("control"),
                mailbox: stack.state.log_path(mail::NAME),
                edge: stack.state.log_path("edge"),
            },
        }
    }

    /// Takes over which processes run now, and puts the file in place.
    pub fn publish(&mut self, stack: &Stack<'_>) -> Result<()> {
        self.ready = stack.is_whole();
        self.postgres.pid = stack.postgres.as_ref().map(|running| running.pid());
        self.control.pid = stack.control.as_ref().map(|running| running.pid());
        self.mail.pid = stack.mailbox.as_ref().map(|running| running.pid());
        self.edge.pid = stack.edge.as_ref().map(|edge| edge.program.pid());
        self.edge.workerd_pid = stack.edge.as_ref().map(|edge| edge.workerd_pid);
        if let Some(edge) = &stack.edge {
            self.edge.direct_url.clone_from(&edge.direct_url);
        }
        write_private(&path(&stack.state), &serde_json::to_vec_pretty(self)?)
    }

    /// The file of this state, if there is one that we understand.
    pub fn read(state: &State) -> Option<Self> {
        let found: Self = serde_json::from_slice(&fs::read(path(state)).ok()?).ok()?;
        (found.version == VERSION).then_some(found)
    }
}

/// Deletes the file: at a clean stop, and before a start, so that no reader finds the last run's.
pub fn remove(state: &State) {
    let _ = fs::remove_file(path(state));
}

/// Where it is.
pub fn path(state: &State) -> PathBuf {
    state.path("dev.json")
}

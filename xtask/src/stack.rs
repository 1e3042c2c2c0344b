//! PostgreSQL, the Worker, the mailbox and control as one set: started in order, stopped in the opposite one.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::control::{Control, NewUser, Tenant, User};
use crate::edge::{self, Edge};
use crate::events::Events;
use crate::mail;
use crate::ports::Ports;
use crate::postgres::{self, Durability};
use crate::program::Running;
use crate::readiness;
use crate::secrets::Secrets;
use crate::settings::{self, Addresses, TENANT, TENANT_HOST};
use crate::state::{State, write_private};
use crate::wait::until;
use crate::workspace::Workspace;

/// The first administrator of the tenant.
pub const ADMIN: &str = "ada";
/// The tenant whose people run the platform.
pub const PLATFORM_TENANT: &str = "platform";
/// The platform's first administrator.
pub const PLATFORM_ADMIN: &str = "operator";

/// How long commits of the set-up may take to reach the edge.
const PROPAGATION: Duration = Duration::from_secs(60);

/// Where everything is and what runs. Dropping it stops what runs.
pub struct Stack<'a> {
    workspace: &'a Workspace,
    events: &'a Events,
    /// Its folder.
    pub state: State,
    /// Its ports.
    pub ports: Ports,
    /// Its secrets.
    pub secrets: Secrets,
    /// Its addresses.
    pub addresses: Addresses,
    control_cli: Control,
    /// The server, where it is ours.
    pub postgres: Option<Running>,
    /// The Worker.
    pub edge: Option<Edge>,
    /// Control.
    pub control: Option<Running>,
    /// The mailbox, which receives control's mails.
    pub mailbox: Option<Running>,
}

/// The accounts that `dev` created.
pub struct People {
    /// The tenant.
    pub tenant: Tenant,
    /// Its administrator.
    pub admin: User,
    /// The platform's administrator.
    pub platform_admin: User,
}

impl<'a> Stack<'a> {
    /// Nothing runs yet; the settings of both halves are written.
    pub fn new(
        workspace: &'a Workspace,
        events: &'a Events,
        state: State,
        secrets: Secrets,
        external: Option<&str>,
    ) -> Result<Self> {
        let ports = Ports::from_base(secrets.port_base);
        let addresses = Addresses::new(ports, &secrets, external)?;
        write_private(
            &state.path("control.toml"),
            settings::control(ports, &secrets, &addresses, &state.path("checkpoints"))?.as_bytes(),
        )?;
        write_private(&state.path("edge.vars"), settings::edge(ports, &secrets, &addresses)?.as_bytes())?;
        let control_cli = Control::of(workspace, &state);
        Ok(Self {
            workspace,
            events,
            state,
            ports,
            secrets,
            addresses,
            control_cli,
            postgres: None,
            edge: None,
            control: None,
            mailbox: None,
        })
    }

    /// PostgreSQL, unless an external one is used.
    pub fn start_postgres(&mut self) -> Result<()> {
        if self.secrets.managed_database {
            let password = &self.secrets.database.superuser;
            let port = self.ports.postgres;
            let running = postgres::start(self.workspace, &self.state, port, password, Durability::Kept)?;
            self.postgres = Some(running);
        }
        Ok(())
    }

    /// Schema, roles and cells at the binary's version.
    pub fn migrate(&self) -> Result<()> {
        self.control_cli.migrate()
    }

    /// The Worker. It is ready when it answers; that it serves nothing before control has pushed to
    /// it is another matter.
    pub fn start_edge(&mut self) -> Result<()> {
        self.edge = Some(edge::start(self.workspace, &self.state, self.ports, self.events)?);
        Ok(())
    }

    /// The mailbox, which receives control's mails.
    pub fn start_mailbox(&mut self) -> Result<()> {
        self.mailbox = Some(mail::start(self.workspace, &self.state, self.ports, self.events)?);
        Ok(())
    }

    /// Control.
    pub fn start_control(&mut self) -> Result<()> {
        let mut running = self.control_cli.serve(&self.state)?;
        let url = format!("{}/readyz", self.addresses.control);
        readiness::wait(&url, &mut running, &self.state.log_path("control"), self.events)?;
        self.control = Some(running);
        Ok(())
    }

    /// The tenant and both administrators, and then the edge's word that it knows them.
    pub fn ensure_people(&mut self) -> Result<People> {
        let control = &self.control_cli;
        let tenant = control.ensure_tenant(TENANT, "Acme", TENANT_HOST, &self.addresses.issuer())?;
        let admin = control.ensure_administrator(&NewUser {
            tenant: TENANT,
            username: ADMIN,
            email: "ada@acme.test",
            password: &self.secrets.admin_password,
        })?;
        let platform_admin = control.ensure_administrator(&NewUser {
            tenant: PLATFORM_TENANT,
            username: PLATFORM_ADMIN,
            email: "operator@platform.test",
            password: &self.secrets.platform_password,
        })?;
        let edge = self.edge.as_mut().context("the edge runs")?;
        let url = format!("{}/readyz", self.addresses.edge);
        readiness::wait(&url, &mut edge.program, &self.state.log_path("edge"), self.events)?;
        Ok(People { tenant, admin, platform_admin })
    }

    /// Waits until the edge has everything that control has committed.
    pub fn settle(&self) -> Result<()> {
        let mut last = Ok(false);
        let _ = until(PROPAGATION, || {
            last = self.control_cli.edge_has_all();
            !matches!(last, Ok(false)) || self.events.go_on().is_err()
        });
        self.events.go_on()?;
        ensure!(
            last?,
            "the edge has not taken over everything: see `./wardgate edges status` of a running dev"
        );
        Ok(())
    }

    /// The parts that have ended since the last call, as text.
    pub fn take_ended(&mut self) -> Vec<String> {
        let edge = self.edge.as_mut().map(|edge| &mut edge.program);
        let parts = [self.postgres.as_mut(), edge, self.control.as_mut(), self.mailbox.as_mut()];
        let ended: Vec<_> =
            parts.into_iter().flatten().filter_map(|part| Some((part.name, part.ended()?))).collect();
        for (name, _) in &ended {
            match *name {
                "postgres" => self.postgres = None,
                "edge" => self.edge = None,
                mail::NAME => self.mailbox = None,
                _ => self.control = None,
            }
        }
        ended.into_iter().map(|(name, status)| format!("{name} has ended ({status})")).collect()
    }

    /// Whether every part runs.
    pub fn is_whole(&self) -> bool {
        let database = self.postgres.is_some() || !self.secrets.managed_database;
        database && self.edge.is_some() && self.control.is_some() && self.mailbox.is_some()
    }

    /// Starts what does not run.
    pub fn restart(&mut self) -> Result<()> {
        if self.postgres.is_none() {
            self.start_postgres()?;
        }
        if self.edge.is_none() {
            self.start_edge()?;
        }
        if self.mailbox.is_none() {
            self.start_mailbox()?;
        }
        if self.control.is_none() {
            self.start_control()?;
        }
        Ok(())
    }

    /// Stops all processes: first those that take requests, last those that hold the data.
    pub fn stop(&mut self) {
        self.edge = None;
        self.control = None;
        self.mailbox = None;
        self.postgres = None;
    }
}

impl Drop for Stack<'_> {
    fn drop(&mut self) {
        self.stop();
    }
}

//! PostgreSQL: pools, cells, the transaction of a tenant and its effects, roles, migrations.
//!
//! Every request works inside [`Db::tenant_tx`]; nothing else may read a tenant's tables. SQL of
//! tenant tables is unqualified, SQL of the platform names the schema `platform`.
//!
//! A tenant holds at most its share of the connections ([`crate::shares`]). Requests of its users and unauthenticated
//! requests are counted separately, and control's own work has connections of its own. So neither a busy tenant nor
//! an attack delays another tenant, a job or a push.

mod account;
pub mod archived;
pub mod body;
mod cell;
pub mod chain;
pub mod changes;
mod effects;
pub mod entries;
mod keyring;
pub mod migrate;
pub mod replace;
pub mod reseal;
pub mod rewrap;
mod roles;
mod scope;
mod tx;

pub use cell::CellName;
pub use keyring::NewTenantKey;
pub use roles::{Roles, refuse_exempt};
pub use scope::Scope;
pub use tx::TenantTx;

use std::collections::HashMap;
use std::str::FromStr as _;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use shared::ids::TenantId;
use sqlx::PgExecutor;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

use self::account::{Account, Lane};
use self::effects::Effects;
use self::keyring::Keyring;
use crate::crypt::sealed::TenantKeys;
use crate::crypt::wrapped::KeyWrapper;
use crate::failure::Failure;
use crate::settings;
use crate::shares::{Kind, Shares};
use crate::world::Clock;

/// A request that cannot have a connection in this time is answered 503: quick, not queued.
const ACQUIRE: Duration = Duration::from_secs(3);
/// How long a request waits for its tenant's share, before it waits for a connection.
const SHARE: Duration = Duration::from_secs(2);
/// Idle connections are closed soon, because other control processes share PostgreSQL's limit.
const IDLE: Duration = Duration::from_secs(60);
/// The schema of the queue's tables, which are its library's.
pub const JOBS_SCHEMA: &str = "platform_jobs";
/// Connections of the jobs' runners: one for each pool of jobs listens, the others claim, finish and report. Jobs
/// themselves work on the other pools.
const JOB_CONNECTIONS: u32 = 8;
/// Connections of the pusher, in addition to those for requests.
const PUSH_CONNECTIONS: u32 = 5;
/// Connections of jobs and of the drain, as the role that serves requests: each of them works on one, and has it
/// only while it does. What calls distant machines holds none meanwhile.
const WORK_CONNECTIONS: u32 = 10;
/// Connections that read wrapped keys of tenants.
const KEY_CONNECTIONS: u32 = 2;
/// Backends cache every table that they have used (up to 200 kB a tenant), so connections have a maximum age.
const MAX_LIFETIME: Duration = Duration::from_secs(30 * 60);

/// The pools of the serving roles.
#[derive(Clone)]
pub struct Db {
    /// Serves requests, under row security.
    app: PgPool,
    /// Reads what is pushed, as the same role: a revocation does not queue behind requests.
    push: PgPool,
    /// Connections of jobs and the drain, with the same role, so that they do not wait behind requests.
    work: PgPool,
    /// Finds due work.
    relay: PgPool,
    /// Runs the queue, as the relay's role: a full queue does not keep a revocation waiting.
    jobs: PgPool,
    /// The data keys of tenants.
    keyring: Keyring,
    /// Wraps new keys of tenants.
    wrapper: KeyWrapper,
    /// The id of the edge's key-encryption key, under which what transactions change will be sealed.
    edge_key: Arc<str>,
    /// Connections for the users of each tenant.
    users: Shares,
    /// Connections for unauthenticated requests at each tenant.
    strangers: Shares,
    /// Reads that may go through all rows, for each tenant; those of all tenants hold half of the connections at
    /// most, since each may hold one for seconds.
    long_reads: Shares,
    /// A tenant never changes its cell, so what was looked up once stays right.
    cells: Arc<Mutex<HashMap<TenantId, CellName>>>,
    /// The platform tenant, once it was looked up: there is one for ever.
    platform: Arc<OnceLock<TenantId>>,
}

impl Db {
    /// Prepares the pools; connects when first used, so that a start does not need the database. `wrapper` wraps the
    /// data keys of tenants, the key named `edge_key` seals for the edge, and `clock` says how old keys are in memory.
    ///
    /// # Errors
    /// For URLs that do not parse.
    pub fn new(
        settings: &settings::Database,
        wrapper: KeyWrapper,
        edge_key: &str,
        clock: Clock,
    ) -> Result<Self, Failure> {
        let pool = |url: &settings::DatabaseUrl, size| {
            let options = connect_options(url)?;
            let pool = PgPoolOptions::new()
                .max_connections(size)
                .acquire_timeout(ACQUIRE)
                .idle_timeout(IDLE)
                .max_lifetime(MAX_LIFETIME)
                .connect_lazy_with(options);
            Ok::<_, Failure>(pool)
        };
        let most = usize::try_from(settings.max_connections).unwrap_or(usize::MAX);
        Ok(Self {
            users: Shares::new(Kind::Connections, (most / 4).max(2), SHARE),
            strangers: Shares::new(Kind::StrangersConnections, most / 8, SHARE),
            long_reads: Shares::of(Kind::LongReads, most / 2, most / 10, SHARE),
            app: pool(&settings.app_url, settings.max_connections)?,
            push: pool(&settings.app_url, PUSH_CONNECTIONS)?,
            work: pool(&settings.app_url, WORK_CONNECTIONS)?,
            relay: pool(&settings.relay_url, 5)?,
            jobs: pool(&settings.relay_url, JOB_CONNECTIONS)?,
            keyring: Keyring::new(wrapper.clone(), pool(&settings.app_url, KEY_CONNECTIONS)?, clock),
            wrapper,
            edge_key: edge_key.into(),
            cells: Arc::default(),
            platform: Arc::default(),
        })
    }

    /// The pool of the serving role, for tables of the platform.
    #[must_use]
    pub fn app(&self) -> &PgPool {
        &self.app
    }

    /// The pool of what jobs do, for tables of the platform.
    #[must_use]
    pub fn work(&self) -> &PgPool {
        &self.work
    }

    /// The pool of the relay role.
    #[must_use]
    pub fn relay(&self) -> &PgPool {
        &self.relay
    }

    /// The pool of the jobs' runner.
    #[must_use]
    pub fn jobs(&self) -> &PgPool {
        &self.jobs
    }

    /// Begins a transaction that sees one tenant's rows, for one of its users or the command line: BEGIN,
    /// the cell and the tenant travel in one round trip.
    ///
    /// # Errors
    /// No such tenant is [`sqlx::Error::RowNotFound`]; [`Failure::Busy`] where the tenant has its share.
    pub async fn tenant_tx(&self, tenant: TenantId) -> Result<TenantTx, Failure> {
        self.begin(Account { lane: Lane::Users, tenant }, tenant).await
    }

    /// The same for a request without a credential, from a separate share.
    ///
    /// # Errors
    /// As [`Db::tenant_tx`].
    pub async fn anonymous_tx(&self, tenant: TenantId) -> Result<TenantTx, Failure> {
        self.begin(Account { lane: Lane::Strangers, tenant }, tenant).await
    }

    /// The same for control's own work: jobs and the drain.
    ///
    /// # Errors
    /// No such tenant is [`sqlx::Error::RowNotFound`].
    pub async fn work_tx(&self, tenant: TenantId) -> Result<TenantTx, Failure> {
        self.begin(Account { lane: Lane::Work, tenant }, tenant).await
    }

    /// The same for the pusher.
    ///
    /// # Errors
    /// No such tenant is [`sqlx::Error::RowNotFound`].
    pub async fn push_tx(&self, tenant: TenantId) -> Result<TenantTx, Failure> {
        self.begin(Account { lane: Lane::Push, tenant }, tenant).await
    }

    /// The same with a consistent snapshot (repeatable read), so that a push has the state of one revision.
    ///
    /// # Errors
    /// As [`Db::push_tx`].
    pub async fn tenant_snapshot(&self, tenant: TenantId) -> Result<TenantTx, Failure> {
        let cell = self.cell_of(&self.push, tenant).await?;
        let keys = self.keyring.of(tenant).await?;
        let mode = " ISOLATION LEVEL REPEATABLE READ READ ONLY";
        let account = Account { lane: Lane::Push, tenant };
        TenantTx::begin(&self.push, account, None, (keys, &cell, mode), self.effects()).await
    }

    /// Waits for the account's share, then for the tenant's keys, then for a connection.
    async fn begin(&self, account: Account, tenant: TenantId) -> Result<TenantTx, Failure> {
        let (pool, seat) = match account.lane {
            Lane::Users => (&self.app, Some(self.users.take(account.tenant).await?)),
            Lane::Strangers => (&self.app, Some(self.strangers.take(account.tenant).await?)),
            Lane::Work => (&self.work, None),
            Lane::Push => (&self.push, None),
        };
        let cell = self.cell_of(pool, tenant).await?;
        let keys = self.keyring.of(tenant).await?;
        TenantTx::begin(pool, account, seat, (keys, &cell, ""), self.effects()).await
    }

    fn effects(&self) -> Effects {
        Effects::sealed_by(self.edge_key.clone())
    }

    /// The data keys of a tenant, for what is sealed or opened outside of a transaction.
    ///
    /// # Errors
    /// The database's and the key provider's; [`Failure::Unreadable`] where the tenant has no keys.
    pub async fn keys(&self, tenant: TenantId) -> Result<Arc<TenantKeys>, Failure> {
        self.keyring.of(tenant).await
    }

    /// Whether a transaction can [enter](TenantTx::enter) a tenant now.
    pub async fn has_keys(&self, tenant: TenantId) -> bool {
        self.keyring.at_hand(tenant).await.is_some()
    }

    /// Makes the key of a tenant that is about to be made.
    ///
    /// # Errors
    /// The key provider's.
    pub async fn new_key(&self, tenant: TenantId) -> Result<NewTenantKey, Failure> {
        NewTenantKey::make(&self.wrapper, tenant).await
    }

    /// The platform tenant.
    ///
    /// # Errors
    /// Before the first `migrate` it does not exist.
    pub async fn platform(&self) -> Result<TenantId, Failure> {
        if let Some(platform) = self.platform.get() {
            return Ok(*platform);
        }
        let id = sqlx::query_scalar!("select id from platform.tenants where is_platform")
            .fetch_one(&self.app)
            .await?;
        Ok(*self.platform.get_or_init(|| id.into()))
    }

    async fn cell_of<'e>(&self, by: impl PgExecutor<'e>, tenant: TenantId) -> Result<CellName, Failure> {
        if let Some(cell) = self.cells.lock().unwrap_or_else(PoisonError::into_inner).get(&tenant) {
            return Ok(cell.clone());
        }
        let text = sqlx::query_scalar!("select cell from platform.tenants where id = $1", tenant.uuid())
            .fetch_one(by)
            .await?;
        let cell = CellName::parse(&text)?;
        self.cells.lock().unwrap_or_else(PoisonError::into_inner).insert(tenant, cell.clone());
        Ok(cell)
    }

    /// Whether the database answers now.
    ///
    /// # Errors
    /// If it does not.
    pub async fn ping(&self) -> Result<(), Failure> {
        sqlx::query("select 1").execute(&self.app).await?;
        Ok(())
    }

    /// Closes the pools, waiting for what is under way.
    pub async fn close(&self) {
        self.app.close().await;
        self.push.close().await;
        self.work.close().await;
        self.relay.close().await;
        self.jobs.close().await;
        self.keyring.close().await;
    }
}

/// Options for one URL. Time limits are the roles' own (see [`roles`]), because a pooler in front
/// of PostgreSQL passes no start-up options on.
pub(crate) fn connect_options(url: &settings::DatabaseUrl) -> Result<PgConnectOptions, Failure> {
    Ok(PgConnectOptions::from_str(url.expose())?.application_name("wardgate"))
}

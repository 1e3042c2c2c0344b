//! A control, its API, one large tenant and many small ones, full of users.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use control::api;
use control::audit::Actor;
use control::control::Control;
use control::db::migrate;
use control::tenants::{self, Isolation, NewTenant, Tenant, provision};
use control::users::{self, NewUser, Profile};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use shared::ids::Slug;
use shared::tenant::settings::Settings;
use shared::user::UserStatus;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::database::Database;
use super::people::{self, Part};
use super::{Options, Outcome};

/// Users whose rows are made in one transaction.
const TOGETHER: u32 = 500;
/// How many such transactions, or tenants, are made at once.
const AT_ONCE: usize = 4;
/// The user name of the administrator of each tenant, who sends the requests.
pub const ADMIN: &str = "administrator";

/// See the module.
pub struct Stage {
    /// The control that is measured.
    pub control: Control,
    /// Where its API is.
    pub api: SocketAddr,
    /// The tenant with a schema of its own.
    pub large: Tenant,
    /// Tenants in the schema that they share.
    pub small: Vec<Tenant>,
    database: Database,
    loading: Option<Duration>,
}

impl Stage {
    /// Makes the tenants and their users, unless they are there.
    ///
    /// # Errors
    /// Errors of the database.
    pub async fn set(options: &Options) -> Outcome<Self> {
        let database = Database::of(options)?;
        let is_loaded = database.is_loaded().await?;
        let control = database.control()?;
        let start = Instant::now();
        if !is_loaded {
            load(&control, options).await?;
            // The work that autovacuum does later.
            let mut admin = database.admin().await?;
            for statement in ["vacuum analyze", "checkpoint", "create table public.bench_loaded ()"] {
                eprintln!("{statement}");
                sqlx::raw_sql(statement).execute(&mut admin).await?;
            }
        }
        let loading = (!is_loaded).then(|| start.elapsed());
        let large = tenant(&control, "large").await?;
        let mut small = Vec::new();
        for number in 0..options.tenants {
            small.push(tenant(&control, &format!("small-{number}")).await?);
        }
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let api = listener.local_addr()?;
        tokio::spawn(api::serve(control.clone(), listener, CancellationToken::new()));
        Ok(Self { control, api, large, small, database, loading })
    }

    /// The database.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// The description of the measurement and the machine.
    ///
    /// # Errors
    /// Errors of the database.
    pub async fn about(&self, options: &Options) -> Outcome<Vec<(String, String)>> {
        let mut admin = self.database.admin().await?;
        let mut about = vec![
            ("processor".to_owned(), of_proc("/proc/cpuinfo", "model name")),
            ("processors".to_owned(), std::thread::available_parallelism()?.to_string()),
            ("memory".to_owned(), of_proc("/proc/meminfo", "MemTotal")),
            ("build".to_owned(), if cfg!(debug_assertions) { "debug" } else { "release" }.to_owned()),
        ];
        for setting in ["server_version", "shared_buffers", "fsync"] {
            let value: String =
                sqlx::query_scalar("select current_setting($1)").bind(setting).fetch_one(&mut admin).await?;
            about.push((format!("PostgreSQL {setting}"), value));
        }
        let size: String = sqlx::query_scalar("select pg_size_pretty(pg_database_size(current_database()))")
            .fetch_one(&mut admin)
            .await?;
        about.push(("database".to_owned(), size));
        let users = options.users + options.tenants * options.users_each;
        let loaded = self.loading.map_or_else(
            || "by a run of before".to_owned(),
            |time| format!("{users} users in {} s", time.as_secs()),
        );
        about.push(("loaded".to_owned(), loaded));
        Ok(about)
    }
}

fn of_proc(file: &str, name: &str) -> String {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(name));
    line.and_then(|line| line.split_once(':')).map_or("unknown", |(_, value)| value.trim()).to_owned()
}

async fn tenant(control: &Control, slug: &str) -> Outcome<Tenant> {
    let mut connection = control.db.app().acquire().await?;
    Ok(tenants::find_by_slug(&mut connection, &Slug::parse(slug)?).await?)
}

async fn load(control: &Control, options: &Options) -> Outcome<()> {
    let database = &control.settings.database;
    migrate::platform(database).await?;
    tenants::ensure_platform(control).await?;
    for cell in migrate::cells(database, &control.roles).await? {
        cell.version?;
    }
    eprintln!("making {} tenants, each with two signing keys", options.tenants + 1);
    let large = make(control, "large".to_owned(), Isolation::Schema).await?;
    let small = stream::iter(0..options.tenants)
        .map(|number| make(control, format!("small-{number}"), Isolation::Shared));
    let mut made = 0;
    let said = small.buffered(AT_ONCE).inspect_ok(|_| {
        made += 1;
        if made % 100 == 0 {
            eprintln!("{made} of {} tenants", options.tenants);
        }
    });
    let small: Vec<Tenant> = said.try_collect().await?;

    let of = |tenant: &Tenant, of: u32| {
        let tenant = tenant.id;
        (0..of).step_by(TOGETHER as usize).map(move |from| Part {
            tenant,
            from,
            to: of.min(from + TOGETHER),
            of,
        })
    };
    let parts: Vec<Part> =
        of(&large, options.users).chain(small.iter().flat_map(|it| of(it, options.users_each))).collect();
    let all: u32 = parts.iter().map(|part| part.to - part.from).sum();
    let (now, start) = (control.clock.now(), Instant::now());
    let work = parts.into_iter().map(|part| {
        let control = control.clone();
        tokio::spawn(async move { people::insert(&control, now, part).await })
    });
    let mut work = stream::iter(work).buffer_unordered(AT_ONCE);
    let (mut done, mut said) = (0, Instant::now());
    while let Some(users) = work.next().await {
        done += users??;
        if done == all || said.elapsed() > Duration::from_secs(5) {
            said = Instant::now();
            eprintln!("{done} of {all} users, {} s", start.elapsed().as_secs());
        }
    }
    Ok(())
}

async fn make(control: &Control, slug: String, isolation: Isolation) -> Outcome<Tenant> {
    let new = NewTenant {
        slug: Slug::parse(&slug)?,
        name: slug,
        hosts: vec![],
        issuer: None,
        audience: None,
        isolation,
        settings: Settings::default(),
        admin: None,
    };
    let key = tenants::prepare(control).await?;
    let mut tx = control.db.tenant_tx(control.db.platform().await?).await?;
    let tenant = tenants::create(control, &mut tx, &Actor::operator(), &key, new).await?;
    tx.commit().await?;
    provision::run(control, tenant.id).await?;
    let mut tx = control.db.tenant_tx(tenant.id).await?;
    let new = NewUser {
        profile: Profile { username: ADMIN.into(), ..Profile::default() },
        status: UserStatus::Active,
        roles: vec!["root-admin".to_owned()],
        branch: None,
        password: None,
        must_change_password: false,
        email_verified: true,
    };
    users::create(control, &mut tx, &Actor::operator(), new).await?;
    let tenant = tenants::find(&mut tx, tenant.id).await?;
    tx.commit().await?;
    Ok(tenant)
}

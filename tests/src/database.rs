//! A database of one stack's own, on a PostgreSQL that many stacks may share.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

use shared::ids::{TenantId, UserId};

use crate::{environment, seed};

/// A database and how to reach it.
pub struct Database {
    server: String,
    name: String,
}

impl Database {
    /// A new database on the server of the environment.
    pub async fn create() -> Self {
        Self::create_on(&environment::database_url()).await
    }

    /// A new database on a server, which `url` reaches as superuser.
    ///
    /// # Panics
    /// Where it cannot be made.
    pub async fn create_on(url: &str) -> Self {
        let (server, _) = url.rsplit_once('/').expect("a URL with a database");
        let name = format!("e2e_{}", seed::unique());
        let mut connection = PgConnection::connect(url).await.expect("a PostgreSQL that answers");
        let create = AssertSqlSafe(format!("create database {name}"));
        sqlx::query(create).execute(&mut connection).await.expect("a database of our own");
        Self { server: server.to_owned(), name }
    }

    /// As superuser.
    #[must_use]
    pub fn admin_url(&self) -> String {
        format!("{}/{}", self.server, self.name)
    }

    /// As one of the service's roles.
    ///
    /// # Panics
    /// For a server whose URL names no user.
    #[must_use]
    pub fn role_url(&self, role: &str, password: &str) -> String {
        let (_, host) = self.server.rsplit_once('@').expect("a URL with a user");
        format!("postgres://{name}_{role}:{password}@{host}/{name}", name = self.name)
    }

    /// Where checkpoints of its audit logs are written.
    #[must_use]
    pub fn checkpoint_folder(&self) -> String {
        std::env::temp_dir().join(format!("{}-checkpoints", self.name)).display().to_string()
    }

    /// Whether the edge has confirmed everything that is committed for a tenant until now. This is
    /// what `wardgate edges status` prints; asking the table costs less than a process does.
    ///
    /// # Panics
    /// Where the database does not answer.
    pub async fn edge_has_all(&self, tenant: TenantId) -> bool {
        let mut connection = PgConnection::connect(&self.admin_url()).await.expect("the stack's database");
        let status = "select rev <= mark and history = mark_history as caught_up
                      from platform.revisions
                      where tenant_id = $1::text::uuid";
        let row = sqlx::query(status).bind(tenant.to_string()).fetch_optional(&mut connection).await;
        let row = row.expect("the tenant's revisions");
        // The server would keep a connection that is only dropped until it notices.
        let _ = connection.close().await;
        row.is_some_and(|row| row.get("caught_up"))
    }
}

/// A change of thousands of users by SQL, as a mass change does it: in chunks, each a transaction that gives its rows
/// their revisions. Their personal columns hold no encrypted values: nothing decrypts them.
#[derive(Clone, Copy, Debug)]
pub enum MassChange {
    /// They are made, without a password.
    Make,
    /// They are suspended, and one other user with them.
    Suspend(UserId),
    /// Their roles change.
    Roles,
}

impl MassChange {
    /// The statement that changes users `$2` to `$3` of the tenant `$1` and returns their ids.
    fn statement(self, users: &str) -> String {
        let of_chunk = "tenant_id = $1::text::uuid and username = any (
            select convert_to('mass' || n, 'UTF8') from generate_series($2::bigint, $3::bigint - 1) as numbers (n))";
        match self {
            Self::Make => format!(
                "insert into {users} (tenant_id, id, username, first_name, last_name, phone, status, created_at,
                     updated_at)
                 select $1::text::uuid, gen_random_uuid(), convert_to('mass' || n, 'UTF8'), '', '', '', 'active',
                     now(), now()
                 from generate_series($2::bigint, $3::bigint - 1) as numbers (n)
                 returning id"
            ),
            Self::Suspend(also) => format!(
                "update {users}
                 set status = 'suspended', access_epoch = access_epoch + 1, session_epoch = session_epoch + 1
                 where {of_chunk} or (tenant_id = $1::text::uuid and id = '{also}' and status = 'active')
                 returning id"
            ),
            Self::Roles => {
                format!("update {users} set access_epoch = access_epoch + 1 where {of_chunk} returning id")
            }
        }
    }
}

impl Database {
    /// Carries out a mass change of `count` users of a tenant.
    ///
    /// # Panics
    /// Where the database refuses it.
    pub async fn change_many(&self, tenant: TenantId, count: i64, change: MassChange) {
        const CHUNK: usize = 1000;
        let mut connection = PgConnection::connect(&self.admin_url()).await.expect("the stack's database");
        let cell = "select cell from platform.tenants where id = $1::text::uuid";
        let row = sqlx::query(cell).bind(tenant.to_string()).fetch_one(&mut connection).await;
        let users = format!("{}.users", row.expect("a tenant").get::<String, _>("cell"));
        let chunk = format!(
            "with changed as ({change}),
             raised as (
                 update platform.revisions
                 set rev = rev + (select count(*) from changed)
                 where tenant_id = $1::text::uuid
                 returning rev, pg_notify('wardgate_edges', $1)
             )
             insert into platform.edge_rows as e (tenant_id, kind, subject, rev, urgent)
             select $1::text::uuid, 'user', id::text,
                 rev - (select count(*) from changed) + row_number() over (), {urgent}
             from changed, raised
             on conflict (tenant_id, kind, subject) do update
             set rev = excluded.rev, urgent = e.urgent or excluded.urgent",
            change = change.statement(&users),
            urgent = !matches!(change, MassChange::Make),
        );
        for from in (0..count).step_by(CHUNK) {
            let to = count.min(from + i64::try_from(CHUNK).expect("a number"));
            let chunk =
                sqlx::query(AssertSqlSafe(chunk.clone())).bind(tenant.to_string()).bind(from).bind(to);
            chunk.execute(&mut connection).await.expect("a chunk of the mass change");
        }
        let _ = connection.close().await;
    }
}

/// A lock on the users of a tenant's cell: requests to control about one of them wait.
pub struct Held {
    connection: PgConnection,
    users: String,
}

impl Database {
    /// Takes the lock.
    ///
    /// # Panics
    /// Where the database does not answer, or has no such tenant.
    pub async fn hold_users(&self, tenant: TenantId) -> Held {
        let mut connection = PgConnection::connect(&self.admin_url()).await.expect("the stack's database");
        let cell = "select cell from platform.tenants where id = $1::text::uuid";
        let row = sqlx::query(cell).bind(tenant.to_string()).fetch_one(&mut connection).await;
        let users = format!("{}.users", row.expect("a tenant").get::<String, _>("cell"));
        let lock = AssertSqlSafe(format!("begin; lock table {users} in access exclusive mode"));
        sqlx::raw_sql(lock).execute(&mut connection).await.expect("the lock");
        Held { connection, users }
    }
}

impl Held {
    /// How many wait to read. What only writes, as the drain that notes a sign-in, is no request.
    ///
    /// # Panics
    /// Where the database does not answer.
    pub async fn waiting(&mut self) -> i64 {
        let waiting = "select count(*) as waiting
                       from pg_locks
                       where relation = $1::regclass and mode = 'AccessShareLock' and not granted";
        let row = sqlx::query(waiting).bind(&self.users).fetch_one(&mut self.connection).await;
        row.expect("the locks").get("waiting")
    }

    /// Lets them go on.
    ///
    /// # Panics
    /// Where the database does not answer.
    pub async fn release(mut self) {
        sqlx::raw_sql("rollback").execute(&mut self.connection).await.expect("the end of the lock");
        let _ = self.connection.close().await;
    }
}

impl Database {
    /// Writes a link by which a user resets their password, in the place of one that was mailed. It ends in so many
    /// seconds.
    ///
    /// # Panics
    /// Where the database refuses it.
    pub async fn write_reset_link(&self, tenant: TenantId, user: UserId, token: &[u8; 32], secs: i64) {
        let mut connection = PgConnection::connect(&self.admin_url()).await.expect("the stack's database");
        let cell = "select cell from platform.tenants where id = $1::text::uuid";
        let cell = sqlx::query(cell).bind(tenant.to_string()).fetch_one(&mut connection).await;
        let cell: String = cell.expect("the tenant's cell").get("cell");
        let write = AssertSqlSafe(format!(
            "insert into {cell}.links (tenant_id, kind, digest, user_id, created_at, expires_at)
             values ($1::text::uuid, 'reset', sha256($2), $3::text::uuid, now(), now() + $4 * interval '1 second')
             on conflict on constraint links_holder_key do update
             set digest = excluded.digest, created_at = excluded.created_at, expires_at = excluded.expires_at"
        ));
        let write = sqlx::query(write).bind(tenant.to_string()).bind(token.as_slice());
        let written = write.bind(user.to_string()).bind(secs as f64).execute(&mut connection).await;
        written.expect("a link");
        let _ = connection.close().await;
    }
}

impl Database {
    /// Makes the keys of a tenant an hour older: what waits until every control knows the newest one need not wait.
    ///
    /// # Panics
    /// Where the database refuses it.
    pub async fn age_tenant_keys(&self, tenant: TenantId) {
        let mut connection = PgConnection::connect(&self.admin_url()).await.expect("the stack's database");
        let age = "update platform.tenant_keys
                   set created_at = created_at - interval '1 hour'
                   where tenant_id = $1::text::uuid";
        let aged = sqlx::query(age).bind(tenant.to_string()).execute(&mut connection).await;
        aged.expect("older keys");
        let _ = connection.close().await;
    }
}

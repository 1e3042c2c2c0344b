//! A database of one stack's own, on a PostgreSQL that many stacks may share.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

use shared::ids::TenantId;

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

/// A lock on the users of a tenant's cell: whoever asks control about one of them waits.
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

//! The four database roles. They belong to the whole PostgreSQL cluster, hence the prefix.
//!
//! `<prefix>_owner` owns every table and cannot sign in; `_migrate` becomes the owner to create and migrate cells;
//! `_app` serves requests under row-level security; `_relay` finds due work and runs the queue. The app must be
//! neither owner nor exempt from row-level security; otherwise the start is refused.

use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool};

use super::connect_options;
use crate::failure::Failure;
use crate::settings::{Database, DatabaseUrl};

/// The names of the roles.
#[derive(Clone, Debug)]
pub struct Roles {
    /// Owns, cannot sign in.
    pub owner: String,
    /// Makes and changes cells.
    pub migrate: String,
    /// Serves requests.
    pub app: String,
    /// Finds due work and runs the queue.
    pub relay: String,
}

impl Roles {
    /// The names by the settings, checked against the user names in the three URLs.
    ///
    /// # Errors
    /// If a URL signs in as another role than the one it is for.
    pub fn of(settings: &Database) -> Result<Self, Failure> {
        let app = connect_options(&settings.app_url)?;
        let prefix = match &settings.role_prefix {
            Some(prefix) => prefix.clone(),
            None => app.get_database().unwrap_or("wardgate").to_owned(),
        };
        // The names stand in grants.sql unquoted.
        let plain = prefix.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if prefix.is_empty()
            || prefix.len() > 50
            || !plain
            || prefix.starts_with(|c: char| c.is_ascii_digit())
        {
            return Err(Failure::Schema(format!("WARDGATE_DATABASE_ROLE_PREFIX is not plain: `{prefix}`")));
        }
        let named = |end: &str| format!("{prefix}_{end}");
        let roles = Self {
            owner: named("owner"),
            migrate: named("migrate"),
            app: named("app"),
            relay: named("relay"),
        };
        for (url, role, variable) in [
            (&settings.migrate_url, &roles.migrate, "WARDGATE_DATABASE_MIGRATE_URL"),
            (&settings.app_url, &roles.app, "WARDGATE_DATABASE_APP_URL"),
            (&settings.relay_url, &roles.relay, "WARDGATE_DATABASE_RELAY_URL"),
        ] {
            if connect_options(url)?.get_username() != role {
                return Err(Failure::Schema(format!("{variable} must sign in as `{role}`")));
            }
        }
        Ok(roles)
    }

    /// Puts the names into a text of grants.
    #[must_use]
    pub fn fill(&self, sql: &str) -> String {
        sql.replace("{app}", &self.app).replace("{relay}", &self.relay)
    }
}

/// Makes what is missing of roles, database privileges and schema, as the administrator. The time
/// limits of the serving roles end what a client cannot: a transaction whose client is gone or
/// stuck must not hold a tenant's counter.
///
/// # Errors
/// The database's, or a serving role that row security does not bind.
pub async fn ensure(settings: &Database, roles: &Roles, admin_url: &DatabaseUrl) -> Result<(), Failure> {
    let mut admin = PgConnection::connect_with(&connect_options(admin_url)?).await?;
    // Two at once would trip over each other's catalogue rows; the connection's end is the unlock.
    sqlx::query("select pg_advisory_lock(hashtextextended('wardgate/roles', 0))").execute(&mut admin).await?;
    create(&mut admin, &roles.owner, None).await?;
    for (role, url) in [
        (&roles.migrate, &settings.migrate_url),
        (&roles.app, &settings.app_url),
        (&roles.relay, &settings.relay_url),
    ] {
        create(&mut admin, role, Some(password(url)?)).await?;
    }
    let database = sqlx::query_scalar::<_, String>("select quote_ident(current_database())")
        .fetch_one(&mut admin)
        .await?;
    let Roles { owner, migrate, app, relay } = roles;
    let grants = format!(
        "grant {owner} to {migrate};
         grant {owner} to current_user;
         revoke create on schema public from public;
         revoke create, temporary on database {database} from public;
         grant connect on database {database} to {migrate}, {app}, {relay};
         grant create on database {database} to {owner};
         -- An import is laid out in a temporary table before anything is written.
         grant temporary on database {database} to {migrate};
         alter role {app} set statement_timeout = '30s';
         alter role {app} set idle_in_transaction_session_timeout = '30s';
         alter role {relay} set statement_timeout = '30s';
         alter role {relay} set idle_in_transaction_session_timeout = '30s';
         create schema if not exists platform authorization {owner}"
    );
    sqlx::raw_sql(AssertSqlSafe(grants)).execute(&mut admin).await?;
    admin.close().await?;
    Ok(())
}

/// Checks first whether the role exists, because PostgreSQL logs failing statements, and this one holds a password.
/// If another `migrate` in this cluster creates the role at the same moment, that is not an error.
async fn create(admin: &mut PgConnection, role: &str, login: Option<String>) -> Result<(), Failure> {
    let exists = sqlx::query_scalar::<_, bool>("select exists (select from pg_roles where rolname = $1)")
        .bind(role)
        .fetch_one(&mut *admin)
        .await?;
    if exists {
        return Ok(());
    }
    let statement = match login {
        None => format!("create role {role} nologin"),
        Some(password) => {
            let literal = sqlx::query_scalar::<_, String>("select quote_literal($1)")
                .bind(password)
                .fetch_one(&mut *admin)
                .await?;
            format!(
                "create role {role} login nosuperuser nobypassrls nocreatedb nocreaterole password {literal}"
            )
        }
    };
    match sqlx::raw_sql(AssertSqlSafe(statement)).execute(admin).await {
        Ok(_) => Ok(()),
        // duplicate_object, or the unique violation of two at once.
        Err(sqlx::Error::Database(error)) if matches!(error.code().as_deref(), Some("42710" | "23505")) => {
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

fn password(url: &DatabaseUrl) -> Result<String, Failure> {
    // The driver keeps the password to itself, so it is read from the URL again.
    let parsed = reqwest::Url::parse(url.expose()).map_err(|_| Failure::Unreadable("database URL"))?;
    let encoded = parsed.password().unwrap_or_default();
    // In a URL's password only percent escapes are special; a plus sign is itself.
    let pairs = format!("p={}", encoded.replace('+', "%2B"));
    let decoded = form_urlencoded::parse(pairs.as_bytes()).next().map(|(_, value)| value.into_owned());
    Ok(decoded.unwrap_or_default())
}

/// Connects as the migrate role and becomes the owner. The connection is for one purpose and is
/// closed after it, because `SET ROLE` and the search path outlive a transaction.
///
/// # Errors
/// Errors of the database.
pub async fn connect_as_owner(settings: &Database, roles: &Roles) -> Result<PgConnection, Failure> {
    let mut connection = PgConnection::connect_with(&connect_options(&settings.migrate_url)?).await?;
    sqlx::raw_sql(AssertSqlSafe(format!("set role {}", roles.owner))).execute(&mut connection).await?;
    Ok(connection)
}

/// The same as a pool of one connection, for a library that needs a pool.
///
/// # Errors
/// Errors of the database.
pub async fn pool_as_owner(settings: &Database, roles: &Roles) -> Result<PgPool, Failure> {
    let become_owner = format!("set role {}", roles.owner);
    let pool = PgPoolOptions::new().max_connections(1).after_connect(move |connection, _| {
        let become_owner = become_owner.clone();
        Box::pin(async move {
            sqlx::raw_sql(AssertSqlSafe(become_owner)).execute(connection).await?;
            Ok(())
        })
    });
    Ok(pool.connect_with(connect_options(&settings.migrate_url)?).await?)
}

/// Refuses a serving role that row security would not bind.
///
/// # Errors
/// If the role is a superuser, exempt from row security, or a member of the owner.
pub async fn refuse_exempt(app: &PgPool, roles: &Roles) -> Result<(), Failure> {
    let exempt = sqlx::query_scalar::<_, Option<bool>>(
        "select rolsuper or rolbypassrls or pg_has_role(oid, $1, 'member') from pg_roles where rolname = current_user",
    )
    .bind(&roles.owner)
    .fetch_one(app)
    .await?;
    if exempt == Some(false) {
        Ok(())
    } else {
        Err(Failure::Schema(format!("`{}` may pass by row security: it must be an ordinary role", roles.app)))
    }
}

//! Migrations: of the schema `platform` once, of every cell by itself.
//!
//! Each has its own version, so a killed run continues where it stopped, and a broken cell does not affect the
//! others. sqlx's own lock covers the whole database and stays held after an error, so each schema has a lock of its
//! own, which PostgreSQL releases with the connection.

use graphile_worker::WorkerUtils;
use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::roles::{self, Roles, connect_as_owner};
use super::{CellName, JOBS_SCHEMA};
use crate::failure::{Failure, chain};
use crate::settings::Database;

static PLATFORM: Migrator = sqlx::migrate!("../migrations/platform");
static TENANT: Migrator = sqlx::migrate!("../migrations/tenant");
const PLATFORM_GRANTS: &str = include_str!("../../../migrations/platform/grants.sql");
const JOBS_GRANTS: &str = include_str!("../../../migrations/platform/jobs.sql");
const TENANT_GRANTS: &str = include_str!("../../../migrations/tenant/grants.sql");

/// The outcome of one cell.
#[derive(Debug)]
pub struct CellOutcome {
    /// The cell.
    pub cell: CellName,
    /// Its version now, or why it stayed behind.
    pub version: Result<i64, Failure>,
}

/// The version that a cell has when nothing is left to do.
#[must_use]
pub fn newest() -> i64 {
    TENANT.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// Makes the roles where an administrator's URL is given, then brings the schema `platform` and the
/// queue's schema up to date.
///
/// # Errors
/// Errors of the database.
pub async fn platform(settings: &Database) -> Result<Roles, Failure> {
    let roles = Roles::of(settings)?;
    if let Some(admin_url) = &settings.admin_url {
        roles::ensure(settings, &roles, admin_url).await?;
    }
    let mut connection = connect_as_owner(settings, &roles).await?;
    apply(&mut connection, &PLATFORM, "platform", &roles.fill(PLATFORM_GRANTS)).await?;
    // The connection still holds the lock of `platform`, so two runs do not meet in the library.
    jobs(settings, &roles).await?;
    grant(&mut connection, &roles.fill(JOBS_GRANTS)).await?;
    connection.close().await?;
    Ok(roles)
}

/// Lets the queue's library bring its tables up to date, as their owner.
async fn jobs(settings: &Database, roles: &Roles) -> Result<(), Failure> {
    let pool = roles::pool_as_owner(settings, roles).await?;
    let migrated = WorkerUtils::new(pool.clone(), JOBS_SCHEMA).migrate().await;
    pool.close().await;
    migrated.map_err(|error| Failure::Schema(format!("{JOBS_SCHEMA}: {}", chain(&error))))
}

/// Makes or brings up to date one cell and records its version.
///
/// # Errors
/// Errors of the database; what was applied before the failing migration stays applied.
pub async fn cell(settings: &Database, roles: &Roles, cell: &CellName, kind: &str) -> Result<i64, Failure> {
    let mut connection = connect_as_owner(settings, roles).await?;
    let grants = roles.fill(TENANT_GRANTS).replace("{cell}", cell.as_str());
    apply(&mut connection, &TENANT, cell.as_str(), &grants).await?;
    sqlx::query!(
        "insert into platform.cells (name, kind, version, created_at, migrated_at)
         values ($1, $2, $3, now(), now())
         on conflict (name) do update
         set version = excluded.version, migrated_at = excluded.migrated_at
         where cells.version <> excluded.version",
        cell.as_str(),
        kind,
        newest(),
    )
    .execute(&mut connection)
    .await?;
    connection.close().await?;
    Ok(newest())
}

/// Brings every cell up to date that is not.
///
/// # Errors
/// If the list of cells cannot be read; a cell's own failure is in its outcome.
pub async fn cells(settings: &Database, roles: &Roles) -> Result<Vec<CellOutcome>, Failure> {
    let mut connection = connect_as_owner(settings, roles).await?;
    let rows = sqlx::query!("select name, kind from platform.cells order by name")
        .fetch_all(&mut connection)
        .await?;
    connection.close().await?;
    let mut outcomes = Vec::with_capacity(rows.len());
    for row in rows {
        let name = CellName::parse(&row.name)?;
        let version = cell(settings, roles, &name, &row.kind).await;
        outcomes.push(CellOutcome { cell: name, version });
    }
    Ok(outcomes)
}

async fn apply(
    connection: &mut PgConnection,
    source: &Migrator,
    schema: &str,
    grants: &str,
) -> Result<(), Failure> {
    // `schema` is `platform` or a validated cell name.
    sqlx::query("select pg_advisory_lock(hashtextextended('wardgate/migrate/' || $1, 0))")
        .bind(schema)
        .execute(&mut *connection)
        .await?;
    sqlx::raw_sql(AssertSqlSafe(format!("create schema if not exists {schema}; set search_path = {schema}")))
        .execute(&mut *connection)
        .await?;
    let mut migrator = Migrator::with_migrations(source.iter().cloned().collect());
    migrator.dangerous_set_table_name(format!("{schema}.schema_versions"));
    migrator.set_locking(false);
    let applied = migrator.run_direct(None, &mut *connection, false).await;
    applied.map_err(|error| Failure::Schema(format!("{schema}: {}", chain(&error))))?;
    grant(connection, grants).await
}

async fn grant(connection: &mut PgConnection, grants: &str) -> Result<(), Failure> {
    sqlx::raw_sql(AssertSqlSafe(format!("begin; {grants}; commit"))).execute(connection).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Its migration says why.
    const WITHOUT_ROW_SECURITY: [&str; 1] = ["search_tokens"];

    /// The table that a line makes.
    fn made(line: &str) -> Option<&str> {
        let rest = line.strip_prefix("create ")?.trim_start_matches("unlogged ");
        Some(rest.strip_prefix("table ")?.trim_end_matches(" ("))
    }

    #[test]
    fn every_tenant_table_forces_row_security_and_leads_with_the_tenant() {
        assert_eq!(made("create unlogged table a ("), Some("a"));
        for migration in TENANT.iter() {
            let sql = migration.sql.as_str();
            for name in sql.lines().filter_map(made) {
                if WITHOUT_ROW_SECURITY.contains(&name) {
                    assert!(!sql.contains(&format!("alter table {name} ")), "{name} is not without any more");
                    continue;
                }
                for needed in [
                    format!("alter table {name} enable row level security"),
                    format!("alter table {name} force row level security"),
                    format!("create policy tenant_rows on {name}"),
                ] {
                    assert!(sql.contains(&needed), "{name} lacks: {needed}");
                }
            }
            for key in sql.split("primary key (").skip(1) {
                assert!(key.starts_with("tenant_id"), "a key that does not begin with tenant_id: {key:.40}");
            }
            assert!(
                !sql.contains("create type") && !sql.contains("create extension"),
                "would break other cells"
            );
        }
    }
}

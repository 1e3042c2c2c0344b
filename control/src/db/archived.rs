//! Removal of rows of the audit log that are in archives: what only the owner of the tables may do.

use shared::ids::TenantId;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::CellName;
use super::roles::{Roles, connect_as_owner};
use crate::failure::Failure;
use crate::settings::Database;

/// How many rows go in one transaction.
pub const CHUNK: i64 = 1_000;

/// A connection of the owner that is in one tenant's rows.
pub struct Remover {
    connection: PgConnection,
    tenant: TenantId,
}

impl Remover {
    /// Connects.
    ///
    /// # Errors
    /// Errors of the database.
    pub async fn connect(
        settings: &Database,
        roles: &Roles,
        cell: &CellName,
        tenant: TenantId,
    ) -> Result<Self, Failure> {
        let mut connection = connect_as_owner(settings, roles).await?;
        // Row security binds the owner, too. Both values are safe by type: a UUID and a validated cell name.
        let enter = format!("set search_path = {cell}, pg_temp; set app.tenant = '{tenant}'");
        sqlx::raw_sql(AssertSqlSafe(enter)).execute(&mut connection).await?;
        Ok(Self { connection, tenant })
    }

    /// Removes these entries as far as an archive that is noted has them, and says how many they were.
    ///
    /// # Errors
    /// Errors of the database.
    pub async fn remove(&mut self, from: i64, to: i64) -> Result<u64, Failure> {
        let removed = sqlx::query!(
            "delete from audit_entries e
             using platform.audit_archives a
             where e.tenant_id = $1 and e.position >= $2 and e.position <= $3
                and a.tenant_id = $1 and e.position between a.starts and a.ends",
            self.tenant.uuid(),
            from,
            to,
        )
        .execute(&mut self.connection)
        .await?;
        Ok(removed.rows_affected())
    }

    /// Ends it.
    ///
    /// # Errors
    /// Errors of the database.
    pub async fn close(self) -> Result<(), Failure> {
        self.connection.close().await?;
        Ok(())
    }
}

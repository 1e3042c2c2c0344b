//! Re-encrypts the values of former versions of a tenant's data key: column by column, in the order of a key of each
//! table, a few rows in a transaction.
//!
//! A transaction reads and writes rows that it has locked, so other changes come before it or after it. It does not
//! wait for locks, because it holds some: a locked row is left for the next pass.

use shared::ids::TenantId;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::{Db, TenantTx};
use crate::crypt::sealed::{Column, mark};
use crate::failure::Failure;

/// Rows that are looked at together: of those that need nothing, looking is all it takes.
const WALK: i64 = 5_000;
/// The number of users whose rows one transaction re-encrypts; a change of one of them waits for it.
const CHUNK: usize = 200;
/// Values that are named where they do not open.
const NAMED: usize = 10;

/// The result of a pass over a tenant's columns.
#[derive(Debug, Default)]
pub struct Resealed {
    /// Ids with values that former versions sealed, counted for each column. 0 is the proof that nothing is left.
    pub found: usize,
    /// Re-encrypted values.
    pub values: u64,
    /// Values that do not open: altered, or of another row.
    pub unreadable: u64,
    /// Some of these: the column, and the row as values are bound to it.
    pub named: Vec<String>,
}

/// A pass in progress.
struct Work<'a, F> {
    tenant: TenantId,
    newest: u32,
    /// The prefixes of values to be re-encrypted.
    former: Vec<Vec<u8>>,
    most: u64,
    done: &'a mut F,
    so_far: Resealed,
}

/// Where the values of a column are.
struct Place {
    table: &'static str,
    value: &'static str,
    /// The id by which the table is gone through.
    by: &'static str,
    /// The row in a value's associated data (see [`Column`]).
    row: &'static str,
    /// Whether it is in the tenant's cell.
    in_cell: bool,
}

fn place(column: Column) -> Place {
    let platform = |table, value, row| Place { table, value, by: "tenant_id", row, in_cell: false };
    let cell = |table, value, by, row| Place { table, value, by, row, in_cell: true };
    match column {
        Column::SigningKey => platform("platform.signing_keys", "wrapped_private", "t.kid"),
        Column::Root => platform("platform.roots", "wrapped", "t.kind || '/' || t.version::text"),
        Column::FirstAdmin => platform("platform.first_admins", "wrapped", "''"),
        Column::AuditKey => cell("audit_keys", "wrapped", "tenant_id", "''"),
        Column::UserKey => cell("user_keys", "wrapped", "user_id", "t.user_id::text"),
        Column::Verifier => cell("users", "wrapped_verifier", "id", "t.id::text"),
        Column::PasswordHistory => {
            cell("password_history", "wrapped", "user_id", "t.user_id::text || '/' || t.epoch::text")
        }
        Column::ForeignHash => cell("users", "foreign_hash", "id", "t.id::text"),
        Column::RequestKey => cell("requests", "wrapped_key", "id", "t.id::text"),
        Column::MailKey => cell("mails", "wrapped_key", "id", "t.id::text"),
        Column::MailSender => platform("platform.mail_senders", "wrapped", "''"),
        Column::CaptchaSecret => platform("platform.captchas", "wrapped", "''"),
        Column::TotpSeed => cell("authenticators", "wrapped", "id", "t.user_id::text || '/' || t.id::text"),
        Column::RecoveryKey => cell("recovery_sets", "wrapped", "user_id", "t.user_id::text"),
        Column::LegacyTotp => cell("legacy_totp", "wrapped", "user_id", "t.user_id::text || '/' || t.device"),
    }
}

impl Db {
    /// Passes over every column once, and re-encrypts values of `former` versions of the tenant's key, about `most`
    /// at most; `done` is called with their number. Values that were committed before it began are seen.
    ///
    /// # Errors
    /// Errors of the database, and [`Failure::KeyReplaced`] if this control encrypts with another version than
    /// `newest`.
    pub async fn reseal(
        &self,
        tenant: TenantId,
        (newest, former): (u32, &[u32]),
        most: u64,
        done: &mut (impl FnMut(u64) + Send),
    ) -> Result<Resealed, Failure> {
        let former = former.iter().map(|version| mark(*version).to_vec()).collect();
        let mut work = Work { tenant, newest, former, most, done, so_far: Resealed::default() };
        let mut tx = work.begin(self).await?;
        let has_cell = tx.has_cell().await?;
        tx.commit().await?;
        for column in Column::ALL {
            if (has_cell || !place(column).in_cell) && !work.column(self, column).await? {
                break;
            }
        }
        Ok(work.so_far)
    }
}

impl<F: FnMut(u64) + Send> Work<'_, F> {
    /// False once enough was done.
    async fn column(&mut self, db: &Db, column: Column) -> Result<bool, Failure> {
        let (place, mut after) = (place(column), Uuid::nil());
        loop {
            let mut tx = self.begin(db).await?;
            let end = place.end(&mut tx, after).await?;
            let ids = place.lacking(&mut tx, (after, end), &self.former).await?;
            tx.commit().await?;
            self.so_far.found += ids.len();
            for ids in ids.chunks(CHUNK) {
                if self.so_far.values >= self.most {
                    return Ok(false);
                }
                self.rows(db, column, ids).await?;
            }
            match end {
                Some(end) => after = end,
                None => return Ok(true),
            }
        }
    }

    async fn rows(&mut self, db: &Db, column: Column, ids: &[Uuid]) -> Result<(), Failure> {
        let mut tx = self.begin(db).await?;
        let free = place(column).locked(&mut tx, ids, &self.former).await?;
        let (mut rows, mut values) = (Vec::with_capacity(free.len()), Vec::with_capacity(free.len()));
        for (row, value) in free {
            match tx.keys().renew(column, &row, &value) {
                Ok(None) => {}
                Ok(Some(value)) => {
                    rows.push(row);
                    values.push(value);
                }
                // The value stays as it is: a former version may open it after an operator has put it back in its row.
                Err(Failure::Unreadable(_)) => self.so_far.cannot(column, &row),
                Err(failure) => return Err(failure),
            }
        }
        place(column).update(&mut tx, ids, (rows.as_slice(), values.as_slice())).await?;
        tx.commit().await?;
        let values = u64::try_from(values.len()).unwrap_or(0);
        self.so_far.values += values;
        (self.done)(values);
        Ok(())
    }

    async fn begin(&self, db: &Db) -> Result<TenantTx, Failure> {
        let tx = db.work_tx(self.tenant).await?;
        if tx.keys().sealing() == self.newest { Ok(tx) } else { Err(Failure::KeyReplaced) }
    }
}

impl Resealed {
    fn cannot(&mut self, column: Column, row: &str) {
        self.unreadable += 1;
        if self.named.len() < NAMED {
            self.named.push(format!("{} {row}", column.label()));
        }
    }
}

impl TenantTx {
    /// Whether the tenant is made, so that its tables are there.
    ///
    /// # Errors
    /// Errors of the database.
    pub async fn has_cell(&mut self) -> Result<bool, Failure> {
        let tenant = self.tenant().uuid();
        let made = sqlx::query_scalar!(
            r#"select status <> 'provisioning' as "made!" from platform.tenants where id = $1"#,
            tenant,
        )
        .fetch_one(&mut **self)
        .await?;
        Ok(made)
    }

    /// How many values these versions of the tenant's key sealed.
    ///
    /// # Errors
    /// Errors of the database.
    pub async fn sealed_by(&mut self, versions: &[u32]) -> Result<i64, Failure> {
        let (tenant, has_cell) = (self.tenant().uuid(), self.has_cell().await?);
        let marks: Vec<Vec<u8>> = versions.iter().map(|version| mark(*version).to_vec()).collect();
        let mut all = 0;
        for Place { table, value, .. } in
            Column::ALL.map(place).into_iter().filter(|place| has_cell || !place.in_cell)
        {
            let count = format!(
                "select count(*) from {table} where tenant_id = $1 and substring({value} from 1 for 5) = any ($2)"
            );
            let count = sqlx::query_scalar::<_, i64>(AssertSqlSafe(count)).bind(tenant).bind(&marks);
            all += count.fetch_one(&mut **self).await?;
        }
        Ok(all)
    }
}

impl Place {
    /// The last id of the next rows behind `after`, if more rows follow.
    async fn end(&self, tx: &mut TenantTx, after: Uuid) -> Result<Option<Uuid>, Failure> {
        let Self { table, by, .. } = self;
        let end = format!(
            "select {by} from {table} where tenant_id = $1 and {by} > $2 order by {by} offset $3 limit 1"
        );
        let end = sqlx::query_scalar(AssertSqlSafe(end)).bind(tx.tenant().uuid()).bind(after).bind(WALK);
        Ok(end.fetch_optional(&mut **tx).await?)
    }

    /// The ids of those of these rows whose values former versions sealed.
    async fn lacking(
        &self,
        tx: &mut TenantTx,
        (after, end): (Uuid, Option<Uuid>),
        former: &[Vec<u8>],
    ) -> Result<Vec<Uuid>, Failure> {
        let Self { table, value, by, .. } = self;
        let lacking = format!(
            "select distinct {by}
             from {table}
             where tenant_id = $1 and {by} > $2 and ($3::uuid is null or {by} <= $3)
                 and substring({value} from 1 for 5) = any ($4)
             order by {by}"
        );
        let ids = sqlx::query_scalar(AssertSqlSafe(lacking)).bind(tx.tenant().uuid());
        Ok(ids.bind(after).bind(end).bind(former).fetch_all(&mut **tx).await?)
    }

    /// Such rows of these ids with their values, locked. Rows that others have locked are not waited for.
    async fn locked(
        &self,
        tx: &mut TenantTx,
        ids: &[Uuid],
        former: &[Vec<u8>],
    ) -> Result<Vec<(String, Vec<u8>)>, Failure> {
        let Self { table, value, by, row, .. } = self;
        let locked = format!(
            "select {row}, t.{value}
             from {table} t
             where t.tenant_id = $1 and t.{by} = any ($2) and substring(t.{value} from 1 for 5) = any ($3)
             for no key update skip locked"
        );
        let locked = sqlx::query_as(AssertSqlSafe(locked)).bind(tx.tenant().uuid());
        Ok(locked.bind(ids).bind(former).fetch_all(&mut **tx).await?)
    }

    /// Writes values into rows of these ids.
    async fn update(
        &self,
        tx: &mut TenantTx,
        ids: &[Uuid],
        (rows, values): (&[String], &[Vec<u8>]),
    ) -> Result<(), Failure> {
        let Self { table, value, by, row, .. } = self;
        let update = format!(
            "update {table} t
             set {value} = renewed.value
             from unnest($3::text[], $4::bytea[]) as renewed (of_row, value)
             where t.tenant_id = $1 and t.{by} = any ($2) and {row} = renewed.of_row"
        );
        let update = sqlx::query(AssertSqlSafe(update)).bind(tx.tenant().uuid());
        update.bind(ids).bind(rows).bind(values).execute(&mut **tx).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sealed_column_is_in_its_place() {
        for column in Column::ALL {
            let Place { table, value, in_cell, .. } = place(column);
            let name = table.strip_prefix("platform.");
            assert_eq!(name.is_none(), in_cell, "{table}");
            assert_eq!(format!("{}.{value}", name.unwrap_or(table)), column.label());
        }
        let mut labels = Column::ALL.map(Column::label).to_vec();
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), Column::ALL.len(), "none twice");
    }
}

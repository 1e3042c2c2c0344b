//! A Django database: users with their groups and second factors, read as one picture and streamed.

use std::str::FromStr as _;

use chrono::{DateTime, Utc};
use futures::TryStreamExt as _;
use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use tokio::sync::mpsc::Sender;
use zeroize::Zeroizing;

use super::ImportError;
use super::found::{COLUMNS, Columns, Device, Found, Group, Item, noted};
use super::moment::{Moment, Zone};
use crate::legacy::tokens::Outstanding;

/// Where and what to read.
#[derive(Clone)]
pub struct Postgres {
    /// The database's URL.
    pub url: Zeroizing<String>,
    /// The schema, where it is not the one that the user finds by itself.
    pub schema: Option<String>,
    /// The table of users.
    pub user_table: String,
    /// Its columns.
    pub columns: Columns,
    /// A column with a role, in place of groups.
    pub role_column: Option<String>,
    /// The zone of times that name none.
    pub zone: Zone,
}

/// An expression for each thing that is read.
struct Selected {
    columns: Vec<Option<String>>,
    groups: String,
    role: String,
}

impl Postgres {
    /// Sends everything there is.
    ///
    /// # Errors
    /// [`ImportError::Source`], with what the database said.
    pub async fn read(self, items: Sender<Item>) -> Result<(), ImportError> {
        let mut connection = self.connect().await?;
        let selected = self.select(&mut connection).await?;
        let sql = self.users_sql(&selected);
        let mut rows = sqlx::query(AssertSqlSafe(sql)).fetch(&mut connection);
        while let Some(row) = rows.try_next().await.map_err(said)? {
            let found = self.user(&row)?;
            // The receiver is dropped only after an error of its own.
            if items.send(Item::User(Box::new(found))).await.is_err() {
                return Ok(());
            }
        }
        drop(rows);
        self.devices(&mut connection, &items).await
    }

    /// One picture of the database, which is never written to.
    async fn connect(&self) -> Result<PgConnection, ImportError> {
        is_postgres(&self.url)?;
        let options =
            PgConnectOptions::from_str(&self.url).map_err(said)?.application_name("wardgate import");
        let mut connection = PgConnection::connect_with(&options).await.map_err(said)?;
        let mut begin = String::from(
            "begin isolation level repeatable read read only; set local timezone to 'UTC'; set local datestyle to 'ISO'",
        );
        if let Some(schema) = &self.schema {
            begin.push_str(&format!("; set local search_path = {}", quoted(schema)));
        }
        sqlx::raw_sql(AssertSqlSafe(begin)).execute(&mut connection).await.map_err(said)?;
        Ok(connection)
    }

    /// Finds out which columns and tables there are. Without a column that a user cannot do without, the
    /// error says what there is.
    async fn select(&self, connection: &mut PgConnection) -> Result<Selected, ImportError> {
        let there = columns_of(connection, &self.user_table).await?;
        if there.is_empty() {
            return Err(no_table(connection, &self.user_table).await?);
        }
        let mut columns = Vec::new();
        for (ours, needed) in COLUMNS {
            let name = self.columns.there(ours);
            let asked = self.columns.0.iter().any(|(name, _)| name == ours);
            match name.filter(|name| there.iter().any(|column| column == name)) {
                Some(name) => columns.push(Some(format!("u.{}", quoted(name)))),
                None if needed || asked && name.is_some() => {
                    return Err(ImportError::Source(format!(
                        "table `{}` has no column `{}`: say --column {ours}=NAME, of {}",
                        self.user_table,
                        name.unwrap_or(ours),
                        there.join(", "),
                    )));
                }
                None => columns.push(None),
            }
        }
        let role = match &self.role_column {
            Some(name) if there.contains(name) => format!("u.{}::text", quoted(name)),
            Some(name) => {
                return Err(ImportError::Source(format!(
                    "table `{}` has no column `{name}`, of {}",
                    self.user_table,
                    there.join(", "),
                )));
            }
            None => String::from("null::text"),
        };
        let groups = match &self.role_column {
            Some(_) => String::from("array[]::text[]"),
            None => self.groups_sql(connection, &columns).await?,
        };
        Ok(Selected { columns, groups, role })
    }

    /// Names of a user's groups, by the table that Django makes beside the one of users.
    async fn groups_sql(
        &self,
        connection: &mut PgConnection,
        columns: &[Option<String>],
    ) -> Result<String, ImportError> {
        let between = format!("{}_groups", self.user_table);
        let there = columns_of(connection, &between).await?;
        let user = there.iter().find(|column| !matches!(column.as_str(), "id" | "group_id"));
        let id = columns.first().cloned().flatten().unwrap_or_default();
        match user {
            Some(user) if there.iter().any(|column| column == "group_id") => Ok(format!(
                "array(
                    select g.name::text
                    from {} ug
                    join auth_group g on g.id = ug.group_id
                    where ug.{} = {id}
                    order by 1
                )",
                quoted(&between),
                quoted(user),
            )),
            _ => Ok(String::from("array[]::text[]")),
        }
    }

    fn users_sql(&self, selected: &Selected) -> String {
        let text = |at: usize| match selected.columns.get(at).and_then(Option::as_ref) {
            Some(column) => format!("coalesce({column}::text, '')"),
            None => String::from("''"),
        };
        let truth = |at: usize, otherwise: &str| match selected.columns.get(at).and_then(Option::as_ref) {
            // Also of columns that are numbers or words.
            Some(column) => {
                format!("coalesce(lower({column}::text) in ('true', 't', '1', 'yes', 'y'), false)")
            }
            None => otherwise.to_owned(),
        };
        // As text, which shows whether there is a zone.
        // In the order of `COLUMNS`.
        format!(
            "select {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {} from {} u order by {}",
            text(0),
            text(1),
            text(2),
            text(3),
            text(4),
            text(5),
            text(6),
            truth(7, "true"),
            truth(8, "false"),
            truth(9, "false"),
            text(10),
            text(11),
            text(12),
            selected.groups,
            selected.role,
            quoted(&self.user_table),
            selected.columns.first().cloned().flatten().unwrap_or_default(),
        )
    }

    fn user(&self, row: &PgRow) -> Result<Found, ImportError> {
        let text = |at: usize| row.try_get::<String, _>(at).map_err(said);
        let truth = |at: usize| row.try_get::<bool, _>(at).map_err(said);
        let id = text(0)?;
        let groups: Vec<String> = row.try_get(13).map_err(said)?;
        let mut local_times = Vec::new();
        let mut time = |column, at| {
            let moment = self.time(&self.user_table, &id, column, &text(at)?)?;
            Ok::<_, ImportError>(noted(column, moment, &mut local_times))
        };
        let (date_joined, last_login) = (time("date_joined", 10)?, time("last_login", 11)?);
        Ok(Found {
            username: text(1)?,
            password: Zeroizing::new(text(2)?),
            email: text(3)?,
            first_name: text(4)?,
            last_name: text(5)?,
            phone: text(6)?,
            language: text(12)?,
            is_active: truth(7)?,
            is_staff: truth(8)?,
            is_superuser: truth(9)?,
            date_joined,
            last_login,
            groups: groups.into_iter().map(Group::Name).collect(),
            role: row.try_get(14).map_err(said)?,
            id: Some(id),
            local_times,
        })
    }

    /// The time in a column of a row.
    fn time(&self, table: &str, key: &str, column: &str, text: &str) -> Result<Option<Moment>, ImportError> {
        self.zone
            .read(text)
            .map_err(|no_time| ImportError::Source(format!("{column} of {table} {key}: `{text}` {no_time}")))
    }

    /// Confirmed devices of django-otp, where it is installed.
    async fn devices(&self, connection: &mut PgConnection, items: &Sender<Item>) -> Result<(), ImportError> {
        if columns_of(connection, "otp_totp_totpdevice").await?.is_empty() {
            return Ok(());
        }
        let mut rows = sqlx::query(
            "select id::text, user_id::text, name::text, key::text, step::bigint, t0::bigint, digits::bigint,
                 tolerance::bigint, drift::bigint, last_t::bigint
             from otp_totp_totpdevice
             where confirmed
             order by id",
        )
        .fetch(connection);
        while let Some(row) = rows.try_next().await.map_err(said)? {
            let device = device(&row).map_err(said)?;
            if items.send(Item::Device(device)).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Sends the refresh tokens of `rest_framework_simplejwt.token_blacklist` that are neither blacklisted nor
/// expired. Returns how many named no zone for their expiry.
///
/// # Errors
/// [`ImportError::Source`].
pub async fn outstanding_tokens(
    source: Postgres,
    now: DateTime<Utc>,
    tokens: Sender<Outstanding>,
) -> Result<u64, ImportError> {
    let mut connection = source.connect().await?;
    let table = "token_blacklist_outstandingtoken";
    if columns_of(&mut connection, table).await?.is_empty() {
        return Err(ImportError::Source(format!(
            "there is no table `{table}`: is rest_framework_simplejwt.token_blacklist installed there? --schema names \
             another schema"
        )));
    }
    // No zone is two days from UTC: what that leaves is compared here.
    let mut rows = sqlx::query(
        "select o.jti::text, o.user_id::text, o.expires_at::text
         from token_blacklist_outstandingtoken o
         left join token_blacklist_blacklistedtoken b on b.token_id = o.id
         where b.id is null and o.user_id is not null and o.expires_at::timestamptz > $1 - interval '2 days'",
    )
    .bind(now)
    .fetch(&mut connection);
    let mut local = 0;
    while let Some(row) = rows.try_next().await.map_err(said)? {
        let text = |at: usize| row.try_get::<String, _>(at).map_err(said);
        let (jti, legacy_id) = (text(0)?, text(1)?);
        let expiry = source.time(table, &jti, "expires_at", &text(2)?)?;
        local += u64::from(expiry.as_ref().is_some_and(|it| it.reading.is_local()));
        let living = expiry.is_some_and(|expiry| expiry.at > now);
        if living && tokens.send(Outstanding { jti, legacy_id }).await.is_err() {
            break;
        }
    }
    Ok(local)
}

/// The library takes the URL of every database for one of PostgreSQL. Schemes that Django's tools write for
/// that are taken, too.
fn is_postgres(url: &str) -> Result<(), ImportError> {
    let scheme = url.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    let refused = |what: &str| {
        Err(ImportError::Source(format!(
            "the old service's database: {what}. Of every other database `manage.py dumpdata auth otp_totp --output \
             people.json` writes what --dump takes"
        )))
    };
    match scheme.as_deref() {
        Some("postgres" | "postgresql" | "postgis" | "pgsql" | "psql") => Ok(()),
        Some(scheme) if scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c)) => {
            refused(&format!("`{scheme}://` is no PostgreSQL, and that alone is read directly"))
        }
        _ => refused("expected postgres://USER@HOST/DATABASE"),
    }
}

/// The error for a missing table. It names the tables that have a `password` column.
async fn no_table(connection: &mut PgConnection, table: &str) -> Result<ImportError, ImportError> {
    let others: Vec<String> = sqlx::query_scalar(
        "select c.relname::text
         from pg_class c
         join pg_attribute a on a.attrelid = c.oid and a.attname = 'password' and not a.attisdropped
         where c.relkind in ('r', 'p', 'v', 'm') and pg_table_is_visible(c.oid)
         order by c.relname
         limit 20",
    )
    .fetch_all(connection)
    .await
    .map_err(said)?;
    Ok(ImportError::Source(if others.is_empty() {
        format!(
            "there is no table `{table}`, nor any with a column `password`: --schema names another schema"
        )
    } else {
        format!(
            "there is no table `{table}`: --user-table names another one. With a column `password` there are {}",
            others.join(", ")
        )
    }))
}

async fn columns_of(connection: &mut PgConnection, table: &str) -> Result<Vec<String>, ImportError> {
    let columns = sqlx::query_scalar(
        "select a.attname::text
         from pg_attribute a
         where a.attrelid = to_regclass($1) and a.attnum > 0 and not a.attisdropped
         order by a.attnum",
    )
    .bind(quoted(table))
    .fetch_all(connection)
    .await;
    columns.map_err(said)
}

/// An identifier as SQL has it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn device(row: &PgRow) -> Result<Device, sqlx::Error> {
    Ok(Device {
        id: row.try_get(0)?,
        user: row.try_get(1)?,
        name: row.try_get(2)?,
        key: Zeroizing::new(row.try_get(3)?),
        step: row.try_get(4)?,
        t0: row.try_get(5)?,
        digits: row.try_get(6)?,
        tolerance: row.try_get(7)?,
        drift: row.try_get(8)?,
        last_t: row.try_get(9)?,
    })
}

/// The operator's own database: what it says is theirs to read. A URL is in none of its errors.
fn said(error: sqlx::Error) -> ImportError {
    ImportError::Source(format!("the old service's database: {}", crate::failure::chain(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_of_another_database_is_told_what_to_do_and_not_shown() {
        for url in [
            "mysql://ada:s3cret@db/app",
            "mysql+pymysql://ada:s3cret@db/app",
            "sqlite:///s3cret.db",
            "s3cret",
            "host=db password=s3cret",
            "s3 cret://db",
        ] {
            let said = is_postgres(url).err().unwrap().to_string();
            assert!(said.contains("dumpdata") && !said.contains("cret"), "{url}: {said}");
        }
        for url in ["postgres://db/app", "postgresql://db/app", "postgis://db/app", "PGSQL://db/app"] {
            assert!(is_postgres(url).is_ok(), "{url}");
        }
    }
}

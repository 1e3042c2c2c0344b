//! A Django database: users with their groups and second factors, read as one picture and streamed.

use std::str::FromStr as _;

use chrono::{DateTime, Utc};
use futures::TryStreamExt as _;
use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use tokio::sync::mpsc::Sender;
use zeroize::Zeroizing;

use super::ImportError;
use super::found::{COLUMNS, Columns, Device, Found, Group, Item};
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
            let found = user(&row).map_err(said)?;
            // Whoever takes them is gone only after an error of its own.
            if items.send(Item::User(Box::new(found))).await.is_err() {
                return Ok(());
            }
        }
        drop(rows);
        self.devices(&mut connection, &items).await
    }

    /// One picture of the database, which is never written to.
    async fn connect(&self) -> Result<PgConnection, ImportError> {
        let options =
            PgConnectOptions::from_str(&self.url).map_err(said)?.application_name("wardgate import");
        let mut connection = PgConnection::connect_with(&options).await.map_err(said)?;
        let mut begin =
            String::from("begin isolation level repeatable read read only; set local timezone to 'UTC'");
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
            return Err(ImportError::Source(format!("there is no table `{}`", self.user_table)));
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
        let time = |at: usize| match selected.columns.get(at).and_then(Option::as_ref) {
            Some(column) => format!("{column}::timestamptz"),
            None => String::from("null::timestamptz"),
        };
        // In the order of `COLUMNS`.
        format!(
            "select {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {} from {} u order by {}",
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
            time(10),
            time(11),
            selected.groups,
            selected.role,
            quoted(&self.user_table),
            selected.columns.first().cloned().flatten().unwrap_or_default(),
        )
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
/// expired.
///
/// # Errors
/// [`ImportError::Source`].
pub async fn outstanding_tokens(
    source: Postgres,
    now: DateTime<Utc>,
    tokens: Sender<Outstanding>,
) -> Result<(), ImportError> {
    let mut connection = source.connect().await?;
    let mut rows = sqlx::query(
        "select o.jti::text, o.user_id::text
         from token_blacklist_outstandingtoken o
         left join token_blacklist_blacklistedtoken b on b.token_id = o.id
         where b.id is null and o.user_id is not null and o.expires_at::timestamptz > $1",
    )
    .bind(now)
    .fetch(&mut connection);
    while let Some(row) = rows.try_next().await.map_err(said)? {
        let token =
            Outstanding { jti: row.try_get(0).map_err(said)?, legacy_id: row.try_get(1).map_err(said)? };
        if tokens.send(token).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
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

fn user(row: &PgRow) -> Result<Found, sqlx::Error> {
    let groups: Vec<String> = row.try_get(12)?;
    Ok(Found {
        id: Some(row.try_get(0)?),
        username: row.try_get(1)?,
        password: Zeroizing::new(row.try_get(2)?),
        email: row.try_get(3)?,
        first_name: row.try_get(4)?,
        last_name: row.try_get(5)?,
        phone: row.try_get(6)?,
        is_active: row.try_get(7)?,
        is_staff: row.try_get(8)?,
        is_superuser: row.try_get(9)?,
        date_joined: row.try_get(10)?,
        last_login: row.try_get(11)?,
        groups: groups.into_iter().map(Group::Name).collect(),
        role: row.try_get(13)?,
    })
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

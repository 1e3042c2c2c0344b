//! Temporary tables for the source's data. They belong to one connection of the role `migrate` and end with it, so an
//! aborted import leaves nothing. Personal data in them is encrypted under a key that only the import has.

use std::collections::HashMap;
use std::time::Duration;

use shared::ids::TenantId;
use sqlx::{Connection as _, PgConnection, Row as _};

use super::ImportError;
use super::found::{Device, Found};
use crate::control::Control;
use crate::crypt::passing::PassingKey;
use crate::db::connect_options;
use crate::failure::Failure;
use crate::legacy::hashing::NameHashes;
use crate::users::identifiers::KeyedHash;

/// How long the connection of an import that was killed may take to be noticed.
const TIMEOUT: Duration = Duration::from_secs(20);

/// See the module.
pub(super) struct Staging {
    connection: PgConnection,
    key: PassingKey,
}

/// A user on the way.
pub(super) struct Staged {
    pub id: String,
    pub found: Box<Found>,
    /// `None`: they do not hold, which is said later.
    pub names: Option<NameHashes>,
}

/// A page of users, in the order in which they were read.
pub(super) struct Page {
    pub last: i64,
    pub users: Vec<OnPage>,
}

/// A user on a page.
pub(super) struct OnPage {
    pub id: String,
    pub found: Found,
    /// Column, and the row and column of the user who has the same name there.
    pub collision: Option<(String, String, String)>,
    /// Whether one of their devices fits, where they have any.
    pub totp: Option<bool>,
}

impl Staging {
    /// Makes the tables; waits for another import of this tenant to end, but not for long.
    pub async fn open(control: &Control, tenant: TenantId) -> Result<Self, ImportError> {
        let options = connect_options(&control.settings.database.migrate_url)?;
        let mut connection = PgConnection::connect_with(&options).await?;
        let locked = sqlx::query("select pg_advisory_lock(hashtextextended('wardgate/import/' || $1, 0))")
            .bind(tenant.to_string());
        let locked = tokio::time::timeout(TIMEOUT, locked.execute(&mut connection)).await;
        let Ok(locked) = locked else {
            return Err(ImportError::Refused("another import of this tenant is under way".into()));
        };
        locked?;
        sqlx::raw_sql(
            "create temporary table staged_users (
                place bigint generated always as identity primary key,
                id text not null unique,
                username_hash text,
                email_hash text,
                wrapped bytea not null,
                collision text[]
            );
            create temporary table staged_devices (
                legacy_id text not null,
                id text not null,
                fits boolean not null,
                wrapped bytea not null,
                primary key (legacy_id, id)
            )",
        )
        .execute(&mut connection)
        .await
        .map_err(not_allowed)?;
        Ok(Self { connection, key: PassingKey::make()? })
    }

    /// Lays out users. Of two rows with one id, the later is kept.
    pub async fn put_users(&mut self, users: Vec<Staged>) -> Result<(), ImportError> {
        let mut last: HashMap<String, usize> = HashMap::new();
        for (place, user) in users.iter().enumerate() {
            last.insert(user.id.clone(), place);
        }
        let (mut ids, mut usernames, mut emails, mut wrapped) = (vec![], vec![], vec![], vec![]);
        for (place, user) in users.into_iter().enumerate() {
            if last.get(&user.id) != Some(&place) {
                continue;
            }
            let plain = zeroize::Zeroizing::new(
                serde_json::to_vec(&user.found).map_err(|_| Failure::Unreadable("imported user"))?,
            );
            wrapped.push(self.key.seal(&user.id, &plain)?);
            ids.push(user.id);
            // They are only compared with each other, so the first key's do.
            let first = |hashes: &Vec<KeyedHash>| hashes.first().map(|hash| hash.text.clone());
            usernames.push(user.names.as_ref().and_then(|names| first(&names.username)));
            emails.push(user.names.as_ref().and_then(|names| names.email.as_ref().and_then(first)));
        }
        sqlx::query(
            "insert into staged_users (id, username_hash, email_hash, wrapped)
             select id, username_hash, email_hash, wrapped
             from unnest($1::text[], $2::text[], $3::text[], $4::bytea[]) with ordinality
                 as p (id, username_hash, email_hash, wrapped, place)
             order by place
             on conflict (id) do update
             set username_hash = excluded.username_hash,
                 email_hash = excluded.email_hash,
                 wrapped = excluded.wrapped",
        )
        .bind(ids)
        .bind(usernames)
        .bind(emails)
        .bind(wrapped)
        .execute(&mut self.connection)
        .await?;
        Ok(())
    }

    /// Lays out a second factor.
    pub async fn put_device(&mut self, device: &Device) -> Result<(), ImportError> {
        let plain = serde_json::to_vec(device).map_err(|_| Failure::Unreadable("second factor"))?;
        let plain = zeroize::Zeroizing::new(plain);
        let row = device_row(&device.user, &device.id);
        let wrapped = self.key.seal(&row, &plain)?;
        sqlx::query(
            "insert into staged_devices (legacy_id, id, fits, wrapped) values ($1, $2, $3, $4)
             on conflict (legacy_id, id) do update
             set fits = excluded.fits, wrapped = excluded.wrapped",
        )
        .bind(&device.user)
        .bind(&device.id)
        .bind(device.fits().is_ok())
        .bind(wrapped)
        .execute(&mut self.connection)
        .await?;
        Ok(())
    }

    /// Finds users with the same name or address, and notes one other user for each.
    pub async fn find_collisions(&mut self) -> Result<(), ImportError> {
        sqlx::raw_sql(
            "create temporary table staged_names as
                select username_hash as hash, 'username' as kind, id from staged_users where username_hash is not null
                union all
                select email_hash, 'email', id from staged_users where email_hash is not null;
            create index on staged_names (hash, id);
            analyze staged_names;
            update staged_users p
            set collision = c.collision
            from (
                select distinct on (a.id) a.id, array[a.kind, b.id, b.kind] as collision
                from staged_names a
                -- One each: of an address that thousands share, not all of them with all.
                cross join lateral (
                    select o.id, o.kind from staged_names o
                    where o.hash = a.hash and o.id <> a.id
                    order by o.id
                    limit 1
                ) b
                order by a.id, a.kind desc, b.id
            ) c
            where p.id = c.id;
            drop table staged_names;
            analyze staged_users",
        )
        .execute(&mut self.connection)
        .await?;
        Ok(())
    }

    /// How many users were laid out.
    pub async fn count(&mut self) -> Result<u64, ImportError> {
        let count: i64 =
            sqlx::query_scalar("select count(*) from staged_users").fetch_one(&mut self.connection).await?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// The next users after a place.
    pub async fn page(&mut self, after: i64, limit: i64) -> Result<Page, ImportError> {
        let rows = sqlx::query(
            "select p.place, p.id, p.wrapped, p.collision,
                 (select bool_or(d.fits) from staged_devices d where d.legacy_id = p.id) as totp
             from staged_users p
             where p.place > $1
             order by p.place
             limit $2",
        )
        .bind(after)
        .bind(limit)
        .fetch_all(&mut self.connection)
        .await?;
        let mut page = Page { last: after, users: Vec::with_capacity(rows.len()) };
        for row in rows {
            page.last = row.try_get("place")?;
            let id: String = row.try_get("id")?;
            let wrapped: Vec<u8> = row.try_get("wrapped")?;
            let plain = self.key.open(&id, &wrapped, "staged user")?;
            let found = serde_json::from_slice(&plain).map_err(|_| Failure::Unreadable("staged user"))?;
            let collision: Option<Vec<String>> = row.try_get("collision")?;
            let collision =
                collision.and_then(|it| <[String; 3]>::try_from(it).ok()).map(|[a, b, c]| (a, b, c));
            page.users.push(OnPage { id, found, collision, totp: row.try_get("totp")? });
        }
        Ok(page)
    }

    /// The second factors of these users.
    pub async fn devices(&mut self, users: &[String]) -> Result<Vec<Device>, ImportError> {
        let rows =
            sqlx::query("select legacy_id, id, wrapped from staged_devices where legacy_id = any ($1)")
                .bind(users)
                .fetch_all(&mut self.connection)
                .await?;
        let mut devices = Vec::with_capacity(rows.len());
        for row in rows {
            let (user, id): (String, String) = (row.try_get("legacy_id")?, row.try_get("id")?);
            let wrapped: Vec<u8> = row.try_get("wrapped")?;
            let plain = self.key.open(&device_row(&user, &id), &wrapped, "staged second factor")?;
            devices.push(
                serde_json::from_slice(&plain).map_err(|_| Failure::Unreadable("staged second factor"))?,
            );
        }
        Ok(devices)
    }
}

fn device_row(user: &str, id: &str) -> String {
    format!("{user}/{id}")
}

/// The role `migrate` got this privilege with the import feature; an older database must be migrated first.
fn not_allowed(error: sqlx::Error) -> ImportError {
    match &error {
        sqlx::Error::Database(inner) if inner.code().as_deref() == Some("42501") => ImportError::Refused(
            "the role that migrates may not make temporary tables here: run `wardgate migrate` once with WARDGATE_DATABASE_ADMIN_URL".into(),
        ),
        _ => error.into(),
    }
}

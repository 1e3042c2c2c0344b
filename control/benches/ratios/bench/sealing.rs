//! Reading and writing users, next to a table that has the same columns in clear and is read by the same statement.

use chrono::{DateTime, Utc};
use control::db::TenantTx;
use control::users::Profile;
use control::users::store::select;
use sqlx::{AssertSqlSafe, FromRow};
use uuid::Uuid;

use super::people::{Columns, profile};
use super::report::{Compared, Sealing};
use super::samples::{Chance, Samples};
use super::stage::Stage;
use super::{Options, Outcome};

/// The most users in the table with clear columns: those who were made first.
const CLEAR: u32 = 100_000;
/// Users whose rows are made by one statement.
const PART: usize = 1_000;
/// Bytes of a sealed verifier.
const VERIFIER: usize = 126;
/// Users of a page.
const PAGE: usize = 20;

/// Like `store::select`, but for the keys.
const SELECT: &str = "select u.id, u.username, u.email, u.first_name, u.last_name, u.phone, u.status, u.email_verified,
        array(
            select ur.role from user_roles ur
            join roles r on r.tenant_id = ur.tenant_id and r.name = ur.role
            where ur.tenant_id = u.tenant_id and ur.user_id = u.id
            order by r.rank desc, r.name
        ) as roles,
        coalesce((
            select max(r.rank) from user_roles ur
            join roles r on r.tenant_id = ur.tenant_id and r.name = ur.role
            where ur.tenant_id = u.tenant_id and ur.user_id = u.id
        ), 0) as rank,
        u.access_epoch, u.session_epoch, u.password_epoch, u.last_login, u.created_at, u.updated_at, u.legacy_id
    from unnest($1::uuid[]) with ordinality as wanted (id, place)
    join bench_clear u on u.id = wanted.id
    order by wanted.place";

/// A row of it, whole: what is not read costs nothing.
#[derive(FromRow)]
#[allow(dead_code, reason = "read as the product reads its own")]
struct Row {
    id: Uuid,
    username: String,
    email: Option<String>,
    first_name: String,
    last_name: String,
    phone: String,
    status: String,
    email_verified: bool,
    roles: Vec<String>,
    rank: i32,
    access_epoch: i64,
    session_epoch: i64,
    password_epoch: i64,
    last_login: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    legacy_id: Option<String>,
}

/// Measures in the large tenant.
///
/// # Errors
/// Errors of the database.
pub async fn measure(stage: &Stage, options: &Options) -> Outcome<Sealing> {
    let (control, tenant) = (&stage.control, stage.large.id);
    make_table(stage).await?;
    let mut tx = control.db.tenant_tx(tenant).await?;
    let users: Vec<(Uuid, DateTime<Utc>)> = sqlx::query_as(
        "select id, created_at from users where tenant_id = $1 order by created_at, id limit $2",
    )
    .bind(tenant.uuid())
    .bind(i64::from(options.users.min(CLEAR)))
    .fetch_all(&mut *tx)
    .await?;
    let (ids, created_at): (Vec<Uuid>, Vec<DateTime<Utc>>) = users.into_iter().unzip();
    for (part, ids) in ids.chunks(PART).enumerate() {
        let numbers = (part * PART..).take(ids.len());
        let profiles =
            numbers.map(|number| Ok(profile(u32::try_from(number)?))).collect::<Outcome<Vec<_>>>()?;
        insert_clear(&mut tx, ids, &profiles, &created_at[part * PART..][..ids.len()]).await?;
    }
    tx.commit().await?;
    let mut admin = stage.database().admin().await?;
    let vacuum = format!("vacuum analyze {}.bench_clear", stage.large.cell);
    sqlx::raw_sql(AssertSqlSafe(vacuum)).execute(&mut admin).await?;
    let bytes = bytes(stage, options).await?;

    let mut chance = Chance(2);
    let mut samples: [[Samples; 2]; 4] = Default::default();
    for round in 0..options.rounds {
        let mut tx = control.db.tenant_tx(tenant).await?;
        let at = chance.below(ids.len().saturating_sub(PAGE));
        for (size, taken) in [1, PAGE, 1, PAGE].into_iter().zip(&mut samples).take(2) {
            read(&mut tx, &ids[at..(at + size).min(ids.len())], round, taken).await?;
        }
        for (size, taken) in [1, PAGE, 1, PAGE].into_iter().zip(&mut samples).skip(2) {
            write(&mut tx, &mut chance, size, taken).await?;
        }
        // Dropped: what was written never was.
    }
    let what = ["read 1 user", "read 20 users", "write 1 user", "write 20 users"];
    let times = what.into_iter().zip(&samples).map(|(what, [sealed, clear])| Compared {
        what: what.to_owned(),
        sealed: sealed.times(),
        clear: clear.times(),
    });
    Ok(Sealing { times: times.collect(), bytes })
}

/// Reads users both ways; who comes first finds less in memories, so they take turns.
async fn read(
    tx: &mut TenantTx,
    ids: &[Uuid],
    round: u32,
    [sealed, clear]: &mut [Samples; 2],
) -> Outcome<()> {
    for turn in [round, round + 1] {
        let read = if turn % 2 == 0 {
            sealed.time(select(tx, ids)).await?.len()
        } else {
            let rows: Vec<Row> = clear.time(sqlx::query_as(SELECT).bind(ids).fetch_all(&mut **tx)).await?;
            rows.len()
        };
        if read != ids.len() {
            return Err(format!("{read} of {} users were read", ids.len()).into());
        }
    }
    Ok(())
}

/// Makes users both ways.
async fn write(
    tx: &mut TenantTx,
    chance: &mut Chance,
    size: usize,
    [sealed, clear]: &mut [Samples; 2],
) -> Outcome<()> {
    let numbers: Vec<u32> = (0..size).map(|_| chance.number(u32::MAX)).collect();
    let profiles: Vec<Profile> = numbers.iter().map(|number| profile(*number)).collect();
    let now = vec![DateTime::UNIX_EPOCH; size];
    let work = async {
        let columns = Columns::seal(tx, &profiles, numbers, now.clone())?;
        columns.insert(tx).await?;
        Outcome::Ok(columns.ids)
    };
    let ids = sealed.time(work).await?;
    clear.time(insert_clear(tx, &ids, &profiles, &now)).await
}

/// A table like that of users, with text where that has what is sealed, under the same row security.
async fn make_table(stage: &Stage) -> Outcome<()> {
    let (cell, app) = (&stage.large.cell, stage.database().app());
    let table = format!(
        "drop table if exists {cell}.bench_clear;
         create table {cell}.bench_clear (like {cell}.users including all);
         alter table {cell}.bench_clear
             alter username type text using '', alter email type text using '', alter first_name type text using '',
             alter last_name type text using '', alter phone type text using '';
         alter table {cell}.bench_clear enable row level security;
         create policy tenant_rows on {cell}.bench_clear
             using (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);
         grant select, insert on {cell}.bench_clear to {app}"
    );
    sqlx::raw_sql(AssertSqlSafe(table)).execute(&mut stage.database().admin().await?).await?;
    Ok(())
}

/// Writes rows with clear names. A verifier is sealed in either table.
async fn insert_clear(
    tx: &mut TenantTx,
    ids: &[Uuid],
    profiles: &[Profile],
    created_at: &[DateTime<Utc>],
) -> Outcome<()> {
    let column = |of: fn(&Profile) -> &String| profiles.iter().map(|it| of(it).clone()).collect::<Vec<_>>();
    let emails: Vec<_> = profiles.iter().map(|it| it.email.clone()).collect();
    sqlx::query(
        "insert into bench_clear
             (tenant_id, id, username, email, first_name, last_name, phone, status, email_verified,
              wrapped_verifier, last_login, created_at, updated_at)
         select $1, id, username, email, first_name, last_name, phone, 'active', true, $8, at, at, at
         from unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $9::timestamptz[])
             as u (id, username, email, first_name, last_name, phone, at)",
    )
    .bind(tx.tenant().uuid())
    .bind(ids)
    .bind(column(|it| &it.username))
    .bind(emails)
    .bind(column(|it| &it.first_name))
    .bind(column(|it| &it.last_name))
    .bind(column(|it| &it.phone))
    .bind(&[7_u8; VERIFIER][..])
    .bind(created_at)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// How much room a user takes.
async fn bytes(stage: &Stage, options: &Options) -> Outcome<Vec<(String, i64)>> {
    let mut admin = stage.database().admin().await?;
    let clear = options.users.min(CLEAR);
    let mut bytes = Vec::new();
    for (table, what, rows) in [
        ("bench_clear", "users with clear columns", clear),
        ("users", "users", options.users),
        ("user_keys", "keys of users", options.users),
        ("search_tokens", "index of searches", options.users),
        ("identifiers", "hashes of user names and addresses", options.users),
    ] {
        let size: i64 = sqlx::query_scalar("select pg_total_relation_size($1::regclass)")
            .bind(format!("{}.{table}", stage.large.cell))
            .fetch_one(&mut admin)
            .await?;
        bytes.push((what.to_owned(), size / i64::from(rows.max(1))));
    }
    Ok(bytes)
}

//! Writing audit entries, next to a table with the same columns and indexes that is no chain: no head is locked, and
//! no entry is hashed with the one before.

use std::ops::AddAssign as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use control::audit::{self, Action, Actor, Who};
use control::branches::Grants;
use control::control::Control;
use control::db::TenantTx;
use control::db::body::{Body, BodyKeys};
use control::world::{random, unix_ms};
use serde_json::json;
use shared::contract::permissions::Permissions;
use shared::ids::{TenantId, UserId};
use sqlx::AssertSqlSafe;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::report::Rates;
use super::samples::Chance;
use super::stage::Stage;
use super::{Options, Outcome};

/// How often each kind of writers has its turn.
const TURNS: u32 = 4;
/// The number of users that the entries concern.
const USERS: i64 = 1_000;

/// Writers at work, and how many entries they wrote in which time.
struct Writers<'w> {
    control: &'w Control,
    /// The log of each writer. All writers may share one.
    logs: &'w [Arc<Log>],
    /// How many there are.
    writers: usize,
    /// Entries of one transaction.
    entries: usize,
    time: Duration,
}

/// A tenant's log, and the table beside it.
struct Log {
    tenant: TenantId,
    users: Vec<Uuid>,
    position: AtomicI64,
}

/// Measures with one log, then with as many as there are writers.
///
/// # Errors
/// Errors of the database.
pub async fn measure(stage: &Stage, options: &Options) -> Outcome<Vec<Rates>> {
    make_tables(stage).await?;
    let time = Duration::from_secs_f64(options.seconds);
    let one = [Arc::new(Log::of(&stage.control, stage.large.id).await?)];

    let control = &stage.control;
    let mut rates = Vec::new();
    for (writers, entries, what) in [
        (1, 1, "1 writer"),
        (4, 1, "4 writers"),
        (16, 1, "16 writers"),
        (1, 100, "1 writer, 100 entries a transaction"),
    ] {
        rates.push(Writers { control, logs: &one, writers, entries, time }.rates(what).await?);
    }
    let mut logs = Vec::new();
    for tenant in stage.small.iter().take(16) {
        logs.push(Arc::new(Log::of(&stage.control, tenant.id).await?));
    }
    let what = format!("16 writers, {} tenants", logs.len());
    rates.push(Writers { control, logs: &logs, writers: 16, entries: 1, time }.rates(&what).await?);
    Ok(rates)
}

async fn make_tables(stage: &Stage) -> Outcome<()> {
    let app = stage.database().app();
    let mut admin = stage.database().admin().await?;
    for cell in stage.small.iter().take(1).map(|it| &it.cell).chain([&stage.large.cell]) {
        let table = format!(
            "drop table if exists {cell}.bench_unchained;
             create table {cell}.bench_unchained (like {cell}.audit_entries including all);
             alter table {cell}.bench_unchained enable row level security;
             create policy tenant_rows on {cell}.bench_unchained
                 using (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);
             grant select, insert on {cell}.bench_unchained to {app}"
        );
        sqlx::raw_sql(AssertSqlSafe(table)).execute(&mut admin).await?;
    }
    Ok(())
}

impl Log {
    async fn of(control: &Control, tenant: TenantId) -> Outcome<Self> {
        let mut tx = control.db.tenant_tx(tenant).await?;
        let users = sqlx::query_scalar("select id from users where tenant_id = $1 limit $2")
            .bind(tenant.uuid())
            .bind(USERS)
            .fetch_all(&mut *tx)
            .await?;
        Ok(Self { tenant, users, position: AtomicI64::new(0) })
    }
}

impl Writers<'_> {
    async fn rates(self, what: &str) -> Outcome<Rates> {
        let (mut done, mut took) = ([0_u64; 2], [Duration::ZERO; 2]);
        for turn in 0..TURNS * 2 {
            let kind = usize::from(turn % 2 == 1);
            let (entries, time) = self.turn(kind == 0, u64::from(turn)).await?;
            done[kind] += entries;
            took[kind].add_assign(time);
        }
        let rate = |kind: usize| {
            let entries = u32::try_from(done[kind]).unwrap_or(u32::MAX);
            f64::from(entries) / took[kind].as_secs_f64()
        };
        Ok(Rates { what: what.to_owned(), chained: rate(0), unchained: rate(1) })
    }

    /// All write for a while.
    async fn turn(&self, chained: bool, turn: u64) -> Outcome<(u64, Duration)> {
        let (start, written) = (Instant::now(), Arc::new(AtomicU64::new(0)));
        let (time, size) = (self.time, self.entries);
        let mut writers = JoinSet::new();
        for writer in 0..self.writers {
            let (control, written) = (self.control.clone(), written.clone());
            let log = self.logs[writer % self.logs.len()].clone();
            let mut chance = Chance(turn * 100 + u64::try_from(writer)?);
            writers.spawn(async move {
                while start.elapsed() < time {
                    let targets = (0..size).map(|_| log.users[chance.below(log.users.len())]).collect();
                    write(&control, &log, chained, targets).await?;
                    written.fetch_add(u64::try_from(size)?, Ordering::Relaxed);
                }
                Outcome::Ok(())
            });
        }
        while let Some(ended) = writers.join_next().await {
            ended??;
        }
        Ok((written.load(Ordering::Relaxed), start.elapsed()))
    }
}

/// One transaction: an administrator changes these users.
async fn write(control: &Control, log: &Log, chained: bool, targets: Vec<Uuid>) -> Outcome<()> {
    let now = control.clock.now();
    let id = log.users.first().copied().unwrap_or_default();
    let who = Who::User { id: UserId::from(id), rank: 100, grants: Grants::everywhere(Permissions::EVERY) };
    let (request_id, client) = (Some("bench-0123456789abcdef".to_owned()), Some("192.0.2.7".to_owned()));
    let details = json!({"fields": ["first_name", "phone"]});
    let mut tx = control.db.tenant_tx(log.tenant).await?;
    if chained {
        let actor = Actor { who, request_id, client };
        for target in targets {
            let target = Some(target.to_string());
            audit::record(&mut tx, &actor, now, Action::UserEdited, target, details.clone());
        }
    } else {
        let body = Body { client, details };
        insert(&mut tx, (log, id), now, &body, request_id, targets).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// The same inserts as at COMMIT, without the chain.
async fn insert(
    tx: &mut TenantTx,
    (log, actor): (&Log, Uuid),
    now: DateTime<Utc>,
    body: &Body,
    request_id: Option<String>,
    targets: Vec<Uuid>,
) -> Outcome<()> {
    let mut owners = targets.clone();
    owners.push(actor);
    owners.sort_unstable();
    owners.dedup();
    let tenant = tx.keep_keys();
    let keys = BodyKeys::of(tx, &tenant, &owners).await?;
    let size = targets.len();
    let from = log.position.fetch_add(i64::try_from(size)?, Ordering::Relaxed);
    let positions: Vec<i64> = (from + 1..).take(size).collect();
    let (mut ids, mut bodies, mut hashes) = (Vec::new(), Vec::new(), Vec::new());
    for target in &targets {
        let id = uuid::Builder::from_unix_timestamp_millis(unix_ms(now), &random()?).into_uuid();
        ids.push(id);
        bodies.push(keys.close(id, &[*target, actor], body)?);
        hashes.push(vec![7_u8; 32]);
    }
    let targets: Vec<String> = targets.iter().map(Uuid::to_string).collect();
    sqlx::query(
        "insert into bench_unchained
             (tenant_id, recorded_at, position, id, at, actor_kind, actor, action, outcome, target, request_id, body,
              client_key, hash)
         select $1, clock_timestamp(), position, id, $2, 'person', $3, $4, 'done', target, $5, body, $6, hash
         from unnest($7::bigint[], $8::uuid[], $9::text[], $10::bytea[], $11::bytea[])
             as e (position, id, target, body, hash)",
    )
    .bind(log.tenant.uuid())
    .bind(now)
    .bind(actor.to_string())
    .bind(Action::UserEdited.as_str())
    .bind(request_id)
    .bind(keys.client_key(body)?)
    .bind(positions)
    .bind(ids)
    .bind(targets)
    .bind(bodies)
    .bind(hashes)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

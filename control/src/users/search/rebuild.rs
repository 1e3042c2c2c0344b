//! Rebuilding the index of a tenant: after a crash of PostgreSQL or a restore, which leave the table empty, and after
//! a rotation of its key.
//!
//! The work is done in short transactions, each with the row locks of a few users. Users that are created meanwhile
//! get their tokens at once. A killed run loses only the work of one transaction.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use shared::derive::Secret;
use shared::ids::{TenantId, UserId};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::index::{self, Index};
use super::words::Texts;
use crate::audit::{self, Action, Actor};
use crate::control::Control;
use crate::crypt::roots::{self, RootKind};
use crate::db::{CellName, TenantTx, migrate};
use crate::failure::{Failure, chain};
use crate::jobs::queue::{self, Enqueued, Job};
use crate::users::store;
use crate::world::random;

/// Users of one transaction: a change of one of them waits for it.
const CHUNK: usize = 200;
/// Users who are looked at together: those who have tokens cost next to nothing.
const WALK: i64 = 5_000;

/// Rebuilds the index of one tenant if it is not complete.
#[derive(Serialize, Deserialize)]
pub struct RebuildSearch {
    /// The tenant.
    pub tenant: TenantId,
}

impl Job for RebuildSearch {
    const TASK: &'static str = "rebuild_search";
    type Error = Failure;

    async fn run(self, control: &Control) -> Result<(), Failure> {
        rebuild(control, self.tenant, |_| {}).await?;
        Ok(())
    }
}

impl Enqueued for RebuildSearch {
    fn about(&self) -> String {
        self.tenant.to_string()
    }

    fn tenant(&self) -> Option<TenantId> {
        Some(self.tenant)
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The index is complete.
    Complete,
    /// Another run is at work on it.
    Elsewhere,
    /// The tenant has no users: it is not made yet, or deleted.
    NoUsers,
}

/// Why a run goes no further.
enum Stop {
    Ended(Outcome),
    Failed(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Makes the index of a tenant complete; `done` is called with the number of users that were written, also when it is
/// 0. It is idempotent, also when two control processes run it at once.
///
/// # Errors
/// Errors of the database, or names that cannot be decrypted.
pub async fn rebuild(
    control: &Control,
    tenant: TenantId,
    mut done: impl FnMut(usize) + Send,
) -> Result<Outcome, Failure> {
    loop {
        match pass(control, tenant, &mut done).await {
            Ok(true) => return Ok(Outcome::Complete),
            Ok(false) => {}
            Err(Stop::Ended(outcome)) => return Ok(outcome),
            Err(Stop::Failed(failure)) => return Err(failure),
        }
    }
}

/// Goes through all users once and writes the tokens of those that lack them. Returns whether no user lacked them;
/// then the index is marked as complete. So a first pass writes, and a second one checks.
async fn pass(
    control: &Control,
    tenant: TenantId,
    done: &mut (impl FnMut(usize) + Send),
) -> Result<bool, Stop> {
    let run = i64::from_ne_bytes(random()?);
    let mut tx = begin(control, tenant).await?;
    let version = roots::newest_version(&mut tx, RootKind::Search).await?;
    index::begin_run(&mut tx, run).await?;
    tx.commit().await?;
    let (mut after, mut lacked) = (Uuid::nil(), false);
    loop {
        let mut tx = begin(control, tenant).await?;
        let users = index::walk(&mut tx, version, after, WALK).await?;
        // A transaction that is only dropped may keep its locks for a moment, and the next one finds itself not alone.
        tx.commit().await?;
        let Some((last, _)) = users.last() else { break };
        after = *last;
        let lacking: Vec<Uuid> = users.into_iter().filter_map(|(id, lacks)| lacks.then_some(id)).collect();
        for ids in lacking.chunks(CHUNK) {
            lacked = true;
            write(control, tenant, ids).await?;
            done(ids.len());
        }
        if lacking.is_empty() {
            done(0);
        }
    }
    if lacked { Ok(false) } else { finish(control, tenant, run, version).await }
}

/// A transaction of the one run that is at work. The key stays the present one until it ends.
async fn begin(control: &Control, tenant: TenantId) -> Result<TenantTx, Stop> {
    let mut tx = control.db.work_tx(tenant).await?;
    let state = sqlx::query!(
        r#"select status in ('active', 'suspended') as "lives!",
            pg_try_advisory_xact_lock(hashtextextended('wardgate/search/rebuild/' || id, 0)) as "alone!"
         from platform.tenants
         where id = $1"#,
        tenant.uuid(),
    )
    .fetch_one(&mut *tx)
    .await
    .map_err(Failure::from)?;
    let ended = match (state.lives, state.alone) {
        (false, _) => Some(Outcome::NoUsers),
        (true, false) => Some(Outcome::Elsewhere),
        (true, true) => {
            index::keep_key(&mut tx).await?;
            index::is_complete(&mut tx).await?.then_some(Outcome::Complete)
        }
    };
    match ended {
        Some(outcome) => Err(Stop::Ended(outcome)),
        None => Ok(tx),
    }
}

/// Writes the tokens of these users, as they are now. A user whose row another transaction holds is left for a
/// transaction of their own: one that holds rows and waits for others could wait in a circle.
async fn write(control: &Control, tenant: TenantId, ids: &[Uuid]) -> Result<(), Stop> {
    let mut tx = begin(control, tenant).await?;
    let free = sqlx::query_scalar!(
        "select id from users where tenant_id = $1 and id = any ($2) for no key update skip locked",
        tenant.uuid(),
        ids,
    )
    .fetch_all(&mut *tx)
    .await
    .map_err(Failure::from)?;
    put(&mut tx, &free).await?;
    tx.commit().await?;
    for id in ids.iter().filter(|id| !free.contains(id)) {
        let mut tx = control.db.work_tx(tenant).await?;
        let held = sqlx::query_scalar!(
            "select id from users where tenant_id = $1 and id = $2 for no key update",
            tenant.uuid(),
            id,
        )
        .fetch_all(&mut *tx)
        .await
        .map_err(Failure::from)?;
        put(&mut tx, &held).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// Writes the tokens of users whose rows the transaction holds.
async fn put(tx: &mut TenantTx, held: &[Uuid]) -> Result<(), Failure> {
    if held.is_empty() {
        return Ok(());
    }
    let users = store::briefs(tx, held).await?;
    let mut users: Vec<(UserId, Texts)> = users.iter().map(|user| (user.id, user.texts())).collect();
    // A user whose columns do not open has no words, and keeps the index of the others from nothing.
    for id in held.iter().map(|id| UserId::from(*id)) {
        if !users.iter().any(|(known, _)| *known == id) {
            users.push((id, Texts::default()));
        }
    }
    Index::of(tx).await?.put(tx, &users).await
}

/// Notes that all is there, if nothing was lost since the run began, and the key is still the one under which all
/// was found.
async fn finish(control: &Control, tenant: TenantId, run: i64, version: i32) -> Result<bool, Stop> {
    let mut tx = begin(control, tenant).await?;
    match index::end_run(&mut tx).await? {
        Some(last) if last == run => {}
        Some(_) => return Err(Stop::Ended(Outcome::Elsewhere)),
        None => {
            tx.commit().await?;
            return Ok(false);
        }
    }
    if roots::newest_version(&mut tx, RootKind::Search).await? != version {
        tx.commit().await?;
        return Ok(false);
    }
    index::set_complete(&mut tx).await?;
    let (now, details) = (control.clock.now(), serde_json::json!({ "version": version }));
    let target = Some(tenant.to_string());
    audit::record(&mut tx, &Actor::control(), now, Action::SearchRebuilt, target, details);
    tx.commit().await?;
    Ok(true)
}

/// Enqueues the job and commits the transaction. Called when a search finds that the index is not complete.
///
/// # Errors
/// Errors of the database.
pub async fn ask(mut tx: TenantTx) -> Result<(), Failure> {
    let job = RebuildSearch { tenant: tx.tenant() };
    queue::enqueue(&mut tx, &job, TimeDelta::zero()).await?;
    tx.commit().await
}

/// Gives a tenant a new root for its index, and returns its version. Searches are refused until a job, which starts
/// at once, has rebuilt the index.
///
/// # Errors
/// Errors of the database.
pub async fn rotate(control: &Control, mut tx: TenantTx, actor: &Actor) -> Result<i32, Failure> {
    let (tenant, now) = (tx.tenant(), control.clock.now());
    // Waits for transactions that write or search under the old key.
    index::hold_key(&mut tx).await?;
    let version = roots::newest_version(&mut tx, RootKind::Search).await? + 1;
    let root = Secret::new(random()?);
    roots::insert(&mut tx, RootKind::Search, version, &root, now).await?;
    index::set_incomplete(&mut tx).await?;
    let details = serde_json::json!({ "version": version });
    audit::record(&mut tx, actor, now, Action::SearchRotated, Some(tenant.to_string()), details);
    ask(tx).await?;
    Ok(version)
}

/// The state of a tenant's index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Whether searches are answered.
    pub complete: bool,
    /// Users who have tokens under the present key.
    pub indexed: i64,
    /// All users.
    pub users: i64,
}

/// How far the index of a tenant is.
///
/// # Errors
/// Errors of the database.
pub async fn progress(tx: &mut TenantTx) -> Result<Progress, Failure> {
    let version = roots::newest_version(tx, RootKind::Search).await?;
    let (indexed, users) = index::progress(tx, version).await?;
    Ok(Progress { complete: index::is_complete(tx).await?, indexed, users })
}

/// Looks for tenants whose index is not complete, in every cell, and enqueues the job of each, so that no search has
/// to find it first. A cell that cannot be read does not stop the others.
///
/// # Errors
/// If the list of cells cannot be read, or a job cannot be enqueued.
pub async fn look(control: &Control) -> Result<(), Failure> {
    let tenants = incomplete(control).await?;
    let mut connection = control.db.work().acquire().await?;
    for tenant in tenants {
        queue::enqueue(&mut connection, &RebuildSearch { tenant }, TimeDelta::zero()).await?;
    }
    Ok(())
}

/// Sets the gauge of tenants whose index is not complete: a search there is answered 503.
///
/// # Errors
/// If the list of cells cannot be read.
pub async fn measure(control: &Control) -> Result<(), Failure> {
    let tenants = incomplete(control).await?;
    // Exact up to 2^53 tenants.
    #[allow(clippy::cast_precision_loss)]
    metrics::gauge!("wardgate_search_indexes_incomplete").set(tenants.len() as f64);
    Ok(())
}

/// Tenants in use whose index is not complete. A cell that cannot be read is named in the log.
async fn incomplete(control: &Control) -> Result<Vec<TenantId>, Failure> {
    let cells = sqlx::query_scalar!("select name from platform.cells where version = $1", migrate::newest())
        .fetch_all(control.db.work())
        .await?;
    let mut tenants = Vec::new();
    for cell in cells {
        let cell = CellName::parse(&cell)?;
        match incomplete_in(control, &cell).await {
            Ok(found) => tenants.extend(found),
            Err(failure) => {
                tracing::warn!(%cell, error = %chain(&failure), "a cell cannot be asked for its index");
            }
        }
    }
    Ok(tenants)
}

async fn incomplete_in(control: &Control, cell: &CellName) -> Result<Vec<TenantId>, Failure> {
    let incomplete = format!(
        "select t.id
         from platform.tenants t
         where t.cell = $1
             and t.status in ('active', 'suspended')
             and not exists (
                 select from {cell}.search_tokens s where s.tenant_id = t.id and s.user_id = $2
             )"
    );
    let tenants: Vec<Uuid> = sqlx::query_scalar(AssertSqlSafe(incomplete))
        .bind(cell.as_str())
        .bind(index::COMPLETE)
        .fetch_all(control.db.work())
        .await?;
    Ok(tenants.into_iter().map(TenantId::from).collect())
}

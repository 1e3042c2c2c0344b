//! Facts born at the edge become entries of the audit log.
//!
//! The cursor is acknowledged only after everything up to it is committed, and an entry is known by
//! the fact's id, so a lost answer or acknowledgement costs a second delivery that changes nothing. Facts
//! that a tenant cannot take now are kept by [`super::held_facts`], which counts as committed.
//!
//! Not a job: the cursor is followed every two seconds, and a failing edge is tried again in two, where
//! a job would be written and deleted each time and would wait longer after each failure.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use shared::contract::refusal::Code;
use shared::ids::TenantId;
use shared::wire::facts::{Acknowledge, DrainIn, DrainOut, Fact, FactKind};
use sqlx::{PgConnection, Postgres, Transaction};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::client::CallError;
use super::held_facts;
use super::lanes::{self, LaneError};
use crate::accounts::network;
use crate::audit;
use crate::control::Control;
use crate::failure::{Failure, chain};
use crate::sessions::seen::{self, CLIENT, Seen};
use crate::{mfa, users};

/// How often the edge is asked while it has nothing.
const POLL: Duration = Duration::from_secs(2);
/// The role's own limit of 30 s for an idle transaction is for requests; a page of facts may take longer
/// on a slow day, and would never be acknowledged.
const LONGEST_TURN: &str = "set local idle_in_transaction_session_timeout = '2min'";
/// If a tenant's cell does not store facts within this time, they are held; the database cancels the statements
/// before.
const TENANT: Duration = Duration::from_secs(5);
const SHORT: &str = "set local lock_timeout = '3s'; set local statement_timeout = '4s'";
/// How long tenants that keep their facts waiting may keep one turn, far below [`LONGEST_TURN`].
const TURN: Duration = Duration::from_secs(20);
const SHARD: u8 = 0;

/// Drains until `stop`. One of several controls does it at a time. Because it calls regularly, it is
/// also the first to know that an edge is back: pushes that wait for their retry then try at once.
pub async fn run(control: Control, pusher: Arc<Notify>, stop: CancellationToken) {
    let mut failing = false;
    loop {
        let outcome = run_once(&control).await;
        if let Err(error) = &outcome {
            tracing::warn!(error = %chain(error), "draining the edge failed");
        } else if failing {
            tracing::info!("the edge answers again");
            match lanes::hurry(control.db.relay(), control.clock.now()).await {
                Ok(()) => pusher.notify_one(),
                Err(error) => tracing::warn!(error = %chain(&error), "pushes wait for their retry"),
            }
        }
        failing = outcome.is_err();
        let wait = if matches!(outcome, Ok(true)) { Duration::ZERO } else { POLL };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// One call to the edge, if it is this control's turn; returns whether more facts wait.
///
/// 1. Held facts are tried again, if their delay is over.
/// 2. Committed facts are acknowledged to the edge, and more are requested.
/// 3. Each tenant's facts are stored in its cell. If that fails they are held, so that one tenant's cell does not
///    stop the other logs.
///
/// # Errors
/// See [`LaneError`].
pub async fn run_once(control: &Control) -> Result<bool, LaneError> {
    let Some(mut turn) = Turn::take(control).await? else { return Ok(false) };
    let drained = call(control, &mut turn).await;
    turn.end(control, &drained).await?;
    Ok(drained?.1)
}

async fn call(control: &Control, turn: &mut Turn) -> Result<(Option<Acknowledge>, bool), LaneError> {
    let patience = Patience::begin();
    offer_again(control, &mut turn.tx, &patience).await?;
    let limit = u32::try_from(shared::contract::limits::DRAIN_FACTS).unwrap_or(500);
    let acknowledge = turn.acknowledge.clone();
    let drain = DrainIn { shard: SHARD, acknowledge: acknowledge.clone(), limit };
    let out = match control.edge.drain(&drain, control.clock.now()).await {
        Err(CallError::Refused { code, .. }) if code == Code::OutboxRestored.as_str() => {
            return Err(LaneError::Restored);
        }
        answered => answered?,
    };
    let committed = commit(control, &mut turn.tx, &out, &patience).await?;
    metrics::counter!("wardgate_edge_facts_total").increment(u64::try_from(out.facts.len()).unwrap_or(0));
    Ok((committed.or(acknowledge), out.more))
}

/// How long tenants may keep one turn waiting, all together.
struct Patience(Instant);

impl Patience {
    fn begin() -> Self {
        Self(Instant::now() + TURN)
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.0
    }
}

/// Offers facts that are held to their tenants.
async fn offer_again(control: &Control, tx: &mut PgConnection, patience: &Patience) -> Result<(), Failure> {
    for tenant in held_facts::due(tx, control.clock.now()).await? {
        if patience.is_over() {
            return Ok(());
        }
        let facts = held_facts::oldest(tx, tenant).await?;
        match take(control, tenant, &facts.iter().collect::<Vec<_>>()).await {
            Taken::All | Taken::Forgotten => held_facts::release(tx, tenant, &facts).await?,
            Taken::Failed(why) => held_facts::failed(tx, tenant, control.clock.now(), &why).await?,
        }
    }
    Ok(())
}

/// Commits the facts tenant by tenant and returns what may be acknowledged: all of them, committed or held.
async fn commit(
    control: &Control,
    tx: &mut PgConnection,
    out: &DrainOut,
    patience: &Patience,
) -> Result<Option<Acknowledge>, Failure> {
    let waiting = held_facts::tenants(tx).await?;
    let mut by_tenant: BTreeMap<TenantId, Vec<&Fact>> = BTreeMap::new();
    for fact in &out.facts {
        by_tenant.entry(fact.tenant).or_default().push(fact);
    }
    for (tenant, facts) in by_tenant {
        let taken = match waiting.contains(&tenant) {
            true => None,
            false if patience.is_over() => Some(Taken::Failed("others kept the drain waiting".into())),
            false => Some(take(control, tenant, &facts).await),
        };
        match taken {
            // Behind those that wait: a tenant's log keeps their order.
            None => held_facts::hold(tx, tenant, &facts).await?,
            Some(Taken::All | Taken::Forgotten) => {}
            Some(Taken::Failed(why)) => {
                held_facts::hold(tx, tenant, &facts).await?;
                held_facts::failed(tx, tenant, control.clock.now(), &why).await?;
            }
        }
    }
    let last = out.facts.iter().max_by_key(|fact| fact.seq);
    let incarnation = out.incarnation.clone();
    Ok(last.map(|fact| Acknowledge { incarnation, seq: fact.seq, id: Some(fact.id) }))
}

/// The outcome for a tenant's facts.
enum Taken {
    /// They are committed.
    All,
    /// A restore has forgotten the tenant: no log is left to write them into.
    Forgotten,
    /// They are not, and why.
    Failed(String),
}

async fn take(control: &Control, tenant: TenantId, facts: &[&Fact]) -> Taken {
    let why = match tokio::time::timeout(TENANT, commit_tenant(control, tenant, facts)).await {
        Ok(Ok(())) => return Taken::All,
        Ok(Err(Failure::Database(sqlx::Error::RowNotFound))) => {
            tracing::warn!(%tenant, facts = facts.len(), "facts of an unknown tenant were dropped");
            return Taken::Forgotten;
        }
        Ok(Err(error)) => chain(&error).to_string(),
        Err(_) => format!("no answer within {} seconds", TENANT.as_secs()),
    };
    metrics::counter!("wardgate_edge_facts_failures_total").increment(1);
    tracing::warn!(%tenant, facts = facts.len(), error = why, "a tenant cannot take its facts: they are held");
    Taken::Failed(why)
}

async fn commit_tenant(control: &Control, tenant: TenantId, facts: &[&Fact]) -> Result<(), Failure> {
    let mut tx = control.db.work_tx(tenant).await?;
    sqlx::raw_sql(SHORT).execute(&mut *tx).await?;
    let ids: Vec<_> = facts.iter().map(|fact| fact.id.uuid()).collect();
    let recorded: HashSet<_> = audit::recorded_facts(&mut tx, &ids).await?.into_iter().collect();
    let (mut dropped, mut seen) = (0, Seen::default());
    for fact in facts.iter().filter(|fact| !recorded.contains(&fact.id.uuid())) {
        let at = DateTime::from_timestamp_millis(fact.at_ms).unwrap_or(DateTime::<Utc>::UNIX_EPOCH);
        let entry = audit::Fact {
            event_id: fact.id.uuid(),
            at,
            action: format!("edge.{}", fact.kind.as_str()),
            user: fact.user,
            network: fact.network.clone(),
            details: details(fact),
        };
        audit::record_fact(&mut tx, entry);
        if let (FactKind::SignedIn, Some(user)) = (&fact.kind, fact.user) {
            users::store::signed_in(&mut tx, user, at).await?;
        }
        mfa::used::take_over(control, &mut tx, fact, at).await?;
        network::take_over(control, &mut tx, fact).await?;
        seen::take_over(control, &mut tx, &mut seen, fact, at).await?;
        if fact.kind == FactKind::RefusalsDropped {
            dropped += u64::try_from(fact.count).unwrap_or(0);
        }
    }
    tx.commit().await?;
    metrics::counter!("wardgate_edge_refusals_dropped_total").increment(dropped);
    Ok(())
}

/// The details of a fact's entry, including unknown fields of a later release.
fn details(fact: &Fact) -> serde_json::Value {
    let known = serde_json::json!({ "sid": fact.sid, "name_hash": fact.name_hash, "count": fact.count });
    let serde_json::Value::Object(mut details) = known else { return known };
    // The client is left out: the list of sessions shows it, to callers whose roles are shown it.
    for (name, value) in fact.more.iter().filter(|(name, _)| *name != CLIENT) {
        details.entry(name.clone()).or_insert_with(|| value.clone());
    }
    details.into()
}

/// The right to drain, which is the lock of the cursor's row. It ends with the transaction: at once when
/// the control is killed, after [`LONGEST_TURN`] when its machine has vanished from the network.
struct Turn {
    tx: Transaction<'static, Postgres>,
    acknowledge: Option<Acknowledge>,
}

impl Turn {
    /// `None` while another control drains.
    async fn take(control: &Control) -> Result<Option<Self>, Failure> {
        let edge = control.settings.edge.id.as_str();
        sqlx::query!("insert into platform.drains (edge) values ($1) on conflict do nothing", edge)
            .execute(control.db.relay())
            .await?;
        let mut tx = control.db.relay().begin().await?;
        sqlx::query(LONGEST_TURN).execute(&mut *tx).await?;
        let cursor = sqlx::query_scalar!(
            "select cursor from platform.drains where edge = $1 for update skip locked",
            edge,
        )
        .fetch_optional(&mut *tx)
        .await?;
        let Some(cursor) = cursor else { return Ok(None) };
        let acknowledge = cursor.map(serde_json::from_value).transpose();
        let acknowledge = acknowledge.map_err(|_| Failure::Unreadable("drain cursor"))?;
        Ok(Some(Self { tx, acknowledge }))
    }

    async fn end(
        mut self,
        control: &Control,
        drained: &Result<(Option<Acknowledge>, bool), LaneError>,
    ) -> Result<(), Failure> {
        let cursor = match drained {
            Ok((Some(acknowledge), _)) => serde_json::to_value(acknowledge).ok(),
            Ok((None, _)) | Err(_) => None,
        };
        let last_error = drained.as_ref().err().map(ToString::to_string);
        sqlx::query!(
            "update platform.drains
             set cursor = coalesce($2, cursor), last_error = $3,
                 drained_at = case when $3::text is null then $4 else drained_at end
             where edge = $1",
            control.settings.edge.id,
            cursor,
            last_error,
            control.clock.now(),
        )
        .execute(&mut *self.tx)
        .await?;
        self.tx.commit().await?;
        Ok(())
    }
}

//! The call `drain` of control: reads the outbox, with a cursor and acknowledgements.
//!
//! A fact is deleted only after control has acknowledged it, for the same incarnation of the database. A lost or
//! repeated call or acknowledgement loses nothing.
//!
//! A restored database keeps its incarnation and assigns positions again. So an acknowledgement names the id of its
//! last fact, and is refused if this database has another fact there, which control has not read.

use serde::Deserialize;
use serde_json::Value;
use shared::contract::limits::DRAIN_FACTS;
use shared::contract::refusal::{Code, Refusal};
use shared::ids::{EventId, SessionId, TenantId, UserId};
use shared::wire::facts::{Acknowledge, DrainIn, DrainOut, Fact, FactKind};

use crate::context::Context;
use crate::http::Answer;
use crate::inside::client::opened;
use crate::isolate::feed::ShardRow;
use crate::platform::Platform;
use crate::settings::Settings;
use crate::sql;
use crate::sql::batch::Batch;

#[derive(Deserialize)]
struct OutboxRow {
    seq: i64,
    id: EventId,
    tenant: TenantId,
    at: i64,
    kind: FactKind,
    user: Option<UserId>,
    sid: Option<SessionId>,
    network: Option<String>,
    name_hash: Option<String>,
    count: i64,
    more: Option<String>,
}

/// The outbox's data about a position.
#[derive(Deserialize)]
struct AcknowledgedRow {
    ours: i64,
    beyond: i64,
    id: Option<EventId>,
}

impl AcknowledgedRow {
    /// Whether this database sent the fact. A deleted fact was acknowledged before.
    fn was_given(&self, acknowledge: &Acknowledge) -> bool {
        let another = matches!((self.id, acknowledge.id), (Some(here), Some(read)) if here != read);
        self.ours == 0 || (self.beyond == 0 && !another)
    }
}

/// Runs a drain.
///
/// One batch: deletes acknowledged facts, turns counted refusals of past minutes into facts, and reads the oldest
/// facts.
///
/// # Errors
/// 400 for a limit out of range, 409 `outbox_restored` for an acknowledgement of facts that this database did not
/// send (nothing is deleted); 503 if the database did not answer.
pub async fn drain<P: Platform>(ctx: Context<'_, P>, drain: &DrainIn) -> Result<Answer, Refusal> {
    let limit = usize::try_from(drain.limit).unwrap_or(usize::MAX);
    if !(1..=DRAIN_FACTS).contains(&limit) {
        return Err(Refusal::field("limit", "Must be 1 to 500."));
    }
    let none = Acknowledge { incarnation: String::new(), seq: 0, id: None };
    let acknowledge = drain.acknowledge.as_ref().unwrap_or(&none);
    let (seq, incarnation) = (acknowledge.seq, acknowledge.incarnation.as_str());
    let fact = acknowledge.id.map(|id| id.to_string());
    let (minute, most) = (ctx.minute(), i64::from(drain.limit));
    let mut batch = Batch::new(drain.shard);
    let acknowledged = batch.add::<AcknowledgedRow>(sql::ACKNOWLEDGED.bind([seq.into(), incarnation.into()]));
    batch.also(sql::ACKNOWLEDGE.bind([seq.into(), incarnation.into(), fact.into()]));
    batch.also(sql::CLOSE_MINUTES.bind([minute.into(), most.into()]));
    batch.also(sql::FORGET_CLOSED_MINUTES.bind([minute.into(), most.into()]));
    batch.also(sql::CLOSE_DROPPED.bind([minute.into(), most.into()]));
    batch.also(sql::FORGET_CLOSED_DROPPED.bind([]));
    let shard = batch.add::<ShardRow>(sql::SHARD.bind([]));
    let outbox = batch.add::<OutboxRow>(sql::OUTBOX.bind([most.saturating_add(1).into()]));
    let rows = ctx.run(batch).await?;
    let shard = rows.take_one(shard)?.ok_or_else(Refusal::unavailable)?;
    if !rows.take_one(acknowledged)?.is_some_and(|row| row.was_given(acknowledge)) {
        let detail = "This database did not give the facts that are acknowledged.";
        return Err(Refusal::new(409, detail, Code::OutboxRestored));
    }
    let settings = ctx.app.settings()?;
    let told = |row: OutboxRow| with_client(settings, row.into());
    let mut facts: Vec<Fact> = rows.take(outbox)?.into_iter().map(told).collect();
    let more = facts.len() > limit;
    facts.truncate(limit);
    Ok(Answer::json(200, &DrainOut { incarnation: shard.incarnation, facts, more }))
}

/// The fact with its client unsealed; a client that cannot be unsealed is left out.
fn with_client(settings: &Settings, mut fact: Fact) -> Fact {
    let sealed = fact.more.remove("client");
    let client = sealed.as_ref().and_then(Value::as_str).zip(fact.sid);
    let client = client.and_then(|(sealed, sid)| opened(settings, fact.tenant, sid, sealed));
    if let Some(client) = client.and_then(|client| serde_json::to_value(client).ok()) {
        fact.more.insert(String::from("client"), client);
    }
    fact
}

impl From<OutboxRow> for Fact {
    fn from(row: OutboxRow) -> Self {
        Self {
            seq: row.seq,
            id: row.id,
            tenant: row.tenant,
            at_ms: row.at,
            kind: row.kind,
            user: row.user,
            sid: row.sid,
            network: row.network,
            name_hash: row.name_hash,
            count: row.count,
            more: row.more.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default(),
        }
    }
}

//! To control: the outbox, drained by a signed, cursored, acknowledged call.
//!
//! A fact leaves only when control has said that it is committed there, and only from the database
//! life that it came from. A lost or repeated call, or a dropped acknowledgement, loses nothing.

use serde::Deserialize;
use shared::contract::limits::DRAIN_FACTS;
use shared::contract::refusal::Refusal;
use shared::ids::{EventId, SessionId, TenantId, UserId};
use shared::wire::facts::{DrainIn, DrainOut, Fact, FactKind};

use crate::context::Context;
use crate::http::Answer;
use crate::isolate::knowledge::ShardRow;
use crate::platform::Platform;
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
}

/// Drains.
///
/// One batch: what is acknowledged leaves, refusals whose minute is over become facts, and the
/// oldest facts are read.
///
/// # Errors
/// 400 for a limit out of range, 503 where the database did not answer.
pub async fn drain<P: Platform>(ctx: Context<'_, P>, drain: &DrainIn) -> Result<Answer, Refusal> {
    let limit = usize::try_from(drain.limit).unwrap_or(usize::MAX);
    if !(1..=DRAIN_FACTS).contains(&limit) {
        return Err(Refusal::field("limit", "Must be 1 to 500."));
    }
    let (seq, incarnation) = match &drain.acknowledge {
        Some(acknowledge) => (acknowledge.seq, acknowledge.incarnation.as_str()),
        None => (0, ""),
    };
    let (minute, most) = (ctx.minute(), i64::from(drain.limit));
    let mut batch = Batch::new(drain.shard);
    batch.also(sql::ACKNOWLEDGE.bind([seq.into(), incarnation.into()]));
    batch.also(sql::CLOSE_MINUTES.bind([minute.into(), most.into()]));
    batch.also(sql::FORGET_CLOSED_MINUTES.bind([minute.into(), most.into()]));
    batch.also(sql::CLOSE_DROPPED.bind([minute.into(), most.into()]));
    batch.also(sql::FORGET_CLOSED_DROPPED.bind([]));
    let shard = batch.add::<ShardRow>(sql::SHARD.bind([]));
    let outbox = batch.add::<OutboxRow>(sql::OUTBOX.bind([most.saturating_add(1).into()]));
    let rows = ctx.run(batch).await?;
    let shard = rows.take_one(shard)?.ok_or_else(Refusal::unavailable)?;
    let mut facts: Vec<Fact> = rows.take(outbox)?.into_iter().map(Fact::from).collect();
    let more = facts.len() > limit;
    facts.truncate(limit);
    Ok(Answer::json(200, &DrainOut { incarnation: shard.incarnation, facts, more }))
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
            more: serde_json::Map::new(),
        }
    }
}

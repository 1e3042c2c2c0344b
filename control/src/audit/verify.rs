//! Verifies the log of a tenant: by itself, from the first entry or behind one, in parts of a bounded length, and
//! against signed checkpoints.

use std::collections::BTreeMap;
use std::ops::Bound;

use serde::Serialize;
use shared::ids::TenantId;
use sqlx::FromRow;
use utoipa::ToSchema;

use super::checkpoint::{Checkpoint, Signed};
use super::walk::{Fault, Finding, Walk};
use crate::control::Control;
use crate::db::TenantTx;
use crate::db::body::BodyKeys;
use crate::db::chain::{GENESIS, Hash, Link};
use crate::failure::Failure;

/// How many positions are read at a time.
pub(super) const CHUNK: i64 = 1_000;

/// An entry with what stands beside it.
#[derive(FromRow)]
pub(super) struct Stored {
    #[sqlx(flatten)]
    pub link: Link,
    client_key: Option<String>,
    pub hash: Vec<u8>,
}

/// Where a log ends.
pub(super) struct Head {
    pub position: i64,
    pub hash: Vec<u8>,
}

/// What was found of a part of a log.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditVerification)]
pub struct Verification {
    /// Whether the entries that were read are those that were written, each behind the other.
    pub intact: bool,
    /// The first of them.
    pub from: i64,
    /// The last of them; the one before `from` in a log that has none.
    pub to: i64,
    /// The last entry of the log.
    pub head: i64,
    /// The first place that is not as it was written; nothing behind it was looked at.
    #[schema(required)]
    pub finding: Option<Finding>,
}

impl Verification {
    fn of(from: i64, to: i64, head: &Head, found: Result<(), Finding>) -> Self {
        let finding = found.err();
        Self { intact: finding.is_none(), from, to, head: head.position, finding }
    }

    /// Whether the log goes on behind what was read.
    #[must_use]
    pub fn ends_early(&self) -> bool {
        self.intact && self.to < self.head
    }
}

/// The log of a tenant.
#[derive(Debug)]
pub struct Log {
    /// Whose.
    pub tenant: TenantId,
    /// The tenant's short name.
    pub slug: String,
}

/// Every log that there is, those of deleted tenants as well: they keep theirs.
///
/// # Errors
/// The database's.
pub async fn logs(control: &Control) -> Result<Vec<Log>, Failure> {
    let rows =
        sqlx::query!("select id, slug from platform.tenants where status <> 'provisioning' order by slug")
            .fetch_all(control.db.app())
            .await?;
    Ok(rows.into_iter().map(|row| Log { tenant: row.id.into(), slug: row.slug }).collect())
}

/// Verifies what follows the entry `after`, `most` entries of it. That entry itself is taken as it stands: it is
/// the last one of the part before, and 0 for the first part. `None` if the log ends before it.
///
/// # Errors
/// The database's.
pub async fn verify(tx: &mut TenantTx, after: i64, most: i64) -> Result<Option<Verification>, Failure> {
    let head = head(tx).await?;
    if after < 0 || after > head.position {
        return Ok(None);
    }
    let to = after.saturating_add(most).min(head.position);
    let mut seals = Seals { in_force: BTreeMap::new(), good: after, history: 0 };
    let found = walk(tx, (after, to), &head, &mut seals).await?;
    Ok(Some(Verification::of(after + 1, to, &head, found)))
}

/// Verifies a whole log against what was signed of it.
///
/// # Errors
/// The database's.
pub async fn verify_against(tx: &mut TenantTx, signed: &Signed) -> Result<Verification, Failure> {
    let history = tx.history().await?;
    let head = head(tx).await?;
    let mut seals = Seals { in_force: signed.in_force(), good: 0, history };
    let mut found = walk(tx, (0, head.position), &head, &mut seals).await?;
    if found.is_ok() {
        found = seals.end(&head);
    }
    Ok(Verification::of(1, head.position, &head, found))
}

/// Signed checkpoints beside a chain that is read in order.
struct Seals<'a> {
    in_force: BTreeMap<i64, Vec<&'a Checkpoint>>,
    /// The last entry that a checkpoint, or the caller, vouches for.
    good: i64,
    /// The tenant's restore counter now.
    history: i64,
}

impl Seals<'_> {
    /// Compares the entry that was read last.
    fn compare(&mut self, walk: &Walk) -> Result<(), Finding> {
        let position = walk.position();
        let Some(checkpoints) = self.in_force.get(&position).filter(|_| walk.is_sound()) else {
            return Ok(());
        };
        match checkpoints.iter().find(|checkpoint| checkpoint.hash != *walk.hash()) {
            None => self.good = position,
            Some(other) => return Err(self.finding(other, Fault::Recomputed, self.good + 1)),
        }
        Ok(())
    }

    /// Compares the end of a chain that is whole.
    fn end(&self, head: &Head) -> Result<(), Finding> {
        let beyond = self.in_force.range((Bound::Excluded(head.position), Bound::Unbounded)).next_back();
        match beyond.and_then(|(_, checkpoints)| checkpoints.first()) {
            None => Ok(()),
            Some(last) => Err(self.finding(last, Fault::Cut, head.position + 1)),
        }
    }

    /// What a checkpoint says that does not hold: a fault, or a restore if the history was raised since.
    fn finding(&self, checkpoint: &Checkpoint, fault: Fault, from: i64) -> Finding {
        if checkpoint.history >= self.history {
            return Finding::between(fault, from, checkpoint.position);
        }
        let earlier = |checkpoints: &&Vec<&Checkpoint>| {
            checkpoints.iter().any(|checkpoint| checkpoint.history < self.history)
        };
        let last = self.in_force.iter().rev().find(|(_, checkpoints)| earlier(checkpoints));
        let until = last.map_or(checkpoint.position, |(position, _)| *position);
        // Where the backup ended is not known: behind the last entry that is vouched for.
        Finding::between(Fault::Restored, self.good + 1, until)
    }
}

async fn walk(
    tx: &mut TenantTx,
    (after, to): (i64, i64),
    head: &Head,
    seals: &mut Seals<'_>,
) -> Result<Result<(), Finding>, Failure> {
    let tenant = tx.tenant().uuid();
    let mut walk = match after {
        0 => Walk::new(tenant),
        _ => match hash_of(tx, after).await? {
            Some(hash) => Walk::behind(tenant, after, hash),
            None => return Ok(Err(Finding::new(Fault::Missing, after))),
        },
    };
    let mut reached = after;
    while reached < to {
        let end = reached.saturating_add(CHUNK).min(to);
        let rows = chunk(tx, reached, end).await?;
        let keys = body_keys(tx, &rows).await?;
        for stored in rows {
            if let Err(finding) = take(&mut walk, &keys, &stored).and_then(|()| seals.compare(&walk)) {
                return Ok(Err(finding));
            }
        }
        reached = end;
    }
    if to < head.position {
        let hash = *walk.hash();
        return Ok(walk.end(to, &hash));
    }
    if let Err(finding) = walk.end(head.position, &head.hash) {
        return Ok(Err(finding));
    }
    Ok(outside(tx).await?.map_or(Ok(()), Err))
}

fn take(walk: &mut Walk, keys: &BodyKeys, stored: &Stored) -> Result<(), Finding> {
    walk.take(&stored.link, &stored.hash)?;
    // What the filter compares is not hashed, and follows from what is.
    let opened = keys.open(stored.link.id, &stored.link.body);
    match opened.and_then(|body| keys.client_key(&body)) {
        Ok(client_key) if client_key != stored.client_key => {
            Err(Finding::new(Fault::Changed, walk.position()))
        }
        _ => Ok(()),
    }
}

/// The keys that open the bodies of these entries.
pub(super) async fn body_keys(tx: &mut TenantTx, rows: &[Stored]) -> Result<BodyKeys, Failure> {
    let (tenant, bodies) = (tx.keep_keys(), rows.iter().map(|stored| &stored.link.body[..]));
    BodyKeys::for_stored(tx, &tenant, bodies).await
}

pub(super) async fn head(tx: &mut TenantTx) -> Result<Head, Failure> {
    let tenant = tx.tenant().uuid();
    let head = sqlx::query_as!(
        Head,
        "select position, hash from platform.audit_heads where tenant_id = $1",
        tenant,
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(head)
}

/// The hash that the entry behind this one follows, as far as it is known.
pub(super) async fn hash_at(tx: &mut TenantTx, position: i64) -> Result<Hash, Failure> {
    Ok(hash_of(tx, position).await?.unwrap_or(GENESIS))
}

async fn hash_of(tx: &mut TenantTx, position: i64) -> Result<Option<Hash>, Failure> {
    let tenant = tx.tenant().uuid();
    let hash = sqlx::query_scalar!(
        "select hash from audit_entries where tenant_id = $1 and position = $2",
        tenant,
        position,
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(hash.and_then(|hash| hash.try_into().ok()))
}

pub(super) async fn chunk(tx: &mut TenantTx, after: i64, end: i64) -> Result<Vec<Stored>, Failure> {
    let tenant = tx.tenant().uuid();
    let rows = sqlx::query_as(
        "select tenant_id, position, recorded_at, id, at, actor_kind, actor, action, outcome, target, event_id,
            request_id, body, client_key, hash
         from audit_entries
         where tenant_id = $1 and position > $2 and position <= $3
         order by position",
    )
    .bind(tenant)
    .bind(after)
    .bind(end)
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows)
}

/// An entry where none can be. One statement, because writers go on meanwhile.
async fn outside(tx: &mut TenantTx) -> Result<Option<Finding>, Failure> {
    let tenant = tx.tenant().uuid();
    let position = sqlx::query_scalar!(
        "select e.position
         from audit_entries e
         join platform.audit_heads h on h.tenant_id = e.tenant_id
         where e.tenant_id = $1 and (e.position < 1 or e.position > h.position)
         order by e.position
         limit 1",
        tenant,
    )
    .fetch_optional(&mut **tx)
    .await?;
    let fault = |position| if position < 1 { Fault::Inserted } else { Fault::Beyond };
    Ok(position.map(|position| Finding::new(fault(position), position)))
}

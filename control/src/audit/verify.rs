//! Verifies the log of a tenant: the chain alone, from the first entry or after a given one, in parts of limited
//! length; and against signed checkpoints. Archives are read from their store, never by a request.

use std::collections::BTreeMap;

use serde::Serialize;
use shared::ids::TenantId;
use shared::wire::signature::PeerKey;
use utoipa::ToSchema;

use super::archives::{Begin, begin, recorded};
use super::checkpoint::Statement;
use super::checkpoints::CheckpointError;
use super::seals::Seals;
use super::signed::Signed;
use super::span::Span;
use super::stored::{CHUNK, Head, Stored, body_keys, chunk, first, hash_of, head, outside};
use super::walk::{Fault, Finding, Walk};
use crate::control::Control;
use crate::db::body::BodyKeys;
use crate::db::{CellName, TenantTx};
use crate::failure::Failure;
use crate::objects::Objects;

/// The result of verifying a part of a log.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditVerification)]
pub struct Verification {
    /// Whether the entries that were read are unchanged and in order.
    pub intact: bool,
    /// The position of the first entry that was read.
    pub from: i64,
    /// The position of the last entry that was read; `from` - 1 if there was none.
    pub to: i64,
    /// The last archived position; 0 if no entry is archived. Archives are not read here, but by `wardgate audit verify`.
    pub archived: i64,
    /// The position of the last entry of the log.
    pub head: i64,
    /// The first fault; entries after it were not checked.
    #[schema(required)]
    pub finding: Option<Finding>,
}

impl Verification {
    fn of((from, to): (i64, i64), archived: i64, head: &Head, found: Result<(), Finding>) -> Self {
        let finding = found.err();
        Self { intact: finding.is_none(), from, to, archived, head: head.position, finding }
    }

    /// Whether entries remain to be read.
    #[must_use]
    pub fn ends_early(&self) -> bool {
        self.intact && self.to < self.head
    }
}

/// The log of a tenant.
#[derive(Debug)]
pub struct Log {
    /// The tenant.
    pub tenant: TenantId,
    /// The tenant's short name.
    pub slug: String,
    /// Where it is.
    pub cell: CellName,
}

/// Every log that there is, those of deleted tenants as well: they keep theirs.
///
/// # Errors
/// Errors of the database.
pub async fn logs(control: &Control) -> Result<Vec<Log>, Failure> {
    let rows = sqlx::query!(
        "select id, slug, cell from platform.tenants where status <> 'provisioning' order by slug"
    )
    .fetch_all(control.db.app())
    .await?;
    let log = |(id, slug, cell): (uuid::Uuid, String, String)| {
        Ok(Log { tenant: id.into(), slug, cell: CellName::parse(&cell)? })
    };
    rows.into_iter().map(|row| log((row.id, row.slug, row.cell))).collect()
}

/// Verifies at most `most` entries after the entry `after` in the database. That entry itself is not checked: it is
/// the last one of the previous part, or 0 for the first part, which begins after the archives. `None` if the log
/// ends before it.
///
/// # Errors
/// Errors of the database.
pub async fn verify(
    tx: &mut TenantTx,
    keys: &[PeerKey],
    after: i64,
    most: i64,
) -> Result<Option<Verification>, Failure> {
    loop {
        let (head, begin) = (head(tx).await?, begin(tx, keys).await?);
        if after < 0 || after > head.position {
            return Ok(None);
        }
        let from = after.max(begin.position);
        let to = from.saturating_add(most).min(head.position);
        let start = if from == begin.position { Some(begin.hash) } else { hash_of(tx, from).await? };
        let found = match start {
            Some(hash) => {
                let mut seals = Seals::new(BTreeMap::new(), 0);
                walk(tx, (Begin { position: from, hash }, to), &head, &mut seals).await?
            }
            None => Err(Finding::new(Fault::Missing, from)),
        };
        // Rows of archives are removed meanwhile, and never come back.
        if found.is_ok() || self::begin(tx, keys).await?.position == begin.position {
            return Ok(Some(Verification::of((from + 1, to), begin.position, &head, found)));
        }
    }
}

/// Verifies the database's part of a log against what was signed of it.
///
/// # Errors
/// Errors of the database.
pub async fn verify_against(
    tx: &mut TenantTx,
    keys: &[PeerKey],
    signed: &Signed,
) -> Result<Verification, Failure> {
    let mut seals = Seals::new(signed.in_force(), tx.history().await?);
    let begin = begin(tx, keys).await?;
    against(tx, begin, &mut seals).await
}

/// Verifies a whole log, archives and database, against what was signed of it. No connection is held while archives
/// are read.
///
/// # Errors
/// The database's, or those of where archives are.
pub async fn verify_whole(
    control: &Control,
    tenant: TenantId,
    objects: &Objects,
    (signed, keys): (&mut Signed, &[PeerKey]),
) -> Result<Verification, CheckpointError> {
    loop {
        let mut tx = control.db.work_tx(tenant).await?;
        let (history, head, begins) = (tx.history().await?, head(&mut tx).await?, first(&mut tx).await?);
        for archive in recorded(&mut tx, keys).await? {
            signed.take(Statement::Archive(archive));
        }
        drop(tx);
        let mut seals = Seals::new(signed.in_force(), history);
        let mut span = Span::new(tenant.uuid(), begins - 1);
        for archive in signed.archives() {
            if let Err(finding) = span.read(objects, &archive, &mut seals).await? {
                let reached = span.reached();
                return Ok(Verification::of((1, reached), reached, &head, Err(finding)));
            }
        }
        let mut tx = control.db.work_tx(tenant).await?;
        let begin = span.begin(first(&mut tx).await?);
        let found = against(&mut tx, begin, &mut seals).await?;
        // Another archive was made meanwhile, and its rows are being removed.
        if found.intact || first(&mut tx).await? == begins {
            return Ok(Verification { from: 1, archived: span.reached(), ..found });
        }
    }
}

/// Verifies what follows `begin` against `seals`.
async fn against(tx: &mut TenantTx, begin: Begin, seals: &mut Seals<'_>) -> Result<Verification, Failure> {
    let head = head(tx).await?;
    seals.behind(begin.position);
    let mut found = walk(tx, (begin, head.position), &head, seals).await?;
    if found.is_ok() {
        found = seals.end(&head);
    }
    Ok(Verification::of((begin.position + 1, head.position), begin.position, &head, found))
}

async fn walk(
    tx: &mut TenantTx,
    (begin, to): (Begin, i64),
    head: &Head,
    seals: &mut Seals<'_>,
) -> Result<Result<(), Finding>, Failure> {
    let mut walk = Walk::behind(tx.tenant().uuid(), begin.position, begin.hash);
    let mut reached = begin.position;
    while reached < to {
        let end = reached.saturating_add(CHUNK).min(to);
        let rows = chunk(tx, reached, end).await?;
        let keys = body_keys(tx, &rows).await?;
        for stored in rows {
            if let Err(finding) = take(&mut walk, &keys, &stored).and_then(|()| seals.compare_now(&walk)) {
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
    // The value for the filter is not hashed; it must follow from the hashed bytes.
    let opened = keys.open(stored.link.id, &stored.link.body);
    match opened.and_then(|body| keys.client_key(&body)) {
        Ok(client_key) if client_key != stored.client_key => {
            Err(Finding::new(Fault::Changed, walk.position()))
        }
        _ => Ok(()),
    }
}

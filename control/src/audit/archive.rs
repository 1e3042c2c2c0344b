//! Entries of a log into archives: ranges of positions, cut by the time of recording, each an object of its own.
//!
//! An archive is gzip of an export that shows nothing (`super::export`): the sealed bytes and hashes of its entries, and
//! a signed checkpoint as the last line, so that the object verifies by itself. Its manifest, a signed line beside the
//! checkpoints, says which positions it has, between which hashes, and the SHA-256 of the object.
//!
//! The order makes a kill at any point harmless: the object is written and read back, then the manifest is written,
//! then the database notes it, and only what is noted may be removed ([`super::removal`]). An object without a manifest
//! counts for nothing, and two archives of the same entries agree.

use std::io::{BufReader, Write as _};

use chrono::{DateTime, TimeDelta, Utc};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use shared::ids::TenantId;

use super::archives::recorded;
use super::checkpoint::{Archive, Checkpoint, Statement};
use super::checkpoints::{self, CheckpointError, own_keys, sign};
use super::line::LineOut;
use super::stored::{CHUNK, Stored, chunk};
use super::walk::{Fault, Finding, Walk};
use super::{Action, Actor, export};
use crate::control::Control;
use crate::db::chain::{GENESIS, Hash, hash};
use crate::failure::Failure;
use crate::objects::ObjectError;
use crate::world::random;

/// How many entries an archive has at most: about 10 MB, which are in memory at a time.
const RANGE: i64 = 20_000;

/// How old an entry must be: a database of the edge can be restored to 30 days ago and send its facts again, which are
/// known by their entries.
pub const YOUNGEST: TimeDelta = TimeDelta::days(31);

/// Why entries were not archived or removed.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The database, or where checkpoints are.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The entries are not what was written, or the archive is not what was signed.
    #[error("entry {}: {}", .0.position, .0.detail)]
    Finding(Finding),
    /// An entry to be removed is not archived as expected.
    #[error("{0}: {1}")]
    Disturbed(String, &'static str),
}

impl From<Failure> for ArchiveError {
    fn from(failure: Failure) -> Self {
        CheckpointError::Failure(failure).into()
    }
}

impl From<ObjectError> for ArchiveError {
    fn from(error: ObjectError) -> Self {
        CheckpointError::Object(error).into()
    }
}

/// Writes the next archive of a log: of entries that were recorded before `before` and that a checkpoint covers. `None`
/// where there is nothing to write.
///
/// # Errors
/// See [`ArchiveError`]. A log that is not whole is not archived.
pub async fn next(
    control: &Control,
    tenant: TenantId,
    before: DateTime<Utc>,
) -> Result<Option<Archive>, ArchiveError> {
    let mut tx = control.db.work_tx(tenant).await?;
    let history = tx.history().await?;
    let last = recorded(&mut tx, &own_keys(control)).await?.into_iter().max_by_key(|archive| archive.to);
    drop(tx);
    let (after, start) = last.map_or((0, GENESIS), |last| (last.to, last.hash));
    let covered = covered(control, tenant).await?;
    let Some(range) = read(control, tenant, Limits { after, start, before, covered }).await? else {
        return Ok(None);
    };
    let archive = write(control, tenant, history, range).await?;
    checkpoints::write(control, control.clock.now(), &[Statement::Archive(archive.clone())]).await?;
    note(control, tenant, &archive).await?;
    Ok(Some(archive))
}

/// Up to where the log is covered by a checkpoint of the present history that is out.
async fn covered(control: &Control, tenant: TenantId) -> Result<i64, Failure> {
    let covered = sqlx::query_scalar!(
        "select c.position
         from platform.audit_checkpoints c
         join platform.revisions r on r.tenant_id = c.tenant_id and r.history = c.history
         where c.tenant_id = $1",
        tenant.uuid(),
    )
    .fetch_optional(control.db.relay())
    .await?;
    Ok(covered.unwrap_or(0))
}

/// Which entries go into the next archive.
struct Limits {
    /// Those behind this one, which has the hash `start`.
    after: i64,
    start: Hash,
    /// That were recorded before this.
    before: DateTime<Utc>,
    /// Up to this one.
    covered: i64,
}

/// Entries on their way into an archive.
struct Range {
    from: i64,
    before: Hash,
    walk: Walk,
    recorded_from: DateTime<Utc>,
    recorded_to: DateTime<Utc>,
    /// Their lines, compressed.
    text: GzEncoder<Vec<u8>>,
}

/// Reads entries, some at a time, and verifies their chain.
async fn read(control: &Control, tenant: TenantId, limits: Limits) -> Result<Option<Range>, ArchiveError> {
    let Limits { after, start, before, covered } = limits;
    let last = covered.min(after.saturating_add(RANGE));
    let mut text = GzEncoder::new(Vec::new(), Compression::default());
    let mut walk = Walk::behind(tenant.uuid(), after, start);
    let mut times: Option<(DateTime<Utc>, DateTime<Utc>)> = None;
    let mut old = true;
    while old && walk.position() < last {
        let mut tx = control.db.work_tx(tenant).await?;
        let rows = chunk(&mut tx, walk.position(), walk.position().saturating_add(CHUNK).min(last)).await?;
        drop(tx);
        if rows.is_empty() {
            return Err(ArchiveError::Finding(Finding::new(Fault::Missing, walk.position() + 1)));
        }
        for row in rows {
            old = row.link.recorded_at < before;
            if !old {
                break;
            }
            take(&mut walk, &mut text, &mut times, row)?;
        }
    }
    walk.end(walk.position(), walk.hash()).map_err(ArchiveError::Finding)?;
    Ok(times.map(|(recorded_from, recorded_to)| Range {
        from: after + 1,
        before: start,
        walk,
        recorded_from,
        recorded_to,
        text,
    }))
}

fn take(
    walk: &mut Walk,
    text: &mut GzEncoder<Vec<u8>>,
    times: &mut Option<(DateTime<Utc>, DateTime<Utc>)>,
    row: Stored,
) -> Result<(), ArchiveError> {
    let (before, at) = (*walk.hash(), row.link.recorded_at);
    walk.take(&row.link, &row.hash).map_err(ArchiveError::Finding)?;
    *times = Some((times.map_or(at, |(first, _)| first), at));
    Ok(LineOut::sealed(row, &before).write(text)?)
}

/// Writes the object, and reads it back.
async fn write(
    control: &Control,
    tenant: TenantId,
    history: i64,
    range: Range,
) -> Result<Archive, ArchiveError> {
    let Range { from, before, walk, recorded_from, recorded_to, mut text } = range;
    let (to, last, at) = (walk.position(), *walk.hash(), control.clock.now());
    let end = Checkpoint { tenant: tenant.uuid(), history, position: to, hash: last, at };
    let end = sign(control, &Statement::Checkpoint(end))?;
    let unwritable = |_| Failure::Unreadable("archive of the audit log");
    text.write_all((end + "\n").as_bytes()).map_err(unwritable)?;
    let bytes = text.finish().map_err(unwritable)?;
    let digest = hash(&bytes);
    let random: [u8; 4] = random()?;
    let object = format!("archives/{tenant}/{from:012}-{to:012}-{:08x}.jsonl.gz", u32::from_be_bytes(random));
    control.objects.put(&object, bytes, at).await?;
    let tenant = tenant.uuid();
    let archive = Archive {
        tenant,
        history,
        from,
        to,
        before,
        hash: last,
        recorded_from,
        recorded_to,
        object,
        digest,
        at,
    };
    read_back(control, &archive).await?;
    Ok(archive)
}

/// Reads an object back and compares it with what was written.
async fn read_back(control: &Control, archive: &Archive) -> Result<(), ArchiveError> {
    let broken = |fault| ArchiveError::Finding(Finding::of_archive(fault, archive));
    let (_, bytes) =
        control.objects.find(&archive.object).await?.ok_or_else(|| broken(Fault::ArchiveMissing))?;
    let file = BufReader::new(GzDecoder::new(&bytes[..]));
    let verified = export::verify([file], &own_keys(control)).map_err(|_| broken(Fault::ArchiveChanged))?;
    let whole = verified.intact && (verified.from, verified.to) == (archive.from, archive.to);
    if whole && hash(&bytes) == archive.digest { Ok(()) } else { Err(broken(Fault::ArchiveChanged)) }
}

/// Where another run was first, its archive is the one that is noted.
async fn note(control: &Control, tenant: TenantId, archive: &Archive) -> Result<(), ArchiveError> {
    let manifest = sign(control, &Statement::Archive(archive.clone()))?;
    let mut tx = control.db.work_tx(tenant).await?;
    let noted = sqlx::query!(
        "insert into platform.audit_archives (tenant_id, starts, ends, manifest)
         values ($1, $2, $3, $4)
         on conflict (tenant_id, starts) do nothing",
        tenant.uuid(),
        archive.from,
        archive.to,
        manifest,
    )
    .execute(&mut *tx)
    .await
    .map_err(Failure::from)?
    .rows_affected();
    if noted == 1 {
        let details = serde_json::json!({ "from": archive.from, "to": archive.to });
        let (actor, now) = (Actor::operator(), control.clock.now());
        super::record(&mut tx, &actor, now, Action::AuditArchived, None, details);
    }
    tx.commit().await?;
    Ok(())
}

//! Which entries of a log are archived, according to the database, and where the rest begins.

use shared::wire::signature::PeerKey;

use super::checkpoint::{Archive, Statement};
use super::stored::first;
use crate::db::TenantTx;
use crate::db::chain::{GENESIS, Hash};
use crate::failure::Failure;

/// Where the database's part of a log begins: behind this entry, which has this hash.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begin {
    pub position: i64,
    pub hash: Hash,
}

/// The archives that the database knows of, by their first entry. What none of `keys` has signed is not one.
///
/// # Errors
/// Errors of the database.
pub(super) async fn recorded(tx: &mut TenantTx, keys: &[PeerKey]) -> Result<Vec<Archive>, Failure> {
    let tenant = tx.tenant().uuid();
    let manifests = sqlx::query_scalar!(
        "select manifest from platform.audit_archives where tenant_id = $1 order by starts",
        tenant,
    )
    .fetch_all(&mut **tx)
    .await?;
    let archives = manifests.iter().filter_map(|line| match Statement::read(line, keys) {
        Some(Statement::Archive(archive)) if archive.tenant == tenant => Some(archive),
        _ => None,
    });
    Ok(archives.collect())
}

/// Where the database's part begins. While rows of an archive are being removed, that is behind its last entry.
///
/// # Errors
/// Errors of the database.
pub(super) async fn begin(tx: &mut TenantTx, keys: &[PeerKey]) -> Result<Begin, Failure> {
    let first = first(tx).await?;
    if first <= 1 {
        return Ok(Begin { position: 0, hash: GENESIS });
    }
    let archives = recorded(tx, keys).await?;
    let has = archives.iter().filter(|archive| archive.to >= first - 1).min_by_key(|archive| archive.to);
    // Entries that no archive has are missing after the last one.
    let begins = has.or_else(|| archives.iter().max_by_key(|archive| archive.to));
    Ok(begins.map_or(Begin { position: 0, hash: GENESIS }, |archive| Begin {
        position: archive.to,
        hash: archive.hash,
    }))
}

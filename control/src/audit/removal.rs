//! Removes rows of entries that are in archives, as the role `migrate`: the one that serves may only insert and read.
//!
//! Each archive is read again before the first of its rows goes, and the last row must have the hash that was signed: a
//! database that was restored may have other entries there.

use shared::ids::TenantId;

use super::archive::ArchiveError;
use super::archives::recorded;
use super::checkpoint::Archive;
use super::checkpoints::own_keys;
use super::span::{Object, fetch};
use super::stored::{first, hash_of};
use super::walk::{Fault, Finding};
use crate::control::Control;
use crate::db::{CellName, archived};

/// Deletes archived rows. `removed` is called with the number after each part.
///
/// # Errors
/// See [`ArchiveError`]; deleted rows stay deleted, and another run continues.
pub async fn remove(
    control: &Control,
    tenant: TenantId,
    cell: &CellName,
    mut removed: impl FnMut(u64),
) -> Result<u64, ArchiveError> {
    let mut tx = control.db.work_tx(tenant).await?;
    let (archives, mut first) = (recorded(&mut tx, &own_keys(control)).await?, first(&mut tx).await?);
    drop(tx);
    let mut all = 0;
    for archive in archives {
        if archive.to < first {
            continue;
        }
        // Entries before it are not archived: a fault, so nothing is deleted.
        if archive.from > first {
            break;
        }
        look(control, tenant, &archive).await?;
        let mut owner =
            archived::Remover::connect(&control.settings.database, &control.roles, cell, tenant).await?;
        while first <= archive.to {
            let until = first.saturating_add(archived::CHUNK - 1).min(archive.to);
            let gone = owner.remove(first, until).await?;
            (first, all) = (until + 1, all + gone);
            removed(gone);
        }
        owner.close().await?;
    }
    Ok(all)
}

/// Whether the entries can go.
async fn look(control: &Control, tenant: TenantId, archive: &Archive) -> Result<(), ArchiveError> {
    match fetch(&control.objects, archive).await? {
        Object::Whole(_, None) => {}
        Object::Whole(_, Some(disturbed)) => {
            return Err(ArchiveError::Disturbed(archive.object.clone(), disturbed.words()));
        }
        Object::Broken(fault) => return Err(ArchiveError::Finding(Finding::of_archive(fault, archive))),
    }
    let mut tx = control.db.work_tx(tenant).await?;
    if hash_of(&mut tx, archive.to).await? == Some(archive.hash) {
        return Ok(());
    }
    Err(ArchiveError::Finding(Finding::between(Fault::Recomputed, archive.from, archive.to)))
}

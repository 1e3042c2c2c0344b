//! Checkpoints on their way out of the database, and back when a log is verified.
//!
//! A folder holds one file for each minute in which something was written, `<day>/<time>-<random>.jsonl`, with one
//! signed line for each tenant ([`super::checkpoint`]). A file is written whole under another name first: one with
//! the ending `.jsonl` is complete. Nothing here changes or removes a file.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use shared::wire::signature::PeerKey;
use uuid::Uuid;

use super::checkpoint::{Checkpoint, Signed, Statement};
use crate::control::Control;
use crate::failure::Failure;
use crate::world::random;

/// The ending of complete files.
const ENDING: &str = "jsonl";
/// How many lines a file has at most: what one turn holds in memory.
const LINES: i64 = 10_000;

/// What can go wrong with the folder.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The database, or what it holds.
    #[error(transparent)]
    Failure(#[from] Failure),
    /// A file or folder.
    #[error("{0}")]
    Io(PathBuf, #[source] io::Error),
    /// A line that none of the keys has signed.
    #[error("{0}, line {1}: none of the public keys has signed it")]
    Unsigned(PathBuf, usize),
}

impl From<sqlx::Error> for CheckpointError {
    fn from(error: sqlx::Error) -> Self {
        Failure::Database(error).into()
    }
}

/// A checkpoint that is due, as the database has it.
struct Due {
    tenant: Uuid,
    history: i64,
    position: i64,
    hash: Vec<u8>,
}

/// Signs how far each log has come that has gone on since it was signed last, and copies that out.
///
/// A line is noted in the database after its file is safe. Killed in between, the same is signed again: two lines
/// that agree.
///
/// # Errors
/// See [`CheckpointError`]; nothing is noted then, and the next turn tries again.
pub async fn copy_out(control: &Control) -> Result<(), CheckpointError> {
    loop {
        let due = due(control).await?;
        if due.is_empty() {
            return Ok(());
        }
        let now = control.clock.now();
        let checkpoints = due.iter().map(|due| {
            let hash = due.hash.as_slice().try_into();
            let hash = hash.map_err(|_| Failure::Unreadable("head of the audit log"))?;
            let Due { tenant, history, position, .. } = *due;
            Ok(Statement::Checkpoint(Checkpoint { tenant, history, position, hash, at: now }))
        });
        let statements = checkpoints.collect::<Result<Vec<_>, Failure>>()?;
        write(control, now, &statements).await?;
        note(control, &due).await?;
        if due.len() < usize::try_from(LINES).unwrap_or(usize::MAX) {
            return Ok(());
        }
    }
}

async fn due(control: &Control) -> Result<Vec<Due>, Failure> {
    let due = sqlx::query_as!(
        Due,
        "select h.tenant_id as tenant, r.history, h.position, h.hash
         from platform.audit_heads h
         join platform.revisions r on r.tenant_id = h.tenant_id
         left join platform.audit_checkpoints c on c.tenant_id = h.tenant_id
         where h.position > 0
            and (c.tenant_id is null or (c.history, c.position) <> (r.history, h.position))
         order by h.tenant_id
         limit $1",
        LINES,
    )
    .fetch_all(control.db.relay())
    .await?;
    Ok(due)
}

async fn note(control: &Control, due: &[Due]) -> Result<(), Failure> {
    let tenants: Vec<_> = due.iter().map(|due| due.tenant).collect();
    let histories: Vec<_> = due.iter().map(|due| due.history).collect();
    let positions: Vec<_> = due.iter().map(|due| due.position).collect();
    sqlx::query!(
        "insert into platform.audit_checkpoints as c (tenant_id, history, position)
         select * from unnest($1::uuid[], $2::bigint[], $3::bigint[])
         on conflict (tenant_id) do update
         set history = excluded.history, position = excluded.position",
        &tenants,
        &histories,
        &positions,
    )
    .execute(control.db.relay())
    .await?;
    Ok(())
}

/// Signs statements and writes them as one file.
///
/// # Errors
/// See [`CheckpointError`].
pub async fn write(
    control: &Control,
    now: DateTime<Utc>,
    statements: &[Statement],
) -> Result<(), CheckpointError> {
    let settings = &control.settings.audit;
    let mut text = String::new();
    for statement in statements {
        let line =
            statement.sign(&settings.checkpoint_key.0).map_err(|_| Failure::Unreadable("checkpoint"))?;
        text.push_str(&line);
        text.push('\n');
    }
    let folder = settings.checkpoint_folder.join(now.format("%Y-%m-%d").to_string());
    let random: [u8; 4] = random()?;
    let name = format!("{}-{:08x}.{ENDING}", now.format("%H-%M-%S"), u32::from_be_bytes(random));
    let written = tokio::task::spawn_blocking(move || write_whole(&folder, &name, text.as_bytes()));
    written.await.map_err(|_| Failure::Unreadable("checkpoint folder"))?
}

/// Leaves a file on the disk that is whole, or none.
fn write_whole(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), CheckpointError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |error| CheckpointError::Io(path, error)
    };
    fs::create_dir_all(folder).map_err(at(folder))?;
    let (part, file) = (folder.join(format!(".{name}.part")), folder.join(name));
    let write = || {
        let mut written = File::create_new(&part)?;
        written.write_all(bytes)?;
        written.sync_all()?;
        fs::rename(&part, &file)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(at(&file))
}

/// The public keys whose signatures hold here: of the key that signs, and of those that did before.
#[must_use]
pub fn own_keys(control: &Control) -> Vec<PeerKey> {
    let settings = &control.settings.audit;
    let former = settings.former_checkpoint_keys.0.iter().map(|key| key.0.clone());
    std::iter::once(settings.checkpoint_key.0.peer()).chain(former).collect()
}

/// Reads everything that was signed, by tenant.
///
/// # Errors
/// See [`CheckpointError`]: a line that cannot be trusted is not passed over.
pub fn read(folder: &Path, keys: &[PeerKey]) -> Result<HashMap<Uuid, Signed>, CheckpointError> {
    let mut by_tenant: HashMap<Uuid, Signed> = HashMap::new();
    for file in files(folder)? {
        let text = fs::read_to_string(&file).map_err(|error| CheckpointError::Io(file.clone(), error))?;
        for (number, line) in (1..).zip(text.lines()) {
            let statement = Statement::read(line, keys);
            let statement = statement.ok_or_else(|| CheckpointError::Unsigned(file.clone(), number))?;
            by_tenant.entry(statement.tenant()).or_default().take(statement);
        }
    }
    Ok(by_tenant)
}

/// The complete files below a folder, in the order of their names.
fn files(folder: &Path) -> Result<Vec<PathBuf>, CheckpointError> {
    let failed = |error| CheckpointError::Io(folder.to_owned(), error);
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else if path.extension().is_some_and(|ending| ending == ENDING) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_file_is_none() {
        let folder = std::env::temp_dir().join(format!("wardgate-checkpoints-{}", std::process::id()));
        write_whole(&folder.join("2026-01-02"), "03-04-05-00000001.jsonl", b"").unwrap();
        fs::write(folder.join("2026-01-02/.03-04-06-00000002.jsonl.part"), b"{").unwrap();
        assert_eq!(files(&folder).unwrap(), [folder.join("2026-01-02/03-04-05-00000001.jsonl")]);
        fs::remove_dir_all(&folder).unwrap();
        assert!(files(&folder).is_err(), "a folder that is not there is not an empty one");
    }
}

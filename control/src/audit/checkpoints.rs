//! Writing checkpoints outside of the database, and reading them for verification.
//!
//! For each minute with new entries there is an object, `<day>/<time>-<random>.jsonl`, with one signed line for each
//! tenant ([`super::checkpoint`]). Statements about archives and restores are in such objects, too.

use std::collections::HashMap;
use std::fmt;
use std::pin::pin;

use chrono::{DateTime, Utc};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use shared::wire::signature::PeerKey;
use uuid::Uuid;

use super::checkpoint::{Checkpoint, Statement};
use super::signed::Signed;
use crate::control::Control;
use crate::failure::Failure;
use crate::objects::{Found, ObjectError, Objects};
use crate::world::random;

/// The ending of their names.
const ENDING: &str = ".jsonl";
/// The greatest number of lines of an object, which are held in memory.
const LINES: i64 = 10_000;
/// How many objects are read at a time.
const AT_ONCE: usize = 16;

/// Errors of checkpoints.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The database, or what it holds.
    #[error(transparent)]
    Failure(#[from] Failure),
    /// The folder or the bucket.
    #[error("checkpoints of the audit logs are not written or read")]
    Object(#[from] ObjectError),
}

impl From<sqlx::Error> for CheckpointError {
    fn from(error: sqlx::Error) -> Self {
        Failure::Database(error).into()
    }
}

/// A checkpoint that must be written.
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
    mark(control).await?;
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

/// Notes since when logs have gone on without a checkpoint: no connection is held while one is copied out.
async fn mark(control: &Control) -> Result<(), Failure> {
    sqlx::query!(
        "insert into platform.audit_checkpoints as c (tenant_id, history, position, due_since)
         select h.tenant_id, 0, 0, now()
         from platform.audit_heads h
         join platform.revisions r on r.tenant_id = h.tenant_id
         left join platform.audit_checkpoints c on c.tenant_id = h.tenant_id
         where h.position > 0
            and (c.tenant_id is null or (c.due_since is null and (c.history, c.position) <> (r.history, h.position)))
         on conflict (tenant_id) do update
         set due_since = excluded.due_since
         where c.due_since is null",
    )
    .execute(control.db.relay())
    .await?;
    Ok(())
}

/// Sets the gauge of the age of the oldest checkpoint that is not written yet.
///
/// # Errors
/// Errors of the database.
pub async fn measure(control: &Control) -> Result<(), Failure> {
    let secs = sqlx::query_scalar!(
        r#"select coalesce(extract(epoch from now() - min(due_since)), 0)::float8 as "secs!"
        from platform.audit_checkpoints"#
    )
    .fetch_one(control.db.relay())
    .await?;
    metrics::gauge!("wardgate_audit_checkpoint_oldest_due_seconds").set(secs);
    Ok(())
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
         set history = excluded.history, position = excluded.position, due_since = null",
        &tenants,
        &histories,
        &positions,
    )
    .execute(control.db.relay())
    .await?;
    Ok(())
}

/// Signs statements and writes them as one object.
///
/// # Errors
/// See [`CheckpointError`].
pub async fn write(
    control: &Control,
    now: DateTime<Utc>,
    statements: &[Statement],
) -> Result<(), CheckpointError> {
    let mut text = String::new();
    for statement in statements {
        text.push_str(&sign(control, statement)?);
        text.push('\n');
    }
    let random: [u8; 4] = random()?;
    let name = format!("{}-{:08x}{ENDING}", now.format("%Y-%m-%d/%H-%M-%S"), u32::from_be_bytes(random));
    control.objects.put(&name, text.into_bytes(), now).await?;
    Ok(())
}

/// The signed line of a statement.
///
/// # Errors
/// None for what JSON can hold.
pub fn sign(control: &Control, statement: &Statement) -> Result<String, Failure> {
    let key = &control.settings.audit.checkpoint_key.0;
    statement.sign(key).map_err(|_| Failure::Unreadable("checkpoint"))
}

/// The public keys whose signatures hold here: of the key that signs, and of those that did before.
#[must_use]
pub fn own_keys(control: &Control) -> Vec<PeerKey> {
    let settings = &control.settings.audit;
    let former = settings.former_checkpoint_keys.0.iter().map(|key| key.0.clone());
    std::iter::once(settings.checkpoint_key.0.peer()).chain(former).collect()
}

/// Something in the place of checkpoints that control did not put there, or not as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strange {
    object: String,
    what: String,
}

impl fmt::Display for Strange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.object, self.what)
    }
}

/// Everything that was signed.
#[derive(Debug, Default)]
pub struct Statements {
    /// Of each tenant's log.
    pub by_tenant: HashMap<Uuid, Signed>,
    /// Unexpected objects. They do not affect the other objects.
    pub strange: Vec<Strange>,
}

/// Reads everything that was signed. `None` for a folder that is not there.
///
/// # Errors
/// See [`ObjectError`].
pub async fn read(objects: &Objects, keys: &[PeerKey]) -> Result<Option<Statements>, ObjectError> {
    let Some(found) = objects.list("").await? else { return Ok(None) };
    let mut statements = Statements::default();
    for found in &found {
        if let Some(disturbed) = found.disturbed {
            let what = format!(": {}", disturbed.words());
            statements.strange.push(Strange { object: found.name.clone(), what });
        }
    }
    let lines = found.into_iter().filter(|found| found.name.ends_with(ENDING));
    let reads = lines.map(|found| async move { Ok::<_, ObjectError>((objects.read(&found).await?, found)) });
    let mut read = pin!(stream::iter(reads).buffered(AT_ONCE));
    while let Some((bytes, found)) = read.try_next().await? {
        statements.take(&found, bytes.as_deref().unwrap_or_default(), keys);
    }
    Ok(Some(statements))
}

impl Statements {
    fn take(&mut self, found: &Found, bytes: &[u8], keys: &[PeerKey]) {
        for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())) {
            match std::str::from_utf8(line).ok().and_then(|line| Statement::read(line, keys)) {
                Some(statement) => self.by_tenant.entry(statement.tenant()).or_default().take(statement),
                None => {
                    let what = format!(", line {number}: none of the public keys has signed it");
                    self.strange.push(Strange { object: found.name.clone(), what });
                }
            }
        }
    }
}

//! A tenant's log as a file of JSON lines that can be verified offline with the public key of checkpoints.
//!
//! Each line has the hashed bytes of an entry and the entry that they encode. The last line is a checkpoint, signed
//! for this export: a file that ends earlier is cut. An archive has the same form, so several files can be read as
//! one.

use std::io::BufRead;
use std::time::Duration;

use axum::body::Bytes;
use futures::stream::{self, Stream};
use serde::Serialize;
use shared::ids::TenantId;
use shared::wire::signature::PeerKey;

use super::archives::begin;
use super::checkpoint::{Checkpoint, Statement};
use super::checkpoints::{own_keys, sign};
use super::line::{LineIn, LineOut};
use super::store::{EntryOut, Recorded};
use super::stored::{CHUNK, Head, Stored, body_keys, chunk, hash_of, head};
use super::walk::{Fault, Finding, Walk};
use crate::control::Control;
use crate::db::TenantTx;
use crate::db::chain::{self, Link};
use crate::failure::{Failure, chain as causes};
use crate::users::Viewer;

/// How often, and after which pause, the tenant's share is asked for.
const TRIES: u32 = 60;
const PAUSE: Duration = Duration::from_millis(500);

/// The media type of an export.
pub const MEDIA_TYPE: &str = "application/jsonl";

/// The range of an export.
pub struct Export {
    control: Control,
    viewer: Viewer,
    tenant: TenantId,
    /// Where it begins.
    first: Next,
    history: i64,
    head: Head,
}

/// The next part of an export.
#[derive(Clone, Copy)]
enum Next {
    /// Entries behind this one, which has this hash if it is known.
    Entries(i64, Option<chain::Hash>),
    /// The signed line.
    Checkpoint,
    Nothing,
}

impl Export {
    /// An export for `viewer` of what is committed now, behind the entry `after`, or behind the archives where that is
    /// later. `None` if the log ends before it.
    ///
    /// # Errors
    /// Errors of the database.
    pub async fn begin(
        control: Control,
        viewer: Viewer,
        tenant: TenantId,
        after: i64,
    ) -> Result<Option<Self>, Failure> {
        let mut tx = control.db.tenant_tx(tenant).await?;
        let (history, head) = (tx.history().await?, head(&mut tx).await?);
        let begin = begin(&mut tx, &own_keys(&control)).await?;
        drop(tx);
        let first = if after > begin.position {
            Next::Entries(after, None)
        } else {
            Next::Entries(begin.position, Some(begin.hash))
        };
        let begins = (0..=head.position).contains(&after);
        Ok(begins.then_some(Self { control, viewer, tenant, first, history, head }))
    }

    /// Its lines, many at a time. No connection of the database is held while the client reads.
    pub fn stream(self) -> impl Stream<Item = Result<Bytes, Failure>> {
        let begin = self.first;
        stream::try_unfold((self, begin), |(export, next)| async move {
            let part = export.part(next).await;
            if let Err(failure) = &part {
                tracing::warn!(error = %causes(failure), "an export of the audit log ended early");
            }
            Ok(part?.map(|(bytes, next)| (bytes, (export, next))))
        })
    }

    async fn part(&self, next: Next) -> Result<Option<(Bytes, Next)>, Failure> {
        let (after, before) = match next {
            Next::Nothing => return Ok(None),
            Next::Checkpoint => return Ok(Some((self.checkpoint()?, Next::Nothing))),
            Next::Entries(after, _) if after >= self.head.position => {
                return Ok(Some((self.checkpoint()?, Next::Nothing)));
            }
            Next::Entries(after, before) => (after, before),
        };
        let end = after.saturating_add(CHUNK).min(self.head.position);
        let mut tx = self.tx().await?;
        let mut before = match before {
            Some(before) => before,
            None => hash_of(&mut tx, after).await?.unwrap_or(chain::GENESIS),
        };
        let rows = chunk(&mut tx, after, end).await?;
        if rows.first().is_none_or(|first| first.link.position > after + 1)
            && begin(&mut tx, &own_keys(&self.control)).await?.position > after
        {
            return Err(Failure::Unreadable("audit entries, which were archived meanwhile,"));
        }
        let keys = body_keys(&mut tx, &rows).await?;
        drop(tx);
        let mut text = Vec::new();
        for Stored { link, hash, .. } in rows {
            let entry = EntryOut::seen_by(&self.viewer, Recorded::of(&keys, link.clone()));
            LineOut::new(&link, &hash, &before, entry).write(&mut text)?;
            // A log that was tampered with is exported as it is.
            before = hash.as_slice().try_into().unwrap_or(chain::GENESIS);
        }
        let next = if end < self.head.position { Next::Entries(end, Some(before)) } else { Next::Checkpoint };
        Ok(Some((Bytes::from(text), next)))
    }

    /// The status of the answer is out already, so a tenant that has its share at the moment is waited for.
    async fn tx(&self) -> Result<TenantTx, Failure> {
        for _ in 0..TRIES {
            match self.control.db.tenant_tx(self.tenant).await {
                Err(Failure::Busy(_)) => tokio::time::sleep(PAUSE).await,
                begun => return begun,
            }
        }
        self.control.db.tenant_tx(self.tenant).await
    }

    fn checkpoint(&self) -> Result<Bytes, Failure> {
        let unreadable = || Failure::Unreadable("head of the audit log");
        let checkpoint = Checkpoint {
            tenant: self.tenant.uuid(),
            history: self.history,
            position: self.head.position,
            hash: self.head.hash.as_slice().try_into().map_err(|_| unreadable())?,
            at: self.control.clock.now(),
        };
        let line = sign(&self.control, &Statement::Checkpoint(checkpoint))?;
        Ok(Bytes::from(line + "\n"))
    }
}

/// The result of verifying files.
#[derive(Debug, Serialize)]
pub struct Verified {
    /// Whether they are what was exported.
    pub intact: bool,
    /// The tenant, where a file has an entry.
    pub tenant: Option<uuid::Uuid>,
    /// The first entry.
    pub from: i64,
    /// The last.
    pub to: i64,
    /// The first place that is not as it was.
    pub finding: Option<Finding>,
}

/// Verifies the file of an export or of an archive, or several, each of which continues the one before.
///
/// # Errors
/// Files that cannot be read.
pub fn verify<F: BufRead>(files: impl IntoIterator<Item = F>, keys: &[PeerKey]) -> std::io::Result<Verified> {
    let mut reader = Reader { from: 1, walk: None, ended: false };
    for file in files {
        reader.ended = false;
        for line in file.lines() {
            if let Err(finding) = reader.take(&line?, keys) {
                return Ok(reader.verified(Some(finding)));
            }
        }
        if !reader.ended {
            let cut = Finding::new(Fault::Cut, reader.next());
            return Ok(reader.verified(Some(cut)));
        }
    }
    Ok(reader.verified(None))
}

struct Reader {
    /// The first entry.
    from: i64,
    /// The tenant, and how far its chain was read.
    walk: Option<(uuid::Uuid, Walk)>,
    /// The file has ended.
    ended: bool,
}

impl Reader {
    fn next(&self) -> i64 {
        self.walk.as_ref().map_or(self.from, |(_, walk)| walk.position().saturating_add(1))
    }

    fn take(&mut self, line: &str, keys: &[PeerKey]) -> Result<(), Finding> {
        let next = self.next();
        if self.ended {
            return Err(Finding::new(Fault::Beyond, next));
        }
        match serde_json::from_str::<LineIn>(line) {
            Ok(line) => self.entry(&line),
            Err(_) => self.end(Statement::read(line, keys)),
        }
    }

    fn entry(&mut self, line: &LineIn) -> Result<(), Finding> {
        let changed = || Finding::new(Fault::Changed, self.next());
        let (before, link, hash) = line.link().ok_or_else(changed)?;
        let walk = match &mut self.walk {
            Some((_, walk)) => walk,
            none => {
                self.from = link.position;
                &mut none.insert((link.tenant_id, begins(&link, before))).1
            }
        };
        walk.take(&link, &hash)?;
        let position = link.position;
        if walk.is_sound() && !line.says(link) {
            return Err(Finding::new(Fault::Changed, position));
        }
        Ok(())
    }

    fn end(&mut self, statement: Option<Statement>) -> Result<(), Finding> {
        let next = self.next();
        let Some(Statement::Checkpoint(checkpoint)) = statement else {
            return Err(Finding::new(Fault::Misplaced, next));
        };
        self.ended = true;
        match &self.walk {
            Some((tenant, _)) if *tenant != checkpoint.tenant => Err(Finding::new(Fault::Recomputed, 1)),
            Some((_, walk)) => walk.end(checkpoint.position, &checkpoint.hash),
            // Behind the last entry of a log there is nothing to export.
            None => Ok(()),
        }
    }

    fn verified(&self, finding: Option<Finding>) -> Verified {
        let tenant = self.walk.as_ref().map(|(tenant, _)| *tenant);
        Verified { intact: finding.is_none(), tenant, from: self.from, to: self.next() - 1, finding }
    }
}

fn begins(link: &Link, before: chain::Hash) -> Walk {
    match link.position {
        1 => Walk::new(link.tenant_id),
        position => Walk::behind(link.tenant_id, position.saturating_sub(1), before),
    }
}

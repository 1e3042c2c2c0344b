//! A tenant's log as a file of JSON lines that verifies offline, with nothing but the public key of checkpoints.
//!
//! Each line has what is hashed of an entry beside what that says. The last line is a checkpoint, signed for this
//! export: a file that ends earlier is cut.

use std::io::BufRead;
use std::time::Duration;

use axum::body::Bytes;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::stream::{self, Stream};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::ids::TenantId;
use shared::wire::signature::PeerKey;
use utoipa::ToSchema;

use super::checkpoint::{Checkpoint, Statement};
use super::store::{EntryOut, Recorded};
use super::verify::{CHUNK, Head, Stored, body_keys, chunk, head};
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

/// One entry in a line.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditExportLine)]
pub struct LineOut {
    /// The canonical form of the entry, base64url: what is hashed.
    hashed: String,
    /// Its SHA-256, base64url.
    hash: String,
    entry: EntryOut,
}

/// A line as a file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LineIn {
    hashed: String,
    hash: String,
    entry: Value,
}

/// What an export covers.
pub struct Export {
    control: Control,
    viewer: Viewer,
    tenant: TenantId,
    /// The entry behind which it begins.
    after: i64,
    history: i64,
    head: Head,
}

/// The next part of an export.
enum Next {
    /// Entries behind this one, which has this hash if it is known.
    Entries(i64, Option<chain::Hash>),
    /// The signed line.
    Checkpoint,
    Nothing,
}

impl Export {
    /// An export for `viewer` of what is committed now, behind the entry `after`. `None` if the log ends before it.
    ///
    /// # Errors
    /// The database's.
    pub async fn begin(
        control: Control,
        viewer: Viewer,
        tenant: TenantId,
        after: i64,
    ) -> Result<Option<Self>, Failure> {
        let mut tx = control.db.tenant_tx(tenant).await?;
        let (history, head) = (tx.history().await?, head(&mut tx).await?);
        drop(tx);
        let begins = (0..=head.position).contains(&after);
        Ok(begins.then_some(Self { control, viewer, tenant, after, history, head }))
    }

    /// Its lines, many at a time. No connection of the database is held while the client reads.
    pub fn stream(self) -> impl Stream<Item = Result<Bytes, Failure>> {
        let begin = Next::Entries(self.after, None);
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
            None => super::verify::hash_at(&mut tx, after).await?,
        };
        let rows = chunk(&mut tx, after, end).await?;
        let keys = body_keys(&mut tx, &rows).await?;
        drop(tx);
        let mut text = Vec::new();
        for Stored { link, hash, .. } in rows {
            let hashed = URL_SAFE_NO_PAD.encode(link.form(&before));
            // A log that was tampered with is exported as it is.
            before = hash.as_slice().try_into().unwrap_or(chain::GENESIS);
            let entry = EntryOut::seen_by(&self.viewer, Recorded::of(&keys, link));
            let line = LineOut { hashed, hash: URL_SAFE_NO_PAD.encode(&hash), entry };
            serde_json::to_writer(&mut text, &line).map_err(|_| Failure::Unreadable("audit entry"))?;
            text.push(b'\n');
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
        let key = &self.control.settings.audit.checkpoint_key.0;
        let line = Statement::Checkpoint(checkpoint).sign(key).map_err(|_| unreadable())?;
        Ok(Bytes::from(line + "\n"))
    }
}

/// What was found of a file.
#[derive(Debug, Serialize)]
pub struct Verified {
    /// Whether it is what was exported.
    pub intact: bool,
    /// The tenant, where the file has an entry.
    pub tenant: Option<uuid::Uuid>,
    /// Its last entry.
    pub to: i64,
    /// The first place that is not as it was.
    pub finding: Option<Finding>,
}

/// Verifies the file of an export.
///
/// # Errors
/// What cannot be read.
pub fn verify(file: impl BufRead, keys: &[PeerKey]) -> std::io::Result<Verified> {
    let mut reader = Reader { walk: None, ended: false };
    for line in file.lines() {
        if let Err(finding) = reader.take(&line?, keys) {
            return Ok(reader.verified(Some(finding)));
        }
    }
    let cut = (!reader.ended).then(|| Finding::new(Fault::Cut, reader.next()));
    Ok(reader.verified(cut))
}

/// What a reader without keys can compare with the hashed bytes: the body is sealed in them.
fn vouched(entry: Option<Value>) -> Option<Value> {
    let mut entry = entry?;
    let fields = entry.as_object_mut()?;
    fields.retain(|name, _| !["client", "details"].contains(&name.as_str()));
    Some(entry)
}

struct Reader {
    /// The tenant, and how far its chain was read.
    walk: Option<(uuid::Uuid, Walk)>,
    ended: bool,
}

impl Reader {
    fn next(&self) -> i64 {
        self.walk.as_ref().map_or(1, |(_, walk)| walk.position().saturating_add(1))
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
        let next = self.next();
        let changed = || Finding::new(Fault::Changed, next);
        let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| changed());
        let (before, link) = Link::parse(&bytes(&line.hashed)?).ok_or_else(changed)?;
        let begins = || match link.position {
            1 => Walk::new(link.tenant_id),
            position => Walk::behind(link.tenant_id, position.saturating_sub(1), before),
        };
        let (_, walk) = self.walk.get_or_insert_with(|| (link.tenant_id, begins()));
        walk.take(&link, &bytes(&line.hash)?)?;
        let position = link.position;
        let entry = EntryOut::seen_by(&Viewer::operator(), Recorded::of_export(link));
        if walk.is_sound() && vouched(serde_json::to_value(entry).ok()) != vouched(Some(line.entry.clone())) {
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
        Verified { intact: finding.is_none(), tenant, to: self.next() - 1, finding }
    }
}

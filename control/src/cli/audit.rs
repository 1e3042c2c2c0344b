//! `wardgate audit`: whether the audit logs are what was written.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use flate2::bufread::GzDecoder;
use serde::Serialize;
use shared::wire::signature::PeerKey;

use super::archive;
use super::confirm::Yes;
use super::outcome::CliError;
use super::show::{Rows, Show};
use super::target::{chosen_logs, made_tenant};
use crate::audit::checkpoint::{Restore, Statement};
use crate::audit::checkpoints::{Statements, Strange};
use crate::audit::verify::{Log, verify_whole};
use crate::audit::{self, Action, Actor, Fault, Finding, checkpoints, export};
use crate::control::Control;
use crate::objects::Objects;

/// The greatest number of unexpected objects that are named.
const NAMED: usize = 5;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Verify the audit log of every tenant, or of one. Names the first entry that was changed, removed, inserted or moved,
    /// or the first that was truncated at the end. The comparison with signed checkpoints detects a chain that was
    /// rewritten as a whole. Archives are verified, too.
    #[command(
        after_help = "Exit code 5 if any log was altered.\n\nExamples:\n  wardgate audit verify\n  wardgate audit verify --tenant acme --json\n  wardgate audit verify --export audit-acme.jsonl --public-key audit-1:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\n  wardgate audit verify --export 000000000001-000000020000-5f0c91d2.jsonl.gz --export audit-acme.jsonl --public-key audit-1:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\n  wardgate audit verify --checkpoints /mnt/copy --public-key audit-1:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    )]
    Verify {
        /// The tenant's slug or id. Default: all tenants.
        #[arg(long)]
        tenant: Option<String>,
        /// Verify the file of an export (`GET /api/audit/export/`) or of an archive instead. Needs `--public-key`, but
        /// neither settings nor a database. May be repeated; each file must continue the one before.
        #[arg(long = "export", value_name = "FILE", requires = "public_keys", conflicts_with_all = ["tenant", "checkpoints"])]
        exports: Vec<PathBuf>,
        #[command(flatten)]
        proof: Proof,
    },
    /// Move old entries from the database into archives, which are stored with the checkpoints.
    #[command(
        after_help = "Only entries that a checkpoint covers are archived, and only entries that were read back from the archive are removed. Can be repeated after a kill at any point.\n\nExamples:\n  wardgate audit archive --before 2026-01-01 --yes\n  wardgate audit archive --before 2026-01-01 --tenant acme"
    )]
    Archive(archive::Archive),
    /// After a restore of the database and `wardgate edges reseed`: sign a statement that accepts the loss of entries.
    /// Until then `audit verify` reports it.
    #[command(after_help = "Example:\n  wardgate audit accept-restore acme --yes")]
    AcceptRestore {
        /// The tenant's slug or id.
        tenant: String,
        #[command(flatten)]
        yes: Yes,
    },
}

/// Where the checkpoints and the public keys come from.
#[derive(Args)]
pub(super) struct Proof {
    /// A copy of the folder or bucket of signed checkpoints and archives. Default: the one in the settings.
    #[arg(long, value_name = "FOLDER")]
    checkpoints: Option<PathBuf>,
    /// Public key of checkpoints, `<key id>:<32 bytes in base64url>`; may be given twice. Default: the keys in the
    /// settings.
    #[arg(long = "public-key", value_name = "KEY")]
    public_keys: Vec<String>,
}

impl Proof {
    fn keys(&self) -> Result<Vec<PeerKey>, CliError> {
        self.public_keys.iter().map(|text| key(text)).collect()
    }

    /// All signed statements. A folder in the settings that does not exist yet counts as empty.
    async fn read(&self, control: &Control, show: Show) -> Result<Evidence, CliError> {
        let keys = if self.public_keys.is_empty() { checkpoints::own_keys(control) } else { self.keys()? };
        let copy = self.checkpoints.clone().map(Objects::folder);
        let objects = copy.as_ref().unwrap_or(&control.objects);
        let statements = match checkpoints::read(objects, &keys).await? {
            Some(statements) => statements,
            None if copy.is_some() => {
                return Err(CliError::Failed(format!("{}: there is no such folder", objects.name())));
            }
            None => {
                let place = objects.name();
                show.note(&format!("there are no checkpoints in {place}: the chains alone are verified"));
                Statements::default()
            }
        };
        Ok(Evidence { copy, keys, statements })
    }
}

/// The signed statements and archives that logs are verified against.
struct Evidence {
    /// The copy, if one is given.
    copy: Option<Objects>,
    keys: Vec<PeerKey>,
    statements: Statements,
}

/// Describes objects that should not be among the checkpoints, if there are any.
fn strangeness(strange: &[Strange]) -> String {
    let mut lines: Vec<_> = strange.iter().take(NAMED).map(ToString::to_string).collect();
    if strange.len() > NAMED {
        lines.push(format!("and {} more", strange.len() - NAMED));
    }
    lines.join("\n")
}

fn key(text: &str) -> Result<PeerKey, CliError> {
    let refused = || CliError::Refused("--public-key: expected <key id>:<32 bytes in base64url>".into());
    PeerKey::parse(text).map_err(|_| refused())
}

/// The output for one tenant.
#[derive(Serialize)]
struct Verified {
    tenant: String,
    entries: i64,
    archived: i64,
    intact: bool,
    finding: Option<Finding>,
}

const LOGS: Rows<Verified> = Rows {
    names: ["log", "logs"],
    head: &["tenant", "entries", "archived", "state"],
    line: |row| {
        let state = row.finding.as_ref().map_or_else(|| String::from("intact"), said);
        vec![row.tenant.clone(), row.entries.to_string(), row.archived.to_string(), state]
    },
};

pub(super) fn said(finding: &Finding) -> String {
    match finding.until {
        None => format!("entry {}: {}", finding.position, finding.detail),
        Some(until) => format!("entries {} to {until}: {}", finding.position, finding.detail),
    }
}

pub(super) async fn run(control: &Control, show: Show, command: Command) -> Result<(), CliError> {
    match command {
        Command::Verify { exports, proof, .. } if !exports.is_empty() => {
            verify_exports(show, &exports, &proof)
        }
        Command::Verify { tenant, proof, .. } => verify(control, show, tenant, &proof).await,
        Command::Archive(asked) => archive::run(control, show, asked).await,
        Command::AcceptRestore { tenant, yes } => accept_restore(control, show, &tenant, yes).await,
    }
}

/// Verifies exported files and nothing else.
pub(super) fn verify_exports(show: Show, files: &[PathBuf], proof: &Proof) -> Result<(), CliError> {
    let opened = files.iter().map(|file| open(file)).collect::<Result<Vec<_>, _>>()?;
    let failed = |error| CliError::Failed(format!("the files of an export: {error}"));
    let verified = export::verify(opened, &proof.keys()?).map_err(failed)?;
    let intact = || format!("intact from entry {} to entry {}", verified.from, verified.to);
    let line = verified.finding.as_ref().map_or_else(intact, said);
    show.one(&verified, &line);
    if verified.intact { Ok(()) } else { Err(CliError::Refused(String::from("the export is not intact"))) }
}

/// Reads a file, and decompresses it if it is gzip.
fn open(file: &Path) -> Result<Box<dyn BufRead>, CliError> {
    let failed = |error| CliError::Failed(format!("{}: {error}", file.display()));
    let mut opened = BufReader::new(File::open(file).map_err(failed)?);
    let is_gzip = opened.fill_buf().map_err(failed)?.starts_with(&[0x1f, 0x8b]);
    if is_gzip { Ok(Box::new(BufReader::new(GzDecoder::new(opened)))) } else { Ok(Box::new(opened)) }
}

async fn verify(
    control: &Control,
    show: Show,
    tenant: Option<String>,
    proof: &Proof,
) -> Result<(), CliError> {
    let Evidence { copy, keys, mut statements } = proof.read(control, show).await?;
    let objects = copy.as_ref().unwrap_or(&control.objects);
    let logs = chosen_logs(control, tenant.as_deref()).await?;
    let mut rows = Vec::with_capacity(logs.len());
    for Log { tenant, slug, .. } in logs {
        let mut signed = statements.by_tenant.remove(&tenant.uuid()).unwrap_or_default();
        let found = verify_whole(control, tenant, objects, (&mut signed, &keys)).await?;
        rows.push(Verified {
            tenant: slug,
            entries: found.head,
            archived: found.archived,
            intact: found.intact,
            finding: found.finding,
        });
    }
    show.list(&LOGS, &rows);
    let strange = strangeness(&statements.strange);
    match rows.iter().filter(|row| !row.intact).count() {
        0 if strange.is_empty() => Ok(()),
        0 => Err(CliError::Refused(strange)),
        broken => {
            let broken = format!("{broken} of {} logs are not intact", rows.len());
            let lines = [broken, strange].into_iter().filter(|line| !line.is_empty());
            Err(CliError::Refused(lines.collect::<Vec<_>>().join("\n")))
        }
    }
}

/// Signs the statement before the log entry is written, because that entry could be lost, too.
async fn accept_restore(control: &Control, show: Show, tenant: &str, yes: Yes) -> Result<(), CliError> {
    let tenant = made_tenant(control, tenant).await?;
    let keys = checkpoints::own_keys(control);
    let mut statements = checkpoints::read(&control.objects, &keys).await?.unwrap_or_default();
    if !statements.strange.is_empty() {
        return Err(CliError::Refused(strangeness(&statements.strange)));
    }
    let mut signed = statements.by_tenant.remove(&tenant.id.uuid()).unwrap_or_default();
    let found = verify_whole(control, tenant.id, &control.objects, (&mut signed, &keys)).await?;
    let finding = found.finding;
    let (from, to) = match &finding {
        Some(Finding { position, until: Some(until), fault: Fault::Restored, .. }) => (*position, *until),
        Some(other) => return Err(CliError::Refused(format!("no restore explains it: {}", said(other)))),
        None => {
            return Err(CliError::Refused(format!("the log of tenant `{}` has lost nothing", tenant.slug)));
        }
    };
    yes.to(&format!(
        "accepts that entries {from} to {to} of tenant `{}` are not what they were",
        tenant.slug
    ))?;
    let mut tx = control.db.work_tx(tenant.id).await?;
    let (history, now) = (tx.history().await?, control.clock.now());
    drop(tx);
    let restore = Restore { tenant: tenant.id.uuid(), history, from, to, at: now };
    checkpoints::write(control, now, &[Statement::Restore(restore)]).await?;
    let mut tx = control.db.work_tx(tenant.id).await?;
    let details = serde_json::json!({ "history": history, "from": from, "to": to });
    audit::record(&mut tx, &Actor::operator(), now, Action::AuditRestoreAccepted, None, details);
    tx.commit().await?;
    let line =
        format!("accepted: entries {from} to {to} of {} were lost before history {history}", tenant.slug);
    show.one(&serde_json::json!({ "tenant": tenant.id, "history": history, "from": from, "to": to }), &line);
    Ok(())
}

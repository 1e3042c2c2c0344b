//! `wardgate audit`: whether the audit logs are what was written.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;
use shared::wire::signature::PeerKey;
use uuid::Uuid;

use super::confirm::Yes;
use super::outcome::CliError;
use super::show::{Rows, Show};
use super::target::made_tenant;
use crate::audit::checkpoint::{Restore, Signed, Statement};
use crate::audit::verify::{Log, logs, verify_against};
use crate::audit::{self, Action, Actor, Fault, Finding, checkpoints, export};
use crate::control::Control;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Verify the log of every tenant, or of one: name the first entry that was changed, removed, inserted or
    /// moved, or the first that was cut off at the end. A comparison with signed checkpoints shows a chain that
    /// was rewritten as a whole.
    #[command(
        after_help = "Exit code 5 if an entry of any log is not what was written.\n\nExamples:\n  wardgate audit verify\n  wardgate audit verify --tenant acme --json\n  wardgate audit verify --export audit-acme.jsonl --public-key audit-1:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\n  wardgate audit verify --checkpoints /mnt/copy --public-key audit-1:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    )]
    Verify {
        /// The tenant's slug or id. Default: all tenants.
        #[arg(long)]
        tenant: Option<String>,
        /// Verify the file of an export (`GET /api/audit/export/`) instead: needs `--public-key`, and neither
        /// settings nor a database.
        #[arg(long, value_name = "FILE", requires = "public_keys", conflicts_with_all = ["tenant", "checkpoints"])]
        export: Option<PathBuf>,
        #[command(flatten)]
        proof: Proof,
    },
    /// After a restore of the database and `wardgate edges reseed`: sign that the loss of the restored entries is
    /// known. Until then `audit verify` reports it.
    #[command(after_help = "Example:\n  wardgate audit accept-restore acme --yes")]
    AcceptRestore {
        /// The tenant's slug or id.
        tenant: String,
        #[command(flatten)]
        yes: Yes,
    },
}

/// What a log is verified against.
#[derive(Args)]
pub(super) struct Proof {
    /// The folder of signed checkpoints. Default: the one of the settings.
    #[arg(long, value_name = "FOLDER")]
    checkpoints: Option<PathBuf>,
    /// Public key of checkpoints, `<key id>:<32 bytes in base64url>`; may be given twice. Default: the keys of the
    /// settings.
    #[arg(long = "public-key", value_name = "KEY")]
    public_keys: Vec<String>,
}

impl Proof {
    fn keys(&self) -> Result<Vec<PeerKey>, CliError> {
        self.public_keys.iter().map(|text| key(text)).collect()
    }

    /// Everything that was signed. A folder of the settings that is not there yet holds nothing.
    fn read(&self, control: &Control, show: Show) -> Result<HashMap<Uuid, Signed>, CliError> {
        let settings = &control.settings.audit;
        let keys = if self.public_keys.is_empty() { checkpoints::own_keys(control) } else { self.keys()? };
        let folder = self.checkpoints.as_ref().unwrap_or(&settings.checkpoint_folder);
        if self.checkpoints.is_none() && !folder.exists() {
            show.note(&format!(
                "there are no checkpoints in {}: the chains alone are verified",
                folder.display()
            ));
            return Ok(HashMap::new());
        }
        Ok(checkpoints::read(folder, &keys)?)
    }
}

fn key(text: &str) -> Result<PeerKey, CliError> {
    let refused = || CliError::Refused("--public-key: expected <key id>:<32 bytes in base64url>".into());
    PeerKey::parse(text).map_err(|_| refused())
}

/// What was found of one tenant's log.
#[derive(Serialize)]
struct Verified {
    tenant: String,
    entries: i64,
    intact: bool,
    finding: Option<Finding>,
}

const LOGS: Rows<Verified> = Rows {
    names: ["log", "logs"],
    head: &["tenant", "entries", "state"],
    line: |row| {
        let state = row.finding.as_ref().map_or_else(|| String::from("intact"), said);
        vec![row.tenant.clone(), row.entries.to_string(), state]
    },
};

fn said(finding: &Finding) -> String {
    match finding.until {
        None => format!("entry {}: {}", finding.position, finding.detail),
        Some(until) => format!("entries {} to {until}: {}", finding.position, finding.detail),
    }
}

pub(super) async fn run(control: &Control, show: Show, command: Command) -> Result<(), CliError> {
    match command {
        Command::Verify { tenant, proof, export: None } => verify(control, show, tenant, &proof).await,
        Command::Verify { proof, export: Some(file), .. } => verify_export(show, &file, &proof),
        Command::AcceptRestore { tenant, yes } => accept_restore(control, show, &tenant, yes).await,
    }
}

/// Verifies a file. Nothing else is read.
pub(super) fn verify_export(show: Show, file: &Path, proof: &Proof) -> Result<(), CliError> {
    let failed = |error| CliError::Failed(format!("{}: {error}", file.display()));
    let opened = File::open(file).map_err(failed)?;
    let verified = export::verify(BufReader::new(opened), &proof.keys()?).map_err(failed)?;
    let line = verified.finding.as_ref().map_or_else(|| format!("intact to entry {}", verified.to), said);
    show.one(&verified, &line);
    if verified.intact { Ok(()) } else { Err(CliError::Refused(String::from("the export is not intact"))) }
}

async fn verify(
    control: &Control,
    show: Show,
    tenant: Option<String>,
    proof: &Proof,
) -> Result<(), CliError> {
    let signed = proof.read(control, show)?;
    let logs = match tenant {
        Some(name) => {
            let tenant = made_tenant(control, &name).await?;
            vec![Log { tenant: tenant.id, slug: tenant.slug.to_string() }]
        }
        None => logs(control).await?,
    };
    let none = Signed::default();
    let mut rows = Vec::with_capacity(logs.len());
    for Log { tenant, slug } in logs {
        let mut tx = control.db.work_tx(tenant).await?;
        let signed = signed.get(&tenant.uuid()).unwrap_or(&none);
        let found = verify_against(&mut tx, signed).await?;
        rows.push(Verified {
            tenant: slug,
            entries: found.head,
            intact: found.intact,
            finding: found.finding,
        });
    }
    show.list(&LOGS, &rows);
    match rows.iter().filter(|row| !row.intact).count() {
        0 => Ok(()),
        broken => Err(CliError::Refused(format!("{broken} of {} logs are not intact", rows.len()))),
    }
}

/// Signs first: an entry of the log that told of it before could be lost with the rest.
async fn accept_restore(control: &Control, show: Show, tenant: &str, yes: Yes) -> Result<(), CliError> {
    let tenant = made_tenant(control, tenant).await?;
    let folder = &control.settings.audit.checkpoint_folder;
    let signed = checkpoints::read(folder, &checkpoints::own_keys(control))?;
    let signed = signed.get(&tenant.id.uuid()).cloned().unwrap_or_default();
    let mut tx = control.db.work_tx(tenant.id).await?;
    let finding = verify_against(&mut tx, &signed).await?.finding;
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
    let (history, now) = (tx.history().await?, control.clock.now());
    let restore = Restore { tenant: tenant.id.uuid(), history, from, to, at: now };
    checkpoints::write(control, now, &[Statement::Restore(restore)]).await?;
    let details = serde_json::json!({ "history": history, "from": from, "to": to });
    audit::record(&mut tx, &Actor::operator(), now, Action::AuditRestoreAccepted, None, details);
    tx.commit().await?;
    let line =
        format!("accepted: entries {from} to {to} of {} were lost before history {history}", tenant.slug);
    show.one(&serde_json::json!({ "tenant": tenant.id, "history": history, "from": from, "to": to }), &line);
    Ok(())
}

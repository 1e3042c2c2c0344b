//! `wardgate encryption rotate`: replaces the data keys of tenants.

use std::time::Duration;

use serde::Serialize;
use shared::ids::TenantId;

use super::outcome::CliError;
use super::show::{Rows, Show, counted};
use super::target::tenant_named;
use crate::audit::Actor;
use crate::control::Control;
use crate::db::replace::Replacement;
use crate::failure::{Failure, chain};
use crate::http::time;
use crate::tenants::data_key::{self, State};

pub(super) const EXAMPLES: &str = "\
A new key takes about a quarter of an hour: before the former key is deleted, every control process must know the new one
and must have stopped encrypting under the former one. All requests are served meanwhile. The command can be repeated
after a kill at any point; a running `serve` completes it, at 100,000 values a minute.

Examples:
  wardgate encryption rotate --tenant acme
  wardgate encryption rotate --all --detach
  wardgate encryption status --rotating";

/// The interval between two checks of the rotation's state.
const LOOK: Duration = Duration::from_secs(2);
/// Values between two lines of progress.
const LINE: u64 = 10_000;

#[derive(clap::Args)]
pub(super) struct Rotate {
    /// The tenant's slug or id.
    #[arg(long, required_unless_present = "all", conflicts_with = "all")]
    tenant: Option<String>,
    /// All tenants, including suspended and deleted ones.
    #[arg(long)]
    all: bool,
    /// Create the new keys, and leave the rest to a running `serve`.
    #[arg(long)]
    detach: bool,
}

/// The output for one tenant.
#[derive(Serialize)]
struct RotatedOut {
    tenant: String,
    /// Values that this command re-encrypted.
    resealed: u64,
    /// Whether nothing is left to do.
    done: bool,
    state: String,
}

const ROTATED: Rows<RotatedOut> = Rows {
    names: ["tenant", "tenants"],
    head: &["tenant", "values re-encrypted", "state"],
    line: |row| vec![row.tenant.clone(), row.resealed.to_string(), row.state.clone()],
};

/// A tenant whose key is being replaced.
struct Rotated {
    id: TenantId,
    slug: String,
    resealed: u64,
    /// The outcome; `None` while it is in progress.
    ended: Option<Result<(), String>>,
}

impl Rotate {
    pub(super) async fn run(self, control: &Control, show: Show) -> Result<(), CliError> {
        let mut tenants = self.tenants(control).await?;
        for tenant in &mut tenants {
            tenant.begin(control, show).await;
        }
        while !self.detach && tenants.iter().any(|tenant| tenant.ended.is_none()) {
            let mut longest = Duration::ZERO;
            for tenant in tenants.iter_mut().filter(|tenant| tenant.ended.is_none()) {
                longest = longest.max(tenant.advance(control, show).await);
            }
            tokio::time::sleep(longest.min(LOOK)).await;
        }
        let failed = tenants.iter().filter(|tenant| matches!(tenant.ended, Some(Err(_)))).count();
        let rows: Vec<_> = tenants.into_iter().map(Rotated::out).collect();
        show.list(&ROTATED, &rows);
        if failed == 0 { Ok(()) } else { Err(CliError::Failed(format!("{failed} of the keys stay"))) }
    }

    async fn tenants(&self, control: &Control) -> Result<Vec<Rotated>, CliError> {
        let rotated = |id, slug| Rotated { id, slug, resealed: 0, ended: None };
        if let Some(name) = &self.tenant {
            let tenant = tenant_named(control, name).await?;
            return Ok(vec![rotated(tenant.id, tenant.slug.to_string())]);
        }
        let rows = sqlx::query!("select id, slug from platform.tenants order by slug")
            .fetch_all(control.db.app())
            .await?;
        Ok(rows.into_iter().map(|row| rotated(row.id.into(), row.slug)).collect())
    }
}

impl Rotated {
    async fn begin(&mut self, control: &Control, show: Show) {
        match data_key::begin(control, self.id, &Actor::operator()).await {
            Ok(Some(version)) => show.note(&format!("{}: version {version} of the key was made", self.slug)),
            Ok(None) => show.note(&format!("{}: a new key is under way already", self.slug)),
            Err(failure) => self.failed(&failure),
        }
    }

    /// Does what can be done now; how long to wait before there is more.
    async fn advance(&mut self, control: &Control, show: Show) -> Duration {
        let Self { id, slug, resealed, .. } = self;
        let mut done = |values| {
            let lines = *resealed / LINE;
            *resealed += values;
            if *resealed / LINE > lines {
                show.note(&format!(
                    "{slug}: {}",
                    counted(*resealed, ["value re-encrypted", "values re-encrypted"])
                ));
            }
        };
        match data_key::advance(control, *id, &Actor::operator(), u64::MAX, &mut done).await {
            Ok(State::Settled) => self.ended = Some(Ok(())),
            Ok(State::Spreads(more)) => return more,
            Ok(State::Unfinished) => return LOOK,
            Ok(State::Unreadable(count, named)) => {
                let count = counted(count, ["value does", "values do"]);
                self.ended =
                    Some(Err(format!("{count} not open, so the former key stays: {}", named.join(", "))));
            }
            Err(failure) => self.failed(&failure),
        }
        Duration::ZERO
    }

    fn failed(&mut self, failure: &Failure) {
        self.ended = Some(Err(chain(failure).to_string()));
    }

    fn out(self) -> RotatedOut {
        let (done, state) = match self.ended {
            Some(Ok(())) => (true, String::from("the former key was deleted")),
            Some(Err(why)) => (false, why),
            None => (false, String::from("under way: a running `serve` does the rest")),
        };
        RotatedOut { tenant: self.slug, resealed: self.resealed, done, state }
    }
}

/// A key that gives way, as it is listed.
#[derive(Serialize)]
pub(super) struct ReplacementOut {
    tenant: String,
    version: u32,
    began_at: String,
}

impl From<Replacement> for ReplacementOut {
    fn from(replacement: Replacement) -> Self {
        let Replacement { slug, version, began_at, .. } = replacement;
        Self { tenant: slug, version, began_at: time::text(began_at) }
    }
}

pub(super) const REPLACEMENTS: Rows<ReplacementOut> = Rows {
    names: ["tenant with a former key", "tenants with a former key"],
    head: &["tenant", "new version", "made"],
    line: |row| vec![row.tenant.clone(), row.version.to_string(), row.began_at.clone()],
};

/// The data key of one tenant.
#[derive(Serialize)]
pub(super) struct KeyOut {
    tenant: String,
    version: u32,
    created_at: String,
    /// Versions that give way.
    former: Vec<u32>,
    /// Values under them that are not re-encrypted yet.
    left: i64,
    /// Seconds until the re-encryption of their values may begin.
    due_in: i64,
}

impl KeyOut {
    pub(super) async fn of(control: &Control, name: &str) -> Result<Self, CliError> {
        let tenant = tenant_named(control, name).await?;
        let mut tx = control.db.tenant_tx(tenant.id).await?;
        let versions = tx.key_versions().await?;
        let (version, former) = versions.numbers();
        let left = tx.sealed_by(&former).await?;
        #[allow(clippy::cast_possible_truncation, reason = "minutes")]
        let due_in = if former.is_empty() { 0 } else { versions.due_in_secs.max(0.0).ceil() as i64 };
        let created_at = time::text(versions.newest.created_at);
        Ok(Self { tenant: tenant.slug.to_string(), version, created_at, former, left, due_in })
    }
}

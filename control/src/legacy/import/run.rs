//! The import itself, step by step: read, lay out, judge, write.

use std::collections::{HashMap, HashSet};

use shared::ids::TenantId;
use tokio::sync::mpsc;

use super::ImportError;
use super::decide::{Facts, Verdict};
use super::dump::Dump;
use super::found::{Found, Item};
use super::judge::{id_fault, profile};
use super::moment::Zone;
use super::postgres::Postgres;
use super::report::{Report, Why};
use super::settle::{form_stays, formats_fit, roles_exist};
use super::stage::{OnPage, Staged, Staging};
use super::state::{Import, Options, PAGE, bar};
use crate::audit::{self, Action, Actor};
use crate::control::Control;
use crate::legacy::hashing::Hashing;
use crate::legacy::service;

/// Things that wait between reader and writer.
const QUEUE: usize = 1000;
/// Other ids are not treated as numbers: JavaScript clients support only those below 2^53, and new users get numbers
/// above the greatest.
const NUMBERS: std::ops::RangeInclusive<i64> = 0..=(1 << 53) - (1 << 32);

/// Where users come from.
pub enum Source {
    /// A database of the legacy service.
    Postgres(Postgres),
    /// The output of `manage.py dumpdata`.
    Dump(Dump),
}

impl Source {
    fn zone(&self) -> &Zone {
        match self {
            Self::Postgres(source) => &source.zone,
            Self::Dump(source) => &source.zone,
        }
    }
}

/// Imports from `source`, or checks whether it could.
///
/// # Errors
/// See [`ImportError`]. Users who do not come are in the report.
pub async fn run(control: &Control, source: Source, options: &Options) -> Result<Report, ImportError> {
    let tenant = options.tenant.id;
    form_stays(&options.tenant, options.user_id)?;
    let mut tx = control.db.tenant_tx(tenant).await?;
    roles_exist(&mut tx, &options.mapping).await?;
    let hashing = Hashing::of(&mut tx).await?;
    drop(tx);
    let staging = Staging::open(control, tenant).await?;
    let report = Report {
        check: options.check,
        totp_people: options.mapping.with_totp.as_str().to_owned(),
        time_zone: source.zone().name().to_owned(),
        ..Report::default()
    };
    let mut import = Import {
        control,
        options,
        hashing,
        staging,
        groups: HashMap::new(),
        report,
        greatest: None,
        refused: HashSet::new(),
    };
    import.read(source).await?;
    if import.report.read == 0 {
        // The first import settles how the tenant's tokens write `user_id`: an empty source cannot.
        return Err(ImportError::Refused("the source has no users: its table of users is empty".into()));
    }
    import.staging.find_collisions().await?;
    import.judge_all().await?;
    formats_fit(&import.report)?;
    import.report.user_id = service::form_text(import.user_id(&options.tenant)).to_owned();
    if !options.check && import.report.unmapped.is_empty() {
        import.prepare().await?;
        import.write_all().await?;
        import.conclude().await?;
    }
    Ok(import.report)
}

impl Import<'_> {
    /// Lays out everything that the source has.
    async fn read(&mut self, source: Source) -> Result<(), ImportError> {
        let (sender, mut items) = mpsc::channel(QUEUE);
        let reader = match source {
            Source::Postgres(source) => tokio::spawn(async move { source.read(sender).await }),
            Source::Dump(source) => tokio::task::spawn_blocking(move || source.read(&sender)),
        };
        let progress = bar(None, "reading");
        let mut waiting: Vec<Staged> = Vec::new();
        let mut numbers = true;
        while let Some(item) = items.recv().await {
            match item {
                Item::Group { key, name } => {
                    self.groups.insert(key, name);
                }
                Item::Device(device) => {
                    match device.fits() {
                        Ok(_) => self.report.authenticators += 1,
                        Err(why) => Report::count(&mut self.report.devices_kept, why),
                    }
                    self.staging.put_device(&device).await?;
                }
                Item::User(found) => {
                    self.report.read += 1;
                    progress.inc(1);
                    self.note_times(&found);
                    let Some(staged) = self.staged(found) else { continue };
                    let number = staged.id.parse().ok().filter(|id: &i64| id.to_string() == staged.id);
                    let number = number.filter(|id| NUMBERS.contains(id));
                    numbers &= number.is_some();
                    self.greatest = self.greatest.max(number);
                    waiting.push(staged);
                }
            }
            if waiting.len() >= QUEUE {
                self.staging.put_users(std::mem::take(&mut waiting)).await?;
            }
        }
        self.staging.put_users(waiting).await?;
        progress.finish_and_clear();
        if !numbers {
            self.greatest = None;
        }
        reader.await.map_err(|_| ImportError::Source("the source could not be read".into()))?
    }

    /// Counts the times that named no zone, and names those that the zone's clock showed twice or never.
    fn note_times(&mut self, found: &Found) {
        for (column, reading) in &found.local_times {
            self.report.local_times += 1;
            if let Some(doubt) = reading.doubt() {
                let id = found.id.clone().unwrap_or_default();
                let (column, reason) = ((*column).to_owned(), doubt.to_owned());
                self.report.unclear_times.push(Why { id, column, reason });
            }
        }
    }

    /// A user with the hashes of their names; without an id, a reason.
    fn staged(&mut self, found: Box<Found>) -> Option<Staged> {
        let id = found.id.clone().unwrap_or_default();
        if let Some(reason) = id_fault(&id) {
            let place = format!("(number {} of the source)", self.report.read);
            self.report.refused.push(Why { id: place, column: "id".into(), reason: reason.into() });
            return None;
        }
        let names = self.hashing.names(&profile(&found)).ok();
        Some(Staged { id, found, names })
    }

    /// Decides about every user and counts.
    async fn judge_all(&mut self) -> Result<(), ImportError> {
        let progress = bar(Some(self.staging.count().await?), "checking");
        let mut after = 0;
        loop {
            let page = self.staging.page(after, PAGE).await?;
            if page.users.is_empty() {
                progress.finish_and_clear();
                return Ok(());
            }
            after = page.last;
            progress.inc(u64::try_from(page.users.len()).unwrap_or(0));
            let mut tx = self.control.db.tenant_tx(self.options.tenant.id).await?;
            let judged = self.judge_page(&mut tx, &page.users).await?;
            drop(tx);
            for (user, verdict) in page.users.iter().zip(judged) {
                self.count(user, verdict);
            }
        }
    }

    fn count(&mut self, user: &OnPage, judged: Result<(Verdict, Facts), Vec<Why>>) {
        let report = &mut self.report;
        let (verdict, facts) = match judged {
            Ok(judged) => judged,
            Err(why) => {
                self.refused.insert(user.id.clone());
                report.refused.extend(why);
                return;
            }
        };
        report.with_totp += u64::from(user.totp.is_some());
        report.without_authenticator += u64::from(user.totp == Some(false));
        for role in facts.roles {
            Report::count(&mut report.roles, role);
        }
        for group in facts.unmapped {
            Report::count(&mut report.unmapped, group);
        }
        match facts.password {
            Ok(format) => Report::count(&mut report.passwords, format),
            Err(reason) => Report::count(&mut report.without_password, reason),
        }
        match verdict {
            Verdict::New(_) => report.new += 1,
            Verdict::Changed(..) => report.changed += 1,
            Verdict::Unchanged(_) => report.unchanged += 1,
            Verdict::Kept(_) => report.kept += 1,
        }
    }

    /// One entry about the whole.
    async fn conclude(&mut self) -> Result<(), ImportError> {
        let tenant: TenantId = self.options.tenant.id;
        let report = &self.report;
        let details = serde_json::json!({
            "read": report.read,
            "new": report.new,
            "changed": report.changed,
            "unchanged": report.unchanged,
            "kept": report.kept,
            "refused": report.refused_users(),
        });
        let mut tx = self.control.db.tenant_tx(tenant).await?;
        let (actor, now) = (Actor::operator(), self.control.clock.now());
        let target = Some(tenant.to_string());
        audit::record(&mut tx, &actor, now, Action::TenantImported, target, details);
        tx.commit().await?;
        Ok(())
    }
}

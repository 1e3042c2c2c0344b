//! The import itself: read, lay out, judge, write.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use foreign::{FAMILIES, Family, Params};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use shared::ids::{TenantId, UserId};
use shared::tenant::settings::Cookies;
use shared::tokens::claims::UserIdForm;
use tokio::sync::mpsc;

use super::ImportError;
use super::dump::Dump;
use super::found::{Found, Item};
use super::judge::{Judged, Mapping, id_fault, judge, profile};
use super::moment::Zone;
use super::postgres::Postgres;
use super::report::{Report, Why};
use super::stage::{OnPage, Staged, Staging};
use crate::audit::{self, Action, Actor};
use crate::control::Control;
use crate::crypt::sealed::Column;
use crate::db::TenantTx;
use crate::failure::Failure;
use crate::legacy::hashing::Hashing;
use crate::legacy::passwords::wrap_foreign;
use crate::legacy::people::{self, Imported, LegacyUser};
use crate::legacy::{ids, service};
use crate::tenants::{self, Tenant, TenantError};
use crate::users::{self, Change, UserError};
use crate::world::{random, unix_ms};

/// Users of one transaction.
const PAGE: i64 = 500;
/// Things that wait between reader and writer.
const QUEUE: usize = 1000;
/// How often a page is begun again because a name was taken meanwhile.
const TRIES: usize = 5;
/// Sets of parameters that passwords may have: Django has written some twenty, one with each release.
const FORMATS: usize = 64;
/// Beyond, ids do not count as numbers: clients of JavaScript know those below 2^53 alone, and those made
/// here go on above the greatest.
const NUMBERS: std::ops::RangeInclusive<i64> = 0..=(1 << 53) - (1 << 32);

/// Where users come from.
pub enum Source {
    /// A database of the legacy service.
    Postgres(Postgres),
    /// What `manage.py dumpdata` wrote.
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

/// What is asked for.
pub struct Options {
    /// Where they go.
    pub tenant: Tenant,
    /// What they may do here.
    pub mapping: Mapping,
    /// How `user_id` shall be written; absent: as the ids are.
    pub user_id: Option<UserIdForm>,
    /// Write nothing.
    pub check: bool,
}

/// One import.
struct Import<'a> {
    control: &'a Control,
    options: &'a Options,
    hashing: Hashing,
    staging: Staging,
    /// Names of groups by their keys.
    groups: HashMap<String, String>,
    report: Report,
    /// The greatest id, while all are numbers.
    greatest: Option<i64>,
    refused: HashSet<String>,
}

/// What is to be done about a user.
enum Verdict {
    New(Box<Judged>),
    Changed(Box<Judged>, UserId, bool),
    Unchanged(UserId),
    Kept(UserId),
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
    let hashing = Hashing::of(control, &mut tx).await?;
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
        return Err(ImportError::Refused("the source has nobody: its table of users is empty".into()));
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

/// The first import settles how `user_id` is written, unless it was set before: others have stored it since.
fn form_stays(tenant: &Tenant, wanted: Option<UserIdForm>) -> Result<(), ImportError> {
    let settled = settled_form(tenant);
    if wanted.is_some() && settled.is_some() && wanted != settled {
        let form = service::form_text(tenant.legacy.user_id);
        return Err(ImportError::Refused(format!(
            "the tenant's tokens write `user_id` as {form}, and others have stored it: leave --user-id out, or \
             see what `wardgate tenant set-user-id` says"
        )));
    }
    Ok(())
}

/// How `user_id` is written, if that is settled: by an import, or by hand.
fn settled_form(tenant: &Tenant) -> Option<UserIdForm> {
    let form = tenant.legacy.user_id;
    (tenant.legacy.imported_at.is_some() || form != UserIdForm::Uuid).then_some(form)
}

/// The roles that the mapping names must exist before the import.
async fn roles_exist(tx: &mut TenantTx, mapping: &Mapping) -> Result<(), ImportError> {
    let wanted = mapping.roles.values().chain([&mapping.superusers, &mapping.staff, &mapping.others]);
    let wanted: Vec<String> = wanted.flatten().cloned().collect();
    let there = users::role_names(tx).await?;
    match wanted.iter().find(|role| !there.contains(role)) {
        Some(role) => {
            let there = there.join(", ");
            Err(ImportError::Refused(format!("the tenant has no role `{role}`: there are {there}")))
        }
        None => Ok(()),
    }
}

/// A refused sign-in costs a check of every kind of password that the tenant has: their number is bounded.
fn formats_fit(report: &Report) -> Result<(), ImportError> {
    let formats = report.passwords.keys().filter_map(|format| Params::parse(format).ok());
    let families: HashSet<Family> = formats.map(Params::family).collect();
    if report.passwords.len() <= FORMATS && families.len() <= FAMILIES {
        return Ok(());
    }
    Err(ImportError::Refused(format!(
        "the passwords have {} sets of parameters of {} kinds: more than {FORMATS} or {FAMILIES} cannot be checked",
        report.passwords.len(),
        families.len(),
    )))
}

/// A bar on the terminal; none where standard error is no terminal.
fn bar(total: Option<u64>, what: &'static str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
    let template = match total {
        Some(_) => "{msg:10} {bar:30} {human_pos}/{human_len} {per_sec} {eta} left",
        None => "{msg:10} {spinner} {human_pos} {per_sec}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message(what);
    bar
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
                Item::Device(device) => self.staging.put_device(&device).await?,
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

    /// Judges everybody and counts.
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
        report.with_totp += u64::from(user.has_totp);
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

    /// Judges the users of a page as they are here now.
    async fn judge_page(
        &self,
        tx: &mut TenantTx,
        users: &[OnPage],
    ) -> Result<Vec<Result<(Verdict, Facts), Vec<Why>>>, ImportError> {
        let ids: Vec<String> = users.iter().map(|user| user.id.clone()).collect();
        let known = people::imported(tx, &ids).await?;
        let deleted = people::deleted(tx, &ids).await?;
        let judged: Vec<Result<Judged, Vec<Why>>> = users
            .iter()
            .map(|it| judge(&it.found, it.has_totp, &self.options.mapping, &self.groups, &self.hashing))
            .collect();
        let names = judged
            .iter()
            .flatten()
            .flat_map(|it| std::iter::once(it.names.username.clone()).chain(it.names.email.clone()));
        let owners = people::owners(tx, &names.collect::<Vec<_>>()).await?;
        let decide = |(user, judged): (&OnPage, Result<Judged, Vec<Why>>)| {
            let judged = judged?;
            if deleted.contains(&user.id) {
                let reason = String::from("was deleted here");
                return Err(vec![Why { id: user.id.clone(), column: "id".into(), reason }]);
            }
            decide(user, judged, known.get(&user.id), &owners)
        };
        Ok(users.iter().zip(judged).map(decide).collect())
    }

    /// How `user_id` is written from now on.
    fn user_id(&self, tenant: &Tenant) -> UserIdForm {
        let by_ids = if self.greatest.is_some() { UserIdForm::Integer } else { UserIdForm::String };
        self.options.user_id.or(settled_form(tenant)).unwrap_or(by_ids)
    }

    /// The tenant as it has to be before its users come.
    async fn prepare(&mut self) -> Result<(), ImportError> {
        let (control, id) = (self.control, self.options.tenant.id);
        let mut tx = control.db.tenant_tx(id).await?;
        // As it is now: to read the source may have taken hours, and its administrators went on.
        let tenant = tenants::lock(&mut tx, id).await.map_err(of_tenant)?;
        form_stays(&tenant, self.options.user_id)?;
        if let Some(greatest) = self.greatest {
            ids::continue_after(&mut tx, greatest).await?;
        }
        let form = self.user_id(&tenant);
        self.report.user_id = service::form_text(form).to_owned();
        if tenant.legacy.imported_at.is_none() {
            let mut settings = tenant.settings;
            settings.cookies = Cookies::Plain;
            settings.min_password_length = settings.min_password_length.min(8);
            let edit = tenants::Edit { settings: Some(settings), ..tenants::Edit::default() };
            tenants::edit(control, &mut tx, &Actor::operator(), id, edit).await.map_err(of_tenant)?;
        }
        service::users_imported(&mut tx, form, control.clock.now()).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn write_all(&mut self) -> Result<(), ImportError> {
        let progress = bar(Some(self.staging.count().await?), "importing");
        let mut after = 0;
        loop {
            let page = self.staging.page(after, PAGE).await?;
            if page.users.is_empty() {
                progress.finish_and_clear();
                return Ok(());
            }
            after = page.last;
            self.write_page(&page.users).await?;
            progress.inc(u64::try_from(page.users.len()).unwrap_or(0));
        }
    }

    /// Writes the new users of a page in one transaction, again where a name was taken meanwhile; then each
    /// changed user in a transaction of its own, because a change may be refused half way.
    async fn write_page(&mut self, users: &[OnPage]) -> Result<(), ImportError> {
        for _ in 0..TRIES {
            let mut tx = self.control.db.tenant_tx(self.options.tenant.id).await?;
            let judged = self.judge_page(&mut tx, users).await?;
            let now = self.control.clock.now();
            let (mut new_users, mut changed) = (Vec::new(), Vec::new());
            let (mut here, mut signed_in) = (HashMap::new(), Vec::new());
            for (user, judged) in users.iter().zip(judged) {
                let id = match judged {
                    Err(why) => {
                        self.refuse(user, why);
                        continue;
                    }
                    Ok((Verdict::New(judged), _)) => {
                        let new_user = self.new_user(user, *judged, now).await?;
                        let id = new_user.id;
                        new_users.push(new_user);
                        id
                    }
                    Ok((Verdict::Changed(judged, id, password), _)) => {
                        changed.push((user, judged, id, password));
                        id
                    }
                    Ok((Verdict::Unchanged(id) | Verdict::Kept(id), _)) => id,
                };
                here.insert(user.id.clone(), id);
                signed_in.extend(user.found.last_login.map(|at| (id, at)));
            }
            if !people::insert(&mut tx, &self.hashing, &new_users, now).await? {
                continue;
            }
            people::update_last_logins(&mut tx, &signed_in).await?;
            self.keep_devices(&mut tx, users, &here).await?;
            tx.commit().await?;
            for (user, judged, id, password) in changed {
                self.change(user, *judged, id, password).await?;
            }
            return Ok(());
        }
        Err(ImportError::Refused("names were taken faster than people could come: try again".into()))
    }

    /// Refuses a user who was accepted when the check ran.
    fn refuse(&mut self, user: &OnPage, why: Vec<Why>) {
        if self.refused.insert(user.id.clone()) {
            self.report.refused.extend(why);
        }
    }

    async fn new_user(
        &self,
        user: &OnPage,
        judged: Judged,
        now: DateTime<Utc>,
    ) -> Result<LegacyUser, ImportError> {
        let (control, tenant) = (self.control, self.options.tenant.id);
        let id = UserId::new(unix_ms(now), random()?);
        Ok(LegacyUser {
            id,
            legacy_id: user.id.clone(),
            foreign: wrap_foreign(control, tenant, id, &user.found.password).await?,
            profile: judged.profile,
            status: judged.status,
            roles: judged.roles,
            created_at: user.found.date_joined,
            last_login: user.found.last_login,
            names: judged.names,
            digests: judged.digests,
        })
    }

    async fn keep_devices(
        &mut self,
        tx: &mut TenantTx,
        users: &[OnPage],
        here: &HashMap<String, UserId>,
    ) -> Result<(), ImportError> {
        let owners = users.iter().filter(|it| it.has_totp && here.contains_key(&it.id));
        let owners: Vec<String> = owners.map(|user| user.id.clone()).collect();
        if owners.is_empty() {
            return Ok(());
        }
        for device in self.staging.devices(&owners).await? {
            let Some(user) = here.get(&device.user) else { continue };
            let plain = serde_json::to_vec(&device).map_err(|_| Failure::Unreadable("second factor"))?;
            let plain = zeroize::Zeroizing::new(plain);
            let row = format!("{user}/{}", device.id);
            let tenant = self.options.tenant.id;
            let wrapped = self.control.rest.wrap(tenant, Column::LegacyTotp, &row, &plain).await?;
            people::keep_totp(tx, *user, &device.id, wrapped).await?;
        }
        Ok(())
    }

    /// Changes a user as the API does, and sets the new password hash of the legacy service.
    async fn change(
        &mut self,
        user: &OnPage,
        judged: Judged,
        id: UserId,
        password: bool,
    ) -> Result<(), ImportError> {
        let (control, tenant) = (self.control, self.options.tenant.id);
        let digests = judged.digests.clone();
        let mut tx = control.db.tenant_tx(tenant).await?;
        let outcome = async {
            users::change(control, &mut tx, &Actor::operator(), id, wanted(judged)).await?;
            if password {
                let foreign = wrap_foreign(control, tenant, id, &user.found.password).await?;
                people::change_password(control, &mut tx, id, foreign).await?;
            }
            let left_at = users::find(&mut tx, id).await?.updated_at;
            people::note_imports(&mut tx, &[(id, &digests)], left_at).await?;
            tx.commit().await.map_err(UserError::from)
        };
        let why = |column: &str, reason: String| Why { id: user.id.clone(), column: column.into(), reason };
        match outcome.await {
            Ok(()) => Ok(()),
            Err(UserError::Failure(failure)) => Err(failure.into()),
            Err(UserError::Fields(faults)) => {
                let whys = faults.0.into_iter().map(|(field, said)| why(field, said.join(" ")));
                self.refuse(user, whys.collect());
                Ok(())
            }
            Err(error @ (UserError::NotFound | UserError::Rank | UserError::LastRootAdmin)) => {
                self.refuse(user, vec![why("id", error.to_string())]);
                Ok(())
            }
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

/// What is counted of a user whatever becomes of them.
struct Facts {
    roles: Vec<String>,
    unmapped: Vec<String>,
    password: Result<String, &'static str>,
}

/// What is to be done about a user who holds by themselves.
fn decide(
    user: &OnPage,
    judged: Judged,
    known: Option<&Imported>,
    owners: &HashMap<String, UserId>,
) -> Result<(Verdict, Facts), Vec<Why>> {
    let why = |column: &str, reason: String| vec![Why { id: user.id.clone(), column: column.into(), reason }];
    if let Some((column, other, other_column)) = &user.collision {
        return Err(why(column, format!("is also the {other_column} of {other}: neither comes")));
    }
    let names = [("username", Some(&judged.names.username)), ("email", judged.names.email.as_ref())];
    for (column, hash) in names {
        let owner = hash.and_then(|hash| owners.get(hash));
        if let Some(owner) = owner.filter(|owner| known.is_none_or(|known| known.id != **owner)) {
            return Err(why(column, format!("belongs to the person {owner} here")));
        }
    }
    let facts = Facts {
        roles: judged.roles.clone(),
        unmapped: judged.unmapped.clone(),
        password: judged.password.clone(),
    };
    let verdict = match known {
        None => Verdict::New(Box::new(judged)),
        Some(Imported { id, digests: None, .. }) => {
            return Err(why("id", format!("was given to the person {id} here")));
        }
        Some(Imported { id, digests: Some(digests), .. }) if *digests == judged.digests => {
            Verdict::Unchanged(*id)
        }
        Some(Imported { id, changed_here: true, .. }) => Verdict::Kept(*id),
        Some(Imported { id, digests: Some(digests), .. }) => {
            let password = digests.password != judged.digests.password;
            Verdict::Changed(Box::new(judged), *id, password)
        }
    };
    Ok((verdict, facts))
}

fn wanted(judged: Judged) -> Change {
    Change {
        username: Some(judged.profile.username),
        email: Some(judged.profile.email),
        first_name: Some(judged.profile.first_name),
        last_name: Some(judged.profile.last_name),
        phone: Some(judged.profile.phone),
        status: Some(judged.status),
        roles: Some(judged.roles),
        password: None,
        email_verified: None,
    }
}

fn of_tenant(error: TenantError) -> ImportError {
    match error {
        TenantError::Failure(failure) => failure.into(),
        other => ImportError::Refused(other.to_string()),
    }
}

//! The users of an import are written, page by page, as they are judged then.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use shared::ids::UserId;

use super::ImportError;
use super::decide::Verdict;
use super::judge::Judged;
use super::report::Why;
use super::stage::OnPage;
use super::state::{Import, PAGE, bar};
use crate::audit::Actor;
use crate::crypt::sealed::TenantKeys;
use crate::db::TenantTx;
use crate::failure::Failure;
use crate::legacy::devices;
use crate::legacy::passwords::seal_foreign;
use crate::legacy::people::{self, LegacyUser};
use crate::users::{self, Change, UserError};
use crate::world::{random, unix_ms};

/// How often a page is begun again because a name was taken meanwhile.
const TRIES: usize = 5;

impl Import<'_> {
    pub async fn write_all(&mut self) -> Result<(), ImportError> {
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
                        let new_user = new_user(tx.keys(), user, *judged, now)?;
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
            if !people::insert(&mut tx, &new_users, now).await? {
                continue;
            }
            people::update_last_logins(&mut tx, &signed_in).await?;
            self.take_devices(&mut tx, users, &here).await?;
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

    /// Takes over the devices of users who are here now.
    async fn take_devices(
        &mut self,
        tx: &mut TenantTx,
        users: &[OnPage],
        here: &HashMap<String, UserId>,
    ) -> Result<(), ImportError> {
        let owners = users.iter().filter(|it| it.totp.is_some() && here.contains_key(&it.id));
        let owners: Vec<String> = owners.map(|user| user.id.clone()).collect();
        if owners.is_empty() {
            return Ok(());
        }
        let now = self.control.clock.now();
        for device in self.staging.devices(&owners).await? {
            if let Some(user) = here.get(&device.user) {
                devices::take(tx, *user, &device, now).await?;
            }
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
                let foreign = seal_foreign(tx.keys(), id, &user.found.password)?;
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
}

fn new_user(
    keys: &TenantKeys,
    user: &OnPage,
    judged: Judged,
    now: DateTime<Utc>,
) -> Result<LegacyUser, Failure> {
    let id = UserId::new(unix_ms(now), random()?);
    Ok(LegacyUser {
        id,
        legacy_id: user.id.clone(),
        foreign: seal_foreign(keys, id, &user.found.password)?,
        profile: judged.profile,
        status: judged.status,
        roles: judged.roles,
        created_at: user.found.date_joined,
        last_login: user.found.last_login,
        names: judged.names,
        digests: judged.digests,
    })
}

fn wanted(judged: Judged) -> Change {
    Change {
        username: Some(judged.profile.username),
        email: Some(judged.profile.email),
        first_name: Some(judged.profile.first_name),
        last_name: Some(judged.profile.last_name),
        phone: Some(judged.profile.phone),
        // A source without a column of languages takes none away.
        language: Some(judged.profile.language).filter(|tag| !tag.is_empty()),
        status: Some(judged.status),
        roles: Some(judged.roles),
        // A source has no branches.
        branch: None,
        password: None,
        must_change_password: None,
        email_verified: None,
        seen: None,
        untold: true,
    }
}

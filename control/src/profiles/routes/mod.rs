//! `/api/user/profile/` ([`own`]) and `/api/user/users/<id>/profile/` ([`users`]): both do the same, to a profile whose
//! user the path or the token names.

pub mod own;
pub mod users;

use axum::response::Response;
use shared::contract::permissions::Permission;
use shared::ids::{ProfileEntryId, UserId};

use super::input::{Given, Names};
use super::out::EntryOut;
use super::{ProfileError, ProfileOut, Section, may_write, store};
use crate::access::{Authenticated, outranked};
use crate::control::Control;
use crate::http::answer::{Refused, no_content};
use crate::http::list::Part;
use crate::http::validators::{Conditions, changed, made};
use crate::users::visibility::ShownProfile;
use crate::users::{self as accounts, Change, OwnChange, UserError};

/// A request about a profile.
struct Asked<'c> {
    control: &'c Control,
    by: Authenticated,
    /// Whose profile it is.
    user: UserId,
    /// The permission that a refusal names; none for the own profile.
    permission: Option<Permission>,
}

impl<'c> Asked<'c> {
    fn own(control: &'c Control, by: Authenticated) -> Self {
        let user = by.user.id;
        Self { control, by, user, permission: None }
    }

    fn of(
        control: &'c Control,
        by: Authenticated,
        user: &str,
        permission: Permission,
    ) -> Result<Self, UserError> {
        let user = UserId::parse(user).map_err(|_| UserError::NotFound)?;
        Ok(Self { control, by, user, permission: Some(permission) })
    }

    /// Ends the request with an error. A refusal by rank or by hidden fields is an entry of the audit log.
    async fn refuse(self, error: ProfileError) -> Refused {
        match (error, self.permission) {
            (ProfileError::Hidden | ProfileError::User(UserError::Rank), Some(permission)) => {
                let target = self.user.to_string();
                outranked(self.control, self.by.tx, &self.by.actor, &target, permission).await
            }
            (error, _) => error.into(),
        }
    }

    async fn whole(mut self, conditions: &Conditions) -> Result<Response, Refused> {
        match self.read().await {
            Ok(profile) => conditions.answer(&profile),
            Err(error) => Err(self.refuse(error).await),
        }
    }

    async fn read(&mut self) -> Result<ProfileOut, ProfileError> {
        let user = accounts::find(&mut self.by.tx, self.user).await?;
        ProfileOut::read(&mut self.by.tx, &self.by.viewer, &user).await
    }

    async fn rename(mut self, conditions: &Conditions, names: Names) -> Result<Response, Refused> {
        if conditions.demand_unchanged() {
            let locked = self.locked().await;
            match locked {
                Ok(profile) => conditions.check(&profile)?,
                Err(error) => return Err(self.refuse(error).await),
            }
        }
        match self.renamed(names).await {
            Ok(profile) => {
                self.by.tx.commit().await?;
                changed(&profile)
            }
            Err(error) => Err(self.refuse(error).await),
        }
    }

    /// The profile as it is shown, with the user's row locked.
    async fn locked(&mut self) -> Result<ProfileOut, ProfileError> {
        let by = &mut self.by;
        let user = may_write(self.control, &mut by.tx, &by.actor, self.user).await?;
        ProfileOut::read(&mut by.tx, &by.viewer, &user).await
    }

    async fn renamed(&mut self, names: Names) -> Result<ProfileOut, ProfileError> {
        let Names { first_name, last_name, phone, language } = names;
        let change = OwnChange { first_name, last_name, phone, language };
        let Authenticated { tx, actor, viewer, .. } = &mut self.by;
        let user = if actor.is(self.user) {
            accounts::change_own(self.control, tx, actor, self.user, change).await?
        } else {
            let change = Change { seen: Some(viewer.visibilities_of(self.user)), ..change.into() };
            accounts::change(self.control, tx, actor, self.user, change).await?
        };
        ProfileOut::read(tx, viewer, &user).await
    }

    async fn list(mut self, section: &str, part: &Part<()>) -> Result<Response, Refused> {
        match self.entries(section).await {
            Ok(entries) => part.of_all(entries),
            Err(error) => Err(self.refuse(error).await),
        }
    }

    async fn entries(&mut self, section: &str) -> Result<Vec<EntryOut>, ProfileError> {
        let section = Section::parse(section)?;
        let shown = self.shown().await?;
        let entries = store::section(&mut self.by.tx, self.user, section).await?;
        Ok(entries.into_iter().map(|entry| EntryOut::of(entry, &shown)).collect())
    }

    async fn entry(mut self, place: (&str, &str), conditions: &Conditions) -> Result<Response, Refused> {
        match self.found(place).await {
            Ok(entry) => conditions.answer(&entry),
            Err(error) => Err(self.refuse(error).await),
        }
    }

    async fn found(&mut self, place: (&str, &str)) -> Result<EntryOut, ProfileError> {
        let (section, id) = parse(place)?;
        let shown = self.shown().await?;
        Ok(EntryOut::of(store::find(&mut self.by.tx, self.user, section, id).await?, &shown))
    }

    async fn create(mut self, section: &str, given: Given) -> Result<Response, Refused> {
        match self.created(section, given).await {
            Ok(entry) => {
                self.by.tx.commit().await?;
                made(&entry)
            }
            Err(error) => Err(self.refuse(error).await),
        }
    }

    async fn created(&mut self, section: &str, given: Given) -> Result<EntryOut, ProfileError> {
        let section = Section::parse(section)?;
        let shown = self.shown().await?;
        let Authenticated { tx, actor, .. } = &mut self.by;
        let entry = super::create(self.control, tx, actor, (self.user, section), given).await?;
        Ok(EntryOut::of(entry, &shown))
    }

    async fn edit(
        mut self,
        place: (&str, &str),
        conditions: &Conditions,
        given: Given,
    ) -> Result<Response, Refused> {
        self = self.unchanged(place, conditions).await?;
        match self.edited(place, given).await {
            Ok(entry) => {
                self.by.tx.commit().await?;
                changed(&entry)
            }
            Err(error) => Err(self.refuse(error).await),
        }
    }

    async fn edited(&mut self, place: (&str, &str), given: Given) -> Result<EntryOut, ProfileError> {
        let (section, id) = parse(place)?;
        let shown = self.shown().await?;
        let Authenticated { tx, actor, .. } = &mut self.by;
        let entry = super::edit(self.control, tx, actor, (self.user, section, id), given).await?;
        Ok(EntryOut::of(entry, &shown))
    }

    async fn delete(mut self, place: (&str, &str), conditions: &Conditions) -> Result<Response, Refused> {
        self = self.unchanged(place, conditions).await?;
        match self.deleted(place).await {
            Ok(()) => {
                self.by.tx.commit().await?;
                Ok(no_content())
            }
            Err(error) => Err(self.refuse(error).await),
        }
    }

    async fn deleted(&mut self, place: (&str, &str)) -> Result<(), ProfileError> {
        let (section, id) = parse(place)?;
        self.shown().await?;
        let Authenticated { tx, actor, .. } = &mut self.by;
        super::delete(self.control, tx, actor, (self.user, section, id)).await
    }

    /// With `If-Match`: locks the row of the user; 412 if the entry changed since it was read.
    async fn unchanged(mut self, place: (&str, &str), conditions: &Conditions) -> Result<Self, Refused> {
        if !conditions.demand_unchanged() {
            return Ok(self);
        }
        let locked = may_write(self.control, &mut self.by.tx, &self.by.actor, self.user).await;
        let found = match locked {
            Ok(_) => self.found(place).await,
            Err(error) => Err(error),
        };
        match found {
            Ok(entry) => conditions.check(&entry).map(|()| self),
            Err(error) => Err(self.refuse(error).await),
        }
    }

    /// Checks that the caller is shown the entries, for writes, too, because their answers show an entry: 404 for an
    /// unknown user, 403 if the caller's roles hide profiles.
    async fn shown(&mut self) -> Result<ShownProfile, ProfileError> {
        if !self.by.actor.is(self.user) {
            accounts::find(&mut self.by.tx, self.user).await?;
        }
        self.by.viewer.profile_of(self.user).ok_or(ProfileError::Hidden)
    }
}

fn parse((section, id): (&str, &str)) -> Result<(Section, ProfileEntryId), ProfileError> {
    let section = Section::parse(section)?;
    Ok((section, ProfileEntryId::parse(id).map_err(|_| ProfileError::NotFound)?))
}

//! What a user changes of their own account without a proof: names, telephone number, language. Password, address and
//! second factor have routes of their own, which ask for one.

use shared::ids::UserId;

use super::change::profile_after;
use super::fields::Faults;
use super::model::{Change, User, UserError};
use super::{ranks, store};
use crate::audit::{self, Action, Actor};
use crate::control::Control;
use crate::db::TenantTx;

/// The fields of a change of the own account; absent ones stay.
#[derive(Default)]
pub struct OwnChange {
    /// First name.
    pub first_name: Option<String>,
    /// Last name.
    pub last_name: Option<String>,
    /// Telephone number.
    pub phone: Option<String>,
    /// Language; empty for the tenant's.
    pub language: Option<String>,
}

impl OwnChange {
    /// The names of the fields that are given.
    fn names(&self) -> Vec<&'static str> {
        let given = [
            ("first_name", self.first_name.is_some()),
            ("last_name", self.last_name.is_some()),
            ("phone", self.phone.is_some()),
            ("language", self.language.is_some()),
        ];
        given.into_iter().filter_map(|(name, given)| given.then_some(name)).collect()
    }
}

impl From<OwnChange> for Change {
    fn from(own: OwnChange) -> Self {
        let OwnChange { first_name, last_name, phone, language } = own;
        Self { first_name, last_name, phone, language, ..Self::default() }
    }
}

/// Changes the actor's own account, whose id is `id`. Rank, permissions and sessions stay as they are.
///
/// # Errors
/// [`UserError::Fields`] for what does not hold; [`UserError::Rank`] if the actor may act no more; errors of the database.
pub async fn change_own(
    control: &Control,
    tx: &mut TenantTx,
    actor: &Actor,
    id: UserId,
    own: OwnChange,
) -> Result<User, UserError> {
    let before = store::lock(tx, id).await?;
    ranks::still_stands(control, tx, actor).await?;
    let fields = own.names();
    if fields.is_empty() {
        return Ok(before);
    }
    let profile = profile_after(&before, &own.into());
    let mut faults = Faults::default();
    profile.check(&mut faults);
    if !faults.is_empty() {
        return Err(UserError::Fields(faults));
    }
    let at = control.clock.now();
    store::update_own(tx, id, &profile, at).await?;
    let details = serde_json::json!({ "fields": fields });
    audit::record(tx, actor, at, Action::UserEdited, Some(id.to_string()), details);
    store::find(tx, id).await
}

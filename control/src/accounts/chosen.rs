//! A password that a user chose for their own account.

use shared::passwords::Verifier;
use shared::tenant::settings::Settings;

use crate::control::Control;
use crate::failure::Failure;
use crate::passwords::{Hashed, Policy};
use crate::users::{Faults, Profile, checked_password};

/// Its verifier, if the tenant's rules let the owner of this profile have it; what is wrong is added to `faults`. Nothing
/// that is stored of users is looked at.
///
/// # Errors
/// As [`Policy::of`].
pub(super) fn verifier<'h>(
    control: &Control,
    settings: &Settings,
    hashed: &'h Hashed,
    profile: &Profile,
    faults: &mut Faults,
) -> Result<Option<&'h Verifier>, Failure> {
    let policy = Policy::of(control, settings)?;
    Ok(checked_password(hashed.check(&policy, profile.names()), faults))
}

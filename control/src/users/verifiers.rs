//! Password verifiers as they rest in the rows of users.

use shared::ids::UserId;
use shared::passwords::Verifier;
use zeroize::Zeroizing;

use crate::crypt::sealed::{Column, TenantKeys};
use crate::failure::Failure;

/// Seals a verifier for the row of its user.
///
/// # Errors
/// As [`TenantKeys::seal`].
pub fn seal(keys: &TenantKeys, user: UserId, verifier: &Verifier) -> Result<Vec<u8>, Failure> {
    keys.seal(Column::Verifier, &user.to_string(), verifier.to_phc().as_bytes())
}

/// Opens the verifier of a user's row.
///
/// # Errors
/// As [`TenantKeys::open`]; what is no verifier of ours.
pub fn read(keys: &TenantKeys, user: UserId, stored: &[u8]) -> Result<Verifier, Failure> {
    let phc = open(keys, user, stored)?;
    let phc = std::str::from_utf8(&phc).map_err(|_| Failure::Unreadable("verifier"))?;
    Verifier::parse(phc).map_err(|_| Failure::Unreadable("verifier"))
}

/// Opens the verifier of a user's row, as PHC text.
///
/// # Errors
/// As [`TenantKeys::open`].
pub fn open(keys: &TenantKeys, user: UserId, stored: &[u8]) -> Result<Zeroizing<Vec<u8>>, Failure> {
    keys.open(Column::Verifier, &user.to_string(), stored)
}

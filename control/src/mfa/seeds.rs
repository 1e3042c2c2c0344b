//! Encryption at rest of authenticator seeds and recovery-code keys. The associated data includes the user: a seed
//! that was copied to another user's row does not decrypt.

use shared::derive::Secret;
use shared::ids::{AuthenticatorId, UserId};
use shared::second_factor::totp::Seed;

use crate::crypt::sealed::{Column, TenantKeys};
use crate::failure::Failure;

fn row(user: UserId, id: AuthenticatorId) -> String {
    format!("{user}/{id}")
}

/// Seals the seed of an authenticator.
///
/// # Errors
/// As [`TenantKeys::seal`].
pub(super) fn seal(
    keys: &TenantKeys,
    user: UserId,
    id: AuthenticatorId,
    seed: &Seed,
) -> Result<Vec<u8>, Failure> {
    keys.seal(Column::TotpSeed, &row(user, id), seed.expose())
}

/// Opens the seed of an authenticator.
///
/// # Errors
/// As [`TenantKeys::open`]; what is no seed.
pub(super) fn open(
    keys: &TenantKeys,
    user: UserId,
    id: AuthenticatorId,
    stored: &[u8],
) -> Result<Seed, Failure> {
    let bytes = keys.open(Column::TotpSeed, &row(user, id), stored)?;
    Seed::from_slice(&bytes).map_err(|_| Failure::Unreadable(Column::TotpSeed.label()))
}

/// Seals the key of a user's recovery codes.
///
/// # Errors
/// As [`TenantKeys::seal`].
pub(super) fn seal_recovery_key(keys: &TenantKeys, user: UserId, key: &Secret) -> Result<Vec<u8>, Failure> {
    keys.seal(Column::RecoveryKey, &user.to_string(), key.expose())
}

/// Opens the key of a user's recovery codes.
///
/// # Errors
/// As [`TenantKeys::open`]; what is no key.
pub(super) fn open_recovery_key(keys: &TenantKeys, user: UserId, stored: &[u8]) -> Result<Secret, Failure> {
    let bytes = keys.open(Column::RecoveryKey, &user.to_string(), stored)?;
    Secret::from_slice(&bytes).ok_or(Failure::Unreadable(Column::RecoveryKey.label()))
}

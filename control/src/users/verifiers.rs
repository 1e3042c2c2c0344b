//! Password verifiers as they rest in the rows of users.

use shared::ids::{TenantId, UserId};
use shared::passwords::Verifier;
use zeroize::Zeroizing;

use crate::crypt::sealed::{Column, Sealer};
use crate::failure::Failure;

/// Wraps a verifier for the row of its user.
///
/// # Errors
/// As [`Sealer::wrap`].
pub async fn wrap(
    sealer: &Sealer,
    tenant: TenantId,
    user: UserId,
    verifier: &Verifier,
) -> Result<Vec<u8>, Failure> {
    sealer.wrap(tenant, Column::Verifier, &user.to_string(), verifier.to_phc().as_bytes()).await
}

/// Opens the verifier of a user's row, as PHC text.
///
/// # Errors
/// As [`Sealer::open`].
pub async fn open(
    sealer: &Sealer,
    tenant: TenantId,
    user: UserId,
    stored: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Failure> {
    sealer.open(tenant, Column::Verifier, &user.to_string(), stored).await
}

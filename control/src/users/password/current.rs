//! The password that a user has now, in whatever form it is stored.

use foreign::Hash;
use shared::ids::{TenantId, UserId};
use shared::passwords::{Password, Verifier};
use zeroize::Zeroizing;

use crate::control::Control;
use crate::db::TenantTx;
use crate::failure::Failure;
use crate::legacy::passwords::open_hash;
use crate::users::verifiers;

/// The stored verifier of a password, decrypted.
pub(super) enum Current {
    /// A verifier of our own.
    Own(Verifier),
    /// A hash of the service that the tenant came from.
    Foreign(Hash),
    /// Nothing: no password is right.
    None,
}

/// Reads what is stored of the password of a user.
///
/// # Errors
/// Errors of the database, or a value that cannot be decrypted.
pub(super) async fn read(tx: &mut TenantTx, user: UserId) -> Result<Current, Failure> {
    let tenant = tx.tenant();
    let row = sqlx::query!(
        "select wrapped_verifier, foreign_hash from users where tenant_id = $1 and id = $2",
        tenant.uuid(),
        user.uuid(),
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(match row.map(|row| (row.wrapped_verifier, row.foreign_hash)) {
        Some((Some(wrapped), _)) => Current::Own(verifiers::read(tx.keys(), user, &wrapped)?),
        Some((None, Some(wrapped))) => Current::Foreign(open_hash(tx.keys(), user, &wrapped)?),
        Some((None, None)) | None => Current::None,
    })
}

impl Current {
    /// Whether `typed` is the password, within the tenant's share of hashes.
    ///
    /// # Errors
    /// [`Failure::Busy`].
    pub(super) async fn is(&self, control: &Control, tenant: TenantId, typed: &str) -> Result<bool, Failure> {
        let Ok(password) = Password::parse(typed) else { return Ok(false) };
        match self {
            Self::Own(verifier) => control.hasher.verify(tenant, password, verifier.clone()).await,
            Self::Foreign(hash) => {
                // As typed: another service hashed it, which did not normalise.
                let (typed, cost) = (Zeroizing::new(typed.to_owned()), vec![hash.params()]);
                control.foreign.check(tenant, typed, Some(hash.clone()), foreign::dearest(cost)).await
            }
            Self::None => Ok(false),
        }
    }
}

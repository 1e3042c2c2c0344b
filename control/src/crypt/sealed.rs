//! Secrets at rest in PostgreSQL: wrapped by a key-encryption key of the [`provider`](super::provider).
//!
//! The associated data names key, tenant, column and row, so a value copied to another row does not open.
//! The key's id stands in front, so that a second key can be brought in while serving. What goes to the
//! edge is opened by the store of its slice and sealed anew by `shared::wire::seal`.

use std::sync::Arc;

use shared::fields;
use shared::ids::TenantId;
use zeroize::Zeroizing;

use super::provider::{KeyProvider as _, ProviderError};
use super::providers::Providers;
use crate::failure::Failure;

/// Which secret a stored value is; part of what it is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// A signing key as PKCS#8; row: its key id.
    SigningKey,
    /// A root; row: kind and version.
    Root,
    /// A password verifier; row: the user's id.
    Verifier,
    /// A password's hash as another service made it; row: the user's id.
    ForeignHash,
    /// A user of another service on the way here; row: their id there.
    Staged,
    /// A second factor of another service; row: the user's id and the device's there.
    LegacyTotp,
    /// The first administrator of a tenant that has no cell yet; row: empty.
    FirstAdmin,
}

impl Column {
    fn label(self) -> &'static str {
        match self {
            Self::SigningKey => "signing_keys.wrapped_private",
            Self::Root => "roots.wrapped",
            Self::Verifier => "users.wrapped_verifier",
            Self::ForeignHash => "users.foreign_hash",
            Self::Staged => "staged_users.wrapped",
            Self::LegacyTotp => "legacy_totp.wrapped",
            Self::FirstAdmin => "first_admins.wrapped",
        }
    }
}

/// Wraps and opens the stored values of columns. Cheap to clone; no `Debug`.
///
/// The futures of providers are boxed here: the SDK of a key service nests them deep, and every handler holds one.
#[derive(Clone)]
pub struct Sealer(Arc<Providers>);

/// A stored value: the length of the key id in one byte, the key id, and what the provider returned.
struct Envelope<'a> {
    key_id: &'a str,
    wrapped: &'a [u8],
}

impl Sealer {
    /// Wraps under the keys of these providers.
    #[must_use]
    pub fn new(providers: impl Into<Providers>) -> Self {
        Self(Arc::new(providers.into()))
    }

    /// Wraps `plaintext` for one place.
    ///
    /// # Errors
    /// [`Failure::KeyProvider`] where the provider is out of service, or if it fails.
    pub async fn wrap(
        &self,
        tenant: TenantId,
        column: Column,
        row: &str,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, Failure> {
        let key_id = self.0.current();
        let data = associated_data(key_id, tenant, column, row);
        let wrapped = Box::pin(self.0.wrap(key_id, &data, plaintext)).await;
        let wrapped = wrapped.map_err(|error| match error {
            ProviderError::Unavailable(outage) => Failure::KeyProvider(outage),
            ProviderError::UnknownKey | ProviderError::Refused | ProviderError::Failed => {
                Failure::Crypto("wrapping")
            }
        })?;
        Envelope { key_id, wrapped: &wrapped }.encode().ok_or(Failure::Crypto("wrapping"))
    }

    /// Opens what [`Sealer::wrap`] made for the same place.
    ///
    /// # Errors
    /// [`Failure::Unreadable`] for another key, another place and altered bytes alike; [`Failure::KeyProvider`]
    /// where the provider is out of service.
    pub async fn open(
        &self,
        tenant: TenantId,
        column: Column,
        row: &str,
        stored: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let unreadable = || Failure::Unreadable(column.label());
        let Envelope { key_id, wrapped } = Envelope::parse(stored).ok_or_else(unreadable)?;
        let data = associated_data(key_id, tenant, column, row);
        let opened = Box::pin(self.0.unwrap(key_id, &data, wrapped)).await;
        opened.map_err(|error| match error {
            ProviderError::UnknownKey | ProviderError::Refused => unreadable(),
            ProviderError::Unavailable(outage) => Failure::KeyProvider(outage),
            ProviderError::Failed => Failure::Crypto("unwrapping"),
        })
    }
}

impl<'a> Envelope<'a> {
    /// `None` for a key id that is too long.
    fn encode(&self) -> Option<Vec<u8>> {
        let length = u8::try_from(self.key_id.len()).ok()?;
        Some([&[length], self.key_id.as_bytes(), self.wrapped].concat())
    }

    fn parse(stored: &'a [u8]) -> Option<Self> {
        let (&length, rest) = stored.split_first()?;
        let (key_id, wrapped) = rest.split_at_checked(usize::from(length))?;
        Some(Self { key_id: std::str::from_utf8(key_id).ok()?, wrapped })
    }
}

fn associated_data(key_id: &str, tenant: TenantId, column: Column, row: &str) -> Vec<u8> {
    let list: [&[u8]; 4] = [key_id.as_bytes(), tenant.as_bytes(), column.label().as_bytes(), row.as_bytes()];
    fields::encode("rest/v1", &list)
}

#[cfg(test)]
mod tests {
    use shared::derive::Secret;

    use super::*;
    use crate::crypt::provider::LocalKeys;
    use crate::settings::KeyedSecret;

    fn sealer(id: &str, byte: u8) -> Sealer {
        let key = KeyedSecret { id: id.to_owned(), secret: Secret::new([byte; 32]) };
        Sealer::new(LocalKeys::new(&key))
    }

    #[tokio::test]
    async fn a_value_opens_in_its_own_place_alone() {
        let (tenant, other) = (TenantId::new(1, [1; 10]), TenantId::new(1, [2; 10]));
        let stored = sealer("k1", 1).wrap(tenant, Column::Verifier, "ada", b"secret").await.unwrap();
        for (sealer, tenant, column, row, opens) in [
            (sealer("k1", 1), tenant, Column::Verifier, "ada", true),
            (sealer("k1", 1), tenant, Column::Verifier, "bob", false),
            (sealer("k1", 1), other, Column::Verifier, "ada", false),
            (sealer("k1", 1), tenant, Column::Root, "ada", false),
            (sealer("k1", 2), tenant, Column::Verifier, "ada", false),
            (sealer("k2", 1), tenant, Column::Verifier, "ada", false),
        ] {
            let opened = sealer.open(tenant, column, row, &stored).await.ok();
            assert_eq!(opened.map(|bytes| bytes.to_vec()), opens.then(|| b"secret".to_vec()));
        }
    }

    #[tokio::test]
    async fn cut_values_are_refused_without_a_panic() {
        let tenant = TenantId::new(1, [1; 10]);
        let stored = sealer("k1", 1).wrap(tenant, Column::Root, "x", b"secret").await.unwrap();
        for length in 0..stored.len() {
            assert!(sealer("k1", 1).open(tenant, Column::Root, "x", &stored[..length]).await.is_err());
        }
    }
}

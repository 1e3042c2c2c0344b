//! Data keys of tenants at rest: wrapped by a key-encryption key of the [`provider`](super::provider).
//!
//! The id of the key-encryption key is prepended, so that it can be replaced while serving. The associated data also
//! has it, with the tenant and the version, so that a wrapped key that was copied to another tenant cannot be
//! unwrapped.

use std::sync::Arc;

use shared::derive::Secret;
use shared::fields;
use shared::ids::TenantId;

use super::provider::{KeyProvider as _, ProviderError};
use super::providers::Providers;
use crate::failure::Failure;

/// The name of a stored key in errors.
const WHAT: &str = "tenant_keys.wrapped";

/// Wraps and unwraps the data keys of tenants. Cheap to clone; no `Debug`.
///
/// The futures of providers are boxed here: the SDK of a key service nests them deep, and every handler holds one.
#[derive(Clone)]
pub struct KeyWrapper(Arc<Providers>);

/// A stored key: the length of the key-encryption key's id in one byte, the id, and what the provider returned.
struct Envelope<'a> {
    key_id: &'a str,
    wrapped: &'a [u8],
}

impl KeyWrapper {
    /// Wraps under the keys of these providers.
    #[must_use]
    pub fn new(providers: impl Into<Providers>) -> Self {
        Self(Arc::new(providers.into()))
    }

    /// Wraps a version of a tenant's key.
    ///
    /// # Errors
    /// [`Failure::KeyProvider`] where the provider is out of service, or if it fails.
    pub async fn wrap(&self, tenant: TenantId, version: u32, key: &Secret) -> Result<Vec<u8>, Failure> {
        let key_id = self.0.current();
        let data = associated_data(key_id, tenant, version);
        let wrapped = Box::pin(self.0.wrap(key_id, &data, key.expose())).await;
        let wrapped = wrapped.map_err(|error| match error {
            ProviderError::Unavailable(outage) => Failure::KeyProvider(outage),
            ProviderError::UnknownKey | ProviderError::Refused | ProviderError::Failed => {
                Failure::Crypto("wrapping")
            }
        })?;
        Envelope { key_id, wrapped: &wrapped }.encode().ok_or(Failure::Crypto("wrapping"))
    }

    /// Unwraps a result of [`KeyWrapper::wrap`] for the same tenant and version.
    ///
    /// # Errors
    /// [`Failure::Unreadable`] for a key-encryption key that the settings do not name, another place and altered bytes
    /// alike; [`Failure::KeyProvider`] where the provider is out of service.
    pub async fn unwrap(&self, tenant: TenantId, version: u32, stored: &[u8]) -> Result<Secret, Failure> {
        let unreadable = || Failure::Unreadable(WHAT);
        let Envelope { key_id, wrapped } = Envelope::parse(stored).ok_or_else(unreadable)?;
        let data = associated_data(key_id, tenant, version);
        let key = Box::pin(self.0.unwrap(key_id, &data, wrapped)).await;
        let key = key.map_err(|error| match error {
            ProviderError::UnknownKey | ProviderError::Refused => unreadable(),
            ProviderError::Unavailable(outage) => Failure::KeyProvider(outage),
            ProviderError::Failed => Failure::Crypto("unwrapping"),
        })?;
        Secret::from_slice(&key).ok_or_else(unreadable)
    }

    /// The id of the key-encryption key that wraps now.
    #[must_use]
    pub fn current(&self) -> &str {
        self.0.current()
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

fn associated_data(key_id: &str, tenant: TenantId, version: u32) -> Vec<u8> {
    fields::encode("tenant-key/v1", &[key_id.as_bytes(), tenant.as_bytes(), &version.to_be_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypt::provider::LocalKeys;
    use crate::settings::KeyedSecret;

    fn wrapper(id: &str, byte: u8) -> KeyWrapper {
        let key = KeyedSecret { id: id.to_owned(), secret: Secret::new([byte; 32]) };
        KeyWrapper::new(LocalKeys::new(&key))
    }

    #[tokio::test]
    async fn a_key_unwraps_in_its_own_place_alone() {
        let (tenant, other) = (TenantId::new(1, [1; 10]), TenantId::new(1, [2; 10]));
        let stored = wrapper("k1", 1).wrap(tenant, 1, &Secret::new([7; 32])).await.unwrap();
        for (wrapper, tenant, version, opens) in [
            (wrapper("k1", 1), tenant, 1, true),
            (wrapper("k1", 1), tenant, 2, false),
            (wrapper("k1", 1), other, 1, false),
            (wrapper("k1", 2), tenant, 1, false),
            (wrapper("k2", 1), tenant, 1, false),
        ] {
            let key = wrapper.unwrap(tenant, version, &stored).await.ok();
            assert_eq!(key.map(|key| *key.expose()), opens.then_some([7; 32]));
        }
    }

    #[tokio::test]
    async fn a_cut_key_is_refused_without_a_panic() {
        let tenant = TenantId::new(1, [1; 10]);
        let stored = wrapper("k1", 1).wrap(tenant, 1, &Secret::new([7; 32])).await.unwrap();
        for length in 0..stored.len() {
            assert!(wrapper("k1", 1).unwrap(tenant, 1, &stored[..length]).await.is_err());
        }
    }
}

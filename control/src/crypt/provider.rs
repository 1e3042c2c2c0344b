//! Providers of control's key-encryption keys: a port, because the operator chooses the provider.
//!
//! A provider wraps short secrets under keys that never leave it and that it knows by their ids. The local
//! one has its keys from the settings, `crypt/kms.rs` calls a service, `crypt/providers.rs` chooses. Calls may
//! cross a network, so they are asynchronous, and they belong outside of transactions where that is possible.

use shared::derive::Secret;
use zeroize::Zeroizing;

use super::aead;
use crate::failure::KeyOutage;
use crate::settings::KeyedSecret;

/// Why a provider did not wrap or unwrap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// It has no key of this id.
    #[error("there is no key-encryption key of this id")]
    UnknownKey,
    /// The value was wrapped under another key or other associated data, or it was altered.
    #[error("the value does not unwrap")]
    Refused,
    /// It does not do its work now, whatever the value is.
    #[error("the key provider is out of service")]
    Unavailable(#[from] KeyOutage),
    /// It could not do its work.
    #[error("the key provider failed")]
    Failed,
}

/// Bytes that a provider has opened.
pub type Opened = Zeroizing<Vec<u8>>;

/// Keys that wrap other secrets.
pub trait KeyProvider: Send + Sync {
    /// The id of the key that wraps from now on: at most 255 bytes.
    fn current(&self) -> &str;

    /// Wraps `plaintext`, at most 4,096 bytes, under the current key, bound to `data`. The result has a form of
    /// the provider's own, with a nonce of its choice in it.
    fn wrap(
        &self,
        key_id: &str,
        data: &[u8],
        plaintext: &[u8],
    ) -> impl Future<Output = Result<Vec<u8>, ProviderError>> + Send;

    /// Opens what [`KeyProvider::wrap`] returned for the same key and data.
    fn unwrap(
        &self,
        key_id: &str,
        data: &[u8],
        wrapped: &[u8],
    ) -> impl Future<Output = Result<Opened, ProviderError>> + Send;
}

/// The keys of the settings: AES-256-GCM in this process. No `Debug`.
pub struct LocalKeys {
    current: KeyedSecret,
    former: Option<KeyedSecret>,
}

impl LocalKeys {
    /// Takes the key that wraps from now on.
    #[must_use]
    pub fn new(key: &KeyedSecret) -> Self {
        Self { current: key.clone(), former: None }
    }

    /// Takes a key that opens what it wrapped before, and wraps nothing.
    #[must_use]
    pub fn opening(self, former: Option<&KeyedSecret>) -> Self {
        Self { former: former.cloned(), ..self }
    }

    fn key(&self, key_id: &str) -> Result<&Secret, ProviderError> {
        let mut keys = [Some(&self.current), self.former.as_ref()].into_iter().flatten();
        keys.find(|key| key.id == key_id).map(|key| &key.secret).ok_or(ProviderError::UnknownKey)
    }
}

impl KeyProvider for LocalKeys {
    fn current(&self) -> &str {
        &self.current.id
    }

    async fn wrap(&self, key_id: &str, data: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, ProviderError> {
        if key_id != self.current.id {
            return Err(ProviderError::UnknownKey);
        }
        aead::seal(&self.current.secret, data, plaintext).map_err(|_| ProviderError::Failed)
    }

    async fn unwrap(&self, key_id: &str, data: &[u8], wrapped: &[u8]) -> Result<Opened, ProviderError> {
        let opened = aead::open(self.key(key_id)?, data, wrapped).map_err(|_| ProviderError::Failed)?;
        opened.ok_or(ProviderError::Refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str, byte: u8) -> KeyedSecret {
        KeyedSecret { id: id.to_owned(), secret: Secret::new([byte; 32]) }
    }

    fn keys(id: &str, byte: u8) -> LocalKeys {
        LocalKeys::new(&key(id, byte))
    }

    #[tokio::test]
    async fn a_value_unwraps_under_its_key_and_data_alone() {
        let wrapped = keys("k1", 1).wrap("k1", b"place", b"secret").await.unwrap();
        let unwrap = |keys: LocalKeys, id: &'static str, data: &'static [u8]| {
            let wrapped = wrapped.clone();
            async move { keys.unwrap(id, data, &wrapped).await.map(|bytes| bytes.to_vec()) }
        };
        assert_eq!(unwrap(keys("k1", 1), "k1", b"place").await, Ok(b"secret".to_vec()));
        assert_eq!(unwrap(keys("k1", 1), "k1", b"other").await, Err(ProviderError::Refused));
        assert_eq!(unwrap(keys("k1", 2), "k1", b"place").await, Err(ProviderError::Refused));
        assert_eq!(unwrap(keys("k1", 1), "k2", b"place").await, Err(ProviderError::UnknownKey));
        assert_eq!(keys("k1", 1).wrap("k2", b"", b"").await, Err(ProviderError::UnknownKey));
    }

    #[tokio::test]
    async fn a_new_key_wraps_while_the_former_one_still_opens() {
        let before = keys("k1", 1).wrap("k1", b"place", b"secret").await.unwrap();
        let both = LocalKeys::new(&key("k2", 2)).opening(Some(&key("k1", 1)));
        assert_eq!(both.current(), "k2");
        assert_eq!(both.wrap("k1", b"place", b"secret").await, Err(ProviderError::UnknownKey));
        let after = both.wrap("k2", b"place", b"secret").await.unwrap();
        for (id, wrapped) in [("k1", &before), ("k2", &after)] {
            assert_eq!(both.unwrap(id, b"place", wrapped).await.unwrap().to_vec(), b"secret", "{id}");
        }
        assert_eq!(both.unwrap("k2", b"place", &before).await.err(), Some(ProviderError::Refused));
        assert_eq!(
            keys("k2", 2).unwrap("k1", b"place", &before).await.err(),
            Some(ProviderError::UnknownKey)
        );
    }

    #[tokio::test]
    async fn no_two_wraps_are_alike() {
        let keys = keys("k1", 1);
        assert_ne!(keys.wrap("k1", b"", b"secret").await, keys.wrap("k1", b"", b"secret").await);
    }
}

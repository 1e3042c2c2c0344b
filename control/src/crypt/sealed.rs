//! Secrets at rest in PostgreSQL: AES-256-GCM under control's key-encryption key.
//!
//! The associated data names tenant, column and row, so a value copied to another row does not
//! open. The key's id stands in front, so that a second key can be brought in while serving.
//! What goes to the edge is opened here and sealed anew by `shared::seal`.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use shared::derive::Secret;
use shared::fields;
use shared::ids::TenantId;
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::settings::KeyedSecret;
use crate::world::random;

const NONCE_BYTES: usize = 12;

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
    ImportedTotp,
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
            Self::Staged => "staged_people.wrapped",
            Self::ImportedTotp => "imported_totp.wrapped",
            Self::FirstAdmin => "first_admins.wrapped",
        }
    }
}

/// Control's key-encryption key. No `Debug`.
#[derive(Clone)]
pub struct Sealer {
    id: String,
    secret: Secret,
}

impl Sealer {
    /// Takes the key of the settings.
    #[must_use]
    pub fn new(key: &KeyedSecret) -> Self {
        Self { id: key.id.clone(), secret: key.secret.clone() }
    }

    /// Wraps `plaintext` for one place: length of the key id, key id, nonce, ciphertext and tag.
    ///
    /// # Errors
    /// Without randomness.
    pub fn wrap(
        &self,
        tenant: TenantId,
        column: Column,
        row: &str,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, Failure> {
        let nonce: [u8; NONCE_BYTES] = random()?;
        let mut sealed = plaintext.to_vec();
        self.cipher()?
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                self.aad(tenant, column, row),
                &mut sealed,
            )
            .map_err(|_| Failure::Crypto("wrapping"))?;
        let id_length = u8::try_from(self.id.len()).map_err(|_| Failure::Crypto("wrapping"))?;
        Ok([&[id_length], self.id.as_bytes(), &nonce, &sealed].concat())
    }

    /// Opens what [`Sealer::wrap`] made for the same place.
    ///
    /// # Errors
    /// Another key, another place, altered bytes: all the same.
    pub fn open(
        &self,
        tenant: TenantId,
        column: Column,
        row: &str,
        wrapped: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let unreadable = || Failure::Unreadable(column.label());
        let (nonce, sealed) = self.parts(wrapped).ok_or_else(unreadable)?;
        let mut bytes = Zeroizing::new(sealed.to_vec());
        let opened = self
            .cipher()?
            .open_in_place(Nonce::assume_unique_for_key(nonce), self.aad(tenant, column, row), &mut bytes)
            .map_err(|_| unreadable())?
            .len();
        bytes.truncate(opened);
        Ok(bytes)
    }

    fn parts<'a>(&self, wrapped: &'a [u8]) -> Option<([u8; NONCE_BYTES], &'a [u8])> {
        let (&id_length, rest) = wrapped.split_first()?;
        let (id, rest) = rest.split_at_checked(usize::from(id_length))?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>()?;
        (id == self.id.as_bytes()).then_some((*nonce, sealed))
    }

    fn cipher(&self) -> Result<LessSafeKey, Failure> {
        let key =
            UnboundKey::new(&AES_256_GCM, self.secret.expose()).map_err(|_| Failure::Crypto("wrapping"))?;
        Ok(LessSafeKey::new(key))
    }

    fn aad(&self, tenant: TenantId, column: Column, row: &str) -> Aad<Vec<u8>> {
        let list: [&[u8]; 4] =
            [self.id.as_bytes(), tenant.as_bytes(), column.label().as_bytes(), row.as_bytes()];
        Aad::from(fields::encode("rest/v1", &list))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str, byte: u8) -> Sealer {
        Sealer { id: id.to_owned(), secret: Secret::new([byte; 32]) }
    }

    #[test]
    fn a_value_opens_in_its_own_place_alone() {
        let (tenant, other) = (TenantId::new(1, [1; 10]), TenantId::new(1, [2; 10]));
        let wrapped = key("k1", 1).wrap(tenant, Column::Verifier, "ada", b"secret").unwrap();
        let open = |key: Sealer, tenant, column, row| {
            key.open(tenant, column, row, &wrapped).ok().map(|b| b.to_vec())
        };
        assert_eq!(open(key("k1", 1), tenant, Column::Verifier, "ada").as_deref(), Some(&b"secret"[..]));
        assert_eq!(open(key("k1", 1), tenant, Column::Verifier, "bob"), None);
        assert_eq!(open(key("k1", 1), other, Column::Verifier, "ada"), None);
        assert_eq!(open(key("k1", 1), tenant, Column::Root, "ada"), None);
        assert_eq!(open(key("k1", 2), tenant, Column::Verifier, "ada"), None);
        assert_eq!(open(key("k2", 1), tenant, Column::Verifier, "ada"), None);
    }

    #[test]
    fn cut_values_are_refused_without_a_panic() {
        let tenant = TenantId::new(1, [1; 10]);
        let wrapped = key("k1", 1).wrap(tenant, Column::Root, "x", b"secret").unwrap();
        for length in 0..wrapped.len() {
            assert!(key("k1", 1).open(tenant, Column::Root, "x", &wrapped[..length]).is_err());
        }
    }
}

//! A key for temporary data of one operation, which exists only in the memory of that operation.

use shared::derive::Secret;
use shared::fields;
use zeroize::Zeroizing;

use super::aead;
use crate::failure::Failure;
use crate::world::random;

/// See the module. No `Debug`; wiped when dropped.
pub struct PassingKey(Secret);

impl PassingKey {
    /// Makes a key.
    ///
    /// # Errors
    /// No randomness.
    pub fn make() -> Result<Self, Failure> {
        Ok(Self(Secret::new(random()?)))
    }

    /// Seals `plaintext` for a row.
    ///
    /// # Errors
    /// No randomness.
    pub fn seal(&self, row: &str, plaintext: &[u8]) -> Result<Vec<u8>, Failure> {
        aead::seal(&self.0, &data(row), plaintext)
    }

    /// Decrypts a result of [`PassingKey::seal`] for the same row; `what` names it if it cannot be decrypted.
    ///
    /// # Errors
    /// [`Failure::Unreadable`] for anything else.
    pub fn open(&self, row: &str, sealed: &[u8], what: &'static str) -> Result<Zeroizing<Vec<u8>>, Failure> {
        aead::open(&self.0, &data(row), sealed)?.ok_or(Failure::Unreadable(what))
    }
}

fn data(row: &str) -> Vec<u8> {
    fields::encode("passing/v1", &[row.as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_opens_in_its_own_row_and_in_the_work_that_sealed_it_alone() {
        let (key, other) = (PassingKey::make().unwrap(), PassingKey::make().unwrap());
        let sealed = key.seal("7", b"ada").unwrap();
        assert_eq!(key.open("7", &sealed, "user").unwrap().to_vec(), b"ada");
        assert!(key.open("8", &sealed, "user").is_err());
        assert!(other.open("7", &sealed, "user").is_err());
    }
}

//! Lists of common and breached passwords, as Bloom filters: a few bits a password, no word of which can be read
//! back. One ships with the binary; an operator may build a larger one (`wardgate passwords filter build`).
//!
//! A filter holds SHA-1 digests, because that is what Pwned Passwords publishes. It says "listed" of every password
//! that is, and of a few that are not: [`Header::false_positives`] of them. docs/decisions/0028 has the reasons.

mod build;
mod file;
#[cfg(test)]
mod tests;

pub use build::{BuildError, Built, Form, build};
pub use file::{FilterError, Header};

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use fastbloom::BloomFilter;

/// Digests that every filter holds. Where they are not found, the bits were placed by another rule than ours.
const PROBES: u32 = 32;

/// The SHA-1 digest of a password.
pub type Digest = [u8; 20];

/// A list of passwords.
pub struct Filter {
    header: Header,
    bits: BloomFilter,
}

impl Filter {
    /// Its header.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Its size in memory, in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.header.words.saturating_mul(8)
    }

    /// Whether a password is listed: as it is, or as Django's validator looks it up, in lower case without blanks
    /// around.
    #[must_use]
    pub fn lists(&self, password: &str) -> bool {
        self.has(&digest_of(password)) || self.has(&digest_of(password.to_lowercase().trim()))
    }

    /// Whether a digest was put in.
    #[must_use]
    pub fn has(&self, digest: &Digest) -> bool {
        self.bits.contains_hash(place(digest))
    }

    /// Reads a filter of `size` bytes and checks all of it.
    ///
    /// # Errors
    /// See [`FilterError`].
    pub fn read(from: impl Read, size: u64) -> Result<Self, FilterError> {
        let (header, words) = file::read(from, size)?;
        let bits = BloomFilter::from_vec(words).hashes(header.hashes);
        let filter = Self { header, bits };
        if probes().all(|probe| filter.has(&probe)) { Ok(filter) } else { Err(FilterError::OtherRule) }
    }

    /// Opens a file and checks all of it.
    ///
    /// # Errors
    /// See [`FilterError`].
    pub fn open(path: &Path) -> Result<Self, FilterError> {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        Self::read(BufReader::with_capacity(1 << 20, file), size)
    }

    /// Looks at the beginning and the length of a file alone, which finds another file and one that was cut.
    ///
    /// # Errors
    /// See [`FilterError`].
    pub fn peek(path: &Path) -> Result<Header, FilterError> {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        file::header(&mut BufReader::new(file), size)
    }

    /// Writes it to a file, which is there whole or not at all.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let part = Path::new(&part);
        let written = || {
            let file = File::create(part)?;
            self.write(BufWriter::with_capacity(1 << 20, &file))?;
            file.sync_all()?;
            std::fs::rename(part, path)
        };
        written().inspect_err(|_| drop(std::fs::remove_file(part)))
    }

    /// Writes it.
    ///
    /// # Errors
    /// Those of `to`.
    pub fn write(&self, to: impl Write) -> io::Result<()> {
        file::write(to, &self.header, self.bits.as_slice())
    }
}

/// The digest of a password, as Pwned Passwords has it.
#[must_use]
pub fn digest_of(password: &str) -> Digest {
    let mut bytes = Digest::default();
    bytes.copy_from_slice(digest(&SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes()).as_ref());
    bytes
}

/// The key of a digest in the filter: its first 64 bits, which are as evenly distributed as any hash of the digest.
fn place(digest: &Digest) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *digest;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

fn probes() -> impl Iterator<Item = Digest> {
    (0..PROBES).map(|at| digest_of(&format!("wardgate: a probe of the filter, {at}")))
}

//! Building a filter from a file of passwords. The file is read twice, line by line, first to count and then to fill,
//! so that its size does not matter: Pwned Passwords has tens of gigabytes.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use chrono::{DateTime, Utc};
use fastbloom::BloomFilter;

use super::{Digest, Filter, Header, digest_of, place, probes};

/// How the lines of a file are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `<SHA-1 in hexadecimal>:<how often it was seen>`, as Pwned Passwords is published.
    Pwned,
    /// A password a line, in UTF-8.
    Words,
}

/// The parameters of a filter.
pub struct Built<'a> {
    /// How the lines are read.
    pub form: Form,
    /// Passwords that were seen less often are left out.
    pub least_count: u64,
    /// Which part of other passwords may be taken for listed.
    pub false_positives: f64,
    /// Where the passwords come from.
    pub source: &'a str,
    /// When it is made.
    pub made_at: DateTime<Utc>,
}

/// Why no filter was built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The file cannot be read.
    #[error("the list cannot be read: {0}")]
    Io(#[from] io::Error),
    /// A line is not what it should be.
    #[error("line {line}: expected {expected}")]
    Line {
        /// The number of the line, from 1.
        line: u64,
        /// The expected form.
        expected: &'static str,
    },
    /// No line is left.
    #[error("the list has no password that was seen often enough")]
    Empty,
    /// The second reading found other lines than the first.
    #[error("the list changed while it was read")]
    Changed,
}

const PWNED: &str = "40 hexadecimal digits (SHA-1, not NTLM), a colon and a count";
const WORDS: &str = "a password in UTF-8";
/// Longest line; what is longer is no list of passwords.
const LINE_BYTES: u64 = 4096;

/// Builds the filter of a list; `progress` is called for each million lines.
///
/// # Errors
/// See [`BuildError`].
pub fn build(list: &Path, wanted: &Built<'_>, mut progress: impl FnMut(u64)) -> Result<Filter, BuildError> {
    let mut entries = 0_u64;
    each(list, wanted, &mut progress, |_| entries += 1)?;
    if entries == 0 {
        return Err(BuildError::Empty);
    }
    let all = entries + probes().count() as u64;
    let items = usize::try_from(all).map_err(|_| BuildError::Changed)?;
    let mut bits = BloomFilter::with_false_pos(wanted.false_positives).expected_items(items);
    let mut filled = 0_u64;
    each(list, wanted, &mut progress, |digest| {
        bits.insert_hash(place(digest));
        filled += 1;
    })?;
    if filled != entries {
        return Err(BuildError::Changed);
    }
    for probe in probes() {
        bits.insert_hash(place(&probe));
    }
    let header = Header {
        entries,
        false_positives: bits.expected_false_pos(items),
        hashes: bits.num_hashes(),
        words: bits.as_slice().len() as u64,
        source: wanted.source.to_owned(),
        least_count: wanted.least_count,
        made_at: wanted.made_at,
    };
    Ok(Filter { header, bits })
}

/// Goes through the lines that count.
fn each(
    list: &Path,
    wanted: &Built<'_>,
    progress: &mut impl FnMut(u64),
    mut take: impl FnMut(&Digest),
) -> Result<(), BuildError> {
    let mut reader = BufReader::with_capacity(1 << 20, File::open(list)?);
    let (mut text, mut line) = (Vec::new(), 0_u64);
    loop {
        text.clear();
        if io::Read::take(&mut reader, LINE_BYTES).read_until(b'\n', &mut text)? == 0 {
            return Ok(());
        }
        line += 1;
        let bare = text.strip_suffix(b"\n").unwrap_or(&text);
        let bare = bare.strip_suffix(b"\r").unwrap_or(bare);
        let digest = match wanted.form {
            _ if bare.is_empty() => None,
            Form::Pwned => {
                let (digest, count) = pwned(bare).ok_or(BuildError::Line { line, expected: PWNED })?;
                (count >= wanted.least_count).then_some(digest)
            }
            Form::Words => {
                let word = std::str::from_utf8(bare).ok().filter(|_| text.len() < LINE_BYTES as usize);
                Some(digest_of(word.ok_or(BuildError::Line { line, expected: WORDS })?))
            }
        };
        if let Some(digest) = digest {
            take(&digest);
        }
        if line.is_multiple_of(1_000_000) {
            progress(line);
        }
    }
}

/// Digest and count of a line.
fn pwned(line: &[u8]) -> Option<(Digest, u64)> {
    let (hex, count) = line.split_at_checked(40)?;
    let count = std::str::from_utf8(count.strip_prefix(b":")?).ok()?.trim().parse().ok()?;
    let mut digest = Digest::default();
    for (byte, pair) in digest.iter_mut().zip(hex.as_chunks::<2>().0) {
        let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
        *byte = u8::try_from(high? * 16 + low?).ok()?;
    }
    Some((digest, count))
}

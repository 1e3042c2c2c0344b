//! A filter as a file: the line `wardgate password filter 1`, the length of the header in four bytes, the header as
//! JSON, the bits as words of eight bytes (all numbers big-endian), and the SHA-256 of all that.

use std::io::{self, Read, Write};

use aws_lc_rs::digest::{Context, SHA256};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

const MAGIC: &[u8; 27] = b"wardgate password filter 1\n";
/// Longest header.
const HEADER_BYTES: u32 = 4096;
const SUM_BYTES: u64 = 32;
/// Words that are read and written at a time.
const CHUNK: usize = 16 * 1024;

/// The header of a filter file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// How many passwords it lists.
    pub entries: u64,
    /// Which part of all other digests it takes for listed.
    pub false_positives: f64,
    /// Bits that are looked at for a digest.
    pub hashes: u32,
    /// Words of 64 bits.
    pub words: u64,
    /// Where the passwords come from.
    pub source: String,
    /// How often a password was seen at least, where the source counts that.
    pub least_count: u64,
    /// When it was made.
    pub made_at: DateTime<Utc>,
}

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It is something else.
    #[error("it is no filter that `wardgate passwords filter build` made")]
    Foreign,
    /// It is a filter that was cut or altered.
    #[error("it is damaged: build it again")]
    Damaged,
    /// Its bits are placed by another rule than this release's.
    #[error("it was made by a release that places bits otherwise: build it again")]
    OtherRule,
}

/// Reads the header; the file must be as long as it says.
pub(super) fn header(from: &mut impl Read, size: u64) -> Result<Header, FilterError> {
    Ok(framed(from, size)?.0)
}

/// The header, and what was read with it.
fn framed(from: &mut impl Read, size: u64) -> Result<(Header, Vec<u8>), FilterError> {
    let mut start = [0; MAGIC.len() + 4];
    whole(from, &mut start, FilterError::Foreign)?;
    let (magic, length) = start.split_at(MAGIC.len());
    let length = u32::from_be_bytes(length.try_into().map_err(|_| FilterError::Foreign)?);
    if magic != MAGIC {
        return Err(FilterError::Foreign);
    }
    if length > HEADER_BYTES {
        return Err(FilterError::Damaged);
    }
    let mut text = vec![0; usize::try_from(length).map_err(|_| FilterError::Damaged)?];
    whole(from, &mut text, FilterError::Damaged)?;
    let header: Header = serde_json::from_slice(&text).map_err(|_| FilterError::Damaged)?;
    let framed = u64::try_from(start.len() + text.len()).map_err(|_| FilterError::Damaged)?;
    let expected = header.words.checked_mul(8).and_then(|bits| bits.checked_add(framed + SUM_BYTES));
    if header.words == 0 || header.hashes == 0 || expected != Some(size) {
        return Err(FilterError::Damaged);
    }
    Ok((header, [&start[..], &text].concat()))
}

/// Reads all of it and compares the sum.
pub(super) fn read(mut from: impl Read, size: u64) -> Result<(Header, Vec<u64>), FilterError> {
    let (header, read) = framed(&mut from, size)?;
    let mut sum = Context::new(&SHA256);
    sum.update(&read);
    // Bounded by the size of the file.
    let count = usize::try_from(header.words).map_err(|_| FilterError::Damaged)?;
    let mut words = Vec::with_capacity(count);
    let mut buffer = vec![0; CHUNK * 8];
    while words.len() < count {
        let part = buffer.len().min((count - words.len()) * 8);
        let part = buffer.get_mut(..part).ok_or(FilterError::Damaged)?;
        whole(&mut from, part, FilterError::Damaged)?;
        sum.update(part);
        let (chunks, _) = part.as_chunks::<8>();
        words.extend(chunks.iter().map(|bytes| u64::from_be_bytes(*bytes)));
    }
    let mut stored = [0; 32];
    whole(&mut from, &mut stored, FilterError::Damaged)?;
    if sum.finish().as_ref() == stored { Ok((header, words)) } else { Err(FilterError::Damaged) }
}

/// Fills the buffer; `short` where the file ends before.
fn whole(from: &mut impl Read, buffer: &mut [u8], short: FilterError) -> Result<(), FilterError> {
    from.read_exact(buffer).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => short,
        _ => FilterError::Io(error),
    })
}

/// Writes a filter.
pub(super) fn write(mut to: impl Write, header: &Header, words: &[u64]) -> io::Result<()> {
    let mut sum = Context::new(&SHA256);
    let mut put = |bytes: &[u8]| {
        sum.update(bytes);
        to.write_all(bytes)
    };
    let text = serde_json::to_vec(header)?;
    let length = u32::try_from(text.len()).ok().filter(|length| *length <= HEADER_BYTES);
    let length = length.ok_or_else(|| io::Error::other("the name of the source is too long"))?;
    put(MAGIC)?;
    put(&length.to_be_bytes())?;
    put(&text)?;
    for chunk in words.chunks(CHUNK) {
        let bytes: Vec<u8> = chunk.iter().flat_map(|word| word.to_be_bytes()).collect();
        put(&bytes)?;
    }
    to.write_all(sum.finish().as_ref())?;
    to.flush()
}

//! Mails in a folder: one file each, for its owner alone, and no more than a number of them.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::received::Received;

const ENDING: &str = "json";

/// A folder of mails.
#[derive(Clone, Debug)]
pub struct Kept {
    folder: PathBuf,
    limit: usize,
    /// One writer at a time; readers see whole files without it.
    writing: Arc<Mutex<()>>,
}

/// The content of a file.
#[derive(Serialize, Deserialize)]
struct Stored {
    from: String,
    to: Vec<String>,
    at: DateTime<Utc>,
    tls: bool,
    user: Option<String>,
    /// base64.
    raw: String,
}

impl Kept {
    /// The folder, made where it is not there, for at most `limit` mails.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(folder: &Path, limit: usize) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        Ok(Self { folder: folder.to_owned(), limit, writing: Arc::default() })
    }

    /// The numbers of the mails, the newest first.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn numbers(&self) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            let is_ours = path.extension().is_some_and(|ending| ending == ENDING);
            numbers.extend(stem.filter(|_| is_ours).and_then(|stem| stem.parse::<u64>().ok()));
        }
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        Ok(numbers)
    }

    /// The mail with this number; `None` if there is none or it cannot be read.
    #[must_use]
    pub fn get(&self, number: u64) -> Option<Received> {
        let stored: Stored = serde_json::from_slice(&fs::read(self.file(number)).ok()?).ok()?;
        let raw = STANDARD.decode(stored.raw).ok()?;
        let Stored { from, to, at, tls, user, .. } = stored;
        Some(Received { from, to, raw, at: at.into(), tls, user })
    }

    /// The newest mail and its number.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn last(&self) -> io::Result<Option<(u64, Received)>> {
        Ok(self.numbers()?.into_iter().find_map(|number| Some((number, self.get(number)?))))
    }

    /// Writes a mail under the next number, and deletes the oldest beyond the limit.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn put(&self, mail: &Received) -> io::Result<()> {
        let _writing = self.writing();
        let numbers = self.numbers()?;
        let next = numbers.first().copied().unwrap_or_default() + 1;
        let stored = Stored {
            from: mail.from.clone(),
            to: mail.to.clone(),
            at: mail.at.into(),
            tls: mail.tls,
            user: mail.user.clone(),
            raw: STANDARD.encode(&mail.raw),
        };
        // Only its owner can read it, and it is there whole or not at all.
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(&serde_json::to_vec(&stored)?)?;
        file.persist(self.file(next))?;
        for number in numbers.iter().skip(self.limit.saturating_sub(1)) {
            fs::remove_file(self.file(*number))?;
        }
        Ok(())
    }

    fn writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, number: u64) -> PathBuf {
        // With zeros in front, so that a listing of the folder is in their order.
        self.folder.join(format!("{number:08}.{ENDING}"))
    }
}

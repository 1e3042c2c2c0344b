//! The state folder: databases, secrets and logs of one running set, and the lock that says whether
//! it runs.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};
use rustix::io::{FdFlags, fcntl_setfd};

use crate::ledger::Ledger;
use crate::postgres;

/// Marks a folder as ours: nothing is deleted in a folder without it.
const MARKER: &str = ".wardgate-state";

/// A state folder, by its absolute path.
#[derive(Clone)]
pub struct State {
    folder: PathBuf,
}

/// The state folder as held by the one process that runs it; let go when that process ends, however
/// it ends.
pub struct Held {
    /// The state folder that is locked.
    pub state: State,
    lock: File,
}

impl State {
    /// An existing state folder.
    pub fn find(folder: &Path) -> Option<Self> {
        let folder = folder.canonicalize().ok()?;
        folder.join(MARKER).is_file().then_some(Self { folder })
    }

    /// Makes the folder and marks it. A folder that holds anything else is left alone.
    pub fn create(folder: &Path) -> Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        let folder = folder.canonicalize()?;
        if !folder.join(MARKER).exists() {
            if fs::read_dir(&folder)?.next().is_some() {
                bail!("{} is not empty and not a state folder of Wardgate: choose another", folder.display());
            }
            fs::set_permissions(&folder, Permissions::from_mode(0o700))?;
            write_private(
                &folder.join(MARKER),
                b"Made by ./wardgate. Everything in this folder may be deleted by it.\n",
            )?;
        }
        Ok(Self { folder })
    }

    /// Takes the folder for this process; `None` when another one has it.
    pub fn hold(&self) -> Result<Option<Held>> {
        let lock = File::open(self.folder.join(MARKER))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Held { state: self.clone(), lock })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error).context("cannot lock the state folder"),
        }
    }

    /// A file or folder in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The folder itself.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The ledger of processes that were started in it.
    pub fn ledger(&self) -> Ledger {
        Ledger::at(self.path("pids.json"))
    }

    /// An empty log file. The former one is kept under another name, because it may say why a program ended that is
    /// started again.
    pub fn log(&self, name: &str) -> Result<File> {
        let file = self.log_path(name);
        fs::create_dir_all(self.path("logs"))?;
        if file.exists() {
            fs::rename(&file, self.log_path(&format!("{name}.before")))?;
        }
        let mut options = OpenOptions::new();
        options.create(true).write(true).truncate(true).mode(0o600);
        options.open(&file).with_context(|| format!("cannot write {}", file.display()))
    }

    /// Where a log is.
    pub fn log_path(&self, name: &str) -> PathBuf {
        self.path("logs").join(format!("{name}.log"))
    }
}

impl Held {
    /// Keeps the folder held when this process becomes another program, until that and whatever it starts
    /// has ended.
    pub fn keep_over_exec(&self) -> Result<()> {
        fcntl_setfd(&self.lock, FdFlags::empty()).context("cannot keep the lock")
    }

    /// Empties the folder but for the marker, which holds the lock.
    pub fn empty(&self) -> Result<()> {
        postgres::delete_data(&self.state)?;
        for entry in fs::read_dir(&self.state.folder)? {
            let entry = entry?;
            if entry.file_name() == MARKER {
                continue;
            }
            let path = entry.path();
            let removed =
                if entry.file_type()?.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.with_context(|| format!("cannot delete {}", path.display()))?;
        }
        Ok(())
    }

    /// Deletes the folder and whatever of it lies elsewhere.
    pub fn destroy(self) -> Result<()> {
        self.empty()?;
        fs::remove_dir_all(&self.state.folder).context("cannot delete the state folder")
    }
}

/// Writes a file that only its owner can read, and never half of it: beside it first, then by
/// rename.
pub fn write_private(file: &Path, bytes: &[u8]) -> Result<()> {
    let folder = file.parent().context("a file has a folder")?;
    let mut fresh = tempfile::NamedTempFile::new_in(folder)?;
    fresh.write_all(bytes)?;
    fresh.persist(file).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("thesis.txt"), "years of work").unwrap();
        assert!(State::create(folder.path()).is_err());
        assert!(State::find(folder.path()).is_none());
        assert!(folder.path().join("thesis.txt").exists());
    }

    #[test]
    fn the_folder_is_private_and_held_once() {
        let parent = tempfile::tempdir().unwrap();
        let state = State::create(&parent.path().join("state")).unwrap();
        assert_eq!(fs::metadata(state.folder()).unwrap().permissions().mode() & 0o777, 0o700);
        let held = state.hold().unwrap().expect("nobody else has it");
        assert!(state.hold().unwrap().is_none());
        drop(held);
        assert!(state.hold().unwrap().is_some());
    }

    #[test]
    fn the_log_of_the_former_start_is_kept() {
        let parent = tempfile::tempdir().unwrap();
        let state = State::create(&parent.path().join("state")).unwrap();
        for text in ["first", "second", "third"] {
            state.log("control").unwrap().write_all(text.as_bytes()).unwrap();
        }
        let kept = |name: &str| fs::read_to_string(state.log_path(name)).unwrap();
        assert_eq!((kept("control"), kept("control.before")), ("third".to_owned(), "second".to_owned()));
    }

    #[test]
    fn emptying_keeps_the_marker() {
        let parent = tempfile::tempdir().unwrap();
        let state = State::create(&parent.path().join("state")).unwrap();
        write_private(&state.path("secrets.json"), b"{}").unwrap();
        fs::create_dir(state.path("edge")).unwrap();
        let held = state.hold().unwrap().unwrap();
        held.empty().unwrap();
        assert_eq!(fs::read_dir(state.folder()).unwrap().count(), 1);
        held.destroy().unwrap();
        assert!(!state.folder().exists());
    }

    #[test]
    fn private_files_are_private() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        write_private(&file, b"x").unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

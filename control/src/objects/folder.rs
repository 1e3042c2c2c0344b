//! Objects as files below a folder. A file is written whole under another name first, `.<name>.part`, which no object
//! has. Nothing here changes or removes a file.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::object::{First, Found, ObjectError};

/// See the module.
pub struct Folder(pub(super) PathBuf);

impl Folder {
    pub(super) async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<(), ObjectError> {
        let (file, name) = (self.0.join(name), name.to_owned());
        self.blocking(move || write_whole(&file, &name, &bytes)).await
    }

    pub(super) async fn list(&self, begin: &str) -> Result<Option<Vec<Found>>, ObjectError> {
        let (root, begin) = (self.0.clone(), begin.to_owned());
        self.blocking(move || {
            if !root.try_exists().map_err(|error| ObjectError::Io(root.clone(), error))? {
                return Ok(None);
            }
            // No folder below that cannot hold such a name is looked into.
            let within = begin.rsplit_once('/').map_or("", |(within, _)| within);
            let mut names = Vec::new();
            walk(&root, within, &mut names)?;
            names.retain(|name| name.starts_with(&begin));
            names.sort();
            let found = |name| Found { name, disturbed: None, first: First::Itself };
            Ok(Some(names.into_iter().map(found).collect()))
        })
        .await
    }

    pub(super) async fn get(&self, name: &str) -> Result<Option<Vec<u8>>, ObjectError> {
        let file = self.0.join(name);
        self.blocking(move || match fs::read(&file) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(ObjectError::Io(file, error)),
        })
        .await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, ObjectError> + Send + 'static,
    ) -> Result<T, ObjectError> {
        let failed = |error| ObjectError::Io(self.0.clone(), io::Error::other(error));
        tokio::task::spawn_blocking(work).await.map_err(failed)?
    }
}

/// Leaves a file on the disk that is whole, or none.
fn write_whole(file: &Path, object: &str, bytes: &[u8]) -> Result<(), ObjectError> {
    let (Some(folder), Some(name)) = (file.parent(), file.file_name().and_then(|name| name.to_str())) else {
        return Err(ObjectError::Io(file.to_owned(), io::ErrorKind::InvalidFilename.into()));
    };
    let part = folder.join(format!(".{name}.part"));
    let write = || {
        fs::create_dir_all(folder)?;
        let mut written = File::create(&part)?;
        written.write_all(bytes)?;
        written.sync_all()?;
        if file.try_exists()? {
            fs::remove_file(&part)?;
            return Ok(false);
        }
        fs::rename(&part, file)?;
        File::open(folder)?.sync_all()?;
        Ok(true)
    };
    match write() {
        Ok(true) => Ok(()),
        Ok(false) => Err(ObjectError::Exists(object.to_owned())),
        Err(error) => Err(ObjectError::Io(file.to_owned(), error)),
    }
}

/// The complete files of a folder and of those below it, by their names from `root` on.
fn walk(root: &Path, within: &str, names: &mut Vec<String>) -> Result<(), ObjectError> {
    let folder = root.join(within);
    let failed = |error| ObjectError::Io(folder.clone(), error);
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(failed)?,
    };
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let name = if within.is_empty() { name.to_owned() } else { format!("{within}/{name}") };
        if path.is_dir() {
            walk(root, &name, names)?;
        } else if !name.ends_with(".part") {
            names.push(name);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_of_a_file_is_no_object_and_no_object_is_written_over() {
        let root = std::env::temp_dir().join(format!("wardgate-objects-{}", std::process::id()));
        let folder = Folder(root.clone());
        assert_eq!(folder.list("").await.unwrap(), None, "a folder that is not there is not an empty one");
        folder.put("2026-01-02/a.jsonl", b"one".to_vec()).await.unwrap();
        folder.put("archives/x/b.gz", b"two".to_vec()).await.unwrap();
        fs::write(root.join("2026-01-02/.c.jsonl.part"), b"{").unwrap();
        let names = async |begin| {
            let found = folder.list(begin).await.unwrap().unwrap();
            found.into_iter().map(|found| found.name).collect::<Vec<_>>()
        };
        assert_eq!(names("").await, ["2026-01-02/a.jsonl", "archives/x/b.gz"]);
        assert_eq!(names("archives/x/b").await, ["archives/x/b.gz"]);
        assert!(names("archives/y/").await.is_empty());
        let again = folder.put("2026-01-02/a.jsonl", b"three".to_vec()).await;
        assert!(matches!(again, Err(ObjectError::Exists(name)) if name == "2026-01-02/a.jsonl"));
        assert_eq!(folder.get("2026-01-02/a.jsonl").await.unwrap().unwrap(), b"one");
        assert_eq!(folder.get("2026-01-02/d.jsonl").await.unwrap(), None);
        fs::remove_dir_all(&root).unwrap();
    }
}

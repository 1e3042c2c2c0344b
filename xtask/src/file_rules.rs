//! Rules for source files that no lint holds: the name of a file says its content, and its first line is its module doc.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Folders that hold no sources of ours.
const SKIPPED: [&str; 2] = ["node_modules", "target"];
/// Names that say nothing about the content.
const VAGUE: [&str; 6] = ["common", "helper", "helpers", "manager", "util", "utils"];

/// Checks all sources of the workspace: those of every folder that has a `Cargo.toml`.
///
/// # Errors
/// A file or folder with a vague name, a file that does not begin with its module doc, or an error of the file system.
pub fn check(workspace: &Path) -> Result<()> {
    let mut faults = Vec::new();
    for entry in fs::read_dir(workspace).with_context(|| workspace.display().to_string())? {
        let folder = entry?.path();
        let mut files = Vec::new();
        if folder.join("Cargo.toml").is_file() {
            sources(&folder, &mut files)?;
        }
        for file in files {
            let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
            let path = file.strip_prefix(workspace).unwrap_or(&file);
            faults.extend(fault(path, &text).map(|fault| format!("{}: {fault}", path.display())));
        }
    }
    faults.sort();
    if faults.is_empty() { Ok(()) } else { bail!("{}", faults.join("\n")) }
}

fn sources(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        if path.is_dir() && !path.is_symlink() && !SKIPPED.contains(&name) && !name.starts_with('.') {
            sources(&path, files)?;
        } else if path.extension() == Some(OsStr::new("rs")) {
            files.push(path);
        }
    }
    Ok(())
}

fn fault(path: &Path, text: &str) -> Option<&'static str> {
    let vague = path.with_extension("").iter().any(|part| VAGUE.iter().any(|name| part == OsStr::new(name)));
    if vague {
        Some("the name says nothing about the content")
    } else if text.starts_with("//!") {
        None
    } else {
        Some("it does not begin with its module doc (//!)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_needs_a_name_and_a_module_doc() {
        let fault = |path: &str, text: &str| fault(Path::new(path), text).is_some();
        assert!(!fault("edge/src/route.rs", "//! Routes.\n"));
        assert!(fault("edge/src/route.rs", "use std::fmt;\n"));
        assert!(fault("edge/src/utils.rs", "//! Routes.\n"));
        assert!(fault("edge/src/helpers/route.rs", "//! Routes.\n"));
    }

    #[test]
    fn every_file_of_a_crate_is_read() {
        let workspace = tempfile::tempdir().unwrap();
        fs::create_dir_all(workspace.path().join("edge/src/users")).unwrap();
        fs::write(workspace.path().join("edge/Cargo.toml"), "").unwrap();
        check(workspace.path()).unwrap();
        fs::write(workspace.path().join("edge/src/users/list.rs"), "fn list() {}\n").unwrap();
        let error = check(workspace.path()).unwrap_err().to_string();
        assert_eq!(error, "edge/src/users/list.rs: it does not begin with its module doc (//!)");
    }
}

//! The JavaScript of this repository: `check` parses all of it, since nothing compiles it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::run::output;
use crate::tools::node_command;
use crate::workspace::Workspace;

/// Where it is.
const FOLDERS: [&str; 4] = ["bench", "edge/entry", "tests/clients/node", "xtask"];

/// Parses every module.
pub fn check(workspace: &Workspace) -> Result<()> {
    for folder in FOLDERS {
        let modules = modules(&workspace.root.join(folder))?;
        ensure!(!modules.is_empty(), "{folder} has no JavaScript any more");
        for module in modules {
            output(node_command(workspace)?.arg("--check").arg(module))?;
        }
    }
    Ok(())
}

/// The modules below a folder that are ours.
fn modules(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() && !path.ends_with("node_modules") {
            found.extend(modules(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "mjs") {
            found.push(path);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_of_others_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a", "node_modules"] {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join("x.mjs"), "").unwrap();
        }
        assert_eq!(modules(folder.path()).unwrap(), [folder.path().join("a/x.mjs")]);
    }
}

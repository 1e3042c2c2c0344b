//! The command line as a program: what it prints, and the exit code of each outcome.

use std::collections::HashMap;
use std::io::{Read, Write as _};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::scale::scaled;
use crate::scene::{Database, PASSWORD};

pub struct Cli {
    pub variables: HashMap<&'static str, String>,
}

pub struct Outcome {
    pub code: i32,
    pub json: Value,
    pub stderr: String,
}

impl Cli {
    async fn migrated() -> Self {
        let database = Database::empty().await;
        let cli = Self { variables: database.variables("http://127.0.0.1:1") };
        cli.run(&["migrate"], "").expect(0);
        cli
    }

    /// Runs `wardgate ... --json` in this environment alone.
    pub fn run(&self, arguments: &[&str], stdin: &str) -> Outcome {
        let output = self.output(&[arguments, &["--json"]].concat(), stdin);
        Outcome {
            code: output.status.code().unwrap(),
            json: serde_json::from_slice(&output.stdout).unwrap_or(Value::Null),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The text output of a command that succeeds.
    #[track_caller]
    pub fn show(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments, "");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn output(&self, arguments: &[&str], stdin: &str) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_wardgate"))
            .args(arguments)
            .env_clear()
            .envs(&self.variables)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that reads nothing may be over already.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        let (open, ended) = channel::<()>();
        let stdout = read(child.stdout.take().unwrap(), open.clone());
        let stderr = read(child.stderr.take().unwrap(), open);
        // A command that should refuse to serve, and serves, ends by itself never.
        let longest = Duration::from_secs(scaled(120, 1800));
        if ended.recv_timeout(longest) == Err(RecvTimeoutError::Timeout) {
            child.kill().unwrap();
            let said = String::from_utf8_lossy(&stderr.join().unwrap()).into_owned();
            panic!("`wardgate {}` goes on after {longest:?}: {said}", arguments.join(" "));
        }
        let status = child.wait().unwrap();
        Output { status, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
    }
}

/// Everything that a command writes. `open` is dropped at the end.
fn read<T: Send + 'static>(mut from: impl Read + Send + 'static, open: T) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).unwrap();
        drop(open);
        bytes
    })
}

impl Outcome {
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{} {}", self.json, self.stderr);
        self
    }
}

#[tokio::test]
async fn from_nothing_to_a_user_who_can_sign_in() {
    let cli = Cli::migrated().await;
    cli.run(&["migrate"], "").expect(0);
    let tenant = [
        "tenant",
        "create",
        "acme",
        "--name",
        "Acme",
        "--host",
        "acme.test",
        "--set",
        "min_password_length=8",
    ];
    let made = cli.run(&tenant, "").expect(0).json;
    assert_eq!((&made["status"], &made["issuer"]), (&json!("active"), &json!("https://acme.test")));
    assert_eq!(cli.run(&["tenant", "show", "acme"], "").expect(0).json["id"], made["id"]);
    let create =
        ["user", "create", "ada", "--tenant", "acme", "--email", "ada@acme.test", "--password-stdin"];
    let roles = ["--role", "root-admin"];
    let ada = cli.run(&[&create[..], &roles[..]].concat(), &format!("{PASSWORD}\n")).expect(0).json;
    assert_eq!((&ada["username"], &ada["roles"]), (&json!("ada"), &json!(["root-admin"])));
    for name in ["ada", "ADA@acme.test", ada["id"].as_str().unwrap()] {
        assert_eq!(cli.run(&["user", "show", name, "--tenant", "acme"], "").expect(0).json["id"], ada["id"]);
    }
    let keys = cli.run(&["keys", "list", "--tenant", "acme"], "").expect(0).json;
    let keys = &keys["results"];
    assert_eq!((&keys[0]["state"], &keys[1]["state"]), (&json!("active"), &json!("next")));
    let edit = ["tenant", "edit", "acme", "--set", "cookies=plain", "--set"];
    let listed = cli.run(&[&edit[..], &["origins=https://a.example, http://localhost:3000"]].concat(), "");
    let settings = &listed.expect(0).json["settings"];
    assert_eq!(settings["origins"], json!(["https://a.example", "http://localhost:3000"]));
    assert_eq!((&settings["cookies"], &settings["min_password_length"]), (&json!("plain"), &json!(8)));
    let headers =
        cli.run(&["tenant", "edit", "acme", "--set", "cors_headers=X-Acme-Trace, x-b"], "").expect(0).json;
    assert_eq!(headers["settings"]["cors_headers"], json!(["x-acme-trace", "x-b"]));
    for bad in [
        "cors_headers=cookie",
        "cors_headers=*",
        "origins=http://a.example",
        "cookies=on",
        "idle_secs=x",
        "nothing=1",
    ] {
        cli.run(&["tenant", "edit", "acme", "--set", bad], "").expect(5);
    }
    let none = cli.run(&["tenant", "edit", "acme", "--set", "origins="], "").expect(0).json;
    assert_eq!(none["settings"]["origins"], json!([]));
    let lag = cli.run(&["edges", "status", "--behind"], "").expect(0).json;
    assert_eq!(lag["results"].as_array().unwrap().len(), 2, "nobody pushed yet");
}

#[test]
fn whoever_reads_may_stop() {
    // More than a pipe holds, so that writing it fails.
    let mut child = Command::new(env!("CARGO_BIN_EXE_wardgate"))
        .arg("openapi")
        .env_clear()
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap()), (Some(0), String::new()));
}

#[tokio::test]
async fn each_outcome_has_its_exit_code() {
    let mut cli = Cli::migrated().await;
    cli.run(&["tenant", "show", "nobody"], "").expect(4);
    cli.run(&["user", "show", "nobody"], "").expect(4);
    cli.run(&["user", "create", "ada", "--role", "king"], "").expect(5);
    cli.run(&["user", "create", "ada", "--password-stdin"], "short").expect(5);
    cli.run(&["tenant", "suspend", "platform"], "").expect(5);
    cli.run(&["tenant", "create", "platform"], "").expect(5);
    cli.run(&["keys", "rotate"], "").expect(5);
    cli.run(&["edges", "reseed", "platform"], "").expect(5);
    cli.run(&["nonsense"], "").expect(2);
    cli.variables.insert("WARDGATE_ENCRYPTION_KEK", "k1:c2hvcnQ".into());
    let short = cli.run(&["tenant", "list"], "").expect(3);
    assert!(
        short.stderr.contains("WARDGATE_ENCRYPTION_KEK") && !short.stderr.contains("c2hvcnQ"),
        "{}",
        short.stderr
    );
    cli.variables.remove("WARDGATE_ENCRYPTION_KEK");
    let missing = cli.run(&["serve"], "").expect(3);
    assert!(missing.stderr.contains("WARDGATE_ENCRYPTION_KEK is missing"), "{}", missing.stderr);
}

#[tokio::test]
async fn the_setup_token_goes_to_the_terminal_and_nowhere_else() {
    let cli = Cli::migrated().await;
    let printed = cli.run(&["bootstrap"], "").expect(0);
    assert!(printed.json["token"].as_str().unwrap().starts_with("wgs_"));
    assert_eq!(printed.stderr, "");
}

#[tokio::test]
async fn a_name_that_could_be_an_id_is_a_name() {
    let cli = Cli::migrated().await;
    let name = "0190a5dac96774bbcceb302099a80570";
    let tenant = cli.run(&["tenant", "create", name], "").expect(0).json;
    let user = cli.run(&["user", "create", name, "--tenant", name], "").expect(0).json;
    let spelled = |id: &serde_json::Value| {
        let id = id.as_str().unwrap();
        [id.to_owned(), id.to_uppercase(), id.replace('-', ""), format!("{{{id}}}"), format!("urn:uuid:{id}")]
    };
    for tenant_name in spelled(&tenant["id"]).iter().chain([&name.to_owned()]) {
        let found = cli.run(&["tenant", "show", tenant_name], "").expect(0).json;
        assert_eq!(found["id"], tenant["id"], "{tenant_name}");
    }
    for user_name in spelled(&user["id"]).iter().chain([&name.to_owned()]) {
        let found = cli.run(&["user", "show", user_name, "--tenant", name], "").expect(0).json;
        assert_eq!(found["id"], user["id"], "{user_name}");
    }
    let upper = cli.run(&["tenant", "show", "PLATFORM"], "").expect(0).json;
    assert_eq!(upper["slug"], "platform");
}

#[tokio::test]
async fn tenants_are_listed_as_the_api_lists_them() {
    let cli = Cli::migrated().await;
    for (slug, name, host) in
        [("acme", "Café", "acme.test"), ("beta", "CAFE\u{301} II", "xn--bcher-kva.test")]
    {
        cli.run(&["tenant", "create", slug, "--name", name, "--host", host], "").expect(0);
    }
    cli.run(&["tenant", "suspend", "beta", "--yes"], "").expect(0);
    let listed = |arguments: &[&str]| {
        let rows = cli.run(&[&["tenant", "list"], arguments].concat(), "").expect(0).json;
        rows["results"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["slug"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(listed(&[]), ["platform", "acme", "beta"]);
    assert_eq!(listed(&["--status", "suspended"]), ["beta"]);
    assert_eq!(listed(&["--search", "cafe\u{301}"]), ["acme", "beta"]);
    assert_eq!(listed(&["--host", "Bücher.test"]), ["beta"]);
    assert_eq!(listed(&["--ordering=-status,-slug"]), ["beta", "platform", "acme"]);
    let refused = cli.run(&["tenant", "list", "--status", "gone", "--ordering", "-hosts"], "").expect(5);
    for said in ["--status: \\\"gone\\\" is not", "--ordering: \\\"-hosts\\\" is not"] {
        assert!(refused.stderr.contains(said), "{}", refused.stderr);
    }
}

//! What `./wardgate dev` promises of itself: it says who runs where, it leaves nothing behind when it
//! is asked to end, and what it leaves behind when it is killed the next one cleans up.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use wardgate_tests::actors::Session;
use wardgate_tests::dev::{command, port_base, start};
use wardgate_tests::http::{Http, Reply};
use wardgate_tests::process::{Process, Talk, descendants, interrupt, kill_9, lives};
use wardgate_tests::{environment, seed, wait};

const STOP: Duration = wait::PATIENCE;

fn pid_at(told: &Value, part: &str, name: &str) -> u32 {
    told[part][name].as_u64().and_then(|pid| u32::try_from(pid).ok()).expect("a process id")
}

/// The parts by what it tells, and whatever else it has started.
fn everything(dev: &Process, told: &Value) -> Vec<u32> {
    let mut all = descendants(dev.pid());
    let parts =
        [("edge", "pid"), ("edge", "workerd_pid"), ("control", "pid"), ("postgres", "pid"), ("mail", "pid")];
    for (part, name) in parts {
        let pid = pid_at(told, part, name);
        assert!(all.contains(&pid), "{part} is a child of dev: {pid} in {all:?}");
        assert!(lives(pid), "{part} runs");
    }
    all.push(dev.pid());
    all
}

async fn all_gone(pids: &[u32]) {
    wait::until_within(STOP, "every process to be gone", async || {
        pids.iter().all(|pid| !lives(*pid)).then_some(())
    })
    .await;
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Signs the administrator in with what dev.json says.
async fn the_told_credentials_are_good(told: &Value) {
    let issuer = told["tenant"]["issuer"].as_str().expect("an issuer");
    let http = Http::new(issuer);
    let admin = &told["admin"];
    let credentials = json!({"username": admin["username"], "password": admin["password"]});
    let session = Session::of(&http, &http.post("/api/token/", &credentials).await.expect(200));
    assert_eq!(session.claim("iss"), issuer);
    assert_eq!(session.me().await.expect(200).text_at("id"), admin["user_id"].as_str().expect("an id"));
    let keys = Http::new(told["tenant"]["jwks_url"].as_str().expect("an address")).get("").await.expect(200);
    let keys = wardgate_tests::verifier::KeySet::of(&keys.json());
    assert!(keys.verify(&session.access).is_ok());
}

/// A tenant with a host of its own, made as a developer would make it: its keys are where its issuer says.
async fn the_issuer_of_a_tenant_with_a_host_answers(state: &Path, told: &Value) {
    let slug = format!("t{}", seed::unique());
    let host = format!("{slug}.localhost");
    let mut create = Command::new(environment::xtask());
    create.args(["tenant", "create", &slug, "--host", &host, "--json"]).env("WARDGATE_STATE", state);
    let made = create.env_remove("WARDGATE_CONFIG").output().expect("a made tenant");
    assert!(made.status.success(), "{}", said(&made));
    let made: Value = serde_json::from_slice(&made.stdout).expect("a tenant");
    let edge = told["edge"]["url"].as_str().expect("an address");
    let port = edge.rsplit(':').next().expect("a port");
    let issuer = made["issuer"].as_str().expect("an issuer");
    assert_eq!(issuer, format!("http://{host}:{port}"));
    // Browsers and curl know that names under `localhost` are this machine; here it is said.
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10));
    let client = client.resolve(&host, ([127, 0, 0, 1], 0).into()).build();
    let client = client.expect("an HTTP client");
    let keys = format!("{issuer}/.well-known/jwks.json");
    let mut last = String::new();
    let (keys, _) = wait::until_within(STOP, "the keys at the issuer", async || {
        let answer = answered(&client, &keys).await;
        let now = answer.as_ref().err().cloned().unwrap_or_default();
        if now != last {
            eprintln!("{keys}: {now}");
            last = now;
        }
        answer.ok()
    })
    .await;
    assert_eq!(keys["keys"].as_array().map(Vec::len), Some(2), "{keys}");
}

/// What a GET answers with 200, or what was in its way.
async fn answered(client: &reqwest::Client, url: &str) -> Result<Value, String> {
    let answer = client.get(url).send().await.map_err(|error| format!("{error:?}"))?;
    let (status, text) = (answer.status(), answer.text().await.map_err(|error| format!("{error:?}"))?);
    if status != 200 {
        return Err(format!("{status} {text}"));
    }
    serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))
}

fn dev_json_is_private_and_holds_no_key(state: &Path) {
    let file = state.join("dev.json");
    assert_eq!(std::fs::metadata(&file).expect("dev.json").permissions().mode() & 0o777, 0o600);
    let (told, vars) = (std::fs::read_to_string(&file), std::fs::read_to_string(state.join("edge.vars")));
    let (told, vars) = (told.expect("dev.json"), vars.expect("edge.vars"));
    let secrets = vars.lines().filter(|line| line.contains("KEK") || line.contains("SERVICE_KEY"));
    for secret in secrets.filter_map(|line| line.split(':').nth(1)) {
        assert!(!told.contains(secret.trim_matches('"')));
    }
}

/// What `./wardgate mail` prints for a script.
fn last_mail(state: &Path) -> Value {
    let mut last = Command::new(environment::xtask());
    let last = last.args(["mail", "--json"]).env("WARDGATE_STATE", state).output().expect("wardgate mail");
    assert!(last.status.success(), "{}", said(&last));
    serde_json::from_slice(&last.stdout).expect("JSON")
}

/// A mail that is sent to the mailbox is on its page, in its folder, and printed.
async fn a_mail_is_caught_and_shown(state: &Path, told: &Value) {
    let text = |name: &str| told["mail"][name].as_str().expect("a text").to_owned();
    let (page, smtp) = (Http::new(text("url")), text("smtp"));
    assert!(page.get("").await.expect(200).text.contains("There is no mail yet."));

    let mut stream = tokio::net::TcpStream::connect(smtp).await.expect("SMTP");
    let dialogue = "EHLO dev\r\nMAIL FROM:<a@acme.test>\r\nRCPT TO:<ada@acme.test>\r\nDATA\r\n\
                    Subject: <b>Hello</b>\r\n\r\nhttp://acme.localhost/#token=abc\r\n.\r\nQUIT\r\n";
    stream.write_all(dialogue.as_bytes()).await.expect("a dialogue");
    let mut replies = String::new();
    stream.read_to_string(&mut replies).await.expect("replies");
    assert!(replies.contains("250 2.0.0 Kept"), "{replies}");

    let list = page.get("").await.expect(200).text;
    assert!(list.contains("/mail/1\"") && list.contains("ada@acme.test") && !list.contains("<b>"), "{list}");
    assert!(page.get("/1").await.expect(200).text.contains("href=\"http://acme.localhost/#token=abc\""));
    let rebound = page.request(Method::GET, "/1").header("host", "evil.test");
    let _ = Reply::to(rebound).await.expect(403);
    let mail = last_mail(state);
    assert_eq!((&mail["subject"], &mail["to"]), (&json!("<b>Hello</b>"), &json!(["ada@acme.test"])));
    assert_eq!(mail["links"][0]["token"], "abc");
    for entry in std::fs::read_dir(text("folder")).expect("the folder of mails") {
        let mode = entry.expect("a mail").metadata().expect("its mode").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[tokio::test]
async fn dev_says_who_runs_where_and_leaves_no_process_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let (state, base) = (folder.path().join("state"), port_base());
    let (mut dev, told) = start(&state, base).await;
    let first = everything(&dev, &told);
    the_told_credentials_are_good(&told).await;
    the_issuer_of_a_tenant_with_a_host_answers(&state, &told).await;
    dev_json_is_private_and_holds_no_key(&state);
    a_mail_is_caught_and_shown(&state, &told).await;

    for mut second in [command("dev", &state), wrangler_dev(&state)] {
        let second = second.output().expect("a second command");
        assert!(!second.status.success());
        let words = said(&second);
        for told in [dev.pid().to_string(), told["edge"]["url"].as_str().expect("an address").to_owned()] {
            assert!(words.contains(&told), "a second one says who runs where: {words}");
        }
    }

    kill_9(dev.pid());
    dev.kill();
    let (mut dev, told) = start(&state, base).await;
    let next = everything(&dev, &told);
    all_gone(&first).await;
    the_told_credentials_are_good(&told).await;
    assert_eq!(last_mail(&state)["links"][0]["token"], "abc", "mails outlive a dev that was killed");

    interrupt(dev.pid());
    let (ended, took) = wait::until_within(STOP, "dev to end", async || dev.ended()).await;
    assert!(ended.success(), "{ended}");
    all_gone(&next).await;
    assert!(!state.join("dev.json").exists());
    eprintln!("{} processes gone {took:?} after Ctrl-C", next.len());

    what_was_prepared_is_served_by_wrangler_dev(&state, base).await;
}

/// `./wardgate wrangler dev` on a state.
fn wrangler_dev(state: &Path) -> Command {
    let mut command = Command::new(environment::xtask());
    command.args(["wrangler", "dev"]).env("WARDGATE_STATE", state);
    command
}

/// A clone with nothing but what a plain `wrangler dev` reads: its configuration, the bundle, and the variables
/// that `dev` leaves as `.dev.vars`.
fn plain_wrangler_dev(state: &Path, port: u16, clone: &Path) -> Command {
    let root = environment::workspace();
    std::fs::copy(root.join("wrangler.toml"), clone.join("wrangler.toml")).expect("wrangler.toml");
    std::fs::copy(state.join("edge.vars"), clone.join(".dev.vars")).expect("edge.vars");
    std::os::unix::fs::symlink(root.join("build"), clone.join("build")).expect("the bundle");
    let mut command = environment::wrangler();
    command.args(["dev", "--ip", "127.0.0.1", "--port", &port.to_string(), "--persist-to"]);
    command.arg(state.join("edge")).current_dir(clone);
    command
}

async fn what_was_prepared_is_served_by_wrangler_dev(state: &Path, base: u16) {
    let prepared = command("dev", state).arg("--prepare").output().expect("dev --prepare");
    assert!(prepared.status.success(), "{}", said(&prepared));
    let words = said(&prepared);
    assert!(words.contains("./wardgate wrangler dev"), "it says how to go on: {words}");
    assert!(!state.join("dev.json").exists(), "nothing runs");

    let secrets: Value =
        serde_json::from_slice(&std::fs::read(state.join("secrets.json")).expect("secrets")).expect("JSON");
    let credentials = json!({"username": "ada", "password": secrets["admin_password"]});
    let http = Http::new(format!("http://127.0.0.1:{}/t/acme", base + 7));
    let clone = tempfile::tempdir().expect("a folder");
    for (name, wrangler) in [
        ("wrangler", wrangler_dev(state)),
        ("wrangler-plain", plain_wrangler_dev(state, base + 7, clone.path())),
    ] {
        let mut wrangler = Process::start(name, wrangler, Talk::No);
        let (answer, took) = wait::until_within(STOP, "a sign-in at wrangler dev", async || {
            assert!(wrangler.ended().is_none(), "{name} ended:\n{}", wrangler.log_tail());
            Reply::try_to(http.request(Method::POST, "/api/token/").json(&credentials)).await.ok()
        })
        .await;
        let session = Session::of(&http, &answer.expect(200));
        let _ = session.validate().await.expect(200);
        let _ = session.refreshed().await.validate().await.expect(200);
        eprintln!("{name} signs in {took:?} after its start");
        if name == "wrangler" {
            let dev = command("dev", state).output().expect("a dev beside it");
            assert!(said(&dev).contains("wrangler dev"), "D1 is one program's at a time: {}", said(&dev));
        }
        let mut all = descendants(wrangler.pid());
        all.push(wrangler.pid());
        interrupt(wrangler.pid());
        wait::until_within(STOP, "wrangler to end", async || wrangler.ended()).await;
        all_gone(&all).await;
    }
}

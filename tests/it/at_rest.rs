//! Stored data does not identify users: the database, its files, those of the edge's databases and copies, the logs,
//! the checkpoints. Looked for are names, addresses, telephone numbers, reasons and whatever strangers typed, in a
//! stack that was used for everything.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt as _;
use rand::Rng as _;
use rand::rngs::StdRng;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use wardgate_tests::actors::Session;
use wardgate_tests::dev::{self, wardgate};
use wardgate_tests::http::{Http, Reply, served};
use wardgate_tests::marks::{Marks, files};
use wardgate_tests::process::interrupt;
use wardgate_tests::{seed, wait};

const USERS: &str = "/api/user/users/";

/// Makes texts that must not be found, and remembers them.
struct Texts {
    rng: StdRng,
    made: Vec<String>,
}

impl Texts {
    fn text(&mut self, kind: &str) -> String {
        let text = format!("{kind}{:012x}", self.rng.random::<u64>() >> 16);
        self.made.push(text.clone());
        text
    }

    /// Without a digit or letter of a hexadecimal number, of which the names are made: a password that is similar to the name
    /// beside it is refused.
    fn password(&mut self) -> String {
        let text: String = (0..20).map(|_| char::from(self.rng.random_range(b'g'..=b'z'))).collect();
        self.made.push(text.clone());
        text
    }

    fn number(&mut self) -> String {
        let number = self.rng.random_range(100_000_000_000_u64..1_000_000_000_000).to_string();
        self.made.push(number.clone());
        number
    }

    fn profile(&mut self) -> Value {
        json!({
            "username": self.text("name"),
            "email": format!("{}@{}.test", self.text("box"), self.text("house")),
            "first_name": self.text("first"),
            "last_name": self.text("last"),
            "phone": format!("+{}", self.number()),
        })
    }
}

/// An administrator of a tenant, through the edge.
struct Desk<'s> {
    state: &'s Path,
    slug: &'s str,
    http: Http,
    admin: Session,
}

impl<'s> Desk<'s> {
    /// Makes an administrator by the command line, and signs them in.
    async fn open(state: &'s Path, edge: &str, slug: &'s str, texts: &mut Texts) -> Self {
        let (name, password) = (texts.text("root"), texts.password());
        let create = ["user", "create", &name, "--tenant", slug, "--role", "root-admin", "--password-stdin"];
        command(state, &create, &password);
        let http = Http::new(format!("{edge}/t/{slug}"));
        let credentials = json!({"username": name, "password": password});
        let (signed_in, _) = wait::until("the administrator at the edge", async || {
            // Ten wrong tries in five minutes: what is not known yet must not use them up.
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
            let reply = http.post("/api/token/", &credentials).await;
            (reply.status == 200).then_some(reply)
        })
        .await;
        let admin = Session::of(&http, &signed_in);
        Self { state, slug, http, admin }
    }

    async fn call(&self, method: Method, path: &str, body: &Value) -> Reply {
        served(async || {
            let request = self.http.request(method.clone(), path).bearer_auth(&self.admin.access);
            Reply::to(if body.is_null() { request } else { request.json(body) }).await
        })
        .await
    }

    async fn get(&self, path: &str) -> Reply {
        self.call(Method::GET, path, &Value::Null).await
    }

    /// Everything that an administrator does to users.
    async fn administer(&self, texts: &mut Texts) {
        for _ in 0..3 {
            let mut profile = texts.profile();
            let asked = profile.clone();
            let password = texts.password();
            profile["password"] = json!(password);
            let made = self.call(Method::POST, USERS, &profile).await.expect(201);
            let user = format!("{USERS}{}/", made.text_at("id"));
            let taken = self.call(Method::POST, USERS, &profile).await;
            assert_eq!(taken.status, 400, "{}", taken.text);
            for (name, value) in asked.as_object().expect("a profile") {
                let value = value.as_str().expect("a text").replace('+', "%2B");
                let _ = self.get(&format!("{USERS}?search={value}")).await.expect(200);
                // What cannot be filtered by is a 400, and is in the line of the log all the same, if anything is.
                let _ = self.get(&format!("{USERS}?{name}={value}")).await;
            }
            let _ = self.get(&format!("{USERS}?ordering=email,username")).await.expect(200);
            let changed = texts.profile();
            let _ = self.call(Method::PATCH, &user, &changed).await.expect(200);
            let wrong = json!({"email": format!("no address {}", texts.text("wrong"))});
            let _ = self.call(Method::PATCH, &user, &wrong).await.expect(400);
            let unmask = json!({"fields": ["phone"], "reason": texts.text("because ")});
            let _ = self.call(Method::POST, &format!("{user}unmask/"), &unmask).await.expect(200);
            self.sign_in(&changed, &password, texts).await;
        }
        let gone = self.call(Method::POST, USERS, &texts.profile()).await.expect(201).text_at("id");
        let _ = self.call(Method::DELETE, &format!("{USERS}{gone}/"), &Value::Null).await.expect(204);
        let _ = self.get("/api/audit/?page_size=100").await.expect(200);
        let _ = self.get("/api/audit/export/").await.expect(200);
        let _ = self.get("/api/audit/verify/").await.expect(200);
        let _ = self.get(&format!("/{}/", texts.text("path"))).await.expect(404);
    }

    /// Everything that a user does, and a stranger who guesses.
    async fn sign_in(&self, profile: &Value, password: &str, texts: &mut Texts) {
        let credentials = json!({"username": profile["email"], "password": password});
        let (signed_in, _) = wait::until("the user's new address at the edge", async || {
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
            let reply = self.http.post("/api/token/", &credentials).await;
            (reply.status == 200).then_some(reply)
        })
        .await;
        let session = Session::of(&self.http, &signed_in).refreshed().await;
        let _ = session.me().await.expect(200);
        let _ = session.log_out().await.expect(204);
        for body in [
            json!({"username": profile["username"], "password": texts.text("guess")}),
            json!({"username": texts.text("stranger"), "password": texts.text("guess")}),
            json!({"username": texts.text("stranger"), "pass": texts.text("guess")}),
        ] {
            let refused = served(async || self.http.post("/api/token/", &body).await).await;
            assert!(refused.status == 401 || refused.status == 400, "{}", refused.text);
        }
        let query = format!("/api/token/?username={}", texts.text("query"));
        let _ = self.http.post(&query, &json!([])).await;
    }

    /// Everything that an operator does.
    fn operate(&self, texts: &mut Texts) {
        let (name, password) = (texts.text("operated"), texts.password());
        let tenant = ["--tenant", self.slug];
        let run = |arguments: &[&str], input: &str| {
            command(self.state, &[arguments, &tenant[..]].concat(), input);
        };
        let (first, last) = (texts.text("first"), texts.text("last"));
        let email = format!("{}@x.test", texts.text("box"));
        let create =
            ["user", "create", &name, "--email", &email, "--first-name", &first, "--last-name", &last];
        run(&[&create[..], &["--password-stdin"]].concat(), &password);
        run(&["user", "show", &name], "");
        run(&["user", "suspend", &email], "");
        run(&["user", "resume", &name], "");
        run(&["user", "set-password", &name], &texts.password());
        run(&["user", "list", "--search", &last], "");
        run(&["user", "delete", &name, "--yes"], "");
        let folder = tempfile::tempdir().expect("a folder outside the state");
        let dump = folder.path().join("dump.json");
        std::fs::write(&dump, old_users(texts).to_string()).expect("a dump");
        run(&["import", "django", "--dump", dump.to_str().expect("a path")], "");
    }
}

/// Users of a Django service, as dumpdata writes them.
fn old_users(texts: &mut Texts) -> Value {
    let user = |id: i32, texts: &mut Texts| {
        let mut fields = texts.profile();
        fields.as_object_mut().expect("a profile").remove("phone");
        let digest = STANDARD.encode(texts.rng.random::<[u8; 32]>());
        texts.made.push(digest.clone());
        fields["password"] = json!(format!("pbkdf2_sha256$20000${}${digest}", texts.text("salt")));
        json!({"model": "auth.user", "pk": id, "fields": fields})
    };
    Value::from(vec![user(1, texts), user(2, texts)])
}

/// Runs a command of the service's command line on the state's set.
fn command(state: &Path, arguments: &[&str], input: &str) {
    let mut command = wardgate(state);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the command line");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("its standard input");
    let done = child.wait_with_output().expect("its end");
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "wardgate {arguments:?}: {said}");
}

/// All rows of all tables, as a dump in plain text has them.
async fn dump(url: &str) -> Vec<(String, Vec<u8>)> {
    let mut connection = PgConnection::connect(url).await.expect("the set's database");
    let tables: Vec<(String,)> = sqlx::query_as(
        "select format('%I.%I', schemaname, tablename)
         from pg_tables
         where schemaname not in ('pg_catalog', 'information_schema')",
    )
    .fetch_all(&mut connection)
    .await
    .expect("the tables");
    let mut dump = Vec::new();
    for (table,) in tables {
        let mut rows = Vec::new();
        let copy = connection.copy_out_raw(&format!("copy {table} to stdout")).await;
        let mut copy = copy.expect("a copy of a table");
        while let Some(chunk) = copy.next().await {
            rows.extend_from_slice(&chunk.expect("rows"));
        }
        drop(copy);
        dump.push((table, rows));
    }
    let _ = connection.close().await;
    dump
}

/// The part of a set that a file of its state belongs to.
fn part(state: &Path, file: &Path) -> String {
    let inside = file.strip_prefix(state).expect("a file of the state");
    inside
        .components()
        .next()
        .map(|first| first.as_os_str().to_string_lossy().into_owned())
        .unwrap_or_default()
}

#[tokio::test]
async fn nothing_that_is_kept_tells_who_somebody_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    let (mut set, told) = dev::start(&state, dev::port_base()).await;
    let mut texts = Texts { rng: seed::rng("at_rest"), made: Vec::new() };
    let small = format!("t{}", seed::unique());
    let by_password = ["--set", "second_factor_roles="];
    command(&state, &[&["tenant", "create", &small, "--isolation", "shared"][..], &by_password].concat(), "");
    let edge = told["edge"]["url"].as_str().expect("an address");
    let own = told["tenant"]["slug"].as_str().expect("a slug");
    for slug in [own, small.as_str()] {
        let desk = Desk::open(&state, edge, slug, &mut texts).await;
        desk.administer(&mut texts).await;
        desk.operate(&mut texts);
        // What the edge recorded is in control's log, which tells of it.
        wait::until("the edge's facts in the log", async || {
            let log = desk.get("/api/audit/?action=edge.signed_out").await.expect(200).json();
            log["count"].as_u64().is_some_and(|count| count >= 3).then_some(())
        })
        .await;
        command(&state, &["search", "status", slug], "");
        command(&state, &["audit", "verify", "--tenant", slug], "");
    }
    let marks = Marks::new(texts.made);
    eprintln!("{} texts are looked for", marks.len());
    assert!(marks.len() >= 40);

    let rows = dump(told["postgres"]["owner_url"].as_str().expect("an address")).await;
    for (table, rows) in &rows {
        assert_eq!(marks.found_in(rows), [""; 0], "rows of {table}");
    }
    let users = rows.iter().filter(|(table, rows)| table.ends_with(".users") && !rows.is_empty());
    assert!(users.count() >= 2, "the users of both tenants were read");

    // Checkpoints are written each minute.
    let checkpoints = state.join("checkpoints");
    wait::until("a checkpoint", async || {
        checkpoints.is_dir().then(|| files(&checkpoints).len()).filter(|count| *count > 0)
    })
    .await;
    interrupt(set.pid());
    wait::until("the set to end", async || set.ended()).await;
    let mut sizes = std::collections::BTreeMap::<String, usize>::new();
    // Mails are what left the service: in `dev` this folder stands for the mailboxes of the users.
    let mails = state.join("mails");
    for file in files(&state).into_iter().filter(|file| !file.starts_with(&mails)) {
        let bytes = std::fs::read(&file).expect("a file of the state");
        assert_eq!(marks.found_in(&bytes), [""; 0], "{}", file.display());
        *sizes.entry(part(&state, &file)).or_default() += bytes.len();
    }
    eprintln!("bytes by part: {sizes:?}");
    for kept in ["postgres", "edge", "logs", "checkpoints"] {
        assert!(sizes.get(kept).is_some_and(|size| *size > 0), "{kept} was read: {sizes:?}");
    }
}

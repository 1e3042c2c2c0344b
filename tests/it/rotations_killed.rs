//! Secrets are renewed while control, the command and PostgreSQL are killed at random moments: each rotation ends,
//! nothing is lost, no user is signed out.

use std::path::Path;
use std::time::Duration;

use rand::Rng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use wardgate_tests::actors::{Session, Tenant, User};
use wardgate_tests::database::Database;
use wardgate_tests::environment::scaled;
use wardgate_tests::http::served;
use wardgate_tests::secrets::named_key;
use wardgate_tests::server::Server;
use wardgate_tests::stack::{Stack, free_port};
use wardgate_tests::{seed, wait};

/// Users without a password, so that a rotation has something to do.
const CROWD: usize = 150;

/// A rotation of one secret, as an operator begins it and looks at it.
struct Rotation {
    name: &'static str,
    /// Begins it, or goes on with it. It may be refused where a rotation is under way.
    command: Vec<String>,
    /// Carries on what a running `serve` has left.
    finish: Option<Vec<String>>,
    status: Vec<String>,
    /// Whether nothing is left to do.
    has_ended: fn(&Value) -> bool,
    /// Whether it waits until every control knows the newest key of the tenant, for which the key is made older.
    ages: bool,
}

impl Rotation {
    /// One that the same command begins and carries on.
    fn of(name: &'static str, command: &str, status: &str, has_ended: fn(&Value) -> bool) -> Self {
        let command = words(command);
        Self { name, finish: Some(command.clone()), command, status: words(status), has_ended, ages: false }
    }
}

/// What is killed.
#[derive(Clone, Copy, Debug)]
enum Victim {
    Command,
    Control,
    PostgreSQL,
}

/// A stack, of which a test kills the parts, and users who notice nothing.
struct Site<'s> {
    stack: &'s Stack,
    server: Server,
    folder: &'s Path,
    port: u16,
    acme: &'s Tenant<'s>,
    users: &'s [User<'s>],
    /// Of these users. The first is an administrator.
    sessions: Vec<Session>,
}

impl Site<'_> {
    async fn kill(&mut self, victim: Victim, command: &mut wardgate_tests::process::Process) {
        match victim {
            Victim::Command => command.kill(),
            Victim::Control => {
                self.stack.kill_control().await;
                self.stack.start_control().await;
            }
            Victim::PostgreSQL => {
                self.server.kill().await;
                self.server = Server::start("rotations", self.folder, self.port);
            }
        }
    }

    /// Every session goes on, through the edge and through control.
    async fn sessions_go_on(&mut self) {
        for session in &mut self.sessions {
            let refreshed = served(async || session.try_refresh().await).await.expect(200);
            *session = Session::of(&self.acme.http, &refreshed);
            let _ = served(async || session.me().await).await.expect(200);
        }
    }

    async fn run(&self, command: &[String]) -> String {
        self.stack.command_beside(&command.iter().map(String::as_str).collect::<Vec<_>>()).await
    }

    async fn has_ended(&self, rotation: &Rotation) -> bool {
        let said = self.run(&rotation.status).await;
        (rotation.has_ended)(&serde_json::from_str(&said).expect("JSON"))
    }

    /// An hour passes for the tenant's keys, and for a control, which knows the newest one then.
    async fn age_keys(&self) {
        self.stack.kill_control().await;
        self.stack.database.age_tenant_keys(self.acme.id).await;
        self.stack.start_control().await;
    }

    async fn survive(&mut self, rotation: &Rotation, kills: usize, rng: &mut StdRng) {
        let command: Vec<&str> = rotation.command.iter().map(String::as_str).collect();
        for _ in 0..kills {
            if rotation.ages {
                self.age_keys().await;
            }
            let mut running = self.stack.start_command(&command);
            let moment = Duration::from_millis(rng.random_range(0..1200));
            tokio::time::sleep(moment).await;
            let victim = [Victim::Command, Victim::Control, Victim::PostgreSQL][rng.random_range(0..3)];
            eprintln!("{}: {victim:?} is killed after {moment:?}", rotation.name);
            self.kill(victim, &mut running).await;
            self.sessions_go_on().await;
        }
        if rotation.ages {
            self.age_keys().await;
        }
        if let Some(finish) = &rotation.finish
            && !self.has_ended(rotation).await
        {
            self.run(finish).await;
        }
        let (_, took) =
            wait::until(rotation.name, async || self.has_ended(rotation).await.then_some(())).await;
        eprintln!("{}: ended {took:?} after the last kill", rotation.name);
        self.everything_is_there().await;
    }

    /// Every user can sign in, is found, and is shown whole.
    async fn everything_is_there(&mut self) {
        self.sessions_go_on().await;
        for user in self.users {
            let session = user.sign_in().await;
            assert_eq!(session.me().await.expect(200).text_at("username"), user.username);
        }
        let warden = &self.sessions[0];
        let get = async |path: String| served(async || warden.get(&path).await).await.expect(200).json();
        let mut found = 0;
        for page in 1..=CROWD.div_ceil(100) + 1 {
            let list = get(format!("/api/user/users/?search=crowd&page_size=100&page={page}")).await;
            let results = list["results"].as_array().expect("results");
            assert!(
                results
                    .iter()
                    .all(|user| user["email"].as_str().is_some_and(|email| email.starts_with("crowd")))
            );
            found += results.len();
            if list["next"].is_null() {
                break;
            }
        }
        assert_eq!(found, CROWD);
        let log = get("/api/audit/verify/".into()).await;
        assert_eq!(log["intact"], true, "{log}");
    }
}

fn words(command: &str) -> Vec<String> {
    command.split(' ').map(ToOwned::to_owned).collect()
}

fn only_the_present_key(status: &Value) -> bool {
    status["results"].as_array().is_some_and(|rows| rows.iter().all(|row| row["current"] == true))
}

fn rotations(slug: &str) -> [Rotation; 6] {
    let key = format!("encryption rotate --tenant {slug}");
    let key_status = format!("encryption status --tenant {slug} --json");
    [
        Rotation::of(
            "control's key-encryption key",
            "encryption rewrap",
            "encryption status --json",
            only_the_present_key,
        ),
        Rotation::of("the edge's key-encryption key", "edges reseal", "edges seals --json", |status| {
            only_the_present_key(status) && status["results"][0]["unconfirmed"] == 0
        }),
        Rotation {
            ages: true,
            ..Rotation::of("the tenant's data key", &key, &key_status, |status| status["former"] == json!([]))
        },
        Rotation {
            finish: Some(words(&format!("lookup resume {slug}"))),
            ..Rotation::of(
                "the lookup root",
                &format!("lookup rotate {slug} --yes"),
                &format!("lookup status {slug} --json"),
                |status| status["version"] == 2,
            )
        },
        Rotation {
            finish: Some(words(&format!("search rebuild {slug}"))),
            ..Rotation::of(
                "the search root",
                &format!("search rotate {slug} --yes"),
                &format!("search status {slug} --json"),
                |status| status["complete"] == true,
            )
        },
        Rotation {
            finish: None,
            // The edge has confirmed that it knows the new root. When it signs, a test with another clock sees.
            ..Rotation::of(
                "the session root",
                &format!("session-root rotate {slug}"),
                &format!("session-root status {slug} --json"),
                |status| status["state"] == "planned",
            )
        },
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_rotation_ends_whatever_is_killed_meanwhile() {
    let mut rng = seed::rng("rotations_killed");
    let folder = tempfile::tempdir().expect("a folder");
    let (state, port) = (folder.path().join("state"), free_port());
    let server = Server::start("rotations", &state, port);
    let stack = Stack::over("rotations", Database::create_on(&server.url).await).await;
    let acme = Tenant::create(&stack).await;
    let warden = acme.user_with("warden", json!({"roles": ["root-admin"]})).await;
    let users: Vec<_> = std::iter::once(warden).chain(acme.users(2).await).collect();
    for at in 0..CROWD {
        let email = format!("crowd{at}@{}.test", acme.slug);
        let body = json!({"username": format!("crowd{at}"), "email": email, "roles": ["client"]});
        let made = served(async || acme.admin.post("/api/user/users/", &body).await).await;
        let _ = made.expect(201);
    }
    acme.settle().await;
    let mut sessions = Vec::new();
    for user in &users {
        sessions.push(user.sign_in().await);
    }
    let mut site = Site { stack: &stack, server, folder: &state, port, acme: &acme, users: &users, sessions };
    let kills = scaled(4, 20);

    let (former, present) = (stack.secrets.control_kek.as_str(), named_key("control-kek-2"));
    let keys = [("WARDGATE_ENCRYPTION_KEK", present.as_str()), ("WARDGATE_ENCRYPTION_FORMER_KEK", former)];
    stack.configure(&keys).await;
    let (former, present) = (stack.secrets.edge_kek.as_str(), named_key("edge-kek-2"));
    stack.deploy(&[("EDGE_KEK_A", &present), ("EDGE_KEK_B", former)]).await;
    stack.configure(&[("WARDGATE_EDGE_KEK", &present)]).await;
    for rotation in rotations(&acme.slug) {
        site.survive(&rotation, kills, &mut rng).await;
    }
    // Data and connections go before the server that they are of.
    let Site { server, .. } = site;
    drop(stack);
    drop(server);
}

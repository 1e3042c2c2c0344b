//! Which passwords are refused, on every route, and with which texts; lists; former passwords of a user.

use std::path::PathBuf;

use control::audit::Actor;
use control::jobs::queue::Job as _;
use control::passwords::Filters;
use control::passwords::filter::{Built, Form, build};
use control::setup;
use control::tenants::{self, Edit, Isolation};
use control::users::password_history::ForgetPasswords;
use control::users::{self, Change, Chooser, Successor, UserError};
use reqwest::Method;
use serde_json::json;
use shared::ids::UserId;
use shared::tenant::settings::Settings;

use crate::cli::Cli;
use crate::scale::Numbers;
use crate::scene::{Answer, Member, PASSWORD, Scene};

const COMMON: &str = "This password is too common.";
const REUSED: &str = "You cannot reuse a recent password.";

/// On Django's list; zxcvbn would let it pass.
const LISTED: &str = "pe#5gz29ptzmse";
/// Withstands more than a million guesses, and fewer than a hundred million.
const MEDIUM: &str = "Mercury-9x";

fn good(at: usize) -> String {
    format!("Zug um sieben nach Ulm, Gleis {at}")
}

/// A file of this test's own, removed with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, content: &[u8]) -> Self {
        let random: [u8; 6] = control::world::random().unwrap();
        let random = random.map(|byte| format!("{byte:02x}")).concat();
        let path = std::env::temp_dir().join(format!("wardgate-{random}-{name}"));
        std::fs::write(&path, content).unwrap();
        Self(path)
    }

    /// A filter of these passwords.
    fn filter(words: &[&str]) -> Self {
        let list = Self::new("words.txt", words.join("\n").as_bytes());
        let wanted = Built {
            form: Form::Words,
            least_count: 1,
            false_positives: 0.001,
            source: "a test",
            made_at: "2026-11-01T00:00:00Z".parse().unwrap(),
        };
        let scratch = Self::new("own.filter", b"");
        build(&list.0, &wanted, |_| {}).unwrap().save(&scratch.0).unwrap();
        scratch
    }

    fn path(&self) -> String {
        self.0.display().to_string()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Scene {
    pub async fn asks_of_passwords(&self, change: impl FnOnce(&mut Settings)) {
        let mut tx = self.control.db.tenant_tx(self.tenant.id).await.unwrap();
        let mut settings = tenants::find(&mut tx, self.tenant.id).await.unwrap().settings;
        change(&mut settings);
        let edit = Edit { settings: Some(settings), ..Edit::default() };
        tenants::edit(&self.control, &mut tx, &Actor::operator(), self.tenant.id, edit).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// A root-admin with a password that they may change.
    async fn owner(&self, name: &str) -> Member {
        let member = self.member(name, "root-admin").await;
        let password = Successor::of(&self.control.hasher, self.tenant.id, &good(0)).await.unwrap();
        let change = Change { password: Some(password), ..Change::default() };
        let mut tx = self.control.db.tenant_tx(self.tenant.id).await.unwrap();
        users::change(&self.control, &mut tx, &Actor::operator(), member.id, change).await.unwrap();
        tx.commit().await.unwrap();
        self.again(&member).await
    }

    /// The same member with a new token: a new password ends tokens.
    async fn again(&self, member: &Member) -> Member {
        self.acting_as(&self.user(member.id).await).await
    }

    /// The member chooses a password.
    async fn chooses(&self, member: &Member, password: &str) -> Answer {
        let member = self.again(member).await;
        member.patch(&path(member.id), json!({"password": password})).await
    }

    async fn remembered(&self, user: UserId) -> i64 {
        let mut tx = self.control.db.tenant_tx(self.tenant.id).await.unwrap();
        let count = "select count(*) from password_history where tenant_id = $1 and user_id = $2";
        let count = sqlx::query_scalar(count).bind(self.tenant.id.uuid()).bind(user.uuid());
        count.fetch_one(&mut *tx).await.unwrap()
    }
}

fn path(user: UserId) -> String {
    format!("/api/user/users/{user}/")
}

#[track_caller]
fn assert_said(answer: &Answer, words: &[&str]) {
    assert_eq!((answer.status, &answer.body), (400, &json!({"password": words})));
}

/// One function decides for every route; only the names that are compared differ.
#[tokio::test]
async fn every_door_refuses_alike() {
    let scene = Scene::alone().await;
    let ada = scene.member("ada", "root-admin").await;
    let users = "/api/user/users/";
    let bob = ada.post(users, json!({"username": "bob", "password": PASSWORD})).await.expect(201).id();
    let platform = scene.platform().await;
    let operator = platform.member("op", "root-admin").await;
    for (password, words) in [
        ("xk7-Qzw", &["This password is too short. It must contain at least 8 characters."][..]),
        (LISTED, &[COMMON]),
        ("12345678", &[COMMON, "This password is entirely numeric."]),
        ("newcomer-xq", &["The password is too similar to the username."]),
    ] {
        let body = json!({"username": "newcomer", "password": password});
        assert_said(&ada.post(users, body.clone()).await, words);
        assert_said(&ada.patch(&path(bob), body.clone()).await, words);
        assert_said(&ada.call(Method::PUT, &path(bob), Some(body)).await, words);
        let admin = json!({"username": "newcomer", "email": "n@x.io", "password": password});
        let tenant = json!({
            "slug": "newco", "name": "Newco", "settings": {"min_password_length": 8}, "admin": admin,
        });
        let refused = operator.post("/api/tenant/tenants/", tenant).await.expect(400);
        let prefixed: Vec<_> = words.iter().map(|word| format!("password: {word}")).collect();
        assert_eq!(refused.body, json!({"admin": prefixed}));
    }
    // The platform asks for 15 characters.
    let token = setup::issue(&scene.control).await.unwrap().text;
    let body =
        json!({"token": *token, "username": "eve", "email": "e@x.io", "password": "123456789987654321"});
    let refused = scene.anonymous(Method::POST, "/api/user/setup/", Some(body)).await;
    assert_said(&refused, &[COMMON, "This password is entirely numeric."]);

    let cli = Cli { variables: scene.database.variables(&scene.edge.url) };
    let slug = scene.tenant.slug.to_string();
    for arguments in [
        &["user", "set-password", "bob", "--tenant", &slug][..],
        &["user", "create", "cyd", "--tenant", &slug, "--password-stdin"],
    ] {
        let refused = cli.run(arguments, LISTED).expect(5);
        assert!(refused.stderr.contains(COMMON), "{}", refused.stderr);
    }
}

#[tokio::test]
async fn a_tenant_says_how_hard_to_guess() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "root-admin").await;
    let bob = ada.post("/api/user/users/", json!({"username": "bob"})).await.expect(201).id();
    let set = async |password: &str| ada.patch(&path(bob), json!({"password": password})).await;
    set(MEDIUM).await.expect(200);
    assert_said(&set("qwertzuiopü").await, &[COMMON]);
    let tenant = format!("/api/tenant/tenants/{}/", scene.tenant.id);
    let settings = |strength: u64| json!({"settings": {"password_strength": strength}});
    let shown = ada.patch(&tenant, settings(3)).await.expect(200);
    assert_eq!(shown.body["settings"]["password_strength"], 3);
    assert_said(&set(MEDIUM).await, &["This password is too easy to guess."]);
    set(PASSWORD).await.expect(200);
    ada.patch(&tenant, settings(0)).await.expect(200);
    set("qwertzuiopü").await.expect(200);
    assert_said(&set(LISTED).await, &[COMMON]);
    let shown = ada.patch(&tenant, settings(2)).await.expect(200);
    assert_eq!(shown.body["settings"].get("password_strength"), None, "as without");
    assert_said(&set("qwertzuiopü").await, &[COMMON]);
    for (name, beyond) in [("password_strength", 5), ("password_history", 25)] {
        let refused = ada.patch(&tenant, json!({"settings": {name: beyond}})).await.expect(400);
        let words = format!("Ensure this value is less than or equal to {}.", beyond - 1);
        assert_eq!(refused.body, json!({name: [words]}));
    }
}

#[tokio::test]
async fn a_filter_of_the_settings_is_asked_beside_the_one_that_ships() {
    let filter = Scratch::filter(&["Wardgate Rocks 2026", "another one of ours"]);
    let variables = vec![("WARDGATE_PASSWORDS_FILTER", filter.path())];
    let scene = Scene::under(variables, Isolation::Shared).await;
    let ada = scene.member("ada", "root-admin").await;
    let numbers = Numbers::new();
    let _kept = numbers.keep();
    let make = async |password: &str| {
        ada.post("/api/user/users/", json!({"username": "bob", "password": password})).await
    };
    for listed in ["Wardgate Rocks 2026", LISTED] {
        assert_said(&make(listed).await, &[COMMON]);
    }
    assert_said(&make("qwertzuiopü").await, &[COMMON]);
    make("Wardgate Rocks 2027").await.expect(201);
    for list in ["own", "common"] {
        let refused = numbers.gauge(&format!("wardgate_passwords_listed_total{{list=\"{list}\"}}"));
        assert_eq!(refused.to_string(), "1", "{list}: what is only easy to guess is on no list");
    }
}

#[tokio::test]
async fn a_file_that_is_no_filter_is_refused_at_the_start_by_its_setting() {
    let scene = Scene::new().await;
    let good = Scratch::filter(&["one"]);
    let bytes = std::fs::read(&good.0).unwrap();
    let mut altered = bytes.clone();
    let middle = bytes.len() - 40;
    altered[middle] ^= 1;
    for (name, content, said) in [
        ("foreign", &b"not a filter"[..], "it is no filter that `wardgate passwords filter build` made"),
        ("cut", &bytes[..bytes.len() - 1], "it is damaged: build it again"),
        ("altered", &altered, "it is damaged: build it again"),
    ] {
        let file = Scratch::new(name, content);
        let mut variables = scene.database.variables(&scene.edge.url);
        variables.insert("WARDGATE_PASSWORDS_FILTER", file.path());
        let refused = Cli { variables }.run(&["serve"], "").expect(3);
        assert!(
            refused.stderr.contains("WARDGATE_PASSWORDS_FILTER (`passwords.filter`) is not usable")
                && refused.stderr.contains(said),
            "{name}: {}",
            refused.stderr
        );
    }
    let mut variables = scene.database.variables(&scene.edge.url);
    variables.insert("WARDGATE_PASSWORDS_FILTER", String::from("/no/such/file"));
    Cli { variables }.run(&["tenant", "list"], "").expect(3);
}

#[tokio::test]
async fn filters_are_built_asked_and_shown_by_commands_without_a_database() {
    let cli = Cli { variables: Default::default() };
    let digests = [("breached once", 1), ("breached often", 500)].map(|(password, count)| {
        let digest = control::passwords::filter::digest_of(password);
        format!("{}:{count}", digest.map(|byte| format!("{byte:02X}")).concat())
    });
    let list = Scratch::new("pwned.txt", digests.join("\r\n").as_bytes());
    let out = Scratch::new("out.filter", b"before");
    let (list, path) = (list.path(), out.path());
    let built =
        [&["passwords", "filter", "build", &list, "--out", &path][..], &["--least-count", "10"]].concat();
    let built = cli.run(&built, "").expect(0).json;
    assert_eq!((&built["entries"], &built["least_count"]), (&json!(1), &json!(10)));
    let check = ["passwords", "filter", "check", "--filter", &path];
    let listed = cli.run(&check, "breached often\n").expect(5);
    assert_eq!(listed.json, json!({"listed": [path]}));
    assert_eq!(cli.run(&check, "breached once\n").expect(0).json, json!({"listed": []}));
    let shown = cli.run(&["passwords", "filter", "info", "--filter", &path], "").expect(0).json;
    let shown = &shown["results"][0];
    assert_eq!((&shown["entries"], &shown["least_count"]), (&json!(1), &json!(10)));
    assert!(shown["source"].as_str().unwrap().ends_with("pwned.txt"), "{shown}");

    let wrong = cli.run(&["passwords", "filter", "build", &path, "--out", "/tmp/never.filter"], "").expect(5);
    assert!(wrong.stderr.contains("line 1: expected 40 hexadecimal digits"), "{}", wrong.stderr);
    cli.run(&["passwords", "filter", "build", "/no/such", "--out", "/tmp/never.filter"], "").expect(1);
    let rate = ["passwords", "filter", "build", &list, "--out", &path, "--false-positives", "0.5"];
    cli.run(&rate, "").expect(2);
    cli.run(&["passwords", "filter", "info", "--filter", &list], "").expect(5);
    // Without --filter the settings say which.
    cli.run(&["passwords", "filter", "check"], "x").expect(3);

    let scene = Scene::new().await;
    let mut variables = scene.database.variables(&scene.edge.url);
    variables.insert("WARDGATE_PASSWORDS_FILTER", path);
    let cli = Cli { variables };
    assert_eq!(
        cli.run(&["passwords", "filter", "check"], LISTED).expect(5).json["listed"],
        json!(["common"])
    );
    let listed = cli.run(&["passwords", "filter", "check"], "breached often").expect(5).json;
    assert_eq!(listed["listed"], json!(["passwords.filter"]));
    let shown = cli.run(&["passwords", "filter", "info"], "").expect(0).json;
    let names: Vec<_> =
        shown["results"].as_array().unwrap().iter().map(|row| row["filter"].clone()).collect();
    assert_eq!(names, ["common", "passwords.filter"]);
    assert_eq!(shown["results"][0]["entries"], 19_640);
}

#[tokio::test]
async fn as_many_passwords_are_remembered_as_the_tenant_says() {
    for isolation in [Isolation::Schema, Isolation::Shared] {
        let scene = match isolation {
            Isolation::Schema => Scene::new().await,
            Isolation::Shared => Scene::shared().await,
        };
        let ada = scene.owner("ada").await;
        // Off: the present one may be chosen again, and nothing is kept.
        scene.chooses(&ada, &good(0)).await.expect(200);
        assert_eq!(scene.remembered(ada.id).await, 0);
        scene.asks_of_passwords(|settings| settings.password_history = 3).await;
        for at in 1..=4 {
            assert_said(&scene.chooses(&ada, &good(at - 1)).await, &[REUSED]);
            scene.chooses(&ada, &good(at)).await.expect(200);
        }
        // The present one and the two before it.
        assert_eq!(scene.remembered(ada.id).await, 2);
        for at in 2..=4 {
            assert_said(&scene.chooses(&ada, &good(at)).await, &[REUSED]);
        }
        scene.chooses(&ada, &good(1)).await.expect(200);
        // All that is wrong is said at once.
        scene.asks_of_passwords(|settings| settings.min_password_length = 64).await;
        let short = "This password is too short. It must contain at least 64 characters.";
        assert_said(&scene.chooses(&ada, &good(1)).await, &[short, REUSED]);
    }
}

/// Who could ask would learn a password by guesses.
#[tokio::test]
async fn an_administrator_is_not_told_what_another_had() {
    let scene = Scene::new().await;
    scene.asks_of_passwords(|settings| settings.password_history = 5).await;
    let ada = scene.owner("ada").await;
    let bob = scene.owner("bob").await;
    ada.patch(&path(bob.id), json!({"password": good(0)})).await.expect(200);
    ada.patch(&path(bob.id), json!({"password": good(1)})).await.expect(200);
    // A replaced password still counts.
    for at in 0..2 {
        assert_said(&scene.chooses(&bob, &good(at)).await, &[REUSED]);
    }
}

#[tokio::test]
async fn former_passwords_are_sealed_and_go_with_their_user() {
    let scene = Scene::alone().await;
    scene.asks_of_passwords(|settings| settings.password_history = 24).await;
    let (ada, bob) = (scene.owner("ada").await, scene.owner("bob").await);
    for at in 1..3 {
        scene.chooses(&bob, &good(at)).await.expect(200);
    }
    assert_eq!(scene.remembered(bob.id).await, 2);
    assert!(!scene.rows().await.contains("argon2id"), "no verifier in clear");
    scene.again(&ada).await.delete(&path(bob.id)).await.expect(204);
    assert_eq!(scene.remembered(bob.id).await, 0);
}

#[tokio::test]
async fn what_a_tenant_remembers_no_longer_is_forgotten() {
    let scene = Scene::alone().await;
    scene.asks_of_passwords(|settings| settings.password_history = 10).await;
    let (ada, bob) = (scene.owner("ada").await, scene.owner("bob").await);
    for at in 1..5 {
        scene.chooses(&ada, &good(at)).await.expect(200);
    }
    scene.chooses(&bob, &good(1)).await.expect(200);
    let remembered = async || (scene.remembered(ada.id).await, scene.remembered(bob.id).await);
    assert_eq!(remembered().await, (4, 1));
    let due = async || {
        let due = "select count(*) from platform_jobs._private_jobs where key like 'forget_passwords/%'";
        sqlx::query_scalar::<_, i64>(due).fetch_one(&mut scene.database.admin().await).await.unwrap()
    };
    scene.asks_of_passwords(|settings| settings.password_history = 12).await;
    assert_eq!(due().await, 0, "more is remembered");
    for (depth, left) in [(4, (3, 1)), (2, (1, 1)), (0, (0, 0))] {
        scene.asks_of_passwords(|settings| settings.password_history = depth).await;
        assert_eq!(due().await, 1);
        ForgetPasswords { tenant: scene.tenant.id }.run(&scene.control).await.unwrap();
        assert_eq!(remembered().await, left, "{depth}");
    }
}

/// Four concurrent changes of one password, to the same new one: whichever wins, no remembered password is accepted,
/// and each refusal is either that of a race or that of a former password.
#[tokio::test]
async fn a_password_is_compared_with_those_that_won_meanwhile() {
    let scene = Scene::new().await;
    scene.asks_of_passwords(|settings| settings.password_history = 24).await;
    let ada = scene.owner("ada").await;
    for round in 1..=4 {
        let epoch = scene.user(ada.id).await.password_epoch;
        let token = scene.again(&ada).await;
        let own = path(ada.id);
        let tries = (0..4).map(|_| token.patch(&own, json!({"password": good(round)})));
        let answers = futures::future::join_all(tries).await;
        let won = answers.iter().filter(|answer| answer.status == 200).count();
        assert_eq!(won, 1, "{answers:?}");
        for lost in answers.iter().filter(|answer| answer.status != 200) {
            // Refused by the history, by 503, or, if it began late, by the token that the winner ended.
            assert!([400, 401, 503].contains(&lost.status), "{lost:?}");
        }
        assert_eq!(scene.user(ada.id).await.password_epoch, epoch + 1);
        assert_said(&scene.chooses(&ada, &good(round)).await, &[REUSED]);
    }
}

/// Two changes that were both compared before either was written: the second one gets 503.
#[tokio::test]
async fn a_comparison_of_before_another_change_says_nothing() {
    let scene = Scene::new().await;
    let ada = scene.owner("ada").await.id;
    let chosen = async |password: &str| {
        let tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
        let (hasher, whose) = (&scene.control.hasher, (ada, Chooser::Owner));
        let made = Successor::between(&scene.control, hasher, tx, whose, Some(password.to_owned())).await;
        made.map(|(successor, tx)| (Change { password: successor, ..Change::default() }, tx)).unwrap()
    };
    let set = async |(change, mut tx)| {
        let actor = Actor::operator();
        let changed = users::change(&scene.control, &mut tx, &actor, ada, change).await;
        tx.commit().await.unwrap();
        changed.map(drop)
    };
    // Off: the last one wins, as ever.
    let (first, second) = (chosen(&good(1)).await, chosen(&good(1)).await);
    set(first).await.unwrap();
    set(second).await.unwrap();
    scene.asks_of_passwords(|settings| settings.password_history = 2).await;
    let (first, second) = (chosen(&good(2)).await, chosen(&good(2)).await);
    set(first).await.unwrap();
    let refused = set(second).await.unwrap_err();
    assert!(matches!(&refused, UserError::Failure(failure) if failure.is_passing()), "{refused:?}");
    let refused = set(chosen(&good(2)).await).await.unwrap_err();
    assert!(matches!(refused, UserError::Fields(_)), "{refused:?}");
}

#[tokio::test]
async fn the_filter_that_ships_takes_no_ordinary_password_for_listed() {
    let common = control::passwords::common().unwrap();
    let wrongly = (0..20_000).filter(|at| common.lists(&good(*at))).count();
    // Two look-ups at one in ten thousand: 4 are expected.
    assert!(wrongly < 20, "{wrongly}");
    assert!(Filters::default().ready().unwrap().lister("password").is_some());
    assert_eq!(common.header().entries, 19_640);
}

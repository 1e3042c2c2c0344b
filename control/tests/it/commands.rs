//! What the command line says and asks: lists with their totals, questions before an end, words for a slip.

use serde_json::{Value, json};
use shared::tenant::settings::Settings;

use crate::cli::{Cli, Outcome};
use crate::scene::{PASSWORD, Scene};

impl Scene {
    /// `wardgate ...` at this tenant, with `--json`.
    pub fn run(&self, arguments: &[&str]) -> Outcome {
        let mut cli = self.cli();
        cli.variables.insert("WARDGATE_TENANT", self.tenant.slug.to_string());
        cli.run(arguments, "")
    }

    /// The same as text: its standard output.
    pub fn shown(&self, arguments: &[&str]) -> String {
        let mut cli = self.cli();
        cli.variables.insert("WARDGATE_TENANT", self.tenant.slug.to_string());
        cli.show(arguments)
    }

    /// As many users as a dump has, `u0001` and so on.
    fn import_many(&self, count: usize) {
        let users = (1..=count).map(|at| {
            json!({"model": "auth.user", "pk": at, "fields": {
                "username": format!("u{at:04}"), "password": "!", "is_staff": at % 10 == 0,
                "date_joined": "2019-01-02T03:04:05Z"}})
        });
        self.import_dump(&users.collect::<Vec<_>>()).expect(0);
    }
}

fn names(listed: &Value) -> Vec<&str> {
    let rows = listed["results"].as_array().unwrap();
    rows.iter().map(|row| row["username"].as_str().unwrap()).collect()
}

/// The output of a refused command.
#[track_caller]
fn refused(outcome: Outcome, code: i32, said: &str) {
    let outcome = outcome.expect(code);
    assert!(outcome.stderr.contains(said), "{said}: {}", outcome.stderr);
}

#[tokio::test]
async fn a_list_of_users_says_how_many_there_are() {
    let scene = Scene::alone().await;
    scene.import_many(1_203);
    let first = scene.run(&["user", "list"]).expect(0).json;
    assert_eq!((names(&first).len(), &first["count"], &first["next"]), (100, &json!(1203), &json!(2)));
    let last = scene.run(&["user", "list", "--page", "13"]).expect(0).json;
    assert_eq!((names(&last).len(), &last["count"], &last["next"]), (3, &json!(1203), &json!(null)));
    refused(scene.run(&["user", "list", "--page", "14"]), 4, "the last of 1,203 users is 13");
    scene.run(&["user", "list", "--page", "0"]).expect(2);

    let shown = scene.shown(&["user", "list", "--page-size", "5"]);
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 1 + 5 + 1, "{shown}");
    assert_eq!(lines[6], "5 of 1,203 users: --page 2 shows the next users, --all shows all");
    let shown = scene.shown(&["user", "list", "--page", "13"]);
    assert_eq!(shown.lines().last(), Some("3 of 1,203 users"));

    let all = scene.run(&["user", "list", "--all", "--ordering=-username"]).expect(0).json;
    let mut expected: Vec<String> = (1..=1203).map(|at| format!("u{at:04}")).collect();
    expected.reverse();
    assert_eq!(names(&all), expected);
    assert_eq!((&all["count"], &all["next"]), (&json!(1203), &json!(null)));
    let shown = scene.shown(&["user", "list", "--all"]);
    assert_eq!((shown.lines().count(), shown.lines().last()), (1 + 1203 + 1, Some("1,203 users")));
    let starts: Vec<_> = shown.lines().skip(1).filter_map(|line| line.find("active")).collect();
    assert!(starts.iter().all(|at| *at == starts[0]), "parts stand under each other");
}

#[tokio::test]
async fn a_list_of_users_is_narrowed_and_ordered() {
    let scene = Scene::alone().await;
    scene.import_many(30);
    let list = |more: &[&str]| scene.run(&[&["user", "list"], more].concat()).expect(0).json;
    let staff = list(&["--role", "staff", "--ordering=-username"]);
    assert_eq!((names(&staff), &staff["count"]), (vec!["u0030", "u0020", "u0010"], &json!(3)));
    assert_eq!(names(&list(&["--username", "U0007"])), ["u0007"]);
    assert_eq!(names(&list(&["--search", "002", "--all"])).len(), 11);
    assert_eq!(list(&["--status", "suspended"])["count"], 0);
    assert_eq!(list(&["--created-after", "2020-01-01"])["count"], 0);
    assert_eq!(scene.shown(&["user", "list", "--status", "pending"]).lines().last(), Some("0 users"));
    refused(scene.run(&["user", "list", "--role", "stuff"]), 5, "did you mean `staff`?");
    refused(scene.run(&["user", "list", "--ordering", "age"]), 5, "--ordering: \\\"age\\\" is not");
    refused(scene.run(&["user", "list", "--status", "gone"]), 2, "suspended");
    refused(scene.run(&["user", "list", "--created-before", "soon"]), 5, "--created-before: ");
}

#[tokio::test]
async fn every_list_has_one_form() {
    let scene = Scene::alone().await;
    for (arguments, count) in [
        (&["tenant", "list"][..], 2),
        (&["keys", "list"], 2),
        (&["user", "list"], 0),
        (&["edges", "status"], 2),
        (&["tenant", "settings"], Settings::names().len()),
    ] {
        let listed = scene.run(arguments).expect(0).json;
        assert_eq!(listed["results"].as_array().unwrap().len(), count, "{arguments:?}: {listed}");
        assert_eq!((&listed["count"], &listed["next"]), (&json!(count), &json!(null)), "{arguments:?}");
    }
    assert_eq!(scene.shown(&["tenant", "list"]).lines().last(), Some("2 tenants"));
    assert_eq!(scene.shown(&["keys", "list"]).lines().last(), Some("2 keys"));
}

// The edge of this stage answers meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn what_ends_something_asks_first() {
    let scene = Scene::alone().await;
    let slug = scene.tenant.slug.to_string();
    let ada = scene.member("ada", "client").await;
    let keys = scene.run(&["keys", "list"]).expect(0).json;
    let active = keys["results"][0]["kid"].as_str().unwrap();
    let ends: [(&[&str], &str); 7] = [
        (&["sessions", "end", "ada", "--all"], "ends every session of the user ada"),
        (&["user", "delete", "ada"], "deletes the user ada"),
        (&["keys", "revoke", active], "ends the active key"),
        (&["edges", "reseed", &slug], "ends every session of tenant"),
        (&["tenant", "edit", &slug, "--foreign-until", "2199-01-01"], "that another service hashed"),
        (&["tenant", "suspend", &slug], "stops tenant"),
        (&["tenant", "delete", &slug], "for good"),
    ];
    let before = (scene.logged().await, scene.user(ada.id).await.session_epoch);
    for (arguments, said) in ends {
        let outcome = scene.run(arguments).expect(5);
        assert!(outcome.stderr.contains(said), "{arguments:?}: {}", outcome.stderr);
        assert!(outcome.stderr.contains("say --yes"), "{arguments:?}: {}", outcome.stderr);
    }
    assert_eq!((scene.logged().await, scene.user(ada.id).await.session_epoch), before);
    for (arguments, _) in ends {
        scene.run(&[arguments, &["--yes"]].concat()).expect(0);
    }
    refused(scene.run(&["user", "list"]), 4, "was deleted");
}

#[tokio::test]
async fn roles_are_not_taken_away_by_a_word_too_few() {
    let scene = Scene::alone().await;
    scene.member("ada", "staff").await;
    let roles = || scene.run(&["user", "show", "ada"]).expect(0).json["roles"].clone();
    refused(scene.run(&["user", "set-roles", "ada"]), 5, "--none takes all away");
    refused(
        scene.run(&["user", "set-roles", "ada", "stuff"]),
        5,
        "did you mean `staff`? There are root-admin",
    );
    refused(
        scene.run(&["user", "create", "bob", "--role", "king"]),
        5,
        "there are root-admin, co-admin, staff, client",
    );
    scene.run(&["user", "set-roles", "ada", "client", "--none"]).expect(2);
    assert_eq!(roles(), json!(["staff"]));
    scene.run(&["user", "set-roles", "ada", "--none"]).expect(0);
    assert_eq!(roles(), json!([]));
}

#[tokio::test]
async fn a_user_without_a_password_is_said_to_have_none() {
    let scene = Scene::alone().await;
    let made = scene.run(&["user", "create", "ada"]).expect(0);
    assert_eq!(made.json["password"], "none");
    assert!(made.stderr.contains("ada has no password and cannot sign in"), "{}", made.stderr);
    let mut cli = scene.cli();
    cli.variables.insert("WARDGATE_TENANT", scene.tenant.slug.to_string());
    let set = cli.run(&["user", "set-password", "ada"], &format!("{PASSWORD}\n")).expect(0);
    assert_eq!((&set.json["password"], set.stderr.as_str()), (&json!("set"), ""));
    let shown = scene.shown(&["user", "show", "ada"]);
    for (name, value) in [("username", "ada"), ("email", "-"), ("roles", "client"), ("password", "set")] {
        let line = shown.lines().find(|line| line.trim_start().starts_with(name)).unwrap_or_default();
        assert!(line.ends_with(&format!(" {value}")), "{name}: {shown}");
    }
    refused(scene.run(&["user", "show", "eve"]), 4, "--tenant names another tenant");
    refused(scene.run(&["user", "create", "a b"]), 5, "no blanks");
}

#[tokio::test]
async fn a_slip_is_answered_with_the_rule() {
    let scene = Scene::alone().await;
    let slug = scene.tenant.slug.to_string();
    refused(
        scene.run(&["tenant", "create", "Bad"]),
        5,
        "`Bad` is no slug: expected 1 to 40 lower-case letters",
    );
    refused(
        scene.run(&["tenant", "create", "b", "--host", "Acme.example"]),
        5,
        "`Acme.example` is no host name",
    );
    refused(scene.run(&["tenant", "create", "b", "--isolation", "own"]), 2, "shared");
    refused(scene.run(&["tenant", "edit", &slug]), 5, "nothing was to be changed");
    refused(
        scene.run(&["tenant", "edit", &slug, "--set", "idle_sec=60"]),
        5,
        "did you mean `idle_secs`? There are ",
    );
    refused(scene.run(&["tenant", "edit", &slug, "--set", "idle_secs=1h"]), 5, "no whole number from 60 to");
    refused(scene.run(&["tenant", "show", "nobody"]), 4, "`wardgate tenant list` lists them");
    refused(scene.run(&["keys", "revoke", "x", "--yes"]), 4, "`wardgate keys list");
    let root = scene.member("root", "root-admin").await;
    let path = format!("/api/tenant/tenants/{}/", scene.tenant.id);
    let over_the_api = root.patch(&path, json!({"settings": {"idle_sec": 60}})).await.expect(400).body;
    let said = over_the_api["settings"][0].as_str().unwrap();
    assert!(said.starts_with("Unknown setting \"idle_sec\": there are absolute_secs, "), "{said}");
    let help = scene.shown(&["tenant", "edit", "--help"]);
    assert!(help.contains("retry_window_secs") && help.contains("60 to 900, default 300"), "{help}");
}

#[tokio::test]
async fn a_tenant_is_shown_with_its_settings() {
    let scene = Scene::alone().await;
    let slug = scene.tenant.slug.to_string();
    scene.run(&["tenant", "edit", &slug, "--set", "idle_secs=7200"]).expect(0);
    let shown = scene.shown(&["tenant", "show", &slug]);
    for (name, value) in [
        ("slug", slug.as_str()),
        ("settings.idle_secs", "7200"),
        ("settings.origins", "-"),
        ("settings.cookies", "host"),
        ("foreign.left", "no"),
    ] {
        let line = shown.lines().find(|line| line.trim_start().starts_with(name)).unwrap_or_default();
        assert!(line.ends_with(&format!(" {value}")), "{name}: {shown}");
    }
}

#[tokio::test]
async fn a_rotation_says_when_the_key_changes_and_a_list_when_one_ended() {
    let scene = Scene::alone().await;
    refused(scene.run(&["keys", "rotate"]), 5, "`wardgate edges status`");
    scene.push().await;
    let planned = scene.run(&["keys", "rotate"]).expect(0).json["sign_from"].as_str().unwrap().to_owned();
    refused(scene.run(&["keys", "rotate"]), 5, &format!("the next key signs from {planned}"));
    let root = scene.member("root", "root-admin").await;
    let path = format!("/api/tenant/tenants/{}/keys/", scene.tenant.id);
    let again = root.call(reqwest::Method::POST, &format!("{path}rotate/"), None).await.expect(409);
    assert_eq!(again.body["detail"], format!("A rotation is under way: the next key signs from {planned}."));
    let keys = scene.run(&["keys", "list"]).expect(0).json;
    let active = keys["results"][0]["kid"].as_str().unwrap();
    scene.run(&["keys", "revoke", active, "--yes"]).expect(0);
    let keys = scene.run(&["keys", "list"]).expect(0).json;
    let ended = keys["results"][0]["ended_at"].as_str().unwrap();
    assert_eq!(
        (&keys["results"][0]["state"], &keys["results"][1]["ended_at"]),
        (&json!("revoked"), &json!(null))
    );
    assert!(scene.shown(&["keys", "list"]).contains(ended));
    // The key that signed the token is the one that ended.
    let root = scene.acting_as(&scene.user(root.id).await).await;
    let over_the_api = root.get(&path).await.expect(200);
    assert_eq!(over_the_api.body["results"][0]["ended_at"], ended);
}

#[tokio::test]
async fn a_database_that_is_away_is_said() {
    let scene = Scene::new().await;
    let with = |name: &'static str, change: &dyn Fn(&str) -> String| {
        let mut variables = scene.database.variables(&scene.edge.url);
        let changed = change(&variables[name]);
        variables.insert(name, changed);
        Cli { variables }.run(&["tenant", "list"], "").expect(1).stderr
    };
    let away = with("WARDGATE_DATABASE_APP_URL", &|url| {
        let (before, rest) = url.rsplit_once('@').unwrap();
        let (_, database) = rest.split_once('/').unwrap();
        format!("{before}@127.0.0.1:1/{database}")
    });
    assert!(away.contains("is it up") && away.contains("WARDGATE_DATABASE_APP_URL"), "{away}");
    let wrong = with("WARDGATE_DATABASE_APP_URL", &|url| url.replace("secret", "wrong"));
    assert!(
        wrong.contains("password authentication failed") && wrong.contains("wardgate migrate"),
        "{wrong}"
    );
    assert_eq!(wrong.matches("password authentication failed").count(), 1, "{wrong}");
}

#[tokio::test]
async fn a_link_that_sets_a_password_is_mailed_to_a_proven_address() {
    let scene = Scene::alone().await;
    scene.addressed("grace", "client").await;
    scene.member("bare", "client").await;
    let mailed = scene.run(&["user", "reset-password", "grace", "--mail"]).expect(0);
    assert_eq!(mailed.json["username"], "grace");
    assert_eq!(scene.promised_kinds().await, ["reset_password"]);
    assert_eq!(scene.logged().await.last().unwrap(), "user.reset_mailed");
    let shown = scene.shown(&["user", "reset-password", "grace@acme.test", "--mail"]);
    assert!(shown.starts_with("a link is on its way to: "), "{shown}");
    scene.run(&["user", "reset-password", "grace"]).expect(2);
    refused(scene.run(&["user", "reset-password", "bare", "--mail"]), 5, "no address of theirs is proven");
    scene.run(&["user", "suspend", "grace"]).expect(0);
    refused(scene.run(&["user", "reset-password", "grace", "--mail"]), 5, "wardgate user resume");
    scene.run(&["user", "resume", "grace"]).expect(0);
    scene.run(&["user", "reset-password", "grace", "--mail"]).expect(0);
    refused(scene.run(&["user", "reset-password", "grace", "--mail"]), 5, "their share of mails");
    assert_eq!(scene.promised_kinds().await, ["reset_password"; 3]);
    refused(scene.run(&["user", "reset-password", "eve", "--mail"]), 4, "there is no user `eve`");
}

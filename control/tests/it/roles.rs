//! Custom roles: what a role may hold, who may make and give it, and when it may go.

use std::time::Duration;

use control::accounts::AccountError;
use control::accounts::invitations::{self, Invited};
use control::audit::{Actor, Who};
use control::branches::Grants;
use control::resets::{self, OneTimePassword, RegenerateError};
use control::roles::{self, NewRole, RoleChange, RoleError};
use control::users::{self, Change, NewUser, Profile, UserError};
use control::{sessions, tenants};
use futures::future::{join, join_all};
use reqwest::Method;
use serde_json::{Value, json};
use shared::contract::limits::{CUSTOM_ROLES, USER_ROLES};
use shared::contract::permissions::{Permissions, ROLES};
use shared::ids::{SessionId, UserId};
use shared::user::UserStatus;

use crate::scene::{Member, PASSWORD, Scene};

const PATH: &str = "/api/user/roles/";

impl Scene {
    /// A custom role, by the command line's authority.
    pub async fn role(&self, name: &str, rank: i32, permissions: &[&str]) {
        let permissions = permissions.iter().map(|name| (*name).to_owned()).collect();
        let new = NewRole {
            name: name.into(),
            title: String::new(),
            description: String::new(),
            rank,
            permissions,
            branch: None,
        };
        let mut tx = self.tx().await;
        roles::create(&self.control, &mut tx, &Actor::operator(), new).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// A user with a custom role that only they have.
    pub async fn officer(&self, name: &str, rank: i32, permissions: &[&str]) -> Member {
        self.role(name, rank, permissions).await;
        self.member(name, name).await
    }
}

fn of(name: &str) -> String {
    format!("{PATH}{name}/")
}

fn user(id: impl std::fmt::Display) -> String {
    format!("/api/user/users/{id}/")
}

fn role(name: &str, rank: i32, permissions: &[&str]) -> Value {
    json!({ "name": name, "rank": rank, "permissions": permissions })
}

/// What the caller may do now.
async fn permissions(caller: &Member) -> Vec<String> {
    serde_json::from_value(caller.get("/api/user/me/").await.expect(200).body["permissions"].clone()).unwrap()
}

#[tokio::test]
async fn a_role_is_created_read_changed_and_deleted() {
    for scene in [Scene::new().await, Scene::shared().await] {
        let root = scene.member("root", "root-admin").await;
        let body = json!({
            "name": "help-desk", "title": "Help desk", "description": "Ends sessions.", "rank": 30,
            "permissions": ["users.read", "sessions.end", "users.read"],
        });
        let made = root.post(PATH, body).await.expect(201);
        for (field, expected) in [
            ("id", json!("help-desk")),
            ("name", json!("help-desk")),
            ("title", json!("Help desk")),
            ("description", json!("Ends sessions.")),
            ("rank", json!(30)),
            ("predefined", json!(false)),
            ("permissions", json!(["sessions.end", "users.read"])),
        ] {
            assert_eq!(made.body[field], expected, "{field}");
        }
        let path = of("help-desk");
        let read = root.get(&path).await.expect(200);
        assert_eq!((&read.body, read.header("etag")), (&made.body, made.header("etag")));
        let known = [("if-none-match", read.header("etag"))];
        root.with(Method::GET, &path, &known, None).await.expect(304);

        let as_read = [("if-match", read.header("etag"))];
        let change = json!({"title": "Service desk", "rank": 35, "permissions": ["users.read"]});
        let changed = root.with(Method::PATCH, &path, &as_read, Some(change.clone())).await.expect(200);
        assert_eq!(
            (&changed.body["title"], &changed.body["rank"], &changed.body["permissions"]),
            (&json!("Service desk"), &json!(35), &json!(["users.read"]))
        );
        assert_eq!(changed.body["description"], "Ends sessions.");
        root.with(Method::PATCH, &path, &as_read, Some(change)).await.expect(412);
        root.with(Method::DELETE, &path, &as_read, None).await.expect(412);
        // What is as it was is no change.
        let same = root.patch(&path, json!({"name": "help-desk", "rank": 35})).await.expect(200);
        assert_eq!(same.body, changed.body);

        let as_changed = [("if-match", changed.header("etag"))];
        root.with(Method::DELETE, &path, &as_changed, None).await.expect(204);
        let gone = root.get(&path).await.expect(404);
        assert_eq!(gone.body, json!({"detail": "No Role matches the given query."}));
        root.patch(&path, json!({"rank": 5})).await.expect(404);
        root.delete(&path).await.expect(404);

        let log = root.get("/api/audit/?target=help-desk&ordering=created_at").await.expect(200).body;
        let entries: Vec<_> = log["results"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| (&entry["action"], &entry["details"]))
            .collect();
        assert_eq!(
            entries,
            [
                (&json!("role.created"), &json!({"rank": 30, "permissions": ["sessions.end", "users.read"]})),
                (
                    &json!("role.edited"),
                    &json!({
                        "fields": ["title"], "rank": {"from": 30, "to": 35},
                        "permissions": {"from": ["sessions.end", "users.read"], "to": ["users.read"]},
                    })
                ),
                (&json!("role.deleted"), &json!({"rank": 35, "permissions": ["users.read"]})),
            ]
        );
    }
}

#[tokio::test]
async fn roles_are_listed_by_rank_searched_and_ordered() {
    let scene = Scene::new().await;
    let root = scene.member("root", "root-admin").await;
    for (name, title, rank) in [("auditor", "Reads Everything", 50), ("help-desk", "Service desk", 30)] {
        root.post(PATH, json!({"name": name, "title": title, "rank": rank})).await.expect(201);
    }
    for (query, expected) in [
        ("", &["root-admin", "co-admin", "auditor", "staff", "help-desk", "client"][..]),
        ("?ordering=rank", &["client", "help-desk", "staff", "auditor", "co-admin", "root-admin"]),
        ("?ordering=-name&page_size=2", &["staff", "root-admin"]),
        ("?ordering=name&page_size=4&page=2", &["root-admin", "staff"]),
        ("?search=ADMIN", &["root-admin", "co-admin"]),
        ("?search=desk", &["help-desk"]),
        ("?search=desk+service", &["help-desk"]),
        ("?search=everything", &["auditor"]),
        ("?search=nothing", &[]),
    ] {
        let listed = root.get(&format!("{PATH}{query}")).await.expect(200).body;
        let names: Vec<_> =
            listed["results"].as_array().unwrap().iter().map(|role| role["name"].as_str().unwrap()).collect();
        assert_eq!(names, expected, "{query}");
    }
    root.get(&format!("{PATH}?ordering=colour")).await.expect(400);
    root.get(&format!("{PATH}?page=9")).await.expect(404);
    // A user who may read roles reads the custom ones too.
    let staff = scene.member("sue", "staff").await;
    assert_eq!(staff.get(PATH).await.expect(200).body["count"], 6);
    staff.post(PATH, role("mine", 5, &[])).await.expect(403);
}

#[tokio::test]
async fn what_is_wrong_with_a_role_is_reported_at_once() {
    let scene = Scene::new().await;
    let root = scene.member("root", "root-admin").await;
    let bad = json!({
        "name": "Help Desk", "title": "x".repeat(101), "description": "a\nb", "rank": 0,
        "permissions": ["users.raed", "users.read", "platform.jobs_read"],
    });
    assert_eq!(
        root.post(PATH, bad).await.expect(400).body,
        json!({
            "name": ["Enter lower-case letters, digits and single hyphens, with a letter first."],
            "title": ["Ensure this field has no more than 100 characters."],
            "description": ["Control characters are not allowed."],
            "rank": ["Expected a number from 1 to 99."],
            "permissions": [
                "\"platform.jobs_read\" is not a valid choice.", "\"users.raed\" is not a valid choice.",
            ],
        })
    );
    let required = json!({"name": ["This field is required."], "rank": ["This field is required."]});
    assert_eq!(root.post(PATH, json!({})).await.expect(400).body, required);
    let rank = root.post(PATH, json!({"name": "x", "rank": "high"})).await.expect(400).body;
    assert_eq!(rank, json!({"rank": ["A valid integer is required."]}));
    scene.role("auditor", 50, &[]).await;
    for taken in ["staff", "auditor"] {
        let refused = root.post(PATH, role(taken, 10, &[])).await.expect(400).body;
        assert_eq!(refused, json!({"name": ["A role with that name already exists."]}));
    }
    let renamed = root.patch(&of("auditor"), json!({"name": "inspector"})).await.expect(400).body;
    assert_eq!(
        renamed,
        json!({"name": ["The name of a role cannot be changed: access tokens and settings carry it."]})
    );
    for rank in [-1, 0, 100, 150] {
        root.patch(&of("auditor"), json!({ "rank": rank })).await.expect(400);
        root.post(PATH, role("another", rank, &[])).await.expect(400);
    }
}

#[tokio::test]
async fn permissions_of_the_platform_are_given_at_the_platform_alone() {
    let scene = Scene::alone().await;
    let platform = scene.platform().await;
    let root = platform.member("root", "root-admin").await;
    root.post(PATH, role("operator", 50, &["platform.jobs_read"])).await.expect(201);
    let operator = platform.member("op", "operator").await;
    assert_eq!(permissions(&operator).await, ["platform.jobs_read"]);
    operator.get("/api/platform/jobs/").await.expect(200);
    // A row that names one elsewhere gives nothing.
    let clerk = scene.officer("clerk", 50, &[]).await;
    let mut admin = scene.database.admin().await;
    let forge = format!(
        "update {}.roles set permissions = '{{platform.jobs_read,users.read}}' where name = 'clerk'",
        scene.tenant.cell
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(forge)).execute(&mut admin).await.unwrap();
    assert_eq!(permissions(&clerk).await, ["users.read"]);
    clerk.get("/api/platform/jobs/").await.expect(403);
}

#[tokio::test]
async fn predefined_roles_stay_as_they_are() {
    for scene in [Scene::new().await, Scene::shared().await] {
        let root = scene.member("root", "root-admin").await;
        let before = root.get(PATH).await.expect(200).body;
        for predefined in ROLES {
            for change in
                [json!({"rank": 5}), json!({"title": "x"}), json!({"permissions": ["users.read"]}), json!({})]
            {
                let refused = root.patch(&of(predefined.name), change).await.expect(409).body;
                assert_eq!(refused["code"], "conflict");
            }
            root.delete(&of(predefined.name)).await.expect(409);
        }
        // Not by the serving role's own hand either.
        let mut tx = scene.tx().await;
        let changed = sqlx::query("update roles set rank = 5 where tenant_id = $1 and name = 'client'")
            .bind(scene.tenant.id.uuid())
            .execute(&mut *tx)
            .await;
        assert!(changed.unwrap_err().to_string().contains("row-level security"));
        let mut tx = scene.tx().await;
        let deleted = sqlx::query("delete from roles where tenant_id = $1 and predefined")
            .bind(scene.tenant.id.uuid())
            .execute(&mut *tx)
            .await;
        assert_eq!(deleted.unwrap().rows_affected(), 0);
        drop(tx);
        assert_eq!(root.get(PATH).await.expect(200).body, before);
    }
}

const BOSS: &[&str] = &["users.read", "branches.read", "users.write", "roles.read", "roles.write"];

#[tokio::test]
async fn nobody_makes_a_role_at_their_rank_or_with_more_than_they_have() {
    let scene = Scene::new().await;
    let boss = scene.officer("boss", 60, BOSS).await;
    scene.role("peer", 60, &[]).await;
    scene.role("signer", 20, &["keys.rotate"]).await;
    for (body, status) in [
        (role("a", 61, &[]), 403),
        (role("a", 60, &[]), 403),
        (role("a", 59, &["keys.rotate"]), 403),
        (role("a", 59, &["users.read", "keys.rotate"]), 403),
        (role("a", 59, BOSS), 201),
        // A typing error is said to be one, whatever the caller has.
        (role("b", 59, &["keys.rotaet"]), 400),
    ] {
        boss.post(PATH, body.clone()).await.expect(status);
        if status == 403 {
            assert_eq!(scene.logged().await.last().unwrap(), "permission.refused", "{body}");
        }
    }
    for (name, change, status) in [
        ("boss", json!({"title": "x"}), 403),
        ("peer", json!({"title": "x"}), 403),
        ("co-admin", json!({"title": "x"}), 403),
        ("a", json!({"rank": 60}), 403),
        ("a", json!({"permissions": ["tenant.write"]}), 403),
        ("a", json!({"rank": 10, "permissions": ["users.read"]}), 200),
        // What it has already may stay, and be taken away.
        ("signer", json!({"title": "Signs"}), 200),
        ("signer", json!({"permissions": ["keys.rotate", "users.read"]}), 200),
        ("signer", json!({"permissions": ["keys.revoke"]}), 403),
        ("signer", json!({"permissions": []}), 200),
        ("signer", json!({"permissions": ["keys.rotate"]}), 403),
    ] {
        let answer = boss.patch(&of(name), change.clone()).await;
        assert_eq!(answer.status, status, "{name} {change}: {}", answer.body);
    }
    for (name, status) in [("boss", 403), ("peer", 403), ("root-admin", 403), ("staff", 409), ("a", 204)] {
        assert_eq!(boss.delete(&of(name)).await.status, status, "{name}");
    }
}

#[tokio::test]
async fn nobody_gives_a_role_that_may_do_more_than_they_may() {
    let scene = Scene::new().await;
    let boss = scene.officer("boss", 60, BOSS).await;
    scene.role("signer", 20, &["keys.rotate"]).await;
    scene.role("reader", 20, &["users.read"]).await;
    let grace = scene.member("grace", "client").await;
    for (roles, status) in [
        (&["signer"][..], 403),
        (&["client", "signer"], 403),
        (&["co-admin"], 403),
        (&["boss"], 403),
        (&["reader"], 200),
        // `staff` may read users, roles and branches, as the boss may.
        (&["staff"], 200),
        (&["client"], 200),
    ] {
        let answer = boss.patch(&user(grace.id), json!({ "roles": roles })).await;
        assert_eq!(answer.status, status, "{roles:?}: {}", answer.body);
        let new = json!({"username": format!("new-{}", roles.join("-")), "roles": roles});
        let made = boss.post("/api/user/users/", new).await;
        assert_eq!(made.status, if status == 200 { 201 } else { 403 }, "{roles:?}: {}", made.body);
        let invited = json!({"email": "x@acme.test", "roles": roles});
        let invited = boss.post("/api/user/invitations/", invited).await;
        assert_eq!(invited.status, if status == 200 { 201 } else { 403 }, "{roles:?}: {}", invited.body);
    }
    // To take such a role away is no gain.
    let signer = scene.member("signer", "signer").await;
    boss.patch(&user(signer.id), json!({"roles": []})).await.expect(200);
}

#[tokio::test]
async fn nobody_takes_over_an_account_that_may_do_more_than_they_may() {
    for scene in [Scene::new().await, Scene::shared().await] {
        let boss = scene.officer("boss", 60, BOSS).await;
        let signer = scene.officer("signer", 20, &["keys.rotate"]).await;
        let path = user(signer.id);
        for (change, status) in [
            (json!({"password": PASSWORD}), 403),
            (json!({"email": "boss@acme.test"}), 403),
            // With these, the actor still cannot sign in as the user.
            (json!({"first_name": "Grace"}), 200),
            (json!({"must_change_password": true}), 200),
            (json!({"status": "suspended"}), 200),
            // Its former password may be known.
            (json!({"status": "active"}), 403),
        ] {
            let answer = boss.patch(&path, change.clone()).await;
            assert_eq!(answer.status, status, "{change}: {}", answer.body);
        }
        let client = scene.member("grace", "client").await;
        // A user without a second factor is one whose password is enough.
        boss.delete(&format!("{path}mfa/")).await.expect(403);
        boss.delete(&format!("{}mfa/", user(client.id))).await.expect(204);
        boss.patch(&user(client.id), json!({"password": PASSWORD, "email": "g@acme.test"})).await.expect(200);
        let root = scene.member("root", "root-admin").await;
        root.patch(&path, json!({"password": PASSWORD})).await.expect(200);
        let fresh = json!({"username": "fresh", "email": "fresh@acme.test", "roles": ["signer"]});
        let fresh = root.post("/api/user/users/", fresh).await.expect(201);
        let fresh = user(fresh.body["id"].as_str().unwrap());
        root.patch(&fresh, json!({"email_verified": false})).await.expect(200);
        boss.patch(&fresh, json!({"email_verified": true})).await.expect(403);
        root.patch(&fresh, json!({"email_verified": true})).await.expect(200);
        boss.patch(&fresh, json!({"email_verified": true})).await.expect(200);
    }
}

/// The rank decides also where the other user may do less.
#[tokio::test]
async fn nobody_acts_on_a_user_of_their_own_rank() {
    let scene = Scene::new().await;
    let boss = ["users.read", "users.write", "users.delete", "sessions.end"];
    let boss = scene.officer("boss", 60, &boss).await;
    for (name, rank) in [("peer", 60), ("junior", 59)] {
        scene.role(name, rank, &["users.read"]).await;
        let id = scene.addressed(name, name).await.id;
        let path = user(id);
        for (method, path, body) in [
            (Method::PATCH, path.clone(), Some(json!({"first_name": "Grace"}))),
            (Method::PATCH, path.clone(), Some(json!({"roles": []}))),
            (Method::PATCH, path.clone(), Some(json!({"password": PASSWORD}))),
            (Method::POST, "/api/user/password/regenerate/".into(), Some(json!({ "user": id }))),
            (Method::DELETE, format!("{path}mfa/"), None),
            (Method::DELETE, format!("{path}attempts/"), None),
            (Method::DELETE, format!("{path}sessions/"), None),
            (Method::PATCH, path.clone(), Some(json!({"status": "suspended"}))),
            (Method::DELETE, path, None),
        ] {
            let answer = boss.call(method.clone(), &path, body).await;
            assert_eq!(
                answer.status == 403,
                rank == 60,
                "{method} {path}: {} {}",
                answer.status,
                answer.body
            );
            assert!(answer.status < 300 || rank == 60, "{method} {path}: {} {}", answer.status, answer.body);
        }
    }
}

/// A client reads a user and sends all of it back. Whether a guess of a hidden address is right, no answer says.
#[tokio::test]
async fn an_address_that_is_sent_as_it_is_shown_takes_over_nothing() {
    let scene = Scene::new().await;
    let boss = scene.officer("boss", 60, BOSS).await;
    scene.role("signer", 20, &["keys.rotate"]).await;
    let profile =
        Profile { username: "signer".into(), email: Some("signer@acme.test".into()), ..Profile::default() };
    let path = user(scene.person(profile, &["signer"]).await.id);
    for shown in ["clear", "masked"] {
        let rule = format!("boss.email={shown}");
        scene.sets(|settings| settings.visibility = vec![rule.try_into().unwrap()]).await;
        let read = boss.get(&path).await.expect(200).body["email"].clone();
        assert_eq!(read == "signer@acme.test", shown == "clear", "{read}");
        let back = json!({"email": read, "email_verified": true, "first_name": shown});
        boss.patch(&path, back).await.expect(200);
        boss.patch(&path, json!({"email": "boss@acme.test"})).await.expect(403);
    }
    boss.patch(&path, json!({"email": "signer@acme.test"})).await.expect(403);
    boss.patch(&path, json!({"email": "sinner@acme.test"})).await.expect(403);
}

/// The tenant's row is locked before rows of roles, also where imported hashes are counted. In the other order this
/// would be a deadlock.
#[tokio::test]
async fn a_change_of_a_role_and_of_an_imported_user_wait_for_each_other() {
    let scene = Scene::alone().await;
    let root = scene.member("root", "root-admin").await;
    let grace = scene.member("grace", "client").await;
    scene.role("auditor", 30, &[]).await;
    let invited = json!({"email": "eve@acme.test", "roles": ["auditor"]});
    root.post("/api/user/invitations/", invited).await.expect(201);
    let token = scene.answered().await[0].token("invite");
    // This account loses its address and its password to the invited user.
    scene.with_address("mallory", "eve@acme.test", false).await;
    let mut admin = scene.database.admin().await;
    for (accepts, path, body, status) in [
        (false, user(grace.id), json!({"roles": ["auditor"], "password": PASSWORD}), 200),
        (
            true,
            "/api/user/invitations/accept/".into(),
            json!({"token": token, "username": "eve", "password": PASSWORD}),
            201,
        ),
    ] {
        let imported = "update platform.tenants set foreign_left = true where id = $1";
        sqlx::query(imported).bind(scene.tenant.id.uuid()).execute(&mut admin).await.unwrap();
        let mut tx = scene.tx().await;
        tenants::lock(&mut tx, scene.tenant.id).await.unwrap();
        let (stage, root) = (scene.clone(), root.clone());
        let changing = tokio::spawn(async move {
            if accepts {
                stage.stranger(Method::POST, &path, Some(body)).await
            } else {
                root.patch(&path, body).await
            }
        });
        let waits = "select exists (select from pg_stat_activity where wait_event_type = 'Lock'
                     and datname = current_database())";
        while !sqlx::query_scalar::<_, bool>(waits).fetch_one(&mut admin).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        roles::lock(&mut tx, "auditor").await.unwrap();
        tx.commit().await.unwrap();
        changing.await.unwrap().expect(status);
    }
}

/// Who may create users and roles must not be able to make an administrator who needs only a password.
#[tokio::test]
async fn a_role_with_permissions_needs_a_second_factor_where_any_role_does() {
    for scene in [Scene::new().await, Scene::shared().await] {
        let demanded = async || {
            let mut tx = scene.tx().await;
            tenants::find(&mut tx, scene.tenant.id).await.unwrap().settings.second_factor_roles
        };
        scene.role("before", 30, &["users.read"]).await;
        assert!(demanded().await.is_empty(), "the tenant demands none of anybody");
        scene.demands(&["co-admin"]).await;
        scene.role("empty", 30, &[]).await;
        assert_eq!(demanded().await, ["co-admin"]);
        scene.role("reader", 30, &["users.read"]).await;
        assert_eq!(demanded().await, ["co-admin", "reader"]);
        let mut cli = scene.cli();
        cli.variables.insert("WARDGATE_TENANT", scene.tenant.slug.to_string());
        cli.run(&["role", "edit", "empty", "--title", "Empty"], "").expect(0);
        assert_eq!(demanded().await, ["co-admin", "reader"]);
        cli.run(&["role", "edit", "empty", "--add", "users.read"], "").expect(0);
        assert_eq!(demanded().await, ["co-admin", "reader", "empty"]);
        cli.run(&["role", "delete", "reader", "--yes"], "").expect(0);
        assert_eq!(demanded().await, ["co-admin", "empty"]);
        scene.demands(&["*"]).await;
        scene.role("writer", 30, &["users.write"]).await;
        assert_eq!(demanded().await, ["*"]);
    }
}

#[tokio::test]
async fn a_permission_that_is_taken_away_is_in_force_with_the_next_request() {
    for scene in [Scene::new().await, Scene::shared().await] {
        let root = scene.member("root", "root-admin").await;
        let clerk = scene.officer("clerk", 50, &["users.read", "audit.read"]).await;
        assert_eq!(permissions(&clerk).await, ["audit.read", "users.read"]);
        clerk.get("/api/user/users/").await.expect(200);
        root.patch(&of("clerk"), json!({"permissions": ["audit.read"]})).await.expect(200);
        // With the token of before.
        clerk.get("/api/user/users/").await.expect(403);
        clerk.get("/api/audit/").await.expect(200);
        assert_eq!(permissions(&clerk).await, ["audit.read"]);
        root.patch(&of("clerk"), json!({"permissions": ["users.read"]})).await.expect(200);
        clerk.get("/api/user/users/").await.expect(200);
        clerk.get("/api/audit/").await.expect(403);
        // Of several roles, each counts.
        scene.role("reader", 10, &["audit.read"]).await;
        let both = root.patch(&user(clerk.id), json!({"roles": ["clerk", "reader"]})).await.expect(200);
        let clerk = scene.acting_as(&scene.user(both.id()).await).await;
        assert_eq!(permissions(&clerk).await, ["audit.read", "users.read"]);
    }
}

#[tokio::test]
async fn me_lists_what_the_caller_may_do() {
    let scene = Scene::new().await;
    for predefined in ROLES {
        let caller = scene.member(predefined.name, predefined.name).await;
        let here = predefined.permissions.iter().filter(|permission| !permission.is_platform());
        let mut expected: Vec<_> = here.map(|permission| permission.as_str()).collect();
        expected.sort_unstable();
        assert_eq!(permissions(&caller).await, expected, "{}", predefined.name);
    }
    // Of another user, nothing of the kind is said.
    let root = scene.member("root", "root-admin").await;
    let path = user(scene.member("grace", "client").await.id);
    assert_eq!(root.get(&path).await.expect(200).body.get("permissions"), None);
}

#[tokio::test]
async fn who_lost_a_permission_while_the_request_ran_changes_nothing() {
    let scene = Scene::new().await;
    let boss = scene.officer("boss", 60, BOSS).await;
    let who = Who::User { id: boss.id, rank: 60, grants: Grants::everywhere(Permissions::EVERY) };
    let actor = Actor { who, ..Actor::control() };
    let new = NewRole {
        branch: None,
        name: "a".into(),
        title: String::new(),
        description: String::new(),
        rank: 10,
        permissions: vec!["keys.rotate".into()],
    };
    let mut tx = scene.tx().await;
    let made = roles::create(&scene.control, &mut tx, &actor, new).await;
    assert!(matches!(made, Err(RoleError::Rank)), "{made:?}");
}

/// What an actor may change, each in a transaction of its own that is not committed: whether it is refused by rank.
async fn refusals(scene: &Scene, actor: &Actor, grace: UserId) -> Vec<(&'static str, bool)> {
    let (control, target) = (&scene.control, "auditor");
    let session = SessionId::new(0, [7; 16]);
    let made = OneTimePassword::make(control, scene.tenant.id).await.unwrap();
    let new = NewUser {
        branch: None,
        profile: Profile { username: "new".into(), ..Profile::default() },
        status: UserStatus::Active,
        roles: vec![target.into()],
        password: None,
        must_change_password: false,
        email_verified: true,
    };
    let invited = Invited {
        branch: None,
        email: "new@acme.test".into(),
        username: None,
        roles: vec![target.into()],
        language: String::new(),
    };
    let renamed = Change { first_name: Some("Grace".into()), ..Change::default() };
    let titled = RoleChange { title: Some("Auditor".into()), ..RoleChange::default() };
    let created = users::create(control, &mut scene.tx().await, actor, new).await;
    let changed = users::change(control, &mut scene.tx().await, actor, grace, renamed).await;
    let deleted = users::delete(control, &mut scene.tx().await, actor, grace).await;
    let ended = sessions::end::one(control, &mut scene.tx().await, actor, (grace, session)).await;
    let settings = &scene.tenant.settings;
    let regenerated = resets::regenerate(control, &mut scene.tx().await, settings, actor, grace, made).await;
    let invited = invitations::put(control, &mut scene.tx().await, actor, invited).await;
    let edited = roles::edit(control, &mut scene.tx().await, actor, target, titled).await;
    let removed = roles::delete(control, &mut scene.tx().await, actor, target).await;
    vec![
        ("create a user", matches!(created, Err(UserError::Rank))),
        ("change a user", matches!(changed, Err(UserError::Rank))),
        ("delete a user", matches!(deleted, Err(UserError::Rank))),
        ("end a session", matches!(ended, Err(UserError::Rank))),
        ("regenerate a password", matches!(regenerated, Err(RegenerateError::User(UserError::Rank)))),
        ("invite", matches!(invited, Err(AccountError::User(UserError::Rank)))),
        ("edit a role", matches!(edited, Err(RoleError::Rank))),
        ("delete a role", matches!(removed, Err(RoleError::Rank))),
    ]
}

/// Hashes and locks take a while, so the actor is read again after them.
#[tokio::test]
async fn who_was_suspended_or_demoted_while_the_request_ran_changes_nothing() {
    let scene = Scene::new().await;
    let grace = scene.addressed("grace", "client").await.id;
    scene.role("auditor", 10, &[]).await;
    scene.role("deputy", 59, BOSS).await;
    let root = scene.member("root", "root-admin").await;
    for (at, change) in [
        json!({"status": "suspended"}),
        // Only the rank is lower.
        json!({"roles": ["deputy"]}),
        json!({"permissions": ["users.read", "roles.write"]}),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("boss-{at}");
        let boss = scene.officer(&name, 60, BOSS).await;
        let who = Who::User { id: boss.id, rank: 60, grants: Grants::everywhere(Permissions::named(BOSS)) };
        let actor = Actor { who, ..Actor::control() };
        for (what, refused) in refusals(&scene, &actor, grace).await {
            assert!(!refused, "{what} before");
        }
        let whom = if change["permissions"].is_null() { user(boss.id) } else { of(&name) };
        root.patch(&whom, change.clone()).await.expect(200);
        for (what, refused) in refusals(&scene, &actor, grace).await {
            assert!(refused, "{what} after {change}");
        }
    }
}

#[tokio::test]
async fn a_role_that_is_in_use_is_not_deleted() {
    for scene in [Scene::new().await, Scene::shared().await] {
        let root = scene.member("root", "root-admin").await;
        scene.role("auditor", 30, &[]).await;
        let ada = scene.member("ada", "auditor").await;
        let bob = scene.member("bob", "auditor").await;
        let refused = root.delete(&of("auditor")).await.expect(409).body;
        assert_eq!(
            refused,
            json!({
                "detail": "The role is in use: 2 users have the role.", "code": "role_in_use", "users": 2,
                "settings": [],
            })
        );
        let names = |names: &'static [&'static str]| json!(names);
        scene
            .sets(|settings| {
                settings.second_factor_roles = vec!["auditor".into()];
                settings.role_timeouts = vec!["auditor.idle_secs=60".to_owned().try_into().unwrap()];
                settings.visibility = vec!["auditor.phone=masked".to_owned().try_into().unwrap()];
                settings.registration_role = "auditor".into();
            })
            .await;
        root.delete(&user(ada.id)).await.expect(204);
        let refused = root.delete(&of("auditor")).await.expect(409).body;
        let all = names(&["registration_role", "role_timeouts", "visibility"]);
        assert_eq!((&refused["users"], &refused["settings"]), (&json!(1), &all));
        assert_eq!(
            refused["detail"],
            "The role is in use: 1 user has the role; settings name it: registration_role, role_timeouts, \
             visibility."
        );
        root.patch(&user(bob.id), json!({"roles": ["client"]})).await.expect(200);
        assert_eq!(root.delete(&of("auditor")).await.expect(409).body["users"], 0);
        scene
            .sets(|settings| {
                settings.role_timeouts = vec![];
                settings.visibility = vec![];
                settings.registration_role = "client".into();
            })
            .await;
        root.delete(&of("auditor")).await.expect(204);
    }
}

/// Whichever comes first: no user has a role that is gone, and no setting names one.
#[tokio::test]
async fn a_role_is_given_or_deleted_and_never_both() {
    let scene = Scene::new().await;
    let root = scene.member("root", "root-admin").await;
    let grace = scene.member("grace", "client").await;
    let tenant = format!("/api/tenant/tenants/{}/", scene.tenant.id);
    for round in 0..8 {
        let name = format!("fleeting-{round}");
        scene.role(&name, 10, &[]).await;
        let (path, whom) = (of(&name), user(grace.id));
        let given = root.patch(&whom, json!({ "roles": [name] }));
        let (given, deleted) = join(given, root.delete(&path)).await;
        match (given.status, deleted.status) {
            (200, 409) | (400, 204) => {}
            other => panic!("{other:?}: {} {}", given.body, deleted.body),
        }
        if given.status == 200 {
            root.patch(&user(grace.id), json!({"roles": []})).await.expect(200);
        }
        let name = format!("named-{round}");
        scene.role(&name, 10, &[]).await;
        let settings =
            json!({"settings": {"role_timeouts": [format!("{name}.idle_secs=60")]}, "reason": "x"});
        let path = of(&name);
        let (named, deleted) = join(root.patch(&tenant, settings), root.delete(&path)).await;
        match (named.status, deleted.status) {
            (200, 409) | (400, 204) => {}
            other => panic!("{other:?}: {} {}", named.body, deleted.body),
        }
    }
}

#[tokio::test]
async fn settings_name_roles_that_the_tenant_has() {
    for scene in [Scene::new().await, Scene::shared().await] {
        let root = scene.member("root", "root-admin").await;
        scene.role("member", 39, &[]).await;
        scene.role("auditor", 50, &["audit.read"]).await;
        let tenant = format!("/api/tenant/tenants/{}/", scene.tenant.id);
        let set = |settings: Value| {
            let (root, tenant) = (root.clone(), tenant.clone());
            async move { root.patch(&tenant, json!({"settings": settings, "reason": "x"})).await }
        };
        for (setting, good, bad) in [
            ("second_factor_roles", json!(["auditor"]), json!(["auditor", "inspector"])),
            ("role_timeouts", json!(["auditor.idle_secs=900"]), json!(["inspector.idle_secs=900"])),
            ("visibility", json!(["auditor.phone=masked"]), json!(["inspector.phone=masked"])),
            ("registration_role", json!("member"), json!("inspector")),
        ] {
            set(json!({ setting: good })).await.expect(200);
            let refused = set(json!({ setting: bad })).await.expect(400).body;
            assert!(refused[setting].is_array(), "{setting}: {refused}");
        }
        // Who registers may do nothing, now and later.
        for role in ["auditor", "staff", "root-admin", ""] {
            let refused = set(json!({"registration_role": role})).await.expect(400).body;
            let said = "Must be a role below `staff` without permissions: member, client.";
            assert_eq!(refused, json!({"registration_role": [said]}), "{role}");
        }
        let said = "Users who register get this role: it stays below `staff` and without permissions.";
        let refused =
            root.patch(&of("member"), json!({"permissions": ["users.read"]})).await.expect(400).body;
        assert_eq!(refused, json!({ "permissions": [said] }));
        let refused = root.patch(&of("member"), json!({"rank": 40})).await.expect(400).body;
        assert_eq!(refused, json!({ "rank": [said] }));
        root.patch(&of("member"), json!({"rank": 38, "title": "Member"})).await.expect(200);
    }
}

#[tokio::test]
async fn an_invitation_to_a_role_that_is_gone_is_invalid() {
    let scene = Scene::new().await;
    let root = scene.member("root", "root-admin").await;
    scene.role("auditor", 50, &["audit.read"]).await;
    let invitation = |role: &str| json!({ "email": format!("{role}@acme.test"), "roles": [role] });
    root.post("/api/user/invitations/", invitation("inspector")).await.expect(400);
    root.post("/api/user/invitations/", invitation("auditor")).await.expect(201);
    // To revoke an invitation, the rank suffices.
    let boss = scene.officer("boss", 60, BOSS).await;
    let other = json!({ "email": "other@acme.test", "roles": ["auditor"] });
    boss.post("/api/user/invitations/", other.clone()).await.expect(403);
    let other = root.post("/api/user/invitations/", other).await.expect(201);
    boss.delete(&format!("/api/user/invitations/{}/", other.body["id"].as_str().unwrap())).await.expect(204);
    let token = scene.answered().await[0].token("invite");
    root.delete(&of("auditor")).await.expect(204);
    let body = json!({ "token": token, "username": "grace", "password": PASSWORD });
    let refused =
        scene.stranger(Method::POST, "/api/user/invitations/accept/", Some(body.clone())).await.expect(400);
    assert_eq!(refused.body.get("roles"), None, "{}", refused.body);
    // The link was not used up: the role may come back.
    scene.role("auditor", 50, &[]).await;
    let made = scene.stranger(Method::POST, "/api/user/invitations/accept/", Some(body)).await.expect(201);
    assert_eq!(made.body["roles"], json!(["auditor"]));
}

#[tokio::test]
async fn a_tenant_has_a_number_of_custom_roles_in_a_race_too() {
    let scene = Scene::new().await;
    let root = scene.member("root", "root-admin").await;
    for number in 1..CUSTOM_ROLES {
        scene.role(&format!("role-{number}"), 10, &[]).await;
    }
    let wanted = (0..4).map(|number| {
        let root = root.clone();
        async move { root.post(PATH, role(&format!("late-{number}"), 10, &[])).await }
    });
    let answers = join_all(wanted).await;
    let mut statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409]);
    assert_eq!(root.get(PATH).await.expect(200).body["count"], CUSTOM_ROLES + 4);
}

#[tokio::test]
async fn a_user_has_a_number_of_roles() {
    let scene = Scene::new().await;
    let root = scene.member("root", "root-admin").await;
    let names: Vec<_> = (0..=USER_ROLES).map(|number| format!("role-{number}")).collect();
    for name in &names {
        scene.role(name, 10, &[]).await;
    }
    let grace = scene.member("grace", "client").await;
    let refused = root.patch(&user(grace.id), json!({ "roles": names })).await.expect(400).body;
    assert_eq!(refused, json!({"roles": ["Ensure this field has no more than 10 elements."]}));
    root.patch(&user(grace.id), json!({ "roles": &names[1..] })).await.expect(200);
}

#[tokio::test]
async fn the_last_root_admin_stays_whatever_other_roles_there_are() {
    let scene = Scene::new().await;
    let root = scene.member("root", "root-admin").await;
    let every: Vec<_> = ROLES[0].permissions.iter().filter(|permission| !permission.is_platform()).collect();
    let every: Vec<_> = every.into_iter().map(|permission| permission.as_str()).collect();
    let deputy = scene.officer("deputy", 99, &every).await;
    for change in [json!({"roles": ["deputy"]}), json!({"status": "suspended"})] {
        root.patch(&user(root.id), change.clone()).await.expect(409);
        deputy.patch(&user(root.id), change).await.expect(403);
    }
    deputy.delete(&user(root.id)).await.expect(403);
    root.delete(&user(root.id)).await.expect(409);
    assert_eq!(scene.user(root.id).await.status, UserStatus::Active);
}

#[tokio::test]
async fn the_command_line_lists_shows_creates_edits_and_deletes() {
    let scene = Scene::alone().await;
    let create =
        ["role", "create", "help-desk", "--rank", "30", "--title", "Help desk", "--permission", "users.read"];
    let made = scene.run(&create).expect(0).json;
    assert_eq!(
        (&made["name"], &made["rank"], &made["permissions"]),
        (&json!("help-desk"), &json!(30), &json!(["users.read"]))
    );
    let edit = ["role", "edit", "help-desk", "--add", "audit.read", "--remove", "users.read", "--rank", "35"];
    let edited = scene.run(&edit).expect(0).json;
    assert_eq!((&edited["rank"], &edited["permissions"]), (&json!(35), &json!(["audit.read"])));
    assert_eq!(edited["title"], "Help desk");
    assert_eq!(scene.run(&["role", "show", "help-desk"]).expect(0).json, edited);
    let listed = scene.run(&["role", "list", "--search", "desk"]).expect(0).json;
    assert_eq!((&listed["count"], &listed["results"][0]), (&json!(1), &edited));
    let listed = scene.run(&["role", "list", "--ordering", "-name"]).expect(0).json;
    assert_eq!(listed["results"][0]["name"], "staff");
    let table = scene.shown(&["role", "list"]);
    assert!(
        table.contains("help-desk") && table.contains("audit.read") && table.contains("5 roles"),
        "{table}"
    );

    for (arguments, code, said) in [
        (&["role", "show", "help-dsk"][..], 4, "did you mean `help-desk`?"),
        (&["role", "edit", "nothing", "--rank", "5"], 4, "there is no role `nothing`"),
        (&["role", "edit", "help-desk"], 5, "nothing to change"),
        (&["role", "edit", "help-desk", "--remove", "users.read"], 5, "has no permission `users.read`"),
        (&["role", "edit", "staff", "--rank", "5"], 5, "a predefined role cannot be changed or deleted"),
        (&["role", "create", "Help Desk", "--rank", "5"], 5, "name: Enter lower-case letters"),
        (&["role", "create", "x", "--rank", "100"], 5, "rank: Expected a number from 1 to 99."),
        (
            &["role", "create", "x", "--rank", "5", "--permission", "users.raed"],
            5,
            "did you mean `users.read`?",
        ),
        (
            &["role", "create", "x", "--rank", "5", "--permission", "platform.jobs_read"],
            5,
            "there is no permission",
        ),
        (&["role", "delete", "help-desk"], 5, "say --yes"),
        (&["role", "delete", "staff", "--yes"], 5, "predefined"),
    ] {
        let refused = scene.run(arguments).expect(code);
        assert!(refused.stderr.contains(said), "{arguments:?}: {}", refused.stderr);
    }
    scene.member("ada", "help-desk").await;
    let refused = scene.run(&["role", "delete", "help-desk", "--yes"]).expect(5);
    assert!(refused.stderr.contains("The role is in use: 1 user has the role."), "{}", refused.stderr);
    scene.run(&["user", "set-roles", "ada", "client"]).expect(0);
    scene.run(&["role", "delete", "help-desk", "--yes"]).expect(0);
    scene.run(&["role", "show", "help-desk"]).expect(4);
    let root = scene.member("root", "root-admin").await;
    let log = root.get("/api/audit/?target=help-desk").await.expect(200).body;
    assert_eq!(log["count"], 3);
    assert_eq!(log["results"][0]["actor_kind"], "operator");
}

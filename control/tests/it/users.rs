//! Users: rank, the last root-admin, one namespace of names, the words for what does not hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use control::audit::{Actor, Who};
use control::branches::Grants;
use control::tenants::Isolation;
use control::users::{self, Change, NewUser, Profile, UserError};
use reqwest::Method;
use serde_json::json;
use shared::contract::permissions::{Permissions, ROOT_RANK};
use shared::ids::UserId;
use shared::user::UserStatus;

use crate::scale::Numbers;
use crate::scene::{PASSWORD, Scene};

#[tokio::test]
async fn a_user_is_made_read_changed_and_deleted() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "root-admin").await;
    let made = ada
        .post("/api/user/users/", json!({"username": "Newu", "email": "n@x.io", "password": "Corr3ct-horse"}))
        .await
        .expect(201);
    let path = format!("/api/user/users/{}/", made.id());
    assert_eq!(made.body["is_active"], true);
    assert_eq!(made.body["roles"], json!(["client"]));
    assert!(made.body["date_joined"].as_str().unwrap().ends_with('Z'));
    assert!(made.body.get("password").is_none());
    assert_eq!(ada.get(&path).await.expect(200).body, made.body);
    let changed = ada.patch(&path, json!({"first_name": "New", "email": null})).await.expect(200);
    assert_eq!((&changed.body["first_name"], &changed.body["email"]), (&json!("New"), &json!(null)));
    ada.call(Method::PUT, &path, Some(json!({"first_name": "x"}))).await.expect(400);
    ada.call(Method::PUT, &path, Some(json!({"username": "newer"}))).await.expect(200);
    ada.delete(&path).await.expect(204);
    for id in [path.as_str(), "/api/user/users/9999/"] {
        let gone = ada.get(id).await.expect(404);
        assert_eq!(gone.body, json!({"detail": "No User matches the given query."}));
    }
    let logged = scene.logged().await;
    let expected = ["user.created", "user.edited", "user.edited", "user.deleted"];
    assert_eq!(logged[logged.len() - 4..], expected);
}

#[tokio::test]
async fn every_fault_is_said_at_once_in_the_recorded_words() {
    let scene = Scene::new().await;
    let alice = scene.member("alice", "root-admin").await;
    let body = json!({"username": "alice", "email": "bad", "password": "123"});
    let refused = alice.post("/api/user/users/", body).await.expect(400);
    assert_eq!(
        refused.body,
        json!({
            "username": ["A user with that username already exists."],
            "email": ["Enter a valid email address."],
            "password": [
                "This password is too short. It must contain at least 8 characters.",
                "This password is too common.",
                "This password is entirely numeric.",
            ],
        })
    );
    let unknown =
        alice.post("/api/user/users/", json!({"username": "x", "roles": ["king"]})).await.expect(400);
    assert_eq!(unknown.body, json!({"roles": ["Object with name=king does not exist."]}));
}

#[tokio::test]
async fn user_names_and_addresses_are_one_namespace() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "root-admin").await;
    let make = |body| ada.post("/api/user/users/", body);
    let first = make(json!({"username": "bob", "email": "Bob@Acme.test"})).await.expect(201);
    let taken = make(json!({"username": "ＢＯＢ"})).await.expect(400);
    assert_eq!(taken.body, json!({"username": ["A user with that username already exists."]}));
    let taken = make(json!({"username": "bob@acme.TEST"})).await.expect(400);
    assert_eq!(taken.body, json!({"username": ["A user with that username already exists."]}));
    let taken = make(json!({"username": "cyd", "email": "bob@acme.test"})).await.expect(400);
    assert_eq!(taken.body, json!({"email": ["A user with that email already exists."]}));
    // A user's name and address may be equal, and a name that was given up is free.
    let path = format!("/api/user/users/{}/", first.id());
    ada.patch(&path, json!({"username": "bob@acme.test"})).await.expect(200);
    make(json!({"username": "bob"})).await.expect(201);
    ada.delete(&path).await.expect(204);
    make(json!({"username": "dan", "email": "bob@acme.test"})).await.expect(201);
}

#[tokio::test]
async fn one_name_wanted_by_many_at_once_goes_to_one() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "root-admin").await;
    for round in 0..10 {
        let wanted = (0..4).map(|other| {
            let body = if other % 2 == 0 {
                json!({"username": format!("race{round}@acme.test")})
            } else {
                json!({"username": format!("r{round}-{other}"), "email": format!("race{round}@acme.test")})
            };
            ada.post("/api/user/users/", body)
        });
        let statuses = futures::future::join_all(wanted).await.into_iter().map(|answer| answer.status);
        let mut statuses: Vec<_> = statuses.collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 400, 400, 400], "round {round}");
    }
}

#[tokio::test]
async fn nobody_acts_at_or_above_their_own_rank() {
    let scene = Scene::new().await;
    let root = scene.member("root", "root-admin").await;
    let other_root = scene.member("root2", "root-admin").await;
    let co = scene.member("co", "co-admin").await;
    let other_co = scene.member("co2", "co-admin").await;
    let staff = scene.member("staff", "staff").await;
    let client = scene.member("client", "client").await;
    let path = |id| format!("/api/user/users/{id}/");

    // A co-admin on those below, on equals, on those above, and on themselves.
    co.patch(&path(client.id), json!({"first_name": "x"})).await.expect(200);
    co.patch(&path(staff.id), json!({"status": "suspended"})).await.expect(200);
    for target in [other_co.id, root.id, co.id] {
        co.patch(&path(target), json!({"first_name": "x"})).await.expect(403);
        co.delete(&path(target)).await.expect(403);
        co.delete(&format!("{}sessions/", path(target))).await.expect(if target == co.id {
            204
        } else {
            403
        });
    }
    let co = scene.acting_as(&scene.user(co.id).await).await;
    // Granting and taking roles.
    co.patch(&path(client.id), json!({"roles": ["staff"]})).await.expect(200);
    for role in ["co-admin", "root-admin"] {
        co.patch(&path(client.id), json!({"roles": [role]})).await.expect(403);
        co.post("/api/user/users/", json!({"username": format!("new-{role}"), "roles": [role]}))
            .await
            .expect(403);
    }
    // Without the permission there is no rank.
    let client = scene.acting_as(&scene.user(client.id).await).await;
    client.patch(&path(client.id), json!({"first_name": "x"})).await.expect(403);
    // Root-admins may act on root-admins.
    root.patch(&path(other_root.id), json!({"roles": ["staff"]})).await.expect(200);
    root.patch(&path(client.id), json!({"roles": ["root-admin"]})).await.expect(200);
    let refused = scene.logged().await.iter().filter(|action| *action == "permission.refused").count();
    assert_eq!(refused, 8 + 4 + 1);
}

#[tokio::test]
async fn who_is_stopped_while_a_password_is_hashed_does_nothing_more() {
    let scene = Scene::new().await;
    let root = scene.member("root", "root-admin").await;
    let client = scene.member("client", "client").await;
    let changes = [json!({"status": "suspended"}), json!({"roles": ["staff"]})];
    for (round, change) in changes.into_iter().enumerate() {
        let mallory = scene.member(&format!("mallory{round}"), "root-admin").await;
        // As their request found them when it began, before the change.
        let actor = Actor {
            who: Who::User {
                id: mallory.id,
                rank: ROOT_RANK,
                grants: Grants::everywhere(Permissions::EVERY),
            },
            ..Actor::control()
        };
        root.patch(&format!("/api/user/users/{}/", mallory.id), change).await.expect(200);
        let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
        let promoted = Change { roles: Some(vec!["root-admin".into()]), ..Change::default() };
        let refused = users::change(&scene.control, &mut tx, &actor, client.id, promoted).await;
        assert!(matches!(refused, Err(UserError::Rank)));
        let refused = users::delete(&scene.control, &mut tx, &actor, client.id).await;
        assert!(matches!(refused, Err(UserError::Rank)));
        let new = NewUser {
            profile: Profile { username: "accomplice".into(), ..Profile::default() },
            status: UserStatus::Active,
            roles: vec!["root-admin".into()],
            branch: None,
            password: None,
            must_change_password: false,
            email_verified: true,
        };
        let refused = users::create(&scene.control, &mut tx, &actor, new).await;
        assert!(matches!(refused, Err(UserError::Rank)));
    }
}

#[tokio::test]
async fn a_change_that_is_refused_costs_no_hash() {
    let scene = Scene::new().await;
    let root = scene.member("root", "root-admin").await;
    let co = scene.member("co", "co-admin").await;
    let client = scene.member("grace", "client").await;
    let numbers = Numbers::new();
    let _kept = numbers.keep();
    let (nobody, stale) = (UserId::new(1, [9; 10]), [("if-match", "\"read-before\"")]);
    let password = json!({"username": "grace", "password": PASSWORD});
    let promotion = json!({"username": "grace", "password": PASSWORD, "roles": ["root-admin"]});
    let none: &[(&str, &str)] = &[];
    for method in [Method::PATCH, Method::PUT] {
        for (id, headers, body, status) in [
            (nobody.to_string(), none, &password, 404),
            ("nonsense".into(), none, &password, 404),
            (root.id.to_string(), none, &password, 403),
            (client.id.to_string(), none, &promotion, 403),
            (client.id.to_string(), &stale[..], &password, 412),
        ] {
            let path = format!("/api/user/users/{id}/");
            co.with(method.clone(), &path, headers, Some(body.clone())).await.expect(status);
        }
    }
    let mighty = json!({"username": "eve", "password": PASSWORD, "roles": ["root-admin"]});
    co.post("/api/user/users/", mighty).await.expect(403);
    assert_eq!(numbers.asked_for("passwords"), 0);
    let refused = scene.logged().await.iter().filter(|action| *action == "permission.refused").count();
    assert_eq!(refused, 5);
    co.patch(&format!("/api/user/users/{}/", client.id), password).await.expect(200);
    assert_eq!(numbers.asked_for("passwords"), 1);
}

#[tokio::test]
async fn of_many_who_set_a_password_as_they_read_the_user_one_does() {
    let scene = Scene::new().await;
    let root = scene.member("root", "root-admin").await;
    let path = format!("/api/user/users/{}/", scene.member("grace", "client").await.id);
    let read = root.get(&path).await.expect(200);
    let condition = [("if-match", read.header("etag"))];
    let body = json!({"first_name": "Grace", "password": PASSWORD});
    // All look before the first has changed anything, because hashes take a while.
    let wanted = (0..4).map(|_| root.with(Method::PATCH, &path, &condition, Some(body.clone())));
    let answers = futures::future::join_all(wanted).await;
    let mut statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412, 412, 412]);
}

#[tokio::test]
async fn the_last_root_admin_cannot_go() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "root-admin").await;
    let path = format!("/api/user/users/{}/", ada.id);
    for change in
        [json!({"status": "suspended"}), json!({"is_active": false}), json!({"roles": ["co-admin"]})]
    {
        let refused = ada.patch(&path, change).await.expect(409);
        assert_eq!(refused.body["code"], "conflict");
    }
    ada.delete(&path).await.expect(409);
    // A suspended one does not count as staying.
    let bob = scene.member("bob", "root-admin").await;
    ada.patch(&format!("/api/user/users/{}/", bob.id), json!({"status": "suspended"})).await.expect(200);
    ada.delete(&path).await.expect(409);
}

#[tokio::test]
async fn two_root_admins_cannot_both_go_at_once() {
    let scene = Scene::new().await;
    let (mut ada, mut bob) =
        (scene.member("ada", "root-admin").await.id, scene.member("bob", "root-admin").await.id);
    let suspend = |id| {
        let control = scene.control.clone();
        let tenant = scene.tenant.id;
        async move {
            let mut tx = control.db.tenant_tx(tenant).await.unwrap();
            let change = Change { status: Some(UserStatus::Suspended), ..Change::default() };
            users::change(&control, &mut tx, &Actor::operator(), id, change).await?;
            tx.commit().await.map_err(UserError::from)
        }
    };
    for round in 0..20 {
        let (one, two) = tokio::join!(suspend(ada), suspend(bob));
        let went = [one.is_ok(), two.is_ok()];
        assert_eq!(went.iter().filter(|went| **went).count(), 1, "round {round}");
        for outcome in [one, two] {
            assert!(matches!(outcome, Ok(()) | Err(UserError::LastRootAdmin)));
        }
        let gone = if went[0] { &mut ada } else { &mut bob };
        *gone = scene.member(&format!("next{round}"), "root-admin").await.id;
    }
}

#[tokio::test]
async fn each_cause_raises_its_epochs_in_its_own_transaction() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "root-admin").await;
    let bob = scene.member("bob", "client").await;
    let path = format!("/api/user/users/{}/", bob.id);
    let epochs = || async {
        let bob = scene.user(bob.id).await;
        (bob.access_epoch, bob.session_epoch, bob.password_epoch)
    };
    for (change, expected) in [
        (json!({"first_name": "Bob"}), (0, 0, 0)),
        (json!({"roles": ["client"]}), (0, 0, 0)),
        (json!({"roles": ["staff"]}), (1, 0, 0)),
        (json!({"password": PASSWORD}), (2, 1, 2)),
        (json!({"status": "suspended"}), (3, 2, 2)),
        (json!({"status": "active"}), (4, 2, 2)),
    ] {
        ada.patch(&path, change.clone()).await.expect(200);
        assert_eq!(epochs().await, expected, "{change}");
    }
    ada.delete(&format!("{path}sessions/")).await.expect(204);
    assert_eq!(epochs().await, (5, 3, 2));
}

#[tokio::test]
async fn lists_come_by_pages() {
    let scene = Scene::new().await;
    let ada = scene.member("u0", "root-admin").await;
    for n in 1..25 {
        scene.member(&format!("u{n}"), "client").await;
    }
    let base = format!("http://{}", scene.api);
    let first = ada.get("/api/user/users/").await.expect(200).body;
    assert_eq!((&first["count"], first["results"].as_array().unwrap().len()), (&json!(25), 20));
    assert_eq!(first["next"], format!("{base}/api/user/users/?page=2"));
    let last = ada.get("/api/user/users/?page=last").await.expect(200).body;
    assert_eq!((&last["next"], &last["previous"]), (&json!(null), &json!(format!("{base}/api/user/users/"))));
    assert_eq!(last["results"][4]["username"], "u24");
    let missing = ada.get("/api/user/users/?page=99").await.expect(404);
    assert_eq!(missing.body, json!({"detail": "Invalid page."}));
    let recorded = ada.get("/api/user/users/?page=2&search=u").await.expect(200).body;
    assert_eq!(recorded["previous"], format!("{base}/api/user/users/?search=u"));
}

#[tokio::test]
async fn roles_and_permissions_are_listed() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "staff").await;
    let roles = ada.get("/api/user/roles/").await.expect(200).body;
    assert_eq!((&roles["count"], &roles["results"][0]["name"]), (&json!(4), &json!("root-admin")));
    let permissions = ada.get("/api/user/permissions/").await.expect(200).body;
    let named = permissions["permissions"].as_array().unwrap();
    assert!(named.contains(&json!("users.read")));
    assert!(!named.iter().any(|name| name.as_str().unwrap().starts_with("platform.")));
}

#[tokio::test]
async fn faults_of_shape_are_said_at_once_too() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "root-admin").await;
    let shapeless = json!({"username": [], "status": "gone", "roles": 5, "is_active": "maybe", "phone": {}});
    let expected = json!({
        "username": ["Not a valid string."],
        "status": ["\"gone\" is not a valid choice."],
        "roles": ["Expected a list of items but got type \"int\"."],
        "is_active": ["Must be a valid boolean."],
        "phone": ["Not a valid string."],
    });
    assert_eq!(ada.post("/api/user/users/", shapeless.clone()).await.expect(400).body, expected);
    let path = format!("/api/user/users/{}/", ada.id);
    assert_eq!(ada.patch(&path, shapeless).await.expect(400).body, expected);
    let null = json!({"username": "n", "roles": ["staff", "a\0"]});
    let refused = ada.post("/api/user/users/", null).await.expect(400).body;
    assert_eq!(refused, json!({"roles": ["Null characters are not allowed."]}));
    let put = ada.call(Method::PUT, &path, Some(json!({"phone": {}}))).await.expect(400);
    assert_eq!(put.body, json!({"username": ["This field is required."], "phone": ["Not a valid string."]}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_hashes_keep_no_neighbour_from_the_database() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "root-admin").await;
    let next_door = scene.neighbour(Isolation::Schema).await;
    let eve = next_door.member("eve", "staff").await;
    let done = Arc::new(AtomicUsize::new(0));
    let creations: Vec<_> = (0..50)
        .map(|n| {
            let (ada, done) = (ada.clone(), done.clone());
            tokio::spawn(async move {
                let body = json!({"username": format!("u{n}"), "password": PASSWORD});
                // On a slow machine the last ones wait too long for a turn.
                let status = ada.post("/api/user/users/", body).await.status;
                assert!([201, 503].contains(&status), "{status}");
                done.fetch_add(1, Ordering::SeqCst);
            })
        })
        .collect();
    let (mut served, mut longest) = (0, 0);
    while !creations.iter().all(tokio::task::JoinHandle::is_finished) {
        let before = done.load(Ordering::SeqCst);
        eve.get("/api/user/users/").await.expect(200);
        longest = longest.max(done.load(Ordering::SeqCst) - before);
        served += 1;
    }
    for creation in creations {
        creation.await.unwrap();
    }
    // In line for a connection behind those who hash, one request would wait for nearly all of them.
    assert!(longest < 25 && served > 5, "{longest} creations during one request, {served} requests");
}

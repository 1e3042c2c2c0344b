//! Sessions of users: listed by a call to the edge, ended by a pushed change, by their owners and by administrators.

use std::sync::Arc;

use control::audit::Actor;
use control::edges::pusher;
use control::tenants::Isolation;
use reqwest::Method;
use serde_json::{Value, json};
use shared::ids::{SessionId, UserId};
use shared::wire::client::ClientInfo;
use shared::wire::push::{KeptSession, SessionOut};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::edge::Commands;
use crate::mfa::{CONFIRM, TOTP, session};
use crate::scene::{Member, PASSWORD, Scene};

const OWN: &str = "/api/user/sessions/";
const AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

fn other(fill: u8) -> SessionId {
    SessionId::new(0, [fill; 16])
}

fn living(sid: SessionId, used_at: u64) -> SessionOut {
    SessionOut {
        sid,
        created_at: 1_800_000_000_000,
        rotated_at: 1_800_000_000_000,
        expires_at: 1_800_086_400_000,
        used_at: Some(used_at),
        absolute_deadline: Some(1_802_592_000_000),
        amr: vec!["pwd".into()],
        auth_time: Some(1_800_000_000_000),
        client: ClientInfo::new(Some(AGENT), Some("PT"), Some("Lisboa")),
    }
}

fn of(user: UserId) -> String {
    format!("/api/user/users/{user}/sessions/")
}

impl Scene {
    /// The user has these sessions at the edge.
    fn has_sessions(&self, user: UserId, sessions: &[SessionId]) {
        let sessions =
            (1_800_000_000_000..).zip(sessions).map(|(used_at, sid)| living(*sid, used_at)).collect();
        self.edge.state().sessions.insert((self.tenant.id, user), sessions);
    }

    /// The sessions that live at the edge.
    fn living(&self, user: UserId) -> Vec<SessionId> {
        let state = self.edge.state();
        state.sessions.get(&(self.tenant.id, user)).into_iter().flatten().map(|session| session.sid).collect()
    }

    fn commands(&self, how: Commands) {
        self.edge.state().commands = how;
    }
}

fn ids(list: &Value) -> Vec<&str> {
    list["results"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_user_sees_where_they_are_signed_in() {
    for scene in [Scene::new().await, Scene::shared().await] {
        let ada = scene.member("ada", "client").await;
        assert_eq!(ada.get(OWN).await.expect(200).body["count"], 0);
        scene.has_sessions(ada.id, &[other(1), session()]);
        let listed = ada.get(OWN).await.expect(200).body;
        // The one that was used last comes first.
        assert_eq!(ids(&listed), [session().to_string(), other(1).to_string()]);
        assert_eq!(
            listed["results"][1],
            json!({
                "id": other(1), "current": false,
                "device": {"name": "Firefox on Linux", "browser": "Firefox", "system": "Linux", "agent": AGENT},
                "place": {"country": "PT", "city": "Lisboa"},
                "created_at": "2027-01-15T08:00:00.000000Z", "last_used_at": "2027-01-15T08:00:00.000000Z",
                "idle_expires_at": "2027-01-16T08:00:00.000000Z", "expires_at": "2027-02-14T08:00:00.000000Z",
                "amr": ["pwd"], "auth_time": "2027-01-15T08:00:00.000000Z",
            })
        );
        assert_eq!(listed["results"][0]["current"], true);
        let page = ada.get(&format!("{OWN}?page_size=1&page=2")).await.expect(200).body;
        assert_eq!((ids(&page), &page["count"]), (vec![&*other(1).to_string()], &json!(2)));
        ada.get(&format!("{OWN}?page=3")).await.expect(404);
        ada.get(&format!("{OWN}?device=x")).await.expect(400);
        // Unknown values are null, and an edge of the previous release reports less.
        let plain = SessionOut {
            used_at: None,
            absolute_deadline: None,
            auth_time: None,
            amr: vec![],
            client: ClientInfo::default(),
            ..living(other(1), 0)
        };
        scene.edge.state().sessions.insert((scene.tenant.id, ada.id), vec![plain]);
        let row = &ada.get(OWN).await.expect(200).body["results"][0];
        assert_eq!(
            (&row["device"], &row["place"], &row["expires_at"]),
            (&Value::Null, &Value::Null, &Value::Null)
        );
        assert_eq!(row["last_used_at"], row["created_at"]);
    }
}

#[tokio::test]
async fn without_the_edge_a_list_is_503_and_an_end_is_kept() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "client").await;
    let root = scene.member("root", "root-admin").await;
    scene.has_sessions(ada.id, &[session(), other(1), other(2)]);
    for how in [Commands::Refused, Commands::Silence] {
        scene.commands(how);
        for refused in [ada.get(OWN).await, root.get(&of(ada.id)).await] {
            let refused = refused.expect(503);
            assert_eq!(refused.body["code"], "unavailable");
            assert!(!refused.header("retry-after").is_empty());
        }
    }
    let answer = ada.delete(&format!("{OWN}{}/", other(1))).await.expect(204);
    assert_eq!(answer.header("wardgate-in-force"), "pending");
    root.delete(&format!("{}{}/", of(ada.id), other(2))).await.expect(204);
    assert_eq!(scene.living(ada.id).len(), 3, "nothing has reached the edge");
    scene.push().await;
    assert_eq!(scene.living(ada.id), [session()]);
    assert_eq!(scene.count_logged("session.ended").await, 2);
    // All others: how many there are is not known.
    let ended = ada.delete(OWN).await.expect(200);
    assert_eq!(ended.body, json!({"ended": null}));
    let row = scene.row_at_edge(ada.id).await;
    assert_eq!(row.kept_session, Some(KeptSession { sid: session(), from: 0 }));
}

#[tokio::test]
async fn a_user_ends_a_session_of_their_own_and_no_other() {
    for scene in [Scene::new().await, Scene::shared().await] {
        let (ada, eve) = (scene.member("ada", "client").await, scene.member("eve", "client").await);
        scene.has_sessions(ada.id, &[session(), other(1), other(2)]);
        scene.has_sessions(eve.id, &[other(3)]);
        let before = scene.epoch_counts(ada.id).await;
        ada.delete(&format!("{OWN}{}/", other(1))).await.expect(204);
        scene.push().await;
        assert_eq!(scene.living(ada.id), [session(), other(2)]);
        assert_eq!(
            scene.epoch_counts(ada.id).await,
            before,
            "the other sessions' tokens are as good as before"
        );
        // An invalid id, an ended session and another user's session give 404.
        for id in [other(1).to_string(), other(3).to_string(), "x".into(), "A".repeat(23)] {
            let refused = ada.delete(&format!("{OWN}{id}/")).await.expect(404);
            assert_eq!(refused.body, json!({"detail": "No Session matches the given query."}), "{id}");
        }
        // Also where the edge cannot say whose it is: it ends none but its owner's.
        scene.commands(Commands::Refused);
        ada.delete(&format!("{OWN}{}/", other(3))).await.expect(204);
        scene.push().await;
        assert_eq!(scene.living(eve.id), [other(3)]);
        assert_eq!(scene.count_logged("session.ended").await, 2);
    }
}

#[tokio::test]
async fn a_user_ends_all_other_sessions_and_is_told_how_many() {
    for scene in [Scene::new().await, Scene::shared().await] {
        let ada = scene.member("ada", "client").await;
        scene.has_sessions(ada.id, &[session(), other(1), other(2)]);
        let (access, sessions, password) = scene.epoch_counts(ada.id).await;
        assert_eq!(ada.delete(OWN).await.expect(200).body, json!({"ended": 2}));
        assert_eq!(scene.epoch_counts(ada.id).await, (access + 1, sessions + 1, password));
        let row = scene.row_at_edge(ada.id).await;
        assert_eq!(row.kept_session, Some(KeptSession { sid: session(), from: sessions }));
        assert_eq!(scene.count_logged("sessions.ended").await, 1);
        ada.get(OWN).await.expect(401);
    }
}

#[tokio::test]
async fn administrators_see_and_end_sessions_of_users_below_them() {
    for scene in [Scene::new().await, Scene::shared().await] {
        let root = scene.member("root", "root-admin").await;
        let admin = scene.member("admin", "co-admin").await;
        let (staff, ada) = (scene.member("staff", "staff").await, scene.member("ada", "client").await);
        for user in [root.id, admin.id, ada.id] {
            scene.has_sessions(user, &[other(1), other(2)]);
        }
        let listed = admin.get(&of(ada.id)).await.expect(200).body;
        assert_eq!((&listed["count"], &listed["results"][0]["current"]), (&json!(2), &json!(false)));
        admin.delete(&format!("{}{}/", of(ada.id), other(1))).await.expect(204);
        scene.push().await;
        assert_eq!(scene.living(ada.id), [other(2)]);
        admin.delete(&format!("{}{}/", of(ada.id), other(9))).await.expect(404);
        // Not of users that they do not outrank, except themselves.
        admin.get(&of(root.id)).await.expect(403);
        admin.delete(&format!("{}{}/", of(root.id), other(1))).await.expect(403);
        assert_eq!(admin.get(&of(admin.id)).await.expect(200).body["count"], 2);
        admin.delete(&format!("{}{}/", of(admin.id), other(1))).await.expect(204);
        root.get(&of(root.id)).await.expect(200);
        // And with the permission alone.
        for member in [&staff, &ada] {
            member.get(&of(ada.id)).await.expect(403);
            member.delete(&format!("{}{}/", of(ada.id), other(2))).await.expect(403);
        }
        for id in ["x".to_owned(), uuid::Uuid::nil().to_string()] {
            admin.get(&format!("/api/user/users/{id}/sessions/")).await.expect(404);
            admin.delete(&format!("/api/user/users/{id}/sessions/{}/", other(1))).await.expect(404);
        }
        assert_eq!(scene.count_logged("permission.refused").await, 6);
        let neighbour = scene.neighbour(Isolation::Schema).await;
        let stranger = neighbour.member("root", "root-admin").await;
        stranger.get(&of(ada.id)).await.expect(404);
        stranger.delete(&format!("{}{}/", of(ada.id), other(2))).await.expect(404);
        scene.push().await;
        assert_eq!(scene.living(ada.id), [other(2)]);
    }
}

#[tokio::test]
async fn device_and_place_of_others_are_shown_as_their_address_is() {
    let mut scene = Scene::new().await;
    let (admin, ada) = (scene.member("admin", "co-admin").await, scene.member("ada", "client").await);
    for user in [admin.id, ada.id] {
        scene.has_sessions(user, &[other(1)]);
    }
    for (visibility, device, place) in [
        ("clear", json!("Firefox on Linux"), json!({"country": "PT", "city": "Lisboa"})),
        ("masked", Value::Null, json!({"country": "PT"})),
        ("absent", Value::Null, Value::Null),
    ] {
        scene.adjust(&[("visibility", json!([format!("co-admin.client={visibility}")]))]).await;
        let row = admin.get(&of(ada.id)).await.expect(200).body["results"][0].clone();
        assert_eq!((&row["device"]["name"], &row["place"]), (&device, &place), "{visibility}");
        assert_eq!(row.get("device").is_some(), visibility == "clear", "{visibility}");
        for path in [OWN.to_owned(), of(admin.id)] {
            let own = admin.get(&path).await.expect(200).body["results"][0].clone();
            assert_eq!(own["place"]["city"], "Lisboa", "one's own is shown whole: {visibility}");
        }
    }
}

// The edge of this stage answers meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_lists_and_ends_sessions() {
    let scene = Scene::alone().await;
    let ada = scene.member("ada", "client").await;
    scene.has_sessions(ada.id, &[other(1), other(2)]);
    let listed = scene.run(&["sessions", "list", "ada"]).expect(0).json;
    assert_eq!(ids(&listed), [other(2).to_string(), other(1).to_string()]);
    let row = &listed["results"][0];
    assert_eq!((&row["device"], &row["place"]), (&json!("Firefox on Linux"), &json!("Lisboa, PT")));
    let one = other(1).to_string();
    scene.run(&["sessions", "end", "ada", &one]).expect(5);
    scene.run(&["sessions", "end", "ada"]).expect(2);
    scene.run(&["sessions", "end", "ada", &one, "--all", "--yes"]).expect(2);
    scene.run(&["sessions", "end", "ada", "x", "--yes"]).expect(4);
    // Ends need no edge.
    scene.commands(Commands::Refused);
    scene.run(&["sessions", "list", "ada"]).expect(1);
    scene.run(&["sessions", "end", "ada", &one, "--yes"]).expect(0);
    scene.push().await;
    assert_eq!(scene.living(ada.id), [other(2)]);
    let before = scene.epoch_counts(ada.id).await;
    scene.run(&["sessions", "end", "ada", "--all", "--yes"]).expect(0);
    assert_eq!(scene.epoch_counts(ada.id).await, (before.0 + 1, before.1 + 1, before.2));
}

/// A stage whose answers wait for the edge, with a pusher that runs.
async fn in_force() -> (Scene, CancellationToken) {
    let scene = Scene::under(vec![("WARDGATE_EDGE_IN_FORCE_MS", "1000".into())], Isolation::Schema).await;
    let (wake, stop) = (Arc::new(Notify::new()), CancellationToken::new());
    tokio::spawn(pusher::run(scene.control.clone(), wake, stop.clone()));
    (scene, stop)
}

async fn word(member: &Member, method: Method, path: &str, body: Option<Value>) -> (u16, String) {
    let answer = member.call(method, path, body).await;
    (answer.status, answer.header("wardgate-in-force").to_owned())
}

/// Revokes until an answer says that the edge has it, each time of something else: a machine that is busy with much else may
/// not push within the second that an answer waits.
async fn confirmed(what: &str, revoke: impl AsyncFn(usize) -> (u16, String)) {
    for turn in 0..60 {
        let (status, word) = revoke(turn).await;
        assert!(status < 300, "{what}: {status}");
        match word.as_str() {
            "edge" => return,
            other => assert_eq!(other, "pending", "{what}"),
        }
    }
    panic!("{what} was never confirmed");
}

#[tokio::test]
async fn an_answer_says_whether_what_it_revoked_is_in_force() {
    let (scene, stop) = in_force().await;
    let root = scene.member("root", "root-admin").await;
    let user = |id: UserId| format!("/api/user/users/{id}/");
    for (what, body) in [
        ("roles", Some(json!({"roles": ["client"]}))),
        ("password", Some(json!({"password": "eleven sleepy otters hum"}))),
        ("status", Some(json!({"status": "suspended"}))),
        ("sessions", None),
        ("factor", None),
        ("deleted", None),
    ] {
        let revoke = async |turn: usize| {
            let ada = scene.enrolled(&format!("{what}{turn}"), "staff").await.member.id;
            let (method, path) = match what {
                "sessions" => (Method::DELETE, of(ada)),
                "factor" => (Method::DELETE, format!("{}mfa/", user(ada))),
                "deleted" => (Method::DELETE, user(ada)),
                _ => (Method::PATCH, user(ada)),
            };
            let (status, word) = word(&root, method, &path, body.clone()).await;
            if (what, word.as_str()) == ("deleted", "edge") {
                assert_eq!(scene.edge.user(scene.tenant.id, ada), None, "the edge has it by then");
            }
            (status, word)
        };
        confirmed(what, revoke).await;
    }
    let tenant = format!("/api/tenant/tenants/{}/", scene.tenant.id);
    let demand = async |_| {
        let of = |roles: &[&str]| Some(json!({"settings": {"second_factor_roles": roles}}));
        assert_eq!(word(&root, Method::PATCH, &tenant, of(&[])).await, (200, String::new()));
        word(&root, Method::PATCH, &tenant, of(&["staff"])).await
    };
    confirmed("a demand", demand).await;
    let demanded =
        |scene: &Scene| scene.edge.state().documents[&scene.tenant.id].settings.second_factor_roles.clone();
    assert_eq!(demanded(&scene), ["staff"]);
    let enrol = async |turn: usize| {
        let user = scene.addressed(&format!("enrols{turn}"), "client").await;
        let owner = scene.acting_as(&user).await;
        let begun = owner.post(TOTP, json!({"name": "Phone"})).await.expect(201);
        let body = json!({"id": begun.body["id"], "otp": scene.code(&scene.seed_of(&begun))});
        word(&owner, Method::POST, CONFIRM, Some(body)).await
    };
    confirmed("a new factor", enrol).await;
    // The owner's own change, and a mailed link.
    let own = async |turn: usize| {
        let owner = scene.with_password(&format!("own{turn}")).await;
        let body = json!({"current_password": PASSWORD, "new_password": "eleven sleepy otters hum"});
        word(&owner, Method::POST, "/api/user/password/change/", Some(body)).await
    };
    confirmed("the own password", own).await;
    let linked = async |turn: usize| {
        let id = scene.member(&format!("linked{turn}"), "client").await.id;
        let token = scene.reset_link(id).await;
        let answer = scene.confirm(&token, "eleven sleepy otters hum").await;
        (answer.status, answer.header("wardgate-in-force").to_owned())
    };
    confirmed("a password by a link", linked).await;
    // A change that revokes nothing does not wait.
    let eve = scene.member("eve", "client").await.id;
    let named = word(&root, Method::PATCH, &user(eve), Some(json!({"first_name": "Eve"}))).await;
    assert_eq!(named, (200, String::new()));
    // The edge does not accept it: the change is committed and will be pushed.
    scene.edge.state().faults.extend([503; 500]);
    let suspend = Some(json!({"status": "suspended"}));
    assert_eq!(word(&root, Method::PATCH, &user(eve), suspend).await, (200, "pending".into()));
    assert_eq!(scene.user(eve).await.status, shared::user::UserStatus::Suspended);
    stop.cancel();
}

/// On this stage no pusher runs, so the edge confirms nothing.
#[tokio::test]
async fn every_change_that_revokes_says_that_it_is_pending() {
    let scene = Scene::alone().await;
    let root = scene.member("root", "root-admin").await;
    let operator = scene.platform().await.member("operator", "root-admin").await;
    let eve = scene.addressed("eve", "client").await.id;
    let bob = scene.member("bob", "client").await;
    scene.has_sessions(bob.id, &[session(), other(1), other(2)]);
    let first = scene.enrolled("ada", "client").await;
    let ada = scene.enrols(&first.member).await.member;
    let cleo = scene.enrolled("cleo", "client").await.member;
    let tenant = format!("/api/tenant/tenants/{}/", scene.tenant.id);
    let keys = root.get(&format!("{tenant}keys/")).await.expect(200).body;
    let kid = keys["results"][0]["kid"].as_str().unwrap();
    let end = |sid: SessionId| format!("{OWN}{sid}/");
    for (member, method, path, body) in [
        (&bob, Method::DELETE, end(other(1)), None),
        (&bob, Method::DELETE, OWN.to_owned(), None),
        (&root, Method::DELETE, format!("{}{}/", of(bob.id), other(2)), None),
        (&root, Method::DELETE, of(bob.id), None),
        (&root, Method::POST, "/api/user/password/regenerate/".to_owned(), Some(json!({ "user": eve }))),
        (&root, Method::DELETE, format!("/api/user/users/{eve}/"), None),
        (&ada, Method::DELETE, format!("{TOTP}{}/", first.id), None),
        (&cleo, Method::DELETE, TOTP.to_owned(), None),
        (&root, Method::POST, format!("{tenant}keys/{kid}/revoke/"), None),
        (&operator, Method::PATCH, tenant.clone(), Some(json!({"status": "suspended"}))),
        (&operator, Method::DELETE, tenant.clone(), None),
    ] {
        let (status, word) = word(member, method.clone(), &path, body).await;
        assert!(status < 300 && word == "pending", "{method} {path}: {status} {word:?}");
    }
}

/// The word does not depend on which control sends the change.
#[tokio::test]
async fn a_change_that_another_control_sends_is_confirmed_as_well() {
    let (scene, stop) = in_force().await;
    stop.cancel();
    let (root, ada) = (scene.member("root", "root-admin").await, scene.member("ada", "client").await);
    let other = scene.database.control(&scene.edge.url).await;
    let stop = CancellationToken::new();
    tokio::spawn(pusher::run(other, Arc::new(Notify::new()), stop.clone()));
    confirmed("an end", async |_| word(&root, Method::DELETE, &of(ada.id), None).await).await;
    stop.cancel();
}

#[tokio::test]
async fn an_end_is_pushed_ahead_of_a_backlog_and_kept_for_a_snapshot() {
    let scene = Scene::alone().await;
    let ada = scene.member("ada", "client").await;
    scene.has_sessions(ada.id, &[other(1), other(2)]);
    scene.push().await;
    scene.edge.state().refuse_ranges = true;
    let mut tx = scene.tx().await;
    let operator = Actor::operator();
    control::sessions::end::one(&scene.control, &mut tx, &operator, (ada.id, other(1))).await.unwrap();
    tx.commit().await.unwrap();
    control::edges::urgent::push(&scene.control, scene.tenant.id).await.unwrap();
    assert_eq!(scene.living(ada.id), [other(2)]);
    // An edge that was restored from before gets it again.
    scene.edge.state().refuse_ranges = false;
    scene.has_sessions(ada.id, &[other(1), other(2)]);
    scene.edge.state().marks.clear();
    control::edges::snapshot::push(&scene.control, scene.tenant.id).await.unwrap();
    assert_eq!(scene.living(ada.id), [other(2)]);
}

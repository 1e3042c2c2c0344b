//! A user's own password: changed in a session or by a ticket, once, within what may be tried; and the demand for
//! another one.

use chrono::TimeDelta;
use control::db::TenantTx;
use control::users::password::{NewPassword, check, set};
use control::users::{self, Change};
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use shared::epochs;
use shared::ids::{SessionId, UserId};
use shared::wire::needs::{Needs, PASSWORD_DUE, PASSWORD_MAX_AGE};
use shared::wire::push::{KeptSession, PasswordDue, UserRow};

use crate::foreign::cheap;
use crate::forward::with_ticket;
use crate::scene::{Answer, Member, PASSWORD, Scene};

const CHANGE: &str = "/api/user/password/change/";
const NEW: &str = "eleven sleepy otters hum";
const BY_TICKET: &str = r#"{"new_password":"eleven sleepy otters hum"}"#;

impl Scene {
    /// A user with the password of this scene.
    pub async fn with_password(&self, name: &str) -> Member {
        let member = self.member(name, "client").await;
        let change = Change { password: Some(self.hashed(PASSWORD).await), ..Change::default() };
        self.change(member.id, change).await;
        self.as_of_now(&member).await
    }

    async fn must_change(&self, user: UserId) {
        self.change(user, Change { must_change_password: Some(true), ..Change::default() }).await;
    }

    /// The same user with a new token.
    async fn as_of_now(&self, member: &Member) -> Member {
        self.acting_as(&self.user(member.id).await).await
    }

    async fn cell(&self) -> TenantTx {
        self.control.db.tenant_tx(self.tenant.id).await.unwrap()
    }

    /// The ticket that the edge issues after a sign-in now.
    async fn ticket(&self, user: UserId) -> String {
        let mut tx = self.cell().await;
        let floor = epochs::floor(tx.history().await.unwrap());
        let user = users::find(&mut tx, user).await.unwrap();
        format!(
            "purpose=password_change; user={}; password_epoch={}; access_epoch={}",
            user.id,
            user.password_epoch,
            floor + user.access_epoch
        )
    }

    async fn epochs_of(&self, user: UserId) -> (i64, i64, i64) {
        let user = self.user(user).await;
        (user.access_epoch, user.session_epoch, user.password_epoch)
    }

    /// The row as the edge has it.
    async fn at_edge(&self, user: UserId) -> UserRow {
        self.push().await;
        self.edge.user(self.tenant.id, user).unwrap()
    }

    async fn tries(&self) -> Option<i32> {
        let mut tx = self.cell().await;
        let tries = sqlx::query_scalar("select tries from password_tries where tenant_id = $1");
        tries.bind(self.tenant.id.uuid()).fetch_optional(&mut *tx).await.unwrap()
    }
}

async fn change(member: &Member, current: &str, new: &str) -> Answer {
    member.post(CHANGE, json!({"current_password": current, "new_password": new})).await
}

fn session() -> SessionId {
    SessionId::new(0, [7; 16])
}

#[tokio::test]
async fn a_password_is_changed_in_a_session_which_goes_on() {
    for scene in [Scene::new().await, Scene::shared().await] {
        let ada = scene.with_password("ada").await;
        let (access, session_epoch, _) = scene.epochs_of(ada.id).await;
        let changed = change(&ada, PASSWORD, NEW).await.expect(200);
        assert_eq!(changed.body, json!({"detail": "New password has been saved.", "next": "refresh"}));
        assert_eq!(scene.epochs_of(ada.id).await, (access + 1, session_epoch + 1, access + 1));
        let row = scene.at_edge(ada.id).await;
        let kept = Some(KeptSession { sid: session(), from: session_epoch });
        assert_eq!((row.kept_session, row.session_epoch), (kept, session_epoch + 1));
        let refused = change(&ada, NEW, PASSWORD).await.expect(401);
        assert_eq!(refused.body["code"], "password_changed");
        // Again in the same session, before the edge has learnt of the first change and after it.
        let ada = scene.as_of_now(&ada).await;
        change(&ada, NEW, "twelve sleepy otters hum").await.expect(200);
        let row = scene.at_edge(ada.id).await;
        assert_eq!((row.kept_session, row.session_epoch), (kept, session_epoch + 2));
        // A change that ends all sessions ends this one.
        scene.change(ada.id, Change { must_change_password: Some(true), ..Change::default() }).await;
        assert_eq!(scene.at_edge(ada.id).await.kept_session, None);
        let logged = scene.logged().await;
        assert_eq!(logged.iter().filter(|action| *action == "user.password_changed").count(), 2);
    }
}

#[tokio::test]
async fn another_session_that_is_kept_has_its_own_beginning() {
    let scene = Scene::new().await;
    let ada = scene.with_password("ada").await;
    change(&ada, PASSWORD, NEW).await.expect(200);
    let user = scene.user(ada.id).await;
    let other = SessionId::new(0, [8; 16]);
    let claims =
        shared::tokens::claims::AccessClaims { sid: other, ..scene.claims(ada.id, user.access_epoch) };
    let mut ada = scene.as_of_now(&ada).await;
    ada.token = scene.sign(&claims).await;
    change(&ada, NEW, "twelve sleepy otters hum").await.expect(200);
    let kept = KeptSession { sid: other, from: user.session_epoch };
    assert_eq!(scene.at_edge(ada.id).await.kept_session, Some(kept));
}

#[tokio::test]
async fn refusals_are_worded_and_change_nothing() {
    let scene = Scene::new().await;
    let ada = scene.with_password("ada").await;
    let before = scene.epochs_of(ada.id).await;
    let post = async |body: Value| ada.post(CHANGE, body).await.expect(400).body;
    let required = json!(["This field is required."]);
    assert_eq!(post(json!({})).await, json!({"current_password": required, "new_password": required}));
    assert_eq!(post(json!({"current_password": PASSWORD})).await, json!({"new_password": required}));
    assert_eq!(
        change(&ada, "wrong", NEW).await.expect(400).body,
        json!({"current_password": ["Invalid password."]})
    );
    assert_eq!(
        change(&ada, "wrong", "123").await.expect(400).body,
        json!({"current_password": ["Invalid password."]}),
        "nothing is said of the new one"
    );
    assert_eq!(
        change(&ada, PASSWORD, "123").await.expect(400).body,
        json!({"new_password": [
            "This password is too short. It must contain at least 8 characters.",
            "This password is too common.",
            "This password is entirely numeric.",
        ]})
    );
    for (new, words) in [
        ("", "This field may not be blank."),
        (PASSWORD, "The new password must differ from the current one."),
    ] {
        assert_eq!(change(&ada, PASSWORD, new).await.expect(400).body, json!({"new_password": [words]}));
    }
    scene.anonymous(Method::POST, CHANGE, Some(json!({}))).await.expect(401);
    ada.get(CHANGE).await.expect(405);
    assert_eq!(scene.epochs_of(ada.id).await, before);
    assert_eq!(scene.tries().await, Some(2), "the wrong ones");
    change(&ada, PASSWORD, NEW).await.expect(200);
}

#[tokio::test]
async fn ten_wrong_passwords_shut_the_door_for_five_minutes() {
    let scene = Scene::alone().await;
    let (ada, bob) = (scene.with_password("ada").await, scene.with_password("bob").await);
    for _ in 0..10 {
        change(&ada, "wrong", NEW).await.expect(400);
    }
    for password in ["wrong", PASSWORD] {
        let refused = change(&ada, password, NEW).await.expect(429);
        let wait: u64 = refused.header("retry-after").parse().unwrap();
        assert!((1..=300).contains(&wait), "{wait}");
        assert_eq!(
            refused.body["detail"],
            format!("Request was throttled. Expected available in {wait} seconds.")
        );
    }
    assert_eq!(scene.count_logged("user.password_changed").await, 10, "refusals beyond are not written down");
    change(&bob, PASSWORD, NEW).await.expect(200);
    scene.control.clock.advance(TimeDelta::seconds(300));
    let ada = scene.as_of_now(&ada).await;
    change(&ada, PASSWORD, NEW).await.expect(200);
}

#[tokio::test]
async fn tries_in_flight_count_and_a_right_one_is_given_back() {
    let scene = Scene::new().await;
    let ada = scene.with_password("ada").await;
    for _ in 0..12 {
        change(&ada, PASSWORD, "short").await.expect(400);
    }
    assert_eq!(scene.tries().await, Some(0));
    let answers = join_all((0..16).map(|_| change(&ada, "wrong", NEW))).await;
    let count = |status| answers.iter().filter(|answer| answer.status == status).count();
    // A tenant's share of connections and hashes may be full meanwhile.
    assert!(count(400) <= 10 && count(400) + count(429) + count(503) == 16, "{:?}", (count(400), count(429)));
}

#[tokio::test]
async fn of_many_changes_at_once_one_succeeds() {
    let scene = Scene::new().await;
    let ada = scene.with_password("ada").await;
    scene.must_change(ada.id).await;
    let (ticket, token) = (scene.ticket(ada.id).await, scene.as_of_now(&ada).await);
    let by_ticket = join_all((0..16).map(|_| with_ticket(&scene, CHANGE, &ticket, BY_TICKET)));
    let by_session = join_all((0..4).map(|_| change(&token, PASSWORD, NEW)));
    let (by_ticket, by_session) = tokio::join!(by_ticket, by_session);
    let statuses: Vec<_> = by_ticket.iter().chain(&by_session).map(|answer| answer.status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| [200, 400, 401, 429, 503].contains(status)), "{statuses:?}");
    let (access, ..) = scene.epochs_of(ada.id).await;
    assert_eq!(scene.epochs_of(ada.id).await.2, access);
    assert_eq!(scene.count_logged("user.password_changed").await, 1);
}

#[tokio::test]
async fn a_ticket_changes_the_password_once_and_refused_input_leaves_it_good() {
    let scene = Scene::new().await;
    let ada = scene.with_password("ada").await;
    scene.must_change(ada.id).await;
    let row = scene.at_edge(ada.id).await;
    assert_eq!((row.password_due, row.needs), (Some(PasswordDue::Must), Needs::of(&[PASSWORD_DUE])));
    let ticket = scene.ticket(ada.id).await;
    let refused = with_ticket(&scene, CHANGE, &ticket, "{}").await.expect(400);
    assert_eq!(refused.body, json!({"new_password": ["This field is required."]}));
    let same = r#"{"new_password":"correct horse battery staple"}"#;
    let refused = with_ticket(&scene, CHANGE, &ticket, same).await.expect(400);
    assert_eq!(refused.body, json!({"new_password": ["The new password must differ from the current one."]}));
    let short = r#"{"new_password":"0tters"}"#;
    with_ticket(&scene, CHANGE, &ticket, short).await.expect(400);
    assert_eq!(scene.tries().await, Some(2), "each says whether that was the current one");
    let changed = with_ticket(&scene, CHANGE, &ticket, BY_TICKET).await.expect(200);
    assert_eq!(changed.body, json!({"detail": "New password has been saved.", "next": "sign_in"}));
    let again = with_ticket(&scene, CHANGE, &ticket, BY_TICKET).await.expect(401);
    assert_eq!(again.body["messages"][0]["message"], "Token is invalid");
    let row = scene.at_edge(ada.id).await;
    assert_eq!((row.password_due, row.needs, row.kept_session), (None, Needs::default(), None));
    assert!(!scene.user(ada.id).await.must_change_password);
}

#[tokio::test]
async fn a_ticket_dies_with_every_change_of_its_user_and_with_a_reseed() {
    let scene = Scene::alone().await;
    let ada = scene.with_password("ada").await;
    let gone = scene.with_password("gone").await;
    let admin = scene.member("root", "root-admin").await;
    let path = format!("/api/user/users/{}/", ada.id);
    for body in [
        json!({"roles": ["staff"]}),
        json!({"password": "thirteen sleepy otters"}),
        json!({"must_change_password": true}),
        json!({"status": "suspended"}),
    ] {
        let ticket = scene.ticket(ada.id).await;
        admin.patch(&path, body.clone()).await.expect(200);
        with_ticket(&scene, CHANGE, &ticket, BY_TICKET).await.expect(401);
    }
    let ticket = scene.ticket(ada.id).await;
    with_ticket(&scene, CHANGE, &ticket, BY_TICKET).await.expect(401);
    admin.patch(&path, json!({"status": "active"})).await.expect(200);
    let (ticket, of_gone) = (scene.ticket(ada.id).await, scene.ticket(gone.id).await);
    admin.delete(&format!("/api/user/users/{}/", gone.id)).await.expect(204);
    with_ticket(&scene, CHANGE, &of_gone, BY_TICKET).await.expect(401);
    let neighbour = scene.neighbour(control::tenants::Isolation::Schema).await;
    with_ticket(&neighbour, CHANGE, &ticket, BY_TICKET).await.expect(401);
    sqlx::query("update platform.revisions set history = history + 1 where tenant_id = $1")
        .bind(scene.tenant.id.uuid())
        .execute(&mut scene.database.admin().await)
        .await
        .unwrap();
    with_ticket(&scene, CHANGE, &ticket, BY_TICKET).await.expect(401);
    with_ticket(&scene, CHANGE, &scene.ticket(ada.id).await, BY_TICKET).await.expect(200);
}

#[tokio::test]
async fn a_password_that_another_service_hashed_is_checked_as_it_is_stored() {
    let scene = Scene::new().await;
    let (encoded, password) = cheap();
    let id = scene.foreigner("ada", &encoded).await;
    let ada = scene.acting_as(&scene.user(id).await).await;
    change(&ada, "wrong", NEW).await.expect(400);
    let same = change(&ada, &password, &password).await.expect(400);
    assert_eq!(same.body, json!({"new_password": ["The new password must differ from the current one."]}));
    assert!(scene.at_edge(id).await.foreign);
    change(&ada, &password, NEW).await.expect(200);
    let row = scene.at_edge(id).await;
    assert!(!row.foreign && row.verifier.is_some());
    assert!(scene.edge.state().documents[&scene.tenant.id].foreign.is_none(), "the last one is gone");
}

#[tokio::test]
async fn a_one_time_password_is_not_vouched_for_to_an_edge_that_does_not_know_of_it() {
    let scene = Scene::new().await;
    let (encoded, password) = cheap();
    let id = scene.foreigner("ada", &encoded).await;
    assert!(scene.knows(id, &password).await);
    assert!(scene.knows(id, &password).await, "taken over, and the edge asks again");
    scene.must_change(id).await;
    assert!(scene.knows(id, &password).await, "an edge that knows of the demand gives a ticket");
    let (hashed, settings) = (scene.hashed(NEW).await, &scene.tenant.settings);
    let mut tx = scene.cell().await;
    let before = users::find(&mut tx, id).await.unwrap();
    let new = NewPassword {
        verifier: check(&scene.control, settings, &hashed, &before).unwrap().unwrap(),
        due: Some(PasswordDue::Must),
        valid_until: Some(scene.control.clock.now() + TimeDelta::hours(24)),
        keeps: None,
        proves_address: false,
    };
    set(&scene.control, &mut tx, settings, &before, new).await.unwrap();
    tx.commit().await.unwrap();
    assert!(!scene.knows(id, NEW).await && !scene.knows(id, &password).await);
    let row = scene.at_edge(id).await;
    assert!(row.password_valid_until.is_some() && row.password_due.is_some());
    // Its owner's next password is one for good.
    with_ticket(&scene, CHANGE, &scene.ticket(id).await, r#"{"new_password":"twelve sleepy otters hum"}"#)
        .await
        .expect(200);
    let row = scene.at_edge(id).await;
    assert_eq!((row.password_valid_until, row.password_due, row.needs), (None, None, Needs::default()));
}

#[tokio::test]
async fn an_administrator_demands_a_change_and_takes_it_back() {
    let scene = Scene::new().await;
    let admin = scene.member("root", "root-admin").await;
    let body = json!({"username": "grace", "password": PASSWORD, "must_change_password": true});
    let made = admin.post("/api/user/users/", body).await.expect(201);
    assert_eq!(made.body["must_change_password"], true);
    let (id, path) = (made.id(), format!("/api/user/users/{}/", made.id()));
    assert_eq!(scene.at_edge(id).await.password_due, Some(PasswordDue::Must));
    let before = scene.epochs_of(id).await;
    let patch = async |value: bool| {
        let answer = admin.patch(&path, json!({"must_change_password": value})).await.expect(200);
        assert_eq!(answer.body["must_change_password"], value);
        (scene.epochs_of(id).await, scene.at_edge(id).await.password_due.is_some())
    };
    let (access, session, password) = before;
    assert_eq!(patch(true).await, (before, true), "it is demanded already");
    assert_eq!(patch(false).await, (before, false), "that ends nothing");
    assert_eq!(patch(true).await, ((access + 1, session + 1, password), true), "that ends sessions");
    // Another password of an administrator's is not what was demanded.
    let set = admin.patch(&path, json!({"password": "thirteen sleepy otters"})).await.expect(200);
    assert_eq!(set.body["must_change_password"], true);
    admin.patch(&path, json!({"must_change_password": "perhaps"})).await.expect(400);
    let client = scene.member("eve", "client").await;
    client.patch(&path, json!({"must_change_password": false})).await.expect(403);
}

#[tokio::test]
async fn the_edge_learns_how_old_a_password_is_and_that_it_matters() {
    let scene = Scene::alone().await;
    let ada = scene.with_password("ada").await;
    let nobody = scene.member("nobody", "client").await;
    let age = async |id| scene.at_edge(id).await.password_changed_at;
    let first = age(ada.id).await.unwrap();
    assert_eq!(age(nobody.id).await, None, "there is no password");
    scene.control.clock.advance(TimeDelta::seconds(1000));
    scene.change(ada.id, Change { first_name: Some("Ada".into()), ..Change::default() }).await;
    scene.must_change(ada.id).await;
    assert_eq!(age(ada.id).await, Some(first), "an edit leaves it");
    with_ticket(&scene, CHANGE, &scene.ticket(ada.id).await, BY_TICKET).await.expect(200);
    assert!(age(ada.id).await.unwrap() >= first + 1_000_000);
    let document = || scene.edge.state().documents[&scene.tenant.id].clone();
    assert!(document().needs.is_empty());
    let platform = scene.platform().await.member("operator", "root-admin").await;
    let path = format!("/api/tenant/tenants/{}/", scene.tenant.id);
    for (secs, status) in [(90, 400), (7_776_000, 200)] {
        let body = json!({"settings": {"password_max_age_secs": secs}});
        platform.patch(&path, body).await.expect(status);
    }
    scene.push().await;
    assert_eq!(document().settings.password_max_age_secs, 7_776_000);
    assert_eq!(document().needs, Needs::of(&[PASSWORD_MAX_AGE]));
    platform.patch(&path, json!({"settings": {"password_max_age_secs": 0}})).await.expect(200);
    scene.push().await;
    assert!(document().needs.is_empty());
}

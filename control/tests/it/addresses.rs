//! Another address for a user: proven by the new one, taken back by the former one.

use chrono::TimeDelta;
use control::users::{PasswordKept, User};
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use shared::contract::limits::{ADDRESS_CHANGES, ADDRESS_LINK_SECS, MAILS_PER_HOUR, UNDO_LINK_SECS};

use crate::scale::Numbers;
use crate::scene::{Answer, Member, PASSWORD, Scene};

const CHANGE: &str = "/api/user/email/change/";
const CONFIRM: &str = "/api/user/email/change/confirm/";
const UNDO: &str = "/api/user/email/change/undo/";

impl Scene {
    /// A user with a proven address and a password, signed in.
    async fn grace(&self) -> (User, Member) {
        let root = self.member("root", "root-admin").await;
        let body = json!({ "username": "grace", "email": "old@acme.test", "password": PASSWORD });
        let id = root.post("/api/user/users/", body).await.expect(201).id();
        self.delivered().await;
        let user = self.user(id).await;
        let member = self.acting_as(&user).await;
        (user, member)
    }

    async fn use_link(&self, path: &str, token: &str) -> Answer {
        self.stranger(Method::POST, path, Some(json!({ "token": token }))).await
    }

    async fn address(&self, user: &User) -> String {
        let user = self.user(user.id).await;
        user.email.map(|email| email.expose().to_owned()).unwrap_or_default()
    }
}

fn to(email: &str) -> Value {
    json!({ "email": email, "current_password": PASSWORD })
}

#[tokio::test]
async fn an_address_is_the_users_once_it_is_proven_and_can_be_taken_back() {
    for scene in [Scene::new().await, Scene::shared().await] {
        let (grace, member) = scene.grace().await;
        let wrong = json!({ "email": "new@acme.test", "current_password": "wrong horse" });
        let refused = member.post(CHANGE, wrong).await.expect(400);
        assert!(refused.body["current_password"][0].as_str().unwrap().contains("incorrectly"));
        member.post(CHANGE, json!({ "email": "bad", "current_password": PASSWORD })).await.expect(400);
        member.post(CHANGE, json!({ "email": "new@acme.test" })).await.expect(400);
        scene.stranger(Method::POST, CHANGE, Some(to("new@acme.test"))).await.expect(401);
        member.post(CHANGE, to("New@acme.test")).await.expect(202);
        let mails = scene.answered().await;
        let kinds: Vec<_> = mails.iter().map(|mail| (mail.kind.as_str(), mail.to.as_str())).collect();
        assert_eq!(kinds, [("confirm_new_address", "New@acme.test"), ("address_changing", "old@acme.test")]);
        let (confirm, first_undo) = (mails[0].token("address"), mails[1].token("undo"));
        assert_eq!(scene.address(&grace).await, "old@acme.test", "not before it is proven");
        // Its job may run again: what was mailed stays good, and nothing is mailed twice.
        scene.answer().await;
        assert_eq!(scene.mailed().await, []);

        let other = scene.neighbour(scene.tenant.isolation).await;
        for (path, token) in [(CONFIRM, &confirm), (UNDO, &first_undo)] {
            other.use_link(path, token).await.expect(400);
            for method in [Method::GET, Method::HEAD] {
                scene.stranger(method, &format!("{path}?token={token}"), None).await.expect(405);
            }
        }
        scene.use_link(CONFIRM, &first_undo).await.expect(400);
        scene.use_link(CONFIRM, &confirm).await.expect(200);
        scene.use_link(CONFIRM, &confirm).await.expect(400);
        assert_eq!(scene.address(&grace).await, "New@acme.test");
        assert_eq!(scene.named("new@acme.test").await.unwrap().id, grace.id);
        assert!(scene.named("old@acme.test").await.is_none());
        member.get("/api/user/me/").await.expect(200);
        let mails = scene.answered().await;
        let kinds: Vec<_> = mails.iter().map(|mail| (mail.kind.as_str(), mail.to.as_str())).collect();
        assert_eq!(kinds, [("address_changed", "old@acme.test")]);
        let second_undo = mails[0].token("undo");

        // Six days later, by either link.
        scene.control.clock.advance(TimeDelta::days(6));
        let answers = join_all((0..16).map(|_| scene.use_link(UNDO, &first_undo))).await;
        assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
        let after = scene.user(grace.id).await;
        assert_eq!((scene.address(&grace).await.as_str(), after.email_verified), ("old@acme.test", true));
        assert_eq!(scene.password_of(&after).await, PasswordKept::None);
        assert!(after.session_epoch > grace.session_epoch);
        assert!(scene.named("new@acme.test").await.is_none());
        let mails = scene.answered().await;
        assert_eq!(
            (mails.len(), mails[0].kind.as_str(), mails[0].to.as_str()),
            (1, "reset_password", "old@acme.test")
        );
        mails[0].token("reset");
        scene.use_link(UNDO, &second_undo).await.expect(400);
        assert_eq!(scene.count("requests").await, 0);
        let logged = scene.logged().await;
        for action in ["email.change_asked", "email.changed", "email.change_undone"] {
            assert!(logged.contains(&action.to_owned()), "{action}");
        }
    }
}

#[tokio::test]
async fn the_way_back_is_mailed_whatever_notices_the_tenant_chose() {
    let scene = Scene::new().await;
    let (grace, member) = scene.grace().await;
    scene.with_settings(|settings| settings.notices = vec![]).await;
    member.post(CHANGE, to("new@acme.test")).await.expect(202);
    let mails = scene.answered().await;
    let kinds: Vec<_> = mails.iter().map(|mail| (mail.kind.as_str(), mail.to.as_str())).collect();
    assert_eq!(kinds, [("confirm_new_address", "new@acme.test"), ("address_changing", "old@acme.test")]);
    let (confirm, undo) = (mails[0].token("address"), mails[1].token("undo"));
    scene.use_link(CONFIRM, &confirm).await.expect(200);
    assert!(scene.answered().await.is_empty(), "the second notice is one that the tenant turned off");
    assert_eq!(scene.address(&grace).await, "new@acme.test");
    scene.control.clock.advance(TimeDelta::days(6));
    scene.use_link(UNDO, &undo).await.expect(200);
    assert_eq!(scene.address(&grace).await, "old@acme.test");
}

#[tokio::test]
async fn the_link_after_an_undo_is_mailed_whatever_strangers_asked_for_this_hour() {
    let scene = Scene::shared().await;
    let (_, member) = scene.grace().await;
    member.post(CHANGE, to("new@acme.test")).await.expect(202);
    let undo = scene.answered().await[1].token("undo");
    for _ in 0..=MAILS_PER_HOUR {
        let body = json!({ "email": "old@acme.test" });
        scene.stranger(Method::POST, "/api/user/password/reset/", Some(body)).await.expect(200);
        scene.answer().await;
    }
    scene.use_link(UNDO, &undo).await.expect(200);
    let mails = scene.answered().await;
    // The mails of this hour that were not sent yet are gone with their links.
    let kinds: Vec<_> = mails.iter().map(|mail| (mail.kind.as_str(), mail.to.as_str())).collect();
    assert_eq!(kinds, [("reset_password", "old@acme.test")]);
    let body = json!({ "token": mails[0].token("reset"), "new_password": "another long password 4711" });
    scene.stranger(Method::POST, "/api/user/password/reset/confirm/", Some(body)).await.expect(200);
}

#[tokio::test]
async fn wrong_passwords_are_logged_and_counted() {
    let scene = Scene::new().await;
    let numbers = Numbers::new();
    let _kept = numbers.keep();
    let (grace, member) = scene.grace().await;
    let root = scene.member("reader", "root-admin").await;
    let wrong = json!({ "email": "new@acme.test", "current_password": "wrong horse" });
    for _ in 0..10 {
        member.post(CHANGE, wrong.clone()).await.expect(400);
    }
    member.post(CHANGE, wrong).await.expect(429);
    for (outcome, many) in [("wrong_password", "10"), ("throttled", "1")] {
        let counted = numbers.gauge(&format!("wardgate_address_changes_total{{outcome=\"{outcome}\"}}"));
        assert_eq!(counted.to_string(), many, "{outcome}");
    }
    let log = root.get("/api/audit/?action=email.change_asked").await.expect(200).body;
    assert_eq!(log["count"], 10, "one for each try that was counted");
    let entry = &log["results"][0];
    let id = json!(grace.id);
    assert_eq!((&entry["outcome"], &entry["actor"], &entry["target"]), (&json!("refused"), &id, &id));
    assert_eq!(entry["details"], json!({ "why": "wrong_password" }));
    assert_eq!(scene.count("requests").await, 0);
}

#[tokio::test]
async fn a_taken_address_is_answered_like_a_free_one() {
    let scene = Scene::new().await;
    let (grace, member) = scene.grace().await;
    scene.with_address("ada", "ada@acme.test", true).await;
    scene.with_address("eve@acme.test", "eve@else.test", true).await;
    let mut answers = Vec::new();
    for (address, kinds) in [
        ("free@acme.test", vec!["confirm_new_address", "address_changing"]),
        ("ada@acme.test", vec!["already_registered"]),
        // A user name is no address, and the user's own address is no change.
        ("eve@acme.test", vec![]),
        ("OLD@acme.test", vec![]),
    ] {
        let answer = member.post(CHANGE, to(address)).await.expect(202);
        answers.push((answer.text.clone(), answer.headers.len()));
        let mails = scene.answered().await;
        assert_eq!(mails.iter().map(|mail| mail.kind.as_str()).collect::<Vec<_>>(), kinds, "{address}");
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(scene.address(&grace).await, "old@acme.test");
}

#[tokio::test]
async fn the_former_address_stops_a_change_that_is_not_proven_yet() {
    let scene = Scene::new().await;
    let (grace, member) = scene.grace().await;
    member.post(CHANGE, to("thief@acme.test")).await.expect(202);
    let mails = scene.answered().await;
    let (confirm, undo) = (mails[0].token("address"), mails[1].token("undo"));
    scene.use_link(UNDO, &undo).await.expect(200);
    scene.use_link(CONFIRM, &confirm).await.expect(400);
    assert_eq!(scene.address(&grace).await, "old@acme.test");
    assert_eq!(scene.password_of(&grace).await, PasswordKept::None);
    member.get("/api/user/me/").await.expect(401);
}

#[tokio::test]
async fn a_newer_wish_replaces_the_older_one_and_takes_no_way_back_away() {
    let scene = Scene::new().await;
    let (grace, member) = scene.grace().await;
    member.post(CHANGE, to("one@acme.test")).await.expect(202);
    let mails = scene.answered().await;
    let (first, undo) = (mails[0].token("address"), mails[1].token("undo"));
    member.post(CHANGE, to("two@acme.test")).await.expect(202);
    let second = scene.answered().await[0].token("address");
    scene.use_link(CONFIRM, &first).await.expect(400);
    scene.use_link(CONFIRM, &second).await.expect(200);
    scene.delivered().await;
    // From there to yet another one, whose notice the thief gets himself.
    member.post(CHANGE, to("three@acme.test")).await.expect(202);
    let mails = scene.answered().await;
    assert_eq!(mails[1].to, "two@acme.test");
    let (third, thiefs) = (mails[0].token("address"), mails[1].token("undo"));
    scene.use_link(CONFIRM, &third).await.expect(200);
    let thiefs_too = scene.answered().await[0].token("undo");
    assert_eq!(scene.address(&grace).await, "three@acme.test");
    // The link of the first notice takes everything back.
    scene.use_link(UNDO, &undo).await.expect(200);
    assert_eq!(scene.address(&grace).await, "old@acme.test");
    for token in [thiefs, thiefs_too] {
        scene.use_link(UNDO, &token).await.expect(400);
    }
    assert_eq!(scene.address(&grace).await, "old@acme.test");
}

#[tokio::test]
async fn an_address_that_was_never_proven_gets_no_way_back() {
    let scene = Scene::new().await;
    let (grace, member) = scene.grace().await;
    let root = scene.member("admin", "root-admin").await;
    let path = format!("/api/user/users/{}/", grace.id);
    root.patch(&path, json!({ "email_verified": false })).await.expect(200);
    scene.delivered().await;
    member.post(CHANGE, to("old@acme.test")).await.expect(202);
    assert_eq!(scene.answered().await[0].kind, "verify_address", "their own, which is not proven");
    member.post(CHANGE, to("new@acme.test")).await.expect(202);
    let mails = scene.answered().await;
    assert_eq!(mails.len(), 1);
    scene.use_link(CONFIRM, &mails[0].token("address")).await.expect(200);
    assert!(scene.answered().await.is_empty());
    assert_eq!(scene.address(&grace).await, "new@acme.test");
}

#[tokio::test]
async fn the_owner_of_an_address_takes_it_from_an_account_that_only_claims_it() {
    let scene = Scene::new().await;
    let (grace, member) = scene.grace().await;
    let squatter = scene.with_address("squatter", "new@acme.test", false).await;
    member.post(CHANGE, to("new@acme.test")).await.expect(202);
    let token = scene.answered().await[0].token("address");
    scene.use_link(CONFIRM, &token).await.expect(200);
    assert_eq!(scene.address(&grace).await, "new@acme.test");
    assert!(scene.user(squatter.id).await.email.is_none());
    // An address that another user verifies meanwhile stays with that user.
    scene.delivered().await;
    member.post(CHANGE, to("late@acme.test")).await.expect(202);
    let token = scene.answered().await[0].token("address");
    scene.with_address("quick", "late@acme.test", true).await;
    let refused = scene.use_link(CONFIRM, &token).await.expect(400);
    assert_eq!(refused.body, json!({ "email": ["A user with that email already exists."] }));
}

#[tokio::test]
async fn links_end_and_wishes_are_bounded() {
    let scene = Scene::new().await;
    let (grace, member) = scene.grace().await;
    member.post(CHANGE, to("new@acme.test")).await.expect(202);
    let mails = scene.answered().await;
    let (confirm, undo) = (mails[0].token("address"), mails[1].token("undo"));
    scene.control.clock.advance(TimeDelta::seconds(ADDRESS_LINK_SECS));
    scene.use_link(CONFIRM, &confirm).await.expect(400);
    scene.control.clock.advance(TimeDelta::seconds(UNDO_LINK_SECS - ADDRESS_LINK_SECS));
    scene.use_link(UNDO, &undo).await.expect(400);
    let member = scene.acting_as(&grace).await;
    for at in 1..ADDRESS_CHANGES {
        member.post(CHANGE, to(&format!("new{at}@acme.test"))).await.expect(202);
    }
    member.post(CHANGE, to("more@acme.test")).await.expect(429);
}

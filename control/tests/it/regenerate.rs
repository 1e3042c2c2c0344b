//! One-time passwords: mailed to the user, and not shown to the administrator.

use chrono::{DateTime, TimeDelta};
use control::users::Change;
use reqwest::Method;
use serde_json::json;
use shared::contract::limits::MAILS_PER_HOUR;
use shared::user::UserStatus;

use crate::scale::Numbers;
use crate::scene::Scene;

const PATH: &str = "/api/user/password/regenerate/";

#[tokio::test]
async fn a_password_that_is_good_once_is_mailed_to_the_user_alone() {
    for scene in [Scene::new().await, Scene::shared().await] {
        let admin = scene.member("root", "root-admin").await;
        let grace = scene.addressed("grace", "staff").await;
        let session = scene.acting_as(&grace).await;
        let link = scene.reset_link(grace.id).await;
        let before = scene.control.clock.now();
        let made = admin.post(PATH, json!({"user": grace.id.to_string()})).await.expect(200);
        assert_eq!(made.body["detail"], "A password that is good once is on its way to the person.");
        let until = DateTime::parse_from_rfc3339(made.body["valid_until"].as_str().unwrap()).unwrap();
        let day = until.to_utc() - before;
        assert!(day >= TimeDelta::days(1) && day < TimeDelta::days(1) + TimeDelta::minutes(1), "{day}");

        let mails = scene.promised().await;
        assert_eq!(mails.len(), 1);
        assert_eq!((mails[0].kind.as_str(), mails[0].address()), ("one_time_password", "grace@acme.test"));
        let password = mails[0].content["facts"]["password"].as_str().unwrap();
        assert_eq!(password.len(), 24);
        assert!(scene.is_password(grace.id, password).await);
        let expires = mails[0].content["facts"]["expires_at"].as_str().unwrap();
        assert_eq!(DateTime::parse_from_rfc3339(expires).unwrap(), until);
        assert!(!made.text.contains(password));
        let log = admin.get("/api/audit/?action=user.password_regenerated").await.expect(200);
        assert_eq!(log.body["count"], 1);
        assert_eq!(log.body["results"][0]["actor"], admin.id.to_string());
        assert!(!log.text.contains(password));
        assert!(!scene.rows().await.contains(password), "it rests in no row in clear");

        let after = scene.user(grace.id).await;
        assert_eq!((after.access_epoch, after.session_epoch, after.password_epoch), (1, 1, 1));
        assert!(scene.urgent(grace.id).await);
        session.get("/api/user/me/").await.expect(401);
        assert!(!scene.is_good(&link).await, "a link that was mailed before is dead");
    }
}

#[tokio::test]
async fn two_passwords_that_are_good_once_differ() {
    let scene = Scene::new().await;
    let admin = scene.member("root", "root-admin").await;
    let grace = scene.addressed("grace", "staff").await;
    for _ in 0..2 {
        admin.post(PATH, json!({"user": grace.id.to_string()})).await.expect(200);
    }
    let mails = scene.promised().await;
    let passwords: Vec<_> = mails.iter().map(|mail| &mail.content["facts"]["password"]).collect();
    assert_ne!(passwords[0], passwords[1]);
    assert!(!scene.is_password(grace.id, passwords[0].as_str().unwrap()).await);
    assert!(scene.is_password(grace.id, passwords[1].as_str().unwrap()).await);
}

#[tokio::test]
async fn beyond_the_budget_of_the_account_it_waits() {
    let scene = Scene::new().await;
    let admin = scene.member("root", "root-admin").await;
    let grace = scene.addressed("grace", "staff").await;
    let most = usize::try_from(MAILS_PER_HOUR).unwrap();
    for _ in 0..=most {
        admin.post(PATH, json!({"user": grace.id.to_string()})).await.expect(200);
    }
    let mails = scene.promised().await;
    assert_eq!(mails.len(), most + 1);
    let last = mails[most].content["facts"]["password"].as_str().unwrap();
    assert!(scene.is_password(grace.id, last).await, "it is the password already");
}

#[tokio::test]
async fn who_may_not_have_one_made_costs_no_hash_and_changes_nothing() {
    let scene = Scene::new().await;
    let admin = scene.member("root", "root-admin").await;
    let co_admin = scene.member("co", "co-admin").await;
    let client = scene.member("client", "client").await;
    let grace = scene.addressed("grace", "co-admin").await;
    let numbers = Numbers::new();
    let _guard = numbers.keep();
    let body = json!({"user": grace.id.to_string()});
    co_admin.post(PATH, body.clone()).await.expect(403);
    client.post(PATH, body.clone()).await.expect(403);
    scene.anonymous(Method::POST, PATH, Some(body.clone())).await.expect(401);
    let unproven = scene.addressed("unproven", "client").await;
    scene.change(unproven.id, Change { email_verified: Some(false), ..Change::default() }).await;
    let suspended = scene.addressed("suspended", "client").await;
    let change = Change { status: Some(UserStatus::Suspended), ..Change::default() };
    scene.change(suspended.id, change).await;
    let neighbour = scene.neighbour(control::tenants::Isolation::Schema).await;
    let stranger = neighbour.addressed("grace", "client").await;
    let no_user = json!({"detail": "No User matches the given query."});
    let no_address = json!({"detail": "The person has no proven address.", "code": "conflict"});
    let not_active = json!({"detail": "The person is not active.", "code": "conflict"});
    for (user, status, said) in [
        ("nonsense".to_owned(), 404, &no_user),
        (stranger.id.to_string(), 404, &no_user),
        (client.id.to_string(), 409, &no_address),
        (unproven.id.to_string(), 409, &no_address),
        (suspended.id.to_string(), 409, &not_active),
    ] {
        let refused = admin.post(PATH, json!({ "user": user })).await.expect(status);
        assert_eq!(refused.body, *said);
    }
    let missing = admin.post(PATH, json!({})).await.expect(400);
    assert_eq!(missing.body, json!({"user": ["This field is required."]}));
    assert_eq!(numbers.asked_for("passwords"), 0);
    assert!(scene.promised().await.is_empty());
    assert_eq!(scene.user(grace.id).await.session_epoch, 0);
    let refused = scene.logged().await;
    assert_eq!(refused.iter().filter(|action| *action == "permission.refused").count(), 2);
}

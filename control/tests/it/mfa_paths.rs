//! The table of paths and policies, where a path begins in control: reset, registration, invitation, import. None of them
//! gives a token, whatever the policy; what they leave at the edge is what the edge judges the sign-in by
//! (`edge/src/tests/second_factor/table.rs`).

use chrono::TimeDelta;
use reqwest::Method;
use serde_json::{Value, json};
use shared::ids::UserId;
use shared::tenant::registration::Registration;
use shared::wire::needs::{Needs, SECOND_FACTOR, SECOND_FACTOR_POLICY};

use crate::dumps::foreign_user;
use crate::scene::{Answer, PASSWORD, Scene};

/// Policies by name: roles, and from when on (seconds from now).
const POLICIES: [(&str, &[&str], Option<i64>); 5] = [
    ("none", &[], None),
    ("all", &["*"], None),
    ("their role", &["client"], None),
    ("another role", &["staff"], None),
    ("a grace period", &["*"], Some(3600)),
];

/// The result of a path: its user, and whether that user is enrolled.
struct Left {
    user: UserId,
    enrolled: bool,
    /// The answers that a client saw on the way.
    seen: Vec<Answer>,
}

async fn policy(roles: &[&str], from: Option<i64>) -> Scene {
    let scene = Scene::new().await;
    scene
        .sets(|settings| {
            settings.second_factor_roles = roles.iter().map(|role| (*role).to_owned()).collect();
            settings.second_factor_from =
                from.map(|secs| scene.control.clock.now() + TimeDelta::seconds(secs));
            settings.registration = Registration::Open;
        })
        .await;
    scene
}

/// A user who is enrolled, independent of the policy.
async fn enrolled(scene: &Scene, name: &str) -> UserId {
    let user = scene.addressed(name, "client").await;
    let member = scene.with_mfa(user.id).await;
    scene.enrols(&member).await.member.id
}

async fn reset(scene: &Scene, user: UserId) -> Vec<Answer> {
    let token = scene.reset_link(user).await;
    vec![scene.confirm(&token, "another staple for the battery").await.expect(200)]
}

async fn registered(scene: &Scene) -> Left {
    let wish = json!({"username": "grace", "email": "grace@acme.test", "password": PASSWORD});
    let asked = scene.stranger(Method::POST, "/api/user/public-register/", Some(wish)).await.expect(202);
    let token = scene.answered().await[0].token("verify");
    let proof = Some(json!({ "token": token }));
    let proven = scene.stranger(Method::POST, "/api/user/email/verify/", proof).await.expect(200);
    let user = scene.named("grace").await.unwrap().id;
    Left { user, enrolled: false, seen: vec![asked, proven] }
}

async fn invited(scene: &Scene) -> Left {
    let root = scene.member("root", "root-admin").await;
    let root = scene.with_mfa(root.id).await;
    let offer = json!({"email": "grace@acme.test", "roles": ["client"]});
    root.post("/api/user/invitations/", offer).await.expect(201);
    let token = scene.answered().await[0].token("invite");
    let body = json!({"token": token, "username": "grace", "password": PASSWORD});
    let accepted =
        scene.stranger(Method::POST, "/api/user/invitations/accept/", Some(body)).await.expect(201);
    Left { user: accepted.id(), enrolled: false, seen: vec![accepted] }
}

/// Imports a user with or without a device.
async fn imported(scene: &Scene, enrolled: bool) -> Left {
    let device = json!({"model": "otp_totp.totpdevice", "pk": 1, "fields": {
        "user": 7, "name": "phone", "confirmed": true, "key": "3132333435363738393031323334353637383930",
        "step": 30, "t0": 0, "digits": 6, "tolerance": 1, "drift": 0, "last_t": -1,
    }});
    let mut dump = vec![foreign_user(&json!(7), "grace")];
    dump.extend(enrolled.then_some(device));
    scene.import_dump(&dump).expect(0);
    let user = scene.named("grace").await.unwrap().id;
    Left { user, enrolled, seen: vec![] }
}

fn gives_a_token(answer: &Answer) -> bool {
    let named =
        ["access", "refresh", "ticket", "mfa_token"].iter().any(|name| answer.body.get(name).is_some());
    named || answer.headers.contains_key("set-cookie")
}

/// Checks that the edge has the data for the sign-in after a path: the factor, and the requirement.
async fn holds(scene: &Scene, path: &str, policy: &str, roles: &[&str], left: Left) {
    let cell = format!("{path}, {policy}, enrolled: {}", left.enrolled);
    assert!(left.seen.iter().all(|answer| !gives_a_token(answer)), "{cell}");
    let row = scene.row_at_edge(left.user).await;
    assert_eq!(row.authenticators.len(), usize::from(left.enrolled), "{cell}");
    let needs = if left.enrolled { Needs::of(&[SECOND_FACTOR]) } else { Needs::default() };
    assert_eq!(row.needs, needs, "{cell}");
    assert_eq!(row.roles, ["client"], "{cell}");
    let document = scene.edge.state().documents[&scene.tenant.id].clone();
    assert_eq!(document.settings.second_factor_roles, roles, "{cell}");
    let needs = if roles.is_empty() { Needs::default() } else { Needs::of(&[SECOND_FACTOR_POLICY]) };
    assert_eq!(document.needs, needs, "{cell}");
    assert!(!document.settings.second_factor_roles.iter().any(String::is_empty), "{cell}");
}

#[tokio::test]
async fn a_reset_gives_no_token_and_leaves_the_second_factor() {
    for (name, roles, from) in POLICIES {
        let scene = policy(roles, from).await;
        for is_enrolled in [true, false] {
            let user = match is_enrolled {
                true => enrolled(&scene, "ada").await,
                false => scene.addressed("bob", "client").await.id,
            };
            let seen = reset(&scene, user).await;
            holds(&scene, "reset", name, roles, Left { user, enrolled: is_enrolled, seen }).await;
        }
    }
}

#[tokio::test]
async fn registration_and_invitation_give_no_token() {
    for (name, roles, from) in POLICIES {
        let scene = policy(roles, from).await;
        let left = registered(&scene).await;
        holds(&scene, "registration", name, roles, left).await;
        let scene = policy(roles, from).await;
        let left = invited(&scene).await;
        holds(&scene, "invitation", name, roles, left).await;
    }
}

#[tokio::test]
async fn an_import_brings_the_second_factor_with_the_user() {
    for (name, roles, from) in POLICIES {
        for is_enrolled in [true, false] {
            let scene = policy(roles, from).await;
            let left = imported(&scene, is_enrolled).await;
            holds(&scene, "import", name, roles, left).await;
        }
    }
}

/// A value that no row has: the check above looks at rows and not at nothing.
#[test]
fn a_token_is_seen_where_there_is_one() {
    let answer = |body: Value| Answer {
        status: 200,
        headers: reqwest::header::HeaderMap::new(),
        text: body.to_string(),
        body,
    };
    assert!(gives_a_token(&answer(json!({"access": "eyJ"}))));
    assert!(!gives_a_token(&answer(json!({"detail": "done"}))));
}

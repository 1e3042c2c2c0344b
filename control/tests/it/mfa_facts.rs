//! What the edge saw of second factors arrives here: steps, recovery codes that were used, refusals.

use control::edges::drain;
use serde_json::{Map, Value, json};
use shared::ids::{EventId, SessionId, UserId};
use shared::wire::facts::{Fact, FactKind};

use crate::mfa::MFA;
use crate::scene::Scene;

impl Scene {
    /// Lets the edge tell these facts of a user.
    pub async fn tells(&self, user: UserId, told: Vec<(FactKind, Value)>) {
        let from = self.edge.state().acknowledged;
        let fact = |(seq, (kind, more)): (i64, (FactKind, Value))| Fact {
            seq: from + seq,
            id: EventId::new(1_700_000_000_000, control::world::random().unwrap()),
            tenant: self.tenant.id,
            at_ms: 1_800_000_000_000 + from + seq,
            kind,
            user: Some(user),
            sid: Some(SessionId::new(0, [3; 16])),
            network: Some("192.0.2.0".into()),
            name_hash: None,
            count: 1,
            more: more.as_object().cloned().unwrap_or_else(Map::new),
        };
        self.edge.state().outbox = (1..).zip(told).map(fact).collect();
        drain::run_once(&self.control).await.unwrap();
        drain::run_once(&self.control).await.unwrap();
        assert!(self.edge.state().outbox.is_empty());
    }
}

#[tokio::test]
async fn the_step_of_a_code_is_taken_over_and_never_falls() {
    let scene = Scene::alone().await;
    let ada = scene.enrolled("ada", "client").await;
    let (user, first) = (ada.member.id, scene.row_at_edge(ada.member.id).await.authenticators[0].last_step);
    let used = |kind, step: i64| {
        (kind, json!({"amr": ["pwd", "otp", "mfa"], "authenticator": ada.id, "step": step}))
    };
    scene.tells(user, vec![used(FactKind::SignedIn, first + 5), used(FactKind::SignedIn, first + 3)]).await;
    let step = async || {
        // Another change of the user: a code alone makes no push.
        scene
            .change(user, control::users::Change { must_change_password: Some(true), ..Default::default() })
            .await;
        scene
            .change(user, control::users::Change { must_change_password: Some(false), ..Default::default() })
            .await;
        scene.row_at_edge(user).await.authenticators[0].last_step
    };
    assert_eq!(step().await, first + 5);
    scene.tells(user, vec![used(FactKind::SteppedUp, first + 7)]).await;
    assert_eq!(step().await, first + 7);
    let shown = scene.with_mfa(user).await.get(MFA).await.expect(200).body;
    assert_eq!(shown["authenticators"][0]["last_used_at"], "2027-01-15T08:00:00.003000Z");
    // Facts of an authenticator that is gone, of another user's, and of no form that is known, stop nothing.
    let eve = scene.enrolled("eve", "client").await;
    let (nil, id) = (uuid::Uuid::nil(), ada.id);
    scene
        .tells(
            eve.member.id,
            vec![
                (FactKind::SignedIn, json!({"authenticator": id, "step": first + 99})),
                (FactKind::SignedIn, json!({"authenticator": nil, "step": 1})),
                (FactKind::SignedIn, json!({"authenticator": 7, "step": "x"})),
                (FactKind::SignedIn, json!({"amr": ["pwd"]})),
                (FactKind::RecoveryCodeUsed, json!({"hash": "!"})),
                (FactKind::RecoveryCodeUsed, json!({})),
            ],
        )
        .await;
    assert_eq!(step().await, first + 7);
}

#[tokio::test]
async fn the_owner_of_an_account_is_told_of_a_remembered_browser() {
    let scene = Scene::alone().await;
    let ada = scene.enrolled("ada", "client").await;
    let device = json!({"device": "S7Bvjk46dxXSAdVz0KpCN2LlXavWGiwCJ4-lbMbSlOA"});
    scene.tells(ada.member.id, vec![(FactKind::DeviceRemembered, device.clone())]).await;
    assert_eq!(scene.factor_mails().await, ["added", "remembered"]);
    let root = scene.member("root", "root-admin").await;
    let listed = root.get("/api/audit/?action=edge.device_remembered").await.expect(200).body;
    assert_eq!(listed["results"][0]["details"]["device"], device["device"]);
}

#[tokio::test]
async fn a_used_recovery_code_is_counted_once_and_its_owner_is_told() {
    let scene = Scene::alone().await;
    let ada = scene.enrolled("ada", "client").await;
    let user = ada.member.id;
    let hashes: Vec<_> = scene.row_at_edge(user).await.recovery.unwrap().codes;
    let used = |at: usize| (FactKind::RecoveryCodeUsed, json!({"hash": hashes[at].hash}));
    scene.tells(user, vec![used(0), used(0), used(1)]).await;
    let mails = scene.promised().await;
    let facts: Vec<_> = mails.iter().map(|mail| &mail.content["facts"]).collect();
    let told: Vec<_> = facts.iter().map(|facts| (&facts["factor"], &facts["codes_left"])).collect();
    let (used, added) = (json!("code_used"), json!("added"));
    assert_eq!(told, [(&added, &json!(0)), (&used, &json!(9)), (&used, &json!(8))]);
    assert_eq!(facts[1]["at"], "2027-01-15T08:00:00.001Z", "when it was used");
    let shown = scene.with_mfa(user).await.get(MFA).await.expect(200).body;
    assert_eq!(
        (&shown["recovery_codes_left"], &shown["methods"]),
        (&json!(8), &json!(["totp", "recovery_code"]))
    );
    // An edge with emptied databases gets it.
    scene.enrols(&scene.with_mfa(user).await).await;
    let codes = scene.row_at_edge(user).await.recovery.unwrap().codes;
    let mut used: Vec<_> = codes.iter().filter_map(|code| Some((code.hash.clone(), code.used_at?))).collect();
    used.sort_by_key(|(_, at)| *at);
    let expected = [(0, 1_800_000_000_001), (1, 1_800_000_000_003)];
    assert_eq!(used, expected.map(|(at, ms)| (hashes[at].hash.clone(), ms)));
}

#[tokio::test]
async fn what_the_edge_saw_is_in_the_log() {
    let scene = Scene::alone().await;
    let ada = scene.enrolled("ada", "client").await;
    let root = scene.member("root", "root-admin").await;
    let told = [
        (FactKind::MfaEnrollmentRequired, json!({})),
        (FactKind::SecondFactorRefused, json!({"method": "otp"})),
        (FactKind::SteppedUp, json!({"method": "otp", "authenticator": ada.id, "step": 1})),
        (FactKind::RecoveryCodeUsed, json!({"hash": "x"})),
    ];
    scene.tells(ada.member.id, told.to_vec()).await;
    let listed = root.get("/api/audit/?page_size=100").await.expect(200).body;
    let entries = listed["results"].as_array().unwrap().iter();
    let mut seen: Vec<_> = entries
        .filter(|entry| entry["actor_kind"] == "edge")
        .map(|entry| (entry["action"].as_str().unwrap(), entry["outcome"].as_str().unwrap()))
        .collect();
    seen.sort_unstable();
    assert_eq!(
        seen,
        [
            ("edge.mfa_enrollment_required", "done"),
            ("edge.recovery_code_used", "done"),
            ("edge.second_factor_refused", "refused"),
            ("edge.stepped_up", "done"),
        ]
    );
}

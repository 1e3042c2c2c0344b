//! Removing authenticators, resetting them, and new recovery codes: which sessions end, and who gets a notice.

use futures::future::join_all;
use reqwest::Method;
use serde_json::json;
use shared::wire::needs::Needs;
use shared::wire::push::KeptSession;

use crate::mfa::{CODES, MFA, TOTP, session};
use crate::scene::Scene;

impl Scene {
    /// The changes of second factors in queued mails.
    pub async fn factor_mails(&self) -> Vec<String> {
        let mails = self.promised().await;
        let factor =
            |mail: &crate::resets::Promised| mail.content["facts"]["factor"].as_str().unwrap().to_owned();
        mails.iter().filter(|mail| mail.kind == "second_factor_changed").map(factor).collect()
    }
}

#[tokio::test]
async fn a_removed_authenticator_ends_every_session_but_the_one_that_removed_it() {
    for scene in [Scene::new().await, Scene::shared().await] {
        let first = scene.enrolled("ada", "client").await;
        let second = scene.enrols(&first.member).await;
        let user = second.member.id;
        let (access, sessions, password) = scene.epoch_counts(user).await;
        second.member.delete(&format!("{TOTP}{}/", first.id)).await.expect(204);
        assert_eq!(scene.epoch_counts(user).await, (access + 1, sessions + 1, password));
        let row = scene.row_at_edge(user).await;
        let left: Vec<_> = row.authenticators.iter().map(|it| it.id).collect();
        assert_eq!((left, row.recovery.unwrap().codes.len()), (vec![second.id], 10));
        let kept = KeptSession { sid: session(), from: sessions };
        assert_eq!((row.kept_session, row.session_epoch), (Some(kept), sessions + 1));
        second.member.get(MFA).await.expect(401);

        // An authenticator that comes keeps the session that was kept.
        let third = scene.enrols(&scene.with_mfa(user).await).await;
        assert_eq!(scene.row_at_edge(user).await.kept_session, Some(kept));
        // All of them: the recovery codes go as well.
        third.member.delete(TOTP).await.expect(204);
        let row = scene.row_at_edge(user).await;
        assert_eq!((row.authenticators, row.recovery, row.needs), (vec![], None, Needs::default()));
        assert_eq!((row.kept_session, row.session_epoch), (Some(kept), sessions + 2));
        assert_eq!(scene.factor_mails().await, ["added", "added", "removed", "added", "removed"]);
        assert_eq!(scene.count_logged("second_factor.removed").await, 2);
        let before = scene.epoch_counts(user).await;
        let ada = scene.acting_as(&scene.user(user).await).await;
        ada.delete(TOTP).await.expect(204);
        assert_eq!(scene.epoch_counts(user).await, before, "there was none");
        ada.delete(&format!("{TOTP}{}/", first.id)).await.expect(404);
    }
}

#[tokio::test]
async fn an_authenticator_of_another_user_is_not_there() {
    let scene = Scene::new().await;
    let (ada, eve) = (scene.enrolled("ada", "client").await, scene.enrolled("eve", "client").await);
    for id in [ada.id.to_string(), "x".into(), uuid::Uuid::nil().to_string()] {
        eve.member.delete(&format!("{TOTP}{id}/")).await.expect(404);
    }
    assert_eq!(scene.row_at_edge(ada.member.id).await.authenticators.len(), 1);
}

#[tokio::test]
async fn the_last_authenticator_stays_where_the_tenant_demands_one() {
    let scene = Scene::new().await;
    let ada = scene.enrolled("ada", "staff").await;
    let ada = scene.enrols(&ada.member).await;
    scene.demands(&["staff"]).await;
    let one = |id| format!("{TOTP}{id}/");
    let refused = ada.member.delete(TOTP).await.expect(409);
    assert_eq!(refused.body["code"], "conflict");
    ada.member.delete(&one(ada.id)).await.expect(204);
    let caller = scene.with_mfa(ada.member.id).await;
    let last = scene.row_at_edge(caller.id).await.authenticators[0].id;
    caller.delete(&one(last)).await.expect(409);
    assert_eq!(scene.row_at_edge(caller.id).await.authenticators.len(), 1);
    scene.demands(&[]).await;
    caller.delete(&one(last)).await.expect(204);
    assert!(scene.row_at_edge(caller.id).await.recovery.is_none());
}

#[tokio::test]
async fn of_two_removals_at_once_one_leaves_the_last_that_is_demanded() {
    let scene = Scene::new().await;
    let first = scene.enrolled("ada", "staff").await;
    let second = scene.enrols(&first.member).await;
    scene.demands(&["staff"]).await;
    let paths = [first.id, second.id].map(|id| format!("{TOTP}{id}/"));
    let answers = join_all(paths.iter().map(|path| second.member.delete(path))).await;
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 204).count(), 1, "{statuses:?}");
    assert_eq!(scene.row_at_edge(second.member.id).await.authenticators.len(), 1);
}

#[tokio::test]
async fn administrators_reset_the_second_factor_of_users_below_them() {
    let scene = Scene::new().await;
    let (root, admin) = (scene.member("root", "root-admin").await, scene.member("admin", "co-admin").await);
    let ada = scene.enrolled("ada", "staff").await;
    let path = format!("/api/user/users/{}/mfa/", ada.member.id);
    let shown = admin.get(&path).await.expect(200).body;
    assert_eq!((&shown["enabled"], &shown["recovery_codes_left"]), (&json!(true), &json!(10)));
    let authenticator = shown["authenticators"][0].as_object().unwrap();
    assert_eq!(
        authenticator.keys().collect::<Vec<_>>(),
        ["created_at", "id"],
        "neither its name nor its use"
    );
    let (access, sessions, password) = scene.epoch_counts(ada.member.id).await;
    admin.delete(&path).await.expect(204);
    assert_eq!(scene.epoch_counts(ada.member.id).await, (access + 1, sessions + 1, password));
    let row = scene.row_at_edge(ada.member.id).await;
    assert_eq!(
        (row.authenticators, row.recovery, row.needs, row.kept_session),
        (vec![], None, Needs::default(), None)
    );
    assert_eq!(scene.factor_mails().await, ["added", "removed"]);
    // Nothing is left to reset.
    admin.delete(&path).await.expect(204);
    assert_eq!(scene.epoch_counts(ada.member.id).await, (access + 1, sessions + 1, password));
    assert_eq!(scene.count_logged("second_factor.reset").await, 1);

    let of_root = format!("/api/user/users/{}/mfa/", root.id);
    let root = scene.enrols(&root).await;
    admin.delete(&of_root).await.expect(403);
    assert!(scene.user(root.member.id).await.mfa_enabled);
    assert_eq!(scene.count_logged("permission.refused").await, 1);
    let client = scene.member("eve", "client").await;
    for method in [Method::GET, Method::DELETE] {
        client.call(method.clone(), &path, None).await.expect(403);
        let nobody = format!("/api/user/users/{}/mfa/", uuid::Uuid::nil());
        admin.call(method, &nobody, None).await.expect(404);
    }
}

#[tokio::test]
async fn an_enrolment_that_waits_ends_with_a_reset() {
    let scene = Scene::new().await;
    let root = scene.member("root", "root-admin").await;
    let ada = scene.member("ada", "client").await;
    let begun = ada.post(TOTP, json!({})).await.expect(201);
    root.delete(&format!("/api/user/users/{}/mfa/", ada.id)).await.expect(204);
    let body = json!({"id": begun.body["id"], "otp": scene.code(&scene.seed_of(&begun))});
    ada.post(crate::mfa::CONFIRM, body).await.expect(400);
}

#[tokio::test]
async fn new_recovery_codes_replace_the_former_ones_at_the_edge_too() {
    let scene = Scene::new().await;
    let bob = scene.member("bob", "client").await;
    let refused = bob.post(CODES, json!({})).await.expect(409);
    assert_eq!(refused.body["detail"], "There is no authenticator: enrol one first.");
    let ada = scene.enrolled("ada", "client").await;
    let before = scene.row_at_edge(ada.member.id).await;
    let made = ada.member.post(CODES, json!({})).await.expect(200).body;
    let codes: Vec<_> =
        made["recovery_codes"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    assert_eq!(codes.len(), 10);
    assert!(codes.iter().all(|code| !ada.codes.contains(&(*code).to_owned())));
    let after = scene.row_at_edge(ada.member.id).await;
    let hashes = |row: &shared::wire::push::UserRow| -> Vec<String> {
        row.recovery.iter().flat_map(|set| &set.codes).map(|code| code.hash.clone()).collect()
    };
    assert_eq!(hashes(&after).len(), 10);
    assert!(hashes(&after).iter().all(|hash| !hashes(&before).contains(hash)));
    assert_eq!(after.session_epoch, before.session_epoch, "no session ends");
    assert_eq!(scene.factor_mails().await, ["added", "codes_made"]);
    assert_eq!(scene.count_logged("second_factor.codes_made").await, 1);
}

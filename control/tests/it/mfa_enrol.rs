//! Enrolling an authenticator: the first code, recovery codes, tickets, and the data for the edge.

use chrono::TimeDelta;
use futures::future::join_all;
use serde_json::{Value, json};
use shared::contract::limits::{AUTHENTICATORS, ENROLLMENT_SECS};
use shared::derive::Secret;
use shared::second_factor::recovery::RecoveryCode;
use shared::second_factor::totp::code_at;
use shared::wire::needs::{Needs, SECOND_FACTOR};
use shared::wire::push::IdentifierRow;
use shared::wire::seal::Kind;

use crate::forward::with_ticket;
use crate::mfa::{CODES, CONFIRM, MFA, TOTP};
use crate::scene::Scene;

#[tokio::test]
async fn an_authenticator_is_active_with_its_first_code_and_the_edge_knows_it() {
    for scene in [Scene::new().await, Scene::shared().await] {
        let ada = scene.acting_as(&scene.addressed("ada", "client").await).await;
        let (access, session, password) = scene.epoch_counts(ada.id).await;
        let begun = ada.post(TOTP, json!({"name": " Phone "})).await.expect(201);
        assert_eq!(begun.header("cache-control"), "no-store");
        let secret = begun.body["secret"].as_str().unwrap();
        assert_eq!(secret.len(), 32);
        let uri = begun.body["otpauth_uri"].as_str().unwrap();
        let name = &scene.tenant.name;
        assert_eq!(uri, format!("otpauth://totp/{name}:ada?secret={secret}&issuer={name}"));
        assert!(begun.body["qr_svg"].as_str().unwrap().starts_with("<svg"));
        assert!(begun.body["qr_png"].as_str().unwrap().starts_with("iVBORw0KGgo"));
        let row = scene.row_at_edge(ada.id).await;
        assert_eq!((row.authenticators, row.needs), (vec![], Needs::default()), "not before its first code");
        let (seed, id, step) = (scene.seed_of(&begun), &begun.body["id"], scene.step());
        let refused = ada.post(CONFIRM, json!({"id": id, "otp": scene.wrong_code(&seed)})).await.expect(400);
        assert_eq!(refused.body, json!({"otp": ["Invalid or expired code."]}));
        let code = code_at(&seed, u64::try_from(step).unwrap()).unwrap();
        let confirmed = ada.post(CONFIRM, json!({"id": id, "otp": code})).await.expect(200);
        assert_eq!((&confirmed.body["id"], &confirmed.body["next"]), (id, &json!("refresh")));
        let codes = confirmed.body["recovery_codes"].as_array().unwrap();
        assert_eq!(codes.len(), 10);

        assert_eq!(scene.epoch_counts(ada.id).await, (access + 1, session, password));
        let refused = ada.get(MFA).await.expect(401);
        assert_eq!(refused.body["messages"][0]["message"], "Token is blacklisted");
        let row = scene.row_at_edge(ada.id).await;
        let [authenticator] = &row.authenticators[..] else { panic!("{row:?}") };
        assert_eq!((json!(authenticator.id), authenticator.last_step), (id.clone(), step));
        let at_edge = scene.unsealed(Kind::TotpSeed, &authenticator.id.to_string(), &authenticator.seed);
        assert_eq!(at_edge, seed.expose());
        assert_eq!((row.needs, row.session_epoch), (Needs::of(&[SECOND_FACTOR]), session));
        let recovery = row.recovery.unwrap();
        let key = scene.unsealed(Kind::RecoveryKey, &ada.id.to_string(), &recovery.key);
        let key = Secret::from_slice(&key).unwrap();
        let mut expected: Vec<_> = codes
            .iter()
            .map(|code| RecoveryCode::parse(code.as_str().unwrap()).unwrap())
            .map(|code| IdentifierRow::encode_hash(&code.hash(&key, scene.tenant.id, ada.id)))
            .collect();
        let mut hashes: Vec<_> = recovery.codes.iter().map(|code| code.hash.clone()).collect();
        expected.sort();
        hashes.sort();
        assert_eq!(hashes, expected);
        assert!(recovery.codes.iter().all(|code| code.used_at.is_none()));

        let shown = scene.with_mfa(ada.id).await.get(MFA).await.expect(200).body;
        assert_eq!((&shown["enabled"], &shown["required"]), (&json!(true), &json!(false)));
        assert_eq!(
            (&shown["recovery_codes_left"], &shown["methods"]),
            (&json!(10), &json!(["totp", "recovery_code"]))
        );
        assert_eq!(
            (&shown["authenticators"][0]["name"], &shown["authenticators"][0]["id"]),
            (&json!("Phone"), id)
        );
        assert_eq!(scene.count_logged("second_factor.added").await, 2, "the wrong code, and the right one");
        let mails = scene.promised().await;
        let told: Vec<_> =
            mails.iter().map(|mail| (mail.kind.as_str(), &mail.content["facts"]["factor"])).collect();
        assert_eq!(told, [("second_factor_changed", &json!("added"))]);
    }
}

#[tokio::test]
async fn secrets_rest_sealed() {
    let scene = Scene::alone().await;
    let ada = scene.enrolled("ada", "client").await;
    let rows = scene.rows().await;
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    for clear in [hex(ada.seed.expose()), hex(b"Phone"), "Phone".into(), ada.codes[0].clone()] {
        assert!(!rows.contains(&clear), "{clear}");
    }
    // A seed in another user's row does not open: it would be a second factor of the one who wrote it there.
    let eve = scene.enrolled("eve", "client").await;
    let cell = &scene.tenant.cell;
    let moved = format!(
        "update {cell}.authenticators set wrapped = (select wrapped from {cell}.authenticators where id = '{}')
         where id = '{}'",
        eve.id, ada.id
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(moved)).execute(&mut scene.database.admin().await).await.unwrap();
    let pushed = control::edges::pusher::push_now(&scene.control, scene.tenant.id).await;
    assert!(pushed.unwrap_err().to_string().contains("authenticators.wrapped"));
}

#[tokio::test]
async fn an_enrolment_ends_with_the_fifth_wrong_code_with_time_and_with_another_one() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "client").await;
    let gone = json!({"id": ["This enrolment has ended or never began: begin another one."]});
    let begin = async || {
        let begun = ada.post(TOTP, json!({})).await.expect(201);
        (scene.seed_of(&begun), begun.body["id"].clone())
    };
    let confirm = async |id: &Value, otp: &str| ada.post(CONFIRM, json!({"id": id, "otp": otp})).await;
    let (seed, id) = begin().await;
    for otp in ["12345", "1234567", "abcdef", "", &scene.wrong_code(&seed)] {
        confirm(&id, otp).await.expect(400);
    }
    // The blank one was no try.
    confirm(&id, &scene.wrong_code(&seed)).await.expect(400);
    assert_eq!(confirm(&id, &scene.code(&seed)).await.expect(400).body, gone);

    let (seed, id) = begin().await;
    let (newer_seed, newer) = begin().await;
    assert_eq!(confirm(&id, &scene.code(&seed)).await.expect(400).body, gone);
    // The code is valid one step on either side, and no further.
    let step = u64::try_from(scene.step()).unwrap();
    for far in [step - 3, step + 3] {
        confirm(&newer, &code_at(&newer_seed, far).unwrap()).await.expect(400);
    }
    scene.control.clock.advance(TimeDelta::seconds(ENROLLMENT_SECS));
    let later = scene.acting_as(&scene.user(ada.id).await).await;
    let body = json!({"id": newer, "otp": scene.code(&newer_seed)});
    assert_eq!(later.post(CONFIRM, body).await.expect(400).body, gone);
    for id in [json!("0"), json!(uuid::Uuid::nil())] {
        later.post(CONFIRM, json!({"id": id, "otp": "123456"})).await.expect(400);
    }
    assert!(!scene.user(ada.id).await.mfa_enabled);
}

#[tokio::test]
async fn an_enrolment_is_its_users_own() {
    let scene = Scene::new().await;
    let (ada, eve) = (scene.member("ada", "client").await, scene.member("eve", "client").await);
    let begun = ada.post(TOTP, json!({})).await.expect(201);
    let seed = scene.seed_of(&begun);
    let body = json!({"id": begun.body["id"], "otp": scene.code(&seed)});
    eve.post(CONFIRM, body.clone()).await.expect(400);
    let neighbour = scene.neighbour(control::tenants::Isolation::Schema).await;
    neighbour.member("eve", "client").await.post(CONFIRM, body.clone()).await.expect(400);
    ada.post(CONFIRM, body).await.expect(200);
    assert!(!scene.user(eve.id).await.mfa_enabled);
}

#[tokio::test]
async fn of_many_first_codes_at_once_one_is_taken() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "client").await;
    let begun = ada.post(TOTP, json!({})).await.expect(201);
    let body = json!({"id": begun.body["id"], "otp": scene.code(&scene.seed_of(&begun))});
    let answers = join_all((0..16).map(|_| ada.post(CONFIRM, body.clone()))).await;
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| [200, 401, 503].contains(status)), "{statuses:?}");
    assert_eq!(scene.row_at_edge(ada.id).await.recovery.unwrap().codes.len(), 10);
}

#[tokio::test]
async fn a_ticket_enrols_the_first_authenticator_and_dies_with_it() {
    let scene = Scene::new().await;
    let ada = scene.addressed("ada", "root-admin").await;
    scene.demands(&["root-admin"]).await;
    let ticket = scene.enrolment_ticket(ada.id).await;
    let begun = with_ticket(&scene, TOTP, &ticket, r#"{"name":"Phone"}"#).await.expect(201);
    let seed = scene.seed_of(&begun);
    let body = |otp: &str| json!({"id": begun.body["id"], "otp": otp}).to_string();
    let wrong = scene.wrong_code(&seed);
    with_ticket(&scene, CONFIRM, &ticket, &body(&wrong)).await.expect(400);
    let confirmed = with_ticket(&scene, CONFIRM, &ticket, &body(&scene.code(&seed))).await.expect(200);
    assert_eq!(confirmed.body["next"], "sign_in");
    assert_eq!(confirmed.body["recovery_codes"].as_array().unwrap().len(), 10);
    for path in [TOTP, CONFIRM] {
        let refused = with_ticket(&scene, path, &ticket, "{}").await;
        assert!([400, 401].contains(&refused.status), "{}", refused.body);
        assert!(refused.status == 401 || path == CONFIRM);
    }
    // A ticket of now, which the edge gives to no user with an authenticator, enrols no second one.
    let late = scene.enrolment_ticket(ada.id).await;
    with_ticket(&scene, TOTP, &late, "{}").await.expect(403);
    with_ticket(&scene, CODES, &late, "{}").await.expect(401);
}

#[tokio::test]
async fn a_user_has_five_authenticators_at_most_and_one_set_of_recovery_codes() {
    let scene = Scene::new().await;
    let mut ada = scene.enrolled("ada", "client").await;
    assert_eq!(ada.codes.len(), 10);
    for _ in 1..AUTHENTICATORS {
        ada = scene.enrols(&ada.member).await;
        assert!(ada.codes.is_empty(), "the first set goes on");
    }
    let refused = ada.member.post(TOTP, json!({})).await.expect(409);
    assert_eq!(refused.body["detail"], "There are 5 authenticators already: remove one first.");
    let row = scene.row_at_edge(ada.member.id).await;
    assert_eq!((row.authenticators.len(), row.recovery.unwrap().codes.len()), (AUTHENTICATORS, 10));
}

#[tokio::test]
async fn names_of_authenticators_are_one_line() {
    let scene = Scene::new().await;
    let ada = scene.enrolled("ada", "client").await;
    let one = format!("{TOTP}{}/", ada.id);
    for (name, said) in [
        (json!("x".repeat(101)), "Ensure this field has no more than 100 characters."),
        (json!("a\nb"), "Control characters are not allowed."),
        (json!(""), "This field may not be blank."),
    ] {
        assert_eq!(
            ada.member.patch(&one, json!({"name": name})).await.expect(400).body,
            json!({"name": [said]})
        );
    }
    let renamed = ada.member.patch(&one, json!({"name": "Old phone"})).await.expect(200).body;
    assert_eq!((&renamed["id"], &renamed["name"]), (&json!(ada.id), &json!("Old phone")));
    ada.member.patch(&format!("{TOTP}{}/", uuid::Uuid::nil()), json!({"name": "x"})).await.expect(404);
    let eve = scene.enrolled("eve", "client").await;
    eve.member.patch(&one, json!({"name": "x"})).await.expect(404);
    assert_eq!(scene.count_logged("second_factor.renamed").await, 1);
}

/// A push has up to 500 users, and D1 takes two megabytes as one value.
#[tokio::test]
async fn rows_with_all_that_a_user_can_have_fit_into_a_push() {
    let scene = Scene::new().await;
    let mut ada = scene.enrolled("ada", "client").await;
    for _ in 1..AUTHENTICATORS {
        ada = scene.enrols(&ada.member).await;
    }
    let row = scene.row_at_edge(ada.member.id).await;
    let bytes = serde_json::to_vec(&row).unwrap().len();
    // Beyond what is here: a verifier, imported seeds of 64 bytes, a key id of 32 letters, times of codes.
    let most = bytes + 300 + AUTHENTICATORS * (60 + 32) + 64 + 10 * 24 + 200;
    let all = most * shared::contract::limits::PUSH_ROWS;
    assert!(all < 1_900_000, "{bytes} {all}");
}

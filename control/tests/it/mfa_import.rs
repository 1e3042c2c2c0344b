//! Devices for one-time codes of another service: those that fit become authenticators, once.

use serde_json::{Value, json};
use shared::ids::UserId;
use shared::wire::needs::{Needs, SECOND_FACTOR};
use shared::wire::seal::Kind;

use crate::import::{counts, report};
use crate::legacy_service::LegacyService;
use crate::mfa::TOTP;
use crate::scene::Scene;

const PASSWORD: &str = "Corr3ct-horse";
const SEED: &[u8] = b"12345678901234567890";

/// A service where eve has a usual device, fay one with eight digits, gus both, and hal none.
async fn old_service() -> LegacyService {
    let user =
        |name: &str, devices: Value| json!({"username": name, "password": PASSWORD, "devices": devices});
    let users = json!([
        user("eve", json!([true])),
        user("fay", json!([true])),
        user("gus", json!([true, true])),
        user("hal", json!([])),
    ]);
    let old = LegacyService::of(users).await;
    old.sql(
        "update otp_totp_totpdevice d set key = '3132333435363738393031323334353637383930', last_t = 1234
         from auth_user u where u.id = d.user_id and u.username = 'eve';
         update otp_totp_totpdevice d set digits = 8
         from auth_user u where u.id = d.user_id and u.username = 'fay';
         update otp_totp_totpdevice set step = 60
         where id = (
             select max(d.id) from otp_totp_totpdevice d join auth_user u on u.id = d.user_id where u.username = 'gus'
         )",
    )
    .await;
    old
}

fn id(text: &Value) -> UserId {
    UserId::parse(text.as_str().unwrap()).unwrap()
}

const AUTHENTICATORS: &str = "select count(*) from authenticators";
const KEPT: &str = "select count(*) from legacy_totp where wrapped is not null";

#[tokio::test]
async fn devices_that_fit_become_authenticators_and_the_others_are_kept() {
    let scene = Scene::alone().await;
    let old = old_service().await;
    let check = scene.import_from(&old, &["--check"]).expect(0);
    let came = scene.import_from(&old, &[]).expect(0);
    for said in [report(&check), report(&came)] {
        assert_eq!((&said["with_totp"], &said["authenticators"]), (&json!(3), &json!(2)), "{said}");
        assert_eq!(
            said["devices_kept"],
            json!({"its codes have not six digits": 1, "its steps are not those of the usual 30 seconds": 1})
        );
        assert_eq!(said["without_authenticator"], 1);
    }
    let here = scene.everybody().await;
    let of = |name: &str| (here[name]["status"].clone(), here[name]["mfa_enabled"].clone());
    assert_eq!(of("eve"), (json!("active"), json!(true)));
    assert_eq!(of("fay"), (json!("pending"), json!(false)), "the password alone does not let fay in");
    assert_eq!(of("gus"), (json!("active"), json!(true)));
    assert_eq!(of("hal"), (json!("active"), json!(false)));
    assert_eq!((scene.number(AUTHENTICATORS).await, scene.number(KEPT).await), (2, 2));

    let eve = id(&here["eve"]["id"]);
    let row = scene.row_at_edge(eve).await;
    let [authenticator] = &row.authenticators[..] else { panic!("{row:?}") };
    let seed = scene.unsealed(Kind::TotpSeed, &authenticator.id.to_string(), &authenticator.seed);
    assert_eq!((seed.as_slice(), authenticator.last_step), (SEED, 1234));
    assert_eq!((row.needs, row.recovery), (Needs::of(&[SECOND_FACTOR]), None));
    let shown = scene.with_mfa(eve).await.get(crate::mfa::MFA).await.expect(200).body;
    assert_eq!(
        (&shown["authenticators"][0]["name"], &shown["methods"]),
        (&json!("Imported"), &json!(["totp"]))
    );
    assert!(scene.promised().await.is_empty(), "it is the same device as before");
}

#[tokio::test]
async fn a_repeated_import_brings_no_device_twice_and_none_that_was_removed_here() {
    let scene = Scene::alone().await;
    let old = old_service().await;
    scene.import_from(&old, &[]).expect(0);
    let eve = id(&scene.everybody().await["eve"]["id"]);
    scene.with_mfa(eve).await.delete(TOTP).await.expect(204);
    assert_eq!(counts(&scene.import_from(&old, &[]).expect(0)), [4, 0, 0, 4, 0, 0]);
    assert_eq!((scene.number(AUTHENTICATORS).await, scene.number(KEPT).await), (1, 2));
    assert!(!scene.user(eve).await.mfa_enabled);
    // A device that was added there since is imported, and ends access tokens; later imports still change the user.
    old.sql(
        "insert into otp_totp_totpdevice (user_id, name, confirmed, key, step, t0, digits, tolerance, drift, last_t,
             throttling_failure_count)
         select id, 'phone', true, repeat('ab', 20), 30, 0, 6, 1, 0, -1, 0 from auth_user where username = 'hal'",
    )
    .await;
    let hal = id(&scene.everybody().await["hal"]["id"]);
    let before = scene.user(hal).await;
    scene.import_from(&old, &[]).expect(0);
    let after = scene.user(hal).await;
    assert!(after.mfa_enabled);
    assert_eq!((after.access_epoch, after.session_epoch), (before.access_epoch + 1, before.session_epoch));
    old.sql("update auth_user set first_name = 'Hal' where username = 'hal'").await;
    assert_eq!(counts(&scene.import_from(&old, &[]).expect(0)), [4, 0, 1, 3, 0, 0], "changed, and not kept");
}

//! Services keep their libraries: PyJWT and jose verify our access tokens with the keys that they
//! fetch themselves, and refuse what they must.

use serde_json::json;
use wardgate_tests::actors::Tenant;
use wardgate_tests::clients::{Judge, Key, Verdict, bad_tokens};
use wardgate_tests::stack::Stack;

#[tokio::test]
async fn pyjwt_and_jose_verify_by_jwks_and_by_pem() {
    let stack = Stack::shared().await;
    let (acme, other) = tokio::join!(Tenant::create(stack), Tenant::create(stack));
    let ada = acme.user_with("ada", json!({"roles": ["staff"]})).await;
    let session = ada.sign_in().await;
    let strange = other.user("ada").await.sign_in().await;
    let bad = bad_tokens(&acme, &session, &strange).await;

    let mut judges = [Judge::pyjwt(&acme).await, Judge::jose(&acme).await];
    for judge in &mut judges {
        for by in [Key::Jwks, Key::Pem] {
            assert_eq!(judge.verify(by, &session.access), Verdict::Good(session.claims()), "{by:?}");
            for (what, token) in &bad {
                let verdict = judge.verify(by, token);
                assert!(
                    matches!(verdict, Verdict::Refused(_)),
                    "{}, {by:?}, {what}: {verdict:?}",
                    judge.name()
                );
            }
        }
    }
    // Under the key set, which has its key, age alone is what is wrong with the first one.
    let [pyjwt, jose] = &mut judges;
    assert_eq!(pyjwt.verify(Key::Jwks, &bad[0].1), Verdict::Refused("ExpiredSignatureError".to_owned()));
    assert_eq!(jose.verify(Key::Jwks, &bad[0].1), Verdict::Refused("ERR_JWT_EXPIRED".to_owned()));

    // The key after the next was in no set that they have.
    let newest = acme.rotated(&acme.rotated(&session).await).await;
    let _ = acme.keys().await.verify(&newest.access).expect("a published key");
    for judge in &mut judges {
        assert_eq!(
            judge.verify(Key::Jwks, &newest.access),
            Verdict::Good(newest.claims()),
            "{}",
            judge.name()
        );
    }
}

#[tokio::test]
async fn an_issuer_changes_and_only_those_who_compare_it_have_to_be_told() {
    let stack = Stack::shared().await;
    let acme = Tenant::create(stack).await;
    let ada = acme.user("ada").await;
    let before = ada.sign_in().await;
    let mut judges = [Judge::pyjwt(&acme).await, Judge::jose(&acme).await];
    let issuer = format!("https://{}.test", acme.slug);
    let claims = format!("{}claims/", acme.path());

    // A host changes nothing.
    acme.change(&json!({"hosts": [format!("{}.localhost", acme.slug)]})).await;
    acme.settle().await;
    assert_eq!(ada.sign_in().await.claim("iss"), acme.issuer());

    let changed = acme.operator.patch(&claims, &json!({"issuer": issuer})).await.expect(200);
    assert_eq!(changed.json()["former"][0]["issuer"], acme.issuer());
    acme.settle().await;
    let after = before.refreshed().await;
    assert_eq!(after.claim("iss"), issuer);
    for session in [&before, &after] {
        let _ = session.validate().await.expect(200);
        let _ = session.me().await.expect(200);
    }
    for judge in &mut judges {
        assert_eq!(judge.verify(Key::Jwks, &before.access), Verdict::Good(before.claims()));
        assert!(matches!(judge.verify(Key::Jwks, &after.access), Verdict::Refused(_)), "{}", judge.name());
        judge.expect_issuer(&issuer);
        assert_eq!(judge.verify(Key::Jwks, &after.access), Verdict::Good(after.claims()));
    }
}

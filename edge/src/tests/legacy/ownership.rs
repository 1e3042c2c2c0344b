//! Whose a token of an old service is: one key signed for all its tenants.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{
    DAY, JTI, START, acme, bearer, blacklist, came, detail, doors, families, logout, old, old_access,
    old_refresh, with,
};
use crate::tests::fixture::{OLD_KEY, forge_as, old_pem, old_token};

#[test]
fn user_1_of_one_tenant_is_never_user_1_of_another() {
    let (world, acme) = acme();
    let garbage = doors(&acme, "garbage");
    for (slug, marked) in [("beta", true), ("gamma", false)] {
        let other = came(&world, slug, marked);
        for token in [old_access(), old_refresh()] {
            assert_eq!(doors(&other, &token), garbage, "acme's token at {slug}");
        }
        for kind in ["access", "refresh"] {
            assert_eq!(doors(&acme, &with(kind, "realm", json!(slug))), garbage, "{slug}'s {kind} at acme");
        }
    }
    assert_eq!(families(&world), 0);
    acme.validate(&old_access()).expect(200);
    acme.refresh(&old_refresh()).expect(200);
}

#[test]
fn what_is_not_a_legacy_token_of_this_tenant_is_garbage() {
    let (world, acme) = acme();
    acme.validate(&old_access()).expect(200);
    let kid = |at: usize| acme.tenant.borrow().keys[at].kid.to_string();
    let rs256 = |more: Value| {
        let mut header = json!({"alg": "RS256", "typ": "JWT"});
        header.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        header
    };
    let hs256 = |claims: &Value, key: &[u8]| {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let input = format!("{}.{}", part(&json!({"alg": "HS256", "typ": "JWT"})), part(claims));
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), input.as_bytes());
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(tag))
    };
    let unsigned = |claims: &Value, signature: &str| {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.{signature}", part(&json!({"alg": "none"})), part(claims))
    };
    let own_kid = shared::tokens::jwk::PublicKey::key_id(&acme.tenant.borrow().legacy.as_ref().unwrap().key);
    let garbage = doors(&acme, "garbage");
    assert!(garbage.iter().all(|(status, _)| *status == 401));
    for kind in ["access", "refresh"] {
        let good = old(kind, JTI);
        let mut without = good.clone();
        without.as_object_mut().unwrap().remove("realm");
        let bad = [
            ("the marker is missing", old_token(&without)),
            ("another marker", with(kind, "realm", json!("beta"))),
            ("a marker of another type", with(kind, "realm", json!(["acme"]))),
            ("a kid of ours", forge_as(&rs256(json!({"kid": kid(0)})), OLD_KEY, &good)),
            ("its own kid", forge_as(&rs256(json!({"kid": own_kid})), OLD_KEY, &good)),
            ("an empty kid", forge_as(&rs256(json!({"kid": ""})), OLD_KEY, &good)),
            ("under a key of ours", forge_as(&rs256(json!({})), 0, &good)),
            ("under a key of ours, named", forge_as(&rs256(json!({"kid": kid(0)})), 0, &good)),
            ("HS256 over the PEM", hs256(&good, old_pem().as_bytes())),
            ("HS256 over the PEM's text", hs256(&good, old_pem().trim_end().as_bytes())),
            ("no algorithm", unsigned(&good, "AA")),
            ("no signature", unsigned(&good, "")),
            ("crit", forge_as(&rs256(json!({"crit": ["exp"]})), OLD_KEY, &good)),
            ("a type of ours", forge_as(&json!({"alg": "RS256", "typ": "refresh+jwt"}), OLD_KEY, &good)),
            ("another algorithm", forge_as(&json!({"alg": "RS512", "typ": "JWT"}), OLD_KEY, &good)),
            ("from the future", with(kind, "iat", json!(START + 61))),
            ("a sliding token", with(kind, "token_type", json!("sliding"))),
            ("nobody's", with(kind, "user_id", json!(""))),
        ];
        for (what, token) in bad {
            let before = world.memory().batches.get();
            assert_eq!(doors(&acme, &token), garbage, "{kind}: {what}");
            // An unknown key may cost one read of the feed, now and then.
            assert!(world.memory().batches.get() - before <= 1, "{kind}: {what}");
        }
    }
    assert_eq!(families(&world), 0);
}

#[test]
fn dates() {
    let (world, acme) = acme();
    acme.validate(&old_access()).expect(200);
    world.advance(DAY * 1000 - 1000);
    acme.validate(&old_access()).expect(200);
    world.advance(1000);
    assert_eq!(detail(acme.validate(&old_access())), "Token is expired");
    assert_eq!(detail(acme.refresh(&old_access())), "Token is expired");
    let (long, exchanged) = (with("access", "exp", json!(START + 90 * DAY)), acme.refreshed(&old_refresh()));
    acme.validate(&long).expect(200);
    // Less than the minute for which the user is known; the tenant's date cuts it short.
    world.advance((29 * DAY - 30) * 1000);
    acme.validate(&long).expect(200);
    world.advance(29_000);
    acme.validate(&long).expect(200);
    world.advance(1000);
    let garbage = doors(&acme, "garbage");
    assert_eq!(doors(&acme, &long), garbage, "after the date");
    let late = json!(START + 90 * DAY);
    assert_eq!(doors(&acme, &with("refresh", "exp", late)), garbage);
    assert_eq!(detail(acme.refresh(&exchanged.refresh)), "Token is expired");
}

#[test]
fn each_kind_at_the_other_door_is_of_the_wrong_type() {
    let (world, acme) = acme();
    for answer in [
        acme.validate(&old_refresh()),
        acme.refresh(&old_access()),
        blacklist(&acme, &old_access()),
        logout(&acme, None, &json!({"refresh": old_access()})),
    ] {
        assert_eq!(detail(answer), "Token has wrong type");
    }
    for answer in [bearer(&acme, &old_refresh()), logout(&acme, Some(&old_refresh()), &json!({}))] {
        assert_eq!(answer.expect(401).json()["messages"][0]["message"], "Token has wrong type");
    }
    world.advance(20 * DAY * 1000);
    assert_eq!(detail(acme.validate(&old_refresh())), "Token is expired");
    acme.refresh(&old_refresh()).expect(401);
    assert_eq!(families(&world), 0);
}

//! An old service's cookies, in browsers at a host that has moved here.

use serde_json::json;
use shared::tenant::settings::Cookies;
use shared::wire::needs::Needs;

use super::{acme, blacklist, detail, families, kinds, old, old_access, old_refresh, with};
use crate::tests::browser::{Browser, PAGE, cleared, set_cookies};
use crate::tests::fixture::{Actor, claims, old_token};

/// A browser with the old service's cookies, at a host that has moved here.
fn old_browser(acme: &Actor) -> Browser {
    acme.edit(|tenant| {
        tenant.settings.cookies = Cookies::Plain;
        tenant.settings.origins = vec![shared::tenant::origin::Origin::parse(PAGE).unwrap()];
    });
    let mut browser = Browser::at(acme);
    browser.jar.insert("access_token".into(), old_access());
    browser.jar.insert("refresh_token".into(), old_refresh());
    browser.jar.insert("csrftoken".into(), "the old service's".into());
    browser
}

#[test]
fn the_old_services_cookies_are_renewed_silently_and_exchanged_by_refresh() {
    let (world, acme) = acme();
    let mut browser = old_browser(&acme);
    let refused = browser.post("/api/token/refresh/", &json!({}));
    assert_eq!(refused.expect(403).text("code"), "csrf_failed", "it has no CSRF value of ours yet");
    for _ in 0..2 {
        browser.jar.insert("access_token".into(), old_access());
        let answer = browser.get("/api/user/me/").expect(200);
        let names: Vec<_> = set_cookies(&answer).into_iter().map(|(name, ..)| name).collect();
        assert_eq!(names, ["access_token", "csrftoken"]);
        let access = claims(&browser.jar["access_token"]);
        assert_eq!((&access["user_id"], &access["auth_time"]), (&json!(1), &json!(0)));
    }
    assert_eq!(browser.jar["refresh_token"], old_refresh(), "nothing rotated");
    assert_eq!((families(&world), kinds(&world)), (1, vec!["legacy_exchanged".to_owned()]));
    let sid = claims(&browser.jar["access_token"])["sid"].clone();
    world.advance(3_600_000);
    browser.post("/api/token/refresh/", &json!({})).expect(200);
    let refresh = claims(&browser.jar["refresh_token"]);
    assert_eq!(refresh["jti"], format!("{}.1", sid.as_str().unwrap()));
    browser.post("/api/logout/", &json!({})).expect(204);
    assert!(browser.jar.is_empty());
    assert_eq!(detail(acme.refresh(&old_refresh())), "Token is blacklisted");
}

#[test]
fn signing_out_by_the_old_services_cookies_ends_what_they_could_become() {
    for everywhere in [false, true] {
        let (world, acme) = acme();
        let mut browser = old_browser(&acme);
        browser.get("/api/user/me/").expect(200);
        // As if the page had just been opened: the access cookie is the old service's again.
        browser.jar.insert("access_token".into(), old_access());
        browser.post("/api/logout/", &json!({"everywhere": everywhere})).expect(204);
        assert!(browser.jar.is_empty());
        assert_eq!(detail(acme.refresh(&old_refresh())), "Token is blacklisted");
        assert_eq!(
            acme.refresh(&old_token(&old("refresh", "r2"))).status,
            if everywhere { 401 } else { 200 }
        );
        assert_eq!(families(&world), if everywhere { 1 } else { 2 });
    }
}

#[test]
fn cookies_of_what_cannot_be_exchanged_any_more_are_cleared() {
    let (world, acme) = acme();
    let browser = old_browser(&acme);
    blacklist(&acme, &old_refresh()).expect(200);
    world.advance(3001);
    let answer = browser.clone().get("/api/user/me/").expect(401);
    assert_eq!(cleared(&answer).len(), 3);
    acme.change("acme-bob", |row| row.session_epoch = 1);
    let mut bobs = browser;
    bobs.jar.insert("refresh_token".into(), with("refresh", "user_id", json!(2)));
    assert_eq!(cleared(&bobs.get("/api/user/me/").expect(401)).len(), 3);
}

#[test]
fn a_document_that_changes_in_the_moment_of_a_renewal_puts_it_off_once() {
    let (world, acme) = acme();
    let mut browser = old_browser(&acme);
    world.advance(3001);
    browser.get("/api/public-key/").expect(200);
    acme.edit(|tenant| tenant.settings.access_ttl_secs = 60);
    assert_eq!(browser.get("/api/user/me/").expect(503).text("code"), "unavailable");
    assert_eq!((families(&world), browser.jar.len()), (0, 3));
    browser.get("/api/user/me/").expect(200);
    acme.edit(|tenant| tenant.legacy = None);
    browser.jar.remove("access_token");
    browser.get("/api/user/me/").expect(503);
    browser.get("/api/user/me/").expect(401);
}

#[test]
fn a_cookie_whose_user_needs_an_unknown_word_is_kept_and_renewed_later() {
    let (world, acme) = acme();
    let mut browser = old_browser(&acme);
    acme.change("acme-ada", |row| {
        row.legacy_id = Some("1".into());
        row.needs = Needs::of(&["a word of a later release"]);
    });
    browser.get("/api/user/me/").expect(503);
    assert_eq!(browser.jar["refresh_token"], old_refresh());
    assert_eq!(families(&world), 0);
    acme.change("acme-ada", |row| row.legacy_id = Some("1".into()));
    browser.get("/api/user/me/").expect(200);
}

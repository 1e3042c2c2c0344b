//! The pages that links in mails lead to.

use std::collections::{BTreeSet, HashMap};

use control::audit::Actor;
use control::links::LinkKind;
use control::tenants::{self, Isolation};
use reqwest::Method;
use serde_json::{Value, json};

use crate::forward::Forward;
use crate::scene::{Answer, PASSWORD, Scene};

/// A page as the edge asks for it, without a credential.
async fn page(scene: &Scene, method: Method, path: &str, language: &str) -> Answer {
    let mut forward = Forward::anonymous(scene, path);
    forward.method = method;
    forward.tampered.push(("accept-language", language.into()));
    forward.send(scene).await
}

#[tokio::test]
async fn every_kind_of_link_has_a_page_in_both_languages() {
    let scene = Scene::new().await;
    for kind in LinkKind::ALL {
        let path = format!("/account/{}/", kind.as_str());
        let english = page(&scene, Method::GET, &path, "fr").await.expect(200);
        let german = page(&scene, Method::GET, &path, "de-AT, en;q=0.5").await.expect(200);
        assert!(english.text.contains("<html lang=\"en\">"), "{}", english.text);
        assert!(german.text.contains("<html lang=\"de\">"), "{}", german.text);
        for (answer, language) in [(&english, "en"), (&german, "de")] {
            assert_eq!(answer.header("content-language"), language);
            assert_eq!(answer.header("vary"), "Accept-Language");
            assert!(answer.text.contains("name=\"token\""), "{path}");
            assert!(!answer.text.contains("<script>") && !answer.text.contains("style="), "{path}");
        }
    }
}

/// The texts of a German page for refusals, by the texts of the API.
async fn german_refusals(scene: &Scene, kind: LinkKind) -> HashMap<String, String> {
    let path = format!("/account/{}/", kind.as_str());
    let text = page(scene, Method::GET, &path, "de").await.expect(200).text;
    let items = text.split("<li data-said=\"").skip(1).map(|item| {
        let (said, rest) = item.split_once("\">").unwrap();
        (said.to_owned(), rest.split_once('<').unwrap().0.to_owned())
    });
    items.collect()
}

/// A refusal with `#` in place of each number, as the script of a page looks it up.
fn without_numbers(text: &str) -> String {
    text.chars().fold(String::new(), |mut said, c| {
        match c {
            '0'..='9' if said.ends_with('#') => {}
            '0'..='9' => said.push('#'),
            other => said.push(other),
        }
        said
    })
}

#[tokio::test]
async fn a_german_page_has_words_for_whatever_its_route_refuses() {
    let scene = Scene::new().await;
    scene.with_settings(|settings| (settings.password_strength, settings.password_history) = (3, 2)).await;
    let grace = scene.addressed("grace", "client").await;
    let root = scene.member("root", "root-admin").await;
    let used = scene.reset_link(grace.id).await;
    let sent = async |path: &str, body: Value| scene.stranger(Method::POST, path, Some(body)).await;
    let reset = "/api/user/password/reset/confirm/";
    sent(reset, json!({"token": used, "new_password": PASSWORD})).await.expect(200);
    let token = scene.reset_link(grace.id).await;
    let long = "x".repeat(1025);
    let mut said = Vec::new();
    for password in
        ["", "12345", "password", "Mercury-9x", "a\0b", "grace@acme.test", "grace", PASSWORD, &long]
    {
        let refused = sent(reset, json!({"token": token, "new_password": password})).await.expect(400);
        said.push((LinkKind::Reset, refused));
    }
    scene.delivered().await;
    root.post("/api/user/invitations/", json!({"email": "ada@acme.test"})).await.expect(201);
    let token = scene.answered().await[0].token("invite");
    let accept = "/api/user/invitations/accept/";
    let (name, password) = ("Lovelace-1815", json!(PASSWORD));
    for body in [
        json!({}),
        json!({"username": "", "password": ""}),
        json!({"username": "grace", "password": password}),
        json!({"username": "a b", "password": password}),
        json!({"username": "x".repeat(151), "password": password, "last_name": "x".repeat(151)}),
        json!({"username": "ada", "password": password, "first_name": "a\nb"}),
        json!({"username": name, "password": name}),
        json!({"username": "ada", "password": name, "first_name": name}),
        json!({"username": "ada", "password": name, "last_name": name}),
        json!({"username": "ada", "password": "ada@acme.test"}),
    ] {
        let mut body = body;
        body["token"] = json!(token);
        said.push((LinkKind::Invite, sent(accept, body).await.expect(400)));
    }
    let mut seen = BTreeSet::new();
    for (kind, answer) in &said {
        let german = german_refusals(&scene, *kind).await;
        for texts in answer.body.as_object().unwrap().values() {
            for text in texts.as_array().unwrap().iter().map(|text| text.as_str().unwrap()) {
                assert!(german.contains_key(&without_numbers(text)), "{text}");
                seen.insert(without_numbers(text));
            }
        }
    }
    assert!(seen.len() >= 16, "{seen:?}");
    let english = page(&scene, Method::GET, "/account/reset/", "en").await.expect(200).text;
    assert!(!english.contains("refusals"), "the words of the API stand");
}

/// Control sees no prefix of a shared host, so that what a page names begins at the page.
#[tokio::test]
async fn a_page_names_everything_from_where_it_is() {
    let scene = Scene::under(vec![], Isolation::Shared).await;
    for (at, route) in [
        ("/account/verify", "/api/user/email/verify/"),
        ("/account/reset", "/api/user/password/reset/confirm/"),
        ("/account/invite", "/api/user/invitations/accept/"),
        ("/account/address", "/api/user/email/change/confirm/"),
        ("/account/undo", "/api/user/email/change/undo/"),
    ] {
        for slash in ["", "/"] {
            let text = page(&scene, Method::GET, &format!("{at}{slash}"), "").await.expect(200).text;
            for base in ["https://id.acme.test", "https://shared.test/t/acme"] {
                let page = reqwest::Url::parse(&format!("{base}{at}{slash}")).unwrap();
                let named = |attribute: &str| {
                    let (_, rest) = text.split_once(&format!("{attribute}=\"")).unwrap();
                    page.join(rest.split('"').next().unwrap()).unwrap().to_string()
                };
                assert_eq!(named("action"), format!("{base}{route}"));
                assert_eq!(named("src"), format!("{base}/account/files/page.js"));
                assert_eq!(named("href"), format!("{base}/account/files/page.css"));
            }
        }
    }
}

#[tokio::test]
async fn a_page_may_load_and_be_shown_by_its_own_origin_alone() {
    let scene = Scene::new().await;
    let full = page(&scene, Method::GET, "/account/reset/", "").await.expect(200);
    let head = page(&scene, Method::HEAD, "/account/reset/", "").await.expect(200);
    assert_eq!(head.text, "");
    for answer in [&full, &head] {
        assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("referrer-policy"), "no-referrer");
        assert_eq!(answer.header("x-frame-options"), "DENY");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("x-robots-tag"), "noindex");
        let policy = answer.header("content-security-policy");
        for part in ["default-src 'none'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'"]
        {
            assert!(policy.contains(part), "{policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
    }
}

#[tokio::test]
async fn a_tenants_name_is_text() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "root-admin").await;
    let path = format!("/api/tenant/tenants/{}/", scene.tenant.id);
    let name = r#"</p><script>alert("x")</script> & 'Söhne'"#;
    ada.patch(&path, json!({"name": name})).await.expect(200);
    let text = page(&scene, Method::GET, "/account/invite/", "").await.expect(200).text;
    assert!(!text.contains("<script>"), "{text}");
    assert_eq!(text.matches("&#60;script&#62;").count(), 2, "in the title and on the page: {text}");
    assert!(text.contains("Söhne"), "{text}");
}

#[tokio::test]
async fn what_is_no_page_is_not_found_and_nothing_can_be_sent_there() {
    let scene = Scene::new().await;
    for path in
        ["/account/", "/account/files/", "/account/nothing/", "/account/Verify/", "/account/files/page.rs"]
    {
        let answer = page(&scene, Method::GET, path, "").await.expect(404);
        assert_eq!(answer.body, json!({"detail": "Not found."}), "{path}");
    }
    let sent = page(&scene, Method::POST, "/account/verify/", "").await.expect(405);
    assert_eq!(sent.header("allow"), "GET, HEAD, OPTIONS");
    for (name, content_type) in [("page.js", "text/javascript"), ("page.css", "text/css")] {
        let file = page(&scene, Method::GET, &format!("/account/files/{name}"), "").await.expect(200);
        assert_eq!(file.header("content-type"), format!("{content_type}; charset=utf-8"));
        assert_eq!(file.header("x-content-type-options"), "nosniff");
        assert_eq!(file.header("cache-control"), "public, max-age=3600");
    }
}

/// A fetch of a link, without its use, does not invalidate it.
#[tokio::test]
async fn a_page_uses_no_link_up() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "client").await;
    let control = &scene.control;
    let now = control.clock.now();
    let mut tx = control.db.tenant_tx(scene.tenant.id).await.unwrap();
    let holder = control::links::Holder::User(ada.id);
    let token = control::links::make(&mut tx, LinkKind::Reset, holder, now).await.unwrap();
    tx.commit().await.unwrap();
    let with_token = format!("/account/reset/?token={}", token.expose());
    for method in [Method::GET, Method::HEAD] {
        page(&scene, method.clone(), "/account/reset/", "").await.expect(200);
        page(&scene, method, &with_token, "").await.expect(200);
    }
    let mut tx = control.db.tenant_tx(scene.tenant.id).await.unwrap();
    let taken = control::links::take(&mut tx, LinkKind::Reset, token.expose(), now).await.unwrap();
    assert_eq!(taken, Some(holder));
}

#[tokio::test]
async fn a_suspended_tenant_has_no_pages() {
    let scene = Scene::new().await;
    let control = &scene.control;
    let mut tx = control.db.tenant_tx(scene.platform().await.tenant.id).await.unwrap();
    tenants::suspend(control, &mut tx, &Actor::operator(), scene.tenant.id).await.unwrap();
    tx.commit().await.unwrap();
    page(&scene, Method::GET, "/account/verify/", "").await.expect(403);
}

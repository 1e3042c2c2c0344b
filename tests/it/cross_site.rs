//! Pages of other origins: with a user's cookies in the browser they can neither sign in nor out, and neither read
//! nor change anything.

use serde_json::{Map, Value, json};
use wardgate_tests::actors::{Session, Tenant, User};
use wardgate_tests::clients::{Site, Tab};
use wardgate_tests::stack::Stack;
use wardgate_tests::{seed, wait};

/// Every try of a hostile page.
const TRIES: &str = include_str!("cross_site.js");
/// The same from a sandboxed frame, whose origin is `null`.
const IN_A_SANDBOX: &str = r"
    const report = `.then((read) => parent.postMessage(read, '*'))`;
    const script = `(async (arg) => {${arg.tries}})(${JSON.stringify(arg)})${report}`;
    const read = new Promise((done) => addEventListener('message', ({ data }) => done(data), { once: true }));
    const frame = document.createElement('iframe');
    frame.sandbox = 'allow-scripts allow-forms';
    frame.srcdoc = `<html><script>${script.replaceAll('</', '<\\/')}</script></html>`;
    document.body.append(frame);
    return read;
";

/// A hostile page and what it knows.
struct Hostile {
    tab: Tab,
    arg: Value,
}

impl Hostile {
    fn visited(site: &mut Site, origin: &str, mallory: &User<'_>, victim: &User<'_>) -> Self {
        let credentials = json!({"username": mallory.username, "password": mallory.password});
        let arg = json!({"api": site.api, "mallory": credentials, "victim": victim.id, "tries": TRIES});
        Self { tab: site.open(origin), arg }
    }

    /// What those of its tries could read whose names begin so.
    fn tries(&self, site: &mut Site, script: &str, only: &str) -> Map<String, Value> {
        let mut arg = self.arg.clone();
        arg["only"] = json!(only);
        let read = site.browser.run(self.tab, script, arg);
        let tries = read.as_object().expect("tries").clone();
        assert!(!tries.is_empty());
        tries
    }
}

#[tokio::test]
async fn pages_of_other_origins_can_do_nothing_with_a_users_cookies() {
    let stack = Stack::shared().await;
    let (acme, mut site) = Site::create(stack, "victim", &json!({})).await;
    let ada = acme.user_with("ada", json!({"roles": ["root-admin"]})).await;
    let mallory = acme.user("mallory").await;
    let sibling = site.sibling("evil");
    let elsewhere = site.browser.origin(&format!("evil-{}.localhost", seed::unique()));
    let page = site.open_application();
    let from_sibling = Hostile::visited(&mut site, &sibling, &mallory, &ada);
    let from_elsewhere = Hostile::visited(&mut site, &elsewhere, &mallory, &ada);
    let attacks = [
        ("a sibling", &from_sibling, TRIES),
        ("a sibling's sandbox", &from_sibling, IN_A_SANDBOX),
        ("another site", &from_elsewhere, TRIES),
        ("another site's sandbox", &from_elsewhere, IN_A_SANDBOX),
    ];

    for (whose, hostile, script) in attacks {
        nothing_read(whose, &hostile.tries(&mut site, script, "sign in"));
        assert_eq!(site.cookies(), [] as [Value; 0], "{whose}: signed in behind somebody's back");
    }
    site.sign_in(page, &ada);
    let cookies = site.cookies();
    for (whose, hostile, script) in attacks {
        nothing_read(whose, &hostile.tries(&mut site, script, ""));
        assert_eq!(planted(&acme).await, 0, "{whose}");
        assert_eq!(site.cookies(), cookies, "{whose}");
        let me = site.call(page, "GET", "/api/user/me/", Value::Null);
        assert_eq!(me["body"]["username"], "ada", "{whose}: {me}");
    }

    // The tries are good for something: of a listed origin they read, and sign in. What changes anything
    // by cookie fails for want of the session's CSRF value.
    acme.change(&json!({"settings": {"origins": [sibling, site.sibling("app")]}})).await;
    wait::until("the origin to be listed", async || {
        let me = site.call(from_sibling.tab, "GET", "/api/user/me/", Value::Null);
        (me["status"] == 200).then_some(())
    })
    .await;
    let read = from_sibling.tries(&mut site, TRIES, "");
    assert_eq!(read["read by fetch"]["body"]["username"], "ada");
    for what in ["read the session", "refresh", "change", "delete", "sign out", "sign out by JSON"] {
        assert_eq!(read[what]["body"]["code"], "csrf_failed", "{what}: {}", read[what]);
    }
    assert_eq!(read["sign in"]["status"], 200, "{}", read["sign in"]);
    assert_eq!(planted(&acme).await, 0);
}

fn nothing_read(whose: &str, tries: &Map<String, Value>) {
    for (name, read) in tries {
        assert!(read.is_null(), "{whose}: {name}: {read}");
    }
}

/// How many users a hostile page has made.
async fn planted(acme: &Tenant<'_>) -> u64 {
    let found = acme.admin.get("/api/user/users/?search=planted").await.expect(200).json();
    found["count"].as_u64().expect("a count")
}

/// Makes a page of a sibling host set another user's tokens as cookies, for paths that come before and after the
/// API's own cookies in a request.
fn plant(site: &mut Site, [access, refresh]: [&str; 2], session: &Session) {
    let origin = site.sibling("evil");
    let evil = site.open(&origin);
    for path in ["/", "/api/", "/api/user/me/"] {
        for (name, token) in [(access, &session.access), (refresh, &session.refresh)] {
            let cookie = format!("{name}={token}; Domain={}; Path={path}; Secure", site.domain());
            site.browser.run(evil, "document.cookie = arg", json!(cookie));
        }
    }
}

#[tokio::test]
async fn a_sibling_cannot_plant_host_cookies() {
    let (acme, mut site) = Site::create(Stack::shared().await, "host", &json!({"cookies": "host"})).await;
    let (ada, mallory) = (acme.user("ada").await, acme.user("mallory").await);
    let page = site.open_application();
    plant(&mut site, ["__Host-access_token", "__Host-refresh_token"], &mallory.sign_in().await);
    assert_eq!(site.call(page, "GET", "/api/user/me/", Value::Null)["status"], 401);
    site.sign_in(page, &ada);
    assert_eq!(site.call(page, "GET", "/api/user/me/", Value::Null)["body"]["username"], "ada");
}

#[tokio::test]
async fn a_plain_cookie_that_a_sibling_plants_beside_ours_is_none() {
    let (acme, mut site) = Site::create(Stack::shared().await, "plain", &json!({"cookies": "plain"})).await;
    let (ada, mallory) = (acme.user("ada").await, acme.user("mallory").await);
    let (page, theirs) = (site.open_application(), mallory.sign_in().await);
    site.sign_in(page, &ada);
    assert_eq!(site.call(page, "GET", "/api/user/me/", Value::Null)["body"]["username"], "ada");
    plant(&mut site, ["access_token", "refresh_token"], &theirs);
    assert_eq!(site.call(page, "GET", "/api/user/me/", Value::Null)["status"], 401);
    for path in ["/api/token/refresh/", "/api/logout/", "/api/user/users/"] {
        let said = site.call(page, "POST", path, json!({}));
        assert!([400, 401, 403].contains(&said["status"].as_u64().unwrap_or_default()), "{path}: {said}");
    }
    let _ = theirs.refreshed().await.me().await.expect(200);
}

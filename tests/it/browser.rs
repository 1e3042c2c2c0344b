//! A user in a browser: signed in by cookie on a page of a listed origin, and staying so.

use std::time::Duration;

use serde_json::{Value, json};
use wardgate_tests::actors::Tenant;
use wardgate_tests::clients::{Browser, Site, Tab};
use wardgate_tests::database::Held;
use wardgate_tests::stack::Stack;
use wardgate_tests::verifier::open;
use wardgate_tests::{seed, wait};

const ACCESS: &str = "__Host-access_token";
const REFRESH: &str = "__Host-refresh_token";
/// The shortest life that an access token can have, and a little less of it.
const ACCESS_SECS: u64 = 60;
const ALMOST: Duration = Duration::from_secs(58);
/// How often two tabs try to refresh at the same time.
const ROUNDS: u32 = 50;

#[tokio::test]
async fn any_page_may_read_the_keys() {
    let stack = Stack::shared().await;
    let acme = Tenant::create(stack).await;
    let mut browser = Browser::start("keys");
    let strange = browser.origin(&format!("{}.localhost", seed::unique()));
    let page = browser.open(&strange);
    let keys = browser.run(page, "return (await fetch(arg)).json()", json!(acme.jwks_url()));
    assert_eq!(keys, acme.http.get("/.well-known/jwks.json").await.expect(200).json());
}

#[tokio::test]
async fn a_page_of_a_listed_origin_signs_in_by_cookie_and_out() {
    let stack = Stack::shared().await;
    let (acme, mut site) = Site::create(stack, "signs", &json!({})).await;
    let ada = acme.user("ada").await;
    let page = site.open_application();
    assert_eq!(me(&mut site, page)["status"], 401);

    site.sign_in(page, &ada);

    assert_eq!(me(&mut site, page)["body"]["username"], "ada");
    let kept = site.cookies();
    let names: Vec<_> = kept.iter().map(|cookie| (&cookie["name"], &cookie["httpOnly"])).collect();
    let (hidden, readable) = (&json!(true), &json!(false));
    assert_eq!(names, [(&json!(ACCESS), hidden), (&json!(REFRESH), hidden), (&json!("csrftoken"), readable)]);
    for cookie in &kept {
        let flags = (&cookie["secure"], &cookie["sameSite"], &cookie["path"]);
        assert_eq!(flags, (&json!(true), &json!("Lax"), &json!("/")), "{cookie}");
        assert!(
            site.api.contains(&format!("//{}:", cookie["domain"].as_str().unwrap_or_default())),
            "{cookie}"
        );
    }
    // The session is the browser's: closing a tab or opening another changes nothing.
    let other = site.open_application();
    assert_eq!(me(&mut site, other)["body"]["username"], "ada");

    let stolen = site.cookie(REFRESH).expect("a cookie")["value"].clone();
    assert_eq!(site.call(page, "POST", "/api/logout/", Value::Null)["status"], 204);
    assert_eq!(site.cookies(), [] as [Value; 0]);
    for tab in [page, other] {
        assert_eq!(me(&mut site, tab)["status"], 401);
    }
    let _ = acme.http.post("/api/token/refresh/", &json!({"refresh": stolen})).await.expect(401);
}

#[tokio::test]
async fn an_expiry_passes_unseen() {
    let stack = Stack::own("browser").await;
    let (acme, mut site) = Site::create(&stack, "expiry", &json!({"access_ttl_secs": ACCESS_SECS})).await;
    let ada = acme.user_with("ada", json!({"roles": ["root-admin"]})).await;
    let (one, two) = (site.open_application(), site.open_application());
    site.sign_in(one, &ada);
    let (access, refresh) = (site.cookie(ACCESS), site.cookie(REFRESH));

    // A slow request sets out in time and is answered after its token has expired.
    let mut held = stack.database.hold_users(acme.id).await;
    let grace = json!({"username": "grace", "email": "grace@acme.test", "roles": ["client"]});
    start(&mut site, one, "POST", grace);
    waits(&mut held, 1).await;
    expire(&stack, &access).await;
    // Another sets out after it and is given up: whatever came with its answer is lost.
    start(&mut site, two, "GET", Value::Null);
    waits(&mut held, 2).await;
    site.browser.go(two, &site.sibling("app"));
    held.release().await;
    let slow = site.browser.run(one, "return window.started", Value::Null);
    assert_eq!((&slow["status"], &slow["body"]["username"]), (&json!(201), &json!("grace")), "{slow}");

    // Two tabs ask for ten things at once, as if nothing had happened.
    let two = site.open_application();
    let ask = "return Promise.all(Array.from({length: 5}, () => call('GET', '/api/user/me/')))";
    let answers = site.browser.run_at_once(&[(one, ask, Value::Null), (two, ask, Value::Null)]);
    let answers: Vec<_> = answers.iter().filter_map(Value::as_array).flatten().collect();
    assert_eq!(answers.len(), 10);
    assert!(answers.iter().all(|said| said["status"] == 200), "{answers:?}");
    // A renewal makes an access token and never rotates.
    assert_ne!(site.cookie(ACCESS), access);
    assert_eq!(site.cookie(REFRESH), refresh);

    // Both tabs refresh at once: neither takes the other's session away, and both get the one successor.
    let ask = "return call('POST', '/api/token/refresh/', {})";
    let together = (0..ROUNDS).any(|_| {
        let answers = site.browser.run_at_once(&[(one, ask, Value::Null), (two, ask, Value::Null)]);
        assert!(answers.iter().all(|said| said["status"] == 200), "{answers:?}");
        // On a busy machine one tab may set out with the cookie that the other has just been given. Then it
        // rotates in its turn, which is right, and the next round tries again.
        answers[0]["body"]["refresh"] == answers[1]["body"]["refresh"]
    });
    assert!(together, "in none of {ROUNDS} rounds did both tabs present the same token");
    assert_ne!(site.cookie(REFRESH), refresh);
    for tab in [one, two] {
        assert_eq!(me(&mut site, tab)["status"], 200);
    }
}

fn me(site: &mut Site, tab: Tab) -> Value {
    site.call(tab, "GET", "/api/user/me/", Value::Null)
}

/// Has a page ask control for users, without waiting for the answer.
fn start(site: &mut Site, tab: Tab, method: &str, body: Value) {
    let script = "window.started = call(...arg)";
    site.browser.run(tab, script, json!([method, "/api/user/users/", body]));
}

async fn waits(held: &mut Held, count: i64) {
    wait::until("control to wait", async || (held.waiting().await == count).then_some(())).await;
}

/// Lets the time of an access token pass. Control's clock stays, and takes no token that is made more
/// than a minute ahead of it, so the last of the time passes by itself.
async fn expire(stack: &Stack, access: &Option<Value>) {
    let token = access.as_ref().and_then(|cookie| cookie["value"].as_str()).expect("an access cookie");
    let expires_at = open(token).claims["exp"].as_u64().expect("a time");
    stack.pass(ALMOST).await;
    wait::until("the token to expire", async || (stack.edge_now_secs().await > expires_at).then_some(()))
        .await;
}

/// The page of docs/browsers.md, as an integrator would copy it.
#[tokio::test]
async fn the_page_of_the_documentation_works() {
    let stack = Stack::shared().await;
    let (acme, mut site) = Site::create(stack, "documented", &json!({})).await;
    let ada = acme.user_with("ada", json!({"roles": ["root-admin"]})).await;
    let page = site.open_application();
    let documented = include_str!("../../docs/browsers.md");
    let code = documented.split_once("```js\n").and_then(|(_, rest)| rest.split_once("```"));
    let code = code.expect("a page").0.replace("https://id.acme.example", &site.api);
    let script = format!(
        "{code}
         const status = async (call) => (await call).status;
         const user = await signIn(...arg);
         const read = await status(call('GET', '/api/user/me/'));
         const person = {{ username: 'eve', email: 'eve@acme.test', roles: ['client'] }};
         const written = await status(call('POST', '/api/user/users/', person));
         await signOut();
         const over = await status(call('GET', '/api/user/me/'));
         return [user.id, read, written, over];"
    );
    let said = site.browser.run(page, &script, json!([ada.username, ada.password]));
    assert_eq!(said, json!([ada.id, 200, 201, 401]));
    assert_eq!(site.cookies(), [] as [Value; 0]);
}

/// Fetches of the page are answered with what stands in `answers`, and kept in `sent`.
const ANSWERED: &str = "window.sent = []; window.answers = arg;
    window.fetch = async (url, init) => {
        window.sent.push({url, method: init.method, body: init.body, credentials: init.credentials});
        const [status, body] = window.answers.shift();
        if (status === 0) throw new TypeError('no network');
        return new Response(JSON.stringify(body), {status});
    }";
/// Sends the form, and says what the page shows then.
const SUBMIT: &str = "document.querySelector('#new_password').value = 'a new secret';
    document.querySelector('button').click();
    while (document.querySelector('button').disabled) await new Promise((done) => setTimeout(done, 5));
    const shown = (id) => {
        const element = document.getElementById(id);
        return element.checkVisibility() ? element.textContent : null;
    };
    return {fault: shown('fault'), field: shown('new_password-fault'), done: shown('done'),
            form: document.querySelector('form').checkVisibility(), focus: document.activeElement.id}";

#[tokio::test]
async fn an_account_page_takes_the_token_from_the_address_and_says_what_came_of_it() {
    let stack = Stack::shared().await;
    let (acme, mut site) = Site::create(stack, "pages", &json!({})).await;
    let bases = [site.api.clone(), acme.http.base().to_owned()];
    for (base, slash) in bases.iter().flat_map(|base| [(base, "/"), (base, "")]) {
        let page = format!("{base}/account/reset{slash}");
        let tab = site.browser.open(&format!("{page}#token=abc-_1"));
        let looked = "const token = document.querySelector('#token');
            return [location.href, token.value, token.checkVisibility(), document.styleSheets[0].cssRules.length > 3]";
        let looked = site.browser.run(tab, looked, Value::Null);
        assert_eq!(looked, json!([page, "abc-_1", false, true]));

        let answers = json!([
            [400, {"new_password": ["This password is too short.", "This password is too common."]}],
            [400, {"token": ["Invalid value"]}],
            [429, {"detail": "Request was throttled."}],
            [503, {"detail": "Service temporarily unavailable.", "code": "unavailable"}],
            [403, {"detail": "<b>Not</b> allowed."}],
            [0, null],
            [200, {"detail": "ok"}],
        ]);
        site.browser.run(tab, ANSWERED, answers);
        let mut submit = || site.browser.run(tab, SUBMIT, Value::Null);
        let weak = submit();
        let texts = "This password is too short. This password is too common.";
        assert_eq!(
            weak,
            json!({"fault": null, "field": texts, "done": null, "form": true, "focus": "new_password"})
        );
        for says in
            ["link is not valid", "Too many attempts", "did not work", "<b>Not</b> allowed.", "did not work"]
        {
            let said = submit();
            assert!(said["fault"].as_str().is_some_and(|fault| fault.contains(says)), "{says}: {said}");
            assert_eq!((&said["field"], &said["focus"]), (&Value::Null, &json!("fault")));
        }
        let done = submit();
        assert_eq!(
            (&done["form"], &done["focus"], &done["fault"]),
            (&json!(false), &json!("done"), &Value::Null)
        );
        let sent = site.browser.run(tab, "return window.sent[0]", Value::Null);
        assert_eq!(sent["url"], format!("{base}/api/user/password/reset/confirm/"));
        assert_eq!((&sent["method"], &sent["credentials"]), (&json!("POST"), &json!("omit")));
        let body: Value = serde_json::from_str(sent["body"].as_str().expect("a body")).expect("JSON");
        assert_eq!(body, json!({"token": "abc-_1", "new_password": "a new secret"}));
    }
}

#[tokio::test]
async fn a_german_account_page_says_in_german_what_is_wrong() {
    let stack = Stack::shared().await;
    let acme = Tenant::create(stack).await;
    let mut browser = Browser::start("pages-german");
    let tab = browser.open_in("de-AT", &format!("{}/account/reset/#token=abc", acme.http.base()));
    let short = "This password is too short. It must contain at least 15 characters.";
    let answers = json!([
        [400, {"new_password": [short, "This password is too common."], "email": ["This field is required."]}],
        [403, {"detail": "Registration is closed.", "code": "registration_closed"}],
        [400, {"new_password": ["Said by a later release: 7."]}],
    ]);
    browser.run(tab, ANSWERED, answers);
    let said = browser.run(tab, SUBMIT, Value::Null);
    let german = "Dieses Passwort ist zu kurz. Es muss mindestens 15 Zeichen haben. \
                  Dieses Passwort ist zu weit verbreitet.";
    assert_eq!((&said["field"], &said["fault"]), (&json!(german), &json!("Dieses Feld ist erforderlich.")));
    let said = browser.run(tab, SUBMIT, Value::Null);
    assert_eq!(
        (&said["field"], &said["fault"]),
        (&Value::Null, &json!("Die Registrierung ist geschlossen."))
    );
    let said = browser.run(tab, SUBMIT, Value::Null);
    assert_eq!(said["field"], "Said by a later release: 7.");
    let hidden = "return document.querySelector('#refusals').checkVisibility()";
    assert_eq!(browser.run(tab, hidden, Value::Null), false);
}

#[tokio::test]
async fn an_account_page_without_a_token_asks_for_it_and_a_newer_link_fills_it() {
    let stack = Stack::shared().await;
    let acme = Tenant::create(stack).await;
    let mut browser = Browser::start("pages-bare");
    let page = format!("{}/account/invite/", acme.http.base());
    let tab = browser.open(&page);
    let visible = "return [...document.querySelectorAll('input')].filter((input) => input.checkVisibility())
        .map((input) => [input.labels[0].textContent.trim(), input.name, input.type, input.required])";
    let shown = browser.run(tab, visible, Value::Null);
    let expected = json!([
        ["Code from the mail", "token", "text", true],
        ["User name", "username", "text", true],
        ["Password", "password", "password", true],
        ["Show the password", "", "checkbox", false],
        ["First name (optional)", "first_name", "text", false],
        ["Last name (optional)", "last_name", "text", false],
    ]);
    assert_eq!(shown, expected);
    let shows = "const box = document.querySelector('[type=checkbox]'); box.click();
        const shown = document.querySelector('#password').type; box.click();
        return [shown, document.querySelector('#password').type]";
    assert_eq!(browser.run(tab, shows, Value::Null), json!(["text", "password"]));
    let newer = "const changed = new Promise((done) => addEventListener('hashchange', done));
        location.hash = '#token=newer'; await changed;
        return [location.href, document.querySelector('#token').value, document.querySelector('#token').checkVisibility()]";
    assert_eq!(browser.run(tab, newer, Value::Null), json!([page, "newer", false]));
}

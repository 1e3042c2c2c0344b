//! A user's living sessions exist at the edge alone; control lists them by a signed call and ends them by a pushed
//! change.

use reqwest::Method;
use serde_json::{Value, json};
use wardgate_tests::actors::{Session, Tenant, User};
use wardgate_tests::http::Reply;
use wardgate_tests::stack::Stack;
use wardgate_tests::wait::until;

const OWN: &str = "/api/user/sessions/";
const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

async fn ends(session: &Session) {
    let refused = async || (session.try_refresh().await.status == 401).then_some(());
    until("the session to end", refused).await;
}

async fn sign_in_with(acme: &Tenant<'_>, user: &User<'_>, agent: &str) -> Session {
    let credentials = json!({"username": user.username, "password": user.password});
    let request =
        acme.http.request(Method::POST, "/api/token/").header("user-agent", agent).json(&credentials);
    Session::of(&acme.http, &Reply::to(request).await.expect(200))
}

#[tokio::test]
async fn the_command_line_lists_a_users_sessions_and_ends_one() {
    let stack = Stack::shared().await;
    let acme = Tenant::create(stack).await;
    let (ada, bob) = (acme.user("ada").await, acme.user("bob").await);
    let (kept, ended, foreign) = (ada.sign_in().await, ada.sign_in().await, bob.sign_in().await);
    let tenant = acme.slug.clone();
    let run = |what: &str, more: &[&str]| {
        let sessions = ["sessions", what, "ada", "--tenant", tenant.as_str(), "--json"];
        serde_json::from_str::<Value>(&stack.command(&[&sessions[..], more].concat(), "")).expect("JSON")
    };
    let living = || {
        let listed = run("list", &[]);
        let rows = listed["results"].as_array().expect("a list").iter();
        let mut ids: Vec<_> = rows.map(|row| row["id"].as_str().expect("an id").to_owned()).collect();
        ids.sort();
        ids
    };
    let mut both = vec![kept.claim("sid"), ended.claim("sid")];
    both.sort();
    assert_eq!(living(), both);

    assert_eq!(run("end", &[&ended.claim("sid"), "--yes"])["session"], ended.claim("sid"));

    ends(&ended).await;
    assert_eq!(living(), [kept.claim("sid")]);
    let _ = kept.try_refresh().await.expect(200);
    let _ = foreign.try_refresh().await.expect(200);
}

#[tokio::test]
async fn a_user_sees_their_sessions_and_ends_the_others() {
    let acme = Tenant::create(Stack::shared().await).await;
    let ada = acme.user("ada").await;
    let (here, phone) =
        (sign_in_with(&acme, &ada, FIREFOX).await, sign_in_with(&acme, &ada, "curl/8.5.0").await);
    let listed = here.get(OWN).await.expect(200).json();
    let row = |session: &Session| {
        let rows = listed["results"].as_array().expect("a list").iter();
        rows.clone().find(|row| row["id"] == session.claim("sid").as_str()).expect("the session").clone()
    };
    assert_eq!(
        (&row(&here)["current"], &row(&here)["device"]["name"]),
        (&json!(true), &json!("Firefox on Linux"))
    );
    assert_eq!(
        (&row(&phone)["current"], &row(&phone)["device"]["agent"]),
        (&json!(false), &json!("curl/8.5.0"))
    );

    let end = |path: String| acme.http.request(Method::DELETE, &path).bearer_auth(&here.access);
    let ended = Reply::to(end(format!("{OWN}{}/", phone.claim("sid")))).await.expect(204);
    assert!(["edge", "pending"].contains(&ended.header("wardgate-in-force")));
    ends(&phone).await;
    let (one, two) = (ada.sign_in().await, ada.sign_in().await);
    assert_eq!(Reply::to(end(OWN.to_owned())).await.expect(200).json(), json!({"ended": 2}));
    for other in [&one, &two] {
        ends(other).await;
    }
    let here = here.refreshed().await;
    let left = here.get(OWN).await.expect(200).json();
    assert_eq!((&left["count"], &left["results"][0]["current"]), (&json!(1), &json!(true)));
}

//! A password that has to be changed gives no session: a ticket, good once and for that alone. One that is changed in
//! a session ends every other.

use futures::future::join_all;
use reqwest::Method;
use serde_json::json;
use wardgate_tests::actors::{Session, Tenant, User};
use wardgate_tests::http::Reply;
use wardgate_tests::stack::Stack;
use wardgate_tests::{secrets, wait};

const CHANGE: &str = "/api/user/password/change/";

async fn change(acme: &Tenant<'_>, ticket: &str, new: &str) -> Reply {
    let request = acme.http.request(Method::POST, CHANGE).bearer_auth(ticket);
    Reply::to(request.json(&json!({"new_password": new}))).await
}

/// The ticket of a sign-in with the right password.
async fn ticket(acme: &Tenant<'_>, user: &User<'_>, path: &str) -> String {
    let body = json!({"username": user.username, "password": user.password});
    let refused = acme.http.post(path, &body).await.expect(403);
    let body = refused.json();
    assert_eq!((&body["code"], &body["expires_in"]), (&json!("password_change_required"), &json!(600)));
    refused.text_at("ticket")
}

/// Waits until the edge refuses `password`.
async fn ends(user: &User<'_>, password: &str) {
    let refused = async || (user.try_sign_in_with(password).await.status == 401).then_some(());
    wait::until("the old password to end", refused).await;
}

#[tokio::test]
async fn a_user_who_must_change_the_password_gets_a_session_afterwards() {
    let acme = Tenant::create(Stack::shared().await).await;
    let ada = acme.user("ada").await;
    let session = ada.sign_in().await;
    ada.change(&json!({"must_change_password": true})).await;
    acme.settle().await;
    let _ = session.try_refresh().await.expect(401);

    let first = ticket(&acme, &ada, "/api/login/").await;
    let ticket = ticket(&acme, &ada, "/api/token/").await;
    let _ = ada.try_sign_in_with("wrong").await.expect(401);
    let garbage = session.with_access("wgt_garbage");
    let at_doors = session.with_access(ticket.as_str());
    let (of_garbage, of_ticket) = (garbage.me().await.expect(401), at_doors.me().await.expect(401));
    assert_eq!(of_ticket.text, of_garbage.text);
    let _ = at_doors.validate().await.expect(401);
    let _ = change(&acme, &first, &secrets::password()).await.expect(401);

    let _ = change(&acme, &ticket, &ada.password).await.expect(400);
    let _ = change(&acme, &ticket, "short").await.expect(400);
    let new = secrets::password();
    let races = join_all((0..16).map(|_| change(&acme, &ticket, &new))).await;
    let statuses: Vec<_> = races.iter().map(|reply| reply.status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    let _ = change(&acme, &ticket, &secrets::password()).await.expect(401);

    ends(&ada, &ada.password).await;
    let session = Session::of(&acme.http, &ada.try_sign_in_with(&new).await.expect(200));
    let _ = session.me().await.expect(200);
    let log = acme.admin.audit().await;
    let changed =
        log.iter().filter(|entry| entry["action"] == "user.password_changed" && entry["outcome"] == "done");
    assert_eq!(changed.count(), 1);
}

#[tokio::test]
async fn a_password_that_is_changed_in_a_session_ends_every_other() {
    let acme = Tenant::create(Stack::shared().await).await;
    let ada = acme.user("ada").await;
    let (here, elsewhere) = (ada.sign_in().await, ada.sign_in().await);
    let new = secrets::password();
    let send = async |current: &str| {
        let request = acme.http.request(Method::POST, CHANGE).bearer_auth(&here.access);
        Reply::to(request.json(&json!({"current_password": current, "new_password": new}))).await
    };
    assert_eq!(send("wrong").await.expect(400).json(), json!({"current_password": ["Invalid password."]}));
    assert_eq!(send(&ada.password).await.expect(200).json()["next"], "refresh");
    ends(&ada, &ada.password).await;
    let refused = async || (here.validate().await.status == 401).then_some(());
    wait::until("the access token to end", refused).await;
    let _ = elsewhere.try_refresh().await.expect(401);
    let here = here.refreshed().await;
    let _ = here.me().await.expect(200);
    let _ = Session::of(&acme.http, &ada.try_sign_in_with(&new).await.expect(200)).me().await.expect(200);
}

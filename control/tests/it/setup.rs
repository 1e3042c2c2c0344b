//! The platform's first administrator: a token, once, within the hour.

use chrono::TimeDelta;
use control::setup;
use reqwest::Method;
use serde_json::{Value, json};

use crate::scene::{PASSWORD, Scene};

fn body(token: &str, username: &str) -> Option<Value> {
    Some(
        json!({"token": token, "username": username, "email": format!("{username}@acme.test"), "password": PASSWORD}),
    )
}

const PATH: &str = "/api/user/setup/";

#[tokio::test]
async fn a_token_makes_one_root_admin() {
    let scene = Scene::alone().await;
    let token = setup::issue(&scene.control).await.unwrap().text;
    let refused = scene.anonymous(Method::POST, PATH, body("wgs_wrong", "ada")).await.expect(400);
    assert_eq!(refused.body, json!({"token": ["This token is not valid."]}));
    // Invalid data does not use the token up.
    scene.anonymous(Method::POST, PATH, body(&token, "a b")).await.expect(400);
    let made = scene.anonymous(Method::POST, PATH, body(&token, "ada")).await.expect(201);
    assert_eq!(made.body["roles"], json!(["root-admin"]));
    scene.anonymous(Method::POST, PATH, body(&token, "bob")).await.expect(400);
    scene.anonymous(Method::GET, PATH, None).await.expect(405);
    // At any other tenant there is no such path, whatever is sent.
    let bob = scene.member("bob", "root-admin").await;
    bob.post(PATH, json!({})).await.expect(404);
    bob.get(PATH).await.expect(404);
}

#[tokio::test]
async fn a_token_is_used_once_also_by_many_at_once() {
    let scene = Scene::alone().await;
    let token = setup::issue(&scene.control).await.unwrap().text;
    let names = ["ada", "bob", "cyd", "dan"];
    let all = names.map(|name| scene.anonymous(Method::POST, PATH, body(&token, name)));
    let answers = futures::future::join_all(all).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
}

#[tokio::test]
async fn old_and_replaced_tokens_are_dead() {
    let scene = Scene::alone().await;
    let first = setup::issue(&scene.control).await.unwrap().text;
    let second = setup::issue(&scene.control).await.unwrap().text;
    scene.anonymous(Method::POST, PATH, body(&first, "ada")).await.expect(400);
    scene.control.clock.advance(TimeDelta::minutes(61));
    scene.anonymous(Method::POST, PATH, body(&second, "ada")).await.expect(400);
}

//! Forms: read in both of their media types, and never accepted with a cookie.

use serde_json::json;

use super::browser::{self, Browser, set_cookies};
use super::fixture::{Actor, PASSWORD, Request, World};

fn acme() -> (World, Actor) {
    let world = World::new();
    let acme = world.tenant("acme");
    acme.user("ada");
    (world, acme)
}

/// A form as a browser's `FormData` writes it.
fn multipart(request: Request, parts: &[(&str, &str)]) -> Request {
    let part = |(names, value): &(&str, &str)| {
        format!("--b0undary\r\nContent-Disposition: form-data; {names}\r\n\r\n{value}\r\n")
    };
    let body = parts.iter().map(part).collect::<String>() + "--b0undary--\r\n";
    let request = request.header("content-type", "multipart/form-data; boundary=\"b0undary\"");
    Request { body: body.into_bytes(), ..request }
}

#[test]
fn a_multipart_form_is_read_as_any_other_form() {
    let (world, acme) = acme();
    let send = |path: &str, parts: &[(&str, &str)]| world.send(multipart(acme.request("POST", path), parts));
    let name = "name=\"username\"";
    let password = ("name=\"password\"", PASSWORD);
    let signed_in = send("/api/token/", &[(name, "ada"), password]).expect(200);
    let (access, refresh) = (signed_in.text("access"), signed_in.text("refresh"));
    // An empty file input, which browsers send along.
    send("/api/login/", &[(name, "ada"), password, ("name=\"avatar\"; filename=\"\"", "")]).expect(200);
    let token = |value: &str| send("/api/token/verify/", &[("name=\"token\"", value)]).status;
    assert_eq!((token(&access), token(&refresh), token(&format!("  {access}\n"))), (200, 200, 200));
    send("/api/token/validate/", &[("name=token", &access)]).expect(200);
    let next = send("/api/token/refresh/", &[("name=refresh", &refresh)]).expect(200).text("refresh");
    send("/api/token/blacklist/", &[("name=refresh", &next)]).expect(200);
    let other = acme.sign_in("ada");
    send("/api/logout/", &[("name=refresh", &other.refresh), ("name=everywhere", "true")]).expect(204);
    acme.refresh(&other.refresh).expect(401);

    let required = json!({"username": ["This field is required."], "password": ["This field is required."]});
    assert_eq!(send("/api/token/", &[]).expect(400).json(), required);
    let twice = send("/api/token/", &[(name, "ada"), password, (name, "eve")]).expect(400);
    assert_eq!(twice.json(), json!({"detail": "Multipart form parse error - duplicate key"}));
    let file = send("/api/token/", &[("name=\"username\"; filename=\"ada.txt\"", "ada"), password]);
    assert_eq!(file.expect(400).json(), json!({"username": ["Not a valid string."]}));
    let many: Vec<_> = (0..=10_000).map(|at| format!("name={at}")).collect();
    let many: Vec<_> = many.iter().map(|name| (name.as_str(), "")).collect();
    let refused = send("/api/token/", &many).expect(400);
    assert_eq!(refused.json(), json!({"detail": "Multipart form parse error - too many fields"}));
}

#[test]
fn a_field_twice_is_worded_alike_in_every_media_type() {
    let (world, acme) = acme();
    let form =
        acme.request("POST", "/api/token/").header("content-type", "application/x-www-form-urlencoded");
    let refused = world.send(Request { body: b"username=a&username=b".to_vec(), ..form }).expect(400);
    assert_eq!(refused.json(), json!({"detail": "Form parse error - duplicate key"}));
}

#[test]
fn a_multipart_form_gets_its_tokens_in_the_answer_and_no_cookie() {
    let (world, acme) = browser::acme();
    let ada = [("name=username", "ada"), ("name=password", PASSWORD)];
    let mut browser = Browser::at(&acme);
    let signed_in = browser.send(multipart(browser.request("POST", "/api/login/"), &ada)).expect(200);
    assert_eq!((set_cookies(&signed_in), signed_in.json().get("csrf_token")), (vec![], None));
    // Any page may send one: it acts by no cookie that it does not prove, and refreshes by none at all.
    browser.sign_in("ada").expect(200);
    let refresh = multipart(browser.request("POST", "/api/token/refresh/"), &[("name=a", "b")]);
    let refused = world.send(refresh).expect(400);
    assert_eq!(refused.json(), json!({"refresh": ["This field is required."]}));
    let planted = browser.with_cookies(browser::own_request(&acme, "POST", "/api/user/users/"));
    let planted = multipart(planted.header("origin", "https://evil.example"), &[("name=username", "eve")]);
    assert_eq!(world.send(planted).expect(403).text("code"), "csrf_failed");
}

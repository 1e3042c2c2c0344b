//! Passwords that have to be changed: a ticket in place of a session, good at one route, for as long as the
//! user's epochs stay.

use futures::executor::block_on;
use serde_json::{Value, json};
use shared::contract::routes::{ROUTES, RouteKind};
use shared::tenant::Status;
use shared::user::UserStatus;
use shared::wire::needs::{Needs, PASSWORD_DUE};
use shared::wire::push::{PasswordDue, Push, UserRow};
use shared::wire::signature::{FORWARD_HEADERS, Message, Tag, verify};

use super::browser::{Browser, acme as acme_with_pages};
use super::fixture::{Actor, Answered, PASSWORD, World, edge_service_peer, message};
use crate::inside::sweep::clean;
use crate::platform::Limit;
use crate::sql;

const CHANGE: &str = "/api/user/password/change/";
const DAY_MS: u64 = 86_400_000;

fn must(row: &mut UserRow) {
    row.password_due = Some(PasswordDue::Must);
    row.needs = Needs::of(&[PASSWORD_DUE]);
}

/// A tenant with ada, who must change the password, and bob, who need not.
fn acme() -> (World, Actor) {
    let world = World::new();
    let acme = world.tenant("acme");
    acme.user("ada");
    acme.user("bob");
    acme.change("ada", must);
    // The isolate has met the tenant.
    world.send(acme.request("GET", "/api/public-key/")).expect(200);
    (world, acme)
}

fn ticket(acme: &Actor) -> String {
    acme.try_sign_in("ada", PASSWORD).expect(403).text("ticket")
}

fn change(acme: &Actor, bearer: &str) -> Answered {
    let body = json!({"new_password": "another horse battery"});
    acme.world.send(acme.request("POST", CHANGE).bearer(bearer).json(&body))
}

fn invalid(answer: Answered) {
    assert_eq!(answer.expect(401).json()["messages"][0]["message"], "Token is invalid");
}

fn count(world: &World, sql: &str) -> i64 {
    world.memory().db.borrow().query_row(sql, [], |row| row.get(0)).unwrap()
}

fn kinds(world: &World) -> Vec<Value> {
    let facts = world.memory().run(&sql::OUTBOX.bind([1000.into()]));
    facts.into_iter().map(|fact| fact["kind"].clone()).collect()
}

#[test]
fn a_right_password_that_must_be_changed_gets_a_ticket_and_no_session() {
    let (world, acme) = acme();
    for path in ["/api/token/", "/api/login/"] {
        let request = acme.request("POST", path).json(&json!({"username": "ada", "password": PASSWORD}));
        let (answer, trips) = world.counted(request);
        assert_eq!(trips, 2, "as many round trips as a sign-in");
        let body = answer.expect(403).json();
        let ticket = body["ticket"].as_str().unwrap();
        assert!(ticket.starts_with("wgt_") && ticket.len() == 47, "{ticket}");
        let rest = json!({"detail": "Password change required.", "code": "password_change_required",
            "ticket": ticket, "expires_in": 600});
        assert_eq!(body, rest);
    }
    assert_eq!(count(&world, "select count(*) from families"), 0);
    assert_eq!(count(&world, "select count(*) from tickets"), 1, "a newer one takes the place of the older");
    assert_eq!(kinds(&world), ["password_change_required", "password_change_required"]);
    let kept: String =
        world.memory().db.borrow().query_row("select digest from tickets", [], |row| row.get(0)).unwrap();
    assert!(!ticket(&acme).contains(&kept), "what is stored is no ticket");
    acme.sign_in("bob");
}

#[test]
fn a_login_in_a_browser_sets_no_cookie() {
    let (_, acme) = acme_with_pages();
    acme.change("ada", must);
    let answer = Browser::at(&acme).sign_in("ada").expect(403);
    assert!(answer.header("set-cookie").is_none());
    assert_eq!(answer.header("access-control-allow-origin"), Some(super::browser::PAGE));
}

#[test]
fn wrong_passwords_are_answered_and_counted_as_ever() {
    let (world, acme) = acme();
    let wrong = acme.try_sign_in("ada", "wrong").expect(401);
    assert_eq!(wrong.visible(), acme.try_sign_in("bob", "wrong").expect(401).visible());
    // A right one gives its own try back, however often.
    for _ in 0..20 {
        ticket(&acme);
    }
    for _ in 0..9 {
        acme.try_sign_in("ada", "wrong").expect(401);
    }
    acme.try_sign_in("ada", PASSWORD).expect(429);
    assert_eq!(kinds(&world).len(), 20);
}

#[test]
fn a_one_time_password_ends_and_is_a_wrong_one_then() {
    let (world, acme) = acme();
    let ends_at = world.memory().now_ms.get() + DAY_MS;
    acme.change("ada", |row| {
        must(row);
        row.password_valid_until = Some(ends_at);
    });
    world.advance(DAY_MS - 1);
    ticket(&acme);
    let before = acme.try_sign_in("nobody", PASSWORD).expect(401).visible();
    world.advance(1);
    assert_eq!(acme.try_sign_in("ada", PASSWORD).expect(401).visible(), before);
    for _ in 0..9 {
        acme.try_sign_in("ada", PASSWORD).expect(401);
    }
    acme.try_sign_in("ada", PASSWORD).expect(429);
}

#[test]
fn a_password_that_is_too_old_is_due_at_sign_in_while_its_sessions_go_on() {
    let (world, acme) = acme();
    let changed_at = world.memory().now_ms.get();
    acme.change("ada", |row| row.password_changed_at = Some(changed_at));
    acme.edit(|tenant| {
        tenant.settings.password_max_age_secs = 86_400;
        tenant.settings.idle_secs = 7 * 86_400;
    });
    let mut tokens = acme.sign_in("ada");
    world.advance(DAY_MS);
    acme.try_sign_in("ada", "wrong").expect(401);
    assert_eq!(acme.try_sign_in("ada", PASSWORD).expect(403).text("code"), "password_change_required");
    for _ in 0..3 {
        world.advance(DAY_MS);
        tokens = acme.refreshed(&tokens.refresh);
        acme.validate(&tokens.access).expect(200);
    }
    // A user whose password has no known age needs a new one, too; with a new one the sign-in works.
    acme.try_sign_in("bob", PASSWORD).expect(403);
    let now = world.memory().now_ms.get();
    acme.change("ada", |row| row.password_changed_at = Some(now));
    acme.sign_in("ada");
    acme.edit(|tenant| tenant.settings.password_max_age_secs = 0);
    acme.sign_in("bob");
}

#[test]
fn a_ticket_goes_on_to_control_as_what_the_edge_vouches_for() {
    let (world, acme) = acme();
    let ticket = ticket(&acme);
    change(&acme, &ticket).expect(200);
    let (outgoing, body) = world.memory().forwarded.borrow_mut().pop().unwrap();
    assert_eq!(body, br#"{"new_password":"another horse battery"}"#);
    let header = |name: &str| {
        outgoing.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    };
    let ada = acme.user_id("ada");
    let vouched = format!("purpose=password_change; user={ada}; password_epoch=0; access_epoch=0");
    assert_eq!(header("wardgate-ticket"), Some(vouched.as_str()));
    assert_eq!(header("wardgate-caller"), Some(ada.to_string().as_str()));
    assert_eq!(header("authorization"), None);
    assert!(!format!("{:?}", outgoing.headers).contains(&ticket), "the ticket stays here");
    let covered: Vec<_> = FORWARD_HEADERS.iter().filter_map(|name| Some((*name, header(name)?))).collect();
    assert_eq!(covered.len() + 1, FORWARD_HEADERS.len(), "all but `Authorization`");
    let signed = |headers: &[(&str, &str)]| {
        let message = Message {
            method: "POST",
            authority: "control.example",
            path: CHANGE,
            query: "",
            content_digest: None,
            headers,
        };
        let (input, signature) = (header("signature-input").unwrap(), header("signature").unwrap());
        let now = world.memory().now_ms.get() / 1000;
        verify(&[edge_service_peer()], Tag::Forward, &message, input, signature, now).is_ok()
    };
    let without: Vec<_> = covered.iter().filter(|(name, _)| *name != "wardgate-ticket").copied().collect();
    assert!(signed(&covered) && !signed(&without));
}

/// Refused input at control must leave it good, so looking it up uses nothing up.
#[test]
fn a_ticket_is_good_until_it_expires_or_the_users_epochs_rise() {
    let (world, acme) = acme();
    let first = ticket(&acme);
    world.advance(599_999);
    change(&acme, &first).expect(200);
    change(&acme, &first).expect(200);
    world.advance(1);
    invalid(change(&acme, &first));
    let raise: [fn(&mut UserRow); 4] = [
        |row| row.access_epoch = 1,
        |row| (row.access_epoch, row.session_epoch, row.password_epoch) = (1, 1, 1),
        |row| row.status = UserStatus::Suspended,
        |row| row.status = UserStatus::Deleted,
    ];
    for raise in raise {
        acme.change("ada", must);
        let ticket = ticket(&acme);
        change(&acme, &ticket).expect(200);
        acme.change("ada", |row| {
            must(row);
            raise(row);
        });
        invalid(change(&acme, &ticket));
    }
}

#[test]
fn a_newer_ticket_takes_the_place_of_the_older() {
    let (_, acme) = acme();
    let (older, newer) = (ticket(&acme), ticket(&acme));
    invalid(change(&acme, &older));
    change(&acme, &newer).expect(200);
}

#[test]
fn a_reseed_ends_tickets_as_it_ends_sessions() {
    let (world, acme) = acme();
    let ticket = ticket(&acme);
    acme.reseed();
    world.advance(3001);
    invalid(change(&acme, &ticket));
}

#[test]
fn a_ticket_is_garbage_at_every_other_door() {
    let (world, acme) = acme();
    let (ticket, garbage) = (ticket(&acme), String::from("wgt_x"));
    let before = world.memory().batches.get();
    for route in ROUTES.iter().filter(|route| matches!(route.kind, RouteKind::Protected | RouteKind::Open)) {
        let path = format!("/{}/", route.path.replace('*', "0190a0b0-c0d0-7000-8000-000000000001"));
        let (method, _) = route.allow.split_once(',').unwrap();
        let send = |token: &str| world.send(acme.request(method, &path).bearer(token).json(&json!({})));
        if path == CHANGE {
            send(&ticket).expect(200);
        } else {
            let answer = send(&ticket).expect(401);
            assert_eq!(answer.visible(), send(&garbage).visible(), "{path}");
        }
    }
    assert_eq!(world.memory().forwarded.borrow().len(), 1);
    let takes_one = ROUTES.iter().filter(|route| route.ticket.is_some()).count();
    let looked_up = usize::try_from(world.memory().batches.get() - before).unwrap();
    assert_eq!(looked_up, takes_one, "nothing is looked up for it where no ticket is good");
    // As Bearer and in bodies at the edge's own routes.
    for path in ["/api/token/refresh/", "/api/token/verify/", "/api/token/blacklist/", "/api/logout/"] {
        let send =
            |token: &str| acme.post(path, &json!({"refresh": token, "token": token})).expect(401).visible();
        assert_eq!(send(&ticket), send(&garbage), "{path}");
    }
    assert_eq!(acme.validate(&ticket).expect(401).visible(), acme.validate(&garbage).visible());
    let logout =
        |token: &str| world.send(acme.request("POST", "/api/logout/").bearer(token).json(&json!({})));
    assert_eq!(logout(&ticket).expect(401).visible(), logout(&garbage).visible());
    let other = world.tenant("other");
    invalid(change(&other, &ticket));
    let bob = acme.sign_in("bob");
    change(&acme, &bob.access).expect(200);
    invalid(change(&acme, "abc"));
    assert_eq!(
        change(&acme, &bob.refresh).expect(401).json()["messages"][0]["message"],
        "Token has wrong type"
    );
}

#[test]
fn no_cookie_is_a_ticket() {
    let (world, acme) = acme_with_pages();
    acme.change("ada", must);
    let mut browser = Browser::at(&acme);
    let ticket = browser.sign_in("ada").expect(403).text("ticket");
    browser.jar.insert(String::from("__Host-access_token"), ticket);
    browser.send(browser.request("POST", CHANGE).json(&json!({}))).expect(401);
    assert!(world.memory().forwarded.borrow().is_empty());
}

#[test]
fn tickets_of_strangers_are_looked_up_within_their_networks_limit() {
    let (world, acme) = acme();
    let invented = shared::tokens::ticket::Ticket::new([9; 32]).to_text();
    invalid(change(&acme, &invented));
    world.memory().limited.set(Some(Limit::Network));
    let before = world.memory().batches.get();
    assert_eq!(change(&acme, &invented).expect(429).header("retry-after"), Some("60"));
    assert_eq!(world.memory().batches.get(), before);
    world.memory().limited.set(None);
    world.memory().store_down.set(true);
    change(&acme, &invented).expect(503);
}

#[test]
fn what_commits_while_the_hash_runs_wins() {
    let changes = [
        "update users set session_epoch = 1",
        "update users set status = 'suspended'",
        "update users set needs = '[\"a word of a later release\"]'",
    ];
    for change in changes {
        let (world, acme) = acme();
        // Between the batch that reads the user and the one that writes the ticket.
        let armed = world.clone();
        *world.memory().meanwhile.borrow_mut() = Some(Box::new(move |_| {
            *armed.memory().meanwhile.borrow_mut() =
                Some(Box::new(move |db| db.execute_batch(change).unwrap()));
        }));
        acme.try_sign_in("ada", PASSWORD).expect(401);
        assert_eq!(count(&world, "select count(*) from tickets"), 0);
        assert_eq!(count(&world, "select max(count) from attempts"), 1, "the try counts");
    }
    let (world, acme) = acme();
    acme.edit(|tenant| tenant.status = Status::Suspended);
    acme.try_sign_in("ada", PASSWORD).expect(403);
    assert_eq!(count(&world, "select count(*) from tickets"), 0);
}

#[test]
fn expired_tickets_are_swept() {
    let (world, acme) = acme();
    ticket(&acme);
    world.advance(600_000);
    block_on(clean(&world.app)).unwrap();
    assert_eq!(count(&world, "select count(*) from tickets"), 1);
    world.advance(1);
    block_on(clean(&world.app)).unwrap();
    assert_eq!(count(&world, "select count(*) from tickets"), 0);
}

#[test]
fn a_word_that_is_due_for_another_reason_is_due() {
    let (world, acme) = acme();
    let rows = vec![acme.user_row("bob").into()];
    let mut push = serde_json::to_value(Push { users: rows, ..message(acme.id()) }).unwrap();
    push["users"][0]["password_due"] = json!("leaked");
    world.signed("/internal/v1/push", Tag::Push, &push).expect(200);
    acme.try_sign_in("bob", PASSWORD).expect(403).text("ticket");
}

//! Remembered devices: given with a code, good beside a right password, gone with whatever takes them away.

use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::executor::block_on;
use futures::future::join_all;
use serde_json::{Value, json};
use shared::contract::limits::DEVICES;
use shared::derive::Secret;
use shared::tokens::device::RememberedDevice;
use shared::user::UserStatus;
use shared::wire::push::Command;
use shared::wire::signature::Tag;

use super::super::browser::{Browser, acme as acme_with_pages, own_request, set_cookies};
use super::super::fixture::{Answered, Request, claims, second_session_root};
use super::super::scale::scaled;
use super::*;
use crate::inside::sweep;
use crate::serve::handle;

const DEVICE: &str = "__Host-device";

/// A tenant that remembers devices for 30 days, with user ada, who has authenticator 1.
fn remembering() -> (World, Actor) {
    let (world, acme) = acme_with_pages();
    acme.edit(|tenant| tenant.settings.remember_device_days = 30);
    acme.change("ada", with_factors(acme.id(), &[1, 2], &[1]));
    (world, acme)
}

/// Signs ada in with a code, and asks for the browser to be remembered where `more` says so.
fn with_code(world: &World, browser: &mut Browser, more: &Value) -> Answered {
    // Each step is accepted once.
    world.advance(STEP_MS);
    let begun = browser.sign_in("ada").expect(200);
    let mut body = json!({"mfa_token": begun.text("mfa_token"), "otp": code(world, 1)});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    browser.post("/api/verify-otp/", &body).expect(200)
}

/// A browser in which ada is remembered, and that has no session.
fn remembered(world: &World, acme: &Actor) -> Browser {
    let mut browser = Browser::at(acme);
    with_code(world, &mut browser, &json!({"remember": true}));
    browser.jar.retain(|name, _| name == DEVICE);
    assert_eq!(browser.jar.len(), 1);
    browser
}

fn is_challenged(answer: &Answered) -> bool {
    answer.status == 200 && answer.json()["mfa_required"] == true
}

#[track_caller]
fn let_in(answer: Answered) -> Answered {
    assert!(!is_challenged(&answer), "{}", answer.text);
    answer.expect(200)
}

/// The answers to a command.
fn command(world: &World, command: &Command) -> Value {
    world.signed("/internal/v1/command", Tag::Command, command).expect(200).json()
}

fn listed(world: &World, acme: &Actor) -> Vec<Value> {
    let list = Command::Devices { tenant: acme.id(), user: acme.user_id("ada") };
    command(world, &list)["devices"].as_array().unwrap().clone()
}

fn forget(world: &World, acme: &Actor, device: Option<&str>) -> Value {
    let (tenant, user) = (acme.id(), acme.user_id("ada"));
    command(world, &Command::ForgetDevices { tenant, user, device: device.map(ToOwned::to_owned) })
}

#[test]
fn a_remembered_browser_signs_in_by_password_in_two_round_trips() {
    let (world, acme) = remembering();
    let mut browser = Browser::at(&acme);
    let answer = with_code(&world, &mut browser, &json!({"remember": true}));
    let set = set_cookies(&answer);
    let (_, value, attributes) = set.iter().find(|(name, ..)| name == DEVICE).unwrap();
    assert_eq!(attributes, "Path=/; Max-Age=2592000; Secure; HttpOnly; SameSite=Lax");
    assert!(value.starts_with("wgd_") && !answer.text.contains("wgd_"), "the page cannot read it");
    let remembered = facts(&world).into_iter().find(|(kind, _)| kind == "device_remembered").unwrap().1;
    let digest = remembered["device"].as_str().unwrap().to_owned();
    browser.post("/api/logout/", &json!({})).expect(204);
    assert_eq!(browser.jar.keys().collect::<Vec<_>>(), [DEVICE], "it outlives the session");

    let request = browser.request("POST", "/api/login/");
    let (answer, trips) = world.counted(request.json(&json!({"username": "ada", "password": PASSWORD})));
    assert_eq!(trips, 2);
    let answer = let_in(answer);
    let access = claims(&answer.text("access"));
    assert_eq!(access["amr"], json!(["pwd", "mfa"]));
    assert!(set_cookies(&answer).iter().any(|(name, ..)| name == DEVICE));
    let told = facts(&world).pop().unwrap();
    assert_eq!(told, ("signed_in".into(), json!({"amr": ["pwd", "mfa"], "device": digest})));
    // `token` takes it, and sets no cookie.
    let answer = browser.post("/api/token/", &json!({"username": "ada", "password": PASSWORD})).expect(200);
    assert!(set_cookies(&answer).is_empty());
    acme.refresh(&answer.text("refresh")).expect(200);
    // A wrong password is one.
    browser.post("/api/login/", &json!({"username": "ada", "password": "wrong"})).expect(401);
    assert_eq!(count(&world, "select sum(count) from attempts"), 1, "right ones are given back");
    // A code that is sent counts, also where none is needed.
    let body = json!({"username": "ada", "password": PASSWORD, "otp": wrong_code(&world)});
    invalid(browser.post("/api/login/", &body));
}

#[test]
fn login_with_a_code_remembers_too() {
    let (world, acme) = remembering();
    // The isolate has met the tenant, by its host.
    world.send(own_request(&acme, "GET", "/api/public-key/")).expect(200);
    let mut browser = Browser::at(&acme);
    let body = json!({"username": "ada", "password": PASSWORD, "otp": code(&world, 1), "remember": true});
    let request = browser.request("POST", "/api/login/").header("user-agent", "Lynx/2.9\u{0}").json(&body);
    let (answer, trips) = world.counted(request);
    assert_eq!(trips, 2);
    browser.take(&answer.expect(200));
    let device = &listed(&world, &acme)[0];
    let created = world.memory().now_ms.get();
    assert_eq!(
        device,
        &json!({
            "id": device["id"], "name": "Lynx/2.9", "created_at": created, "used_at": null,
            "expires_at": created + 30 * DAY_MS,
        })
    );
    world.advance(5000);
    browser.jar.retain(|name, _| name == DEVICE);
    let_in(browser.sign_in("ada"));
    assert_eq!(listed(&world, &acme)[0]["used_at"], created + 5000);
}

#[test]
fn no_device_is_remembered_where_none_was_asked_for_or_may_be() {
    let none = |world: &World, answer: &Answered| {
        assert!(set_cookies(answer).iter().all(|(name, ..)| name != DEVICE));
        assert_eq!(count(world, "select count(*) from devices"), 0);
        assert!(!kinds(world).contains(&String::from("device_remembered")));
    };
    let (world, acme) = remembering();
    for more in [json!({}), json!({"remember": false}), json!({"remember": null}), json!({"remember": "yes"})]
    {
        let answer = with_code(&world, &mut Browser::at(&acme), &more);
        none(&world, &answer);
    }
    let body = |world: &World| {
        world.advance(STEP_MS);
        json!({"username": "ada", "password": PASSWORD, "otp": code(world, 1), "remember": true})
    };
    let shared_host = acme.post("/api/login/", &body(&world)).expect(200);
    none(&world, &shared_host);
    let of_a_stranger = own_request(&acme, "POST", "/api/login/");
    let of_a_stranger = of_a_stranger.header("origin", "https://evil.example").json(&body(&world));
    none(&world, &world.send(of_a_stranger).expect(200));
    let form = format!("username=ada&password={}&otp={}&remember=true", PASSWORD.replace(' ', "+"), {
        world.advance(STEP_MS);
        code(&world, 1)
    });
    let request = own_request(&acme, "POST", "/api/login/");
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    none(&world, &world.send(Request { body: form.into_bytes(), ..request }).expect(200));
    let at_token = own_request(&acme, "POST", "/api/token/").json(&body(&world));
    none(&world, &world.send(at_token).expect(200));
    // Without a code there is nothing to remember.
    let bob = json!({"username": "bob", "password": PASSWORD, "remember": true});
    acme.user("bob");
    none(&world, &Browser::at(&acme).post("/api/login/", &bob).expect(200));
    acme.edit(|tenant| tenant.settings.remember_device_days = 0);
    let answer = with_code(&world, &mut Browser::at(&acme), &json!({"remember": true}));
    none(&world, &answer);
}

/// One way in which a remembered device becomes invalid.
type Revoke = fn(&World, &Actor, &mut Browser);

const WAYS: [(&str, Revoke); 16] = [
    ("revoked", |world, acme, _| {
        let id = listed(world, acme)[0]["id"].as_str().unwrap().to_owned();
        assert_eq!(forget(world, acme, Some(&id)), json!({"forgotten": 1}));
        assert_eq!(forget(world, acme, Some(&id)), json!({"forgotten": 0}));
    }),
    ("all revoked", |world, acme, _| assert_eq!(forget(world, acme, None), json!({"forgotten": 1}))),
    ("another password", |_, acme, _| {
        acme.change("ada", |row| {
            with_factors(acme.id(), &[1, 2], &[1])(row);
            (row.access_epoch, row.session_epoch, row.password_epoch) = (1, 1, 1);
        });
    }),
    ("an authenticator more", |_, acme, _| {
        acme.change("ada", |row| {
            with_factors(acme.id(), &[1, 2, 3], &[1])(row);
            row.access_epoch = 1;
        });
    }),
    ("an authenticator less", |_, acme, _| {
        acme.change("ada", |row| {
            with_factors(acme.id(), &[1], &[1])(row);
            (row.access_epoch, row.session_epoch) = (1, 1);
        });
    }),
    ("suspended and back", |_, acme, _| {
        for (epoch, status) in [(1, UserStatus::Suspended), (1, UserStatus::Active)] {
            acme.change("ada", |row| {
                with_factors(acme.id(), &[1, 2], &[1])(row);
                (row.access_epoch, row.session_epoch, row.status) = (epoch, epoch, status);
            });
        }
    }),
    ("a reseed", |_, acme, _| {
        acme.reseed();
        acme.change("ada", with_factors(acme.id(), &[1, 2], &[1]));
    }),
    ("thirty days", |world, _, _| world.advance(30 * DAY_MS)),
    ("fewer days", |world, acme, _| {
        acme.edit(|tenant| tenant.settings.remember_device_days = 3);
        world.advance(3 * DAY_MS);
    }),
    ("none are remembered any more", |_, acme, _| {
        acme.edit(|tenant| tenant.settings.remember_device_days = 0);
    }),
    ("signed out everywhere", |world, acme, _| {
        let mut other = Browser::at(acme);
        with_code(world, &mut other, &json!({}));
        other.post("/api/logout/", &json!({"everywhere": true})).expect(204);
    }),
    ("a restored database", |world, _, _| {
        command(world, &Command::Restored { shard: 0 });
    }),
    ("another key", |_, acme, browser| {
        let device = RememberedDevice::new(acme.user_id("ada"), [1; 32], 1_900_000_000);
        browser.jar.insert(DEVICE.into(), device.to_text(&Secret::new([9; 32]), acme.id()));
    }),
    ("another mark", |_, _, browser| {
        // A valid device cookie with its last bit changed.
        let value = browser.jar.get_mut(DEVICE).unwrap();
        let mut bytes = URL_SAFE_NO_PAD.decode(&value[4..]).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        *value = format!("wgd_{}", URL_SAFE_NO_PAD.encode(bytes));
    }),
    ("garbage", |_, _, browser| {
        browser.jar.insert(DEVICE.into(), "wgd_AAAA".into());
    }),
    ("another name", |_, _, browser| {
        let value = browser.jar.remove(DEVICE).unwrap();
        browser.jar.insert("device".into(), value);
    }),
];

#[test]
fn whatever_takes_a_device_away_makes_its_browser_show_a_code_again() {
    for (way, revoke) in WAYS {
        let (world, acme) = remembering();
        let mut browser = remembered(&world, &acme);
        let_in(browser.clone().sign_in("ada"));
        revoke(&world, &acme, &mut browser);
        let families = count(&world, "select count(*) from families");
        let answer = browser.sign_in("ada");
        assert!(is_challenged(&answer), "{way}: {}", answer.text);
        assert!(set_cookies(&answer).is_empty(), "{way}");
        assert_eq!(count(&world, "select count(*) from families"), families, "{way}");
        assert_eq!(count(&world, "select coalesce(sum(count), 0) from attempts"), 0, "{way}");
        if !["another key", "another mark", "garbage", "another name"].contains(&way) {
            assert!(listed(&world, &acme).is_empty(), "{way}");
        }
    }
}

#[test]
fn a_device_is_its_users_alone() {
    let (world, acme) = remembering();
    let mut browser = remembered(&world, &acme);
    acme.user("eve");
    acme.change("eve", with_factors(acme.id(), &[1], &[]));
    assert!(is_challenged(&browser.sign_in("eve")));
    // Another tenant, whose users have the same ids, does not accept it either.
    let other = world.tenant("other");
    other.edit(|tenant| tenant.settings.remember_device_days = 30);
    other.user("ada");
    other.change("ada", with_factors(other.id(), &[1], &[]));
    let body = json!({"username": "ada", "password": PASSWORD});
    let request = browser.with_cookies(own_request(&other, "POST", "/api/login/").json(&body));
    assert!(is_challenged(&world.send(request)));
    let_in(browser.sign_in("ada"));
}

#[test]
fn a_device_counts_as_its_answer_may_set_one() {
    let (world, acme) = remembering();
    let browser = remembered(&world, &acme);
    let body = json!({"username": "ada", "password": PASSWORD});
    let with = |origin: &str| {
        let request = own_request(&acme, "POST", "/api/login/").header("origin", origin);
        world.send(browser.with_cookies(request.json(&body)))
    };
    assert!(is_challenged(&with("https://evil.example")));
    assert!(is_challenged(&with("null")));
    let shared_host = acme.request("POST", "/api/login/").json(&body);
    assert!(is_challenged(&world.send(browser.with_cookies(shared_host))));
    let_in(with(super::super::browser::PAGE));
}

#[test]
fn what_takes_a_device_away_while_the_hash_runs_wins() {
    for change in [
        "delete from devices",
        "update users set access_epoch = 1",
        "update tenants set device_days = 0",
        "update shard set incarnation = 'another'",
        "update devices set expires_at = 1",
    ] {
        let (world, acme) = remembering();
        let mut browser = remembered(&world, &acme);
        let families = count(&world, "select count(*) from families");
        while_hashing(&world, change);
        assert!(is_challenged(&browser.sign_in("ada")), "{change}");
        assert_eq!(count(&world, "select count(*) from families"), families, "{change}");
    }
    // A user who may not sign in gets the uniform answer, as without a device.
    let (world, acme) = remembering();
    let mut browser = remembered(&world, &acme);
    while_hashing(&world, "update users set session_epoch = 1, status = 'suspended'");
    let refused = browser.sign_in("ada").expect(401);
    assert_eq!(refused.text("detail"), "No active account found with the given credentials");
}

#[test]
fn no_sign_in_succeeds_after_a_revocation_of_many_at_once() {
    for round in 0..scaled(20, 1000) {
        let (world, acme) = remembering();
        let browser = remembered(&world, &acme);
        let families = count(&world, "select count(*) from families");
        world.memory().yields.set(true);
        let body = json!({"username": "ada", "password": PASSWORD});
        let revoked_at = Rc::new(std::cell::Cell::new(None));
        // The revocation goes off at another place among them in each round.
        let racing = (0..17).map(|number| {
            let (world, acme, browser, body) = (world.clone(), acme.clone(), browser.clone(), body.clone());
            let revoked_at = revoked_at.clone();
            async move {
                if number == round % 17 {
                    let list =
                        Command::ForgetDevices { tenant: acme.id(), user: acme.user_id("ada"), device: None };
                    let request =
                        Request::new("POST", "https://edge.example/internal/v1/command").json(&list);
                    let key = super::super::fixture::control_key();
                    let now = world.memory().now_ms.get() / 1000;
                    let reply =
                        handle(&world.app, request.sign(&key, Tag::Command, "edge.example", now)).await;
                    assert_eq!(Answered::from(reply.response).expect(200).json()["forgotten"], 1);
                    let born = count(&world, "select count(*) from families");
                    revoked_at.set(Some(born));
                    return None;
                }
                let request = browser.request("POST", "/api/login/").json(&body);
                let answer = Answered::from(handle(&world.app, request).await.response);
                Some(answer.status == 200 && !is_challenged(&answer))
            }
        });
        let won = block_on(join_all(racing)).into_iter().flatten().filter(|won| *won).count();
        world.memory().yields.set(false);
        let born = count(&world, "select count(*) from families");
        assert_eq!(born - families, i64::try_from(won).unwrap(), "{round}");
        assert_eq!(revoked_at.get(), Some(born), "none was born after it, round {round}");
        assert!(is_challenged(&browser.clone().sign_in("ada")), "{round}");
    }
}

#[test]
fn a_demand_is_met_by_a_device_and_a_step_up_is_not() {
    let (world, acme) = remembering();
    acme.edit(|tenant| tenant.settings.second_factor_roles = vec!["*".into()]);
    let mut browser = remembered(&world, &acme);
    let tokens = let_in(browser.sign_in("ada"));
    acme.refresh(&tokens.text("refresh")).expect(200);
    let step_up = |body: &Value| {
        world.send(browser.request("POST", "/api/step-up/").bearer(&tokens.text("access")).json(body))
    };
    let refused = step_up(&json!({"password": PASSWORD})).expect(400);
    assert_eq!(refused.json(), json!({"password": ["A second factor is required."]}));
    world.advance(STEP_MS);
    let stepped = step_up(&json!({"otp": code(&world, 1)})).expect(200);
    assert_eq!(claims(&stepped.text("access"))["amr"], json!(["pwd", "mfa", "otp"]));
}

#[test]
fn a_device_outlives_a_change_of_the_session_root_if_it_is_used_meanwhile() {
    let (world, acme) = remembering();
    let unused = remembered(&world, &acme);
    let mut used = remembered(&world, &acme);
    let now = world.memory().now_ms.get() / 1000;
    acme.edit(|tenant| second_session_root(tenant, Some(now)));
    let before = used.jar[DEVICE].clone();
    let_in(used.sign_in("ada"));
    assert_ne!(used.jar[DEVICE], before);
    acme.edit(|tenant| {
        tenant.session_roots.remove(0);
    });
    used.jar.retain(|name, _| name == DEVICE);
    let_in(used.sign_in("ada"));
    assert!(is_challenged(&unused.clone().sign_in("ada")));
}

#[test]
fn a_user_has_a_bounded_number_of_devices_and_expired_ones_are_swept() {
    let (world, acme) = remembering();
    let first = remembered(&world, &acme);
    for _ in 0..DEVICES {
        remembered(&world, &acme);
    }
    assert_eq!(count(&world, "select count(*) from devices"), i64::from(DEVICES));
    assert!(is_challenged(&first.clone().sign_in("ada")), "the oldest went");
    world.advance(30 * DAY_MS + 1);
    block_on(sweep::clean(&world.app)).unwrap();
    assert_eq!(count(&world, "select count(*) from devices"), 0);
}

#[test]
fn of_a_user_who_is_gone_no_device_is_left() {
    let (world, acme) = remembering();
    remembered(&world, &acme);
    acme.change("ada", |row| row.status = UserStatus::Deleted);
    assert_eq!(count(&world, "select count(*) from devices"), 0);
}

//! Invitations: bound to tenant, address and roles, and to what the inviter may give.

use chrono::TimeDelta;
use control::accounts::AccountError;
use control::accounts::invitations::{self, Invited};
use control::audit::Actor;
use control::tenants::provision;
use control::users::{Change, PasswordKept, UserError};
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use shared::contract::limits::{INVITATIONS as MOST, INVITE_LINK_SECS};
use shared::ids::TenantId;
use shared::tenant::registration::Registration;
use shared::tenant::visibility::Rule;
use shared::user::UserStatus;

use crate::scene::{Answer, PASSWORD, Scene};

const INVITATIONS: &str = "/api/user/invitations/";
const ACCEPT: &str = "/api/user/invitations/accept/";

impl Scene {
    async fn accept_as(&self, token: &str, username: &str) -> Answer {
        let body = json!({ "token": token, "username": username, "password": PASSWORD });
        self.stranger(Method::POST, ACCEPT, Some(body)).await
    }

    /// The token of the one invitation that waits to be mailed.
    async fn invited(&self) -> String {
        let mails = self.answered().await;
        assert_eq!(mails.iter().map(|mail| mail.kind.as_str()).collect::<Vec<_>>(), ["invitation"]);
        mails[0].token("invite")
    }
}

fn offer(email: &str, role: &str) -> Value {
    json!({ "email": email, "roles": [role] })
}

#[tokio::test]
async fn an_invitation_becomes_an_account_with_its_address_and_roles() {
    for scene in [Scene::new().await, Scene::shared().await] {
        let root = scene.member("root", "root-admin").await;
        let made = root.post(INVITATIONS, offer("Grace@acme.test", "staff")).await.expect(201);
        assert_eq!(
            (&made.body["email"], &made.body["roles"]),
            (&json!("Grace@acme.test"), &json!(["staff"]))
        );
        assert_eq!(made.body["invited_by"], json!(root.id.to_string()));
        let mails = scene.answered().await;
        assert_eq!(
            (mails[0].to.as_str(), &mails[0].content["facts"]["role"]),
            ("Grace@acme.test", &json!("staff"))
        );
        let token = mails[0].token("invite");
        let listed = root.get(INVITATIONS).await.expect(200).body;
        assert_eq!((&listed["count"], &listed["results"][0]), (&json!(1), &made.body));

        for method in [Method::GET, Method::HEAD] {
            scene.stranger(method, &format!("{ACCEPT}?token={token}"), None).await.expect(405);
        }
        let other = scene.neighbour(scene.tenant.isolation).await;
        other.accept_as(&token, "grace").await.expect(400);
        // Invalid input does not use the invitation up, and the invited user cannot choose address or roles.
        let refused = scene.accept_as(&token, "root").await.expect(400);
        assert_eq!(refused.body, json!({ "username": ["A user with that username already exists."] }));
        let weak = json!({ "token": token, "username": "grace", "password": "123" });
        let refused = scene.stranger(Method::POST, ACCEPT, Some(weak)).await.expect(400);
        assert!(refused.body["password"].is_array());
        scene
            .stranger(Method::POST, ACCEPT, Some(json!({ "token": token, "password": PASSWORD })))
            .await
            .expect(400);
        let body = json!({
            "token": token, "username": "grace", "password": PASSWORD, "first_name": "Grace",
            "email": "else@acme.test", "roles": ["root-admin"],
        });
        let accepted = scene.stranger(Method::POST, ACCEPT, Some(body)).await.expect(201);
        assert_eq!(
            (&accepted.body["email"], &accepted.body["roles"]),
            (&json!("Grace@acme.test"), &json!(["staff"]))
        );
        assert_eq!(
            (&accepted.body["email_verified"], &accepted.body["first_name"]),
            (&json!(true), &json!("Grace"))
        );
        let grace = scene.user(accepted.id()).await;
        assert_eq!(scene.password_of(&grace).await, PasswordKept::Own);
        scene.accept_as(&token, "again").await.expect(400);
        assert_eq!(root.get(INVITATIONS).await.expect(200).body["count"], 0);
        let logged = scene.logged().await;
        assert!(
            logged.contains(&"invitation.created".into()) && logged.contains(&"invitation.accepted".into())
        );
    }
}

#[tokio::test]
async fn nobody_invites_at_or_above_their_rank() {
    let scene = Scene::new().await;
    let [root, co, staff, client] =
        [("root", "root-admin"), ("co", "co-admin"), ("staff", "staff"), ("client", "client")]
            .map(|(name, role)| scene.member(name, role));
    let (root, co, staff, client) = (root.await, co.await, staff.await, client.await);
    co.post(INVITATIONS, offer("a@acme.test", "root-admin")).await.expect(403);
    co.post(INVITATIONS, offer("a@acme.test", "co-admin")).await.expect(403);
    staff.post(INVITATIONS, offer("a@acme.test", "client")).await.expect(403);
    client.get(INVITATIONS).await.expect(403);
    scene.stranger(Method::GET, INVITATIONS, None).await.expect(401);
    let unknown = co.post(INVITATIONS, offer("a@acme.test", "captain")).await.expect(400);
    assert_eq!(unknown.body, json!({ "roles": ["Object with name=captain does not exist."] }));
    co.post(INVITATIONS, offer("bad", "staff")).await.expect(400);
    assert_eq!(scene.count("requests").await, 0);
    let refusals = scene.logged().await.iter().filter(|action| *action == "permission.refused").count();
    assert_eq!(refusals, 4);
    // Nor revokes what is above it.
    let mighty = root.post(INVITATIONS, offer("a@acme.test", "root-admin")).await.expect(201).id();
    co.delete(&format!("{INVITATIONS}{mighty}/")).await.expect(403);
    root.delete(&format!("{INVITATIONS}{mighty}/")).await.expect(204);
    root.delete(&format!("{INVITATIONS}{mighty}/")).await.expect(404);
    root.delete(&format!("{INVITATIONS}x/")).await.expect(404);
}

#[tokio::test]
async fn what_the_inviter_may_not_give_any_more_is_given_to_nobody() {
    let scene = Scene::new().await;
    let root = scene.member("root", "root-admin").await;
    for (change, name) in [
        (json!({ "status": "suspended" }), "one"),
        (json!({ "roles": ["staff"] }), "two"),
        (json!({ "roles": [] }), "three"),
        (Value::Null, "four"),
    ] {
        let co = scene.member(name, "co-admin").await;
        // Staff outrank a client, but may not invite.
        co.post(INVITATIONS, offer(&format!("{name}@acme.test"), "client")).await.expect(201);
        let token = scene.invited().await;
        let path = format!("/api/user/users/{}/", co.id);
        match change {
            Value::Null => root.delete(&path).await.expect(204),
            change => root.patch(&path, change).await.expect(200),
        };
        let refused = scene.accept_as(&token, "grace").await.expect(400);
        assert_eq!(refused.body, json!({ "token": ["This link is not valid, or not any more."] }), "{name}");
        if name == "two" {
            // It was not used up; it works again after an administrator who may grant the role has edited it.
            root.patch(&path, json!({ "roles": ["co-admin"] })).await.expect(200);
            scene.accept_as(&token, "grace").await.expect(201);
        }
    }
    assert!(scene.named("grace").await.is_some());
    // The inviter may still invite, but was demoted to the rank of the role that was offered.
    let other = scene.member("five", "root-admin").await;
    other.post(INVITATIONS, offer("five@acme.test", "co-admin")).await.expect(201);
    let token = scene.invited().await;
    let demoted = Change { roles: Some(vec!["co-admin".into()]), ..Change::default() };
    scene.change(other.id, demoted).await;
    scene.accept_as(&token, "heidi").await.expect(400);
    assert!(scene.named("heidi").await.is_none());
}

#[tokio::test]
async fn an_administrator_who_is_stopped_while_they_invite_invites_nobody() {
    let scene = Scene::new().await;
    for (name, change) in [
        ("one", Change { status: Some(UserStatus::Suspended), ..Change::default() }),
        ("two", Change { roles: Some(vec!["staff".into()]), ..Change::default() }),
    ] {
        let co = scene.user(scene.member(name, "co-admin").await.id).await;
        // As the request found them when it began.
        let actor = Actor { who: co.who(), ..Actor::control() };
        scene.change(co.id, change).await;
        let invited = Invited {
            branch: None,
            email: "grace@acme.test".into(),
            username: None,
            roles: vec!["client".into()],
            language: String::new(),
        };
        let mut tx = scene.tx().await;
        let refused = invitations::put(&scene.control, &mut tx, &actor, invited).await;
        assert!(matches!(refused, Err(AccountError::User(UserError::Rank))), "{name}");
    }
}

#[tokio::test]
async fn a_revoked_and_an_old_link_are_dead_and_one_of_many_wins() {
    let scene = Scene::new().await;
    let root = scene.member("root", "root-admin").await;
    let id = root.post(INVITATIONS, offer("a@acme.test", "client")).await.expect(201).id();
    let token = scene.invited().await;
    root.delete(&format!("{INVITATIONS}{id}/")).await.expect(204);
    scene.accept_as(&token, "a").await.expect(400);
    assert!(scene.logged().await.contains(&"invitation.revoked".into()));
    // Before it was mailed, too.
    let id = root.post(INVITATIONS, offer("b@acme.test", "client")).await.expect(201).id();
    let jobs = scene.to_answer().await;
    root.delete(&format!("{INVITATIONS}{id}/")).await.expect(204);
    for job in jobs {
        control::jobs::queue::Job::run(job, &scene.control).await.unwrap();
    }
    assert!(scene.unsent().await.is_empty());
    root.post(INVITATIONS, offer("c@acme.test", "client")).await.expect(201);
    let token = scene.invited().await;
    let names: Vec<_> = (0..16).map(|at| format!("c{at}")).collect();
    let answers = join_all(names.iter().map(|name| scene.accept_as(&token, name))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    root.post(INVITATIONS, offer("d@acme.test", "client")).await.expect(201);
    let token = scene.invited().await;
    scene.control.clock.advance(TimeDelta::seconds(INVITE_LINK_SECS));
    scene.accept_as(&token, "d").await.expect(400);
}

#[tokio::test]
async fn an_invitation_tells_nothing_of_who_is_known() {
    let scene = Scene::new().await;
    let co = scene.member("co", "co-admin").await;
    scene.with_address("ada", "ada@acme.test", true).await;
    let known = co.post(INVITATIONS, offer("ada@acme.test", "client")).await.expect(201);
    let mails = scene.answered().await;
    assert_eq!((mails[0].kind.as_str(), mails[0].to.as_str()), ("already_registered", "ada@acme.test"));
    let unknown = co.post(INVITATIONS, offer("new@acme.test", "client")).await.expect(201);
    let keys = |answer: &Answer| answer.body.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&known), keys(&unknown));
    assert_eq!(co.get(INVITATIONS).await.expect(200).body["count"], 2);
    // A user who gets the address meanwhile keeps it.
    let token = scene.invited().await;
    scene.with_address("quick", "new@acme.test", true).await;
    let refused = scene.accept_as(&token, "late").await.expect(400);
    assert_eq!(refused.body, json!({ "email": ["A user with that email already exists."] }));
    // An account that only claims it does not.
    co.post(INVITATIONS, offer("claimed@acme.test", "client")).await.expect(201);
    let token = scene.invited().await;
    let squatter = scene.with_address("squatter", "claimed@acme.test", false).await;
    scene.accept_as(&token, "owner").await.expect(201);
    assert!(scene.user(squatter.id).await.email.is_none());
}

#[tokio::test]
async fn an_account_by_invitation_ends_registrations_with_its_address() {
    let scene = Scene::new().await;
    scene.with_settings(|settings| settings.registration = Registration::Open).await;
    let root = scene.member("root", "root-admin").await;
    root.post(INVITATIONS, offer("grace@acme.test", "client")).await.expect(201);
    let wish = json!({ "username": "squatter", "email": "grace@acme.test", "password": PASSWORD });
    scene.stranger(Method::POST, "/api/user/public-register/", Some(wish)).await.expect(202);
    let mails = scene.answered().await;
    let of = |kind: &str| mails.iter().find(|mail| mail.kind == kind).unwrap();
    scene.accept_as(&of("invitation").token("invite"), "grace").await.expect(201);
    assert_eq!(scene.count("requests").await, 0);
    let token = json!({ "token": of("verify_address").token("verify") });
    let refused = scene.stranger(Method::POST, "/api/user/email/verify/", Some(token)).await.expect(400);
    assert_eq!(refused.body, json!({ "token": ["This link is not valid, or not any more."] }));
}

#[tokio::test]
async fn addresses_of_invitations_are_shown_as_those_of_users() {
    let scene = Scene::new().await;
    let root = scene.member("root", "root-admin").await;
    let staff = scene.member("staff", "staff").await;
    root.post(INVITATIONS, offer("grace@acme.test", "client")).await.expect(201);
    let seen = staff.get(INVITATIONS).await.expect(200).body["results"][0].clone();
    assert_eq!((&seen["email"], &seen["masked"]), (&json!("g***@acme.test"), &json!(["email"])));
    scene
        .with_settings(|settings| settings.visibility = vec![Rule::parse("staff.email=absent").unwrap()])
        .await;
    let seen = staff.get(INVITATIONS).await.expect(200).body["results"][0].clone();
    assert!(seen.get("email").is_none() && seen.get("masked").is_none(), "{seen}");
}

#[tokio::test]
async fn an_invitation_with_a_key_is_made_once_and_there_are_not_too_many() {
    let scene = Scene::new().await;
    let root = scene.member("root", "root-admin").await;
    let key = [("idempotency-key", "one")];
    let body = || Some(offer("grace@acme.test", "client"));
    let first = root.with(Method::POST, INVITATIONS, &key, body()).await.expect(201);
    let again = root.with(Method::POST, INVITATIONS, &key, body()).await.expect(201);
    assert_eq!(first.body, again.body);
    let else_ = Some(offer("else@acme.test", "client"));
    root.with(Method::POST, INVITATIONS, &key, else_).await.expect(422);
    assert_eq!(scene.count("requests").await, 1);
    let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
    sqlx::query(
        "insert into requests (tenant_id, id, kind, wrapped_key, sealed, created_at, expires_at)
         select $1, gen_random_uuid(), 'invitation', '', '', $2, $2 + interval '1 day'
         from generate_series(2, $3)",
    )
    .bind(scene.tenant.id.uuid())
    .bind(scene.control.clock.now())
    .bind(MOST)
    .execute(&mut *tx)
    .await
    .unwrap();
    tx.commit().await.unwrap();
    root.post(INVITATIONS, offer("more@acme.test", "client")).await.expect(409);
}

#[tokio::test]
async fn the_first_administrator_of_a_tenant_is_invited() {
    for isolation in ["schema", "shared"] {
        let scene = Scene::alone().await;
        let platform = scene.platform().await;
        let root = platform.member("root", "root-admin").await;
        let slug = format!("t-{isolation}");
        let with =
            |admin: Value| json!({ "slug": slug, "name": "T", "isolation": isolation, "admin": admin });
        for bad in [
            json!({}),
            json!({ "username": "ada" }),
            json!({ "email": "bad" }),
            json!({ "email": "a@b.test", "username": "a b" }),
        ] {
            let refused = root.post("/api/tenant/tenants/", with(bad)).await.expect(400);
            assert!(refused.body["admin"].is_array(), "{}", refused.body);
        }
        let made = root
            .post("/api/tenant/tenants/", with(json!({ "username": "ada", "email": "ada@acme.test" })))
            .await
            .expect(201);
        let id = TenantId::parse(made.body["id"].as_str().unwrap()).unwrap();
        provision::run(&scene.control, id).await.unwrap();
        let mut tx = scene.control.db.tenant_tx(id).await.unwrap();
        let tenant = control::tenants::find(&mut tx, id).await.unwrap();
        drop(tx);
        let scene = Scene { tenant, ..scene };
        let token = scene.invited().await;
        let body = json!({ "token": token, "password": PASSWORD });
        let ada = scene.stranger(Method::POST, ACCEPT, Some(body)).await;
        let ada = ada.expect(201);
        assert_eq!((&ada.body["username"], &ada.body["roles"]), (&json!("ada"), &json!(["root-admin"])));
        assert_eq!(ada.body["email_verified"], true);
    }
}

#[tokio::test]
async fn the_command_line_invites_lists_and_revokes() {
    let scene = Scene::alone().await;
    let mut cli = scene.cli();
    cli.variables.insert("WARDGATE_TENANT", scene.tenant.slug.to_string());
    let made = cli
        .run(&["user", "invite", "grace@acme.test", "--role", "staff", "--language", "DE"], "")
        .expect(0)
        .json;
    assert_eq!((&made["email"], &made["roles"]), (&json!("grace@acme.test"), &json!(["staff"])));
    let mails = scene.answered().await;
    assert_eq!(mails[0].content["to"]["language"], "de");
    let token = mails[0].token("invite");
    let listed = cli.run(&["user", "invitations"], "").expect(0).json;
    assert_eq!((&listed["count"], &listed["results"][0]["id"]), (&json!(1), &made["id"]));
    let id = made["id"].as_str().unwrap();
    cli.run(&["user", "revoke-invitation", id], "").expect(0);
    cli.run(&["user", "revoke-invitation", id], "").expect(4);
    scene.accept_as(&token, "grace").await.expect(400);
    for (bad, code) in [
        (vec!["user", "invite", "bad"], 5),
        (vec!["user", "invite", "a@acme.test", "--role", "captain"], 5),
        (vec!["user", "invite", "a@acme.test", "--language", "x"], 5),
    ] {
        cli.run(&bad, "").expect(code);
    }
    cli.run(&["tenant", "create", "other", "--invite", "bad"], "").expect(5);
    cli.run(&["tenant", "create", "other", "--invite", "ada@acme.test"], "").expect(0);
    cli.variables.insert("WARDGATE_TENANT", "other".into());
    let listed = cli.run(&["user", "invitations"], "").expect(0).json;
    assert_eq!(listed["results"][0]["roles"], json!(["root-admin"]));
    cli.run(
        &["tenant", "edit", "other", "--set", "registration=open", "--set", "registration_verify=false"],
        "",
    )
    .expect(0);
    cli.run(&["tenant", "edit", "other", "--set", "registration_role=staff"], "").expect(5);
}

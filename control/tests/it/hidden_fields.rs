//! Fields that are hidden from a caller: filters, cursors and ETags do not reveal them, writes do not damage them,
//! and tenant and platform choose them.

use control::users::Profile;
use reqwest::Method;
use serde_json::{Value, json};

use crate::scene::{Member, Scene};
use crate::visibility::rules;

const USERS: &str = "/api/user/users/";

fn grace() -> Profile {
    Profile {
        username: "grace".into(),
        email: Some("grace@acme.test".into()),
        first_name: "Grace".into(),
        last_name: "Hopper".into(),
        phone: "+1 555 010 0199".into(),
        language: String::new(),
    }
}

/// The text of a refusal of one parameter.
async fn refused(who: &Member, parameter: &str, text: &str) -> String {
    let answer = who.get(&format!("{USERS}?{parameter}={text}")).await.expect(400);
    assert!(answer.body[parameter][0].is_string(), "{parameter}={text}: {}", answer.body);
    answer.text
}

#[tokio::test]
async fn a_question_by_a_hidden_field_is_answered_alike_for_hit_and_miss() {
    let scene = Scene::new().await;
    scene.person(grace(), &["client"]).await;
    let sue = scene.member("sue", "staff").await;
    for (parameter, hit, miss) in [
        ("email", "grace@acme.test", "nobody@acme.test"),
        ("username", "grace@acme.test", "nobody@acme.test"),
        ("username", "%2B15550100199", "%2B15550100198"),
        ("search", "hopper", "nobody"),
        ("search", "grace@acme.test", "x"),
    ] {
        let said = refused(&sue, parameter, hit).await;
        assert_eq!(said, refused(&sue, parameter, miss).await, "{parameter}");
    }
    for ordering in ["email", "-email", "username", "last_login", "created_at,-username"] {
        refused(&sue, "ordering", ordering).await;
    }
    let words = sue.get(&format!("{USERS}?search=x&email=a@b.test&ordering=-email")).await.expect(400).body;
    let not_for = |fields: &str| {
        json!([format!(
            "Your roles do not show you {fields} of other users in clear, so you cannot ask by it."
        )])
    };
    let expected = json!({
        "search": not_for("email, phone"), "email": not_for("email"), "ordering": not_for("email"),
    });
    assert_eq!(words, expected);
    // By what is shown, everything can be asked for.
    assert_eq!(sue.get(&format!("{USERS}?username=GRACE")).await.expect(200).body["count"], 1);
    assert_eq!(sue.get(&format!("{USERS}?username=hopper")).await.expect(200).body["count"], 0);
    sue.get(&format!("{USERS}?ordering=-id&status=active&role=client&legacy_id=1")).await.expect(200);
    scene.choose(rules(&["staff.email=clear", "staff.phone=clear"])).await;
    assert_eq!(sue.get(&format!("{USERS}?search=hopper")).await.expect(200).body["count"], 1);
    sue.get(&format!("{USERS}?ordering=username,-email&email=grace@acme.test")).await.expect(200);
}

#[tokio::test]
async fn a_cursor_is_good_for_who_is_shown_as_much() {
    let scene = Scene::new().await;
    let (ada, sue) = (scene.member("ada", "root-admin").await, scene.member("sue", "staff").await);
    let eve = scene.member("eve", "staff").await;
    let cursor = async |who: &Member, list: &str| {
        let first = who.get(&format!("{list}?page_size=2&cursor=")).await.expect(200);
        let next = first.body["next"].as_str().unwrap().to_owned();
        next[next.find("/api/").unwrap()..].to_owned()
    };
    let (of_ada, of_sue) = (cursor(&ada, USERS).await, cursor(&sue, USERS).await);
    ada.get(&of_ada).await.expect(200);
    eve.get(&of_sue).await.expect(200);
    for (who, path) in [(&sue, &of_ada), (&ada, &of_sue)] {
        assert_eq!(who.get(path).await.expect(404).body, json!({"detail": "Invalid cursor."}));
    }
    let of_log = cursor(&ada, "/api/audit/").await;
    scene.choose(rules(&["root-admin.client=masked", "staff.phone=absent"])).await;
    for (who, path) in [(&ada, &of_log), (&ada, &of_ada), (&sue, &of_sue)] {
        who.get(path).await.expect(404);
    }
}

/// The part of a tag that says what an edit can set.
fn state(tag: &str) -> &str {
    tag.split('.').next().unwrap()
}

#[tokio::test]
async fn a_tag_is_of_what_is_shown() {
    let scene = Scene::new().await;
    let (ada, sue) = (scene.member("ada", "root-admin").await, scene.member("sue", "staff").await);
    let path = format!("{USERS}{}/", scene.person(grace(), &["client"]).await.id);
    let tag = async |who: &Member| who.get(&path).await.expect(200).header("etag").to_owned();
    let before = (tag(&ada).await, tag(&sue).await);
    // A number with the same mask.
    ada.patch(&path, json!({"phone": "+1 555 010 0299"})).await.expect(200);
    let after = (tag(&ada).await, tag(&sue).await);
    assert_ne!(state(&before.0), state(&after.0));
    assert_eq!(state(&before.1), state(&after.1), "the tag tells of what is hidden");
    // It still guards an edit by the same viewer.
    scene.choose(rules(&["co-admin.phone=masked"])).await;
    let cy = scene.member("cy", "co-admin").await;
    let change = |name: &str| Some(json!({ "first_name": name }));
    let read = tag(&cy).await;
    let edit =
        async |tag: &str, name: &str| cy.with(Method::PATCH, &path, &[("if-match", tag)], change(name)).await;
    let edited = edit(&read, "G").await.expect(200);
    edit(&read, "H").await.expect(412);
    edit(edited.header("etag"), "H").await.expect(200);
    // Another viewer's tag is another representation.
    edit(&tag(&ada).await, "I").await.expect(412);
}

#[tokio::test]
async fn a_mask_that_is_sent_back_changes_nothing() {
    for scene in [Scene::new().await, Scene::shared().await] {
        let ada = scene.member("ada", "root-admin").await;
        let cy = scene.member("cy", "co-admin").await;
        let grace = scene.person(grace(), &["client"]).await;
        let path = format!("{USERS}{}/", grace.id);
        let all = ["username", "email", "first_name", "last_name", "phone"];
        let all: Vec<_> = all.iter().map(|field| format!("co-admin.{field}=masked")).collect();
        scene.choose(rules(&all.iter().map(String::as_str).collect::<Vec<_>>())).await;
        let read = cy.get(&path).await.expect(200).body;
        assert_eq!((&read["username"], &read["email"]), (&json!("g***"), &json!("g***@acme.test")));
        for method in [Method::PUT, Method::PATCH] {
            let mut whole = read.clone();
            whole["email_verified"] = json!(false);
            let answer = cy.call(method, &path, Some(whole)).await.expect(200);
            assert_eq!(answer.body["email"], "g***@acme.test");
        }
        let now = scene.user(grace.id).await;
        assert!(now.username == grace.username && now.email == grace.email && now.phone == grace.phone);
        assert!(now.first_name == grace.first_name && now.last_name == grace.last_name);
        let entry = &ada.get("/api/audit/?action=user.edited").await.expect(200).body["results"][0];
        assert_eq!(entry["details"]["fields"], json!(["email_verified"]));
        // A field that the caller cannot read can be written, and the answer has its mask.
        let written = cy.patch(&path, json!({"phone": "+44 7700 900112"})).await.expect(200);
        assert_eq!(written.body["phone"], "+44 *** 12");
        assert_eq!(scene.user(grace.id).await.phone.expose(), "+44 7700 900112");
        // A mask that was shown before becomes no value.
        let stale = json!({"phone": read["phone"], "username": "a***", "email": "a***@acme.test"});
        let refused = cy.patch(&path, stale).await.expect(400).body;
        let said = json!([
            "This is a mask, and not the one that is shown now: leave the field out, or give its value."
        ]);
        assert_eq!(refused, json!({"phone": said, "username": said, "email": said}));
        // To who sees the field, such a text is a text.
        ada.patch(&path, json!({"first_name": "G***"})).await.expect(200);
        assert_eq!(scene.user(grace.id).await.first_name.expose(), "G***");
    }
}

#[tokio::test]
async fn a_refused_password_tells_no_hidden_name() {
    let scene = Scene::new().await;
    let (ada, cy) = (scene.member("ada", "root-admin").await, scene.member("cy", "co-admin").await);
    let named = Profile { last_name: "Zvbkrqwy".into(), ..grace() };
    let path = format!("{USERS}{}/", scene.person(named, &["client"]).await.id);
    scene.choose(rules(&["co-admin.last_name=masked"])).await;
    let similar = json!({"password": "zvbkrqwy7"});
    let refused = ada.patch(&path, similar.clone()).await.expect(400).body;
    assert_eq!(refused, json!({"password": ["The password is too similar to the last name."]}));
    cy.patch(&path, similar).await.expect(200);
    // A name that is written with it is known.
    cy.patch(&path, json!({"password": "zvbkrqwy8", "last_name": "Zvbkrqwy"})).await.expect(400);
}

#[tokio::test]
async fn a_tenant_chooses_within_the_platforms_bounds() {
    for scene in [Scene::new().await, Scene::shared().await] {
        let (ada, sue) = (scene.member("ada", "root-admin").await, scene.member("sue", "staff").await);
        let own = format!("/api/tenant/tenants/{}/", scene.tenant.id);
        let path = format!("{USERS}{}/", scene.person(grace(), &["client"]).await.id);
        let set = |rules: Value| json!({"settings": {"visibility": rules}});
        let within = scene.within(rules(&["staff.email=masked"])).await;
        let bounded = ada.at(&within);
        let refused =
            bounded.patch(&own, set(json!(["staff.email=clear", "boss.email=clear"]))).await.expect(400);
        let said =
            "boss.email=clear: there is no such role. staff.email=clear: the platform allows masked at most.";
        assert_eq!(refused.body, json!({ "visibility": [said] }));
        for bad in [
            json!(["staff.email"]),
            json!("staff.email=clear"),
            json!(["staff.email=clear", "staff.email=masked"]),
        ] {
            assert!(ada.patch(&own, set(bad)).await.expect(400).body["visibility"][0].is_string());
        }
        let chosen = json!(["staff.email=clear", "*.phone=absent"]);
        let changed = ada.patch(&own, set(chosen.clone())).await.expect(200).body;
        assert_eq!(changed["settings"]["visibility"], chosen);
        let shown = sue.get(&path).await.expect(200).body;
        assert_eq!((&shown["email"], shown.get("phone")), (&json!("grace@acme.test"), None));
        assert_eq!(ada.get(&path).await.expect(200).body.get("phone"), None);
        // A bound that comes later counts at once, and other edits do not wait for another choice.
        let shown = sue.at(&within).get(&path).await.expect(200).body;
        assert_eq!(shown["email"], "g***@acme.test");
        bounded.patch(&own, json!({"settings": {"access_ttl_secs": 600}})).await.expect(200);
        bounded.patch(&own, json!({"settings": {"visibility": chosen}})).await.expect(200);
        bounded.patch(&own, set(json!(["staff.email=clear"]))).await.expect(400);
        // The edge shows no user data.
        scene.push().await;
        assert!(scene.edge.state().documents[&scene.tenant.id].settings.visibility.is_empty());
    }
}

#[tokio::test]
async fn the_command_line_sets_the_rules_and_sees_everything() {
    let scene = Scene::alone().await;
    let (ada, grace) = (scene.member("ada", "root-admin").await, scene.person(grace(), &["client"]).await);
    let slug = scene.tenant.slug.to_string();
    let cli = scene.cli();
    let set = |rules: &str| cli.run(&["tenant", "edit", &slug, "--set", &format!("visibility={rules}")], "");
    let edited = set("*.email=absent,root-admin.phone=masked").expect(0).json;
    assert_eq!(edited["settings"]["visibility"], json!(["*.email=absent", "root-admin.phone=masked"]));
    assert!(set("root-admin.email=open").expect(5).stderr.contains("visibility"));
    assert!(set("boss.email=clear").expect(5).stderr.contains("there is no such role"));
    let listed = cli.show(&["tenant", "settings"]);
    assert!(listed.contains("visibility") && listed.contains("<role>.<field>="), "{listed}");
    let seen = ada.get(&format!("{USERS}{}/", grace.id)).await.expect(200).body;
    assert_eq!((seen.get("email"), &seen["phone"]), (None, &json!("+1 *** 99")));
    let shown = cli.run(&["user", "show", "grace", "--tenant", &slug], "").expect(0).json;
    assert_eq!((&shown["email"], &shown["phone"]), (&json!("grace@acme.test"), &json!("+1 555 010 0199")));
    let found =
        cli.run(&["user", "list", "--tenant", &slug, "--search", "hopper", "--ordering=email"], "").expect(0);
    assert_eq!(found.json["results"][0]["email"], "grace@acme.test");
}

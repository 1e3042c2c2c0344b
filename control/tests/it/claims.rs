//! What tokens say of their tenant: changed by its own route and command, and accepted as it was before for as
//! long as a token can live.

use chrono::TimeDelta;
use serde_json::{Value, json};
use shared::contract::limits::{FORMER_CLAIMS, FORMER_CLAIMS_SECS};
use shared::tokens::claims::{AccessClaims, Audience, FormerClaims};

use crate::cli::Cli;
use crate::scene::{Answer, Member, Scene, call};

const DAY: i64 = 86_400;

fn path(scene: &Scene) -> String {
    format!("/api/tenant/tenants/{}/claims/", scene.tenant.id)
}

/// Claims of a user as the tenant was when the scene was made; they outlive every wait of a test.
fn long(scene: &Scene, member: &Member) -> AccessClaims<'static> {
    let claims = scene.claims(member.id, 0);
    AccessClaims { exp: claims.iat + DAY, ..claims }
}

async fn presents(scene: &Scene, token: &str) -> Answer {
    call(scene.api, reqwest::Method::GET, "/api/user/me/", Some(&format!("Bearer {token}")), None).await
}

fn life() -> TimeDelta {
    TimeDelta::seconds(i64::try_from(FORMER_CLAIMS_SECS).unwrap())
}

/// A platform administrator whose token outlives every wait of a test, and whose step-up is recent all the while.
async fn operator(scene: &Scene) -> Member {
    let platform = scene.platform().await;
    let mut root = platform.member(&format!("root-{}", scene.tenant.slug), "root-admin").await;
    let claims = long(&platform, &root);
    root.token = platform.sign(&AccessClaims { auth_time: claims.exp, ..claims }).await;
    root
}

fn at_edge(scene: &Scene) -> Vec<FormerClaims> {
    scene.edge.state().documents[&scene.tenant.id].former_claims.clone()
}

#[tokio::test]
async fn tokens_of_a_former_issuer_are_good_until_none_can_live() {
    for scene in [Scene::new().await, Scene::shared().await] {
        let (root, ada) = (operator(&scene).await, scene.member("ada", "root-admin").await);
        let (old, new) = (scene.tenant.issuer.clone(), format!("https://{}.test", scene.tenant.slug));
        let before = scene.sign(&long(&scene, &ada)).await;
        let after = scene.sign(&AccessClaims { iss: new.clone().into(), ..long(&scene, &ada) }).await;
        scene.push().await;
        presents(&scene, &before).await.expect(200);
        presents(&scene, &after).await.expect(401);

        let changed = root.patch(&path(&scene), json!({"issuer": new})).await.expect(200).body;
        assert_eq!(
            changed,
            json!({
                "issuer": new, "audience": null, "user_id": "uuid",
                "former": [{"issuer": old, "audience": null, "until": null}],
            })
        );
        // The edge has yet to take the change and issues tokens as before, however long that may be.
        scene.control.clock.advance(life() + life());
        presents(&scene, &before).await.expect(200);
        presents(&scene, &after).await.expect(200);

        scene.push().await;
        let now = scene.control.clock.now();
        let former = at_edge(&scene);
        assert_eq!((former.len(), &former[0].issuer, &former[0].audience), (1, &old, &None));
        let told = i64::try_from(former[0].until).unwrap() - now.timestamp();
        assert!((1010..=1020).contains(&told), "{told}: longest token 900, push and clocks 120");
        let shown = root.get(&path(&scene)).await.expect(200).body;
        assert!(shown["former"][0]["until"].is_string(), "{shown}");
        scene.control.clock.advance(life() - TimeDelta::seconds(60));
        presents(&scene, &before).await.expect(200);
        scene.control.clock.advance(TimeDelta::seconds(61));
        let refused = presents(&scene, &before).await.expect(401);
        assert_eq!(refused.body["messages"][0]["message"], "Token is invalid");
        presents(&scene, &after).await.expect(200);
        // The next document, whatever it is about, has no more of it.
        root.patch(&format!("/api/tenant/tenants/{}/", scene.tenant.id), json!({"name": "New"}))
            .await
            .expect(200);
        scene.push().await;
        assert_eq!(at_edge(&scene), []);
    }
}

#[tokio::test]
async fn tokens_of_a_former_audience_are_good_until_none_can_live() {
    let scene = Scene::new().await;
    let (root, ada) = (operator(&scene).await, scene.member("ada", "root-admin").await);
    let of =
        |audience: &str| AccessClaims { aud: Some(Audience::One(audience.to_owned())), ..long(&scene, &ada) };
    let none = scene.sign(&long(&scene, &ada)).await;
    let (one, two) = (scene.sign(&of("one")).await, scene.sign(&of("two")).await);
    root.patch(&path(&scene), json!({"audience": "one"})).await.expect(200);
    scene.push().await;
    for token in [&none, &one] {
        presents(&scene, token).await.expect(200);
    }
    presents(&scene, &two).await.expect(200);
    scene.control.clock.advance(life());
    presents(&scene, &none).await.expect(401);
    root.patch(&path(&scene), json!({"audience": "two"})).await.expect(200);
    scene.push().await;
    for (token, status) in [(&none, 401), (&one, 200), (&two, 200)] {
        presents(&scene, token).await.expect(status);
    }
    scene.control.clock.advance(life());
    presents(&scene, &one).await.expect(401);
    let cleared = root.patch(&path(&scene), json!({"audience": null})).await.expect(200).body;
    assert_eq!(cleared["audience"], Value::Null);
    presents(&scene, &none).await.expect(200);
}

#[tokio::test]
async fn the_platform_alone_changes_them_and_it_is_written_down() {
    let scene = Scene::new().await;
    let (root, ada) = (operator(&scene).await, scene.member("ada", "root-admin").await);
    let other = Scene::new().await;
    ada.get(&path(&scene)).await.expect(200);
    ada.patch(&path(&scene), json!({"issuer": "https://x.test"})).await.expect(403);
    assert_eq!(scene.logged().await.last().unwrap(), "permission.refused");
    ada.get(&path(&other)).await.expect(404);
    ada.patch(&path(&other), json!({"issuer": "https://x.test"})).await.expect(404);
    for (bad, field) in [
        (json!({"issuer": "x.test"}), "issuer"),
        (json!({"issuer": "https://x.test/?a"}), "issuer"),
        (json!({"issuer": null}), "issuer"),
        (json!({"issuer": ""}), "issuer"),
        (json!({"audience": "x".repeat(256)}), "audience"),
        (json!({"user_id": "email"}), "user_id"),
    ] {
        let refused = root.patch(&path(&scene), bad.clone()).await.expect(400).body;
        assert!(refused[field][0].is_string(), "{bad}: {refused}");
    }
    let issuer = format!("https://{}.test", scene.tenant.slug);
    let change = json!({"issuer": issuer, "audience": "api", "user_id": "string"});
    let tag = root.get(&path(&scene)).await.header("etag").to_owned();
    let patch = |tag: &str| {
        let (tag, change) = (tag.to_owned(), change.clone());
        let (root, path) = (&root, path(&scene));
        async move { root.with(reqwest::Method::PATCH, &path, &[("if-match", &tag)], Some(change)).await }
    };
    patch("\"stale\"").await.expect(412);
    let changed = patch(&tag).await.expect(200).body;
    assert_eq!(
        (&changed["issuer"], &changed["audience"], &changed["user_id"]),
        (&json!(issuer), &json!("api"), &json!("string"))
    );
    let count = scene.logged().await.len();
    // An unchanged value is no change.
    root.patch(&path(&scene), change.clone()).await.expect(200);
    assert_eq!(scene.logged().await.len(), count);
    let ada = scene.acting_as(&scene.user(ada.id).await).await;
    let entries = ada.get("/api/audit/").await.expect(200).body["results"].clone();
    let entry =
        entries.as_array().unwrap().iter().find(|it| it["action"] == "tenant.claims_changed").unwrap();
    assert_eq!(
        entry["details"],
        json!({
            "issuer": {"from": scene.tenant.issuer, "to": issuer},
            "audience": {"from": null, "to": "api"},
            "user_id": {"from": "uuid", "to": "string"},
        })
    );
    let general = root.get(&format!("/api/tenant/tenants/{}/", scene.tenant.id)).await.expect(200).body;
    assert_eq!((&general["issuer"], &general["audience"]), (&json!(issuer), &json!("api")));
}

#[tokio::test]
async fn an_issuer_is_one_tenants_for_good() {
    let scene = Scene::alone().await;
    let root = operator(&scene).await;
    let other = crate::scene::new_tenant(&scene.control, control::tenants::Isolation::Schema).await;
    let others = format!("/api/tenant/tenants/{}/", other.id);
    let first = scene.tenant.issuer.clone();
    root.patch(&path(&scene), json!({"issuer": "https://second.test"})).await.expect(200);
    let taken = |issuer: &str| json!({"issuer": [format!("\"{issuer}\" is or was the issuer of another tenant: name another one.")]});
    for issuer in [first.as_str(), "https://second.test"] {
        let refused = root.patch(&format!("{others}claims/"), json!({"issuer": issuer})).await.expect(400);
        assert_eq!(refused.body, taken(issuer));
        let new = json!({"slug": "gamma", "name": "Gamma", "issuer": issuer});
        assert_eq!(root.post("/api/tenant/tenants/", new).await.expect(400).body, taken(issuer));
    }
    root.delete(&others).await.expect(204);
    let refused = root.patch(&path(&scene), json!({"issuer": other.issuer})).await.expect(400);
    assert_eq!(refused.body, taken(&other.issuer));
    // Its own former one it may have again.
    let back = root.patch(&path(&scene), json!({"issuer": first})).await.expect(200).body;
    assert_eq!(back["issuer"], first);
}

#[tokio::test]
async fn former_claims_are_few() {
    let scene = Scene::new().await;
    let root = operator(&scene).await;
    let change = async |audience: String| root.patch(&path(&scene), json!({"audience": audience})).await;
    // There and back again is two of them, however often.
    for turn in 0..FORMER_CLAIMS {
        change(format!("there-or-back-{}", turn % 2)).await.expect(200);
    }
    let former = root.get(&path(&scene)).await.expect(200).body["former"].as_array().unwrap().len();
    assert_eq!(former, 3, "without one, there, back");
    for turn in former..=FORMER_CLAIMS {
        change(format!("a{turn}")).await.expect(200);
    }
    let refused = change("one-too-many".into()).await.expect(400).body;
    assert!(refused["audience"][0].as_str().unwrap().contains("try again when one is over"), "{refused}");
    scene.push().await;
    assert_eq!(at_edge(&scene).len(), FORMER_CLAIMS);
    scene.control.clock.advance(life());
    change("one-too-many".into()).await.expect(200);
    let former = root.get(&path(&scene)).await.expect(200).body["former"].clone();
    assert_eq!(former.as_array().unwrap().len(), 1, "{former}");
}

#[tokio::test]
async fn the_platforms_own_issuer_changes_likewise() {
    let scene = Scene::alone().await;
    let (platform, root) = (scene.platform().await, operator(&scene).await);
    assert_eq!(platform.tenant.issuer, "https://shared.test/t/platform");
    let changed = root.patch(&path(&platform), json!({"issuer": "https://platform.test"})).await.expect(200);
    assert_eq!(changed.body["former"][0]["issuer"], "https://shared.test/t/platform");
    root.get("/api/user/me/").await.expect(200);
}

/// The settings may change as they like: what is made stays as it was made.
#[tokio::test]
async fn another_shared_origin_changes_no_issuer() {
    let scene = Scene::alone().await;
    let mut settings = scene.control.settings.clone();
    settings.http.shared_origin = "https://moved.test".into();
    let moved = control::control::new(settings).unwrap();
    for tenant in [scene.tenant.clone(), scene.platform().await.tenant] {
        let mut tx = moved.db.tenant_tx(tenant.id).await.unwrap();
        let now = control::tenants::find(&mut tx, tenant.id).await.unwrap();
        assert_eq!(now.issuer, tenant.issuer);
        let document = control::tenants::document::build(&moved, &mut tx, 1, 1).await.unwrap();
        assert_eq!(document.issuer, tenant.issuer);
    }
    let made = crate::scene::new_tenant(&moved, control::tenants::Isolation::Schema).await;
    assert_eq!(made.issuer, format!("https://moved.test/t/{}", made.slug));
}

#[tokio::test]
async fn the_commands_say_what_breaks_and_want_a_yes() {
    let scene = Scene::new().await;
    let cli = Cli { variables: scene.database.variables(&scene.edge.url) };
    let slug = scene.tenant.slug.to_string();
    let issuer = format!("https://{slug}.test");
    let claims = || cli.run(&["tenant", "claims", &slug], "").expect(0).json;
    let before = claims();
    for (command, value, field, words) in [
        ("set-issuer", issuer.as_str(), "issuer", "Services that compare `iss` refuse those tokens"),
        ("set-audience", "api", "audience", "Services that compare `aud` refuse those tokens"),
        ("set-user-id", "string", "user_id", "meet their users under other ids"),
    ] {
        let arguments = ["tenant", command, &slug, value];
        let asked = cli.run(&arguments, "yes\n").expect(5);
        assert!(asked.stderr.contains(words) && asked.stderr.contains("say --yes"), "{}", asked.stderr);
        assert_eq!(claims()[field], before[field], "{command} changed it unasked");
        let done = cli.run(&[&arguments[..], &["--yes"]].concat(), "").expect(0);
        assert!(done.stderr.contains(words), "{}", done.stderr);
        assert_eq!(done.json[field], value);
        assert_eq!(done.json, claims());
        // An unchanged value has no effect and needs no confirmation.
        assert_eq!(cli.run(&arguments, "").expect(0).stderr, "");
    }
    let cleared = cli.run(&["tenant", "set-audience", &slug, "", "--yes"], "").expect(0).json;
    assert_eq!((&cleared["audience"], cleared["former"].as_array().unwrap().len()), (&Value::Null, 3));
    cli.run(&["tenant", "set-issuer", &slug, "nonsense", "--yes"], "").expect(5);
    cli.run(&["tenant", "set-issuer", "nobody", "https://x.test", "--yes"], "").expect(4);
}

#[tokio::test]
async fn an_edit_says_what_it_breaks_besides() {
    let scene = Scene::new().await;
    let cli = Cli { variables: scene.database.variables(&scene.edge.url) };
    let host = format!("{}.test", scene.tenant.slug);
    let slug = format!("b{}", scene.tenant.slug);
    cli.run(&["tenant", "create", &slug, "--host", &host], "").expect(0);
    let edit =
        |more: &[&str]| cli.run(&[&["tenant", "edit", slug.as_str()][..], more].concat(), "").expect(0);
    let other = format!("other.{host}");
    let added = edit(&["--host", &other, "--host", &host]);
    assert_eq!((added.stderr.as_str(), &added.json["issuer"]), ("", &json!(format!("https://{host}"))));
    let removed = edit(&["--host", &other]);
    assert_eq!(removed.json["issuer"], format!("https://{host}"));
    assert!(removed.stderr.contains("names no host of the tenant"), "{}", removed.stderr);
    let renamed = edit(&["--set", "cookies=plain"]);
    assert!(renamed.stderr.contains("every browser has to sign in again"), "{}", renamed.stderr);
    assert_eq!(edit(&["--set", "cookies=plain"]).stderr, "");
}

//! Tenants: what the platform sets, what their own administrators may, and names that never return.

use control::jobs::runner;
use reqwest::Method;
use serde_json::json;
use shared::ids::TenantId;

use crate::scene::{Member, PASSWORD, Scene, call};

const TENANTS: &str = "/api/tenant/tenants/";

fn path(id: TenantId) -> String {
    format!("{TENANTS}{id}/")
}

#[tokio::test]
async fn the_platform_makes_a_tenant_with_its_first_administrator() {
    let scene = Scene::alone().await;
    let platform = scene.platform().await;
    let root = platform.member("root", "root-admin").await;
    let admin = json!({"username": "ada", "email": "ada@beta.test", "password": PASSWORD});
    let body = json!({"slug": "beta", "name": "Beta", "hosts": ["beta.test"], "admin": admin, "settings": {"idle_secs": 600}});
    let made = root.post(TENANTS, body).await.expect(201).body;
    assert_eq!((&made["status"], &made["issuer"]), (&json!("provisioning"), &json!("https://beta.test")));
    assert_eq!((&made["settings"]["idle_secs"], &made["isolation"]), (&json!(600), &json!("schema")));
    assert_eq!(made["settings"]["second_factor_roles"], json!(["root-admin", "co-admin"]));
    let id = TenantId::parse(made["id"].as_str().unwrap()).unwrap();
    // The edge gets nothing of it before it can be used.
    root.patch(&path(id), json!({"name": "Early"})).await.expect(409);
    runner::run_due(&scene.control).await.unwrap();
    assert_eq!(root.get(&path(id)).await.expect(200).body["status"], "active");
    let mut tx = scene.control.db.tenant_tx(id).await.unwrap();
    let ada = control::users::find_by_name(&mut tx, "ADA@beta.test").await.unwrap();
    assert_eq!(ada.roles, ["root-admin"]);
    drop(tx);
    control::edges::pusher::push_now(&scene.control, id).await.unwrap();
    let at_edge = scene.edge.user(id, ada.id).unwrap();
    assert!(at_edge.verifier.is_some());
}

#[tokio::test]
async fn an_administrator_that_cannot_be_is_said_before_anything_is_made() {
    let scene = Scene::alone().await;
    let root = scene.platform().await.member("root", "root-admin").await;
    let admin = json!({"username": "ada", "password": "short"});
    let body = json!({"slug": "beta", "name": "Beta", "admin": admin});
    let refused = root.post(TENANTS, body).await.expect(400);
    assert!(refused.body["admin"][0].as_str().unwrap().starts_with("password: "), "{}", refused.body);
    assert_eq!(root.get(TENANTS).await.expect(200).body["count"], 2, "the platform and the stage's");
}

#[tokio::test]
async fn names_are_unique_and_never_given_again() {
    let scene = Scene::alone().await;
    let root = scene.platform().await.member("root", "root-admin").await;
    let make =
        |slug: &str, host: &str| root.post(TENANTS, json!({"slug": slug, "name": slug, "hosts": [host]}));
    let beta = make("beta", "beta.test").await.expect(201);
    let beta = TenantId::parse(beta.body["id"].as_str().unwrap()).unwrap();
    runner::run_due(&scene.control).await.unwrap();
    let taken = make("beta", "other.test").await.expect(400);
    assert_eq!(taken.body, json!({"slug": ["tenant with this slug already exists."]}));
    let taken = make("gamma", "beta.test").await.expect(400);
    assert_eq!(taken.body, json!({"hosts": ["A host belongs to a tenant already."]}));
    for host in ["shared.test", "Beta.test", "beta.test:80", "127.0.0.1"] {
        make("gamma", host).await.expect(400);
    }
    // A host that an edit gives up is free; what a deleted tenant had is not.
    root.patch(&path(beta), json!({"hosts": ["beta2.test"]})).await.expect(200);
    // Its issuer is not free: services that trust it would trust another tenant.
    let taken = make("gamma", "beta.test").await.expect(400);
    let message = "\"https://beta.test\" is or was the issuer of another tenant: name another one.";
    assert_eq!(taken.body, json!({"issuer": [message]}));
    let gamma =
        json!({"slug": "gamma", "name": "Gamma", "hosts": ["beta.test"], "issuer": "https://gamma.test"});
    assert_eq!(root.post(TENANTS, gamma).await.expect(201).body["issuer"], "https://gamma.test");
    root.delete(&path(beta)).await.expect(204);
    root.get(&path(beta)).await.expect(404);
    make("beta", "new.test").await.expect(400);
    make("delta", "beta2.test").await.expect(400);
}

#[tokio::test]
async fn an_issuer_stays_whatever_becomes_of_the_hosts_and_its_tokens_go_on() {
    for scene in [Scene::new().await, Scene::shared().await] {
        let (path, slug) = (path(scene.tenant.id), scene.tenant.slug.to_string());
        let root = scene.platform().await.member(&format!("root-{slug}"), "root-admin").await;
        let ada = scene.member("ada", "root-admin").await;
        let issuer = json!(format!("https://shared.test/t/{slug}"));
        let [one, two] = ["one", "two"].map(|name| format!("{name}.{slug}.test"));
        for hosts in [json!([one]), json!([one, two]), json!([two, one]), json!([two]), json!([])] {
            let changed = root.patch(&path, json!({"hosts": hosts})).await.expect(200).body;
            assert_eq!((&changed["hosts"], &changed["issuer"]), (&hosts, &issuer));
            ada.get("/api/user/me/").await.expect(200);
            scene.push().await;
            assert_eq!(json!(scene.edge.state().documents[&scene.tenant.id].issuer), issuer);
        }
    }
}

#[tokio::test]
async fn a_general_edit_names_what_changes_an_issuer_and_changes_none() {
    let scene = Scene::new().await;
    let root = format!("root-{}", scene.tenant.slug);
    let root = scene.platform().await.member(&root, "root-admin").await;
    let path = path(scene.tenant.id);
    let before = root.get(&path).await.expect(200).body;
    for (field, command) in
        [("issuer", "set-issuer"), ("audience", "set-audience"), ("user_id", "set-user-id")]
    {
        let other = if field == "user_id" { "integer" } else { "https://other.test" };
        let refused = root.patch(&path, json!({"name": "x", field: other})).await.expect(400).body;
        let message = refused[field][0].as_str().unwrap();
        assert!(message.contains(command) && message.contains("/claims/"), "{message}");
    }
    assert_eq!(root.get(&path).await.expect(200).body, before);
    // Sending back the document that was read changes nothing.
    assert_eq!(root.patch(&path, before.clone()).await.expect(200).body, before);
}

#[tokio::test]
async fn a_host_moves_and_a_deletion_is_seen_at_the_edge() {
    let scene = Scene::alone().await;
    let platform = scene.platform().await;
    let root = platform.member("root", "root-admin").await;
    let (id, slug) = (scene.tenant.id, format!("slug:{}", scene.tenant.slug));
    root.patch(&path(id), json!({"hosts": ["one.test", "two.test"]})).await.expect(200);
    platform.push().await;
    assert_eq!(scene.edge.name("host:one.test"), Some(id));
    assert_eq!(scene.edge.name(&slug), Some(id));
    let other = crate::scene::new_tenant(&scene.control, control::tenants::Isolation::Schema).await;
    root.patch(&path(id), json!({"hosts": ["two.test"]})).await.expect(200);
    root.patch(&path(other.id), json!({"hosts": ["one.test"]})).await.expect(200);
    platform.push().await;
    assert_eq!(scene.edge.name("host:one.test"), Some(other.id));
    root.delete(&path(id)).await.expect(204);
    platform.push().await;
    scene.push().await;
    assert_eq!((scene.edge.name(&slug), scene.edge.name("host:two.test")), (None, None));
    assert_eq!(scene.edge.state().documents[&id].status, shared::tenant::Status::Deleted);
}

#[tokio::test]
async fn administrators_of_a_tenant_see_and_set_only_their_own() {
    let (scene, other) = (Scene::new().await, Scene::new().await);
    let ada = scene.member("ada", "root-admin").await;
    let listed = ada.get(TENANTS).await.expect(200).body;
    assert_eq!((&listed["count"], &listed["results"][0]["id"]), (&json!(1), &json!(scene.tenant.id)));
    let own = path(scene.tenant.id);
    let settings = json!({"name": "Mine", "settings": {"access_ttl_secs": 600}});
    let changed = ada.patch(&own, settings).await.expect(200).body;
    assert_eq!((&changed["name"], &changed["settings"]["access_ttl_secs"]), (&json!("Mine"), &json!(600)));
    for change in [
        json!({"hosts": ["mine.test"]}),
        json!({"issuer": "https://mine.test"}),
        json!({"audience": "x"}),
        json!({"status": "suspended"}),
    ] {
        ada.patch(&own, change).await.expect(403);
    }
    for change in [
        json!({"settings": {"access_ttl_secs": 901}}),
        json!({"settings": {"x": 1}}),
        json!({"slug": "x"}),
        json!({"name": "x".repeat(256)}),
    ] {
        ada.patch(&own, change).await.expect(400);
    }
    let origins = json!(["https://app.acme.example", "http://localhost:3000"]);
    let web = json!({"settings": {"origins": origins, "cors_headers": ["X-Acme-Trace"], "cookies": "plain"}});
    let changed = ada.patch(&own, web).await.expect(200).body;
    let settings = &changed["settings"];
    assert_eq!(
        (&settings["origins"], &settings["cookies"], &settings["access_ttl_secs"]),
        (&origins, &json!("plain"), &json!(600))
    );
    scene.push().await;
    let at_edge = scene.edge.state().documents[&scene.tenant.id].settings.clone();
    assert_eq!(serde_json::to_value(&at_edge.origins).unwrap(), origins);
    assert_eq!(at_edge.cookies, shared::tenant::settings::Cookies::Plain);
    let headers: Vec<_> = at_edge.cors_headers.iter().map(|name| name.as_str()).collect();
    assert_eq!((headers, &settings["cors_headers"]), (vec!["x-acme-trace"], &json!(["x-acme-trace"])));
    let emptied = ada.patch(&own, json!({"settings": {"cors_headers": []}})).await.expect(200).body;
    assert_eq!(emptied["settings"].get("cors_headers"), None);
    assert_eq!(ada.get(&own).await.expect(200).body["settings"].get("cors_headers"), None);
    for (bad, field) in [
        (json!({"origins": ["https://app.acme.example/"]}), "origins"),
        (json!({"origins": ["null"]}), "origins"),
        (json!({"origins": ["https://a.example", "https://a.example"]}), "origins"),
        (json!({"origins": "https://a.example"}), "origins"),
        (json!({"cors_headers": ["x-a", "X-A"]}), "cors_headers"),
        (json!({"cors_headers": ["*"]}), "cors_headers"),
        (json!({"cors_headers": "x-a"}), "cors_headers"),
        (json!({"cookies": "on"}), "cookies"),
        (json!({"access_ttl_secs": "60"}), "settings"),
    ] {
        let refused = ada.patch(&own, json!({"settings": bad})).await.expect(400).body;
        assert!(refused[field][0].is_string(), "{bad}: {refused}");
    }
    ada.delete(&own).await.expect(403);
    ada.post(TENANTS, json!({"slug": "x", "name": "x"})).await.expect(403);
    for method in [Method::GET, Method::PATCH, Method::DELETE] {
        ada.call(method, &path(other.tenant.id), Some(json!({}))).await.expect(404);
    }
    ada.get(&format!("{TENANTS}nonsense/")).await.expect(404);
    let co = scene.member("co", "co-admin").await;
    co.get(&own).await.expect(200);
    co.patch(&own, json!({"name": "x"})).await.expect(403);
}

#[tokio::test]
async fn a_suspended_tenant_is_403_until_it_is_resumed() {
    let scene = Scene::alone().await;
    let root = scene.platform().await.member("root", "root-admin").await;
    let ada = scene.member("ada", "root-admin").await;
    let suspended = root.patch(&path(scene.tenant.id), json!({"status": "suspended"})).await.expect(200);
    assert_eq!(suspended.body["status"], "suspended");
    let refused = ada.get("/api/user/me/").await.expect(403);
    assert_eq!(refused.body["code"], "tenant_suspended");
    scene.push().await;
    assert_eq!(scene.edge.state().documents[&scene.tenant.id].status, shared::tenant::Status::Suspended);
    root.patch(&path(scene.tenant.id), json!({"status": "active"})).await.expect(200);
    ada.get("/api/user/me/").await.expect(200);
}

#[tokio::test]
async fn the_platform_tenant_is_there_to_stay() {
    let scene = Scene::alone().await;
    let platform = scene.platform().await;
    let root = platform.member("root", "root-admin").await;
    let own = path(platform.tenant.id);
    root.patch(&own, json!({"status": "suspended"})).await.expect(409);
    root.delete(&own).await.expect(409);
    let key = include_str!("../keys/rsa2048.pem");
    root.post(&format!("{own}keys/import/"), json!({"pkcs8": key})).await.expect(409);
    // Its staff and co-admins hold nothing over other tenants.
    let co = platform.member("co", "co-admin").await;
    co.get(&path(scene.tenant.id)).await.expect(403);
}

#[tokio::test]
async fn dedicated_cells_have_a_limit_that_says_what_to_do() {
    let scene = Scene::alone().await;
    let mut settings = scene.control.settings.clone();
    settings.database.max_dedicated_cells = 1;
    let full = control::control::new(settings).unwrap();
    let api = crate::scene::serve(&full).await;
    let root = scene.platform().await.member("root", "root-admin").await;
    let bearer = format!("Bearer {}", root.token);
    let make = |body| call(api, Method::POST, TENANTS, Some(&bearer), Some(body));
    let refused = make(json!({"slug": "beta", "name": "Beta"})).await.expect(400);
    assert!(refused.body["isolation"][0].as_str().unwrap().contains("\"shared\""));
    let settings = json!({"second_factor_roles": []});
    let made = json!({"slug": "beta", "name": "Beta", "isolation": "shared", "settings": settings});
    let made = make(made).await.expect(201).body;
    assert_eq!(made["settings"].get("second_factor_roles"), None, "the request says so");
}

#[tokio::test]
async fn a_setting_of_a_later_release_outlives_an_edit() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "root-admin").await;
    let app = scene.control.db.app();
    let id = scene.tenant.id.uuid();
    sqlx::query("update platform.tenants set settings = settings || '{\"later\": [1], \"cookies\": \"partitioned\"}' where id = $1")
        .bind(id)
        .execute(app)
        .await
        .unwrap();
    ada.patch(&path(scene.tenant.id), json!({"settings": {"access_ttl_secs": 600}})).await.expect(200);
    let kept: serde_json::Value = sqlx::query_scalar("select settings from platform.tenants where id = $1")
        .bind(id)
        .fetch_one(app)
        .await
        .unwrap();
    assert_eq!((&kept["later"], &kept["access_ttl_secs"]), (&json!([1]), &json!(600)));
    assert_eq!(kept["cookies"], "partitioned", "what could not be read was not edited");
}

/// The slugs that a query finds.
async fn slugs(who: &Member, query: &str) -> Vec<String> {
    let found = who.get(&format!("{TENANTS}?{query}")).await.expect(200);
    let results = found.body["results"].as_array().unwrap();
    assert_eq!(found.body["count"], results.len(), "{query}");
    results.iter().map(|tenant| tenant["slug"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table of queries")]
async fn tenants_are_found_by_what_they_are_known_by() {
    let scene = Scene::alone().await;
    let root = scene.platform().await.member("root", "root-admin").await;
    let stage = scene.tenant.slug.as_str();
    for (slug, name, hosts, isolation) in [
        ("beta", "Café Zürich", json!(["beta.test", "xn--bcher-kva.example"]), "shared"),
        ("gamma", "CAFE\u{301}", json!([]), "shared"),
        ("delta", "Alpha", json!(["delta.test"]), "schema"),
    ] {
        let body = json!({"slug": slug, "name": name, "hosts": hosts, "isolation": isolation});
        root.post(TENANTS, body).await.expect(201);
    }
    runner::run_due(&scene.control).await.unwrap();
    let gamma = root.get(&format!("{TENANTS}?slug=gamma")).await.expect(200);
    let gamma: TenantId = TenantId::parse(gamma.body["results"][0]["id"].as_str().unwrap()).unwrap();
    let before = scene.control.clock.now();
    root.patch(&path(gamma), json!({"status": "suspended"})).await.expect(200);
    root.post(TENANTS, json!({"slug": "late", "name": "Late"})).await.expect(201);
    let at = before.format("%Y-%m-%dT%H:%M:%S%.6fZ");
    for (query, expected) in [
        ("", vec!["platform", stage, "beta", "gamma", "delta", "late"]),
        ("status=suspended", vec!["gamma"]),
        ("status=provisioning", vec!["late"]),
        ("status=active&isolation=shared", vec!["beta"]),
        ("slug=beta", vec!["beta"]),
        ("slug=BETA", vec!["beta"]),
        ("slug=bet", vec![]),
        ("host=delta.test", vec!["delta"]),
        ("host=Delta.Test", vec!["delta"]),
        ("host=b%C3%BCcher.example", vec!["beta"]),
        ("host=elta.test", vec![]),
        ("isolation=schema&search=l", vec!["platform", "delta", "late"]),
        ("search=café", vec!["beta", "gamma"]),
        ("search=CAFE\u{301}", vec!["beta", "gamma"]),
        ("search=ZU\u{308}RICH", vec!["beta"]),
        ("search=bücher", vec!["beta"]),
        ("search=elta.te", vec!["delta"]),
        ("search=gam", vec!["gamma"]),
        ("search=café+beta", vec!["beta"]),
        ("search=%25", vec![]),
        (&format!("created_after={at}"), vec!["late"]),
        (&format!("created_at_before={at}&slug=beta"), vec!["beta"]),
        ("ordering=-slug&search=l&isolation=schema", vec!["platform", "late", "delta"]),
        ("ordering=isolation,-slug&status=active", vec![stage, "platform", "delta", "beta"]),
        ("ordering=name&slug=beta", vec!["beta"]),
        ("ordering=-status,slug&isolation=shared", vec!["gamma", "beta"]),
        ("ordering=-updated_at&isolation=shared", vec!["gamma", "beta"]),
    ] {
        assert_eq!(slugs(&root, query).await, expected, "{query}");
    }
    for ordering in ["id", "slug", "name", "status", "isolation", "created_at", "updated_at"] {
        for ordering in [ordering.to_owned(), format!("-{ordering}")] {
            let mut walked = Vec::new();
            let mut next = Some(format!("{TENANTS}?ordering={ordering}&page_size=2&cursor="));
            while let Some(at) = next {
                let page = root.get(&at).await.expect(200);
                walked.extend(page.body["results"].as_array().unwrap().iter().map(|it| it["slug"].clone()));
                next = page.body["next"].as_str().map(|link| link[link.find("/api/").unwrap()..].to_owned());
            }
            assert_eq!(
                json!(walked),
                json!(slugs(&root, &format!("ordering={ordering}")).await),
                "{ordering}"
            );
        }
    }
    let refused = root.get(&format!("{TENANTS}?status=deleted&isolation=x&ordering=hosts&name=x")).await;
    assert_eq!(
        refused.expect(400).body,
        json!({
            "status": ["\"deleted\" is not a valid choice."],
            "isolation": ["\"x\" is not a valid choice."],
            "ordering": ["\"hosts\" is not a valid choice."],
            "name": ["Unknown parameter."],
        })
    );
    // A renamed tenant is found by its new name, a moved one by its new host.
    let change = json!({"name": "Größe", "hosts": ["epsilon.test"]});
    root.patch(&path(scene.tenant.id), change).await.expect(200);
    assert_eq!(slugs(&root, "search=GRÖSSE").await, [stage]);
    assert_eq!(slugs(&root, "search=epsilon").await, [stage]);
    // A tenant's own administrators still see theirs alone.
    let ada = scene.member("ada", "root-admin").await;
    assert_eq!(slugs(&ada, "").await, [stage]);
    assert_eq!(slugs(&ada, "slug=beta").await.len(), 0);
    assert_eq!(slugs(&ada, "search=größe").await, [stage]);
}

/// The command line lays a setting over those that there are when it writes, not when it began.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_edits_of_settings_at_once_both_count() {
    let scene = Scene::alone().await;
    let mut admin = scene.database.admin().await;
    let other = "begin; update platform.tenants set settings = settings || '{\"access_ttl_secs\": 600}'";
    sqlx::raw_sql(other).execute(&mut admin).await.unwrap();
    let (cli, slug) = (scene.cli(), scene.tenant.slug.to_string());
    let edit = tokio::task::spawn_blocking(move || {
        cli.run(&["tenant", "edit", &slug, "--set", "retry_window_secs=7"], "").expect(0).json
    });
    let waits = "select exists (select from pg_stat_activity where wait_event_type = 'Lock'
                 and datname = current_database())";
    let mut watch = scene.database.admin().await;
    while !sqlx::query_scalar::<_, bool>(waits).fetch_one(&mut watch).await.unwrap() {
        tokio::task::yield_now().await;
    }
    sqlx::raw_sql("commit").execute(&mut admin).await.unwrap();
    let settings = edit.await.unwrap()["settings"].clone();
    assert_eq!((&settings["access_ttl_secs"], &settings["retry_window_secs"]), (&json!(600), &json!(7)));
}

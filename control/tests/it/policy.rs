//! The policy of sign-ins on the command line, and the demand of an imported tenant that is to come.

use chrono::{DateTime, TimeDelta, Utc};
use control::mfa::announce;
use serde_json::{Value, json};

use crate::dumps::foreign_user;
use crate::scene::Scene;

/// `wardgate policy ...` of this tenant.
fn policy(scene: &Scene, arguments: &[&str]) -> crate::cli::Outcome {
    let slug = scene.tenant.slug.to_string();
    scene.cli().run(&[&["policy"], arguments, &["--tenant", &slug]].concat(), "")
}

#[tokio::test]
async fn an_operator_shows_and_sets_the_policy() {
    for scene in [Scene::new().await, Scene::shared().await] {
        scene.member("root", "root-admin").await;
        scene.enrolled("admin", "co-admin").await;
        for name in ["staff", "other"] {
            scene.member(name, "staff").await;
        }
        let shown = policy(&scene, &["show"]).expect(0).json;
        assert_eq!((&shown["second_factor_roles"], &shown["step_up_secs"]), (&json!([]), &json!(0)));
        assert_eq!(
            (&shown["second_factor_in_force"], &shown["without_second_factor"]),
            (&json!(false), &json!({}))
        );
        let set = |more: &[&str]| policy(&scene, &[&["set"], more].concat());
        let roles = "second_factor_roles=root-admin,co-admin,staff";
        let shown = set(&[roles, "step_up_secs=300", "remember_device_days=14"]).expect(0).json;
        assert_eq!(shown["without_second_factor"], json!({"root-admin": 1, "co-admin": 0, "staff": 2}));
        assert_eq!(
            (&shown["second_factor_in_force"], &shown["step_up_secs"], &shown["remember_device_days"]),
            (&json!(true), &json!(300), &json!(14))
        );
        assert_eq!(policy(&scene, &["show"]).expect(0).json, shown);
        let refused = set(&["second_factor_roles=staff"]).expect(5);
        assert!(refused.stderr.contains("say why"), "{}", refused.stderr);
        set(&["second_factor_roles=staff", "--reason", "Ticket 4711"]).expect(0);
        let all = set(&["second_factor_roles=*"]).expect(0).json;
        assert_eq!(
            all["without_second_factor"],
            json!({"root-admin": 1, "co-admin": 0, "staff": 2, "client": 0})
        );
        for bad in
            ["cookies=plain", "second_factor_roles=king", "remember_device_days=31", "step_up_secs=9", "x"]
        {
            set(&[bad]).expect(5);
        }
        set(&[]).expect(2);
        let edited = scene.logged().await.into_iter().filter(|action| action == "tenant.edited").count();
        assert_eq!(edited, 3, "what is refused is no change");
        let people = scene.cli().show(&["policy", "show", "--tenant", scene.tenant.slug.as_str()]);
        assert!(people.contains("remember_device_days") && people.contains("14"), "{people}");
    }
}

/// A tenant as the API creates it, with a root-admin and a superuser to be imported.
async fn before_an_import() -> Scene {
    let scene = Scene::alone().await;
    scene.sets(|settings| *settings = control::tenants::first_settings()).await;
    scene
}

fn superuser() -> Value {
    let mut user = foreign_user(&json!(1), "ada");
    user["fields"]["is_superuser"] = json!(true);
    user["fields"]["email"] = json!("ada@acme.test");
    user
}

fn time(value: &Value) -> DateTime<Utc> {
    value.as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn an_import_puts_the_demand_off_and_root_admins_hear_of_the_day() {
    let scene = before_an_import().await;
    let began = scene.control.clock.now();
    let outcome = scene.import_dump(&[superuser()]).expect(0);
    let from = time(&outcome.json["report"]["second_factor_from"]);
    let days = (from - began).num_days();
    assert!((89..=90).contains(&days), "{from}");
    let root = scene.member("root", "root-admin").await;
    let path = format!("/api/tenant/tenants/{}/", scene.tenant.id);
    let read = root.get(&path).await.expect(200).body;
    let notice = &read["second_factor_notice"];
    assert_eq!((time(&notice["from"]), &notice["roles"]), (from, &json!(["root-admin", "co-admin"])));
    assert_eq!(read["settings"].get("step_up_secs"), None, "clients of the old service cannot step up");
    let listed = root.get("/api/tenant/tenants/").await.expect(200).body;
    assert_eq!(&listed["results"][0]["second_factor_notice"], notice);
    let shown = policy(&scene, &["show"]).expect(0).json;
    assert_eq!(shown["notice"], notice["detail"]);
    assert_eq!(shown["second_factor_in_force"], false);
    let logged = root.get("/api/audit/?action=tenant.edited").await.expect(200).body;
    let details = &logged["results"][0]["details"];
    assert!(details["reason"].as_str().unwrap().starts_with("Users are imported"), "{details}");

    // Root-admins without one get a mail at their verified address; staff get none.
    scene.addressed("grace", "root-admin").await;
    scene.enrolled("eve", "root-admin").await;
    scene.addressed("bob", "staff").await;
    let demanded = async || {
        let mails = scene.promised().await;
        let of =
            |mail: &crate::resets::Promised| mail.content["facts"]["username"].as_str().unwrap().to_owned();
        let mut told: Vec<_> =
            mails.iter().filter(|mail| mail.kind == "second_factor_demanded").map(of).collect();
        told.sort();
        told
    };
    announce::announce(&scene.control, scene.tenant.id, from).await.unwrap();
    assert!(demanded().await.contains(&String::from("grace")), "{:?}", demanded().await);
    assert!(demanded().await.iter().all(|name| name != "eve" && name != "bob"));
    let told = demanded().await.len();
    announce::announce(&scene.control, scene.tenant.id, from + TimeDelta::seconds(1)).await.unwrap();
    assert_eq!(demanded().await.len(), told, "of another day nothing is said");

    // Both times are in the queue.
    let waiting = "select count(*) from platform_jobs._private_jobs where key like 'announce_demand/%'";
    let mut admin = scene.database.admin().await;
    let waiting: i64 = sqlx::query_scalar(waiting).fetch_one(&mut admin).await.unwrap();
    assert_eq!(waiting, 2);

    // The day comes.
    scene.control.clock.advance(TimeDelta::days(90));
    let root = scene.with_mfa(root.id).await;
    assert_eq!(root.get(&path).await.expect(200).body.get("second_factor_notice"), None);
    scene.acting_as(&scene.user(root.id).await).await.get(&path).await.expect(401);
    announce::announce(&scene.control, scene.tenant.id, from).await.unwrap();
    assert_eq!(demanded().await.len(), told, "it is no news any more");
}

#[tokio::test]
async fn an_import_leaves_a_policy_that_was_chosen() {
    for roles in [&[][..], &["root-admin"], &["*"]] {
        let scene = Scene::alone().await;
        scene
            .sets(|settings| {
                settings.second_factor_roles = roles.iter().map(|role| (*role).to_owned()).collect();
                settings.step_up_secs = 60;
            })
            .await;
        let outcome = scene.import_dump(&[superuser()]).expect(0);
        assert_eq!(outcome.json["report"].get("second_factor_from"), None);
        let shown = policy(&scene, &["show"]).expect(0).json;
        assert_eq!((&shown["second_factor_roles"], &shown["step_up_secs"]), (&json!(roles), &json!(60)));
        assert_eq!((shown.get("notice"), &shown["second_factor_from"]), (None, &json!("")));
    }
}

#[tokio::test]
async fn a_second_import_puts_nothing_off() {
    let scene = before_an_import().await;
    scene.import_dump(&[superuser()]).expect(0);
    scene.sets(|settings| settings.second_factor_from = None).await;
    scene.import_dump(&[superuser(), foreign_user(&json!(2), "bob")]).expect(0);
    let shown = policy(&scene, &["show"]).expect(0).json;
    assert_eq!(shown["second_factor_in_force"], true);
}

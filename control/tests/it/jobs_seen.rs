//! The queue as operators see it: routes of the platform, and the command line.

use control::jobs::runner;
use reqwest::Method;
use serde_json::{Value, json};

use crate::acts::{ACTS, Act, What, tenant};
use crate::jobs::sql;
use crate::scene::{Member, Scene};

const JOBS: &str = "/api/platform/jobs/";

/// A dead job of a tenant, one that failed and waits, and one that waits for its time.
async fn stage() -> (Scene, Member, [i64; 3]) {
    let scene = Scene::alone().await;
    let of = Some(tenant(1));
    for (name, what) in [("a", What::FailForGood), ("b", What::Fail), ("c", What::Wait)] {
        Act::<true>::new(&scene, of, name, what).enqueue(&scene).await.unwrap();
    }
    runner::run_kinds_due(&scene.control, &ACTS).await.unwrap();
    let operator = scene.platform().await.member("olga", "root-admin").await;
    let ids: Vec<i64> =
        sqlx::query_scalar("select id from platform.queue where kind = 'rotate_lookup' order by id")
            .fetch_all(scene.control.db.app())
            .await
            .unwrap();
    (scene, operator, ids.try_into().unwrap())
}

fn ids(list: &Value) -> Vec<i64> {
    list["results"].as_array().unwrap().iter().map(|job| job["id"].as_i64().unwrap()).collect()
}

/// As a runner elsewhere has it.
async fn lock(scene: &Scene, id: i64) {
    let text = "update platform_jobs._private_jobs set locked_at = now(), locked_by = 'other' where id =";
    sql(scene, &format!("{text} {id}")).await;
}

#[tokio::test]
async fn jobs_are_listed_by_what_they_are() {
    let (_scene, olga, [dead, failed, later]) = stage().await;
    let list = async |query: &str| olga.get(&format!("{JOBS}?{query}")).await.expect(200).body;
    let of_tenant = format!("tenant={}", tenant(1));
    assert_eq!(ids(&list(&of_tenant).await), [later, failed, dead]);
    assert_eq!(ids(&list(&format!("{of_tenant}&ordering=id")).await), [dead, failed, later]);
    assert_eq!(ids(&list("state=dead").await), [dead]);
    assert_eq!(ids(&list("state=waiting&kind=rotate_lookup&ordering=run_at").await), [failed, later]);
    assert!(ids(&list("state=running").await).is_empty());
    assert!(ids(&list(&format!("tenant={}", tenant(2))).await).is_empty());
    let page = list(&format!("{of_tenant}&page_size=2")).await;
    assert_eq!((ids(&page), &page["count"]), (vec![later, failed], &json!(3)));
    assert!(page["next"].as_str().unwrap().contains("page=2"), "{page}");
    for query in ["state=lost", "tenant=x", "reason=x", "ordering=payload", "cursor=x"] {
        olga.get(&format!("{JOBS}?{query}")).await.expect(400);
    }
    let job = olga.get(&format!("{JOBS}{dead}/")).await.expect(200).body;
    assert_eq!(
        (
            &job["kind"],
            &job["state"],
            &job["tenant"],
            &job["attempts"],
            &job["most_attempts"],
            &job["reason"]
        ),
        (
            &json!("rotate_lookup"),
            &json!("dead"),
            &json!(tenant(1).to_string()),
            &json!(1),
            &json!(5),
            &json!("it never will")
        )
    );
    for id in ["999999", "x", "-1", "99999999999999999999"] {
        olga.get(&format!("{JOBS}{id}/")).await.expect(404);
        olga.call(Method::POST, &format!("{JOBS}{id}/retry/"), None).await.expect(404);
        olga.call(Method::POST, &format!("{JOBS}{id}/cancel/"), None).await.expect(404);
    }
}

#[tokio::test]
async fn only_the_platforms_root_admins_see_jobs() {
    let (scene, _, [dead, ..]) = stage().await;
    let elsewhere = scene.member("ada", "root-admin").await;
    let lower = scene.platform().await.member("carl", "co-admin").await;
    for caller in [&elsewhere, &lower] {
        caller.get(JOBS).await.expect(403);
        caller.get(&format!("{JOBS}{dead}/")).await.expect(403);
        for verb in ["retry", "cancel"] {
            caller.call(Method::POST, &format!("{JOBS}{dead}/{verb}/"), None).await.expect(403);
        }
    }
    scene.anonymous(Method::GET, JOBS, None).await.expect(401);
}

#[tokio::test]
async fn a_job_is_retried_once_and_with_all_its_tries() {
    let (scene, olga, [dead, failed, later]) = stage().await;
    let retry = async |id: i64| olga.call(Method::POST, &format!("{JOBS}{id}/retry/"), None).await;
    let mut statuses: Vec<_> = futures::future::join_all((0..8).map(|_| retry(dead)))
        .await
        .into_iter()
        .map(|answer| answer.status)
        .collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409, 409, 409, 409, 409, 409, 409]);
    let job = retry(failed).await.expect(200).body;
    assert_eq!(
        (&job["state"], &job["attempts"], &job["most_attempts"]),
        (&json!("waiting"), &json!(0), &json!(5))
    );
    assert_eq!(retry(later).await.expect(409).body["code"], "conflict");
    lock(&scene, later).await;
    assert_eq!(retry(later).await.expect(409).body["detail"], "The job is running.");
    // They are due: both are tried once more, and fail as before.
    runner::run_kinds_due(&scene.control, &ACTS).await.unwrap();
    for (id, state) in [(dead, "dead"), (failed, "waiting")] {
        let job = olga.get(&format!("{JOBS}{id}/")).await.expect(200).body;
        assert_eq!((&job["state"], &job["attempts"]), (&json!(state), &json!(1)), "{job}");
    }
    let logged = scene.platform().await.logged().await;
    assert_eq!(logged.iter().filter(|action| *action == "job.retried").count(), 2, "{logged:?}");
}

#[tokio::test]
async fn a_job_is_cancelled_unless_it_runs() {
    let (scene, olga, [dead, failed, later]) = stage().await;
    let cancel = async |id: i64| olga.call(Method::POST, &format!("{JOBS}{id}/cancel/"), None).await;
    lock(&scene, failed).await;
    assert_eq!(cancel(failed).await.expect(409).body["code"], "conflict");
    cancel(dead).await.expect(204);
    cancel(dead).await.expect(404);
    cancel(later).await.expect(204);
    assert_eq!(ids(&olga.get(&format!("{JOBS}?kind=rotate_lookup")).await.expect(200).body), [failed]);
    let logged = scene.platform().await.logged().await;
    assert_eq!(logged.iter().filter(|action| *action == "job.cancelled").count(), 2, "{logged:?}");
    let entries = olga.get("/api/audit/?action=job.cancelled").await.expect(200).body;
    let details: Vec<_> =
        entries["results"].as_array().unwrap().iter().map(|entry| &entry["details"]).collect();
    assert_eq!(details[1]["kind"], "rotate_lookup", "{entries}");
    assert_eq!(details[1]["reason"], "it never will", "{entries}");
}

#[tokio::test]
async fn the_command_line_does_the_same() {
    let (scene, _, [dead, failed, later]) = stage().await;
    let cli = scene.cli();
    let run = |arguments: &[&str]| cli.run(&[&["jobs"], arguments].concat(), "");
    let [dead_text, failed_text, later_text] = [dead, failed, later].map(|id| id.to_string());
    let of_tenant = tenant(1).to_string();
    assert_eq!(ids(&run(&["list", "--tenant", &of_tenant]).expect(0).json), [later, failed, dead]);
    assert_eq!(ids(&run(&["list", "--state", "dead"]).expect(0).json), [dead]);
    let page = run(&["list", "--kind", "rotate_lookup", "--page-size", "2", "--page", "2"]).expect(0).json;
    assert_eq!((ids(&page), &page["count"], &page["next"]), (vec![dead], &json!(3), &Value::Null));
    run(&["list", "--state", "lost"]).expect(5);
    run(&["list", "--tenant", "nowhere"]).expect(4);
    run(&["list", "--page", "9"]).expect(4);
    let table = cli.show(&["jobs", "list", "--state", "dead"]);
    assert!(table.contains("it never will") && table.contains("1 of 5"), "{table}");
    assert!(cli.show(&["jobs", "show", &dead_text]).contains("it never will"));
    assert_eq!(run(&["show", &failed_text]).expect(0).json["state"], "waiting");
    run(&["show", "999999"]).expect(4);
    assert_eq!(run(&["retry", &dead_text]).expect(0).json["attempts"], 0);
    run(&["retry", &dead_text]).expect(5);
    run(&["retry", "999999"]).expect(4);
    lock(&scene, later).await;
    run(&["cancel", &later_text, "--yes"]).expect(5);
    run(&["cancel", &failed_text]).expect(5);
    run(&["cancel", &failed_text, "--yes"]).expect(0);
    run(&["cancel", &failed_text, "--yes"]).expect(4);
    let logged = scene.platform().await.logged().await;
    let ours: Vec<_> = logged.iter().filter(|action| action.starts_with("job.")).collect();
    assert_eq!(ours, ["job.retried", "job.cancelled"]);
}

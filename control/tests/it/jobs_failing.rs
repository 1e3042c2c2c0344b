//! What comes after a job that failed: its kind's delay, a dead letter, or another time.

use control::jobs::{listed, runner};
use sqlx::FromRow;

use crate::acts::{ACTS, Act, What, tenant};
use crate::jobs::{sql, until};
use crate::scene::Scene;

/// A job as operators see it.
#[derive(Debug, FromRow)]
struct Seen {
    state: String,
    attempts: i32,
    most_attempts: i32,
    delay_secs: f64,
    reason: Option<String>,
}

async fn seen(scene: &Scene) -> Vec<Seen> {
    let text = "select state, attempts, most_attempts, reason, extract(epoch from run_at - now())::float8 as delay_secs
        from platform.queue where kind in ('rotate_lookup', 'rebuild_search') order by id";
    sqlx::query_as(text).fetch_all(scene.control.db.app()).await.unwrap()
}

async fn only(scene: &Scene) -> Seen {
    let mut all = seen(scene).await;
    assert_eq!(all.len(), 1, "{all:?}");
    all.pop().unwrap()
}

/// Moves the jobs' times forward to now.
async fn make_due(scene: &Scene) {
    sql(
        scene,
        "update platform_jobs._private_jobs
         set run_at = now() + case when flags ? 'lane' then platform.resting() else interval '0' end
         where locked_at is null",
    )
    .await;
}

async fn run_due(scene: &Scene) {
    runner::run_kinds_due(&scene.control, &ACTS).await.unwrap();
}

#[tokio::test]
async fn the_delays_are_the_kinds_own() {
    for of in [None, Some(tenant(1))] {
        let scene = Scene::alone().await;
        Act::<true>::new(&scene, of, "a", What::Fail).enqueue(&scene).await.unwrap();
        for (attempt, delay) in [(1, 60.0), (2, 120.0), (3, 300.0), (4, 300.0)] {
            run_due(&scene).await;
            let job = only(&scene).await;
            assert_eq!((job.state.as_str(), job.attempts, job.most_attempts), ("waiting", attempt, 5));
            assert!((delay - 5.0..=delay).contains(&job.delay_secs), "{job:?}");
            // Not before its time.
            run_due(&scene).await;
            assert_eq!(only(&scene).await.attempts, attempt);
            make_due(&scene).await;
        }
        run_due(&scene).await;
        let dead = only(&scene).await;
        assert_eq!((dead.state.as_str(), dead.attempts), ("dead", 5));
        make_due(&scene).await;
        run_due(&scene).await;
        assert_eq!(only(&scene).await.attempts, 5, "tried no more");
    }
}

#[tokio::test]
async fn a_reason_is_what_the_error_shows_and_nothing_else() {
    let scene = Scene::alone().await;
    Act::<true>::new(&scene, None, "a", What::Fail).enqueue(&scene).await.unwrap();
    Act::<true>::new(&scene, None, "b", What::Panic).enqueue(&scene).await.unwrap();
    run_due(&scene).await;
    let jobs = seen(&scene).await;
    let reasons: Vec<_> = jobs.iter().map(|job| job.reason.as_deref().unwrap()).collect();
    assert!(reasons[0].starts_with("it failed: xxx") && reasons[0].len() == 500, "{reasons:?}");
    assert_eq!(reasons[1], "its handler panicked");
    assert!((55.0..=60.0).contains(&jobs[1].delay_secs), "{jobs:?}");
    assert!(!scene.rows().await.contains("ada@acme.example"));
}

#[tokio::test]
async fn for_good_is_at_once_and_later_is_no_failure() {
    let scene = Scene::alone().await;
    Act::<true>::new(&scene, Some(tenant(1)), "a", What::FailForGood).enqueue(&scene).await.unwrap();
    run_due(&scene).await;
    let dead = only(&scene).await;
    assert_eq!((dead.state.as_str(), dead.attempts, dead.most_attempts), ("dead", 1, 5));
    assert_eq!(dead.reason.as_deref(), Some("it never will"));
    let scene = Scene::alone().await;
    for of in [None, Some(tenant(1))] {
        Act::<true>::new(&scene, of, &format!("{of:?}"), What::Wait).enqueue(&scene).await.unwrap();
    }
    for _ in 0..7 {
        run_due(&scene).await;
        for job in seen(&scene).await {
            assert_eq!((job.state.as_str(), job.attempts), ("waiting", 0));
            assert!((595.0..=600.0).contains(&job.delay_secs), "{job:?}");
        }
        make_due(&scene).await;
    }
    assert_eq!(seen(&scene).await.len(), 2);
}

#[tokio::test]
async fn the_delay_of_a_job_whose_control_was_killed_is_the_kinds_own() {
    let scene = Scene::alone().await;
    let of = Some(tenant(1));
    Act::<true>::new(&scene, of, "a", What::Work).enqueue(&scene).await.unwrap();
    // As a control leaves it that was killed an hour ago.
    sql(
        &scene,
        "update platform_jobs._private_jobs
         set run_at = now() - interval '1 hour', locked_at = now() - interval '1 hour', locked_by = 'killed', attempts = 2
         where flags ? 'lane'",
    )
    .await;
    let stop = tokio_util::sync::CancellationToken::new();
    let ended = tokio::spawn(runner::run_kinds(scene.control.clone(), &ACTS, stop.clone()));
    until("given back", || async { only(&scene).await.state == "waiting" }).await;
    let job = only(&scene).await;
    assert_eq!(job.attempts, 2, "the try counts");
    assert!((100.0..=120.0).contains(&job.delay_secs), "{job:?}");
    assert!(job.reason.as_deref().unwrap().starts_with("its control was killed"), "{job:?}");
    stop.cancel();
    ended.await.unwrap();
}

#[tokio::test]
async fn of_a_job_that_was_replaced_while_it_ran_nothing_is_left() {
    let scene = Scene::alone().await;
    Act::<true>::new(&scene, Some(tenant(1)), "a", What::FailReplaced).enqueue(&scene).await.unwrap();
    run_due(&scene).await;
    let job = only(&scene).await;
    assert_eq!((job.state.as_str(), job.attempts), ("waiting", 0), "{job:?}");
    assert!((290.0..=300.0).contains(&job.delay_secs), "{job:?}");
    assert_eq!(listed::sweep(&scene.control).await.unwrap(), 1);
    only(&scene).await;
}

#[tokio::test]
async fn a_dead_job_is_kept_for_a_month() {
    let scene = Scene::alone().await;
    Act::<true>::new(&scene, None, "a", What::FailForGood).enqueue(&scene).await.unwrap();
    Act::<true>::new(&scene, None, "b", What::Wait).enqueue(&scene).await.unwrap();
    run_due(&scene).await;
    let age = async |days: u32| {
        let text =
            format!("update platform_jobs._private_jobs set updated_at = now() - interval '{days} days'");
        sql(&scene, &text).await;
    };
    age(29).await;
    assert_eq!(listed::sweep(&scene.control).await.unwrap(), 0);
    age(31).await;
    assert_eq!(listed::sweep(&scene.control).await.unwrap(), 1);
    assert_eq!(only(&scene).await.state, "waiting");
}

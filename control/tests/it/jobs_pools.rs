//! Jobs of one tenant do not delay those of another, and a pool does not delay another pool.

use std::time::Duration;

use control::failure::Failure;
use control::jobs::runner;
use tokio_util::sync::CancellationToken;

use crate::acts::{ACTS, Act, What, release, tenant};
use crate::jobs::{sql, until};
use crate::scale::scaled;
use crate::scene::Scene;

/// How soon other tenants' jobs must run while jobs hang.
const PROMPT: Duration = Duration::from_secs(5);

#[tokio::test]
async fn hung_jobs_of_four_tenants_keep_nobody_waiting() {
    let scene = Scene::alone().await;
    let mut hung = Vec::new();
    for number in 1..=4 {
        for name in 0..20 {
            let name = format!("{number}/{name}");
            hung.push(Act::<true>::new(&scene, Some(tenant(number)), &name, What::Hang));
        }
    }
    for act in &hung {
        act.enqueue(&scene).await.unwrap();
    }
    // Two controls. Eight jobs that hang are as many as both run of the other pool.
    let stop = CancellationToken::new();
    let runner = || tokio::spawn(runner::run_kinds(scene.control.clone(), &ACTS, stop.clone()));
    let (first, second) = (runner(), runner());
    let hangs = || async { hung.iter().all(|act| act.running()[0] == 2) };
    until("each has two that hang", hangs).await;
    for round in 0..5 {
        let mail = Act::<true>::new(&scene, Some(tenant(5)), &format!("fifth {round}"), What::Work);
        mail.enqueue(&scene).await.unwrap();
        let took = until("the fifth tenant's", || async { mail.is_done() }).await;
        let other = Act::<false>::new(&scene, Some(tenant(1)), &format!("upkeep {round}"), What::Work);
        other.enqueue(&scene).await.unwrap();
        let other_took = until("the first tenant's of another pool", || async { other.is_done() }).await;
        eprintln!(
            "beside 80 hung jobs: mail of a fifth tenant after {took:?}, another pool after {other_took:?}"
        );
        assert!(took < PROMPT && other_took < PROMPT);
    }
    assert!(hangs().await);
    release(&scene);
    let took = until("those that hung", || async { hung.iter().all(Act::is_done) }).await;
    eprintln!("80 jobs of four tenants, two at once each, took {took:?} after they hung no more");
    assert!(hung.iter().all(|act| act.running() == [0, 2]), "never more than two of a tenant");
    stop.cancel();
    first.await.unwrap();
    second.await.unwrap();
}

#[tokio::test]
async fn many_jobs_of_one_tenant_are_done_soon() {
    let scene = Scene::alone().await;
    let stop = CancellationToken::new();
    let ended = tokio::spawn(runner::run_kinds(scene.control.clone(), &ACTS, stop.clone()));
    let acts: Vec<_> = (0..scaled(100, 1_000))
        .map(|name| Act::<true>::new(&scene, Some(tenant(1)), &name.to_string(), What::Work))
        .collect();
    let began = tokio::time::Instant::now();
    for act in &acts {
        // Where too many wait.
        while act.enqueue(&scene).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    until("all", || async { acts.iter().all(Act::is_done) }).await;
    let each = began.elapsed() / u32::try_from(acts.len()).unwrap();
    eprintln!("{} jobs of one tenant, one after another: {each:?} each", acts.len());
    assert!(each < Duration::from_millis(100), "two of them wait for the clock each time: {each:?}");
    stop.cancel();
    ended.await.unwrap();
}

#[tokio::test]
async fn a_tenant_has_so_many_waiting_and_others_do_not_notice() {
    let scene = Scene::alone().await;
    let act = |number, name: &str| Act::<true>::new(&scene, Some(tenant(number)), name, What::Work);
    for name in 0..30 {
        act(1, &name.to_string()).enqueue(&scene).await.unwrap();
    }
    let full = async |name: &str| match act(1, name).enqueue(&scene).await {
        Ok(()) => false,
        Err(Failure::Busy("waiting jobs")) => true,
        Err(other) => panic!("{other}"),
    };
    assert!(full("one more").await);
    assert!(!full("7").await, "it takes the place of another");
    act(2, "another tenant's").enqueue(&scene).await.unwrap();
    Act::<false>::new(&scene, Some(tenant(1)), "another kind", What::Work).enqueue(&scene).await.unwrap();
    Act::<true>::new(&scene, None, "nobody's", What::Work).enqueue(&scene).await.unwrap();
    assert!(full("one more").await);
    // Running and dead jobs do not count as waiting.
    sql(
        &scene,
        "update platform_jobs._private_jobs set locked_at = now(), locked_by = 'other' where key like '%/3';
         update platform_jobs._private_jobs set attempts = max_attempts where key like '%/4'",
    )
    .await;
    assert!(!full("in the place of 3").await);
    assert!(!full("in the place of 4").await);
    assert!(full("one more").await);
}

//! The measurements of `control/benches` run to their end. How long anything takes is nothing that a test can judge.

#[path = "../../benches/ratios/bench/mod.rs"]
mod measured;

use measured::Options;

use crate::scene::superuser_url;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_measurements_run_to_their_end() {
    let random: [u8; 8] = control::world::random().unwrap();
    let name = format!("wgt_{}", random.map(|byte| format!("{byte:02x}")).concat());
    let options = Options {
        database_url: superuser_url(),
        name,
        users: 600,
        tenants: 2,
        users_each: 60,
        rounds: 2,
        seconds: 0.05,
    };
    let (report, plans) = measured::run(&options).await.unwrap();
    let text = report.to_string();
    for lists in &report.lists {
        assert!(lists.lines.iter().all(|it| it.api.median > 0.0 && it.store.median > 0.0), "{text}");
    }
    assert!(report.sealing.times.iter().all(|it| it.sealed.median > 0.0 && it.clear.median > 0.0), "{text}");
    assert!(report.sealing.bytes.iter().all(|(_, bytes)| *bytes > 0), "{text}");
    assert!(report.audit.iter().all(|it| it.chained > 0.0 && it.unchained > 0.0), "{text}");
    serde_json::to_string(&report).unwrap();
    for part in
        ["# One large tenant", "from search_tokens", "update platform.audit_heads", "actual time", "Buffers"]
    {
        assert!(plans.contains(part), "{part}: {plans}");
    }
    // Users with a role are counted in the index of roles alone.
    let section = plans.split("## ").find(|part| part.starts_with("filtered: role=client")).unwrap();
    let count = section.split("duration: ").find(|plan| plan.contains("count(*)"));
    assert!(count.is_some_and(|plan| !plan.contains("on users u ")), "{section}");

    // The next run finds what is there.
    let (again, _) = measured::run(&options).await.unwrap();
    assert!(again.to_string().contains("by a run of before"));
}

//! Revisions: commit order, all or nothing, one row a thing.

use control::audit::Actor;
use control::db::changes::Priority;
use control::users;
use serde_json::json;
use shared::ids::UserId;
use sqlx::Row as _;

use crate::scene::Scene;

/// (kind, subject, rev, deleted) of every row of the tenant, in the order of revisions.
async fn rows(scene: &Scene) -> Vec<(String, String, i64, bool)> {
    let rows = sqlx::query(
        "select kind, subject, rev, deleted_at is not null from platform.edge_rows where tenant_id = $1 order by rev",
    )
    .bind(scene.tenant.id.uuid())
    .fetch_all(scene.control.db.app())
    .await
    .unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3))).collect()
}

async fn counter(scene: &Scene) -> i64 {
    sqlx::query_scalar("select rev from platform.revisions where tenant_id = $1")
        .bind(scene.tenant.id.uuid())
        .fetch_one(scene.control.db.app())
        .await
        .unwrap()
}

#[tokio::test]
async fn a_change_its_entry_and_its_edge_row_commit_together_or_not_at_all() {
    let scene = Scene::new().await;
    let bob = scene.member("bob", "client").await;
    let before = (rows(&scene).await, counter(&scene).await, scene.logged().await);
    let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
    users::end_sessions(&scene.control, &mut tx, &Actor::operator(), bob.id).await.unwrap();
    drop(tx);
    assert_eq!((rows(&scene).await, counter(&scene).await, scene.logged().await), before);
    assert_eq!(scene.user(bob.id).await.access_epoch, 0);

    let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
    users::end_sessions(&scene.control, &mut tx, &Actor::operator(), bob.id).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(scene.user(bob.id).await.access_epoch, 1);
    assert_eq!(counter(&scene).await, before.1 + 1);
    assert_eq!(scene.logged().await.last().unwrap(), "sessions.ended");
    let last = rows(&scene).await.pop().unwrap();
    assert_eq!((last.0.as_str(), last.1, last.2), ("user", bob.id.to_string(), before.1 + 1));
}

/// A commit that took a later revision must not be visible while an earlier one is not: a reader of the counter and
/// the rows sees every revision up to the counter.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revision_order_is_commit_order_under_concurrency() {
    let scene = Scene::new().await;
    let seed: u64 = u64::from_be_bytes(control::world::random().unwrap());
    #[allow(clippy::print_stdout, reason = "the seed replays a failure")]
    {
        println!("seed {seed}");
    }
    let mut users = Vec::new();
    for n in 0..8 {
        users.push(scene.member(&format!("p{n}"), "client").await.id);
    }
    let writers = (0..8_u64).map(|writer| {
        let (control, tenant, users) = (scene.control.clone(), scene.tenant.id, users.clone());
        tokio::spawn(async move {
            let mut dice = seed ^ writer;
            for _ in 0..20 {
                dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let mut tx = control.db.tenant_tx(tenant).await.unwrap();
                let user: UserId = users[usize::try_from(dice >> 60 & 7).unwrap()];
                tx.changes().user(tenant, user, Priority::InTurn);
                tx.changes().identifier(tenant, &format!("hash-{writer}-{}", dice >> 32 & 15));
                tokio::time::sleep(std::time::Duration::from_millis(dice >> 40 & 3)).await;
                tx.commit().await.unwrap();
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    let (mut seen, mut looks) = (0, 0);
    while writers.iter().any(|writer| !writer.is_finished()) {
        let mut tx = scene.control.db.tenant_snapshot(scene.tenant.id).await.unwrap();
        let row = sqlx::query(
            "select r.rev, coalesce(max(e.rev), 0), count(*) filter (where e.rev > $2)
             from platform.revisions r left join platform.edge_rows e on e.tenant_id = r.tenant_id
             where r.tenant_id = $1 group by r.rev",
        )
        .bind(scene.tenant.id.uuid())
        .bind(seen)
        .fetch_one(&mut *tx)
        .await
        .unwrap();
        let (rev, newest): (i64, i64) = (row.get(0), row.get(1));
        assert_eq!(rev, newest, "the counter is the newest row's");
        assert!(rev >= seen);
        (seen, looks) = (rev, looks + 1);
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert!(looks > 0);
    let rows = rows(&scene).await;
    let revs: std::collections::BTreeSet<_> = rows.iter().map(|row| row.2).collect();
    assert_eq!(revs.len(), rows.len(), "no two rows have one revision");
    assert_eq!(counter(&scene).await, *revs.last().unwrap());
}

#[tokio::test]
async fn a_row_moves_instead_of_multiplying_and_a_deletion_stays_as_a_tombstone() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "root-admin").await;
    let made =
        ada.post("/api/user/users/", json!({"username": "bob", "email": "bob@acme.test"})).await.expect(201);
    let path = format!("/api/user/users/{}/", made.id());
    for roles in [["staff"], ["client"], ["staff"]] {
        ada.patch(&path, json!({"roles": roles})).await.expect(200);
    }
    let of_bob = |rows: Vec<(String, String, i64, bool)>| {
        rows.into_iter().filter(|row| row.1 == made.id().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(of_bob(rows(&scene).await).len(), 1);
    ada.delete(&path).await.expect(204);
    let gone = of_bob(rows(&scene).await);
    assert!(gone.len() == 1 && gone[0].3, "{gone:?}");
    let tombstones = rows(&scene).await.into_iter().filter(|row| row.3).count();
    assert_eq!(tombstones, 3, "the person and both names");
}

#[tokio::test]
async fn tombstones_leave_a_day_after_they_were_confirmed() {
    let scene = Scene::alone().await;
    let ada = scene.member("ada", "root-admin").await;
    let bob = scene.member("bob", "client").await;
    ada.delete(&format!("/api/user/users/{}/", bob.id)).await.expect(204);
    let sweep = || control::edges::sweep::tombstones(&scene.control);
    scene.push().await;
    assert_eq!(sweep().await.unwrap(), 0, "young");
    scene.control.clock.advance(chrono::TimeDelta::hours(25));
    assert_eq!(sweep().await.unwrap(), 2, "the person and the name");
    // One that the edge has not confirmed stays, however old.
    let cyd = scene.member("cyd", "client").await;
    let ada = scene.acting_as(&scene.user(ada.id).await).await;
    ada.delete(&format!("/api/user/users/{}/", cyd.id)).await.expect(204);
    scene.control.clock.advance(chrono::TimeDelta::hours(25));
    assert_eq!(sweep().await.unwrap(), 0);
}

//! The chain of the audit log. Entries get consecutive positions at COMMIT, in every cell, however many
//! transactions write at once.

use control::audit::{self, Action, Actor};
use control::db::TenantTx;
use control::db::chain::{GENESIS, Link};
use serde_json::json;
use shared::ids::TenantId;
use sqlx::AssertSqlSafe;

use crate::scene::{Scene, new_tenant};

#[derive(sqlx::FromRow)]
struct Stored {
    #[sqlx(flatten)]
    link: Link,
    hash: Vec<u8>,
}

impl Scene {
    /// The entries of the tenant's log, each of which follows the one before.
    pub async fn chain(&self) -> Vec<Link> {
        let text = format!(
            "select * from {}.audit_entries where tenant_id = $1 order by position",
            self.tenant.cell
        );
        let rows: Vec<Stored> = sqlx::query_as(AssertSqlSafe(text))
            .bind(self.tenant.id.uuid())
            .fetch_all(&mut self.database.admin().await)
            .await
            .unwrap();
        let (mut before, mut recorded_at) = (GENESIS, None);
        for (place, row) in (1..).zip(&rows) {
            assert_eq!(row.link.position, place);
            assert_eq!(row.link.hash(&before).as_slice(), row.hash, "entry {place}");
            assert!(recorded_at <= Some(row.link.recorded_at), "entry {place}");
            (before, recorded_at) = (row.link.hash(&before), Some(row.link.recorded_at));
        }
        rows.into_iter().map(|row| row.link).collect()
    }

    async fn begin(&self) -> TenantTx {
        self.control.db.work_tx(self.tenant.id).await.unwrap()
    }

    fn note(&self, tx: &mut TenantTx, target: &str) {
        let now = self.control.clock.now();
        audit::record(tx, &Actor::operator(), now, Action::UserEdited, Some(target.into()), json!({}));
    }
}

fn targets(chain: &[Link]) -> Vec<&str> {
    chain.iter().filter_map(|link| link.target.as_deref()).filter(|target| !target.contains('-')).collect()
}

#[tokio::test]
async fn what_is_undone_leaves_no_gap() {
    for scene in [Scene::new().await, Scene::shared().await] {
        let before = scene.chain().await.len();
        for (target, commits) in [("one", true), ("two", false), ("three", true)] {
            let mut tx = scene.begin().await;
            scene.note(&mut tx, target);
            if commits { tx.commit().await.unwrap() } else { drop(tx) }
        }
        let chain = scene.chain().await;
        assert_eq!((chain.len(), targets(&chain)), (before + 2, vec!["one", "three"]));
    }
}

#[tokio::test]
async fn an_entry_belongs_to_the_tenant_in_which_it_was_noted() {
    for scene in [Scene::new().await, Scene::shared().await] {
        let platform = scene.platform().await;
        let mut tx = platform.begin().await;
        let mark = scene.tenant.id.uuid().simple().to_string();
        scene.note(&mut tx, &format!("{mark}1"));
        tx.enter(&scene.control.db, scene.tenant.id).await.unwrap();
        scene.note(&mut tx, "two");
        scene.note(&mut tx, "three");
        tx.enter(&scene.control.db, platform.tenant.id).await.unwrap();
        scene.note(&mut tx, &format!("{mark}4"));
        tx.enter(&scene.control.db, scene.tenant.id).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(targets(&scene.chain().await), ["two", "three"]);
        let chain = platform.chain().await;
        let own: Vec<_> = targets(&chain).into_iter().filter(|target| target.starts_with(&mark)).collect();
        assert_eq!(own, [format!("{mark}1"), format!("{mark}4")]);
    }
}

/// Some write into several logs, in either order, and some change what the edge must learn as well.
#[tokio::test]
async fn sixteen_writers_at_once_make_one_chain_without_a_gap() {
    let scene = std::sync::Arc::new(Scene::alone().await);
    let neighbour = new_tenant(&scene.control, control::tenants::Isolation::Shared).await.id;
    let writers = (0..16).map(|writer| {
        let scene = scene.clone();
        tokio::spawn(async move {
            for turn in 0..8 {
                write(&scene, neighbour, writer, turn).await;
            }
        })
    });
    for writer in futures::future::join_all(writers).await {
        writer.unwrap();
    }
    let chain = scene.chain().await;
    let mut written = targets(&chain);
    let last: Vec<_> = written.iter().filter(|target| target.starts_with("w0t")).copied().collect();
    assert_eq!(last, ["w0t0", "w0t1", "w0t2", "w0t3", "w0t4", "w0t5", "w0t6", "w0t7"]);
    written.sort_unstable();
    written.dedup();
    assert_eq!(written.len(), 16 * 8);
    let platform = scene.platform().await;
    assert_eq!(targets(&platform.chain().await).len(), 16 * 4);
}

async fn write(scene: &Scene, neighbour: TenantId, writer: usize, turn: usize) {
    let platform = scene.control.db.platform().await.unwrap();
    let target = format!("w{writer}t{turn}");
    let begun = if writer.is_multiple_of(2) { scene.tenant.id } else { platform };
    let mut tx = loop {
        // More writers than the pool has connections: each asks until it has one.
        match scene.control.db.work_tx(begun).await {
            Ok(tx) => break tx,
            Err(failure) if failure.is_passing() => {}
            Err(failure) => panic!("{failure}"),
        }
    };
    let mut logs = vec![scene.tenant.id];
    logs.extend(turn.is_multiple_of(2).then_some(platform));
    logs.extend(writer.is_multiple_of(4).then_some(neighbour));
    if writer.is_multiple_of(2) {
        logs.reverse();
    }
    for log in logs {
        tx.enter(&scene.control.db, log).await.unwrap();
        scene.note(&mut tx, &target);
        // The counters of changes are locked first: with them alone, no order of the logs would matter.
        if turn.is_multiple_of(4) {
            tx.changes().document(log, control::db::changes::Priority::InTurn);
        }
    }
    tx.commit().await.unwrap();
}

/// Every administrator of the platform writes into its log.
#[tokio::test]
async fn a_tenant_whose_cell_hangs_does_not_hold_the_log_of_the_platform() {
    let scene = Scene::alone().await;
    let platform = scene.platform().await;
    let mut owner = scene.database.admin().await;
    let lock = format!("begin; lock table {}.audit_entries in access exclusive mode", scene.tenant.cell);
    sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut owner).await.unwrap();
    let mut both = platform.begin().await;
    platform.note(&mut both, "both");
    both.enter(&scene.control.db, scene.tenant.id).await.unwrap();
    scene.note(&mut both, "both");
    let both = tokio::spawn(both.commit());
    let mut watch = scene.database.admin().await;
    let waits = "select exists (select from pg_locks where not granted)";
    while !sqlx::query_scalar::<_, bool>(waits).fetch_one(&mut watch).await.unwrap() {
        tokio::task::yield_now().await;
    }
    let mut alone = platform.begin().await;
    platform.note(&mut alone, "alone");
    let commit = tokio::time::timeout(std::time::Duration::from_secs(20), alone.commit());
    commit.await.expect("the head of the platform's log is free").unwrap();
    sqlx::raw_sql("rollback").execute(&mut owner).await.unwrap();
    both.await.unwrap().unwrap();
    assert_eq!(targets(&platform.chain().await), ["alone", "both"]);
    assert_eq!(targets(&scene.chain().await), ["both"]);
}

/// The clock of the database went back by a year.
#[tokio::test]
async fn the_time_of_recording_never_falls() {
    let scene = Scene::new().await;
    let later = format!(
        "update platform.audit_heads set recorded_at = now() + interval '1 year' where tenant_id = '{}'",
        scene.tenant.id
    );
    sqlx::raw_sql(AssertSqlSafe(later)).execute(&mut scene.database.admin().await).await.unwrap();
    for target in ["one", "two"] {
        let mut tx = scene.begin().await;
        scene.note(&mut tx, target);
        tx.commit().await.unwrap();
    }
    let chain = scene.chain().await;
    let [.., one, two] = chain.as_slice() else { panic!("two entries") };
    assert!(one.recorded_at > one.at + chrono::TimeDelta::days(300));
    assert!(two.recorded_at >= one.recorded_at);
}

#[tokio::test]
async fn a_fact_that_arrives_twice_is_one_entry() {
    for scene in [Scene::new().await, Scene::shared().await] {
        let fact = |id| audit::Fact {
            event_id: uuid::Uuid::from_u128(id),
            at: scene.control.clock.now(),
            action: "edge.signed_in".into(),
            user: None,
            network: Some("192.0.2.7".into()),
            details: json!({}),
        };
        // Within a transaction, and in one after the other.
        for ids in [&[1, 2, 1][..], &[2, 3], &[1, 2, 3]] {
            let mut tx = scene.begin().await;
            ids.iter().for_each(|id| audit::record_fact(&mut tx, fact(*id)));
            tx.commit().await.unwrap();
        }
        // Two that neither saw the other.
        let (mut one, mut other) = (scene.begin().await, scene.begin().await);
        audit::record_fact(&mut one, fact(4));
        audit::record_fact(&mut other, fact(4));
        let (one, other) = futures::future::join(one.commit(), other.commit()).await;
        one.and(other).unwrap();
        let chain = scene.chain().await;
        let facts: Vec<_> = chain.iter().filter_map(|link| link.event_id).map(|id| id.as_u128()).collect();
        assert_eq!(facts, [1, 2, 3, 4]);
    }
}

//! From a commit to the edge: in order, in pages, past a backlog, after every kind of trouble.

use std::sync::Arc;
use std::time::Duration;

use control::audit::Actor;
use control::db::changes::Priority;
use control::edges::LaneError;
use control::edges::{pusher, reseed, status, urgent};
use control::failure::Failure;
use control::legacy::ids;
use control::users::{self, Change};
use shared::epochs;
use shared::ids::UserId;
use shared::user::UserStatus;
use shared::wire::needs::Needs;
use shared::wire::push::Mark;
use sqlx::AssertSqlSafe;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::scene::Scene;

async fn change(scene: &Scene, id: UserId, change: Change) {
    let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
    users::change(&scene.control, &mut tx, &Actor::operator(), id, change).await.unwrap();
    tx.commit().await.unwrap();
}

fn suspended() -> Change {
    Change { status: Some(UserStatus::Suspended), ..Change::default() }
}

async fn delete(scene: &Scene, id: UserId) {
    let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
    users::delete(&scene.control, &mut tx, &Actor::operator(), id).await.unwrap();
    tx.commit().await.unwrap();
}

/// Many users by SQL, each noted for the edge: a backlog.
async fn crowd(scene: &Scene, count: u16) {
    let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
    let tenant = scene.tenant.id;
    for n in 0..count {
        let random: [u8; 8] = control::world::random().unwrap();
        let mut tail = [0; 10];
        tail[..8].copy_from_slice(&random);
        let id = UserId::new(u64::from(n), tail);
        sqlx::query(
            "insert into users
                 (tenant_id, id, username, first_name, last_name, phone, status, created_at, updated_at)
             values ($1, $2, $3, '', '', '', 'active', now(), now())",
        )
        .bind(tenant.uuid())
        .bind(id.uuid())
        .bind(format!("crowd{n}").into_bytes())
        .execute(&mut *tx)
        .await
        .unwrap();
        tx.changes().user(tenant, id, Priority::InTurn);
    }
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn what_is_committed_is_what_the_edge_has() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "root-admin").await;
    let bob = scene.member("bob", "client").await;
    scene.push().await;
    assert_eq!(scene.edge.counts(scene.tenant.id), (2, 2));
    let row = scene.edge.user(scene.tenant.id, ada.id).unwrap();
    assert_eq!(
        (row.status, row.roles, row.verifier),
        (UserStatus::Active, vec!["root-admin".to_owned()], None)
    );
    change(&scene, bob.id, suspended()).await;
    scene.push().await;
    let row = scene.edge.user(scene.tenant.id, bob.id).unwrap();
    assert_eq!((row.status, row.access_epoch, row.session_epoch), (UserStatus::Suspended, 1, 1));
    let taken = scene.edge.state().taken.len();
    scene.push().await;
    assert_eq!(scene.edge.state().taken.len(), taken, "nothing is missing, so nothing is sent");
}

#[tokio::test]
async fn pages_follow_the_mark() {
    let scene = Scene::new().await;
    crowd(&scene, 1200).await;
    scene.push().await;
    assert_eq!(scene.edge.counts(scene.tenant.id).0, 1200);
    let state = scene.edge.state();
    let ranges: Vec<_> = state.taken.iter().map(|push| push.complete.unwrap()).collect();
    assert_eq!(ranges.len(), 3);
    assert!(ranges.windows(2).all(|pair| pair[0].to == pair[1].from), "{ranges:?}");
    assert!(state.taken.iter().all(|push| push.rows() <= 500));
}

#[tokio::test]
async fn a_revocation_goes_past_a_backlog() {
    let scene = Scene::new().await;
    let bob = scene.member("bob", "client").await;
    scene.push().await;
    scene.edge.state().refuse_ranges = true;
    crowd(&scene, 700).await;
    change(&scene, bob.id, suspended()).await;
    assert!(pusher::push_now(&scene.control, scene.tenant.id).await.is_err(), "the backlog is stuck");
    let row = scene.edge.user(scene.tenant.id, bob.id).unwrap();
    assert_eq!((row.status, row.session_epoch), (UserStatus::Suspended, 1));
    let sent = scene.edge.state().taken.len();
    urgent::push(&scene.control, scene.tenant.id).await.unwrap();
    assert_eq!(scene.edge.state().taken.len(), sent, "once is enough");
    scene.edge.state().refuse_ranges = false;
    scene.push().await;
    assert_eq!(scene.edge.counts(scene.tenant.id).0, 701);
}

#[tokio::test]
async fn an_edge_that_lost_its_mark_is_continued_from_where_it_is() {
    let scene = Scene::new().await;
    let bob = scene.member("bob", "client").await;
    scene.push().await;
    let earlier = scene.edge.mark(scene.tenant.id);
    scene.member("cyd", "client").await;
    scene.push().await;
    // D1 was restored to the earlier mark; control believes it further on.
    scene.edge.state().marks.insert(scene.tenant.id, earlier);
    change(&scene, bob.id, suspended()).await;
    scene.push().await;
    assert_eq!(scene.edge.counts(scene.tenant.id), (2, 2));
    assert_eq!(scene.edge.user(scene.tenant.id, bob.id).unwrap().status, UserStatus::Suspended);
}

#[tokio::test]
async fn a_mark_below_swept_tombstones_gets_a_snapshot() {
    let scene = Scene::alone().await;
    let bob = scene.member("bob", "client").await;
    for n in 0..10 {
        scene.member(&format!("p{n}"), "client").await;
    }
    scene.push().await;
    let with_bob = scene.edge.mark(scene.tenant.id);
    let kept: Vec<_> = {
        let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
        let rows = users::in_order(100, 0);
        users::list(&mut tx, &users::Matching::default(), &rows)
            .await
            .unwrap()
            .into_iter()
            .map(|user| user.id)
            .collect()
    };
    for id in &kept[1..6] {
        delete(&scene, *id).await;
    }
    delete(&scene, bob.id).await;
    // The deletions were not pushed: the edge keeps the rows while control considers them confirmed.
    let fresh = scene.edge.state().marks.clone();
    let rev = sqlx::query_scalar::<_, i64>("select rev from platform.revisions where tenant_id = $1")
        .bind(scene.tenant.id.uuid())
        .fetch_one(scene.control.db.relay())
        .await
        .unwrap();
    sqlx::query("update platform.revisions set mark = rev where tenant_id = $1")
        .bind(scene.tenant.id.uuid())
        .execute(scene.control.db.relay())
        .await
        .unwrap();
    scene.control.clock.advance(chrono::TimeDelta::hours(25));
    assert_eq!(control::edges::sweep::tombstones(&scene.control).await.unwrap(), 12);
    assert_eq!(fresh[&scene.tenant.id], with_bob);
    assert!(with_bob.rev < rev);
    scene.member("new", "client").await;
    scene.push().await;
    assert_eq!(scene.edge.counts(scene.tenant.id), (6, 6));
    assert!(scene.edge.user(scene.tenant.id, bob.id).is_none());
    let sweeps = scene.edge.state().taken.iter().filter(|push| push.snapshot.is_some()).count();
    assert!(sweeps >= 3, "a page, and sweeps in chunks of three");
}

#[tokio::test]
async fn a_platform_snapshot_sweeps_names_too() {
    let scene = Scene::alone().await;
    let platform = scene.platform().await;
    platform.push().await;
    let slug = format!("slug:{}", scene.tenant.slug);
    assert!(scene.edge.name(&slug).is_some());
    // The name's row is gone without a trace here, as after a restore; a new history follows.
    let mut admin = scene.database.admin().await;
    let forget = format!("delete from platform.edge_rows where subject = '{slug}'");
    sqlx::raw_sql(AssertSqlSafe(forget)).execute(&mut admin).await.unwrap();
    reseed::reseed(&scene.control, &Actor::operator(), platform.tenant.id).await.unwrap();
    platform.push().await;
    assert_eq!(scene.edge.name(&slug), None);
    assert_eq!(scene.edge.name("slug:platform"), Some(platform.tenant.id));
}

#[tokio::test]
async fn a_restored_control_halts_until_a_reseed() {
    let scene = Scene::new().await;
    let bob = scene.member("bob", "client").await;
    scene.push().await;
    let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
    ids::continue_after(&mut tx, 41).await.unwrap();
    tx.commit().await.unwrap();
    // The edge has seen more than this database: it was restored from a backup.
    let ahead = Mark { history: 1, rev: 1_000 };
    scene.edge.state().marks.insert(scene.tenant.id, ahead);
    change(&scene, bob.id, suspended()).await;
    let halted = pusher::push_now(&scene.control, scene.tenant.id).await;
    assert!(matches!(halted, Err(LaneError::Failure(Failure::Halted))), "{halted:?}");
    let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
    let resume = Change { status: Some(UserStatus::Active), ..Change::default() };
    users::change(&scene.control, &mut tx, &Actor::operator(), bob.id, resume).await.unwrap();
    assert!(matches!(tx.commit().await, Err(Failure::Halted)), "nothing is written");
    let shown = status::all(&scene.control, true).await.unwrap();
    let shown = shown.iter().find(|row| row.tenant == scene.tenant.id.uuid()).unwrap();
    assert!(shown.halted.as_deref().unwrap().contains("1/1000"));

    let history = reseed::reseed(&scene.control, &Actor::operator(), scene.tenant.id).await.unwrap();
    assert_eq!(history, 2);
    scene.push().await;
    let row = scene.edge.user(scene.tenant.id, bob.id).unwrap();
    assert_eq!(
        (row.access_epoch, row.session_epoch),
        (1, 1),
        "the history is above them, and no row changes"
    );
    assert_eq!(scene.edge.mark(scene.tenant.id).history, 2);
    assert_eq!(scene.edge.state().documents[&scene.tenant.id].needs, Needs::of(&[epochs::NEED]));
    // A number that a user got since the backup is not given to another user.
    let late = scene.member("late", "client").await;
    scene.push().await;
    let number = scene.edge.user(scene.tenant.id, late.id).unwrap().legacy_id.unwrap();
    assert!(number.parse::<i64>().unwrap() >= 1 << 20, "{number}");
    change(&scene, bob.id, Change { status: Some(UserStatus::Active), ..Change::default() }).await;
    scene.push().await;
    assert_eq!(scene.edge.user(scene.tenant.id, bob.id).unwrap().status, UserStatus::Active);
}

/// Rows of a new history that arrive before its document would be checked against the old floor.
#[tokio::test]
async fn a_reseed_sends_the_document_first_and_changes_no_user() {
    let scene = Scene::new().await;
    crowd(&scene, 700).await;
    scene.push().await;
    let users = "select count(*) from platform.edge_rows where tenant_id = $1 and kind = 'user' and urgent";
    let at = "select max(updated_at)::text from users";
    let updated = async || {
        let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
        sqlx::query_scalar::<_, String>(at).fetch_one(&mut *tx).await.unwrap()
    };
    let before = updated().await;
    reseed::reseed(&scene.control, &Actor::operator(), scene.tenant.id).await.unwrap();
    assert_eq!(updated().await, before);
    let urgent_users = sqlx::query_scalar::<_, i64>(users).bind(scene.tenant.id.uuid());
    assert_eq!(urgent_users.fetch_one(scene.control.db.relay()).await.unwrap(), 0);
    let first_of_the_new = || {
        let state = scene.edge.state();
        let first = state.taken.iter().find(|push| push.history == 2).unwrap();
        (first.document.is_some(), first.users.len())
    };
    urgent::push(&scene.control, scene.tenant.id).await.unwrap();
    assert_eq!(first_of_the_new(), (true, 0), "ahead of the backlog");
    scene.edge.state().taken.clear();
    scene.push().await;
    assert_eq!(first_of_the_new(), (true, 0), "and in the snapshot");
    assert_eq!(scene.edge.counts(scene.tenant.id).0, 700);
}

/// The backup was the wrong one, and another is restored while the snapshot of the first is on its way: sessions
/// and rows of the first must end, too.
#[tokio::test]
async fn a_second_restore_begins_above_the_first() {
    let scene = Scene::new().await;
    scene.push().await;
    let restore = || async {
        let back = "update platform.revisions set history = 1 where tenant_id = $1";
        let mut admin = scene.database.admin().await;
        sqlx::query(back).bind(scene.tenant.id.uuid()).execute(&mut admin).await.unwrap();
        reseed::reseed(&scene.control, &Actor::operator(), scene.tenant.id).await.unwrap()
    };
    assert_eq!(restore().await, 2);
    urgent::push(&scene.control, scene.tenant.id).await.unwrap();
    assert_eq!(scene.edge.mark(scene.tenant.id).history, 1, "the snapshot is not whole");
    assert_eq!(restore().await, 3);
    scene.push().await;
    assert_eq!(scene.edge.mark(scene.tenant.id).history, 3);
}

/// Thousands of revocations at once go in their order, each once; the document still goes ahead.
#[tokio::test]
async fn a_mass_revocation_is_a_backlog_itself() {
    let scene = Scene::new().await;
    crowd(&scene, 2100).await;
    scene.push().await;
    let suspend = async |tx: &mut control::db::TenantTx| {
        let tenant = scene.tenant.id;
        let all = "update users set status = 'suspended', access_epoch = 1, session_epoch = 1
                   where username like 'crowd%'::bytea returning id";
        let ids = sqlx::query_scalar::<_, uuid::Uuid>(all).fetch_all(&mut **tx).await.unwrap();
        ids.into_iter().for_each(|id| tx.changes().user(tenant, id.into(), Priority::Revokes));
    };
    let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
    suspend(&mut tx).await;
    tx.commit().await.unwrap();
    scene.edge.state().taken.clear();
    urgent::push(&scene.control, scene.tenant.id).await.unwrap();
    assert_eq!(scene.edge.state().taken.len(), 0);
    let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
    tx.changes().document(scene.tenant.id, Priority::Revokes);
    tx.commit().await.unwrap();
    urgent::push(&scene.control, scene.tenant.id).await.unwrap();
    let ahead: Vec<_> =
        scene.edge.state().taken.iter().map(|push| (push.document.is_some(), push.rows())).collect();
    assert_eq!(ahead, [(true, 1)]);
    scene.push().await;
    let users: usize = scene.edge.state().taken.iter().map(|push| push.users.len()).sum();
    assert_eq!(users, 2100, "each once");
    let waiting = "select count(*) from platform.edge_rows where tenant_id = $1 and urgent";
    let waiting = sqlx::query_scalar::<_, i64>(waiting).bind(scene.tenant.id.uuid());
    assert_eq!(waiting.fetch_one(scene.control.db.relay()).await.unwrap(), 0);
}

#[tokio::test]
async fn a_later_history_at_the_edge_halts_too() {
    let scene = Scene::new().await;
    scene.push().await;
    scene.edge.state().marks.insert(scene.tenant.id, Mark { history: 5, rev: 1 });
    scene.member("bob", "client").await;
    let halted = pusher::push_now(&scene.control, scene.tenant.id).await;
    assert!(matches!(halted, Err(LaneError::Failure(Failure::Halted))), "{halted:?}");
    assert_eq!(reseed::reseed(&scene.control, &Actor::operator(), scene.tenant.id).await.unwrap(), 6);
    scene.push().await;
    assert_eq!(scene.edge.mark(scene.tenant.id).history, 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_wakes_the_pusher_and_trouble_is_outlived() {
    let scene = Scene::alone().await;
    let bob = scene.member("bob", "client").await;
    let (wake, stop) = (Arc::new(Notify::new()), CancellationToken::new());
    // Two controls at once: a lease each, never a row too old.
    let other = scene.database.control(&scene.edge.url).await;
    let runs = [
        tokio::spawn(pusher::run(scene.control.clone(), wake.clone(), stop.clone())),
        tokio::spawn(pusher::run(other, wake.clone(), stop.clone())),
    ];
    let reached = |status: UserStatus| {
        let (edge, tenant) = (scene.edge.clone(), scene.tenant.id);
        async move {
            for _ in 0..6000 {
                if edge.user(tenant, bob.id).is_some_and(|row| row.status == status) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            panic!("the edge never learned {status:?}");
        }
    };
    reached(UserStatus::Active).await;
    scene.edge.state().faults.extend([503, 500, 503]);
    change(&scene, bob.id, suspended()).await;
    reached(UserStatus::Suspended).await;
    change(&scene, bob.id, Change { status: Some(UserStatus::Active), ..Change::default() }).await;
    reached(UserStatus::Active).await;
    // Revocations went ahead; the rest follows at its retry.
    let mut lagging = status::all(&scene.control, true).await.unwrap();
    for _ in 0..1200 {
        if lagging.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        lagging = status::all(&scene.control, true).await.unwrap();
    }
    assert!(lagging.is_empty(), "{lagging:?}");
    stop.cancel();
    for run in runs {
        tokio::time::timeout(Duration::from_secs(60), run).await.unwrap().unwrap();
    }
}

/// Random changes under random faults: refused calls, an edge that was restored to an earlier mark or lost
/// everything, tombstones that were deleted too early, concurrent pushes. In the end the edge has the same rows as
/// control.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_trouble_ends_in_the_same_rows() {
    let scene = Scene::new().await;
    let seed = u64::from_be_bytes(control::world::random().unwrap());
    #[allow(clippy::print_stdout, reason = "the seed replays a failure")]
    {
        println!("seed {seed}");
    }
    let mut dice = seed;
    let mut roll = move |sides: u64| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (dice >> 33) % sides
    };
    let mut users = vec![scene.member("root", "root-admin").await.id];
    let mut marks = vec![Mark::default()];
    for round in 0..60 {
        let someone = users[usize::try_from(roll(users.len() as u64)).unwrap()];
        match roll(10) {
            0..=2 => users.push(scene.member(&format!("p{round}"), "client").await.id),
            3 if someone != users[0] => change(&scene, someone, suspended()).await,
            4 if someone != users[0] => {
                delete(&scene, someone).await;
                users.retain(|id| *id != someone);
            }
            5 => {
                let renamed = Change { username: Some(format!("renamed{round}")), ..Change::default() };
                change(&scene, someone, renamed).await;
            }
            6 => scene.edge.state().faults.extend([503, 500]),
            7 => {
                let earlier = marks[usize::try_from(roll(marks.len() as u64)).unwrap()];
                scene.edge.state().marks.insert(scene.tenant.id, earlier);
            }
            8 => {
                // As if a day had gone by since everything so far was confirmed.
                sqlx::query(
                    "with gone as (delete from platform.edge_rows e using platform.revisions r
                        where e.tenant_id = $1 and r.tenant_id = $1 and e.deleted_at is not null and e.rev <= r.mark
                        returning e.rev)
                     update platform.revisions set swept = greatest(swept, (select max(rev) from gone))
                     where tenant_id = $1",
                )
                .bind(scene.tenant.id.uuid())
                .execute(scene.control.db.relay())
                .await
                .unwrap();
            }
            _ => {
                let push = || pusher::push_now(&scene.control, scene.tenant.id);
                let _ = tokio::join!(push(), push());
                marks.push(scene.edge.mark(scene.tenant.id));
            }
        }
    }
    scene.edge.state().faults.clear();
    // The last change makes the tenant lag, whatever control believes of the edge.
    users.push(scene.member("last", "client").await.id);
    scene.push().await;
    assert_eq!(scene.edge.counts(scene.tenant.id), (users.len(), users.len()), "seed {seed}");
    for id in users {
        let (here, there) = (scene.user(id).await, scene.edge.user(scene.tenant.id, id).unwrap());
        let there = (there.status, there.access_epoch, there.session_epoch, there.roles);
        assert_eq!((here.status, here.access_epoch, here.session_epoch, here.roles), there, "seed {seed}");
    }
}

/// A control that was rolled back edits what a later one made, and must not take its needs away.
#[tokio::test]
async fn needs_are_pushed_as_they_stand() {
    let scene = Scene::alone().await;
    let bob = scene.member("bob", "client").await;
    let later = Needs::of(&["a word of a later release"]);
    let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
    sqlx::query("update users set needs = $2 where id = $1")
        .bind(bob.id.uuid())
        .bind(["a word of a later release"])
        .execute(&mut *tx)
        .await
        .unwrap();
    sqlx::query("update platform.tenants set needs = $2 where id = $1")
        .bind(scene.tenant.id.uuid())
        .bind(["a word of a later release"])
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.changes().document(scene.tenant.id, Priority::InTurn);
    tx.commit().await.unwrap();
    change(&scene, bob.id, suspended()).await;
    scene.push().await;
    assert_eq!(scene.edge.user(scene.tenant.id, bob.id).unwrap().needs, later);
    assert_eq!(scene.edge.state().documents[&scene.tenant.id].needs, later);
}

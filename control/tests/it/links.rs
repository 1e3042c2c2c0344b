//! The tokens of links: once, for one purpose, until they expire.

use chrono::TimeDelta;
use control::links::{self, Holder, LinkKind};
use control::requests::{self, RequestKind};
use serde_json::{Value, json};

use crate::scale::scaled;
use crate::scene::Scene;

impl Scene {
    async fn link(&self, kind: LinkKind, holder: Holder) -> String {
        let mut tx = self.control.db.tenant_tx(self.tenant.id).await.unwrap();
        let token = links::make(&mut tx, kind, holder, self.control.clock.now()).await.unwrap();
        tx.commit().await.unwrap();
        token.expose().to_owned()
    }

    async fn take(&self, kind: LinkKind, token: &str) -> Option<Holder> {
        let mut tx = self.control.db.tenant_tx(self.tenant.id).await.unwrap();
        let holder = links::take(&mut tx, kind, token, self.control.clock.now()).await.unwrap();
        tx.commit().await.unwrap();
        holder
    }
}

async fn ada(scene: &Scene) -> Holder {
    Holder::User(scene.member("ada", "client").await.id)
}

#[tokio::test]
async fn a_link_is_good_once_for_its_purpose_until_it_expires() {
    for scene in [Scene::new().await, Scene::shared().await] {
        let ada = ada(&scene).await;
        for kind in LinkKind::ALL {
            let token = scene.link(kind, ada).await;
            let others = LinkKind::ALL.into_iter().filter(|other| *other != kind);
            for other in others {
                assert_eq!(scene.take(other, &token).await, None, "{kind:?} as {other:?}");
            }
            assert_eq!(scene.take(kind, &token).await, Some(ada), "{kind:?}");
            assert_eq!(scene.take(kind, &token).await, None, "a second time");
        }
        let (older, newer) = (scene.link(LinkKind::Reset, ada).await, scene.link(LinkKind::Reset, ada).await);
        assert_eq!(scene.take(LinkKind::Reset, &older).await, None, "a newer one was made");
        scene.control.clock.advance(TimeDelta::seconds(3601));
        assert_eq!(scene.take(LinkKind::Reset, &newer).await, None, "expired");
        let other = Scene::new().await;
        let token = scene.link(LinkKind::Verify, ada).await;
        assert_eq!(other.take(LinkKind::Verify, &token).await, None, "another tenant");
        assert_eq!(scene.take(LinkKind::Verify, &token).await, Some(ada));
    }
}

#[tokio::test]
async fn of_many_at_once_one_takes_a_link() {
    let scene = Scene::new().await;
    let ada = ada(&scene).await;
    for _ in 0..scaled(20, 1000) {
        let token = scene.link(LinkKind::Invite, ada).await;
        let takers = (0..16).map(|_| scene.take(LinkKind::Invite, &token));
        let taken = futures::future::join_all(takers).await;
        assert_eq!(taken.into_iter().flatten().count(), 1);
    }
}

#[tokio::test]
async fn of_many_that_are_made_at_once_one_is_good() {
    let scene = Scene::new().await;
    let ada = ada(&scene).await;
    let tokens = futures::future::join_all((0..8).map(|_| scene.link(LinkKind::Reset, ada))).await;
    let mut good = 0;
    for token in &tokens {
        good += usize::from(scene.take(LinkKind::Reset, token).await.is_some());
    }
    assert_eq!(good, 1);
}

#[tokio::test]
async fn a_link_that_was_not_used_in_the_end_is_good_again() {
    let scene = Scene::new().await;
    let ada = ada(&scene).await;
    let token = scene.link(LinkKind::Reset, ada).await;
    let now = scene.control.clock.now();
    let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
    assert_eq!(links::look(&mut tx, LinkKind::Reset, &token, now).await.unwrap(), Some(ada));
    assert_eq!(links::take(&mut tx, LinkKind::Reset, &token, now).await.unwrap(), Some(ada));
    drop(tx);
    assert_eq!(scene.take(LinkKind::Reset, &token).await, Some(ada));
    let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
    assert_eq!(links::look(&mut tx, LinkKind::Reset, &token, now).await.unwrap(), None);
    assert!(!links::revoke(&mut tx, LinkKind::Reset, ada).await.unwrap());
}

#[tokio::test]
async fn a_request_holds_what_was_typed_and_its_link_goes_with_it() {
    let scene = Scene::new().await;
    let now = scene.control.clock.now();
    let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
    let typed = json!({ "email": "grace@acme.test" });
    let lives = TimeDelta::hours(1);
    let id = requests::put(&mut tx, RequestKind::Registration, None, &typed, now, lives).await.unwrap();
    tx.commit().await.unwrap();
    let token = scene.link(LinkKind::Verify, Holder::Request(id)).await;

    let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
    let found = requests::find::<Value>(&mut tx, RequestKind::Registration, id, now).await.unwrap();
    assert_eq!(found.unwrap().content, typed);
    let found = requests::find::<Value>(&mut tx, RequestKind::Reset, id, now).await.unwrap();
    assert!(found.is_none(), "another kind");
    let found = requests::find::<Value>(&mut tx, RequestKind::Registration, id, now + lives).await.unwrap();
    assert!(found.is_none(), "it has ended");
    requests::replace(&mut tx, id, &json!("else")).await.unwrap();
    let found = requests::find::<Value>(&mut tx, RequestKind::Registration, id, now).await.unwrap();
    assert_eq!(found.unwrap().content, json!("else"));
    assert!(requests::remove(&mut tx, id).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(scene.take(LinkKind::Verify, &token).await, None);
}

#[tokio::test]
async fn what_has_ended_is_deleted_although_nothing_more_is_asked() {
    let scene = Scene::alone().await;
    let now = scene.control.clock.now();
    let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
    let lives = TimeDelta::hours(1);
    requests::put(&mut tx, RequestKind::Reset, None, &"x", now, lives).await.unwrap();
    tx.commit().await.unwrap();
    let mut admin = scene.database.admin().await;
    let due = "select extract(epoch from run_at - now())::float8 from platform_jobs.jobs
         where task_identifier = 'forget_expired'";
    let due: f64 = sqlx::query_scalar(due).fetch_one(&mut admin).await.unwrap();
    assert!((3600.0..3700.0).contains(&due), "{due}");
    scene.control.clock.advance(lives);
    control::jobs::queue::Job::run(
        control::requests::ForgetExpired { tenant: scene.tenant.id },
        &scene.control,
    )
    .await
    .unwrap();
    let left = format!("select count(*) from {}.requests", scene.tenant.cell);
    let left: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(left)).fetch_one(&mut admin).await.unwrap();
    assert_eq!(left, 0);
}

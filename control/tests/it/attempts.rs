//! Wrong passwords at the edge: the owner is mailed a link, which confirms a network; an administrator lifts the counts.

use chrono::TimeDelta;
use control::jobs::runner;
use control::tenants::Isolation;
use control::users::Change;
use reqwest::Method;
use serde_json::json;
use shared::contract::limits::{CONFIRMED_NETWORK_SECS, NETWORK_LINK_SECS};
use shared::ids::UserId;
use shared::user::UserStatus;
use shared::wire::facts::FactKind;
use shared::wire::push::Command;

use crate::letters::Waiting;
use crate::scene::{Answer, Scene};

const CONFIRM: &str = "/api/user/network/confirm/";

impl Scene {
    /// The edge reports that unknown networks of the user are refused.
    async fn refuses_networks_of(&self, user: UserId) {
        self.tells(user, vec![(FactKind::NetworksRefused, json!({}))]).await;
    }

    async fn network_mails(&self) -> Vec<Waiting> {
        self.unsent().await.into_iter().filter(|mail| mail.kind == "networks_refused").collect()
    }

    async fn confirms(&self, token: &str) -> Answer {
        self.stranger(Method::POST, CONFIRM, Some(json!({ "token": token }))).await
    }
}

#[tokio::test]
async fn a_link_confirms_the_network_that_it_is_used_from_once() {
    for scene in [Scene::alone().await, Scene::under(vec![], Isolation::Shared).await] {
        let ada = scene.addressed("ada", "client").await;
        scene.refuses_networks_of(ada.id).await;
        let mails = scene.network_mails().await;
        assert_eq!((mails.len(), mails[0].to.as_str()), (1, "ada@acme.test"));
        let token = mails[0].token("network");
        let before = scene.control.clock.now();
        let confirming = (0..16).map(|_| scene.confirms(&token));
        let statuses: Vec<_> =
            futures::future::join_all(confirming).await.iter().map(|it| it.status).collect();
        let count = |status: u16| statuses.iter().filter(|seen| **seen == status).count();
        assert_eq!((count(200), count(400)), (1, 15), "{statuses:?}");
        let refused = scene.confirms(&token).await.expect(400);
        assert_eq!(refused.body, json!({"token": ["This link is not valid, or not any more."]}));
        // An edge that is out of reach is asked again.
        scene.edge.state().faults.push_back(503);
        runner::run_due(&scene.control).await.unwrap();
        assert!(scene.edge.state().orders.is_empty());
        scene.due_now("confirm_network").await;
        runner::run_due(&scene.control).await.unwrap();
        let orders = scene.edge.state().orders.clone();
        let [Command::ConfirmNetwork { tenant, user, network, until_ms }] = orders.as_slice() else {
            panic!("{orders:?}");
        };
        assert_eq!((*tenant, *user, network.as_str()), (scene.tenant.id, ada.id, "192.0.2.7"));
        let hour = (before + TimeDelta::seconds(CONFIRMED_NETWORK_SECS)).timestamp_millis();
        assert!((hour..hour + 60_000).contains(until_ms), "{until_ms}");
        assert!(scene.to_answer().await.is_empty(), "nothing of the network is kept");
        let logged = scene.logged().await;
        assert_eq!(logged.iter().filter(|action| *action == "network.confirmed").count(), 1);
        assert!(logged.contains(&String::from("edge.networks_refused")));
    }
}

impl Scene {
    /// Jobs of a kind that failed are due at once.
    async fn due_now(&self, task: &str) {
        let text = "update platform_jobs._private_jobs j set run_at = now()
                    from platform_jobs._private_tasks t
                    where t.id = j.task_id and t.identifier = $1";
        let changed = sqlx::query(text).bind(task).execute(&mut self.database.admin().await).await.unwrap();
        assert_eq!(changed.rows_affected(), 1);
    }
}

#[tokio::test]
async fn the_owner_is_mailed_once_a_day_at_most_and_only_where_the_address_is_proven() {
    let scene = Scene::alone().await;
    let ada = scene.addressed("ada", "client").await;
    let bare = scene.member("bare", "client").await;
    let unproven = scene.with_address("unproven", "unproven@acme.test", false).await;
    let gone = scene.addressed("gone", "client").await;
    scene.change(gone.id, Change { status: Some(UserStatus::Suspended), ..Change::default() }).await;
    for user in [bare.id, unproven.id, gone.id, UserId::from(uuid::Uuid::nil())] {
        scene.refuses_networks_of(user).await;
    }
    assert!(scene.network_mails().await.is_empty());
    for _ in 0..3 {
        scene.refuses_networks_of(ada.id).await;
    }
    let mails = scene.network_mails().await;
    assert_eq!(mails.len(), 1);
    scene.control.clock.advance(TimeDelta::seconds(NETWORK_LINK_SECS - 60));
    scene.refuses_networks_of(ada.id).await;
    assert_eq!(scene.network_mails().await.len(), 1);
    scene.control.clock.advance(TimeDelta::seconds(120));
    scene.confirms(&mails[0].token("network")).await.expect(400);
    scene.refuses_networks_of(ada.id).await;
    let mails = scene.network_mails().await;
    assert_eq!(mails.len(), 2);
    // A user who cannot sign in confirms nothing.
    scene.change(ada.id, Change { status: Some(UserStatus::Suspended), ..Change::default() }).await;
    scene.confirms(&mails[1].token("network")).await.expect(400);
    assert!(scene.edge.state().orders.is_empty());
}

#[tokio::test]
async fn an_administrator_lifts_the_counts_of_whom_they_outrank() {
    let scene = Scene::alone().await;
    let [root, staff, ada] = [("root", "root-admin"), ("eve", "staff"), ("ada", "client")];
    let root = scene.member(root.0, root.1).await;
    let staff = scene.member(staff.0, staff.1).await;
    let ada = scene.member(ada.0, ada.1).await;
    let path = |id: UserId| format!("/api/user/users/{id}/attempts/");
    ada.delete(&path(ada.id)).await.expect(403);
    staff.delete(&path(root.id)).await.expect(403);
    root.delete(&path(UserId::from(uuid::Uuid::nil()))).await.expect(404);
    assert!(!scene.logged().await.contains(&String::from("attempts.lifted")));
    root.delete(&path(ada.id)).await.expect(204);
    let mut cli = scene.cli();
    cli.variables.insert("WARDGATE_TENANT", scene.tenant.slug.to_string());
    cli.run(&["user", "unlock", "nobody"], "").expect(4);
    runner::run_due(&scene.control).await.unwrap();
    cli.run(&["user", "unlock", "ada"], "").expect(0);
    runner::run_due(&scene.control).await.unwrap();
    let lifted = Command::LiftAttempts { tenant: scene.tenant.id, user: ada.id };
    assert_eq!(scene.edge.state().orders, [lifted.clone(), lifted]);
    let lifted = scene.logged().await.iter().filter(|action| *action == "attempts.lifted").count();
    assert_eq!(lifted, 2);
}

//! How many mails an account and a domain get.

use chrono::TimeDelta;
use control::jobs::queue::{Job as _, Retry};
use control::mail::send::SendMail;
use control::mail::{Facts, MailKind, NewMail, Posted, Recipient, post};
use control::tenants::Isolation;
use mailbox::Mailbox;

use crate::mail::{queued, through};
use crate::scene::Scene;

impl Scene {
    async fn asks_mail(&self, kind: MailKind, address: &str) -> Posted {
        self.post(kind, Recipient::address(address, ""), None, Facts::default()).await
    }
}

#[tokio::test]
async fn an_account_gets_three_an_hour_and_notices_beside_them() {
    let mailbox = Mailbox::start().await.unwrap();
    let scene = Scene::with(through(mailbox.port())).await;
    let ada = scene.ada().await;
    for _ in 0..3 {
        scene.reset(&ada).await;
    }
    let to = || Recipient::user(&ada).unwrap();
    let ask = |kind| scene.post(kind, to(), None, Facts::default());
    assert_eq!(ask(MailKind::ResetPassword).await, Posted::OverBudget);
    // By whatever name it is asked for: the account's, in any spelling, or another address of the user's.
    assert_eq!(scene.asks_mail(MailKind::VerifyAddress, "ADA@Acme.Test").await, Posted::OverBudget);
    let elsewhere = Recipient::user_at(&ada, "other@elsewhere.test");
    assert_eq!(
        scene.post(MailKind::ConfirmNewAddress, elsewhere, None, Facts::default()).await,
        Posted::OverBudget
    );
    // Other users are not delayed, at this tenant or another one.
    queued(scene.asks_mail(MailKind::VerifyAddress, "bob@acme.test").await);
    let neighbour = scene.neighbour(Isolation::Shared).await;
    queued(neighbour.asks_mail(MailKind::VerifyAddress, "ada@acme.test").await);
    // Notices have a budget of their own.
    for _ in 0..3 {
        queued(ask(MailKind::PasswordChanged).await);
    }
    scene.control.clock.advance(TimeDelta::minutes(59));
    assert_eq!(ask(MailKind::ResetPassword).await, Posted::OverBudget);
    scene.control.clock.advance(TimeDelta::minutes(1));
    queued(ask(MailKind::ResetPassword).await);
}

#[tokio::test]
async fn what_is_dropped_counts_nowhere() {
    let mailbox = Mailbox::start().await.unwrap();
    let scene = Scene::with(through(mailbox.port())).await;
    for at in 0..30 {
        queued(scene.asks_mail(MailKind::VerifyAddress, &format!("u{at}@acme.test")).await);
    }
    // The domain has had its share of this minute: what is dropped now takes nothing from the account's hour.
    for _ in 0..5 {
        assert_eq!(scene.asks_mail(MailKind::VerifyAddress, "ada@acme.test").await, Posted::OverBudget);
    }
    scene.control.clock.advance(TimeDelta::minutes(1));
    for _ in 0..3 {
        queued(scene.asks_mail(MailKind::VerifyAddress, "ada@acme.test").await);
    }
}

/// 60 at once, in transactions that end in any order: exactly 30 are within the budget of the domain.
#[tokio::test]
async fn of_many_at_once_as_many_get_through_as_may() {
    let mailbox = Mailbox::start().await.unwrap();
    for scene in [Scene::with(through(mailbox.port())).await, Scene::shared().await] {
        let asks = (0..60).map(|at| {
            let scene = scene.clone();
            tokio::spawn(async move {
                let mut tx = scene.control.db.work_tx(scene.tenant.id).await.unwrap();
                let letter = NewMail {
                    kind: MailKind::VerifyAddress,
                    to: Recipient::address(&format!("u{at}@acme.test"), ""),
                    link: None,
                    facts: Facts::default(),
                };
                let posted = post(&mut tx, &scene.control, letter).await.unwrap();
                tokio::task::yield_now().await;
                tx.commit().await.unwrap();
                posted
            })
        });
        let posted = futures::future::join_all(asks).await;
        let through = posted.into_iter().filter(|it| matches!(it, Ok(Posted::Queued(_)))).count();
        assert_eq!((through, scene.mails_left().await), (30, 30));
    }
}

#[tokio::test]
async fn an_invitation_waits_for_its_turn_and_a_notice_for_none_of_strangers() {
    let mailbox = Mailbox::start().await.unwrap();
    let scene = Scene::with(through(mailbox.port())).await;
    for at in 0..30 {
        queued(scene.asks_mail(MailKind::VerifyAddress, &format!("u{at}@acme.test")).await);
    }
    let notice = queued(scene.asks_mail(MailKind::PasswordChanged, "ada@acme.test").await);
    scene.send(notice).await.unwrap();
    assert_eq!(mailbox.received().len(), 1);
    let invitation = queued(scene.asks_mail(MailKind::Invitation, "ada@acme.test").await);
    let error = scene.send(invitation).await.unwrap_err();
    let Retry::Later(wait) = SendMail::retry(&error) else { panic!("{error}") };
    assert!(wait > TimeDelta::seconds(30) && wait <= TimeDelta::minutes(1), "{wait}");
    assert_eq!(mailbox.received().len(), 1);
    scene.control.clock.advance(wait);
    scene.send(invitation).await.unwrap();
    assert_eq!(mailbox.received().pop().unwrap().to, ["ada@acme.test"]);
    // It was counted once: two more an hour.
    for left in [true, true, false] {
        let posted = scene.asks_mail(MailKind::VerifyAddress, "ada@acme.test").await;
        assert_eq!(matches!(posted, Posted::Queued(_)), left);
    }
}

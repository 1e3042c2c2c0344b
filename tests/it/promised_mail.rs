//! Control is killed while people register, ask for links and are invited: what was acknowledged is not lost, each address
//! gets one mail, and no account is half made.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use futures::{StreamExt as _, stream};
use mailbox::{Mailbox, Received};
use rand::Rng as _;
use rand::rngs::StdRng;
use reqwest::Method;
use serde_json::{Value, json};
use wardgate_tests::actors::{Session, Tenant, User};
use wardgate_tests::environment::scaled;
use wardgate_tests::http::{Reply, served};
use wardgate_tests::stack::Stack;
use wardgate_tests::{seed, wait};

/// Requests of each kind between two starts of control.
const OF_EACH: usize = 3;
/// Within this time of a round each request is sent, and control is killed: at a random moment, or at once after a random
/// number of acknowledgements.
const ROUND: Duration = Duration::from_millis(1500);
const PASSWORD: &str = "kUckuck-im-Wald";

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Registration,
    Reset,
    Invitation,
}

/// One request. Each is about an account of its own, whose address has a domain of its own: no budget of mails is used up.
struct Asked {
    kind: Kind,
    username: String,
    email: String,
}

impl Asked {
    fn new(kind: Kind, at: usize, acme: &Tenant<'_>) -> Self {
        let username = format!("{kind:?}{at}").to_lowercase();
        let email = format!("{username}@{username}.{}.test", acme.slug);
        Self { kind, username, email }
    }

    fn role(&self) -> &'static str {
        if self.kind == Kind::Invitation { "staff" } else { "client" }
    }

    /// Sends it, and says whether it was acknowledged. An answer that is no acknowledgement says that control is away.
    async fn send(&self, acme: &Tenant<'_>, warden: &Session, pause: Duration) -> bool {
        tokio::time::sleep(pause).await;
        let email = &self.email;
        let post = |path| acme.http.request(Method::POST, path);
        let request = match self.kind {
            Kind::Registration => {
                let body = json!({ "username": self.username, "email": email, "password": PASSWORD });
                post("/api/user/public-register/").json(&body)
            }
            Kind::Reset => post("/api/user/password/reset/").json(&json!({ "email": email })),
            Kind::Invitation => {
                let body = json!({ "email": email, "roles": [self.role()] });
                post("/api/user/invitations/").bearer_auth(&warden.access).json(&body)
            }
        };
        match Reply::try_to(request).await {
            Ok(reply) if reply.status < 300 => true,
            Ok(reply) => {
                assert!(
                    [502, 503].contains(&reply.status),
                    "{}: {} {}",
                    self.username,
                    reply.status,
                    reply.text
                );
                false
            }
            Err(_) => false,
        }
    }

    /// Uses the link of its mail.
    async fn use_link(&self, acme: &Tenant<'_>, mail: &Received) {
        let token = mail.token();
        let (path, body, status) = match self.kind {
            Kind::Registration => ("/api/user/email/verify/", json!({ "token": token }), 200),
            Kind::Reset => {
                let body = json!({ "token": token, "new_password": PASSWORD });
                ("/api/user/password/reset/confirm/", body, 200)
            }
            Kind::Invitation => {
                let body = json!({ "token": token, "username": self.username, "password": PASSWORD });
                ("/api/user/invitations/accept/", body, 201)
            }
        };
        let _ = served(async || acme.http.post(path, &body).await).await.expect(status);
    }

    /// The account can be used, and is whole.
    async fn is_whole(&self, acme: &Tenant<'_>) {
        let credentials = json!({ "username": self.username, "password": PASSWORD });
        let signed_in = served(async || acme.http.post("/api/token/", &credentials).await).await.expect(200);
        let session = Session::of(&acme.http, &signed_in);
        let me = served(async || session.me().await).await.expect(200).json();
        let shown = ["username", "email", "email_verified", "roles"].map(|field| me[field].clone());
        assert_eq!(json!(shown), json!([self.username, self.email, true, [self.role()]]));
    }
}

/// A stack whose control is killed.
struct Site<'s> {
    stack: &'s Stack,
    mailbox: &'s Mailbox,
    acme: &'s Tenant<'s>,
    warden: &'s User<'s>,
}

impl Site<'_> {
    /// Makes requests of every kind while control is killed and started again; gives those that were acknowledged.
    async fn round<'a>(&self, asked: &'a [Asked], rng: &mut StdRng) -> Vec<&'a Asked> {
        let session = self.warden.sign_in().await;
        let mut moment = || ROUND.mul_f64(rng.random());
        let killed_after = moment();
        let pauses: Vec<_> = asked.iter().map(|_| moment()).collect();
        let or_after = rng.random_range(1..=asked.len());
        let (acknowledge, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let requests = asked.iter().zip(pauses).map(async |(asked, pause)| {
            let acknowledged = asked.send(self.acme, &session, pause).await;
            // Once control is killed, these are counted no more.
            let _ = acknowledged.then(|| acknowledge.send(()));
            acknowledged.then_some(asked)
        });
        let kill = async {
            let enough = async {
                for _ in 0..or_after {
                    let _ = heard.recv().await;
                }
            };
            tokio::select! {
                () = tokio::time::sleep(killed_after) => {}
                () = enough => {}
            }
            self.stack.kill_control().await;
            self.stack.start_control().await;
        };
        let (acknowledged, ()) = tokio::join!(join_all(requests), kill);
        let acknowledged: Vec<_> = acknowledged.into_iter().flatten().collect();
        let (all, of) = (acknowledged.len(), asked.len());
        eprintln!(
            "killed after {killed_after:?}, or {or_after} acknowledgements: {all} of {of} acknowledged"
        );
        acknowledged
    }

    /// Waits until each of these has mail, and nothing is left to be answered or sent.
    async fn everything_is_sent(&self, acknowledged: &[&Asked]) {
        let limit = Duration::from_secs(scaled(300, 1800));
        let (_, took) = wait::until_within(limit, "a mail for each that was acknowledged", async || {
            let mails = self.mailbox.received();
            let has_mail = |asked: &&Asked| mails.iter().any(|mail| mail.to.contains(&asked.email));
            acknowledged.iter().all(has_mail).then_some(())
        })
        .await;
        eprintln!("{} mails {took:?} after the last kill", self.mailbox.received().len());
        for kind in ["answer_request", "answer_reset", "send_mail"] {
            let list = ["jobs", "list", "--kind", kind, "--tenant", &self.acme.slug, "--json"];
            wait::until_within(limit, kind, async || {
                let left: Value =
                    serde_json::from_str(&self.stack.command_beside(&list).await).expect("JSON");
                (left["count"] == 0).then_some(())
            })
            .await;
        }
    }

    /// How many there are of what a list shows.
    async fn count(&self, list: &str) -> Value {
        let session = self.warden.sign_in().await;
        served(async || session.get(list).await).await.expect(200).json()["count"].clone()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_mailed_once_whenever_control_is_killed() {
    let kills = scaled(4, 50);
    let mut rng = seed::rng("promised_mail");
    let stack = Stack::own("promised-mail").await;
    let mailbox = Mailbox::start().await.expect("a mail server");
    let port = mailbox.port().to_string();
    let server = [("WARDGATE_MAIL_HOST", "127.0.0.1"), ("WARDGATE_MAIL_PORT", port.as_str())];
    let from = ("WARDGATE_MAIL_FROM", "accounts@wardgate.test");
    stack.configure(&[server[0], server[1], ("WARDGATE_MAIL_TLS", "none"), from]).await;
    let settings = json!({ "registration": "open", "min_password_length": 8 });
    let acme = Tenant::create_with(&stack, json!({ "settings": settings })).await;
    let warden = acme.user_with("warden", json!({ "roles": ["root-admin"] })).await;
    let asked: Vec<_> = (0..kills * OF_EACH)
        .flat_map(|at| {
            [Kind::Registration, Kind::Reset, Kind::Invitation].map(|kind| Asked::new(kind, at, &acme))
        })
        .collect();
    for owner in asked.iter().filter(|asked| asked.kind == Kind::Reset) {
        let body = json!({ "username": owner.username, "email": owner.email, "email_verified": true });
        let _ = acme.admin.post("/api/user/users/", &body).await.expect(201);
    }
    acme.settle().await;
    let site = Site { stack: &stack, mailbox: &mailbox, acme: &acme, warden: &warden };
    let before = site.count("/api/user/users/?page_size=1").await;

    let mut acknowledged = Vec::new();
    for round in asked.chunks(3 * OF_EACH) {
        acknowledged.extend(site.round(round, &mut rng).await);
    }
    site.everything_is_sent(&acknowledged).await;

    assert_eq!(site.count("/api/user/users/?page_size=1").await, before, "no account before its proof");
    let mails = mailbox.received();
    // What was taken and not acknowledged has its mail, too.
    let mut mailed = Vec::new();
    for asked in &asked {
        let own: Vec<_> = mails.iter().filter(|mail| mail.to.contains(&asked.email)).collect();
        let ids: BTreeSet<_> = own.iter().map(|mail| mail.message_id()).collect();
        assert!(ids.len() <= 1, "{}: {ids:?}", asked.username);
        mailed.extend(own.first().map(|mail| (asked, *mail)));
    }
    assert!(mailed.len() >= acknowledged.len() && !acknowledged.is_empty());
    let each = |(asked, mail)| {
        let asked: &Asked = asked;
        asked.use_link(&acme, mail)
    };
    stream::iter(mailed.iter().copied()).map(each).buffer_unordered(4).collect::<Vec<()>>().await;
    acme.settle().await;
    let whole = stream::iter(&mailed).map(|(asked, _)| asked.is_whole(&acme));
    whole.buffer_unordered(4).collect::<Vec<()>>().await;

    let made = mailed.iter().filter(|(asked, _)| asked.kind != Kind::Reset).count();
    let after = site.count("/api/user/users/?page_size=1").await;
    assert_eq!(after.as_u64(), before.as_u64().map(|before| before + made as u64), "accounts without a mail");
    assert_eq!(site.count("/api/user/invitations/").await, 0, "each has been mailed, and accepted");
}

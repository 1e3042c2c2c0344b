//! How long it takes to ask for a link tells nothing of who has an account: judged by ranks over interleaved requests.

use std::time::Instant;

use futures::{StreamExt as _, stream};
use mailbox::Mailbox;
use rand::seq::SliceRandom as _;
use serde_json::json;
use tokio::net::TcpListener;
use wardgate_tests::actors::Tenant;
use wardgate_tests::environment::scaled;
use wardgate_tests::http::Reply;
use wardgate_tests::ranks::mann_whitney;
use wardgate_tests::seed;
use wardgate_tests::stack::{Stack, free_port};

/// Mails that an account gets in an hour, and more domains than mails of a minute need.
const MAILS: usize = 3;
const DOMAINS: usize = 20;
/// Chance alone gives more than this once in 15,000 comparisons.
const FAR: f64 = 4.0;
/// A mail goes to the known. The spent have had theirs.
const KINDS: [&str; 5] = ["unknown", "known", "spent", "suspended", "unproven"];

/// The users of one round of measurements, by its name.
struct Users<'t> {
    acme: &'t Tenant<'t>,
    of: &'static str,
}

impl Users<'_> {
    fn address(&self, kind: &str, at: usize) -> String {
        format!("{kind}{at}@{}{}.acme.test", self.of, at % DOMAINS)
    }

    async fn make(&self, rounds: usize) {
        let known = (0..rounds.div_ceil(MAILS)).map(|at| ("known", at));
        let others = KINDS[2..].iter().map(|kind| (*kind, 0));
        let make = async |(kind, at): (&str, usize)| {
            let body = json!({
                "username": format!("{}-{kind}{at}", self.of),
                "email": self.address(kind, at),
                "status": if kind == "suspended" { "suspended" } else { "active" },
                "email_verified": kind != "unproven",
            });
            let _ = self.acme.admin.post("/api/user/users/", &body).await.expect(201);
        };
        stream::iter(known.chain(others)).map(make).buffer_unordered(4).collect::<Vec<()>>().await;
        for _ in 0..=MAILS {
            let _ = self.ask("spent", 0).await;
        }
    }

    async fn ask(&self, kind: &str, at: usize) -> Reply {
        let body = json!({ "email": self.address(kind, at) });
        self.acme.http.post("/api/user/password/reset/", &body).await.expect(200)
    }

    /// Milliseconds of each kind, interleaved in an order of chance. They all get one answer.
    async fn measure(&self, rounds: usize) -> [Vec<f64>; 5] {
        let mut rng = seed::rng("resets");
        let mut taken: [Vec<f64>; 5] = Default::default();
        let mut answer = None;
        let mut order = [0, 1, 2, 3, 4];
        for round in 0..rounds {
            order.shuffle(&mut rng);
            for at in order {
                let of = if KINDS[at] == "known" { round / MAILS } else { 0 };
                #[allow(clippy::disallowed_methods, reason = "durations are what this is about")]
                let began = Instant::now();
                let reply = self.ask(KINDS[at], of).await;
                taken[at].push(began.elapsed().as_secs_f64() * 1000.0);
                let fingerprint = reply.fingerprint();
                assert_eq!(*answer.get_or_insert_with(|| fingerprint.clone()), fingerprint, "{}", KINDS[at]);
            }
        }
        taken
    }
}

fn median(of: &[f64]) -> f64 {
    let mut sorted = of.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// No kind can be told from the unknown; and half more would have been seen.
fn judge(what: &str, taken: &[Vec<f64>; 5]) {
    let unknown = &taken[0];
    eprintln!("{what}: {} at {:.2} ms", KINDS[0], median(unknown));
    for (kind, durations) in KINDS.iter().zip(taken).skip(1) {
        let found = mann_whitney(durations, unknown);
        eprintln!("{what}: {kind} at {:.2} ms, z {:+.2}, p {:.3}", median(durations), found.z, found.p);
        assert!(found.z.abs() < FAR, "{what}: {kind} can be told: {found:?}");
    }
    let planted: Vec<f64> = taken[1].iter().map(|ms| ms + median(unknown) / 2.0).collect();
    let found = mann_whitney(&planted, unknown);
    eprintln!("{what}: half more for {}, z {:+.2}, p {:.1e}", KINDS[1], found.z, found.p);
    assert!(found.z > FAR, "{what}: half more would not be seen: {found:?}");
}

#[tokio::test]
async fn how_long_it_takes_to_ask_for_a_link_tells_nothing() {
    let rounds = scaled(60, 300);
    let stack = Stack::own("resets").await;
    let mailbox = Mailbox::start().await.expect("a mail server");
    // One that takes connections and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let silent_port = silent.local_addr().expect("its address").port();
    let ports = [("up", mailbox.port()), ("silent", silent_port), ("down", free_port())];
    let acme = Tenant::create(&stack).await;
    for (of, port) in ports.into_iter().take(scaled(1, 3)) {
        let port = port.to_string();
        let from = ("WARDGATE_MAIL_FROM", "accounts@wardgate.test");
        let server = [("WARDGATE_MAIL_HOST", "127.0.0.1"), ("WARDGATE_MAIL_PORT", port.as_str())];
        stack.configure(&[server[0], server[1], ("WARDGATE_MAIL_TLS", "none"), from]).await;
        let users = Users { acme: &acme, of };
        users.make(rounds).await;
        judge(of, &users.measure(rounds).await);
    }
    assert!(!mailbox.received().is_empty(), "the known get mail");
}

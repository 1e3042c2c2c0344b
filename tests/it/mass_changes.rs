//! Changes of all users of a tenant at once: a reseed, a suspension, other roles. The tenant signs in throughout, and
//! the others of its shard do not notice.
//!
//! Some thousands of users, which is more than the feed tells of one tenant; 200,000 where
//! `WARDGATE_TEST_LONG` is `1`.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::time::sleep;
use wardgate_tests::actors::{Session, Tenant, User};
use wardgate_tests::database::MassChange;
use wardgate_tests::stack::Stack;
use wardgate_tests::wait;

/// How long it may take until all rows have arrived.
const ARRIVAL: Duration = Duration::from_secs(3600);
/// D1's answers end at 50 MB; ours never come near.
const LARGEST_ANSWER: usize = 1_000_000;

fn users() -> i64 {
    if std::env::var("WARDGATE_TEST_LONG").is_ok_and(|long| long == "1") { 200_000 } else { 5000 }
}

#[allow(clippy::disallowed_methods, reason = "durations are what is printed")]
fn now() -> Instant {
    Instant::now()
}

/// What goes on all the time: another tenant validates, this one signs in and refreshes.
struct Traffic<'t> {
    acme: &'t Tenant<'t>,
    ada: &'t User<'t>,
    other: &'t Session,
    over: AtomicBool,
    /// While a reseed is under way, which rightly ends a session that began before it.
    reseeding: AtomicBool,
    validations: Mutex<Vec<Duration>>,
    sign_ins: Mutex<u32>,
}

impl Traffic<'_> {
    /// Validates at the other tenant, again and again: never an error.
    async fn validate(&self) {
        let (mut session, mut refreshed_at) = (self.other.clone(), now());
        while !self.over.load(Ordering::SeqCst) {
            if refreshed_at.elapsed() > Duration::from_secs(120) {
                (session, refreshed_at) = (session.refreshed().await, now());
            }
            let began = now();
            let _ = session.validate().await.expect(200);
            self.validations.lock().expect("the times").push(began.elapsed());
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Signs in at the tenant, refreshes, asks about the token, like a client that does not know of the change.
    async fn sign_in(&self) {
        while !self.over.load(Ordering::SeqCst) {
            let reseeding = self.reseeding.load(Ordering::SeqCst);
            let session = self.ada.sign_in().await;
            let refreshed = session.try_refresh().await;
            // A refusal is right where a reseed came between the sign-in and the refresh.
            if refreshed.status == 200 || !(reseeding || self.reseeding.load(Ordering::SeqCst)) {
                let session = Session::of(&self.acme.http, &refreshed.expect(200));
                let validated = session.validate().await;
                if !(reseeding || self.reseeding.load(Ordering::SeqCst)) {
                    let _ = validated.expect(200);
                }
            }
            let _ = self.acme.http.get("/.well-known/jwks.json").await.expect(200);
            *self.sign_ins.lock().expect("the count") += 1;
            // A name may try 120 times a minute.
            sleep(Duration::from_millis(800)).await;
        }
    }

    /// The median and the slowest validation since this was last asked, in milliseconds.
    fn since(&self) -> (f64, f64) {
        let mut times = std::mem::take(&mut *self.validations.lock().expect("the times"));
        times.sort_unstable();
        let ms = |at: usize| times.get(at).map_or(0.0, |time| time.as_secs_f64() * 1000.0);
        (ms(times.len() / 2), ms(times.len().saturating_sub(1)))
    }

    fn report(&self, what: &str, quiet: f64) {
        let (median, slowest) = self.since();
        let sign_ins = std::mem::take(&mut *self.sign_ins.lock().expect("the count"));
        eprintln!(
            "{what}: another tenant's validate took {median:.2} ms, {:.2} times its quiet time; the slowest \
             {slowest:.0} ms; {sign_ins} sign-ins at the tenant itself",
            median / quiet
        );
    }
}

async fn refused(session: &Session) {
    wait::until("the session to be over", async || (session.validate().await.status == 401).then_some(()))
        .await;
    let _ = session.try_refresh().await.expect(401);
}

async fn arrived(acme: &Tenant<'_>) {
    let database = &acme.stack().database;
    wait::until_within(ARRIVAL, "everything to be at the edge", async || {
        // Each look is a connection, which must not be what is measured.
        sleep(Duration::from_millis(200)).await;
        database.edge_has_all(acme.id).await.then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_change_at_once_and_nobody_else_notices() {
    let stack = Stack::own("mass").await;
    let (acme, other) = tokio::join!(Tenant::create(&stack), Tenant::create(&stack));
    let (ada, bob) = (acme.user("ada").await, acme.user("bob").await);
    let theirs = other.user("ada").await.sign_in().await;
    let traffic = Traffic {
        acme: &acme,
        ada: &ada,
        other: &theirs,
        over: AtomicBool::new(false),
        reseeding: AtomicBool::new(false),
        validations: Mutex::default(),
        sign_ins: Mutex::default(),
    };
    let changes = async {
        all_of(&acme, &bob, &traffic).await;
        traffic.over.store(true, Ordering::SeqCst);
    };
    tokio::join!(traffic.validate(), traffic.sign_in(), changes);
    let largest = stack.largest_answer().await;
    eprintln!("the largest answer of D1: {largest} bytes");
    assert!(largest < LARGEST_ANSWER);
}

/// The mass changes, one after the other, and who is refused after each.
async fn all_of(acme: &Tenant<'_>, bob: &User<'_>, traffic: &Traffic<'_>) {
    let database = &acme.stack().database;
    sleep(Duration::from_secs(3)).await;
    let (quiet, _) = traffic.since();
    eprintln!("quiet: another tenant's validate takes {quiet:.2} ms");
    let count = users();

    database.change_many(acme.id, count, MassChange::Make).await;
    arrived(acme).await;
    traffic.report(&format!("{count} users arrive"), quiet);

    let before = bob.sign_in().await;
    let _ = before.validate().await.expect(200);
    traffic.reseeding.store(true, Ordering::SeqCst);
    acme.stack().command_beside(&["edges", "reseed", &acme.slug, "--yes"]).await;
    refused(&before).await;
    traffic.reseeding.store(false, Ordering::SeqCst);
    let after = bob.sign_in().await;
    arrived(acme).await;
    let _ = before.try_refresh().await.expect(401);
    let _ = before.validate().await.expect(401);
    let after = after.refreshed().await;
    traffic.report("a reseed", quiet);

    database.change_many(acme.id, count, MassChange::Suspend(bob.id)).await;
    arrived(acme).await;
    refused(&after).await;
    let _ = bob.try_sign_in().await.expect(401);
    traffic.report(&format!("{count} are suspended"), quiet);

    database.change_many(acme.id, count, MassChange::Roles).await;
    arrived(acme).await;
    traffic.report(&format!("{count} change their roles"), quiet);
}

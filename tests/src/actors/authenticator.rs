//! An authenticator of a user, and what its owner keeps beside it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base32::Alphabet;
use reqwest::Method;
use serde_json::{Value, json};
use shared::second_factor::totp::{STEP_SECS, Seed, code_at};

use super::{Session, Tenant};
use crate::clock::now_secs;
use crate::http::Reply;

/// An active authenticator. It gives each code once, as the service takes each once.
pub struct Authenticator {
    seed: Seed,
    /// The last step whose code was given.
    last: AtomicU64,
    /// Its id.
    pub id: String,
    /// The recovery codes that its enrolment gave.
    pub recovery_codes: Vec<String>,
}

impl Authenticator {
    /// Enrols one in a session that has just begun.
    pub async fn enrol(tenant: &Tenant<'_>, session: &Session) -> Self {
        Self::enrol_with(tenant, &session.access).await
    }

    /// Enrols one with an access token or a ticket as Bearer.
    ///
    /// # Panics
    /// If an answer is not the expected one.
    pub async fn enrol_with(tenant: &Tenant<'_>, bearer: &str) -> Self {
        let post = async |path: &str, body: Value| {
            Reply::to(tenant.http.request(Method::POST, path).bearer_auth(bearer).json(&body)).await
        };
        let begun = post("/api/user/mfa/totp/", json!({"name": "Phone"})).await.expect(201);
        let secret = base32::decode(Alphabet::Rfc4648 { padding: false }, &begun.text_at("secret"));
        let seed = Seed::from_slice(&secret.expect("base 32")).expect("a seed");
        let id = begun.text_at("id");
        // The step before this one, so that a test has this one and the next at once.
        let step = now_secs() / STEP_SECS - 1;
        let code = code_at(&seed, step).expect("a code");
        let confirmed = post("/api/user/mfa/totp/confirm/", json!({"id": id, "otp": code})).await.expect(200);
        let codes = &confirmed.json()["recovery_codes"];
        let codes = codes.as_array().into_iter().flatten().filter_map(Value::as_str).map(ToOwned::to_owned);
        let recovery_codes = codes.collect();
        tenant.settle().await;
        Self { seed, last: AtomicU64::new(step), id, recovery_codes }
    }

    /// The next code that was not given yet. It is one that counts now: where it would not, this waits for it.
    pub async fn code(&self) -> String {
        self.code_after(Duration::ZERO).await
    }

    /// The same if the edge's clock is ahead by `ahead`.
    ///
    /// # Panics
    /// Never: every step has a code.
    pub async fn code_after(&self, ahead: Duration) -> String {
        let now = || now_secs() + ahead.as_secs();
        let step = (now() / STEP_SECS).max(self.last.load(Ordering::Relaxed) + 1);
        self.last.store(step, Ordering::Relaxed);
        while now() / STEP_SECS + 1 < step {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        code_at(&self.seed, step).expect("a code")
    }
}

//! The service that a tenant came from: Django's password hashes and SimpleJWT's tokens, made by them.
//! One key signs for all of its tenants, and each of them counts its users from 1.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::actors::Tenant;
use crate::process::{Process, Talk};
use crate::verifier::open;
use crate::{clock, environment, wait};

/// The running service.
pub struct LegacyService {
    process: Process,
    /// Its public key in PEM.
    pub public_key: String,
}

/// One of its users, as `dumpdata` writes them.
pub struct LegacyUser {
    /// Their number.
    pub pk: u32,
    /// Their user name.
    pub username: &'static str,
    /// The stored hash of their password.
    pub stored: String,
    /// Whether they are staff there, and so here.
    pub is_staff: bool,
}

/// The tokens that it issued to a client.
#[derive(Clone)]
pub struct LegacyTokens {
    /// The access token.
    pub access: String,
    /// The refresh token.
    pub refresh: String,
}

impl LegacyService {
    /// Starts it.
    ///
    /// # Panics
    /// Where it does not start.
    #[must_use]
    pub fn start() -> Self {
        let command = environment::python("issuer.py");
        let mut process = Process::start("legacy-service", command, Talk::Json);
        let public_key = process.said(wait::PATIENCE)["public_key"].as_str().expect("a key").to_owned();
        Self { process, public_key }
    }

    /// A password as it stores it, by one of Django's hashers.
    ///
    /// # Panics
    /// Where there is no such hasher.
    pub fn hash(&mut self, password: &str, hasher: &str) -> String {
        let said = self.process.ask(&json!({"hash": password, "by": hasher}), wait::PATIENCE);
        said["hash"].as_str().expect("a hash").to_owned()
    }

    /// Signs a user in: the tokens of user `pk` of the tenant that `realm` names.
    ///
    /// # Panics
    /// Where it does not.
    pub fn sign_in(&mut self, pk: u32, realm: &str) -> LegacyTokens {
        let said = self.process.ask(&json!({"sign": pk, "claims": {"realm": realm}}), wait::PATIENCE);
        let token = |name: &str| said[name].as_str().expect(name).to_owned();
        LegacyTokens { access: token("access"), refresh: token("refresh") }
    }
}

impl Tenant<'_> {
    /// Brings users of an old service here, known to the edge.
    pub async fn import(&self, users: &[LegacyUser]) {
        let object = |user: &LegacyUser| {
            json!({"model": "auth.user", "pk": user.pk, "fields": {
                "username": user.username, "password": user.stored, "email": "", "first_name": "",
                "last_name": "", "is_active": true, "is_staff": user.is_staff, "is_superuser": false, "groups": [],
                "user_permissions": [], "last_login": null, "date_joined": "2024-02-29T12:00:00Z"}})
        };
        let dump = Value::from_iter(users.iter().map(object));
        let arguments = ["import", "django", "--tenant", self.slug.as_str(), "--dump", "-"];
        let _ = self.stack().command(&arguments, &dump.to_string());
        self.settle().await;
    }

    /// Accepts an old service's tokens for a day: those whose claim `realm` is our slug. User 1 must exist here.
    pub async fn accept_tokens_of(&self, old: &mut LegacyService) {
        self.accept(json!({"public_key": old.public_key, "claim": "realm", "value": self.slug})).await;
        // Every isolate reads data in the edge's database a moment later.
        let LegacyTokens { access, .. } = old.sign_in(1, &self.slug);
        let good = async || self.http.post_as(&access, "/api/token/validate/").await.status == 200;
        wait::until("the old key to be known", async || good().await.then_some(())).await;
    }

    /// Accepts an old service's refresh tokens for a day: these, which are of the user `pk`.
    pub async fn accept_listed(&self, old: &LegacyService, pk: u32, refresh: &[&str]) {
        self.accept(json!({"public_key": old.public_key})).await;
        let object = |(at, token): (usize, &&str)| {
            json!({"model": "token_blacklist.outstandingtoken", "pk": at, "fields": {"user": pk, "token": token,
                "jti": open(token).claims["jti"], "expires_at": "2099-12-31T00:00:00Z"}})
        };
        let dump = Value::from_iter(refresh.iter().enumerate().map(object));
        let arguments = ["tenant", "legacy", "tokens", self.slug.as_str(), "--dump", "-"];
        let _ = self.stack().command(&arguments, &dump.to_string());
        self.settle().await;
        let good = async |token: &str| {
            self.http.post("/api/token/verify/", &json!({"token": token})).await.status == 200
        };
        for token in refresh {
            wait::until("the list to be known", async || good(token).await.then_some(())).await;
        }
    }

    async fn accept(&self, mut legacy: Value) {
        legacy["until"] = tomorrow().to_rfc3339().into();
        self.change(&json!({"legacy": legacy})).await;
        self.settle().await;
    }
}

fn tomorrow() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH
        + TimeDelta::seconds(i64::try_from(clock::now_secs()).expect("a time"))
        + TimeDelta::days(1)
}

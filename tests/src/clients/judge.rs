//! Libraries that verify tokens: PyJWT and jose, each in a program that says what it finds.

use std::process::Command;

use serde_json::{Value, json};

use crate::actors::Tenant;
use crate::process::{Process, Talk};
use crate::{environment, wait};

/// A running library that knows where one tenant publishes its keys.
pub struct Judge {
    process: Process,
    issuer: String,
}

/// Where a library has the key from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// The key set, which the library fetches itself.
    Jwks,
    /// `/api/public-key/`, as it was when the library was started.
    Pem,
}

/// The verdict of a library on a token.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It is valid, and has these claims.
    Good(Value),
    /// It is not, for the reason that the library names.
    Refused(String),
}

impl Judge {
    /// PyJWT with its `PyJWKClient`.
    pub async fn pyjwt(tenant: &Tenant<'_>) -> Self {
        Self::start("pyjwt", environment::python("judge.py"), tenant).await
    }

    /// jose with its `createRemoteJWKSet`.
    pub async fn jose(tenant: &Tenant<'_>) -> Self {
        Self::start("jose", environment::node("judge.mjs"), tenant).await
    }

    async fn start(name: &str, mut command: Command, tenant: &Tenant<'_>) -> Self {
        command.arg(tenant.jwks_url()).arg(tenant.public_key().await);
        Self { process: Process::start(name, command, Talk::Json), issuer: tenant.issuer() }
    }

    /// The library's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.process.name()
    }

    /// Sets another issuer than the tenant's first.
    pub fn expect_issuer(&mut self, issuer: &str) {
        issuer.clone_into(&mut self.issuer);
    }

    /// Has it verify a token.
    ///
    /// # Panics
    /// Where it does not answer.
    pub fn verify(&mut self, by: Key, token: &str) -> Verdict {
        let by = match by {
            Key::Jwks => "jwks",
            Key::Pem => "pem",
        };
        let said =
            self.process.ask(&json!({"by": by, "token": token, "issuer": self.issuer}), wait::PATIENCE);
        match said["refused"].as_str() {
            Some(reason) => Verdict::Refused(reason.to_owned()),
            None => Verdict::Good(said["claims"].clone()),
        }
    }
}

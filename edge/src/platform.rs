//! The ports: the edge's access to the outside, as small traits bundled in [`Platform`].
//!
//! `cloudflare/` implements them over Workers, D1, KV and WebCrypto; the tests over SQLite with `migrations/edge`, so
//! that the real statements run, and with injected failures. Nothing here is `Send`: an isolate has one thread.

use std::future::Future;
use std::time::Duration;

use serde::de::DeserializeOwned;
use shared::contract::refusal::Refusal;
use shared::ids::TenantId;
use shared::tenant::SigningKey;
use shared::tokens::jwk::PublicKey;
use zeroize::Zeroizing;

use crate::http::{Incoming, Outgoing, Response};
use crate::log::Level;

/// The clock, read when a request begins, and again when its body has arrived.
pub trait Clock {
    /// Unix milliseconds.
    fn now_ms(&self) -> u64;
    /// Unix seconds for service signatures. The same clock, without the shift of the test entry.
    fn service_now_secs(&self) -> u64;
}

/// Cryptographic randomness.
pub trait Entropy {
    /// Fills `bytes`.
    fn fill(&self, bytes: &mut [u8]);
}

/// Why a batch did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// A push that does not continue from the mark; nothing was written.
    #[error("a push does not follow the mark")]
    RevisionGap,
    /// A push with an old history; nothing was written.
    #[error("a push of a history that is over")]
    StaleHistory,
    /// The database did not answer, or not as expected. A write may or may not have happened.
    #[error("the database is not reachable")]
    Unreachable,
    /// A handle was used with the rows of a batch that did not give it: a mistake of ours.
    #[error("the rows of another batch were asked for")]
    OtherBatch,
}

/// A statement and its parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// The text, one of [`crate::sql`].
    pub sql: &'static str,
    /// `?1`, `?2`, ...
    pub params: Vec<Param>,
}

/// A bound value. Integers are below 2^53, since JavaScript carries them.
#[derive(Clone, Debug, PartialEq)]
pub enum Param {
    /// NULL.
    Null,
    /// An integer.
    Int(i64),
    /// A text.
    Text(String),
}

impl From<i64> for Param {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<String> for Param {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<&str> for Param {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl<T: Into<Param>> From<Option<T>> for Param {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// The rows that one statement of a batch returned.
pub trait Rows {
    /// Its rows.
    ///
    /// # Errors
    /// [`StoreError::Unreachable`] if a row does not have this form.
    fn read<T: DeserializeOwned>(&self) -> Result<Vec<T>, StoreError>;
}

/// D1.
pub trait Store {
    /// The rows that a statement returned.
    type Rows: Rows;
    /// Runs `statements` as one transaction in one round trip: all of them, or none.
    fn batch(
        &self,
        shard: u8,
        statements: Vec<Statement>,
    ) -> impl Future<Output = Result<Vec<Self::Rows>, StoreError>>;
}

/// KV: copies that are only a cache.
pub trait Copies {
    /// The copy under `key`; `None` also where it cannot be read.
    fn get(&self, key: &str) -> impl Future<Output = Option<String>>;
    /// Puts a copy; false where it could not.
    fn put(&self, key: &str, value: &str) -> impl Future<Output = bool>;
}

/// A key that cannot be unsealed, or a failing primitive: clients see the same answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a cryptographic operation failed")]
pub struct CryptoError;

/// RS256 with private keys that never are in our memory in clear.
pub trait Rs256 {
    /// Signs `input` with the sealed private key of `tenant`.
    fn sign(
        &self,
        tenant: TenantId,
        key: &SigningKey,
        input: &[u8],
    ) -> impl Future<Output = Result<Vec<u8>, CryptoError>>;
    /// Whether `signature` is valid for `input` under `key`.
    fn verify(
        &self,
        key: &PublicKey,
        input: &[u8],
        signature: &[u8],
    ) -> impl Future<Output = Result<bool, CryptoError>>;
}

/// The limits that stand in front of storage and of any hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    /// By network, over all tenants.
    NetworkTotal,
    /// By tenant and network; and by network, for requests with an unknown tenant.
    Network,
    /// By tenant, name hash and network.
    Name,
    /// By session.
    Session,
    /// By tenant, over all its sessions.
    TenantSessions,
}

/// The rate-limit binding.
pub trait Limiter {
    /// Whether one more call under `key` is within `limit`.
    fn admits(&self, limit: Limit, key: &str) -> impl Future<Output = bool>;
}

/// The log.
pub trait Log {
    /// Writes a line of [`crate::log`].
    fn log(&self, level: Level, line: &str);
}

/// Control could not be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("control is not reachable")]
pub struct UpstreamError;

/// Control.
pub trait Upstream {
    /// A client's request.
    type Request: Incoming;
    /// A body that streams.
    type Stream;
    /// Sends `outgoing` with the body of `request`, streaming both ways, and follows no redirect.
    fn send(
        &self,
        outgoing: Outgoing,
        request: Self::Request,
    ) -> impl Future<Output = Result<Response<Self::Stream>, UpstreamError>>;
    /// Sends a small message of the edge, which may hold a password. Returns the body of a 200 that arrived
    /// completely within the time limit; any other outcome counts as no answer.
    fn ask(
        &self,
        outgoing: Outgoing,
        message: Zeroizing<Vec<u8>>,
    ) -> impl Future<Output = Result<Vec<u8>, UpstreamError>>;
}

/// Why a CAPTCHA service gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CaptchaError {
    /// It could not be reached, or the connection broke.
    #[error("the CAPTCHA service is not reachable")]
    Unreachable,
    /// It did not answer within the timeout.
    #[error("the CAPTCHA service did not answer in time")]
    Late,
    /// Its answer is too long.
    #[error("the answer of the CAPTCHA service is too long")]
    TooLong,
}

/// The CAPTCHA services.
pub trait CaptchaService {
    /// Sends `form`, which holds a secret, and returns status and body of the response: at most `limit` bytes,
    /// complete within `patience`. Redirects are not followed, so that the secret reaches no other host.
    fn verify_captcha(
        &self,
        outgoing: Outgoing,
        form: Zeroizing<Vec<u8>>,
        patience: Duration,
        limit: usize,
    ) -> impl Future<Output = Result<(u16, Vec<u8>), CaptchaError>>;
}

/// Everything the edge needs of the world.
pub trait Platform:
    Clock + Entropy + Store + Copies + Rs256 + Limiter + Log + Upstream + CaptchaService
{
}
impl<T: Clock + Entropy + Store + Copies + Rs256 + Limiter + Log + Upstream + CaptchaService> Platform for T {}

/// A store that does not answer is 503 on every route; [`crate::inside::push`] handles the refusals of a push before.
impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::RevisionGap | StoreError::StaleHistory | StoreError::Unreachable => {
                Self::unavailable()
            }
            StoreError::OtherBatch => Self::internal(),
        }
    }
}

impl From<CryptoError> for Refusal {
    fn from(_: CryptoError) -> Self {
        Self::unavailable()
    }
}

impl From<UpstreamError> for Refusal {
    fn from(_: UpstreamError) -> Self {
        Self::unavailable()
    }
}

//! The context of a request: the isolate, and the time that decisions about the request use.

use shared::contract::limits::STALE_MS;
use shared::ids::{EventId, SessionId};

use crate::app::App;
use crate::platform::{Platform, StoreError};
use crate::sql::batch::{Batch, BatchRows};
use crate::sql::millis;

/// The isolate that answers a request, and the request's time. Passed by value.
pub struct Context<'a, P> {
    /// The isolate.
    pub app: &'a App<P>,
    /// Unix milliseconds: one reading of the clock for all that is decided about the request.
    pub now_ms: u64,
}

impl<P> Clone for Context<'_, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P> Copy for Context<'_, P> {}

impl<'a, P: Platform> Context<'a, P> {
    /// The context of a request that begins now.
    pub fn new(app: &'a App<P>) -> Self {
        Self { app, now_ms: app.platform.now_ms() }
    }

    /// The same request with the time at which its body arrived. If a client delays the body, the time of its start
    /// must not count: the client could otherwise extend an attempt's window, a retry window, an `exp` or an age.
    #[must_use]
    pub fn arrived(self) -> Self {
        Self::new(self.app)
    }

    /// The time in milliseconds, as D1 binds it.
    #[must_use]
    pub fn now(self) -> i64 {
        millis(self.now_ms)
    }

    /// The time in seconds, as tokens have it.
    #[must_use]
    pub fn now_secs(self) -> i64 {
        millis(self.now_ms / 1000)
    }

    /// The start of the minute, as D1 binds it.
    #[must_use]
    pub fn minute(self) -> i64 {
        millis(self.now_ms - self.now_ms % 60_000)
    }

    /// Whether the isolate's data is recent enough for a tenant's document to be current.
    #[must_use]
    pub fn knows_lately(self) -> bool {
        self.app.shard_cache.borrow().age_ms(self.now_ms).is_some_and(|age| age <= STALE_MS)
    }

    /// Runs a batch.
    ///
    /// # Errors
    /// As [`Batch::run`]; as a refusal, 503.
    pub async fn run(self, batch: Batch) -> Result<BatchRows<P::Rows>, StoreError> {
        batch.run(&self.app.platform).await
    }

    /// A new id for a fact.
    #[must_use]
    pub fn event_id(self) -> EventId {
        EventId::new(self.now_ms, self.app.random())
    }

    /// A new name for a session on `shard`.
    #[must_use]
    pub fn session_id(self, shard: u8) -> SessionId {
        SessionId::new(shard, self.app.random())
    }
}

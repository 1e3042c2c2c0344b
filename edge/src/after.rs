//! Work to be done after an answer was sent; [`crate::serve`] carries it out. Whether the feed must be read is
//! decided by [`crate::isolate::shard_cache`] in one place that every answer passes, so that no route can forget it.

use crate::http::{Never, Response};

/// Work to be done after an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct After {
    /// Read the feed: the request was served from data that is older than a second.
    pub read_feed: bool,
    /// Copies in KV may be behind.
    pub put_copies: bool,
    /// The entry may keep the answer, and give it again while [`crate::serve::again`] says that it holds.
    pub keep: bool,
}

impl After {
    /// No work.
    pub const NOTHING: Self = Self { read_feed: false, put_copies: false, keep: false };

    /// Whether there is no work.
    #[must_use]
    pub fn is_nothing(self) -> bool {
        self == Self::NOTHING
    }
}

/// An answer, and the work to be done after it.
#[derive(Debug)]
pub struct Reply<S = Never> {
    /// The answer.
    pub response: Response<S>,
    /// The work to be done.
    pub after: After,
}

impl<S> Reply<S> {
    /// The same reply with another form of the same body.
    pub fn map<T>(self, response: impl FnOnce(Response<S>) -> Response<T>) -> Reply<T> {
        Reply { response: response(self.response), after: self.after }
    }
}

impl<S> From<Response<S>> for Reply<S> {
    /// An answer without further work.
    fn from(response: Response<S>) -> Self {
        Self { response, after: After::NOTHING }
    }
}

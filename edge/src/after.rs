//! What is due after an answer: [`crate::serve`] carries it out when the client has what it asked for. Whether
//! the feed is to be read is known to [`crate::isolate::knowledge`] and asked once, where every answer passes,
//! so that no route can forget it.

use crate::http::{Never, Response};

/// What is due after an answer: any of these, or nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct After {
    /// The feed is to be read: a request was served from what is no longer young.
    pub read_feed: bool,
    /// Copies in KV may be behind.
    pub put_copies: bool,
}

impl After {
    /// Nothing is due.
    pub const NOTHING: Self = Self { read_feed: false, put_copies: false };

    /// Whether nothing is due.
    #[must_use]
    pub fn is_nothing(self) -> bool {
        self == Self::NOTHING
    }
}

/// An answer, and what is due after it.
#[derive(Debug)]
pub struct Reply<S = Never> {
    /// The answer.
    pub response: Response<S>,
    /// What is due.
    pub after: After,
}

impl<S> Reply<S> {
    /// The same reply with another form of the same body.
    pub fn map<T>(self, response: impl FnOnce(Response<S>) -> Response<T>) -> Reply<T> {
        Reply { response: response(self.response), after: self.after }
    }
}

impl<S> From<Response<S>> for Reply<S> {
    /// An answer after which nothing is due.
    fn from(response: Response<S>) -> Self {
        Self { response, after: After::NOTHING }
    }
}

//! The ways in which the server fails on purpose.

use std::time::Duration;

/// The points of a dialogue at which a [`Fault`] strikes, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The connection was accepted; the greeting comes next.
    Connect,
    /// `EHLO` or `HELO`.
    Hello,
    /// `STARTTLS`.
    StartTls,
    /// `AUTH`.
    Auth,
    /// `MAIL FROM`.
    Mail,
    /// `RCPT TO`.
    Recipient,
    /// `DATA`, before the message.
    Data,
    /// The whole message has arrived. Unless the fault refuses it, it is kept.
    Message,
}

/// One way to fail. It strikes every connection until [`Mailbox::heal`](crate::Mailbox::heal).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Answers `code` and `text` in place of the step. A code below 500 is a refusal for now, from 500 on for
    /// good. Where the code is 421 the connection is closed, as RFC 5321 (3.8) has it.
    Refuse {
        /// Where.
        at: Step,
        /// The reply's code.
        code: u16,
        /// The reply's text.
        text: String,
    },
    /// Closes the connection in place of a reply.
    Cut(Step),
    /// Never replies, and keeps the connection open.
    Hang(Step),
    /// Replies to each step after this time.
    Slow(Duration),
}

impl Fault {
    /// [`Fault::Refuse`].
    #[must_use]
    pub fn refuse(at: Step, code: u16, text: &str) -> Self {
        Self::Refuse { at, code, text: text.to_owned() }
    }

    /// The message is kept, and the client never learns of it.
    #[must_use]
    pub fn cut_after_data() -> Self {
        Self::Cut(Step::Message)
    }

    /// Whether it strikes at this step.
    pub(crate) fn strikes(&self, step: Step) -> bool {
        match self {
            Self::Refuse { at, .. } | Self::Cut(at) | Self::Hang(at) => *at == step,
            Self::Slow(_) => true,
        }
    }
}

//! How a user who cannot sign in gets a password: a link by mail, or a one-time password.
//!
//! - [`ask()`]: a client names an address, without a credential. The request does the same for every address; a job
//!   answers it by mail.
//! - [`confirm()`]: a client with the link's token sets a new password. It does not sign the user in, and ends every
//!   session.
//! - [`regenerate()`]: an administrator has a password mailed to the user, who must change it at its first use.
//!
//! Mail goes only to the verified address of the account, never to the address in the request.

mod ask;
mod confirm;
mod mail_link;
mod regenerate;
pub mod routes;

pub use ask::{AnswerReset, AskError, answer_reset, ask};
pub use confirm::{ConfirmError, confirm, subject};
pub use mail_link::{Mailed, mail_link};
pub use regenerate::{OneTimePassword, RegenerateError, may_regenerate, regenerate};

/// Who sent a request, as far as that is known, for the audit log.
#[derive(Clone, Default)]
pub struct Caller {
    /// The id of the request.
    pub request_id: Option<String>,
    /// The client's address.
    pub client: Option<String>,
}

/// Counts the outcome of one in the metrics.
fn count(outcome: &'static str) {
    metrics::counter!("wardgate_resets_total", "outcome" => outcome).increment(1);
}

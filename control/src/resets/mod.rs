//! How a user who cannot sign in gets a password: a link by mail, or a password that is good once.
//!
//! - [`ask()`]: anybody names an address. The request does the same whatever it names; a job answers it by mail.
//! - [`confirm()`]: whoever has the link sets a new password. It signs nobody in, and ends every session.
//! - [`regenerate()`]: an administrator has a password mailed to the user, who must change it at its first use.
//!
//! Mail goes to the proven address of the account alone, never to the text that was typed.

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

/// Counts what became of one.
fn count(outcome: &'static str) {
    metrics::counter!("wardgate_resets_total", "outcome" => outcome).increment(1);
}

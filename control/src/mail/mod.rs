//! Mail: what is sent to whom, as what, and what becomes of it.
//!
//! A slice calls [`post()`] in its own transaction. It counts the mail in the budgets, puts it into the table `mails`, sealed
//! under a key of the row's own, and enqueues the job [`send`] with the row's id. So a mail is promised exactly if what it
//! tells of was committed, and no address is in the queue. The job opens the row, words it ([`words`]), makes the message
//! ([`message`]) and hands it to the tenant's server ([`smtp`], [`sender`]). The row goes when the server has taken it.
//!
//! Nothing that a stranger typed is in a mail to an address that is not proven: such a mail would carry their words under
//! the tenant's name.

mod address;
mod budget;
mod kind;
mod letter;
pub mod message;
pub mod page;
mod plain;
mod post;
pub mod probe;
pub mod routes;
pub mod send;
pub mod sender;
pub mod smtp;
pub mod status;
mod store;
mod words;

pub use kind::MailKind;
pub use letter::{FactorChange, Facts, Letter, MailId, Recipient};
pub use post::{Posted, post};

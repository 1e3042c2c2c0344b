//! Mail: kinds, budgets, templates, queue and delivery.
//!
//! Other modules call [`post()`] in their own transaction. It counts the mail in the budgets, puts it into the table
//! `mails`, sealed under a key of the row's own, and enqueues the job [`send`] with the row's id. So a mail is queued
//! exactly if the change that it announces was committed, and the job queue holds no address. The job decrypts the
//! row, fills the template ([`words`]), makes the message ([`message`]) and hands it to the tenant's server
//! ([`smtp`], [`sender`]). The row is deleted when the server has accepted the message.
//!
//! A mail to an unverified address holds no text of a client without a credential: an attacker could otherwise send
//! their own words under the tenant's name.

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
pub use letter::{FactorChange, Facts, MailId, NewMail, Recipient};
pub use post::{Posted, post, post_as_notice};

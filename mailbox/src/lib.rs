//! An SMTP server on loopback that stores the mails it receives, and delivers none.
//!
//! Two users: `./wardgate dev` runs it as a program with a page that shows the mails, and the tests start one each
//! and let it fail on purpose. It is reached over TCP like any other server, so both use control's real mail
//! transport.
//!
//! - [`server`]: [`Mailbox`], the handle: starts the server, reads mails, injects and ends faults;
//! - [`fault`]: the ways in which it fails;
//! - [`received`]: a mail, parsed as a mail client would;
//! - `session`: one connection's dialogue; `tls`: the certificate;
//! - [`kept`], [`shown`], `page`: the folder, the views and the page of `dev`.
//!
//! It is no mail server for production: it accepts every address, and must not be reachable from another machine.

pub mod fault;
pub mod kept;
#[cfg(feature = "page")]
pub mod page;
pub mod received;
pub mod server;
mod session;
pub mod shown;
mod stream;
#[cfg(feature = "tls")]
mod tls;

pub use fault::{Fault, Step};
pub use kept::Kept;
pub use received::{Link, Received};
pub use server::{Credentials, Mailbox, Options, Tls};

//! An SMTP server on loopback that keeps what it is sent, and sends nothing on.
//!
//! Two users: `./wardgate dev` runs it as a program with a page that shows the mails, and the tests start one
//! each and let it fail on purpose. It speaks TCP like any other server, so that neither needs a mail
//! transport of its own in place of the real one.
//!
//! - [`server`]: [`Mailbox`], the handle: started, asked, broken and healed;
//! - [`fault`]: the ways in which it fails;
//! - [`received`]: a mail, parsed as a reader's program would;
//! - `session`: one connection's dialogue; `tls`: the certificate;
//! - [`kept`], [`shown`], `page`: the folder, the views and the page of `dev`.
//!
//! It is no mail server: it accepts every address, and nobody should reach it from another machine.

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

//! The mailbox as its users meet it: over TCP.

mod client;
mod dialogue;
mod faults;
mod kept;
mod page;
mod parsed;
#[cfg(feature = "tls")]
mod tls;

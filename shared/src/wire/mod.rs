//! Messages between the halves, their signatures, and sealed values.

pub mod client;
pub mod facts;
pub mod needs;
pub mod password;
pub mod push;
#[cfg(test)]
mod releases;
pub mod seal;
pub mod signature;
pub mod ticket;
pub mod verbatim;

//! The only part of the edge that names `worker`: it adapts the runtime to the ports of the core.
//!
//! It decides nothing. What a request means is in the core, which compiles and is tested on the host.

mod entry;
#[cfg(feature = "test-entry")]
mod levers;

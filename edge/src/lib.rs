//! The edge: signs users in, issues, validates and refreshes tokens, serves the public keys, and
//! forwards everything else to control.
//!
//! Start at [`route`], which lists every path, and [`serve`], which answers. Each verb has a file. What may happen once is
//! decided by a statement in [`sql`]; what is then said is a pure function ([`sessions::family`],
//! [`isolate::knowledge`]). Only `cloudflare/` names `worker`; everything else runs on the host, over [`platform`].

// No request may panic a Worker.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::indexing_slicing
    )
)]
// A new variant stops the build until every place that tells its kind apart says what becomes of it.
#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

pub mod after;
pub mod app;
pub mod body;
pub mod browser;
#[cfg(target_arch = "wasm32")]
mod cloudflare;
pub mod context;
pub mod forward;
pub mod health;
pub mod http;
pub mod inside;
pub mod isolate;
pub mod log;
pub mod own;
pub mod platform;
pub mod route;
pub mod serve;
pub mod sessions;
pub mod settings;
pub mod sign_in;
pub mod sql;
pub mod tenants;
pub mod tokens;

#[cfg(test)]
mod tests;

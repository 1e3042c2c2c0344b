//! The edge: signs users in, issues, validates and refreshes tokens, serves the public keys, and
//! forwards everything else to control.
//!
//! Begin with [`route`], which lists every path, and [`serve`], which dispatches. What may happen once is decided by
//! a statement in [`sql`]; the answer then follows from a pure function ([`sessions::family`],
//! [`isolate::shard_cache`]). Only `cloudflare/` names `worker`; everything else runs on the host, over the ports in
//! [`platform`].

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
// A new enum variant does not compile until every `match` over it handles it.
#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

pub mod after;
pub mod answer_text;
pub mod app;
pub mod body;
pub mod browser;
pub mod captcha;
#[cfg(target_arch = "wasm32")]
mod cloudflare;
pub mod context;
pub mod edge_routes;
pub mod forward;
pub mod health;
pub mod http;
pub mod inside;
pub mod isolate;
pub mod log;
pub mod platform;
pub mod request_text;
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

//! The edge: signs users in, issues, validates and refreshes tokens, serves the public keys, and
//! forwards everything else to control.
//!
//! Start at [`route`], which lists every path, and [`serve`], which answers. Each verb has a file. What may happen once is
//! decided by a statement in [`sql`]; what is then said is a pure function ([`session`], [`feed`]).
//! Only `cloudflare/` names `worker`; everything else runs on the host, over [`platform`].

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

pub mod access;
pub mod body;
pub mod clean;
#[cfg(target_arch = "wasm32")]
mod cloudflare;
pub mod cookies;
pub mod cors;
pub mod drain;
pub mod feed;
pub mod forward;
pub mod health;
pub mod http;
pub mod issued;
pub mod keys;
pub mod legacy;
pub mod login;
pub mod logout;
pub mod network;
pub mod origin;
pub mod own;
pub mod password;
pub mod platform;
pub mod refresh;
pub mod renew;
pub mod route;
pub mod serve;
pub mod session;
pub mod settings;
pub mod signed;
pub mod sql;
pub mod sync;
pub mod target;
pub mod tenants;
pub mod validate;
pub mod verified;

#[cfg(test)]
mod tests;

use std::cell::RefCell;

use shared::ids::{EventId, SessionId};
use shared::passwords::Workspace;
use shared::refusal::Refusal;

use crate::feed::Knowledge;
use crate::platform::Platform;
use crate::settings::{SettingFault, Settings};
use crate::verified::Verified;

/// An isolate: the platform, its settings, and plain data that outlives a request. No borrow of
/// that data is ever held over an await.
pub struct App<P> {
    /// The world.
    pub platform: P,
    settings: Result<Settings, SettingFault>,
    /// What is known of the shard.
    pub knowledge: RefCell<Knowledge>,
    /// Tokens whose signature held.
    pub verified: RefCell<Verified>,
    /// The memory that a hash works in, made at the first sign-in.
    workspace: RefCell<Option<Workspace>>,
    /// Hashes that were computed, so that tests can count them.
    #[cfg(test)]
    hashes: std::cell::Cell<u32>,
}

impl<P: Platform> App<P> {
    /// An isolate that knows nothing yet.
    pub fn new(platform: P, settings: Result<Settings, SettingFault>) -> Self {
        Self {
            platform,
            settings,
            knowledge: RefCell::default(),
            verified: RefCell::default(),
            workspace: RefCell::default(),
            #[cfg(test)]
            hashes: std::cell::Cell::default(),
        }
    }

    /// The settings, or 503 until they are complete.
    ///
    /// # Errors
    /// 503 for everything; `/readyz` names the variable.
    pub fn settings(&self) -> Result<&Settings, Refusal> {
        self.settings.as_ref().map_err(|_| Refusal::unavailable())
    }

    /// Runs `work` with the hashing memory. It never awaits, so one hash at a time holds it.
    pub fn with_workspace<T>(&self, work: impl FnOnce(&mut Workspace) -> T) -> T {
        #[cfg(test)]
        self.hashes.set(self.hashes.get() + 1);
        let mut workspace = self.workspace.borrow_mut();
        work(workspace.get_or_insert_with(Workspace::default))
    }

    fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.platform.fill(&mut bytes);
        bytes
    }

    fn event_id(&self, now_ms: u64) -> EventId {
        EventId::new(now_ms, self.random())
    }

    fn session_id(&self, shard: u8) -> SessionId {
        SessionId::new(shard, self.random())
    }
}

/// Milliseconds as D1 binds them.
fn millis(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

/// Seconds as milliseconds for D1.
fn secs_as_ms(secs: u64) -> i64 {
    millis(secs.saturating_mul(1000))
}

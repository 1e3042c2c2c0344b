//! An isolate: the platform, its settings, and plain data that outlives a request.

use std::cell::{Cell, RefCell};

use shared::contract::refusal::Refusal;
use shared::passwords::Workspace;

use crate::isolate::budgets::Budgets;
use crate::isolate::refused_names::RefusedNames;
use crate::isolate::repeats::Repeats;
use crate::isolate::reported::ReportedRefusals;
use crate::isolate::shard_cache::ShardCache;
use crate::isolate::verified::VerifiedTokens;
use crate::log;
use crate::platform::Platform;
use crate::settings::{SettingFault, Settings};

/// An isolate: the platform, its settings, and plain data that outlives a request. No borrow of
/// that data is ever held over an await.
pub struct App<P> {
    /// The world.
    pub platform: P,
    pub(crate) settings: Result<Settings, SettingFault>,
    /// The cached data of the shard.
    pub shard_cache: RefCell<ShardCache>,
    /// Networks that ask for too many unknown tenant names.
    pub(crate) refused_names: RefCell<RefusedNames>,
    /// Hashes that tenants may have computed.
    pub(crate) budgets: RefCell<Budgets>,
    /// Networks whose refusal is recorded.
    pub(crate) reported: RefCell<ReportedRefusals>,
    /// Tokens with a verified signature.
    pub verified: RefCell<VerifiedTokens>,
    /// Answers that the entry keeps.
    pub(crate) repeats: RefCell<Repeats>,
    /// Answers so far, from a random number on: which of them are logged.
    answers: Cell<u32>,
    /// The memory of the Argon2id hash, allocated at the first sign-in.
    workspace: RefCell<Option<Workspace>>,
    /// Randomness of request ids to come: drawn for many at once, because a draw costs more than the rest of a
    /// validation. Nothing that must be secret is taken from it.
    request_ids: RefCell<Vec<u8>>,
    /// Hashes that were computed, so that tests can count them.
    #[cfg(test)]
    pub(crate) hashes: Cell<u32>,
}

/// Request ids of one draw.
const REQUEST_IDS: usize = 64;

impl<P: Platform> App<P> {
    /// An isolate with empty caches.
    pub fn new(platform: P, settings: Result<Settings, SettingFault>) -> Self {
        let mut start = [0; 4];
        platform.fill(&mut start);
        Self {
            answers: Cell::new(u32::from_le_bytes(start)),
            platform,
            settings,
            shard_cache: RefCell::default(),
            refused_names: RefCell::default(),
            budgets: RefCell::default(),
            reported: RefCell::default(),
            verified: RefCell::default(),
            repeats: RefCell::default(),
            workspace: RefCell::default(),
            request_ids: RefCell::default(),
            #[cfg(test)]
            hashes: Cell::default(),
        }
    }

    /// The settings, or 503 until they are complete.
    ///
    /// # Errors
    /// 503 for everything; `/readyz` names the variable.
    pub fn settings(&self) -> Result<&Settings, Refusal> {
        self.settings.as_ref().map_err(|_| Refusal::unavailable())
    }

    /// Runs `work` with the hashing memory. `work` does not await, so only one hash uses it at a time.
    pub fn with_workspace<T>(&self, work: impl FnOnce(&mut Workspace) -> T) -> T {
        #[cfg(test)]
        self.hashes.set(self.hashes.get() + 1);
        let mut workspace = self.workspace.borrow_mut();
        work(workspace.get_or_insert_with(Workspace::default))
    }

    /// Whether this successful answer is one of those that are logged.
    pub(crate) fn logs_this_answer(&self) -> bool {
        let turn = self.answers.get();
        self.answers.set(turn.wrapping_add(1));
        turn.is_multiple_of(log::EVERY)
    }

    /// A request id of our own: 32 hex digits.
    pub(crate) fn request_id(&self) -> String {
        let mut drawn = self.request_ids.borrow_mut();
        if drawn.is_empty() {
            drawn.resize(REQUEST_IDS * size_of::<u128>(), 0);
            self.platform.fill(&mut drawn);
        }
        let left = drawn.len().saturating_sub(size_of::<u128>());
        let mut id = String::with_capacity(2 * size_of::<u128>());
        // Not by `format!`, whose way through the formatter costs as much as everything else that a validation does.
        for byte in drawn.drain(left..) {
            id.extend([byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16).unwrap_or('0')));
        }
        id
    }

    pub(crate) fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.platform.fill(&mut bytes);
        bytes
    }
}

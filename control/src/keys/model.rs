//! The signing keys of a tenant as a state machine: pure, and the clock is an argument.
//!
//! ```text
//! next ──rotate, then sign_from──▶ active ──successor's sign_from──▶ retired ──remove_at──▶ removed
//!   └───────────────revoke────────────┴───────────────revoke────────────┘──▶ revoked ──remove_at──▶ removed
//! ```
//!
//! A tenant always has one active key and one `next`, published since the last rotation, so that a
//! verifier which keeps the key set for its max-age has seen a key before it signs. The edge picks
//! the signing key by `sign_from` itself, so all isolates switch at once without another push.

use chrono::{DateTime, TimeDelta, Utc};
use shared::contract::limits::{ACCESS_TTL_MAX_SECS, CLOCK_AHEAD_SECS, JWKS_MAX_AGE_SECS, JWKS_STALE_SECS};
use shared::ids::KeyId;

/// Added to every wait, for clocks that are not quite together.
const MARGIN_SECS: u64 = 60;
/// The greatest number of revoked keys in the document. The edge also refuses tokens of unknown keys, so the earliest
/// ones can be removed early, and the document stays short.
const MOST_REVOKED: usize = 16;

/// State of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Published, does not sign yet.
    Next,
    /// Signs.
    Active,
    /// Signed; its tokens still verify.
    Retired,
    /// Refused at once and not published, but still in the document.
    Revoked,
    /// The edge does not know it; no unexpired token names it, or none that counts.
    Removed,
}

impl State {
    /// As stored and as answered.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Active => "active",
            Self::Retired => "retired",
            Self::Revoked => "revoked",
            Self::Removed => "removed",
        }
    }

    /// Reads the stored form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Next, Self::Active, Self::Retired, Self::Revoked, Self::Removed]
            .into_iter()
            .find(|state| state.as_str() == text)
    }

    /// Whether the edge must still know of it.
    #[must_use]
    pub fn is_known_to_edge(self) -> bool {
        self != Self::Removed
    }
}

/// One key, without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// RFC 7638 thumbprint.
    pub kid: KeyId,
    /// Its state.
    pub state: State,
    /// When it was made or imported.
    pub created_at: DateTime<Utc>,
    /// When the edge confirmed that it publishes the key.
    pub confirmed_at: Option<DateTime<Utc>>,
    /// From when it signs.
    pub sign_from: Option<DateTime<Utc>>,
    /// When the edge forgets it.
    pub remove_at: Option<DateTime<Utc>>,
    /// When it was revoked, or else removed.
    pub ended_at: Option<DateTime<Utc>>,
}

impl Key {
    /// A key that waits for its turn.
    #[must_use]
    pub fn next(kid: KeyId, now: DateTime<Utc>) -> Self {
        Self {
            kid,
            state: State::Next,
            created_at: now,
            confirmed_at: None,
            sign_from: None,
            remove_at: None,
            ended_at: None,
        }
    }

    /// The edge forgets it from now on.
    fn remove(&mut self, now: DateTime<Utc>) {
        self.state = State::Removed;
        self.remove_at = self.remove_at.map(|at| at.min(now));
        self.ended_at.get_or_insert(now);
    }
}

/// Why a key operation is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefusal {
    /// No key of this tenant has that id.
    #[error("there is no such key")]
    NoSuchKey,
    /// A rotation is planned already, for this moment.
    #[error("a rotation is under way: the next key signs from {}", crate::http::time::text(*.0))]
    UnderWay(DateTime<Utc>),
    /// Verifiers may not have seen the next key: the edge has not confirmed it.
    #[error(
        "the edge has not confirmed the next key yet: a running `serve` pushes it, see `wardgate edges status`"
    )]
    NotConfirmed,
    /// It can sign no more, so there is nothing to revoke.
    #[error("the key is revoked or removed already")]
    Ended,
    /// The key is one of the tenant's already.
    #[error("the tenant has this key already")]
    Known,
}

/// All keys of a tenant, in any order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRing {
    /// The keys.
    pub keys: Vec<Key>,
    /// How long validation continues with old data while the edge cannot read (a tenant's setting).
    pub staleness_secs: u64,
}

fn seconds(count: u64) -> TimeDelta {
    TimeDelta::seconds(i64::try_from(count).unwrap_or(i64::MAX / 1000))
}

impl KeyRing {
    fn at(&mut self, state: State) -> Option<&mut Key> {
        self.keys.iter_mut().find(|key| key.state == state)
    }

    /// Whether a `next` key is missing and must be made.
    #[must_use]
    pub fn lacks_next(&self) -> bool {
        !self.keys.iter().any(|key| key.state == State::Next)
    }

    /// Adds a new key; the first key of a tenant signs at once, because there is no other.
    ///
    /// # Errors
    /// [`KeyRefusal::Known`].
    pub fn add(&mut self, kid: KeyId, now: DateTime<Utc>) -> Result<(), KeyRefusal> {
        if self.keys.iter().any(|key| key.kid == kid) {
            return Err(KeyRefusal::Known);
        }
        let first = self.keys.is_empty();
        self.keys.push(Key::next(kid, now));
        if first {
            self.promote(now);
        }
        Ok(())
    }

    /// Plans the switch to `next`: not before every cache of the key set has had it, counted from
    /// the moment the edge confirmed it.
    ///
    /// # Errors
    /// [`KeyRefusal::UnderWay`], [`KeyRefusal::NotConfirmed`].
    pub fn rotate(&mut self, now: DateTime<Utc>) -> Result<DateTime<Utc>, KeyRefusal> {
        let seen_after = seconds(self.staleness_secs + JWKS_MAX_AGE_SECS + JWKS_STALE_SECS);
        let next = self.at(State::Next).ok_or(KeyRefusal::NoSuchKey)?;
        if let Some(planned) = next.sign_from {
            return Err(KeyRefusal::UnderWay(planned));
        }
        let confirmed_at = next.confirmed_at.ok_or(KeyRefusal::NotConfirmed)?;
        let sign_from = now.max(confirmed_at + seen_after) + seconds(MARGIN_SECS);
        next.sign_from = Some(sign_from);
        Ok(sign_from)
    }

    /// Applies the transitions that are due at `now`: the scheduled switch, and removals. Returns whether anything
    /// changed.
    pub fn advance(&mut self, now: DateTime<Utc>) -> bool {
        let mut moved = false;
        let due = self.keys.iter().find(|key| key.state == State::Next).and_then(|key| key.sign_from);
        if let Some(sign_from) = due.filter(|at| *at <= now) {
            self.retire(sign_from);
            if let Some(next) = self.at(State::Next) {
                next.state = State::Active;
            }
            moved = true;
        }
        for key in &mut self.keys {
            let leaves = matches!(key.state, State::Retired | State::Revoked);
            if leaves && key.remove_at.is_some_and(|at| at <= now) {
                key.remove(now);
                moved = true;
            }
        }
        moved
    }

    /// Revokes a key at once. If it signed, `next` signs immediately, even if verifiers may not have it yet. It stays
    /// in the document as long as a token may name it.
    ///
    /// # Errors
    /// [`KeyRefusal::NoSuchKey`], [`KeyRefusal::Ended`].
    pub fn revoke(&mut self, kid: &KeyId, now: DateTime<Utc>) -> Result<(), KeyRefusal> {
        let kept = self.kept_after_signing();
        let key = self.keys.iter_mut().find(|key| key.kid == *kid).ok_or(KeyRefusal::NoSuchKey)?;
        let before = key.state;
        match before {
            State::Next => key.sign_from = None,
            State::Active | State::Retired => {}
            State::Revoked | State::Removed => return Err(KeyRefusal::Ended),
        }
        key.state = State::Revoked;
        key.remove_at = Some(now + kept);
        key.ended_at = Some(now);
        if before == State::Active {
            self.promote(now);
        }
        self.forget_earliest_revoked(now);
        Ok(())
    }

    fn forget_earliest_revoked(&mut self, now: DateTime<Utc>) {
        let mut revoked: Vec<_> = self.keys.iter_mut().filter(|key| key.state == State::Revoked).collect();
        revoked.sort_by_key(|key| key.ended_at);
        let beyond = revoked.len().saturating_sub(MOST_REVOKED);
        for key in revoked.into_iter().take(beyond) {
            key.remove(now);
        }
    }

    /// Takes an imported key as the new `next`: it is published first and signs after a rotation like
    /// any other. The one that waited has signed nothing and leaves.
    ///
    /// # Errors
    /// [`KeyRefusal::Known`], [`KeyRefusal::UnderWay`].
    pub fn import(&mut self, kid: KeyId, now: DateTime<Utc>) -> Result<(), KeyRefusal> {
        if self.keys.iter().any(|key| key.kid == kid) {
            return Err(KeyRefusal::Known);
        }
        if let Some(waiting) = self.at(State::Next) {
            if let Some(planned) = waiting.sign_from {
                return Err(KeyRefusal::UnderWay(planned));
            }
            waiting.remove(now);
        }
        self.add(kid, now)
    }

    /// When [`KeyRing::advance`] has something to do next.
    #[must_use]
    pub fn due_at(&self) -> Option<DateTime<Utc>> {
        let times = self.keys.iter().filter_map(|key| match key.state {
            State::Next => key.sign_from,
            State::Retired | State::Revoked => key.remove_at,
            State::Active | State::Removed => None,
        });
        times.min()
    }

    /// The active key signs no more once its successor does; its tokens live on for a while.
    fn retire(&mut self, successor_from: DateTime<Utc>) {
        let kept = self.kept_after_signing();
        if let Some(active) = self.at(State::Active) {
            active.state = State::Retired;
            active.remove_at = Some(successor_from + kept);
        }
    }

    /// How long a token may name a key that no longer signs: an edge that cannot read signs with it until its
    /// staleness limit, plus the lifetime of the token.
    fn kept_after_signing(&self) -> TimeDelta {
        seconds(self.staleness_secs + ACCESS_TTL_MAX_SECS + MARGIN_SECS)
    }

    /// Lets `next` sign now. The edge's clock may be behind ours, so "now" is a minute ago, but later
    /// than the time of every other key, because the latest time decides who signs.
    fn promote(&mut self, now: DateTime<Utc>) {
        let latest = self.keys.iter().filter_map(|key| match key.state {
            State::Active | State::Retired => key.sign_from,
            State::Next | State::Revoked | State::Removed => None,
        });
        let earliest = latest.max().map_or(DateTime::UNIX_EPOCH, |at| at + seconds(1));
        let from = (now - TimeDelta::seconds(CLOCK_AHEAD_SECS)).max(earliest);
        if let Some(next) = self.at(State::Next) {
            next.state = State::Active;
            next.sign_from = Some(from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALENESS: u64 = 900;

    fn kid(fill: u8) -> KeyId {
        // 43 characters of base64url whose last one carries no stray bits.
        let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let letter = char::from(letters[usize::from(fill)]);
        KeyId::parse(&format!("{}A", String::from(letter).repeat(42))).unwrap()
    }

    fn at(secs: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + secs, 0).unwrap()
    }

    /// Key 0 signs, key 1 waits and was confirmed at 10.
    fn ring() -> KeyRing {
        let mut ring = KeyRing { keys: vec![], staleness_secs: STALENESS };
        ring.add(kid(0), at(0)).unwrap();
        ring.add(kid(1), at(0)).unwrap();
        ring.keys[1].confirmed_at = Some(at(10));
        ring
    }

    fn states(ring: &KeyRing) -> Vec<State> {
        ring.keys.iter().map(|key| key.state).collect()
    }

    #[test]
    fn the_first_key_signs_at_once_and_the_second_waits() {
        let ring = ring();
        assert_eq!(states(&ring), [State::Active, State::Next]);
        assert!(ring.keys[0].sign_from.unwrap() <= at(0));
        assert_eq!(ring.keys[1].sign_from, None);
        assert_eq!(ring.due_at(), None);
    }

    #[test]
    fn a_rotation_waits_for_every_cache_of_the_key_set() {
        // now, confirmed, expected sign_from
        for (now, confirmed, expected) in
            [(20, 10, 10 + 900 + 900 + 60), (5000, 10, 5000 + 60), (1810, 10, 1870)]
        {
            let mut ring = ring();
            ring.keys[1].confirmed_at = Some(at(confirmed));
            assert_eq!(ring.rotate(at(now)), Ok(at(expected)));
            assert_eq!(ring.rotate(at(now + 1)), Err(KeyRefusal::UnderWay(at(expected))));
            assert_eq!(ring.due_at(), Some(at(expected)));
        }
        let mut unconfirmed = ring();
        unconfirmed.keys[1].confirmed_at = None;
        assert_eq!(unconfirmed.rotate(at(20)), Err(KeyRefusal::NotConfirmed));
    }

    #[test]
    fn the_old_key_outlives_the_longest_token_it_signed() {
        let mut ring = ring();
        let sign_from = ring.rotate(at(5000)).unwrap();
        assert!(!ring.advance(sign_from - seconds(1)));
        assert!(ring.advance(sign_from));
        assert_eq!(states(&ring), [State::Retired, State::Active]);
        assert!(ring.lacks_next());
        ring.add(kid(2), sign_from).unwrap();
        let removal = sign_from + seconds(STALENESS + 900 + 60);
        assert_eq!(ring.due_at(), Some(removal));
        assert!(!ring.advance(removal - seconds(1)));
        assert!(ring.advance(removal));
        assert_eq!(states(&ring), [State::Removed, State::Active, State::Next]);
    }

    #[test]
    fn revoking_is_at_once() {
        // which key, the states after it
        for (which, expected) in [(0, [State::Revoked, State::Active]), (1, [State::Active, State::Revoked])]
        {
            let mut ring = ring();
            ring.revoke(&kid(which), at(100)).unwrap();
            assert_eq!(states(&ring), expected);
            assert!(ring.lacks_next());
            assert_eq!(ring.revoke(&kid(which), at(101)), Err(KeyRefusal::Ended));
            assert_eq!(ring.revoke(&kid(9), at(101)), Err(KeyRefusal::NoSuchKey));
        }
    }

    #[test]
    fn a_revoked_key_is_forgotten_when_no_token_can_name_it() {
        for which in [0, 1] {
            let mut ring = ring();
            ring.rotate(at(100)).unwrap();
            ring.revoke(&kid(which), at(200)).unwrap();
            let removal = at(200 + 900 + 900 + 60);
            assert_eq!(ring.keys[usize::from(which)].remove_at, Some(removal));
            assert_eq!(ring.due_at(), Some(removal));
            assert!(!ring.advance(removal - seconds(1)));
            assert!(ring.advance(removal + seconds(5)));
            let key = &ring.keys[usize::from(which)];
            // Its row keeps the times of revocation and removal.
            assert_eq!(
                (key.state, key.ended_at, key.remove_at),
                (State::Removed, Some(at(200)), Some(removal))
            );
            assert_eq!(ring.due_at(), None);
        }
    }

    #[test]
    fn the_edge_is_told_of_a_bounded_number_of_revoked_keys() {
        let mut ring = ring();
        for round in 2..40 {
            let (waiting, now) = (kid(round - 1), at(100 + i64::from(round)));
            ring.revoke(&waiting, now).unwrap();
            ring.add(kid(round), now).unwrap();
        }
        let of = |state| ring.keys.iter().filter(move |key| key.state == state);
        assert_eq!(of(State::Revoked).count(), 16);
        assert_eq!(of(State::Removed).count(), 22);
        let (last_gone, first_told) = (
            of(State::Removed).map(|key| key.ended_at).max(),
            of(State::Revoked).map(|key| key.ended_at).min(),
        );
        assert!(last_gone < first_told, "the earliest leave first");
    }

    #[test]
    fn a_key_that_was_to_sign_later_does_not_make_its_successor_wait() {
        let mut ring = ring();
        let sign_from = ring.rotate(at(20)).unwrap();
        ring.revoke(&kid(1), at(30)).unwrap();
        ring.add(kid(2), at(30)).unwrap();
        ring.revoke(&kid(0), at(40)).unwrap();
        assert!(ring.keys[2].sign_from.unwrap() < sign_from);
        assert!(ring.keys[2].sign_from.unwrap() <= at(40));
    }

    #[test]
    fn whoever_takes_over_signs_later_than_every_other_key() {
        let mut ring = ring();
        let sign_from = ring.rotate(at(5000)).unwrap();
        ring.advance(sign_from);
        ring.add(kid(2), sign_from).unwrap();
        // Revoked within the minute that is taken off for slow clocks.
        ring.revoke(&kid(1), sign_from + seconds(1)).unwrap();
        let (retired, active) = (&ring.keys[0], &ring.keys[2]);
        assert_eq!((retired.state, active.state), (State::Retired, State::Active));
        assert!(active.sign_from > retired.sign_from);
        assert!(active.sign_from.unwrap() <= sign_from + seconds(1));
    }

    #[test]
    fn an_imported_key_is_published_before_it_signs() {
        let mut ring = ring();
        assert_eq!(ring.import(kid(0), at(50)), Err(KeyRefusal::Known));
        ring.import(kid(3), at(50)).unwrap();
        assert_eq!(states(&ring), [State::Active, State::Removed, State::Next]);
        assert_eq!(ring.rotate(at(60)), Err(KeyRefusal::NotConfirmed));
        ring.keys[2].confirmed_at = Some(at(60));
        let planned = ring.rotate(at(60)).unwrap();
        assert_eq!(ring.import(kid(4), at(61)), Err(KeyRefusal::UnderWay(planned)));
    }

    /// Every sequence of operations keeps the two promises: at most one active and one next key.
    #[test]
    fn no_order_of_operations_leaves_two_signers() {
        for seed in 0_u32..5000 {
            let (mut ring, mut now, mut fresh, mut dice) = (ring(), 100, 2_u8, seed);
            for _ in 0..6 {
                dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                now += i64::from(dice % 2500);
                match dice >> 28 & 3 {
                    0 => drop(ring.rotate(at(now))),
                    1 => drop(ring.advance(at(now))),
                    2 => drop(ring.revoke(&kid(u8::try_from(dice >> 8 & 3).unwrap()), at(now))),
                    _ => drop(ring.import(kid(fresh), at(now))),
                }
                fresh += 1;
                if ring.lacks_next() {
                    ring.add(kid(fresh), at(now)).unwrap();
                    fresh += 1;
                }
                if let Some(next) = ring.at(State::Next) {
                    next.confirmed_at.get_or_insert(at(now));
                }
                let count = |state| ring.keys.iter().filter(|key| key.state == state).count();
                assert_eq!((count(State::Active), count(State::Next)), (1, 1), "seed {seed}");
            }
        }
    }
}

//! An attacker who has the password and guesses codes: how many codes are checked in a day, for every strategy.
//!
//! The clock is moved, so that days pass in a second. Each code here is wrong; the test counts whether it was
//! checked. docs/security.md derives the chance of a hit.

use proptest::prelude::*;
use serde_json::json;
use shared::contract::limits::{AUTHENTICATORS, CODE_TRIES, CODE_WINDOW_SECS};

use super::super::scale::scaled;
use super::*;

/// Codes of one authenticator that are valid at a moment: that of now, and one on either side.
const GOOD_AT_ONCE: u32 = 3;
const CODES: u32 = 1_000_000;
const WINDOW_MS: u64 = CODE_WINDOW_SECS * 1000;

/// The routes at which an attacker can try a code.
#[derive(Clone, Copy, Debug)]
enum Door {
    Token,
    VerifyOtp,
    StepUp,
}

struct Guesser {
    world: World,
    acme: Actor,
    /// A session that the guesser has stolen.
    access: String,
    /// When a code was looked at.
    admitted: Vec<u64>,
    shown: usize,
}

impl Guesser {
    fn new() -> Self {
        let (world, acme) = acme();
        acme.edit(|tenant| tenant.settings.access_ttl_secs = 900);
        acme.change("ada", with_factors(acme.id(), &[1, 2, 3, 4, 5], &[]));
        let access = sign_in_with(&acme, &json!({"otp": code(&world, 1)})).expect(200).text("access");
        Self { world, acme, access, admitted: Vec::new(), shown: 0 }
    }

    fn now(&self) -> u64 {
        self.world.memory().now_ms.get()
    }

    /// Six digits that are no code of any of the five authenticators now.
    fn wrong(&self) -> String {
        let good: Vec<_> = (1..=5)
            .flat_map(|number| (-2..=2).map(move |steps| (number, steps)))
            .map(|(number, steps)| code_from_now(&self.world, number, steps))
            .collect();
        (0..100).map(|number| format!("{number:06}")).find(|code| !good.contains(code)).unwrap()
    }

    /// Sends so many wrong codes to a route, one after the other.
    fn shows(&mut self, count: usize, door: Door) {
        let mut token = None;
        for number in 0..count {
            // A challenge has five tries, and the next sign-in gives another one.
            if number % 5 == 0 || token.is_none() {
                token = matches!(door, Door::VerifyOtp).then(|| mfa_token(&self.acme));
            }
            let wrong = self.wrong();
            let before = facts(&self.world).len();
            let answer = match (door, &token) {
                (Door::VerifyOtp, Some(token)) => verify_otp(&self.acme, token, &wrong),
                (Door::StepUp, _) => {
                    let request = self.acme.request("POST", "/api/step-up/").bearer(&self.access);
                    self.world.send(request.json(&json!({"otp": wrong})))
                }
                (Door::Token | Door::VerifyOtp, _) => sign_in_with(&self.acme, &json!({"otp": wrong})),
            };
            self.shown += 1;
            assert!(matches!(answer.status, 401 | 429), "{}", answer.text);
            if facts(&self.world).len() > before {
                assert_eq!(answer.status, 401);
                self.admitted.push(self.now());
            }
            run(&self.world, "delete from outbox");
        }
    }

    /// The most codes that were looked at in any 24 hours.
    fn most_in_a_day(&self) -> usize {
        let in_a_day =
            |from: &u64| self.admitted.iter().filter(|at| (*from..from + DAY_MS).contains(at)).count();
        self.admitted.iter().map(in_a_day).max().unwrap_or(0)
    }

    /// Fails unless the chance of a hit in any 24 hours is under 1 in 1,000.
    fn is_bounded(&self) {
        let most = u32::try_from(self.most_in_a_day()).unwrap();
        assert!(most <= 2 * CODE_TRIES, "{most} of {} in a day", self.shown);
        let hits = most * u32::try_from(AUTHENTICATORS).unwrap() * GOOD_AT_ONCE;
        assert!(hits * 1000 < CODES, "{most}");
    }
}

#[test]
fn a_guesser_who_never_stops_has_under_one_in_a_thousand_in_a_day() {
    let mut guesser = Guesser::new();
    // Every ten minutes, for two days; every minute in a long run.
    let pause_ms = scaled(600_000, 60_000);
    for turn in 0..2 * DAY_MS / pause_ms {
        guesser.shows(1, if turn % 2 == 0 { Door::VerifyOtp } else { Door::Token });
        guesser.world.advance(pause_ms);
    }
    guesser.is_bounded();
    assert_eq!(guesser.admitted.len(), 2 * usize::try_from(CODE_TRIES).unwrap(), "a window and another one");
}

#[test]
fn the_worst_plan_is_a_window_that_ends_when_another_begins() {
    let tries = usize::try_from(CODE_TRIES).unwrap();
    let mut guesser = Guesser::new();
    guesser.shows(1, Door::Token);
    guesser.world.advance(WINDOW_MS - 1);
    guesser.shows(2 * tries, Door::VerifyOtp);
    assert_eq!(guesser.admitted.len(), tries);
    guesser.world.advance(1);
    guesser.shows(2 * tries, Door::VerifyOtp);
    assert_eq!(guesser.admitted.len(), 2 * tries);
    assert_eq!(guesser.most_in_a_day(), 2 * tries - 1);
    guesser.is_bounded();
    // And then nothing for a day, however hard.
    for _ in 0..23 {
        guesser.world.advance(3_600_000);
        guesser.shows(5, Door::Token);
    }
    assert_eq!(guesser.admitted.len(), 2 * tries);
}

#[test]
fn a_stolen_session_gives_no_more_tries() {
    let tries = usize::try_from(CODE_TRIES).unwrap();
    let mut guesser = Guesser::new();
    for _ in 0..tries / 3 {
        guesser.shows(1, Door::Token);
        guesser.shows(1, Door::StepUp);
        guesser.shows(1, Door::VerifyOtp);
    }
    assert_eq!(guesser.admitted.len(), tries);
    guesser.shows(3, Door::VerifyOtp);
    guesser.shows(3, Door::StepUp);
    guesser.shows(3, Door::Token);
    assert_eq!(guesser.admitted.len(), tries);
}

#[test]
fn the_owner_who_signs_in_meanwhile_gives_no_tries_back() {
    let tries = usize::try_from(CODE_TRIES).unwrap();
    let mut guesser = Guesser::new();
    for _ in 0..tries - 1 {
        guesser.shows(1, Door::Token);
        guesser.world.advance(STEP_MS);
        let right = json!({"otp": code(&guesser.world, 1)});
        sign_in_with(&guesser.acme, &right).expect(200);
        run(&guesser.world, "delete from outbox");
    }
    guesser.shows(10, Door::VerifyOtp);
    assert_eq!(guesser.admitted.len(), tries);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(scaled(8, 100)))]
    /// Every strategy: bursts of any size, at any route, after any pause.
    #[test]
    fn no_plan_gets_more(
        plan in proptest::collection::vec(
            (1usize..12, prop_oneof![Just(Door::Token), Just(Door::VerifyOtp)], 0u64..5 * 3_600_000),
            1..24,
        )
    ) {
        let mut guesser = Guesser::new();
        for (count, door, pause_ms) in plan {
            guesser.shows(count, door);
            guesser.world.advance(pause_ms);
        }
        guesser.is_bounded();
    }
}

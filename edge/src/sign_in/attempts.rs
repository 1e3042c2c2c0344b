//! Password attempts, counted before the hash: the rules, and the wait after a refusal.
//!
//! An attempt at a sign-in is counted for the account, the network, the tenant, and the pair of account and network.
//! From a network that is known to the account it is counted only for the pair, so that attempts from other networks
//! cannot cause its refusal. Refused attempts are not counted, and a correct password takes its own attempt back.

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};
use shared::contract::limits::{
    ACCOUNT_ATTEMPTS, ACCOUNT_ATTEMPTS_MAX, ACCOUNT_DELAY_MAX_SECS, ACCOUNT_DELAY_SECS, ACCOUNT_WINDOW_SECS,
    ATTEMPT_WINDOW_SECS, ATTEMPTS, NETWORK_ATTEMPTS, NETWORK_WINDOW_SECS, PAIR_ATTEMPTS, PAIR_DELAY_MAX_SECS,
    PAIR_DELAY_SECS, PAIR_WINDOW_SECS, TENANT_ATTEMPTS, TENANT_WINDOW_SECS,
};
use shared::contract::refusal::Refusal;
use shared::tenant::captcha::CaptchaPolicy;

use crate::context::Context;
use crate::platform::{Param, Platform, Rows, Statement, StoreError};
use crate::sql::batch::{Batch, BatchRows, Handle};
use crate::sql::{self, Sql, secs_as_ms};

/// The rule for one kind of row. After `free` attempts the row refuses for `delay`, doubled by each further one up to
/// `longest`; after `most` until its window is over.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Rule {
    by_account: bool,
    by_network: bool,
    free: u64,
    most: Option<u64>,
    delay: i64,
    longest: i64,
    window: i64,
}

/// The rules of a sign-in.
pub(super) fn at_sign_in() -> [Rule; 4] {
    [
        Rule {
            by_account: true,
            by_network: true,
            free: PAIR_ATTEMPTS,
            most: None,
            delay: secs_as_ms(PAIR_DELAY_SECS),
            longest: secs_as_ms(PAIR_DELAY_MAX_SECS),
            window: secs_as_ms(PAIR_WINDOW_SECS),
        },
        Rule {
            by_account: true,
            by_network: false,
            free: ACCOUNT_ATTEMPTS,
            most: Some(ACCOUNT_ATTEMPTS_MAX),
            delay: secs_as_ms(ACCOUNT_DELAY_SECS),
            longest: secs_as_ms(ACCOUNT_DELAY_MAX_SECS),
            window: secs_as_ms(ACCOUNT_WINDOW_SECS),
        },
        Rule { by_network: true, ..fixed(NETWORK_ATTEMPTS, NETWORK_WINDOW_SECS) },
        fixed(TENANT_ATTEMPTS, TENANT_WINDOW_SECS),
    ]
}

/// The rule of a step-up: only the user of the session can use the tries up.
pub(super) fn at_step_up() -> [Rule; 1] {
    [Rule { by_account: true, ..fixed(u64::from(ATTEMPTS), ATTEMPT_WINDOW_SECS) }]
}

/// So many tries in a window.
fn fixed(most: u64, window_secs: u64) -> Rule {
    Rule {
        by_account: false,
        by_network: false,
        free: most,
        most: Some(most),
        delay: 0,
        longest: 0,
        window: secs_as_ms(window_secs),
    }
}

/// The subject of an attempt.
pub(super) struct Subject<'a> {
    /// The account where no user is found by `identifier`.
    pub account: &'a str,
    /// The same under the former lookup root.
    pub former: Option<&'a str>,
    /// The hash of the name, which may lead to a user; empty for none.
    pub identifier: &'a str,
    /// The same under the former lookup root.
    pub former_identifier: Option<&'a str>,
    /// The client's network.
    pub network: &'a str,
}

/// A row in which a try was counted.
#[derive(Deserialize, Serialize)]
struct CountedRow {
    account: String,
    network: String,
    ends: i64,
    /// With this try.
    #[serde(skip_serializing)]
    count: u64,
}

#[derive(Deserialize)]
struct WaitRow {
    open_at: Option<i64>,
}

/// A try that a batch counts.
pub(super) struct CountedAttempt {
    event: String,
    counted: Handle<CountedRow>,
    wait: Handle<WaitRow>,
}

impl CountedAttempt {
    /// Adds to a batch: counts an attempt by `rules`.
    pub(super) fn count<P: Platform>(
        ctx: Context<'_, P>,
        batch: &mut Batch,
        tenant: &str,
        subject: &Subject<'_>,
        rules: &[Rule],
    ) -> Self {
        let event = ctx.event_id().to_string();
        let rules = serde_json::json!(rules).to_string();
        let bind = |statement: Sql| {
            statement.bind([
                tenant.into(),
                ctx.now().into(),
                event.as_str().into(),
                subject.network.into(),
                subject.account.into(),
                subject.former.into(),
                subject.identifier.into(),
                subject.former_identifier.into(),
                rules.as_str().into(),
            ])
        };
        let (counted, wait) = (batch.add(bind(sql::RESERVE_ATTEMPT)), batch.add(bind(sql::ATTEMPT_WAIT)));
        Self { event, counted, wait }
    }

    /// The counted attempt, or the seconds to wait.
    ///
    /// # Errors
    /// As [`BatchRows::take`].
    pub(super) fn outcome<R: Rows>(
        self,
        rows: &BatchRows<R>,
        now: i64,
    ) -> Result<ControlFlow<Refusal, Attempt>, StoreError> {
        let counted = rows.take(self.counted)?;
        if !counted.is_empty() {
            return Ok(ControlFlow::Continue(Attempt { event: self.event, rows: counted }));
        }
        let open_at = rows.take_one(self.wait)?.and_then(|wait| wait.open_at).unwrap_or(now);
        Ok(ControlFlow::Break(Refusal::throttled(until(open_at, now))))
    }
}

/// Seconds until a row opens. A try that arrived a moment later may have closed it.
fn until(open_at: i64, now: i64) -> u64 {
    let wait_ms = open_at.saturating_sub(now).clamp(1, secs_as_ms(ACCOUNT_WINDOW_SECS));
    u64::try_from(wait_ms).unwrap_or(1).div_ceil(1000)
}

/// A try that was counted.
pub(super) struct Attempt {
    event: String,
    rows: Vec<CountedRow>,
}

impl Attempt {
    /// Whether the network is known to the account.
    pub(super) fn is_known(&self) -> bool {
        self.rows.len() == 1
    }

    /// Whether the attempts before this one, wrong or still running, have reached the number after which the tenant
    /// requires a CAPTCHA.
    pub(super) fn is_suspicious(&self, policy: &CaptchaPolicy) -> bool {
        let of = |row: &CountedRow| (!row.account.is_empty(), !row.network.is_empty());
        self.rows.iter().any(|row| {
            let rule = at_sign_in().into_iter().find(|rule| (rule.by_account, rule.by_network) == of(row));
            rule.is_some_and(|rule| policy.is_reached(row.count.saturating_sub(1), rule.free))
        })
    }

    /// Takes the attempt back with a statement that has a condition: (tenant, event, rows, condition).
    pub(super) fn give_back(&self, statement: Sql, tenant: &str, condition: &str) -> Statement {
        let [tenant, event, rows] = self.params(tenant);
        statement.bind([tenant, event, rows, condition.into()])
    }

    /// Takes the attempt back before a code of `user` is checked; the code's attempt has another event.
    pub(super) fn give_back_for_code(&self, tenant: &str, user: &str, code_event: &str) -> Statement {
        let [tenant, event, rows] = self.params(tenant);
        sql::RETURN_ATTEMPT_FOR_CODE.bind([tenant, event, rows, user.into(), code_event.into()])
    }

    /// Gives the try back without a condition.
    pub(super) fn take_back(&self, tenant: &str) -> Statement {
        sql::TAKE_BACK_ATTEMPT.bind(self.params(tenant))
    }

    fn params(&self, tenant: &str) -> [Param; 3] {
        [tenant.into(), self.event.as_str().into(), serde_json::json!(self.rows).to_string().into()]
    }

    /// Records that unknown networks are refused from this attempt on, if it reached their limit. `user` is the
    /// account's, and `name_hash` that of an unknown name.
    pub(super) fn record_refused<P: Platform>(
        &self,
        ctx: Context<'_, P>,
        tenant: &str,
        network: &str,
        (user, name_hash): (Option<&str>, Option<&str>),
    ) -> Option<Statement> {
        let of_account = self.rows.iter().find(|row| row.network.is_empty() && !row.account.is_empty())?;
        Some(sql::RECORD_NETWORKS_REFUSED.bind([
            ctx.event_id().to_string().into(),
            tenant.into(),
            ctx.now().into(),
            self.event.as_str().into(),
            network.into(),
            user.into(),
            name_hash.into(),
            of_account.account.as_str().into(),
            sql::millis(ACCOUNT_ATTEMPTS_MAX).into(),
        ]))
    }
}

//! Promising a mail.

use chrono::TimeDelta;

use super::budget::{self, Counted};
use super::kind::Class;
use super::letter::{Content, MailId, NewMail};
use super::send::SendMail;
use super::store;
use crate::control::Control;
use crate::db::TenantTx;
use crate::failure::Failure;
use crate::jobs::queue::enqueue;

/// The outcome of a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Posted {
    /// It is sent once the transaction is committed, and when its budget allows.
    Queued(MailId),
    /// Not sent: the budget of the account or of the domain for mails that clients without a credential cause is used
    /// up.
    OverBudget,
}

/// Counts a letter, stores it and enqueues its job, all in the caller's transaction. Counters stay locked until that
/// ends, so this is best called last.
///
/// # Errors
/// Errors of the database, or no randomness.
pub async fn post(tx: &mut TenantTx, control: &Control, letter: NewMail) -> Result<Posted, Failure> {
    let class = letter.kind.class();
    promise(tx, control, letter, class).await
}

/// As [`post`], for a mail that the holder of a mailed link causes: it is counted as a notice. Requests without a
/// credential cannot use that budget up, and beyond it the mail waits, so it is never [`Posted::OverBudget`].
///
/// # Errors
/// As [`post`].
pub async fn post_as_notice(tx: &mut TenantTx, control: &Control, letter: NewMail) -> Result<(), Failure> {
    promise(tx, control, letter, Class::Notice).await.map(drop)
}

async fn promise(
    tx: &mut TenantTx,
    control: &Control,
    letter: NewMail,
    class: Class,
) -> Result<Posted, Failure> {
    let NewMail { kind, to, link, mut facts } = letter;
    let now = control.clock.now();
    facts.at.get_or_insert(now);
    let (counted, delay) = match budget::count(tx, class, &to, now).await? {
        Counted::Within => (true, TimeDelta::zero()),
        Counted::Beyond { .. } if class == Class::Request => {
            metrics::counter!("wardgate_mail_dropped_total", "kind" => kind.as_str()).increment(1);
            return Ok(Posted::OverBudget);
        }
        Counted::Beyond { until } => (false, until - now),
    };
    let lives = link.as_ref().map(|(link, _)| link.lifetime());
    let lives = lives.or_else(|| facts.expires_at.map(|at| at - now)).unwrap_or_else(|| kind.lifetime());
    let content = Content { to, link, facts };
    let mail = store::insert(tx, kind, &content, counted, (now, now + lives)).await?;
    let job = SendMail { tenant: tx.tenant(), mail };
    enqueue(tx, &job, delay).await?;
    Ok(Posted::Queued(mail))
}

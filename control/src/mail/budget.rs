//! How many mails an account and the domain of an address are sent. Counted by one conditional statement, before
//! anything is promised, under keyed hashes: a copy of the counters reveals no account and no domain.

use chrono::{DateTime, Utc};
use shared::contract::limits::{
    MAIL_NOTICES_PER_HOUR, MAIL_NOTICES_PER_MINUTE, MAIL_TESTS_PER_HOUR, MAILS_PER_HOUR, MAILS_PER_MINUTE,
};
use shared::derive::{Purpose, mac};
use shared::identifiers::{Identifier, folded};

use super::kind::Class;
use super::letter::Recipient;
use crate::crypt::lookup;
use crate::db::TenantTx;
use crate::failure::Failure;

const HOUR_SECS: f64 = 3600.0;
const MINUTE_SECS: f64 = 60.0;

/// Whether a mail is within its budgets.
pub(super) enum Counted {
    /// It was counted in each.
    Within,
    /// It was counted in none.
    Beyond {
        /// When the last of the windows ends that are full.
        until: DateTime<Utc>,
    },
}

/// Counters with what they allow, and for how long.
#[derive(Default)]
struct Charges {
    counters: Vec<Vec<u8>>,
    most: Vec<i32>,
    secs: Vec<f64>,
}

/// Counts a mail in each of its budgets, or in none.
///
/// # Errors
/// Errors of the database.
pub(super) async fn count(
    tx: &mut TenantTx,
    class: Class,
    to: &Recipient,
    now: DateTime<Utc>,
) -> Result<Counted, Failure> {
    let wanted = wanted(tx, class, to).await?;
    let taken = take(tx, &wanted, now).await?;
    if taken.len() == wanted.counters.len() {
        return Ok(Counted::Within);
    }
    give_back(tx, &taken).await?;
    let until = sqlx::query_scalar!(
        "select max(ends_at)
         from mail_counts
         where tenant_id = $1 and counter = any ($2) and remaining = 0 and ends_at > $3",
        tx.tenant().uuid(),
        &wanted.counters,
        now,
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(Counted::Beyond { until: until.unwrap_or(now) })
}

/// The counter of the account is of its user and of its address, because a user can request a change to any address.
async fn wanted(tx: &mut TenantTx, class: Class, to: &Recipient) -> Result<Charges, Failure> {
    let key = lookup::key(tx, Purpose::MailCount).await?;
    let tenant = tx.tenant();
    let (budget, an_hour, a_minute) = match class {
        Class::Request | Class::Order => ("asked", MAILS_PER_HOUR, MAILS_PER_MINUTE),
        Class::Test => ("test", MAIL_TESTS_PER_HOUR, MAILS_PER_MINUTE),
        Class::Notice => ("notice", MAIL_NOTICES_PER_HOUR, MAIL_NOTICES_PER_MINUTE),
    };
    let canonical = Identifier::parse(&to.address);
    let address = canonical.map_or_else(|_| folded(&to.address), |it| it.as_str().to_owned());
    let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
    let mut wanted = Charges::default();
    let mut add = |what: &str, subject: &[u8], most, secs| {
        let list: [&[u8]; 4] = [tenant.as_bytes(), budget.as_bytes(), what.as_bytes(), subject];
        wanted.counters.push(mac(&key, "mail-count/v1", &list).to_vec());
        wanted.most.push(most);
        wanted.secs.push(secs);
    };
    add("address", address.as_bytes(), an_hour, HOUR_SECS);
    add("domain", domain.as_bytes(), a_minute, MINUTE_SECS);
    if let Some(user) = to.user {
        add("user", user.as_bytes(), an_hour, HOUR_SECS);
    }
    Ok(wanted)
}

/// Takes one from each counter that has one left, and says from which. In one order, so that no two transactions wait for
/// each other.
async fn take(tx: &mut TenantTx, wanted: &Charges, now: DateTime<Utc>) -> Result<Vec<Vec<u8>>, Failure> {
    let taken = sqlx::query_scalar!(
        "insert into mail_counts as c (tenant_id, counter, remaining, ends_at)
         select $1, counter, most - 1, $2::timestamptz + make_interval(secs => secs)
         from unnest($3::bytea[], $4::int[], $5::float8[]) as wanted (counter, most, secs)
         order by counter
         on conflict (tenant_id, counter) do update
         set remaining = case when c.ends_at <= $2 then excluded.remaining else c.remaining - 1 end,
             ends_at = case when c.ends_at <= $2 then excluded.ends_at else c.ends_at end
         where c.ends_at <= $2 or c.remaining > 0
         returning counter",
        tx.tenant().uuid(),
        now,
        &wanted.counters,
        &wanted.most,
        &wanted.secs,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(taken)
}

/// Undoes [`take`], whose rows this transaction still has locked.
async fn give_back(tx: &mut TenantTx, taken: &[Vec<u8>]) -> Result<(), Failure> {
    sqlx::query!(
        "update mail_counts set remaining = remaining + 1 where tenant_id = $1 and counter = any ($2)",
        tx.tenant().uuid(),
        taken,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Deletes some counters whose windows are over, but for those that others have locked.
///
/// # Errors
/// Errors of the database.
pub(super) async fn prune(tx: &mut TenantTx, now: DateTime<Utc>) -> Result<(), Failure> {
    sqlx::query!(
        "delete from mail_counts
         where tenant_id = $1 and counter in (
             select counter from mail_counts
             where tenant_id = $1 and ends_at <= $2
             order by ends_at
             limit 100
             for update skip locked
         )",
        tx.tenant().uuid(),
        now,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

//! Confirmed networks, from which a user can sign in although attackers guess the password: a mailed link confirms
//! one.
//!
//! After too many wrong passwords the edge refuses unknown networks of an account, and reports a fact. Control mails
//! the user a link, and a job sends the network from which the link is used to the edge. There the network has its
//! own counter of wrong passwords, for an hour.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::contract::limits::{CONFIRMED_NETWORK_SECS, NETWORK_LINK_SECS};
use shared::ids::{TenantId, UserId};
use shared::network;
use shared::user::UserStatus;
use shared::wire::facts::{Fact, FactKind};
use shared::wire::push::{Command, ConfirmNetworkOut};

use super::{AccountError, Call, letters};
use crate::audit::{self, Action};
use crate::control::Control;
use crate::db::TenantTx;
use crate::edges::client::CallError;
use crate::failure::Failure;
use crate::jobs::queue::{Enqueued, Job, Pool, enqueue};
use crate::links::{self, Holder, LinkKind};
use crate::requests::{self, RequestId, RequestKind};
use crate::users::{self, User, UserError};

fn count(outcome: &'static str) {
    metrics::counter!("wardgate_network_links_total", "outcome" => outcome).increment(1);
}

/// Mails a link to the user of a fact which says that unknown networks are refused, once a day at most.
///
/// # Errors
/// Errors of the database, or no randomness.
pub async fn take_over(control: &Control, tx: &mut TenantTx, fact: &Fact) -> Result<(), Failure> {
    let (FactKind::NetworksRefused, Some(id)) = (&fact.kind, fact.user) else { return Ok(()) };
    let Some(user) = active(tx, id).await? else { return Ok(()) };
    if !user.email_verified {
        count("no_proven_address");
        return Ok(());
    }
    if !claim(tx, id, control.clock.now()).await? {
        count("mailed_lately");
        return Ok(());
    }
    let token = links::make(tx, LinkKind::Network, Holder::User(id), control.clock.now()).await?;
    let mailed = letters::networks_refused(control, tx, &user, token).await?;
    count(if mailed { "mailed" } else { "no_proven_address" });
    Ok(())
}

async fn active(tx: &mut TenantTx, id: UserId) -> Result<Option<User>, Failure> {
    match users::find(tx, id).await {
        Ok(user) => Ok(Some(user).filter(|user| user.status == UserStatus::Active)),
        Err(UserError::Failure(failure)) => Err(failure),
        Err(_) => Ok(None),
    }
}

/// Whether this is the one mail of the day.
async fn claim(tx: &mut TenantTx, id: UserId, now: DateTime<Utc>) -> Result<bool, Failure> {
    let claimed = sqlx::query!(
        "update users
         set network_mailed_at = $3
         where tenant_id = $1 and id = $2 and coalesce(network_mailed_at <= $4, true)",
        tx.tenant().uuid(),
        id.uuid(),
        now,
        now - TimeDelta::seconds(NETWORK_LINK_SECS),
    )
    .execute(&mut **tx)
    .await?;
    Ok(claimed.rows_affected() > 0)
}

/// A network on its way to the edge, sealed under the request's own key.
#[derive(Serialize, Deserialize)]
struct Confirmed {
    network: String,
    until_ms: i64,
}

/// Uses a link up, and sends the network that it was used from to the edge:
/// 1. of many at once one takes the link, of a user who is active;
/// 2. the network is kept, sealed, until the edge has it, and a job is enqueued;
/// 3. the log has it.
///
/// # Errors
/// [`AccountError::Link`]; errors of the database, or no randomness.
pub async fn confirm(
    control: &Control,
    tx: &mut TenantTx,
    call: &Call,
    unverified_token: &str,
) -> Result<(), AccountError> {
    let now = control.clock.now();
    let holder = links::take(tx, LinkKind::Network, unverified_token, now).await?;
    let Some(Holder::User(id)) = holder else { return Err(AccountError::Link) };
    let user = active(tx, id).await?.ok_or(AccountError::Link)?;
    let client = call.client.as_deref().ok_or(AccountError::Link)?;
    let lives = TimeDelta::seconds(CONFIRMED_NETWORK_SECS);
    let confirmed = Confirmed { network: network::of(client), until_ms: (now + lives).timestamp_millis() };
    let request = requests::put(tx, RequestKind::Network, Some(id), &confirmed, now, lives).await?;
    let job = ConfirmNetwork { tenant: tx.tenant(), request };
    enqueue(tx, &job, TimeDelta::zero()).await?;
    let target = Some(id.to_string());
    audit::record(tx, &call.of(&user), now, Action::NetworkConfirmed, target, json!({}));
    count("confirmed");
    Ok(())
}

/// Why a network did not reach the edge.
#[derive(Debug, thiserror::Error)]
pub enum ConfirmError {
    /// The edge did not accept it.
    #[error("the edge did not take a confirmed network")]
    Edge(#[from] CallError),
    /// An internal failure.
    #[error(transparent)]
    Failure(#[from] Failure),
}

/// Takes a confirmed network to the edge. Once more changes nothing there.
#[derive(Serialize, Deserialize)]
pub struct ConfirmNetwork {
    /// At which tenant.
    pub tenant: TenantId,
    /// The network's request.
    pub request: RequestId,
}

impl Job for ConfirmNetwork {
    const TASK: &'static str = "confirm_network";
    const POOL: Pool = Pool::Answers;
    const ATTEMPTS: u16 = 12;
    const DELAYS_SECS: &'static [i32] = &[1, 2, 5, 10, 30, 60, 300];
    type Error = ConfirmError;

    async fn run(self, control: &Control) -> Result<(), ConfirmError> {
        let now = control.clock.now();
        let mut tx = control.db.work_tx(self.tenant).await?;
        let found = requests::find::<Confirmed>(&mut tx, RequestKind::Network, self.request, now).await?;
        drop(tx);
        let Some((user, Confirmed { network, until_ms })) =
            found.and_then(|found| Some((found.user?, found.content)))
        else {
            return Ok(());
        };
        let command = Command::ConfirmNetwork { tenant: self.tenant, user, network, until_ms };
        let _: ConfirmNetworkOut = control.edge.command(&command, now).await?;
        let mut tx = control.db.work_tx(self.tenant).await?;
        requests::remove(&mut tx, self.request).await?;
        Ok(tx.commit().await?)
    }
}

impl Enqueued for ConfirmNetwork {
    fn about(&self) -> String {
        self.request.to_string()
    }

    fn tenant(&self) -> Option<TenantId> {
        Some(self.tenant)
    }
}

//! Asking for a link, and the answer.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use shared::contract::limits::ANSWER_SECS;
use shared::identifiers::Identifier;
use shared::ids::TenantId;
use shared::tenant::Status;

use super::mail_link::{Mailed, mail_link};
use super::{Caller, count};
use crate::audit::{Actor, Who};
use crate::control::Control;
use crate::crypt::personal::Personal;
use crate::db::TenantTx;
use crate::failure::Failure;
use crate::jobs::queue::{Enqueued, Job, Pool, enqueue};
use crate::requests::{self, RequestId, RequestKind};
use crate::tenants::{self, TenantError};
use crate::users::{self, User, UserError};

/// Why nothing was taken down.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The limit of requests without a credential in a minute is reached.
    #[error("too much is asked for at once")]
    TooMany,
    /// An internal failure.
    #[error(transparent)]
    Failure(#[from] Failure),
}

/// The content of the stored request, encrypted under its own key.
#[derive(Serialize, Deserialize)]
struct ResetRequest {
    /// The canonical form of what was typed.
    email: String,
    request_id: Option<String>,
    client: Option<String>,
}

/// Notes the request for a link to this address. No user is looked up.
///
/// # Errors
/// [`AskError::TooMany`]; errors of the database, or no randomness.
pub async fn ask(
    control: &Control,
    tx: &mut TenantTx,
    email: &Identifier,
    caller: Caller,
) -> Result<(), AskError> {
    let Caller { request_id, client } = caller;
    let asked = ResetRequest { email: email.as_str().to_owned(), request_id, client };
    let (now, lives) = (control.clock.now(), TimeDelta::seconds(ANSWER_SECS));
    if !requests::take_room(tx, RequestKind::Reset, now).await? {
        count("throttled");
        return Err(AskError::TooMany);
    }
    let request = requests::put(tx, RequestKind::Reset, None, &asked, now, lives).await?;
    let job = AnswerReset { tenant: tx.tenant(), request };
    enqueue(tx, &job, TimeDelta::zero()).await?;
    count("asked");
    Ok(())
}

/// Answers a request for a link.
#[derive(Serialize, Deserialize)]
pub struct AnswerReset {
    /// The tenant.
    pub tenant: TenantId,
    /// The request.
    pub request: RequestId,
}

impl Job for AnswerReset {
    const TASK: &'static str = "answer_reset";
    const POOL: Pool = Pool::Answers;
    type Error = Failure;

    async fn run(self, control: &Control) -> Result<(), Failure> {
        answer_reset(control, self.tenant, self.request).await
    }
}

impl Enqueued for AnswerReset {
    fn about(&self) -> String {
        self.request.to_string()
    }

    fn tenant(&self) -> Option<TenantId> {
        Some(self.tenant)
    }
}

/// Mails a link to the active user whose proven address was named, if there is one, and deletes the request. Done
/// twice, or at two controls at once, it is done once.
///
/// # Errors
/// Errors of the database, or no randomness.
pub async fn answer_reset(control: &Control, tenant: TenantId, request: RequestId) -> Result<(), Failure> {
    let mut tx = control.db.work_tx(tenant).await?;
    let found =
        requests::find::<ResetRequest>(&mut tx, RequestKind::Reset, request, control.clock.now()).await?;
    let Some(found) = found else { return Ok(()) };
    let outcome = answer(control, &mut tx, found.content).await?;
    if outcome == Outcome::Mailed(Mailed::OverBudget) {
        // The user's present link stays valid: it is not replaced by one that is not mailed.
        tx = tx.anew(&control.db).await?;
    }
    requests::remove(&mut tx, request).await?;
    tx.commit().await?;
    count(outcome.label());
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// The tenant is stopped, or no user has the address.
    NoUser,
    Mailed(Mailed),
}

impl Outcome {
    fn label(self) -> &'static str {
        match self {
            Self::NoUser => "no_user",
            Self::Mailed(mailed) => mailed.label(),
        }
    }
}

async fn answer(control: &Control, tx: &mut TenantTx, asked: ResetRequest) -> Result<Outcome, Failure> {
    if !is_active(tx).await? {
        return Ok(Outcome::NoUser);
    }
    let Some(user) = owner(tx, &asked.email).await? else { return Ok(Outcome::NoUser) };
    let actor = Actor { who: Who::Control, request_id: asked.request_id, client: asked.client };
    Ok(Outcome::Mailed(mail_link(control, tx, &actor, user.id).await?))
}

async fn is_active(tx: &mut TenantTx) -> Result<bool, Failure> {
    let id = tx.tenant();
    match tenants::find(tx, id).await {
        Ok(tenant) => Ok(tenant.status == Status::Active),
        Err(TenantError::Failure(failure)) => Err(failure),
        Err(_) => Ok(false),
    }
}

/// The user with this address. A user name that looks like an address does not count.
async fn owner(tx: &mut TenantTx, email: &str) -> Result<Option<User>, Failure> {
    let user = match users::find_by_name(tx, email).await {
        Ok(user) => user,
        Err(UserError::Failure(failure)) => return Err(failure),
        Err(_) => return Ok(None),
    };
    let address = user.email.as_ref().map(Personal::expose).and_then(users::parse_address);
    Ok(Some(user).filter(|_| address.is_some_and(|address| address.as_str() == email)))
}

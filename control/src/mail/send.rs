//! The job that sends a mail.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::ids::TenantId;
use shared::tenant::Status;

use super::budget::{self, Counted};
use super::letter::MailId;
use super::message::{Head, Mime, MimeError, mime};
use super::sender::{self, InForce};
use super::smtp::{Taken, Undelivered};
use super::store::{self, Mail};
use super::{page, words};
use crate::audit::{self, Action, Actor};
use crate::control::Control;
use crate::db::TenantTx;
use crate::failure::Failure;
use crate::jobs::queue::{Enqueued, Job, Pool, Retry, enqueue};
use crate::tenants::{self, Tenant, TenantError};

/// When a mail of a tenant that is stopped is looked at again.
const STOPPED: TimeDelta = TimeDelta::minutes(10);
/// When it is looked at whether there is a server by now.
const OFF: TimeDelta = TimeDelta::minutes(1);

/// Sends a queued mail:
/// 1. it reads the mail's row: there is none if the mail was sent or its account was deleted;
/// 2. an expired mail is dropped, and one above its budget is postponed until the budget allows it;
/// 3. it renders the mail and sends it to the server, outside of a transaction;
/// 4. it deletes the row. After a kill before that, the same message is sent again.
#[derive(Serialize, Deserialize)]
pub struct SendMail {
    /// The tenant.
    pub tenant: TenantId,
    /// The mail.
    pub mail: MailId,
}

/// Why a mail was not sent, without personal data.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// No server is set, for the platform or the tenant.
    #[error("mail is off: WARDGATE_MAIL_HOST names no server, and the tenant has no sender of its own")]
    Off,
    /// The tenant is suspended.
    #[error("the tenant is suspended")]
    Stopped,
    /// It is beyond its budget until then.
    #[error("the account, or the domain of its address, has had its share of mails")]
    OverBudget(TimeDelta),
    /// No message can be made.
    #[error(transparent)]
    Mime(#[from] MimeError),
    /// The server did not accept it.
    #[error(transparent)]
    Undelivered(#[from] Undelivered),
    /// An internal failure.
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl Job for SendMail {
    const TASK: &'static str = "send_mail";
    const POOL: Pool = Pool::Mail;
    /// Ten in the first hour, later one every two hours, for a week, after which every mail has expired.
    const ATTEMPTS: u16 = 100;
    const DELAYS_SECS: &'static [i32] =
        &[5, 15, 30, 60, 120, 240, 300, 300, 600, 900, 1800, 3600, 3600, 3600, 7200];
    type Error = SendError;

    async fn run(self, control: &Control) -> Result<(), SendError> {
        run(control, self.tenant, self.mail).await
    }

    fn retry(failure: &SendError) -> Retry {
        match failure {
            SendError::Off => Retry::Later(OFF),
            SendError::Stopped => Retry::Later(STOPPED),
            SendError::OverBudget(wait) => Retry::Later(*wait),
            SendError::Mime(_) => Retry::ForGood,
            SendError::Undelivered(why) if why.is_for_good() => Retry::ForGood,
            SendError::Undelivered(_) | SendError::Failure(_) => Retry::Again,
        }
    }
}

impl Enqueued for SendMail {
    fn about(&self) -> String {
        self.mail.to_string()
    }

    fn tenant(&self) -> Option<TenantId> {
        Some(self.tenant)
    }
}

/// Everything that a delivery needs, read before it begins.
struct Ready {
    mail: Mail,
    tenant: Tenant,
    sender: InForce,
}

async fn run(control: &Control, tenant: TenantId, id: MailId) -> Result<(), SendError> {
    let Some(ready) = ready(control, tenant, id).await? else { return Ok(()) };
    let sent = deliver(control, &ready).await;
    let mut tx = control.db.work_tx(tenant).await?;
    let now = control.clock.now();
    match &sent {
        Ok(_) => taken(&mut tx, &ready.mail, now).await?,
        Err(error) => failed(&mut tx, &ready.mail, error, now).await?,
    }
    tx.commit().await?;
    sent.map(drop)
}

/// `None` where nothing is left to do.
async fn ready(control: &Control, tenant: TenantId, id: MailId) -> Result<Option<Ready>, SendError> {
    let mut tx = control.db.work_tx(tenant).await?;
    let now = control.clock.now();
    let found = match tenants::find(&mut tx, tenant).await {
        Ok(tenant) => tenant,
        Err(TenantError::Failure(failure)) => return Err(failure.into()),
        Err(_) => return Ok(None),
    };
    let Some(mail) = store::find(&mut tx, id).await? else { return Ok(None) };
    if mail.not_after <= now || found.status == Status::Deleted {
        store::remove(&mut tx, id).await?;
        budget::prune(&mut tx, now).await?;
        tx.commit().await?;
        count(&mail, "expired");
        tracing::warn!(%tenant, mail = %id, kind = mail.kind.as_str(), "a mail was not sent in time and was dropped");
        return Ok(None);
    }
    if found.status != Status::Active {
        return Err(SendError::Stopped);
    }
    let Some(sender) = sender::in_force(control, &mut tx).await? else { return Err(SendError::Off) };
    if !mail.counted {
        if let Counted::Beyond { until } =
            budget::count(&mut tx, mail.kind.class(), &mail.content.to, now).await?
        {
            return Err(SendError::OverBudget((until - now).max(TimeDelta::seconds(1))));
        }
        if !store::note_counted(&mut tx, id).await? {
            // The same job ran at the same time and counted the mail; this count is rolled back.
            return Err(SendError::OverBudget(TimeDelta::seconds(1)));
        }
        tx.commit().await?;
    }
    Ok(Some(Ready { mail, tenant: found, sender }))
}

async fn deliver(control: &Control, ready: &Ready) -> Result<Taken, SendError> {
    let Mime { envelope, bytes } = message(control, ready)?;
    Ok(control.smtp.deliver(&ready.sender.server(), &envelope, &bytes).await?)
}

fn message(control: &Control, Ready { mail, tenant, sender }: &Ready) -> Result<Mime, SendError> {
    let link = mail.content.link.as_ref();
    let link = zeroize::Zeroizing::new(link.map_or_else(String::new, |it| page::link(control, tenant, it)));
    let words = words::words(tenant, mail, &link)?;
    let to = &mail.content.to;
    let head = Head {
        id: mail.id,
        at: mail.created_at,
        address: &to.address,
        name: if mail.kind.names_anyone() { &to.name } else { "" },
        tenant: (&tenant.name, tenant.slug.as_str()),
    };
    Ok(mime(&sender.sender, &head, &words)?)
}

/// The server has accepted it. Of two runs that sent the same message at once, one records it.
async fn taken(tx: &mut TenantTx, mail: &Mail, now: DateTime<Utc>) -> Result<(), Failure> {
    if store::remove(tx, mail.id).await? {
        let details = json!({ "kind": mail.kind, "mail": mail.id });
        audit::record(tx, &Actor::control(), now, Action::MailSent, target(mail), details);
        count(mail, "sent");
    }
    budget::prune(tx, now).await
}

/// Keeps a mail that failed permanently, so that an operator can retry it, and one that is still retried; neither
/// longer than until it expires.
async fn failed(
    tx: &mut TenantTx,
    mail: &Mail,
    error: &SendError,
    now: DateTime<Utc>,
) -> Result<(), Failure> {
    let is_for_good = SendMail::retry(error) == Retry::ForGood;
    if let SendError::Undelivered(why) = error
        && let Some(answer) = why.answer()
    {
        let (tenant, mail) = (tx.tenant(), mail.id);
        tracing::info!(%tenant, %mail, code = answer.code, text = answer.text, "a mail server did not take a mail");
    }
    count(mail, if is_for_good { "refused" } else { "delayed" });
    if is_for_good {
        let details = json!({ "kind": mail.kind, "mail": mail.id, "why": error.to_string() });
        audit::attempt(tx, &Actor::control(), now, Action::MailRefused, target(mail), details);
    }
    let job = ForgetMail { tenant: tx.tenant(), mail: mail.id };
    enqueue(tx, &job, mail.not_after - now).await
}

fn target(mail: &Mail) -> Option<String> {
    mail.user().map(|user| user.to_string())
}

fn count(mail: &Mail, outcome: &'static str) {
    metrics::counter!("wardgate_mail_total", "kind" => mail.kind.as_str(), "outcome" => outcome).increment(1);
}

/// Deletes a mail that has expired, though its job is dead.
#[derive(Serialize, Deserialize)]
pub struct ForgetMail {
    /// The tenant.
    pub tenant: TenantId,
    /// The mail.
    pub mail: MailId,
}

impl Job for ForgetMail {
    const TASK: &'static str = "forget_mail";
    type Error = Failure;

    async fn run(self, control: &Control) -> Result<(), Failure> {
        let mut tx = control.db.work_tx(self.tenant).await?;
        store::remove(&mut tx, self.mail).await?;
        tx.commit().await
    }
}

impl Enqueued for ForgetMail {
    fn about(&self) -> String {
        self.mail.to_string()
    }
}

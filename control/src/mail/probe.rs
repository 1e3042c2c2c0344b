//! A test of a tenant's mail: one message, at once, to the caller's own address.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::budget::{self, Counted};
use super::kind::Class;
use super::letter::{Content, Facts, MailId, Recipient};
use super::message::{Head, Mime, mime};
use super::sender::InForce;
use super::smtp::Undelivered;
use super::store::Mail;
use super::{MailKind, words};
use crate::audit::{self, Action, Actor};
use crate::control::Control;
use crate::db::TenantTx;
use crate::failure::Failure;
use crate::tenants::Tenant;

/// The time limit of a test, which an administrator waits for.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The outcome of a test mail.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MailTest)]
pub struct Outcome {
    /// Whether the server accepted the message.
    pub accepted: bool,
    /// The server's answer, or why it was not asked.
    pub detail: String,
}

/// Whether another test may be sent now, or when: tests have a budget, too.
///
/// # Errors
/// Errors of the database.
pub async fn count(
    tx: &mut TenantTx,
    to: &Recipient,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, Failure> {
    Ok(match budget::count(tx, Class::Test, to, now).await? {
        Counted::Within => None,
        Counted::Beyond { until } => Some(until),
    })
}

/// Sends the test, outside of a transaction.
///
/// # Errors
/// If the template cannot be rendered, or no randomness is available.
pub async fn send(
    control: &Control,
    tenant: &Tenant,
    sender: &InForce,
    to: Recipient,
) -> Result<Outcome, Failure> {
    let now = control.clock.now();
    let content = Content { to, link: None, facts: Facts::default() };
    let mail = Mail {
        id: MailId::make(now)?,
        kind: MailKind::Test,
        counted: true,
        content,
        created_at: now,
        not_after: now,
    };
    let words = words::words(tenant, &mail, "")?;
    let Recipient { address, name, .. } = &mail.content.to;
    let head = Head { id: mail.id, at: now, address, name, tenant: (&tenant.name, tenant.slug.as_str()) };
    let Mime { envelope, bytes } = match mime(&sender.sender, &head, &words) {
        Ok(mime) => mime,
        Err(error) => return Ok(Outcome { accepted: false, detail: error.to_string() }),
    };
    let server = sender.server();
    let sent = control.smtp.deliver(&server, &envelope, &bytes);
    Ok(match tokio::time::timeout(TIMEOUT, sent).await {
        Ok(Ok(taken)) => Outcome { accepted: true, detail: taken.reply },
        Ok(Err(why)) => Outcome { accepted: false, detail: said(&why) },
        Err(_) => Outcome { accepted: false, detail: String::from("the server did not answer in time") },
    })
}

/// The text of the server's answer, if there is one.
fn said(why: &Undelivered) -> String {
    match why.answer() {
        Some(answer) => format!("{why} ({} {})", answer.code, answer.text),
        None => why.to_string(),
    }
}

/// Records in the tenant's audit log that its mail was tested, with the outcome.
pub fn record(control: &Control, tx: &mut TenantTx, actor: &Actor, outcome: &Outcome) {
    let (now, target) = (control.clock.now(), Some(tx.tenant().to_string()));
    let details = json!({ "accepted": outcome.accepted });
    audit::record(tx, actor, now, Action::MailTested, target, details);
}

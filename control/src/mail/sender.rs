//! The sender address and the SMTP server of a tenant's mail: the tenant's own, or those of the settings.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use shared::ids::HostName;
use zeroize::Zeroizing;

use super::address::address;
use super::smtp::{Server, Smtp};
use crate::audit::{self, Action, Actor};
use crate::control::Control;
use crate::crypt::sealed::Column;
use crate::db::TenantTx;
use crate::failure::Failure;
use crate::settings::MailTls;

/// Longest host name, in bytes.
const HOST_BYTES: usize = 253;
/// Longest name of a sender and longest user name at an SMTP server, in characters.
const NAME_CHARS: usize = 150;
/// Longest password of a server, in bytes.
const PASSWORD_BYTES: usize = 1024;
/// Ports of SMTP submission. A tenant must not direct connections to any other port.
const PORTS: [u16; 4] = [25, 465, 587, 2525];

/// A sender. No `Debug`: it holds a password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sender {
    /// The address that mail comes from.
    pub from: String,
    /// The name beside it; empty for the tenant's.
    pub from_name: String,
    /// Where answers go; empty for `from`.
    pub reply_to: String,
    /// The server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection to it is encrypted.
    pub tls: MailTls,
    /// The SMTP user name; empty for no authentication.
    pub username: String,
    /// The password of that SMTP user.
    pub password: Zeroizing<String>,
}

/// A tenant's own sender.
#[derive(Clone)]
pub struct Own {
    /// The server and the address.
    pub sender: Sender,
    /// When it was set.
    pub updated_at: DateTime<Utc>,
}

/// The sender of a tenant's mail.
pub struct InForce {
    /// The server and the address.
    pub sender: Sender,
    /// Whether it is the tenant's own.
    pub is_own: bool,
}

impl InForce {
    /// Its server.
    pub(super) fn server(&self) -> Server {
        let Sender { from, host, port, tls, username, password, .. } = &self.sender;
        let hello = address(from).map_or_else(|_| String::new(), |it| it.domain().to_owned());
        Server {
            host: host.clone(),
            port: *port,
            tls: *tls,
            credentials: (!username.is_empty()).then(|| (username.clone(), password.clone())),
            of_tenant: self.is_own,
            hello: if hello.is_empty() { String::from("localhost") } else { hello },
        }
    }
}

impl Sender {
    /// The faults, by field.
    #[must_use]
    pub fn faults(&self, smtp: &Smtp) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        let mut fault = |field, message: &str| faults.push((field, message.to_owned()));
        for (field, text) in [("from", &self.from), ("reply_to", &self.reply_to)] {
            let is_left_out = field == "reply_to" && text.is_empty();
            if !is_left_out && address(text).is_err() {
                fault(field, "Enter a valid email address.");
            }
        }
        for (field, text) in [("from_name", &self.from_name), ("username", &self.username)] {
            if text.chars().count() > NAME_CHARS {
                fault(field, &format!("Ensure this field has no more than {NAME_CHARS} characters."));
            } else if text.chars().any(char::is_control) {
                fault(field, "Control characters are not allowed.");
            }
        }
        let is_address = self.host.parse::<std::net::IpAddr>().is_ok();
        if self.host.len() > HOST_BYTES || !(is_address || HostName::parse(&self.host).is_ok()) {
            fault("host", "Enter a host name in lower-case A-labels, or an address, without a port.");
        } else if !smtp.allows(&self.host) {
            fault("host", "This host is not on the public Internet: the platform must allow it.");
        } else if !PORTS.contains(&self.port) && !smtp.is_listed(&self.host) {
            fault("port", "Must be 25, 465, 587 or 2525.");
        }
        if self.tls == MailTls::None && !smtp.is_listed(&self.host) {
            fault("tls", "Must be \"starttls\" or \"implicit\".");
        }
        if self.username.is_empty() != self.password.is_empty() {
            fault("password", "A user name needs a password, and a password a user name.");
        } else if self.password.len() > PASSWORD_BYTES {
            fault("password", &format!("Ensure this field has no more than {PASSWORD_BYTES} characters."));
        }
        faults
    }
}

/// The tenant's own sender, if it has one.
///
/// # Errors
/// The database's, or a sender that does not open.
pub async fn own(tx: &mut TenantTx) -> Result<Option<Own>, Failure> {
    let row = sqlx::query!(
        "select wrapped, updated_at from platform.mail_senders where tenant_id = $1",
        tx.tenant().uuid(),
    )
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let plain = tx.keys().open(Column::MailSender, "", &row.wrapped)?;
    let sender = serde_json::from_slice(&plain).map_err(|_| Failure::Unreadable("mail_senders.wrapped"))?;
    Ok(Some(Own { sender, updated_at: row.updated_at }))
}

/// The sender of the tenant's mail: its own, else the one of the settings, else none: mail is off.
///
/// # Errors
/// As [`own`].
pub async fn in_force(control: &Control, tx: &mut TenantTx) -> Result<Option<InForce>, Failure> {
    if let Some(Own { sender, .. }) = own(tx).await? {
        return Ok(Some(InForce { sender, is_own: true }));
    }
    Ok(of_settings(control).map(|sender| InForce { sender, is_own: false }))
}

/// The sender of the settings.
#[must_use]
pub fn of_settings(control: &Control) -> Option<Sender> {
    let mail = &control.settings.mail;
    Some(Sender {
        from: mail.from.clone()?,
        from_name: String::new(),
        reply_to: String::new(),
        host: mail.host.clone()?,
        port: mail.port,
        tls: mail.tls,
        username: mail.username.clone().unwrap_or_default(),
        password: mail.password.as_ref().map(|it| Zeroizing::new(it.expose().to_owned())).unwrap_or_default(),
    })
}

/// Gives the tenant a sender of its own, in place of the one before.
///
/// # Errors
/// Errors of the database, or no randomness.
pub async fn put(
    control: &Control,
    tx: &mut TenantTx,
    actor: &Actor,
    sender: &Sender,
) -> Result<(), Failure> {
    let (tenant, now) = (tx.tenant(), control.clock.now());
    let plain = serde_json::to_vec(sender).map(Zeroizing::new);
    let plain = plain.map_err(|_| Failure::Unreadable("mail_senders.wrapped"))?;
    let wrapped = tx.keys().seal(Column::MailSender, "", &plain)?;
    sqlx::query!(
        "insert into platform.mail_senders (tenant_id, wrapped, updated_at) values ($1, $2, $3)
         on conflict (tenant_id) do update set wrapped = excluded.wrapped, updated_at = excluded.updated_at",
        tenant.uuid(),
        wrapped,
        now,
    )
    .execute(&mut **tx)
    .await?;
    // The host is no personal data; the SMTP user name stays out.
    let details = serde_json::json!({ "host": sender.host, "port": sender.port, "tls": sender.tls });
    audit::record(tx, actor, now, Action::MailSenderSet, Some(tenant.to_string()), details);
    Ok(())
}

/// Takes the tenant's own sender away. Whether there was one.
///
/// # Errors
/// Errors of the database.
pub async fn remove(control: &Control, tx: &mut TenantTx, actor: &Actor) -> Result<bool, Failure> {
    let tenant = tx.tenant();
    let gone = sqlx::query!("delete from platform.mail_senders where tenant_id = $1", tenant.uuid())
        .execute(&mut **tx)
        .await?;
    if gone.rows_affected() == 0 {
        return Ok(false);
    }
    let target = Some(tenant.to_string());
    audit::record(tx, actor, control.clock.now(), Action::MailSenderRemoved, target, serde_json::json!({}));
    Ok(true)
}

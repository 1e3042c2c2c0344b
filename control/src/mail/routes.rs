//! `/api/tenant/tenants/<id>/mail/`: the server through which a tenant sends its mail.

use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use shared::contract::openapi as described;
use shared::contract::permissions::marker::{
    PlatformTenantsRead, PlatformTenantsWrite, TenantRead, TenantWrite,
};
use shared::contract::refusal::Refusal;
use shared::ids::{TenantId, UserId};
use shared::tenant::Status;
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::letter::Recipient;
use super::probe;
use super::sender::{self, Own, Sender};
use crate::access::OnTenant;
use crate::audit::Who;
use crate::control::Control;
use crate::db::TenantTx;
use crate::http::answer::{Refused, no_content, ok};
use crate::http::body::{FromFields, Json};
use crate::http::described::{IfMatch, IfNoneMatch};
use crate::http::fields::Fields;
use crate::http::validators::{Conditions, Editable, changed};
use crate::settings::MailTls;
use crate::tenants::{self, Tenant, TenantError};
use crate::users;

/// A tenant's own mail server and sender. The password is never returned.
#[derive(Serialize, ToSchema)]
#[schema(as = MailSender)]
pub struct SenderOut {
    /// The address that mail comes from.
    from: String,
    /// The display name of the sender; empty for the tenant's name.
    from_name: String,
    /// The `Reply-To` address; empty for `from`.
    reply_to: String,
    /// The mail server.
    host: String,
    port: u16,
    tls: MailTls,
    /// The user name at the server; empty for no authentication.
    username: String,
    /// Whether a password is stored.
    has_password: bool,
    #[serde(serialize_with = "crate::http::time::micros")]
    updated_at: DateTime<Utc>,
}

impl From<Own> for SenderOut {
    fn from(Own { sender, updated_at }: Own) -> Self {
        let Sender { from, from_name, reply_to, host, port, tls, username, password } = sender;
        let has_password = !password.is_empty();
        Self { from, from_name, reply_to, host, port, tls, username, has_password, updated_at }
    }
}

impl Editable for SenderOut {
    /// The password is not in the tag; a change of it changes `updated_at`.
    fn edited(&self) -> impl Serialize {
        self.updated_at
    }
}

/// A tenant's own mail server and sender.
#[derive(ToSchema)]
#[schema(as = MailSenderChange)]
#[allow(dead_code, reason = "described; read by `FromFields`")]
pub struct SenderIn {
    /// The address that mail comes from.
    from: String,
    /// The display name of the sender; the tenant's name if absent.
    from_name: Option<String>,
    /// The `Reply-To` address; `from` if absent.
    reply_to: Option<String>,
    /// A host with a public address: a name in lower-case A-labels, or an address.
    host: String,
    /// 25, 465, 587 or 2525; if absent, 465 for `implicit`, else 587.
    port: Option<u16>,
    /// `starttls` or `implicit`; `starttls` if absent.
    tls: Option<MailTls>,
    /// The user name at the server; no authentication if absent.
    username: Option<String>,
    /// If absent, the stored one is kept, as long as host, port and user name stay the same.
    #[schema(format = "password")]
    password: Option<String>,
}

/// The parsed PUT.
pub struct MailSettingsIn {
    sender: Sender,
    keeps_password: bool,
}

const TLS: [(&str, MailTls); 3] =
    [("starttls", MailTls::Starttls), ("implicit", MailTls::Implicit), ("none", MailTls::None)];

impl FromFields for MailSettingsIn {
    fn read(fields: &mut Fields) -> Option<Self> {
        let from = fields.required_text("from");
        let host = fields.required_text("host");
        let [from_name, reply_to, username] = ["from_name", "reply_to", "username"]
            .map(|name| fields.clearable_text(name).flatten().unwrap_or_default());
        let tls = fields.choice("tls", &TLS).unwrap_or(MailTls::Starttls);
        let port = match fields.text("port").map(|text| text.parse::<u16>()) {
            None if tls == MailTls::Implicit => 465,
            None => 587,
            Some(Ok(port)) if port > 0 => port,
            Some(_) => {
                fields.fault("port", "A valid integer is required.");
                0
            }
        };
        let password = fields.untrimmed("password");
        let keeps_password = password.is_none() && !username.is_empty();
        let password = Zeroizing::new(password.unwrap_or_default());
        let sender = Sender { from: from?, from_name, reply_to, host: host?, port, tls, username, password };
        Some(Self { sender, keeps_password })
    }
}

impl MailSettingsIn {
    /// Keeps a stored password only for the same server and user name that it was given for.
    fn over(self, before: Option<&Own>) -> Sender {
        let mut sender = self.sender;
        let kept = before.map(|own| &own.sender).filter(|before| {
            self.keeps_password
                && (&before.host, before.port, &before.username)
                    == (&sender.host, sender.port, &sender.username)
        });
        if let Some(before) = kept {
            sender.password = before.password.clone();
        }
        sender
    }
}

fn example() -> Value {
    json!({
        "from": "accounts@acme.example", "from_name": "Acme", "reply_to": "", "host": "smtp.acme.example",
        "port": 587, "tls": "starttls", "username": "accounts", "has_password": true,
        "updated_at": "2026-01-02T03:04:05.678901Z",
    })
}

/// Reads the tenant's own sender: 404 if it has none.
#[utoipa::path(
    get, path = "/api/tenant/tenants/{id}/mail/", tag = "Tenants", operation_id = "tenant_mail_read", summary = "Read a tenant's own mail server",
    description = "Needs `tenant.read` for the caller's own tenant, `platform.tenants_read` for others. The password \
        is never returned. 404 for a tenant without a mail server of its own, whose mail goes through the platform's.",
    params(("id" = Uuid, Path), IfNoneMatch),
    responses(
        (status = 200, description = "The server, with an `ETag`", body = SenderOut, example = json!(example())),
        (status = 304, description = "Not modified: the client's copy is current"),
    )
)]
pub async fn read(
    on: OnTenant<TenantRead, PlatformTenantsRead>,
    conditions: Conditions,
) -> Result<Response, Refused> {
    let OnTenant { mut tx, tenant, .. } = on;
    made(&tenant)?;
    let own = sender::own(&mut tx).await?.ok_or_else(no_sender)?;
    conditions.answer(&SenderOut::from(own))
}

/// Sets the tenant's own sender: 412 if it was changed after it was read.
#[utoipa::path(
    put, path = "/api/tenant/tenants/{id}/mail/", tag = "Tenants", operation_id = "tenant_mail_replace", summary = "Set a tenant's own mail server",
    description = "Needs `tenant.write` for the caller's own tenant, `platform.tenants_write` for others. The server \
        must have a public address, and the connection to it is encrypted. If the password is absent, the stored one is \
        kept, as long as host, port and user name stay the same.",
    params(("id" = Uuid, Path), IfMatch),
    request_body(content = SenderIn, example = json!({
        "from": "accounts@acme.example", "host": "smtp.acme.example", "username": "accounts", "password": "s3cret",
    })),
    responses(
        (status = 200, description = "Saved", body = SenderOut, example = json!(example())),
        (status = 409, description = "The tenant's state does not allow this", body = described::Refused),
        (status = 412, description = "The object was changed after it was read", body = described::Refused),
    )
)]
pub async fn replace(
    State(control): State<Control>,
    on: OnTenant<TenantWrite, PlatformTenantsWrite>,
    conditions: Conditions,
    Json(wanted): Json<MailSettingsIn>,
) -> Result<Response, Refused> {
    let OnTenant { mut tx, tenant, actor, .. } = on;
    made(&tenant)?;
    let before = locked(&mut tx, tenant.id, &conditions).await?;
    let sender = wanted.over(before.as_ref());
    let faults = sender.faults(&control.smtp);
    if !faults.is_empty() {
        return Err(TenantError::Fields(faults).into());
    }
    sender::put(&control, &mut tx, &actor, &sender).await?;
    let own = sender::own(&mut tx).await?.ok_or_else(no_sender)?;
    tx.commit().await?;
    changed(&SenderOut::from(own))
}

/// Removes the tenant's own sender: 204; 412 if it was changed after it was read.
#[utoipa::path(
    delete, path = "/api/tenant/tenants/{id}/mail/", tag = "Tenants", operation_id = "tenant_mail_delete", summary = "Remove a tenant's own mail server",
    description = "Needs `tenant.write` for the caller's own tenant, `platform.tenants_write` for others. The \
        tenant's mail then goes through the platform's server.",
    params(("id" = Uuid, Path), IfMatch),
    responses(
        (status = 204, description = "Removed"),
        (status = 409, description = "The tenant's state does not allow this", body = described::Refused),
        (status = 412, description = "The object was changed after it was read", body = described::Refused),
    )
)]
pub async fn remove(
    State(control): State<Control>,
    on: OnTenant<TenantWrite, PlatformTenantsWrite>,
    conditions: Conditions,
) -> Result<Response, Refused> {
    let OnTenant { mut tx, tenant, actor, .. } = on;
    made(&tenant)?;
    locked(&mut tx, tenant.id, &conditions).await?.ok_or_else(no_sender)?;
    sender::remove(&control, &mut tx, &actor).await?;
    tx.commit().await?;
    Ok(no_content())
}

/// Sends a test mail to the caller's own address and answers within 20 seconds with what the server said: 200 whether
/// the server accepted it or not. 400 for a caller without an address, 409 if no server is set, 429 above twenty an hour.
#[utoipa::path(
    post, path = "/api/tenant/tenants/{id}/mail/test/", tag = "Tenants", operation_id = "tenant_mail_test", summary = "Send a test mail",
    description = "Needs `tenant.write` for the caller's own tenant, `platform.tenants_write` for others. One \
        message goes to the caller's own address, through the tenant's server or the platform's.",
    params(("id" = Uuid, Path)),
    responses(
        (status = 200, description = "The answer of the mail server", body = probe::Outcome, example = json!({"accepted": true, "detail": "250 2.0.0 Ok: queued as 4XyZ"})),
        (status = 400, description = "The caller has no address", body = described::Refused),
        (status = 409, description = "No mail server is configured, or the tenant's state does not allow this", body = described::Refused),
    )
)]
pub async fn test(
    State(control): State<Control>,
    on: OnTenant<TenantWrite, PlatformTenantsWrite>,
) -> Result<Response, Refused> {
    let OnTenant { mut tx, tenant, actor, .. } = on;
    made(&tenant)?;
    let to = match actor.who {
        Who::User { id, .. } => recipient(&mut tx, id).await?,
        Who::Platform { id, .. } => {
            // One connection at a time: the caller's address is in another tenant.
            drop(tx);
            let mut own = control.db.tenant_tx(control.db.platform().await?).await?;
            let to = recipient(&mut own, id).await?;
            drop(own);
            tx = control.db.tenant_tx(tenant.id).await?;
            to
        }
        Who::Operator | Who::Control => return Err(Refusal::forbidden().into()),
    };
    let sender = sender::in_force(&control, &mut tx).await?;
    let sender = sender.ok_or_else(|| {
        let code = shared::contract::refusal::Code::Conflict;
        Refused(Refusal::new(409, "Mail is off: neither the platform nor the tenant has a server.", code))
    })?;
    let now = control.clock.now();
    if let Some(until) = probe::count(&mut tx, &to, now).await? {
        let wait = u64::try_from((until - now).num_seconds().max(1)).unwrap_or(1);
        return Err(Refusal::throttled(wait).into());
    }
    tx.commit().await?;
    let outcome = probe::send(&control, &tenant, &sender, to).await?;
    let mut tx = control.db.tenant_tx(tenant.id).await?;
    probe::record(&control, &mut tx, &actor, &outcome);
    tx.commit().await?;
    Ok(ok(&outcome))
}

async fn recipient(tx: &mut TenantTx, id: UserId) -> Result<Recipient, Refused> {
    let user = users::find(tx, id).await?;
    Recipient::user(&user)
        .ok_or_else(|| Refused(Refusal::plain(400, "Your account has no address that a test could go to.")))
}

/// A tenant in state `provisioning` has no data key yet.
fn made(tenant: &Tenant) -> Result<(), Refused> {
    if tenant.status == Status::Provisioning { Err(TenantError::WrongState.into()) } else { Ok(()) }
}

/// Reads the sender with the tenant's row locked against other edits.
async fn locked(
    tx: &mut TenantTx,
    tenant: TenantId,
    conditions: &Conditions,
) -> Result<Option<Own>, Refused> {
    tenants::lock(tx, tenant).await?;
    let own = sender::own(tx).await?;
    match &own {
        Some(now) => conditions.check(&SenderOut::from(now.clone()))?,
        None if conditions.demand_unchanged() => return Err(Refusal::precondition_failed().into()),
        None => {}
    }
    Ok(own)
}

fn no_sender() -> Refused {
    Refused(Refusal::plain(404, "No MailSender matches the given query."))
}

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

/// A tenant's own sender. Its password is never shown.
#[derive(Serialize, ToSchema)]
#[schema(as = MailSender)]
pub struct SenderOut {
    /// The address that mail comes from.
    from: String,
    /// The name beside it; empty for the tenant's.
    from_name: String,
    /// Where answers go; empty for `from`.
    reply_to: String,
    /// The server.
    host: String,
    port: u16,
    tls: MailTls,
    /// Who signs in there; empty for nobody.
    username: String,
    /// Whether a password is kept.
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
    /// A password that changes changes the time.
    fn edited(&self) -> impl Serialize {
        self.updated_at
    }
}

/// A tenant's own sender, as it is to be.
#[derive(ToSchema)]
#[schema(as = MailSenderChange)]
#[allow(dead_code, reason = "described; read by `FromFields`")]
pub struct SenderIn {
    /// The address that mail comes from.
    from: String,
    /// The name beside it; the tenant's if absent.
    from_name: Option<String>,
    /// Where answers go; `from` if absent.
    reply_to: Option<String>,
    /// A host of the Internet's: a name in lower-case A-labels, or an address.
    host: String,
    /// 25, 465, 587 or 2525; if absent, 465 for `implicit`, else 587.
    port: Option<u16>,
    /// `starttls` or `implicit`; `starttls` if absent.
    tls: Option<MailTls>,
    /// Who signs in there; nobody if absent.
    username: Option<String>,
    /// If absent, the one that is kept, while host, port and user name stay.
    #[schema(format = "password")]
    password: Option<String>,
}

/// What a PUT asks for.
pub struct Wanted {
    sender: Sender,
    keeps_password: bool,
}

const TLS: [(&str, MailTls); 3] =
    [("starttls", MailTls::Starttls), ("implicit", MailTls::Implicit), ("none", MailTls::None)];

impl FromFields for Wanted {
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

impl Wanted {
    /// The password goes to no other server, and with no other name, than it was given for.
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

/// The tenant's own sender: 404 where it has none.
#[utoipa::path(
    get, path = "/api/tenant/tenants/{id}/mail/", tag = "Tenants", operation_id = "tenant_mail_read", summary = "Read a tenant's own mail server",
    description = "Needs `tenant.read` for one's own, `platform.tenants_read` for others. The password is never answered. A tenant without a server of its own sends through the platform's: 404.",
    params(("id" = Uuid, Path), IfNoneMatch),
    responses(
        (status = 200, description = "The server, with an `ETag`", body = SenderOut, example = json!(example())),
        (status = 304, description = "The copy that the client has is still good"),
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

/// Gives the tenant a sender of its own. Changed since it was read: 412.
#[utoipa::path(
    put, path = "/api/tenant/tenants/{id}/mail/", tag = "Tenants", operation_id = "tenant_mail_replace", summary = "Send a tenant's mail through a server of its own",
    description = "Needs `tenant.write` for one's own, `platform.tenants_write` for others. The server is one of the Internet's; mail is encrypted on its way there. A password that is absent is kept, while host, port and user name stay.",
    params(("id" = Uuid, Path), IfMatch),
    request_body(content = SenderIn, example = json!({
        "from": "accounts@acme.example", "host": "smtp.acme.example", "username": "accounts", "password": "s3cret",
    })),
    responses(
        (status = 200, description = "Set", body = SenderOut, example = json!(example())),
        (status = 409, description = "Its state does not allow this", body = described::Refused),
        (status = 412, description = "Changed since it was read", body = described::Refused),
    )
)]
pub async fn replace(
    State(control): State<Control>,
    on: OnTenant<TenantWrite, PlatformTenantsWrite>,
    conditions: Conditions,
    Json(wanted): Json<Wanted>,
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

/// Takes the tenant's own sender away: 204. Changed since it was read: 412.
#[utoipa::path(
    delete, path = "/api/tenant/tenants/{id}/mail/", tag = "Tenants", operation_id = "tenant_mail_delete", summary = "Send a tenant's mail through the platform's server again",
    description = "Needs `tenant.write` for one's own, `platform.tenants_write` for others.",
    params(("id" = Uuid, Path), IfMatch),
    responses(
        (status = 204, description = "Taken away"),
        (status = 409, description = "Its state does not allow this", body = described::Refused),
        (status = 412, description = "Changed since it was read", body = described::Refused),
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

/// Sends a test to the caller's own address and says what the server answered, within 20 seconds: 200 whether it took it
/// or not. 400 for a caller without an address, 409 where no server is set, 429 for more than twenty an hour.
#[utoipa::path(
    post, path = "/api/tenant/tenants/{id}/mail/test/", tag = "Tenants", operation_id = "tenant_mail_test", summary = "Test a tenant's mail",
    description = "Needs `tenant.write` for one's own, `platform.tenants_write` for others. One message goes to the caller's own address, through the tenant's server or the platform's. No connection of the database is held meanwhile.",
    params(("id" = Uuid, Path)),
    responses(
        (status = 200, description = "What the server answered", body = probe::Outcome, example = json!({"accepted": true, "detail": "250 2.0.0 Ok: queued as 4XyZ"})),
        (status = 400, description = "The caller has no address", body = described::Refused),
        (status = 409, description = "There is no server, or the tenant's state does not allow this", body = described::Refused),
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

/// A tenant that is being made has no key of its own in reach.
fn made(tenant: &Tenant) -> Result<(), Refused> {
    if tenant.status == Status::Provisioning { Err(TenantError::WrongState.into()) } else { Ok(()) }
}

/// The sender as it is, while no other edit of the tenant goes on.
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

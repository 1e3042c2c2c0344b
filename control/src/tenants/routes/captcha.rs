//! `/api/tenant/tenants/<id>/captcha/`.

use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use shared::contract::limits::{CAPTCHA_AFTER, CAPTCHA_TIMEOUT_MS};
use shared::contract::openapi as described;
use shared::contract::permissions::marker::{
    PlatformTenantsRead, PlatformTenantsWrite, TenantRead, TenantWrite,
};
use shared::contract::refusal::Refusal;
use shared::ids::HostName;
use shared::tenant::Status;
use shared::tenant::captcha::{CaptchaDemand, CaptchaPolicy, OnFailure, VerifyUrl};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::access::OnTenant;
use crate::control::Control;
use crate::db::TenantTx;
use crate::http::answer::{Refused, no_content};
use crate::http::body::{FromFields, Json};
use crate::http::described::{IfMatch, IfNoneMatch};
use crate::http::fields::Fields;
use crate::http::validators::{Conditions, Editable, changed};
use crate::tenants::captcha::{self, CaptchaChange, Own};
use crate::tenants::{self, Tenant, TenantError};

/// The CAPTCHA settings of a tenant. The secret is never returned.
#[derive(Serialize, ToSchema)]
#[schema(as = Captcha)]
pub struct CaptchaOut {
    /// The widget's public key, which clients get.
    site_key: String,
    /// The URL at which the edge verifies tokens.
    verify_url: String,
    /// At which sign-ins it is required.
    asked: CaptchaDemand,
    /// With `suspicious`: the number of wrong passwords after which it is required.
    after: u64,
    /// Whether registrations, password resets and repeated verification links also require it.
    forms: bool,
    /// The timeout of a call of the service, in milliseconds.
    timeout_ms: u64,
    /// What happens if the service does not answer.
    on_failure: OnFailure,
    /// The hosts on whose pages it may be solved; empty for those that the service allows.
    #[schema(value_type = Vec<String>)]
    hostnames: Vec<HostName>,
    /// The required action of the widget; empty for any.
    action: String,
    #[serde(serialize_with = "crate::http::time::micros")]
    updated_at: DateTime<Utc>,
}

impl From<Own> for CaptchaOut {
    fn from(Own { policy, updated_at, .. }: Own) -> Self {
        Self {
            site_key: policy.site_key,
            verify_url: policy.verify_url.to_string(),
            asked: policy.asked,
            after: policy.after,
            forms: policy.forms,
            timeout_ms: policy.timeout_ms,
            on_failure: policy.on_failure,
            hostnames: policy.hostnames,
            action: policy.action,
            updated_at,
        }
    }
}

impl Editable for CaptchaOut {
    /// A secret that changes changes the time.
    fn edited(&self) -> impl Serialize {
        self.updated_at
    }
}

/// The new CAPTCHA settings. Absent fields get their defaults, except the secret.
#[derive(ToSchema)]
#[schema(as = CaptchaChange)]
#[allow(dead_code, reason = "described; read by `FromFields`")]
pub struct CaptchaIn {
    /// The widget's key.
    site_key: String,
    /// If absent, the present secret is kept, provided that `verify_url` does not change.
    #[schema(format = "password")]
    secret: Option<String>,
    /// Turnstile's if absent; or hCaptcha's or reCAPTCHA's. Only the platform can set another URL: `https`, or `http`
    /// on the machine of the edge.
    verify_url: Option<String>,
    /// `suspicious` if absent.
    asked: Option<CaptchaDemand>,
    /// With `suspicious`: after how many wrong passwords for one account from one network, 1 to 10; 3 if absent. For
    /// an account from all unknown networks it is twice that number, for a network ten times and for the tenant a
    /// hundred times.
    after: Option<u64>,
    /// Whether registrations, password resets and repeated verification links also require it; false if absent.
    forms: Option<bool>,
    /// The timeout of a call of the service, in milliseconds, 500 to 10000; 3000 if absent.
    timeout_ms: Option<u64>,
    /// What happens if the service does not answer, or answers with an error; `allow` if absent.
    on_failure: Option<OnFailure>,
    /// The hosts on whose pages it may be solved; if absent, those that the service allows.
    hostnames: Option<Vec<String>>,
    /// The required action of the widget; any if absent.
    action: Option<String>,
}

const ASKED: [(&str, CaptchaDemand); 2] =
    [("suspicious", CaptchaDemand::Suspicious), ("always", CaptchaDemand::Always)];
const ON_FAILURE: [(&str, OnFailure); 2] = [("allow", OnFailure::Allow), ("refuse", OnFailure::Refuse)];

fn number(fields: &mut Fields, name: &str, default: u64) -> u64 {
    match fields.text(name).map(|text| text.parse::<u64>()) {
        None => default,
        Some(Ok(number)) => number,
        Some(Err(_)) => {
            fields.fault(name, "A valid integer is required.");
            default
        }
    }
}

impl FromFields for CaptchaChange {
    fn read(fields: &mut Fields) -> Option<Self> {
        let site_key = fields.required_text("site_key");
        let secret = fields.text("secret").map(Zeroizing::new);
        let verify_url =
            match fields.clearable_text("verify_url").flatten().map(|text| VerifyUrl::parse(&text)) {
                None => VerifyUrl::default(),
                Some(Ok(url)) => url,
                Some(Err(_)) => {
                    fields.fault("verify_url", "Enter an https URL with a path; http only for localhost.");
                    VerifyUrl::default()
                }
            };
        let hostnames = fields.texts("hostnames").unwrap_or_default();
        let hostnames: Result<Vec<_>, _> = hostnames.iter().map(|host| HostName::parse(host)).collect();
        if hostnames.is_err() {
            fields.fault("hostnames", "Enter lower-case A-labels without port or final dot.");
        }
        let policy = CaptchaPolicy {
            verify_url,
            asked: fields.choice("asked", &ASKED).unwrap_or_default(),
            after: number(fields, "after", CAPTCHA_AFTER),
            forms: fields.has("forms") && fields.boolean("forms").unwrap_or(false),
            timeout_ms: number(fields, "timeout_ms", CAPTCHA_TIMEOUT_MS),
            on_failure: fields.choice("on_failure", &ON_FAILURE).unwrap_or_default(),
            hostnames: hostnames.unwrap_or_default(),
            action: fields.clearable_text("action").flatten().unwrap_or_default(),
            site_key: site_key?,
        };
        Some(Self { policy, secret, any_service: false })
    }
}

fn example() -> Value {
    json!({
        "site_key": "0x4AAAAAAADnPIDROrmt1Wwj", "verify_url": VerifyUrl::default(), "asked": "suspicious", "after": 3,
        "forms": false, "timeout_ms": 3000, "on_failure": "allow", "hostnames": ["app.acme.example"], "action": "login",
        "updated_at": "2026-01-02T03:04:05.678901Z",
    })
}

/// The CAPTCHA that the tenant asks for: 404 where it asks for none.
#[utoipa::path(
    get, path = "/api/tenant/tenants/{id}/captcha/", tag = "Tenants", operation_id = "tenant_captcha_read", summary = "Read a tenant's CAPTCHA",
    description = "Needs `tenant.read` for one's own, `platform.tenants_read` for others. The secret is never answered. A tenant that asks for none: 404.",
    params(("id" = Uuid, Path), IfNoneMatch),
    responses(
        (status = 200, description = "The CAPTCHA, with an `ETag`", body = CaptchaOut, example = json!(example())),
        (status = 304, description = "The copy that the client has is still good"),
    )
)]
pub async fn read(
    on: OnTenant<TenantRead, PlatformTenantsRead>,
    conditions: Conditions,
) -> Result<Response, Refused> {
    let OnTenant { mut tx, tenant, .. } = on;
    made(&tenant)?;
    let own = captcha::own(&mut tx).await?.ok_or_else(no_captcha)?;
    conditions.answer(&CaptchaOut::from(own))
}

/// Has the tenant ask for a CAPTCHA. Changed since it was read: 412.
#[utoipa::path(
    put, path = "/api/tenant/tenants/{id}/captcha/", tag = "Tenants", operation_id = "tenant_captcha_replace", summary = "Ask for a CAPTCHA at sign-ins",
    description = "Needs `tenant.write` for one's own, `platform.tenants_write` for others and for a service that is not listed. A secret that is absent is kept, while `verify_url` stays. The edge asks for it as soon as it has the tenant's new document.",
    params(("id" = Uuid, Path), IfMatch),
    request_body(content = CaptchaIn, example = json!({
        "site_key": "0x4AAAAAAADnPIDROrmt1Wwj", "secret": "0x4AAAAAAADnPI_s3cret", "asked": "suspicious",
    })),
    responses(
        (status = 200, description = "Set", body = CaptchaOut, example = json!(example())),
        (status = 409, description = "Its state does not allow this", body = described::Refused),
        (status = 412, description = "Changed since it was read", body = described::Refused),
    )
)]
pub async fn replace(
    State(control): State<Control>,
    on: OnTenant<TenantWrite, PlatformTenantsWrite>,
    conditions: Conditions,
    Json(wanted): Json<CaptchaChange>,
) -> Result<Response, Refused> {
    let OnTenant { mut tx, tenant, actor, for_platform, .. } = on;
    made(&tenant)?;
    locked(&mut tx, &tenant, &conditions).await?;
    let wanted = CaptchaChange { any_service: for_platform, ..wanted };
    let own = captcha::put(&control, &mut tx, &actor, wanted).await?;
    tx.commit().await?;
    changed(&CaptchaOut::from(own))
}

/// Has the tenant ask for no CAPTCHA any more: 204. Changed since it was read: 412.
#[utoipa::path(
    delete, path = "/api/tenant/tenants/{id}/captcha/", tag = "Tenants", operation_id = "tenant_captcha_delete", summary = "Ask for no CAPTCHA any more",
    description = "Needs `tenant.write` for one's own, `platform.tenants_write` for others. The secret is forgotten.",
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
    locked(&mut tx, &tenant, &conditions).await?;
    if !captcha::remove(&control, &mut tx, &actor).await? {
        return Err(no_captcha());
    }
    tx.commit().await?;
    Ok(no_content())
}

/// A tenant that is being made has no key of its own in reach.
fn made(tenant: &Tenant) -> Result<(), Refused> {
    if tenant.status == Status::Provisioning { Err(TenantError::WrongState.into()) } else { Ok(()) }
}

/// Compares the CAPTCHA with what the request asks for, while no other edit of the tenant goes on.
async fn locked(tx: &mut TenantTx, tenant: &Tenant, conditions: &Conditions) -> Result<(), Refused> {
    tenants::lock(tx, tenant.id).await?;
    match captcha::own(tx).await? {
        Some(now) => Ok(conditions.check(&CaptchaOut::from(now))?),
        None if conditions.demand_unchanged() => Err(Refusal::precondition_failed().into()),
        None => Ok(()),
    }
}

fn no_captcha() -> Refused {
    Refused(Refusal::plain(404, "No Captcha matches the given query."))
}

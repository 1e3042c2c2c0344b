//! `/api/tenant/tenants/<id>/claims/`.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use serde_json::{Value, json};
use shared::contract::openapi as described;
use shared::contract::permissions::marker::{PlatformTenantsClaims, PlatformTenantsRead, TenantRead};
use shared::tokens::claims::UserIdForm;
use utoipa::ToSchema;

use crate::access::OnTenant;
use crate::control::Control;
use crate::http::answer::Refused;
use crate::http::body::{FromFields, Json};
use crate::http::described::{IfMatch, IfNoneMatch};
use crate::http::fields::Fields;
use crate::http::validators::{Conditions, Editable, changed};
use crate::legacy::service::form_text;
use crate::tenants::claims::Former;
use crate::tenants::claims::change::{Change, change};
use crate::tenants::{self, Tenant};

/// The claims that identify the tenant in its tokens.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TenantClaims)]
pub struct ClaimsOut {
    /// `iss` of its tokens.
    pub issuer: String,
    /// `aud` of its access tokens.
    #[schema(required)]
    pub audience: Option<String>,
    /// The form of the claim `user_id`: `uuid`, or the legacy id as an `integer` or a `string`.
    pub user_id: &'static str,
    /// Former issuers and audiences, the earliest first.
    pub former: Vec<Former>,
}

impl From<Tenant> for ClaimsOut {
    fn from(tenant: Tenant) -> Self {
        Self {
            issuer: tenant.issuer,
            audience: tenant.audience,
            user_id: form_text(tenant.legacy.user_id),
            former: tenant.former_claims,
        }
    }
}

impl Editable for ClaimsOut {
    /// Without the former values, which expire without an edit.
    fn edited(&self) -> impl Serialize {
        (&self.issuer, &self.audience, self.user_id)
    }
}

fn example() -> Value {
    json!({
        "issuer": "https://id.acme.example", "audience": null, "user_id": "uuid",
        "former": [{"issuer": "https://acme.example", "audience": null, "until": "2026-01-02T03:21:05.678901Z"}],
    })
}

/// A change of these claims.
#[derive(ToSchema)]
#[schema(as = TenantClaimsChange)]
#[allow(dead_code, reason = "described; read by `FromFields`")]
pub struct ClaimsIn {
    /// A URL that no other tenant has or had.
    issuer: Option<String>,
    /// Null for none.
    audience: Option<String>,
    /// `uuid`, or the legacy id as an `integer` or a `string`.
    user_id: Option<String>,
}

impl FromFields for Change {
    fn read(fields: &mut Fields) -> Option<Self> {
        let forms = [UserIdForm::Uuid, UserIdForm::Integer, UserIdForm::String].map(|it| (form_text(it), it));
        Some(Self {
            issuer: if fields.has("issuer") { Some(fields.required_text("issuer")?) } else { None },
            audience: fields.clearable_text("audience"),
            user_id: fields.choice("user_id", &forms),
        })
    }
}

/// Reads issuer, audience and form of `user_id`, and the former values.
#[utoipa::path(
    get, path = "/api/tenant/tenants/{id}/claims/", tag = "Tenants", operation_id = "tenant_claims_read", summary = "Read issuer, audience and form of `user_id` of a tenant",
    description = "Needs `tenant.read` for the caller's own tenant, `platform.tenants_read` for others.",
    params(("id" = Uuid, Path), IfNoneMatch),
    responses(
        (status = 200, description = "Issuer, audience and the form of `user_id`, with an `ETag`", body = ClaimsOut, example = json!(example())),
        (status = 304, description = "Not modified: the client's copy is current"),
    )
)]
pub async fn read(
    on: OnTenant<TenantRead, PlatformTenantsRead>,
    conditions: Conditions,
) -> Result<Response, Refused> {
    conditions.answer(&ClaimsOut::from(on.tenant))
}

/// Changes issuer, audience, or the form of `user_id`: 400 for an issuer that is or was another tenant's; 412 if the
/// tenant was changed after it was read.
#[utoipa::path(
    patch, path = "/api/tenant/tenants/{id}/claims/", tag = "Tenants", operation_id = "tenant_claims_update", summary = "Change issuer, audience or form of `user_id` of a tenant",
    description = "Needs `platform.tenants_claims`. Other services store these values, so the change can break them. No other request changes them: neither a change of hosts nor one of settings.\n\n- `issuer`, `audience`: a service that compares `iss` or `aud` refuses new tokens until it accepts the new value. Let it accept both values before the change. Wardgate accepts earlier tokens until they expire, at the latest until the time in `former`; no session ends. An issuer that is not a host of the tenant serves no keys, so verifiers that derive the JWKS URL from `iss` need a host.\n- `user_id`: services that store it see their users under other ids. Earlier tokens keep their form.",
    params(("id" = Uuid, Path), IfMatch),
    request_body(content = ClaimsIn, example = json!({"issuer": "https://id.acme.example"})),
    responses(
        (status = 200, description = "Changed", body = ClaimsOut, example = json!(example())),
        (status = 409, description = "The tenant's state does not allow this", body = described::Refused),
        (status = 412, description = "The object was changed after it was read", body = described::Refused),
    )
)]
pub async fn update(
    State(control): State<Control>,
    on: OnTenant<PlatformTenantsClaims, PlatformTenantsClaims>,
    conditions: Conditions,
    Json(wanted): Json<Change>,
) -> Result<Response, Refused> {
    let OnTenant { mut tx, tenant, actor, .. } = on;
    let tenant = tenants::lock(&mut tx, tenant.id).await?;
    conditions.check(&ClaimsOut::from(tenant.clone()))?;
    let tenant = change(&control, &mut tx, &actor, tenant.id, wanted).await?;
    tx.commit().await?;
    changed(&ClaimsOut::from(tenant))
}

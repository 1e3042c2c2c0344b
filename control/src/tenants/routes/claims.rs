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

/// What tokens say of their tenant.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TenantClaims)]
pub struct ClaimsOut {
    /// `iss` of its tokens.
    pub issuer: String,
    /// `aud` of its access tokens.
    #[schema(required)]
    pub audience: Option<String>,
    /// How its tokens write `user_id`: `uuid`, or the old service's id as an `integer` or a `string`.
    pub user_id: &'static str,
    /// What issuer and audience were before, the earliest first.
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
    /// Former ones go by themselves.
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

/// A change of what tokens say of their tenant.
#[derive(ToSchema)]
#[schema(as = TenantClaimsChange)]
#[allow(dead_code, reason = "described; read by `FromFields`")]
pub struct ClaimsIn {
    /// A URL that no other tenant has or had.
    issuer: Option<String>,
    /// Null for none.
    audience: Option<String>,
    /// `uuid`, or the old service's id as an `integer` or a `string`.
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

/// What the tenant's tokens say of it, and what they said before.
#[utoipa::path(
    get, path = "/api/tenant/tenants/{id}/claims/", tag = "Tenants", operation_id = "tenant_claims_read", summary = "Read what tokens say of a tenant",
    description = "Needs `tenant.read` for one's own, `platform.tenants_read` for others.",
    params(("id" = Uuid, Path), IfNoneMatch),
    responses(
        (status = 200, description = "Issuer, audience and the form of `user_id`, with an `ETag`", body = ClaimsOut, example = json!(example())),
        (status = 304, description = "The copy that the client has is still good"),
    )
)]
pub async fn read(
    on: OnTenant<TenantRead, PlatformTenantsRead>,
    conditions: Conditions,
) -> Result<Response, Refused> {
    conditions.answer(&ClaimsOut::from(on.tenant))
}

/// Changes issuer, audience, or the form of `user_id`: 400 for an issuer that is or was another tenant's.
/// Changed since it was read: 412.
#[utoipa::path(
    patch, path = "/api/tenant/tenants/{id}/claims/", tag = "Tenants", operation_id = "tenant_claims_update", summary = "Change what tokens say of a tenant",
    description = "Needs `platform.tenants_claims`. It breaks what others have stored, and nothing else here changes these three: neither hosts nor settings.\n\n- `issuer`, `audience`: services that compare `iss` or `aud` refuse every token that is issued from now on, until they are told of the new value. Have them accept both before. Tokens of before are accepted here for their life, until the time that `former` says, and no session ends. An issuer that is no host of the tenant's serves no keys: verifiers that derive the key set's address from `iss` need one.\n- `user_id`: services that store it meet their users under other ids. Tokens of before keep the form that they have.",
    params(("id" = Uuid, Path), IfMatch),
    request_body(content = ClaimsIn, example = json!({"issuer": "https://id.acme.example"})),
    responses(
        (status = 200, description = "Changed", body = ClaimsOut, example = json!(example())),
        (status = 409, description = "Its state does not allow this", body = described::Refused),
        (status = 412, description = "Changed since it was read", body = described::Refused),
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

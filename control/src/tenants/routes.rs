//! `/api/tenant/tenants/`.

pub mod captcha;
pub mod claims;

use axum::extract::State;
use axum::response::Response;
use shared::contract::openapi as described;
use shared::contract::permissions::marker::{
    PlatformTenantsDelete, PlatformTenantsRead, PlatformTenantsWrite, TenantRead, TenantWrite,
};
use shared::contract::permissions::{Permission, Permitted as _};
use shared::contract::refusal::Refusal;
use shared::tenant::Status;

use super::filters::{self, Filters};
use super::input::{Admin, Creation, NewTenantIn, Patch, TenantIn, laid_over};
use super::out::example;
use super::{FirstAdmin, TenantOut};
use crate::access::{Allowed, Authenticated, OnTenant, Platform, outranked};
use crate::control::Control;
use crate::edges::in_force;
use crate::http::answer::{Refused, no_content};
use crate::http::body::Json;
use crate::http::described::{CreatedAt, Cursor, IdempotencyKey, IfMatch, IfNoneMatch, Ordering, Paging};
use crate::http::list::ListQuery;
use crate::http::once::{Found, Once};
use crate::http::page::ListOut;
use crate::http::validators::{Conditions, changed, made};
use crate::users::{self, UserError};

/// Tenants, by what [`Filters`] can ask for: all for the platform's administrators, one's own for others.
#[utoipa::path(
    get, path = "/api/tenant/tenants/", tag = "Tenants", operation_id = "tenants_list", summary = "List tenants",
    description = "Needs `tenant.read`: the caller's own tenant; or `platform.tenants_read`: all tenants.",
    params(Filters, CreatedAt, Ordering, Paging, Cursor),
    responses((status = 200, description = "One page of the list", body = ListOut<TenantOut>, example = json!({
        "count": 1, "next": null, "previous": null, "results": [example()],
    })))
)]
pub async fn list(
    State(control): State<Control>,
    allowed: Allowed<TenantRead>,
    ListQuery { filters, part }: ListQuery<Filters>,
) -> Result<Response, Refused> {
    let only =
        if allowed.by.holds(PlatformTenantsRead::PERMISSION) { None } else { Some(allowed.by.tenant.id) };
    let mut tx = allowed.by.tx.for_long_read(&control.db).await?;
    let count = filters::count(&mut tx, only, &filters, part.counts_all()).await?;
    let span = part.of(&mut tx, count).await?;
    let tenants = filters::list(&mut tx, only, &filters, &span.rows).await?;
    let now = control.clock.now();
    span.answer(tenants, |tenant| TenantOut::new(tenant).at(now))
}

/// Makes a tenant, once for an `Idempotency-Key`: 201 in state `provisioning`; 400 for names that are taken or make no sense.
#[utoipa::path(
    post, path = "/api/tenant/tenants/", tag = "Tenants", operation_id = "tenants_create", summary = "Create a tenant",
    description = "Needs `platform.tenants_write`. The tenant is `provisioning` until it can be used. If `admin` has \
        no password, an invitation is mailed to it then.",
    params(IdempotencyKey),
    request_body(content = NewTenantIn, example = json!({
        "slug": "acme", "name": "Acme", "hosts": ["acme.example"],
        "admin": {"username": "ada", "email": "ada@acme.example", "password": "correct horse battery staple"},
    })),
    responses(
        (status = 201, description = "Created", body = TenantOut, example = json!(example())),
        (status = 409, description = "A request with this `Idempotency-Key` is still running", body = described::Refused),
        (status = 422, description = "The `Idempotency-Key` was used for another request", body = described::Refused),
    )
)]
pub async fn create(
    State(control): State<Control>,
    platform: Platform<PlatformTenantsWrite>,
    Once { what: Creation { mut new, admin }, key }: Once<Creation>,
) -> Result<Response, Refused> {
    let Authenticated { mut tx, actor, tenant: own, user: by, .. } = platform.by;
    // A repeated creation is answered before the password hash and the call of the key provider.
    if let Some(key) = &key
        && let Found::Done(id) = key.claim(&control, &mut tx, by.id).await?
    {
        return made(&TenantOut::new(super::find(&mut tx, id.into()).await?));
    }
    let settings = new.settings.clone();
    let prepare = async {
        let admin = match admin {
            Some(Admin::Known(profile, password)) => {
                let prepared =
                    users::prepare_first_admin(&control, own.id, &profile, &password, &settings).await;
                Some(FirstAdmin::Known(prepared.map_err(said_of_admin)?))
            }
            Some(Admin::Invited(admin)) => Some(FirstAdmin::Invited(admin)),
            None => None,
        };
        Ok::<_, Refused>((admin, super::prepare(&control).await?))
    };
    let (prepared, mut tx) = tx.pause(&control.db, prepare).await?;
    let (admin, tenant_key) = prepared?;
    new.admin = admin;
    match users::still_stands(&control, &mut tx, &actor).await {
        Err(UserError::Rank) => {
            let permission = PlatformTenantsWrite::PERMISSION;
            return Err(outranked(&control, tx, &actor, "new", permission).await);
        }
        stands => stands?,
    }
    let claim = match key {
        None => None,
        Some(key) => match key.claim(&control, &mut tx, by.id).await? {
            Found::Done(id) => return made(&TenantOut::new(super::find(&mut tx, id.into()).await?)),
            Found::New(claim) => Some(claim),
        },
    };
    let tenant = super::create(&control, &mut tx, &actor, &tenant_key, new).await?;
    if let Some(claim) = claim {
        claim.keep(&control, &mut tx, tenant.id.uuid()).await?;
    }
    tx.commit().await?;
    made(&TenantOut::new(tenant))
}

/// Faults of the first administrator are faults of the field `admin`.
fn said_of_admin(error: UserError) -> Refused {
    let UserError::Fields(faults) = error else { return error.into() };
    let said = |(field, messages): &(&str, Vec<String>)| {
        messages.iter().map(|message| format!("{field}: {message}")).collect::<Vec<_>>()
    };
    Refusal::fields([("admin", faults.0.iter().flat_map(said).collect())]).into()
}

/// One tenant.
#[utoipa::path(
    get, path = "/api/tenant/tenants/{id}/", tag = "Tenants", operation_id = "tenants_read", summary = "Read a tenant",
    description = "Needs `tenant.read` for the caller's own tenant, `platform.tenants_read` for others.",
    params(("id" = Uuid, Path), IfNoneMatch),
    responses(
        (status = 200, description = "The tenant, with an `ETag`", body = TenantOut, example = json!(example())),
        (status = 304, description = "Not modified: the client's copy is current"),
    )
)]
pub async fn read(
    State(control): State<Control>,
    on: OnTenant<TenantRead, PlatformTenantsRead>,
    conditions: Conditions,
) -> Result<Response, Refused> {
    conditions.answer(&TenantOut::new(on.tenant).at(control.clock.now()))
}

/// Changes a tenant; what is absent stays, also within `settings`. Its own administrators may set
/// name and settings, the platform everything: 403. Changed since it was read: 412.
#[utoipa::path(
    patch, path = "/api/tenant/tenants/{id}/", tag = "Tenants", operation_id = "tenants_update", summary = "Change a tenant",
    description = "Needs `tenant.write` for the caller's own tenant, `platform.tenants_write` for others and for the \
        fields that only the platform sets. Absent fields stay unchanged, also within `settings`.",
    params(("id" = Uuid, Path), IfMatch),
    request_body(content = TenantIn, example = json!({"settings": {"access_ttl_secs": 600}})),
    responses(
        (status = 200, description = "Changed", body = TenantOut, example = json!(example())),
        (status = 409, description = "The tenant's state does not allow this", body = described::Refused),
        (status = 412, description = "The object was changed after it was read", body = described::Refused),
    )
)]
pub async fn update(
    State(control): State<Control>,
    on: OnTenant<TenantWrite, PlatformTenantsWrite>,
    conditions: Conditions,
    Json(patch): Json<Patch>,
) -> Result<Response, Refused> {
    let OnTenant { mut tx, mut tenant, actor, for_platform, .. } = on;
    if patch.of_platform && !for_platform {
        let permission = Permission::PlatformTenantsWrite;
        return Err(outranked(&control, tx, &actor, &tenant.id.to_string(), permission).await);
    }
    // The settings are merged under the row lock, so that no concurrent edit is lost.
    tenant = super::lock(&mut tx, tenant.id).await?;
    conditions.check(&TenantOut::new(tenant.clone()))?;
    patch.fixed.check(&tenant)?;
    let mut edit = patch.edit;
    if let Some(changes) = patch.settings {
        let settings = laid_over(&tenant.settings, changes);
        edit.settings = Some(settings.map_err(|(field, message)| Refused(Refusal::field(field, &message)))?);
    }
    tenant = super::edit(&control, &mut tx, &actor, tenant.id, edit).await?;
    tenant = match patch.suspended {
        Some(true) => super::suspend(&control, &mut tx, &actor, tenant.id).await?,
        Some(false) => super::resume(&control, &mut tx, &actor, tenant.id).await?,
        None => tenant,
    };
    let in_force = in_force::commit(&control, tx).await?;
    Ok(in_force.on(changed(&TenantOut::new(tenant).at(control.clock.now()))?))
}

/// Deletes a tenant for good: 204. A caller cannot delete their own tenant.
#[utoipa::path(
    delete, path = "/api/tenant/tenants/{id}/", tag = "Tenants", operation_id = "tenants_delete", summary = "Delete a tenant permanently",
    description = "Needs `platform.tenants_delete`. Its slug, hosts and ids are never reused.",
    params(("id" = Uuid, Path), IfMatch),
    responses(
        (status = 204, description = "Deleted"),
        (status = 409, description = "The tenant's state does not allow this", body = described::Refused),
        (status = 412, description = "The object was changed after it was read", body = described::Refused),
    )
)]
pub async fn delete(
    State(control): State<Control>,
    on: OnTenant<PlatformTenantsDelete, PlatformTenantsDelete>,
    conditions: Conditions,
) -> Result<Response, Refused> {
    let OnTenant { mut tx, mut tenant, actor, .. } = on;
    tenant = super::lock(&mut tx, tenant.id).await?;
    conditions.check(&TenantOut::new(tenant.clone()))?;
    if tenant.status == Status::Provisioning {
        return Err(super::TenantError::WrongState.into());
    }
    super::delete(&control, &mut tx, &actor, tenant.id).await?;
    Ok(in_force::commit(&control, tx).await?.on(no_content()))
}

//! `/api/user/roles/`, `/api/user/permissions/`.

use axum::extract::{Path, State};
use axum::response::Response;
use serde::Serialize;
use shared::contract::openapi as described;
use shared::contract::permissions::marker::{RolesRead, RolesWrite};
use shared::contract::permissions::{Permission, Permitted as _};
use utoipa::ToSchema;

use super::filters::{Filters, selected};
use super::input::{NewRoleIn, RoleIn};
use super::out::example;
use super::{NewRole, RoleChange, RoleError, RoleOut, store};
use crate::access::{Allowed, Authenticated, Within, outranked};
use crate::audit::Actor;
use crate::control::Control;
use crate::db::TenantTx;
use crate::http::answer::{Refused, no_content, ok};
use crate::http::body::Json;
use crate::http::described::{IfMatch, IfNoneMatch, Ordering, Paging};
use crate::http::list::ListQuery;
use crate::http::page::ListOut;
use crate::http::validators::{Conditions, changed, made};

/// All permissions.
#[derive(Serialize, ToSchema)]
#[schema(as = Permissions)]
pub struct PermissionsOut {
    permissions: Vec<&'static str>,
}

/// Lists the tenant's roles.
#[utoipa::path(
    get, path = "/api/user/roles/", tag = "Roles", operation_id = "roles_list", summary = "List roles",
    description = "Needs `roles.read`. `search` reads name and title. The default order is the highest rank first.",
    params(Filters, Ordering, Paging),
    responses((status = 200, description = "One page of the list", body = ListOut<RoleOut>, example = json!({
        "count": 1, "next": null, "previous": null, "results": [example()],
    })))
)]
pub async fn list(
    within: Within<RolesRead>,
    ListQuery { filters, part }: ListQuery<Filters>,
) -> Result<Response, Refused> {
    let Authenticated { mut tx, tenant, .. } = within.by;
    let roles = selected(store::all(&mut tx).await?, &filters, part.order());
    part.of_all(roles.into_iter().map(|role| RoleOut::of(role, tenant.is_platform)).collect())
}

/// Creates a custom role: 201; 400 with all errors; 403 for a rank at or above the caller's own, and for a permission
/// that the caller does not have; 409 above the limit.
#[utoipa::path(
    post, path = "/api/user/roles/", tag = "Roles", operation_id = "roles_create", summary = "Create a role",
    description = "Needs `roles.write`, a rank above the role's, and each of its permissions. The name cannot be \
        changed later. All errors are reported at once.",
    request_body(content = NewRoleIn, example = json!({
        "name": "help-desk", "title": "Help desk", "rank": 30, "permissions": ["users.read", "sessions.read", "sessions.end"],
    })),
    responses(
        (status = 201, description = "Created, with an `ETag`", body = RoleOut, example = json!(example())),
        (status = 409, description = "The tenant has as many custom roles as it may", body = described::Refused),
    )
)]
pub async fn create(
    State(control): State<Control>,
    allowed: Allowed<RolesWrite>,
    Json(new): Json<NewRole>,
) -> Result<Response, Refused> {
    let Authenticated { mut tx, actor, tenant, .. } = allowed.by;
    let role = super::create(&control, &mut tx, &actor, new).await;
    let (role, tx) = ranked(&control, tx, &actor, "new", role).await?;
    tx.commit().await?;
    made(&RoleOut::of(role, tenant.is_platform))
}

/// Reads a role: 404 for a name that no role has.
#[utoipa::path(
    get, path = "/api/user/roles/{id}/", tag = "Roles", operation_id = "roles_read", summary = "Read a role",
    description = "Needs `roles.read`. The id is the name.",
    params(("id" = String, Path), IfNoneMatch),
    responses(
        (status = 200, description = "The role, with an `ETag`", body = RoleOut, example = json!(example())),
        (status = 304, description = "Not modified: the client's copy is current"),
    )
)]
pub async fn read(
    within: Within<RolesRead>,
    Path(name): Path<String>,
    conditions: Conditions,
) -> Result<Response, Refused> {
    let Authenticated { mut tx, tenant, .. } = within.by;
    let role = store::find(&mut tx, &name).await?.ok_or(RoleError::NotFound)?;
    conditions.answer(&RoleOut::of(role, tenant.is_platform))
}

/// Changes a custom role; absent fields stay unchanged. 403 as for a new role; 409 for a predefined role.
#[utoipa::path(
    patch, path = "/api/user/roles/{id}/", tag = "Roles", operation_id = "roles_update", summary = "Change a role",
    description = "Needs `roles.write`, a rank above the role's old and new one, and each permission that is added. \
        What the users of the role may do follows with their next request; their tokens stay valid.",
    params(("id" = String, Path), IfMatch),
    request_body(content = RoleIn, example = json!({"title": "Help desk", "permissions": ["users.read"]})),
    responses(
        (status = 200, description = "Changed", body = RoleOut, example = json!(example())),
        (status = 409, description = "The role is predefined", body = described::Refused),
        (status = 412, description = "The object was changed after it was read", body = described::Refused),
    )
)]
pub async fn update(
    State(control): State<Control>,
    allowed: Allowed<RolesWrite>,
    Path(name): Path<String>,
    conditions: Conditions,
    Json(change): Json<RoleChange>,
) -> Result<Response, Refused> {
    let Authenticated { mut tx, actor, tenant, .. } = allowed.by;
    unchanged(&mut tx, &name, tenant.is_platform, &conditions).await?;
    let role = super::edit(&control, &mut tx, &actor, &name, change).await;
    let (role, tx) = ranked(&control, tx, &actor, &name, role).await?;
    tx.commit().await?;
    changed(&RoleOut::of(role, tenant.is_platform))
}

/// Deletes a custom role: 204; 409 for a predefined role, and while users have the role or settings name it.
#[utoipa::path(
    delete, path = "/api/user/roles/{id}/", tag = "Roles", operation_id = "roles_delete", summary = "Delete a role",
    description = "Needs `roles.write` and a rank above the role's. Open invitations with the role become invalid.",
    params(("id" = String, Path), IfMatch),
    responses(
        (status = 204, description = "Deleted"),
        (status = 409, description = "Users have the role, or settings name it (`role_in_use`); or it is predefined", body = described::Refused,
            example = json!({
                "detail": "The role is in use: 2 users have the role; settings name it: role_timeouts.",
                "code": "role_in_use", "users": 2, "settings": ["role_timeouts"],
            })),
        (status = 412, description = "The object was changed after it was read", body = described::Refused),
    )
)]
pub async fn delete(
    State(control): State<Control>,
    allowed: Allowed<RolesWrite>,
    Path(name): Path<String>,
    conditions: Conditions,
) -> Result<Response, Refused> {
    let Authenticated { mut tx, actor, tenant, .. } = allowed.by;
    unchanged(&mut tx, &name, tenant.is_platform, &conditions).await?;
    let deleted = super::delete(&control, &mut tx, &actor, &name).await;
    let ((), tx) = ranked(&control, tx, &actor, &name, deleted).await?;
    tx.commit().await?;
    Ok(no_content())
}

/// Lists every permission that a role of this tenant could have.
#[utoipa::path(
    get, path = "/api/user/permissions/", tag = "Roles", operation_id = "permissions", summary = "List permissions",
    description = "Needs `roles.read`.",
    responses((status = 200, description = "All permissions", body = PermissionsOut, example = json!({"permissions": ["users.read"]})))
)]
pub async fn permissions(within: Within<RolesRead>) -> Response {
    let Authenticated { tenant, .. } = within.by;
    let here = Permission::ALL.iter().filter(|permission| permission.exists(tenant.is_platform));
    ok(&PermissionsOut { permissions: here.map(|permission| permission.as_str()).collect() })
}

/// With `If-Match`: locks the row of the role; 412 if it changed since it was read.
async fn unchanged(
    tx: &mut TenantTx,
    name: &str,
    at_platform: bool,
    conditions: &Conditions,
) -> Result<(), Refused> {
    if conditions.demand_unchanged() {
        conditions.check(&RoleOut::of(super::lock(tx, name).await?, at_platform))?;
    }
    Ok(())
}

/// Turns a refusal of rank into a 403 and its entry in the audit log.
async fn ranked<T>(
    control: &Control,
    tx: TenantTx,
    actor: &Actor,
    target: &str,
    outcome: Result<T, RoleError>,
) -> Result<(T, TenantTx), Refused> {
    match outcome {
        Ok(done) => Ok((done, tx)),
        Err(RoleError::Rank) => Err(outranked(control, tx, actor, target, RolesWrite::PERMISSION).await),
        Err(other) => Err(other.into()),
    }
}

//! `/api/user/roles/`, `/api/user/permissions/`.

use axum::response::Response;
use serde::Serialize;
use shared::contract::permissions::marker::RolesRead;
use shared::contract::permissions::{Permission, ROLES};
use utoipa::ToSchema;

use crate::access::{Allowed, Authenticated};
use crate::http::answer::{Refused, ok};
use crate::http::described::Paging;
use crate::http::list::{ListQuery, Unfiltered};
use crate::http::page::ListOut;

/// A role.
#[derive(Serialize, ToSchema)]
#[schema(as = Role)]
pub struct RoleOut {
    id: &'static str,
    name: &'static str,
    /// A user can act only on users of a lower rank; root-admins also on root-admins.
    rank: i32,
    predefined: bool,
    permissions: Vec<&'static str>,
}

/// All permissions.
#[derive(Serialize, ToSchema)]
#[schema(as = Permissions)]
pub struct PermissionsOut {
    permissions: Vec<&'static str>,
}

/// Lists the tenant's roles, highest rank first.
#[utoipa::path(
    get, path = "/api/user/roles/", tag = "Roles", operation_id = "roles_list", summary = "List roles",
    description = "Needs `roles.read`. Highest rank first.",
    params(Paging),
    responses((status = 200, description = "One page of the list", body = ListOut<RoleOut>, example = json!({
        "count": 1, "next": null, "previous": null,
        "results": [{"id": "staff", "name": "staff", "rank": 40, "predefined": true, "permissions": ["users.read"]}],
    })))
)]
pub async fn list(
    allowed: Allowed<RolesRead>,
    ListQuery { part, .. }: ListQuery<Unfiltered>,
) -> Result<Response, Refused> {
    let Authenticated { tenant, .. } = allowed.by;
    let shown = |permissions: &[Permission]| {
        let here = permissions.iter().filter(|permission| tenant.is_platform || !permission.is_platform());
        here.map(|permission| permission.as_str()).collect()
    };
    let roles: Vec<_> = ROLES
        .iter()
        .map(|role| RoleOut {
            id: role.name,
            name: role.name,
            rank: role.rank,
            predefined: true,
            permissions: shown(role.permissions),
        })
        .collect();
    part.of_all(roles)
}

/// Lists every permission that a role of this tenant could have.
#[utoipa::path(
    get, path = "/api/user/permissions/", tag = "Roles", operation_id = "permissions", summary = "List permissions",
    description = "Needs `roles.read`.",
    responses((status = 200, description = "All permissions", body = PermissionsOut, example = json!({"permissions": ["users.read"]})))
)]
pub async fn permissions(allowed: Allowed<RolesRead>) -> Response {
    let Authenticated { tenant, .. } = allowed.by;
    let here = Permission::ALL.iter().filter(|permission| tenant.is_platform || !permission.is_platform());
    ok(&PermissionsOut { permissions: here.map(|permission| permission.as_str()).collect() })
}

//! `/api/user/roles/`, `/api/user/permissions/`.

use axum::response::Response;
use serde::Serialize;
use shared::permissions::marker::RolesRead;
use shared::permissions::{Permission, ROLES};

use crate::http::access::{Allowed, Authenticated};
use crate::http::answer::{Refused, ok};
use crate::http::list::{Asked, Unfiltered};

#[derive(Serialize)]
struct RoleOut {
    id: &'static str,
    name: &'static str,
    rank: i32,
    predefined: bool,
    permissions: Vec<&'static str>,
}

/// The tenant's roles by pages, mightiest first.
pub async fn list(
    allowed: Allowed<RolesRead>,
    Asked { part, .. }: Asked<Unfiltered>,
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
    let count = i64::try_from(roles.len()).unwrap_or(0);
    let from = usize::try_from(part.page.offset(count)?).unwrap_or(0);
    let size = usize::try_from(part.page.limit()).unwrap_or(0);
    part.page.answer(count, roles.into_iter().skip(from).take(size).collect())
}

/// Every permission that a role of this tenant could have.
pub async fn permissions(allowed: Allowed<RolesRead>) -> Response {
    let Authenticated { tenant, .. } = allowed.by;
    let here = Permission::ALL.iter().filter(|permission| tenant.is_platform || !permission.is_platform());
    ok(&serde_json::json!({ "permissions": here.map(|permission| permission.as_str()).collect::<Vec<_>>() }))
}

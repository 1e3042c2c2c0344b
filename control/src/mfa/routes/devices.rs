//! `/api/user/devices/` and `/api/user/users/<id>/devices/`.

use axum::extract::{Path, State as Extracted};
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use shared::contract::permissions::Permitted as _;
use shared::contract::permissions::marker::{SessionsEnd, UsersRead};
use shared::contract::refusal::Refusal;
use shared::ids::{TenantId, UserId};
use utoipa::ToSchema;

use crate::access::{Authenticated, Me, Within, outranked};
use crate::control::Control;
use crate::edges::client::CallError;
use crate::failure::chain;
use crate::http::answer::{Refused, no_content};
use crate::http::described::Paging;
use crate::http::list::{ListQuery, Unfiltered};
use crate::http::page::ListOut;
use crate::mfa::devices::{self, Device};
use crate::users::{self, UserError};

/// A remembered browser, in which sign-ins need no code.
#[derive(Serialize, ToSchema)]
#[schema(as = RememberedDevice)]
struct DeviceOut {
    /// Its id; not a secret.
    id: String,
    /// The browser's `User-Agent`, at most 256 bytes; empty if it sent none.
    user_agent: String,
    /// When it was remembered.
    #[serde(serialize_with = "crate::http::time::micros")]
    created_at: DateTime<Utc>,
    /// When it last replaced a code at a sign-in.
    #[serde(serialize_with = "crate::http::time::micros_option")]
    #[schema(required)]
    last_used_at: Option<DateTime<Utc>>,
    /// When it expires.
    #[serde(serialize_with = "crate::http::time::micros")]
    expires_at: DateTime<Utc>,
}

impl From<Device> for DeviceOut {
    fn from(device: Device) -> Self {
        let Device { id, name, created_at, last_used_at, expires_at } = device;
        Self { id, user_agent: name, created_at, last_used_at, expires_at }
    }
}

fn example() -> Value {
    json!({
        "count": 1, "next": null, "previous": null,
        "results": [{
            "id": "S7Bvjk46dxXSAdVz0KpCN2LlXavWGiwCJ4-lbMbSlOA", "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0)",
            "created_at": "2026-01-02T03:04:05.678000Z", "last_used_at": null, "expires_at": "2026-02-01T03:04:05.000000Z",
        }],
    })
}

/// Lists the caller's remembered devices.
#[utoipa::path(
    get, path = "/api/user/devices/", tag = "Second factor", operation_id = "devices_list", summary = "List the caller's own remembered devices",
    description = "For any signed-in user: the browsers that sign in with the password alone, the newest first. Read \
        from the edge: 503 if it cannot be reached.",
    params(Paging),
    responses((status = 200, description = "One page of the list", body = ListOut<DeviceOut>, example = json!(example())))
)]
pub async fn list(
    Extracted(control): Extracted<Control>,
    me: Me,
    ListQuery { part, .. }: ListQuery<Unfiltered>,
) -> Result<Response, Refused> {
    let Authenticated { tx, user, tenant, .. } = me.by;
    drop(tx);
    part.of_all(shown(&control, (tenant.id, user.id)).await?)
}

/// Revokes all of the caller's remembered devices: 204.
#[utoipa::path(
    delete, path = "/api/user/devices/", tag = "Second factor", operation_id = "devices_forget_all", summary = "Revoke all of the caller's own remembered devices",
    description = "For any signed-in user. Once it is answered, sign-ins from there need a code again.",
    responses((status = 204, description = "Revoked"))
)]
pub async fn forget_all(Extracted(control): Extracted<Control>, me: Me) -> Result<Response, Refused> {
    let user = me.by.user.id;
    forgotten(&control, me.by, user, None).await
}

/// Revokes one: 204; 404.
#[utoipa::path(
    delete, path = "/api/user/devices/{id}/", tag = "Second factor", operation_id = "devices_forget", summary = "Revoke one of the caller's own remembered devices",
    description = "For any signed-in user. Once it is answered, sign-ins from there need a code again.",
    params(("id" = String, Path)),
    responses((status = 204, description = "Revoked"))
)]
pub async fn forget(
    Extracted(control): Extracted<Control>,
    me: Me,
    Path(id): Path<String>,
) -> Result<Response, Refused> {
    let user = me.by.user.id;
    forgotten(&control, me.by, user, Some(&id)).await
}

/// Lists a user's remembered devices.
#[utoipa::path(
    get, path = "/api/user/users/{id}/devices/", tag = "Second factor", operation_id = "users_devices_list", summary = "List the remembered devices of a user",
    description = "Needs `users.read`. Read from the edge: 503 if it cannot be reached.",
    params(("id" = Uuid, Path), Paging),
    responses((status = 200, description = "One page of the list", body = ListOut<DeviceOut>, example = json!(example())))
)]
pub async fn list_of(
    Extracted(control): Extracted<Control>,
    within: Within<UsersRead>,
    Path(id): Path<String>,
    ListQuery { part, .. }: ListQuery<Unfiltered>,
) -> Result<Response, Refused> {
    let Authenticated { mut tx, tenant, .. } = within.by;
    let user = users::find(&mut tx, parse(&id)?).await?.id;
    drop(tx);
    part.of_all(shown(&control, (tenant.id, user)).await?)
}

/// Revokes all remembered devices of a user: 204; 403 for a user at or above the caller's rank.
#[utoipa::path(
    delete, path = "/api/user/users/{id}/devices/", tag = "Second factor", operation_id = "users_devices_forget_all", summary = "Revoke all remembered devices of a user",
    description = "Needs `sessions.end` and a rank above the user's, or the caller's own id. Once it is answered, \
        the user's sign-ins need a code again.",
    params(("id" = Uuid, Path)),
    responses((status = 204, description = "Revoked"))
)]
pub async fn forget_all_of(
    Extracted(control): Extracted<Control>,
    within: Within<SessionsEnd>,
    Path(id): Path<String>,
) -> Result<Response, Refused> {
    let (by, user) = below(&control, within, &id).await?;
    forgotten(&control, by, user, None).await
}

/// Revokes one: 204; 403 for a user at or above the caller's rank; 404.
#[utoipa::path(
    delete, path = "/api/user/users/{id}/devices/{device}/", tag = "Second factor", operation_id = "users_devices_forget", summary = "Revoke one remembered device of a user",
    description = "Needs `sessions.end` and a rank above the user's, or the caller's own id.",
    params(("id" = Uuid, Path), ("device" = String, Path)),
    responses((status = 204, description = "Revoked"))
)]
pub async fn forget_of(
    Extracted(control): Extracted<Control>,
    within: Within<SessionsEnd>,
    Path((id, device)): Path<(String, String)>,
) -> Result<Response, Refused> {
    let (by, user) = below(&control, within, &id).await?;
    forgotten(&control, by, user, Some(&device)).await
}

/// Reads the devices from the edge. The transaction has ended, so that a slow edge holds no connection.
async fn shown(control: &Control, (tenant, user): (TenantId, UserId)) -> Result<Vec<DeviceOut>, Refused> {
    let devices = devices::list(control, tenant, user).await.map_err(out_of_reach)?;
    Ok(devices.into_iter().map(DeviceOut::from).collect())
}

/// The user of the path: the caller, or a user below the caller's rank.
async fn below(
    control: &Control,
    within: Within<SessionsEnd>,
    id: &str,
) -> Result<(Authenticated, UserId), Refused> {
    let mut by = within.by;
    let user = users::find(&mut by.tx, parse(id)?).await?;
    if !by.actor.is(user.id) && users::outrank(&by.actor, &user).is_err() {
        let (target, permission) = (user.id.to_string(), SessionsEnd::PERMISSION);
        return Err(outranked(control, by.tx, &by.actor, &target, permission).await);
    }
    Ok((by, user.id))
}

/// Calls the edge without holding a connection, then records the entry: when the answer is sent, the revocation is in force.
async fn forgotten(
    control: &Control,
    by: Authenticated,
    user: UserId,
    device: Option<&str>,
) -> Result<Response, Refused> {
    let Authenticated { tx, actor, tenant, .. } = by;
    let work = devices::forget(control, (tenant.id, user), device);
    let (gone, mut tx) = tx.pause(&control.db, work).await?;
    if gone.map_err(out_of_reach)? == 0 {
        return match device {
            Some(_) => Err(Refusal::plain(404, "No Device matches the given query.").into()),
            None => Ok(no_content()),
        };
    }
    devices::record(control, &mut tx, &actor, user, device);
    tx.commit().await?;
    Ok(no_content())
}

fn out_of_reach(error: CallError) -> Refused {
    tracing::warn!(error = %chain(&error), "the edge was not reached");
    Refusal::unavailable().into()
}

fn parse(id: &str) -> Result<UserId, UserError> {
    UserId::parse(id).map_err(|_| UserError::NotFound)
}

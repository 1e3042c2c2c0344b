//! `/api/tenant/tenants/<id>/keys/`.

use axum::extract::{Path, State};
use axum::response::Response;
use shared::contract::openapi as described;
use shared::contract::permissions::marker::{
    KeysRead, KeysRevoke, KeysRotate, PlatformKeysImport, PlatformTenantsRead, PlatformTenantsWrite,
};
use shared::ids::{KeyId, TenantId};
use shared::tenant::Status;
use utoipa::ToSchema;

use super::rsa::{self, ImportError, Private, PrivateJwk};
use super::{KeyError, KeyOut, KeysOut, store};
use crate::access::{OnTenant, Platform};
use crate::audit::Actor;
use crate::control::Control;
use crate::db::TenantTx;
use crate::edges::in_force;
use crate::http::answer::{Refused, created, ok};
use crate::http::body::{FromFields, Json};
use crate::http::described::Paging;
use crate::http::fields::Fields;
use crate::http::list::{ListQuery, Unfiltered};
use crate::http::page::ListOut;
use crate::keys::model::KeyRefusal;
use crate::tenants::{self, Tenant};

/// Lists the tenant's keys, oldest first, with their states.
#[utoipa::path(
    get, path = "/api/tenant/tenants/{id}/keys/", tag = "Signing keys", operation_id = "keys_list", summary = "List signing keys",
    description = "Needs `keys.read` for the caller's own tenant, `platform.tenants_read` for others.",
    params(("id" = Uuid, Path), Paging),
    responses((status = 200, description = "One page of the list", body = ListOut<KeyOut>, example = json!({
        "count": 1, "next": null, "previous": null, "results": [{"kid": "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs", "state": "active", "created_at": "2026-01-02T03:04:05.678901Z", "sign_from": null, "remove_at": null, "ended_at": null}],
    })))
)]
pub async fn list(
    on: OnTenant<KeysRead, PlatformTenantsRead>,
    ListQuery { part, .. }: ListQuery<Unfiltered>,
) -> Result<Response, Refused> {
    let OnTenant { mut tx, tenant, .. } = on;
    let keys = if tenant.status == Status::Provisioning { vec![] } else { all(&mut tx, &tenant).await? };
    part.of_all(keys)
}

async fn all(tx: &mut TenantTx, tenant: &Tenant) -> Result<Vec<KeyOut>, Refused> {
    let ring = store::ring(tx, &tenant.settings).await?;
    Ok(ring.keys.into_iter().map(KeyOut::from).collect())
}

/// Schedules the rotation to the next key: 200 with the keys; 409 while a rotation is scheduled, or the edge has not
/// confirmed the next key.
#[utoipa::path(
    post, path = "/api/tenant/tenants/{id}/keys/rotate/", tag = "Signing keys", operation_id = "keys_rotate", summary = "Schedule the rotation to the next key",
    description = "Needs `keys.rotate` for the caller's own tenant, `platform.tenants_write` for others.",
    params(("id" = Uuid, Path)),
    responses(
        (status = 200, description = "Planned", body = KeysOut, example = json!({"keys": [{"kid": "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs", "state": "active", "created_at": "2026-01-02T03:04:05.678901Z", "sign_from": null, "remove_at": null, "ended_at": null}]})),
        (status = 409, description = "A rotation is in progress, or the edge has not confirmed the next key", body = described::Refused),
    )
)]
pub async fn rotate(
    State(control): State<Control>,
    on: OnTenant<KeysRotate, PlatformTenantsWrite>,
) -> Result<Response, Refused> {
    let OnTenant { mut tx, tenant, actor, .. } = on;
    super::rotate(&control, &mut tx, &actor, &tenant).await?;
    let keys = all(&mut tx, &tenant).await?;
    tx.commit().await?;
    Ok(ok(&KeysOut { keys }))
}

/// Revokes a key: 200 with the keys; 404; 409 if it was revoked or removed before.
#[utoipa::path(
    post, path = "/api/tenant/tenants/{id}/keys/{kid}/revoke/", tag = "Signing keys", operation_id = "keys_revoke", summary = "Revoke a key",
    description = "Needs `keys.revoke` for the caller's own tenant, `platform.tenants_write` for others. Tokens that \
        it signed are refused from then on.",
    params(("id" = Uuid, Path), ("kid" = String, Path)),
    responses(
        (status = 200, description = "Revoked", body = KeysOut, example = json!({"keys": [{"kid": "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs", "state": "active", "created_at": "2026-01-02T03:04:05.678901Z", "sign_from": null, "remove_at": null, "ended_at": null}]})),
        (status = 409, description = "The key was revoked or removed before", body = described::Refused),
    )
)]
pub async fn revoke(
    State(control): State<Control>,
    on: OnTenant<KeysRevoke, PlatformTenantsWrite>,
    Path((_, kid)): Path<(String, String)>,
) -> Result<Response, Refused> {
    let OnTenant { tx, tenant, actor, .. } = on;
    let kid = KeyId::parse(&kid).map_err(|_| KeyError::Refused(KeyRefusal::NoSuchKey))?;
    let mut tx = super::revoke(&control, tx, &actor, &tenant, &kid).await?;
    let keys = all(&mut tx, &tenant).await?;
    Ok(in_force::commit(&control, tx).await?.on(ok(&KeysOut { keys })))
}

/// A private key, in one of two formats.
#[derive(ToSchema)]
#[schema(as = ImportedKey)]
#[allow(dead_code, reason = "described; read by `FromFields`")]
pub struct ImportedKeyIn {
    /// PEM: PKCS#8, or PKCS#1 (`RSA PRIVATE KEY`).
    pkcs8: Option<String>,
    /// RFC 7517.
    #[schema(value_type = Option<Object>)]
    jwk: Option<serde_json::Value>,
}

/// The parsed private key.
pub struct ImportedKey(Private);

impl FromFields for ImportedKey {
    fn read(fields: &mut Fields) -> Option<Self> {
        let (name, key) = if fields.has("jwk") {
            let jwk = serde_json::from_value::<PrivateJwk>(fields.object("jwk")?.into());
            ("jwk", jwk.map_err(|_| ImportError::Malformed).and_then(|jwk| rsa::from_jwk(&jwk)))
        } else {
            ("pkcs8", rsa::from_pem(fields.required_text("pkcs8")?.as_bytes()))
        };
        match key {
            Ok(key) => Some(Self(key)),
            Err(error) => {
                fields.fault(name, error.to_string());
                None
            }
        }
    }
}

/// Imports a private key as the tenant's next one: 201 with the key; 400 if it is weak or malformed; 409 for the
/// platform tenant, an existing key, or a rotation in progress.
#[utoipa::path(
    post, path = "/api/tenant/tenants/{id}/keys/import/", tag = "Signing keys", operation_id = "keys_import", summary = "Import a private key as the next one",
    description = "Needs `platform.keys_import`.",
    params(("id" = Uuid, Path)),
    request_body(content = ImportedKeyIn, example = json!({"pkcs8": "-----BEGIN PRIVATE KEY-----..."})),
    responses(
        (status = 201, description = "Imported", body = KeyOut, example = json!({"kid": "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs", "state": "active", "created_at": "2026-01-02T03:04:05.678901Z", "sign_from": null, "remove_at": null, "ended_at": null})),
        (status = 409, description = "The tenant is the platform tenant, the key exists already, or a rotation is in progress", body = described::Refused),
    )
)]
pub async fn import(
    State(control): State<Control>,
    platform: Platform<PlatformKeysImport>,
    Path(id): Path<String>,
    Json(ImportedKey(key)): Json<ImportedKey>,
) -> Result<Response, Refused> {
    let id = TenantId::parse(&id).map_err(|_| tenants::no_tenant())?;
    let (key, mut tx) = platform.by.tx.pause(&control.db, control.keys.keep(id, &key)).await?;
    let key = key?;
    let tenant = tenants::find(&mut tx, id).await?;
    if tenant.status == Status::Deleted {
        return Err(tenants::no_tenant());
    }
    tx.enter(&control.db, tenant.id).await?;
    let user = &platform.by.user;
    let who = user.platform();
    let actor = Actor { who, ..platform.by.actor };
    let (kid, mut tx) = super::import(&control, tx, &actor, &tenant, &key).await?;
    let out = all(&mut tx, &tenant).await?.into_iter().find(|key| key.kid == kid);
    tx.commit().await?;
    Ok(created(&out))
}

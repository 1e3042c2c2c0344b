//! The route table of control.

use axum::extract::FromRequestParts;
use axum::routing::{MethodRouter, delete, get, patch, post};
use axum::{Extension, Router};
use shared::contract::limits::BODY_BYTES;
use shared::contract::permissions::marker::{
    AuditRead, BranchesRead, KeysRead, KeysRevoke, KeysRotate, PlatformJobsRead, PlatformJobsWrite,
    PlatformKeysImport, PlatformTenantsRead, PlatformTenantsWrite, RolesRead, SessionsEnd, SessionsRead,
    TenantRead, TenantWrite, UsersRead, UsersUnmask, UsersWrite,
};

use super::{health, inside, layers, openapi};
use crate::access::{
    Allowed, Anyone, AnyoneAtPlatform, Me, MfaEnrollment, OnTenant, PasswordChange, Platform, WithTicket,
    Within,
};
use crate::accounts::routes::{address, email, invitations, network, register};
use crate::control::Control;
use crate::http::answer::{Refused, wrong_method};
use crate::http::body::whole;
use crate::mfa::routes as mfa;
use crate::profiles::routes as profiles;
use crate::sessions::routes as sessions;
use crate::{audit, branches, jobs, keys, mail, pages, resets, roles, setup, tenants, users};

/// Every path of control, grouped by who may call it; the handler's signature enforces that. How a body is read is
/// set here: [`json`] reads it whole. A path with uploads has [`whole`] with its own limit, or neither if its handler
/// streams the body.
pub fn router(control: &Control) -> Router {
    let api = own_account().merge(users()).merge(rules()).merge(tenants()).merge(platform()).merge(anyone());
    layers::of_api(control, api.with_state(control.clone()))
        .merge(layers::of_inside(control, inside::router(control)))
        .merge(health::router(control))
}

/// Any signed-in user, about the own account.
fn own_account() -> Router<Control> {
    Router::new()
        .route("/api/user/me", json::<Me>(get(users::routes::me)))
        .route(
            "/api/user/password/change",
            json::<WithTicket<PasswordChange>>(post(users::routes::password::change)),
        )
        .route("/api/user/email/change", json::<Me>(post(address::change)))
        .route("/api/user/sessions", json::<Me>(get(sessions::own::list).delete(sessions::own::end_others)))
        .route("/api/user/sessions/{id}", json::<Me>(delete(sessions::own::end)))
        .route("/api/user/mfa", json::<WithTicket<MfaEnrollment>>(get(mfa::own::read)))
        .route(
            "/api/user/mfa/totp",
            json::<WithTicket<MfaEnrollment>>(post(mfa::enrol::begin).delete(mfa::own::remove_all)),
        )
        .route("/api/user/mfa/totp/confirm", json::<WithTicket<MfaEnrollment>>(post(mfa::enrol::confirm)))
        .route("/api/user/mfa/totp/{id}", json::<Me>(patch(mfa::own::rename).delete(mfa::own::remove)))
        .route("/api/user/mfa/recovery-codes", json::<Me>(post(mfa::codes::make)))
        .route("/api/user/devices", json::<Me>(get(mfa::devices::list).delete(mfa::devices::forget_all)))
        .route("/api/user/devices/{id}", json::<Me>(delete(mfa::devices::forget)))
        .route("/api/user/profile", json::<Me>(get(profiles::own::read).patch(profiles::own::update)))
        .route(
            "/api/user/profile/{section}",
            json::<Me>(get(profiles::own::list).post(profiles::own::create)),
        )
        .route(
            "/api/user/profile/{section}/{id}",
            json::<Me>(
                get(profiles::own::read_entry)
                    .patch(profiles::own::update_entry)
                    .delete(profiles::own::delete_entry),
            ),
        )
}

/// A tenant's administrators, about its users.
fn users() -> Router<Control> {
    Router::new()
        .route(
            "/api/user/users",
            json::<Within<UsersRead>>(get(users::routes::list).post(users::routes::create)),
        )
        .route(
            "/api/user/users/{id}",
            json::<Within<UsersRead>>(
                get(users::routes::read)
                    .put(users::routes::replace)
                    .patch(users::routes::update)
                    .delete(users::routes::delete),
            ),
        )
        .route(
            "/api/user/users/{id}/sessions",
            json::<Within<SessionsRead>>(get(sessions::list).delete(users::routes::end_sessions)),
        )
        .route("/api/user/users/{id}/sessions/{sid}", json::<Within<SessionsEnd>>(delete(sessions::end)))
        .route(
            "/api/user/users/{id}/unmask",
            json::<Within<UsersUnmask>>(post(users::routes::unmask::unmask)),
        )
        .route(
            "/api/user/users/{id}/attempts",
            json::<Within<UsersWrite>>(delete(users::routes::attempts::lift)),
        )
        .route(
            "/api/user/users/{id}/mfa",
            json::<Within<UsersRead>>(get(mfa::admin::read).delete(mfa::admin::reset)),
        )
        .route(
            "/api/user/users/{id}/devices",
            json::<Within<UsersRead>>(get(mfa::devices::list_of).delete(mfa::devices::forget_all_of)),
        )
        .route(
            "/api/user/users/{id}/devices/{device}",
            json::<Within<SessionsEnd>>(delete(mfa::devices::forget_of)),
        )
        .route(
            "/api/user/users/{id}/profile",
            json::<Within<UsersRead>>(get(profiles::users::read).patch(profiles::users::update)),
        )
        .route(
            "/api/user/users/{id}/profile/{section}",
            json::<Within<UsersRead>>(get(profiles::users::list).post(profiles::users::create)),
        )
        .route(
            "/api/user/users/{id}/profile/{section}/{entry}",
            json::<Within<UsersRead>>(
                get(profiles::users::read_entry)
                    .patch(profiles::users::update_entry)
                    .delete(profiles::users::delete_entry),
            ),
        )
        .route("/api/user/password/regenerate", json::<Within<UsersWrite>>(post(resets::routes::regenerate)))
        .route(
            "/api/user/invitations",
            json::<Within<UsersRead>>(get(invitations::list).post(invitations::create)),
        )
        .route("/api/user/invitations/{id}", json::<Within<UsersWrite>>(delete(invitations::revoke)))
}

/// A tenant's administrators, about its roles and branches, and its audit log.
fn rules() -> Router<Control> {
    Router::new()
        .route(
            "/api/user/roles",
            json::<Within<RolesRead>>(get(roles::routes::list).post(roles::routes::create)),
        )
        .route(
            "/api/user/roles/{id}",
            json::<Within<RolesRead>>(
                get(roles::routes::read).patch(roles::routes::update).delete(roles::routes::delete),
            ),
        )
        .route("/api/user/permissions", json::<Within<RolesRead>>(get(roles::routes::permissions)))
        .route(
            "/api/tenant/branches",
            json::<Within<BranchesRead>>(get(branches::routes::list).post(branches::routes::create)),
        )
        .route(
            "/api/tenant/branches/{id}",
            json::<Within<BranchesRead>>(
                get(branches::routes::read).patch(branches::routes::update).delete(branches::routes::delete),
            ),
        )
        .route("/api/audit", json::<Within<AuditRead>>(get(audit::routes::list)))
        .route("/api/audit/verify", json::<Allowed<AuditRead>>(get(audit::routes::verify)))
        .route("/api/audit/export", json::<Allowed<AuditRead>>(get(audit::routes::export)))
}

/// A tenant's own administrators, or the platform's.
fn tenants() -> Router<Control> {
    Router::new()
        .route(
            "/api/tenant/tenants",
            json::<Allowed<TenantRead>>(get(tenants::routes::list).post(tenants::routes::create)),
        )
        .route(
            "/api/tenant/tenants/{id}",
            json::<OnTenant<TenantRead, PlatformTenantsRead>>(
                get(tenants::routes::read).patch(tenants::routes::update).delete(tenants::routes::delete),
            ),
        )
        .route(
            "/api/tenant/tenants/{id}/claims",
            json::<OnTenant<TenantRead, PlatformTenantsRead>>(
                get(tenants::routes::claims::read).patch(tenants::routes::claims::update),
            ),
        )
        .route(
            "/api/tenant/tenants/{id}/captcha",
            json::<OnTenant<TenantRead, PlatformTenantsRead>>(
                get(tenants::routes::captcha::read)
                    .put(tenants::routes::captcha::replace)
                    .delete(tenants::routes::captcha::remove),
            ),
        )
        .route(
            "/api/tenant/tenants/{id}/mail",
            json::<OnTenant<TenantRead, PlatformTenantsRead>>(
                get(mail::routes::read).put(mail::routes::replace).delete(mail::routes::remove),
            ),
        )
        .route(
            "/api/tenant/tenants/{id}/mail/test",
            json::<OnTenant<TenantWrite, PlatformTenantsWrite>>(post(mail::routes::test)),
        )
        .route(
            "/api/tenant/tenants/{id}/keys",
            json::<OnTenant<KeysRead, PlatformTenantsRead>>(get(keys::routes::list)),
        )
        .route(
            "/api/tenant/tenants/{id}/keys/rotate",
            json::<OnTenant<KeysRotate, PlatformTenantsWrite>>(post(keys::routes::rotate)),
        )
        .route(
            "/api/tenant/tenants/{id}/keys/{kid}/revoke",
            json::<OnTenant<KeysRevoke, PlatformTenantsWrite>>(post(keys::routes::revoke)),
        )
        .route(
            "/api/tenant/tenants/{id}/keys/import",
            json::<Platform<PlatformKeysImport>>(post(keys::routes::import)),
        )
}

/// The platform's administrators alone.
fn platform() -> Router<Control> {
    Router::new()
        .route("/api/platform/jobs", json::<Platform<PlatformJobsRead>>(get(jobs::routes::list)))
        .route("/api/platform/jobs/{id}", json::<Platform<PlatformJobsRead>>(get(jobs::routes::read)))
        .route(
            "/api/platform/jobs/{id}/retry",
            json::<Platform<PlatformJobsWrite>>(post(jobs::routes::retry)),
        )
        .route(
            "/api/platform/jobs/{id}/cancel",
            json::<Platform<PlatformJobsWrite>>(post(jobs::routes::cancel)),
        )
}

/// Any caller, signed in or not.
fn anyone() -> Router<Control> {
    Router::new()
        .route("/api/user/setup", json::<AnyoneAtPlatform>(post(setup::routes::create)))
        .route("/api/user/password/reset", json::<Anyone>(post(resets::routes::reset)))
        .route("/api/user/password/reset/confirm", json::<Anyone>(post(resets::routes::confirm)))
        .route("/api/user/public-register", json::<Anyone>(post(register::register)))
        .route("/api/user/email/verify", json::<Anyone>(post(email::prove)))
        .route("/api/user/email/verify/resend", json::<Anyone>(post(email::again)))
        .route("/api/user/email/change/confirm", json::<Anyone>(post(address::confirm)))
        .route("/api/user/email/change/undo", json::<Anyone>(post(address::undo)))
        .route("/api/user/network/confirm", json::<Anyone>(post(network::confirm)))
        .route("/api/user/invitations/accept", json::<Anyone>(post(invitations::accept)))
        .route(
            "/api/schema",
            json::<Anyone>(
                get(openapi::routes::document)
                    .layer(Extension(openapi::routes::Document(openapi::document()))),
            ),
        )
        .route("/docs", json::<Anyone>(get(openapi::routes::reader)))
        .route("/docs/{file}", json::<Anyone>(get(openapi::routes::asset)))
        .route("/account/{kind}", json::<Anyone>(get(pages::routes::page)))
        .route("/account/files/{file}", json::<Anyone>(get(pages::routes::file)))
}

/// A path with bodies in JSON or forms, read whole before its handler. `A` is the extractor that a caller must pass
/// before a 405.
fn json<A>(methods: MethodRouter<Control>) -> MethodRouter<Control>
where
    A: FromRequestParts<Control, Rejection = Refused> + Send + 'static,
{
    whole(BODY_BYTES, methods.fallback(wrong_method::<A>))
}

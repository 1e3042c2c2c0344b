//! The edge's own routes and the errors of both sides, described for the published document.
//!
//! Control serves the document (`GET /api/schema/`). These descriptions stand beside the table of routes and
//! the error codes. The types describe what is on the wire and are never constructed: the edge reads
//! bodies field by field and writes its answers in place. A test below compares these descriptions with
//! [`crate::contract::routes`], and an end-to-end test compares every example with a real answer.

#![allow(dead_code, reason = "the described types are never constructed")]

use std::collections::BTreeMap;

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{OpenApi, PartialSchema, ToSchema};
use uuid::Uuid;

use crate::contract::refusal::Code;

/// The edge's own routes.
#[derive(OpenApi)]
#[openapi(
    paths(
        token, login, verify_otp, step_up, refresh, validate, validate_for_gateways, verify, blacklist, logout, public_key, jwks, root_jwks, limits,
        healthz, readyz
    ),
    components(schemas(Refused, FieldErrors, Code)),
    tags(
        (name = "Tokens", description = "Sign-in, refresh, validation and sign-out. Served at the edge, also while control is down."),
        (name = "Keys", description = "The public keys that verify access tokens."),
        (name = "Health", description = "Liveness, readiness and limits of the edge."),
    )
)]
pub struct Edge;

/// The error statuses of one of the edge's own routes, in addition to those that the route itself describes. A
/// test of the edge causes each of them, and each run of all tests compares the document with the answers that
/// were given: it lists neither fewer nor more. An internal error is 500 on every route.
#[must_use]
pub fn edge_refusals(method: &str, path: &str) -> &'static [&'static str] {
    match (method, path) {
        ("post", "/api/token/verify/") => &["400", "404", "413", "415", "429", "503"],
        ("post", "/api/token/validate/") => &["400", "403", "404", "413", "415", "503"],
        ("post", _) => &["400", "403", "404", "413", "415", "429", "503"],
        ("get", "/api/token/validate/") => &["404", "503"],
        ("get", "/healthz" | "/readyz" | "/api/limits/") => &[],
        _ => &["400", "404", "412", "429", "503"],
    }
}

impl PartialSchema for Code {
    fn schema() -> RefOr<Schema> {
        let meanings = Self::ALL.iter().map(|code| format!("- `{}`: {}", code.as_str(), code.meaning()));
        let meanings = meanings.collect::<Vec<_>>().join("\n");
        ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(Self::ALL.iter().map(|code| code.as_str())))
            .description(Some(format!("The kind of error, for programs.\n\n{meanings}")))
            .into()
    }
}

impl ToSchema for Code {}

/// Why a request was refused.
#[derive(ToSchema)]
pub struct Refused {
    /// A text for people: the same as Django REST framework and SimpleJWT use.
    detail: String,
    /// Absent where Django REST framework and SimpleJWT have no code.
    code: Option<Code>,
    /// The fault of the Bearer token.
    messages: Option<Vec<TokenMessage>>,
    /// With `password_change_required`: a Bearer token for the route that changes the password. With
    /// `mfa_enrollment_required`: one for the routes that enrol a second factor.
    ticket: Option<String>,
    /// With `mfa_required`: to be sent to `POST /api/verify-otp/` with a code.
    mfa_token: Option<String>,
    /// With `mfa_required` and `step_up_required`: the accepted methods, `totp` and `recovery_code` (or `password`, at
    /// a step-up of a user without a second factor).
    methods: Option<Vec<String>>,
    /// Lifetime of the ticket or `mfa_token`, in seconds.
    expires_in: Option<u64>,
    /// With `step_up_required`: the greatest age of a sign-in or step-up, in seconds.
    max_age: Option<u64>,
    /// With `captcha_required`: the key of the widget.
    site_key: Option<String>,
}

/// The fault of a token.
#[derive(ToSchema)]
struct TokenMessage {
    token_class: String,
    token_type: String,
    message: String,
}

/// Errors of a body or a query: messages by field; `non_field_errors` concern more than one field.
#[derive(ToSchema)]
pub struct FieldErrors(BTreeMap<String, Vec<String>>);

/// Credentials of a sign-in. One of `username` and `email` is required; both take a user name or an address.
#[derive(ToSchema)]
struct Credentials {
    /// User name or address.
    username: Option<String>,
    /// The same.
    email: Option<String>,
    #[schema(format = "password")]
    password: String,
    /// The six-digit code of an authenticator, if the user has a second factor. Without it the answer has an
    /// `mfa_token`.
    otp: Option<String>,
    /// A recovery code, in place of `otp`.
    recovery_code: Option<String>,
    /// The response token of a Turnstile widget. Required if an answer had the code `captcha_required`; otherwise
    /// ignored.
    #[serde(rename = "cf-turnstile-response")]
    cf_turnstile_response: Option<String>,
    /// The same for hCaptcha.
    #[serde(rename = "h-captcha-response")]
    h_captcha_response: Option<String>,
    /// The same for reCAPTCHA.
    #[serde(rename = "g-recaptcha-response")]
    g_recaptcha_response: Option<String>,
    /// At `login`, with a code: whether to remember the browser, so that sign-ins from it need no code for the number of
    /// days that the tenant allows. Only where cookies are set: the answer sets the cookie `__Host-device` or `device`.
    remember: Option<bool>,
}

/// A second factor, after a correct password.
#[derive(ToSchema)]
struct SecondFactor {
    /// From the answer to the sign-in.
    mfa_token: String,
    /// The six-digit code of an authenticator.
    otp: Option<String>,
    /// The same.
    code: Option<String>,
    /// A recovery code, in place of `otp`.
    recovery_code: Option<String>,
    /// Whether to remember the browser, so that sign-ins from it need no code for the number of days that the tenant
    /// allows. Only where cookies are set.
    remember: Option<bool>,
}

/// A code or the password of the session's user: exactly one of these.
#[derive(ToSchema)]
struct Proof {
    /// The six-digit code of an authenticator.
    otp: Option<String>,
    /// A recovery code.
    recovery_code: Option<String>,
    /// The password, if the user has no second factor.
    #[schema(format = "password")]
    password: Option<String>,
}

/// The answer to `login`.
#[derive(ToSchema)]
#[serde(untagged)]
enum LoggedIn {
    SignedIn(SignedIn),
    FactorNeeded(FactorNeeded),
}

/// The password is correct, and a second factor is required.
#[derive(ToSchema)]
struct FactorNeeded {
    /// Always true.
    mfa_required: bool,
    /// To be sent to `POST /api/verify-otp/` with a code.
    mfa_token: String,
    /// The accepted methods: `totp`, `recovery_code`.
    methods: Vec<String>,
    /// Lifetime of `mfa_token`, in seconds.
    expires_in: u64,
}

#[derive(ToSchema)]
struct Tokens {
    /// JWT, RS256.
    access: String,
    /// JWT that only Wardgate can verify; used once.
    refresh: String,
}

#[derive(ToSchema)]
struct SignedIn {
    access: String,
    refresh: String,
    user: SignedInUser,
    /// The value for `X-CSRFToken`; only if cookies were set.
    csrf_token: Option<String>,
}

#[derive(ToSchema)]
struct SignedInUser {
    id: Uuid,
    roles: Vec<String>,
    /// The tenant's id.
    tenant: Uuid,
}

#[derive(ToSchema)]
struct RefreshToken {
    /// Not needed if the token is sent as a cookie.
    refresh: Option<String>,
}

#[derive(ToSchema)]
struct AccessToken {
    /// Not needed if the token is sent as Bearer or as a cookie.
    token: Option<String>,
}

#[derive(ToSchema)]
struct AnyToken {
    /// Access or refresh.
    token: String,
}

#[derive(ToSchema)]
struct Logout {
    /// In place of, or in addition to, Bearer and cookies.
    refresh: Option<String>,
    /// Ends all sessions of the user.
    everywhere: Option<bool>,
}

#[derive(ToSchema)]
struct Valid {
    valid: bool,
    /// As in the token: a UUID, or the user's id at the legacy service.
    user_id: UserId,
    tenant: Uuid,
    /// The session.
    sid: String,
    roles: Vec<String>,
    token_type: String,
    /// Unix seconds.
    exp: i64,
}

/// The claim `user_id`.
#[derive(ToSchema)]
#[serde(untagged)]
enum UserId {
    Text(String),
    Integer(i64),
}

#[derive(ToSchema)]
struct NotValid {
    valid: bool,
    detail: String,
    /// Absent if the request had no token.
    code: Option<Code>,
}

#[derive(ToSchema)]
struct Nothing {}

#[derive(ToSchema)]
struct Limits {
    /// Numbers by name.
    limits: BTreeMap<String, i64>,
}

#[derive(ToSchema)]
struct PublicKey {
    /// PEM.
    public_key: String,
    alg: String,
    kid: String,
}

#[derive(ToSchema)]
struct KeySet {
    keys: Vec<Jwk>,
}

/// RFC 7517, of an RSA public key.
#[derive(ToSchema)]
struct Jwk {
    kty: String,
    #[serde(rename = "use")]
    use_: String,
    alg: String,
    kid: String,
    n: String,
    e: String,
}

#[derive(ToSchema)]
struct Health {
    status: String,
}

#[derive(ToSchema)]
struct Readiness {
    status: String,
    /// Age of the edge's revocation data, in seconds.
    state_age_secs: Option<f64>,
}

#[utoipa::path(
    post, path = "/api/token/", tag = "Tokens", operation_id = "token", summary = "Sign in and get tokens",
    description = "Sets no cookies. Unknown user, wrong password and inactive user get the same answer.",
    request_body(content = Credentials, example = json!({"username": "ada", "password": "correct horse battery staple"})),
    responses(
        (status = 200, description = "Signed in", body = Tokens, example = json!({"refresh": "eyJ0eXAi...", "access": "eyJ0eXAi..."})),
        (status = 401, description = "Not signed in. `mfa_required`: the password is correct, and `POST /api/verify-otp/` takes the `mfa_token` with a code. `otp_invalid`: the password is correct, the code is not", body = Refused, example = json!({"detail": "No active account found with the given credentials"})),
        (status = 403, description = "The password must be changed first: `POST /api/user/password/change/` takes the ticket. Or the tenant requires a second factor, and the user has none: `POST /api/user/mfa/totp/` takes the ticket. Or a CAPTCHA must be solved (`captcha_required`). Or the tenant is suspended, or does not allow the client's network", body = Refused, example = json!({
            "detail": "Password change required.", "code": "password_change_required",
            "ticket": "wgt_AGhlbGxvLCB3b3JsZCEhISEAaGVsbG8sIHdvcmxkISE", "expires_in": 600,
        })),
    )
)]
fn token() {}

#[utoipa::path(
    post, path = "/api/login/", tag = "Tokens", operation_id = "login", summary = "Sign in",
    description = "Also sets cookies, if the tenant uses them and the request is JSON, comes to one of the tenant's \
        own hosts, and has an allowed `Origin` or is not from a browser.",
    request_body(content = Credentials, example = json!({"email": "ada@acme.example", "password": "correct horse battery staple"})),
    responses(
        (status = 200, description = "Signed in; or the password is correct and a second factor is required (`mfa_required`)", body = LoggedIn, example = json!({
            "access": "eyJ0eXAi...",
            "refresh": "eyJ0eXAi...",
            "user": {"id": "019a1f0e-5b7c-7d21-9c3e-0a1b2c3d4e5f", "roles": ["client"], "tenant": "019a1f0e-4a6b-7c10-8b2d-0f1e2d3c4b5a"},
        })),
        (status = 401, description = "Not signed in. `otp_invalid`: the password is correct, the code is not", body = Refused, example = json!({"detail": "No active account found with the given credentials"})),
        (status = 403, description = "The password must be changed first: `POST /api/user/password/change/` takes the ticket. Or the tenant requires a second factor, and the user has none: `POST /api/user/mfa/totp/` takes the ticket. Or a CAPTCHA must be solved (`captcha_required`). Or the tenant is suspended, or does not allow the client's network", body = Refused, example = json!({
            "detail": "Password change required.", "code": "password_change_required",
            "ticket": "wgt_AGhlbGxvLCB3b3JsZCEhISEAaGVsbG8sIHdvcmxkISE", "expires_in": 600,
        })),
    )
)]
fn login() {}

#[utoipa::path(
    post, path = "/api/verify-otp/", tag = "Tokens", operation_id = "verify_otp", summary = "Complete a sign-in with a second factor",
    description = "Takes the `mfa_token` of a sign-in and a code, and answers as `login` does, cookies included. An \
        `mfa_token` is valid for five minutes, five attempts and one session; a newer sign-in of the user invalidates \
        it. A code can be used once.",
    request_body(content = SecondFactor, example = json!({"mfa_token": "wgc_AGhlbGxvLCB3b3JsZCEhISEAaGVsbG8sIHdvcmxkISE", "otp": "492039"})),
    responses(
        (status = 200, description = "Signed in", body = SignedIn, example = json!({
            "access": "eyJ0eXAi...",
            "refresh": "eyJ0eXAi...",
            "user": {"id": "019a1f0e-5b7c-7d21-9c3e-0a1b2c3d4e5f", "roles": ["client"], "tenant": "019a1f0e-4a6b-7c10-8b2d-0f1e2d3c4b5a"},
        })),
        (status = 401, description = "Not signed in: the code is wrong or was used before, or the `mfa_token` is unknown, expired or used", body = Refused, example = json!({"detail": "Invalid or expired code.", "code": "otp_invalid"})),
    )
)]
fn verify_otp() {}

#[utoipa::path(
    post, path = "/api/step-up/", tag = "Tokens", operation_id = "step_up", summary = "Re-authenticate in a session",
    description = "For routes that answer `step_up_required`. The session stays the same; its new access tokens have \
        a new `auth_time` and, if a code was used, `otp` and `mfa` in `amr`. A user who has a second factor must use a \
        code; the password is accepted only from a user who has none.",
    request_body(content = Proof, example = json!({"otp": "492039"})),
    responses(
        (status = 200, description = "New tokens of the same session", body = Tokens, example = json!({"access": "eyJ0eXAi...", "refresh": "eyJ0eXAi..."})),
        (status = 401, description = "The token, code or password is not valid", body = Refused, example = json!({"detail": "Invalid or expired code.", "code": "otp_invalid"})),
    ),
    security(("bearer" = []), ("cookie" = [], "csrf" = []))
)]
fn step_up() {}

#[utoipa::path(
    post, path = "/api/token/refresh/", tag = "Tokens", operation_id = "refresh", summary = "Refresh the tokens",
    description = "A refresh token is used once. If the previous one is presented again within the tenant's retry \
        window, it gets the same new tokens; later, and for any older one, the session ends (reuse detection).",
    request_body(content = RefreshToken, example = json!({"refresh": "eyJ0eXAi..."})),
    responses(
        (status = 200, description = "Refreshed", body = Tokens, example = json!({"access": "eyJ0eXAi...", "refresh": "eyJ0eXAi..."})),
        (status = 401, description = "Not refreshed", body = Refused, example = json!({"detail": "Token is blacklisted", "code": "token_not_valid"})),
    )
)]
fn refresh() {}

#[utoipa::path(
    post, path = "/api/token/validate/", tag = "Tokens", operation_id = "validate", summary = "Check an access token",
    description = "Checks signature, expiry, session and user. `Wardgate-State-Age` is the age, in seconds, of the \
        revocation data that the answer is based on.",
    request_body(content = AccessToken, example = json!({"token": "eyJ0eXAi..."})),
    responses(
        (status = 200, description = "The token is valid", body = Valid, example = json!({
            "valid": true,
            "user_id": "019a1f0e-5b7c-7d21-9c3e-0a1b2c3d4e5f",
            "tenant": "019a1f0e-4a6b-7c10-8b2d-0f1e2d3c4b5a",
            "sid": "AGhlbGxvLCB3b3JsZCEhISE",
            "roles": ["client"],
            "token_type": "access",
            "exp": 1_767_225_900,
        })),
        (status = 401, description = "The token is not valid", body = NotValid, example = json!({"valid": false, "detail": "Token is invalid", "code": "token_not_valid"})),
    ),
    security((), ("bearer" = []), ("cookie" = []))
)]
fn validate() {}

#[utoipa::path(
    get, path = "/api/token/validate/", tag = "Tokens", operation_id = "validate_for_gateways", summary = "Check an access token, for gateways",
    description = "For nginx `auth_request`, Traefik `ForwardAuth` and Envoy `ext_authz`: the status is the \
        decision, and headers identify the user. Takes the token as Bearer or cookie; a token in the query or body, \
        `X-Forwarded-*` and `X-Original-*` are ignored. Header values are percent-encoded except for the unreserved \
        characters of RFC 3986. `HEAD` gets the same answer without the body.",
    responses(
        (status = 200, description = "The token is valid", body = Valid,
            headers(
                ("X-Auth-User-Id" = String, description = "`user_id`"),
                ("X-Auth-Tenant" = String, description = "`tenant`"),
                ("X-Auth-Roles" = String, description = "`roles`, separated by commas; empty where there are none"),
            ),
            example = json!({
                "valid": true,
                "user_id": "019a1f0e-5b7c-7d21-9c3e-0a1b2c3d4e5f",
                "tenant": "019a1f0e-4a6b-7c10-8b2d-0f1e2d3c4b5a",
                "sid": "AGhlbGxvLCB3b3JsZCEhISE",
                "roles": ["client"],
                "token_type": "access",
                "exp": 1_767_225_900,
            })),
        (status = 401, description = "The token is missing or not valid", body = NotValid, example = json!({"valid": false, "detail": "Authentication credentials were not provided."})),
    ),
    security(("bearer" = []), ("cookie" = []))
)]
fn validate_for_gateways() {}

#[utoipa::path(
    post, path = "/api/token/verify/", tag = "Tokens", operation_id = "verify", summary = "Check an access or refresh token",
    description = "As SimpleJWT. If the session has ended or the user may not sign in: 400 \
        `{\"non_field_errors\":[\"Token is blacklisted\"]}`.",
    request_body(content = AnyToken, example = json!({"token": "eyJ0eXAi..."})),
    responses(
        (status = 200, description = "The token is valid", body = Nothing, example = json!({})),
        (status = 401, description = "The token is not valid", body = Refused, example = json!({"detail": "Token is invalid", "code": "token_not_valid"})),
    )
)]
fn verify() {}

#[utoipa::path(
    post, path = "/api/token/blacklist/", tag = "Tokens", operation_id = "blacklist", summary = "End the session of a refresh token",
    request_body(content = RefreshToken, example = json!({"refresh": "eyJ0eXAi..."})),
    responses(
        (status = 200, description = "Ended", body = Nothing, example = json!({})),
        (status = 401, description = "The token is not valid", body = Refused, example = json!({"detail": "Token is invalid", "code": "token_not_valid"})),
    )
)]
fn blacklist() {}

#[utoipa::path(
    post, path = "/api/logout/", tag = "Tokens", operation_id = "logout", summary = "Sign out",
    description = "Ends the sessions of the Bearer token, of `refresh` and of the cookies, and clears the cookies. \
        Each valid credential ends its own session, even if another one is invalid. An access token that has expired, \
        and is otherwise valid, ends its own session, but not the other sessions of the user.",
    request_body(content = Logout, example = json!({"everywhere": true})),
    responses(
        (status = 204, description = "Signed out"),
        (status = 401, description = "No valid credential; the error is that of the first one", body = Refused, example = json!({"detail": "Authentication credentials were not provided."})),
    ),
    security(("bearer" = []), ("cookie" = [], "csrf" = []))
)]
fn logout() {}

#[utoipa::path(
    get, path = "/api/public-key/", tag = "Keys", operation_id = "public_key", summary = "Read the key that signs now",
    description = "As JSON, or as PEM alone, chosen by `Accept` (RFC 9110, section 12.5.1); JSON by default. Each \
        format has its own `ETag`; `If-None-Match` works as in RFC 9110.",
    responses((status = 200, description = "The key", content(
        (PublicKey = "application/json", example = json!({
            "public_key": "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkq...\n-----END PUBLIC KEY-----\n",
            "alg": "RS256",
            "kid": "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
        })),
        (String = "application/x-pem-file"),
        (String = "text/plain"),
    )), (status = 304, description = "Not modified: the client's copy is current"),
    (status = 406, description = "`Accept` allows none of the formats", body = Refused, example = json!({"detail": "Could not satisfy the request Accept header."})))
)]
fn public_key() {}

#[utoipa::path(
    get, path = "/api/.well-known/jwks.json", tag = "Keys", operation_id = "jwks", summary = "The key set (RFC 7517)",
    responses((status = 200, description = "Next, active and retired keys, with an `ETag`", body = KeySet, example = json!({"keys": [{
        "kty": "RSA", "use": "sig", "alg": "RS256", "kid": "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs", "n": "0vx7agoebGcQ...", "e": "AQAB",
    }]})), (status = 304, description = "Not modified: the client's copy is current"))
)]
fn jwks() {}

#[utoipa::path(
    get, path = "/.well-known/jwks.json", tag = "Keys", operation_id = "root_jwks", summary = "The key set (RFC 7517)",
    responses((status = 200, description = "Next, active and retired keys, with an `ETag`", body = KeySet, example = json!({"keys": [{
        "kty": "RSA", "use": "sig", "alg": "RS256", "kid": "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs", "n": "0vx7agoebGcQ...", "e": "AQAB",
    }]})), (status = 304, description = "Not modified: the client's copy is current"))
)]
fn root_jwks() {}

#[utoipa::path(
    get, path = "/api/limits/", tag = "Health", operation_id = "limits", summary = "Read the limits and lifetimes of this release",
    description = "Numbers by name; the name ends in the unit. They are the same for every tenant; what a tenant can \
        choose is among its settings. docs/limits.md explains each.",
    responses((status = 200, description = "The limits", body = Limits, example = json!({"limits": {"body_bytes": 1_048_576, "challenge_secs": 300}})))
)]
fn limits() {}

#[utoipa::path(
    get, path = "/healthz", tag = "Health", operation_id = "healthz", summary = "Check whether the Worker runs",
    responses((status = 200, description = "The Worker runs", body = Health, example = json!({"status": "ok"})))
)]
fn healthz() {}

#[utoipa::path(
    get, path = "/readyz", tag = "Health", operation_id = "readyz", summary = "Check whether the Worker can serve requests",
    responses(
        (status = 200, description = "Ready", body = Readiness, example = json!({"status": "ready", "state_age_secs": 0.4})),
        (status = 503, description = "Not ready", body = Readiness, example = json!({"status": "storage unreachable", "state_age_secs": 7.0})),
    )
)]
fn readyz() {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::contract::routes::{ROUTES, RouteKind};

    #[test]
    fn every_route_of_the_edge_is_described_and_nothing_else() {
        let table: BTreeSet<_> = ROUTES
            .iter()
            .filter(|route| matches!(route.kind, RouteKind::Edge | RouteKind::EdgeWithoutAllow))
            .flat_map(|route| {
                let methods = route.allow.split(", ").filter(|method| !matches!(*method, "HEAD" | "OPTIONS"));
                methods.map(|method| (method.to_lowercase(), route.path.to_owned()))
            })
            .collect();
        let document = serde_json::to_value(Edge::openapi()).unwrap();
        let mut described = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for method in item.as_object().unwrap().keys() {
                described.insert((method.clone(), path.trim_matches('/').to_owned()));
            }
        }
        assert_eq!(described, table);
    }
}

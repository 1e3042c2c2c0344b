//! The edge's own routes and the errors of both sides, described for the published document.
//!
//! Control serves the document (`GET /api/schema/`); what is here stands beside the table of routes and
//! the codes that it describes. The types say what is on the wire and are never made: the edge reads
//! bodies field by field and writes its answers in place. A test below holds these descriptions to
//! [`crate::contract::routes`], and one over the running parts holds every example to what is answered.

#![allow(dead_code, reason = "what is described is never made")]

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
        (name = "Tokens", description = "Signing in and out; served at the edge, whatever else is down."),
        (name = "Keys", description = "The keys that verify access tokens."),
        (name = "Health", description = "For the supervision of the edge."),
    )
)]
pub struct Edge;

/// With which statuses the edge refuses requests of one of its own routes, besides those that the route
/// itself describes. A test of the edge makes each of them happen, and every run of all tests holds the
/// document against what was answered: it lists neither less nor more. A fault of ours is 500 everywhere.
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
            .description(Some(format!("What went wrong, for programs.\n\n{meanings}")))
            .into()
    }
}

impl ToSchema for Code {}

/// Why a request was refused.
#[derive(ToSchema)]
pub struct Refused {
    /// For people, in the words of the service that Wardgate replaces.
    detail: String,
    /// Absent where that service had none.
    code: Option<Code>,
    /// About the token, where one was presented as Bearer.
    messages: Option<Vec<TokenMessage>>,
    /// With `password_change_required`: what is good, as Bearer, for changing the password and nothing else. With
    /// `mfa_enrollment_required`: for enrolling a second factor and nothing else.
    ticket: Option<String>,
    /// With `mfa_required`: what is good at `POST /api/verify-otp/`, once.
    mfa_token: Option<String>,
    /// With `mfa_required` and `step_up_required`: what may be shown, `totp` and `recovery_code` (and `password`, at a
    /// step-up without a second factor).
    methods: Option<Vec<String>>,
    /// How long the ticket or `mfa_token` is good, in seconds.
    expires_in: Option<u64>,
    /// With `step_up_required`: how old the proof may be, in seconds.
    max_age: Option<u64>,
}

/// What is wrong with a token.
#[derive(ToSchema)]
struct TokenMessage {
    token_class: String,
    token_type: String,
    message: String,
}

/// What is wrong with a body or a query: messages by field; `non_field_errors` are about all of it.
#[derive(ToSchema)]
pub struct FieldErrors(BTreeMap<String, Vec<String>>);

/// Who signs in; `username` and `email` are looked up alike, and one of them is enough.
#[derive(ToSchema)]
struct Credentials {
    /// User name or address.
    username: Option<String>,
    /// The same.
    email: Option<String>,
    #[schema(format = "password")]
    password: String,
    /// The code of an authenticator, six digits, where the user has a second factor. Without it the answer has an
    /// `mfa_token`.
    otp: Option<String>,
    /// A recovery code, in place of `otp`.
    recovery_code: Option<String>,
    /// At `login`, with a code: whether the browser is to be remembered, so that the password alone signs in there for as
    /// many days as the tenant lets it. Where cookies are set. A cookie (`__Host-device` or `device`) brings it about.
    remember: Option<bool>,
}

/// A second factor, after a right password.
#[derive(ToSchema)]
struct SecondFactor {
    /// Of the answer to the sign-in.
    mfa_token: String,
    /// The code of an authenticator, six digits.
    otp: Option<String>,
    /// The same.
    code: Option<String>,
    /// A recovery code, in place of `otp`.
    recovery_code: Option<String>,
    /// Whether the browser is to be remembered, so that the password alone signs in there for as many days as the tenant
    /// lets it. Where cookies are set.
    remember: Option<bool>,
}

/// A proof by the user of the session: one of these.
#[derive(ToSchema)]
struct Proof {
    /// The code of an authenticator, six digits.
    otp: Option<String>,
    /// A recovery code.
    recovery_code: Option<String>,
    /// The password, of a user without a second factor.
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

/// The password is right, and a second factor has to be shown.
#[derive(ToSchema)]
struct FactorNeeded {
    /// Always true.
    mfa_required: bool,
    /// Good at `POST /api/verify-otp/`, once.
    mfa_token: String,
    /// What may be shown: `totp`, `recovery_code`.
    methods: Vec<String>,
    /// How long `mfa_token` is good, in seconds.
    expires_in: u64,
}

#[derive(ToSchema)]
struct Tokens {
    /// JWT, RS256.
    access: String,
    /// JWT that the service alone can verify; good once.
    refresh: String,
}

#[derive(ToSchema)]
struct SignedIn {
    access: String,
    refresh: String,
    user: SignedInUser,
    /// To be sent as `X-CSRFToken`; where cookies were set.
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
    /// Not needed where it comes as a cookie.
    refresh: Option<String>,
}

#[derive(ToSchema)]
struct AccessToken {
    /// Not needed where it comes as Bearer or as a cookie.
    token: Option<String>,
}

#[derive(ToSchema)]
struct AnyToken {
    /// Access or refresh.
    token: String,
}

#[derive(ToSchema)]
struct Logout {
    /// In place of Bearer and cookie.
    refresh: Option<String>,
    /// Ends all sessions of the person.
    everywhere: Option<bool>,
}

#[derive(ToSchema)]
struct Valid {
    valid: bool,
    /// As in the token: a UUID, or what the old service called the person.
    user_id: UserId,
    tenant: Uuid,
    /// The session.
    sid: String,
    roles: Vec<String>,
    token_type: String,
    /// Unix seconds.
    exp: i64,
}

/// What tokens call a person.
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
    /// Absent where no token was presented.
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
    /// Age of what is known of the shard.
    state_age_secs: Option<f64>,
}

#[utoipa::path(
    post, path = "/api/token/", tag = "Tokens", operation_id = "token", summary = "Sign in for tokens",
    description = "Sets no cookie. Until the password is right, every reason to refuse is answered alike.",
    request_body(content = Credentials, example = json!({"username": "ada", "password": "correct horse battery staple"})),
    responses(
        (status = 200, description = "Signed in", body = Tokens, example = json!({"refresh": "eyJ0eXAi...", "access": "eyJ0eXAi..."})),
        (status = 401, description = "Not signed in. With `mfa_required` the password is right and a second factor is missing: `POST /api/verify-otp/` takes `mfa_token`. With `otp_invalid` the password is right and the code is not", body = Refused, example = json!({"detail": "No active account found with the given credentials"})),
        (status = 403, description = "The password has to be changed first, for which the ticket is good (`POST /api/user/password/change/`); or the tenant demands a second factor, and the ticket is good for enrolling one (`POST /api/user/mfa/totp/`); or the tenant is suspended, or does not allow the network", body = Refused, example = json!({
            "detail": "Password change required.", "code": "password_change_required",
            "ticket": "wgt_AGhlbGxvLCB3b3JsZCEhISEAaGVsbG8sIHdvcmxkISE", "expires_in": 600,
        })),
    )
)]
fn token() {}

#[utoipa::path(
    post, path = "/api/login/", tag = "Tokens", operation_id = "login", summary = "Sign in",
    description = "Sets cookies where the tenant uses them and the request is JSON on a host of its own, from a listed origin.",
    request_body(content = Credentials, example = json!({"email": "ada@acme.example", "password": "correct horse battery staple"})),
    responses(
        (status = 200, description = "Signed in; or the password is right and a second factor has to be shown (`mfa_required`)", body = LoggedIn, example = json!({
            "access": "eyJ0eXAi...",
            "refresh": "eyJ0eXAi...",
            "user": {"id": "019a1f0e-5b7c-7d21-9c3e-0a1b2c3d4e5f", "roles": ["client"], "tenant": "019a1f0e-4a6b-7c10-8b2d-0f1e2d3c4b5a"},
        })),
        (status = 401, description = "Not signed in. With `otp_invalid` the password is right and the code is not", body = Refused, example = json!({"detail": "No active account found with the given credentials"})),
        (status = 403, description = "The password has to be changed first, for which the ticket is good (`POST /api/user/password/change/`); or the tenant demands a second factor, and the ticket is good for enrolling one (`POST /api/user/mfa/totp/`); or the tenant is suspended, or does not allow the network", body = Refused, example = json!({
            "detail": "Password change required.", "code": "password_change_required",
            "ticket": "wgt_AGhlbGxvLCB3b3JsZCEhISEAaGVsbG8sIHdvcmxkISE", "expires_in": 600,
        })),
    )
)]
fn login() {}

#[utoipa::path(
    post, path = "/api/verify-otp/", tag = "Tokens", operation_id = "verify_otp", summary = "Show a second factor",
    description = "Finishes a sign-in that answered with an `mfa_token`, and answers as `login` does, cookies included. An `mfa_token` is good for five minutes, five tries and one session; a newer sign-in of the user takes its place. A code is good once.",
    request_body(content = SecondFactor, example = json!({"mfa_token": "wgc_AGhlbGxvLCB3b3JsZCEhISEAaGVsbG8sIHdvcmxkISE", "otp": "492039"})),
    responses(
        (status = 200, description = "Signed in", body = SignedIn, example = json!({
            "access": "eyJ0eXAi...",
            "refresh": "eyJ0eXAi...",
            "user": {"id": "019a1f0e-5b7c-7d21-9c3e-0a1b2c3d4e5f", "roles": ["client"], "tenant": "019a1f0e-4a6b-7c10-8b2d-0f1e2d3c4b5a"},
        })),
        (status = 401, description = "Not signed in: the code is wrong or was used, or the `mfa_token` is not, or no longer, good", body = Refused, example = json!({"detail": "Invalid or expired code.", "code": "otp_invalid"})),
    )
)]
fn verify_otp() {}

#[utoipa::path(
    post, path = "/api/step-up/", tag = "Tokens", operation_id = "step_up", summary = "Prove again who you are",
    description = "For routes that refuse with `step_up_required`. The session stays the same; its access tokens from then on have the time in `auth_time` and, by a code, `otp` and `mfa` in `amr`. A user with a second factor shows a code; the password counts only for a user without one.",
    request_body(content = Proof, example = json!({"otp": "492039"})),
    responses(
        (status = 200, description = "Proven: tokens of the same session", body = Tokens, example = json!({"access": "eyJ0eXAi...", "refresh": "eyJ0eXAi..."})),
        (status = 401, description = "The token is not good, or the proof is not", body = Refused, example = json!({"detail": "Invalid or expired code.", "code": "otp_invalid"})),
    ),
    security(("bearer" = []), ("cookie" = [], "csrf" = []))
)]
fn step_up() {}

#[utoipa::path(
    post, path = "/api/token/refresh/", tag = "Tokens", operation_id = "refresh", summary = "Get new tokens",
    description = "A refresh token is good once. The one before, presented again within the tenant's retry window, gets the same successor; anything older ends the session.",
    request_body(content = RefreshToken, example = json!({"refresh": "eyJ0eXAi..."})),
    responses(
        (status = 200, description = "Refreshed", body = Tokens, example = json!({"access": "eyJ0eXAi...", "refresh": "eyJ0eXAi..."})),
        (status = 401, description = "Not refreshed", body = Refused, example = json!({"detail": "Token is blacklisted", "code": "token_not_valid"})),
    )
)]
fn refresh() {}

#[utoipa::path(
    post, path = "/api/token/validate/", tag = "Tokens", operation_id = "validate", summary = "Ask whether an access token is good now",
    description = "`Wardgate-State-Age` says, in seconds, how old the knowledge is that this was decided by.",
    request_body(content = AccessToken, example = json!({"token": "eyJ0eXAi..."})),
    responses(
        (status = 200, description = "Good", body = Valid, example = json!({
            "valid": true,
            "user_id": "019a1f0e-5b7c-7d21-9c3e-0a1b2c3d4e5f",
            "tenant": "019a1f0e-4a6b-7c10-8b2d-0f1e2d3c4b5a",
            "sid": "AGhlbGxvLCB3b3JsZCEhISE",
            "roles": ["client"],
            "token_type": "access",
            "exp": 1_767_225_900,
        })),
        (status = 401, description = "Not good", body = NotValid, example = json!({"valid": false, "detail": "Token is invalid", "code": "token_not_valid"})),
    ),
    security((), ("bearer" = []), ("cookie" = []))
)]
fn validate() {}

#[utoipa::path(
    get, path = "/api/token/validate/", tag = "Tokens", operation_id = "validate_for_gateways", summary = "Ask as a gateway does",
    description = "For nginx's `auth_request`, Traefik's `ForwardAuth` and Envoy's `ext_authz`: the status decides, and headers say who it is. By Bearer or cookie; a token in the query or a body is not read, and no `X-Forwarded-*` or `X-Original-*` header is. Texts in headers are percent-encoded but for the unreserved characters of RFC 3986. `HEAD` answers alike, without the body.",
    responses(
        (status = 200, description = "Good", body = Valid,
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
        (status = 401, description = "Not good, or missing", body = NotValid, example = json!({"valid": false, "detail": "Authentication credentials were not provided."})),
    ),
    security(("bearer" = []), ("cookie" = []))
)]
fn validate_for_gateways() {}

#[utoipa::path(
    post, path = "/api/token/verify/", tag = "Tokens", operation_id = "verify", summary = "Ask whether a token of either kind is good",
    description = "A token whose session has ended, or whose user may not sign in, is 400 `{\"non_field_errors\":[\"Token is blacklisted\"]}`, as the service before answered.",
    request_body(content = AnyToken, example = json!({"token": "eyJ0eXAi..."})),
    responses(
        (status = 200, description = "Good", body = Nothing, example = json!({})),
        (status = 401, description = "Not good", body = Refused, example = json!({"detail": "Token is invalid", "code": "token_not_valid"})),
    )
)]
fn verify() {}

#[utoipa::path(
    post, path = "/api/token/blacklist/", tag = "Tokens", operation_id = "blacklist", summary = "End the session of a refresh token",
    request_body(content = RefreshToken, example = json!({"refresh": "eyJ0eXAi..."})),
    responses(
        (status = 200, description = "Ended", body = Nothing, example = json!({})),
        (status = 401, description = "Not good", body = Refused, example = json!({"detail": "Token is invalid", "code": "token_not_valid"})),
    )
)]
fn blacklist() {}

#[utoipa::path(
    post, path = "/api/logout/", tag = "Tokens", operation_id = "logout", summary = "Sign out",
    description = "Ends the sessions of the Bearer token, of `refresh` and of the cookies, which are cleared. Each that is good ends its own session, whatever is wrong with the others. An access token that has only expired still ends its own session, while that lives, but not others.",
    request_body(content = Logout, example = json!({"everywhere": true})),
    responses(
        (status = 204, description = "Signed out"),
        (status = 401, description = "No good credential: the fault of the first", body = Refused, example = json!({"detail": "Authentication credentials were not provided."})),
    ),
    security(("bearer" = []), ("cookie" = [], "csrf" = []))
)]
fn logout() {}

#[utoipa::path(
    get, path = "/api/public-key/", tag = "Keys", operation_id = "public_key", summary = "The key that signs now",
    description = "The PEM alone, or JSON, as `Accept` asks for (RFC 9110, section 12.5.1); JSON where it does not say. `ETag` and `If-None-Match` as RFC 9110 has them: each form has a tag of its own.",
    responses((status = 200, description = "The key", content(
        (PublicKey = "application/json", example = json!({
            "public_key": "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkq...\n-----END PUBLIC KEY-----\n",
            "alg": "RS256",
            "kid": "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
        })),
        (String = "application/x-pem-file"),
        (String = "text/plain"),
    )), (status = 304, description = "The copy that the client has is still good"),
    (status = 406, description = "No form that `Accept` allows", body = Refused, example = json!({"detail": "Could not satisfy the request Accept header."})))
)]
fn public_key() {}

#[utoipa::path(
    get, path = "/api/.well-known/jwks.json", tag = "Keys", operation_id = "jwks", summary = "The key set (RFC 7517)",
    responses((status = 200, description = "Next, active and retired keys, with an `ETag`", body = KeySet, example = json!({"keys": [{
        "kty": "RSA", "use": "sig", "alg": "RS256", "kid": "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs", "n": "0vx7agoebGcQ...", "e": "AQAB",
    }]})), (status = 304, description = "The copy that the client has is still good"))
)]
fn jwks() {}

#[utoipa::path(
    get, path = "/.well-known/jwks.json", tag = "Keys", operation_id = "root_jwks", summary = "The key set (RFC 7517)",
    responses((status = 200, description = "Next, active and retired keys, with an `ETag`", body = KeySet, example = json!({"keys": [{
        "kty": "RSA", "use": "sig", "alg": "RS256", "kid": "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs", "n": "0vx7agoebGcQ...", "e": "AQAB",
    }]})), (status = 304, description = "The copy that the client has is still good"))
)]
fn root_jwks() {}

#[utoipa::path(
    get, path = "/api/limits/", tag = "Health", operation_id = "limits", summary = "Every limit and lifetime of this release",
    description = "Numbers by name; a name carries the unit. The same for every tenant: what a tenant chooses is among its settings. docs/limits.md says what each means.",
    responses((status = 200, description = "The limits", body = Limits, example = json!({"limits": {"body_bytes": 1_048_576, "challenge_secs": 300}})))
)]
fn limits() {}

#[utoipa::path(
    get, path = "/healthz", tag = "Health", operation_id = "healthz", summary = "Is the Worker alive",
    responses((status = 200, description = "It is", body = Health, example = json!({"status": "ok"})))
)]
fn healthz() {}

#[utoipa::path(
    get, path = "/readyz", tag = "Health", operation_id = "readyz", summary = "Can the Worker serve",
    responses(
        (status = 200, description = "It can", body = Readiness, example = json!({"status": "ready", "state_age_secs": 0.4})),
        (status = 503, description = "It cannot", body = Readiness, example = json!({"status": "storage unreachable", "state_age_secs": 7.0})),
    )
)]
fn readyz() {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::contract::routes::{Door, ROUTES};

    #[test]
    fn every_route_of_the_edge_is_described_and_nothing_else() {
        let table: BTreeSet<_> = ROUTES
            .iter()
            .filter(|route| matches!(route.door, Door::Edge | Door::EdgeBare))
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

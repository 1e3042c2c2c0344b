//! Every path on one screen.

use shared::routes::{self, Door, Route};

use crate::settings::Role;

/// What a path is, once the prefix is off. Each belongs to one or more roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `front`: `POST /api/token/validate/`.
    Validate,
    /// `front`: `GET /api/.well-known/jwks.json`, `GET /.well-known/jwks.json`.
    Jwks,
    /// `front`: `GET /api/public-key/`.
    PublicKey,
    /// `front`: whatever control serves.
    Forward(&'static Route),
    /// `login`: `POST /api/token/`.
    Token,
    /// `login`: `POST /api/login/`.
    Login,
    /// `login`: `POST /api/token/refresh/`.
    Refresh,
    /// `login`: `POST /api/token/verify/`.
    Verify,
    /// `login`: `POST /api/token/blacklist/`.
    Blacklist,
    /// `login`: `POST /api/logout/`.
    Logout,
    /// `hub`: `POST /internal/v1/push`.
    Push,
    /// `hub`: `POST /internal/v1/command`.
    Command,
    /// `hub`: `POST /internal/v1/drain`.
    Drain,
    /// Every role: `GET /healthz`.
    Healthz,
    /// Every role: `GET /readyz`.
    Readyz,
}

/// Routes of the `front` role.
fn front(path: &str) -> Option<Endpoint> {
    match path {
        "/api/token/validate" => Some(Endpoint::Validate),
        "/api/.well-known/jwks.json" | "/.well-known/jwks.json" => Some(Endpoint::Jwks),
        "/api/public-key" => Some(Endpoint::PublicKey),
        _ => match routes::find(path) {
            Some(route) if matches!(route.door, Door::Protected | Door::Open) => {
                Some(Endpoint::Forward(route))
            }
            _ => None,
        },
    }
}

/// Routes of the `login` role.
fn sign_in(path: &str) -> Option<Endpoint> {
    match path {
        "/api/token" => Some(Endpoint::Token),
        "/api/login" => Some(Endpoint::Login),
        "/api/token/refresh" => Some(Endpoint::Refresh),
        "/api/token/verify" => Some(Endpoint::Verify),
        "/api/token/blacklist" => Some(Endpoint::Blacklist),
        "/api/logout" => Some(Endpoint::Logout),
        _ => None,
    }
}

/// Routes of the `hub` role.
fn hub(path: &str) -> Option<Endpoint> {
    match path {
        "/internal/v1/push" => Some(Endpoint::Push),
        "/internal/v1/command" => Some(Endpoint::Command),
        "/internal/v1/drain" => Some(Endpoint::Drain),
        _ => None,
    }
}

/// The endpoint of a path in a deployment of `role`; a final slash makes no difference.
#[must_use]
pub fn endpoint(role: Role, path: &str) -> Option<Endpoint> {
    let path = path.strip_suffix('/').unwrap_or(path);
    match (path, role) {
        ("/healthz", _) => Some(Endpoint::Healthz),
        ("/readyz", _) => Some(Endpoint::Readyz),
        (_, Role::All) => front(path).or_else(|| sign_in(path)).or_else(|| hub(path)),
        (_, Role::Front) => front(path),
        (_, Role::Login) => sign_in(path),
        (_, Role::Hub) => hub(path),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_path_is_safe(path in "\\PC{0,40}|/[a-z./%?#:@]{0,30}") {
            let _ = endpoint(Role::All, &path);
        }
    }
}

//! Every path on one screen.
//!
//! The kinds of endpoint are nested enums, and no match over them has a wildcard arm: a new endpoint does not compile
//! until every match handles it.

use shared::contract::routes::{self, Route, RouteKind};

use crate::settings::RouteSet;

/// The endpoint of a path without the tenant's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A public route of a tenant that the edge serves.
    Own(Own),
    /// `hub`: a signed route between control and this edge.
    Inside(Inside),
    /// Every role: health and the table of limits, which need no tenant.
    Health(Health),
    /// `front`: a route that control serves.
    Forward(&'static Route),
}

impl Endpoint {
    /// The entry of the route table that `path` belongs to, without the ids that stand in it.
    #[must_use]
    pub fn as_logged(self, path: &str) -> &'static str {
        match self {
            Self::Forward(route) => route.path,
            Self::Own(_) | Self::Health(_) => routes::find(path).map_or("none", |route| route.path),
            Self::Inside(Inside::Push) => "internal/v1/push",
            Self::Inside(Inside::Command) => "internal/v1/command",
            Self::Inside(Inside::Drain) => "internal/v1/drain",
        }
    }
}

/// The public routes of a tenant that the edge serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own {
    /// `front`: the public keys.
    Keys(KeyForm),
    /// `front`: `POST /api/token/validate/`, and `GET`, as gateways ask.
    Validate,
    /// `login`: `POST /api/token/`.
    Token,
    /// `login`: `POST /api/login/`.
    Login,
    /// `login`: `POST /api/verify-otp/`.
    VerifyOtp,
    /// `login`: `POST /api/step-up/`.
    StepUp,
    /// `login`: `POST /api/token/refresh/`.
    Refresh,
    /// `login`: `POST /api/token/verify/`.
    Verify,
    /// `login`: `POST /api/token/blacklist/`.
    Blacklist,
    /// `login`: `POST /api/logout/`.
    Logout,
}

/// The format of public keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyForm {
    /// `GET /api/.well-known/jwks.json`, `GET /.well-known/jwks.json`.
    Jwks,
    /// `GET /api/public-key/`.
    PublicKey,
}

/// The signed routes of the inside, `POST` each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inside {
    /// `/internal/v1/push`.
    Push,
    /// `/internal/v1/command`.
    Command,
    /// `/internal/v1/drain`.
    Drain,
}

/// Health, and other routes without a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// `GET /healthz`.
    Healthz,
    /// `GET /readyz`.
    Readyz,
    /// `GET /api/limits/`: the same for every tenant.
    Limits,
}

/// Routes of the `front` role, by a path as it was sent.
fn front(path: &str) -> Option<Endpoint> {
    match without_final_slash(path) {
        "/api/token/validate" => Some(Endpoint::Own(Own::Validate)),
        "/api/.well-known/jwks.json" | "/.well-known/jwks.json" => {
            Some(Endpoint::Own(Own::Keys(KeyForm::Jwks)))
        }
        "/api/public-key" => Some(Endpoint::Own(Own::Keys(KeyForm::PublicKey))),
        _ => {
            let route = routes::find(path)?;
            match route.kind {
                RouteKind::Protected | RouteKind::Open | RouteKind::Anonymous => {
                    Some(Endpoint::Forward(route))
                }
                RouteKind::Edge | RouteKind::EdgeWithoutAllow => None,
            }
        }
    }
}

/// Routes of the `login` role, by a path as it was sent.
fn sign_in(path: &str) -> Option<Endpoint> {
    let own = match without_final_slash(path) {
        "/api/token" => Own::Token,
        "/api/login" => Own::Login,
        "/api/verify-otp" => Own::VerifyOtp,
        "/api/step-up" => Own::StepUp,
        "/api/token/refresh" => Own::Refresh,
        "/api/token/verify" => Own::Verify,
        "/api/token/blacklist" => Own::Blacklist,
        "/api/logout" => Own::Logout,
        _ => return None,
    };
    Some(Endpoint::Own(own))
}

/// Routes of the `hub` role.
fn hub(path: &str) -> Option<Inside> {
    match path {
        "/internal/v1/push" => Some(Inside::Push),
        "/internal/v1/command" => Some(Inside::Command),
        "/internal/v1/drain" => Some(Inside::Drain),
        _ => None,
    }
}

fn without_final_slash(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

/// The health endpoint of a path, in a deployment of any role.
#[must_use]
pub fn health(path: &str) -> Option<Health> {
    match without_final_slash(path) {
        "/healthz" => Some(Health::Healthz),
        "/readyz" => Some(Health::Readyz),
        "/api/limits" => Some(Health::Limits),
        _ => None,
    }
}

/// The internal endpoint of a path in a Worker that serves `routes`.
#[must_use]
pub fn inside(routes: RouteSet, path: &str) -> Option<Inside> {
    match routes {
        RouteSet::All | RouteSet::Hub => hub(without_final_slash(path)),
        RouteSet::Front | RouteSet::Login => None,
    }
}

/// The endpoint of a path in a Worker that serves `routes`; a final slash makes no difference.
#[must_use]
pub fn endpoint(routes: RouteSet, path: &str) -> Option<Endpoint> {
    if let Some(health) = health(path) {
        return Some(Endpoint::Health(health));
    }
    if let Some(inside) = inside(routes, path) {
        return Some(Endpoint::Inside(inside));
    }
    match routes {
        RouteSet::All => front(path).or_else(|| sign_in(path)),
        RouteSet::Front => front(path),
        RouteSet::Login => sign_in(path),
        RouteSet::Hub => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_path_is_safe(path in "\\PC{0,40}|/[a-z./%?#:@]{0,30}") {
            let _ = endpoint(RouteSet::All, &path);
        }
    }
}

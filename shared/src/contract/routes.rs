//! Every public path of edge and control with its `Allow`, on one screen.
//!
//! Both sides answer 404, 405 and `OPTIONS` from this table; the methods stand in the order that
//! the old service sent them.

/// Who may call a route without credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Served by the edge itself, which decides for each what it demands.
    Edge,
    /// Served by the edge; `Allow` is left out, because nothing is recorded and every header costs.
    EdgeBare,
    /// Served by control; a credential is demanded before anything else is said.
    Protected,
    /// Served by control; anybody may call it, but a bad credential is refused.
    Open,
}

/// One path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Segments joined by `/`, without the leading and the final one; `*` stands for one segment.
    pub path: &'static str,
    /// The value of `Allow`.
    pub allow: &'static str,
    /// Who serves it to whom.
    pub door: Door,
}

const fn route(path: &'static str, allow: &'static str, door: Door) -> Route {
    Route { path, allow, door }
}

/// The table.
pub const ROUTES: &[Route] = &[
    // Served at the edge.
    route("api/token", "POST, OPTIONS", Door::Edge),
    route("api/login", "POST, OPTIONS", Door::Edge),
    route("api/token/refresh", "POST, OPTIONS", Door::Edge),
    route("api/token/verify", "POST, OPTIONS", Door::Edge),
    route("api/token/blacklist", "POST, OPTIONS", Door::Edge),
    route("api/logout", "POST, OPTIONS", Door::Edge),
    route("api/token/validate", "POST, OPTIONS", Door::EdgeBare),
    route("api/public-key", "GET, HEAD, OPTIONS", Door::EdgeBare),
    route("api/.well-known/jwks.json", "GET, HEAD, OPTIONS", Door::EdgeBare),
    route(".well-known/jwks.json", "GET, HEAD, OPTIONS", Door::EdgeBare),
    route("healthz", "GET, HEAD, OPTIONS", Door::EdgeBare),
    route("readyz", "GET, HEAD, OPTIONS", Door::EdgeBare),
    // Served by control: users.
    route("api/user/users", "GET, POST, HEAD, OPTIONS", Door::Protected),
    route("api/user/users/*", "GET, PUT, PATCH, DELETE, HEAD, OPTIONS", Door::Protected),
    route("api/user/users/*/sessions", "DELETE, OPTIONS", Door::Protected),
    route("api/user/me", "GET, HEAD, OPTIONS", Door::Protected),
    route("api/user/roles", "GET, HEAD, OPTIONS", Door::Protected),
    route("api/user/permissions", "GET, HEAD, OPTIONS", Door::Protected),
    route("api/user/setup", "POST, OPTIONS", Door::Open),
    // Served by control: tenants and their keys.
    route("api/tenant/tenants", "GET, POST, HEAD, OPTIONS", Door::Protected),
    route("api/tenant/tenants/*", "GET, PATCH, DELETE, HEAD, OPTIONS", Door::Protected),
    route("api/tenant/tenants/*/keys", "GET, HEAD, OPTIONS", Door::Protected),
    route("api/tenant/tenants/*/keys/rotate", "POST, OPTIONS", Door::Protected),
    route("api/tenant/tenants/*/keys/import", "POST, OPTIONS", Door::Protected),
    route("api/tenant/tenants/*/keys/*/revoke", "POST, OPTIONS", Door::Protected),
    // Served by control: proof.
    route("api/audit", "GET, HEAD, OPTIONS", Door::Protected),
    // Served by control: what all of this is, and its reader.
    route("api/schema", "GET, HEAD, OPTIONS", Door::Open),
    route("docs", "GET, HEAD, OPTIONS", Door::Open),
    route("docs/*", "GET, HEAD, OPTIONS", Door::Open),
];

impl Route {
    /// Whether `method` is on the list.
    #[must_use]
    pub fn allows(&self, method: &str) -> bool {
        self.allow.split(", ").any(|allowed| allowed == method)
    }

    fn matches(&self, segments: &str) -> bool {
        let mut pattern = self.path.split('/');
        let mut actual = segments.split('/');
        loop {
            match (pattern.next(), actual.next()) {
                (None, None) => return true,
                (Some("*"), Some(segment)) if !segment.is_empty() => {}
                (Some(expected), Some(segment)) if expected == segment => {}
                _ => return false,
            }
        }
    }
}

/// The route of a path, with or without its final slash.
#[must_use]
pub fn find(path: &str) -> Option<&'static Route> {
    let segments = path.strip_prefix('/')?;
    let segments = segments.strip_suffix('/').unwrap_or(segments);
    ROUTES.iter().find(|route| route.matches(segments))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_are_found_with_and_without_the_final_slash() {
        for (path, expected) in [
            ("/api/user/users/", Some("api/user/users")),
            ("/api/user/users", Some("api/user/users")),
            ("/api/user/users/42/", Some("api/user/users/*")),
            ("/api/tenant/tenants/a/keys/rotate/", Some("api/tenant/tenants/*/keys/rotate")),
            ("/api/tenant/tenants/a/keys/b/revoke/", Some("api/tenant/tenants/*/keys/*/revoke")),
            ("/api/user/users//", None),
            ("/api/user/users/42/x/", None),
            ("/", None),
            ("", None),
            ("//api/user/users/", None),
        ] {
            assert_eq!(find(path).map(|route| route.path), expected, "{path}");
        }
    }

    #[test]
    fn every_route_answers_options_and_no_pattern_hides_another() {
        for route in ROUTES {
            assert!(route.allows("OPTIONS"), "{}", route.path);
            assert_eq!(route.allows("GET"), route.allows("HEAD"), "{}", route.path);
            let path = format!("/{}/", route.path);
            assert_eq!(find(&path).map(|found| found.path), Some(route.path));
        }
    }

    proptest! {
        #[test]
        fn any_path_is_safe(path: String) {
            let _ = find(&path);
        }
    }
}

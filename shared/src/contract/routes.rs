//! Every public path of edge and control with its `Allow`, on one screen.
//!
//! Both sides answer 404, 405 and `OPTIONS` from this table; the methods stand in the order that
//! the old service sent them.

use crate::contract::limits::PATH_SEGMENT_BYTES;
use crate::tokens::ticket::TicketPurpose;

/// Which half serves a route, and whether it needs a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteKind {
    /// Served by the edge; each route decides about credentials itself.
    Edge,
    /// Served by the edge without `Allow`, because the recorded contract has none and every header costs.
    EdgeWithoutAllow,
    /// Served by control; a credential is required before any other check.
    Protected,
    /// Served by control, without a credential; an invalid one is refused.
    Open,
    /// Served by control, ignoring credentials, so that an expired cookie does not keep a user from using a mailed
    /// link.
    Anonymous,
}

/// One path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Segments joined by `/`, without the leading and the final one; `*` stands for one plain segment.
    pub path: &'static str,
    /// The value of `Allow`.
    pub allow: &'static str,
    /// Which half serves it, and whether it needs a credential.
    pub kind: RouteKind,
    /// The purpose of tickets that are accepted as Bearer, in addition to access tokens.
    pub ticket: Option<TicketPurpose>,
}

const fn route(path: &'static str, allow: &'static str, kind: RouteKind) -> Route {
    Route { path, allow, kind, ticket: None }
}

impl Route {
    const fn with_ticket(self, purpose: TicketPurpose) -> Self {
        Self { ticket: Some(purpose), ..self }
    }
}

/// The table.
pub const ROUTES: &[Route] = &[
    // Served at the edge.
    route("api/token", "POST, OPTIONS", RouteKind::Edge),
    route("api/login", "POST, OPTIONS", RouteKind::Edge),
    route("api/verify-otp", "POST, OPTIONS", RouteKind::Edge),
    route("api/step-up", "POST, OPTIONS", RouteKind::Edge),
    route("api/token/refresh", "POST, OPTIONS", RouteKind::Edge),
    route("api/token/verify", "POST, OPTIONS", RouteKind::Edge),
    route("api/token/blacklist", "POST, OPTIONS", RouteKind::Edge),
    route("api/logout", "POST, OPTIONS", RouteKind::Edge),
    route("api/token/validate", "GET, POST, HEAD, OPTIONS", RouteKind::EdgeWithoutAllow),
    route("api/public-key", "GET, HEAD, OPTIONS", RouteKind::EdgeWithoutAllow),
    route("api/.well-known/jwks.json", "GET, HEAD, OPTIONS", RouteKind::EdgeWithoutAllow),
    route(".well-known/jwks.json", "GET, HEAD, OPTIONS", RouteKind::EdgeWithoutAllow),
    route("api/limits", "GET, HEAD, OPTIONS", RouteKind::EdgeWithoutAllow),
    route("healthz", "GET, HEAD, OPTIONS", RouteKind::EdgeWithoutAllow),
    route("readyz", "GET, HEAD, OPTIONS", RouteKind::EdgeWithoutAllow),
    // Served by control: users.
    route("api/user/users", "GET, POST, HEAD, OPTIONS", RouteKind::Protected),
    route("api/user/users/*", "GET, PUT, PATCH, DELETE, HEAD, OPTIONS", RouteKind::Protected),
    route("api/user/users/*/sessions", "GET, DELETE, HEAD, OPTIONS", RouteKind::Protected),
    route("api/user/users/*/sessions/*", "DELETE, OPTIONS", RouteKind::Protected),
    route("api/user/sessions", "GET, DELETE, HEAD, OPTIONS", RouteKind::Protected),
    route("api/user/sessions/*", "DELETE, OPTIONS", RouteKind::Protected),
    route("api/user/users/*/attempts", "DELETE, OPTIONS", RouteKind::Protected),
    route("api/user/users/*/mfa", "GET, DELETE, HEAD, OPTIONS", RouteKind::Protected),
    route("api/user/users/*/devices", "GET, DELETE, HEAD, OPTIONS", RouteKind::Protected),
    route("api/user/users/*/devices/*", "DELETE, OPTIONS", RouteKind::Protected),
    route("api/user/users/*/unmask", "POST, OPTIONS", RouteKind::Protected),
    route("api/user/users/*/profile", "GET, PATCH, HEAD, OPTIONS", RouteKind::Protected),
    route("api/user/users/*/profile/*", "GET, POST, HEAD, OPTIONS", RouteKind::Protected),
    route("api/user/users/*/profile/*/*", "GET, PATCH, DELETE, HEAD, OPTIONS", RouteKind::Protected),
    route("api/user/me", "GET, HEAD, OPTIONS", RouteKind::Protected),
    route("api/user/profile", "GET, PATCH, HEAD, OPTIONS", RouteKind::Protected),
    route("api/user/profile/*", "GET, POST, HEAD, OPTIONS", RouteKind::Protected),
    route("api/user/profile/*/*", "GET, PATCH, DELETE, HEAD, OPTIONS", RouteKind::Protected),
    route("api/user/password/change", "POST, OPTIONS", RouteKind::Protected)
        .with_ticket(TicketPurpose::PasswordChange),
    route("api/user/mfa", "GET, HEAD, OPTIONS", RouteKind::Protected)
        .with_ticket(TicketPurpose::MfaEnrollment),
    route("api/user/mfa/totp", "POST, DELETE, OPTIONS", RouteKind::Protected)
        .with_ticket(TicketPurpose::MfaEnrollment),
    route("api/user/mfa/totp/confirm", "POST, OPTIONS", RouteKind::Protected)
        .with_ticket(TicketPurpose::MfaEnrollment),
    route("api/user/mfa/totp/*", "PATCH, DELETE, OPTIONS", RouteKind::Protected),
    route("api/user/devices", "GET, DELETE, HEAD, OPTIONS", RouteKind::Protected),
    route("api/user/devices/*", "DELETE, OPTIONS", RouteKind::Protected),
    route("api/user/mfa/recovery-codes", "POST, OPTIONS", RouteKind::Protected),
    route("api/user/roles", "GET, POST, HEAD, OPTIONS", RouteKind::Protected),
    route("api/user/roles/*", "GET, PATCH, DELETE, HEAD, OPTIONS", RouteKind::Protected),
    route("api/user/permissions", "GET, HEAD, OPTIONS", RouteKind::Protected),
    route("api/user/setup", "POST, OPTIONS", RouteKind::Open),
    // Served by control: accounts without an administrator.
    route("api/user/public-register", "POST, OPTIONS", RouteKind::Anonymous),
    route("api/user/email/verify", "POST, OPTIONS", RouteKind::Anonymous),
    route("api/user/email/verify/resend", "POST, OPTIONS", RouteKind::Anonymous),
    route("api/user/email/change", "POST, OPTIONS", RouteKind::Protected),
    route("api/user/email/change/confirm", "POST, OPTIONS", RouteKind::Anonymous),
    route("api/user/email/change/undo", "POST, OPTIONS", RouteKind::Anonymous),
    route("api/user/invitations", "GET, POST, HEAD, OPTIONS", RouteKind::Protected),
    route("api/user/invitations/accept", "POST, OPTIONS", RouteKind::Anonymous),
    route("api/user/invitations/*", "DELETE, OPTIONS", RouteKind::Protected),
    route("api/user/network/confirm", "POST, OPTIONS", RouteKind::Anonymous),
    route("api/user/password/reset", "POST, OPTIONS", RouteKind::Anonymous),
    route("api/user/password/reset/confirm", "POST, OPTIONS", RouteKind::Anonymous),
    route("api/user/password/regenerate", "POST, OPTIONS", RouteKind::Protected),
    // Served by control: branches, tenants and their keys.
    route("api/tenant/branches", "GET, POST, HEAD, OPTIONS", RouteKind::Protected),
    route("api/tenant/branches/*", "GET, PATCH, DELETE, HEAD, OPTIONS", RouteKind::Protected),
    route("api/tenant/tenants", "GET, POST, HEAD, OPTIONS", RouteKind::Protected),
    route("api/tenant/tenants/*", "GET, PATCH, DELETE, HEAD, OPTIONS", RouteKind::Protected),
    route("api/tenant/tenants/*/claims", "GET, PATCH, HEAD, OPTIONS", RouteKind::Protected),
    route("api/tenant/tenants/*/captcha", "GET, PUT, DELETE, HEAD, OPTIONS", RouteKind::Protected),
    route("api/tenant/tenants/*/mail", "GET, PUT, DELETE, HEAD, OPTIONS", RouteKind::Protected),
    route("api/tenant/tenants/*/mail/test", "POST, OPTIONS", RouteKind::Protected),
    route("api/tenant/tenants/*/keys", "GET, HEAD, OPTIONS", RouteKind::Protected),
    route("api/tenant/tenants/*/keys/rotate", "POST, OPTIONS", RouteKind::Protected),
    route("api/tenant/tenants/*/keys/import", "POST, OPTIONS", RouteKind::Protected),
    route("api/tenant/tenants/*/keys/*/revoke", "POST, OPTIONS", RouteKind::Protected),
    // Served by control: the platform's own.
    route("api/platform/jobs", "GET, HEAD, OPTIONS", RouteKind::Protected),
    route("api/platform/jobs/*", "GET, HEAD, OPTIONS", RouteKind::Protected),
    route("api/platform/jobs/*/retry", "POST, OPTIONS", RouteKind::Protected),
    route("api/platform/jobs/*/cancel", "POST, OPTIONS", RouteKind::Protected),
    // Served by control: proof.
    route("api/audit", "GET, HEAD, OPTIONS", RouteKind::Protected),
    route("api/audit/verify", "GET, HEAD, OPTIONS", RouteKind::Protected),
    route("api/audit/export", "GET, HEAD, OPTIONS", RouteKind::Protected),
    // Served by control: the OpenAPI document and its page.
    route("api/schema", "GET, HEAD, OPTIONS", RouteKind::Open),
    route("docs", "GET, HEAD, OPTIONS", RouteKind::Open),
    route("docs/*", "GET, HEAD, OPTIONS", RouteKind::Open),
    // Served by control: where links in mails lead, unless the tenant has pages of its own.
    route("account/*", "GET, HEAD, OPTIONS", RouteKind::Anonymous),
    route("account/files/*", "GET, HEAD, OPTIONS", RouteKind::Anonymous),
];

/// The network lists that apply to a route of control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// The lists for users and those for administration.
    Administrators,
    /// Users.
    Users,
    /// None: documents and pages.
    Everyone,
}

/// Routes of the caller's own account; all other routes that need a credential are administration.
const OWN_ACCOUNT: [&str; 7] = [
    "api/user/me",
    "api/user/profile",
    "api/user/mfa",
    "api/user/email",
    "api/user/password/change",
    "api/user/sessions",
    "api/user/devices",
];

/// Routes without a credential that cause a mail, and at which a tenant may require a CAPTCHA. Routes that take the
/// token of a mailed link are not among them.
const STRANGERS_FORMS: [&str; 3] =
    ["api/user/public-register", "api/user/email/verify/resend", "api/user/password/reset"];

impl Route {
    /// Whether it is one of `STRANGERS_FORMS`.
    #[must_use]
    pub fn is_strangers_form(&self) -> bool {
        STRANGERS_FORMS.contains(&self.path)
    }

    /// The network lists that apply.
    #[must_use]
    pub fn audience(&self) -> Audience {
        let is_own = OWN_ACCOUNT.iter().any(|own| self.path.starts_with(own));
        match self.kind {
            RouteKind::Protected if is_own => Audience::Users,
            RouteKind::Protected => Audience::Administrators,
            RouteKind::Open | RouteKind::Anonymous if self.allows("POST") => Audience::Users,
            RouteKind::Open | RouteKind::Anonymous | RouteKind::Edge | RouteKind::EdgeWithoutAllow => {
                Audience::Everyone
            }
        }
    }

    /// Whether `method` is in `Allow`.
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
                (Some("*"), Some(segment)) if is_plain(segment) => {}
                (Some(expected), Some(segment)) if expected == segment => {}
                _ => return false,
            }
        }
    }
}

/// `[A-Za-z0-9._~-]{1,128}`, and neither `.` nor `..`: every parser reads such a segment alike.
fn is_plain(segment: &str) -> bool {
    (1..=PATH_SEGMENT_BYTES).contains(&segment.len())
        && segment != "."
        && segment != ".."
        && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte))
}

/// The route of a path, with or without its final slash, for every method. Every segment of a found path is plain, so
/// that it can be forwarded unchanged.
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
            ("/api/user/me//", None),
            ("/api//user/me/", None),
            ("/api/user/users/a.b~c-d_e/", Some("api/user/users/*")),
            ("/api/user/users/../", None),
            ("/api/user/users/./", None),
            ("/api/user/users/%2e%2e/", None),
            ("/api/user/users/a b/", None),
            ("/api/user/users/\u{e4}/", None),
            ("api/user/users/", None),
        ] {
            assert_eq!(find(path).map(|route| route.path), expected, "{path}");
        }
    }

    #[test]
    fn a_segment_has_a_length() {
        let found = |length: usize| find(&format!("/api/user/users/{}/", "x".repeat(length))).is_some();
        assert_eq!((found(0), found(1), found(128), found(129)), (false, true, true, false));
    }

    #[test]
    fn administration_is_whatever_is_not_the_own_account() {
        let of = |path: &str| find(path).unwrap().audience();
        for path in [
            "/api/user/me/",
            "/api/user/profile/skills/x/",
            "/api/user/mfa/totp/x/",
            "/api/user/password/change/",
            "/api/user/setup/",
        ] {
            assert_eq!(of(path), Audience::Users, "{path}");
        }
        for path in ["/api/user/email/verify/", "/api/user/password/reset/", "/api/user/invitations/accept/"]
        {
            assert_eq!(of(path), Audience::Users, "{path}");
        }
        for path in [
            "/api/user/users/",
            "/api/user/users/x/sessions/",
            "/api/user/users/x/profile/skills/",
            "/api/user/password/regenerate/",
            "/api/user/invitations/",
            "/api/tenant/tenants/x/keys/",
            "/api/platform/jobs/",
            "/api/audit/",
        ] {
            assert_eq!(of(path), Audience::Administrators, "{path}");
        }
        for path in ["/docs/", "/api/schema/", "/account/reset/", "/api/token/"] {
            assert_eq!(of(path), Audience::Everyone, "{path}");
        }
    }

    #[test]
    fn strangers_forms_are_routes_without_a_credential() {
        let forms: Vec<_> = ROUTES.iter().filter(|route| route.is_strangers_form()).collect();
        assert_eq!(forms.len(), STRANGERS_FORMS.len());
        assert!(forms.iter().all(|route| route.kind == RouteKind::Anonymous && route.allows("POST")));
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
        fn what_is_found_is_plain(path in "\\PC{0,40}|(/api/user/users/[a-z.%/ ]{0,6}/?)") {
            if find(&path).is_some() {
                prop_assert!(path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._~-".contains(&byte)));
                prop_assert!(!path.contains("//") && !path.contains("/../"));
            }
        }
    }
}

//! The requests that require a recent sign-in or step-up: one list for the check in control, the OpenAPI document and
//! the documentation.
//!
//! A stolen access token, or a session that was left open, must not suffice to take over other accounts, to read
//! hidden fields, or to change the protections of a tenant. The tenant sets the time (`step_up_secs`). Changes of the
//! caller's own account have other rules: the current password, or [`STEP_UP_SECS`](super::limits::STEP_UP_SECS).

use super::routes;

/// A request that needs a recent proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guarded {
    /// Its method.
    pub method: &'static str,
    /// Its path, as the table of routes has it.
    pub path: &'static str,
    /// The requirement applies if the body has one of these fields; empty: always.
    pub fields: &'static [&'static str],
}

const fn always(method: &'static str, path: &'static str) -> Guarded {
    Guarded { method, path, fields: &[] }
}

const fn with(fields: &'static [&'static str], method: &'static str, path: &'static str) -> Guarded {
    Guarded { method, path, fields }
}

/// Fields that hand an account to another person or give it more power.
const ACCOUNT: &[&str] = &["roles", "branch", "password", "email", "email_verified"];

/// The list.
pub const GUARDED: &[Guarded] = &[
    // Roles, and fields that take over an account.
    with(&["roles"], "POST", "api/user/users"),
    with(ACCOUNT, "PUT", "api/user/users/*"),
    with(ACCOUNT, "PATCH", "api/user/users/*"),
    with(&["roles"], "POST", "api/user/invitations"),
    always("DELETE", "api/user/users/*/mfa"),
    always("POST", "api/user/roles"),
    always("PATCH", "api/user/roles/*"),
    always("DELETE", "api/user/roles/*"),
    // A branch that moves takes its users, and the power over them, elsewhere.
    with(&["parent"], "PATCH", "api/tenant/branches/*"),
    // Deletion.
    always("DELETE", "api/user/users/*"),
    always("DELETE", "api/tenant/tenants/*"),
    // Hidden fields and exports.
    always("POST", "api/user/users/*/unmask"),
    always("GET", "api/audit/export"),
    // Policies: all that a tenant has set.
    always("PATCH", "api/tenant/tenants/*"),
    always("PATCH", "api/tenant/tenants/*/claims"),
    always("PUT", "api/tenant/tenants/*/captcha"),
    always("DELETE", "api/tenant/tenants/*/captcha"),
    always("PUT", "api/tenant/tenants/*/mail"),
    always("DELETE", "api/tenant/tenants/*/mail"),
    // Keys.
    always("POST", "api/tenant/tenants/*/keys/rotate"),
    always("POST", "api/tenant/tenants/*/keys/import"),
    always("POST", "api/tenant/tenants/*/keys/*/revoke"),
];

/// The entry of a request, if it has one. HEAD is answered as GET is.
#[must_use]
pub fn guarded(method: &str, path: &str) -> Option<&'static Guarded> {
    let route = routes::find(path)?;
    let method = if method == "HEAD" { "GET" } else { method };
    GUARDED.iter().find(|guarded| guarded.method == method && guarded.path == route.path)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::contract::routes::{ROUTES, RouteKind};

    /// Requests that change something and need no recent proof, by reason.
    const UNGUARDED: &[(&str, &[(&str, &str)])] = &[
        (
            "The own account: its routes ask for the present password, or for a proof of the last ten minutes.",
            &[
                ("POST", "api/user/password/change"),
                ("POST", "api/user/email/change"),
                ("POST", "api/user/mfa/totp"),
                ("DELETE", "api/user/mfa/totp"),
                ("POST", "api/user/mfa/totp/confirm"),
                ("PATCH", "api/user/mfa/totp/*"),
                ("DELETE", "api/user/mfa/totp/*"),
                ("POST", "api/user/mfa/recovery-codes"),
            ],
        ),
        (
            "It ends what may be an attacker's: that must not wait.",
            &[
                ("DELETE", "api/user/sessions"),
                ("DELETE", "api/user/sessions/*"),
                ("DELETE", "api/user/users/*/sessions"),
                ("DELETE", "api/user/users/*/sessions/*"),
                ("DELETE", "api/user/invitations/*"),
                ("DELETE", "api/user/devices"),
                ("DELETE", "api/user/devices/*"),
                ("DELETE", "api/user/users/*/devices"),
                ("DELETE", "api/user/users/*/devices/*"),
            ],
        ),
        ("The account's owner gets a mail, its sender nothing.", &[("POST", "api/user/password/regenerate")]),
        (
            "It changes nothing that is there.",
            &[("POST", "api/tenant/tenants"), ("POST", "api/tenant/branches")],
        ),
        ("Only an empty branch that no role names is deleted.", &[("DELETE", "api/tenant/branches/*")]),
        (
            "What a profile says of its owner opens no account and gives no power.",
            &[
                ("PATCH", "api/user/profile"),
                ("POST", "api/user/profile/*"),
                ("PATCH", "api/user/profile/*/*"),
                ("DELETE", "api/user/profile/*/*"),
                ("PATCH", "api/user/users/*/profile"),
                ("POST", "api/user/users/*/profile/*"),
                ("PATCH", "api/user/users/*/profile/*/*"),
                ("DELETE", "api/user/users/*/profile/*/*"),
            ],
        ),
        (
            "It lets an owner in whom strangers keep out: what is lifted is a count.",
            &[("DELETE", "api/user/users/*/attempts")],
        ),
        (
            "It does what was asked for already, once more or not at all.",
            &[
                ("POST", "api/platform/jobs/*/retry"),
                ("POST", "api/platform/jobs/*/cancel"),
                ("POST", "api/tenant/tenants/*/mail/test"),
            ],
        ),
    ];

    #[test]
    fn every_request_that_changes_something_is_on_the_list_or_has_a_reason() {
        let changing = ROUTES.iter().filter(|route| route.kind == RouteKind::Protected).flat_map(|route| {
            let methods = route.allow.split(", ");
            let methods = methods.filter(|method| !matches!(*method, "GET" | "HEAD" | "OPTIONS"));
            methods.map(|method| (method, route.path))
        });
        let changing: BTreeSet<_> = changing.collect();
        let listed: BTreeSet<_> = GUARDED.iter().map(|guarded| (guarded.method, guarded.path)).collect();
        assert_eq!(listed.len(), GUARDED.len(), "each is there once");
        let reasoned: BTreeSet<_> =
            UNGUARDED.iter().flat_map(|(_, requests)| requests.iter().copied()).collect();
        assert_eq!(listed.intersection(&reasoned).count(), 0);
        let placed: BTreeSet<_> = listed.union(&reasoned).copied().collect();
        let export = BTreeSet::from([("GET", "api/audit/export")]);
        assert_eq!(changing.union(&export).copied().collect::<BTreeSet<_>>(), placed);
    }

    #[test]
    fn a_request_is_found_by_method_and_path() {
        for (method, path, found) in [
            ("DELETE", "/api/user/users/42/", true),
            ("DELETE", "/api/user/users/42", true),
            ("GET", "/api/user/users/42", false),
            ("DELETE", "/api/user/users/42/sessions/", false),
            ("HEAD", "/api/audit/export/", true),
            ("GET", "/api/audit/", false),
            ("POST", "/api/nothing/", false),
        ] {
            assert_eq!(guarded(method, path).is_some(), found, "{method} {path}");
        }
    }

    #[test]
    fn the_documentation_has_the_list() {
        let documentation = include_str!("../../../docs/second-factor.md");
        for Guarded { method, path, fields } in GUARDED {
            let line = documentation.lines().find(|line| line.contains(&format!("| `{method} /{path}/`")));
            let line = line.unwrap_or_else(|| panic!("{method} {path}"));
            assert!(fields.iter().all(|field| line.contains(&format!("`{field}`"))), "{line}");
        }
    }
}

//! The OpenAPI 3.1 document of edge and control, generated from the code that serves the routes.
//!
//! Each handler of control has its description as an attribute; the edge's routes are described in
//! `shared::contract::openapi`. [`complete`] adds what follows from the table of routes: the accepted credentials
//! and the common error responses.

mod complete;
pub mod routes;

use std::sync::OnceLock;

use serde_json::Value;
use shared::contract::openapi::Edge;
use utoipa::OpenApi;

use crate::accounts::routes::{address, email, invitations, network, register};
use crate::mfa::routes as mfa;
use crate::sessions::routes as sessions;
use crate::{audit, branches, jobs, keys, mail, pages, profiles, resets, roles, setup, tenants, users};

/// The description of control's routes.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Wardgate",
        description = "Authentication at the edge, administered from a control plane. The tenant of a request is chosen by \
            the host name; on shared hosts, by the header `X-Tenant` or the path prefix `/t/<slug>`. Bodies are JSON or \
            forms. Each path is served with and without its final slash, and answers `OPTIONS`. Every answer has an \
            `X-Request-Id`, except that validation, keys and health only return one that was sent.",
        license(name = "Apache-2.0 OR MIT", identifier = "Apache-2.0 OR MIT"),
    ),
    paths(
        users::routes::list,
        users::routes::create,
        users::routes::read,
        users::routes::replace,
        users::routes::update,
        users::routes::delete,
        users::routes::end_sessions,
        users::routes::unmask::unmask,
        users::routes::attempts::lift,
        users::routes::me,
        sessions::own::list,
        sessions::own::end_others,
        sessions::own::end,
        sessions::list,
        sessions::end,
        users::routes::password::change,
        mfa::own::read,
        mfa::enrol::begin,
        mfa::enrol::confirm,
        mfa::own::rename,
        mfa::own::remove,
        mfa::own::remove_all,
        mfa::codes::make,
        mfa::admin::read,
        mfa::admin::reset,
        mfa::devices::list,
        mfa::devices::forget_all,
        mfa::devices::forget,
        mfa::devices::list_of,
        mfa::devices::forget_all_of,
        mfa::devices::forget_of,
        profiles::routes::own::read,
        profiles::routes::own::update,
        profiles::routes::own::list,
        profiles::routes::own::create,
        profiles::routes::own::read_entry,
        profiles::routes::own::update_entry,
        profiles::routes::own::delete_entry,
        profiles::routes::users::read,
        profiles::routes::users::update,
        profiles::routes::users::list,
        profiles::routes::users::create,
        profiles::routes::users::read_entry,
        profiles::routes::users::update_entry,
        profiles::routes::users::delete_entry,
        roles::routes::list,
        roles::routes::create,
        roles::routes::read,
        roles::routes::update,
        roles::routes::delete,
        roles::routes::permissions,
        branches::routes::list,
        branches::routes::create,
        branches::routes::read,
        branches::routes::update,
        branches::routes::delete,
        setup::routes::create,
        resets::routes::reset,
        resets::routes::confirm,
        resets::routes::regenerate,
        register::register,
        email::prove,
        email::again,
        address::change,
        address::confirm,
        address::undo,
        network::confirm,
        invitations::list,
        invitations::create,
        invitations::revoke,
        invitations::accept,
        tenants::routes::list,
        tenants::routes::create,
        tenants::routes::read,
        tenants::routes::update,
        tenants::routes::delete,
        tenants::routes::claims::read,
        tenants::routes::claims::update,
        tenants::routes::captcha::read,
        tenants::routes::captcha::replace,
        tenants::routes::captcha::remove,
        mail::routes::read,
        mail::routes::replace,
        mail::routes::remove,
        mail::routes::test,
        keys::routes::list,
        keys::routes::rotate,
        keys::routes::revoke,
        keys::routes::import,
        jobs::routes::list,
        jobs::routes::read,
        jobs::routes::retry,
        jobs::routes::cancel,
        audit::routes::list,
        audit::routes::verify,
        audit::routes::export,
        routes::document,
        routes::reader,
        routes::asset,
        pages::routes::page,
        pages::routes::file,
    ),
    tags(
        (name = "Users", description = "The users of a tenant."),
        (name = "Profiles", description = "Education, employment, skills and certifications of users, and how complete a profile is."),
        (name = "Accounts", description = "A user's own account: registration, email address, password, invitations."),
        (name = "Sessions", description = "The sessions of users, with device and place, and ending them."),
        (name = "Second factor", description = "Authenticators, recovery codes and remembered devices."),
        (name = "Roles", description = "Roles and permissions."),
        (name = "Tenants", description = "Administrators of a tenant see their own tenant, platform administrators see all."),
        (name = "Signing keys", description = "The keys that sign a tenant's access tokens."),
        (name = "Jobs", description = "Background jobs of all tenants, those that failed for good included. For platform \
            administrators."),
        (name = "Audit", description = "The audit log: what was done and what was refused."),
        (name = "Account pages", description = "The pages of mailed links, for tenants without pages of their own."),
        (name = "Documentation", description = "The OpenAPI document and the page that shows it."),
    )
)]
struct Control;

/// The document, built at the first call.
pub fn document() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(|| {
        let (mut api, mut edge) = (Control::openapi(), Edge::openapi());
        // The edge's tags come first.
        let tags = edge.tags.take().into_iter().chain(api.tags.take()).flatten().collect();
        api.merge(edge);
        api.tags = Some(tags);
        let mut document = serde_json::to_value(api).unwrap_or_default();
        complete::complete(&mut document);
        document
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use shared::contract::refusal::Code;
    use shared::contract::routes::ROUTES;

    use super::*;
    use crate::accounts::invitations::Invited;
    use crate::accounts::resend::Resend;
    use crate::accounts::routes::UnverifiedToken;
    use crate::http::body::FromFields;
    use crate::http::fields::Fields;
    use crate::profiles::Section;
    use crate::profiles::input::Names;
    use crate::resets::routes::{Confirm, Regenerate, Reset};
    use crate::setup::routes::Setup;
    use crate::tenants::input::{Creation, Patch};
    use crate::users::input::{Replacement, Typed};
    use crate::users::routes::unmask::Unmask;
    use crate::users::{Change, NewUser};

    /// Method and path of everything in the document, paths as the table has them.
    fn described() -> BTreeSet<(String, String)> {
        let mut described = BTreeSet::new();
        for (path, item) in document()["paths"].as_object().unwrap() {
            let segments = path.trim_matches('/').split('/');
            let path = segments.map(|segment| if segment.starts_with('{') { "*" } else { segment });
            let path = path.collect::<Vec<_>>().join("/");
            for method in item.as_object().unwrap().keys() {
                described.insert((method.to_uppercase(), path.clone()));
            }
        }
        described
    }

    #[test]
    fn document_and_table_of_routes_are_one() {
        let table: BTreeSet<_> = ROUTES
            .iter()
            .flat_map(|route| {
                let methods = route.allow.split(", ").filter(|method| !matches!(*method, "HEAD" | "OPTIONS"));
                methods.map(|method| (method.to_owned(), route.path.to_owned()))
            })
            .collect();
        assert_eq!(described(), table);
    }

    #[test]
    fn every_code_is_in_the_document_with_its_meaning() {
        let schema = &document()["components"]["schemas"]["Code"];
        let listed: Vec<_> =
            schema["enum"].as_array().unwrap().iter().map(|code| code.as_str().unwrap()).collect();
        assert_eq!(listed, Code::ALL.iter().map(|code| code.as_str()).collect::<Vec<_>>());
        for code in Code::ALL {
            let line = format!("- `{}`: {}", code.as_str(), code.meaning());
            assert!(schema["description"].as_str().unwrap().contains(&line), "{line}");
            assert!(!code.meaning().is_empty());
        }
    }

    /// What a type reads of a body or a query that has all of `names`.
    fn read_by<T: FromFields>(names: &BTreeSet<String>) -> BTreeSet<String> {
        let object = names.iter().map(|name| (name.clone(), Value::from("x"))).collect();
        let mut fields = Fields::new(object);
        let _ = T::read(&mut fields);
        fields.asked()
    }

    #[test]
    fn what_is_described_of_a_body_is_what_is_read() {
        let schemas = &document()["components"]["schemas"];
        let held = |schema: &str, read: fn(&BTreeSet<String>) -> BTreeSet<String>| {
            let properties = schemas[schema]["properties"].as_object().expect(schema);
            let names: BTreeSet<String> = properties.keys().cloned().collect();
            assert_eq!(read(&names), names, "{schema}");
        };
        held("TenantClaimsChange", read_by::<tenants::claims::change::Change>);
        held("NewUser", read_by::<Typed<NewUser>>);
        held("NewUser", read_by::<Replacement>);
        held("UserChange", read_by::<Typed<Change>>);
        held("NewTenant", read_by::<Creation>);
        held("TenantChange", read_by::<Patch>);
        held("Unmask", read_by::<Unmask>);
        held("Setup", read_by::<Setup>);
        held("PasswordReset", read_by::<Reset>);
        held("PasswordResetConfirm", read_by::<Confirm>);
        held("PasswordRegenerate", read_by::<Regenerate>);
        held("NewRegistration", read_by::<register::RegistrationRequest>);
        held("LinkToken", read_by::<UnverifiedToken>);
        held("Address", read_by::<Resend>);
        held("AddressChange", read_by::<address::Change>);
        held("NewInvitation", read_by::<Invited>);
        held("Acceptance", read_by::<invitations::Accepted>);
        held("PasswordChange", read_by::<users::routes::password::Typed>);
        held("NewAuthenticator", read_by::<mfa::enrol::Begin>);
        held("EnrollmentCode", read_by::<mfa::enrol::Confirm>);
        held("AuthenticatorChange", read_by::<mfa::own::Rename>);
        held("ProfileChange", read_by::<Names>);
        held("NewRole", read_by::<roles::NewRole>);
        held("RoleChange", read_by::<roles::RoleChange>);
        held("NewBranch", read_by::<branches::NewBranch>);
        held("BranchChange", read_by::<branches::BranchChange>);
    }

    #[test]
    fn what_is_described_of_a_profile_has_the_fields_of_its_sections() {
        let schemas = &document()["components"]["schemas"];
        let properties = |schema: &str| -> BTreeSet<String> {
            let properties = schemas[schema]["properties"].as_object().expect(schema);
            properties.keys().cloned().collect()
        };
        for (section, schema) in
            Section::ALL.into_iter().zip(["Qualification", "Employment", "Skill", "Certification"])
        {
            let names = section.field_names().chain(["position"]).map(ToOwned::to_owned);
            let mut names: BTreeSet<String> = names.collect();
            assert_eq!(properties(&format!("{schema}Fields")), names, "{schema}");
            names.extend(["id", "created_at", "updated_at"].map(ToOwned::to_owned));
            assert_eq!(properties(schema), names, "{schema}");
        }
    }

    #[test]
    fn what_is_described_of_a_list_is_what_it_can_be_asked_for() {
        let held = |path: &str, read: fn(&BTreeSet<String>) -> BTreeSet<String>| {
            let parameters = document()["paths"][path]["get"]["parameters"].as_array().expect(path);
            let names: BTreeSet<_> =
                parameters.iter().map(|parameter| parameter["name"].as_str().unwrap().to_owned()).collect();
            let common = ["page", "page_size", "count", "ordering", "cursor"].map(ToOwned::to_owned);
            assert!(common.iter().all(|name| names.contains(name)), "{path}");
            let filters = names.into_iter().filter(|name| !common.contains(name)).collect();
            assert_eq!(read(&filters), filters, "{path}");
        };
        held("/api/user/users/", read_by::<users::Filters>);
        held("/api/audit/", read_by::<audit::Filters>);
        held("/api/tenant/tenants/", read_by::<tenants::Filters>);
    }

    /// Every `$ref` of the document.
    fn references(value: &Value, into: &mut BTreeSet<String>) {
        match value {
            Value::Object(object) => {
                into.extend(object.get("$ref").and_then(Value::as_str).map(ToOwned::to_owned));
                object.values().for_each(|value| references(value, into));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, into)),
            _ => {}
        }
    }

    #[test]
    fn the_document_is_whole() {
        let document = document();
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
        let mut found = BTreeSet::new();
        references(document, &mut found);
        for reference in found {
            let pointer = reference.strip_prefix('#').expect("a reference within the document");
            assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
        }
        let mut ids = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let id = operation["operationId"].as_str().unwrap();
                assert!(ids.insert(id.to_owned()), "{id} twice");
                assert!(!operation["summary"].as_str().unwrap_or_default().is_empty(), "{method} {path}");
                assert!(operation["security"].is_array(), "{method} {path}");
                let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
                let named = parameters.iter().filter(|parameter| parameter["in"] == "path").count();
                assert_eq!(named, path.matches('{').count(), "{method} {path}");
            }
        }
    }
}

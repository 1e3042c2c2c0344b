//! What is asked for of a tenant: how it is read, and how it is described.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use shared::ids::{HostName, Slug};
use shared::tenant::settings::Settings;
use shared::tokens::claims::UserIdForm;
use shared::tokens::legacy::Legacy;
use utoipa::ToSchema;

use super::claims::change::Change;
use super::second_factor::first_settings;
use super::{Edit, EditLegacy, InvitedAdmin, Isolation, NewTenant, Tenant, TenantError};
use crate::http::body::FromFields;
use crate::http::fields::{Fields, OfDay};
use crate::keys::file::public_key;
use crate::legacy::service::form_text;
use crate::legacy::tokens;
use crate::users::{Faults, Profile};

/// A new tenant.
#[derive(ToSchema)]
#[schema(as = NewTenant)]
#[allow(dead_code, reason = "described; read by `FromFields`")]
pub struct NewTenantIn {
    /// 1 to 40 characters of `[a-z0-9-]`; never changed and never reused.
    slug: String,
    name: String,
    /// The tenant's own hosts: lower-case A-labels without port.
    hosts: Option<Vec<String>>,
    /// The claim `iss`: a URL that no other tenant has or had. If absent, `https://<first host>`, or without a host the
    /// tenant's path at the shared origin. A later change of the hosts does not change it.
    issuer: Option<String>,
    /// The claim `aud`.
    audience: Option<String>,
    isolation: Option<Isolation>,
    /// Absent settings have their defaults, except that a new tenant requires a second factor of `root-admin` and
    /// `co-admin` unless `second_factor_roles` is given.
    settings: Option<Settings>,
    admin: Option<FirstAdminIn>,
}

/// The first root-admin of a new tenant: created with a password, or invited by mail once the tenant is active.
#[derive(ToSchema)]
#[schema(as = FirstAdmin)]
#[allow(dead_code, reason = "described; read by `FromFields`")]
struct FirstAdminIn {
    /// Required with a password. Without one, a suggestion that the invited user can change.
    username: Option<String>,
    /// Required without a password: the address for the invitation.
    email: Option<String>,
    #[schema(format = "password")]
    password: Option<String>,
}

/// A change of a tenant. Only platform administrators set hosts, status, `legacy` and `foreign_until`.
#[derive(ToSchema)]
#[schema(as = TenantChange)]
#[allow(dead_code, reason = "described; read by `FromFields`")]
pub struct TenantIn {
    name: Option<String>,
    /// All hosts of the tenant. The issuer does not change: if it names a removed host, verifiers that fetch the keys
    /// there need another URL. Browsers have a session per host.
    hosts: Option<Vec<String>>,
    /// Only the present value is accepted; `/api/tenant/tenants/{id}/claims/` changes it.
    issuer: Option<String>,
    /// As `issuer`.
    audience: Option<String>,
    /// As `issuer`.
    user_id: Option<String>,
    /// `suspended` or `active`.
    status: Option<String>,
    /// Absent settings stay unchanged. A change of `cookies` signs every browser out, because the new cookies are not set.
    settings: Option<Settings>,
    /// Null for none.
    legacy: Option<LegacyIn>,
    /// From this time on, imported password hashes of another service are not checked any more; null: no such time.
    foreign_until: Option<DateTime<Utc>>,
    /// A reason for the audit log, at most 500 characters. Required if `second_factor_roles` or `second_factor_from`
    /// stops requiring a second factor of root-admins, and with `exclude_self`.
    reason: Option<String>,
    /// Allows network settings that refuse the caller's own network. Requires a `reason`.
    exclude_self: Option<bool>,
}

/// The legacy tokens that the tenant accepts.
#[derive(ToSchema)]
#[schema(as = LegacyTokens)]
#[allow(dead_code, reason = "described; read by `FromFields`")]
struct LegacyIn {
    /// The legacy service's RSA public key: PEM, a certificate in PEM, or a JWK. Not a signing key of Wardgate.
    public_key: String,
    /// Accepted until then; at most 30 days from now.
    until: DateTime<Utc>,
    /// A claim that distinguishes this tenant's tokens from those of other tenants.
    claim: Option<String>,
    /// The claim's value: a string, an integer or a boolean.
    value: Option<Value>,
    /// Whether a refresh token must also be on the imported list of outstanding tokens. Default: true without a claim.
    listed: Option<bool>,
}

/// The parsed request: a new tenant and its first administrator.
pub struct Creation {
    /// The tenant.
    pub(super) new: NewTenant,
    /// The administrator.
    pub(super) admin: Option<Admin>,
}

/// The parsed first administrator.
pub(super) enum Admin {
    /// Their names, and the password as it was typed.
    Known(Profile, String),
    /// To be invited.
    Invited(InvitedAdmin),
}

/// The parsed PATCH.
pub struct Patch {
    pub(super) edit: Edit,
    pub(super) settings: Option<Map<String, Value>>,
    pub(super) suspended: Option<bool>,
    pub(super) fixed: Fixed,
    /// Whether the request has a field that only platform administrators set.
    pub(super) of_platform: bool,
}

/// The fields that a PATCH may repeat but not change.
pub(super) struct Fixed {
    slug: Option<String>,
    isolation: Option<String>,
    claims: Change,
    issuer_is_null: bool,
}

impl Fixed {
    fn read(fields: &mut Fields) -> Option<Self> {
        let issuer = fields.clearable_text("issuer");
        let forms = [UserIdForm::Uuid, UserIdForm::Integer, UserIdForm::String].map(|it| (form_text(it), it));
        Some(Self {
            slug: if fields.has("slug") { Some(fields.required_text("slug")?) } else { None },
            isolation: if fields.has("isolation") { Some(fields.required_text("isolation")?) } else { None },
            issuer_is_null: issuer == Some(None),
            claims: Change {
                issuer: issuer.flatten(),
                audience: fields.clearable_text("audience"),
                user_id: fields.choice("user_id", &forms),
            },
        })
    }

    /// Refuses values that differ from the tenant's, with a message that names the route to change them.
    pub(super) fn check(&self, tenant: &Tenant) -> Result<(), TenantError> {
        let mut faults = Vec::new();
        let slug = self.slug.as_ref().is_some_and(|slug| slug != tenant.slug.as_str());
        let isolation = self.isolation.as_ref().is_some_and(|it| it != tenant.isolation.as_str());
        for (field, differs) in [("slug", slug), ("isolation", isolation)] {
            if differs {
                faults.push((field, String::from("This field cannot be changed.")));
            }
        }
        let claims = &self.claims;
        let issuer = claims.issuer.as_ref().is_some_and(|it| *it != tenant.issuer) || self.issuer_is_null;
        let audience = claims.audience.as_ref().is_some_and(|it| *it != tenant.audience);
        let user_id = claims.user_id.is_some_and(|it| it != tenant.legacy.user_id);
        for (field, command, differs) in [
            ("issuer", "set-issuer", issuer),
            ("audience", "set-audience", audience),
            ("user_id", "set-user-id", user_id),
        ] {
            if differs {
                let message = format!(
                    "Others have stored it: change it by PATCH /api/tenant/tenants/{}/claims/ or `wardgate tenant {command}`.",
                    tenant.id
                );
                faults.push((field, message));
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(TenantError::Fields(faults)) }
    }
}

/// Applies the changes to the settings. Bounds are checked later, with the whole tenant.
pub(super) fn laid_over(
    before: &Settings,
    changes: Map<String, Value>,
) -> Result<Settings, (&'static str, String)> {
    let mut settings = before.clone();
    let known = Settings::names();
    for (name, value) in changes {
        if !known.contains(&name.as_str()) {
            return Err(("settings", format!("Unknown setting \"{name}\": there are {}.", known.join(", "))));
        }
        settings.set(&name, &value)?;
    }
    Ok(settings)
}

fn hosts(fields: &mut Fields) -> Option<Vec<HostName>> {
    let texts = fields.texts("hosts")?;
    let parsed: Result<Vec<_>, _> = texts.iter().map(|text| HostName::parse(text)).collect();
    if parsed.is_err() {
        fields.fault("hosts", "Enter lower-case A-labels without port or final dot.");
    }
    parsed.ok()
}

impl FromFields for Creation {
    fn read(fields: &mut Fields) -> Option<Self> {
        let slug = fields.required_text("slug");
        let slug = slug.and_then(|text| {
            let parsed = Slug::parse(&text).ok();
            if parsed.is_none() {
                fields.fault("slug", "Enter 1 to 40 of [a-z0-9-], not beginning or ending with a hyphen.");
            }
            parsed
        });
        let name = fields.required_text("name");
        let hosts = hosts(fields).unwrap_or_default();
        let issuer = fields.clearable_text("issuer").flatten();
        let audience = fields.clearable_text("audience").flatten();
        let isolation =
            fields.choice("isolation", &[("schema", Isolation::Schema), ("shared", Isolation::Shared)]);
        let changes = fields.object("settings").unwrap_or_default();
        let settings = laid_over(&first_settings(), changes);
        if let Err((field, message)) = &settings {
            fields.fault(field, message);
        }
        let admin = if fields.has("admin") { read_admin(fields) } else { None };
        let new = NewTenant {
            slug: slug?,
            name: name?,
            hosts,
            issuer,
            audience,
            isolation: isolation.unwrap_or_default(),
            settings: settings.ok()?,
            admin: None,
        };
        Some(Self { new, admin })
    }
}

/// Reads the first administrator; errors are reported under `admin`.
fn read_admin(fields: &mut Fields) -> Option<Admin> {
    let mut inner = Fields::new(fields.object("admin")?);
    let has_password = inner.has("password");
    let username = match has_password || inner.has("username") {
        true => inner.required_text("username"),
        false => None,
    };
    let email = match has_password {
        true => inner.clearable_text("email").flatten(),
        false => inner.required_text("email"),
    };
    let password = inner.untrimmed("password");
    if let (false, Some(email)) = (has_password, &email) {
        let mut faults = Faults::default();
        // Judged again when they accept. A user name that does not hold should be known now.
        let username = username.clone().unwrap_or_else(|| String::from("first"));
        Profile { username, email: Some(email.clone()), ..Profile::default() }.check(&mut faults);
        for (name, messages) in faults.0 {
            for message in messages {
                inner.fault(name, message);
            }
        }
    }
    for (name, messages) in inner.faults() {
        for message in messages {
            fields.fault("admin", format!("{name}: {message}"));
        }
    }
    match has_password {
        true => Some(Admin::Known(Profile { username: username?, email, ..Profile::default() }, password?)),
        false => Some(Admin::Invited(InvitedAdmin { username, email: email? })),
    }
}

/// Reads the fields about the legacy service.
fn read_legacy(fields: &mut Fields) -> EditLegacy {
    let foreign_until = match fields.clearable_text("foreign_until") {
        Some(Some(_)) => fields.moment("foreign_until", OfDay::Begin).map(Some),
        other => other.map(|_| None),
    };
    let tokens = match fields.has("legacy") {
        true if fields.is_null("legacy") => Some(None),
        true => read_tokens(fields).map(Some),
        false => None,
    };
    EditLegacy { tokens, foreign_until }
}

/// Reads key, date and marker; errors are reported under `legacy`.
fn read_tokens(fields: &mut Fields) -> Option<Legacy> {
    let mut object = fields.object("legacy")?;
    let value = object.remove("value");
    let mut inner = Fields::new(object);
    let key = inner.required_text("public_key").and_then(|text| match public_key(text.as_bytes()) {
        Ok(key) => Some(key),
        Err(fault) => {
            inner.fault("public_key", fault.to_string());
            None
        }
    });
    let until = match inner.required_text("until") {
        Some(_) => inner.moment("until", OfDay::Begin),
        None => None,
    };
    let claim = inner.clearable_text("claim").flatten();
    let listed = inner.boolean("listed").unwrap_or(false);
    for (name, messages) in inner.faults() {
        for message in messages {
            fields.fault("legacy", format!("{name}: {message}"));
        }
    }
    match tokens::accept(key?, until?, claim, value, listed) {
        Ok(legacy) => Some(legacy),
        Err(message) => {
            fields.fault("legacy", message);
            None
        }
    }
}

impl FromFields for Patch {
    fn read(fields: &mut Fields) -> Option<Self> {
        let of_platform = ["hosts", "issuer", "audience", "status", "user_id", "legacy", "foreign_until"]
            .iter()
            .any(|name| fields.has(name));
        let fixed = Fixed::read(fields)?;
        let name = if fields.has("name") { fields.required_text("name") } else { None };
        let (hosts, legacy) = (hosts(fields), read_legacy(fields));
        let reason = fields.clearable_text("reason").flatten();
        let exclude_self = fields.has("exclude_self") && fields.boolean("exclude_self").unwrap_or(false);
        let edit = Edit { name, hosts, settings: None, legacy, reason, exclude_self };
        let settings = fields.object("settings");
        let suspended = fields.choice("status", &[("suspended", true), ("active", false)]);
        Some(Self { edit, settings, suspended, fixed, of_platform })
    }
}

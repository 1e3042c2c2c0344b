//! `/api/tenant/tenants/`.

use axum::extract::State;
use axum::response::Response;
use serde_json::{Map, Value};
use shared::ids::{HostName, Slug};
use shared::permissions::marker::{
    PlatformTenantsDelete, PlatformTenantsRead, PlatformTenantsWrite, TenantRead, TenantWrite,
};
use shared::permissions::{Permission, Permitted as _};
use shared::refusal::Refusal;
use shared::settings::Settings;
use shared::tenant::Status;

use super::{Edit, Isolation, NewTenant, Tenant, TenantOut};
use crate::control::Control;
use crate::http::access::{Allowed, Authenticated, OnTenant, Platform, outranked};
use crate::http::answer::{Refused, no_content};
use crate::http::body::{FromFields, Json};
use crate::http::fields::Fields;
use crate::http::list::{Asked, Unfiltered};
use crate::http::once::{Found, Once};
use crate::http::validators::{Conditions, changed, made};
use crate::users::{self, Profile, UserError};

/// Tenants by pages: all for the platform's administrators, one's own for others.
pub async fn list(
    State(control): State<Control>,
    allowed: Allowed<TenantRead>,
    Asked { part, .. }: Asked<Unfiltered>,
) -> Result<Response, Refused> {
    let only =
        if allowed.by.holds(PlatformTenantsRead::PERMISSION) { None } else { Some(allowed.by.tenant.id) };
    let Authenticated { mut tx, .. } = allowed.by;
    let count = super::count(&mut tx, only).await?;
    let tenants = super::list(&mut tx, only, part.page.limit(), part.page.offset(count)?).await?;
    part.page.answer(count, tenants.into_iter().map(|tenant| out(&control, tenant)).collect())
}

/// A new tenant and its first administrator, as asked for.
pub struct Creation {
    new: NewTenant,
    admin: Option<(Profile, String)>,
}

/// Makes a tenant, once for an `Idempotency-Key`: 201 in state `provisioning`; 400 for names that are taken or make no sense.
pub async fn create(
    State(control): State<Control>,
    platform: Platform<PlatformTenantsWrite>,
    Once { what: Creation { mut new, admin }, key }: Once<Creation>,
) -> Result<Response, Refused> {
    let Authenticated { mut tx, actor, tenant: own, user: by } = platform.by;
    if let Some((profile, password)) = admin {
        let least = new.settings.min_password_length;
        let prepare = users::prepare_first_admin(&control, &profile, &password, least);
        let (prepared, begun) = tx.pause(&control.db, prepare).await?;
        new.admin = Some(prepared.map_err(said_of_admin)?);
        tx = begun;
        match users::still_stands(&mut tx, &actor).await {
            Err(UserError::Rank) => {
                let permission = PlatformTenantsWrite::PERMISSION;
                return Err(outranked(&control, own.id, &actor, "new", permission).await);
            }
            stands => stands?,
        }
    }
    let claim = match key {
        None => None,
        Some(key) => match key.claim(&control, &mut tx, by.id).await? {
            Found::Done(id) => return made(&out(&control, super::find(&mut tx, id.into()).await?)),
            Found::New(claim) => Some(claim),
        },
    };
    let tenant = super::create(&control, &mut tx, &actor, new).await?;
    if let Some(claim) = claim {
        claim.keep(&control, &mut tx, tenant.id.uuid()).await?;
    }
    tx.commit().await?;
    made(&out(&control, tenant))
}

/// Faults of the first administrator are faults of the field `admin`.
fn said_of_admin(error: UserError) -> Refused {
    let UserError::Fields(faults) = error else { return error.into() };
    let said = |(field, messages): &(&str, Vec<String>)| {
        messages.iter().map(|message| format!("{field}: {message}")).collect::<Vec<_>>()
    };
    Refusal::fields([("admin", faults.0.iter().flat_map(said).collect())]).into()
}

/// One tenant.
pub async fn read(
    State(control): State<Control>,
    on: OnTenant<TenantRead, PlatformTenantsRead>,
    conditions: Conditions,
) -> Result<Response, Refused> {
    conditions.answer(&out(&control, on.tenant))
}

/// What a PATCH asks for.
pub struct Patch {
    edit: Edit,
    settings: Option<Map<String, Value>>,
    suspended: Option<bool>,
    /// Whether anything is asked for that is the platform's to set.
    of_platform: bool,
}

/// Changes a tenant; what is absent stays, also within `settings`. Its own administrators may set
/// name and settings, the platform everything: 403. Changed since it was read: 412.
pub async fn update(
    State(control): State<Control>,
    on: OnTenant<TenantWrite, PlatformTenantsWrite>,
    conditions: Conditions,
    Json(patch): Json<Patch>,
) -> Result<Response, Refused> {
    let OnTenant { mut tx, mut tenant, actor, for_platform, .. } = on;
    if patch.of_platform && !for_platform {
        let permission = Permission::PlatformTenantsWrite;
        return Err(outranked(&control, tenant.id, &actor, &tenant.id.to_string(), permission).await);
    }
    // What is laid over the settings is laid over those that no other edit is changing.
    tenant = super::lock(&mut tx, tenant.id).await?;
    conditions.check(&out(&control, tenant.clone()))?;
    let mut edit = patch.edit;
    if let Some(changes) = patch.settings {
        let settings = laid_over(&tenant.settings, changes);
        edit.settings = Some(settings.map_err(|(field, message)| Refused(Refusal::field(field, &message)))?);
    }
    tenant = super::edit(&control, &mut tx, &actor, tenant.id, edit).await?;
    tenant = match patch.suspended {
        Some(true) => super::suspend(&control, &mut tx, &actor, tenant.id).await?,
        Some(false) => super::resume(&control, &mut tx, &actor, tenant.id).await?,
        None => tenant,
    };
    tx.commit().await?;
    changed(&out(&control, tenant))
}

/// Deletes a tenant for good: 204. Nobody deletes their own.
pub async fn delete(
    State(control): State<Control>,
    on: OnTenant<PlatformTenantsDelete, PlatformTenantsDelete>,
    conditions: Conditions,
) -> Result<Response, Refused> {
    let OnTenant { mut tx, mut tenant, actor, .. } = on;
    tenant = super::lock(&mut tx, tenant.id).await?;
    conditions.check(&out(&control, tenant.clone()))?;
    if tenant.status == Status::Provisioning {
        return Err(super::TenantError::WrongState.into());
    }
    super::delete(&control, &mut tx, &actor, tenant.id).await?;
    tx.commit().await?;
    Ok(no_content())
}

fn out(control: &Control, tenant: Tenant) -> TenantOut {
    TenantOut::new(tenant, &control.settings.http.shared_origin)
}

/// The settings with these changes. Bounds are judged when the whole tenant is.
fn laid_over(before: &Settings, changes: Map<String, Value>) -> Result<Settings, (&'static str, String)> {
    let mut settings = before.clone();
    for (name, value) in changes {
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
        let settings = laid_over(&Settings::default(), changes);
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

/// The first administrator; what is wrong within is said of `admin`.
fn read_admin(fields: &mut Fields) -> Option<(Profile, String)> {
    let mut inner = Fields::new(fields.object("admin")?);
    let username = inner.required_text("username");
    let email = inner.clearable_text("email").flatten();
    let password = inner.untrimmed("password");
    if password.is_none() && !inner.has("password") {
        inner.fault("password", "This field is required.");
    }
    for (name, messages) in inner.faults() {
        for message in messages {
            fields.fault("admin", format!("{name}: {message}"));
        }
    }
    Some((Profile { username: username?, email, ..Profile::default() }, password?))
}

impl FromFields for Patch {
    fn read(fields: &mut Fields) -> Option<Self> {
        let of_platform = ["hosts", "issuer", "audience", "status"].iter().any(|name| fields.has(name));
        for fixed in ["slug", "isolation"] {
            if fields.has(fixed) {
                fields.fault(fixed, "This field cannot be changed.");
            }
        }
        let name = if fields.has("name") { fields.required_text("name") } else { None };
        let edit = Edit {
            name,
            hosts: hosts(fields),
            issuer: fields.clearable_text("issuer"),
            audience: fields.clearable_text("audience"),
            settings: None,
        };
        let settings = fields.object("settings");
        let suspended = fields.choice("status", &[("suspended", true), ("active", false)]);
        Some(Self { edit, settings, suspended, of_platform })
    }
}

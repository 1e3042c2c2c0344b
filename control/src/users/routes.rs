//! `/api/user/users/`, `/api/user/me/`.

use axum::extract::{Path, State};
use axum::response::Response;
use shared::ids::UserId;
use shared::permissions::marker::{SessionsEnd, UsersDelete, UsersRead, UsersWrite};
use shared::permissions::{Permission, Permitted as _};
use shared::person::PersonStatus;

use super::filters::{self, Filters, Matching};
use super::{Change, NewUser, Profile, UserError, UserOut};
use crate::audit::Actor;
use crate::control::Control;
use crate::db::TenantTx;
use crate::http::access::{Allowed, Authenticated, Me, outranked};
use crate::http::answer::{Refused, no_content, ok};
use crate::http::body::{FromFields, Json};
use crate::http::fields::Fields;
use crate::http::list::Asked;
use crate::http::once::{Found, Once};
use crate::http::validators::{Conditions, changed, made};
use crate::passwords::Hashed;
use shared::ids::TenantId;

/// People, by what [`Filters`] can ask for.
pub async fn list(
    State(control): State<Control>,
    allowed: Allowed<UsersRead>,
    Asked { filters, part }: Asked<Filters>,
) -> Result<Response, Refused> {
    let Authenticated { mut tx, .. } = allowed.by;
    let matching = Matching::of(&control, &mut tx, filters).await?;
    let count = filters::count(&mut tx, &matching).await?;
    let span = part.of(&control, &mut tx, count).await?;
    let people = super::list(&mut tx, &matching, &span.rows).await?;
    span.answer(count, people, filters::position, UserOut::from)
}

/// Makes a person, once for an `Idempotency-Key`: 201; 400 with all faults at once; 403 for a role at
/// or above one's own rank.
pub async fn create(
    State(control): State<Control>,
    allowed: Allowed<UsersWrite>,
    Once { what: Typed { what, password }, key }: Once<Typed<NewUser>>,
) -> Result<Response, Refused> {
    let Authenticated { tx, actor, tenant, user: by } = allowed.by;
    let (password, mut tx) = Hashed::between(&control, tx, password).await?;
    let claim = match key {
        None => None,
        Some(key) => match key.claim(&control, &mut tx, by.id).await? {
            Found::Done(id) => return made(&UserOut::from(super::find(&mut tx, id.into()).await?)),
            Found::New(claim) => Some(claim),
        },
    };
    let new = NewUser { password, ..what };
    let user = super::create(&control, &mut tx, &actor, new).await;
    let user = ranked(&control, tenant.id, &actor, "new", UsersWrite::PERMISSION, user).await?;
    if let Some(claim) = claim {
        claim.keep(&control, &mut tx, user.id.uuid()).await?;
    }
    tx.commit().await?;
    made(&UserOut::from(user))
}

/// One person: 404 for an id that does not parse as for one that does not exist.
pub async fn read(
    allowed: Allowed<UsersRead>,
    Path(id): Path<String>,
    conditions: Conditions,
) -> Result<Response, Refused> {
    let Authenticated { mut tx, .. } = allowed.by;
    let user = super::find(&mut tx, parse(&id)?).await?;
    conditions.answer(&UserOut::from(user))
}

/// Locks a person whom the request changes only as they were read: 412.
async fn unchanged(tx: &mut TenantTx, id: UserId, conditions: &Conditions) -> Result<(), Refused> {
    if conditions.demand_unchanged() {
        conditions.check(&UserOut::from(super::store::lock(tx, id).await?))?;
    }
    Ok(())
}

/// Changes a person; what is absent stays.
pub async fn update(
    State(control): State<Control>,
    allowed: Allowed<UsersWrite>,
    Path(id): Path<String>,
    conditions: Conditions,
    Json(change): Json<Typed<Change>>,
) -> Result<Response, Refused> {
    apply(&control, allowed, &id, &conditions, change).await
}

/// Changes a person; the user name must be given.
pub async fn replace(
    State(control): State<Control>,
    allowed: Allowed<UsersWrite>,
    Path(id): Path<String>,
    conditions: Conditions,
    Json(Replacement(change)): Json<Replacement>,
) -> Result<Response, Refused> {
    apply(&control, allowed, &id, &conditions, change).await
}

async fn apply(
    control: &Control,
    allowed: Allowed<UsersWrite>,
    id: &str,
    conditions: &Conditions,
    Typed { what, password }: Typed<Change>,
) -> Result<Response, Refused> {
    let Authenticated { tx, actor, tenant, .. } = allowed.by;
    let (password, mut tx) = Hashed::between(control, tx, password).await?;
    let user_id = parse(id)?;
    unchanged(&mut tx, user_id, conditions).await?;
    let change = Change { password, ..what };
    let outcome = super::change(control, &mut tx, &actor, user_id, change).await;
    let user = ranked(control, tenant.id, &actor, id, UsersWrite::PERMISSION, outcome).await?;
    tx.commit().await?;
    changed(&UserOut::from(user))
}

/// Deletes a person: 204; 409 for the last active root-admin.
pub async fn delete(
    State(control): State<Control>,
    allowed: Allowed<UsersDelete>,
    Path(id): Path<String>,
    conditions: Conditions,
) -> Result<Response, Refused> {
    let Authenticated { mut tx, actor, tenant, .. } = allowed.by;
    let user_id = parse(&id)?;
    unchanged(&mut tx, user_id, &conditions).await?;
    let deleted = super::delete(&control, &mut tx, &actor, user_id).await;
    ranked(&control, tenant.id, &actor, &id, UsersDelete::PERMISSION, deleted).await?;
    tx.commit().await?;
    Ok(no_content())
}

/// Ends all sessions of a person: 204.
pub async fn end_sessions(
    State(control): State<Control>,
    allowed: Allowed<SessionsEnd>,
    Path(id): Path<String>,
) -> Result<Response, Refused> {
    let Authenticated { mut tx, actor, tenant, .. } = allowed.by;
    let ended = super::end_sessions(&control, &mut tx, &actor, parse(&id)?).await;
    ranked(&control, tenant.id, &actor, &id, SessionsEnd::PERMISSION, ended).await?;
    tx.commit().await?;
    Ok(no_content())
}

/// One's own account.
pub async fn me(me: Me) -> Response {
    ok(&UserOut::from(me.by.user))
}

fn parse(id: &str) -> Result<UserId, UserError> {
    UserId::parse(id).map_err(|_| UserError::NotFound)
}

/// A refusal of rank is a refusal of permission, and is written down as one.
async fn ranked<T>(
    control: &Control,
    tenant: TenantId,
    actor: &Actor,
    target: &str,
    permission: Permission,
    outcome: Result<T, UserError>,
) -> Result<T, Refused> {
    match outcome {
        Err(UserError::Rank) => Err(outranked(control, tenant, actor, target, permission).await),
        other => other.map_err(Refused::from),
    }
}

/// The words for a status.
pub(super) const STATUSES: [(&str, PersonStatus); 4] = [
    ("active", PersonStatus::Active),
    ("suspended", PersonStatus::Suspended),
    ("inactive", PersonStatus::Inactive),
    ("pending", PersonStatus::Pending),
];

fn status(fields: &mut Fields) -> Option<PersonStatus> {
    let by_name = fields.choice("status", &STATUSES);
    let by_flag = fields
        .boolean("is_active")
        .map(|active| if active { PersonStatus::Active } else { PersonStatus::Inactive });
    by_name.or(by_flag)
}

/// What is asked for, with the password as it was typed.
pub struct Typed<T> {
    what: T,
    password: Option<String>,
}

impl FromFields for Typed<NewUser> {
    fn read(fields: &mut Fields) -> Option<Self> {
        // Every field is read before the first one is missed, so that all faults are said at once.
        let username = fields.required_text("username");
        let email = fields.clearable_text("email").flatten();
        let [first_name, last_name, phone] =
            ["first_name", "last_name", "phone"].map(|name| fields.text(name).unwrap_or_default());
        let status = status(fields).unwrap_or(PersonStatus::Active);
        let roles = fields.texts("roles").unwrap_or_else(|| vec![String::from("client")]);
        let password = fields.untrimmed("password");
        let email_verified = fields.boolean("email_verified").unwrap_or(true);
        let profile = Profile { username: username?, email, first_name, last_name, phone };
        let what = NewUser { profile, status, roles, password: None, email_verified };
        Some(Self { what, password })
    }
}

impl FromFields for Typed<Change> {
    fn read(fields: &mut Fields) -> Option<Self> {
        let username = if fields.has("username") { fields.required_text("username") } else { None };
        let what = Change {
            username,
            email: fields.clearable_text("email"),
            first_name: fields.text("first_name"),
            last_name: fields.text("last_name"),
            phone: fields.text("phone"),
            status: status(fields),
            roles: fields.texts("roles"),
            password: None,
            email_verified: fields.boolean("email_verified"),
        };
        Some(Self { what, password: fields.untrimmed("password") })
    }
}

/// A change by PUT.
pub struct Replacement(Typed<Change>);

impl FromFields for Replacement {
    fn read(fields: &mut Fields) -> Option<Self> {
        if !fields.has("username") {
            fields.fault("username", "This field is required.");
        }
        Typed::read(fields).map(Self)
    }
}

//! `/api/user/users/`, `/api/user/me/`.

pub mod attempts;
pub mod password;
pub mod unmask;

use axum::extract::{Path, State};
use axum::response::Response;
use shared::contract::openapi as described;
use shared::contract::permissions::marker::{SessionsEnd, UsersDelete, UsersRead, UsersWrite};
use shared::contract::permissions::{Permission, Permitted as _};
use shared::ids::UserId;

use super::filters::{DateJoined, Filters};
use super::input::{NewUserIn, Replacement, Typed, UserIn};
use super::out::example;
use super::{Change, Chooser, Matching, NewUser, Successor, UserError, UserOut, Viewer};
use crate::access::{Allowed, Authenticated, Me, outranked};
use crate::audit::Actor;
use crate::control::Control;
use crate::db::TenantTx;
use crate::edges::in_force;
use crate::http::answer::{Refused, no_content, ok};
use crate::http::body::Json;
use crate::http::described::{CreatedAt, Cursor, IdempotencyKey, IfMatch, IfNoneMatch, Ordering, Paging};
use crate::http::list::Asked;
use crate::http::once::{Found, Once};
use crate::http::page::ListOut;
use crate::http::validators::{Conditions, changed, made};
use crate::passwords::Hashed;

/// Users, by what [`Filters`] can ask for: 400 for an order that needs more users in memory than may be there, 503
/// while the index of the search is made anew.
#[utoipa::path(
    get, path = "/api/user/users/", tag = "People", operation_id = "users_list", summary = "List people",
    description = "Needs `users.read`. A personal field that is not shown to the caller in clear can be neither \
        filtered, searched nor ordered by (400); `search` reads user name, address and names. A cursor is good for \
        callers who are shown as much. `ordering` by `username` or `email` compares folded forms and is for up to 10,000 \
        matching people: 400 beyond. A `search` that may mean more than 2,000 people is answered page by page: `count` \
        is an estimate then, unless all words have three letters at most or `count=exact` asks (up to 100,000 people \
        are opened for that), and a page may show less than its size while `next` leads on.",
    params(Filters, CreatedAt, DateJoined, Ordering, Paging, Cursor),
    responses(
        (status = 200, description = "A part of the list", body = ListOut<UserOut>, example = json!({
            "count": 1, "next": null, "previous": null, "results": [example()],
        })),
        (status = 503, description = "Something that is needed cannot be reached now; or, with the code `rebuilding`, the index of `search` is being made anew. `Retry-After` says when to ask again", body = described::Refused,
            headers(("Retry-After" = String, description = "Seconds")),
            example = json!({"detail": "The search index is being rebuilt.", "code": "rebuilding"})),
    )
)]
pub async fn list(
    State(control): State<Control>,
    allowed: Allowed<UsersRead>,
    asked: Asked<Filters>,
) -> Result<Response, Refused> {
    let Authenticated { tx, viewer, .. } = allowed.by;
    let (permitted, part) = viewer.asked(asked)?;
    let tx = tx.for_long_read(&control.db).await?;
    let (matching, mut tx) = Matching::of(tx, permitted).await?;
    let count = super::count(&mut tx, &matching, part.counts_all()).await?;
    let span = part.of(&mut tx, count).await?;
    let users = super::list(&mut tx, &matching, &span.rows).await?;
    span.answer_some(users, |user| matching.holds(&user).then(|| viewer.shows(user)))
}

/// Makes a user, once for an `Idempotency-Key`: 201; 400 with all faults at once; 403 for a role at
/// or above one's own rank.
#[utoipa::path(
    post, path = "/api/user/users/", tag = "People", operation_id = "users_create", summary = "Make a person",
    description = "Needs `users.write`. Roles must be below one's own rank; without any, the person is a `client`. All that is wrong is said at once.",
    params(IdempotencyKey),
    request_body(content = NewUserIn, example = json!({
        "username": "grace", "email": "grace@acme.example", "password": "correct horse battery staple",
        "first_name": "Grace", "last_name": "Hopper", "phone": "+1 555 0100", "roles": ["staff"],
    })),
    responses(
        (status = 201, description = "Made", body = UserOut, example = json!(example())),
        (status = 409, description = "A request with this `Idempotency-Key` is still running", body = described::Refused),
        (status = 422, description = "The `Idempotency-Key` was used for another request", body = described::Refused),
    )
)]
pub async fn create(
    State(control): State<Control>,
    allowed: Allowed<UsersWrite>,
    Once { what: Typed { what, password }, key }: Once<Typed<NewUser>>,
) -> Result<Response, Refused> {
    let Authenticated { mut tx, actor, viewer, user: by, .. } = allowed.by;
    if password.is_some() {
        // What was done already costs no hash, nor does what is refused.
        if let Some(key) = &key
            && let Found::Done(id) = key.claim(&control, &mut tx, by.id).await?
        {
            return made(&viewer.shows(super::find(&mut tx, id.into()).await?));
        }
        let may = super::may_create(&mut tx, &actor, &what.roles).await;
        ((), tx) = ranked(&control, tx, &actor, "new", UsersWrite::PERMISSION, may).await?;
    }
    let (password, mut tx) = Hashed::between(&control, tx, password).await?;
    let claim = match key {
        None => None,
        Some(key) => match key.claim(&control, &mut tx, by.id).await? {
            Found::Done(id) => return made(&viewer.shows(super::find(&mut tx, id.into()).await?)),
            Found::New(claim) => Some(claim),
        },
    };
    let new = NewUser { password, ..what };
    let user = super::create(&control, &mut tx, &actor, new).await;
    let (user, mut tx) = ranked(&control, tx, &actor, "new", UsersWrite::PERMISSION, user).await?;
    if let Some(claim) = claim {
        claim.keep(&control, &mut tx, user.id.uuid()).await?;
    }
    tx.commit().await?;
    made(&viewer.shows(user))
}

/// One user: 404 for an id that does not parse as for one that does not exist.
#[utoipa::path(
    get, path = "/api/user/users/{id}/", tag = "People", operation_id = "users_read", summary = "Read a person",
    description = "Needs `users.read`. Of others the caller is shown what their roles show: a personal field in clear, \
        masked (`masked` names it), or not at all. The `ETag` is that of what is shown.",
    params(("id" = Uuid, Path), IfNoneMatch),
    responses(
        (status = 200, description = "The person, with an `ETag`", body = UserOut, example = json!(example())),
        (status = 304, description = "The copy that the client has is still good"),
    )
)]
pub async fn read(
    allowed: Allowed<UsersRead>,
    Path(id): Path<String>,
    conditions: Conditions,
) -> Result<Response, Refused> {
    let Authenticated { mut tx, viewer, .. } = allowed.by;
    let user = super::find(&mut tx, parse(&id)?).await?;
    conditions.answer(&viewer.shows(user))
}

/// With `If-Match`: locks the row of the user; 412 if it changed since it was read.
async fn unchanged(
    tx: &mut TenantTx,
    viewer: &Viewer,
    id: UserId,
    conditions: &Conditions,
) -> Result<(), Refused> {
    if conditions.demand_unchanged() {
        conditions.check(&viewer.shows(super::store::lock(tx, id).await?))?;
    }
    Ok(())
}

/// Changes a user; what is absent stays.
#[utoipa::path(
    patch, path = "/api/user/users/{id}/", tag = "People", operation_id = "users_update", summary = "Change a person",
    description = "Needs `users.write` and a rank above theirs. What is absent stays, and so does a field \
        that is sent as it was shown, masked; another mask is a 400. Access tokens end with a change of status, roles or password.",
    params(("id" = Uuid, Path), IfMatch),
    request_body(content = UserIn, example = json!({"first_name": "Grace", "status": "suspended"})),
    responses(
        (status = 200, description = "Changed", body = UserOut, example = json!(example())),
        (status = 409, description = "The last active root-admin cannot go", body = described::Refused),
        (status = 412, description = "Changed since it was read", body = described::Refused),
    )
)]
pub async fn update(
    State(control): State<Control>,
    allowed: Allowed<UsersWrite>,
    Path(id): Path<String>,
    conditions: Conditions,
    Json(change): Json<Typed<Change>>,
) -> Result<Response, Refused> {
    apply(&control, allowed, &id, &conditions, change).await
}

/// Changes a user; the user name must be given.
#[utoipa::path(
    put, path = "/api/user/users/{id}/", tag = "People", operation_id = "users_replace", summary = "Change a person, whose user name must be given",
    description = "As PATCH; clients of the old service send all they know. Who is not shown user names uses PATCH.",
    params(("id" = Uuid, Path), IfMatch),
    request_body(content = NewUserIn, example = json!({"username": "grace", "phone": "+1 555 0100"})),
    responses(
        (status = 200, description = "Changed", body = UserOut, example = json!(example())),
        (status = 409, description = "The last active root-admin cannot go", body = described::Refused),
        (status = 412, description = "Changed since it was read", body = described::Refused),
    )
)]
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
    mut typed: Typed<Change>,
) -> Result<Response, Refused> {
    let Authenticated { mut tx, actor, viewer, .. } = allowed.by;
    let password = typed.password.take();
    let user_id = parse(id)?;
    let (target, permission) = (user_id.to_string(), UsersWrite::PERMISSION);
    if password.is_some() {
        // Looked at before the hash, so that a refusal costs none, and again after it.
        unchanged(&mut tx, &viewer, user_id, conditions).await?;
        let may = super::may_change(&mut tx, &actor, user_id, &typed.what).await;
        ((), tx) = ranked(control, tx, &actor, &target, permission, may).await?;
    }
    let whose = (user_id, Chooser::of(&actor, user_id));
    let (password, mut tx) = Successor::between(control, &control.hasher, tx, whose, password).await?;
    unchanged(&mut tx, &viewer, user_id, conditions).await?;
    let change = typed.by(&viewer, user_id, password);
    let outcome = super::change(control, &mut tx, &actor, user_id, change).await;
    let (user, tx) = ranked(control, tx, &actor, &target, permission, outcome).await?;
    let in_force = in_force::commit(control, tx).await?;
    Ok(in_force.on(changed(&viewer.shows(user))?))
}

/// Deletes a user: 204; 409 for the last active root-admin.
#[utoipa::path(
    delete, path = "/api/user/users/{id}/", tag = "People", operation_id = "users_delete", summary = "Delete a person",
    description = "Needs `users.delete` and a rank above theirs. Their sessions end.",
    params(("id" = Uuid, Path), IfMatch),
    responses(
        (status = 204, description = "Deleted"),
        (status = 409, description = "The last active root-admin cannot go", body = described::Refused),
        (status = 412, description = "Changed since it was read", body = described::Refused),
    )
)]
pub async fn delete(
    State(control): State<Control>,
    allowed: Allowed<UsersDelete>,
    Path(id): Path<String>,
    conditions: Conditions,
) -> Result<Response, Refused> {
    let Authenticated { mut tx, actor, viewer, .. } = allowed.by;
    let user_id = parse(&id)?;
    unchanged(&mut tx, &viewer, user_id, &conditions).await?;
    let deleted = super::delete(&control, &mut tx, &actor, user_id).await;
    let target = user_id.to_string();
    let ((), tx) = ranked(&control, tx, &actor, &target, UsersDelete::PERMISSION, deleted).await?;
    Ok(in_force::commit(&control, tx).await?.on(no_content()))
}

/// Ends all sessions of a user: 204.
#[utoipa::path(
    delete, path = "/api/user/users/{id}/sessions/", tag = "People", operation_id = "users_end_sessions", summary = "End all sessions of a person",
    description = "Needs `sessions.end`, and a rank above theirs unless they are one's own.",
    params(("id" = Uuid, Path)),
    responses((status = 204, description = "Ended"))
)]
pub async fn end_sessions(
    State(control): State<Control>,
    allowed: Allowed<SessionsEnd>,
    Path(id): Path<String>,
) -> Result<Response, Refused> {
    let Authenticated { mut tx, actor, .. } = allowed.by;
    let user_id = parse(&id)?;
    let ended = super::end_sessions(&control, &mut tx, &actor, user_id).await;
    let target = user_id.to_string();
    let ((), tx) = ranked(&control, tx, &actor, &target, SessionsEnd::PERMISSION, ended).await?;
    Ok(in_force::commit(&control, tx).await?.on(no_content()))
}

/// One's own account.
#[utoipa::path(
    get, path = "/api/user/me/", tag = "People", operation_id = "me", summary = "Read one's own account",
    description = "For any user who is signed in. One's own account is shown whole, whatever one's roles show of \
        others.",
    responses((status = 200, description = "The caller", body = UserOut, example = json!(example())))
)]
pub async fn me(me: Me) -> Response {
    ok(&me.by.viewer.shows(me.by.user))
}

fn parse(id: &str) -> Result<UserId, UserError> {
    UserId::parse(id).map_err(|_| UserError::NotFound)
}

/// A refusal of rank is a refusal of permission, and is written down as one.
async fn ranked<T>(
    control: &Control,
    tx: TenantTx,
    actor: &Actor,
    target: &str,
    permission: Permission,
    outcome: Result<T, UserError>,
) -> Result<(T, TenantTx), Refused> {
    match outcome {
        Ok(done) => Ok((done, tx)),
        Err(UserError::Rank) => Err(outranked(control, tx, actor, target, permission).await),
        Err(other) => Err(other.into()),
    }
}

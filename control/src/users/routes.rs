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
use super::out::{BranchPermissionsOut, MeOut, example, example_of_me};
use super::{Change, Chooser, Matching, NewUser, Successor, UserError, UserOut, Viewer};
use crate::access::{Authenticated, Me, Within, outranked};
use crate::audit::Actor;
use crate::control::Control;
use crate::db::TenantTx;
use crate::edges::in_force;
use crate::http::answer::{Refused, no_content, ok};
use crate::http::body::Json;
use crate::http::described::{CreatedAt, Cursor, IdempotencyKey, IfMatch, IfNoneMatch, Ordering, Paging};
use crate::http::list::ListQuery;
use crate::http::once::{Found, Once};
use crate::http::page::ListOut;
use crate::http::validators::{Conditions, changed, made};
use crate::passwords::Hashed;

/// Lists users. 400 for an order that would decrypt more users than the limit; 503
/// while the search index is rebuilt.
#[utoipa::path(
    get, path = "/api/user/users/", tag = "Users", operation_id = "users_list", summary = "List users",
    description = "Needs `users.read`. A personal field that the caller does not see in clear cannot be filtered, \
        searched or ordered by (400). `search` reads user name, address, first and last name. A cursor is valid for \
        callers who see the same fields. `ordering` by `username` or `email` is case-insensitive and limited to 10,000 \
        matching users (400 beyond). A `search` with more than 2,000 candidates is filtered page by page: `count` is \
        then an estimate, unless every word has at most three letters or `count=exact` is given (which decrypts up to \
        100,000 users), and a page may hold fewer users than its size while `next` leads on.",
    params(Filters, CreatedAt, DateJoined, Ordering, Paging, Cursor),
    responses(
        (status = 200, description = "One page of the list", body = ListOut<UserOut>, example = json!({
            "count": 1, "next": null, "previous": null, "results": [example()],
        })),
        (status = 503, description = "The service is temporarily unavailable; or, with the code `rebuilding`, the index for `search` is being rebuilt. `Retry-After` says when to try again", body = described::Refused,
            headers(("Retry-After" = String, description = "Seconds")),
            example = json!({"detail": "The search index is being rebuilt.", "code": "rebuilding"})),
    )
)]
pub async fn list(
    State(control): State<Control>,
    within: Within<UsersRead>,
    asked: ListQuery<Filters>,
) -> Result<Response, Refused> {
    let Authenticated { tx, viewer, .. } = within.by;
    let (permitted, part) = viewer.asked(asked)?;
    let tx = tx.for_long_read(&control.db).await?;
    let (matching, mut tx) = Matching::of(tx, permitted).await?;
    let count = super::count(&mut tx, &matching, part.counts_all()).await?;
    let span = part.of(&mut tx, count).await?;
    let users = super::list(&mut tx, &matching, &span.rows).await?;
    span.answer_some(users, |user| matching.holds(&user).then(|| viewer.shows(user)))
}

/// Creates a user, once for an `Idempotency-Key`: 201; 400 with all errors; 403 for a role at or above the caller's
/// own rank.
#[utoipa::path(
    post, path = "/api/user/users/", tag = "Users", operation_id = "users_create", summary = "Create a user",
    description = "Needs `users.write`. The roles must be below the caller's own rank, with permissions that the \
        caller has; without any, the user is a `client`. All errors are reported at once.",
    params(IdempotencyKey),
    request_body(content = NewUserIn, example = json!({
        "username": "grace", "email": "grace@acme.example", "password": "correct horse battery staple",
        "first_name": "Grace", "last_name": "Hopper", "phone": "+1 555 0100", "roles": ["staff"],
    })),
    responses(
        (status = 201, description = "Created", body = UserOut, example = json!(example())),
        (status = 409, description = "A request with this `Idempotency-Key` is still running", body = described::Refused),
        (status = 422, description = "The `Idempotency-Key` was used for another request", body = described::Refused),
    )
)]
pub async fn create(
    State(control): State<Control>,
    within: Within<UsersWrite>,
    Once { what: Typed { what, password }, key }: Once<Typed<NewUser>>,
) -> Result<Response, Refused> {
    let Authenticated { mut tx, actor, viewer, user: by, .. } = within.by;
    if password.is_some() {
        // Neither a repeat nor a refusal costs a hash.
        if let Some(key) = &key
            && let Found::Done(id) = key.claim(&control, &mut tx, by.id).await?
        {
            return made(&viewer.shows(super::find(&mut tx, id.into()).await?));
        }
        let may = super::may_create(&mut tx, &actor, &what.roles, what.branch).await;
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

/// Reads a user: 404 for an id that does not exist or does not parse.
#[utoipa::path(
    get, path = "/api/user/users/{id}/", tag = "Users", operation_id = "users_read", summary = "Read a user",
    description = "Needs `users.read`. The caller's roles decide how each personal field of another user is shown: \
        in clear, masked (then `masked` names it), or not at all. The `ETag` is computed over what is shown.",
    params(("id" = Uuid, Path), IfNoneMatch),
    responses(
        (status = 200, description = "The user, with an `ETag`", body = UserOut, example = json!(example())),
        (status = 304, description = "Not modified: the client's copy is current"),
    )
)]
pub async fn read(
    within: Within<UsersRead>,
    Path(id): Path<String>,
    conditions: Conditions,
) -> Result<Response, Refused> {
    let Authenticated { mut tx, viewer, .. } = within.by;
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

/// Changes a user; absent fields stay unchanged.
#[utoipa::path(
    patch, path = "/api/user/users/{id}/", tag = "Users", operation_id = "users_update", summary = "Change a user",
    description = "Needs `users.write` and a rank above the user's. Added roles must have only permissions that the \
        caller has; a change of password or address, and making a user active again, needs each permission of the \
        user. An absent field stays \
        unchanged, and so does a field that is sent exactly as it was shown, masked; any other mask is a 400. A change \
        of status, roles or password invalidates the user's access tokens.",
    params(("id" = Uuid, Path), IfMatch),
    request_body(content = UserIn, example = json!({"first_name": "Grace", "status": "suspended"})),
    responses(
        (status = 200, description = "Changed", body = UserOut, example = json!(example())),
        (status = 409, description = "The tenant would be left without an active root-admin", body = described::Refused),
        (status = 412, description = "The object was changed after it was read", body = described::Refused),
    )
)]
pub async fn update(
    State(control): State<Control>,
    within: Within<UsersWrite>,
    Path(id): Path<String>,
    conditions: Conditions,
    Json(change): Json<Typed<Change>>,
) -> Result<Response, Refused> {
    apply(&control, within, &id, &conditions, change).await
}

/// Changes a user; the user name is required.
#[utoipa::path(
    put, path = "/api/user/users/{id}/", tag = "Users", operation_id = "users_replace", summary = "Change a user; the user name is required",
    description = "Needs `users.write` and a rank above the user's. As PATCH: absent fields stay unchanged. A caller \
        who does not see user names uses PATCH.",
    params(("id" = Uuid, Path), IfMatch),
    request_body(content = NewUserIn, example = json!({"username": "grace", "phone": "+1 555 0100"})),
    responses(
        (status = 200, description = "Changed", body = UserOut, example = json!(example())),
        (status = 409, description = "The tenant would be left without an active root-admin", body = described::Refused),
        (status = 412, description = "The object was changed after it was read", body = described::Refused),
    )
)]
pub async fn replace(
    State(control): State<Control>,
    within: Within<UsersWrite>,
    Path(id): Path<String>,
    conditions: Conditions,
    Json(Replacement(change)): Json<Replacement>,
) -> Result<Response, Refused> {
    apply(&control, within, &id, &conditions, change).await
}

async fn apply(
    control: &Control,
    within: Within<UsersWrite>,
    id: &str,
    conditions: &Conditions,
    mut typed: Typed<Change>,
) -> Result<Response, Refused> {
    let Authenticated { mut tx, actor, viewer, .. } = within.by;
    let password = typed.password.take();
    let user_id = parse(id)?;
    let (target, permission) = (user_id.to_string(), UsersWrite::PERMISSION);
    if password.is_some() {
        // Checked before the hash, so that a refusal costs none, and again after it.
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
    delete, path = "/api/user/users/{id}/", tag = "Users", operation_id = "users_delete", summary = "Delete a user",
    description = "Needs `users.delete` and a rank above the user's. The user's sessions end.",
    params(("id" = Uuid, Path), IfMatch),
    responses(
        (status = 204, description = "Deleted"),
        (status = 409, description = "The tenant would be left without an active root-admin", body = described::Refused),
        (status = 412, description = "The object was changed after it was read", body = described::Refused),
    )
)]
pub async fn delete(
    State(control): State<Control>,
    within: Within<UsersDelete>,
    Path(id): Path<String>,
    conditions: Conditions,
) -> Result<Response, Refused> {
    let Authenticated { mut tx, actor, viewer, .. } = within.by;
    let user_id = parse(&id)?;
    unchanged(&mut tx, &viewer, user_id, &conditions).await?;
    let deleted = super::delete(&control, &mut tx, &actor, user_id).await;
    let target = user_id.to_string();
    let ((), tx) = ranked(&control, tx, &actor, &target, UsersDelete::PERMISSION, deleted).await?;
    Ok(in_force::commit(&control, tx).await?.on(no_content()))
}

/// Ends all sessions of a user: 204.
#[utoipa::path(
    delete, path = "/api/user/users/{id}/sessions/", tag = "Users", operation_id = "users_end_sessions", summary = "End all sessions of a user",
    description = "Needs `sessions.end` and a rank above the user's, or the caller's own id.",
    params(("id" = Uuid, Path)),
    responses((status = 204, description = "Ended"))
)]
pub async fn end_sessions(
    State(control): State<Control>,
    within: Within<SessionsEnd>,
    Path(id): Path<String>,
) -> Result<Response, Refused> {
    let Authenticated { mut tx, actor, .. } = within.by;
    let user_id = parse(&id)?;
    let ended = super::end_sessions(&control, &mut tx, &actor, user_id).await;
    let target = user_id.to_string();
    let ((), tx) = ranked(&control, tx, &actor, &target, SessionsEnd::PERMISSION, ended).await?;
    Ok(in_force::commit(&control, tx).await?.on(no_content()))
}

/// Reads the caller's own account.
#[utoipa::path(
    get, path = "/api/user/me/", tag = "Users", operation_id = "me", summary = "Read the caller's own account",
    description = "For any signed-in user. All fields are shown in clear, whatever the caller's roles show of other \
        users. `permissions` lists what the caller may do now.",
    responses((status = 200, description = "The caller", body = MeOut, example = json!(example_of_me())))
)]
pub async fn me(me: Me) -> Response {
    let permissions = me.by.permissions();
    let in_branches = me.by.branch_permissions().into_iter();
    let branch_permissions =
        in_branches.map(|(branch, permissions)| BranchPermissionsOut { branch, permissions }).collect();
    ok(&MeOut { user: me.by.viewer.shows(me.by.user), permissions, branch_permissions })
}

fn parse(id: &str) -> Result<UserId, UserError> {
    UserId::parse(id).map_err(|_| UserError::NotFound)
}

/// Turns a refusal of rank into a 403 and its entry in the audit log.
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

//! `/api/tenant/branches/`.

use axum::extract::{Path, State};
use axum::response::Response;
use shared::contract::openapi as described;
use shared::contract::permissions::Permitted as _;
use shared::contract::permissions::marker::{BranchesRead, BranchesWrite};
use uuid::Uuid;

use super::filters::{Filters, selected};
use super::input::{BranchIn, NewBranchIn};
use super::out::{example, out};
use super::{BranchChange, BranchError, BranchOut, NewBranch, store};
use crate::access::{Allowed, Authenticated, Within, outranked};
use crate::audit::Actor;
use crate::control::Control;
use crate::db::TenantTx;
use crate::http::answer::{Refused, no_content};
use crate::http::body::Json;
use crate::http::described::{IfMatch, IfNoneMatch, Ordering, Paging};
use crate::http::list::ListQuery;
use crate::http::page::ListOut;
use crate::http::validators::{Conditions, changed, made};

/// Lists the tenant's branches.
#[utoipa::path(
    get, path = "/api/tenant/branches/", tag = "Branches", operation_id = "branches_list", summary = "List branches",
    description = "Needs `branches.read`; by a role of a branch, that branch and those below it are listed. `search` \
        reads the name. The default order is that of the tree: every branch is followed by those below it.",
    params(Filters, Ordering, Paging),
    responses((status = 200, description = "One page of the list", body = ListOut<BranchOut>, example = json!({
        "count": 1, "next": null, "previous": null, "results": [example()],
    })))
)]
pub async fn list(
    within: Within<BranchesRead>,
    ListQuery { filters, part }: ListQuery<Filters>,
) -> Result<Response, Refused> {
    let Authenticated { mut tx, .. } = within.by;
    let all = store::all(&mut tx).await?;
    let branches = selected(all, tx.scope(), &filters, part.order());
    part.of_all(branches.into_iter().map(BranchOut::from).collect())
}

/// Creates a branch: 201; 400 with all errors; 409 above the limit.
#[utoipa::path(
    post, path = "/api/tenant/branches/", tag = "Branches", operation_id = "branches_create", summary = "Create a branch",
    description = "Needs `branches.write`. The tree has at most 8 levels. All errors are reported at once.",
    request_body(content = NewBranchIn, example = json!({
        "name": "Berlin", "parent": "019a1f0e-7d9e-7f43-8e50-1b2c3d4e5f60",
    })),
    responses(
        (status = 201, description = "Created, with an `ETag`", body = BranchOut, example = json!(example())),
        (status = 409, description = "The tenant has as many branches as it may", body = described::Refused),
    )
)]
pub async fn create(
    State(control): State<Control>,
    allowed: Allowed<BranchesWrite>,
    Json(new): Json<NewBranch>,
) -> Result<Response, Refused> {
    let Authenticated { mut tx, actor, .. } = allowed.by;
    let created = super::create(&control, &mut tx, &actor, new).await;
    let (branch, mut tx) = ranked(&control, tx, &actor, "new", created).await?;
    let branch = out(&mut tx, branch).await?;
    tx.commit().await?;
    made(&branch)
}

/// Reads a branch: 404 for an id that does not exist or does not parse.
#[utoipa::path(
    get, path = "/api/tenant/branches/{id}/", tag = "Branches", operation_id = "branches_read", summary = "Read a branch",
    description = "Needs `branches.read`.",
    params(("id" = Uuid, Path), IfNoneMatch),
    responses(
        (status = 200, description = "The branch, with an `ETag`", body = BranchOut, example = json!(example())),
        (status = 304, description = "Not modified: the client's copy is current"),
    )
)]
pub async fn read(
    within: Within<BranchesRead>,
    Path(id): Path<String>,
    conditions: Conditions,
) -> Result<Response, Refused> {
    let Authenticated { mut tx, .. } = within.by;
    let branch = store::find(&mut tx, parse(&id)?).await?.ok_or(BranchError::NotFound)?;
    conditions.answer(&out(&mut tx, branch).await?)
}

/// Changes a branch; absent fields stay unchanged.
#[utoipa::path(
    patch, path = "/api/tenant/branches/{id}/", tag = "Branches", operation_id = "branches_update", summary = "Rename, move or archive a branch",
    description = "Needs `branches.write`. The branches below a branch move with it. After a move, roles \
        of the branches above have power over its users: 403 unless the caller has these permissions over them. A move (`parent`) needs a recent sign-in or step-up.",
    params(("id" = Uuid, Path), IfMatch),
    request_body(content = BranchIn, example = json!({"name": "Berlin-Mitte", "parent": null})),
    responses(
        (status = 200, description = "Changed", body = BranchOut, example = json!(example())),
        (status = 412, description = "The object was changed after it was read", body = described::Refused),
    )
)]
pub async fn update(
    State(control): State<Control>,
    allowed: Allowed<BranchesWrite>,
    Path(id): Path<String>,
    conditions: Conditions,
    Json(change): Json<BranchChange>,
) -> Result<Response, Refused> {
    let Authenticated { mut tx, actor, .. } = allowed.by;
    let id = parse(&id)?;
    unchanged(&mut tx, id, &conditions).await?;
    let edited = super::edit(&control, &mut tx, &actor, id, change).await;
    let (branch, mut tx) = ranked(&control, tx, &actor, &id.to_string(), edited).await?;
    let branch = out(&mut tx, branch).await?;
    tx.commit().await?;
    changed(&branch)
}

/// Deletes an empty branch: 204; 409 for one that is in use.
#[utoipa::path(
    delete, path = "/api/tenant/branches/{id}/", tag = "Branches", operation_id = "branches_delete", summary = "Delete a branch",
    description = "Needs `branches.write`.",
    params(("id" = Uuid, Path), IfMatch),
    responses(
        (status = 204, description = "Deleted"),
        (status = 409, description = "Users or branches are in it, or roles name it", body = described::Refused, example = json!({
            "detail": "The branch is in use: 2 users are in it.", "code": "branch_in_use", "users": 2, "branches": 0, "roles": [],
        })),
        (status = 412, description = "The object was changed after it was read", body = described::Refused),
    )
)]
pub async fn delete(
    State(control): State<Control>,
    allowed: Allowed<BranchesWrite>,
    Path(id): Path<String>,
    conditions: Conditions,
) -> Result<Response, Refused> {
    let Authenticated { mut tx, actor, .. } = allowed.by;
    let id = parse(&id)?;
    unchanged(&mut tx, id, &conditions).await?;
    let deleted = super::delete(&control, &mut tx, &actor, id).await;
    let ((), tx) = ranked(&control, tx, &actor, &id.to_string(), deleted).await?;
    tx.commit().await?;
    Ok(no_content())
}

fn parse(id: &str) -> Result<Uuid, BranchError> {
    shared::ids::uuid(id).map_err(|_| BranchError::NotFound)
}

/// With `If-Match`: locks the row of the branch; 412 if it changed since it was read.
async fn unchanged(tx: &mut TenantTx, id: Uuid, conditions: &Conditions) -> Result<(), Refused> {
    if conditions.demand_unchanged() {
        let branch = super::lock(tx, id).await?;
        conditions.check(&out(tx, branch).await?)?;
    }
    Ok(())
}

/// Turns a refusal of rank into a 403 and its entry in the audit log.
async fn ranked<T>(
    control: &Control,
    tx: TenantTx,
    actor: &Actor,
    target: &str,
    outcome: Result<T, BranchError>,
) -> Result<(T, TenantTx), Refused> {
    match outcome {
        Ok(done) => Ok((done, tx)),
        Err(BranchError::Rank) => Err(outranked(control, tx, actor, target, BranchesWrite::PERMISSION).await),
        Err(other) => Err(other.into()),
    }
}

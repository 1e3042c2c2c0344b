//! `/api/user/profile/`: for any signed-in user.

use axum::extract::{Path, State};
use axum::response::Response;
use shared::contract::openapi as described;

use super::Asked;
use crate::access::Me;
use crate::control::Control;
use crate::http::answer::Refused;
use crate::http::body::Json;
use crate::http::described::{IfMatch, IfNoneMatch, Paging};
use crate::http::list::{ListQuery, Unfiltered};
use crate::http::page::ListOut;
use crate::http::validators::Conditions;
use crate::profiles::input::{EntryIn, Given, Names, NamesIn};
use crate::profiles::out::{EntrySchema, ProfileOut, entry_example, example};

/// Reads the caller's own profile.
#[utoipa::path(
    get, path = "/api/user/profile/", tag = "Profiles", operation_id = "profile_read", summary = "Read the caller's own profile",
    description = "For any signed-in user. All sections in their order, and how complete the profile is.",
    params(IfNoneMatch),
    responses(
        (status = 200, description = "The profile, with an `ETag`", body = ProfileOut, example = json!(example())),
        (status = 304, description = "Not modified: the client's copy is current"),
    )
)]
pub async fn read(
    State(control): State<Control>,
    me: Me,
    conditions: Conditions,
) -> Result<Response, Refused> {
    Asked::own(&control, me.by).whole(&conditions).await
}

/// Changes names, telephone number or language; absent fields stay unchanged.
#[utoipa::path(
    patch, path = "/api/user/profile/", tag = "Profiles", operation_id = "profile_update", summary = "Change names, telephone number or language",
    description = "For any signed-in user. The sections are changed by their own routes.",
    params(IfMatch),
    request_body(content = NamesIn, example = json!({"first_name": "Grace", "phone": "+1 555 0100"})),
    responses(
        (status = 200, description = "Changed", body = ProfileOut, example = json!(example())),
        (status = 412, description = "The object was changed after it was read", body = described::Refused),
    )
)]
pub async fn update(
    State(control): State<Control>,
    me: Me,
    conditions: Conditions,
    Json(names): Json<Names>,
) -> Result<Response, Refused> {
    Asked::own(&control, me.by).rename(&conditions, names).await
}

/// Lists the entries of a section: 404 for an unknown section.
#[utoipa::path(
    get, path = "/api/user/profile/{section}/", tag = "Profiles", operation_id = "profile_entries_list", summary = "List a section of the caller's own profile",
    description = "For any signed-in user. In the order of `position`.",
    params(("section" = String, Path, description = "`qualifications`, `employment`, `skills` or `certifications`"), Paging),
    responses((status = 200, description = "One page of the list", body = ListOut<EntrySchema>, example = json!({
        "count": 1, "next": null, "previous": null, "results": [entry_example()],
    })))
)]
pub async fn list(
    State(control): State<Control>,
    me: Me,
    Path(section): Path<String>,
    ListQuery { part, .. }: ListQuery<Unfiltered>,
) -> Result<Response, Refused> {
    Asked::own(&control, me.by).list(&section, &part).await
}

/// Adds an entry to a section: 201; 400 with all errors; 409 above the limit.
#[utoipa::path(
    post, path = "/api/user/profile/{section}/", tag = "Profiles", operation_id = "profile_entries_create", summary = "Add an entry to the caller's own profile",
    description = "For any signed-in user. All errors are reported at once.",
    params(("section" = String, Path, description = "`qualifications`, `employment`, `skills` or `certifications`")),
    request_body(content = EntryIn, example = json!({"name": "Rust", "level": "advanced", "years": 6})),
    responses(
        (status = 201, description = "Created, with an `ETag`", body = EntrySchema, example = json!(entry_example())),
        (status = 409, description = "The section has as many entries as it may", body = described::Refused),
    )
)]
pub async fn create(
    State(control): State<Control>,
    me: Me,
    Path(section): Path<String>,
    Json(given): Json<Given>,
) -> Result<Response, Refused> {
    Asked::own(&control, me.by).create(&section, given).await
}

/// Reads an entry: 404 for an id that the section of the caller does not have.
#[utoipa::path(
    get, path = "/api/user/profile/{section}/{id}/", tag = "Profiles", operation_id = "profile_entries_read", summary = "Read an entry of the caller's own profile",
    description = "For any signed-in user.",
    params(("section" = String, Path, description = "`qualifications`, `employment`, `skills` or `certifications`"), ("id" = Uuid, Path), IfNoneMatch),
    responses(
        (status = 200, description = "The entry, with an `ETag`", body = EntrySchema, example = json!(entry_example())),
        (status = 304, description = "Not modified: the client's copy is current"),
    )
)]
pub async fn read_entry(
    State(control): State<Control>,
    me: Me,
    Path((section, id)): Path<(String, String)>,
    conditions: Conditions,
) -> Result<Response, Refused> {
    Asked::own(&control, me.by).entry((&section, &id), &conditions).await
}

/// Changes an entry, moves it, or both; absent fields stay unchanged.
#[utoipa::path(
    patch, path = "/api/user/profile/{section}/{id}/", tag = "Profiles", operation_id = "profile_entries_update", summary = "Change or move an entry of the caller's own profile",
    description = "For any signed-in user. `position` moves the entry; the entries behind it follow.",
    params(("section" = String, Path, description = "`qualifications`, `employment`, `skills` or `certifications`"), ("id" = Uuid, Path), IfMatch),
    request_body(content = EntryIn, example = json!({"years": 7, "position": 0})),
    responses(
        (status = 200, description = "Changed", body = EntrySchema, example = json!(entry_example())),
        (status = 412, description = "The object was changed after it was read", body = described::Refused),
    )
)]
pub async fn update_entry(
    State(control): State<Control>,
    me: Me,
    Path((section, id)): Path<(String, String)>,
    conditions: Conditions,
    Json(given): Json<Given>,
) -> Result<Response, Refused> {
    Asked::own(&control, me.by).edit((&section, &id), &conditions, given).await
}

/// Deletes an entry: 204.
#[utoipa::path(
    delete, path = "/api/user/profile/{section}/{id}/", tag = "Profiles", operation_id = "profile_entries_delete", summary = "Delete an entry of the caller's own profile",
    description = "For any signed-in user.",
    params(("section" = String, Path, description = "`qualifications`, `employment`, `skills` or `certifications`"), ("id" = Uuid, Path), IfMatch),
    responses(
        (status = 204, description = "Deleted"),
        (status = 412, description = "The object was changed after it was read", body = described::Refused),
    )
)]
pub async fn delete_entry(
    State(control): State<Control>,
    me: Me,
    Path((section, id)): Path<(String, String)>,
    conditions: Conditions,
) -> Result<Response, Refused> {
    Asked::own(&control, me.by).delete((&section, &id), &conditions).await
}

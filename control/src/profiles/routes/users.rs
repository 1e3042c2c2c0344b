//! `/api/user/users/<id>/profile/`: for administrators.

use axum::extract::{Path, State};
use axum::response::Response;
use shared::contract::openapi as described;
use shared::contract::permissions::Permitted as _;
use shared::contract::permissions::marker::{UsersRead, UsersWrite};

use super::Asked;
use crate::access::Within;
use crate::control::Control;
use crate::http::answer::Refused;
use crate::http::body::Json;
use crate::http::described::{IfMatch, IfNoneMatch, Paging};
use crate::http::list::{ListQuery, Unfiltered};
use crate::http::page::ListOut;
use crate::http::validators::Conditions;
use crate::profiles::input::{EntryIn, Given, Names, NamesIn};
use crate::profiles::out::{EntrySchema, ProfileOut, entry_example, example};

/// Reads the profile of a user.
#[utoipa::path(
    get, path = "/api/user/users/{id}/profile/", tag = "Profiles", operation_id = "users_profile_read", summary = "Read a user's profile",
    description = "Needs `users.read`. All sections in their order, and how complete the profile is. The caller's roles decide what is shown: names and telephone number as in `/api/user/users/`, and the sections only if they show `profile` in clear.",
    params(("id" = Uuid, Path), IfNoneMatch),
    responses(
        (status = 200, description = "The profile, with an `ETag`", body = ProfileOut, example = json!(example())),
        (status = 304, description = "Not modified: the client's copy is current"),
    )
)]
pub async fn read(
    State(control): State<Control>,
    within: Within<UsersRead>,
    Path(id): Path<String>,
    conditions: Conditions,
) -> Result<Response, Refused> {
    Asked::of(&control, within.by, &id, UsersRead::PERMISSION)?.whole(&conditions).await
}

/// Changes names, telephone number or language; absent fields stay unchanged.
#[utoipa::path(
    patch, path = "/api/user/users/{id}/profile/", tag = "Profiles", operation_id = "users_profile_update", summary = "Change names, telephone number or language",
    description = "Needs `users.write` and a rank above the user's, or the caller's own id. The sections are changed by their own routes. A field that is sent exactly as it was shown, masked, stays unchanged.",
    params(("id" = Uuid, Path), IfMatch),
    request_body(content = NamesIn, example = json!({"first_name": "Grace", "phone": "+1 555 0100"})),
    responses(
        (status = 200, description = "Changed", body = ProfileOut, example = json!(example())),
        (status = 412, description = "The object was changed after it was read", body = described::Refused),
    )
)]
pub async fn update(
    State(control): State<Control>,
    within: Within<UsersWrite>,
    Path(id): Path<String>,
    conditions: Conditions,
    Json(names): Json<Names>,
) -> Result<Response, Refused> {
    Asked::of(&control, within.by, &id, UsersWrite::PERMISSION)?.rename(&conditions, names).await
}

/// Lists the entries of a section: 404 for an unknown section or user; 403 if the caller does not see profiles.
#[utoipa::path(
    get, path = "/api/user/users/{id}/profile/{section}/", tag = "Profiles", operation_id = "users_profile_entries_list", summary = "List a section of a user's profile",
    description = "Needs `users.read`. In the order of `position`. 403 if the caller's roles do not show `profile` of other users.",
    params(("id" = Uuid, Path), ("section" = String, Path, description = "`qualifications`, `employment`, `skills` or `certifications`"), Paging),
    responses((status = 200, description = "One page of the list", body = ListOut<EntrySchema>, example = json!({
        "count": 1, "next": null, "previous": null, "results": [entry_example()],
    })))
)]
pub async fn list(
    State(control): State<Control>,
    within: Within<UsersRead>,
    Path((id, section)): Path<(String, String)>,
    ListQuery { part, .. }: ListQuery<Unfiltered>,
) -> Result<Response, Refused> {
    Asked::of(&control, within.by, &id, UsersRead::PERMISSION)?.list(&section, &part).await
}

/// Adds an entry to a section: 201; 400 with all errors; 403 for a user at or above the caller's rank; 409 above the limit.
#[utoipa::path(
    post, path = "/api/user/users/{id}/profile/{section}/", tag = "Profiles", operation_id = "users_profile_entries_create", summary = "Add an entry to a user's profile",
    description = "Needs `users.write` and a rank above the user's, or the caller's own id. All errors are reported at once. 403 if the caller's roles do not show `profile` of other users.",
    params(("id" = Uuid, Path), ("section" = String, Path, description = "`qualifications`, `employment`, `skills` or `certifications`")),
    request_body(content = EntryIn, example = json!({"name": "Rust", "level": "advanced", "years": 6})),
    responses(
        (status = 201, description = "Created, with an `ETag`", body = EntrySchema, example = json!(entry_example())),
        (status = 409, description = "The section has as many entries as it may", body = described::Refused),
    )
)]
pub async fn create(
    State(control): State<Control>,
    within: Within<UsersWrite>,
    Path((id, section)): Path<(String, String)>,
    Json(given): Json<Given>,
) -> Result<Response, Refused> {
    Asked::of(&control, within.by, &id, UsersWrite::PERMISSION)?.create(&section, given).await
}

/// Reads an entry: 404 for an id that the section of the user does not have.
#[utoipa::path(
    get, path = "/api/user/users/{id}/profile/{section}/{entry}/", tag = "Profiles", operation_id = "users_profile_entries_read", summary = "Read an entry of a user's profile",
    description = "Needs `users.read`. 403 if the caller's roles do not show `profile` of other users.",
    params(("id" = Uuid, Path), ("section" = String, Path, description = "`qualifications`, `employment`, `skills` or `certifications`"), ("entry" = Uuid, Path), IfNoneMatch),
    responses(
        (status = 200, description = "The entry, with an `ETag`", body = EntrySchema, example = json!(entry_example())),
        (status = 304, description = "Not modified: the client's copy is current"),
    )
)]
pub async fn read_entry(
    State(control): State<Control>,
    within: Within<UsersRead>,
    Path((id, section, entry)): Path<(String, String, String)>,
    conditions: Conditions,
) -> Result<Response, Refused> {
    Asked::of(&control, within.by, &id, UsersRead::PERMISSION)?.entry((&section, &entry), &conditions).await
}

/// Changes an entry, moves it, or both; absent fields stay unchanged.
#[utoipa::path(
    patch, path = "/api/user/users/{id}/profile/{section}/{entry}/", tag = "Profiles", operation_id = "users_profile_entries_update", summary = "Change or move an entry of a user's profile",
    description = "Needs `users.write` and a rank above the user's, or the caller's own id. `position` moves the entry; the entries behind it follow. 403 if the caller's roles do not show `profile` of other users.",
    params(("id" = Uuid, Path), ("section" = String, Path, description = "`qualifications`, `employment`, `skills` or `certifications`"), ("entry" = Uuid, Path), IfMatch),
    request_body(content = EntryIn, example = json!({"years": 7, "position": 0})),
    responses(
        (status = 200, description = "Changed", body = EntrySchema, example = json!(entry_example())),
        (status = 412, description = "The object was changed after it was read", body = described::Refused),
    )
)]
pub async fn update_entry(
    State(control): State<Control>,
    within: Within<UsersWrite>,
    Path((id, section, entry)): Path<(String, String, String)>,
    conditions: Conditions,
    Json(given): Json<Given>,
) -> Result<Response, Refused> {
    Asked::of(&control, within.by, &id, UsersWrite::PERMISSION)?
        .edit((&section, &entry), &conditions, given)
        .await
}

/// Deletes an entry: 204.
#[utoipa::path(
    delete, path = "/api/user/users/{id}/profile/{section}/{entry}/", tag = "Profiles", operation_id = "users_profile_entries_delete", summary = "Delete an entry of a user's profile",
    description = "Needs `users.write` and a rank above the user's, or the caller's own id. 403 if the caller's roles do not show `profile` of other users.",
    params(("id" = Uuid, Path), ("section" = String, Path, description = "`qualifications`, `employment`, `skills` or `certifications`"), ("entry" = Uuid, Path), IfMatch),
    responses(
        (status = 204, description = "Deleted"),
        (status = 412, description = "The object was changed after it was read", body = described::Refused),
    )
)]
pub async fn delete_entry(
    State(control): State<Control>,
    within: Within<UsersWrite>,
    Path((id, section, entry)): Path<(String, String, String)>,
    conditions: Conditions,
) -> Result<Response, Refused> {
    Asked::of(&control, within.by, &id, UsersWrite::PERMISSION)?.delete((&section, &entry), &conditions).await
}

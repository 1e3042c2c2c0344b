//! `POST /api/user/users/<id>/unmask/`.

use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::json;
use shared::contract::limits::REASON_CHARS;
use shared::contract::permissions::marker::UsersUnmask;
use shared::contract::refusal::Refusal;
use shared::tenant::visibility::PersonalField;
use utoipa::ToSchema;

use super::parse;
use crate::access::{Authenticated, Within};
use crate::audit::{self, Action};
use crate::control::Control;
use crate::db::TenantTx;
use crate::failure::Failure;
use crate::http::answer::{Refused, ok};
use crate::http::body::{FromFields, Json};
use crate::http::fields::Fields;
use crate::users::model::User;
use crate::users::visibility::{ShownFields, whole};

/// The fields to be shown, and the reason.
#[derive(ToSchema)]
#[schema(as = Unmask)]
#[allow(dead_code, reason = "described; read by `FromFields`")]
pub struct UnmaskIn {
    /// One or more of `username`, `email`, `first_name`, `last_name`, `phone`, `legacy_id` and `last_login`.
    fields: Vec<String>,
    /// At most 500 characters. It is stored in the audit log.
    reason: String,
}

/// The parsed request.
pub struct Unmask {
    fields: Vec<PersonalField>,
    reason: String,
}

impl FromFields for Unmask {
    fn read(fields: &mut Fields) -> Option<Self> {
        if !fields.has("fields") {
            fields.fault("fields", "This field is required.");
        }
        let named = fields.texts("fields");
        let reason = fields.required_text("reason");
        let asked = named.map(|named| read_fields(fields, &named));
        if let Some(reason) = &reason {
            if reason.chars().count() > REASON_CHARS {
                let longest = format!("Ensure this field has no more than {REASON_CHARS} characters.");
                fields.fault("reason", longest);
            } else if reason.chars().any(char::is_control) {
                fields.fault("reason", "Control characters are not allowed.");
            }
        }
        Some(Self { fields: asked?, reason: reason? })
    }
}

/// The fields, sorted, each once.
fn read_fields(fields: &mut Fields, named: &[String]) -> Vec<PersonalField> {
    let mut asked = Vec::new();
    for name in named {
        // Of the log and of profiles no field is asked for here.
        let of_user =
            |field: &PersonalField| !matches!(field, PersonalField::Client | PersonalField::Profile);
        match PersonalField::parse(name).filter(of_user) {
            Some(field) => asked.push(field),
            None => fields.fault("fields", format!("\"{name}\" is not a valid choice.")),
        }
    }
    if named.is_empty() {
        fields.fault("fields", "This list may not be empty.");
    }
    asked.sort_unstable();
    asked.dedup();
    asked
}

/// Shows personal fields of a user in clear.
///
/// 1. 400 for unknown fields, and without a reason.
/// 2. 404 for an unknown user.
/// 3. 403 for a field that the platform's bounds withhold from the caller's roles; the refusal is logged.
/// 4. The audit entry (caller, user, fields, reason) is committed.
/// 5. 200 with the fields.
#[utoipa::path(
    post, path = "/api/user/users/{id}/unmask/", tag = "Users", operation_id = "users_unmask",
    summary = "Read hidden personal fields of a user",
    description = "Needs `users.unmask` and a reason. Caller, user, fields and reason are committed to the audit log \
        (`user.unmasked`) before the answer is sent. A field that the platform withholds from all of the caller's roles \
        is not shown for any reason (403).",
    params(("id" = Uuid, Path)),
    request_body(content = UnmaskIn, example = json!({
        "fields": ["phone"], "reason": "Ticket 4711: asked to be called back",
    })),
    responses((status = 200, description = "The requested fields", body = ShownFields, example = json!({"phone": "+1 555 0100"})))
)]
pub async fn unmask(
    State(control): State<Control>,
    within: Within<UsersUnmask>,
    Path(id): Path<String>,
    Json(Unmask { fields, reason }): Json<Unmask>,
) -> Result<Response, Refused> {
    let Authenticated { mut tx, actor, viewer, .. } = within.by;
    let user = crate::users::find(&mut tx, parse(&id)?).await?;
    let names: Vec<_> = fields.iter().map(|field| field.as_str()).collect();
    let details = json!({ "fields": names, "reason": reason });
    let (now, target) = (control.clock.now(), Some(user.id.to_string()));
    if !viewer.never_shown(user.id, &fields).is_empty() {
        audit::attempt(&mut tx, &actor, now, Action::UserUnmasked, target, details);
        tx.commit().await?;
        return Err(Refusal::forbidden().into());
    }
    audit::record(&mut tx, &actor, now, Action::UserUnmasked, target, details);
    let unmasked = Unmasked::once_committed(tx, &user, &fields).await?;
    Ok(ok(&unmasked.0))
}

/// Fields in clear. They can only be made by committing the audit entry.
struct Unmasked(ShownFields);

impl Unmasked {
    /// Commits `tx` with the audit entry; if that fails, nothing is shown.
    async fn once_committed(tx: TenantTx, user: &User, fields: &[PersonalField]) -> Result<Self, Failure> {
        tx.commit().await?;
        Ok(Self(whole(user, fields)))
    }
}

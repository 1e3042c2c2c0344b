//! A user in an answer. It is made by a [`Viewer`](super::Viewer) alone.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use shared::ids::UserId;
use shared::tenant::visibility::PersonalField;
use shared::user::UserStatus;
use utoipa::ToSchema;
use uuid::Uuid;

use super::field_visibilities::FieldVisibilities;
use super::shown_fields::ShownFields;
use crate::http::validators::Editable;
use crate::users::model::User;

/// The status of a user.
#[derive(ToSchema)]
#[schema(as = UserStatus)]
#[serde(rename_all = "lowercase")]
#[allow(dead_code, reason = "described; `UserStatus` is what is written")]
pub enum StatusWord {
    /// May sign in.
    Active,
    /// Suspended by an administrator; may not sign in.
    Suspended,
    /// Inactive, as in Django; may not sign in.
    Inactive,
    /// Not activated yet; may not sign in.
    Pending,
}

/// A user. A personal field that the caller's roles do not show is absent.
#[derive(Serialize, ToSchema)]
#[schema(as = User)]
pub struct UserOut {
    /// The user's id.
    #[schema(value_type = Uuid)]
    pub id: UserId,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    email: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    first_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    last_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    phone: Option<String>,
    /// The names of masked fields (`a***@example.org`). Absent if none is masked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>, required = false)]
    masked: Vec<PersonalField>,
    #[schema(value_type = StatusWord)]
    status: UserStatus,
    /// Whether the status is `active`.
    is_active: bool,
    /// By name, highest rank first.
    roles: Vec<String>,
    /// The id of the user's branch.
    #[schema(required)]
    branch: Option<Uuid>,
    /// The language of mails to the user: a tag such as `de`; empty for the tenant's.
    language: String,
    /// The user's id at the legacy service, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    legacy_id: Option<Option<String>>,
    email_verified: bool,
    /// Whether the user must choose a new password at the next sign-in.
    must_change_password: bool,
    /// Whether the user has a second factor.
    mfa_enabled: bool,
    /// How complete the profile is, in percent by the tenant's `profile_weights`.
    profile_completion: u8,
    /// If masked: the first moment of the day.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "super::shown_fields::moment")]
    #[schema(value_type = Option<DateTime<Utc>>)]
    last_login: Option<Option<DateTime<Utc>>>,
    #[serde(serialize_with = "crate::http::time::micros")]
    date_joined: DateTime<Utc>,
    #[serde(serialize_with = "crate::http::time::micros")]
    updated_at: DateTime<Utc>,
    /// An edit sets the password, too.
    #[serde(skip)]
    password_epoch: i64,
}

/// The caller's own account.
#[derive(Serialize, ToSchema)]
#[schema(as = Me)]
pub struct MeOut {
    #[serde(flatten)]
    pub(crate) user: UserOut,
    /// What the caller may do now, by name, sorted. It follows the caller's roles at once, without a new token.
    pub(crate) permissions: Vec<&'static str>,
    /// What the caller may do in branches, by roles of branches.
    pub(crate) branch_permissions: Vec<BranchPermissionsOut>,
}

/// The permissions of a user over the users of a branch and of those below it.
#[derive(Serialize, ToSchema)]
#[schema(as = BranchPermissions)]
pub struct BranchPermissionsOut {
    /// The id of the branch.
    pub(crate) branch: Uuid,
    /// By name, sorted.
    pub(crate) permissions: Vec<&'static str>,
}

impl Editable for UserOut {
    /// Computed over what is shown: a tag over hidden values would confirm guesses of them.
    fn edited(&self) -> impl Serialize {
        let names = (&self.username, &self.email, &self.first_name, &self.last_name, &self.phone);
        let clear = (self.status, &self.roles, &self.branch, &self.language, self.email_verified);
        (self.id, names, clear, (self.password_epoch, self.must_change_password))
    }
}

impl UserOut {
    /// A user as the given visibilities show it.
    pub(super) fn of(user: User, visibilities: FieldVisibilities) -> Self {
        let ShownFields { username, email, first_name, last_name, phone, legacy_id, last_login, masked } =
            ShownFields::of(&user, visibilities);
        Self {
            id: user.id,
            username,
            email,
            first_name,
            last_name,
            phone,
            masked,
            branch: user.branch(),
            status: user.status,
            is_active: user.status == UserStatus::Active,
            roles: user.roles,
            language: user.language,
            legacy_id,
            email_verified: user.email_verified,
            must_change_password: user.must_change_password,
            mfa_enabled: user.mfa_enabled,
            profile_completion: user.profile_completion,
            last_login,
            date_joined: user.created_at,
            updated_at: user.updated_at,
            password_epoch: user.password_epoch,
        }
    }

    /// User name, address, status, roles and id, for a table.
    #[must_use]
    pub fn line(&self) -> Vec<String> {
        vec![
            self.username.clone().unwrap_or_default(),
            self.email.clone().flatten().unwrap_or_default(),
            self.status.as_str().to_owned(),
            self.roles.join(", "),
            self.id.to_string(),
        ]
    }
}

/// The example of the caller's own account in the OpenAPI document.
pub(crate) fn example_of_me() -> Value {
    let mut me = example();
    me["permissions"] = json!(["roles.read", "users.read"]);
    me["branch_permissions"] = json!([
        {"branch": "019a1f0e-7d9e-7f43-8e50-2c3d4e5f6071", "permissions": ["users.write"]},
    ]);
    me
}

/// The example in the OpenAPI document.
pub(crate) fn example() -> Value {
    json!({
        "id": "019a1f0e-5b7c-7d21-9c3e-0a1b2c3d4e5f", "username": "grace", "email": "grace@acme.example",
        "first_name": "Grace", "last_name": "Hopper", "phone": "+1 555 0100", "status": "active",
        "is_active": true, "roles": ["staff"], "branch": null, "language": "en", "legacy_id": null, "email_verified": true,
        "must_change_password": false, "mfa_enabled": false, "profile_completion": 70, "last_login": null,
        "date_joined": "2026-01-02T03:04:05.678901Z",
        "updated_at": "2026-01-02T03:04:05.678901Z",
    })
}

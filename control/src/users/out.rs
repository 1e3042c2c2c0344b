//! A user in an answer.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use shared::ids::UserId;
use shared::user::UserStatus;
use utoipa::ToSchema;

use super::User;
use crate::crypt::personal::Personal;
use crate::http::validators::Editable;

/// The statuses of a person who is there.
#[derive(ToSchema)]
#[schema(as = UserStatus)]
#[serde(rename_all = "lowercase")]
#[allow(dead_code, reason = "described; `UserStatus` is what is written")]
pub enum StatusWord {
    /// May sign in.
    Active,
    /// Stopped by an administrator.
    Suspended,
    /// The same, as the old service had it.
    Inactive,
    /// Not ready yet.
    Pending,
}

/// A person.
#[derive(Serialize, ToSchema)]
#[schema(as = User)]
pub struct UserOut {
    /// Their id.
    #[schema(value_type = Uuid)]
    pub id: UserId,
    #[schema(value_type = String)]
    username: Personal,
    #[schema(value_type = Option<String>, required)]
    email: Option<Personal>,
    #[schema(value_type = String)]
    first_name: Personal,
    #[schema(value_type = String)]
    last_name: Personal,
    #[schema(value_type = String)]
    phone: Personal,
    #[schema(value_type = StatusWord)]
    status: UserStatus,
    /// Whether the status is `active`.
    is_active: bool,
    /// By name, highest rank first.
    roles: Vec<String>,
    #[schema(required)]
    branch: Option<String>,
    /// Their id at the service that the tenant came from, as text.
    #[schema(required)]
    legacy_id: Option<String>,
    email_verified: bool,
    mfa_enabled: bool,
    /// Percent.
    profile_completion: u8,
    #[schema(required)]
    #[serde(serialize_with = "crate::http::time::micros_option")]
    last_login: Option<DateTime<Utc>>,
    #[serde(serialize_with = "crate::http::time::micros")]
    date_joined: DateTime<Utc>,
    #[serde(serialize_with = "crate::http::time::micros")]
    updated_at: DateTime<Utc>,
    /// An edit sets the password, too.
    #[serde(skip)]
    password_epoch: i64,
}

impl Editable for UserOut {
    fn edited(&self) -> impl Serialize {
        let names = (&self.username, &self.email, &self.first_name, &self.last_name, &self.phone);
        (self.id, names, self.status, &self.roles, &self.branch, self.email_verified, self.password_epoch)
    }
}

impl From<User> for UserOut {
    fn from(user: User) -> Self {
        Self {
            id: user.id,
            username: user.username,
            email: user.email,
            first_name: user.first_name,
            last_name: user.last_name,
            phone: user.phone,
            status: user.status,
            is_active: user.status == UserStatus::Active,
            roles: user.roles,
            // Nobody has a branch, a second factor or a profile yet: what clients read is there.
            branch: None,
            legacy_id: user.legacy_id,
            email_verified: user.email_verified,
            mfa_enabled: false,
            profile_completion: 0,
            last_login: user.last_login,
            date_joined: user.created_at,
            updated_at: user.updated_at,
            password_epoch: user.password_epoch,
        }
    }
}

/// A user as the documentation shows one.
pub(super) fn example() -> Value {
    json!({
        "id": "019a1f0e-5b7c-7d21-9c3e-0a1b2c3d4e5f", "username": "grace", "email": "grace@acme.example",
        "first_name": "Grace", "last_name": "Hopper", "phone": "+1 555 0100", "status": "active",
        "is_active": true, "roles": ["staff"], "branch": null, "legacy_id": null, "email_verified": true,
        "mfa_enabled": false, "profile_completion": 0, "last_login": null, "date_joined": "2026-01-02T03:04:05.678901Z",
        "updated_at": "2026-01-02T03:04:05.678901Z",
    })
}

impl UserOut {
    /// User name, address, status, roles and id, for a table.
    #[must_use]
    pub fn line(&self) -> Vec<String> {
        vec![
            self.username.expose().to_owned(),
            self.email.as_ref().map(Personal::expose).unwrap_or_default().to_owned(),
            self.status.as_str().to_owned(),
            self.roles.join(", "),
            self.id.to_string(),
        ]
    }
}

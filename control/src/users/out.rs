//! A person in an answer.

use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::ids::UserId;
use shared::person::PersonStatus;

use super::User;
use crate::personal::Personal;

/// The contract's form.
#[derive(Serialize)]
pub struct UserOut {
    /// Their id.
    pub id: UserId,
    username: Personal,
    email: Option<Personal>,
    first_name: Personal,
    last_name: Personal,
    phone: Personal,
    status: PersonStatus,
    is_active: bool,
    roles: Vec<String>,
    branch: Option<String>,
    email_verified: bool,
    mfa_enabled: bool,
    profile_completion: u8,
    #[serde(serialize_with = "crate::http::time::micros_option")]
    last_login: Option<DateTime<Utc>>,
    #[serde(serialize_with = "crate::http::time::micros")]
    date_joined: DateTime<Utc>,
    #[serde(serialize_with = "crate::http::time::micros")]
    updated_at: DateTime<Utc>,
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
            is_active: user.status == PersonStatus::Active,
            roles: user.roles,
            // Nobody has a branch, a second factor or a profile yet: what clients read is there.
            branch: None,
            email_verified: user.email_verified,
            mfa_enabled: false,
            profile_completion: 0,
            last_login: user.last_login,
            date_joined: user.created_at,
            updated_at: user.updated_at,
        }
    }
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

//! A role in an answer.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::model::Role;
use crate::http::validators::Editable;

/// A role.
#[derive(Serialize, ToSchema)]
#[schema(as = Role)]
pub struct RoleOut {
    /// The name.
    id: String,
    name: String,
    /// For people; may be empty.
    title: String,
    /// For people; may be empty.
    description: String,
    /// A user can act only on users and roles of a lower rank; root-admins also on root-admins.
    rank: i32,
    /// Whether every tenant has the role. It cannot be changed or deleted then.
    predefined: bool,
    /// By name, sorted.
    permissions: Vec<String>,
    /// The id of the branch over whose users, and over those of the branches below it, the permissions hold. Null: over all
    /// users.
    #[schema(required)]
    branch: Option<Uuid>,
    #[serde(serialize_with = "crate::http::time::micros")]
    created_at: DateTime<Utc>,
    #[serde(serialize_with = "crate::http::time::micros")]
    updated_at: DateTime<Utc>,
}

impl RoleOut {
    /// A role of a tenant, which is the platform tenant or another one.
    #[must_use]
    pub fn of(role: Role, at_platform: bool) -> Self {
        let permissions = role.permissions(at_platform);
        let Role { name, title, description, rank, predefined, branch, created_at, updated_at, .. } = role;
        let id = name.clone();
        Self { id, name, title, description, rank, predefined, permissions, branch, created_at, updated_at }
    }

    /// Name, rank, title and permissions, for a table.
    #[must_use]
    pub fn line(&self) -> Vec<String> {
        let kind = if self.predefined { "predefined" } else { "custom" };
        vec![
            self.name.clone(),
            self.rank.to_string(),
            kind.to_owned(),
            self.title.clone(),
            self.permissions.join(", "),
        ]
    }
}

impl Editable for RoleOut {
    fn edited(&self) -> impl Serialize {
        (&self.name, &self.title, &self.description, self.rank, &self.permissions, self.branch)
    }
}

/// The example in the OpenAPI document.
pub(super) fn example() -> Value {
    json!({
        "id": "help-desk", "name": "help-desk", "title": "Help desk", "description": "Ends sessions of customers.",
        "rank": 30, "predefined": false, "permissions": ["sessions.end", "sessions.read", "users.read"],
        "branch": null,
        "created_at": "2026-01-02T03:04:05.678901Z", "updated_at": "2026-01-02T03:04:05.678901Z",
    })
}

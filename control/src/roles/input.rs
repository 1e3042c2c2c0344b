//! The bodies of requests that create and change roles: how they are read, and how they are described.

use utoipa::ToSchema;
use uuid::Uuid;

use super::model::{NewRole, RoleChange};
use crate::http::body::FromFields;
use crate::http::fields::Fields;

/// A new custom role.
#[derive(ToSchema)]
#[schema(as = NewRole)]
#[allow(dead_code, reason = "described; read by `FromFields`")]
pub struct NewRoleIn {
    /// 1 to 32 characters: lower-case letters, digits and single hyphens, with a letter first. It cannot be changed
    /// later.
    name: String,
    /// At most 100 characters.
    title: Option<String>,
    /// At most 500 characters.
    description: Option<String>,
    /// 1 to 99, and below the caller's own rank.
    rank: i32,
    /// By name, each of them one that the caller has; none if absent.
    permissions: Option<Vec<String>>,
    /// The id of a branch: the permissions hold over its users and those of the branches below it. Null or absent: over all
    /// users.
    branch: Option<Uuid>,
}

/// A change of a custom role.
#[derive(ToSchema)]
#[schema(as = RoleChange)]
#[allow(dead_code, reason = "described; read by `FromFields`")]
pub struct RoleIn {
    /// Only the name that the role has.
    name: Option<String>,
    /// At most 100 characters.
    title: Option<String>,
    /// At most 500 characters.
    description: Option<String>,
    /// 1 to 99, and below the caller's own rank.
    rank: Option<i32>,
    /// All permissions of the role, by name. Those that are added must be the caller's own.
    permissions: Option<Vec<String>>,
    /// The id of another branch; null makes the permissions hold over all users.
    branch: Option<Uuid>,
}

fn rank(fields: &mut Fields) -> Option<i32> {
    let parsed = fields.text("rank")?.parse().ok();
    if parsed.is_none() {
        fields.fault("rank", "A valid integer is required.");
    }
    parsed
}

impl FromFields for NewRole {
    fn read(fields: &mut Fields) -> Option<Self> {
        let name = fields.required_text("name");
        let [title, description] = ["title", "description"].map(|name| fields.text(name).unwrap_or_default());
        if !fields.has("rank") {
            fields.fault("rank", "This field is required.");
        }
        let rank = rank(fields);
        let permissions = fields.texts("permissions").unwrap_or_default();
        let branch = fields.clearable_uuid("branch").flatten();
        Some(Self { name: name?, title, description, rank: rank?, permissions, branch })
    }
}

impl FromFields for RoleChange {
    fn read(fields: &mut Fields) -> Option<Self> {
        Some(Self {
            name: fields.text("name"),
            title: fields.text("title"),
            description: fields.text("description"),
            rank: rank(fields),
            permissions: fields.texts("permissions"),
            branch: fields.clearable_uuid("branch"),
        })
    }
}

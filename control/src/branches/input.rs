//! The bodies of requests that create and change branches: how they are read, and how they are described.

use utoipa::ToSchema;
use uuid::Uuid;

use super::model::{BranchChange, NewBranch};
use crate::http::body::FromFields;
use crate::http::fields::Fields;

/// A new branch.
#[derive(ToSchema)]
#[schema(as = NewBranch)]
#[allow(dead_code, reason = "described; read by `FromFields`")]
pub struct NewBranchIn {
    /// At most 100 characters, without a slash. No other branch directly below the same one has it.
    name: String,
    /// The branch that it is to be directly below; null for the top.
    parent: Option<Uuid>,
}

/// A change of a branch.
#[derive(ToSchema)]
#[schema(as = BranchChange)]
#[allow(dead_code, reason = "described; read by `FromFields`")]
pub struct BranchIn {
    /// At most 100 characters, without a slash.
    name: Option<String>,
    /// The branch that it is to be directly below; null for the top. The branches below it move with it.
    parent: Option<Uuid>,
    /// Whether the branch is archived: no user can be added to it. Its users stay.
    archived: Option<bool>,
}

impl FromFields for NewBranch {
    fn read(fields: &mut Fields) -> Option<Self> {
        let name = fields.required_text("name");
        let parent = fields.clearable_uuid("parent").flatten();
        Some(Self { name: name?, parent })
    }
}

impl FromFields for BranchChange {
    fn read(fields: &mut Fields) -> Option<Self> {
        Some(Self {
            name: fields.text("name"),
            parent: fields.clearable_uuid("parent"),
            archived: fields.boolean("archived"),
        })
    }
}

//! A branch in an answer.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::filters::{Named, named};
use super::model::Branch;
use super::store;
use crate::db::TenantTx;
use crate::failure::Failure;
use crate::http::validators::Editable;

/// A branch.
#[derive(Serialize, ToSchema)]
#[schema(as = Branch)]
pub struct BranchOut {
    id: Uuid,
    name: String,
    /// The branch that it is directly below; null at the top.
    #[schema(required)]
    parent: Option<Uuid>,
    /// The names of the branches from the top down to this one.
    path: Vec<String>,
    /// Whether the branch is archived: no user can be added to it.
    archived: bool,
    #[serde(serialize_with = "crate::http::time::micros")]
    created_at: DateTime<Utc>,
    #[serde(serialize_with = "crate::http::time::micros")]
    updated_at: DateTime<Utc>,
}

impl From<Named> for BranchOut {
    fn from(Named { branch, path, .. }: Named) -> Self {
        let archived = branch.archived_at.is_some();
        let Branch { id, name, parent, created_at, updated_at, .. } = branch;
        Self { id, name, parent, path, archived, created_at, updated_at }
    }
}

impl BranchOut {
    /// The names from the top down, in one text.
    #[must_use]
    pub fn path(&self) -> String {
        self.path.join("/")
    }

    /// Path, whether it is archived, and id, for a table.
    #[must_use]
    pub fn line(&self) -> Vec<String> {
        let archived = if self.archived { "archived" } else { "" };
        vec![self.path(), archived.to_owned(), self.id.to_string()]
    }
}

/// A branch as it is shown.
///
/// # Errors
/// Errors of the database.
pub async fn out(tx: &mut TenantTx, branch: Branch) -> Result<BranchOut, Failure> {
    let (id, ids) = (branch.id, branch.place.0.clone());
    let mut on_path = store::of_ids(tx, &ids).await?;
    on_path.retain(|other| other.id != id);
    on_path.push(branch);
    let found = named(on_path).into_iter().find(|named| named.branch.id == id);
    found.map(BranchOut::from).ok_or(Failure::Unreadable("branches.path"))
}

impl Editable for BranchOut {
    fn edited(&self) -> impl Serialize {
        (self.id, &self.name, self.parent, self.archived)
    }
}

/// The example in the OpenAPI document.
pub(super) fn example() -> Value {
    json!({
        "id": "019a1f0e-7d9e-7f43-8e50-2c3d4e5f6071", "name": "Berlin",
        "parent": "019a1f0e-7d9e-7f43-8e50-1b2c3d4e5f60", "path": ["Germany", "Berlin"], "archived": false,
        "created_at": "2026-01-02T03:04:05.678901Z", "updated_at": "2026-01-02T03:04:05.678901Z",
    })
}

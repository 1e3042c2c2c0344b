//! What the list of branches can be asked for. A tenant has few branches, so they are searched and ordered in memory.

use std::cmp::Ordering;
use std::collections::HashMap;

use shared::identifiers::folded;
use utoipa::IntoParams;
use uuid::Uuid;

use super::model::Branch;
use crate::db::Scope;
use crate::http::body::FromFields;
use crate::http::fields::Fields;
use crate::http::list::List;
use crate::http::rows::Order;

/// The filters of the list of branches; an absent filter matches all.
#[derive(Clone, Default, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Filters {
    /// The branch that they are directly below.
    pub parent: Option<Uuid>,
    /// This branch and all below it.
    pub within: Option<Uuid>,
    /// Whether it is archived.
    pub archived: Option<bool>,
    /// Words, each of which occurs in the name.
    #[param(value_type = Option<String>)]
    pub search: Vec<String>,
}

impl FromFields for Filters {
    fn read(fields: &mut Fields) -> Option<Self> {
        Some(Self {
            parent: fields.uuid("parent"),
            within: fields.uuid("within"),
            archived: fields.boolean("archived"),
            search: fields.words("search"),
        })
    }
}

/// A field that branches can be ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// The id.
    Id,
    /// The names from the top down.
    Path,
    /// The name.
    Name,
    /// When they were made.
    CreatedAt,
    /// When they were last changed.
    UpdatedAt,
}

impl List for Filters {
    type Key = Key;
    const ORDERINGS: &'static [(&'static str, Key)] = &[
        ("id", Key::Id),
        ("path", Key::Path),
        ("name", Key::Name),
        ("created_at", Key::CreatedAt),
        ("updated_at", Key::UpdatedAt),
    ];
    const DEFAULT: Order<Key> = Order { by: Key::Path, descending: false };
    const CURSORS: bool = false;
}

/// A branch with the names of the branches from the top down to it.
pub struct Named {
    /// The branch.
    pub branch: Branch,
    /// The names.
    pub path: Vec<String>,
    /// The names in the form in which they are compared.
    folded: Vec<String>,
}

impl Named {
    /// Whether these are the names from the top down, in the form in which they are compared.
    #[must_use]
    pub fn has_path(&self, folded: &[String]) -> bool {
        self.folded == folded
    }
}

/// The branches with the names of their paths. `branches` are all of the tenant, or all that their paths contain.
#[must_use]
pub fn named(branches: Vec<Branch>) -> Vec<Named> {
    let names: HashMap<Uuid, String> =
        branches.iter().map(|branch| (branch.id, branch.name.clone())).collect();
    let named = |branch: Branch| {
        let path: Vec<_> = branch.place.0.iter().filter_map(|id| names.get(id).cloned()).collect();
        let folded = path.iter().map(|name| folded(name)).collect();
        Named { branch, path, folded }
    };
    branches.into_iter().map(named).collect()
}

/// The branches that match, of those within `scope`, in this order; ties by id. `branches` are all of the tenant.
#[must_use]
pub fn selected(branches: Vec<Branch>, scope: &Scope, filters: &Filters, order: &[Order<Key>]) -> Vec<Named> {
    let mut selected = named(branches);
    selected.retain(|Named { branch, folded, .. }| {
        let path = &branch.place.0;
        let name = folded.last().map(String::as_str).unwrap_or_default();
        scope.branches().is_none_or(|roots| path.iter().any(|id| roots.contains(id)))
            && filters.parent.is_none_or(|parent| branch.parent == Some(parent))
            && filters.within.is_none_or(|root| path.contains(&root))
            && filters.archived.is_none_or(|archived| branch.archived_at.is_some() == archived)
            && filters.search.iter().all(|word| name.contains(word.as_str()))
    });
    selected.sort_by(|a, b| {
        let by = order.iter().map(|Order { by, descending }| {
            let ordering = compared(a, b, *by);
            if *descending { ordering.reverse() } else { ordering }
        });
        by.fold(Ordering::Equal, Ordering::then).then_with(|| a.branch.id.cmp(&b.branch.id))
    });
    selected
}

fn compared(a: &Named, b: &Named, by: Key) -> Ordering {
    match by {
        Key::Id => a.branch.id.cmp(&b.branch.id),
        Key::Path => a.folded.cmp(&b.folded),
        Key::Name => a.folded.last().cmp(&b.folded.last()),
        Key::CreatedAt => a.branch.created_at.cmp(&b.branch.created_at),
        Key::UpdatedAt => a.branch.updated_at.cmp(&b.branch.updated_at),
    }
}

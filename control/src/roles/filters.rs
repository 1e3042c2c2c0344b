//! What the list of roles can be asked for. A tenant has few roles, so they are searched and ordered in memory.

use std::cmp::Ordering;

use utoipa::IntoParams;

use super::model::Role;
use crate::http::body::FromFields;
use crate::http::fields::Fields;
use crate::http::list::List;
use crate::http::rows::Order;

/// The filters of the list of roles; an absent filter matches all.
#[derive(Clone, Default, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Filters {
    /// Words, each of which occurs in the name or the title.
    #[param(value_type = Option<String>)]
    pub search: Vec<String>,
}

impl FromFields for Filters {
    fn read(fields: &mut Fields) -> Option<Self> {
        Some(Self { search: fields.words("search") })
    }
}

/// A field that roles can be ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// The name, which is the id.
    Name,
    /// The title.
    Title,
    /// The rank.
    Rank,
    /// When they were made.
    CreatedAt,
    /// When they were last changed.
    UpdatedAt,
}

impl List for Filters {
    type Key = Key;
    const ORDERINGS: &'static [(&'static str, Key)] = &[
        ("id", Key::Name),
        ("name", Key::Name),
        ("title", Key::Title),
        ("rank", Key::Rank),
        ("created_at", Key::CreatedAt),
        ("updated_at", Key::UpdatedAt),
    ];
    const DEFAULT: Order<Key> = Order { by: Key::Rank, descending: true };
    const CURSORS: bool = false;
}

/// The roles that match, in this order; ties by name.
#[must_use]
pub fn selected(mut roles: Vec<Role>, filters: &Filters, order: &[Order<Key>]) -> Vec<Role> {
    roles.retain(|role| {
        let text = format!("{} {}", role.name, role.title).to_lowercase();
        filters.search.iter().all(|word| text.contains(word.as_str()))
    });
    roles.sort_by(|a, b| {
        let by = order.iter().map(|Order { by, descending }| {
            let ordering = compared(a, b, *by);
            if *descending { ordering.reverse() } else { ordering }
        });
        by.fold(Ordering::Equal, Ordering::then).then_with(|| a.name.cmp(&b.name))
    });
    roles
}

fn compared(a: &Role, b: &Role, by: Key) -> Ordering {
    match by {
        Key::Name => a.name.cmp(&b.name),
        Key::Title => a.title.to_lowercase().cmp(&b.title.to_lowercase()),
        Key::Rank => a.rank.cmp(&b.rank),
        Key::CreatedAt => a.created_at.cmp(&b.created_at),
        Key::UpdatedAt => a.updated_at.cmp(&b.updated_at),
    }
}

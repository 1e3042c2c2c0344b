//! Which filters and orders of a list a viewer may use: a list cannot be filtered, searched or ordered by a field
//! that the viewer does not see, because counts, order and errors would reveal it.

use shared::contract::refusal::Refusal;
use shared::tenant::visibility::{PersonalField, Visibility};

pub use super::field_visibilities::IN_USERNAMES;
use super::mask;
use super::viewer::Viewer;
use crate::http::list::{List, ListQuery, Part};
use crate::http::rows::Order;

/// A list that can be asked for by personal fields.
pub trait Asks: List {
    /// The parameters that ask for any, with the fields that each asks for.
    fn asks(&self, order: &[Order<Self::Key>]) -> Vec<(&'static str, Vec<PersonalField>)>;
}

/// Filters that a viewer may ask with. The statements of a list take no others.
#[derive(Clone, Default)]
pub struct Permitted<F>(F);

impl<F> Permitted<F> {
    /// The filters.
    #[must_use]
    pub fn filters(&self) -> &F {
        &self.0
    }
}

/// The fields that this user name reveals.
#[must_use]
pub fn in_username(username: &str) -> Vec<PersonalField> {
    [PersonalField::Username].into_iter().chain(mask::also(username)).collect()
}

impl Viewer {
    /// Lets a list be asked for.
    ///
    /// # Errors
    /// 400 that names every parameter by which the viewer may not ask: the same whatever the list would be.
    pub fn permits<F: Asks>(&self, filters: F, order: &[Order<F::Key>]) -> Result<Permitted<F>, Refusal> {
        let hidden = |fields: Vec<PersonalField>| {
            let mut hidden = fields;
            hidden.retain(|field| self.visibilities().of(*field) != Visibility::Clear);
            hidden.sort_unstable();
            hidden.dedup();
            hidden
        };
        let faults: Vec<_> = filters
            .asks(order)
            .into_iter()
            .map(|(parameter, fields)| (parameter, hidden(fields)))
            .filter(|(_, hidden)| !hidden.is_empty())
            .map(|(parameter, hidden)| (parameter, vec![words(&hidden)]))
            .collect();
        if faults.is_empty() { Ok(Permitted(filters)) } else { Err(Refusal::fields(faults)) }
    }

    /// The same for a list request. Its cursors are valid only for viewers that see the same fields.
    ///
    /// # Errors
    /// As [`Viewer::permits`].
    pub fn asked<F: Asks>(&self, asked: ListQuery<F>) -> Result<(Permitted<F>, Part<F::Key>), Refusal> {
        let permitted = self.permits(asked.filters, asked.part.order())?;
        Ok((permitted, asked.part.seen_as(&self.visibilities().text())))
    }
}

fn words(hidden: &[PersonalField]) -> String {
    let names: Vec<_> = hidden.iter().map(|field| field.as_str()).collect();
    format!(
        "Your roles do not show you {} of other users in clear, so you cannot ask by it.",
        names.join(", ")
    )
}

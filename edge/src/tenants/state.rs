//! The tenant's state, read by the batches of sign-in and refresh in place of a feed read.

use serde::Deserialize;
use shared::needs::Needs;

use crate::isolate::opened::Known;

/// The tenant's state, as the batches of sign-in and refresh select it.
#[derive(Deserialize)]
pub struct StateRow {
    status: String,
    history: i64,
    rev: i64,
    needs: Option<String>,
    named: Option<String>,
}

/// What the state says of the document that a batch worked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is current, and the tenant is active.
    Current,
    /// There is a newer one: read it and do the batch's work again.
    Newer,
    /// The name is another tenant's now, or nobody's.
    Renamed,
    /// The tenant is suspended.
    Suspended,
    /// The tenant is gone.
    Gone,
    /// The document needs what this release does not understand: nobody is signed in.
    NotUnderstood,
}

impl StateRow {
    /// Compares the row that a batch left with what it worked with.
    #[must_use]
    pub fn compare(row: Option<&Self>, known: &Known) -> State {
        let Some(row) = row else { return State::Gone };
        let revision = (row.history, row.rev);
        if row.named.as_deref() != Some(known.tenant.id.to_string().as_str()) {
            State::Renamed
        } else if row.status == "suspended" {
            State::Suspended
        } else if row.status != "active" {
            State::Gone
        } else if !Needs::column_is_met(row.needs.as_deref()) {
            State::NotUnderstood
        } else if revision > known.tenant.revision() {
            State::Newer
        } else {
            State::Current
        }
    }
}

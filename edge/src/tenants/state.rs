//! The tenant's state, read by the batches of sign-in and refresh in place of a feed read.

use serde::Deserialize;
use shared::contract::refusal::Refusal;
use shared::tenant::Status;
use shared::wire::needs::Needs;

use crate::isolate::opened::OpenedTenant;

/// The tenant's state, as the batches of sign-in and refresh select it.
#[derive(Deserialize)]
pub struct StateRow {
    status: Status,
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

impl State {
    /// What is said where a right password found user or tenant other than before the hash.
    #[must_use]
    pub fn at_sign_in(self) -> Refusal {
        match self {
            Self::Suspended => Refusal::tenant_suspended(),
            Self::NotUnderstood => Refusal::unavailable(),
            Self::Current | Self::Newer | Self::Renamed | Self::Gone => Refusal::no_active_account(),
        }
    }

    /// What is said where a code found user, tenant or challenge other than before.
    #[must_use]
    pub fn at_code(self) -> Refusal {
        match self {
            Self::Suspended => Refusal::tenant_suspended(),
            Self::NotUnderstood => Refusal::unavailable(),
            Self::Current | Self::Newer | Self::Renamed | Self::Gone => Refusal::otp_invalid(),
        }
    }
}

impl StateRow {
    /// Compares the row that a batch left with what it worked with.
    #[must_use]
    pub fn compare(row: Option<&Self>, known: &OpenedTenant) -> State {
        let Some(row) = row else { return State::Gone };
        if row.named.as_deref() != Some(known.tenant.id.to_string().as_str()) {
            return State::Renamed;
        }
        match row.status {
            Status::Suspended => State::Suspended,
            Status::Provisioning | Status::Deleted => State::Gone,
            Status::Active if !Needs::column_is_met(row.needs.as_deref()) => State::NotUnderstood,
            Status::Active if (row.history, row.rev) > known.tenant.revision() => State::Newer,
            Status::Active => State::Current,
        }
    }
}

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

/// Whether the document that a batch used is current.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is current, and the tenant is active.
    Current,
    /// There is a newer one: read it and do the batch's work again.
    Newer,
    /// The name belongs to another tenant now, or to none.
    Renamed,
    /// The tenant is suspended.
    Suspended,
    /// The tenant is gone.
    Gone,
    /// The document needs a feature that this release does not know: sign-in is refused.
    NotUnderstood,
}

impl State {
    /// The refusal if user or tenant changed while a correct password was hashed.
    #[must_use]
    pub fn at_sign_in(self) -> Refusal {
        match self {
            Self::Suspended => Refusal::tenant_suspended(),
            Self::NotUnderstood => Refusal::unavailable(),
            Self::Current | Self::Newer | Self::Renamed | Self::Gone => Refusal::no_active_account(),
        }
    }

    /// The refusal if user, tenant or challenge changed while a code was checked.
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
    /// Compares the state that a batch read with the document that it used.
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

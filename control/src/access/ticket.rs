//! Callers that the edge vouches for with a ticket: the one exception to the rule that the forward key alone does not
//! suffice to act as a user.

use std::marker::PhantomData;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use shared::contract::refusal::TokenFault;
use shared::epochs;
use shared::ids::SessionId;
use shared::tokens::ticket::TicketPurpose;
use shared::user::UserStatus;
use shared::wire::ticket::VouchedTicket;

use super::extractors::{Authenticated, authenticate, begin};
use crate::control::Control;
use crate::db::TenantTx;
use crate::http::answer::Refused;
use crate::http::origin::Origin;
use crate::users::{self, User, UserError};

/// A purpose, as a type.
pub trait Purpose {
    /// The purpose.
    const PURPOSE: TicketPurpose;
}

/// [`TicketPurpose::PasswordChange`].
pub struct PasswordChange;

impl Purpose for PasswordChange {
    const PURPOSE: TicketPurpose = TicketPurpose::PasswordChange;
}

/// [`TicketPurpose::MfaEnrollment`].
pub struct MfaEnrollment;

impl Purpose for MfaEnrollment {
    const PURPOSE: TicketPurpose = TicketPurpose::MfaEnrollment;
}

/// By what a user calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// An access token, of this session. One of the legacy service names none.
    Token(Option<SessionId>),
    /// A ticket.
    Ticket,
}

/// Any user, about themselves: by an access token, or by a ticket for `P`.
pub struct WithTicket<P> {
    /// User, tenant and transaction.
    pub by: Authenticated,
    /// By what.
    pub credential: Credential,
    purpose: PhantomData<P>,
}

impl<P: Purpose + Send> FromRequestParts<Control> for WithTicket<P> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, Refused> {
        let ticket = parts.extensions.get::<Origin>().and_then(|origin| origin.ticket);
        let (by, credential) = match ticket {
            Some(ticket) if ticket.purpose == P::PURPOSE => {
                let (mut tx, tenant, origin) = begin(control, parts).await?;
                let user = holder(&mut tx, ticket).await?;
                (Authenticated::new(control, parts, (tx, tenant, origin), user), Credential::Ticket)
            }
            Some(_) => return Err(TokenFault::Invalid.into()),
            None => {
                let by = authenticate(control, parts).await?;
                let session = by.session;
                (by, Credential::Token(session))
            }
        };
        Ok(Self { by, credential, purpose: PhantomData })
    }
}

/// The user whose ticket it is, if they still have the epochs that it was given under. Whatever it is used for
/// compares them again where it writes.
async fn holder(tx: &mut TenantTx, ticket: VouchedTicket) -> Result<User, Refused> {
    let user = match users::find(tx, ticket.user).await {
        Ok(user) => user,
        Err(UserError::NotFound) => return Err(TokenFault::Invalid.into()),
        Err(other) => return Err(other.into()),
    };
    let counter = ticket.access_epoch.saturating_sub(epochs::floor(tx.history().await?));
    let holds = user.status == UserStatus::Active
        && (counter, ticket.password_epoch) == (user.access_epoch, user.password_epoch);
    if holds { Ok(user) } else { Err(TokenFault::Invalid.into()) }
}

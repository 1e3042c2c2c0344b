//! Authorisation: a handler names an extractor ([`extractors`]) in its signature. The caller is the user of a
//! verified token ([`bearer`]) or of a ticket that the edge vouches for ([`ticket`]), by their current row. Some
//! requests also require a recent sign-in or step-up ([`step_up`]).

pub mod bearer;
pub mod extractors;
pub mod proven;
mod step_up;
pub mod ticket;

pub use extractors::{
    Allowed, Anyone, AnyoneAtPlatform, Authenticated, Me, OnTenant, Platform, Within, outranked,
};
pub use proven::Proven;
pub use ticket::{Credential, MfaEnrollment, PasswordChange, WithTicket};

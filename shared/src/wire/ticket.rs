//! The header `Wardgate-Ticket`, with which the edge vouches for a ticket when it forwards a request: covered by the
//! forward signature, in place of `Authorization`.
//!
//! The epochs are the user's when the ticket was issued. Control serves the request only if they have not changed,
//! and the operation raises them, so a ticket can be used once.

use crate::ids::UserId;
use crate::tokens::ticket::TicketPurpose;

/// The name of the header.
pub const HEADER: &str = "wardgate-ticket";

/// A ticket that the edge has looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VouchedTicket {
    /// Its purpose.
    pub purpose: TicketPurpose,
    /// Its user.
    pub user: UserId,
    /// The user's counter of the last password change.
    pub password_epoch: i64,
    /// The user's access epoch, as tokens name it: above the floor of the tenant's history.
    pub access_epoch: i64,
}

impl VouchedTicket {
    /// The header's value.
    #[must_use]
    pub fn to_header(&self) -> String {
        let Self { purpose, user, password_epoch, access_epoch } = self;
        format!(
            "purpose={}; user={user}; password_epoch={password_epoch}; access_epoch={access_epoch}",
            purpose.as_str()
        )
    }

    /// Parses the header's value, after the signature was verified. Only the canonical text is accepted.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        let mut fields = value.split("; ");
        let mut field = |name: &str| fields.next()?.strip_prefix(name)?.strip_prefix('=');
        let ticket = Self {
            purpose: TicketPurpose::parse(field("purpose")?)?,
            user: UserId::parse(field("user")?).ok()?,
            password_epoch: field("password_epoch")?.parse().ok()?,
            access_epoch: field("access_epoch")?.parse().ok()?,
        };
        (ticket.to_header() == value).then_some(ticket)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_ticket_has_one_text() {
        let ticket = VouchedTicket {
            purpose: TicketPurpose::PasswordChange,
            user: UserId::new(2, [2; 10]),
            password_epoch: 3,
            access_epoch: 1_048_581,
        };
        let text = ticket.to_header();
        assert_eq!(
            text,
            format!(
                "purpose=password_change; user={}; password_epoch=3; access_epoch=1048581",
                UserId::new(2, [2; 10])
            )
        );
        assert_eq!(VouchedTicket::parse(&text), Some(ticket));
        for other in [
            text.replace("=3;", "=03;"),
            text.replace("; ", ";"),
            text.replace("password_change", "mfa"),
            text.to_uppercase(),
            format!("{text}; more=1"),
            text.replace("; access_epoch=1048581", ""),
            String::new(),
        ] {
            assert_eq!(VouchedTicket::parse(&other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_safe(text: String) {
            let _ = VouchedTicket::parse(&text);
        }
    }
}

//! Tickets: issued for a correct password of a user who must do something before a session is opened.
//!
//! A ticket is 32 random bytes. The edge stores its digest with the tenant, the user, the purpose and the epochs
//! ([`crate::wire::ticket`]). It is accepted as Bearer only on the routes of its purpose.

use super::opaque;

/// The prefix of a ticket, unique among credentials.
const PREFIX: &str = "wgt_";

/// The purpose of a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TicketPurpose {
    /// Choosing a new password, as required.
    PasswordChange,
    /// Enrolling a second factor, which the tenant demands.
    MfaEnrollment,
}

impl TicketPurpose {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::PasswordChange, Self::MfaEnrollment];

    /// Its name in columns and headers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PasswordChange => "password_change",
            Self::MfaEnrollment => "mfa_enrollment",
        }
    }

    /// Parses a purpose.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|purpose| purpose.as_str() == word)
    }
}

/// A ticket. No `Debug`.
pub struct Ticket([u8; 32]);

impl Ticket {
    /// A ticket of random bytes.
    #[must_use]
    pub fn new(random: [u8; 32]) -> Self {
        Self(random)
    }

    /// Parses a Bearer credential; `None` for any other one.
    #[must_use]
    pub fn parse(unverified: &str) -> Option<Self> {
        opaque::parse(PREFIX, unverified).map(Self)
    }

    /// The ticket as its owner gets it.
    #[must_use]
    pub fn to_text(&self) -> String {
        opaque::to_text(PREFIX, &self.0)
    }

    /// The stored digest: SHA-256 in base64url. It has 256 random bits, so the hash needs no key.
    #[must_use]
    pub fn digest(&self) -> String {
        opaque::digest(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_ticket_has_one_text() {
        let ticket = Ticket::new([7; 32]);
        let text = ticket.to_text();
        assert_eq!(text, "wgt_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc");
        assert_eq!(Ticket::parse(&text).unwrap().digest(), ticket.digest());
        assert_ne!(Ticket::new([8; 32]).digest(), ticket.digest());
        // The last letter has two bits that no byte uses.
        let (other_bits, padded) = (text.replace("Bwc", "Bwd"), format!("{text}="));
        let longer = format!("wgt_{}", URL_SAFE_NO_PAD.encode([7; 33]));
        for other in [&text[4..], &text[..46], "wgt_", "wgc_x", &other_bits, &padded, &longer, ""] {
            assert!(Ticket::parse(other).is_none(), "{other}");
        }
    }

    #[test]
    fn a_purpose_has_one_word() {
        for purpose in TicketPurpose::ALL {
            assert_eq!(TicketPurpose::parse(purpose.as_str()), Some(purpose));
        }
        assert_eq!(TicketPurpose::parse("anything"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_safe(text: String, rest in "wgt_[A-Za-z0-9_-]{40,46}") {
            let _ = (Ticket::parse(&text), Ticket::parse(&rest));
        }
    }
}

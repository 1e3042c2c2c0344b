//! Tickets: what a right password gives a user who owes something before there is a session.
//!
//! A ticket is 32 random bytes and says nothing by itself. The edge keeps its digest with the tenant, the
//! user, the purpose and the epochs ([`crate::wire::ticket`]); it is good as Bearer on the routes that name
//! its purpose, and garbage everywhere else.

use super::opaque;

/// How every ticket begins. No other credential begins like this.
const PREFIX: &str = "wgt_";

/// What a ticket is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TicketPurpose {
    /// Choosing a new password, which is owed.
    PasswordChange,
    /// Enrolling a second factor, which the tenant demands.
    MfaEnrollment,
}

impl TicketPurpose {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::PasswordChange, Self::MfaEnrollment];

    /// The word in columns and headers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PasswordChange => "password_change",
            Self::MfaEnrollment => "mfa_enrollment",
        }
    }

    /// The purpose of a word.
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

    /// Reads what was sent as Bearer; `None` for every other credential.
    #[must_use]
    pub fn parse(unverified: &str) -> Option<Self> {
        opaque::parse(PREFIX, unverified).map(Self)
    }

    /// The ticket as its owner gets it.
    #[must_use]
    pub fn to_text(&self) -> String {
        opaque::to_text(PREFIX, &self.0)
    }

    /// What is stored of it: SHA-256 in base64url. Of 256 random bits, so it needs no key.
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

//! Challenges: issued for a correct password of a user with a second factor.
//!
//! A challenge (`mfa_token` in answers) is 32 random bytes. The edge stores its digest with the tenant, the user and
//! the session epoch. It is accepted only at `POST /api/verify-otp/`, once, for
//! [`CHALLENGE_SECS`](crate::contract::limits::CHALLENGE_SECS) and
//! [`CHALLENGE_TRIES`](crate::contract::limits::CHALLENGE_TRIES) attempts.

use super::opaque;

/// The prefix of a challenge, unique among credentials.
const PREFIX: &str = "wgc_";

/// A challenge. No `Debug`.
pub struct Challenge([u8; 32]);

impl Challenge {
    /// A challenge of random bytes.
    #[must_use]
    pub fn new(random: [u8; 32]) -> Self {
        Self(random)
    }

    /// Parses an `mfa_token`; `None` for any other text.
    #[must_use]
    pub fn parse(unverified: &str) -> Option<Self> {
        opaque::parse(PREFIX, unverified).map(Self)
    }

    /// The challenge as its owner gets it.
    #[must_use]
    pub fn to_text(&self) -> String {
        opaque::to_text(PREFIX, &self.0)
    }

    /// The stored digest of the challenge.
    #[must_use]
    pub fn digest(&self) -> String {
        opaque::digest(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::ticket::Ticket;

    #[test]
    fn a_challenge_is_no_ticket() {
        let challenge = Challenge::new([7; 32]);
        let text = challenge.to_text();
        assert_eq!(text, "wgc_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc");
        assert_eq!(Challenge::parse(&text).unwrap().digest(), challenge.digest());
        assert!(Ticket::parse(&text).is_none());
        assert!(Challenge::parse(&Ticket::new([7; 32]).to_text()).is_none());
    }
}

//! Features that a reader must know before it may serve a row or a document.
//!
//! The two halves are deployed one after the other and may be rolled back, so each reads messages of the previous and
//! the next release, and ignores or stores unknown fields. That must not weaken security: an edge that ignored a
//! second factor, for example, would issue tokens without it. Such a field therefore comes with a word in `needs`. A
//! reader that does not know the word stores the row, and refuses sign-in, refresh and exchange with 503 until it is
//! upgraded.

use serde::{Deserialize, Serialize};

use crate::epochs;

/// The words that this release knows. A word is added by the release that implements the feature, in both halves, and
/// is never removed.
pub const UNDERSTOOD: &[&str] = &[
    CAPTCHA,
    epochs::NEED,
    FORMER_LOOKUP_ROOT,
    NETWORKS,
    PASSWORD_DUE,
    PASSWORD_MAX_AGE,
    ROLE_TIMEOUTS,
    SECOND_FACTOR,
    SECOND_FACTOR_POLICY,
];

/// The word of a document with a CAPTCHA. A reader that ignored it would require none.
pub const CAPTCHA: &str = "captcha";

/// The word of a document that allows or denies networks. A reader that ignored it would sign users in from any
/// network.
pub const NETWORKS: &str = "networks";

/// The word of a document with a new lookup root. A reader that used only the new root would restart the counters of
/// attempts.
pub const FORMER_LOOKUP_ROOT: &str = "former_lookup_root";

/// The word of a user who must change the password, or has one with an expiry. A reader that ignored it would open a
/// session.
pub const PASSWORD_DUE: &str = "password_due";

/// The word of a document with a maximum age of passwords. A reader that ignored it would open sessions for older
/// passwords.
pub const PASSWORD_MAX_AGE: &str = "password_max_age";

/// The word of a document with shorter timeouts for a role. A reader that ignored it would keep sessions longer.
pub const ROLE_TIMEOUTS: &str = "role_timeouts";

/// The word of a user with an authenticator. A reader that ignored it would open a session for the password alone.
pub const SECOND_FACTOR: &str = "second_factor";

/// The word of a document that requires a second factor of a role. A reader that ignored it would open sessions for
/// the password alone.
pub const SECOND_FACTOR_POLICY: &str = "second_factor_policy";

/// The words of one row or document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Needs(Vec<String>);

impl Needs {
    /// A list of these words.
    #[must_use]
    pub fn of(words: &[&str]) -> Self {
        Self(words.iter().map(|word| String::from(*word)).collect())
    }

    /// Adds `word`.
    #[must_use]
    pub fn and(mut self, word: &str) -> Self {
        if !self.0.iter().any(|known| known == word) {
            self.0.push(String::from(word));
        }
        self
    }

    /// Whether there are no words. Then the field is omitted, so that an earlier release can read the message.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a reader that knows `words` may serve the row.
    #[must_use]
    pub fn are_met_by(&self, words: &[&str]) -> bool {
        self.0.iter().all(|word| words.contains(&word.as_str()))
    }

    /// Whether this release may serve the row.
    #[must_use]
    pub fn are_met(&self) -> bool {
        self.are_met_by(UNDERSTOOD)
    }

    /// Whether this release may serve a row with `column`, JSON or absent. A malformed value counts as unknown.
    #[must_use]
    pub fn column_is_met(column: Option<&str>) -> bool {
        column.is_none_or(|text| serde_json::from_str::<Self>(text).is_ok_and(|needs| needs.are_met()))
    }
}

impl From<Vec<String>> for Needs {
    fn from(words: Vec<String>) -> Self {
        Self(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_word_that_is_not_understood_is_enough() {
        let needs = Needs::of(&["totp", "passkey"]);
        assert!(needs.are_met_by(&["passkey", "totp", "more"]));
        assert!(!needs.are_met_by(&["totp"]));
        assert!(Needs::default().are_met());
        assert!(!Needs::of(&["a word of a later release"]).are_met());
    }

    #[test]
    fn a_column_that_cannot_be_read_is_not_met() {
        for (column, met) in
            [(None, true), (Some("[]"), true), (Some(r#"["x"]"#), false), (Some("{}"), false)]
        {
            assert_eq!(Needs::column_is_met(column), met, "{column:?}");
        }
    }
}

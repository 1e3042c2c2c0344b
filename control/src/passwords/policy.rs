//! What is refused as a password, in the words that clients of the legacy service know.
//!
//! No composition rules (NIST SP 800-63B, section 3.1.1.2): length, lists of common and breached passwords,
//! guessability, likeness to the user's own names. "Entirely numeric" is said of guessable ones alone. Whether a user
//! had the password before is asked elsewhere (`users::successor`).

use shared::identifiers::folded;
use shared::passwords::Password;
use shared::tenant::settings::Settings;
use zxcvbn::Score;

use super::filters::Ready;
use crate::control::Control;
use crate::failure::Failure;

/// As Django: at this share of common characters a password is too similar to a name.
const SIMILAR: f64 = 0.7;

/// The names that a password must not resemble.
#[derive(Clone, Copy, Default)]
pub struct Names<'a> {
    /// User name.
    pub username: &'a str,
    /// Address, or empty.
    pub email: &'a str,
    /// First name, or empty.
    pub first_name: &'a str,
    /// Last name, or empty.
    pub last_name: &'a str,
}

/// A tenant's password rules, and the lists of forbidden passwords.
#[derive(Clone, Copy)]
pub struct Policy<'a> {
    least_characters: u64,
    /// By the scale of zxcvbn, 0 to 4.
    least_score: u64,
    listed: Ready<'a>,
}

impl<'a> Policy<'a> {
    /// The policy of a tenant with these settings.
    ///
    /// # Errors
    /// Where the filter of `passwords.filter` cannot be read. `serve` has read it before it listens.
    pub fn of(control: &'a Control, settings: &Settings) -> Result<Self, Failure> {
        Ok(Self {
            least_characters: settings.min_password_length,
            least_score: settings.password_strength,
            listed: control.filters.ready()?,
        })
    }
}

/// Everything that is wrong with `password`; empty if it may be used. Counts passwords that a filter lists.
#[must_use]
pub fn faults(password: &Password, policy: &Policy<'_>, names: Names<'_>) -> Vec<String> {
    let text = password.expose();
    let mut faults = Vec::new();
    if let Some(name) = resembled(text, names) {
        faults.push(format!("The password is too similar to the {name}."));
    }
    let length = u64::try_from(text.chars().count()).unwrap_or(u64::MAX);
    let least = policy.least_characters;
    if length < least {
        faults.push(format!("This password is too short. It must contain at least {least} characters."));
    }
    let score = zxcvbn::zxcvbn(text, &[]).score();
    let is_guessable = u64::from(u8::from(score)) < policy.least_score;
    let lister = policy.listed.lister(text);
    if let Some(lister) = lister {
        metrics::counter!("wardgate_passwords_listed_total", "list" => lister.as_str()).increment(1);
    }
    // Guessed within a million tries by zxcvbn's dictionaries and patterns, where the tenant does not say that this
    // is enough.
    if lister.is_some() || (is_guessable && score <= Score::One) {
        faults.push(String::from("This password is too common."));
        if text.chars().all(|c| c.is_ascii_digit()) {
            faults.push(String::from("This password is entirely numeric."));
        }
    } else if is_guessable {
        faults.push(String::from("This password is too easy to guess."));
    }
    faults
}

fn resembled(password: &str, names: Names<'_>) -> Option<&'static str> {
    let password = folded(password);
    [
        ("username", names.username),
        ("first name", names.first_name),
        ("last name", names.last_name),
        ("email address", names.email),
    ]
    .into_iter()
    .find(|(_, name)| resembles(&password, &folded(name)))
    .map(|(label, _)| label)
}

/// Compares with the name and with each word of it, as Django's validator does.
fn resembles(password: &str, name: &str) -> bool {
    let words =
        name.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| word.chars().count() > 2);
    words
        .chain(std::iter::once(name))
        .filter(|word| !word.is_empty())
        .any(|word| ratio(password, word) >= SIMILAR)
}

/// Twice the characters that both have, counted with repeats, over all characters.
fn ratio(a: &str, b: &str) -> f64 {
    let mut rest: Vec<char> = b.chars().collect();
    let all = a.chars().count() + rest.len();
    let mut common = 0_u32;
    for c in a.chars() {
        if let Some(at) = rest.iter().position(|other| *other == c) {
            rest.swap_remove(at);
            common += 1;
        }
    }
    // Lengths are bounded by 1,024 bytes, far below what f64 holds exactly.
    2.0 * f64::from(common) / f64::from(u32::try_from(all).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::super::Filters;
    use super::*;

    const NAMES: Names<'_> = Names {
        username: "ada.lovelace",
        email: "ada@analytical.example",
        first_name: "Ada",
        last_name: "Lovelace",
    };

    fn said_by(password: &str, (least_characters, least_score): (u64, u64), names: Names<'_>) -> Vec<String> {
        let filters = Filters::default();
        let policy = Policy { least_characters, least_score, listed: filters.ready().unwrap() };
        faults(&Password::parse(password).unwrap(), &policy, names)
    }

    fn said(password: &str, least: u64) -> Vec<String> {
        said_by(password, (least, 2), NAMES)
    }

    #[test]
    fn the_recorded_words_stand() {
        assert_eq!(
            said("123", 8),
            [
                "This password is too short. It must contain at least 8 characters.",
                "This password is too common.",
                "This password is entirely numeric.",
            ]
        );
        assert_eq!(said("Corr3ct-horse", 8), [""; 0]);
    }

    #[test]
    fn common_ones_are_refused_at_any_length() {
        for common in ["password123456789", "qwertyuiopasdfgh", "aaaaaaaaaaaaaaaa", "123456789012345"] {
            assert!(said(common, 15).contains(&"This password is too common.".to_owned()), "{common}");
        }
        for fine in ["correct horse battery staple", "8151623424208108", "Zug um sieben nach Ulm"] {
            assert_eq!(said(fine, 15), [""; 0], "{fine}");
        }
    }

    #[test]
    fn a_tenant_may_ask_for_more_and_for_less() {
        let common = "This password is too common.";
        let guessable = "This password is too easy to guess.";
        for (password, score, said) in [
            // By zxcvbn's own figures, from 0 to 4.
            ("qwertzuiop", 0, &[common][..]),
            ("qwertzuiopü", 0, &[]),
            ("qwertzuiopü", 2, &[common]),
            ("Mercury-9x", 2, &[]),
            ("Mercury-9x", 3, &[guessable]),
            ("Kite-zebra", 3, &[]),
            ("Kite-zebra", 4, &[guessable]),
            ("correct horse battery staple", 4, &[]),
        ] {
            assert_eq!(said_by(password, (8, score), NAMES), said, "{password} {score}");
        }
    }

    #[test]
    fn listed_ones_are_refused_however_hard_they_are_to_guess() {
        // On Django's list; zxcvbn takes a hundred million guesses for it.
        for listed in ["PE#5GZ29PTZMSE", " Pe#5GZ29ptzmse "] {
            assert_eq!(said_by(listed, (8, 0), NAMES), ["This password is too common."], "{listed}");
        }
        assert_eq!(said_by("pe#5gz29ptzms", (8, 0), NAMES), [""; 0]);
    }

    #[test]
    fn own_names_are_refused() {
        assert_eq!(said("Ada.Lovelace1", 8), ["The password is too similar to the username."]);
        assert_eq!(said("analytical-ex", 8), ["The password is too similar to the email address."]);
        // Names are stored as typed, a password in NFKC.
        let names =
            Names {
                username: "ｊｏｓｅ\u{301}ｐｈｉｎａ", last_name: "STRASSENBAU", ..Names::default()
            };
        let first = |password| said_by(password, (8, 2), names).swap_remove(0);
        assert_eq!(first("Joséphina"), "The password is too similar to the username.");
        assert_eq!(first("Straßenbau"), "The password is too similar to the last name.");
    }
}

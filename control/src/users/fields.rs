//! What a user's fields must look like, in the words of the legacy service.

use shared::identifiers::Identifier;
use shared::passwords::Verifier;

use crate::passwords::Names;

/// Messages by field, in the order in which they were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults(pub Vec<(&'static str, Vec<String>)>);

impl Faults {
    /// Adds a message to a field.
    pub fn add(&mut self, field: &'static str, message: impl Into<String>) {
        match self.0.iter_mut().find(|(name, _)| *name == field) {
            Some((_, messages)) => messages.push(message.into()),
            None => self.0.push((field, vec![message.into()])),
        }
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The fields of a user that are text.
#[derive(Clone, Default)]
pub struct Profile {
    /// User name as typed.
    pub username: String,
    /// Address as typed.
    pub email: Option<String>,
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: String,
    /// Telephone number.
    pub phone: String,
    /// The language in which they are written to, as a tag; empty for the tenant's.
    pub language: String,
}

/// The canonical identifiers of a profile that holds.
pub struct Canonical {
    /// Of the user name.
    pub username: Identifier,
    /// Of the address.
    pub email: Option<Identifier>,
}

impl Profile {
    /// The names that a password must not resemble.
    pub fn names(&self) -> Names<'_> {
        Names {
            username: &self.username,
            email: self.email.as_deref().unwrap_or_default(),
            first_name: &self.first_name,
            last_name: &self.last_name,
        }
    }

    /// Checks the fields; what is wrong is added to `faults`.
    pub fn check(&self, faults: &mut Faults) -> Option<Canonical> {
        for (field, text, longest) in [
            ("first_name", &self.first_name, 150),
            ("last_name", &self.last_name, 150),
            ("phone", &self.phone, 32),
        ] {
            if text.chars().count() > longest {
                faults.add(field, format!("Ensure this field has no more than {longest} characters."));
            } else if text.chars().any(char::is_control) {
                faults.add(field, "Control characters are not allowed.");
            }
        }
        if !shared::language::canonical(&self.language).is_ok_and(|tag| tag == self.language) {
            faults.add("language", LANGUAGE_WORDS);
        }
        let username = self.check_username(faults);
        let email = match self.email.as_deref() {
            None => Some(None),
            Some(text) => check_address(text, faults).map(Some),
        };
        Some(Canonical { username: username?, email: email? })
    }

    fn check_username(&self, faults: &mut Faults) -> Option<Identifier> {
        if self.username.chars().count() > 150 {
            faults.add("username", "Ensure this field has no more than 150 characters.");
            return None;
        }
        let identifier = Identifier::parse(&self.username).ok();
        if identifier.is_none() {
            faults.add("username", "Enter a valid username.");
        }
        identifier
    }
}

/// The fault of a text that is no address.
pub const NO_ADDRESS: &str = "Enter a valid email address.";

/// The refusal of a text that is not a language tag.
pub(super) const LANGUAGE_WORDS: &str = "Enter a language tag, as de or pt-BR.";

/// Checks an address; what is wrong is added to `faults`.
pub fn check_address(text: &str, faults: &mut Faults) -> Option<Identifier> {
    let identifier = parse_address(text);
    if identifier.is_none() {
        faults.add("email", NO_ADDRESS);
    }
    identifier
}

/// The canonical form of an address.
#[must_use]
pub fn parse_address(text: &str) -> Option<Identifier> {
    Identifier::parse(text).ok().filter(is_address)
}

/// A local part of RFC 5321 atoms (or any letters beyond ASCII), and a domain with a dot.
fn is_address(identifier: &Identifier) -> bool {
    let Some((local, domain)) = identifier.as_str().rsplit_once('@') else { return false };
    let atoms = local.split('.').all(|atom| {
        !atom.is_empty()
            && atom.chars().all(|c| c.is_alphanumeric() || !c.is_ascii() || "!#$%&'*+/=?^_`{|}~-".contains(c))
    });
    let labels = domain.split('.').collect::<Vec<_>>();
    atoms && labels.len() > 1 && labels.iter().all(|label| !label.is_empty() && label.len() <= 63)
}

/// The verifier of a password that was checked; what is wrong with it is added to `faults`.
pub fn checked_password<'h>(
    checked: Result<&'h Verifier, Vec<String>>,
    faults: &mut Faults,
) -> Option<&'h Verifier> {
    checked.map_err(|said| said.into_iter().for_each(|message| faults.add("password", message))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults_of(profile: &Profile) -> Vec<(&'static str, Vec<String>)> {
        let mut faults = Faults::default();
        profile.check(&mut faults);
        faults.0
    }

    #[test]
    fn addresses() {
        for (text, fine) in [
            ("ada@acme.test", true),
            ("a.b+c@xn--bcher-kva.example", true),
            ("ada@bücher.example", true),
            ("bad", false),
            ("a@b@c.test", false),
            ("ada@localhost", false),
            ("@acme.test", false),
            ("ada@", false),
            (".ada@acme.test", false),
            ("a da@acme.test", false),
            ("<ada>@acme.test", false),
        ] {
            let profile = Profile { username: "ada".into(), email: Some(text.into()), ..Profile::default() };
            assert_eq!(faults_of(&profile).is_empty(), fine, "{text}");
        }
    }

    #[test]
    fn every_fault_is_said_at_once() {
        let profile = Profile {
            username: "a b".into(),
            email: Some("bad".into()),
            first_name: "x".repeat(151),
            language: "de_AT".into(),
            ..Profile::default()
        };
        let fields: Vec<_> = faults_of(&profile).into_iter().map(|(field, _)| field).collect();
        assert_eq!(fields, ["first_name", "language", "username", "email"]);
    }
}

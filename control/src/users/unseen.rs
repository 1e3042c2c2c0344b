//! Changes by who is not shown all of the user. Pure.
//!
//! A client reads a user, changes one field and sends all of them back, those that were masked as well. To write a
//! field without having read it is ordinary, as giving a new telephone number is.

use shared::tenant::visibility::{PersonalField, Visibility};

use super::fields::{Faults, Profile};
use super::model::{Change, User};
use super::visibility::{MASK, face};

const STALE: &str =
    "This is a mask, and not the one that is shown now: leave the field out, or give its value.";

/// The change without the fields that are as they are shown. A mask that is not shown now was shown before another
/// change: it is a fault, for it must not become the value.
pub(super) fn without_masks(wanted: Change, before: &User, faults: &mut Faults) -> Change {
    let Some(visibilities) = wanted.seen else { return wanted };
    let shown = face(before, visibilities);
    let mut unless_shown = |field: PersonalField, given: Option<String>, shown: Option<&str>| {
        let given = given?;
        if visibilities.whatever_it_holds(field) == Visibility::Clear {
            return Some(given);
        }
        if shown == Some(given.as_str()) {
            return None;
        }
        if given.contains(MASK) {
            faults.add(field.as_str(), STALE);
        }
        Some(given)
    };
    let email = match wanted.email {
        Some(Some(given)) => {
            let shown = shown.email.flatten();
            unless_shown(PersonalField::Email, Some(given), shown.as_deref()).map(Some)
        }
        other => other,
    };
    let mut text = |field, given, shown: Option<String>| unless_shown(field, given, shown.as_deref());
    Change {
        username: text(PersonalField::Username, wanted.username, shown.username),
        email,
        first_name: text(PersonalField::FirstName, wanted.first_name, shown.first_name),
        last_name: text(PersonalField::LastName, wanted.last_name, shown.last_name),
        phone: text(PersonalField::Phone, wanted.phone, shown.phone),
        ..wanted
    }
}

/// Whether this address, of a request, is the one that its sender is shown: then it stays.
pub(super) fn is_shown_email(wanted: &Change, before: &User, given: &Option<String>) -> bool {
    match wanted.seen {
        None => given.as_deref() == before.email.as_ref().map(|email| email.expose()),
        Some(visibilities) => *given == face(before, visibilities).email.flatten(),
    }
}

/// The names that a new password is compared with: those that are shown or written by who sets it. A refusal would
/// tell of the others, one guess a password.
pub(super) fn names_to_compare(profile: &Profile, wanted: &Change, before: &User) -> Profile {
    let Some(visibilities) = wanted.seen else { return profile.clone() };
    let compared = |visibility, is_given, text: &str| {
        if visibility == Visibility::Clear || is_given { text.to_owned() } else { String::new() }
    };
    let username = visibilities.of_username(before.username.expose());
    let email = profile.email.as_deref().unwrap_or_default();
    let of = |field| visibilities.of(field);
    Profile {
        username: compared(username, wanted.username.is_some(), &profile.username),
        email: Some(compared(of(PersonalField::Email), wanted.email.is_some(), email)),
        first_name: compared(of(PersonalField::FirstName), wanted.first_name.is_some(), &profile.first_name),
        last_name: compared(of(PersonalField::LastName), wanted.last_name.is_some(), &profile.last_name),
        phone: String::new(),
        language: String::new(),
    }
}

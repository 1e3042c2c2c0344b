//! What a search reads of a user: names and address in the one form that `shared` has for both sides.
//! [`Fields::words`](crate::http::fields::Fields::words) has what it looks for.

use shared::identifiers::{address_forms, folded};

use super::fields::Profile;

/// What a search reads of a user. Each field is on a line of its own, and a line feed is in no word.
#[must_use]
pub fn text(profile: &Profile) -> String {
    let mut lines = vec![folded(&profile.username)];
    lines.extend(profile.email.as_deref().map(address_forms).unwrap_or_default());
    lines.extend([folded(&profile.first_name), folded(&profile.last_name)]);
    lines.retain(|line| !line.is_empty());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_has_a_line_for_each_field() {
        let profile = Profile {
            username: "ADA".into(),
            email: Some("Ada@Bücher.example".into()),
            first_name: String::new(),
            last_name: "Jose\u{301}".into(),
            phone: "1".into(),
        };
        assert_eq!(text(&profile), "ada\nada@bücher.example\nada@xn--bcher-kva.example\njosé");
    }
}

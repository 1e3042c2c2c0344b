//! Language tags (BCP 47): only their form is checked, not the registry.

use crate::Invalid;
use crate::contract::limits::LANGUAGE_BYTES;

/// The tag in the usual case (RFC 5646, section 2.1.1): `de`, `pt-BR`, `zh-Hant-TW`. An empty text stays empty: no
/// language is chosen.
///
/// # Errors
/// For a text without the form of a tag, which is: a part of two to eight letters, then parts of one to eight letters
/// and digits, at most 35 bytes.
pub fn canonical(text: &str) -> Result<String, Invalid> {
    let invalid = Invalid("language tag");
    if text.is_empty() {
        return Ok(String::new());
    }
    if text.len() > LANGUAGE_BYTES {
        return Err(invalid);
    }
    let mut parts = Vec::new();
    let mut after_singleton = false;
    for (at, part) in text.split('-').enumerate() {
        let letters = part.bytes().all(|byte| byte.is_ascii_alphabetic());
        let holds = part.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let least = if at == 0 { 2 } else { 1 };
        if !(least..=8).contains(&part.len()) || !holds || (at == 0 && !letters) {
            return Err(invalid);
        }
        let part = match part.len() {
            2 if at > 0 && !after_singleton => part.to_ascii_uppercase(),
            4 if at > 0 && !after_singleton && letters => {
                let (first, rest) = part.split_at(1);
                first.to_ascii_uppercase() + &rest.to_ascii_lowercase()
            }
            _ => part.to_ascii_lowercase(),
        };
        after_singleton = after_singleton || part.len() == 1;
        parts.push(part);
    }
    if parts.last().is_some_and(|last| last.len() == 1) {
        return Err(invalid);
    }
    Ok(parts.join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_has_one_case() {
        for (text, expected) in [
            ("", ""),
            ("de", "de"),
            ("DE-at", "de-AT"),
            ("zh-hant-tw", "zh-Hant-TW"),
            ("es-419", "es-419"),
            ("de-CH-1901", "de-CH-1901"),
            ("en-u-HC-h12", "en-u-hc-h12"),
            ("x-y", "!"),
            ("d", "!"),
            ("de_AT", "!"),
            ("de-", "!"),
            ("de-a", "!"),
            ("-de", "!"),
            ("de--AT", "!"),
            ("d3", "!"),
            ("deutschland", "!"),
            ("de-\u{e4}", "!"),
            ("de\r\nx: y", "!"),
            ("en-aaaaaaaa-bbbbbbbb-cccccccc-dddddddd", "!"),
        ] {
            let said = canonical(text);
            assert_eq!(said.as_deref().unwrap_or("!"), expected, "{text}");
            if let Ok(tag) = said {
                assert_eq!(canonical(&tag).unwrap(), tag, "once more");
            }
        }
    }
}

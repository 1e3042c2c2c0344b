//! User names and addresses: one namespace in a tenant, one canonical form.
//!
//! NFKC, case fold, trim, the domain as A-label, at most 254 bytes. The edge and control must
//! agree to the byte, because both sides only ever compare keyed hashes of the result.

use icu_casemap::CaseMapper;
use icu_normalizer::ComposingNormalizerBorrowed;

use crate::Invalid;
use crate::contract::limits::IDENTIFIER_BYTES;

/// A canonical user name or address. It has no `Debug`: it is personal.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Identifier(String);

impl Identifier {
    /// Canonicalises `text`.
    ///
    /// # Errors
    /// Empty, over 254 bytes, with control characters or inner white space, or with a domain that
    /// has no A-label form.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        // A canonical form is never shorter than a sixth of its source (the longest NFKC + UTF-8 shrink), so a longer
        // text is refused before it is processed.
        if text.len() > IDENTIFIER_BYTES * 6 {
            return Err(Invalid("identifier"));
        }
        let folded = folded(text.trim());
        let canonical = match folded.rsplit_once('@') {
            Some((local, domain)) if !local.is_empty() => {
                let domain = idna::domain_to_ascii_strict(domain).map_err(|_| Invalid("identifier"))?;
                format!("{local}@{domain}")
            }
            _ => folded,
        };
        let plain = !canonical.chars().any(|c| c.is_control() || c.is_whitespace());
        if plain && !canonical.is_empty() && canonical.len() <= IDENTIFIER_BYTES {
            Ok(Self(canonical))
        } else {
            Err(Invalid("identifier"))
        }
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is an address, with a local part and a domain.
    #[must_use]
    pub fn is_address(&self) -> bool {
        self.0.contains('@')
    }
}

/// The canonical form in which names and search words are compared: trimmed, and Unicode's toCasefold under NFKC
/// (D145 of The Unicode Standard, chapter 3). Folding may produce a text that NFKC changes again, so both are
/// repeated until nothing changes, at most twice.
#[must_use]
pub fn folded(text: &str) -> String {
    let nfkc = ComposingNormalizerBorrowed::new_nfkc();
    let fold = CaseMapper::new();
    let once = |text: &str| nfkc.normalize(&fold.fold_string(&nfkc.normalize(text))).trim().to_owned();
    once(&once(text))
}

/// An address in each form in which a user may look for it: folded, and with its domain in letters and as
/// A-label.
#[must_use]
pub fn address_forms(text: &str) -> Vec<String> {
    let mut forms = vec![folded(text)];
    if let Some((local, domain)) = folded(text).rsplit_once('@') {
        let in_letters = idna::domain_to_unicode(domain).0;
        forms.push(format!("{local}@{in_letters}"));
    }
    forms.extend(Identifier::parse(text).map(|canonical| canonical.0));
    forms.sort_unstable();
    forms.dedup();
    forms
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn canonical(text: &str) -> Option<String> {
        Identifier::parse(text).ok().map(|id| id.as_str().to_owned())
    }

    #[test]
    fn spellings_of_one_name_meet() {
        for (text, expected) in [
            ("  Ada ", "ada"),
            ("ＡＤＡ", "ada"),
            ("Straße", "strasse"),
            ("ﬁn", "fin"),
            ("Ada@Bücher.Example", "ada@xn--bcher-kva.example"),
            ("Å", "å"),
            ("A\u{30a}", "å"),
        ] {
            assert_eq!(canonical(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn an_address_has_a_form_for_each_way_to_write_its_domain() {
        let both = ["ada@bücher.example", "ada@xn--bcher-kva.example"];
        for text in ["Ada@Bücher.example", "ADA@BU\u{308}CHER.EXAMPLE", "ada@xn--bcher-kva.example"] {
            let mut forms = address_forms(text);
            forms.sort_by_key(String::len);
            assert_eq!(forms, both, "{text}");
        }
        assert_eq!(address_forms("Ada@Acme.Test"), ["ada@acme.test"]);
        assert_eq!(address_forms("no address"), ["no address"]);
    }

    #[test]
    fn what_has_no_form_is_refused() {
        for text in ["", "   ", "a b", "a\nb", "a@", "ada@exa mple", &"x".repeat(255)] {
            assert_eq!(canonical(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn canonical_is_a_fixed_point(text in "\\PC{0,80}") {
            if let Ok(first) = Identifier::parse(&text) {
                prop_assert_eq!(canonical(first.as_str()), Some(first.as_str().to_owned()));
            }
        }

        #[test]
        fn any_bytes_are_safe(text: String) {
            let _ = Identifier::parse(&text);
        }
    }
}

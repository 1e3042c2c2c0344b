//! Addresses as SMTP has them.

use lettre::address::{Address, AddressError};
use shared::identifiers::Identifier;

/// An address of SMTP: its domain as A-label, since servers without SMTPUTF8 take no other.
///
/// # Errors
/// For what is no address.
pub(super) fn address(text: &str) -> Result<Address, AddressError> {
    let (local, domain) = text.trim().rsplit_once('@').ok_or(AddressError::MissingParts)?;
    // The canonical form folds the local part, too, which its owner may have in another case.
    let domain = Identifier::parse(&format!("x@{domain}"));
    let domain = domain.map_err(|_| AddressError::InvalidDomain)?;
    let (_, domain) = domain.as_str().rsplit_once('@').ok_or(AddressError::InvalidDomain)?;
    Address::new(local, domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_an_a_label_and_keeps_its_case() {
        for (text, sent) in [
            ("Ada@Acme.example", "Ada@acme.example"),
            ("ada@bücher.example", "ada@xn--bcher-kva.example"),
            (" ada@acme.example ", "ada@acme.example"),
            ("größe@acme.example", "größe@acme.example"),
        ] {
            assert_eq!(address(text).unwrap().to_string(), sent);
        }
        for text in [
            "ada",
            "@acme.example",
            "ada@",
            "a b@acme.example",
            "ada@acme.example\r\nRCPT TO:<eve@x.y>",
            "<a>@b.c",
        ] {
            assert!(address(text).is_err(), "{text:?}");
        }
    }
}

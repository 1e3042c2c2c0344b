//! Recovery codes, for users who have lost their authenticators.
//!
//! A code is 80 random bits, so a keyed SHA-256 of it suffices: 2^80 codes are too many to try. Written in
//! Crockford's base32, which avoids letters that look like digits, in four groups.

use base32::Alphabet;
use zeroize::Zeroizing;

use crate::derive::{Secret, mac};
use crate::ids::{TenantId, UserId};

/// Bytes of a code.
pub const CODE_BYTES: usize = 10;
/// Letters of a code in a group.
const GROUP: usize = 4;

/// A recovery code. No `Debug`, wiped when dropped.
pub struct RecoveryCode(Zeroizing<[u8; CODE_BYTES]>);

impl RecoveryCode {
    /// A code of random bytes.
    #[must_use]
    pub fn new(random: [u8; CODE_BYTES]) -> Self {
        Self(Zeroizing::new(random))
    }

    /// Reads a code as it was typed: in either case, with blanks and hyphens anywhere, with `O` for `0` and `I` or
    /// `L` for `1`; `None` for every other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let letters = text.chars().filter(|letter| !letter.is_whitespace() && *letter != '-');
        let letters: Zeroizing<String> = Zeroizing::new(letters.collect());
        let bytes = Zeroizing::new(base32::decode(Alphabet::Crockford, &letters)?);
        let whole = letters.len() == CODE_BYTES * 8 / 5;
        let bytes: [u8; CODE_BYTES] = bytes.as_slice().try_into().ok().filter(|_| whole)?;
        Some(Self(Zeroizing::new(bytes)))
    }

    /// The code as its owner gets it: `k3vp-9m2x-...`.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let letters = Zeroizing::new(base32::encode(Alphabet::Crockford, self.0.as_slice()));
        let mut text = Zeroizing::new(String::with_capacity(letters.len() + letters.len() / GROUP));
        for (at, letter) in letters.chars().enumerate() {
            if at > 0 && at % GROUP == 0 {
                text.push('-');
            }
            text.push(letter.to_ascii_lowercase());
        }
        text
    }

    /// The stored hash of the code: a keyed SHA-256. The key is generated with the user's set of codes.
    #[must_use]
    pub fn hash(&self, key: &Secret, tenant: TenantId, user: UserId) -> [u8; 32] {
        mac(key, "recovery-code/v1", &[tenant.as_bytes(), user.as_bytes(), self.0.as_slice()])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_code_is_read_as_people_type_it() {
        let code = RecoveryCode::new([0x08, 0x42, 0x10, 0x84, 0x21, 0xff, 0xee, 0xdd, 0xcc, 0xbb]);
        let text = code.to_text();
        assert_eq!(text.len(), 19);
        let hash = |code: &RecoveryCode| {
            let (tenant, user) = (TenantId::new(1, [1; 10]), UserId::new(1, [1; 10]));
            code.hash(&Secret::new([3; 32]), tenant, user)
        };
        let spellings = [
            text.to_string(),
            text.to_uppercase(),
            text.replace('-', ""),
            text.replace('-', " "),
            format!(" {}\n", text.replace('1', "l").replace('0', "O")),
        ];
        for spelling in spellings {
            let read = RecoveryCode::parse(&spelling).unwrap();
            assert_eq!(hash(&read), hash(&code), "{spelling}");
        }
        for other in
            ["", "1", &text[..18], &format!("{}0", *text), "uuuu-uuuu-uuuu-uuuu", "١١١١-1111-1111-1111"]
        {
            assert!(RecoveryCode::parse(other).is_none(), "{other}");
        }
    }

    /// Computed with Python's `hmac`, and its own base 32.
    #[test]
    fn text_and_hash_match_the_vectors() {
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../vectors/derive.json")).unwrap();
        let text = |name: &str| vectors[name].as_str().unwrap();
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let code = RecoveryCode::new([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(*code.to_text(), text("recovery_code"));
        let (tenant, user) = (TenantId::parse(text("tenant")).unwrap(), UserId::parse(text("user")).unwrap());
        assert_eq!(text("recovery_key"), hex(&[0xc7; 32]));
        let hash = code.hash(&Secret::new([0xc7; 32]), tenant, user);
        assert_eq!(hex(&hash), text("recovery_code_hash"));
    }

    #[test]
    fn a_hash_is_of_one_user_and_key() {
        let hash = |key, tenant, user| {
            RecoveryCode::new([1; 10]).hash(
                &Secret::new([key; 32]),
                TenantId::new(1, [tenant; 10]),
                UserId::new(1, [user; 10]),
            )
        };
        let hashes = [hash(1, 1, 1), hash(2, 1, 1), hash(1, 2, 1), hash(1, 1, 2)];
        assert_eq!(hashes.iter().collect::<std::collections::BTreeSet<_>>().len(), 4);
    }

    proptest! {
        #[test]
        fn any_text_is_safe(text: String) {
            let _ = RecoveryCode::parse(&text);
        }

        #[test]
        fn a_code_survives_its_text(bytes: [u8; CODE_BYTES]) {
            let text = RecoveryCode::new(bytes).to_text();
            prop_assert_eq!(*RecoveryCode::parse(&text).unwrap().0, bytes);
        }
    }
}

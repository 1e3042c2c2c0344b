//! Ids of tenants, users, sessions and facts, and the names by which tenants are found.
//!
//! Each is a type of its own with one `parse`; a value of the type is valid.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Invalid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A version 7 UUID (RFC 9562, section 5.7) of this moment and these random bytes.
            #[must_use]
            pub fn new(unix_ms: u64, random: [u8; 10]) -> Self {
                Self(uuid::Builder::from_unix_timestamp_millis(unix_ms, &random).into_uuid())
            }

            /// Parses any spelling of the UUID ([`uuid()`]); it is always written in the same one.
            ///
            /// # Errors
            /// Any other text.
            pub fn parse(text: &str) -> Result<Self, Invalid> {
                uuid(text).map(Self).map_err(|_| Invalid($what))
            }

            /// The UUID, for a database column.
            #[must_use]
            pub fn uuid(self) -> Uuid {
                self.0
            }

            /// The 16 bytes, for a MAC or associated data.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0.hyphenated(), f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

/// Parses a UUID as libraries write it: hyphenated, in 32 digits, in braces or as a URN, in upper or lower case (RFC
/// 9562, section 4). Ids are compared by value; their texts only if both were written by this code.
///
/// # Errors
/// Any other text.
pub fn uuid(text: &str) -> Result<Uuid, Invalid> {
    Uuid::try_parse(text).map_err(|_| Invalid("UUID"))
}

uuid_id!(
    /// A tenant.
    TenantId,
    "tenant id"
);
uuid_id!(
    /// A user within one tenant; `sub` of every token.
    UserId,
    "user id"
);
uuid_id!(
    /// An authenticator of a user: a device or program that generates one-time codes.
    AuthenticatorId,
    "authenticator id"
);
uuid_id!(
    /// An entry of a user's profile.
    ProfileEntryId,
    "profile entry id"
);
uuid_id!(
    /// A fact of the edge; unique in control, so a second delivery changes nothing.
    EventId,
    "event id"
);

const SESSION_BYTES: usize = 17;

/// A refresh family: the number of its shard and 16 random bytes; the claim `sid` of every token.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId([u8; SESSION_BYTES]);

impl SessionId {
    /// A family on `shard` with these random bytes.
    #[must_use]
    pub fn new(shard: u8, random: [u8; 16]) -> Self {
        let mut bytes = [shard; SESSION_BYTES];
        for (to, from) in bytes.iter_mut().skip(1).zip(random) {
            *to = from;
        }
        Self(bytes)
    }

    /// Parses 23 characters of unpadded base64url.
    ///
    /// # Errors
    /// Another length, alphabet, padding, or bits that a canonical encoder would not have set.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let mut bytes = [0; SESSION_BYTES];
        match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
            Ok(SESSION_BYTES) => Ok(Self(bytes)),
            _ => Err(Invalid("session id")),
        }
    }

    /// The shard of the family.
    #[must_use]
    pub fn shard(&self) -> u8 {
        let [shard, ..] = self.0;
        shard
    }

    /// All 17 bytes, for a MAC.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; SESSION_BYTES] {
        &self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Invalid;
            fn try_from(text: String) -> Result<Self, Invalid> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    };
}

text_id!(
    /// The short name of a tenant in `X-Tenant` and `/t/<slug>/`: a DNS label of at most 40 bytes.
    Slug,
    "slug"
);
text_id!(
    /// A host name as tenants own them: lower-case A-labels without port or final dot.
    HostName,
    "host name"
);
text_id!(
    /// The name of a signing key: its RFC 7638 thumbprint, 43 characters of base64url.
    KeyId,
    "key id"
);

fn is_label(label: &str, longest: usize) -> bool {
    !label.is_empty()
        && label.len() <= longest
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

impl Slug {
    /// Parses a slug.
    ///
    /// # Errors
    /// Anything but 1 to 40 of `[a-z0-9-]` that neither begins nor ends with a hyphen.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if is_label(text, 40) { Ok(Self(text.to_owned())) } else { Err(Invalid("slug")) }
    }
}

impl HostName {
    /// Parses a host name (RFC 1123 labels, already lower case and in A-label form).
    ///
    /// # Errors
    /// Upper case, a port, a final dot, an address in digits alone, or over 253 bytes.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let digits_alone =
            text.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
        let labels_hold = text.split('.').all(|label| is_label(label, 63) && a_label_holds(label));
        if text.len() <= 253 && labels_hold && !digits_alone {
            Ok(Self(text.to_owned()))
        } else {
            Err(Invalid("host name"))
        }
    }
}

impl HostName {
    /// The form in which a typed host is looked up: the input may be Unicode in any case or A-labels, with or without
    /// a final dot. A malformed name becomes a text that no host has.
    #[must_use]
    pub fn canonical(text: &str) -> String {
        let text = text.trim().trim_end_matches('.');
        idna::domain_to_ascii(text).unwrap_or_else(|_| text.to_owned())
    }

    /// The host with the letters that its A-labels stand for.
    #[must_use]
    pub fn in_letters(&self) -> String {
        idna::domain_to_unicode(&self.0).0
    }
}

/// An A-label must decode to a text that encodes to the same label.
fn a_label_holds(label: &str) -> bool {
    !label.starts_with("xn--") || idna::domain_to_ascii(label).is_ok_and(|ascii| ascii == label)
}

impl KeyId {
    /// Parses a thumbprint.
    ///
    /// # Errors
    /// Anything but 43 characters of base64url.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let mut digest = [0; 32];
        match URL_SAFE_NO_PAD.decode_slice(text, &mut digest) {
            Ok(32) => Ok(Self(text.to_owned())),
            _ => Err(Invalid("key id")),
        }
    }

    pub(crate) fn of_digest(digest: &[u8]) -> Self {
        Self(URL_SAFE_NO_PAD.encode(digest))
    }
}

impl Serialize for SessionId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SessionId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_uuid_is_read_in_every_spelling_and_written_in_one() {
        let id = TenantId::new(1_700_000_000_000, [0xab; 10]);
        let uuid = id.uuid();
        for spelled in [
            uuid.hyphenated().to_string(),
            uuid.simple().to_string(),
            uuid.braced().to_string(),
            uuid.urn().to_string(),
            uuid.hyphenated().to_string().to_uppercase(),
            uuid.simple().to_string().to_uppercase(),
            uuid.braced().to_string().to_uppercase(),
        ] {
            assert_eq!(TenantId::parse(&spelled), Ok(id), "{spelled}");
            let read: TenantId = serde_json::from_value(spelled.clone().into()).unwrap();
            assert_eq!(read, id, "{spelled}");
            assert_eq!(serde_json::to_value(read).unwrap(), "018bcfe5-6800-7bab-abab-abababababab");
            assert_eq!(read.to_string(), "018bcfe5-6800-7bab-abab-abababababab");
        }
        for bad in ["", "7", "018bcfe5-6800-7bab-abab-ababababababa", "018bcfe568007bababababababababag"] {
            assert!(TenantId::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(uuid.get_version_num(), 7);
    }

    #[test]
    fn hosts_are_lower_case_a_labels() {
        for good in ["acme.example", "a-1.b", "localhost", "xn--bcher-kva.example", "acme.localhost"] {
            assert!(HostName::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "Acme.example",
            "acme.example.",
            "acme.example:80",
            "-a.b",
            "a..b",
            "127.0.0.1",
            "bücher.example",
            "xn--a.b",
        ] {
            assert!(HostName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_host_is_looked_for_as_it_is_typed() {
        for (typed, host) in [
            ("Acme.Example", "acme.example"),
            ("acme.example.", "acme.example"),
            (" Bücher.example ", "xn--bcher-kva.example"),
            ("BU\u{308}CHER.EXAMPLE", "xn--bcher-kva.example"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("xn--a.b", "xn--a.b"),
        ] {
            assert_eq!(HostName::canonical(typed), host, "{typed}");
        }
        let host = HostName::parse("xn--bcher-kva.example").unwrap();
        assert_eq!(host.in_letters(), "bücher.example");
    }

    proptest! {
        #[test]
        fn session_ids_survive_the_round(shard: u8, random: [u8; 16]) {
            let id = SessionId::new(shard, random);
            prop_assert_eq!(SessionId::parse(&id.to_string()), Ok(id));
            prop_assert_eq!(id.shard(), shard);
        }

        #[test]
        fn parsers_never_panic_and_accept_only_what_they_print(text in ".{0,60}") {
            if let Ok(id) = SessionId::parse(&text) { prop_assert_eq!(id.to_string(), text.clone()); }
            if let Ok(id) = UserId::parse(&text) { prop_assert_eq!(UserId::parse(&id.to_string()), Ok(id)); }
            if let Ok(slug) = Slug::parse(&text) { prop_assert_eq!(slug.as_str(), text.as_str()); }
            if let Ok(host) = HostName::parse(&text) { prop_assert_eq!(host.as_str(), text.as_str()); }
            if let Ok(kid) = KeyId::parse(&text) { prop_assert_eq!(kid.as_str(), text.as_str()); }
        }
    }
}

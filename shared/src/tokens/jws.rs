//! Splits a compact JWS (RFC 7515, section 7.1) without verifying anything.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::contract::limits::TOKEN_BYTES;

/// The three parts of a compact JWS, borrowed and untrusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jws<'a> {
    /// The encoded header.
    pub header: &'a str,
    /// The encoded payload.
    pub payload: &'a str,
    /// The encoded signature.
    pub signature: &'a str,
    /// Header, dot and payload: the signed part.
    pub signed: &'a str,
}

/// The members of a header that are looked at. `crit` is not supported, so its presence refuses the
/// token (RFC 7515, section 4.1.11).
#[derive(Deserialize)]
struct Header<'a> {
    #[serde(borrow)]
    alg: Cow<'a, str>,
    #[serde(borrow, default)]
    typ: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    kid: Option<Cow<'a, str>>,
    #[serde(default)]
    crit: Option<serde::de::IgnoredAny>,
}

impl<'a> Jws<'a> {
    /// Splits `unverified_token`; `None` unless it has three non-empty parts and is short enough.
    #[must_use]
    pub fn split(unverified_token: &'a str) -> Option<Self> {
        if unverified_token.len() > TOKEN_BYTES {
            return None;
        }
        let (signed, signature) = unverified_token.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        let whole =
            !header.is_empty() && !payload.is_empty() && !signature.is_empty() && !payload.contains('.');
        whole.then_some(Self { header, payload, signature, signed })
    }

    /// The key id of an access token's header: `None` unless the header is a JSON object with
    /// `alg` RS256, a `typ` that is absent or `JWT`, a `kid`, and no `crit`.
    #[must_use]
    pub fn access_key_id(&self) -> Option<String> {
        self.rs256_key_id().flatten()
    }

    /// Whether the header is that of a legacy token: like an access token's, but without a `kid`.
    #[must_use]
    pub fn is_legacy(&self) -> bool {
        self.rs256_key_id() == Some(None)
    }

    fn rs256_key_id(&self) -> Option<Option<String>> {
        let bytes = URL_SAFE_NO_PAD.decode(self.header).ok()?;
        let header: Header<'_> = serde_json::from_slice(&bytes).ok()?;
        let typed = header.typ.as_deref().is_none_or(|typ| typ.eq_ignore_ascii_case("jwt"));
        (header.alg == "RS256" && typed && header.crit.is_none()).then(|| header.kid.map(Cow::into_owned))
    }

    /// The payload's bytes, if its encoding is canonical.
    #[must_use]
    pub fn payload_bytes(&self) -> Option<Vec<u8>> {
        URL_SAFE_NO_PAD.decode(self.payload).ok()
    }

    /// The signature's bytes, if its encoding is canonical.
    #[must_use]
    pub fn signature_bytes(&self) -> Option<Vec<u8>> {
        URL_SAFE_NO_PAD.decode(self.signature).ok()
    }
}

#[cfg(test)]
mod tests {
    use jwt_compact::UntrustedToken;
    use proptest::prelude::*;

    use super::*;

    fn encode(header: &str) -> String {
        format!("{}.e30.AA", URL_SAFE_NO_PAD.encode(header))
    }

    #[test]
    fn rfc_7515_a2_splits() {
        let vector: serde_json::Value =
            serde_json::from_str(include_str!("../../vectors/rfc7515_a2_rs256.json")).unwrap();
        let jws = Jws::split(vector["jws"].as_str().unwrap()).unwrap();
        assert_eq!(jws.signature_bytes().unwrap().len(), 256);
        assert!(jws.payload_bytes().unwrap().starts_with(b"{\"iss\":\"joe\""));
        assert_eq!(jws.access_key_id(), None, "it has no kid");
    }

    #[test]
    fn only_our_header_names_a_key() {
        let kid = |header: &str| Jws::split(&encode(header)).unwrap().access_key_id();
        assert_eq!(kid(r#"{"alg":"RS256","typ":"JWT","kid":"k"}"#).as_deref(), Some("k"));
        for bad in [
            r#"{"alg":"none","typ":"JWT","kid":"k"}"#,
            r#"{"alg":"HS256","typ":"JWT","kid":"k"}"#,
            r#"{"alg":"rs256","kid":"k"}"#,
            r#"{"alg":"RS256","typ":"refresh+jwt","kid":"k"}"#,
            r#"{"alg":"RS256","kid":"k","crit":["exp"]}"#,
            r#"{"alg":"RS256","alg":"RS256","kid":"k"}"#,
            r#"{"alg":"RS256"}"#,
            r#"["RS256"]"#,
            "",
        ] {
            let token = encode(bad);
            assert_eq!(Jws::split(&token).and_then(|jws| jws.access_key_id()), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn the_parts_make_up_the_whole(text in "[A-Za-z0-9_.-]{0,60}|\\PC{0,60}") {
            if let Some(jws) = Jws::split(&text) {
                prop_assert_eq!(format!("{}.{}.{}", jws.header, jws.payload, jws.signature), text.clone());
                prop_assert_eq!(format!("{}.{}", jws.header, jws.payload), jws.signed);
                let _ = (jws.access_key_id(), jws.payload_bytes(), jws.signature_bytes());
            }
        }

        /// Every token that jwt-compact accepts is split in the same way here.
        #[test]
        fn it_agrees_with_jwt_compact(payload: Vec<u8>, signature in proptest::collection::vec(any::<u8>(), 1..64)) {
            let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","typ":"JWT","kid":"k"}"#);
            let payload = URL_SAFE_NO_PAD.encode(&payload);
            let token = format!("{header}.{payload}.{}", URL_SAFE_NO_PAD.encode(&signature));
            let theirs = <UntrustedToken>::new(&token).is_ok();
            prop_assert_eq!(Jws::split(&token).is_some(), theirs && !payload.is_empty());
        }
    }
}

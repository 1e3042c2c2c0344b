//! The two kinds of JWT that Wardgate issues, and opaque credentials, each with its own form and its own parser.
//!
//! An access token is an RS256 JWS that every service can verify; signing is asynchronous at the edge (WebCrypto), so
//! this module produces the signing input and parses the verified payload. A refresh token is an HS256 JWS that only
//! Wardgate can verify; jwt-compact signs and verifies it here. No parser tries a second kind, and no function takes
//! an algorithm from a token.

pub mod challenge;
pub mod claims;
pub mod device;
pub mod jwk;
pub mod jws;
pub mod legacy;
pub mod numeric_date;
mod opaque;
pub mod ticket;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::DateTime;
use jwt_compact::alg::{Hs256, Hs256Key};
use jwt_compact::{AlgorithmExt as _, Claims, Header, UntrustedToken};
use serde::{Deserialize, Serialize};

use crate::contract::refusal::TokenFault;
use crate::derive::{Purpose, Secret, derive};
use crate::ids::{KeyId, SessionId, TenantId, UserId};
use crate::tokens::claims::{AccessClaims, UserIdClaim};
use crate::tokens::jws::Jws;

/// The signing input of an access token: header and payload, encoded and joined.
///
/// # Errors
/// Cannot happen for claims of this crate's types.
pub fn access_signing_input(kid: &KeyId, claims: &AccessClaims<'_>) -> Result<String, TokenFault> {
    // A key id is base64url, so the header needs no escaping.
    let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"RS256","typ":"JWT","kid":"{kid}"}}"#));
    let payload = serde_json::to_vec(claims).map_err(|_| TokenFault::Invalid)?;
    Ok(format!("{header}.{}", URL_SAFE_NO_PAD.encode(payload)))
}

/// Appends the signature.
#[must_use]
pub fn join_signature(signing_input: String, signature: &[u8]) -> String {
    let mut token = signing_input;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    token
}

/// The content of a refresh token, from its row: the same row gives the same bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refresh {
    /// The family.
    pub sid: SessionId,
    /// The generation, counted from 1.
    pub generation: i64,
    /// The user.
    pub user: UserId,
    /// The user's id as clients of the old service read it; written, never believed.
    pub user_id: UserIdClaim,
    /// When this generation was issued, Unix seconds: the row's `rotated_at`.
    pub issued_at: i64,
    /// The earlier of idle and absolute deadline, Unix seconds.
    pub expires_at: i64,
}

#[derive(Clone, Serialize, Deserialize)]
struct RefreshClaims {
    token_type: String,
    jti: String,
    user_id: UserIdClaim,
    sub: UserId,
    sid: SessionId,
    tenant: TenantId,
    iss: String,
}

/// The header of a refresh token, about the version of its root.
const HEADER_BEGIN: &str = r#"{"alg":"HS256","kid":"r"#;
const HEADER_END: &str = r#"","typ":"refresh+jwt"}"#;

/// The version of the session root that the header of a refresh token names: an isolate that does not know it may
/// have slept. `None` for every other header.
#[must_use]
pub fn claimed_root(unverified_token: &str) -> Option<u32> {
    let header = URL_SAFE_NO_PAD.decode(Jws::split(unverified_token)?.header).ok()?;
    let version = std::str::from_utf8(&header).ok()?.strip_prefix(HEADER_BEGIN)?.strip_suffix(HEADER_END)?;
    version.parse().ok().filter(|parsed: &u32| parsed.to_string() == version)
}

/// The key of a tenant's refresh tokens, of one version of its session root. No `Debug`.
pub struct RefreshKey {
    version: u32,
    header: Header,
    header_segment: String,
    key: Hs256Key,
    tenant: TenantId,
}

impl RefreshKey {
    /// Derives the key from session root `version`.
    #[must_use]
    pub fn new(version: u32, session_root: &Secret, tenant: TenantId) -> Self {
        let key = derive(session_root, tenant, Purpose::Refresh);
        let kid = format!("r{version}");
        let header_segment = URL_SAFE_NO_PAD.encode(format!("{HEADER_BEGIN}{version}{HEADER_END}"));
        let header = Header::empty().with_key_id(kid).with_token_type("refresh+jwt");
        Self { version, header, header_segment, key: Hs256Key::new(key.expose()), tenant }
    }

    /// Whether `unverified_token` begins with exactly this key's header. The header of a refresh
    /// token is compared, never parsed.
    #[must_use]
    pub fn wrote_header_of(&self, unverified_token: &str) -> bool {
        Jws::split(unverified_token).is_some_and(|jws| jws.header == self.header_segment)
    }

    /// The version of the session root that it was derived from.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Signs the token of a row.
    ///
    /// # Errors
    /// A time out of range.
    pub fn sign(&self, refresh: &Refresh, issuer: &str) -> Result<String, TokenFault> {
        let custom = RefreshClaims {
            token_type: String::from("refresh"),
            jti: format!("{}.{}", refresh.sid, refresh.generation),
            user_id: refresh.user_id.clone(),
            sub: refresh.user,
            sid: refresh.sid,
            tenant: self.tenant,
            iss: issuer.to_owned(),
        };
        let mut claims = Claims::new(custom);
        claims.issued_at = DateTime::from_timestamp(refresh.issued_at, 0);
        claims.expiration = DateTime::from_timestamp(refresh.expires_at, 0);
        if claims.issued_at.is_none() || claims.expiration.is_none() {
            return Err(TokenFault::Invalid);
        }
        Hs256.token(&self.header, &claims, &self.key).map_err(|_| TokenFault::Invalid)
    }

    /// Verifies a token and returns its content. Its times are not checked: the row decides.
    ///
    /// # Errors
    /// [`TokenFault::Invalid`] for another header, signature, tenant or shape.
    pub fn verify(&self, unverified_token: &str) -> Result<Refresh, TokenFault> {
        let invalid = TokenFault::Invalid;
        if !self.wrote_header_of(unverified_token) {
            return Err(invalid);
        }
        let untrusted = <UntrustedToken>::new(unverified_token).map_err(|_| invalid)?;
        let token = Hs256.validator::<RefreshClaims>(&self.key).validate(&untrusted).map_err(|_| invalid)?;
        let claims = token.claims();
        let custom = &claims.custom;
        let (sid_text, generation_text) = custom.jti.rsplit_once('.').ok_or(invalid)?;
        let generation: i64 = generation_text.parse().map_err(|_| invalid)?;
        let named = custom.token_type == "refresh" && custom.tenant == self.tenant && generation >= 1;
        if !named || SessionId::parse(sid_text) != Ok(custom.sid) {
            return Err(invalid);
        }
        let (Some(issued_at), Some(expires_at)) = (claims.issued_at, claims.expiration) else {
            return Err(invalid);
        };
        Ok(Refresh {
            sid: custom.sid,
            generation,
            user: custom.sub,
            user_id: custom.user_id.clone(),
            issued_at: issued_at.timestamp(),
            expires_at: expires_at.timestamp(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tenant(fill: u8) -> TenantId {
        TenantId::new(u64::from(fill), [fill; 10])
    }

    fn refresh(generation: i64) -> Refresh {
        Refresh {
            sid: SessionId::new(0, [2; 16]),
            generation,
            user: UserId::new(5, [5; 10]),
            user_id: UserIdClaim::Integer(5),
            issued_at: 1_700_000_000,
            expires_at: 1_700_086_400,
        }
    }

    /// Tokens of PyJWT and of jose: split, named and read alike, and ours have the same bytes but for
    /// the order of members.
    #[test]
    fn tokens_of_other_libraries_are_read_alike() {
        let vector: serde_json::Value =
            serde_json::from_str(include_str!("../../vectors/tokens.json")).unwrap();
        let text = |name: &str| vector[name].as_str().unwrap();
        let public = crate::tokens::jwk::PublicKey::parse(text("n"), text("e")).unwrap();
        assert_eq!(public.key_id().as_str(), text("jose_thumbprint"));
        let tenant = TenantId::parse(vector["claims"]["tenant"].as_str().unwrap()).unwrap();
        let issuer = "https://acme.example";
        let expected = crate::tokens::claims::Expected { tenant, issuer, audience: None, former: &[] };
        for library in ["pyjwt", "jose"] {
            let jws = Jws::split(text(library)).unwrap();
            assert_eq!(jws.access_key_id().as_deref(), Some(text("kid")), "{library}");
            let payload = jws.payload_bytes().unwrap();
            let claims = AccessClaims::check(&payload, expected, 1100).unwrap().claims;
            let ours = access_signing_input(&public.key_id(), &claims).unwrap();
            assert_eq!(
                Jws::split(&format!("{ours}.AA")).unwrap().payload_bytes(),
                Some(payload.clone()),
                "{library}"
            );
        }
    }

    #[test]
    fn a_refresh_token_survives_the_round_and_is_the_same_twice() {
        let key = RefreshKey::new(1, &Secret::new([1; 32]), tenant(1));
        let token = key.sign(&refresh(3), "https://acme.example").unwrap();
        assert_eq!(key.verify(&token), Ok(refresh(3)));
        assert_eq!(key.sign(&refresh(3), "https://acme.example").unwrap(), token);
        assert!(token.len() < 1500);
        let payload = Jws::split(&token).unwrap().payload_bytes().unwrap();
        let claims: serde_json::Value = serde_json::from_slice(&payload).unwrap();
        assert_eq!(claims["token_type"], "refresh");
        assert_eq!(claims["exp"], 1_700_086_400);
        assert!(claims.get("aud").is_none() && claims.get("roles").is_none());
    }

    #[test]
    fn the_header_that_is_compared_is_the_header_that_is_written() {
        let key = RefreshKey::new(12, &Secret::new([1; 32]), tenant(1));
        let token = key.sign(&refresh(1), "i").unwrap();
        assert!(key.wrote_header_of(&token));
        let newer = RefreshKey::new(13, &Secret::new([1; 32]), tenant(1));
        assert!(!newer.wrote_header_of(&token));
    }

    #[test]
    fn the_version_of_a_root_is_read_of_the_very_header_alone() {
        for version in [0, 1, 12, u32::MAX] {
            let key = RefreshKey::new(version, &Secret::new([1; 32]), tenant(1));
            assert_eq!(claimed_root(&key.sign(&refresh(1), "i").unwrap()), Some(version));
        }
        for header in [
            r#"{"alg":"HS256","kid":"r01","typ":"refresh+jwt"}"#,
            r#"{"alg":"HS256","kid":"r+1","typ":"refresh+jwt"}"#,
            r#"{"alg":"HS256","kid":"r","typ":"refresh+jwt"}"#,
            r#"{"alg":"HS256","kid":"r4294967296","typ":"refresh+jwt"}"#,
            r#"{"alg":"HS256", "kid":"r1","typ":"refresh+jwt"}"#,
            r#"{"alg":"RS256","typ":"JWT","kid":"r1"}"#,
            r#"{"alg":"HS256","typ":"JWT"}"#,
        ] {
            assert_eq!(claimed_root(&format!("{}.AA.AA", URL_SAFE_NO_PAD.encode(header))), None, "{header}");
        }
        assert_eq!(claimed_root("no token"), None);
    }

    #[test]
    fn other_tenants_roots_and_headers_do_not_verify() {
        let key = RefreshKey::new(1, &Secret::new([1; 32]), tenant(1));
        let token = key.sign(&refresh(1), "i").unwrap();
        assert!(RefreshKey::new(1, &Secret::new([1; 32]), tenant(2)).verify(&token).is_err());
        assert!(RefreshKey::new(1, &Secret::new([2; 32]), tenant(1)).verify(&token).is_err());
        let jws = Jws::split(&token).unwrap();
        for header in [r#"{"alg":"none"}"#, r#"{"alg":"HS256"}"#, r#"{"alg":"HS256","kid":"r1","typ":"JWT"}"#]
        {
            let forged = format!("{}.{}.{}", URL_SAFE_NO_PAD.encode(header), jws.payload, jws.signature);
            assert!(key.verify(&forged).is_err(), "{header}");
        }
    }

    proptest! {
        #[test]
        fn a_cut_or_altered_token_is_refused(at in 0usize..400, byte in "[A-Za-z0-9_.-]") {
            let key = RefreshKey::new(1, &Secret::new([1; 32]), tenant(1));
            let token = key.sign(&refresh(1), "i").unwrap();
            let at = at % token.len();
            prop_assert!(key.verify(&token[..at]).is_err());
            let altered = format!("{}{byte}{}", &token[..at], &token[at + 1..]);
            prop_assert_eq!(key.verify(&altered).is_ok(), altered == token);
            let extended = format!("{token}{byte}");
            prop_assert!(key.verify(&extended).is_err());
        }

        #[test]
        fn any_text_is_safe(text: String) {
            let key = RefreshKey::new(1, &Secret::new([1; 32]), tenant(1));
            prop_assert!(key.verify(&text).is_err());
        }
    }
}

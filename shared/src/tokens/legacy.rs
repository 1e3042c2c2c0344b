//! Legacy tokens: RS256 JWTs without a `kid` of the service that a tenant was moved from, signed by a key that may
//! have signed for every tenant of that service.
//!
//! The legacy key verifies only these tokens, and they are verified only with that key. Wardgate issues none.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::contract::limits::CLOCK_AHEAD_SECS;
use crate::contract::refusal::TokenFault;
use crate::tokens::claims::UserIdClaim;
use crate::tokens::jwk::PublicKey;
use crate::tokens::numeric_date;

/// The legacy tokens that a tenant accepts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Legacy {
    /// The old service's public key.
    pub key: PublicKey,
    /// Unix seconds from which they are refused; at most 30 days after the import.
    pub until: u64,
    /// A claim that distinguishes this tenant's tokens from those of other tenants. Without one no access token is
    /// accepted, and a refresh token only if it is on the tenant's list of outstanding ones.
    pub marker: Option<Marker>,
    /// Whether a refresh token must also be on the list, so that tokens which the legacy service had blacklisted, at
    /// a sign-out or a rotation, are refused.
    #[serde(default)]
    pub listed: bool,
}

/// A claim and its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// Name of the claim, at the top level of the payload.
    pub claim: String,
    /// The value that it has in this tenant's tokens: a text, a whole number or a truth value, compared
    /// without conversion.
    pub value: Value,
}

/// The two kinds of SimpleJWT tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegacyKind {
    /// `token_type` is `access`.
    Access,
    /// `token_type` is `refresh`.
    Refresh,
}

/// The content of a legacy token with a valid signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegacyToken {
    /// Its kind.
    pub kind: LegacyKind,
    /// Its user, by the legacy id.
    pub user: UserIdClaim,
    /// Its id.
    pub jti: String,
    /// Unix seconds.
    pub expires_at: i64,
    /// Whether it has the tenant's marker.
    pub marked: bool,
    /// Whether it must be on the list of outstanding tokens.
    pub by_list: bool,
}

#[derive(Deserialize)]
struct Claims<'a> {
    #[serde(borrow)]
    token_type: Cow<'a, str>,
    #[serde(deserialize_with = "numeric_date::down")]
    exp: i64,
    #[serde(default, deserialize_with = "numeric_date::down_if_any")]
    iat: Option<i64>,
    #[serde(default, deserialize_with = "numeric_date::up_if_any")]
    nbf: Option<i64>,
    #[serde(borrow)]
    jti: Cow<'a, str>,
    user_id: UserIdClaim,
}

impl Legacy {
    /// Checks the payload of a token that this key has verified, at `now_secs`.
    ///
    /// # Errors
    /// Invalid: past the date, not these claims, another value of the marker than the tenant's, an
    /// access token where there is no marker, from the future. Expired, after all of these, and only
    /// for a token with the marker: the answer to another one does not reveal whether it is known.
    pub fn check(&self, payload: &[u8], now_secs: i64) -> Result<LegacyToken, TokenFault> {
        let claims: Claims<'_> = serde_json::from_slice(payload).map_err(|_| TokenFault::Invalid)?;
        let kind = match &*claims.token_type {
            "access" => LegacyKind::Access,
            "refresh" => LegacyKind::Refresh,
            _ => return Err(TokenFault::Invalid),
        };
        let marked = match &self.marker {
            Some(marker) => marker.is_in(payload),
            None => false,
        };
        let told = marked || (kind == LegacyKind::Refresh && self.marker.is_none());
        let ahead = now_secs.saturating_add(CLOCK_AHEAD_SECS);
        let of_the_future = claims.iat.is_some_and(|iat| iat > ahead);
        let immature = claims.nbf.is_some_and(|nbf| nbf > now_secs);
        let over = i64::try_from(self.until).is_ok_and(|until| now_secs >= until);
        if over || !told || of_the_future || immature || claims.jti.is_empty() {
            return Err(TokenFault::Invalid);
        }
        if claims.exp <= now_secs {
            return Err(if marked { TokenFault::Expired } else { TokenFault::Invalid });
        }
        Ok(LegacyToken {
            kind,
            user: claims.user_id,
            jti: claims.jti.into_owned(),
            expires_at: claims.exp,
            marked,
            by_list: kind == LegacyKind::Refresh && (self.listed || !marked),
        })
    }
}

impl Marker {
    /// Whether the payload has the claim with exactly this value.
    fn is_in(&self, payload: &[u8]) -> bool {
        let claims: Result<Map<String, Value>, _> = serde_json::from_slice(payload);
        claims.is_ok_and(|claims| claims.get(&self.claim) == Some(&self.value))
    }

    /// Whether a marker can distinguish tokens: its name is not a claim that every token has, and its value is a
    /// string, an integer or a boolean.
    #[must_use]
    pub fn tells(&self) -> bool {
        let common = ["token_type", "exp", "iat", "nbf", "jti", "user_id", "sub"];
        let plain = match &self.value {
            Value::String(text) => !text.is_empty(),
            Value::Number(number) => number.is_i64() || number.is_u64(),
            Value::Bool(_) => true,
            Value::Null | Value::Array(_) | Value::Object(_) => false,
        };
        plain && !self.claim.is_empty() && !common.contains(&self.claim.as_str())
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn legacy(marker: Option<Value>) -> Legacy {
        Legacy {
            key: PublicKey::parse(&URL_SAFE_NO_PAD.encode([0x81; 256]), "AQAB").unwrap(),
            until: 2000,
            marker: marker.map(|value| Marker { claim: "tenant".into(), value }),
            listed: false,
        }
    }

    fn claims(kind: &str) -> Value {
        json!({"token_type": kind, "exp": 1500, "iat": 900, "jti": "a1", "user_id": 1, "tenant": "acme"})
    }

    fn check(legacy: &Legacy, claims: &Value, now: i64) -> Result<LegacyToken, TokenFault> {
        legacy.check(claims.to_string().as_bytes(), now)
    }

    #[test]
    fn the_marker_tells_tenants_apart() {
        let acme = legacy(Some(json!("acme")));
        let token = check(&acme, &claims("access"), 1000).unwrap();
        assert_eq!((token.kind, token.marked), (LegacyKind::Access, true));
        assert_eq!(token.user.to_string(), "1");
        for other in [json!("other"), json!(1), json!("Acme"), json!(null), json!(["acme"])] {
            let mut claims = claims("access");
            claims["tenant"] = other;
            assert_eq!(check(&acme, &claims, 1000), Err(TokenFault::Invalid));
        }
        assert_eq!(check(&legacy(Some(json!("1"))), &json!({"tenant": 1}), 1000), Err(TokenFault::Invalid));
    }

    #[test]
    fn without_a_marker_only_a_refresh_token_is_left_to_the_list() {
        let unmarked = legacy(None);
        assert_eq!(check(&unmarked, &claims("access"), 1000), Err(TokenFault::Invalid));
        let token = check(&unmarked, &claims("refresh"), 1000).unwrap();
        assert_eq!((token.marked, token.by_list), (false, true));
        assert_eq!(check(&unmarked, &claims("refresh"), 1500), Err(TokenFault::Invalid));
    }

    #[test]
    fn a_list_may_be_asked_for_beside_the_marker() {
        let mut acme = legacy(Some(json!("acme")));
        assert!(!check(&acme, &claims("refresh"), 1000).unwrap().by_list);
        acme.listed = true;
        assert!(check(&acme, &claims("refresh"), 1000).unwrap().by_list);
        assert!(!check(&acme, &claims("access"), 1000).unwrap().by_list);
        let mut other = claims("refresh");
        other["tenant"] = json!("other");
        assert_eq!(check(&acme, &other, 1000), Err(TokenFault::Invalid));
    }

    #[test]
    fn dates() {
        let acme = legacy(Some(json!("acme")));
        assert_eq!(check(&acme, &claims("refresh"), 1500), Err(TokenFault::Expired));
        let mut long = claims("refresh");
        long["exp"] = json!(9000);
        assert!(check(&acme, &long, 1999).is_ok());
        assert_eq!(check(&acme, &long, 2000), Err(TokenFault::Invalid));
        assert_eq!(check(&acme, &claims("access"), 839), Err(TokenFault::Invalid));
    }

    #[test]
    fn dates_may_have_a_fraction() {
        let acme = legacy(Some(json!("acme")));
        let mut token = claims("access");
        (token["exp"], token["iat"], token["nbf"]) = (json!(1500.9), json!(999.5), json!(1000.5));
        assert_eq!(check(&acme, &token, 1000), Err(TokenFault::Invalid));
        assert_eq!(check(&acme, &token, 1001).unwrap().expires_at, 1500);
        assert_eq!(check(&acme, &token, 1500), Err(TokenFault::Expired));
    }

    #[test]
    fn other_kinds_and_shapes_are_invalid() {
        let acme = legacy(Some(json!("acme")));
        for (name, value) in [
            ("token_type", json!("sliding")),
            ("user_id", json!(1.5)),
            ("user_id", json!(null)),
            ("user_id", json!("")),
            ("jti", json!("")),
            ("exp", json!("1500")),
        ] {
            let mut claims = claims("access");
            claims[name] = value;
            assert_eq!(check(&acme, &claims, 1000), Err(TokenFault::Invalid), "{name}");
        }
    }

    #[test]
    fn a_marker_must_be_able_to_tell() {
        let marker = |claim: &str, value: Value| Marker { claim: claim.into(), value };
        assert!(marker("tenant", json!("acme")).tells());
        assert!(marker("realm_id", json!(7)).tells());
        for (claim, value) in
            [("", json!("a")), ("user_id", json!(1)), ("t", json!(null)), ("t", json!(1.5)), ("t", json!(""))]
        {
            assert!(!marker(claim, value.clone()).tells(), "{claim} {value}");
        }
    }

    proptest! {
        #[test]
        fn any_payload_is_safe(payload: Vec<u8>, now: i64) {
            prop_assert!(legacy(None).check(&payload, now).is_err());
        }
    }
}

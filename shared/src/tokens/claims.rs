//! Claims of access tokens: what is issued and what is required of one that arrives.

use std::borrow::Cow;
use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::contract::limits::CLOCK_AHEAD_SECS;
use crate::contract::refusal::TokenFault;
use crate::ids::{SessionId, TenantId, UserId};
use crate::tokens::numeric_date;

/// The claims of an access token, in the order they are written. Times are Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessClaims<'a> {
    /// Always `access`.
    #[serde(borrow)]
    pub token_type: Cow<'a, str>,
    /// Not after.
    #[serde(deserialize_with = "numeric_date::down")]
    pub exp: i64,
    /// Issued at.
    #[serde(deserialize_with = "numeric_date::down")]
    pub iat: i64,
    /// 32 hex digits.
    #[serde(borrow)]
    pub jti: Cow<'a, str>,
    /// The user's id as clients of the old service read it.
    pub user_id: UserIdClaim,
    /// The user.
    pub sub: UserId,
    /// The tenant's issuer.
    #[serde(borrow)]
    pub iss: Cow<'a, str>,
    /// The tenant.
    pub tenant: TenantId,
    /// The refresh family.
    pub sid: SessionId,
    /// The user's access epoch when the token was issued.
    pub epoch: i64,
    /// Role names, for outsiders: Wardgate itself decides by the current row.
    pub roles: Vec<String>,
    /// How the user signed in (RFC 8176).
    pub amr: Vec<String>,
    /// When the user signed in.
    #[serde(deserialize_with = "numeric_date::down")]
    pub auth_time: i64,
    /// The tenant's audience, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aud: Option<Audience>,
    /// Honoured, never issued.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "numeric_date::up_if_any")]
    pub nbf: Option<i64>,
}

/// A user's id as clients read it in `user_id`: the id itself, or the one that the old service gave,
/// written as it wrote it. Whole numbers and texts; `1` and `"1"` are the same user in two spellings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum UserIdClaim {
    /// A whole number.
    Integer(i64),
    /// A text, never empty.
    Text(String),
}

impl UserIdClaim {
    /// What a tenant's tokens say of a user, whom an old service may have called `legacy_id`.
    #[must_use]
    pub fn of(user: UserId, legacy_id: Option<&str>, form: UserIdForm) -> Self {
        match legacy_id {
            Some(id) if form != UserIdForm::Uuid => Self::written(id, form),
            _ => Self::Text(user.to_string()),
        }
    }

    /// Writes `id` in the form that a tenant has chosen.
    #[must_use]
    pub fn written(id: &str, form: UserIdForm) -> Self {
        match (form, id.parse::<i64>()) {
            (UserIdForm::Integer, Ok(number)) if number.to_string() == id => Self::Integer(number),
            _ => Self::Text(id.to_owned()),
        }
    }
}

impl fmt::Display for UserIdClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

impl<'de> Deserialize<'de> for UserIdClaim {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Spelling {
            Integer(i64),
            Text(String),
        }
        match Spelling::deserialize(deserializer)? {
            Spelling::Integer(number) => Ok(Self::Integer(number)),
            Spelling::Text(text) if text.is_empty() => Err(D::Error::custom("an empty user id")),
            Spelling::Text(text) => Ok(Self::Text(text)),
        }
    }
}

/// How a tenant's `user_id` claim is written. A later release adds a form together with a word in
/// [`crate::wire::needs`], since the form that is read in its place names other users.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UserIdForm {
    /// The old service's id as a number where it is one.
    Integer,
    /// The old service's id as a text.
    String,
    /// The user's id: the same as `sub`.
    #[default]
    #[serde(other)]
    Uuid,
}

/// `aud` as RFC 7519, section 4.1.3, allows it: one string or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Audience {
    /// One.
    One(String),
    /// Several.
    Several(Vec<String>),
}

impl Audience {
    fn names(&self, audience: &str) -> bool {
        match self {
            Self::One(one) => one == audience,
            Self::Several(several) => several.iter().any(|one| one == audience),
        }
    }
}

/// What a tenant demands of its access tokens.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Its id.
    pub tenant: TenantId,
    /// Its issuer.
    pub issuer: &'a str,
    /// Its audience, if it has one.
    pub audience: Option<&'a str>,
}

/// `exp` alone, to tell an expired token of another kind from a live one.
#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(borrow)]
    token_type: Cow<'a, str>,
    #[serde(deserialize_with = "numeric_date::down")]
    exp: i64,
    tenant: TenantId,
    #[serde(borrow)]
    iss: Cow<'a, str>,
}

impl<'a> AccessClaims<'a> {
    /// Reads the payload of a token whose signature held, at `now_secs`.
    ///
    /// # Errors
    /// In the contract's order: invalid (not these claims, another tenant, issuer or audience, from
    /// the future), expired, wrong type.
    pub fn check(payload: &'a [u8], expected: Expected<'_>, now_secs: i64) -> Result<Self, TokenFault> {
        let claims = Self::check_but_expiry(payload, expected, now_secs)?;
        if claims.exp <= now_secs { Err(TokenFault::Expired) } else { Ok(claims) }
    }

    /// The same of a token that may have expired, by which its session can still be ended.
    ///
    /// # Errors
    /// As [`Self::check`]; expired only of a token of another kind.
    pub fn check_but_expiry(
        payload: &'a [u8],
        expected: Expected<'_>,
        now_secs: i64,
    ) -> Result<Self, TokenFault> {
        let kind: Kind<'_> = serde_json::from_slice(payload).map_err(|_| TokenFault::Invalid)?;
        if kind.tenant != expected.tenant || kind.iss != expected.issuer {
            return Err(TokenFault::Invalid);
        }
        if kind.token_type != "access" {
            return Err(if kind.exp <= now_secs { TokenFault::Expired } else { TokenFault::WrongType });
        }
        let claims: Self = serde_json::from_slice(payload).map_err(|_| TokenFault::Invalid)?;
        let audience_held = match (expected.audience, &claims.aud) {
            (None, _) => true,
            (Some(audience), Some(presented)) => presented.names(audience),
            (Some(_), None) => false,
        };
        let of_the_future = claims.iat > now_secs.saturating_add(CLOCK_AHEAD_SECS);
        let immature = claims.nbf.is_some_and(|nbf| nbf > now_secs);
        if !audience_held || of_the_future || immature { Err(TokenFault::Invalid) } else { Ok(claims) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn good() -> Value {
        json!({
            "token_type": "access", "exp": 1300, "iat": 1000, "jti": "0".repeat(32), "user_id": "u",
            "sub": UserId::new(1, [1; 10]), "iss": "https://acme.example", "tenant": TenantId::new(1, [1; 10]),
            "sid": SessionId::new(0, [2; 16]), "epoch": 3, "roles": ["staff"], "amr": ["pwd"], "auth_time": 1000,
        })
    }

    fn check(claims: &Value, audience: Option<&str>, now: i64) -> Result<(), TokenFault> {
        let payload = serde_json::to_vec(claims).unwrap();
        let expected =
            Expected { tenant: TenantId::new(1, [1; 10]), issuer: "https://acme.example", audience };
        AccessClaims::check(&payload, expected, now).map(|_| ())
    }

    fn with(name: &str, value: Value) -> Value {
        let mut claims = good();
        claims[name] = value;
        claims
    }

    #[test]
    fn good_claims_pass_until_they_expire() {
        assert_eq!(check(&good(), None, 1299), Ok(()));
        assert_eq!(check(&good(), None, 1300), Err(TokenFault::Expired));
        assert_eq!(check(&good(), None, 940), Ok(()));
        assert_eq!(check(&good(), None, 939), Err(TokenFault::Invalid));
    }

    #[test]
    fn every_claim_is_required_and_typed() {
        for name in good().as_object().unwrap().keys() {
            let mut claims = good();
            claims.as_object_mut().unwrap().remove(name);
            assert_eq!(check(&claims, None, 1100), Err(TokenFault::Invalid), "{name} missing");
            assert_eq!(
                check(&with(name, json!({})), None, 1100),
                Err(TokenFault::Invalid),
                "{name} an object"
            );
        }
    }

    #[test]
    fn other_tenants_types_and_times() {
        let other = json!(TenantId::new(2, [2; 10]));
        assert_eq!(check(&with("tenant", other), None, 1100), Err(TokenFault::Invalid));
        assert_eq!(check(&with("iss", json!("https://b.example")), None, 1100), Err(TokenFault::Invalid));
        assert_eq!(check(&with("token_type", json!("refresh")), None, 1100), Err(TokenFault::WrongType));
        assert_eq!(check(&with("token_type", json!("refresh")), None, 1300), Err(TokenFault::Expired));
        assert_eq!(check(&with("nbf", json!(1101)), None, 1100), Err(TokenFault::Invalid));
        assert_eq!(check(&with("nbf", json!(1100)), None, 1100), Ok(()));
    }

    #[test]
    fn dates_may_have_a_fraction() {
        assert_eq!(check(&with("exp", json!(1300.9)), None, 1299), Ok(()));
        assert_eq!(check(&with("exp", json!(1300.9)), None, 1300), Err(TokenFault::Expired));
        assert_eq!(check(&with("nbf", json!(1100.1)), None, 1100), Err(TokenFault::Invalid));
        for name in ["iat", "auth_time"] {
            assert_eq!(check(&with(name, json!(1000.5)), None, 1100), Ok(()), "{name}");
        }
    }

    #[test]
    fn expiry_alone_may_be_left_out() {
        let expected =
            Expected { tenant: TenantId::new(1, [1; 10]), issuer: "https://acme.example", audience: None };
        let read = |claims: &Value| {
            let payload = serde_json::to_vec(claims).unwrap();
            AccessClaims::check_but_expiry(&payload, expected, 9000).map(|claims| claims.exp)
        };
        assert_eq!(read(&good()), Ok(1300));
        assert_eq!(read(&with("iss", json!("https://b.example"))), Err(TokenFault::Invalid));
        assert_eq!(read(&with("nbf", json!(9001))), Err(TokenFault::Invalid));
        assert_eq!(read(&with("token_type", json!("refresh"))), Err(TokenFault::Expired));
    }

    #[test]
    fn an_audience_counts_only_where_the_tenant_has_one() {
        assert_eq!(check(&with("aud", json!("x")), None, 1100), Ok(()));
        assert_eq!(check(&good(), Some("api"), 1100), Err(TokenFault::Invalid));
        assert_eq!(check(&with("aud", json!("api")), Some("api"), 1100), Ok(()));
        assert_eq!(check(&with("aud", json!(["x", "api"])), Some("api"), 1100), Ok(()));
        assert_eq!(check(&with("aud", json!(["x"])), Some("api"), 1100), Err(TokenFault::Invalid));
    }

    proptest! {
        #[test]
        fn any_payload_is_safe(payload: Vec<u8>, now: i64) {
            let expected = Expected { tenant: TenantId::new(1, [1; 10]), issuer: "", audience: None };
            prop_assert!(AccessClaims::check(&payload, expected, now).is_err());
        }
    }
}

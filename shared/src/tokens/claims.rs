//! Claims of access tokens: as issued, and the checks of a presented token.

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
    /// Role names, for other services: Wardgate itself uses the current row.
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

/// The claim `user_id`: the user's id, or the legacy id in its original form. Integers and strings; `1` and `"1"` are
/// the same user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum UserIdClaim {
    /// A whole number.
    Integer(i64),
    /// A text, never empty.
    Text(String),
}

impl UserIdClaim {
    /// The claim for a user, who may have a `legacy_id`.
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

/// The form of a tenant's `user_id` claim. A later release that adds a form must add a word in
/// [`crate::wire::needs`], because the form that is read in its place names other users.
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

/// A former `iss` and `aud` of a tenant's tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerClaims {
    /// The former issuer.
    pub issuer: String,
    /// The former audience, if any.
    pub audience: Option<String>,
    /// Unix seconds from which such tokens are refused.
    pub until: u64,
}

/// The requirements of a tenant's access tokens.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Its id.
    pub tenant: TenantId,
    /// Its issuer.
    pub issuer: &'a str,
    /// Its audience, if it has one.
    pub audience: Option<&'a str>,
    /// Former issuers and audiences, while tokens with them may be unexpired.
    pub former: &'a [FormerClaims],
}

impl Expected<'_> {
    /// The time, in Unix seconds, until which a token with this issuer and an audience that `held` accepts is
    /// accepted: without end for the present issuer and audience, else the latest of the former ones.
    fn accepted_until(
        &self,
        issuer: &str,
        held: impl Fn(Option<&str>) -> bool,
        now_secs: i64,
    ) -> Option<i64> {
        if issuer == self.issuer && held(self.audience) {
            return Some(i64::MAX);
        }
        let former = self.former.iter().filter(|it| it.issuer == issuer && held(it.audience.as_deref()));
        let until = former.map(|it| i64::try_from(it.until).unwrap_or(i64::MAX)).max();
        until.filter(|until| now_secs < *until)
    }
}

/// Valid claims, and until when they are valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedClaims<'a> {
    /// The claims.
    pub claims: AccessClaims<'a>,
    /// Unix seconds from which they are refused: `exp`, or earlier for those of a former issuer or audience.
    pub until: i64,
}

/// Why claims are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimsFault {
    /// Another issuer or audience. The reader may not know of a change yet, because the tenant's key signed the
    /// token.
    OtherIssuer,
    /// Anything else.
    Token(TokenFault),
}

impl From<TokenFault> for ClaimsFault {
    fn from(fault: TokenFault) -> Self {
        Self::Token(fault)
    }
}

impl From<ClaimsFault> for TokenFault {
    fn from(fault: ClaimsFault) -> Self {
        match fault {
            ClaimsFault::OtherIssuer => Self::Invalid,
            ClaimsFault::Token(fault) => fault,
        }
    }
}

/// Only `exp`, to distinguish an expired token of another kind from an unexpired one.
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
    /// Checks the payload of a token with a valid signature, at `now_secs`.
    ///
    /// # Errors
    /// In the contract's order: invalid (not these claims, another tenant, issuer or audience, from
    /// the future), expired, wrong type.
    pub fn check(
        payload: &'a [u8],
        expected: Expected<'_>,
        now_secs: i64,
    ) -> Result<AcceptedClaims<'a>, ClaimsFault> {
        let accepted = Self::check_but_expiry(payload, expected, now_secs)?;
        if accepted.claims.exp <= now_secs { Err(TokenFault::Expired.into()) } else { Ok(accepted) }
    }

    /// The same for a token that may be expired, which can still end its session.
    ///
    /// # Errors
    /// As [`Self::check`]; expired only of a token of another kind.
    pub fn check_but_expiry(
        payload: &'a [u8],
        expected: Expected<'_>,
        now_secs: i64,
    ) -> Result<AcceptedClaims<'a>, ClaimsFault> {
        let kind: Kind<'_> = serde_json::from_slice(payload).map_err(|_| TokenFault::Invalid)?;
        if kind.tenant != expected.tenant {
            return Err(TokenFault::Invalid.into());
        }
        if kind.token_type != "access" {
            let known = expected.accepted_until(&kind.iss, |_| true, now_secs);
            known.ok_or(ClaimsFault::OtherIssuer)?;
            return Err(if kind.exp <= now_secs { TokenFault::Expired } else { TokenFault::WrongType }.into());
        }
        let claims: Self = serde_json::from_slice(payload).map_err(|_| TokenFault::Invalid)?;
        let audience_held = |audience: Option<&str>| match (audience, &claims.aud) {
            (None, _) => true,
            (Some(audience), Some(presented)) => presented.names(audience),
            (Some(_), None) => false,
        };
        let accepted = expected.accepted_until(&claims.iss, audience_held, now_secs);
        let until = accepted.ok_or(ClaimsFault::OtherIssuer)?.min(claims.exp);
        let of_the_future = claims.iat > now_secs.saturating_add(CLOCK_AHEAD_SECS);
        let immature = claims.nbf.is_some_and(|nbf| nbf > now_secs);
        if of_the_future || immature {
            return Err(TokenFault::Invalid.into());
        }
        Ok(AcceptedClaims { claims, until })
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
        Ok(check_among(claims, audience, &[], now).map(|_| ())?)
    }

    fn check_among(
        claims: &Value,
        audience: Option<&str>,
        former: &[FormerClaims],
        now: i64,
    ) -> Result<i64, ClaimsFault> {
        let payload = serde_json::to_vec(claims).unwrap();
        let issuer = "https://acme.example";
        let expected = Expected { tenant: TenantId::new(1, [1; 10]), issuer, audience, former };
        AccessClaims::check(&payload, expected, now).map(|accepted| accepted.until)
    }

    fn former(issuer: &str, audience: Option<&str>, until: u64) -> FormerClaims {
        FormerClaims { issuer: issuer.into(), audience: audience.map(Into::into), until }
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
        let expected = Expected {
            tenant: TenantId::new(1, [1; 10]),
            issuer: "https://acme.example",
            audience: None,
            former: &[],
        };
        let read = |claims: &Value| {
            let payload = serde_json::to_vec(claims).unwrap();
            AccessClaims::check_but_expiry(&payload, expected, 9000)
                .map(|accepted| accepted.claims.exp)
                .map_err(TokenFault::from)
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

    #[test]
    fn a_former_issuer_is_accepted_until_its_time_and_no_longer() {
        let old = with("iss", json!("https://old.example"));
        let list = [former("https://old.example", None, 1200), former("https://older.example", None, 1100)];
        assert_eq!(check_among(&old, None, &list, 1199), Ok(1200), "until then, though it lives to 1300");
        assert_eq!(check_among(&old, None, &list, 1200), Err(ClaimsFault::OtherIssuer));
        assert_eq!(check_among(&good(), None, &list, 1299), Ok(1300), "the present one by its `exp`");
        let older = with("iss", json!("https://older.example"));
        assert_eq!(check_among(&older, None, &list, 1099), Ok(1100));
        assert_eq!(check_among(&older, None, &list, 1100), Err(ClaimsFault::OtherIssuer));
        let never = with("iss", json!("https://never.example"));
        assert_eq!(check_among(&never, None, &list, 1000), Err(ClaimsFault::OtherIssuer));
        let twice = [former("https://old.example", None, 1100), former("https://old.example", None, 1150)];
        assert_eq!(check_among(&old, None, &twice, 1149), Ok(1150), "the latest counts");
        let refresh = |now| {
            let mut claims = old.clone();
            claims["token_type"] = json!("refresh");
            check_among(&claims, None, &list, now).map_err(TokenFault::from)
        };
        assert_eq!(refresh(1199), Err(TokenFault::WrongType));
        assert_eq!(refresh(1200), Err(TokenFault::Invalid));
    }

    #[test]
    fn a_former_audience_is_accepted_with_the_issuer_that_it_had() {
        let list =
            [former("https://acme.example", None, 1200), former("https://acme.example", Some("old"), 1150)];
        let of = |aud: Value| with("aud", aud);
        assert_eq!(check_among(&of(json!("new")), Some("new"), &list, 1199), Ok(1300));
        assert_eq!(check_among(&good(), Some("new"), &list, 1199), Ok(1200), "there was none before");
        assert_eq!(check_among(&good(), Some("new"), &list, 1200), Err(ClaimsFault::OtherIssuer));
        let list = &list[1..];
        assert_eq!(check_among(&of(json!(["x", "old"])), Some("new"), list, 1149), Ok(1150));
        assert_eq!(check_among(&of(json!("old")), Some("new"), list, 1150), Err(ClaimsFault::OtherIssuer));
        assert_eq!(check_among(&of(json!("x")), Some("new"), list, 1149), Err(ClaimsFault::OtherIssuer));
        let mut elsewhere = of(json!("old"));
        elsewhere["iss"] = json!("https://other.example");
        assert_eq!(check_among(&elsewhere, Some("new"), list, 1149), Err(ClaimsFault::OtherIssuer));
    }

    proptest! {
        #[test]
        fn any_payload_is_safe(payload: Vec<u8>, now: i64) {
            let tenant = TenantId::new(1, [1; 10]);
            let expected = Expected { tenant, issuer: "", audience: None, former: &[] };
            prop_assert!(AccessClaims::check(&payload, expected, now).is_err());
        }
    }
}

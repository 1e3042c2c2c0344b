//! Cookies of a tenant's own hosts: their names, reading and writing them.
//!
//! [`crate::browser::origin`] decides which requests may use them and which answers may set them.

use serde::Deserialize;
use shared::contract::limits::TOKEN_BYTES;
use shared::contract::refusal::Refusal;
use shared::derive::csrf_value;
use shared::ids::SessionId;
use shared::tenant::settings::Cookies;
use shared::tokens::jws::Jws;

use crate::context::Context;
use crate::http::Response;
use crate::isolate::opened::OpenedTenant;
use crate::platform::Platform;
use crate::tokens::error::TokenError;
use crate::tokens::refresh_token::{VerifiedRefresh, presented};

/// The names of a tenant's cookies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Names {
    access: &'static str,
    refresh: &'static str,
    device: &'static str,
}

/// The cookie of a remembered device. No `Debug`.
pub struct DeviceCookie {
    /// Its value.
    pub value: String,
    /// For how long the device is remembered.
    pub lasts_secs: u64,
}

/// The readable cookie beside the two: a page sends its value back as `X-CSRFToken`. It is never read
/// here.
const CSRF: &str = "csrftoken";

impl Names {
    /// The names that a tenant has chosen; `None` where it uses no cookies.
    #[must_use]
    pub fn of(known: &OpenedTenant) -> Option<Self> {
        match known.tenant.settings.cookies {
            Cookies::Off => None,
            Cookies::Plain => {
                Some(Self { access: "access_token", refresh: "refresh_token", device: "device" })
            }
            Cookies::Host => Some(Self {
                access: "__Host-access_token",
                refresh: "__Host-refresh_token",
                device: "__Host-device",
            }),
        }
    }

    /// The device cookie of a `Cookie` header, not verified.
    #[must_use]
    pub fn device(self, header: &str) -> Option<String> {
        read(header, self.device).ok().flatten()
    }
}

/// A name arrived twice: one of the two is not ours.
struct Twice;

/// The value of a cookie that can be a token.
///
/// RFC 6265, section 4.2.1, separates `name=value` pairs with `; `. A comma is not part of a value there, and occurs
/// where two `Cookie` headers were joined, so it separates, too. A name that some parser would take for the same,
/// apart from case, quotes or blanks, counts as a duplicate.
fn read(header: &str, name: &str) -> Result<Option<String>, Twice> {
    let bare = |text: &str| {
        let around = |char: char| char.is_whitespace() || char.is_control() || char == '"';
        text.trim_matches(around).eq_ignore_ascii_case(name)
    };
    let pairs = header.split([';', ',']).map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let mut same = pairs.filter(|(spelled, _)| bare(spelled));
    let Some((spelled, value)) = same.next() else { return Ok(None) };
    if same.next().is_some() {
        return Err(Twice);
    }
    let blank = |char| char == ' ' || char == '\t';
    let (spelled, value) = (spelled.trim_matches(blank), value.trim_matches(blank));
    let token = (1..=TOKEN_BYTES).contains(&value.len())
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    Ok((spelled == name && token).then(|| value.to_owned()))
}

/// The session of a request's cookies.
///
/// The refresh cookie decides, because only sign-in and refresh set it: an access cookie of another session, which
/// may be an attacker's or outdated, is ignored. No `Debug`: it holds tokens.
pub struct CookieSession {
    /// The session.
    pub sid: SessionId,
    /// The access token, not verified, but its claims name this session.
    pub unverified_access: Option<String>,
    /// The refresh token as sent, and its content after its signature was verified.
    pub refresh: Option<(String, VerifiedRefresh)>,
}

#[derive(Deserialize)]
struct Claimed {
    sid: SessionId,
}

fn claimed_sid(unverified_token: &str) -> Option<SessionId> {
    let payload = Jws::split(unverified_token)?.payload_bytes()?;
    serde_json::from_slice::<Claimed>(&payload).ok().map(|claimed| claimed.sid)
}

impl CookieSession {
    /// Reads a `Cookie` header; `None` where it names no session.
    ///
    /// # Errors
    /// 503 where the cryptography fails.
    pub async fn read<P: Platform>(
        ctx: Context<'_, P>,
        known: &OpenedTenant,
        header: &str,
    ) -> Result<Option<Self>, Refusal> {
        let Some(names) = Names::of(known) else { return Ok(None) };
        // An attacker who set one of the two may have set the other, too: ignore both.
        let (Ok(access), Ok(refresh)) = (read(header, names.access), read(header, names.refresh)) else {
            return Ok(None);
        };
        let refresh = match refresh {
            Some(token) => match presented(ctx, known, &token).await {
                Ok(proven) => Some((token, proven)),
                Err(TokenError::Token(_)) => None,
                Err(TokenError::Other(refusal)) => return Err(refusal),
            },
            None => None,
        };
        let access = access.and_then(|token| Some((claimed_sid(&token)?, token)));
        let sid = match (&refresh, &access) {
            (Some((_, refresh)), _) => refresh.sid,
            (None, Some((claimed, _))) => *claimed,
            (None, None) => return Ok(None),
        };
        let unverified_access = access.filter(|(claimed, _)| *claimed == sid).map(|(_, token)| token);
        Ok(Some(Self { sid, unverified_access, refresh }))
    }
}

/// The value of `X-CSRFToken` beside a session, under the tenant's session root that signs now.
#[must_use]
pub fn csrf_token(known: &OpenedTenant, sid: SessionId, now_ms: u64) -> Option<String> {
    known.csrf_key(now_ms / 1000).map(|key| csrf_value(key, known.tenant.id, sid))
}

impl<S> Response<S> {
    fn set_cookie(&mut self, name: &str, value: &str, max_age_secs: i64, readable: bool) {
        let hidden = if readable { "" } else { "; HttpOnly" };
        let attributes = format!("Path=/; Max-Age={max_age_secs}; Secure{hidden}; SameSite=Lax");
        self.set("Set-Cookie", format!("{name}={value}; {attributes}"));
        // The answer is one user's, whatever control says, which does not see the cookie.
        self.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("cache-control"));
        self.set("Cache-Control", String::from("no-store"));
    }

    /// Sets the access cookie, for as long as the session can last.
    pub fn set_access(&mut self, names: Names, access: &str, lasts_secs: i64) {
        self.set_cookie(names.access, access, lasts_secs, false);
    }

    /// Sets the refresh cookie.
    pub fn set_refresh(&mut self, names: Names, refresh: &str, lasts_secs: i64) {
        self.set_cookie(names.refresh, refresh, lasts_secs, false);
    }

    /// Sets the readable cookie.
    pub fn set_csrf(&mut self, value: &str, lasts_secs: i64) {
        self.set_cookie(CSRF, value, lasts_secs, true);
    }

    /// Sets the cookie of a remembered device, which outlives the session.
    pub fn set_device(&mut self, names: Names, cookie: &DeviceCookie) {
        let lasts_secs = i64::try_from(cookie.lasts_secs).unwrap_or(0);
        self.set_cookie(names.device, &cookie.value, lasts_secs, false);
    }

    /// Clears only the access cookie.
    pub fn clear_access(&mut self, names: Names) {
        self.set_cookie(names.access, "", 0, false);
    }

    /// Clears all three cookies.
    pub fn clear_session(&mut self, names: Names) {
        for (name, readable) in [(names.access, false), (names.refresh, false), (CSRF, true)] {
            self.set_cookie(name, "", 0, readable);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_cookie_is_read_only_if_its_name_arrives_once() {
        let name = "access_token";
        for good in [
            "access_token=a.b-c_D",
            "x=1; access_token=a.b-c_D",
            "access_token=a.b-c_D; y=\"q, r\"",
            "x; access_token=a.b-c_D;",
            "  access_token = a.b-c_D ",
            "my_access_token=evil; access_token=a.b-c_D; access_token2=evil",
            "__Host-access_token=evil; access_token=a.b-c_D",
        ] {
            assert_eq!(read(good, name).ok().flatten().as_deref(), Some("a.b-c_D"), "{good}");
        }
        for bad in [
            "",
            "access_token",
            "access_token=",
            "ACCESS_TOKEN=a",
            "access_token=\"a\"",
            "\"access_token\"=a",
            "access_token=a b",
            "access_token=a=b",
            "access_token=%61",
            "access_token=\u{e4}",
        ] {
            assert_eq!(read(bad, name).ok().flatten(), None, "{bad}");
        }
        for twice in [
            "access_token=a; access_token=b",
            "access_token=a; access_token=a",
            "access_token=a; access_token",
            "access_token=a; access_token=",
            "access_token=a; Access_Token=b",
            "access_token=a; \"access_token\"=b",
            "access_token=a; \u{a0}access_token=b",
            "access_token=a; \taccess_token\t=b",
            "access_token=a, access_token=b",
            "x=1, access_token=b; access_token=a",
            "access_token=a; x=1, access_token=b",
        ] {
            assert!(read(twice, name).is_err(), "{twice}");
        }
        let long = format!("access_token={}", "a".repeat(TOKEN_BYTES + 1));
        assert_eq!(read(&long, name).ok().flatten(), None);
    }

    proptest! {
        #[test]
        fn no_header_gives_a_value_that_it_has_not(header in "\\PC{0,60}|([a-c]{1,2}[=;, \"]){0,12}") {
            if let Ok(Some(value)) = read(&header, "a") {
                prop_assert!(header.contains(&value));
                let mut doubled = header.clone();
                doubled.push_str("; a=x");
                prop_assert!(read(&doubled, "a").is_err());
            }
        }
    }
}

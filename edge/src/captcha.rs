//! The CAPTCHA that a tenant asks for: whether a client solved one, as the tenant's service says.
//!
//! It is checked before the hash of a sign-in, and before requests without a credential are forwarded to control. The
//! client's token is verified only if a CAPTCHA is required, because the service accepts a token once.

use std::time::Duration;

use percent_encoding::percent_encode_byte;
use shared::contract::limits::CAPTCHA_ANSWER_BYTES;
use shared::contract::refusal::Refusal;
use shared::contract::routes::Route;
use shared::tenant::captcha::{Captcha, CaptchaDemand, CaptchaPolicy, OnFailure, Verdict, judge};
use shared::wire::seal::{Context as Place, Kind, Sealed};
use zeroize::Zeroizing;

use crate::body::CaptchaToken;
use crate::context::Context;
use crate::http::{Incoming, Outgoing};
use crate::isolate::opened::OpenedTenant;
use crate::log::{self, CaptchaLine, Level};
use crate::platform::{CaptchaError, Platform};
use crate::sql::millis;

/// The header in which a page sends what the widget gave, where the body is control's to read.
const HEADER: &str = "captcha-response";

/// A client that may be asked for a CAPTCHA.
pub struct Visitor<'a> {
    address: &'a str,
    token: Option<CaptchaToken>,
    /// Whether it was asked and let through. It is asked once for one request.
    admitted: bool,
}

impl<'a> Visitor<'a> {
    /// A client at `address`, and what its widget gave.
    #[must_use]
    pub fn new(address: &'a str, token: Option<CaptchaToken>) -> Self {
        Self { address, token, admitted: false }
    }
}

/// Lets a sign-in go on that needs no CAPTCHA, or whose client has solved one. `is_suspicious` says whether one is needed
/// where the tenant does not ask everyone.
///
/// # Errors
/// 403 `captcha_required`; 503 where the service did not answer and the tenant refuses then, and where the secret does not
/// open.
pub async fn admit<P: Platform>(
    ctx: Context<'_, P>,
    known: &OpenedTenant,
    visitor: &mut Visitor<'_>,
    is_suspicious: impl FnOnce(&CaptchaPolicy) -> bool,
) -> Result<(), Refusal> {
    let Some(captcha) = &known.tenant.captcha else { return Ok(()) };
    let is_asked = match captcha.policy.asked {
        CaptchaDemand::Always => {
            // Who is refused here asks no storage: without this an isolate that refuses everyone would hear of no change.
            ctx.app.shard_cache.borrow_mut().refresh_later(ctx.now_ms);
            true
        }
        CaptchaDemand::Suspicious => is_suspicious(&captcha.policy),
    };
    if is_asked { demand(ctx, known, captcha, visitor).await } else { Ok(()) }
}

/// Lets what a stranger asks of control go on, likewise, where the tenant asks for a CAPTCHA there.
///
/// # Errors
/// As [`admit`].
pub async fn admit_stranger<P: Platform>(
    ctx: Context<'_, P>,
    known: &OpenedTenant,
    route: &Route,
    request: &impl Incoming,
) -> Result<(), Refusal> {
    let Some(captcha) = &known.tenant.captcha else { return Ok(()) };
    if !captcha.policy.forms || !route.is_strangers_form() || request.method() != "POST" {
        return Ok(());
    }
    let token = request.header(HEADER).and_then(|text| CaptchaToken::parse(&text));
    demand(ctx, known, captcha, &mut Visitor::new(&request.client(), token)).await
}

async fn demand<P: Platform>(
    ctx: Context<'_, P>,
    known: &OpenedTenant,
    captcha: &Captcha,
    visitor: &mut Visitor<'_>,
) -> Result<(), Refusal> {
    if visitor.admitted {
        return Ok(());
    }
    let required = || Err(Refusal::captcha_required(&captcha.policy.site_key));
    let Some(token) = visitor.token.take() else {
        tell(ctx, known, "missing", None);
        return required();
    };
    match ask(ctx, known, captcha, &token, visitor.address).await? {
        Verdict::Solved => {
            tell(ctx, known, "solved", None);
            visitor.admitted = true;
            Ok(())
        }
        Verdict::Unsolved => {
            tell(ctx, known, "unsolved", None);
            required()
        }
        Verdict::Failed(why) => {
            let then = captcha.policy.on_failure;
            tell(ctx, known, "failed", Some((why, then)));
            match then {
                OnFailure::Allow => {
                    visitor.admitted = true;
                    Ok(())
                }
                OnFailure::Refuse => Err(Refusal::unavailable()),
            }
        }
    }
}

/// Asks the service.
///
/// # Errors
/// 503 where the secret does not open for this service.
async fn ask<P: Platform>(
    ctx: Context<'_, P>,
    known: &OpenedTenant,
    captcha: &Captcha,
    token: &CaptchaToken,
    address: &str,
) -> Result<Verdict, Refusal> {
    let (policy, secret) = (&captcha.policy, secret(ctx, known, captcha)?);
    let form = form(&[
        ("secret", &secret),
        ("response", token.expose().as_bytes()),
        ("remoteip", address.as_bytes()),
    ]);
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("accept", "application/json")];
    let outgoing = Outgoing {
        url: policy.verify_url.to_string(),
        method: String::from("POST"),
        headers: headers.map(|(name, value)| (name, value.to_owned())).to_vec(),
    };
    let patience = Duration::from_millis(policy.timeout_ms);
    let answered = ctx.app.platform.verify_captcha(outgoing, form, patience, CAPTCHA_ANSWER_BYTES).await;
    Ok(match answered {
        // The clock has moved since the request came.
        Ok((status, body)) => judge(policy, status, &body, millis(ctx.app.platform.now_ms() / 1000)),
        Err(CaptchaError::Unreachable) => Verdict::Failed("unreachable"),
        Err(CaptchaError::Late) => Verdict::Failed("late"),
        Err(CaptchaError::TooLong) => Verdict::Failed("too long"),
    })
}

/// The tenant's secret, which opens for this service alone.
fn secret<P: Platform>(
    ctx: Context<'_, P>,
    known: &OpenedTenant,
    captcha: &Captcha,
) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let settings = ctx.app.settings()?;
    let place = Place {
        edge: &settings.edge_id,
        tenant: known.tenant.id,
        kind: Kind::CaptchaSecret,
        subject: captcha.policy.verify_url.as_str(),
    };
    let sealed = Sealed::parse(&captcha.secret).map_err(|_| Refusal::unavailable())?;
    sealed.open(&settings.edge_keys, &place).map_err(|_| Refusal::unavailable())
}

/// Fields as `application/x-www-form-urlencoded` (URL Standard, section 5.2). An empty value is left out.
fn form(fields: &[(&str, &[u8])]) -> Zeroizing<Vec<u8>> {
    // Large enough for values that are all escapes: a buffer that grows leaves copies behind.
    let room = fields.iter().map(|(name, value)| name.len() + 3 * value.len() + 2).sum();
    let mut form = Zeroizing::new(Vec::with_capacity(room));
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
        if !form.is_empty() {
            form.push(b'&');
        }
        form.extend_from_slice(name.as_bytes());
        form.push(b'=');
        for byte in *value {
            match byte {
                byte if byte.is_ascii_alphanumeric() || b"*-._".contains(byte) => form.push(*byte),
                b' ' => form.push(b'+'),
                other => form.extend_from_slice(percent_encode_byte(*other).as_bytes()),
            }
        }
    }
    form
}

/// Every outcome is logged: a rate of them can be told from the log alone.
fn tell<P: Platform>(
    ctx: Context<'_, P>,
    known: &OpenedTenant,
    outcome: &'static str,
    failed: Option<(&'static str, OnFailure)>,
) {
    let level = if failed.is_some() { Level::Error } else { Level::Info };
    let line = CaptchaLine {
        level,
        message: "captcha",
        outcome,
        why: failed.map(|(why, _)| why),
        then: failed.map(|(_, then)| then.as_str()),
        tenant: known.tenant.id,
    };
    ctx.app.platform.log(level, &log::line(&line));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_what_a_browser_would_send() {
        let sent = form(&[("secret", b"a+b c&d=e%\xc3\xa4/~"), ("response", b"0.x-Y_z*"), ("remoteip", b"")]);
        assert_eq!(String::from_utf8_lossy(&sent), "secret=a%2Bb+c%26d%3De%25%C3%A4%2F%7E&response=0.x-Y_z*");
        assert_eq!(form(&[("remoteip", b"2001:db8::1")]).as_slice(), b"remoteip=2001%3Adb8%3A%3A1");
    }
}

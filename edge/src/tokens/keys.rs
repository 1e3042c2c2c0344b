//! The public keys: as JWKS (RFC 7517, section 5) and as PEM.

use serde_json::json;
use shared::contract::limits::{JWKS_MAX_AGE_SECS, JWKS_STALE_SECS};
use shared::contract::refusal::Refusal;
use shared::http::accept::negotiate;
use shared::http::conditions::{Conditions, Validator, Verdict};

use crate::http::{Answer, Body, Incoming};
use crate::isolate::opened::OpenedTenant;
use crate::tenants::target::Cacheable;

/// The forms of the key that signs, the first of which is given to a client that does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyFormat {
    Json,
    Pem,
    Text,
}

const FORMATS: [(&str, KeyFormat); 3] = [
    ("application/json", KeyFormat::Json),
    ("application/x-pem-file", KeyFormat::Pem),
    ("text/plain", KeyFormat::Text),
];

impl KeyFormat {
    fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Pem => "pem",
            Self::Text => "txt",
        }
    }
}

/// The key set.
///
/// # Errors
/// 412 under an `If-Match` of another one, 400 under one that cannot be read.
pub fn jwks(known: &OpenedTenant, request: &impl Incoming, cached: Cacheable) -> Result<Answer, Refusal> {
    let set = || Answer::text(200, "application/json", known.jwks.clone());
    let answer = conditional(request, &validator(known, "jwks"), set)?;
    Ok(finish(answer, cached))
}

/// The key that signs now, as JSON or alone, by `Accept`.
///
/// # Errors
/// 406 where neither is acceptable, 503 where no key signs; as [`jwks`].
pub fn public_key(
    known: &OpenedTenant,
    request: &impl Incoming,
    now_ms: u64,
    cached: Cacheable,
) -> Result<Answer, Refusal> {
    let format =
        negotiate(request.header("accept").as_deref(), &FORMATS).ok_or_else(Refusal::not_acceptable)?;
    let key = known.tenant.signing_key(now_ms / 1000).ok_or_else(Refusal::unavailable)?;
    let pem = key.public.to_pem().map_err(|_| Refusal::internal())?;
    // The next key signs from its time on, within one revision of the document.
    let validator = validator(known, &format!("{}.{}", key.kid, format.as_str()));
    let mut answer = conditional(request, &validator, || match format {
        KeyFormat::Json => Answer::json(200, &json!({"public_key": pem, "alg": "RS256", "kid": key.kid})),
        KeyFormat::Pem => Answer::text(200, "application/x-pem-file", pem),
        KeyFormat::Text => Answer::text(200, "text/plain; charset=utf-8", pem),
    })?;
    answer.vary("Accept");
    Ok(finish(answer, cached))
}

/// The `ETag` of one representation of a tenant's keys. It includes the tenant, because revisions are counted per
/// tenant.
fn validator(known: &OpenedTenant, representation: &str) -> Validator {
    let (history, rev) = known.tenant.revision();
    Validator::new(&format!("{}.{history}.{rev}.{representation}", known.tenant.id))
}

fn conditional(
    request: &impl Incoming,
    validator: &Validator,
    whole: impl FnOnce() -> Answer,
) -> Result<Answer, Refusal> {
    let field = |name| request.header(name);
    let conditions = Conditions::parse(field("if-match").as_deref(), field("if-none-match").as_deref())?;
    let mut answer = match conditions.on_read(validator) {
        Verdict::Proceed => whole(),
        Verdict::NotModified => Answer { status: 304, headers: vec![], body: Body::Empty },
        Verdict::Failed => return Err(Refusal::precondition_failed()),
    };
    answer.set("ETag", validator.to_string());
    Ok(answer)
}

/// Adds the headers that a 304 must have, too (RFC 9110, section 15.4.5).
fn finish(mut answer: Answer, cached: Cacheable) -> Answer {
    answer.set("Access-Control-Allow-Origin", String::from("*"));
    match cached {
        Cacheable::ByUrl => answer.set(
            "Cache-Control",
            format!("public, max-age={JWKS_MAX_AGE_SECS}, stale-while-revalidate={JWKS_STALE_SECS}"),
        ),
        Cacheable::No => {
            answer.set("Cache-Control", String::from("no-store"));
            answer.vary("X-Tenant");
        }
    }
    answer
}

//! The public keys: as JWKS (RFC 7517, section 5) and as PEM.

use serde_json::json;
use shared::contract::limits::{JWKS_MAX_AGE_SECS, JWKS_STALE_SECS};
use shared::contract::refusal::Refusal;

use crate::http::Answer;
use crate::isolate::opened::OpenedTenant;
use crate::tenants::target::Cached;

fn finish(mut answer: Answer, known: &OpenedTenant, cached: Cached) -> Answer {
    answer.set("Access-Control-Allow-Origin", String::from("*"));
    match cached {
        Cached::ByUrl => answer.set(
            "Cache-Control",
            format!("public, max-age={JWKS_MAX_AGE_SECS}, stale-while-revalidate={JWKS_STALE_SECS}"),
        ),
        Cached::No => {
            answer.set("Cache-Control", String::from("no-store"));
            answer.set("Vary", String::from("X-Tenant"));
        }
    }
    answer.set("ETag", etag(known));
    answer
}

fn etag(known: &OpenedTenant) -> String {
    let (history, rev) = known.tenant.revision();
    format!("\"{history}.{rev}\"")
}

/// The key set, or 304 where the caller has this one.
#[must_use]
pub fn jwks(known: &OpenedTenant, if_none_match: Option<&str>, cached: Cached) -> Answer {
    let answer = if if_none_match.is_some_and(|list| list.split(',').any(|tag| tag.trim() == etag(known))) {
        Answer { status: 304, headers: vec![], body: crate::http::Body::Empty }
    } else {
        Answer::text(200, "application/json", known.jwks.clone())
    };
    finish(answer, known, cached)
}

/// The key that signs now, as JSON or, for `Accept: application/x-pem-file` or `text/plain`, alone.
///
/// # Errors
/// 503 where no key signs.
pub fn public_key(
    known: &OpenedTenant,
    accept: Option<&str>,
    now_ms: u64,
    cached: Cached,
) -> Result<Answer, Refusal> {
    let key = known.tenant.signing_key(now_ms / 1000).ok_or_else(Refusal::unavailable)?;
    let pem = key.public.to_pem().map_err(|_| Refusal::internal())?;
    let named =
        |media: &str| accept.is_some_and(|accept| accept.split(',').any(|item| essence(item) == media));
    let mut answer = if named("application/x-pem-file") {
        Answer::text(200, "application/x-pem-file", pem)
    } else if named("text/plain") {
        Answer::text(200, "text/plain; charset=utf-8", pem)
    } else {
        Answer::json(200, &json!({"public_key": pem, "alg": "RS256", "kid": key.kid}))
    };
    if cached == Cached::ByUrl {
        answer.set("Vary", String::from("Accept"));
    }
    Ok(finish(answer, known, cached))
}

fn essence(item: &str) -> &str {
    item.split(';').next().unwrap_or_default().trim()
}

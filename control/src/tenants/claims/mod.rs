//! What tokens say of their tenant, and outsiders store: `iss`, `aud`, and the form of `user_id`.
//!
//! All three are set when the tenant is made. Neither its hosts nor the settings of this control change them
//! later; [`change`] alone does. What `iss` and `aud` were before is accepted for as long as a token can live,
//! by control and, from the tenant's document, by the edge.

pub mod change;

use std::net::IpAddr;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::Url;
use serde::{Deserialize, Serialize};
use shared::contract::limits::FORMER_CLAIMS_SECS;
use shared::ids::{HostName, Slug};
use shared::tokens::claims::FormerClaims;
use utoipa::ToSchema;

use crate::http::time;

/// Bytes of an issuer.
const LONGEST_ISSUER: usize = 255;
/// Characters of an audience, which is in every token.
const LONGEST_AUDIENCE: usize = 255;

/// A former issuer and audience of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = FormerClaims)]
pub struct Former {
    /// `iss`.
    pub issuer: String,
    /// `aud`, or null for none.
    #[schema(required)]
    pub audience: Option<String>,
    /// When Wardgate begins to refuse tokens with these values; null until the edge has confirmed the change, because it
    /// may still issue them.
    #[serde(serialize_with = "time::micros_option")]
    #[schema(required)]
    pub until: Option<DateTime<Utc>>,
}

/// The default issuer of a new tenant: its first host, else its path at the shared origin.
/// If the shared origin is a loopback origin, as in development, a host is reached by the same scheme and port.
#[must_use]
pub fn default_issuer(slug: &Slug, hosts: &[HostName], shared_origin: &str) -> String {
    let shared_origin = shared_origin.trim_end_matches('/');
    match hosts.first() {
        None => format!("{shared_origin}/t/{slug}"),
        Some(host) => match Url::parse(shared_origin).ok().filter(is_loopback) {
            None => format!("https://{host}"),
            Some(url) => {
                let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
                format!("{}://{host}{port}", url.scheme())
            }
        },
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || host.ends_with(".localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// Validation errors of an issuer and an audience.
pub(super) fn faults(issuer: &str, audience: Option<&str>) -> Vec<(&'static str, String)> {
    let mut faults = Vec::new();
    if !is_issuer(issuer) {
        faults.push(("issuer", String::from("Enter a valid URL without query and fragment.")));
    }
    if audience.is_some_and(|audience| audience.chars().count() > LONGEST_AUDIENCE) {
        let message = format!("Ensure this field has no more than {LONGEST_AUDIENCE} characters.");
        faults.push(("audience", message));
    }
    faults
}

/// RFC 8414, section 2: a URL without query and fragment. Plain HTTP is for development.
fn is_issuer(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "https" | "http")
            && url.has_host()
            && url.query().is_none()
            && url.fragment().is_none()
    }) && text.len() <= LONGEST_ISSUER
}

fn life() -> TimeDelta {
    TimeDelta::seconds(i64::try_from(FORMER_CLAIMS_SECS).unwrap_or(i64::MAX / 1000))
}

/// The former claims that are accepted at `now`, as they stand in the edge's document.
#[must_use]
pub fn accepted(former: &[Former], now: DateTime<Utc>) -> Vec<FormerClaims> {
    let unconfirmed = now + life();
    let living = former.iter().filter(|it| it.until.is_none_or(|until| now < until));
    let told = living.map(|it| FormerClaims {
        issuer: it.issuer.clone(),
        audience: it.audience.clone(),
        until: u64::try_from(it.until.unwrap_or(unconfirmed).timestamp()).unwrap_or(0),
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_by_default_is_where_its_keys_are_fetched() {
        let slug = Slug::parse("acme").unwrap();
        let host = [HostName::parse("id.acme.example").unwrap(), HostName::parse("b.example").unwrap()];
        let local = [HostName::parse("acme.localhost").unwrap()];
        for (hosts, shared_origin, issuer) in [
            (&host[..], "https://auth.example", "https://id.acme.example"),
            (&[], "https://auth.example/", "https://auth.example/t/acme"),
            (&host, "https://auth.example:8443", "https://id.acme.example"),
            (&host, "http://auth.example", "https://id.acme.example"),
            (&local, "https://auth.example", "https://acme.localhost"),
            (&[], "http://127.0.0.1:8787", "http://127.0.0.1:8787/t/acme"),
            (&local, "http://127.0.0.1:8787", "http://acme.localhost:8787"),
            (&local, "http://localhost:8787/", "http://acme.localhost:8787"),
            (&local, "https://[::1]:8787", "https://acme.localhost:8787"),
            (&local, "http://auth.localhost", "http://acme.localhost"),
        ] {
            assert_eq!(default_issuer(&slug, hosts, shared_origin), issuer, "{shared_origin}");
        }
    }

    #[test]
    fn former_claims_age_from_the_edges_word() {
        let now = DateTime::from_timestamp(1_000_000, 0).unwrap();
        let former = |issuer: &str, until| Former { issuer: issuer.into(), audience: None, until };
        let list = [
            former("https://over.example", Some(now)),
            former("https://living.example", Some(now + TimeDelta::seconds(1))),
            former("https://issued.example", None),
        ];
        let told: Vec<_> = accepted(&list, now).into_iter().map(|it| (it.issuer, it.until)).collect();
        let unconfirmed = 1_000_000 + FORMER_CLAIMS_SECS;
        assert_eq!(
            told,
            [("https://living.example".into(), 1_000_001), ("https://issued.example".into(), unconfirmed)]
        );
    }
}

//! Parses a request: its tenant's name, its path without prefix, its credential. All of it is unverified.

use shared::contract::limits::REQUEST_ID_BYTES;
use shared::contract::refusal::Refusal;
use shared::ids::Slug;

use crate::app::App;
use crate::http::Incoming;
use crate::platform::Platform;
use crate::route::{self, Endpoint};
use crate::settings::Settings;
use crate::tenants::find::TenantName;
use shared::network;

/// Longest host name, in bytes (RFC 1035, section 2.3.4, without the final dot).
const HOST_BYTES: usize = 253;

/// A credential as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bearer {
    /// No `Authorization`, or one of another scheme.
    None,
    /// Bearer, but not of two parts.
    Malformed,
    /// A token, not verified.
    Token(String),
}

impl Bearer {
    /// Reads `Authorization`: the scheme without case, fields split on any blanks.
    pub fn read(request: &impl Incoming) -> Self {
        let header = request.header("authorization").unwrap_or_default();
        let mut fields = header.split_ascii_whitespace();
        match (fields.next(), fields.next(), fields.next()) {
            (Some(scheme), _, _) if !scheme.eq_ignore_ascii_case("bearer") => Self::None,
            (None, _, _) => Self::None,
            (Some(_), Some(token), None) => Self::Token(token.to_owned()),
            _ => Self::Malformed,
        }
    }
}

/// Whether a cache may store the answer: only if the URL identifies the tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cacheable {
    /// By the tenant's own host, or `/t/<slug>/`.
    ByUrl,
    /// The tenant was chosen by a header or by default.
    No,
}

/// The target of a request: its tenant's name, its path without prefix, and the base of URLs in answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The name of its tenant.
    pub named: TenantName,
    /// Whether the host is a tenant's own: cookies are used only there.
    pub own_host: bool,
    /// Whether the URL identifies the tenant.
    pub cached: Cacheable,
    /// The path without `/t/<slug>`.
    pub path: String,
    /// The query without `?`.
    pub query: String,
    /// The matched origin and the stripped prefix: every absolute URL in an answer starts with it.
    pub base: String,
    /// The client's request id if it is one, else ours.
    pub request_id: String,
}

/// The parts of an absolute URL that a route is chosen by.
struct Parts<'a> {
    origin: &'a str,
    host: &'a str,
    path: &'a str,
    query: &'a str,
}

impl<'a> Parts<'a> {
    fn of(url: &'a str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let authority_end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at_checked(authority_end)?;
        let origin = url.get(..scheme.len() + 3 + authority_end)?;
        let target = target.split_once('#').map_or(target, |(before, _)| before);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let host = match authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => authority,
        };
        Some(Self { origin, host, path: if path.is_empty() { "/" } else { path }, query })
    }
}

/// Reads the target of a request; `None` where it names no tenant or two different ones.
///
/// The host of a tenant names it first; on shared hosts the prefix `/t/<slug>`, then `X-Tenant`, then the default
/// tenant.
pub(crate) fn target(
    settings: &Settings,
    request: &impl Incoming,
    url: &str,
    request_id: String,
) -> Option<Target> {
    let (x_tenant, network) = (request.header("x-tenant"), network::of(&request.client()));
    let parts = Parts::of(url)?;
    let host = parts.host.to_ascii_lowercase();
    let query = parts.query.to_owned();
    if !settings.shared_hosts.contains(&host) {
        // It belongs to no tenant, and KV refuses such a long key.
        if host.len() > HOST_BYTES {
            return None;
        }
        let named = TenantName { name: ["host:", &host].concat(), also_slug: x_tenant, network };
        let (path, base) = (parts.path.to_owned(), parts.origin.to_owned());
        return Some(Target {
            named,
            own_host: true,
            cached: Cacheable::ByUrl,
            path,
            query,
            base,
            request_id,
        });
    }
    let prefixed = parts.path.strip_prefix("/t/").and_then(|rest| rest.split_once('/'));
    let (slug, cached, path, base) = match prefixed {
        Some((slug, rest)) => {
            if x_tenant.is_some_and(|header| header != slug) {
                return None;
            }
            (slug.to_owned(), Cacheable::ByUrl, ["/", rest].concat(), [parts.origin, "/t/", slug].concat())
        }
        None => {
            let slug = x_tenant.or_else(|| settings.default_tenant.clone())?;
            (slug, Cacheable::No, parts.path.to_owned(), parts.origin.to_owned())
        }
    };
    // A malformed slug belongs to no tenant; it is not looked up.
    let slug = Slug::parse(&slug).ok()?;
    let named = TenantName { name: ["slug:", slug.as_str()].concat(), also_slug: None, network };
    Some(Target { named, own_host: false, cached, path, query, base, request_id })
}

/// The request id that the client sent, if it is well-formed.
pub(crate) fn sent_request_id(request: &impl Incoming) -> Option<String> {
    let plain = |id: &String| {
        (1..=REQUEST_ID_BYTES).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
    };
    request.header("x-request-id").filter(plain)
}

/// The endpoint and the target of a request.
///
/// # Errors
/// 404 where this Worker serves no such path or the request names no tenant, 503 without settings.
pub(crate) fn place<P: Platform>(
    app: &App<P>,
    request: &P::Request,
    url: &str,
    request_id: String,
) -> Result<(Endpoint, Target), Refusal> {
    let path = Parts::of(url).map(|parts| parts.path.to_owned()).unwrap_or_default();
    let bare = |endpoint| {
        let named = TenantName { name: String::new(), also_slug: None, network: String::new() };
        let query = Parts::of(url).map(|parts| parts.query.to_owned()).unwrap_or_default();
        let base = String::new();
        let request_id = request_id.clone();
        let path = path.clone();
        let cached = Cacheable::No;
        (endpoint, Target { named, own_host: false, cached, path, query, base, request_id })
    };
    // Health is served even if settings are missing, and internal routes have no tenant.
    if let Some(health) = route::health(&path) {
        return Ok(bare(Endpoint::Health(health)));
    }
    let settings = app.settings()?;
    if let Some(inside) = route::inside(settings.routes, &path) {
        return Ok(bare(Endpoint::Inside(inside)));
    }
    let target = target(settings, request, url, request_id.clone()).ok_or_else(Refusal::not_found)?;
    match route::endpoint(settings.routes, &target.path).ok_or_else(Refusal::not_found)? {
        Endpoint::Inside(_) => Err(Refusal::not_found()),
        endpoint @ (Endpoint::Own(_) | Endpoint::Health(_) | Endpoint::Forward(_)) => Ok((endpoint, target)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_url_is_safe(url: String) {
            let _ = Parts::of(&url).map(|parts| (parts.host.len(), parts.query.len()));
        }
    }
}

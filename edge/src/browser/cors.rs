//! Which pages may read an answer (CORS, Fetch section 3.3): those of the origins that the tenant lists; public keys:
//! those of every origin.
//!
//! Preflights for control's routes are answered here, too; CORS headers of control are dropped.

use shared::contract::limits::PREFLIGHT_SECS;
use shared::contract::routes::{Route, RouteKind};
use shared::tenant::header_name::HeaderName;
use shared::tenant::settings::Cookies;

use crate::browser::origin::is_listed;
use crate::context::Context;
use crate::http::{Incoming, Response};
use crate::isolate::opened::OpenedTenant;
use crate::platform::Platform;
use crate::route::{Endpoint, Own};
use crate::tenants::find::{TenantName, find_fresh, is_forgotten, remembered};
use crate::tenants::target::Target;

/// Request headers that a page may set: forwarded ones, those of the edge, and those that libraries, caches and the
/// SDKs of tracing services (W3C Trace Context and Baggage, Datadog, Sentry, B3, New Relic, Elastic, Application
/// Insights, X-Ray) add by themselves. A tenant may add to them.
const ALLOWED: &str = "Accept, Accept-Language, Authorization, Cache-Control, Captcha-Response, Content-Type, Idempotency-Key, \
                       If-Match, If-Modified-Since, If-None-Match, If-Range, Pragma, Range, User-Agent, \
                       X-CSRFToken, X-Request-Id, X-Requested-With, X-Tenant, \
                       Traceparent, Tracestate, Baggage, B3, Elastic-Apm-Traceparent, Newrelic, \
                       Request-Context, Request-Id, Sentry-Trace, X-Amzn-Trace-Id, X-B3-Flags, \
                       X-B3-ParentSpanId, X-B3-Sampled, X-B3-SpanId, X-B3-TraceId, X-Datadog-Origin, \
                       X-Datadog-Parent-Id, X-Datadog-Sampling-Priority, X-Datadog-Tags, X-Datadog-Trace-Id";
/// Headers of an answer that a page may read, beside those that it always may.
const EXPOSED: &str = "Accept-Ranges, Allow, Content-Disposition, Content-Range, ETag, Link, Location, \
                       Retry-After, Wardgate-In-Force, Wardgate-State-Age, WWW-Authenticate, X-Request-Id";

/// The pages that may read an answer.
enum Readers {
    /// Pages of every origin: public keys.
    All,
    /// Pages of the tenant's list.
    Listed { named: TenantName, own_host: bool },
}

/// The CORS data of a request.
pub struct Cors {
    readers: Readers,
    origin: Option<String>,
    /// The methods, if this is a preflight.
    preflight: Option<&'static str>,
    /// Whether every answer has `Vary: Origin`. Only `validate` sets it just for requests with an `Origin`, because
    /// its answers are not cached.
    varies: bool,
}

impl Cors {
    /// Reads a request; `None` for health and internal routes, whose answers no page may read.
    pub fn of(
        endpoint: Endpoint,
        target: &Target,
        route: &'static Route,
        request: &impl Incoming,
    ) -> Option<Self> {
        let readers = match endpoint {
            Endpoint::Inside(_) | Endpoint::Health(_) => return None,
            Endpoint::Own(Own::Keys(_)) => Readers::All,
            Endpoint::Own(
                Own::Validate
                | Own::Token
                | Own::Login
                | Own::VerifyOtp
                | Own::StepUp
                | Own::Refresh
                | Own::Verify
                | Own::Blacklist
                | Own::Logout,
            )
            | Endpoint::Forward(_) => {
                Readers::Listed { named: target.named.clone(), own_host: target.own_host }
            }
        };
        let origin = request.header("origin");
        let asked = request.method() == "OPTIONS"
            && origin.is_some()
            && request.header("access-control-request-method").is_some();
        let varies = route.kind != RouteKind::EdgeWithoutAllow || origin.is_some();
        Some(Self { readers, origin, preflight: asked.then_some(route.allow), varies })
    }

    /// Adds the CORS headers to any answer.
    pub async fn dress<P: Platform, S>(&self, ctx: Context<'_, P>, response: &mut Response<S>) {
        match &self.readers {
            Readers::All => {
                if response.header("access-control-allow-origin").is_none() {
                    response.set("Access-Control-Allow-Origin", String::from("*"));
                }
                // Without credentials, `*` allows every header except `Authorization` (Fetch, section 4.8).
                if let Some(methods) = self.preflight {
                    answer_preflight(methods, format!("{ALLOWED}, *"), response);
                }
            }
            Readers::Listed { named, own_host } => {
                if self.varies {
                    response.vary("Origin");
                }
                let Some(origin) = self.origin.as_deref() else { return };
                let known = match remembered(ctx, named) {
                    // The feed may have removed the tenant from the cache while the answer was awaited. A page that
                    // cannot read the answer reports a network error.
                    None if is_forgotten(ctx, named) && response.status != 503 => {
                        find_fresh(ctx, named).await.ok()
                    }
                    known => known,
                };
                let Some(known) = known else { return };
                if !admit(&known, *own_host, origin, response) {
                    return;
                }
                match self.preflight {
                    Some(methods) => answer_preflight(methods, allowed(&known), response),
                    None => response.set("Access-Control-Expose-Headers", EXPOSED.to_owned()),
                }
            }
        }
    }
}

/// The headers that pages of a tenant may set: the usual ones, then its own.
fn allowed(known: &OpenedTenant) -> String {
    let own = known.tenant.settings.cors_headers.iter().map(HeaderName::as_str);
    std::iter::once(ALLOWED).chain(own).collect::<Vec<_>>().join(", ")
}

fn answer_preflight<S>(methods: &str, headers: String, response: &mut Response<S>) {
    response.set("Access-Control-Allow-Methods", methods.to_owned());
    response.set("Access-Control-Allow-Headers", headers);
    response.set("Access-Control-Max-Age", PREFLIGHT_SECS.to_string());
}

/// Lets a listed origin read, with its cookies where there are any.
fn admit<S>(known: &OpenedTenant, own_host: bool, origin: &str, response: &mut Response<S>) -> bool {
    let listed = is_listed(known, origin);
    if listed {
        response.set("Access-Control-Allow-Origin", origin.to_owned());
        if own_host && known.tenant.settings.cookies != Cookies::Off {
            response.set("Access-Control-Allow-Credentials", String::from("true"));
        }
    }
    listed
}

/// The same for the synchronous path of `validate`. No work for a tenant without origins.
pub fn dress_now<S>(
    known: &OpenedTenant,
    target: &Target,
    request: &impl Incoming,
    response: &mut Response<S>,
) {
    if known.tenant.settings.origins.is_empty() {
        return;
    }
    let Some(origin) = request.header("origin") else { return };
    response.vary("Origin");
    if admit(known, target.own_host, &origin, response) {
        response.set("Access-Control-Expose-Headers", EXPOSED.to_owned());
    }
}

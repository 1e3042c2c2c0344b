//! The origin of a request, and what follows for cookies: which answers may set them, and which requests may use them
//! (CSRF).
//!
//! A browser sends `Origin` with every request that could change something (Fetch, section 3.2). So a request without
//! it, and without `Sec-Fetch-Site`, comes from a program, which another site cannot cause to send requests.

use shared::contract::refusal::Refusal;
use shared::derive::csrf_holds;
use shared::ids::SessionId;

use crate::body::Fields;
use crate::browser::cookies::{CookieSession, Names};
use crate::context::Context;
use crate::http::Incoming;
use crate::isolate::opened::OpenedTenant;
use crate::platform::Platform;
use crate::tenants::find::find_fresh;
use crate::tenants::target::Target;

/// Whether the tenant lists `origin`, byte for byte. `null` is never listed.
#[must_use]
pub fn is_listed(known: &OpenedTenant, origin: &str) -> bool {
    known.tenant.settings.origins.iter().any(|listed| listed.as_str() == origin)
}

/// Whether a method may change something (RFC 9110, section 9.2.1).
fn is_unsafe(method: &str) -> bool {
    !matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE")
}

/// The names of the cookies that the answer to a request may set or clear.
///
/// Only on the tenant's own host; not for a form, which any page may send; and from a browser only with a listed
/// `Origin`. Otherwise the tokens are only in the body: the sender can use them, but another site cannot sign a
/// browser in.
pub fn may_set(
    known: &OpenedTenant,
    target: &Target,
    request: &impl Incoming,
    fields: &Fields,
) -> Option<Names> {
    Sender::of(target, request, fields).names(known)
}

/// The origin data of a request, before its tenant is known.
pub struct Sender {
    /// The tenant's own host, and no form.
    may_have_cookies: bool,
    origin: Option<String>,
    is_browser: bool,
}

impl Sender {
    /// Reads it.
    pub fn of(target: &Target, request: &impl Incoming, fields: &Fields) -> Self {
        Self {
            may_have_cookies: target.own_host && !fields.is_form(),
            origin: request.header("origin"),
            is_browser: request.header("sec-fetch-site").is_some(),
        }
    }

    /// See [`may_set`].
    #[must_use]
    pub fn names(&self, known: &OpenedTenant) -> Option<Names> {
        let may = match &self.origin {
            Some(origin) => is_listed(known, origin),
            None => !self.is_browser,
        };
        Names::of(known).filter(|_| may && self.may_have_cookies)
    }
}

/// The session that a request may use by its cookies; `None` without accepted cookies.
///
/// 1. Only on a tenant's own host, and only if the tenant uses cookies.
/// 2. An unsafe method needs a listed `Origin` and the session's `X-CSRFToken`: else 403, before the session is read.
///
/// # Errors
/// As above; those of finding the tenant.
pub async fn by_cookie<P: Platform>(
    ctx: Context<'_, P>,
    target: &Target,
    request: &P::Request,
) -> Result<Option<CookieSession>, Refusal> {
    let Some(header) = request.header("cookie").filter(|_| target.own_host) else { return Ok(None) };
    // Data that is at most three seconds old: an origin that was taken off the list acts no more.
    let known = find_fresh(ctx, &target.named).await?;
    let Some(presented) = CookieSession::read(ctx, &known, &header).await? else { return Ok(None) };
    if is_unsafe(&request.method()) {
        judge(&known, request, presented.sid)?;
    }
    Ok(Some(presented))
}

fn judge(known: &OpenedTenant, request: &impl Incoming, sid: SessionId) -> Result<(), Refusal> {
    let origin = request.header("origin").unwrap_or_default();
    let value = request.header("x-csrftoken").unwrap_or_default();
    let mut keys = known.csrf_keys.iter();
    let holds = keys.any(|key| csrf_holds(key, known.tenant.id, sid, &value));
    if is_listed(known, &origin) && holds { Ok(()) } else { Err(Refusal::csrf_failed()) }
}

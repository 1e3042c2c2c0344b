//! The only part of the edge that names `worker`: it implements the ports of [`crate::platform`]
//! over Workers, D1, KV, the rate-limit binding and WebCrypto.
//!
//! It contains no decisions. The logic is in the core, which compiles and is tested on the host; here is only code
//! that cannot run on the host, one file for each port. `entry` has the functions that the runtime calls.

mod captcha;
mod clock;
mod console;
mod copies;
mod entry;
mod keys;
mod limits;
mod log;
mod request;
mod response;
mod store;
#[cfg(feature = "test-entry")]
mod test_hooks;
mod upstream;
mod webcrypto;

use std::cell::OnceCell;
use std::rc::Rc;

use worker::{D1Database, Env, KvStore, RateLimiter};

use crate::app::App;
use crate::settings::Settings;

/// The platform, from the bindings of this Worker and the globals of the runtime.
///
/// Handles of D1, KV and keys may be kept for the isolate's lifetime. A future must not be woken by another request,
/// so no request waits for a promise of another one.
pub struct Cloudflare {
    /// `DB_0`, `DB_1`, ...
    shards: Vec<D1Database>,
    copies: Option<KvStore>,
    by_network_total: Option<RateLimiter>,
    by_network: Option<RateLimiter>,
    by_name: Option<RateLimiter>,
    by_session: Option<RateLimiter>,
    by_tenant_sessions: Option<RateLimiter>,
    keys: keys::Keys,
}

impl Cloudflare {
    fn new(env: &Env, settings: Option<&Settings>) -> Self {
        Self {
            shards: (0..=u8::MAX).map_while(|shard| env.d1(&format!("DB_{shard}")).ok()).collect(),
            copies: told("KV", env.kv("KV")),
            by_network_total: told("LIMIT_NETWORK_TOTAL", env.rate_limiter("LIMIT_NETWORK_TOTAL")),
            by_network: told("LIMIT_NETWORK", env.rate_limiter("LIMIT_NETWORK")),
            by_name: told("LIMIT_NAME", env.rate_limiter("LIMIT_NAME")),
            by_session: told("LIMIT_SESSION", env.rate_limiter("LIMIT_SESSION")),
            by_tenant_sessions: told("LIMIT_TENANT_SESSIONS", env.rate_limiter("LIMIT_TENANT_SESSIONS")),
            keys: keys::Keys::new(settings),
        }
    }
}

/// A binding without which the edge works, but worse: its absence is logged, once an isolate.
fn told<T>(name: &str, binding: worker::Result<T>) -> Option<T> {
    binding.inspect_err(|error| log::error(name, &error.to_string())).ok()
}

thread_local! {
    static APP: OnceCell<Rc<App<Cloudflare>>> = const { OnceCell::new() };
}

/// The isolate's app, once a request was answered on the ordinary way.
fn app_if_made() -> Option<Rc<App<Cloudflare>>> {
    APP.with(|app| app.get().map(Rc::clone))
}

/// The isolate's app. Variables and secrets belong to the deployment and do not change during its lifetime.
fn app(env: &Env) -> Rc<App<Cloudflare>> {
    let make = || {
        let settings = Settings::read(|name| env.var(name).ok().map(|value| value.to_string()));
        if let Err(fault) = &settings {
            log::error("settings", &fault.to_string());
        }
        Rc::new(App::new(Cloudflare::new(env, settings.as_ref().ok()), settings))
    };
    APP.with(|app| Rc::clone(app.get_or_init(make)))
}

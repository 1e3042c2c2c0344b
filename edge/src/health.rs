//! Health: `healthz` says that the Worker runs, `readyz` that it can serve. Also the table of limits.

use serde_json::json;
use shared::contract::limits::{self, FRESH_MS};

use crate::app::App;
use crate::http::Answer;
use crate::platform::Platform;
use crate::tenants::find::read_feed;

/// Liveness: no storage, no settings.
#[must_use]
pub fn healthz() -> Answer {
    Answer::json(200, &json!({"status": "ok"}))
}

/// The table of limits: no storage, no settings, no tenant.
#[must_use]
pub fn limits() -> Answer {
    let mut answer = Answer::json(200, &json!({"limits": limits::table()}));
    answer.set("Cache-Control", String::from("public, max-age=300"));
    answer
}

/// Readiness: the settings are complete, and the database answers, or did within the last second, because any client
/// may call this often. With the age of the edge's data.
pub async fn readyz<P: Platform>(app: &App<P>) -> Answer {
    if let Err(fault) = &app.settings {
        return Answer::json(503, &json!({"status": "misconfigured", "setting": fault.0}));
    }
    let known_ms = app.shard_cache.borrow().age_ms(app.platform.now_ms());
    let read = match known_ms {
        Some(age_ms) if age_ms < FRESH_MS => Ok(()),
        _ => read_feed(app).await,
    };
    let age_ms = app.shard_cache.borrow().age_ms(app.platform.now_ms());
    let age_secs = age_ms.map(|ms| f64::from(u32::try_from(ms / 100).unwrap_or(u32::MAX)) / 10.0);
    match read {
        Ok(()) => Answer::json(200, &json!({"status": "ready", "state_age_secs": age_secs})),
        Err(_) => Answer::json(503, &json!({"status": "storage unreachable", "state_age_secs": age_secs})),
    }
}

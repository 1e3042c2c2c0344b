//! Requests that require a recent sign-in or step-up ([`step_up::GUARDED`]): every extractor with a permission checks
//! this, too, so no handler does.

use axum::http::request::Parts;
use serde_json::json;
use shared::contract::refusal::Refusal;
use shared::contract::step_up;

use super::extractors::Authenticated;
use crate::audit::{self, Action};
use crate::control::Control;
use crate::http::answer::Refused;
use crate::http::body;
use crate::mfa;

impl Authenticated {
    /// Passes a caller whose proof is recent enough for the request, by what the caller's tenant has set:
    /// 1. a request that is not guarded, or whose body names no guarded field, needs none;
    /// 2. 403 `step_up_required` where the session's proof is too old, or lacks the second factor that the user has. The
    ///    refusal is an entry of the audit log.
    pub(super) async fn proven(self, control: &Control, parts: &Parts) -> Result<Self, Refused> {
        let (method, path) = (parts.method.as_str(), parts.uri.path());
        let Some(guarded) = step_up::guarded(method, path) else { return Ok(self) };
        if !guarded.fields.is_empty() && !body::names_any(parts, guarded.fields) {
            return Ok(self);
        }
        let max_age_secs = i64::try_from(self.tenant.settings.step_up_secs).unwrap_or(i64::MAX);
        let now_secs = control.clock.now().timestamp();
        let is_recent =
            self.proven.is_some_and(|proven| proven.is_recent(self.user.mfa_enabled, max_age_secs, now_secs));
        if max_age_secs == 0 || is_recent {
            return Ok(self);
        }
        Err(self.too_old(control, path, max_age_secs).await)
    }

    /// Writes the refusal into the audit log and words it.
    async fn too_old(mut self, control: &Control, target: &str, max_age_secs: i64) -> Refused {
        let state = match mfa::state(&mut self.tx, self.user.id).await {
            Ok(state) => state,
            Err(failure) => return failure.into(),
        };
        metrics::counter!("wardgate_step_up_refused_total").increment(1);
        let (now, target) = (control.clock.now(), Some(target.to_owned()));
        let details = json!({ "max_age": max_age_secs });
        audit::attempt(&mut self.tx, &self.actor, now, Action::StepUpRefused, target, details);
        match self.tx.commit().await {
            Ok(()) => Refusal::step_up_required(&state.step_up_methods(), max_age_secs).into(),
            Err(failure) => failure.into(),
        }
    }
}

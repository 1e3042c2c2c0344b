//! The issued tokens of a session, the three answers that carry them, and the cookies.

use std::rc::Rc;

use serde_json::json;
use shared::contract::refusal::{Refusal, TokenFault};
use shared::ids::{SessionId, UserId};

use crate::browser::cookies::{DeviceCookie, Names, csrf_token};
use crate::context::Context;
use crate::http::{Answer, Response};
use crate::isolate::opened::OpenedTenant;
use crate::platform::Platform;
use crate::sessions::family::FamilyRow;
use crate::sql::millis;
use crate::tokens::access::{Subject, issue};
use crate::tokens::amr::Amr;

/// A session's tokens. No `Debug`.
pub struct IssuedTokens {
    /// The access token.
    pub access: String,
    /// The refresh token of the family's current generation.
    pub refresh: String,
    /// The user's role names.
    pub roles: Vec<String>,
    /// The user.
    pub user: UserId,
    /// The session.
    pub sid: SessionId,
    /// When the session ends at the latest, Unix milliseconds.
    pub ends_at: i64,
    /// The remembered device that the answer may set.
    pub device: Option<DeviceCookie>,
    /// The tenant.
    pub known: Rc<OpenedTenant>,
}

/// The tokens of a family's current generation.
///
/// # Errors
/// 503 if there is no signing key, or if user or tenant need a feature that this release does not know; 401 if the
/// tenant requires a second factor of the user and the session used none. Every path that issues tokens checks this.
pub async fn tokens<P: Platform>(
    ctx: Context<'_, P>,
    known: &Rc<OpenedTenant>,
    sid: SessionId,
    row: &FamilyRow,
) -> Result<IssuedTokens, Refusal> {
    if !(row.is_understood() && known.tenant.needs.are_met()) {
        return Err(Refusal::unavailable());
    }
    if row.lacks_factor(ctx.now()) {
        return Err(TokenFault::Blacklisted.at_refresh());
    }
    let roles = row.roles.as_deref().and_then(|text| serde_json::from_str::<Vec<String>>(text).ok());
    let roles = roles.unwrap_or_default();
    let subject = Subject {
        user: row.user,
        user_id: row.user_id(known.tenant.user_id),
        sid,
        epoch: row.access_epoch.unwrap_or(0),
        roles: roles.clone(),
        amr: Amr::from_column(&row.amr),
        auth_time: row.auth_time.div_euclid(1000),
    };
    let access = issue(ctx, known, subject).await?;
    // By the row's time and not by the clock: a retry after a change of the root gets the same bytes.
    let refresh = row.refresh(sid, known.tenant.user_id);
    let key = known.refresh_key(refresh.issued_at).ok_or_else(Refusal::unavailable)?;
    let refresh = key.sign(&refresh, &known.tenant.issuer).map_err(|_| Refusal::internal())?;
    let (user, ends_at) = (row.user, row.absolute_deadline);
    Ok(IssuedTokens { access, refresh, roles, user, sid, ends_at, device: None, known: known.clone() })
}

impl IssuedTokens {
    /// The answer of `token`: the old service's.
    #[must_use]
    pub fn at_token(&self) -> Answer {
        Answer::json(200, &json!({"refresh": self.refresh, "access": self.access}))
    }

    /// The answer of `refresh`.
    #[must_use]
    pub fn at_refresh(&self) -> Answer {
        Answer::json(200, &json!({"access": self.access, "refresh": self.refresh}))
    }

    /// The answer of `login`, with the value of `X-CSRFToken` where cookies go with it.
    #[must_use]
    pub fn at_login(&self, csrf_token: Option<&str>) -> Answer {
        let mut body = json!({
            "access": self.access,
            "refresh": self.refresh,
            "user": {"id": self.user, "roles": self.roles, "tenant": self.known.tenant.id},
        });
        if let (Some(value), Some(object)) = (csrf_token, body.as_object_mut()) {
            object.insert(String::from("csrf_token"), value.into());
        }
        Answer::json(200, &body)
    }

    /// Sets the three cookies of the session, and that of a device. All of them last until the session's absolute
    /// deadline: the edge decides about expiry, and the refresh cookie must outlast the access token.
    pub fn set_cookies<S>(&self, response: &mut Response<S>, names: Names, now_ms: u64) {
        self.set_access(response, names, now_ms);
        response.set_refresh(names, &self.refresh, self.lasts_secs(now_ms));
        self.set_csrf(response, now_ms);
        if let Some(device) = &self.device {
            response.set_device(names, device);
        }
    }

    /// Sets the access cookie alone.
    pub fn set_access<S>(&self, response: &mut Response<S>, names: Names, now_ms: u64) {
        response.set_access(names, &self.access, self.lasts_secs(now_ms));
    }

    /// Sets the readable cookie alone.
    pub fn set_csrf<S>(&self, response: &mut Response<S>, now_ms: u64) {
        if let Some(value) = csrf_token(&self.known, self.sid, now_ms) {
            response.set_csrf(&value, self.lasts_secs(now_ms));
        }
    }

    fn lasts_secs(&self, now_ms: u64) -> i64 {
        self.ends_at.saturating_sub(millis(now_ms)).max(0) / 1000
    }
}

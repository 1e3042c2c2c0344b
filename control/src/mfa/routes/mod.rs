//! `/api/user/mfa/`, `/api/user/devices/`, and both under `/api/user/users/<id>/`.

pub mod admin;
pub mod codes;
pub mod devices;
pub mod enrol;
pub mod own;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use shared::contract::limits::{AUTHENTICATOR_NAME_CHARS, STEP_UP_SECS};
use shared::contract::refusal::{Refusal, TokenFault};
use shared::ids::AuthenticatorId;
use shared::tenant::settings::Settings;
use utoipa::ToSchema;

use super::{Authenticator, State, state};
use crate::access::{Authenticated, Credential};
use crate::control::Control;
use crate::http::answer::Refused;
use crate::http::fields::Fields;
use crate::users::User;
use crate::users::store::lock_unchanged;

/// An authenticator.
#[derive(Serialize, ToSchema)]
#[schema(as = Authenticator)]
struct AuthenticatorOut {
    #[schema(value_type = Uuid)]
    id: AuthenticatorId,
    /// Shown only to its owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    name: Option<String>,
    #[serde(serialize_with = "crate::http::time::micros")]
    created_at: DateTime<Utc>,
    /// When a code of it was last used. Shown only to its owner.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "last_used")]
    #[schema(value_type = Option<DateTime<Utc>>)]
    last_used_at: Option<Option<DateTime<Utc>>>,
}

fn last_used<S: serde::Serializer>(
    at: &Option<Option<DateTime<Utc>>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    crate::http::time::micros_option(&at.flatten(), serializer)
}

impl AuthenticatorOut {
    fn for_owner(it: Authenticator) -> Self {
        let name = Some(it.name.expose().to_owned());
        Self { name, last_used_at: Some(it.last_used_at), ..Self::for_administrators(&it) }
    }

    fn for_administrators(it: &Authenticator) -> Self {
        Self { id: it.id, name: None, created_at: it.created_at, last_used_at: None }
    }
}

/// The second factor of a user.
#[derive(Serialize, ToSchema)]
#[schema(as = SecondFactorState)]
struct StateOut {
    /// Whether the user has an authenticator, so that a sign-in needs a code.
    enabled: bool,
    /// Whether the tenant requires a second factor of this user now.
    required: bool,
    /// When the requirement begins or began, if the tenant has set a time.
    #[schema(required)]
    #[serde(serialize_with = "crate::http::time::micros_option")]
    required_from: Option<DateTime<Utc>>,
    authenticators: Vec<AuthenticatorOut>,
    /// The number of unused recovery codes.
    recovery_codes_left: i64,
    /// The methods that are accepted after the password: `totp`, `recovery_code`.
    methods: Vec<&'static str>,
}

impl StateOut {
    /// `shown` converts the authenticators.
    fn new(
        state: State,
        user: &User,
        (settings, now): (&Settings, DateTime<Utc>),
        shown: fn(Authenticator) -> AuthenticatorOut,
    ) -> Self {
        let meant = settings.demands_second_factor(&user.roles, i64::MAX);
        Self {
            enabled: state.is_enabled(),
            required: settings.demands_second_factor(&user.roles, now.timestamp()),
            required_from: settings.second_factor_from.filter(|_| meant),
            methods: state.methods(),
            recovery_codes_left: state.recovery_codes_left.unwrap_or(0),
            authenticators: state.authenticators.into_iter().map(shown).collect(),
        }
    }
}

/// The example in the OpenAPI document.
fn example() -> Value {
    json!({
        "enabled": true, "required": false, "required_from": null,
        "authenticators": [authenticator_example()], "recovery_codes_left": 9, "methods": ["totp", "recovery_code"],
    })
}

fn authenticator_example() -> Value {
    json!({
        "id": "019a1f0e-5b7c-7d21-9c3e-0a1b2c3d4e5f", "name": "Phone",
        "created_at": "2026-01-02T03:04:05.678901Z", "last_used_at": "2026-01-03T08:00:12.345678Z",
    })
}

fn codes_example() -> Value {
    json!([
        "3k8q-v0xn-7m2d-hc5t",
        "w9b4-1e6r-zj3s-0pga",
        "8nfy-t5k2-q4vd-m7xh",
        "0c6j-r1w9-3bze-gs8p",
        "h4tm-9x2q-7fkv-d0n5",
        "p8gz-3s6c-1yjw-b4re",
        "5v0k-n7dq-x2hm-9t8f",
        "e1rb-w4zj-6gps-3c0y",
        "q9xd-2m7h-k5vn-t8f0",
        "j3cy-b6sw-0rpe-1z4g",
    ])
}

/// Locks the row of a caller who changes their own second factor, and checks the credential: an access token of a session
/// with a recent sign-in or step-up, by a second factor if the user has one; or a ticket, which proves a correct
/// password and becomes invalid with the first authenticator.
///
/// # Errors
/// 401 if the user was changed meanwhile; 403 without a recent sign-in or step-up.
async fn changing(
    control: &Control,
    by: &mut Authenticated,
    credential: Credential,
) -> Result<(User, State), Refused> {
    let Some(user) = lock_unchanged(&mut by.tx, &by.user).await? else {
        return Err(match credential {
            Credential::Token(_) => TokenFault::Blacklisted.into(),
            Credential::Ticket => TokenFault::Invalid.into(),
        });
    };
    let state = state(&mut by.tx, user.id).await?;
    let (enabled, now) = (state.is_enabled(), control.clock.now().timestamp());
    let allowed = match (credential, by.proven) {
        (Credential::Ticket, _) => !enabled,
        (Credential::Token(_), Some(proven)) => proven.allows_change(enabled, now),
        // A token of the legacy service does not say what was shown.
        (Credential::Token(_), None) => false,
    };
    if allowed {
        Ok((user, state))
    } else {
        Err(Refusal::step_up_required(&state.step_up_methods(), STEP_UP_SECS).into())
    }
}

/// Reads the name of an authenticator: one line.
fn checked_name(fields: &mut Fields, name: Option<String>) -> Option<String> {
    let name = name?;
    if name.chars().count() > AUTHENTICATOR_NAME_CHARS {
        let most = format!("Ensure this field has no more than {AUTHENTICATOR_NAME_CHARS} characters.");
        fields.fault("name", most);
    } else if name.chars().any(char::is_control) {
        fields.fault("name", "Control characters are not allowed.");
    }
    Some(name)
}

//! `POST /api/user/password/reset/`, `.../reset/confirm/`, `.../regenerate/`.

use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::contract::openapi as described;
use shared::contract::permissions::Permitted as _;
use shared::contract::permissions::marker::UsersWrite;
use shared::contract::refusal::{Code, Refusal};
use shared::identifiers::Identifier;
use shared::ids::UserId;
use utoipa::ToSchema;

use super::{AskError, Caller, ConfirmError, OneTimePassword, RegenerateError};
use crate::access::{Anyone, Authenticated, Within, outranked};
use crate::audit::Actor;
use crate::control::Control;
use crate::db::TenantTx;
use crate::edges::in_force;
use crate::http::answer::{Refused, ok};
use crate::http::body::{FromFields, Json};
use crate::http::fields::Fields;
use crate::http::time::micros;
use crate::requests;
use crate::users::{Chooser, NO_ADDRESS, Successor, UserError, parse_address};

/// The text of djoser.
const BAD_TOKEN: &str = "Invalid token for given user.";
const MISMATCH: &str = "The two password fields didn't match.";
const ON_ITS_WAY: &str = "If the address is known, a message is on its way.";
const RESET: &str = "Password has been reset with the new password.";
const REGENERATED: &str = "A password that is good once is on its way to the person.";

/// An answer that is the same for every account.
#[derive(Serialize, ToSchema)]
#[schema(as = Message)]
pub struct SaidOut {
    detail: &'static str,
}

/// The account whose password is to be reset.
#[derive(ToSchema)]
#[schema(as = PasswordReset)]
#[allow(dead_code, reason = "described; read by `FromFields`")]
pub struct ResetIn {
    /// The address of the account.
    email: String,
}

/// The parsed request.
pub struct Reset {
    email: Identifier,
}

impl FromFields for Reset {
    fn read(fields: &mut Fields) -> Option<Self> {
        let email = parse_address(&fields.required_text("email")?);
        if email.is_none() {
            fields.fault("email", NO_ADDRESS);
        }
        Some(Self { email: email? })
    }
}

/// Requests a mailed link to reset a password.
///
/// 1. 400 for a body without an address.
/// 2. 429 above the limit of such requests a minute, whatever addresses they name.
/// 3. The request is stored in a row, and a job is enqueued. No user is looked up.
/// 4. 200, the same for every address.
#[utoipa::path(
    post, path = "/api/user/password/reset/", tag = "Accounts", operation_id = "password_reset",
    summary = "Request a link to reset a password",
    description = "No credential is needed. Answer and work are the same for every address. If it is the verified \
        address of an active user, a mail with a link follows. The link is valid once, for 60 minutes; a newer link \
        invalidates it. An account gets at most three mails an hour; further requests are dropped.",
    request_body(content = ResetIn, example = json!({"email": "grace@acme.example"})),
    responses((status = 200, description = "Accepted", body = SaidOut, example = json!({"detail": ON_ITS_WAY})))
)]
pub async fn reset(
    State(control): State<Control>,
    anyone: Anyone,
    Json(Reset { email }): Json<Reset>,
) -> Result<Response, Refused> {
    let Anyone { mut tx, request_id, client, .. } = anyone;
    match super::ask(&control, &mut tx, &email, Caller { request_id, client }).await {
        Ok(()) => {}
        Err(AskError::TooMany) => return Err(Refusal::throttled(requests::LATER_SECS).into()),
        Err(AskError::Failure(failure)) => return Err(failure.into()),
    }
    tx.commit().await?;
    Ok(ok(&SaidOut { detail: ON_ITS_WAY }))
}

/// A new password, with the token of a mailed link.
#[derive(ToSchema)]
#[schema(as = PasswordResetConfirm)]
#[allow(dead_code, reason = "described; read by `FromFields`")]
pub struct ConfirmIn {
    /// The part of the link after `#token=`.
    token: String,
    /// The new password. A client may send `new_password1` and `new_password2` in its place (dj-rest-auth), or
    /// `re_new_password` in addition (djoser): both must be equal.
    #[schema(format = "password")]
    new_password: Option<String>,
    #[schema(format = "password")]
    re_new_password: Option<String>,
    #[schema(format = "password")]
    new_password1: Option<String>,
    #[schema(format = "password")]
    new_password2: Option<String>,
    /// Ignored: the token identifies the user. Clients of Django send it.
    uid: Option<String>,
}

/// The parsed request.
pub struct Confirm {
    token: String,
    password: String,
    /// The name of the field that held the password.
    field: &'static str,
}

impl FromFields for Confirm {
    fn read(fields: &mut Fields) -> Option<Self> {
        fields.ignore("uid");
        let token = fields.required_text("token");
        let names = ["new_password", "re_new_password", "new_password1", "new_password2"];
        let [password, again, first, second] = names.map(|name| fields.untrimmed(name));
        let (password, field) = if fields.has("new_password1") || fields.has("new_password2") {
            // As dj-rest-auth has them.
            for name in ["new_password1", "new_password2"] {
                if !fields.has(name) {
                    fields.fault(name, "This field is required.");
                }
            }
            if first.is_some() && second.is_some() && first != second {
                fields.fault("new_password2", MISMATCH);
            }
            (first, "new_password2")
        } else {
            // As djoser has them.
            if !fields.has("new_password") {
                fields.fault("new_password", "This field is required.");
            }
            if again.is_some() && password != again {
                fields.fault("non_field_errors", MISMATCH);
            }
            (password, "new_password")
        };
        if password.as_deref().is_some_and(str::is_empty) {
            fields.fault(field, "This field may not be blank.");
        }
        Some(Self { token: token?, password: password?, field })
    }
}

/// Sets a new password with the token of a mailed link.
///
/// 1. 400 for missing fields.
/// 2. 400 for an invalid token, before a password is hashed.
/// 3. The password is hashed, in the share of unauthenticated requests.
/// 4. 400 for a password that the policy refuses. The link stays valid.
/// 5. Link, password, sessions, audit entry and notice are committed in one transaction: 200.
#[utoipa::path(
    post, path = "/api/user/password/reset/confirm/", tag = "Accounts", operation_id = "password_reset_confirm",
    summary = "Set a new password with the token of a mailed link",
    description = "No credential but the token is needed. Every session of the user ends, and no new one begins. If \
        the password is refused, the link stays valid. Use of the link verifies the account's address.",
    request_body(content = ConfirmIn, example = json!({
        "token": "kCyyuIqNGKBDFcg0FtBzQv2uROaz_Ui5jFKYlCsVEAE", "new_password": "correct horse battery staple",
    })),
    responses((status = 200, description = "The password was set", body = SaidOut, example = json!({"detail": RESET})))
)]
pub async fn confirm(
    State(control): State<Control>,
    anyone: Anyone,
    Json(Confirm { token, password, field }): Json<Confirm>,
) -> Result<Response, Refused> {
    let Anyone { mut tx, tenant, request_id, client } = anyone;
    let Some(user) = super::subject(&control, &mut tx, &token).await? else {
        super::count("bad_token");
        return Err(Refusal::field("token", BAD_TOKEN).into());
    };
    let (strangers, owner) = (control.hasher.for_strangers(), (user, Chooser::Owner));
    let (successor, mut tx) = Successor::chosen(&control, &strangers, tx, owner, &password).await?;
    let caller = Caller { request_id, client };
    let settings = &tenant.settings;
    let confirmed = super::confirm(&control, &mut tx, settings, &token, &successor, caller).await;
    confirmed.map_err(|error| confirm_refused(error, field))?;
    let in_force = in_force::commit(&control, tx).await?;
    Ok(in_force.on(ok(&SaidOut { detail: RESET })))
}

fn confirm_refused(error: ConfirmError, field: &'static str) -> Refused {
    match error {
        ConfirmError::Token => {
            super::count("bad_token");
            Refusal::field("token", BAD_TOKEN).into()
        }
        ConfirmError::Password(faults) => {
            super::count("password_refused");
            Refusal::fields([(field, faults)]).into()
        }
        ConfirmError::Failure(failure) => failure.into(),
    }
}

/// The user who gets a one-time password.
#[derive(ToSchema)]
#[schema(as = PasswordRegenerate)]
#[allow(dead_code, reason = "described; read by `FromFields`")]
pub struct RegenerateIn {
    /// The user's id.
    user: uuid::Uuid,
}

/// The parsed request.
pub struct Regenerate {
    user: String,
}

impl FromFields for Regenerate {
    fn read(fields: &mut Fields) -> Option<Self> {
        Some(Self { user: fields.required_text("user")? })
    }
}

/// The answer: the one-time password is on its way.
#[derive(Serialize, ToSchema)]
#[schema(as = PasswordRegenerated)]
pub struct RegeneratedOut {
    detail: &'static str,
    /// The password can be used until then.
    #[serde(serialize_with = "micros")]
    valid_until: DateTime<Utc>,
}

/// Mails a user a one-time password.
///
/// 1. 404 for an unknown user or an id that does not parse; 403, with an audit entry, for a user at or above the caller's
///    rank; 409 for a user who is not active or has no verified address.
/// 2. The password is generated and hashed. Only the mail holds it in clear.
/// 3. Step 1 is repeated. Password, sessions, mail and audit entry are committed in one transaction: 200.
#[utoipa::path(
    post, path = "/api/user/password/regenerate/", tag = "Accounts", operation_id = "password_regenerate",
    summary = "Mail a user a one-time password",
    description = "Needs `users.write` and a rank above the user's. The password goes to the user's verified address \
        only; it is in no answer. It can be used for 24 hours and must be changed at its first use. Every session of the \
        user ends at once.",
    request_body(content = RegenerateIn, example = json!({"user": "01920c5e-7a6b-7c3d-8e9f-0a1b2c3d4e5f"})),
    responses(
        (status = 200, description = "Created; the mail is queued", body = RegeneratedOut, example = json!({
            "detail": REGENERATED, "valid_until": "2026-02-04T05:06:07.000000Z",
        })),
        (status = 409, description = "The user is not active, or has no verified address", body = described::Refused,
            example = json!({"detail": "The person has no proven address.", "code": "conflict"})),
    )
)]
pub async fn regenerate(
    State(control): State<Control>,
    within: Within<UsersWrite>,
    Json(Regenerate { user }): Json<Regenerate>,
) -> Result<Response, Refused> {
    let Authenticated { mut tx, tenant, actor, .. } = within.by;
    let id = UserId::parse(&user).map_err(|_| UserError::NotFound)?;
    let may = super::may_regenerate(&mut tx, &actor, id).await;
    let ((), tx) = permitted(&control, tx, &actor, id, may).await?;
    let make = OneTimePassword::make(&control, tx.payer());
    let (made, mut tx) = tx.pause(&control.db, make).await?;
    let done = super::regenerate(&control, &mut tx, &tenant.settings, &actor, id, made?).await;
    let (valid_until, tx) = permitted(&control, tx, &actor, id, done).await?;
    let in_force = in_force::commit(&control, tx).await?;
    Ok(in_force.on(ok(&RegeneratedOut { detail: REGENERATED, valid_until })))
}

/// Turns a refusal of rank into a 403 and its entry in the audit log.
async fn permitted<T>(
    control: &Control,
    tx: TenantTx,
    actor: &Actor,
    id: UserId,
    outcome: Result<T, RegenerateError>,
) -> Result<(T, TenantTx), Refused> {
    let conflict = |detail| Err(Refusal::new(409, detail, Code::Conflict).into());
    match outcome {
        Ok(done) => Ok((done, tx)),
        Err(RegenerateError::User(UserError::Rank)) => {
            Err(outranked(control, tx, actor, &id.to_string(), UsersWrite::PERMISSION).await)
        }
        Err(RegenerateError::User(error)) => Err(error.into()),
        Err(RegenerateError::NotActive) => conflict("The person is not active."),
        Err(RegenerateError::NoProvenAddress) => conflict("The person has no proven address."),
    }
}

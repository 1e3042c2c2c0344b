//! `POST /api/user/password/change/`.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use shared::contract::refusal::{Refusal, TokenFault};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::access::{Credential, PasswordChange, WithTicket};
use crate::control::Control;
use crate::http::answer::{Refused, ok};
use crate::http::body::{FromFields, Json};
use crate::http::fields::Fields;
use crate::users::password::{ChangeOwn, OwnPasswordError, Proof, change as change_password};

/// The text of djoser for a wrong current password; clients of Django compare it.
const WRONG_PASSWORD: &str = "Invalid password.";
const REQUIRED: &str = "This field is required.";
const BLANK: &str = "This field may not be blank.";

/// A new password.
#[derive(ToSchema)]
#[schema(as = PasswordChange)]
#[allow(dead_code, reason = "described; read by `FromFields`")]
pub struct ChangeIn {
    /// Required with an access token. Ignored with a ticket, which already proves it.
    #[schema(format = "password")]
    current_password: Option<String>,
    #[schema(format = "password")]
    new_password: String,
}

/// The two fields as typed.
pub struct Typed {
    current: Option<Zeroizing<String>>,
    new: Option<Zeroizing<String>>,
}

impl FromFields for Typed {
    /// Which fields are required depends on the credential; [`Typed::by`] checks it.
    fn read(fields: &mut Fields) -> Option<Self> {
        let current = fields.untrimmed("current_password").map(Zeroizing::new);
        let new = fields.untrimmed("new_password").map(Zeroizing::new);
        Some(Self { current, new })
    }
}

impl Typed {
    /// The proof that the caller may change the password, and the new password: 400 with all missing fields.
    fn by(self, credential: Credential) -> Result<(Proof, Zeroizing<String>), Refusal> {
        let Self { current, new } = self;
        let mut faults = Vec::new();
        let mut typed = |field, text: Option<Zeroizing<String>>| {
            let fault = match &text {
                None => REQUIRED,
                Some(text) if text.is_empty() => BLANK,
                Some(_) => return text,
            };
            faults.push((field, vec![fault.to_owned()]));
            None
        };
        let proof = match credential {
            Credential::Token(session) => {
                typed("current_password", current).map(|current| Proof::Password { current, session })
            }
            Credential::Ticket => Some(Proof::Ticket),
        };
        let new = typed("new_password", new);
        proof.zip(new).ok_or_else(|| Refusal::fields(faults))
    }
}

/// What the client does next.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Next {
    /// Refresh: the session continues, and its present access token is refused within seconds.
    Refresh,
    /// Sign in with the new password: there is no session.
    SignIn,
}

/// The answer: the password was changed.
#[derive(Serialize, ToSchema)]
#[schema(as = PasswordChanged)]
struct ChangedOut {
    /// The text of djoser.
    detail: &'static str,
    next: Next,
}

/// Changes the caller's own password: 200; 400 for a wrong current password or an unacceptable new one; 401 if the
/// user was changed meanwhile; 429 after ten wrong passwords.
#[utoipa::path(
    post, path = "/api/user/password/change/", tag = "Accounts", operation_id = "password_change", summary = "Change the caller's own password",
    description = "For any signed-in user, with the current password; or without it, with the `ticket` of a sign-in \
        that was refused with `password_change_required`, in place of the access token. All sessions end except the \
        current one: `next` is `refresh` if it continues, else `sign_in`. The current access token is refused within \
        seconds; the refresh token gets a new one. A ticket is valid for ten minutes. It becomes invalid when it is \
        used, when a newer one is issued, and with every change of the user's roles, status or password; an input error \
        leaves it valid. After ten wrong current passwords in five minutes, or ten new passwords refused for a ticket: \
        429.",
    request_body(content = ChangeIn, example = json!({
        "current_password": "correct horse battery staple", "new_password": "eleven sleepy otters hum",
    })),
    responses(
        (status = 200, description = "Changed", body = ChangedOut, example = json!({
            "detail": "New password has been saved.", "next": "refresh",
        })),
    )
)]
pub async fn change(
    State(control): State<Control>,
    caller: WithTicket<PasswordChange>,
    Json(typed): Json<Typed>,
) -> Result<Response, Refused> {
    let WithTicket { by, credential, .. } = caller;
    let (proof, new) = typed.by(credential)?;
    let keeps_session = matches!(proof, Proof::Password { session: Some(_), .. });
    let wanted = ChangeOwn { user: by.user, actor: by.actor, settings: by.tenant.settings, proof, new };
    let changed = change_password(&control, by.tx, wanted).await;
    let in_force = changed.map_err(|error| refused(error, credential))?;
    let next = if keeps_session { Next::Refresh } else { Next::SignIn };
    Ok(in_force.on(ok(&ChangedOut { detail: "New password has been saved.", next })))
}

fn refused(error: OwnPasswordError, credential: Credential) -> Refused {
    match error {
        OwnPasswordError::WrongPassword => Refusal::field("current_password", WRONG_PASSWORD).into(),
        OwnPasswordError::TooManyTries(secs) => Refusal::throttled(secs).into(),
        OwnPasswordError::Faults(faults) => Refusal::fields([("new_password", faults)]).into(),
        OwnPasswordError::Stale => match credential {
            Credential::Token(_) => TokenFault::Blacklisted.into(),
            Credential::Ticket => TokenFault::Invalid.into(),
        },
        OwnPasswordError::Failure(failure) => failure.into(),
    }
}

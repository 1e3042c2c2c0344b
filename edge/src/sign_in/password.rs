//! Checks a typed password: always one hash here, and, if the tenant has imported hashes, a call of control to check
//! these.
//!
//! This is the only place where a sign-in calls control. A password that matches here does not cause a call; every
//! other outcome does, so that neither answer nor time reveals which one it was.

use serde::Deserialize;
use shared::contract::limits::PASSWORD_BYTES;
use shared::contract::refusal::Refusal;
use shared::ids::UserId;
use shared::passwords::Password;
use shared::tenant::settings::Settings as TenantSettings;
use shared::user::UserStatus;
use shared::wire::needs::Needs;
use shared::wire::password::{PATH, PasswordIn, PasswordOut};
use shared::wire::push::PasswordDue;
use shared::wire::seal::Sealed;
use shared::wire::signature::{Message, Tag, content_digest};
use zeroize::Zeroizing;

use crate::app::App;
use crate::body::TypedPassword;
use crate::context::Context;
use crate::http::Outgoing;
use crate::isolate::opened::OpenedTenant;
use crate::platform::Platform;
use crate::tokens::password_due::owes_a_password;

/// Bytes of the question at most: a control character is six in JSON.
const QUESTION_BYTES: usize = 6 * PASSWORD_BYTES + 256;

/// The row of a user who signs in, as [`crate::sql::USER_BY_IDENTIFIER`], [`crate::sql::USER_BY_CHALLENGE`] and
/// [`crate::sql::USER_BY_SESSION`] select them.
#[derive(Deserialize)]
pub struct UserRow {
    /// Their id.
    pub id: UserId,
    /// Their status.
    pub status: UserStatus,
    /// The counter of events that end the user's sessions.
    pub session_counter: i64,
    verifier: Option<String>,
    foreign_hash: i64,
    needs: Option<String>,
    password_due: Option<PasswordDue>,
    password_changed_at: Option<i64>,
    password_valid_until: Option<i64>,
    has_factor: i64,
    /// Their authenticators, as JSON.
    pub(super) authenticators: String,
    /// The key of their recovery codes, sealed.
    pub(super) recovery_key: Option<String>,
    factor_from: Option<i64>,
}

impl UserRow {
    fn is_active(&self) -> bool {
        self.status == UserStatus::Active
    }

    /// Whether the password was valid for a limited time that is over: then it counts as wrong.
    fn has_lapsed(&self, now: i64) -> bool {
        self.password_valid_until.is_some_and(|until| until <= now)
    }

    /// Whether the user must change the password before a session is opened.
    #[must_use]
    pub fn owes_a_password(&self, settings: &TenantSettings, now: i64) -> bool {
        owes_a_password(self.password_due, self.password_changed_at, settings, now)
    }

    /// Whether the user has a second factor, which a session then needs.
    #[must_use]
    pub fn has_factor(&self) -> bool {
        self.has_factor != 0
    }

    /// Whether the tenant requires a second factor of the user.
    #[must_use]
    pub fn owes_a_factor(&self, now: i64) -> bool {
        self.factor_from.is_some_and(|from| from <= now)
    }

    /// Whether this release knows the features that the user's row needs.
    #[must_use]
    pub fn is_understood(&self) -> bool {
        Needs::column_is_met(self.needs.as_deref())
    }
}

/// Whether `typed` is the password of the active user `user`.
///
/// 1. One hash, against the user's verifier or the tenant's dummy.
/// 2. If it matches: true. Else, if the tenant still has foreign hashes: control's answer; the call names the user
///    only if the user's hash is one.
///
/// # Errors
/// 503 if a verifier cannot be unsealed, or if control was called and did not answer.
pub async fn is_right<P: Platform>(
    ctx: Context<'_, P>,
    known: &OpenedTenant,
    user: Option<&UserRow>,
    typed: &TypedPassword,
) -> Result<bool, Refusal> {
    let user = user.filter(|user| !user.has_lapsed(ctx.now()));
    if matches_verifier(ctx.app, known, user, typed)? {
        return Ok(true);
    }
    if !known.tenant.asks_about_foreign(ctx.now_ms / 1000) {
        return Ok(false);
    }
    let possible = typed.expose().len() <= PASSWORD_BYTES;
    let foreign = user.filter(|user| possible && user.foreign_hash != 0 && user.is_active());
    let question = PasswordIn {
        tenant: known.tenant.id,
        user: foreign.map(|user| user.id),
        // Control does not accept a longer one, and is called with a fixed text.
        password: if possible {
            typed.expose().to_owned()
        } else {
            Password::placeholder().expose().to_owned()
        },
    };
    let matched = ask(ctx.app, &question).await?;
    Ok(matched && foreign.is_some())
}

/// One hash in any case: also for an unknown or inactive user, without a password, and for an impossible password.
fn matches_verifier<P: Platform>(
    app: &App<P>,
    known: &OpenedTenant,
    user: Option<&UserRow>,
    typed: &TypedPassword,
) -> Result<bool, Refusal> {
    let settings = app.settings()?;
    let stored = user.and_then(|user| {
        let sealed = Sealed::parse(user.verifier.as_deref()?).ok()?;
        Some((sealed, user.id.to_string()))
    });
    let opened = stored.as_ref().map(|(sealed, id)| (sealed, id.as_str()));
    let verifier = known.verifier(opened, settings).map_err(|_| Refusal::unavailable())?;
    let (password, possible) = match Password::parse(typed.expose()) {
        Ok(password) => (password, true),
        Err(_) => (Password::placeholder(), false),
    };
    let matched = app.with_workspace(|workspace| workspace.verify(&password, &verifier));
    Ok(matched && possible && user.is_some_and(UserRow::is_active))
}

/// The signed question.
async fn ask<P: Platform>(app: &App<P>, question: &PasswordIn) -> Result<bool, Refusal> {
    let settings = app.settings()?;
    // Large enough for a password that is all escapes: a buffer that grows leaves copies behind.
    let mut body = Zeroizing::new(Vec::with_capacity(QUESTION_BYTES));
    serde_json::to_writer(&mut *body, question).map_err(|_| Refusal::internal())?;
    let digest = content_digest(&body);
    let message = Message {
        method: "POST",
        authority: &settings.control_authority,
        path: PATH,
        query: "",
        content_digest: Some(&digest),
        headers: &[],
    };
    let signed = settings.service_key.sign(Tag::Password, &message, app.platform.service_now_secs());
    let outgoing = Outgoing {
        url: format!("{}{PATH}", settings.control_url),
        method: String::from("POST"),
        headers: vec![
            ("content-type", String::from("application/json")),
            ("content-digest", digest),
            ("signature-input", signed.input),
            ("signature", signed.signature),
        ],
    };
    let answer = app.platform.ask(outgoing, body).await?;
    let answer: PasswordOut = serde_json::from_slice(&answer).map_err(|_| Refusal::unavailable())?;
    Ok(answer.matched)
}

//! `POST /api/user/mfa/totp/`, `POST /api/user/mfa/totp/confirm/`.

use axum::extract::State as Extracted;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use shared::contract::limits::ENROLLMENT_SECS;
use shared::contract::openapi as described;
use shared::ids::AuthenticatorId;
use shared::second_factor::recovery::RecoveryCode;
use utoipa::ToSchema;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{changing, checked_name, codes_example};
use crate::access::{Credential, MfaEnrollment, WithTicket};
use crate::control::Control;
use crate::edges::in_force::{self, InForce};
use crate::http::answer::{Refused, created, ok};
use crate::http::body::{FromFields, Json};
use crate::http::fields::Fields;
use crate::mfa::qr::SeedUri;
use crate::mfa::{self, MfaError};

/// A new authenticator.
#[derive(ToSchema)]
#[schema(as = NewAuthenticator)]
#[allow(dead_code, reason = "described; read by `FromFields`")]
pub struct BeginIn {
    /// A name for it: at most 100 characters; "Authenticator" if absent.
    name: Option<String>,
}

/// The parsed request.
pub struct Begin {
    name: Option<String>,
}

impl FromFields for Begin {
    fn read(fields: &mut Fields) -> Option<Self> {
        let name = fields.text("name").filter(|name| !name.is_empty());
        Some(Self { name: checked_name(fields, name) })
    }
}

/// An enrolment that waits for its first code. The secret is shown only here.
#[derive(Serialize, ToSchema)]
#[schema(as = Enrollment)]
struct BegunOut<'a> {
    #[schema(value_type = Uuid)]
    id: AuthenticatorId,
    /// The secret, in base32.
    secret: &'a str,
    /// The same as an `otpauth://` URI.
    otpauth_uri: &'a str,
    /// The same as a QR code: an SVG.
    qr_svg: &'a str,
    /// The same as a QR code: a PNG in base64.
    #[schema(value_type = String)]
    qr_png: Zeroizing<String>,
    /// How long the enrolment waits for its first code, in seconds.
    expires_in: i64,
}

/// Begins an enrolment: 201; 403 without a recent sign-in or step-up; 409 at the limit of authenticators.
#[utoipa::path(
    post, path = "/api/user/mfa/totp/", tag = "Second factor", operation_id = "mfa_enroll", summary = "Enrol an authenticator",
    description = "For any user who signed in or stepped up in the last ten minutes, with a second factor if there \
        is one already: else 403 `step_up_required`. Or with the `ticket` of a sign-in that was refused with \
        `mfa_enrollment_required`. The secret is shown once; its first code, at `confirm`, activates the authenticator. \
        A new enrolment replaces one that waits. A user has at most five authenticators.",
    request_body(content = BeginIn, example = json!({"name": "Phone"})),
    responses(
        (status = 201, description = "Created; waits for the first code", body = BegunOut, example = json!({
            "id": "019a1f0e-5b7c-7d21-9c3e-0a1b2c3d4e5f", "secret": "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ",
            "otpauth_uri": "otpauth://totp/Acme:grace?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Acme",
            "qr_svg": "<svg viewBox=\"0 0 37 37\"/>", "qr_png": "iVBORw0KGgo=", "expires_in": 600,
        })),
        (status = 409, description = "The user already has five authenticators", body = described::Refused),
    )
)]
pub async fn begin(
    Extracted(control): Extracted<Control>,
    caller: WithTicket<MfaEnrollment>,
    Json(Begin { name }): Json<Begin>,
) -> Result<Response, Refused> {
    let WithTicket { mut by, credential, .. } = caller;
    let (user, _) = changing(&control, &mut by, credential).await?;
    let begun = mfa::begin(&control, &mut by.tx, user.id, name.as_deref()).await?;
    by.tx.commit().await?;
    let uri = SeedUri::new(&begun.seed, &by.tenant.name, user.username.expose())?;
    Ok(created(&BegunOut {
        id: begun.id,
        secret: uri.secret(),
        otpauth_uri: uri.as_str(),
        qr_svg: &uri.to_svg()?,
        qr_png: Zeroizing::new(STANDARD.encode(&*uri.to_png()?)),
        expires_in: ENROLLMENT_SECS,
    }))
}

/// The first code of an authenticator.
#[derive(ToSchema)]
#[schema(as = EnrollmentCode)]
#[allow(dead_code, reason = "described; read by `FromFields`")]
pub struct ConfirmIn {
    /// The `id` of the enrolment.
    id: Uuid,
    /// Six digits.
    otp: String,
}

/// The parsed request.
pub struct Confirm {
    id: AuthenticatorId,
    otp: Zeroizing<String>,
}

impl FromFields for Confirm {
    fn read(fields: &mut Fields) -> Option<Self> {
        let id = fields.required_text("id").and_then(|_| fields.uuid("id"));
        let otp = fields.required_text("otp").map(Zeroizing::new);
        Some(Self { id: id?.into(), otp: otp? })
    }
}

/// What the client does next.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = AfterEnrollment)]
#[serde(rename_all = "snake_case")]
enum Next {
    /// Refresh: the session continues, and its present access token is refused within seconds.
    Refresh,
    /// Sign in, with a code of the authenticator: there is no session.
    SignIn,
}

/// The authenticator is active.
#[derive(Serialize, ToSchema)]
#[schema(as = Enrolled)]
struct ConfirmedOut {
    #[schema(value_type = Uuid)]
    id: AuthenticatorId,
    /// Ten codes, each usable once in place of an authenticator's code. Only with the first authenticator, and shown only
    /// here.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<String>, required = false)]
    recovery_codes: Option<Vec<Zeroizing<String>>>,
    next: Next,
}

/// Activates an authenticator: 200; 400 for a wrong code, and after five of them; 403 without a recent sign-in or step-up.
#[utoipa::path(
    post, path = "/api/user/mfa/totp/confirm/", tag = "Second factor", operation_id = "mfa_confirm", summary = "Activate an authenticator with its first code",
    description = "For the same callers. The code may be one step of 30 seconds early or late, and is used up: a \
        sign-in needs the next one. After five wrong codes the enrolment ends. With the first authenticator ten recovery \
        codes are created and shown, once. The caller's access tokens are refused within seconds; sessions continue, and \
        tickets become invalid.",
    request_body(content = ConfirmIn, example = json!({
        "id": "019a1f0e-5b7c-7d21-9c3e-0a1b2c3d4e5f", "otp": "492039",
    })),
    responses(
        (status = 200, description = "Active", body = ConfirmedOut, example = json!({
            "id": "019a1f0e-5b7c-7d21-9c3e-0a1b2c3d4e5f", "recovery_codes": codes_example(), "next": "refresh",
        })),
        (status = 409, description = "The user already has five authenticators", body = described::Refused),
    )
)]
pub async fn confirm(
    Extracted(control): Extracted<Control>,
    caller: WithTicket<MfaEnrollment>,
    Json(Confirm { id, otp }): Json<Confirm>,
) -> Result<Response, Refused> {
    let WithTicket { mut by, credential, .. } = caller;
    let (user, _) = changing(&control, &mut by, credential).await?;
    let confirmed = mfa::confirm(&control, &mut by.tx, &by.actor, &user, (id, &otp)).await;
    // From then on a sign-in needs a code; a wrong code revokes nothing, and is counted.
    let in_force = match &confirmed {
        Ok(_) | Err(MfaError::WrongCode) => in_force::commit(&control, by.tx).await?,
        Err(_) => InForce::Nothing,
    };
    let confirmed = confirmed?;
    let next = match credential {
        Credential::Token(Some(_)) => Next::Refresh,
        Credential::Token(None) | Credential::Ticket => Next::SignIn,
    };
    let recovery_codes = confirmed.recovery_codes.map(|codes| texts(&codes));
    Ok(in_force.on(ok(&ConfirmedOut { id: confirmed.id, recovery_codes, next })))
}

/// Formats recovery codes.
pub(super) fn texts(codes: &[RecoveryCode]) -> Vec<Zeroizing<String>> {
    codes.iter().map(RecoveryCode::to_text).collect()
}

//! `POST /api/user/public-register/`.

use axum::extract::{FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use shared::contract::openapi as described;
use utoipa::ToSchema;

use super::{MessageOut, password};
use crate::access::Anyone;
use crate::accounts::registration::{self, Registration};
use crate::accounts::{AccountError, answer, chosen};
use crate::control::Control;
use crate::http::answer::{Refused, json};
use crate::http::body::{FromFields, Json};
use crate::http::fields::Fields;
use crate::passwords::Hashed;
use crate::requests::RequestKind;
use crate::users::input::language;
use crate::users::{Faults, Profile, UserError};

/// A registration. Computed fields are ignored.
#[derive(ToSchema)]
#[schema(as = NewRegistration)]
#[allow(dead_code, reason = "described; read by `FromFields`")]
pub struct RegistrationIn {
    /// At most 150 characters.
    username: String,
    /// The address to verify.
    email: String,
    #[schema(format = "password")]
    password: String,
    first_name: Option<String>,
    last_name: Option<String>,
    phone: Option<String>,
    /// The language of mails: a tag such as `de`.
    language: Option<String>,
}

/// The parsed [`RegistrationIn`]. No `Debug`: it holds a password.
pub struct RegistrationRequest {
    profile: Profile,
    password: String,
}

impl FromFields for RegistrationRequest {
    fn read(fields: &mut Fields) -> Option<Self> {
        let username = fields.required_text("username");
        let email = fields.required_text("email");
        let [first_name, last_name, phone] =
            ["first_name", "last_name", "phone"].map(|name| fields.text(name).unwrap_or_default());
        let language = language(fields).unwrap_or_default();
        let password = password(fields);
        let profile =
            Profile { username: username?, email: Some(email?), first_name, last_name, phone, language };
        Some(Self { profile, password: password? })
    }
}

/// Extractor: any caller, at a tenant that allows registration. At every other tenant each request is refused alike.
pub struct Stranger(Anyone);

impl FromRequestParts<Control> for Stranger {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, Refused> {
        let anyone = Anyone::from_request_parts(parts, control).await?;
        match anyone.tenant.settings.registration.takes_strangers() {
            true => Ok(Self(anyone)),
            false => Err(AccountError::Closed.into()),
        }
    }
}

/// The answer to every registration.
const ASKED: MessageOut = MessageOut::new("A message is on its way to the address.");

/// Accepts a registration:
/// 1. 403 if the tenant allows none, before the body is read.
/// 2. 400 with all errors: the form of the fields and of the password is checked without stored data.
/// 3. The password is hashed, in the share of unauthenticated requests.
/// 4. The request is stored and a job enqueued: 202 for known and unknown names and addresses alike, because none is
///    looked up.
#[utoipa::path(
    post, path = "/api/user/public-register/", tag = "Accounts", operation_id = "public_register", summary = "Register an account",
    description = "Allowed by the tenant's setting `registration`. The answer does not reveal whether a user name or \
        an address is known; the mail does. The account is created when the mailed link is used, or at once if the \
        tenant has turned `registration_verify` off.",
    request_body(content = RegistrationIn, example = json!({
        "username": "grace", "email": "grace@acme.example", "password": "correct horse battery staple",
        "first_name": "Grace", "last_name": "Hopper", "language": "en",
    })),
    responses(
        (status = 202, description = "Accepted", body = MessageOut, example = json!({"detail": "A message is on its way to the address."})),
        (status = 403, description = "Registration is closed", body = described::Refused, example = json!({
            "detail": "Registration is closed.", "code": "registration_closed",
        })),
    )
)]
pub async fn register(
    State(control): State<Control>,
    Stranger(anyone): Stranger,
    Json(wanted): Json<RegistrationRequest>,
) -> Result<Response, Refused> {
    let (tenant, tx, _) = super::call(anyone);
    let RegistrationRequest { profile, password } = wanted;
    let mut faults = Faults::default();
    profile.check(&mut faults);
    let hasher = control.hasher.for_strangers();
    let hash = Hashed::of(&hasher, tx.payer(), &password);
    let (hashed, mut tx) = tx.pause(&control.db, hash).await?;
    let hashed = hashed?;
    let verifier = chosen::verifier(&control, &tenant.settings, &hashed, &profile, &mut faults)?;
    let Some(verifier) = verifier.filter(|_| faults.is_empty()) else {
        return Err(UserError::Fields(faults).into());
    };
    let registration = Registration {
        email: profile.email.unwrap_or_default(),
        username: profile.username,
        first_name: profile.first_name,
        last_name: profile.last_name,
        phone: profile.phone,
        language: profile.language,
        verifier: verifier.to_phc().to_string(),
        answered: false,
    };
    let id = registration::put(&control, &mut tx, &registration).await?;
    answer::soon(&mut tx, RequestKind::Registration, id).await?;
    tx.commit().await?;
    Ok(json(StatusCode::ACCEPTED, &ASKED))
}

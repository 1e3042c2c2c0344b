//! `POST /api/user/setup/`, at the platform tenant alone.

use axum::extract::State;
use axum::response::Response;
use shared::contract::refusal::Refusal;
use utoipa::ToSchema;

use super::{SetupError, is_good, redeem};
use crate::access::{Anyone, AnyoneAtPlatform};
use crate::audit::{Actor, Who};
use crate::control::Control;
use crate::http::answer::{Refused, created};
use crate::http::body::{FromFields, Json};
use crate::http::fields::Fields;
use crate::passwords::Hashed;
use crate::users::{Profile, UserOut, Viewer};

/// The platform's first administrator.
#[derive(ToSchema)]
#[schema(as = Setup)]
#[allow(dead_code, reason = "described; read by `FromFields`")]
pub struct SetupIn {
    /// As `wardgate bootstrap` printed it.
    token: String,
    username: String,
    email: String,
    #[schema(format = "password")]
    password: String,
}

/// The parsed request.
pub struct Setup {
    token: String,
    profile: Profile,
    password: String,
}

impl FromFields for Setup {
    fn read(fields: &mut Fields) -> Option<Self> {
        let token = fields.required_text("token");
        let username = fields.required_text("username");
        let email = fields.required_text("email");
        let password = match fields.has("password") {
            true => fields.untrimmed("password"),
            false => fields.required_text("password"),
        };
        let profile = Profile { username: username?, email: Some(email?), ..Profile::default() };
        Some(Self { token: token?, profile, password: password? })
    }
}

/// Creates the platform's first root-admin:
/// 1. 400 if the token is unknown, used or expired.
/// 2. The password is hashed and the token used up: 400 if another request used it meanwhile.
/// 3. The administrator is created: 201; 400 with all errors, and then the token stays valid.
#[utoipa::path(
    post, path = "/api/user/setup/", tag = "Users", operation_id = "setup", summary = "Create the platform's first administrator",
    description = "At the platform tenant only, once, with the token that `wardgate bootstrap` prints.",
    request_body(content = SetupIn, example = json!({
        "token": "wgs_AGhlbGxvLCB3b3JsZCEhISE", "username": "ada", "email": "ada@platform.example",
        "password": "correct horse battery staple",
    })),
    responses((status = 201, description = "Created", body = UserOut))
)]
pub async fn create(
    State(control): State<Control>,
    AnyoneAtPlatform(anyone): AnyoneAtPlatform,
    Json(setup): Json<Setup>,
) -> Result<Response, Refused> {
    let Anyone { mut tx, request_id, client, .. } = anyone;
    let actor = Actor { who: Who::Operator, request_id, client };
    let bad_token = || Refused(Refusal::field("token", "This token is not valid."));
    if !is_good(&control, &mut tx, &setup.token).await? {
        return Err(bad_token());
    }
    let hash = Hashed::of(&control.hasher, tx.payer(), &setup.password);
    let (password, mut tx) = tx.pause(&control.db, hash).await?;
    let user = redeem(&control, &mut tx, &actor, &setup.token, setup.profile, password?).await;
    let user = user.map_err(|error| match error {
        SetupError::Token => bad_token(),
        SetupError::User(error) => error.into(),
    })?;
    tx.commit().await?;
    Ok(created(&Viewer::oneself(user.id).shows(user)))
}

//! How the platform gets its first administrator: there is no default account.
//!
//! `wardgate bootstrap` prints a token to the terminal, never to a log; its holder makes one
//! root-admin of the platform tenant, once, within the hour. PostgreSQL holds its digest alone.

pub mod routes;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use shared::contract::permissions::ROLES;
use shared::user::UserStatus;
use zeroize::Zeroizing;

use crate::audit::{self, Action, Actor};
use crate::control::Control;
use crate::db::TenantTx;
use crate::failure::Failure;
use crate::passwords::Hashed;
use crate::users::{self, NewUser, Profile, User, UserError};
use crate::world::random;

const LIFETIME: TimeDelta = TimeDelta::hours(1);
const PREFIX: &str = "wgs_";

/// A new token; the earlier ones die.
pub struct SetupToken {
    /// The text, for the terminal.
    pub text: Zeroizing<String>,
    /// Until when it can be used.
    pub expires_at: DateTime<Utc>,
}

/// Why no administrator was made.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The token is unknown, used or expired.
    #[error("the setup token is not valid")]
    Token,
    /// The data of the administrator is not acceptable, or an internal failure.
    #[error(transparent)]
    User(#[from] UserError),
}

fn digest_of(text: &str) -> Vec<u8> {
    digest(&SHA256, text.as_bytes()).as_ref().to_vec()
}

/// Makes a token.
///
/// # Errors
/// Errors of the database.
pub async fn issue(control: &Control) -> Result<SetupToken, Failure> {
    let now = control.clock.now();
    let secret = Zeroizing::new(random::<32>()?);
    let text = Zeroizing::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(secret.as_slice())));
    let expires_at = now + LIFETIME;
    let platform = control.db.platform().await?;
    let mut tx = control.db.tenant_tx(platform).await?;
    sqlx::query!("update platform.setup_tokens set used_at = $1 where used_at is null", now)
        .execute(&mut *tx)
        .await?;
    sqlx::query!(
        "insert into platform.setup_tokens (digest, expires_at) values ($1, $2)",
        digest_of(&text),
        expires_at,
    )
    .execute(&mut *tx)
    .await?;
    audit::record(&mut tx, &Actor::operator(), now, Action::SetupIssued, None, serde_json::json!({}));
    tx.commit().await?;
    Ok(SetupToken { text, expires_at })
}

/// Whether a token could be used now. Checked first, so that a request without a valid token costs no password hash.
///
/// # Errors
/// Errors of the database.
pub async fn is_good(control: &Control, tx: &mut TenantTx, token: &str) -> Result<bool, Failure> {
    let good = sqlx::query_scalar!(
        r#"select exists (
            select from platform.setup_tokens where digest = $1 and used_at is null and expires_at > $2
        ) as "good!""#,
        digest_of(token.trim()),
        control.clock.now(),
    );
    Ok(good.fetch_one(&mut **tx).await?)
}

/// Uses a token: the update says by its row count who won. `tx` is inside the platform tenant, and
/// the token is used only if the administrator is made, because both commit together.
///
/// # Errors
/// See [`SetupError`].
pub async fn redeem(
    control: &Control,
    tx: &mut TenantTx,
    actor: &Actor,
    token: &str,
    profile: Profile,
    password: Hashed,
) -> Result<User, SetupError> {
    let now = control.clock.now();
    let used = sqlx::query!(
        "update platform.setup_tokens set used_at = $2 where digest = $1 and used_at is null and expires_at > $2",
        digest_of(token.trim()),
        now,
    )
    .execute(&mut **tx)
    .await
    .map_err(|error| UserError::from(Failure::from(error)))?;
    if used.rows_affected() == 0 {
        return Err(SetupError::Token);
    }
    let [root_admin, ..] = ROLES;
    let new = NewUser {
        profile,
        status: UserStatus::Active,
        roles: vec![root_admin.name.to_owned()],
        branch: None,
        password: Some(password),
        must_change_password: false,
        email_verified: true,
    };
    // The token has authority over every rank, like the command line that printed it.
    let user = users::create(control, tx, &Actor { who: audit::Who::Operator, ..actor.clone() }, new).await?;
    let target = Some(user.id.to_string());
    audit::record(tx, actor, now, Action::SetupUsed, target, serde_json::json!({}));
    Ok(user)
}

//! The CAPTCHA that a tenant asks for. The edge asks for it; its secret rests sealed here, travels sealed, and is shown to
//! no user.

use chrono::{DateTime, Utc};
use serde_json::json;
use shared::ids::TenantId;
use shared::tenant::captcha::{CaptchaPolicy, check_secret};
use zeroize::Zeroizing;

use super::model::TenantError;
use crate::audit::{self, Action, Actor};
use crate::control::Control;
use crate::crypt::sealed::Column;
use crate::db::TenantTx;
use crate::db::changes::Priority;
use crate::failure::Failure;

/// A tenant's CAPTCHA. No `Debug`: it holds a secret.
#[derive(Clone)]
pub struct Own {
    /// All but the secret.
    pub policy: CaptchaPolicy,
    /// What the service knows the tenant by.
    pub secret: Zeroizing<String>,
    /// When it was set.
    pub updated_at: DateTime<Utc>,
}

/// A tenant's CAPTCHA, as it is to be.
pub struct CaptchaChange {
    /// All but the secret.
    pub policy: CaptchaPolicy,
    /// The secret; `None` for the one that is kept.
    pub secret: Option<Zeroizing<String>>,
    /// Whether the caller may name any service: else one of `shared::tenant::captcha::SERVICES`, or the one that is set.
    pub any_service: bool,
}

/// The tenant's CAPTCHA, if it asks for one.
///
/// # Errors
/// The database's, or a secret that does not open.
pub async fn own(tx: &mut TenantTx) -> Result<Option<Own>, Failure> {
    let row = sqlx::query!(
        "select policy, wrapped, updated_at from platform.captchas where tenant_id = $1",
        tx.tenant().uuid(),
    )
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let unreadable = || Failure::Unreadable("captchas");
    let plain = tx.keys().open(Column::CaptchaSecret, "", &row.wrapped)?;
    let secret = std::str::from_utf8(&plain).map_err(|_| unreadable())?;
    Ok(Some(Own {
        policy: serde_json::from_value(row.policy).map_err(|_| unreadable())?,
        secret: Zeroizing::new(secret.to_owned()),
        updated_at: row.updated_at,
    }))
}

/// The secret to go on with, and whether the rest holds. A secret that is kept goes to no other service than it was given
/// for.
///
/// # Errors
/// [`TenantError::Fields`] that names everything that does not hold.
fn checked(wanted: &CaptchaChange, before: Option<&Own>) -> Result<Zeroizing<String>, TenantError> {
    let mut faults = wanted.policy.faults();
    let of_same_service = before.filter(|before| before.policy.verify_url == wanted.policy.verify_url);
    if !(wanted.any_service || wanted.policy.verify_url.is_listed() || of_same_service.is_some()) {
        faults.push(("verify_url", String::from("Only the platform can name another service.")));
    }
    let secret = wanted.secret.as_ref().or(of_same_service.map(|before| &before.secret)).cloned();
    match secret.as_deref().map(|secret| check_secret(secret)) {
        None => faults.push(("secret", String::from("This field is required."))),
        Some(Err(message)) => faults.push(("secret", message)),
        Some(Ok(())) => {}
    }
    if faults.is_empty() { Ok(secret.unwrap_or_default()) } else { Err(TenantError::Fields(faults)) }
}

/// Has the tenant ask for a CAPTCHA, in place of the one before.
///
/// # Errors
/// See [`TenantError`].
pub async fn put(
    control: &Control,
    tx: &mut TenantTx,
    actor: &Actor,
    wanted: CaptchaChange,
) -> Result<Own, TenantError> {
    let before = own(tx).await?;
    let secret = checked(&wanted, before.as_ref())?;
    let (tenant, now, policy) = (tx.tenant(), control.clock.now(), wanted.policy);
    let stored = serde_json::to_value(&policy).map_err(|_| Failure::Unreadable("captchas"))?;
    let wrapped = tx.keys().seal(Column::CaptchaSecret, "", secret.as_bytes())?;
    sqlx::query!(
        "insert into platform.captchas (tenant_id, policy, wrapped, updated_at) values ($1, $2, $3, $4)
         on conflict (tenant_id) do update
         set policy = excluded.policy, wrapped = excluded.wrapped, updated_at = excluded.updated_at",
        tenant.uuid(),
        stored,
        wrapped,
        now,
    )
    .execute(&mut **tx)
    .await?;
    tx.changes().document(tenant, Priority::InTurn);
    // The site key is published, and the secret stays out.
    let mut details =
        json!({ "to": stored, "secret_changed": before.as_ref().is_none_or(|it| it.secret != secret) });
    if let Some(before) = &before {
        let from = serde_json::to_value(&before.policy);
        details["from"] = from.map_err(|_| Failure::Unreadable("captchas"))?;
    }
    audit::record(tx, actor, now, Action::CaptchaSet, Some(tenant.to_string()), details);
    Ok(Own { policy, secret, updated_at: now })
}

/// Has the tenant ask for no CAPTCHA any more. Whether it asked for one.
///
/// # Errors
/// The database's.
pub async fn remove(control: &Control, tx: &mut TenantTx, actor: &Actor) -> Result<bool, Failure> {
    let tenant: TenantId = tx.tenant();
    let gone = sqlx::query!("delete from platform.captchas where tenant_id = $1", tenant.uuid())
        .execute(&mut **tx)
        .await?;
    if gone.rows_affected() == 0 {
        return Ok(false);
    }
    tx.changes().document(tenant, Priority::InTurn);
    let target = Some(tenant.to_string());
    audit::record(tx, actor, control.clock.now(), Action::CaptchaRemoved, target, json!({}));
    Ok(true)
}

#[cfg(test)]
mod tests {
    use shared::tenant::captcha::VerifyUrl;

    use super::*;

    fn policy(url: Option<&str>) -> CaptchaPolicy {
        let mut policy: CaptchaPolicy = serde_json::from_value(json!({"site_key": "0x4AAA"})).unwrap();
        if let Some(url) = url {
            policy.verify_url = VerifyUrl::parse(url).unwrap();
        }
        policy
    }

    fn said(result: Result<Zeroizing<String>, TenantError>) -> Result<String, Vec<&'static str>> {
        match result {
            Ok(secret) => Ok(secret.to_string()),
            Err(TenantError::Fields(faults)) => Err(faults.into_iter().map(|(name, _)| name).collect()),
            Err(other) => panic!("{other}"),
        }
    }

    /// An administrator who may edit a tenant must not have its secret sent to another service.
    #[test]
    fn a_secret_that_is_kept_stays_with_its_service() {
        let elsewhere = Some("https://captcha.acme.example/verify");
        let own = |url| Own {
            policy: policy(url),
            secret: Zeroizing::new(String::from("kept")),
            updated_at: DateTime::UNIX_EPOCH,
        };
        let check = |url, secret: Option<&str>, any_service, before: Option<Own>| {
            let secret = secret.map(|secret| Zeroizing::new(secret.to_owned()));
            said(checked(&CaptchaChange { policy: policy(url), secret, any_service }, before.as_ref()))
        };
        let hcaptcha = Some("https://api.hcaptcha.com/siteverify");
        for (url, secret, any_service, before, expected) in [
            (None, Some("new"), false, None, Ok("new")),
            (None, None, false, None, Err(vec!["secret"])),
            (None, Some("two words"), false, None, Err(vec!["secret"])),
            (None, Some(""), false, Some(own(None)), Err(vec!["secret"])),
            (None, None, false, Some(own(None)), Ok("kept")),
            (None, Some("new"), false, Some(own(None)), Ok("new")),
            (hcaptcha, None, true, Some(own(None)), Err(vec!["secret"])),
            (elsewhere, Some("new"), false, Some(own(None)), Err(vec!["verify_url"])),
            (elsewhere, None, false, Some(own(None)), Err(vec!["verify_url", "secret"])),
            (elsewhere, Some("new"), true, None, Ok("new")),
            (elsewhere, None, false, Some(own(elsewhere)), Ok("kept")),
        ] {
            assert_eq!(
                check(url, secret, any_service, before),
                expected.map(String::from),
                "{url:?} {secret:?}"
            );
        }
    }
}

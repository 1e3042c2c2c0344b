//! Changing what tokens say of their tenant, and how long what they said before is accepted.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use shared::contract::limits::FORMER_CLAIMS;
use shared::ids::TenantId;
use shared::tenant::Status;
use shared::tokens::claims::{FormerClaims, UserIdForm};

use super::{faults, life};
use crate::audit::{Action, Actor};
use crate::control::Control;
use crate::db::TenantTx;
use crate::db::changes::Priority;
use crate::failure::Failure;
use crate::legacy::service::form_text;
use crate::tenants::edit::{living, write};
use crate::tenants::model::{Tenant, TenantError};
use crate::tenants::store;

/// The fields to change; absent ones stay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// `iss`.
    pub issuer: Option<String>,
    /// `aud`; `Some(None)` for none.
    pub audience: Option<Option<String>>,
    /// How `user_id` is written.
    pub user_id: Option<UserIdForm>,
}

/// Notes that the edge has taken a document with these former claims at `now`: it issues no such tokens any
/// more, and those that it issued age.
///
/// # Errors
/// Errors of the database.
pub async fn confirm(tx: &mut TenantTx, taken: &[FormerClaims], now: DateTime<Utc>) -> Result<(), Failure> {
    if taken.is_empty() {
        return Ok(());
    }
    let tenant = tx.tenant();
    store::confirm_former_claims(tx, tenant, taken, now + life()).await
}

/// Changes what the tokens of tenant `id` say of it; `tx` is inside it.
///
/// # Errors
/// See [`TenantError`]: an issuer that is or was another tenant's, and more changes than former claims are
/// accepted.
pub async fn change(
    control: &Control,
    tx: &mut TenantTx,
    actor: &Actor,
    id: TenantId,
    change: Change,
) -> Result<Tenant, TenantError> {
    let before = living(tx, id).await?;
    if before.status == Status::Provisioning {
        return Err(TenantError::WrongState);
    }
    let mut tenant = before.clone();
    tenant.issuer = change.issuer.unwrap_or(tenant.issuer);
    tenant.audience = change.audience.unwrap_or(tenant.audience);
    tenant.legacy.user_id = change.user_id.unwrap_or(tenant.legacy.user_id);
    let details = differences(&before, &tenant);
    if details.is_empty() {
        return Ok(before);
    }
    let faults = faults(&tenant.issuer, tenant.audience.as_deref());
    if !faults.is_empty() {
        return Err(TenantError::Fields(faults));
    }
    tenant.updated_at = control.clock.now();
    if (&tenant.issuer, &tenant.audience) != (&before.issuer, &before.audience) {
        let others = before.former_claims.iter().filter(|it| {
            (&it.issuer, &it.audience) != (&before.issuer, &before.audience)
                && it.until.is_none_or(|until| tenant.updated_at < until)
        });
        if others.count() >= FORMER_CLAIMS {
            let field = if tenant.issuer == before.issuer { "audience" } else { "issuer" };
            let message = format!(
                "Tokens of {FORMER_CLAIMS} former issuers and audiences may live still; try again when one is over."
            );
            return Err(TenantError::field(field, &message));
        }
        store::claim_issuer(tx, &tenant).await?;
        store::keep_former_claims(tx, &before, tenant.updated_at).await?;
    }
    write(tx, actor, &tenant, Action::TenantClaimsChanged, Priority::InTurn, details.into()).await?;
    store::find(tx, id).await
}

/// The changed fields with their old and new values, for the audit log.
fn differences(before: &Tenant, after: &Tenant) -> Map<String, Value> {
    let said = |tenant: &Tenant| {
        let form = form_text(tenant.legacy.user_id);
        [("issuer", json!(tenant.issuer)), ("audience", json!(tenant.audience)), ("user_id", json!(form))]
    };
    let pairs = said(before).into_iter().zip(said(after)).filter(|((_, from), (_, to))| from != to);
    pairs.map(|((name, from), (_, to))| (name.to_owned(), json!({"from": from, "to": to}))).collect()
}

//! Rows of the audit log.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use shared::ids::UserId;
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Action, Actor};
use crate::db::TenantTx;
use crate::failure::Failure;
use crate::world::{random, unix_ms};

/// Writes that `actor` did `action` to `target`. `details` names fields and states, never values
/// of personal data.
///
/// # Errors
/// The database's.
pub async fn record(
    tx: &mut TenantTx,
    actor: &Actor,
    now: DateTime<Utc>,
    action: Action,
    target: Option<String>,
    details: Value,
) -> Result<(), Failure> {
    insert(tx, actor, now, action, "done", target, details).await
}

/// Writes that `actor` was refused what `permission` would have allowed.
///
/// # Errors
/// The database's.
pub async fn refuse(
    tx: &mut TenantTx,
    actor: &Actor,
    now: DateTime<Utc>,
    target: Option<String>,
    permission: &str,
) -> Result<(), Failure> {
    let details = serde_json::json!({ "permission": permission });
    insert(tx, actor, now, Action::PermissionRefused, "refused", target, details).await
}

/// Writes that `actor` tried to do `action` to `target`, and why it was not done.
///
/// # Errors
/// The database's.
pub async fn attempt(
    tx: &mut TenantTx,
    actor: &Actor,
    now: DateTime<Utc>,
    action: Action,
    target: Option<String>,
    details: Value,
) -> Result<(), Failure> {
    insert(tx, actor, now, action, "refused", target, details).await
}

async fn insert(
    tx: &mut TenantTx,
    actor: &Actor,
    now: DateTime<Utc>,
    action: Action,
    outcome: &str,
    target: Option<String>,
    details: Value,
) -> Result<(), Failure> {
    let tenant = tx.tenant();
    sqlx::query!(
        "insert into audit_entries
            (tenant_id, id, at, actor_kind, actor, action, outcome, target, request_id, client, details)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        tenant.uuid(),
        entry_id(now)?,
        now,
        actor.kind(),
        actor.id(),
        action.as_str(),
        outcome,
        target,
        actor.request_id,
        actor.client,
        details,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes that `actor` did `action` to each of `targets`.
///
/// # Errors
/// The database's.
pub async fn record_each(
    tx: &mut TenantTx,
    actor: &Actor,
    now: DateTime<Utc>,
    action: Action,
    targets: &[String],
) -> Result<(), Failure> {
    let tenant = tx.tenant();
    let ids = targets.iter().map(|_| entry_id(now)).collect::<Result<Vec<_>, _>>()?;
    sqlx::query!(
        "insert into audit_entries (tenant_id, id, at, actor_kind, actor, action, outcome, target)
         select $1, id, $2, $3, $4, $5, 'done', target
         from unnest($6::uuid[], $7::text[]) as each (id, target)",
        tenant.uuid(),
        now,
        actor.kind(),
        actor.id(),
        action.as_str(),
        &ids,
        targets,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

fn entry_id(now: DateTime<Utc>) -> Result<Uuid, Failure> {
    Ok(uuid::Builder::from_unix_timestamp_millis(unix_ms(now), &random()?).into_uuid())
}

/// A fact born at the edge, as the log keeps it.
#[derive(Debug)]
pub struct Fact {
    /// Its id at the edge.
    pub event_id: Uuid,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// What happened.
    pub action: String,
    /// The user, where one is known.
    pub user: Option<UserId>,
    /// The network it came from.
    pub network: Option<String>,
    /// Session, name hash, count.
    pub details: Value,
}

/// Writes a fact of the edge; a second delivery changes nothing. Says whether it was new.
///
/// # Errors
/// The database's.
pub async fn record_fact(tx: &mut TenantTx, fact: &Fact) -> Result<bool, Failure> {
    let tenant = tx.tenant();
    let refused = ["edge.sign_in_refused", "edge.refusals_dropped"].contains(&fact.action.as_str());
    let outcome = if refused { "refused" } else { "done" };
    let done = sqlx::query!(
        "insert into audit_entries
            (tenant_id, id, at, actor_kind, actor, action, outcome, target, event_id, client, details)
         values ($1, $2, $3, 'edge', $4, $5, $6, $4, $2, $7, $8)
         on conflict do nothing",
        tenant.uuid(),
        fact.event_id,
        fact.at,
        fact.user.map(|user| user.to_string()),
        fact.action,
        outcome,
        fact.network,
        fact.details,
    )
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// What became of an action.
pub(super) const OUTCOMES: [&str; 2] = ["done", "refused"];

/// An entry of the log.
#[derive(Debug, Serialize, FromRow, ToSchema)]
#[schema(as = AuditEntry)]
pub struct EntryOut {
    pub(super) id: Uuid,
    #[serde(serialize_with = "crate::http::time::micros")]
    pub(super) at: DateTime<Utc>,
    /// `person`, `platform`, `operator`, `edge` or `control`.
    actor_kind: String,
    #[schema(required)]
    actor: Option<String>,
    action: String,
    /// `done` or `refused`.
    outcome: String,
    #[schema(required)]
    target: Option<String>,
    #[schema(required)]
    request_id: Option<String>,
    /// The client's address.
    #[schema(required)]
    client: Option<String>,
    /// Names of fields and states, never values of personal data.
    details: Value,
}

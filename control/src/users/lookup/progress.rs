//! The progress of a rotation, and the users that it could not include.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::store;
use crate::crypt::lookup::{self, Stage};
use crate::db::TenantTx;
use crate::failure::Failure;
use crate::http::time;

/// The greatest number of listed users; of further ones only the number is reported.
const NAMED: i64 = 100;

/// Users without identifiers under the new root.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LeftBehind {
    /// How many.
    pub users: i64,
    /// The first of them.
    pub ids: Vec<Uuid>,
}

/// The lookup root of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// The version of the present root.
    pub version: i32,
    /// Its rotation, while one is under way.
    pub rotation: Option<Rotating>,
}

/// A rotation that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rotating {
    /// Of the root that comes in.
    pub to: i32,
    /// `adding`, `confirming`, `switched`, `removing` or `former`.
    pub stage: &'static str,
    /// When it began.
    #[serde(serialize_with = "time::micros")]
    pub began_at: DateTime<Utc>,
    /// When the new root came into force.
    #[serde(serialize_with = "time::micros_option")]
    pub switched_at: Option<DateTime<Utc>>,
    /// When there is something to do next.
    #[serde(serialize_with = "time::micros")]
    pub due_at: DateTime<Utc>,
    /// Whether an operator has given up hashes that cannot be recomputed.
    pub forget: bool,
    /// All users.
    pub users: i64,
    /// Users with identifiers under the new root.
    pub added: i64,
    /// Identifiers that are left under the old one.
    pub old: i64,
    /// Outstanding tokens of a legacy service among them.
    pub old_tokens: i64,
    /// Users without new identifiers; known after a complete pass.
    pub left_behind: Option<LeftBehind>,
}

/// How far a tenant's rotation is.
///
/// # Errors
/// Errors of the database.
pub async fn progress(tx: &mut TenantTx) -> Result<Progress, Failure> {
    let version = lookup::roots(tx).await?.current.version;
    let Some(rotation) = store::find(tx).await? else { return Ok(Progress { version, rotation: None }) };
    let tenant = tx.tenant();
    let counted = sqlx::query!(
        r#"select
            (select count(*) from users where tenant_id = $1) as "users!",
            (
                select count(distinct user_id) from identifiers
                where tenant_id = $1 and kind = 'name' and version = $2
            ) as "added!",
            (select count(*) from identifiers where tenant_id = $1 and version <> $2) as "old!",
            (
                select count(*) from identifiers
                where tenant_id = $1 and kind = 'legacy_token' and version <> $2
            ) as "old_tokens!""#,
        tenant.uuid(),
        rotation.version,
    )
    .fetch_one(&mut **tx)
    .await?;
    let looked_at = rotation.stage > Stage::Adding;
    let left_behind = if looked_at { Some(left_behind(tx, rotation.version).await?) } else { None };
    let rotating = Rotating {
        to: rotation.version,
        stage: rotation.stage.as_str(),
        began_at: rotation.began_at,
        switched_at: rotation.switched_at,
        due_at: rotation.due_at,
        forget: rotation.forget,
        users: counted.users,
        added: counted.added,
        old: counted.old,
        old_tokens: counted.old_tokens,
        left_behind,
    };
    Ok(Progress { version, rotation: Some(rotating) })
}

/// Users who have names under another root than `version` alone.
///
/// # Errors
/// Errors of the database.
pub async fn left_behind(tx: &mut TenantTx, version: i32) -> Result<LeftBehind, Failure> {
    let tenant = tx.tenant();
    let rows = sqlx::query!(
        r#"select i.user_id, count(*) over () as "users!"
         from identifiers i
         where i.tenant_id = $1 and i.kind = 'name'
         group by i.user_id
         having not bool_or(i.version = $2)
         order by i.user_id
         limit $3"#,
        tenant.uuid(),
        version,
        NAMED,
    )
    .fetch_all(&mut **tx)
    .await?;
    let users = rows.first().map_or(0, |row| row.users);
    Ok(LeftBehind { users, ids: rows.into_iter().map(|row| row.user_id).collect() })
}

/// Identifiers under another root than `version`.
///
/// # Errors
/// Errors of the database.
pub async fn left_of_before(tx: &mut TenantTx, version: i32) -> Result<i64, Failure> {
    let tenant = tx.tenant();
    let left = sqlx::query_scalar!(
        r#"select count(*) as "left!" from identifiers where tenant_id = $1 and version <> $2"#,
        tenant.uuid(),
        version,
    );
    Ok(left.fetch_one(&mut **tx).await?)
}

/// Whether an outstanding token of a legacy service is listed under another root than `version`.
///
/// # Errors
/// Errors of the database.
pub async fn has_old_tokens(tx: &mut TenantTx, version: i32) -> Result<bool, Failure> {
    let tenant = tx.tenant();
    let has = sqlx::query_scalar!(
        r#"select exists (
            select from identifiers where tenant_id = $1 and kind = 'legacy_token' and version <> $2
        ) as "has!""#,
        tenant.uuid(),
        version,
    );
    Ok(has.fetch_one(&mut **tx).await?)
}

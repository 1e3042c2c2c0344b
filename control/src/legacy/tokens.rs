//! Tokens of the legacy service: which are accepted, until when, and those refresh tokens
//! of it that are still out.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use shared::contract::limits::LEGACY_SECS;
use shared::ids::{TenantId, UserId};
use shared::tokens::jwk::PublicKey;
use shared::tokens::legacy::{Legacy, Marker};
use uuid::Uuid;

use crate::audit::{self, Action, Actor};
use crate::control::Control;
use crate::db::TenantTx;
use crate::db::changes::Priority;
use crate::failure::Failure;
use crate::keys;
use crate::tenants::TenantError;
use crate::users::identifiers::{KeyedHash, Keys};

/// Tokens of one transaction, and rows that a sweep takes away at once.
const CHUNK: i64 = 1000;

/// Builds the rule for legacy tokens from its parts. Without a claim there is no marker, and only the list of
/// outstanding tokens decides.
///
/// # Errors
/// A message.
pub fn accept(
    key: PublicKey,
    until: DateTime<Utc>,
    claim: Option<String>,
    value: Option<Value>,
    listed: bool,
) -> Result<Legacy, &'static str> {
    let marker = match (claim, value) {
        (None, None) => None,
        (Some(claim), Some(value)) => Some(Marker { claim, value }),
        _ => return Err("claim and value belong together."),
    };
    if marker.as_ref().is_some_and(|marker| !marker.tells()) {
        return Err(
            "claim: Expected a claim that is this tenant's own, with a text, a whole number, or true or false.",
        );
    }
    Ok(Legacy { key, until: u64::try_from(until.timestamp()).unwrap_or(0), marker, listed })
}

/// Checks that the date is within 30 days, and that the key is not a signing key of Wardgate: otherwise one of its
/// tokens, without the `kid`, would count as a legacy token.
pub async fn check(control: &Control, tx: &mut TenantTx, legacy: &Legacy) -> Result<(), TenantError> {
    let now = control.clock.now();
    let latest = now + TimeDelta::seconds(LEGACY_SECS);
    let until = i64::try_from(legacy.until).ok().and_then(|secs| DateTime::from_timestamp(secs, 0));
    if !until.is_some_and(|until| now < until && until <= latest) {
        return Err(TenantError::field("legacy", "until: Expected a time within the next 30 days."));
    }
    if keys::store::is_known(tx, &legacy.key.key_id()).await? {
        return Err(TenantError::field("legacy", "public_key: This key signs here."));
    }
    Ok(())
}

/// A refresh token of the legacy service that is still out.
pub struct Outstanding {
    /// Its id.
    pub jti: String,
    /// The legacy id of its user.
    pub legacy_id: String,
}

/// The outcome of listing tokens.
#[derive(Clone, Copy, Debug, Default)]
pub struct Listed {
    /// On the tenant's list now, and were not before.
    pub new: u64,
    /// Were on it.
    pub known: u64,
    /// Their users are not here.
    pub of_nobody: u64,
}

impl std::ops::AddAssign for Listed {
    fn add_assign(&mut self, other: Self) {
        self.new += other.new;
        self.known += other.known;
        self.of_nobody += other.of_nobody;
    }
}

/// Puts tokens on the tenant's list, in a transaction.
///
/// # Errors
/// Errors of the database.
pub async fn list(control: &Control, tenant: TenantId, tokens: &[Outstanding]) -> Result<Listed, Failure> {
    let mut tx = control.db.tenant_tx(tenant).await?;
    let keys = Keys::to_write(&mut tx).await?;
    let owners: Vec<String> = tokens.iter().map(|token| token.legacy_id.clone()).collect();
    let hashed: Vec<_> = tokens.iter().map(|token| keys.legacy_token(&token.jti)).collect();
    let all: Vec<String> = hashed.iter().flatten().map(|hash| hash.text.clone()).collect();
    let listed: Vec<String> = sqlx::query_scalar!(
        "select hash from identifiers where tenant_id = $1 and hash = any ($2)",
        tenant.uuid(),
        &all,
    )
    .fetch_all(&mut *tx)
    .await?;
    let of_somebody = sqlx::query_scalar!(
        r#"select count(*) as "count!"
        from unnest($2::text[]) as t (legacy_id)
        join users u on u.tenant_id = $1 and u.legacy_id = t.legacy_id"#,
        tenant.uuid(),
        &owners,
    )
    .fetch_one(&mut *tx)
    .await?;
    // Under each key, which is one but while the lookup root is rotated.
    let rows =
        hashed.iter().zip(&owners).flat_map(|(hashes, owner)| hashes.iter().map(move |it| (it, owner)));
    let rows: Vec<_> = rows.filter(|(hash, _)| hash.written).collect();
    let hashes: Vec<String> = rows.iter().map(|(hash, _)| hash.text.clone()).collect();
    let versions: Vec<i32> = rows.iter().map(|(hash, _)| hash.version).collect();
    let of: Vec<String> = rows.iter().map(|(_, owner)| (*owner).clone()).collect();
    let inserted = sqlx::query_scalar!(
        "insert into identifiers (tenant_id, hash, user_id, kind, version)
         select $1, t.hash, u.id, 'legacy_token', t.version
         from unnest($2::text[], $3::text[], $4::integer[]) as t (hash, legacy_id, version)
         join users u on u.tenant_id = $1 and u.legacy_id = t.legacy_id
         order by t.hash
         on conflict do nothing
         returning hash",
        tenant.uuid(),
        &hashes,
        &of,
        &versions,
    )
    .fetch_all(&mut *tx)
    .await?;
    for hash in &inserted {
        tx.changes().identifier(tenant, hash);
    }
    let (listed, inserted): (HashSet<_>, HashSet<_>) = (listed.iter().collect(), inserted.iter().collect());
    let is_new = |hashes: &&Vec<KeyedHash>| {
        hashes.iter().any(|it| inserted.contains(&it.text))
            && !hashes.iter().any(|it| listed.contains(&it.text))
    };
    let new: HashSet<_> = hashed.iter().filter(is_new).filter_map(|hashes| hashes.first()).collect();
    let new = new.len();
    let (actor, now) = (Actor::operator(), control.clock.now());
    let details = serde_json::json!({ "new": new });
    audit::record(&mut tx, &actor, now, Action::LegacyTokensListed, Some(tenant.to_string()), details);
    tx.commit().await?;
    let (all, new) = (u64::try_from(tokens.len()).unwrap_or(0), u64::try_from(new).unwrap_or(0));
    let of_somebody = u64::try_from(of_somebody).unwrap_or(0);
    Ok(Listed { new, known: of_somebody.saturating_sub(new), of_nobody: all.saturating_sub(of_somebody) })
}

/// The subject of a legacy token.
///
/// # Errors
/// Errors of the database.
pub async fn user_of(tx: &mut TenantTx, legacy_id: &str) -> Result<Option<UserId>, Failure> {
    let hashes = Keys::to_read(tx).await?.legacy_user_sought(legacy_id);
    let tenant = tx.tenant();
    let user: Option<Uuid> = sqlx::query_scalar!(
        "select user_id from identifiers
         where tenant_id = $1 and hash = any ($2) and kind = 'legacy_user'
         limit 1",
        tenant.uuid(),
        &hashes,
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(user.map(UserId::from))
}

/// Ends what is past its date, and takes the lists away of which nothing is accepted any more.
///
/// # Errors
/// Errors of the database.
pub async fn sweep(control: &Control) -> Result<(), Failure> {
    let now = control.clock.now();
    let imported = sqlx::query!("select id, legacy from platform.tenants where imported_at is not null")
        .fetch_all(control.db.relay())
        .await?;
    for row in imported {
        let legacy: Option<Legacy> = row.legacy.and_then(|legacy| serde_json::from_value(legacy).ok());
        let over =
            legacy.as_ref().is_none_or(|it| i64::try_from(it.until).is_ok_and(|it| it <= now.timestamp()));
        if over {
            let mut tx = control.db.work_tx(row.id.into()).await?;
            if legacy.is_some() {
                end(&mut tx, now).await?;
            }
            forget_list(&mut tx).await?;
            tx.commit().await?;
        }
    }
    Ok(())
}

/// The statement checks the date again, because it may have been changed meanwhile.
async fn end(tx: &mut TenantTx, now: DateTime<Utc>) -> Result<(), Failure> {
    let tenant = tx.tenant();
    let ended = sqlx::query!(
        "update platform.tenants set legacy = null where id = $1 and (legacy ->> 'until')::bigint <= $2",
        tenant.uuid(),
        now.timestamp(),
    )
    .execute(&mut **tx)
    .await?;
    if ended.rows_affected() == 1 {
        tx.changes().document(tenant, Priority::InTurn);
        let target = Some(tenant.to_string());
        let details = serde_json::json!({});
        audit::record(tx, &Actor::control(), now, Action::LegacyEnded, target, details);
    }
    Ok(())
}

async fn forget_list(tx: &mut TenantTx) -> Result<(), Failure> {
    let tenant = tx.tenant();
    let gone = sqlx::query_scalar!(
        "delete from identifiers i
         where i.tenant_id = $1
             and i.hash in (
                 select l.hash from identifiers l where l.tenant_id = $1 and l.kind = 'legacy_token' limit $2
             )
             and not exists (select from platform.tenants t where t.id = $1 and t.legacy is not null)
         returning i.hash",
        tenant.uuid(),
        CHUNK,
    )
    .fetch_all(&mut **tx)
    .await?;
    for hash in &gone {
        tx.changes().identifier_gone(tenant, hash);
    }
    Ok(())
}

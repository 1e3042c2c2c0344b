//! The audit entries that a transaction noted, and how COMMIT chains them: one of its effects.
//!
//! A log is a chain for each tenant, so its writers take turns. They do so as late as can be: the head of the
//! log is locked when nothing but COMMIT is left to do.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use shared::ids::TenantId;
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use super::CellName;
use super::body::{Body, BodyKeys};
use super::chain::{Hash, Link};
use crate::crypt::sealed::TenantKeys;
use crate::failure::Failure;
use crate::world::{random, unix_ms};

/// An entry to be written. Its position and time of recording are assigned at COMMIT.
#[derive(Clone, Debug)]
pub struct Entry {
    /// When it happened.
    pub at: DateTime<Utc>,
    /// The kind of actor.
    pub actor_kind: &'static str,
    /// The actor's id.
    pub actor: Option<String>,
    /// The action.
    pub action: Cow<'static, str>,
    /// `done` or `refused`.
    pub outcome: &'static str,
    /// The target.
    pub target: Option<String>,
    /// The id of a fact at the edge. One that the log has already is not written again.
    pub event_id: Option<Uuid>,
    /// The request.
    pub request_id: Option<String>,
    /// The part that may concern a user.
    pub body: Body,
}

/// The entries that one transaction noted, for each log in the order in which they were noted.
#[derive(Default)]
pub struct Entries {
    logs: Vec<Log>,
}

/// The entries for one tenant's log.
struct Log {
    keys: Arc<TenantKeys>,
    cell: CellName,
    noted: Vec<Entry>,
}

impl Entries {
    /// Whether nothing was noted.
    pub(super) fn is_empty(&self) -> bool {
        self.logs.is_empty()
    }

    pub(super) fn note(&mut self, keys: &Arc<TenantKeys>, cell: &CellName, entry: Entry) {
        match self.logs.iter_mut().find(|log| log.tenant() == keys.tenant()) {
            Some(log) => log.noted.push(entry),
            None => self.logs.push(Log { keys: keys.clone(), cell: cell.clone(), noted: vec![entry] }),
        }
    }
}

impl Log {
    fn tenant(&self) -> TenantId {
        self.keys.tenant()
    }
}

/// The users whose keys may encrypt the body: the target, then the actor.
fn owners_of(entry: &Entry) -> Vec<Uuid> {
    let ids = [&entry.target, &entry.actor].into_iter().flatten();
    ids.filter_map(|id| id.parse().ok()).collect()
}

/// Where a log ends.
struct Head {
    position: i64,
    hash: Vec<u8>,
    /// When what comes next is recorded.
    now: DateTime<Utc>,
}

/// Appends to each log what was noted for it. The connection is in the rows of `here`, and is left in those of
/// some tenant: nothing but COMMIT may follow.
///
/// Heads are locked in the order of counters, the platform tenant's last, and each right before its entries
/// are written, so that a tenant whose cell is slow keeps no other tenant's writers waiting.
///
/// # Errors
/// [`Failure::KeyReplaced`] where the key is retired that sealed for the transaction; errors of the database.
pub(super) async fn append(
    connection: &mut PgConnection,
    entries: Entries,
    mut here: TenantId,
) -> Result<(), Failure> {
    for log in in_order(connection, entries.logs).await? {
        if log.tenant() != here {
            // Both values are safe by type: a UUID and a validated cell name.
            let enter = format!(
                "SET LOCAL search_path = {}, pg_temp; SET LOCAL app.tenant = '{}'",
                log.cell,
                log.tenant()
            );
            sqlx::raw_sql(AssertSqlSafe(enter)).execute(&mut *connection).await?;
            here = log.tenant();
        }
        append_to(connection, log.keys, log.noted).await?;
    }
    Ok(())
}

async fn in_order(connection: &mut PgConnection, mut logs: Vec<Log>) -> Result<Vec<Log>, Failure> {
    if logs.len() > 1 {
        let tenants: Vec<_> = logs.iter().map(|log| log.tenant().uuid()).collect();
        let order = sqlx::query_scalar!(
            "select id from platform.tenants where id = any ($1) order by is_platform, id",
            &tenants,
        )
        .fetch_all(connection)
        .await?;
        logs.sort_by_key(|log| order.iter().position(|id| *id == log.tenant().uuid()));
    }
    Ok(logs)
}

async fn append_to(
    connection: &mut PgConnection,
    keys: Arc<TenantKeys>,
    noted: Vec<Entry>,
) -> Result<(), Failure> {
    let tenant = keys.tenant();
    // The database's clock, because it is one for all controls.
    let head = sqlx::query_as!(
        Head,
        r#"select position, hash, greatest(recorded_at, clock_timestamp()) as "now!"
        from platform.audit_heads
        where tenant_id = $1
        for update"#,
        tenant.uuid(),
    )
    .fetch_optional(&mut *connection)
    .await?
    .ok_or(Failure::Unreadable("head of the audit log"))?;
    let noted = without_recorded(connection, tenant, noted).await?;
    let body_keys = keys_for(connection, &keys, &noted).await?;
    let Some(rows) = Rows::chained(tenant, &head, &body_keys, noted)? else { return Ok(()) };
    rows.insert(connection, &keys).await
}

/// The keys for encrypting bodies.
async fn keys_for(
    connection: &mut PgConnection,
    keys: &TenantKeys,
    noted: &[Entry],
) -> Result<BodyKeys, Failure> {
    if noted.iter().all(|entry| entry.body.tells_nothing()) {
        return Ok(BodyKeys::default());
    }
    let mut owners: Vec<_> =
        noted.iter().filter(|entry| !entry.body.tells_nothing()).flat_map(owners_of).collect();
    owners.sort_unstable();
    owners.dedup();
    BodyKeys::of(connection, keys, &owners).await
}

/// Leaves out facts that the log has already: the edge delivers them at least once.
async fn without_recorded(
    connection: &mut PgConnection,
    tenant: TenantId,
    mut noted: Vec<Entry>,
) -> Result<Vec<Entry>, Failure> {
    let facts: Vec<_> = noted.iter().filter_map(|entry| entry.event_id).collect();
    if !facts.is_empty() {
        let recorded = recorded(connection, tenant, &facts).await?;
        let mut seen: HashSet<_> = recorded.into_iter().collect();
        noted.retain(|entry| entry.event_id.is_none_or(|id| seen.insert(id)));
    }
    Ok(noted)
}

/// Which of these facts of the edge the tenant's log has. The connection is in the tenant's rows.
///
/// # Errors
/// Errors of the database.
pub async fn recorded(
    connection: &mut PgConnection,
    tenant: TenantId,
    facts: &[Uuid],
) -> Result<Vec<Uuid>, Failure> {
    let recorded = sqlx::query_scalar!(
        r#"select event_id as "event_id!" from audit_entries where tenant_id = $1 and event_id = any ($2)"#,
        tenant.uuid(),
        facts,
    )
    .fetch_all(connection)
    .await?;
    Ok(recorded)
}

/// Chained entries, a list for each column.
#[derive(Default)]
struct Rows {
    links: Vec<Link>,
    client_keys: Vec<Option<String>>,
    hashes: Vec<Vec<u8>>,
    recorded_at: DateTime<Utc>,
}

impl Rows {
    /// Numbers and hashes what was noted; `None` if that is nothing.
    fn chained(
        tenant: TenantId,
        head: &Head,
        keys: &BodyKeys,
        noted: Vec<Entry>,
    ) -> Result<Option<Self>, Failure> {
        let mut hash: Hash =
            head.hash.as_slice().try_into().map_err(|_| Failure::Unreadable("head of the audit log"))?;
        let mut rows = Self { recorded_at: head.now, ..Self::default() };
        for (position, entry) in (head.position + 1..).zip(noted) {
            let id = entry.event_id.map_or_else(|| new_id(entry.at), Ok)?;
            let body = keys.close(id, &owners_of(&entry), &entry.body)?;
            let client_key = keys.client_key(&entry.body)?;
            let link = Link {
                tenant_id: tenant.uuid(),
                position,
                recorded_at: head.now,
                id,
                at: entry.at,
                actor_kind: entry.actor_kind.to_owned(),
                actor: entry.actor,
                action: entry.action.into_owned(),
                outcome: entry.outcome.to_owned(),
                target: entry.target,
                event_id: entry.event_id,
                request_id: entry.request_id,
                body,
            };
            hash = link.hash(&hash);
            rows.client_keys.push(client_key);
            rows.hashes.push(hash.to_vec());
            rows.links.push(link);
        }
        Ok((!rows.links.is_empty()).then_some(rows))
    }

    /// Writes them and moves the head behind them, unless the key is retired that sealed for this transaction
    /// ([`super::replace`]): who retires one has the head meanwhile.
    async fn insert(&self, connection: &mut PgConnection, keys: &TenantKeys) -> Result<(), Failure> {
        let moved = sqlx::query!(
            "with written as (
                insert into audit_entries
                    (tenant_id, recorded_at, position, id, at, actor_kind, actor, action, outcome, target, event_id,
                     request_id, body, client_key, hash)
                select $1, $2, *
                from unnest($3::bigint[], $4::uuid[], $5::timestamptz[], $6::text[], $7::text[], $8::text[],
                    $9::text[], $10::text[], $11::uuid[], $12::text[], $13::bytea[], $14::text[], $15::bytea[])
            )
            update platform.audit_heads
            set position = ($3::bigint[])[cardinality($3)],
                hash = ($15::bytea[])[cardinality($15)],
                recorded_at = $2
            where tenant_id = $1
                and exists (
                    select from platform.tenant_keys
                    where tenant_id = $1 and version = $16 and retired_at is null
                )",
            keys.tenant().uuid(),
            self.recorded_at,
            &self.column(|link| link.position),
            &self.column(|link| link.id),
            &self.column(|link| link.at),
            &self.column(|link| link.actor_kind.clone()),
            &self.column(|link| link.actor.clone()) as &[Option<String>],
            &self.column(|link| link.action.clone()),
            &self.column(|link| link.outcome.clone()),
            &self.column(|link| link.target.clone()) as &[Option<String>],
            &self.column(|link| link.event_id) as &[Option<Uuid>],
            &self.column(|link| link.request_id.clone()) as &[Option<String>],
            &self.column(|link| link.body.clone()),
            &self.client_keys as &[Option<String>],
            &self.hashes,
            i32::try_from(keys.sealing()).unwrap_or(i32::MAX),
        )
        .execute(connection)
        .await?;
        if moved.rows_affected() > 0 { Ok(()) } else { Err(Failure::KeyReplaced) }
    }

    fn column<T>(&self, value: impl Fn(&Link) -> T) -> Vec<T> {
        self.links.iter().map(value).collect()
    }
}

fn new_id(at: DateTime<Utc>) -> Result<Uuid, Failure> {
    Ok(uuid::Builder::from_unix_timestamp_millis(unix_ms(at), &random()?).into_uuid())
}

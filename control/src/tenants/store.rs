//! Rows of tenants and their hosts.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use shared::identifiers::folded;
use shared::ids::{HostName, Slug, TenantId};
use shared::tenant::settings::Settings;
use shared::tokens::claims::FormerClaims;
use sqlx::PgConnection;
use uuid::Uuid;

use super::model::{Isolation, Tenant, TenantError, parse_status};
use crate::db::CellName;
use crate::failure::{Failure, OnConstraint as _};
use crate::legacy::service::LegacyService;

struct Row {
    id: Uuid,
    slug: String,
    name: String,
    hosts: Vec<String>,
    status: String,
    is_platform: bool,
    isolation: String,
    cell: String,
    issuer: String,
    audience: Option<String>,
    former_claims: Value,
    settings: Value,
    user_id_form: String,
    legacy: Option<Value>,
    foreign_left: bool,
    foreign_until: Option<DateTime<Utc>>,
    imported_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl TryFrom<Row> for Tenant {
    type Error = Failure;

    fn try_from(row: Row) -> Result<Self, Failure> {
        let unreadable = || Failure::Unreadable("tenant");
        Ok(Self {
            id: TenantId::from(row.id),
            slug: Slug::parse(&row.slug).map_err(|_| unreadable())?,
            name: row.name,
            hosts: row
                .hosts
                .iter()
                .map(|host| HostName::parse(host))
                .collect::<Result<_, _>>()
                .map_err(|_| unreadable())?,
            status: parse_status(&row.status).ok_or_else(unreadable)?,
            is_platform: row.is_platform,
            isolation: Isolation::parse(&row.isolation).ok_or_else(unreadable)?,
            cell: CellName::parse(&row.cell)?,
            issuer: row.issuer,
            audience: row.audience,
            former_claims: serde_json::from_value(row.former_claims).map_err(|_| unreadable())?,
            settings: serde_json::from_value(row.settings).map_err(|_| unreadable())?,
            legacy: LegacyService {
                user_id: serde_json::from_value(row.user_id_form.into()).map_err(|_| unreadable())?,
                tokens: row.legacy.map(serde_json::from_value).transpose().map_err(|_| unreadable())?,
                foreign_left: row.foreign_left,
                foreign_until: row.foreign_until,
                imported_at: row.imported_at,
            },
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

/// The tenant of an id, deleted ones included.
///
/// # Errors
/// [`TenantError::NotFound`], or errors of the database.
pub async fn find(connection: &mut PgConnection, id: TenantId) -> Result<Tenant, TenantError> {
    select(connection, Some(id), None, false).await
}

/// The tenant of an id, locked against other edits until the transaction ends.
///
/// # Errors
/// [`TenantError::NotFound`], or errors of the database.
pub async fn lock(connection: &mut PgConnection, id: TenantId) -> Result<Tenant, TenantError> {
    select(connection, Some(id), None, true).await
}

/// The tenant of a slug, deleted ones included.
///
/// # Errors
/// [`TenantError::NotFound`], or errors of the database.
pub async fn find_by_slug(connection: &mut PgConnection, slug: &Slug) -> Result<Tenant, TenantError> {
    select(connection, None, Some(slug.as_str()), false).await
}

async fn select(
    connection: &mut PgConnection,
    id: Option<TenantId>,
    slug: Option<&str>,
    locked: bool,
) -> Result<Tenant, TenantError> {
    if let (true, Some(id)) = (locked, id) {
        sqlx::query!("select id from platform.tenants where id = $1 for no key update", id.uuid())
            .fetch_optional(&mut *connection)
            .await?;
    }
    let row = sqlx::query_as!(
        Row,
        r#"select id, slug, name, status, is_platform, isolation, cell, issuer, audience, settings,
            user_id_form, legacy, foreign_left, foreign_until, imported_at, created_at, updated_at,
            array(select host from platform.hosts h where h.tenant_id = t.id order by position) as "hosts!",
            (
                select coalesce(jsonb_agg(to_jsonb(f) - 'tenant_id' order by ended_at), '[]')
                from platform.former_claims f
                where f.tenant_id = t.id
            ) as "former_claims!"
         from platform.tenants t
         where id = $1 or slug = $2"#,
        id.map(TenantId::uuid),
        slug,
    )
    .fetch_optional(connection)
    .await?
    .ok_or(TenantError::NotFound)?;
    Ok(row.try_into()?)
}

/// The tenants of these ids, in the order of the ids.
pub(super) async fn select_in_order(
    connection: &mut PgConnection,
    ids: &[Uuid],
) -> Result<Vec<Tenant>, Failure> {
    let rows = sqlx::query_as!(
        Row,
        r#"select t.id, slug, name, status, is_platform, isolation, cell, issuer, audience, settings,
            user_id_form, legacy, foreign_left, foreign_until, imported_at, created_at, updated_at,
            array(select host from platform.hosts h where h.tenant_id = t.id order by position) as "hosts!",
            (
                select coalesce(jsonb_agg(to_jsonb(f) - 'tenant_id' order by ended_at), '[]')
                from platform.former_claims f
                where f.tenant_id = t.id
            ) as "former_claims!"
         from unnest($1::uuid[]) with ordinality as wanted (id, place)
         join platform.tenants t on t.id = wanted.id
         order by wanted.place"#,
        ids,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(Tenant::try_from).collect()
}

/// Inserts a tenant in state `provisioning`, with its counter, the head of its log and hosts.
pub(super) async fn insert(connection: &mut PgConnection, tenant: &Tenant) -> Result<(), TenantError> {
    let settings = serde_json::to_value(&tenant.settings).map_err(|_| Failure::Unreadable("settings"))?;
    sqlx::query!(
        "insert into platform.tenants
            (id, slug, name, status, is_platform, isolation, cell, issuer, audience, settings, created_at, updated_at,
             search)
         values ($1, $2, $3, 'provisioning', $4, $5, $6, $7, $8, $9, $10, $10, $11)",
        tenant.id.uuid(),
        tenant.slug.as_str(),
        tenant.name,
        tenant.is_platform,
        tenant.isolation.as_str(),
        tenant.cell.as_str(),
        tenant.issuer,
        tenant.audience,
        settings,
        tenant.created_at,
        folded(&tenant.name),
    )
    .execute(&mut *connection)
    .await
    .on_constraint("tenants_slug_key", || TenantError::field("slug", "tenant with this slug already exists."))?;
    sqlx::query!("insert into platform.revisions (tenant_id) values ($1)", tenant.id.uuid())
        .execute(&mut *connection)
        .await?;
    sqlx::query!("insert into platform.audit_heads (tenant_id) values ($1)", tenant.id.uuid())
        .execute(&mut *connection)
        .await?;
    replace_hosts(connection, tenant.id, &tenant.hosts).await?;
    claim_issuer(connection, tenant).await
}

/// Makes the tenant's issuer its own for good.
pub(super) async fn claim_issuer(connection: &mut PgConnection, tenant: &Tenant) -> Result<(), TenantError> {
    sqlx::query!(
        "insert into platform.issuers (issuer, tenant_id) values ($1, $2) on conflict do nothing",
        tenant.issuer,
        tenant.id.uuid(),
    )
    .execute(&mut *connection)
    .await?;
    let owner =
        sqlx::query_scalar!("select tenant_id from platform.issuers where issuer = $1", tenant.issuer)
            .fetch_one(connection)
            .await?;
    if owner == tenant.id.uuid() {
        return Ok(());
    }
    let message = format!("\"{}\" is or was the issuer of another tenant: name another one.", tenant.issuer);
    Err(TenantError::field("issuer", &message))
}

/// Keeps what `iss` and `aud` of the tenant's tokens were until `now`, once, and forgets those that are over.
pub(super) async fn keep_former_claims(
    connection: &mut PgConnection,
    before: &Tenant,
    now: DateTime<Utc>,
) -> Result<(), Failure> {
    sqlx::query!(
        "delete from platform.former_claims
         where tenant_id = $1
             and (until <= $2 or (issuer = $3 and audience is not distinct from $4::text))",
        before.id.uuid(),
        now,
        before.issuer,
        before.audience,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "insert into platform.former_claims (tenant_id, issuer, audience, ended_at) values ($1, $2, $3, $4)",
        before.id.uuid(),
        before.issuer,
        before.audience,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes that the edge has taken these and so issues no more such tokens: from now on they age.
pub(super) async fn confirm_former_claims(
    connection: &mut PgConnection,
    tenant: TenantId,
    taken: &[FormerClaims],
    until: DateTime<Utc>,
) -> Result<(), Failure> {
    let taken = serde_json::to_value(taken).map_err(|_| Failure::Unreadable("former claims"))?;
    sqlx::query!(
        "update platform.former_claims f
         set until = $3
         from jsonb_to_recordset($2) as t (issuer text, audience text)
         where f.tenant_id = $1
             and f.until is null
             and f.issuer = t.issuer
             and f.audience is not distinct from t.audience",
        tenant.uuid(),
        taken,
        until,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Gives the tenant exactly these hosts.
pub(super) async fn replace_hosts(
    connection: &mut PgConnection,
    tenant: TenantId,
    hosts: &[HostName],
) -> Result<(), TenantError> {
    let in_letters: Vec<String> = hosts.iter().map(HostName::in_letters).collect();
    let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    sqlx::query!("delete from platform.hosts where tenant_id = $1", tenant.uuid())
        .execute(&mut *connection)
        .await?;
    sqlx::query!(
        "insert into platform.hosts (host, in_letters, tenant_id, position)
         select host, in_letters, $1, position::int
         from unnest($2::text[], $3::text[]) with ordinality as h (host, in_letters, position)",
        tenant.uuid(),
        &hosts,
        &in_letters,
    )
    .execute(connection)
    .await
    .on_constraint("hosts_pkey", || TenantError::field("hosts", "A host belongs to a tenant already."))?;
    Ok(())
}

/// Writes what an edit may change. What a later release wrote and this one cannot read stays, unless the
/// edit sets it: a word reads as another one, and a field is left out.
pub(super) async fn update(connection: &mut PgConnection, tenant: &Tenant) -> Result<(), TenantError> {
    let stored = sqlx::query!(
        "select settings, user_id_form, legacy from platform.tenants where id = $1",
        tenant.id.uuid()
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(Failure::from)?;
    let (settings, unset) = edited_settings(&stored.settings, &tenant.settings)?;
    let legacy = match &tenant.legacy.tokens {
        None => None,
        Some(tokens) => Some(edited(stored.legacy, tokens)?),
    };
    let form = edited(Some(stored.user_id_form.into()), &tenant.legacy.user_id)?;
    sqlx::query!(
        "update platform.tenants
         set longest_session_secs = greatest(longest_session_secs, (settings->>'absolute_secs')::bigint),
             name = $2, issuer = $3, audience = $4, settings = (settings || $5) - $12::text[],
             updated_at = $6::timestamptz, status = $7::text,
             user_id_form = $8, legacy = $9, foreign_until = $10,
             deleted_at = case when $7::text = 'deleted' then $6::timestamptz end, search = $11
         where id = $1",
        tenant.id.uuid(),
        tenant.name,
        tenant.issuer,
        tenant.audience,
        settings,
        tenant.updated_at,
        super::model::status_text(tenant.status),
        form.as_str().unwrap_or("uuid"),
        legacy,
        tenant.legacy.foreign_until,
        folded(&tenant.name),
        &unset,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The settings that an edit changed, and the names of those that it took back to a default that is not written.
fn edited_settings(stored: &Value, now: &Settings) -> Result<(Value, Vec<String>), Failure> {
    let unreadable = |_| Failure::Unreadable("settings");
    let before: Settings = serde_json::from_value(stored.clone()).map_err(unreadable)?;
    let before = serde_json::to_value(before).map_err(unreadable)?;
    let mut now = serde_json::to_value(now).map_err(unreadable)?;
    let names = before.as_object().into_iter().flatten().map(|(name, _)| name);
    let unset = names.filter(|name| now.get(name).is_none()).cloned().collect();
    if let Some(settings) = now.as_object_mut() {
        settings.retain(|name, value| before.get(name) != Some(value) || stored.get(name).is_none());
    }
    Ok((now, unset))
}

/// The stored document if it still parses to `now`, so that unknown members are kept; else `now`.
fn edited<T: Serialize + DeserializeOwned + PartialEq>(
    stored: Option<Value>,
    now: &T,
) -> Result<Value, Failure> {
    match stored {
        Some(stored) if serde_json::from_value::<T>(stored.clone()).ok().as_ref() == Some(now) => Ok(stored),
        _ => serde_json::to_value(now).map_err(|_| Failure::Unreadable("tenant")),
    }
}

/// How many dedicated cells there are or will be.
pub(super) async fn dedicated_cells(connection: &mut PgConnection) -> Result<i64, Failure> {
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from platform.tenants where isolation = 'schema' and not is_platform"#
    )
    .fetch_one(connection)
    .await?;
    Ok(count)
}

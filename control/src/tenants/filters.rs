//! What can be asked of the list of tenants, and how that becomes SQL.

use chrono::{DateTime, Utc};
use shared::ids::{HostName, TenantId};
use shared::tenant::Status;
use sqlx::{PgConnection, Postgres, QueryBuilder};
use utoipa::IntoParams;
use uuid::Uuid;

use super::model::{Isolation, Tenant, status_text};
use super::store::select_in_order;
use crate::failure::Failure;
use crate::http::body::FromFields;
use crate::http::fields::{Fields, OfDay};
use crate::http::list::List;
use crate::http::rows::{self, Column, Count, Order, Placed, Rows};
use crate::http::time::text;

/// The filters of the list of tenants; an absent filter matches all.
#[derive(Clone, Default, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Filters {
    /// `provisioning`, `active` or `suspended`. Deleted tenants are not listed.
    #[param(value_type = Option<String>)]
    pub status: Option<Status>,
    /// The slug.
    pub slug: Option<String>,
    /// One of the tenant's hosts, in Unicode or as A-labels.
    pub host: Option<String>,
    /// Where the tenant's users are stored.
    pub isolation: Option<Isolation>,
    /// Created at this time or later; a date means its first moment.
    pub created_after: Option<DateTime<Utc>>,
    /// Created at this time or earlier; a date means its last moment.
    pub created_before: Option<DateTime<Utc>>,
    /// Words, each of which must occur in name, slug or one of the hosts.
    #[param(value_type = Option<String>)]
    pub search: Vec<String>,
}

/// A field that tenants can be ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// The id.
    Id,
    /// The slug.
    Slug,
    /// The name.
    Name,
    /// The state.
    Status,
    /// Where the tenant's users are stored.
    Isolation,
    /// The time of creation.
    CreatedAt,
    /// The time of the last edit.
    UpdatedAt,
}

const STATUSES: [(&str, Status); 3] =
    [("provisioning", Status::Provisioning), ("active", Status::Active), ("suspended", Status::Suspended)];
const AFTER: [&str; 2] = ["created_after", "created_at_after"];
const BEFORE: [&str; 2] = ["created_before", "created_at_before"];

impl FromFields for Filters {
    fn read(fields: &mut Fields) -> Option<Self> {
        let isolations = [Isolation::Schema, Isolation::Shared].map(|it| (it.as_str(), it));
        Some(Self {
            status: fields.choice("status", &STATUSES),
            slug: fields.text("slug").map(|slug| slug.to_ascii_lowercase()),
            host: fields.text("host").map(|host| HostName::canonical(&host)),
            isolation: fields.choice("isolation", &isolations),
            created_after: fields.by_any_name(&AFTER, |fields, name| fields.moment(name, OfDay::Begin)),
            created_before: fields.by_any_name(&BEFORE, |fields, name| fields.moment(name, OfDay::End)),
            search: fields.words("search"),
        })
    }
}

impl List for Filters {
    type Key = Key;
    const ORDERINGS: &'static [(&'static str, Key)] = &[
        ("id", Key::Id),
        ("slug", Key::Slug),
        ("name", Key::Name),
        ("status", Key::Status),
        ("isolation", Key::Isolation),
        ("created_at", Key::CreatedAt),
        ("updated_at", Key::UpdatedAt),
    ];
    const DEFAULT: Order<Key> = Order { by: Key::CreatedAt, descending: false };
}

impl Column for Key {
    fn column(self) -> (&'static str, &'static str) {
        match self {
            Self::Id => ("t.id", "uuid"),
            Self::Slug => ("t.slug", "text"),
            Self::Name => ("t.name", "text"),
            Self::Status => ("t.status", "text"),
            Self::Isolation => ("t.isolation", "text"),
            Self::CreatedAt => ("t.created_at", "timestamptz"),
            Self::UpdatedAt => ("t.updated_at", "timestamptz"),
        }
    }
}

impl Placed<Key> for Tenant {
    fn id(&self) -> Uuid {
        self.id.uuid()
    }

    fn key(&self, by: Key) -> String {
        match by {
            Key::Id => self.id.to_string(),
            Key::Slug => self.slug.to_string(),
            Key::Name => self.name.clone(),
            Key::Status => status_text(self.status).to_owned(),
            Key::Isolation => self.isolation.as_str().to_owned(),
            Key::CreatedAt => text(self.created_at),
            Key::UpdatedAt => text(self.updated_at),
        }
    }
}

/// ` from platform.tenants` with the conditions of the filters; `only` narrows to one.
fn from(sql: &mut QueryBuilder<Postgres>, only: Option<TenantId>, filters: &Filters) {
    sql.push(" from platform.tenants t\nwhere t.status <> 'deleted'");
    if let Some(only) = only {
        sql.push("\nand t.id = ").push_bind(only.uuid());
    }
    if let Some(status) = filters.status {
        sql.push("\nand t.status = ").push_bind(status_text(status));
    }
    if let Some(slug) = &filters.slug {
        sql.push("\nand t.slug = ").push_bind(slug.clone());
    }
    if let Some(host) = &filters.host {
        sql.push("\nand exists (select from platform.hosts h where h.tenant_id = t.id and h.host = ");
        sql.push_bind(host.clone()).push(")");
    }
    if let Some(isolation) = filters.isolation {
        sql.push("\nand t.isolation = ").push_bind(isolation.as_str());
    }
    if let Some(after) = filters.created_after {
        sql.push("\nand t.created_at >= ").push_bind(after);
    }
    if let Some(before) = filters.created_before {
        sql.push("\nand t.created_at <= ").push_bind(before);
    }
    for word in &filters.search {
        sql.push("\nand (strpos(t.search, ").push_bind(word.clone());
        sql.push(") > 0 or strpos(t.slug, ").push_bind(word.clone());
        sql.push(
            ") > 0 or exists (
                select from platform.hosts h
                where h.tenant_id = t.id and (strpos(h.host, ",
        );
        sql.push_bind(word.clone()).push(") > 0 or strpos(h.in_letters, ").push_bind(word.clone());
        sql.push(") > 0)))");
    }
}

/// How many tenants match; `all` counts them, however many, and `only` narrows to one.
///
/// # Errors
/// Errors of the database.
pub async fn count(
    connection: &mut PgConnection,
    only: Option<TenantId>,
    filters: &Filters,
    all: bool,
) -> Result<Count, Failure> {
    rows::count(connection, all, |sql| from(sql, only, filters)).await
}

/// Some of the tenants that match.
///
/// # Errors
/// Errors of the database.
pub async fn list(
    connection: &mut PgConnection,
    only: Option<TenantId>,
    filters: &Filters,
    rows: &Rows<Key>,
) -> Result<Vec<Tenant>, Failure> {
    let mut sql = QueryBuilder::new("select t.id");
    from(&mut sql, only, filters);
    rows.end(&mut sql, "t.id");
    let ids: Vec<Uuid> = sql.build_query_scalar().fetch_all(&mut *connection).await?;
    select_in_order(connection, &ids).await
}

/// All tenants that match, in an order.
///
/// # Errors
/// Errors of the database.
pub async fn all(
    connection: &mut PgConnection,
    filters: &Filters,
    order: Vec<Order<Key>>,
) -> Result<Vec<Tenant>, Failure> {
    list(connection, None, filters, &Rows { order, after: None, limit: i64::MAX, offset: 0 }).await
}

//! The changes of a transaction that the edge must get, and the statement that assigns their revisions: one of the
//! transaction's effects. `crate::edges` sends what was stamped here.

use std::collections::HashMap;
use std::sync::Arc;

use shared::ids::{SessionId, TenantId, UserId};
use sqlx::PgConnection;

use crate::failure::Failure;

/// The channel on which a commit wakes the pusher.
pub const CHANNEL: &str = "wardgate_edges";

/// The kind of a row that the edge holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RowKind {
    /// The tenant's document.
    Document,
    /// A host or slug. It belongs to the platform tenant's revisions.
    Name,
    /// A user.
    User,
    /// The keyed hash of a user name or address.
    Identifier,
    /// A session that was ended. There are only tombstones.
    Session,
}

impl RowKind {
    /// As stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Document => "document",
            Self::Name => "name",
            Self::User => "user",
            Self::Identifier => "identifier",
            Self::Session => "session",
        }
    }
}

/// How a change travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// In its turn.
    InTurn,
    /// It revokes: also at once, past any backlog.
    Revokes,
}

/// The changed row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Row {
    tenant: TenantId,
    kind: RowKind,
    subject: String,
}

#[derive(Clone, Debug)]
struct Noted {
    row: Row,
    urgent: bool,
    deleted: bool,
}

/// The changes that one transaction noted, in the order in which their rows were first noted.
#[derive(Debug)]
pub struct Changes {
    noted: Vec<Noted>,
    places: HashMap<Row, usize>,
    /// The edge's key-encryption key that this control seals with.
    sealed_by: Arc<str>,
}

/// A row whose change revokes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// The tenant whose revision counter it uses.
    pub tenant: TenantId,
    /// The kind of row.
    pub kind: RowKind,
    /// The subject.
    pub subject: String,
}

impl Changes {
    /// No changes yet, of a control that seals with this key.
    pub(super) fn sealed_by(key: Arc<str>) -> Self {
        Self { noted: Vec::new(), places: HashMap::new(), sealed_by: key }
    }

    /// Whether the edge has nothing to learn.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.noted.is_empty()
    }

    /// The rows whose change revokes, which goes to the edge ahead.
    #[must_use]
    pub fn revoked(&self) -> Vec<Revoked> {
        let urgent = self.noted.iter().filter(|noted| noted.urgent).map(|noted| &noted.row);
        let revoked =
            |row: &Row| Revoked { tenant: row.tenant, kind: row.kind, subject: row.subject.clone() };
        urgent.map(revoked).collect()
    }

    /// The tenant's document changed.
    pub fn document(&mut self, tenant: TenantId, priority: Priority) {
        self.note(tenant, RowKind::Document, tenant.to_string(), priority, false);
    }

    /// A user changed.
    pub fn user(&mut self, tenant: TenantId, user: UserId, priority: Priority) {
        self.note(tenant, RowKind::User, user.to_string(), priority, false);
    }

    /// A user is gone.
    pub fn user_gone(&mut self, tenant: TenantId, user: UserId) {
        self.note(tenant, RowKind::User, user.to_string(), Priority::Revokes, true);
    }

    /// A user name or address now leads to a user.
    pub fn identifier(&mut self, tenant: TenantId, hash: &str) {
        self.note(tenant, RowKind::Identifier, hash.to_owned(), Priority::InTurn, false);
    }

    /// A user name or address leads to no user any more.
    pub fn identifier_gone(&mut self, tenant: TenantId, hash: &str) {
        self.note(tenant, RowKind::Identifier, hash.to_owned(), Priority::InTurn, true);
    }

    /// A session of a user is ended. Its row is a tombstone: it leaves when the edge has had it for a day.
    pub fn session_ended(&mut self, tenant: TenantId, user: UserId, sid: SessionId) {
        self.note(tenant, RowKind::Session, format!("{user}/{sid}"), Priority::Revokes, true);
    }

    /// A host or slug leads to a tenant. `platform` is the platform tenant, whose revision it takes.
    pub fn name(&mut self, platform: TenantId, name: &str) {
        self.note(platform, RowKind::Name, name.to_owned(), Priority::InTurn, false);
    }

    /// A host or slug leads nowhere any more.
    pub fn name_gone(&mut self, platform: TenantId, name: &str) {
        self.note(platform, RowKind::Name, name.to_owned(), Priority::InTurn, true);
    }

    /// The last word on a row counts, and a change that revokes stays one whatever follows it.
    fn note(&mut self, tenant: TenantId, kind: RowKind, subject: String, priority: Priority, deleted: bool) {
        let urgent = priority == Priority::Revokes;
        let row = Row { tenant, kind, subject };
        match self.places.get(&row).and_then(|place| self.noted.get_mut(*place)) {
            Some(noted) => {
                noted.urgent |= urgent;
                noted.deleted = deleted;
            }
            None => {
                self.places.insert(row.clone(), self.noted.len());
                self.noted.push(Noted { row, urgent, deleted });
            }
        }
    }
}

/// Raises the counters and stamps every noted row with a revision of its own, in one statement.
///
/// Counters are locked in one order, the platform tenant's last, because every transaction that
/// needs two needs that one.
///
/// # Errors
/// [`Failure::Halted`] if one of the tenants is halted or unknown.
pub(super) async fn stamp(connection: &mut PgConnection, changes: &Changes) -> Result<(), Failure> {
    let noted = &changes.noted;
    let tenants: Vec<_> = noted.iter().map(|noted| noted.row.tenant.uuid()).collect();
    let kinds: Vec<_> = noted.iter().map(|noted| noted.row.kind.as_str().to_owned()).collect();
    let subjects: Vec<_> = noted.iter().map(|noted| noted.row.subject.clone()).collect();
    let urgent: Vec<_> = noted.iter().map(|noted| noted.urgent).collect();
    let deleted: Vec<_> = noted.iter().map(|noted| noted.deleted).collect();
    let stamped = sqlx::query_scalar!(
        r#"
        with noted as (
            select tenant_id, kind, subject, urgent, deleted,
                row_number() over (partition by tenant_id order by position) as place
            from unnest($1::uuid[], $2::text[], $3::text[], $4::bool[], $5::bool[])
                with ordinality as n (tenant_id, kind, subject, urgent, deleted, position)
        ),
        locked as materialized (
            select r.tenant_id, r.rev
            from platform.revisions r
            join platform.tenants t on t.id = r.tenant_id
            where r.tenant_id = any ($1) and r.halted_at is null
            order by t.is_platform, r.tenant_id
            for update of r
        ),
        raised as (
            update platform.revisions r
            set rev = r.rev + (select count(*) from noted n where n.tenant_id = r.tenant_id)
            from locked l
            where r.tenant_id = l.tenant_id
            returning pg_notify($6, r.tenant_id::text)
        ),
        stamped as (
            insert into platform.edge_rows as e
                (tenant_id, kind, subject, rev, urgent, deleted_at, sealed_by)
            select n.tenant_id, n.kind, n.subject, l.rev + n.place, n.urgent,
                case when n.deleted then now() end,
                case when n.kind in ('document', 'user') and not n.deleted then $7::text end
            from noted n
            join locked l on l.tenant_id = n.tenant_id
            on conflict (tenant_id, kind, subject) do update
            set rev = excluded.rev,
                urgent = e.urgent or excluded.urgent,
                deleted_at = excluded.deleted_at,
                sealed_by = excluded.sealed_by
            returning 1
        )
        select (select count(*) from stamped) + 0 * (select count(*) from raised) as "stamped!"
        "#,
        &tenants,
        &kinds,
        &subjects,
        &urgent,
        &deleted,
        CHANNEL,
        &*changes.sealed_by,
    )
    .fetch_one(connection)
    .await?;
    if usize::try_from(stamped) == Ok(noted.len()) { Ok(()) } else { Err(Failure::Halted) }
}

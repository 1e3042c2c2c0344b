//! The rows of a push: `platform.edge_rows` lists the changes, the tenant's cell has the content. Both are read in
//! one snapshot, so a row never has the content of another revision.

use std::collections::{BTreeMap, HashMap};

use shared::ids::{SessionId, TenantId, UserId};
use shared::user::UserStatus;
use shared::wire::needs::{Needs, PASSWORD_DUE, SECOND_FACTOR};
use shared::wire::push::{DocumentRow, IdentifierRow, KeptSession, NameRow, PasswordDue, Push, UserRow};
use shared::wire::seal::Kind;
use uuid::Uuid;

use crate::control::{Control, Inner};
use crate::crypt::sealed::TenantKeys;
use crate::db::TenantTx;
use crate::db::changes::RowKind;
use crate::failure::Failure;
use crate::mfa::rows::{self as factors, FactorRows};
use crate::tenants::{TenantError, document};
use crate::users::verifiers;
use crate::world::unix_ms;

/// A row that changed.
#[derive(Clone, Debug)]
pub(super) struct Changed {
    pub kind: RowKind,
    pub subject: String,
    pub rev: i64,
    pub deleted: bool,
    /// The key-encryption key that seals this revision.
    pub sealed_by: Option<String>,
}

struct ChangedRow {
    kind: String,
    subject: String,
    rev: i64,
    deleted: bool,
    sealed_by: Option<String>,
}

impl From<ChangedRow> for Changed {
    fn from(row: ChangedRow) -> Self {
        let kind = match row.kind.as_str() {
            "document" => RowKind::Document,
            "name" => RowKind::Name,
            "session" => RowKind::Session,
            "user" => RowKind::User,
            _ => RowKind::Identifier,
        };
        Self { kind, subject: row.subject, rev: row.rev, deleted: row.deleted, sealed_by: row.sealed_by }
    }
}

/// The next rows above a revision, in the order of revisions.
pub(super) async fn page(tx: &mut TenantTx, after: i64, limit: i64) -> Result<Vec<Changed>, Failure> {
    let tenant = tx.tenant();
    let rows = sqlx::query_as!(
        ChangedRow,
        r#"select kind, subject, rev, deleted_at is not null as "deleted!", sealed_by
        from platform.edge_rows
        where tenant_id = $1 and rev > $2
        order by rev
        limit $3"#,
        tenant.uuid(),
        after,
        limit,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows.into_iter().map(Changed::from).collect())
}

/// The row of the tenant's document.
pub(super) async fn document(tx: &mut TenantTx) -> Result<Vec<Changed>, Failure> {
    let tenant = tx.tenant();
    let row = sqlx::query_as!(
        ChangedRow,
        r#"select kind, subject, rev, deleted_at is not null as "deleted!", sealed_by
        from platform.edge_rows
        where tenant_id = $1 and kind = 'document'"#,
        tenant.uuid(),
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row.into_iter().map(Changed::from).collect())
}

/// The rows that revoke, the document first: its history is the floor of all epochs. Where more than
/// `most` users wait, the document alone.
pub(super) async fn urgent(tx: &mut TenantTx, limit: i64, most: i64) -> Result<Vec<Changed>, Failure> {
    let tenant = tx.tenant();
    let rows = sqlx::query_as!(
        ChangedRow,
        r#"with waiting as (
            select count(*) as rows
            from (select from platform.edge_rows where tenant_id = $1 and urgent limit $3::bigint + 1) as counted
        )
        select kind, subject, rev, deleted_at is not null as "deleted!", sealed_by
        from platform.edge_rows, waiting
        where tenant_id = $1 and urgent
            and (kind = 'document' or kind in ('user', 'session') and waiting.rows <= $3::bigint)
        order by kind = 'document' desc, rev
        limit $2"#,
        tenant.uuid(),
        limit,
        most,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows.into_iter().map(Changed::from).collect())
}

/// A message without rows.
pub(super) fn empty(tenant: TenantId, history: i64) -> Push {
    Push {
        tenant,
        history,
        complete: None,
        snapshot: None,
        document: None,
        names: Vec::new(),
        users: Vec::new(),
        identifiers: Vec::new(),
        ended_sessions: Vec::new(),
        session_owners: BTreeMap::new(),
    }
}

/// A message with these rows as they are now.
pub(super) async fn fill(
    control: &Control,
    tx: &mut TenantTx,
    history: i64,
    changed: &[Changed],
) -> Result<Push, Failure> {
    let mut push = empty(tx.tenant(), history);
    let of = |kind: RowKind| changed.iter().filter(move |row| row.kind == kind);
    if let Some(row) = of(RowKind::Document).next() {
        push.document = Some(document_row(control, tx, history, row.rev).await?);
    }
    push.names = names(tx, &of(RowKind::Name).collect::<Vec<_>>()).await?;
    let users = users(control, tx, &of(RowKind::User).collect::<Vec<_>>()).await?;
    push.users = users.into_iter().map(Into::into).collect();
    push.identifiers = identifiers(tx, &of(RowKind::Identifier).collect::<Vec<_>>()).await?;
    for row in of(RowKind::Session) {
        let (user, sid) = ended_session(&row.subject)?;
        push.ended_sessions.push(sid);
        push.session_owners.insert(sid, user);
    }
    Ok(push)
}

/// The user and the session of a session's row.
fn ended_session(subject: &str) -> Result<(UserId, SessionId), Failure> {
    let unreadable = Failure::Unreadable("ended session");
    let Some((user, sid)) = subject.split_once('/') else { return Err(unreadable) };
    match (UserId::parse(user), SessionId::parse(sid)) {
        (Ok(user), Ok(sid)) => Ok((user, sid)),
        _ => Err(unreadable),
    }
}

async fn document_row(
    control: &Control,
    tx: &mut TenantTx,
    history: i64,
    rev: i64,
) -> Result<DocumentRow, Failure> {
    match document::build(control, tx, history, rev).await {
        Ok(document) => Ok(DocumentRow { rev, document: Box::new(document.into()) }),
        Err(TenantError::Failure(failure)) => Err(failure),
        Err(_) => Err(Failure::Unreadable("tenant")),
    }
}

async fn names(tx: &mut TenantTx, changed: &[&Changed]) -> Result<Vec<NameRow>, Failure> {
    let wanted: Vec<String> = changed.iter().map(|row| row.subject.clone()).collect();
    let rows = sqlx::query!(
        r#"select 'slug:' || slug as "name!", id as "tenant!" from platform.tenants where 'slug:' || slug = any ($1)
        union all
        select 'host:' || host, tenant_id from platform.hosts where 'host:' || host = any ($1)"#,
        &wanted,
    )
    .fetch_all(&mut **tx)
    .await?;
    let owners: HashMap<_, _> = rows.into_iter().map(|row| (row.name, TenantId::from(row.tenant))).collect();
    let name = |row: &&Changed| NameRow {
        name: row.subject.clone(),
        rev: row.rev,
        tenant: if row.deleted { None } else { owners.get(&row.subject).copied() },
        shard: 0,
    };
    Ok(changed.iter().map(name).collect())
}

async fn users(control: &Inner, tx: &mut TenantTx, changed: &[&Changed]) -> Result<Vec<UserRow>, Failure> {
    let revs = changed.iter().map(|row| user_rev(row)).collect::<Result<Vec<_>, Failure>>()?;
    let ids: Vec<Uuid> = revs.iter().map(|(id, _)| id.uuid()).collect();
    let rows = sqlx::query!(
        r#"select id, status, access_epoch, session_epoch, password_epoch, wrapped_verifier, legacy_id, needs,
            foreign_hash is not null as "foreign!", password_due,
            coalesce(password_changed_at, created_at) as "password_changed_at!", password_valid_until,
            case when kept_epoch = session_epoch then kept_session end as kept_session, kept_from,
            array(
                select ur.role from user_roles ur
                join roles r on r.tenant_id = ur.tenant_id and r.name = ur.role
                where ur.tenant_id = u.tenant_id and ur.user_id = u.id
                order by r.rank desc, r.name
            ) as "roles!"
        from users u
        where id = any ($1)"#,
        &ids,
    )
    .fetch_all(&mut **tx)
    .await?;
    let mut factors = factors::of(control, tx, &ids).await?;
    let mut found = HashMap::new();
    for row in rows {
        let id = UserId::from(row.id);
        let FactorRows { authenticators, recovery } = factors.remove(&id).unwrap_or_default();
        let has_password = row.foreign || row.wrapped_verifier.is_some();
        let verifier = match &row.wrapped_verifier {
            Some(wrapped) => Some(reseal(control, tx.keys(), id, wrapped)?),
            None => None,
        };
        // A status that a later release wrote is not active, and must not stop the others.
        let status = crate::users::status(&row.status).unwrap_or(UserStatus::Suspended);
        let (access_epoch, session_epoch, password_epoch) =
            (row.access_epoch, row.session_epoch, row.password_epoch);
        // A word of a later release is one reason as well.
        let password_due = row.password_due.map(|_| PasswordDue::Must);
        let password_valid_until = row.password_valid_until.map(unix_ms);
        let is_bound = password_due.is_some() || password_valid_until.is_some();
        let needs = needs(Needs::from(row.needs), !authenticators.is_empty(), is_bound);
        let user = UserRow {
            id,
            rev: 0,
            status,
            access_epoch,
            session_epoch,
            password_epoch,
            roles: row.roles,
            verifier,
            foreign: row.foreign,
            legacy_id: row.legacy_id,
            password_due,
            password_changed_at: has_password.then(|| unix_ms(row.password_changed_at)),
            password_valid_until,
            kept_session: kept_session(row.kept_session.as_deref(), row.kept_from)?,
            authenticators,
            recovery,
            needs,
        };
        found.insert(id, user);
    }
    let row = |(id, rev): (UserId, i64)| match found.remove(&id) {
        Some(user) => UserRow { rev, ..user },
        None => tombstone(id, rev),
    };
    Ok(revs.into_iter().map(row).collect())
}

fn user_rev(row: &Changed) -> Result<(UserId, i64), Failure> {
    let id = UserId::parse(&row.subject).map_err(|_| Failure::Unreadable("user id"))?;
    Ok((id, row.rev))
}

fn kept_session(sid: Option<&str>, from: Option<i64>) -> Result<Option<KeptSession>, Failure> {
    let (Some(sid), Some(from)) = (sid, from) else { return Ok(None) };
    let sid = SessionId::parse(sid).map_err(|_| Failure::Unreadable("kept_session"))?;
    Ok(Some(KeptSession { sid, from }))
}

/// The stored needs of a user, with those that follow from the other columns.
fn needs(stored: Needs, has_authenticator: bool, password_is_bound: bool) -> Needs {
    let needs = if has_authenticator { stored.and(SECOND_FACTOR) } else { stored };
    if password_is_bound { needs.and(PASSWORD_DUE) } else { needs }
}

fn tombstone(id: UserId, rev: i64) -> UserRow {
    UserRow {
        id,
        rev,
        status: UserStatus::Deleted,
        access_epoch: 0,
        session_epoch: 0,
        password_epoch: 0,
        roles: Vec::new(),
        verifier: None,
        foreign: false,
        legacy_id: None,
        password_due: None,
        password_changed_at: None,
        password_valid_until: None,
        kept_session: None,
        authenticators: Vec::new(),
        recovery: None,
        needs: Needs::default(),
    }
}

/// Decrypts a stored verifier and seals it for the edge.
fn reseal(control: &Inner, keys: &TenantKeys, id: UserId, wrapped: &[u8]) -> Result<String, Failure> {
    let phc = verifiers::open(keys, id, wrapped)?;
    document::seal(control, keys.tenant(), Kind::Verifier, &id.to_string(), &phc)
}

async fn identifiers(tx: &mut TenantTx, changed: &[&Changed]) -> Result<Vec<IdentifierRow>, Failure> {
    let hashes: Vec<String> = changed.iter().map(|row| row.subject.clone()).collect();
    let rows = sqlx::query!("select hash, user_id from identifiers where hash = any ($1)", &hashes)
        .fetch_all(&mut **tx)
        .await?;
    let owners: HashMap<_, _> = rows.into_iter().map(|row| (row.hash, UserId::from(row.user_id))).collect();
    let row = |row: &&Changed| IdentifierRow {
        hash: row.subject.clone(),
        rev: row.rev,
        user: owners.get(&row.subject).copied(),
    };
    Ok(changed.iter().map(row).collect())
}

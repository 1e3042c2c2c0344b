//! Rows of users.

use chrono::{DateTime, Utc};
use shared::identifiers::Identifier;
use shared::ids::{TenantId, UserId};
use shared::passwords::Verifier;
use shared::user::UserStatus;
use uuid::Uuid;

use super::epochs::Epochs;
use super::model::{NewUser, User, UserError, parse_status};
use super::{Profile, identifiers, search, verifiers};
use crate::crypt::personal::{Field, Personal, Place};
use crate::db::TenantTx;
use crate::failure::Failure;
use crate::legacy::ids::next_legacy_id;

struct Row {
    id: Uuid,
    username: String,
    email: Option<String>,
    first_name: String,
    last_name: String,
    phone: String,
    status: String,
    email_verified: bool,
    roles: Vec<String>,
    rank: i32,
    access_epoch: i64,
    session_epoch: i64,
    password_epoch: i64,
    last_login: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    legacy_id: Option<String>,
}

/// The user of a row of `tenant`.
fn user(tenant: TenantId, row: Row) -> Result<User, Failure> {
    let id = UserId::from(row.id);
    let open = |field, stored| Personal::open(Place { tenant, user: id, field }, stored);
    Ok(User {
        id,
        username: open(Field::Username, row.username),
        email: row.email.map(|email| open(Field::Email, email)),
        first_name: open(Field::FirstName, row.first_name),
        last_name: open(Field::LastName, row.last_name),
        phone: open(Field::Phone, row.phone),
        status: parse_status(&row.status).ok_or(Failure::Unreadable("status"))?,
        email_verified: row.email_verified,
        roles: row.roles,
        rank: row.rank,
        access_epoch: row.access_epoch,
        session_epoch: row.session_epoch,
        password_epoch: row.password_epoch,
        last_login: row.last_login,
        created_at: row.created_at,
        updated_at: row.updated_at,
        legacy_id: row.legacy_id,
    })
}

/// The user of an id.
///
/// # Errors
/// [`UserError::NotFound`], or the database's.
pub async fn find(tx: &mut TenantTx, id: UserId) -> Result<User, UserError> {
    let mut found = select(tx, &[id.uuid()]).await?;
    found.pop().ok_or(UserError::NotFound)
}

/// The same, locked until the transaction ends.
pub async fn lock(tx: &mut TenantTx, id: UserId) -> Result<User, UserError> {
    let tenant = tx.tenant();
    sqlx::query!(
        "select id from users where tenant_id = $1 and id = $2 for update",
        tenant.uuid(),
        id.uuid()
    )
    .fetch_optional(&mut **tx)
    .await?
    .ok_or(UserError::NotFound)?;
    find(tx, id).await
}

/// The user of a user name or address.
///
/// # Errors
/// [`UserError::NotFound`], or the database's.
pub async fn find_by_name(tx: &mut TenantTx, name: &str) -> Result<User, UserError> {
    let identifier = Identifier::parse(name).map_err(|_| UserError::NotFound)?;
    let hash = identifiers::hash(tx, &identifier).await?;
    let id = sqlx::query_scalar!("select user_id from identifiers where hash = $1", hash)
        .fetch_optional(&mut **tx)
        .await?
        .ok_or(UserError::NotFound)?;
    find(tx, UserId::from(id)).await
}

/// The users of these ids, in the order of the ids.
pub(super) async fn select(tx: &mut TenantTx, ids: &[Uuid]) -> Result<Vec<User>, Failure> {
    let rows = sqlx::query_as!(
        Row,
        r#"select u.id, u.username, u.email, u.first_name, u.last_name, u.phone, u.status, u.email_verified,
            array(
                select ur.role from user_roles ur
                join roles r on r.tenant_id = ur.tenant_id and r.name = ur.role
                where ur.tenant_id = u.tenant_id and ur.user_id = u.id
                order by r.rank desc, r.name
            ) as "roles!",
            coalesce((
                select max(r.rank) from user_roles ur
                join roles r on r.tenant_id = ur.tenant_id and r.name = ur.role
                where ur.tenant_id = u.tenant_id and ur.user_id = u.id
            ), 0) as "rank!",
            u.access_epoch, u.session_epoch, u.password_epoch, u.last_login, u.created_at, u.updated_at,
            u.legacy_id
        from unnest($1::uuid[]) with ordinality as wanted (id, place)
        join users u on u.id = wanted.id
        order by wanted.place"#,
        ids,
    )
    .fetch_all(&mut **tx)
    .await?;
    let tenant = tx.tenant();
    rows.into_iter().map(|row| user(tenant, row)).collect()
}

/// How a user's password is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordKept {
    /// There is none: the user cannot sign in.
    None,
    /// As a verifier of our own.
    Own,
    /// As another service hashed it.
    Foreign,
}

/// How the password of a user is kept.
///
/// # Errors
/// [`UserError::NotFound`], or the database's.
pub async fn password_kept(tx: &mut TenantTx, id: UserId) -> Result<PasswordKept, UserError> {
    let tenant = tx.tenant();
    let row = sqlx::query!(
        r#"select wrapped_verifier is not null as "own!", foreign_hash is not null as "foreign!"
        from users
        where tenant_id = $1 and id = $2"#,
        tenant.uuid(),
        id.uuid(),
    )
    .fetch_optional(&mut **tx)
    .await?
    .ok_or(UserError::NotFound)?;
    Ok(match (row.own, row.foreign) {
        (true, _) => PasswordKept::Own,
        (false, true) => PasswordKept::Foreign,
        (false, false) => PasswordKept::None,
    })
}

/// The personal columns of a user, as they are stored.
pub struct PersonalColumns {
    /// User name.
    pub username: String,
    /// Address.
    pub email: Option<String>,
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: String,
    /// Telephone number.
    pub phone: String,
    /// What a search reads.
    pub search: String,
}

impl PersonalColumns {
    /// The columns for a profile.
    #[must_use]
    pub fn of(tenant: TenantId, user: UserId, profile: &Profile) -> Self {
        let stored = |field, text: &str| Personal::stored(Place { tenant, user, field }, text);
        Self {
            username: stored(Field::Username, &profile.username),
            email: profile.email.as_deref().map(|email| stored(Field::Email, email)),
            first_name: stored(Field::FirstName, &profile.first_name),
            last_name: stored(Field::LastName, &profile.last_name),
            phone: stored(Field::Phone, &profile.phone),
            search: stored(Field::Search, &search::text(profile)),
        }
    }
}

pub(super) async fn insert(
    tx: &mut TenantTx,
    id: UserId,
    new: &NewUser,
    verifier: Option<&Verifier>,
    now: DateTime<Utc>,
) -> Result<(), UserError> {
    let tenant = tx.tenant();
    let personal = PersonalColumns::of(tenant, id, &new.profile);
    let wrapped_verifier = verifier.map(|it| verifiers::seal(tx.keys(), id, it)).transpose()?;
    let legacy_id = next_legacy_id(tx).await?;
    sqlx::query!(
        "insert into users
            (tenant_id, id, username, email, first_name, last_name, phone, status, email_verified,
             wrapped_verifier, created_at, updated_at, legacy_id, search)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11, $12, $13)",
        tenant.uuid(),
        id.uuid(),
        personal.username,
        personal.email,
        personal.first_name,
        personal.last_name,
        personal.phone,
        new.status.as_str(),
        new.email_verified,
        wrapped_verifier,
        now,
        legacy_id,
        personal.search,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What a change leaves in the row.
pub(super) struct Changed<'a> {
    pub profile: &'a Profile,
    pub status: UserStatus,
    pub email_verified: bool,
    pub epochs: Epochs,
    /// Written only where a new one was set.
    pub verifier: Option<&'a Verifier>,
    pub at: DateTime<Utc>,
}

pub(super) async fn update(tx: &mut TenantTx, id: UserId, changed: Changed<'_>) -> Result<(), UserError> {
    let tenant = tx.tenant();
    let personal = PersonalColumns::of(tenant, id, changed.profile);
    let wrapped_verifier = changed.verifier.map(|it| verifiers::seal(tx.keys(), id, it)).transpose()?;
    sqlx::query!(
        "update users
         set username = $3, email = $4, first_name = $5, last_name = $6, phone = $7, status = $8,
             email_verified = $9, access_epoch = $10, session_epoch = $11, password_epoch = $12,
             wrapped_verifier = coalesce($13, wrapped_verifier),
             foreign_hash = case when $13::bytea is null then foreign_hash end,
             foreign_format = case when $13::bytea is null then foreign_format end,
             updated_at = $14, search = $15
         where tenant_id = $1 and id = $2",
        tenant.uuid(),
        id.uuid(),
        personal.username,
        personal.email,
        personal.first_name,
        personal.last_name,
        personal.phone,
        changed.status.as_str(),
        changed.email_verified,
        changed.epochs.access,
        changed.epochs.session,
        changed.epochs.password,
        wrapped_verifier,
        changed.at,
        personal.search,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Deletes the row and returns the identifiers that led to it. The id that it had at a legacy service is kept.
pub(super) async fn delete(tx: &mut TenantTx, id: UserId) -> Result<Vec<String>, UserError> {
    let tenant = tx.tenant();
    let hashes = sqlx::query_scalar!(
        "delete from identifiers where tenant_id = $1 and user_id = $2 returning hash",
        tenant.uuid(),
        id.uuid(),
    )
    .fetch_all(&mut **tx)
    .await?;
    sqlx::query!(
        "with gone as (delete from users where tenant_id = $1 and id = $2 returning legacy_id)
         insert into legacy_deleted (tenant_id, legacy_id)
         select $1, legacy_id from gone where legacy_id is not null
         on conflict do nothing",
        tenant.uuid(),
        id.uuid(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(hashes)
}

/// Takes over when the edge last saw a user sign in.
///
/// # Errors
/// The database's.
pub async fn signed_in(tx: &mut TenantTx, id: UserId, at: DateTime<Utc>) -> Result<(), Failure> {
    let tenant = tx.tenant();
    sqlx::query!(
        "update users set last_login = greatest(last_login, $3) where tenant_id = $1 and id = $2",
        tenant.uuid(),
        id.uuid(),
        at,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

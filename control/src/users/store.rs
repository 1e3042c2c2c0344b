//! Rows of users.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use shared::contract::permissions::{Permissions, Role};
use shared::identifiers::Identifier;
use shared::ids::{SessionId, UserId};
use shared::passwords::Verifier;
use shared::user::UserStatus;
use shared::wire::push::PasswordDue;
use sqlx::types::Json;
use uuid::Uuid;

use super::epochs::Epochs;
use super::model::{NewUser, User, UserError, parse_status};
use super::search::index;
use super::search::words::Texts;
use super::{Profile, completion, identifiers, verifiers};
use crate::branches::{BranchRole, Grants, Place};
use crate::crypt::personal::{Field, Personal, UserKey};
use crate::crypt::sealed::TenantKeys;
use crate::db::changes::Priority;
use crate::db::{Scope, TenantTx};
use crate::failure::{Failure, chain};
use crate::legacy::ids::next_legacy_id;

struct Row {
    id: Uuid,
    key: Option<Vec<u8>>,
    username: Vec<u8>,
    email: Option<Vec<u8>>,
    first_name: Vec<u8>,
    last_name: Vec<u8>,
    phone: Vec<u8>,
    language: String,
    status: String,
    email_verified: bool,
    roles: Vec<String>,
    rank: i32,
    rank_everywhere: i32,
    predefined: Vec<String>,
    permissions: Vec<String>,
    within: Json<Vec<BranchRoleRow>>,
    path: Option<Vec<Uuid>>,
    access_epoch: i64,
    session_epoch: i64,
    password_epoch: i64,
    must_change_password: bool,
    mfa_enabled: bool,
    profile_completion: i16,
    last_login: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    legacy_id: Option<String>,
}

/// A role of a branch that a user has.
#[derive(Deserialize)]
struct BranchRoleRow {
    name: String,
    rank: i32,
    path: Vec<Uuid>,
    permissions: Vec<String>,
}

/// The user of a row.
fn user(keys: &TenantKeys, row: Row) -> Result<User, Failure> {
    let id = UserId::from(row.id);
    let wrapped = row.key.ok_or(Failure::Unreadable("user_keys.wrapped"))?;
    let key = UserKey::unwrap(keys, id, &wrapped)?;
    Ok(User {
        id,
        username: key.open(Field::Username, &row.username)?,
        email: row.email.map(|email| key.open(Field::Email, &email)).transpose()?,
        first_name: key.open(Field::FirstName, &row.first_name)?,
        last_name: key.open(Field::LastName, &row.last_name)?,
        phone: key.open(Field::Phone, &row.phone)?,
        language: row.language,
        status: parse_status(&row.status).ok_or(Failure::Unreadable("status"))?,
        email_verified: row.email_verified,
        grants: grants(&row.predefined, &row.permissions, row.within.0),
        place: row.path.map(Place::new),
        roles: row.roles,
        rank: row.rank,
        rank_everywhere: row.rank_everywhere,
        access_epoch: row.access_epoch,
        session_epoch: row.session_epoch,
        password_epoch: row.password_epoch,
        must_change_password: row.must_change_password,
        mfa_enabled: row.mfa_enabled,
        profile_completion: u8::try_from(row.profile_completion).unwrap_or_default(),
        last_login: row.last_login,
        created_at: row.created_at,
        updated_at: row.updated_at,
        legacy_id: row.legacy_id,
    })
}

/// What the predefined roles of these names permit, with the permissions of custom roles and of roles of branches.
fn grants(predefined: &[String], custom: &[String], of_branches: Vec<BranchRoleRow>) -> Grants {
    let of_release = predefined.iter().filter_map(|name| Role::predefined(name)).map(Role::grants);
    let everywhere = of_release.fold(Permissions::named(custom), Permissions::with);
    let within = of_branches.into_iter().map(|BranchRoleRow { name, rank, path, permissions }| {
        let (place, permissions) = (Place::new(path), Permissions::named(&permissions));
        Grants::within(BranchRole { name, place, rank, permissions })
    });
    within.fold(Grants::everywhere(everywhere), Grants::with)
}

/// The user of an id, within the scope of the transaction.
///
/// # Errors
/// [`UserError::NotFound`], or errors of the database.
pub async fn find(tx: &mut TenantTx, id: UserId) -> Result<User, UserError> {
    let row = rows(tx, &[id.uuid()]).await?.pop().ok_or(UserError::NotFound)?;
    Ok(readable(tx.keys(), row)?)
}

/// The same, whatever the scope of the transaction: for what the service itself has to know, never for an answer.
///
/// # Errors
/// As [`find`].
pub async fn find_anyone(tx: &mut TenantTx, id: UserId) -> Result<User, UserError> {
    let scope = tx.limit(Scope::Everyone);
    let found = find(tx, id).await;
    tx.limit(scope);
    found
}

/// The user of an id, within the scope of the transaction, locked until it ends.
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

/// Locks a user if their epochs are as when the request began: its credential was valid for these epochs.
///
/// # Errors
/// Errors of the database.
pub async fn lock_unchanged(tx: &mut TenantTx, before: &User) -> Result<Option<User>, Failure> {
    let user = match lock(tx, before.id).await {
        Ok(user) => user,
        Err(UserError::Failure(failure)) => return Err(failure),
        Err(_) => return Ok(None),
    };
    let epochs = |user: &User| (user.access_epoch, user.session_epoch, user.password_epoch);
    let unchanged = user.status == UserStatus::Active && epochs(&user) == epochs(before);
    Ok(unchanged.then_some(user))
}

/// The user of a user name or address.
///
/// # Errors
/// [`UserError::NotFound`], or errors of the database.
pub async fn find_by_name(tx: &mut TenantTx, name: &str) -> Result<User, UserError> {
    let identifier = Identifier::parse(name).map_err(|_| UserError::NotFound)?;
    let hashes = identifiers::Keys::to_read(tx).await?.name_sought(&identifier);
    let id = sqlx::query_scalar!(
        "select user_id from identifiers
         where hash = any ($1)
         order by array_position($1, hash)
         limit 1",
        &hashes,
    )
    .fetch_optional(&mut **tx)
    .await?
    .ok_or(UserError::NotFound)?;
    find(tx, UserId::from(id)).await
}

/// The users of these ids, in the order of the ids. A user whose columns cannot be decrypted is left out, so that one
/// damaged row does not make the list fail. The log names the user.
///
/// # Errors
/// Errors of the database.
pub async fn select(tx: &mut TenantTx, ids: &[Uuid]) -> Result<Vec<User>, Failure> {
    let rows = rows(tx, ids).await?;
    let mut users = Vec::with_capacity(rows.len());
    for row in rows {
        match readable(tx.keys(), row) {
            Ok(user) => users.push(user),
            Err(Failure::Unreadable(_)) => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(users)
}

fn readable(keys: &TenantKeys, row: Row) -> Result<User, Failure> {
    logged(keys, row.id, user(keys, row))
}

/// Logs whose columns did not open.
fn logged<T>(keys: &TenantKeys, user: Uuid, opened: Result<T, Failure>) -> Result<T, Failure> {
    if let Err(failure) = &opened {
        tracing::error!(tenant = %keys.tenant(), %user, error = %chain(failure), "a user cannot be read");
        metrics::counter!("wardgate_unreadable_users_total").increment(1);
    }
    opened
}

/// The rows of these users, of those within the scope of the transaction.
async fn rows(tx: &mut TenantTx, ids: &[Uuid]) -> Result<Vec<Row>, Failure> {
    let scope = tx.scope().branches().map(<[Uuid]>::to_vec);
    let rows = sqlx::query_as!(
        Row,
        r#"select u.id, k.wrapped as "key?", u.username, u.email, u.first_name, u.last_name, u.phone, u.language, u.status, u.email_verified,
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
            coalesce((
                select max(r.rank) from user_roles ur
                join roles r on r.tenant_id = ur.tenant_id and r.name = ur.role
                where ur.tenant_id = u.tenant_id and ur.user_id = u.id and r.branch is null
            ), 0) as "rank_everywhere!",
            array(
                select r.name from user_roles ur
                join roles r on r.tenant_id = ur.tenant_id and r.name = ur.role
                where ur.tenant_id = u.tenant_id and ur.user_id = u.id and r.predefined
            ) as "predefined!",
            array(
                select unnest(r.permissions) from user_roles ur
                join roles r on r.tenant_id = ur.tenant_id and r.name = ur.role
                where ur.tenant_id = u.tenant_id and ur.user_id = u.id and r.branch is null
            ) as "permissions!",
            (
                select coalesce(jsonb_agg(jsonb_build_object(
                    'name', r.name, 'rank', r.rank, 'path', b.path, 'permissions', r.permissions
                )), '[]')
                from user_roles ur
                join roles r on r.tenant_id = ur.tenant_id and r.name = ur.role
                join branches b on b.tenant_id = r.tenant_id and b.id = r.branch
                where ur.tenant_id = u.tenant_id and ur.user_id = u.id
            ) as "within!: Json<Vec<BranchRoleRow>>",
            (
                select b.path from branches b where b.tenant_id = u.tenant_id and b.id = u.branch
            ) as "path?",
            u.access_epoch, u.session_epoch, u.password_epoch,
            u.password_due is not null as "must_change_password!",
            exists (
                select from authenticators a
                where a.tenant_id = u.tenant_id and a.user_id = u.id and a.confirmed_at is not null
            ) as "mfa_enabled!",
            u.profile_completion,
            u.last_login, u.created_at, u.updated_at,
            u.legacy_id
        from unnest($1::uuid[]) with ordinality as wanted (id, place)
        join users u on u.id = wanted.id
        left join user_keys k on k.tenant_id = u.tenant_id and k.user_id = u.id
        where $2::uuid[] is null or exists (
            select from branches b where b.tenant_id = u.tenant_id and b.id = u.branch and b.path && $2
        )
        order by wanted.place"#,
        ids,
        scope.as_deref(),
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows)
}

/// Which of these users are within the scope of the transaction.
///
/// # Errors
/// Errors of the database.
pub async fn within(tx: &mut TenantTx, ids: &[Uuid]) -> Result<Vec<Uuid>, Failure> {
    let tenant = tx.tenant();
    let scope = tx.scope().branches().map(<[Uuid]>::to_vec);
    let within = sqlx::query_scalar!(
        "select id from users u
         where tenant_id = $1 and id = any ($2) and ($3::uuid[] is null or branch in (
            select b.id from branches b where b.tenant_id = $1 and b.path && $3
         ))",
        tenant.uuid(),
        ids,
        scope.as_deref(),
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(within)
}

/// The columns that a list reads of every candidate: far fewer than of the users that it shows.
pub struct Brief {
    /// Their id.
    pub id: UserId,
    /// User name as typed.
    pub username: Personal,
    /// Address as typed.
    pub email: Option<Personal>,
    /// First name.
    pub first_name: Personal,
    /// Last name.
    pub last_name: Personal,
    /// When they were made.
    pub created_at: DateTime<Utc>,
    /// Their last sign-in.
    pub last_login: Option<DateTime<Utc>>,
}

impl Brief {
    /// The fields that a search reads.
    #[must_use]
    pub fn texts(&self) -> Texts {
        let email = self.email.as_ref().map(Personal::expose);
        Texts::of(self.username.expose(), email, self.first_name.expose(), self.last_name.expose())
    }
}

/// The users of these ids in brief, in no order; without those whose columns do not open, as [`select`].
///
/// # Errors
/// Errors of the database.
pub async fn briefs(tx: &mut TenantTx, ids: &[Uuid]) -> Result<Vec<Brief>, Failure> {
    let tenant = tx.tenant();
    let scope = tx.scope().branches().map(<[Uuid]>::to_vec);
    let rows = sqlx::query_as!(
        BriefRow,
        r#"select u.id, k.wrapped as "key?", u.username, u.email, u.first_name, u.last_name, u.created_at,
            u.last_login
        from users u
        left join user_keys k on k.tenant_id = u.tenant_id and k.user_id = u.id
        where u.tenant_id = $1 and u.id = any ($2) and ($3::uuid[] is null or u.branch in (
            select b.id from branches b where b.tenant_id = $1 and b.path && $3
        ))"#,
        tenant.uuid(),
        ids,
        scope.as_deref(),
    )
    .fetch_all(&mut **tx)
    .await?;
    let mut briefs = Vec::with_capacity(rows.len());
    for row in rows {
        match logged(tx.keys(), row.id, brief(tx.keys(), row)) {
            Ok(brief) => briefs.push(brief),
            Err(Failure::Unreadable(_)) => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(briefs)
}

struct BriefRow {
    id: Uuid,
    key: Option<Vec<u8>>,
    username: Vec<u8>,
    email: Option<Vec<u8>>,
    first_name: Vec<u8>,
    last_name: Vec<u8>,
    created_at: DateTime<Utc>,
    last_login: Option<DateTime<Utc>>,
}

fn brief(keys: &TenantKeys, row: BriefRow) -> Result<Brief, Failure> {
    let id = UserId::from(row.id);
    let wrapped = row.key.ok_or(Failure::Unreadable("user_keys.wrapped"))?;
    let key = UserKey::unwrap(keys, id, &wrapped)?;
    Ok(Brief {
        id,
        username: key.open(Field::Username, &row.username)?,
        email: row.email.map(|email| key.open(Field::Email, &email)).transpose()?,
        first_name: key.open(Field::FirstName, &row.first_name)?,
        last_name: key.open(Field::LastName, &row.last_name)?,
        created_at: row.created_at,
        last_login: row.last_login,
    })
}

/// How a user's password is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordKept {
    /// No verifier: the user cannot sign in.
    None,
    /// As a verifier of our own.
    Own,
    /// As another service hashed it.
    Foreign,
}

/// How the password of a user is kept.
///
/// # Errors
/// [`UserError::NotFound`], or errors of the database.
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

/// The personal columns of a user, sealed.
pub struct PersonalColumns {
    /// User name.
    pub username: Vec<u8>,
    /// Address.
    pub email: Option<Vec<u8>>,
    /// First name.
    pub first_name: Vec<u8>,
    /// Last name.
    pub last_name: Vec<u8>,
    /// Telephone number.
    pub phone: Vec<u8>,
}

impl PersonalColumns {
    /// Seals a profile.
    ///
    /// # Errors
    /// No randomness.
    pub fn of(key: &UserKey, profile: &Profile) -> Result<Self, Failure> {
        Ok(Self {
            username: key.seal(Field::Username, &profile.username)?,
            email: profile.email.as_deref().map(|email| key.seal(Field::Email, email)).transpose()?,
            first_name: key.seal(Field::FirstName, &profile.first_name)?,
            last_name: key.seal(Field::LastName, &profile.last_name)?,
            phone: key.seal(Field::Phone, &profile.phone)?,
        })
    }
}

/// Stores the wrapped keys of new users.
///
/// # Errors
/// Errors of the database.
pub async fn insert_keys(tx: &mut TenantTx, users: &[Uuid], wrapped: &[Vec<u8>]) -> Result<(), Failure> {
    let tenant = tx.tenant();
    sqlx::query!(
        "insert into user_keys (tenant_id, user_id, wrapped)
         select $1, user_id, wrapped from unnest($2::uuid[], $3::bytea[]) as k (user_id, wrapped)",
        tenant.uuid(),
        users,
        wrapped,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The key of a user.
///
/// # Errors
/// A user without one; errors of the database.
pub async fn key_of(tx: &mut TenantTx, id: UserId) -> Result<UserKey, UserError> {
    let tenant = tx.tenant();
    let wrapped = sqlx::query_scalar!(
        "select wrapped from user_keys where tenant_id = $1 and user_id = $2",
        tenant.uuid(),
        id.uuid(),
    )
    .fetch_optional(&mut **tx)
    .await?
    .ok_or(Failure::Unreadable("user_keys.wrapped"))?;
    Ok(UserKey::unwrap(tx.keys(), id, &wrapped)?)
}

pub(super) async fn insert(
    tx: &mut TenantTx,
    id: UserId,
    (new, branch): (&NewUser, Option<Uuid>),
    verifier: Option<&Verifier>,
    now: DateTime<Utc>,
) -> Result<(), UserError> {
    let tenant = tx.tenant();
    let (key, wrapped_key) = UserKey::make(tx.keys(), id)?;
    let personal = PersonalColumns::of(&key, &new.profile)?;
    insert_keys(tx, &[id.uuid()], &[wrapped_key]).await?;
    let wrapped_verifier = verifier.map(|it| verifiers::seal(tx.keys(), id, it)).transpose()?;
    let legacy_id = next_legacy_id(tx).await?;
    sqlx::query!(
        "insert into users
            (tenant_id, id, username, email, first_name, last_name, phone, status, email_verified,
             wrapped_verifier, created_at, updated_at, legacy_id, password_changed_at, password_due, language, branch)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11, $12,
             case when $10::bytea is not null then $11::timestamptz end, $13, $14, $15)",
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
        new.must_change_password.then_some(PasswordDue::Must.as_str()),
        new.profile.language,
        branch,
    )
    .execute(&mut **tx)
    .await?;
    index::write(tx, [(id, &new.profile)]).await?;
    completion::refresh(tx, &[id.uuid()]).await?;
    Ok(())
}

/// The row after a change.
pub(super) struct Changed<'a> {
    pub profile: &'a Profile,
    pub status: UserStatus,
    pub branch: Option<Uuid>,
    pub email_verified: bool,
    pub epochs: Epochs,
    /// Whether they must choose a new password before there is a session.
    pub must_change_password: bool,
    /// Written only where a new one was set.
    pub verifier: Option<&'a Verifier>,
    pub at: DateTime<Utc>,
}

pub(super) async fn update(tx: &mut TenantTx, id: UserId, changed: Changed<'_>) -> Result<(), UserError> {
    let tenant = tx.tenant();
    let personal = PersonalColumns::of(&key_of(tx, id).await?, changed.profile)?;
    let wrapped_verifier = changed.verifier.map(|it| verifiers::seal(tx.keys(), id, it)).transpose()?;
    sqlx::query!(
        "update users
         set username = $3, email = $4, first_name = $5, last_name = $6, phone = $7, status = $8,
             email_verified = $9, access_epoch = $10, session_epoch = $11, password_epoch = $12,
             wrapped_verifier = coalesce($13, wrapped_verifier),
             foreign_hash = case when $13::bytea is null then foreign_hash end,
             foreign_format = case when $13::bytea is null then foreign_format end,
             password_changed_at = case when $13::bytea is null then password_changed_at else $14 end,
             password_valid_until = case when $13::bytea is null then password_valid_until end,
             password_due = case when $15::boolean then coalesce(password_due, $16) end,
             updated_at = $14, language = $17, branch = $18
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
        changed.must_change_password,
        PasswordDue::Must.as_str(),
        changed.profile.language,
        changed.branch,
    )
    .execute(&mut **tx)
    .await?;
    index::write(tx, [(id, changed.profile)]).await?;
    completion::refresh(tx, &[id.uuid()]).await?;
    Ok(())
}

/// Writes what users change of their own account without a proof, and no other column.
pub(super) async fn update_own(
    tx: &mut TenantTx,
    id: UserId,
    profile: &Profile,
    at: DateTime<Utc>,
) -> Result<(), UserError> {
    let tenant = tx.tenant();
    let key = key_of(tx, id).await?;
    sqlx::query!(
        "update users
         set first_name = $3, last_name = $4, phone = $5, language = $6, updated_at = $7
         where tenant_id = $1 and id = $2",
        tenant.uuid(),
        id.uuid(),
        key.seal(Field::FirstName, &profile.first_name)?,
        key.seal(Field::LastName, &profile.last_name)?,
        key.seal(Field::Phone, &profile.phone)?,
        profile.language,
        at,
    )
    .execute(&mut **tx)
    .await?;
    index::write(tx, [(id, profile)]).await?;
    completion::refresh(tx, &[id.uuid()]).await?;
    Ok(())
}

/// Writes the epochs of a user, whose row is locked. If the session epoch is raised, the session `keeps` stays valid:
/// the edge raises it to the session epoch of the row.
///
/// # Errors
/// Errors of the database.
pub async fn raise_epochs(
    tx: &mut TenantTx,
    id: UserId,
    after: Epochs,
    keeps: Option<SessionId>,
    now: DateTime<Utc>,
) -> Result<(), Failure> {
    let tenant = tx.tenant();
    // As with a password, a session that was kept before and is kept again begins where it did.
    sqlx::query!(
        "update users
         set access_epoch = $3, session_epoch = $4::bigint, updated_at = $6,
             kept_session = case when session_epoch = $4 then kept_session else $5::text end,
             kept_from = case
                 when session_epoch = $4 then kept_from
                 when $5::text is null then null
                 when kept_session = $5 and kept_epoch = session_epoch then kept_from
                 else session_epoch
             end,
             kept_epoch = case
                 when session_epoch = $4 then kept_epoch
                 when $5::text is not null then $4::bigint
             end
         where tenant_id = $1 and id = $2",
        tenant.uuid(),
        id.uuid(),
        after.access,
        after.session,
        keeps.map(|sid| sid.to_string()),
        now,
    )
    .execute(&mut **tx)
    .await?;
    tx.changes().user(tenant, id, Priority::Revokes);
    Ok(())
}

/// Notes that the address of a user is proven.
pub(super) async fn set_verified(tx: &mut TenantTx, id: UserId, now: DateTime<Utc>) -> Result<(), UserError> {
    sqlx::query!(
        "update users set email_verified = true, updated_at = $3 where tenant_id = $1 and id = $2",
        tx.tenant().uuid(),
        id.uuid(),
        now,
    )
    .execute(&mut **tx)
    .await?;
    completion::refresh(tx, &[id.uuid()]).await?;
    Ok(())
}

/// Removes the password of a user, in whatever form it is kept.
pub(super) async fn forget_password(tx: &mut TenantTx, id: UserId) -> Result<(), UserError> {
    sqlx::query!(
        "update users
         set wrapped_verifier = null, foreign_hash = null, foreign_format = null, password_changed_at = null,
             password_due = null, password_valid_until = null
         where tenant_id = $1 and id = $2",
        tx.tenant().uuid(),
        id.uuid(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Deletes the row and returns the identifiers that led to it. The id that it had at a legacy service is kept.
pub(super) async fn delete(tx: &mut TenantTx, id: UserId) -> Result<Vec<String>, UserError> {
    index::forget(tx, id).await?;
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
/// Errors of the database.
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

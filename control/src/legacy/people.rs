//! Users of the legacy service, many at once: their rows, identifiers, roles and password hashes.
//!
//! New users are written here, by one statement a table. Users of an earlier import who have changed at the
//! legacy service since are changed as any user is ([`crate::users::change()`]), with a new password hash if
//! there is one.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use shared::ids::UserId;
use shared::user::UserStatus;
use uuid::Uuid;

use super::hashing::{Digests, Hashing, NameHashes};
use super::service::{foreign_hashes_added, foreign_hashes_removed};
use crate::audit::{self, Action, Actor};
use crate::control::Control;
use crate::crypt::personal::UserKey;
use crate::db::TenantTx;
use crate::db::changes::Priority;
use crate::failure::Failure;
use crate::users::epochs::{Causes, Epochs};
use crate::users::identifiers::KeyedHash;
use crate::users::search::index;
use crate::users::store::{self, PersonalColumns};
use crate::users::{Profile, UserError, completion};

/// A user of the legacy service, as they are to be written here.
pub struct LegacyUser {
    /// Their id here.
    pub id: UserId,
    /// Their id at the legacy service.
    pub legacy_id: String,
    /// Names, address, telephone number, language.
    pub profile: Profile,
    /// Their status.
    pub status: UserStatus,
    /// Their roles by name.
    pub roles: Vec<String>,
    /// Their wrapped hash and its format, where they have a password.
    pub foreign: Option<(Vec<u8>, String)>,
    /// When they were made there.
    pub created_at: Option<DateTime<Utc>>,
    /// When they last signed in there.
    pub last_login: Option<DateTime<Utc>>,
    /// Keyed hashes of their names.
    pub names: NameHashes,
    /// Digests of the imported data, by which a later import detects changes.
    pub digests: Digests,
}

/// A user of an earlier import.
pub struct Imported {
    /// Their id here.
    pub id: UserId,
    /// The digests of that import; `None` for a user who was created here with a legacy id.
    pub digests: Option<Digests>,
    /// Whether they were changed here since.
    pub changed_here: bool,
}

/// The users of these legacy ids from earlier imports.
///
/// # Errors
/// Errors of the database.
pub async fn imported(
    tx: &mut TenantTx,
    legacy_ids: &[String],
) -> Result<HashMap<String, Imported>, Failure> {
    let tenant = tx.tenant();
    let rows = sqlx::query!(
        r#"select u.legacy_id as "legacy_id!", u.id, i.row_digest as "row_digest?",
            i.password_digest as "password_digest?", i.left_at is distinct from u.updated_at as "changed_here!"
        from users u
        left join legacy_imports i on i.tenant_id = u.tenant_id and i.user_id = u.id
        where u.tenant_id = $1 and u.legacy_id = any ($2)"#,
        tenant.uuid(),
        legacy_ids,
    )
    .fetch_all(&mut **tx)
    .await?;
    let known = rows.into_iter().map(|row| {
        let digests = row.row_digest.zip(row.password_digest);
        let digests = digests.map(|(row, password)| Digests { row, password });
        (row.legacy_id, Imported { id: row.id.into(), digests, changed_here: row.changed_here })
    });
    Ok(known.collect())
}

/// Those of these legacy ids whose users were deleted here.
///
/// # Errors
/// Errors of the database.
pub async fn deleted(tx: &mut TenantTx, legacy_ids: &[String]) -> Result<HashSet<String>, Failure> {
    let tenant = tx.tenant();
    let deleted = sqlx::query_scalar!(
        "select legacy_id from legacy_deleted where tenant_id = $1 and legacy_id = any ($2)",
        tenant.uuid(),
        legacy_ids,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(deleted.into_iter().collect())
}

/// The users who have these identifiers here.
///
/// # Errors
/// Errors of the database.
pub async fn owners(tx: &mut TenantTx, hashes: &[String]) -> Result<HashMap<String, UserId>, Failure> {
    let tenant = tx.tenant();
    let rows = sqlx::query!(
        "select hash, user_id from identifiers where tenant_id = $1 and hash = any ($2)",
        tenant.uuid(),
        hashes,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows.into_iter().map(|row| (row.hash, row.user_id.into())).collect())
}

/// Inserts new users. Returns whether all of their names were free: if not, the transaction must not be committed.
///
/// # Errors
/// Errors of the database.
pub async fn insert(tx: &mut TenantTx, users: &[LegacyUser], now: DateTime<Utc>) -> Result<bool, Failure> {
    if users.is_empty() {
        return Ok(true);
    }
    insert_rows(tx, users, now).await?;
    let ids: Vec<Uuid> = users.iter().map(|user| user.id.uuid()).collect();
    completion::refresh(tx, &ids).await?;
    index::write(tx, users.iter().map(|user| (user.id, &user.profile))).await?;
    if !insert_identifiers(tx, users).await? {
        return Ok(false);
    }
    if users.iter().any(|user| user.foreign.is_some()) {
        foreign_hashes_added(tx).await?;
    }
    insert_roles(tx, users).await?;
    let tenant = tx.tenant();
    let noted: Vec<_> = users.iter().map(|user| (user.id, &user.digests)).collect();
    note_imports(tx, &noted, now).await?;
    for user in users {
        tx.changes().user(tenant, user.id, Priority::InTurn);
    }
    let targets: Vec<String> = users.iter().map(|user| user.id.to_string()).collect();
    audit::record_each(tx, &Actor::operator(), now, Action::UserImported, targets);
    Ok(true)
}

async fn insert_rows(tx: &mut TenantTx, users: &[LegacyUser], now: DateTime<Utc>) -> Result<(), Failure> {
    let tenant = tx.tenant();
    let ids: Vec<Uuid> = users.iter().map(|user| user.id.uuid()).collect();
    let legacy_ids: Vec<String> = users.iter().map(|user| user.legacy_id.clone()).collect();
    let (mut usernames, mut emails, mut first_names, mut last_names, mut phones) =
        (vec![], vec![], vec![], vec![], vec![]);
    let languages: Vec<String> = users.iter().map(|user| user.profile.language.clone()).collect();
    let mut keys = Vec::with_capacity(users.len());
    for user in users {
        let (key, wrapped) = UserKey::make(tx.keys(), user.id)?;
        keys.push(wrapped);
        let columns = PersonalColumns::of(&key, &user.profile)?;
        usernames.push(columns.username);
        emails.push(columns.email);
        first_names.push(columns.first_name);
        last_names.push(columns.last_name);
        phones.push(columns.phone);
    }
    store::insert_keys(tx, &ids, &keys).await?;
    let statuses: Vec<String> = users.iter().map(|user| user.status.as_str().to_owned()).collect();
    let hashes: Vec<Option<Vec<u8>>> =
        users.iter().map(|user| user.foreign.as_ref().map(|(hash, _)| hash.clone())).collect();
    let formats: Vec<Option<String>> =
        users.iter().map(|user| user.foreign.as_ref().map(|(_, format)| format.clone())).collect();
    let created: Vec<Option<DateTime<Utc>>> = users.iter().map(|user| user.created_at).collect();
    let logins: Vec<Option<DateTime<Utc>>> = users.iter().map(|user| user.last_login).collect();
    sqlx::query!(
        "insert into users
            (tenant_id, id, legacy_id, username, email, first_name, last_name, phone, status,
             foreign_hash, foreign_format, created_at, last_login, updated_at, language)
         select $1, id, legacy_id, username, email, first_name, last_name, phone, status,
             hash, format, coalesce(created, $2), login, $2, language
         from unnest(
             $3::uuid[], $4::text[], $5::bytea[], $6::bytea[], $7::bytea[], $8::bytea[], $9::bytea[],
             $10::text[], $11::bytea[], $12::text[], $13::timestamptz[], $14::timestamptz[], $15::text[]
         ) as p (id, legacy_id, username, email, first_name, last_name, phone,
             status, hash, format, created, login, language)",
        tenant.uuid(),
        now,
        &ids,
        &legacy_ids,
        &usernames,
        &emails[..] as &[Option<Vec<u8>>],
        &first_names,
        &last_names,
        &phones,
        &statuses,
        &hashes[..] as &[Option<Vec<u8>>],
        &formats[..] as &[Option<String>],
        &created[..] as &[Option<DateTime<Utc>>],
        &logins[..] as &[Option<DateTime<Utc>>],
        &languages,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// In the order of the hashes, like every other writer of names, so that two transactions do not deadlock.
async fn insert_identifiers(tx: &mut TenantTx, users: &[LegacyUser]) -> Result<bool, Failure> {
    let (hashing, tenant) = (Hashing::of(tx).await?, tx.tenant());
    let mut rows: Vec<(KeyedHash, UserId, &str)> = Vec::with_capacity(users.len() * 3);
    for user in users {
        rows.extend(user.names.username.iter().cloned().map(|hash| (hash, user.id, "name")));
        // A user name that is the address is one row.
        let email = user.names.email.clone().filter(|email| *email != user.names.username);
        rows.extend(email.into_iter().flatten().map(|hash| (hash, user.id, "name")));
        let legacy_user = hashing.legacy_user(&user.legacy_id);
        rows.extend(legacy_user.into_iter().map(|hash| (hash, user.id, "legacy_user")));
    }
    rows.retain(|(hash, ..)| hash.written);
    rows.sort_unstable();
    let hashes: Vec<String> = rows.iter().map(|(hash, ..)| hash.text.clone()).collect();
    let versions: Vec<i32> = rows.iter().map(|(hash, ..)| hash.version).collect();
    let users: Vec<Uuid> = rows.iter().map(|(_, user, _)| user.uuid()).collect();
    let kinds: Vec<String> = rows.iter().map(|(.., kind)| (*kind).to_owned()).collect();
    let inserted = sqlx::query!(
        "insert into identifiers (tenant_id, hash, user_id, kind, version)
         select $1, hash, user_id, kind, version
         from unnest($2::text[], $3::uuid[], $4::text[], $5::integer[]) with ordinality
             as i (hash, user_id, kind, version, place)
         order by place
         on conflict do nothing",
        tenant.uuid(),
        &hashes,
        &users,
        &kinds,
        &versions,
    )
    .execute(&mut **tx)
    .await?;
    for hash in &hashes {
        tx.changes().identifier(tenant, hash);
    }
    Ok(usize::try_from(inserted.rows_affected()) == Ok(rows.len()))
}

async fn insert_roles(tx: &mut TenantTx, users: &[LegacyUser]) -> Result<(), Failure> {
    let tenant = tx.tenant();
    let granted = || users.iter().flat_map(|user| user.roles.iter().map(move |role| (user.id, role)));
    let users: Vec<Uuid> = granted().map(|(user, _)| user.uuid()).collect();
    let roles: Vec<String> = granted().map(|(_, role)| role.clone()).collect();
    sqlx::query!(
        "insert into user_roles (tenant_id, user_id, role, created_at)
         select u.tenant_id, u.id, r.role, u.created_at
         from unnest($2::uuid[], $3::text[]) as r (user_id, role)
         join users u on u.tenant_id = $1 and u.id = r.user_id",
        tenant.uuid(),
        &users,
        &roles,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Notes what was read of users, and `left_at`: another `updated_at` means that they were changed here.
///
/// # Errors
/// Errors of the database.
pub async fn note_imports(
    tx: &mut TenantTx,
    users: &[(UserId, &Digests)],
    left_at: DateTime<Utc>,
) -> Result<(), Failure> {
    let tenant = tx.tenant();
    let ids: Vec<Uuid> = users.iter().map(|(id, _)| id.uuid()).collect();
    let rows: Vec<Vec<u8>> = users.iter().map(|(_, digests)| digests.row.clone()).collect();
    let passwords: Vec<Vec<u8>> = users.iter().map(|(_, digests)| digests.password.clone()).collect();
    sqlx::query!(
        "insert into legacy_imports (tenant_id, user_id, row_digest, password_digest, left_at)
         select $1, id, row_digest, password_digest, $5
         from unnest($2::uuid[], $3::bytea[], $4::bytea[]) as i (id, row_digest, password_digest)
         on conflict (tenant_id, user_id) do update
         set row_digest = excluded.row_digest,
             password_digest = excluded.password_digest,
             left_at = excluded.left_at",
        tenant.uuid(),
        &ids,
        &rows,
        &passwords,
        left_at,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Gives a user the password that they have got at the legacy service since: a change of password like any
/// other, which ends their sessions.
///
/// # Errors
/// Errors of the database.
pub async fn change_password(
    control: &Control,
    tx: &mut TenantTx,
    id: UserId,
    foreign: Option<(Vec<u8>, String)>,
) -> Result<(), UserError> {
    let user = store::lock(tx, id).await?;
    let before =
        Epochs { access: user.access_epoch, session: user.session_epoch, password: user.password_epoch };
    let after = before.after(Causes { password: true, ..Causes::default() });
    let (tenant, now, has_one) = (tx.tenant(), control.clock.now(), foreign.is_some());
    let (hash, format) = foreign.unzip();
    sqlx::query!(
        "update users
         set wrapped_verifier = null, foreign_hash = $3, foreign_format = $4,
             access_epoch = $5, session_epoch = $6, password_epoch = $7, updated_at = $8,
             password_changed_at = $8, password_valid_until = null
         where tenant_id = $1 and id = $2",
        tenant.uuid(),
        id.uuid(),
        hash,
        format,
        after.access,
        after.session,
        after.password,
        now,
    )
    .execute(&mut **tx)
    .await?;
    if has_one {
        foreign_hashes_added(tx).await?
    } else {
        foreign_hashes_removed(tx).await?
    }
    tx.changes().user(tenant, id, Priority::Revokes);
    let target = Some(id.to_string());
    audit::record(tx, &Actor::operator(), now, Action::UserPasswordSet, target, serde_json::json!({}));
    Ok(())
}

/// Takes over when users last signed in at the legacy service.
///
/// # Errors
/// Errors of the database.
pub async fn update_last_logins(tx: &mut TenantTx, users: &[(UserId, DateTime<Utc>)]) -> Result<(), Failure> {
    let tenant = tx.tenant();
    let ids: Vec<Uuid> = users.iter().map(|(id, _)| id.uuid()).collect();
    let at: Vec<DateTime<Utc>> = users.iter().map(|(_, at)| *at).collect();
    sqlx::query!(
        "update users u
         set last_login = p.at
         from unnest($2::uuid[], $3::timestamptz[]) as p (id, at)
         where u.tenant_id = $1 and u.id = p.id and coalesce(u.last_login < p.at, true)",
        tenant.uuid(),
        &ids,
        &at,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

//! Adds identifiers under the new root to every user; the old ones stay for now.
//!
//! The work is done in short transactions, each with the row locks of a few users. Users that are created or renamed
//! meanwhile get identifiers of both roots at once. A killed run loses only the work of one transaction.

use std::collections::{HashMap, HashSet};

use shared::identifiers::Identifier;
use shared::ids::{TenantId, UserId};
use uuid::Uuid;

use super::store::Rotation;
use super::work::{Stop, begin};
use crate::control::Control;
use crate::crypt::personal::{Field, UserKey};
use crate::crypt::sealed::TenantKeys;
use crate::db::TenantTx;
use crate::failure::{Failure, chain};
use crate::users::identifiers::{KeyedHash, Keys};

/// Users of one transaction: a change of one of them waits for it.
const CHUNK: usize = 200;
/// Users who are looked at together: those who have the new identifiers cost next to nothing.
const WALK: i64 = 5_000;

/// Goes through all users once and gives new identifiers to those who lack them; says how many got some. `done` is
/// called as they do. Users whose names cannot be decrypted, or belong to another user under the new root, are listed
/// in the log, and keep the identifiers that they have.
pub(super) async fn pass(
    control: &Control,
    tenant: TenantId,
    done: &mut (impl FnMut(usize) + Send),
) -> Result<usize, Stop> {
    let (mut after, mut all) = (Uuid::nil(), 0);
    loop {
        let (mut tx, rotation) = begin(control, tenant).await?;
        let users = walk(&mut tx, rotation.version, after).await?;
        tx.commit().await?;
        let Some((last, _)) = users.last() else { return Ok(all) };
        after = *last;
        let lacking: Vec<Uuid> = users.into_iter().filter_map(|(id, lacks)| lacks.then_some(id)).collect();
        for ids in lacking.chunks(CHUNK) {
            let got = write(control, tenant, ids).await?;
            all += got;
            done(got);
        }
    }
}

/// The next users, and whether they lack identifiers of the new root.
async fn walk(tx: &mut TenantTx, version: i32, after: Uuid) -> Result<Vec<(Uuid, bool)>, Failure> {
    let tenant = tx.tenant();
    let rows = sqlx::query!(
        r#"select u.id,
            exists (
                select from identifiers i
                where i.tenant_id = $1 and i.user_id = u.id and i.kind = 'name' and i.version <> $2
            ) and not exists (
                select from identifiers i
                where i.tenant_id = $1 and i.user_id = u.id and i.kind = 'name' and i.version = $2
            ) as "lacks!"
         from users u
         where u.tenant_id = $1 and u.id > $3
         order by u.id
         limit $4"#,
        tenant.uuid(),
        version,
        after,
        WALK,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.lacks)).collect())
}

/// Writes the new identifiers of these users, as they are now. A user whose row another transaction holds is left for a
/// transaction of their own: one that holds rows and waits for others could wait in a circle.
async fn write(control: &Control, tenant: TenantId, ids: &[Uuid]) -> Result<usize, Stop> {
    let (mut tx, rotation) = begin(control, tenant).await?;
    let free = sqlx::query_scalar!(
        "select id from users where tenant_id = $1 and id = any ($2) for no key update skip locked",
        tenant.uuid(),
        ids,
    )
    .fetch_all(&mut *tx)
    .await?;
    let mut got = put(&mut tx, &rotation, &free).await?;
    tx.commit().await?;
    for id in ids.iter().filter(|id| !free.contains(id)) {
        let (mut tx, rotation) = begin(control, tenant).await?;
        let held = sqlx::query_scalar!(
            "select id from users where tenant_id = $1 and id = $2 for no key update",
            tenant.uuid(),
            id,
        )
        .fetch_all(&mut *tx)
        .await?;
        got += put(&mut tx, &rotation, &held).await?;
        tx.commit().await?;
    }
    Ok(got)
}

/// A user with what identifiers are made of.
struct Named {
    id: UserId,
    names: Result<Vec<Identifier>, Failure>,
    /// The id at a legacy service, where its tokens lead to the user.
    legacy_id: Option<String>,
}

/// An identifier that is to be written.
type Row = (KeyedHash, UserId, &'static str);

/// Writes the new identifiers of users whose rows the transaction holds, and says how many have theirs now.
async fn put(tx: &mut TenantTx, rotation: &Rotation, held: &[Uuid]) -> Result<usize, Failure> {
    if held.is_empty() {
        return Ok(0);
    }
    let (keys, tenant) = (Keys::to_write(tx).await?, tx.tenant());
    let mut rows: Vec<Row> = Vec::with_capacity(held.len() * 3);
    let mut named = HashSet::new();
    for user in named_users(tx, held).await? {
        let Named { id, names, legacy_id } = user;
        let of_legacy = legacy_id.iter().flat_map(|legacy_id| keys.legacy_user(legacy_id));
        rows.extend(of_legacy.map(|hash| (hash, id, "legacy_user")));
        match names {
            Ok(names) => {
                named.insert(id);
                rows.extend(names.iter().flat_map(|name| keys.name(name)).map(|hash| (hash, id, "name")));
            }
            Err(failure @ Failure::Unreadable(_)) => {
                tracing::error!(%tenant, user = %id, error = %chain(&failure), "a user gets no new identifiers");
            }
            Err(failure) => return Err(failure),
        }
    }
    rows.retain(|(hash, ..)| hash.version == rotation.version);
    // In the order of the hashes, like every other writer of names. A user name that is the address is one row.
    rows.sort_unstable();
    rows.dedup();
    let inserted = insert(tx, &rows).await?;
    let taken = taken(tx, &rows, &inserted).await?;
    for (hash, _) in &inserted {
        tx.changes().identifier(tenant, hash);
    }
    for hash in undo(tx, &taken, rotation.version).await? {
        tx.changes().identifier_gone(tenant, &hash);
    }
    Ok(named.difference(&taken).count())
}

async fn named_users(tx: &mut TenantTx, ids: &[Uuid]) -> Result<Vec<Named>, Failure> {
    let tenant = tx.tenant();
    let rows = sqlx::query!(
        r#"select u.id, k.wrapped as "key?", u.username, u.email,
            case when exists (
                select from identifiers i
                where i.tenant_id = $1 and i.user_id = u.id and i.kind = 'legacy_user'
            ) then u.legacy_id end as legacy_id
         from users u
         left join user_keys k on k.tenant_id = u.tenant_id and k.user_id = u.id
         where u.tenant_id = $1 and u.id = any ($2)"#,
        tenant.uuid(),
        ids,
    )
    .fetch_all(&mut **tx)
    .await?;
    let named = rows.into_iter().map(|row| {
        let id = UserId::from(row.id);
        let names = names(tx.keys(), id, row.key, &row.username, row.email.as_deref());
        Named { id, names, legacy_id: row.legacy_id }
    });
    Ok(named.collect())
}

fn names(
    keys: &TenantKeys,
    id: UserId,
    key: Option<Vec<u8>>,
    username: &[u8],
    email: Option<&[u8]>,
) -> Result<Vec<Identifier>, Failure> {
    let key = UserKey::unwrap(keys, id, &key.ok_or(Failure::Unreadable("user_keys.wrapped"))?)?;
    let name = |field, stored: &[u8]| {
        let text = key.open(field, stored)?;
        Identifier::parse(text.expose()).map_err(|_| Failure::Unreadable("name as an identifier"))
    };
    let mut names = vec![name(Field::Username, username)?];
    names.extend(email.map(|email| name(Field::Email, email)).transpose()?);
    Ok(names)
}

/// Inserts what is not there, and says what that was.
async fn insert(tx: &mut TenantTx, rows: &[Row]) -> Result<Vec<(String, UserId)>, Failure> {
    let tenant = tx.tenant();
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
         on conflict do nothing
         returning hash, user_id",
        tenant.uuid(),
        &hashes,
        &users,
        &kinds,
        &versions,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(inserted.into_iter().map(|row| (row.hash, UserId::from(row.user_id))).collect())
}

/// The users whose name belongs to another user under the new root: newer normalisation rules make the two names
/// equal. They are listed in the log.
async fn taken(
    tx: &mut TenantTx,
    rows: &[Row],
    inserted: &[(String, UserId)],
) -> Result<HashSet<UserId>, Failure> {
    let tenant = tx.tenant();
    let written: HashMap<&str, UserId> = inserted.iter().map(|(hash, user)| (hash.as_str(), *user)).collect();
    let missing = rows.iter().filter(|(hash, user, _)| written.get(hash.text.as_str()) != Some(user));
    let missing: Vec<(&str, UserId)> = missing.map(|(hash, user, _)| (hash.text.as_str(), *user)).collect();
    if missing.is_empty() {
        return Ok(HashSet::new());
    }
    let hashes: Vec<String> = missing.iter().map(|(hash, _)| (*hash).to_owned()).collect();
    let owners = sqlx::query!(
        "select hash, user_id from identifiers where tenant_id = $1 and hash = any ($2)",
        tenant.uuid(),
        &hashes,
    )
    .fetch_all(&mut **tx)
    .await?;
    let owners: HashMap<String, UserId> =
        owners.into_iter().map(|row| (row.hash, UserId::from(row.user_id))).collect();
    let mut taken = HashSet::new();
    for (hash, user) in missing {
        let owner = owners.get(hash);
        if let Some(owner) = owner.filter(|owner| **owner != user) {
            tracing::error!(%tenant, %user, %owner, "a user gets no new identifiers: a name is the owner's");
            taken.insert(user);
        }
    }
    Ok(taken)
}

/// Takes the new names of these users away: they have all of theirs or none.
async fn undo(tx: &mut TenantTx, users: &HashSet<UserId>, version: i32) -> Result<Vec<String>, Failure> {
    if users.is_empty() {
        return Ok(Vec::new());
    }
    let tenant = tx.tenant();
    let ids: Vec<Uuid> = users.iter().map(|user| user.uuid()).collect();
    let gone = sqlx::query_scalar!(
        "delete from identifiers
         where tenant_id = $1 and user_id = any ($2) and kind = 'name' and version = $3
         returning hash",
        tenant.uuid(),
        &ids,
        version,
    );
    Ok(gone.fetch_all(&mut **tx).await?)
}

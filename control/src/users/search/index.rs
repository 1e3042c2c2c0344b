//! The table `search_tokens`: for each user the keyed hashes of parts of their names.
//!
//! A transaction that writes names of a user also writes their tokens, while it holds the user's row. A row of the
//! table itself, under an id that no user has, marks the tokens of the tenant as complete: the table is `UNLOGGED`,
//! so a crash empties it, and no physical backup has it.
//!
//! The table has no row-level security (its migration says why): every statement here names the tenant, and the users
//! that are found are read again through `users`.

use shared::derive::{Secret, mac};
use shared::ids::{TenantId, UserId};
use uuid::Uuid;

use super::words::Texts;
use crate::crypt::roots::searched_by;
use crate::db::TenantTx;
use crate::failure::Failure;
use crate::users::fields::Profile;

/// In the place of a user: the row that says that the tokens of the tenant are complete.
pub(super) const COMPLETE: Uuid = Uuid::nil();
/// The row with a random number that a rebuild writes first. It is missing if the table was emptied since.
const RUN: Uuid = Uuid::from_u128(1);

/// Finds the users who have all of these tokens: tenant, tokens, how many at most.
pub const CANDIDATES: &str =
    "select user_id from search_tokens where tenant_id = $1 and tokens @> $2 limit $3";

/// The index of one tenant, as one transaction works with it.
pub struct Index {
    tenant: TenantId,
    /// Which root the key is derived from.
    pub(super) version: i32,
    key: Secret,
}

impl Index {
    /// Takes the present key. It stays the present one until the transaction ends.
    ///
    /// # Errors
    /// Errors of the database, or a root that cannot be decrypted.
    pub async fn of(tx: &mut TenantTx) -> Result<Self, Failure> {
        keep_key(tx).await?;
        let (version, key) = searched_by(tx).await?;
        Ok(Self { tenant: tx.tenant(), version, key })
    }

    /// The tokens of pieces, sorted, each once.
    #[must_use]
    pub fn tokens<'p>(&self, pieces: impl IntoIterator<Item = &'p str>) -> Vec<i64> {
        let token = |piece: &str| {
            let hash = mac(&self.key, "search/v1", &[self.tenant.as_bytes(), piece.as_bytes()]);
            let first = hash.first_chunk().copied().unwrap_or_default();
            i64::from_be_bytes(first)
        };
        let mut tokens: Vec<i64> = pieces.into_iter().map(token).collect();
        tokens.sort_unstable();
        tokens.dedup();
        tokens
    }

    /// Writes the tokens of users, whose rows the transaction must hold or have made.
    ///
    /// # Errors
    /// Errors of the database.
    pub async fn put(&self, tx: &mut TenantTx, users: &[(UserId, Texts)]) -> Result<(), Failure> {
        let ids: Vec<Uuid> = users.iter().map(|(id, _)| id.uuid()).collect();
        // An array of arrays would have to be as wide in each row.
        let tokens = users.iter().map(|(_, texts)| array(&self.tokens(texts.pieces())));
        let tokens: Vec<String> = tokens.collect();
        sqlx::query!(
            "insert into search_tokens (tenant_id, user_id, version, tokens)
             select $1, id, $2, tokens::bigint[]
             from unnest($3::uuid[], $4::text[]) as u (id, tokens)
             on conflict (tenant_id, user_id) do update
             set version = excluded.version, tokens = excluded.tokens
             where (search_tokens.version, search_tokens.tokens)
                 is distinct from (excluded.version, excluded.tokens)",
            self.tenant.uuid(),
            self.version,
            &ids,
            &tokens,
        )
        .execute(&mut **tx)
        .await?;
        Ok(())
    }
}

/// As PostgreSQL reads an array.
fn array(tokens: &[i64]) -> String {
    let tokens: Vec<String> = tokens.iter().map(ToString::to_string).collect();
    format!("{{{}}}", tokens.join(","))
}

/// Writes the tokens of users that the transaction has created or changed.
///
/// # Errors
/// As [`Index::of`].
pub async fn write<'p>(
    tx: &mut TenantTx,
    users: impl IntoIterator<Item = (UserId, &'p Profile)> + Send,
) -> Result<(), Failure> {
    let texts = |it: &Profile| Texts::of(&it.username, it.email.as_deref(), &it.first_name, &it.last_name);
    let users: Vec<_> = users.into_iter().map(|(id, profile)| (id, texts(profile))).collect();
    Index::of(tx).await?.put(tx, &users).await
}

/// Takes the tokens of a user away.
///
/// # Errors
/// Errors of the database.
pub async fn forget(tx: &mut TenantTx, user: UserId) -> Result<(), Failure> {
    let tenant = tx.tenant();
    sqlx::query!(
        "delete from search_tokens where tenant_id = $1 and user_id = $2",
        tenant.uuid(),
        user.uuid(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The users who have all of these tokens, `most` of them.
///
/// # Errors
/// Errors of the database.
pub async fn candidates(tx: &mut TenantTx, tokens: &[i64], most: i64) -> Result<Vec<Uuid>, Failure> {
    let tenant = tx.tenant().uuid();
    let found = sqlx::query_scalar(CANDIDATES).bind(tenant).bind(tokens).bind(most);
    Ok(found.fetch_all(&mut **tx).await?)
}

/// How many users have all of these tokens, up to `most`.
///
/// # Errors
/// Errors of the database.
pub async fn count(tx: &mut TenantTx, tokens: &[i64], most: i64) -> Result<i64, Failure> {
    let tenant = tx.tenant().uuid();
    let counted = "select count(*) from (
            select from search_tokens where tenant_id = $1 and tokens @> $2 limit $3
        ) counted";
    Ok(sqlx::query_scalar(counted).bind(tenant).bind(tokens).bind(most).fetch_one(&mut **tx).await?)
}

/// Whether the tokens of the tenant are complete. If so they stay complete until the transaction ends, when its
/// key is kept ([`Index::of`]).
///
/// # Errors
/// Errors of the database.
pub async fn is_complete(tx: &mut TenantTx) -> Result<bool, Failure> {
    let tenant = tx.tenant();
    let complete = sqlx::query_scalar!(
        r#"select exists (
            select from search_tokens where tenant_id = $1 and user_id = $2
        ) as "complete!""#,
        tenant.uuid(),
        COMPLETE,
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(complete)
}

/// Notes that the tokens of the tenant are complete.
///
/// # Errors
/// Errors of the database.
pub async fn set_complete(tx: &mut TenantTx) -> Result<(), Failure> {
    let tenant = tx.tenant();
    sqlx::query!(
        "insert into search_tokens (tenant_id, user_id, version, tokens) values ($1, $2, 0, '{}')
         on conflict (tenant_id, user_id) do nothing",
        tenant.uuid(),
        COMPLETE,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Takes that note away: searches wait until it is there again.
pub(super) async fn set_incomplete(tx: &mut TenantTx) -> Result<(), Failure> {
    forget(tx, COMPLETE.into()).await
}

/// Notes that a run looks at all users from here on.
pub(super) async fn begin_run(tx: &mut TenantTx, run: i64) -> Result<(), Failure> {
    let tenant = tx.tenant();
    sqlx::query!(
        "insert into search_tokens (tenant_id, user_id, version, tokens) values ($1, $2, 0, array[$3::bigint])
         on conflict (tenant_id, user_id) do update
         set tokens = excluded.tokens",
        tenant.uuid(),
        RUN,
        run,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Ends whatever run was noted last, and says which it was; `None`: the table was emptied since.
pub(super) async fn end_run(tx: &mut TenantTx) -> Result<Option<i64>, Failure> {
    let tenant = tx.tenant();
    let run = sqlx::query_scalar!(
        r#"delete from search_tokens where tenant_id = $1 and user_id = $2 returning tokens[1] as "run!""#,
        tenant.uuid(),
        RUN,
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(run)
}

/// Keeps the tenant's key the present one until the transaction ends: a rotation waits for it.
pub(super) async fn keep_key(tx: &mut TenantTx) -> Result<(), Failure> {
    let lock = lock_name(tx.tenant());
    sqlx::query!("select pg_advisory_xact_lock_shared(hashtextextended($1, 0))", lock)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Locks the tenant's key until the transaction ends.
pub(super) async fn hold_key(tx: &mut TenantTx) -> Result<(), Failure> {
    let lock = lock_name(tx.tenant());
    sqlx::query!("select pg_advisory_xact_lock(hashtextextended($1, 0))", lock).execute(&mut **tx).await?;
    Ok(())
}

fn lock_name(tenant: TenantId) -> String {
    format!("wardgate/search/key/{tenant}")
}

/// The next users behind `after`, in the order of their ids, and whether each lacks tokens under this root's key.
pub(super) async fn walk(
    tx: &mut TenantTx,
    version: i32,
    after: Uuid,
    most: i64,
) -> Result<Vec<(Uuid, bool)>, Failure> {
    let tenant = tx.tenant();
    let rows = sqlx::query!(
        r#"select u.id, s.user_id is null as "lacks!"
         from (
             select id from users where tenant_id = $1 and id > $3 order by id limit $4
         ) u
         left join search_tokens s on s.tenant_id = $1 and s.user_id = u.id and s.version = $2
         order by u.id"#,
        tenant.uuid(),
        version,
        after,
        most,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.lacks)).collect())
}

/// How many users of the tenant have tokens under this root's key, and how many there are.
pub(super) async fn progress(tx: &mut TenantTx, version: i32) -> Result<(i64, i64), Failure> {
    let tenant = tx.tenant();
    let row = sqlx::query!(
        r#"select
            (select count(*) from search_tokens where tenant_id = $1 and version = $2) as "indexed!",
            (select count(*) from users where tenant_id = $1) as "users!""#,
        tenant.uuid(),
        version,
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok((row.indexed, row.users))
}

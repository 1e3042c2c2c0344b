//! Foreign (imported) password hashes: checked when the edge asks, and replaced by Argon2id at the first successful
//! sign-in.
//!
//! Whether the user exists is not revealed: the answer, the statements and the hashing, which is the same work for
//! every user ([`foreign::plan`]), do not differ.

mod checker;

pub use checker::ForeignChecker;

use chrono::{DateTime, TimeDelta, Utc};
use foreign::{Hash, Params};
use shared::contract::limits::{FOREIGN_TRIES, FOREIGN_TRIES_SECS};
use shared::ids::{TenantId, UserId};
use shared::passwords::{Password, Verifier};
use shared::tenant::Status;
use shared::user::UserStatus;
use shared::wire::password::PasswordIn;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::audit::{self, Action, Actor};
use crate::control::Control;
use crate::crypt::sealed::{Column, TenantKeys};
use crate::db::TenantTx;
use crate::db::changes::Priority;
use crate::failure::{Failure, chain};
use crate::legacy::service::foreign_hashes_removed;
use crate::tenants::{self, TenantError};
use crate::users::verifiers;
use crate::world::random;

/// Rows that stand in for the user of a question that names none; several, so that refusals do not queue
/// behind one another.
const NOBODIES: u8 = 64;

/// The data of a check before the work.
struct Candidate {
    user: Option<User>,
    formats: Vec<Params>,
}

/// The user in question, if their password may be checked at all.
struct User {
    user: UserId,
    active: bool,
    foreign: Option<Foreign>,
    /// A password that is ours already: it was taken over, and the edge does not know yet. Absent where it is a
    /// one-time password, which the edge cannot know either: it would give a session.
    verifier: Option<Verifier>,
}

/// The stored password of a user.
struct Stored {
    user: UserId,
    active: bool,
    foreign: Option<Vec<u8>>,
    verifier: Option<Vec<u8>>,
}

/// A foreign hash, and its text.
struct Foreign {
    encoded: Zeroizing<Vec<u8>>,
    hash: Hash,
}

/// Whether this is the password of a user who may sign in and who has a foreign hash according to the edge:
/// 1. the check is counted; above the limit it is treated as one without a user;
/// 2. the work, the same for every check at this tenant;
/// 3. on a match of an active user, Argon2id takes the foreign hash's place.
///
/// # Errors
/// [`Failure::Busy`], or errors of the database.
pub async fn check(control: &Control, question: &PasswordIn) -> Result<bool, Failure> {
    let sound = Password::parse(&question.password);
    let Candidate { user, formats } = ask(control, question, sound.is_ok()).await?;
    let password = sound.unwrap_or_else(|_| Password::placeholder());
    let user = user.unwrap_or_else(User::unknown);
    let typed = Zeroizing::new(question.password.clone());
    let hash = user.foreign.as_ref().map(|foreign| foreign.hash.clone());
    let foreign_matched =
        control.foreign.check(question.tenant, typed, hash, foreign::dearest(formats)).await?;
    let verifier = match user.verifier {
        Some(verifier) => verifier,
        None => Verifier::dummy(random()?, random()?),
    };
    let hasher = control.hasher.for_strangers();
    let own_matched = hasher.verify(question.tenant, password.clone(), verifier).await?;
    match user.foreign {
        Some(foreign) if foreign_matched && user.active => {
            take_over(control, question.tenant, user.user, &foreign, password).await
        }
        _ => Ok(own_matched && user.active),
    }
}

impl User {
    fn unknown() -> Self {
        Self { user: UserId::from(Uuid::nil()), active: false, foreign: None, verifier: None }
    }
}

/// Counts and reads, by the same statements for every question. `sound`: the password can be one.
async fn ask(control: &Control, question: &PasswordIn, sound: bool) -> Result<Candidate, Failure> {
    let now = control.clock.now();
    let subject = match question.user {
        Some(user) => user.uuid(),
        None => Uuid::from_u128(u128::from(random::<1>()?[0] % NOBODIES)),
    };
    let mut tx = match control.db.anonymous_tx(question.tenant).await {
        Err(Failure::Database(sqlx::Error::RowNotFound)) => {
            return Ok(Candidate { user: None, formats: Vec::new() });
        }
        other => other?,
    };
    let served = is_served(&mut tx, now).await?;
    let within = count(&mut tx, subject, now).await?;
    let mut formats = formats(&mut tx).await?;
    let stored = find(&mut tx, subject).await?;
    let user = stored.map(|stored| stored.open(tx.keys()));
    tx.commit().await?;
    // Users may be added or removed between two statements: the work covers what will be checked.
    formats.extend(user.iter().filter_map(|user| Some(user.foreign.as_ref()?.hash.params())));
    Ok(Candidate { user: user.filter(|_| served && within && sound), formats })
}

/// Whether foreign hashes are checked at this tenant now.
async fn is_served(tx: &mut TenantTx, now: DateTime<Utc>) -> Result<bool, Failure> {
    let id = tx.tenant();
    match tenants::find(tx, id).await {
        Ok(tenant) => {
            Ok(tenant.status == Status::Active && tenant.legacy.foreign_until.is_none_or(|until| now < until))
        }
        Err(TenantError::Failure(failure)) => Err(failure),
        Err(_) => Ok(false),
    }
}

/// Counts a check of `subject` and says whether it is within the ceiling: one statement that writes in
/// either case and decides by the row it leaves.
async fn count(tx: &mut TenantTx, subject: Uuid, now: DateTime<Utc>) -> Result<bool, Failure> {
    let tenant = tx.tenant();
    let within = sqlx::query_scalar!(
        r#"insert into foreign_tries as t (tenant_id, subject, began_at, tries)
        values ($1, $2, $3, 1)
        on conflict (tenant_id, subject) do update
        set tries = case when t.began_at > $4 then least(t.tries, $5) + 1 else 1 end,
            began_at = case when t.began_at > $4 then t.began_at else excluded.began_at end
        returning tries <= $5 as "within!""#,
        tenant.uuid(),
        subject,
        now,
        now - TimeDelta::seconds(FOREIGN_TRIES_SECS),
        FOREIGN_TRIES,
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(within)
}

/// The algorithms and parameters that the tenant still has: one step through the index for each.
async fn formats(tx: &mut TenantTx) -> Result<Vec<Params>, Failure> {
    let tenant = tx.tenant();
    let formats = sqlx::query_scalar!(
        r#"with recursive formats as (
            (
                select foreign_format
                from users
                where tenant_id = $1 and foreign_hash is not null
                order by foreign_format
                limit 1
            )
            union all
            select (
                select u.foreign_format
                from users u
                where u.tenant_id = $1 and u.foreign_hash is not null and u.foreign_format > f.foreign_format
                order by u.foreign_format
                limit 1
            )
            from formats f
            where f.foreign_format is not null
        )
        select foreign_format as "format!" from formats where foreign_format is not null"#,
        tenant.uuid(),
    )
    .fetch_all(&mut **tx)
    .await?;
    let parsed = formats.iter().map(|format| Params::parse(format));
    parsed.collect::<Result<_, _>>().map_err(|_| Failure::Unreadable("foreign format"))
}

/// Reads the stored password of a user.
async fn find(tx: &mut TenantTx, subject: Uuid) -> Result<Option<Stored>, Failure> {
    let tenant = tx.tenant();
    let row = sqlx::query!(
        r#"select foreign_hash, status,
            case when password_valid_until is null then wrapped_verifier end as wrapped_verifier
        from users
        where tenant_id = $1 and id = $2"#,
        tenant.uuid(),
        subject,
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row.map(|row| Stored {
        user: UserId::from(subject),
        active: row.status == UserStatus::Active.as_str(),
        foreign: row.foreign_hash,
        verifier: row.wrapped_verifier,
    }))
}

impl Stored {
    /// A value that cannot be read is treated as absent: the refusal must not differ.
    fn open(self, keys: &TenantKeys) -> User {
        let Self { user, active, foreign, verifier } = self;
        let foreign = foreign.and_then(|wrapped| readable(user, open_foreign(keys, user, &wrapped)));
        let verifier = verifier.and_then(|wrapped| readable(user, verifiers::read(keys, user, &wrapped)));
        User { user, active, foreign, verifier }
    }
}

fn readable<T>(user: UserId, opened: Result<T, Failure>) -> Option<T> {
    if let Err(failure) = &opened {
        tracing::error!(%user, error = %chain(failure), "a password cannot be read");
    }
    opened.ok()
}

/// Opens the hash of another service that a user's row has.
///
/// # Errors
/// As [`TenantKeys::open`]; what is no hash.
pub fn open_hash(keys: &TenantKeys, user: UserId, wrapped: &[u8]) -> Result<Hash, Failure> {
    open_foreign(keys, user, wrapped).map(|foreign| foreign.hash)
}

fn open_foreign(keys: &TenantKeys, user: UserId, wrapped: &[u8]) -> Result<Foreign, Failure> {
    let encoded = keys.open(Column::ForeignHash, &user.to_string(), wrapped)?;
    let text = std::str::from_utf8(&encoded).map_err(|_| Failure::Unreadable("foreign password"))?;
    let hash = Hash::parse(text).map_err(|_| Failure::Unreadable("foreign password"))?;
    Ok(Foreign { encoded, hash })
}

/// Replaces the checked hash by Argon2id of the normalised password, and returns whether the user may sign in. A
/// password that was set meanwhile wins. This does not change the password, so no epoch is raised and no session
/// ends.
async fn take_over(
    control: &Control,
    tenant: TenantId,
    user: UserId,
    foreign: &Foreign,
    password: Password,
) -> Result<bool, Failure> {
    let verifier = control.hasher.for_strangers().hash(tenant, password.clone()).await?;
    let mut tx = control.db.anonymous_tx(tenant).await?;
    if !is_unchanged(&mut tx, user, foreign).await? {
        return was_taken_over(control, tx, user, password).await;
    }
    let wrapped = verifiers::seal(tx.keys(), user, &verifier)?;
    sqlx::query!(
        "update users
         set wrapped_verifier = $3, foreign_hash = null, foreign_format = null
         where tenant_id = $1 and id = $2",
        tenant.uuid(),
        user.uuid(),
        wrapped,
    )
    .execute(&mut *tx)
    .await?;
    foreign_hashes_removed(&mut tx).await?;
    tx.changes().user(tenant, user, Priority::InTurn);
    let target = Some(user.to_string());
    let (actor, now) = (Actor::control(), control.clock.now());
    audit::record(&mut tx, &actor, now, Action::UserPasswordTakenOver, target, serde_json::json!({}));
    tx.commit().await?;
    Ok(true)
}

/// Whether an active user still has the hash that was checked; locks the row. The text is compared and not the stored
/// bytes, because it may have been re-encrypted meanwhile.
async fn is_unchanged(tx: &mut TenantTx, user: UserId, checked: &Foreign) -> Result<bool, Failure> {
    let tenant = tx.tenant();
    let stored = sqlx::query_scalar!(
        r#"select foreign_hash as "hash!"
        from users
        where tenant_id = $1 and id = $2 and foreign_hash is not null and status = 'active'
        for no key update"#,
        tenant.uuid(),
        user.uuid(),
    )
    .fetch_optional(&mut **tx)
    .await?;
    let stored = stored.and_then(|wrapped| readable(user, open_foreign(tx.keys(), user, &wrapped)));
    Ok(stored.is_some_and(|stored| stored.encoded == checked.encoded))
}

/// Another transaction was quicker: a sign-in with this password, or a change of it.
async fn was_taken_over(
    control: &Control,
    mut tx: TenantTx,
    user: UserId,
    password: Password,
) -> Result<bool, Failure> {
    let tenant = tx.tenant();
    let stored = find(&mut tx, user.uuid()).await?;
    let user = stored.map(|stored| stored.open(tx.keys()));
    drop(tx);
    let Some(user) = user.filter(|user| user.active) else { return Ok(false) };
    match user.verifier {
        Some(verifier) => control.hasher.for_strangers().verify(tenant, password, verifier).await,
        None => Ok(false),
    }
}

/// Seals a hash of another service for its user, with the text of its parameters; `None` for what is no hash.
///
/// # Errors
/// No randomness.
pub fn seal_foreign(
    keys: &TenantKeys,
    user: UserId,
    encoded: &str,
) -> Result<Option<(Vec<u8>, String)>, Failure> {
    let Ok(hash) = Hash::parse(encoded) else { return Ok(None) };
    let sealed = keys.seal(Column::ForeignHash, &user.to_string(), encoded.as_bytes())?;
    Ok(Some((sealed, hash.params().to_string())))
}

/// Deletes the foreign hashes of tenants after their date (their owners need a reset), and counters whose hour is
/// over.
///
/// # Errors
/// Errors of the database.
pub async fn sweep(control: &Control) -> Result<(), Failure> {
    let now = control.clock.now();
    let over = sqlx::query_scalar!(
        "select id from platform.tenants where foreign_left and status <> 'provisioning'"
    )
    .fetch_all(control.db.relay())
    .await?;
    for tenant in over {
        let mut tx = control.db.work_tx(TenantId::from(tenant)).await?;
        sqlx::query!(
            "delete from foreign_tries where tenant_id = $1 and began_at <= $2",
            tenant,
            now - TimeDelta::seconds(FOREIGN_TRIES_SECS),
        )
        .execute(&mut *tx)
        .await?;
        forget_overdue(&mut tx, now).await?;
        tx.commit().await?;
    }
    Ok(())
}

async fn forget_overdue(tx: &mut TenantTx, now: DateTime<Utc>) -> Result<(), Failure> {
    let tenant = tx.tenant();
    let forgotten = sqlx::query_scalar!(
        "update users u
         set foreign_hash = null, foreign_format = null
         from platform.tenants t
         where u.tenant_id = $1 and u.foreign_hash is not null
             and t.id = u.tenant_id and t.foreign_until <= $2
         returning u.id",
        tenant.uuid(),
        now,
    )
    .fetch_all(&mut **tx)
    .await?;
    for user in &forgotten {
        tx.changes().user(tenant, UserId::from(*user), Priority::InTurn);
    }
    if forgotten.is_empty() { Ok(()) } else { foreign_hashes_removed(tx).await }
}

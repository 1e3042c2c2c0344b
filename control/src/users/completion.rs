//! How complete the profile of a user is: a percentage in the user's row, by the tenant's weights.
//!
//! Every transaction that changes an item of the profile calls [`refresh`], so the column is right whenever one commits,
//! and no list has to compute it. After a change of the weights a job computes the column of all users of the tenant.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::ids::{TenantId, UserId};
use shared::tenant::profile::{Completion, ProfileItem, ProfileWeight, Weights};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::control::Control;
use crate::crypt::personal::EMPTY_BYTES;
use crate::db::TenantTx;
use crate::failure::Failure;
use crate::jobs::queue::{self, Enqueued, Job};

/// Users of one transaction of the job: a change of one of them waits for it.
const CHUNK: i64 = 500;

/// What is there of the profile of a user.
struct Present {
    user: Uuid,
    /// The percentage in the row.
    percent: i16,
    first_name: bool,
    last_name: bool,
    phone: bool,
    email_verified: bool,
    /// Sections with at least one entry.
    sections: Vec<String>,
}

impl Present {
    fn has(&self, item: ProfileItem) -> bool {
        match item {
            ProfileItem::FirstName => self.first_name,
            ProfileItem::LastName => self.last_name,
            ProfileItem::Phone => self.phone,
            ProfileItem::EmailVerified => self.email_verified,
            ProfileItem::Qualifications
            | ProfileItem::Employment
            | ProfileItem::Skills
            | ProfileItem::Certifications => self.sections.iter().any(|section| section == item.as_str()),
        }
    }
}

/// Writes how complete the profiles of these users are. The transaction holds their rows or has made them. Call it after
/// everything that changes names, telephone number, address or entries.
///
/// # Errors
/// Errors of the database.
pub async fn refresh(tx: &mut TenantTx, users: &[Uuid]) -> Result<(), Failure> {
    keep_weights(tx).await?;
    let weights = weights(tx).await?;
    let computed = present(tx, users).await?.into_iter().filter_map(|present| {
        let percent = i16::from(weights.completion(|item| present.has(item)).percent);
        (percent != present.percent).then_some((present.user, percent))
    });
    let (changed, percents): (Vec<Uuid>, Vec<i16>) = computed.unzip();
    if changed.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "update users u
         set profile_completion = c.percent
         from unnest($2::uuid[], $3::smallint[]) as c (id, percent)
         where u.tenant_id = $1 and u.id = c.id",
        tx.tenant().uuid(),
        &changed,
        &percents,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// How complete the profile of a user is, and what it lacks; `None` for a user that does not exist.
///
/// # Errors
/// Errors of the database.
pub async fn of(tx: &mut TenantTx, user: UserId) -> Result<Option<Completion>, Failure> {
    let weights = weights(tx).await?;
    let present = present(tx, &[user.uuid()]).await?.pop();
    Ok(present.map(|present| weights.completion(|item| present.has(item))))
}

/// Keeps the tenant's weights in force until the transaction ends: the job that follows another choice waits for it.
async fn keep_weights(tx: &mut TenantTx) -> Result<(), Failure> {
    let tenant = tx.tenant();
    sqlx::query!(
        "select pg_advisory_xact_lock_shared(hashtextextended('wardgate/profile-weights/' || $1::text, 0))",
        tenant.to_string(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The tenant's weights.
async fn weights(tx: &mut TenantTx) -> Result<Weights, Failure> {
    let tenant = tx.tenant();
    let stored = sqlx::query_scalar!(
        r#"select settings -> 'profile_weights' as "weights?" from platform.tenants where id = $1"#,
        tenant.uuid(),
    )
    .fetch_optional(&mut **tx)
    .await?
    .flatten();
    let texts = stored.as_ref().and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    // An item that a later release knows does not count here, as in every reading of the settings.
    let weights: Vec<_> = texts.filter_map(|text| ProfileWeight::parse(text).ok()).collect();
    Ok(Weights::of(&weights))
}

/// Reads what is there. A sealed text shows by its length whether it is empty, so nothing is decrypted.
async fn present(tx: &mut TenantTx, users: &[Uuid]) -> Result<Vec<Present>, Failure> {
    let empty = i32::try_from(EMPTY_BYTES).unwrap_or(i32::MAX);
    let present = sqlx::query_as!(
        Present,
        r#"select u.id as user, u.profile_completion as percent,
            octet_length(u.first_name) > $3 as "first_name!",
            octet_length(u.last_name) > $3 as "last_name!",
            octet_length(u.phone) > $3 as "phone!",
            u.email is not null and u.email_verified as "email_verified!",
            array(
                select distinct e.section from profile_entries e
                where e.tenant_id = u.tenant_id and e.user_id = u.id
            ) as "sections!"
        from users u
        where u.tenant_id = $1 and u.id = any ($2)"#,
        tx.tenant().uuid(),
        users,
        empty,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(present)
}

/// Computes the column of all users of a tenant, whose weights were changed.
#[derive(Serialize, Deserialize)]
pub struct RecountProfiles {
    /// The tenant.
    pub tenant: TenantId,
}

impl Job for RecountProfiles {
    const TASK: &'static str = "recount_profiles";
    type Error = Failure;

    async fn run(self, control: &Control) -> Result<(), Failure> {
        outwait(control, self.tenant).await?;
        let mut after = Uuid::nil();
        while let Some(last) = recount_some(control, self.tenant, after).await? {
            after = last;
        }
        Ok(())
    }
}

impl Enqueued for RecountProfiles {
    fn about(&self) -> String {
        self.tenant.to_string()
    }
}

/// Enqueues the job, in the transaction that changes the weights.
///
/// # Errors
/// Errors of the database.
pub async fn ask(connection: &mut PgConnection, tenant: TenantId) -> Result<(), Failure> {
    queue::enqueue(connection, &RecountProfiles { tenant }, TimeDelta::zero()).await
}

/// Waits for every transaction that may have read the former weights; from here on, their users are visible. The lock is
/// released at once: a transaction that held it and waited for rows could deadlock.
async fn outwait(control: &Control, tenant: TenantId) -> Result<(), Failure> {
    let mut tx = control.db.work_tx(tenant).await?;
    sqlx::query!(
        "select pg_advisory_xact_lock(hashtextextended('wardgate/profile-weights/' || $1::text, 0))",
        tenant.to_string(),
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}

/// Computes the column of the next users behind `after`; the last of them.
async fn recount_some(control: &Control, tenant: TenantId, after: Uuid) -> Result<Option<Uuid>, Failure> {
    let mut tx = control.db.work_tx(tenant).await?;
    let users = sqlx::query_scalar!(
        "select id from users where tenant_id = $1 and id > $2 order by id limit $3",
        tenant.uuid(),
        after,
        CHUNK,
    )
    .fetch_all(&mut *tx)
    .await?;
    // A row that another transaction holds is left for a transaction of its own: one that held rows and waited for others
    // could deadlock.
    let free = sqlx::query_scalar!(
        "select id from users where tenant_id = $1 and id = any ($2) for no key update skip locked",
        tenant.uuid(),
        &users,
    )
    .fetch_all(&mut *tx)
    .await?;
    refresh(&mut tx, &free).await?;
    tx.commit().await?;
    for user in users.iter().filter(|user| !free.contains(user)) {
        let mut tx = control.db.work_tx(tenant).await?;
        let held = sqlx::query_scalar!(
            "select id from users where tenant_id = $1 and id = $2 for no key update",
            tenant.uuid(),
            user,
        )
        .fetch_all(&mut *tx)
        .await?;
        refresh(&mut tx, &held).await?;
        tx.commit().await?;
    }
    Ok(users.last().copied())
}

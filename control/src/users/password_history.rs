//! The passwords that a user had, as far back as the tenant's setting `password_history` says: Argon2id verifiers,
//! sealed like the present one. That one stays where it is, and counts as the first of them.

use serde::{Deserialize, Serialize};
use shared::ids::{TenantId, UserId};
use shared::passwords::Verifier;
use uuid::Uuid;

use super::create::tenant_of;
use super::model::UserError;
use super::successor::{Chooser, Past, Successor};
use super::verifiers;
use crate::control::Control;
use crate::crypt::sealed::{Column, TenantKeys};
use crate::db::TenantTx;
use crate::failure::{Failure, chain};
use crate::jobs::queue::{Enqueued, Job};
use crate::passwords::Hasher;

/// Users whose rows are looked at together when less is to be remembered.
const CHUNK: i64 = 1_000;

/// The key of an entry: the password epoch that the verifier had.
fn row(user: UserId, epoch: i64) -> String {
    format!("{user}/{epoch}")
}

/// Reads the passwords that the tenant remembers of a user. A password that another service hashed is not among them.
///
/// # Errors
/// [`UserError::NotFound`], or errors of the database.
pub async fn past(tx: &mut TenantTx, user: UserId) -> Result<Past, UserError> {
    let remembered = tenant_of(tx).await?.settings.password_history;
    let tenant = tx.tenant();
    let present = sqlx::query!(
        "select password_epoch, wrapped_verifier from users where tenant_id = $1 and id = $2",
        tenant.uuid(),
        user.uuid(),
    )
    .fetch_optional(&mut **tx)
    .await?
    .ok_or(UserError::NotFound)?;
    let mut past = Past { epoch: present.password_epoch, verifiers: Vec::new() };
    if remembered == 0 {
        return Ok(past);
    }
    let former = sqlx::query!(
        "select epoch, wrapped
         from password_history
         where tenant_id = $1 and user_id = $2
         order by epoch desc
         limit $3",
        tenant.uuid(),
        user.uuid(),
        older(remembered),
    )
    .fetch_all(&mut **tx)
    .await?;
    let keys = tx.keys();
    let present = present.wrapped_verifier.map(|stored| verifiers::open(keys, user, &stored));
    let former = former.into_iter().map(|former| open(keys, user, former.epoch, &former.wrapped));
    past.verifiers = present.into_iter().chain(former).filter_map(|phc| readable(user, phc)).collect();
    Ok(past)
}

impl Successor {
    /// The same as [`Successor::chosen`], if a password was typed.
    ///
    /// # Errors
    /// As [`Successor::chosen`].
    pub async fn between(
        control: &Control,
        hasher: &Hasher,
        tx: TenantTx,
        whose: (UserId, Chooser),
        typed: Option<String>,
    ) -> Result<(Option<Self>, TenantTx), UserError> {
        let Some(typed) = typed else { return Ok((None, tx)) };
        let (made, tx) = Self::chosen(control, hasher, tx, whose, &typed).await?;
        Ok((Some(made), tx))
    }

    /// Hashes a password, and compares it with the user's where the user chooses it, while the request's connection
    /// serves others. `hasher` is control's own or, for a request without a credential, the one with the separate
    /// queue.
    ///
    /// # Errors
    /// [`UserError::NotFound`]; as [`Successor::of`] and [`TenantTx::pause`].
    pub async fn chosen(
        control: &Control,
        hasher: &Hasher,
        mut tx: TenantTx,
        (user, chooser): (UserId, Chooser),
        typed: &str,
    ) -> Result<(Self, TenantTx), UserError> {
        let past = match chooser {
            Chooser::Owner => Some(past(&mut tx, user).await?),
            Chooser::Another => None,
        };
        let payer = tx.payer();
        let (made, tx) = tx.pause(&control.db, Self::compared(hasher, payer, typed, past)).await?;
        Ok((made?, tx))
    }
}

/// How many are kept beside the present one.
fn older(remembered: u64) -> i64 {
    i64::try_from(remembered.saturating_sub(1)).unwrap_or(i64::MAX)
}

type Phc = zeroize::Zeroizing<Vec<u8>>;

fn open(keys: &TenantKeys, user: UserId, epoch: i64, stored: &[u8]) -> Result<Phc, Failure> {
    keys.open(Column::PasswordHistory, &row(user, epoch), stored)
}

/// One that cannot be read is left out: it must not keep its owner from ever choosing a password again.
fn readable(user: UserId, phc: Result<Phc, Failure>) -> Option<Verifier> {
    let parsed = phc.and_then(|phc| {
        let phc = std::str::from_utf8(&phc).ok();
        phc.and_then(|phc| Verifier::parse(phc).ok()).ok_or(Failure::Unreadable("verifier"))
    });
    if let Err(failure) = &parsed {
        tracing::error!(%user, error = %chain(failure), "a former password cannot be read");
    }
    parsed.ok()
}

/// Keeps the present verifier of a user, whose row is locked and gets another one next, and forgets what is older than
/// the tenant remembers.
///
/// # Errors
/// Errors of the database.
pub(super) async fn keep(
    tx: &mut TenantTx,
    user: UserId,
    epoch: i64,
    remembered: u64,
) -> Result<(), Failure> {
    let tenant = tx.tenant();
    let older = older(remembered);
    let present = sqlx::query_scalar!(
        "select wrapped_verifier from users where tenant_id = $1 and id = $2",
        tenant.uuid(),
        user.uuid(),
    )
    .fetch_one(&mut **tx)
    .await?;
    let present = present.filter(|_| older > 0).map(|stored| verifiers::open(tx.keys(), user, &stored));
    if let Some(verifier) = present.and_then(|phc| readable(user, phc)) {
        let phc = verifier.to_phc();
        let wrapped = tx.keys().seal(Column::PasswordHistory, &row(user, epoch), phc.as_bytes())?;
        sqlx::query!(
            "insert into password_history (tenant_id, user_id, epoch, wrapped)
             values ($1, $2, $3, $4)
             on conflict (tenant_id, user_id, epoch) do update set wrapped = excluded.wrapped",
            tenant.uuid(),
            user.uuid(),
            epoch,
            wrapped,
        )
        .execute(&mut **tx)
        .await?;
    }
    forget(tx, &[user.uuid()], older).await
}

/// Leaves each of these users so many former passwords.
async fn forget(tx: &mut TenantTx, users: &[Uuid], older: i64) -> Result<(), Failure> {
    let tenant = tx.tenant();
    sqlx::query!(
        "delete from password_history h
         using (
             select user_id, epoch, row_number() over (partition by user_id order by epoch desc) as place
             from password_history
             where tenant_id = $1 and user_id = any ($2)
         ) as placed
         where h.tenant_id = $1 and h.user_id = placed.user_id and h.epoch = placed.epoch and placed.place > $3",
        tenant.uuid(),
        users,
        older,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Forgets what a tenant no longer remembers. Enqueued by the change of its setting.
#[derive(Serialize, Deserialize)]
pub struct ForgetPasswords {
    /// The tenant.
    pub tenant: TenantId,
}

impl Job for ForgetPasswords {
    const TASK: &'static str = "forget_passwords";
    type Error = Failure;

    async fn run(self, control: &Control) -> Result<(), Failure> {
        let mut after = Uuid::nil();
        while let Some(last) = forget_some(control, self.tenant, after).await? {
            after = last;
        }
        Ok(())
    }
}

impl Enqueued for ForgetPasswords {
    fn about(&self) -> String {
        self.tenant.to_string()
    }
}

/// Forgets of the next users behind `after`, by the setting as it is now; the last of them.
async fn forget_some(control: &Control, tenant: TenantId, after: Uuid) -> Result<Option<Uuid>, Failure> {
    let mut tx = control.db.work_tx(tenant).await?;
    let remembered = match tenant_of(&mut tx).await {
        Ok(tenant) => tenant.settings.password_history,
        Err(UserError::Failure(failure)) => return Err(failure),
        Err(_) => return Ok(None),
    };
    let users = sqlx::query_scalar!(
        "select distinct user_id
         from password_history
         where tenant_id = $1 and user_id > $2
         order by user_id
         limit $3",
        tenant.uuid(),
        after,
        CHUNK,
    )
    .fetch_all(&mut *tx)
    .await?;
    forget(&mut tx, &users, older(remembered)).await?;
    tx.commit().await?;
    Ok(users.last().copied())
}

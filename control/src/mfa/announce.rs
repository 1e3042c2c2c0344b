//! A demand that is to come is announced: the root-admins of a tenant whose users were imported hear by mail, at the import and
//! a week before the day, that they have to enrol a second factor by then.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Map;
use shared::ids::TenantId;
use shared::tenant::Status;
use shared::user::UserStatus;

use crate::control::Control;
use crate::db::TenantTx;
use crate::failure::Failure;
use crate::http::list::given;
use crate::http::rows::Rows;
use crate::jobs::queue::{Enqueued, Job, enqueue};
use crate::mail::{self, Facts, MailKind, NewMail, Recipient};
use crate::tenants::{self, TenantError, demand_to_come};
use crate::users::{self, Filters, ListError, Matching, User, Viewer};

/// How long before the start of the requirement the reminder is sent.
const REMINDER: TimeDelta = TimeDelta::days(7);
/// Most root-admins that get the mail.
const MAX_RECIPIENTS: i64 = 100;
const ROOT_ADMIN: &str = "root-admin";

/// Announces that a tenant will require a second factor from `from` on, if that is still planned.
#[derive(Serialize, Deserialize)]
pub struct AnnounceDemand {
    /// The tenant.
    pub tenant: TenantId,
    /// From when on.
    pub from: DateTime<Utc>,
    /// Whether it is the second time.
    pub again: bool,
}

impl Job for AnnounceDemand {
    const TASK: &'static str = "announce_demand";
    type Error = Failure;

    async fn run(self, control: &Control) -> Result<(), Failure> {
        announce(control, self.tenant, self.from).await
    }
}

impl Enqueued for AnnounceDemand {
    fn about(&self) -> String {
        format!("{}/{}", self.tenant, if self.again { "again" } else { "first" })
    }
}

/// Has it announced, now and a week before.
///
/// # Errors
/// Errors of the database.
pub async fn promise(
    tx: &mut TenantTx,
    tenant: TenantId,
    from: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<(), Failure> {
    enqueue(tx, &AnnounceDemand { tenant, from, again: false }, TimeDelta::zero()).await?;
    enqueue(tx, &AnnounceDemand { tenant, from, again: true }, from - REMINDER - now).await
}

/// Mails the root-admins that have no second factor. A job that runs twice sends two mails.
///
/// # Errors
/// Errors of the database, or no randomness.
pub async fn announce(control: &Control, tenant: TenantId, from: DateTime<Utc>) -> Result<(), Failure> {
    let mut tx = control.db.work_tx(tenant).await?;
    let tenant = match tenants::find(&mut tx, tenant).await {
        Ok(tenant) if tenant.status == Status::Active => tenant,
        Ok(_) | Err(TenantError::NotFound) => return Ok(()),
        Err(TenantError::Failure(failure)) => return Err(failure),
        Err(_) => return Ok(()),
    };
    let Some(notice) = demand_to_come(&tenant, control.clock.now()).filter(|notice| notice.from == from)
    else {
        return Ok(());
    };
    let (admins, mut tx) = without_second_factor(tx).await?;
    tracing::warn!(tenant = %tenant.slug, root_admins_without = admins.len(), "{}", notice.detail);
    for admin in admins.iter().filter(|admin| admin.email_verified) {
        let Some(to) = Recipient::user(admin) else { continue };
        let username = admin.username.expose().to_owned();
        let facts = Facts { username, at: Some(from), ..Facts::default() };
        let letter = NewMail { kind: MailKind::SecondFactorDemanded, to, link: None, facts };
        let _ = mail::post(&mut tx, control, letter).await?;
    }
    tx.commit().await
}

async fn without_second_factor(tx: TenantTx) -> Result<(Vec<User>, TenantTx), Failure> {
    let unreadable = || Failure::Unreadable("filters of root-admins");
    let (_, order) = given::<Filters>(Map::new()).map_err(|_| unreadable())?;
    let filters = Filters {
        status: Some(UserStatus::Active),
        role: Some(String::from(ROOT_ADMIN)),
        mfa_enabled: Some(false),
        ..Filters::default()
    };
    let permitted = Viewer::operator().permits(filters, &order).map_err(|_| unreadable())?;
    let failed = |error: ListError| match error {
        ListError::Failure(failure) => failure,
        ListError::Rebuilding | ListError::TooManyToOrder(_) => unreadable(),
    };
    let (matching, mut tx) = Matching::of(tx, permitted).await.map_err(failed)?;
    let rows = Rows { order, after: None, limit: MAX_RECIPIENTS, offset: 0 };
    let admins = users::list(&mut tx, &matching, &rows).await.map_err(failed)?;
    Ok((admins, tx))
}

//! The job that answers a stored request: it looks up the account, makes links and queues mails, all in one
//! transaction. A second run finds the request answered or deleted.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use shared::ids::TenantId;
use shared::tenant::Status;

use super::{AccountError, address, invitations, registration, resend};
use crate::control::Control;
use crate::db::TenantTx;
use crate::failure::Failure;
use crate::jobs::queue::{Enqueued, Job, Pool, enqueue};
use crate::requests::{RequestId, RequestKind};
use crate::tenants::{self, InvitedAdmin, TenantError};

/// Answers a request.
#[derive(Serialize, Deserialize)]
pub struct AnswerRequest {
    /// At which tenant.
    pub tenant: TenantId,
    /// The kind of request.
    pub kind: RequestKind,
    /// The request.
    pub request: RequestId,
}

impl Job for AnswerRequest {
    const TASK: &'static str = "answer_request";
    const POOL: Pool = Pool::Answers;
    type Error = AccountError;

    async fn run(self, control: &Control) -> Result<(), AccountError> {
        let mut tx = control.db.work_tx(self.tenant).await?;
        let tenant = tenants::find(&mut tx, self.tenant).await?;
        if tenant.status != Status::Active {
            return Ok(());
        }
        match self.kind {
            RequestKind::Registration => {
                registration::answer(control, &mut tx, &tenant, self.request).await?;
            }
            RequestKind::Resend => resend::answer(control, &mut tx, &tenant, self.request).await?,
            RequestKind::Address => address::answer(control, &mut tx, self.request).await?,
            RequestKind::Invitation => invitations::answer(control, &mut tx, self.request).await?,
            RequestKind::Reset | RequestKind::Network => {}
        }
        Ok(tx.commit().await?)
    }
}

impl Enqueued for AnswerRequest {
    fn about(&self) -> String {
        self.request.to_string()
    }

    fn tenant(&self) -> Option<TenantId> {
        Some(self.tenant)
    }
}

/// Lets a request be answered once its transaction is committed.
///
/// # Errors
/// [`Failure::Busy`] where too many of the tenant wait; errors of the database.
pub async fn soon(tx: &mut TenantTx, kind: RequestKind, request: RequestId) -> Result<(), Failure> {
    let job = AnswerRequest { tenant: tx.tenant(), kind, request };
    enqueue(tx, &job, TimeDelta::zero()).await
}

/// Invites the first administrator of a new tenant, once it is active.
///
/// # Errors
/// Errors of the database.
pub async fn invite_first_admin(
    control: &Control,
    tx: &mut TenantTx,
    admin: InvitedAdmin,
) -> Result<(), TenantError> {
    let invited = invitations::put_first(control, tx, admin).await;
    match invited {
        Ok(invitation) => Ok(soon(tx, RequestKind::Invitation, invitation.id).await?),
        Err(AccountError::Failure(failure)) => Err(failure.into()),
        Err(_) => Err(Failure::Unreadable("first administrator").into()),
    }
}

//! Rate limits of a session's storage calls: refresh, verification of its refresh token, renewal, sign-out.
//!
//! Checked after the token's own signature, so that garbage does not use up the limit, and before storage. Without it
//! one signed-in client could use up the writes of a whole shard.

use shared::contract::refusal::Refusal;
use shared::ids::SessionId;

use crate::context::Context;
use crate::isolate::opened::OpenedTenant;
use crate::platform::{Limit, Platform};

/// The limits by session and by tenant. A session that is over its own is not charged to its tenant.
///
/// # Errors
/// 429.
pub(super) async fn admit<P: Platform>(
    ctx: Context<'_, P>,
    known: &OpenedTenant,
    sid: SessionId,
) -> Result<(), Refusal> {
    let (platform, tenant) = (&ctx.app.platform, known.tenant.id.to_string());
    let admitted = platform.admits(Limit::Session, &format!("{tenant}/{sid}")).await
        && platform.admits(Limit::TenantSessions, &tenant).await;
    if admitted { Ok(()) } else { Err(Refusal::throttled(60)) }
}

//! The tenant's document after a batch, for batches that need not be repeated with a newer one.

use std::rc::Rc;

use shared::contract::refusal::Refusal;

use crate::context::Context;
use crate::isolate::opened::OpenedTenant;
use crate::platform::Platform;
use crate::tenants::find::{TenantName, renew};
use crate::tenants::state::State;

/// The present document: a newer one is read.
///
/// # Errors
/// 403 at a suspended tenant, 404 if it was deleted, 503 if the name belongs to another tenant or the document needs
/// a feature that this release does not know.
pub(super) async fn settled<P: Platform>(
    ctx: Context<'_, P>,
    named: &TenantName,
    known: Rc<OpenedTenant>,
    state: State,
) -> Result<Rc<OpenedTenant>, Refusal> {
    match state {
        State::Current => Ok(known),
        State::Newer => renew(ctx.app, known.tenant.id).await,
        State::Suspended => Err(Refusal::tenant_suspended()),
        State::Gone => Err(Refusal::not_found()),
        State::NotUnderstood => Err(Refusal::unavailable()),
        State::Renamed => {
            ctx.app.shard_cache.borrow_mut().forget_name(&named.name);
            Err(Refusal::unavailable())
        }
    }
}

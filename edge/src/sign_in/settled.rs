//! The tenant's document that a batch is judged by, where nothing of the batch has to be done again under a newer one.

use std::rc::Rc;

use shared::contract::refusal::Refusal;

use crate::context::Context;
use crate::isolate::opened::OpenedTenant;
use crate::platform::Platform;
use crate::tenants::find::{TenantName, renew};
use crate::tenants::state::State;

/// The document to go on with: a newer one is read.
///
/// # Errors
/// 403 at a suspended tenant, 404 where it is gone, 503 where the name is another tenant's or the document needs what
/// this release does not understand.
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
            ctx.app.knowledge.borrow_mut().forget_name(&named.name);
            Err(Refusal::unavailable())
        }
    }
}

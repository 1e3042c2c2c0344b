//! The networks from which a tenant accepts sign-ins, refreshes and forwarded requests. Validation is not checked,
//! because it sees the address of a gateway.

use shared::contract::limits::{SHARD_REFUSALS, TENANT_REFUSALS};
use shared::contract::refusal::Refusal;
use shared::contract::routes::Audience;
use shared::network;

use crate::context::Context;
use crate::isolate::opened::OpenedTenant;
use crate::platform::Platform;
use crate::sql;
use crate::sql::batch::Batch;

/// Refuses a client whose address the tenant does not allow, before the request is read further. The first refusal of
/// a network in a minute is recorded.
///
/// # Errors
/// 403 `network_not_allowed`.
pub async fn admit<P: Platform>(
    ctx: Context<'_, P>,
    known: &OpenedTenant,
    client: &str,
    audience: Audience,
) -> Result<(), Refusal> {
    let settings = &known.tenant.settings;
    let admitted = match audience {
        Audience::Administrators => settings.admits_administration(client),
        Audience::Users => settings.admits_network(client),
        Audience::Everyone => true,
    };
    if admitted {
        return Ok(());
    }
    record(ctx, known, &network::of(client)).await;
    Err(Refusal::network_not_allowed())
}

/// If it cannot be recorded, the request is still refused.
async fn record<P: Platform>(ctx: Context<'_, P>, known: &OpenedTenant, network: &str) {
    let tenant = known.tenant.id;
    if !ctx.app.reported.borrow_mut().is_first(tenant, network, ctx.now_ms) {
        return;
    }
    let (tenant, event) = (tenant.to_string(), ctx.event_id().to_string());
    let (tenant, event, minute) = (tenant.as_str(), event.as_str(), ctx.minute());
    let mut batch = Batch::new(known.tenant.shard());
    batch.also(sql::RECORD_REFUSAL.bind([
        tenant.into(),
        "".into(),
        network.into(),
        minute.into(),
        event.into(),
        i64::from(TENANT_REFUSALS).into(),
        i64::from(SHARD_REFUSALS).into(),
    ]));
    batch.also(sql::COUNT_DROPPED_REFUSAL.bind([
        tenant.into(),
        "".into(),
        network.into(),
        minute.into(),
        event.into(),
    ]));
    ctx.run(batch).await.ok();
}

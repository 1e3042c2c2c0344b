//! Tickets as Bearer: looked up and vouched for to control, not consumed here. Control's operation raises the epochs
//! that the ticket is bound to.

use serde::Deserialize;
use shared::contract::refusal::{Refusal, TokenFault};
use shared::ids::UserId;
use shared::tokens::ticket::{Ticket, TicketPurpose};
use shared::wire::ticket::VouchedTicket;

use crate::context::Context;
use crate::isolate::opened::OpenedTenant;
use crate::platform::{Limit, Platform};
use crate::sql;
use crate::sql::batch::Batch;
use crate::tokens::error::TokenError;

/// A valid ticket, as [`sql::TICKET`] selects it.
#[derive(Deserialize)]
struct TicketRow {
    user: UserId,
    password_epoch: i64,
    access_epoch: i64,
}

/// Looks a ticket up with one read, within the limit of unauthenticated requests from `network`.
///
/// # Errors
/// Invalid token, for any reason; 429 above the limit; 503 if the database did not answer.
pub async fn look_up<P: Platform>(
    ctx: Context<'_, P>,
    known: &OpenedTenant,
    network: &str,
    purpose: TicketPurpose,
    unverified: &Ticket,
) -> Result<VouchedTicket, TokenError> {
    if !ctx.app.platform.admits(Limit::Network, &format!("open/{network}")).await {
        return Err(Refusal::throttled(60).into());
    }
    let mut batch = Batch::new(known.tenant.shard());
    let row = batch.add::<TicketRow>(sql::TICKET.bind([
        known.tenant.id.to_string().into(),
        unverified.digest().into(),
        purpose.as_str().into(),
        ctx.now().into(),
    ]));
    let rows = ctx.run(batch).await?;
    let TicketRow { user, password_epoch, access_epoch } = rows.take_one(row)?.ok_or(TokenFault::Invalid)?;
    Ok(VouchedTicket { purpose, user, password_epoch, access_epoch })
}

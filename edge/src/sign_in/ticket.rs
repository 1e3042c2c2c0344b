//! The second batch of a sign-in with a correct password if the user must do something first: a ticket in place of a
//! family.

use shared::contract::limits::TICKET_SECS;
use shared::contract::refusal::Refusal;
use shared::tokens::ticket::{Ticket, TicketPurpose};
use shared::wire::facts::FactKind;

use crate::context::Context;
use crate::platform::Platform;
use crate::sign_in::password::UserRow;
use crate::sign_in::throttle::ReservedAttempt;
use crate::sql::batch::Batch;
use crate::sql::{self, secs_as_ms};
use crate::tenants::find::TenantName;
use crate::tenants::state::StateRow;

/// Issues a ticket, takes the attempt back, and records the fact.
///
/// # Errors
/// The refusal if user or tenant changed during the hash, as for a family; 503 if the database did not answer.
pub(super) async fn give<P: Platform>(
    ctx: Context<'_, P>,
    named: &TenantName,
    reserved: &ReservedAttempt,
    user: &UserRow,
    purpose: TicketPurpose,
    network: &str,
) -> Result<Ticket, Refusal> {
    let fact = match purpose {
        TicketPurpose::PasswordChange => FactKind::PasswordChangeRequired,
        TicketPurpose::MfaEnrollment => FactKind::MfaEnrollmentRequired,
    };
    let tenant = &reserved.known.tenant;
    let (id, user_id, event) = (tenant.id.to_string(), user.id.to_string(), ctx.event_id().to_string());
    let (id, user_id) = (id.as_str(), user_id.as_str());
    let ticket = Ticket::new(ctx.app.random());
    let digest = ticket.digest();
    let digest = digest.as_str();
    let mut batch = Batch::new(tenant.shard());
    let given = batch.add_counted(sql::INSERT_TICKET.bind([
        id.into(),
        user_id.into(),
        purpose.as_str().into(),
        digest.into(),
        ctx.now().saturating_add(secs_as_ms(TICKET_SECS)).into(),
        user.session_counter.into(),
        sql::understood(),
    ]));
    batch.also(reserved.attempt.give_back(sql::RETURN_ATTEMPT_FOR_TICKET, id, digest));
    batch.also(sql::RECORD_TICKET.bind([
        event.into(),
        id.into(),
        ctx.now().into(),
        user_id.into(),
        digest.into(),
        network.into(),
        fact.as_str().into(),
    ]));
    let state = batch.add::<StateRow>(sql::TENANT_STATE.bind([id.into(), named.name.as_str().into()]));
    let rows = ctx.run(batch).await?;
    let state = rows.take_one(state)?;
    if rows.count(given)? > 0 {
        return Ok(ticket);
    }
    Err(StateRow::compare(state.as_ref(), &reserved.known).at_sign_in())
}

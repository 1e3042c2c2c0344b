//! Sign-in: `token` and `login` differ in their answer alone ([`crate::sessions::issued`]).

use shared::contract::limits::FAMILIES;
use shared::contract::refusal::Refusal;
use shared::ids::SessionId;
use shared::tokens::ticket::Ticket;

use crate::body::Credentials;
use crate::context::Context;
use crate::network;
use crate::platform::Platform;
use crate::sessions::family::FamilyRow;
use crate::sessions::issued::{IssuedTokens, tokens};
use crate::sign_in::password::{UserRow, is_right};
use crate::sign_in::throttle::{ReservedAttempt, admit, admit_network, record_refusal, reserve};
use crate::sign_in::ticket;
use crate::sql::batch::Batch;
use crate::sql::{self, secs_as_ms};
use crate::tenants::find::{TenantName, find_known};
use crate::tenants::state::StateRow;
use crate::tokens::amr::{Amr, Method};

/// How a sign-in with a right name and password ends. A match over it has no wildcard arm: a second factor's
/// challenge becomes a variant here, and then each route that answers a sign-in stops compiling until it words it.
pub enum SignInOutcome {
    /// The session is there, with its tokens.
    Issued(IssuedTokens),
    /// There is none: the password has to be changed first, for which the ticket is good.
    PasswordDue(Ticket),
}

/// Signs a user in.
///
/// 1. The limits by network, by tenant and network, and by tenant and name, before storage and any hash: 429.
/// 2. One batch: the try is counted (429 over the limit), the user looked up, the tenant's state
///    read (a newer document is read and the batch done again).
/// 3. One hash, whatever was found. Where some passwords of the tenant were hashed elsewhere, control is
///    asked as well, about every password but a right one of our own: 503 where it does not answer.
/// 4. A user whose row needs what this release does not understand: 503. One who owes a new password: a ticket in
///    place of the session, by one batch like the next.
/// 5. One batch: the family, if user and tenant are still as before the hash; else 401, the same
///    for every reason.
/// 6. The tokens.
///
/// # Errors
/// As above; 403 at a suspended tenant, 503 where storage or a key is out of reach.
pub async fn sign_in<P: Platform>(
    ctx: Context<'_, P>,
    named: &TenantName,
    Credentials { name, password }: Credentials,
    client: &str,
) -> Result<SignInOutcome, Refusal> {
    let network = network::of(client);
    admit_network(ctx.app, &network).await?;
    let known = find_known(ctx, named).await?;
    admit(ctx.app, &known, &network, &name).await?;
    let reserved = reserve(ctx, named, known, &name).await?;
    // A try stays counted where control does not answer: else an outage would be free guesses.
    let right = is_right(ctx, &reserved.known, reserved.user.as_ref(), &password).await?;
    drop(password);
    let Some(user) = reserved.user.as_ref().filter(|_| right) else {
        record_refusal(ctx, &reserved, &network).await?;
        return Err(Refusal::no_active_account());
    };
    if !user.is_understood() {
        return Err(Refusal::unavailable());
    }
    if user.owes_a_password(&reserved.known.tenant.settings, ctx.now()) {
        return ticket::give(ctx, named, &reserved, user, &network).await.map(SignInOutcome::PasswordDue);
    }
    let sid = ctx.session_id(reserved.known.tenant.shard());
    let row = open_family(ctx, named, &reserved, user, sid, &network).await?;
    tokens(ctx, &reserved.known, sid, &row).await.map(SignInOutcome::Issued)
}

/// The second batch: the family, and everything that hangs on its being written.
async fn open_family<P: Platform>(
    ctx: Context<'_, P>,
    named: &TenantName,
    reserved: &ReservedAttempt,
    user: &UserRow,
    sid: SessionId,
    network: &str,
) -> Result<FamilyRow, Refusal> {
    let tenant = &reserved.known.tenant;
    let (id, user_id, sid) = (tenant.id.to_string(), user.id.to_string(), sid.to_string());
    let (id, user_id, sid, now) = (id.as_str(), user_id.as_str(), sid.as_str(), ctx.now());
    let (signed_in, evicted) = (ctx.event_id().to_string(), ctx.event_id().to_string());
    let absolute = now.saturating_add(secs_as_ms(tenant.settings.absolute_secs));
    let idle = now.saturating_add(secs_as_ms(tenant.settings.idle_secs)).min(absolute);
    let most = i64::from(FAMILIES);
    let evict = |statement: sql::Sql| {
        statement.bind([evicted.as_str().into(), id.into(), now.into(), sid.into(), most.into()])
    };
    let mut batch = Batch::new(tenant.shard());
    batch.also(sql::INSERT_FAMILY.bind([
        sid.into(),
        id.into(),
        user_id.into(),
        now.into(),
        idle.into(),
        absolute.into(),
        user.session_epoch.into(),
        Amr::new(&[Method::Pwd]).to_column().into(),
        sql::understood(),
    ]));
    batch.also(evict(sql::RECORD_EVICTION));
    batch.also(evict(sql::EVICT_FAMILIES));
    batch.also(sql::RETURN_ATTEMPT.bind([
        id.into(),
        reserved.hashes.now.attempt.as_str().into(),
        reserved.window_start.into(),
        sid.into(),
    ]));
    batch.also(sql::RECORD_SIGN_IN.bind([
        signed_in.into(),
        id.into(),
        now.into(),
        user_id.into(),
        sid.into(),
        network.into(),
    ]));
    let family = batch.add::<FamilyRow>(sql::FAMILY.bind([sid.into(), id.into()]));
    let state = batch.add::<StateRow>(sql::TENANT_STATE.bind([id.into(), named.name.as_str().into()]));
    let rows = ctx.run(batch).await?;
    let state = rows.take_one(state)?;
    match rows.take_one(family)? {
        Some(row) => Ok(row),
        None => Err(StateRow::compare(state.as_ref(), &reserved.known).at_sign_in()),
    }
}

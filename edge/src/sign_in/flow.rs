//! Sign-in: `token` and `login` differ in their answer alone ([`crate::sessions::issued`]).

use std::rc::Rc;

use serde::Deserialize;
use shared::derive::{attempt_hash, identifier_hash};
use shared::identifiers::Identifier;
use shared::ids::SessionId;
use shared::limits::{ATTEMPT_WINDOW_SECS, ATTEMPTS, FAMILIES, OUTBOX_FAILURES};
use shared::push::IdentifierRow;
use shared::refusal::Refusal;

use crate::app::App;
use crate::body::Credentials;
use crate::context::Context;
use crate::isolate::opened::OpenedTenant;
use crate::network;
use crate::platform::{Limit, Platform, Rows};
use crate::sessions::family::FamilyRow;
use crate::sessions::issued::{IssuedTokens, tokens};
use crate::sign_in::password::{UserRow, is_right};
use crate::sql::batch::{Batch, BatchRows, Handle};
use crate::sql::{self, secs_as_ms};
use crate::tenants::find::{TenantName, find_known, renew};
use crate::tenants::state::{State, StateRow};
use crate::tokens::amr::{Amr, Method};

/// Names under which a try is counted and a user is looked up. A name without a canonical form is
/// nobody's, so its lookup finds nothing and everything else goes on alike.
struct Hashes {
    attempt: String,
    identifier: String,
}

impl Hashes {
    fn of(known: &OpenedTenant, name: &str) -> Self {
        let identifier = Identifier::parse(name).ok();
        let canonical = identifier.as_ref().map_or(name, Identifier::as_str);
        let attempt = attempt_hash(&known.attempt_key, known.tenant.id, canonical);
        let looked_up = identifier.map(|id| identifier_hash(&known.identifier_key, known.tenant.id, &id));
        Self {
            attempt: IdentifierRow::encode_hash(&attempt),
            identifier: looked_up.map(|hash| IdentifierRow::encode_hash(&hash)).unwrap_or_default(),
        }
    }
}

#[derive(Deserialize)]
struct WindowRow {
    window_start: i64,
}

/// What the first batch found.
struct ReservedAttempt {
    known: Rc<OpenedTenant>,
    hashes: Hashes,
    window_start: i64,
    user: Option<UserRow>,
}

/// How a sign-in with a right name and password ends. A match over it has no wildcard arm: a second factor's
/// challenge and the ticket of a password change become variants here, and then each route that answers a sign-in
/// stops compiling until it words them.
pub enum SignInOutcome {
    /// The session is there, with its tokens.
    Issued(IssuedTokens),
}

/// Signs a user in.
///
/// 1. The limits by network and by name, before storage and any hash: 429.
/// 2. One batch: the try is counted (429 over the limit), the user looked up, the tenant's state
///    read (a newer document is read and the batch done again).
/// 3. One hash, whatever was found; where some passwords of the tenant were hashed elsewhere, all but a
///    right one of our own are asked about at control besides: 503 where it does not answer.
/// 4. A user whose row needs what this release does not understand: 503.
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
    let known = find_known(ctx, named).await?;
    let network = network::of(client);
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
    let sid = ctx.session_id(reserved.known.tenant.shard());
    let row = open_family(ctx, named, &reserved, user, sid, &network).await?;
    tokens(ctx, &reserved.known, sid, &row).await.map(SignInOutcome::Issued)
}

async fn admit<P: Platform>(
    app: &App<P>,
    known: &OpenedTenant,
    network: &str,
    name: &str,
) -> Result<(), Refusal> {
    let tenant = known.tenant.id;
    let by_network = app.platform.admits(Limit::Network, &format!("{tenant}/{network}")).await;
    if !by_network {
        return Err(Refusal::throttled(60));
    }
    let hash = Hashes::of(known, name).attempt;
    if app.platform.admits(Limit::Name, &format!("{tenant}/{hash}")).await {
        Ok(())
    } else {
        Err(Refusal::throttled(60))
    }
}

/// The first batch, once more where the tenant's document has moved on.
async fn reserve<P: Platform>(
    ctx: Context<'_, P>,
    named: &TenantName,
    known: Rc<OpenedTenant>,
    name: &str,
) -> Result<ReservedAttempt, Refusal> {
    let hashes = Hashes::of(&known, name);
    let (rows, state) = reserve_batch(ctx, named, &known, &hashes).await?;
    match state {
        State::Current => reserved(known, hashes, rows, ctx.now()),
        State::Suspended => Err(Refusal::tenant_suspended()),
        State::Gone => Err(Refusal::not_found()),
        State::NotUnderstood => Err(Refusal::unavailable()),
        State::Renamed => {
            ctx.app.knowledge.borrow_mut().forget_name(&named.name);
            Err(Refusal::unavailable())
        }
        State::Newer => {
            let newer = renew(ctx.app, known.tenant.id).await?;
            let same_root = newer.tenant.lookup_root.version == known.tenant.lookup_root.version;
            if same_root {
                return reserved(newer, hashes, rows, ctx.now());
            }
            let hashes = Hashes::of(&newer, name);
            let (rows, state) = reserve_batch(ctx, named, &newer, &hashes).await?;
            let current = state == State::Current;
            if current { reserved(newer, hashes, rows, ctx.now()) } else { Err(Refusal::unavailable()) }
        }
    }
}

/// What the first batch left.
struct ReservedRows<R> {
    rows: BatchRows<R>,
    counted: Handle<WindowRow>,
    window: Handle<WindowRow>,
    user: Handle<UserRow>,
}

async fn reserve_batch<P: Platform>(
    ctx: Context<'_, P>,
    named: &TenantName,
    known: &OpenedTenant,
    hashes: &Hashes,
) -> Result<(ReservedRows<P::Rows>, State), Refusal> {
    let tenant = known.tenant.id.to_string();
    let (tenant, name) = (tenant.as_str(), named.name.as_str());
    let (attempt, identifier) = (hashes.attempt.as_str(), hashes.identifier.as_str());
    let mut batch = Batch::new(known.tenant.shard());
    let counted = batch.add(sql::RESERVE_ATTEMPT.bind([
        tenant.into(),
        attempt.into(),
        ctx.now().into(),
        secs_as_ms(ATTEMPT_WINDOW_SECS).into(),
        i64::from(ATTEMPTS).into(),
    ]));
    let window = batch.add(sql::ATTEMPT_WINDOW.bind([tenant.into(), attempt.into()]));
    let user = batch.add(sql::USER_BY_IDENTIFIER.bind([tenant.into(), identifier.into()]));
    let state = batch.add::<StateRow>(sql::TENANT_STATE.bind([tenant.into(), name.into()]));
    let rows = ctx.run(batch).await?;
    let state = StateRow::compare(rows.take_one(state)?.as_ref(), known);
    Ok((ReservedRows { rows, counted, window, user }, state))
}

fn reserved<R: Rows>(
    known: Rc<OpenedTenant>,
    hashes: Hashes,
    left: ReservedRows<R>,
    now: i64,
) -> Result<ReservedAttempt, Refusal> {
    let Some(counted) = left.rows.take_one(left.counted)? else {
        let window = left.rows.take_one(left.window)?;
        let lasts = secs_as_ms(ATTEMPT_WINDOW_SECS);
        let ends = window.map_or(0, |window| window.window_start).saturating_add(lasts);
        // A try that arrived a moment later may have begun the window.
        let wait_ms = ends.saturating_sub(now).clamp(1, lasts);
        return Err(Refusal::throttled(u64::try_from(wait_ms).unwrap_or(1).div_ceil(1000)));
    };
    let user = left.rows.take_one(left.user)?;
    Ok(ReservedAttempt { known, hashes, window_start: counted.window_start, user })
}

async fn record_refusal<P: Platform>(
    ctx: Context<'_, P>,
    reserved: &ReservedAttempt,
    network: &str,
) -> Result<(), Refusal> {
    let mut batch = Batch::new(reserved.known.tenant.shard());
    batch.also(sql::RECORD_REFUSAL.bind([
        reserved.known.tenant.id.to_string().into(),
        reserved.hashes.attempt.as_str().into(),
        network.into(),
        ctx.minute().into(),
        ctx.event_id().to_string().into(),
        i64::from(OUTBOX_FAILURES).into(),
    ]));
    ctx.run(batch).await?;
    Ok(())
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
        reserved.hashes.attempt.as_str().into(),
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
        None if StateRow::compare(state.as_ref(), &reserved.known) == State::Suspended => {
            Err(Refusal::tenant_suspended())
        }
        None => Err(Refusal::no_active_account()),
    }
}

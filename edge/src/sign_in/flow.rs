//! Sign-in: `token` and `login` differ in their answer alone ([`crate::sessions::issued`]).

use std::rc::Rc;

use serde::Deserialize;
use shared::derive::{attempt_hash, identifier_hash};
use shared::identifiers::Identifier;
use shared::ids::{EventId, SessionId};
use shared::limits::{ATTEMPT_WINDOW_SECS, ATTEMPTS, FAMILIES, OUTBOX_FAILURES};
use shared::push::IdentifierRow;
use shared::refusal::Refusal;

use crate::app::App;
use crate::body::Fields;
use crate::context::Context;
use crate::isolate::opened::Known;
use crate::network;
use crate::platform::Statement;
use crate::platform::{Limit, Platform, read};
use crate::sessions::family::FamilyRow;
use crate::sessions::issued::{Issued, tokens};
use crate::sign_in::password::{UserRow, is_right};
use crate::sql;
use crate::sql::millis;
use crate::sql::secs_as_ms;
use crate::tenants::find::{Named, find_known, renew};
use crate::tenants::state::{State, StateRow};

/// Names under which a try is counted and a user is looked up. A name without a canonical form is
/// nobody's, so its lookup finds nothing and everything else goes on alike.
struct Hashes {
    attempt: String,
    identifier: String,
}

impl Hashes {
    fn of(known: &Known, name: &str) -> Self {
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
struct Reserved {
    known: Rc<Known>,
    hashes: Hashes,
    window_start: i64,
    user: Option<UserRow>,
}

/// Signs a user in.
///
/// 1. Name and password: 400 where one is missing.
/// 2. The limits by network and by name, before storage and any hash: 429.
/// 3. One batch: the try is counted (429 over the limit), the user looked up, the tenant's state
///    read (a newer document is read and the batch done again).
/// 4. One hash, whatever was found; where some passwords of the tenant were hashed elsewhere, all but a
///    right one of our own are asked about at control besides: 503 where it does not answer.
/// 5. A user whose row needs what this release does not understand: 503.
/// 6. One batch: the family, if user and tenant are still as before the hash; else 401, the same
///    for every reason.
/// 7. The tokens.
///
/// # Errors
/// As above; 403 at a suspended tenant, 503 where storage or a key is out of reach.
pub async fn sign_in<P: Platform>(
    ctx: Context<'_, P>,
    named: &Named,
    fields: &Fields,
    client: &str,
) -> Result<Issued, Refusal> {
    let (name, typed) = fields.credentials()?;
    let known = find_known(ctx, named).await?;
    let network = network::of(client);
    admit(ctx.app, &known, &network, &name).await?;
    let reserved = reserve(ctx, named, known, &name).await?;
    // A try stays counted where control does not answer: else an outage would be free guesses.
    let right = is_right(ctx, &reserved.known, reserved.user.as_ref(), &typed).await?;
    let Some(user) = reserved.user.as_ref().filter(|_| right) else {
        record_refusal(ctx, &reserved, &network).await?;
        return Err(Refusal::no_active_account());
    };
    if !user.is_understood() {
        return Err(Refusal::unavailable());
    }
    let sid = ctx.session_id(reserved.known.tenant.shard());
    let row = open_family(ctx, named, &reserved, user, sid, &network).await?;
    tokens(ctx, &reserved.known, sid, &row).await
}

async fn admit<P: Platform>(app: &App<P>, known: &Known, network: &str, name: &str) -> Result<(), Refusal> {
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
    named: &Named,
    known: Rc<Known>,
    name: &str,
) -> Result<Reserved, Refusal> {
    let hashes = Hashes::of(&known, name);
    let (rows, state) = reserve_batch(ctx, named, &known, &hashes).await?;
    match state {
        State::Current => reserved::<P>(known, hashes, &rows, ctx.now_ms),
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
                return reserved::<P>(newer, hashes, &rows, ctx.now_ms);
            }
            let hashes = Hashes::of(&newer, name);
            let (rows, state) = reserve_batch(ctx, named, &newer, &hashes).await?;
            let current = state == State::Current;
            if current {
                reserved::<P>(newer, hashes, &rows, ctx.now_ms)
            } else {
                Err(Refusal::unavailable())
            }
        }
    }
}

async fn reserve_batch<P: Platform>(
    ctx: Context<'_, P>,
    named: &Named,
    known: &Known,
    hashes: &Hashes,
) -> Result<(Vec<P::Rows>, State), Refusal> {
    let tenant = known.tenant.id.to_string();
    let (now, window) = (ctx.now(), secs_as_ms(ATTEMPT_WINDOW_SECS));
    let (attempt, identifier) = (hashes.attempt.as_str(), hashes.identifier.as_str());
    let statements = vec![
        sql::RESERVE_ATTEMPT.bind([
            tenant.as_str().into(),
            attempt.into(),
            now.into(),
            window.into(),
            i64::from(ATTEMPTS).into(),
        ]),
        sql::ATTEMPT_WINDOW.bind([tenant.as_str().into(), attempt.into()]),
        sql::USER_BY_IDENTIFIER.bind([tenant.as_str().into(), identifier.into()]),
        sql::TENANT_STATE.bind([tenant.as_str().into(), named.name.as_str().into()]),
    ];
    let rows =
        ctx.app.platform.batch(known.tenant.shard(), statements).await.map_err(|_| Refusal::unavailable())?;
    let state = read::<P, StateRow>(&rows, 3)?;
    let state = StateRow::compare(state.first(), known);
    Ok((rows, state))
}

fn reserved<P: Platform>(
    known: Rc<Known>,
    hashes: Hashes,
    rows: &[P::Rows],
    now_ms: u64,
) -> Result<Reserved, Refusal> {
    let Some(counted) = read::<P, WindowRow>(rows, 0)?.pop() else {
        let window = read::<P, WindowRow>(rows, 1)?.pop();
        let lasts = secs_as_ms(ATTEMPT_WINDOW_SECS);
        let ends = window.map_or(0, |window| window.window_start).saturating_add(lasts);
        // A try that arrived a moment later may have begun the window.
        let wait_ms = ends.saturating_sub(millis(now_ms)).clamp(1, lasts);
        return Err(Refusal::throttled(u64::try_from(wait_ms).unwrap_or(1).div_ceil(1000)));
    };
    let user = read::<P, UserRow>(rows, 2)?.pop();
    Ok(Reserved { known, hashes, window_start: counted.window_start, user })
}

async fn record_refusal<P: Platform>(
    ctx: Context<'_, P>,
    reserved: &Reserved,
    network: &str,
) -> Result<(), Refusal> {
    let minute = ctx.minute();
    let statement = sql::RECORD_REFUSAL.bind([
        reserved.known.tenant.id.to_string().into(),
        reserved.hashes.attempt.as_str().into(),
        network.into(),
        minute.into(),
        ctx.event_id().to_string().into(),
        i64::from(OUTBOX_FAILURES).into(),
    ]);
    let shard = reserved.known.tenant.shard();
    ctx.app.platform.batch(shard, vec![statement]).await.map(|_| ()).map_err(|_| Refusal::unavailable())
}

/// The second batch: the family, and everything that hangs on its being written.
async fn open_family<P: Platform>(
    ctx: Context<'_, P>,
    named: &Named,
    reserved: &Reserved,
    user: &UserRow,
    sid: SessionId,
    network: &str,
) -> Result<FamilyRow, Refusal> {
    let events = [ctx.event_id(), ctx.event_id()];
    let statements = family_statements(named, reserved, user, sid, network, events, ctx.now_ms);
    let shard = reserved.known.tenant.shard();
    let rows = ctx.app.platform.batch(shard, statements).await.map_err(|_| Refusal::unavailable())?;
    let state = read::<P, StateRow>(&rows, 6)?;
    match read::<P, FamilyRow>(&rows, 5)?.pop() {
        Some(row) => Ok(row),
        None if StateRow::compare(state.first(), &reserved.known) == State::Suspended => {
            Err(Refusal::tenant_suspended())
        }
        None => Err(Refusal::no_active_account()),
    }
}

fn family_statements(
    named: &Named,
    reserved: &Reserved,
    user: &UserRow,
    sid: SessionId,
    network: &str,
    [signed_in, evicted]: [EventId; 2],
    now_ms: u64,
) -> Vec<Statement> {
    let tenant = &reserved.known.tenant;
    let (id, user_id, sid) = (tenant.id.to_string(), user.id.to_string(), sid.to_string());
    let (id, user_id, sid) = (id.as_str(), user_id.as_str(), sid.as_str());
    let now = millis(now_ms);
    let absolute = now.saturating_add(secs_as_ms(tenant.settings.absolute_secs));
    let idle = now.saturating_add(secs_as_ms(tenant.settings.idle_secs)).min(absolute);
    let evicted = evicted.to_string();
    let most = i64::from(FAMILIES);
    let evict = |statement: sql::Sql| {
        statement.bind([evicted.as_str().into(), id.into(), now.into(), sid.into(), most.into()])
    };
    vec![
        sql::INSERT_FAMILY.bind([
            sid.into(),
            id.into(),
            user_id.into(),
            now.into(),
            idle.into(),
            absolute.into(),
            user.session_epoch.into(),
            r#"["pwd"]"#.into(),
            sql::understood(),
        ]),
        evict(sql::RECORD_EVICTION),
        evict(sql::EVICT_FAMILIES),
        sql::RETURN_ATTEMPT.bind([
            id.into(),
            reserved.hashes.attempt.as_str().into(),
            reserved.window_start.into(),
            sid.into(),
        ]),
        sql::RECORD_SIGN_IN.bind([
            signed_in.to_string().into(),
            id.into(),
            now.into(),
            user_id.into(),
            sid.into(),
            network.into(),
        ]),
        sql::FAMILY.bind([sid.into(), id.into()]),
        sql::TENANT_STATE.bind([id.into(), named.name.as_str().into()]),
    ]
}

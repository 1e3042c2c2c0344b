//! What stands before a hash: the limits by network and by name, and the try, counted in the batch that looks the
//! user up. A right password gives its own try back, in [`super::flow`].

use std::rc::Rc;

use serde::Deserialize;
use shared::contract::limits::{ATTEMPT_WINDOW_SECS, ATTEMPTS, SHARD_REFUSALS, TENANT_REFUSALS};
use shared::contract::refusal::Refusal;
use shared::derive::{attempt_hash, identifier_hash};
use shared::identifiers::Identifier;
use shared::wire::push::IdentifierRow;

use crate::app::App;
use crate::context::Context;
use crate::isolate::opened::{LookupKeys, OpenedTenant};
use crate::platform::{Limit, Platform, Rows};
use crate::sign_in::password::UserRow;
use crate::sql::batch::{Batch, BatchRows, Handle};
use crate::sql::{self, secs_as_ms};
use crate::tenants::find::{TenantName, renew};
use crate::tenants::state::{State, StateRow};

/// Names under which a try is counted and a user is looked up. A name without a canonical form is
/// nobody's, so its lookup finds nothing and everything else goes on alike.
pub(super) struct Hashes {
    /// Those in force.
    pub now: HashPair,
    /// Those of the lookup root of before, while the document has it. What was counted under them goes on counting, and a
    /// user who has no identifier yet under the new root is found by them.
    former: Option<HashPair>,
}

/// The hashes of a name under one lookup root.
#[derive(PartialEq, Eq)]
pub(super) struct HashPair {
    /// Under which the try is counted.
    pub attempt: String,
    /// Under which the user is looked up.
    identifier: String,
}

impl Hashes {
    fn of(known: &OpenedTenant, name: &str) -> Self {
        let identifier = Identifier::parse(name).ok();
        let canonical = identifier.as_ref().map_or(name, Identifier::as_str);
        let pair = |keys: &LookupKeys| {
            let attempt = attempt_hash(&keys.attempt, known.tenant.id, canonical);
            let looked_up =
                identifier.as_ref().map(|id| identifier_hash(&keys.identifier, known.tenant.id, id));
            HashPair {
                attempt: IdentifierRow::encode_hash(&attempt),
                identifier: looked_up.map(|hash| IdentifierRow::encode_hash(&hash)).unwrap_or_default(),
            }
        };
        Self { now: pair(&known.lookup), former: known.former_lookup.as_ref().map(pair) }
    }
}

/// A try that was counted under a root that is not in force any more.
struct Stray {
    attempt: String,
    window_start: i64,
}

/// A window in which tries are counted.
#[derive(Deserialize)]
pub(super) struct WindowRow {
    /// When it began.
    pub window_start: i64,
}

/// Seconds until a window that lasts `lasts` milliseconds is over. A try that arrived a moment later may have begun it.
pub(super) fn wait_secs(window_start: i64, lasts: i64, now: i64) -> u64 {
    let wait_ms = window_start.saturating_add(lasts).saturating_sub(now).clamp(1, lasts);
    u64::try_from(wait_ms).unwrap_or(1).div_ceil(1000)
}

/// A try that a batch counts before the hash, under `attempt`; a window that began under `former` goes on.
pub(super) struct CountedAttempt {
    counted: Handle<WindowRow>,
    window: Handle<WindowRow>,
}

impl CountedAttempt {
    /// Goes on with a batch.
    pub(super) fn count(
        batch: &mut Batch,
        tenant: &str,
        (attempt, former): (&str, Option<&str>),
        now: i64,
    ) -> Self {
        let counted = batch.add(sql::RESERVE_ATTEMPT.bind([
            tenant.into(),
            attempt.into(),
            now.into(),
            secs_as_ms(ATTEMPT_WINDOW_SECS).into(),
            i64::from(ATTEMPTS).into(),
            former.into(),
        ]));
        let window = batch.add(sql::ATTEMPT_WINDOW.bind([tenant.into(), attempt.into(), former.into()]));
        Self { counted, window }
    }

    /// When the window began that the try was counted in.
    ///
    /// # Errors
    /// 429 where the window was full.
    pub(super) fn window_start<R: Rows>(self, rows: &BatchRows<R>, now: i64) -> Result<i64, Refusal> {
        if let Some(counted) = rows.take_one(self.counted)? {
            return Ok(counted.window_start);
        }
        let begun = rows.take_one(self.window)?.map_or(0, |window| window.window_start);
        Err(Refusal::throttled(wait_secs(begun, secs_as_ms(ATTEMPT_WINDOW_SECS), now)))
    }
}

/// What the first batch found.
pub(super) struct ReservedAttempt {
    /// The document that the batch was judged by.
    pub known: Rc<OpenedTenant>,
    /// The names of the attempt.
    pub hashes: Hashes,
    /// When the window began that the try was counted in, to give it back there.
    pub window_start: i64,
    /// The user behind the name.
    pub user: Option<UserRow>,
}

/// The limit by network alone, before it is even known whether there is such a tenant: else one address has
/// the limit below as often as there are tenants.
pub(super) async fn admit_network<P: Platform>(app: &App<P>, network: &str) -> Result<(), Refusal> {
    if app.platform.admits(Limit::NetworkTotal, network).await { Ok(()) } else { Err(Refusal::throttled(60)) }
}

/// The limits by network and by name at one tenant, which cost neither storage nor a hash.
pub(super) async fn admit<P: Platform>(
    app: &App<P>,
    known: &OpenedTenant,
    network: &str,
    name: &str,
) -> Result<(), Refusal> {
    admit_at_tenant(app, known, network).await?;
    let tenant = known.tenant.id;
    let hash = Hashes::of(known, name).now.attempt;
    if app.platform.admits(Limit::Name, &format!("{tenant}/{hash}")).await {
        Ok(())
    } else {
        Err(Refusal::throttled(60))
    }
}

/// The limit by network at one tenant.
pub(super) async fn admit_at_tenant<P: Platform>(
    app: &App<P>,
    known: &OpenedTenant,
    network: &str,
) -> Result<(), Refusal> {
    let key = format!("{}/{network}", known.tenant.id);
    if app.platform.admits(Limit::Network, &key).await { Ok(()) } else { Err(Refusal::throttled(60)) }
}

/// The first batch, once more where the tenant's document has moved on.
pub(super) async fn reserve<P: Platform>(
    ctx: Context<'_, P>,
    named: &TenantName,
    known: Rc<OpenedTenant>,
    name: &str,
) -> Result<ReservedAttempt, Refusal> {
    let hashes = Hashes::of(&known, name);
    let (rows, state) = reserve_batch(ctx, named, &known, &hashes, None).await?;
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
            let newer_hashes = Hashes::of(&newer, name);
            if newer_hashes.now == hashes.now {
                return reserved(newer, hashes, rows, ctx.now());
            }
            // The try counts once: under the root in force.
            let counted = rows.rows.take_one(rows.attempt.counted)?;
            let stray = counted
                .map(|counted| Stray { attempt: hashes.now.attempt, window_start: counted.window_start });
            let hashes = newer_hashes;
            let (rows, state) = reserve_batch(ctx, named, &newer, &hashes, stray).await?;
            let current = state == State::Current;
            if current { reserved(newer, hashes, rows, ctx.now()) } else { Err(Refusal::unavailable()) }
        }
    }
}

/// What the first batch left.
struct ReservedRows<R> {
    rows: BatchRows<R>,
    attempt: CountedAttempt,
    user: Handle<UserRow>,
}

async fn reserve_batch<P: Platform>(
    ctx: Context<'_, P>,
    named: &TenantName,
    known: &OpenedTenant,
    hashes: &Hashes,
    stray: Option<Stray>,
) -> Result<(ReservedRows<P::Rows>, State), Refusal> {
    let tenant = known.tenant.id.to_string();
    let (tenant, name) = (tenant.as_str(), named.name.as_str());
    let (attempt, identifier) = (hashes.now.attempt.as_str(), hashes.now.identifier.as_str());
    let former_attempt = hashes.former.as_ref().map(|former| former.attempt.as_str());
    let former_identifier = hashes.former.as_ref().map(|former| former.identifier.as_str());
    let mut batch = Batch::new(known.tenant.shard());
    if let Some(Stray { attempt, window_start }) = stray {
        batch.also(sql::TAKE_BACK_ATTEMPT.bind([
            tenant.into(),
            attempt.as_str().into(),
            window_start.into(),
        ]));
    }
    let attempt = CountedAttempt::count(&mut batch, tenant, (attempt, former_attempt), ctx.now());
    let user =
        batch.add(sql::USER_BY_IDENTIFIER.bind([tenant.into(), identifier.into(), former_identifier.into()]));
    let state = batch.add::<StateRow>(sql::TENANT_STATE.bind([tenant.into(), name.into()]));
    let rows = ctx.run(batch).await?;
    let state = StateRow::compare(rows.take_one(state)?.as_ref(), known);
    Ok((ReservedRows { rows, attempt, user }, state))
}

fn reserved<R: Rows>(
    known: Rc<OpenedTenant>,
    hashes: Hashes,
    left: ReservedRows<R>,
    now: i64,
) -> Result<ReservedAttempt, Refusal> {
    let window_start = left.attempt.window_start(&left.rows, now)?;
    let user = left.rows.take_one(left.user)?;
    Ok(ReservedAttempt { known, hashes, window_start, user })
}

/// Counts a refused sign-in under its minute, or with the tenant's others where too many wait.
pub(super) async fn record_refusal<P: Platform>(
    ctx: Context<'_, P>,
    reserved: &ReservedAttempt,
    network: &str,
) -> Result<(), Refusal> {
    let (tenant, event) = (reserved.known.tenant.id.to_string(), ctx.event_id().to_string());
    let (tenant, event, name) = (tenant.as_str(), event.as_str(), reserved.hashes.now.attempt.as_str());
    let minute = ctx.minute();
    let mut batch = Batch::new(reserved.known.tenant.shard());
    batch.also(sql::RECORD_REFUSAL.bind([
        tenant.into(),
        name.into(),
        network.into(),
        minute.into(),
        event.into(),
        i64::from(TENANT_REFUSALS).into(),
        i64::from(SHARD_REFUSALS).into(),
    ]));
    batch.also(sql::COUNT_DROPPED_REFUSAL.bind([
        tenant.into(),
        name.into(),
        network.into(),
        minute.into(),
        event.into(),
    ]));
    ctx.run(batch).await?;
    Ok(())
}

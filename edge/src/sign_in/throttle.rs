//! Checks before a hash: the limits by network and by name, and the attempt, which is counted in the batch that looks
//! the user up ([`super::attempts`]). A correct password takes its own attempt back, in [`super::flow`].

use std::ops::ControlFlow;
use std::rc::Rc;

use shared::contract::limits::{SHARD_REFUSALS, TENANT_REFUSALS};
use shared::contract::refusal::Refusal;
use shared::derive::{attempt_hash, identifier_hash};
use shared::identifiers::Identifier;
use shared::tokens::device::RememberedDevice;
use shared::wire::push::IdentifierRow;

use crate::app::App;
use crate::context::Context;
use crate::isolate::opened::{LookupKeys, OpenedTenant};
use crate::platform::{Limit, Platform, Rows};
use crate::sign_in::attempts::{Attempt, CountedAttempt, Subject, at_sign_in};
use crate::sign_in::device::{DeviceCall, living};
use crate::sign_in::password::UserRow;
use crate::sql;
use crate::sql::batch::{Batch, BatchRows, CountHandle, Handle};
use crate::tenants::find::{TenantName, renew};
use crate::tenants::state::{State, StateRow};

/// The hashes under which an attempt is counted and a user looked up. A name without a canonical form belongs to no
/// user: its lookup finds nothing, and everything else is the same.
pub(super) struct Hashes {
    /// The hashes under the present root.
    pub now: HashPair,
    /// The hashes under the former lookup root, while the document has it: their counters continue, and they find
    /// users who have no identifier under the new root yet.
    former: Option<HashPair>,
}

/// The hashes of a name under one lookup root.
#[derive(PartialEq, Eq)]
pub(super) struct HashPair {
    /// Under which the try is counted where the name is unknown, and by which facts name it.
    pub attempt: String,
    /// Under which the user is looked up.
    identifier: String,
}

/// Characters of a hash under which the tries of an unknown name are counted: invented names fill 262,144 rows of a
/// tenant at most.
const ACCOUNT_CHARS: usize = 3;

impl HashPair {
    fn account(&self) -> &str {
        self.attempt.get(..ACCOUNT_CHARS).unwrap_or(&self.attempt)
    }
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

/// The result of the first batch.
pub(super) struct ReservedAttempt {
    /// The document that the batch was judged by.
    pub known: Rc<OpenedTenant>,
    /// The names of the attempt.
    pub hashes: Hashes,
    /// The try, to be given back.
    pub attempt: Attempt,
    /// The user behind the name.
    pub user: Option<UserRow>,
    /// The presented remembered device, if it is valid.
    pub device: Option<RememberedDevice>,
}

/// The limit by network over all tenants, before the tenant is looked up: otherwise one address would have the next
/// limit once for each tenant.
pub(super) async fn admit_network<P: Platform>(app: &App<P>, network: &str) -> Result<(), Refusal> {
    if app.platform.admits(Limit::NetworkTotal, network).await { Ok(()) } else { Err(Refusal::throttled(60)) }
}

/// The limits by network and by name at one tenant, and its budget of hashes, which cost neither storage nor a hash.
pub(super) async fn admit<P: Platform>(
    app: &App<P>,
    known: &OpenedTenant,
    network: &str,
    name: &str,
) -> Result<(), Refusal> {
    admit_at_tenant(app, known, network).await?;
    let (tenant, a_second) = (known.tenant.id, known.tenant.settings.hashes_per_sec);
    if app.budgets.borrow_mut().is_used_up(tenant, a_second, app.platform.now_ms()) {
        return Err(Refusal::throttled(1));
    }
    let hash = Hashes::of(known, name).now.attempt;
    // Per network, so that other networks do not use up the user's attempts.
    if app.platform.admits(Limit::Name, &format!("{tenant}/{hash}/{network}")).await {
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
    (named, network): (&TenantName, &str),
    known: Rc<OpenedTenant>,
    name: &str,
    device: &DeviceCall,
) -> Result<ReservedAttempt, Refusal> {
    let hashes = Hashes::of(&known, name);
    let from = Origin { named, network };
    let presented = device.presented(ctx, &known);
    let (rows, state) = reserve_batch(ctx, from, &known, (&hashes, presented), None).await?;
    match state {
        State::Current => reserved(known, hashes, rows, ctx.now()),
        State::Suspended => Err(Refusal::tenant_suspended()),
        State::Gone => Err(Refusal::not_found()),
        State::NotUnderstood => Err(Refusal::unavailable()),
        State::Renamed => {
            ctx.app.shard_cache.borrow_mut().forget_name(&named.name);
            Err(Refusal::unavailable())
        }
        State::Newer => {
            let newer = renew(ctx.app, known.tenant.id).await?;
            let newer_hashes = Hashes::of(&newer, name);
            if newer_hashes.now == hashes.now {
                return reserved(newer, hashes, rows, ctx.now());
            }
            // The try counts once: under the root in force.
            let stray = match rows.attempt.outcome(&rows.rows, ctx.now())? {
                ControlFlow::Continue(attempt) => Some(attempt),
                ControlFlow::Break(_) => None,
            };
            let hashes = newer_hashes;
            let presented = device.presented(ctx, &newer);
            let (rows, state) = reserve_batch(ctx, from, &newer, (&hashes, presented), stray).await?;
            let current = state == State::Current;
            if current { reserved(newer, hashes, rows, ctx.now()) } else { Err(Refusal::unavailable()) }
        }
    }
}

/// The handles of the first batch.
struct ReservedRows<R> {
    rows: BatchRows<R>,
    attempt: CountedAttempt,
    user: Handle<UserRow>,
    device: Option<(RememberedDevice, CountHandle)>,
}

/// The network and the name of an attempt.
#[derive(Clone, Copy)]
struct Origin<'a> {
    named: &'a TenantName,
    network: &'a str,
}

/// `stray` was counted under a root that is not in force any more.
async fn reserve_batch<P: Platform>(
    ctx: Context<'_, P>,
    Origin { named, network }: Origin<'_>,
    known: &OpenedTenant,
    (hashes, presented): (&Hashes, Option<RememberedDevice>),
    stray: Option<Attempt>,
) -> Result<(ReservedRows<P::Rows>, State), Refusal> {
    let tenant = known.tenant.id.to_string();
    let (tenant, name) = (tenant.as_str(), named.name.as_str());
    let former_identifier = hashes.former.as_ref().map(|former| former.identifier.as_str());
    let mut batch = Batch::new(known.tenant.shard());
    if let Some(stray) = stray {
        batch.also(stray.take_back(tenant));
    }
    let subject = Subject {
        account: hashes.now.account(),
        former: hashes.former.as_ref().map(HashPair::account),
        identifier: &hashes.now.identifier,
        former_identifier,
        network,
    };
    let attempt = CountedAttempt::count(ctx, &mut batch, tenant, &subject, &at_sign_in());
    let identifier = hashes.now.identifier.as_str();
    let user =
        batch.add(sql::USER_BY_IDENTIFIER.bind([tenant.into(), identifier.into(), former_identifier.into()]));
    let device = presented.map(|device| {
        let lives = batch.add_counted(living(ctx, tenant, &device));
        (device, lives)
    });
    let state = batch.add::<StateRow>(sql::TENANT_STATE.bind([tenant.into(), name.into()]));
    let rows = ctx.run(batch).await?;
    let state = StateRow::compare(rows.take_one(state)?.as_ref(), known);
    Ok((ReservedRows { rows, attempt, user, device }, state))
}

fn reserved<R: Rows>(
    known: Rc<OpenedTenant>,
    hashes: Hashes,
    left: ReservedRows<R>,
    now: i64,
) -> Result<ReservedAttempt, Refusal> {
    let attempt = match left.attempt.outcome(&left.rows, now)? {
        ControlFlow::Continue(attempt) => attempt,
        ControlFlow::Break(refusal) => return Err(refusal),
    };
    let user = left.rows.take_one(left.user)?;
    let device = match left.device {
        Some((device, lives)) => (left.rows.count(lives)? > 0).then_some(device),
        None => None,
    };
    Ok(ReservedAttempt { known, hashes, attempt, user, device })
}

/// Takes a hash of the tenant's budget. If none is left the attempt is taken back, because no password is checked.
///
/// # Errors
/// 429; 503 if the database did not answer.
pub(super) async fn take_hash<P: Platform>(
    ctx: Context<'_, P>,
    known: &OpenedTenant,
    attempt: &Attempt,
) -> Result<(), Refusal> {
    let (tenant, a_second) = (known.tenant.id, known.tenant.settings.hashes_per_sec);
    let now_ms = ctx.app.platform.now_ms();
    if ctx.app.budgets.borrow_mut().take(tenant, a_second, attempt.is_known(), now_ms) {
        return Ok(());
    }
    take_back(ctx, known, attempt).await?;
    Err(Refusal::throttled(1))
}

/// Takes an attempt back whose password is not checked.
///
/// # Errors
/// 503 if the database did not answer.
pub(super) async fn take_back<P: Platform>(
    ctx: Context<'_, P>,
    known: &OpenedTenant,
    attempt: &Attempt,
) -> Result<(), Refusal> {
    let mut batch = Batch::new(known.tenant.shard());
    batch.also(attempt.take_back(&known.tenant.id.to_string()));
    ctx.run(batch).await?;
    Ok(())
}

/// Counts a refused sign-in in its minute's row, or in the tenant's total if too many rows wait; and records the
/// attempt after which unknown networks are refused.
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
    let user = reserved.user.as_ref().map(|user| user.id.to_string());
    let of = (user.as_deref(), user.is_none().then_some(name));
    if let Some(fact) = reserved.attempt.record_refused(ctx, tenant, network, of) {
        batch.also(fact);
    }
    ctx.run(batch).await?;
    Ok(())
}

//! Finds the tenant of a request, and its document.
//!
//! The name (a host or slug) leads to the tenant's document: from the isolate's cache, else from D1, which is always
//! queried when an isolate loads a tenant for the first time. A copy in KV only saves the transfer of the document:
//! it is used only if its SHA-256 is the one in D1's row.

use std::rc::Rc;

use serde::Deserialize;
use shared::contract::refusal::Refusal;
use shared::ids::TenantId;
use shared::tenant::{Status, Tenant};
use shared::wire::signature::content_digest;

use crate::app::App;
use crate::context::Context;
use crate::isolate::feed::{BeyondRow, DenialRow, Denials, FeedRead, FeedRow, ShardRow};
use crate::isolate::opened::OpenedTenant;
use crate::isolate::shard_cache::BEYOND;
pub use crate::isolate::tenant_name::TenantName;
use crate::platform::{Limit, Platform, StoreError};
use crate::sql::batch::Batch;
use crate::sql::{self, millis};

/// Feed rows of one read, some 200 kB. Of further rows it reads only which tenants they concern.
const FEED_LIMIT: usize = 1000;
/// Shard 0 has the names, and at present all other data.
pub const NAMES_SHARD: u8 = 0;

#[derive(Deserialize)]
struct TenantRow {
    id: TenantId,
    history: i64,
    rev: i64,
    document: Option<String>,
}

/// Finds the tenant without storage, if the cached data is recent enough.
///
/// `None` if a read is needed first.
pub fn find_now<P: Platform>(
    ctx: Context<'_, P>,
    named: &TenantName,
) -> Option<Result<Rc<OpenedTenant>, Refusal>> {
    let mut cache = ctx.app.shard_cache.borrow_mut();
    let tenant = match cache.tenant_named(&named.name)? {
        None if cache.age_ms(ctx.now_ms).is_some_and(|age| age <= shared::contract::limits::STALE_MS) => {
            return Some(Err(Refusal::not_found()));
        }
        None => return None,
        Some(tenant) => tenant,
    };
    let (known, behind) = cache.tenant(tenant, ctx.now_ms)?;
    if behind {
        return None;
    }
    cache.may_serve(ctx.now_ms).then(|| served(known, named))
}

/// Finds the tenant for a route that checks tokens against the feed: reads first if the cached data is older than
/// three seconds. If it cannot be read, known tenants are served up to their staleness limit.
///
/// # Errors
/// 404 for an unknown name, 503 if the data cannot be read.
pub async fn find_fresh<P: Platform>(
    ctx: Context<'_, P>,
    named: &TenantName,
) -> Result<Rc<OpenedTenant>, Refusal> {
    if let Some(found) = find_now(ctx, named) {
        return found;
    }
    let age = ctx.app.shard_cache.borrow().age_ms(ctx.now_ms);
    if age.is_some_and(|age| age > shared::contract::limits::STALE_MS) && read_feed(ctx.app).await.is_err() {
        return find_stale(ctx, named, age);
    }
    let known = match in_memory(ctx, named) {
        Some(known) => known?,
        None => meet(ctx.app, named).await?,
    };
    served(known, named)
}

/// Finds the tenant for a route whose own batch reads the tenant's state: cached data of any age is used.
///
/// # Errors
/// As [`find_fresh`].
pub async fn find_known<P: Platform>(
    ctx: Context<'_, P>,
    named: &TenantName,
) -> Result<Rc<OpenedTenant>, Refusal> {
    let remembered = {
        let mut cache = ctx.app.shard_cache.borrow_mut();
        cache.tenant_named(&named.name).flatten().and_then(|tenant| cache.tenant(tenant, ctx.now_ms))
    };
    match remembered {
        Some((known, false)) => served(known, named),
        Some((_, true)) | None => find_fresh(ctx, named).await,
    }
}

/// The cached tenant of an answered request, of any age, to decide which pages may read the answer. `None` if the
/// name is unknown.
pub fn remembered<P: Platform>(ctx: Context<'_, P>, named: &TenantName) -> Option<Rc<OpenedTenant>> {
    let known = {
        let mut cache = ctx.app.shard_cache.borrow_mut();
        cache.tenant_named(&named.name).flatten().and_then(|tenant| cache.tenant(tenant, ctx.now_ms))
    };
    known.and_then(|(known, _)| served(known, named).ok())
}

/// Whether the name is not cached, neither with a tenant nor as unknown.
pub fn is_forgotten<P: Platform>(ctx: Context<'_, P>, named: &TenantName) -> bool {
    let mut cache = ctx.app.shard_cache.borrow_mut();
    match cache.tenant_named(&named.name) {
        None => true,
        Some(owner) => owner.is_some_and(|tenant| cache.tenant(tenant, ctx.now_ms).is_none()),
    }
}

/// If the feed cannot be read: cached data is used up to the tenant's staleness limit.
fn find_stale<P: Platform>(
    ctx: Context<'_, P>,
    named: &TenantName,
    age: Option<u64>,
) -> Result<Rc<OpenedTenant>, Refusal> {
    let known = match in_memory(ctx, named) {
        Some(known) => known?,
        None => return Err(Refusal::unavailable()),
    };
    let limit_ms = known.tenant.settings.staleness_limit_secs.saturating_mul(1000);
    if age.is_some_and(|age| age <= limit_ms) { served(known, named) } else { Err(Refusal::unavailable()) }
}

/// The cached tenant of a name; `None` if it is not cached or there is a newer document.
fn in_memory<P: Platform>(
    ctx: Context<'_, P>,
    named: &TenantName,
) -> Option<Result<Rc<OpenedTenant>, Refusal>> {
    let mut cache = ctx.app.shard_cache.borrow_mut();
    match cache.tenant_named(&named.name)? {
        None => Some(Err(Refusal::not_found())),
        Some(tenant) => {
            cache.tenant(tenant, ctx.now_ms).filter(|(_, behind)| !behind).map(|(known, _)| Ok(known))
        }
    }
}

/// Checks that apply to every request: the state of the tenant.
fn served(known: Rc<OpenedTenant>, named: &TenantName) -> Result<Rc<OpenedTenant>, Refusal> {
    let slug_held = named.also_slug.as_ref().is_none_or(|slug| slug == known.tenant.slug.as_str());
    match known.tenant.status {
        Status::Active | Status::Suspended if slug_held => Ok(known),
        Status::Active | Status::Suspended | Status::Provisioning | Status::Deleted => {
            Err(Refusal::not_found())
        }
    }
}

/// Reads the feed once and applies it.
///
/// # Errors
/// The database did not answer.
pub async fn read_feed<P: Platform>(app: &App<P>) -> Result<(), StoreError> {
    let read_at = app.platform.now_ms();
    let cursor = app.shard_cache.borrow().cursor();
    let mut batch = Batch::new(NAMES_SHARD);
    let shard = batch.add::<ShardRow>(sql::SHARD.bind([]));
    let limit = millis(FEED_LIMIT as u64);
    let feed = batch.add::<FeedRow>(sql::FEED_AFTER.bind([cursor.into(), limit.into()]));
    let most = millis(BEYOND as u64);
    let beyond = batch.add::<BeyondRow>(sql::FEED_BEYOND.bind([cursor.into(), limit.into(), most.into()]));
    let rows = batch.run(&app.platform).await?;
    let shard = rows.take_one(shard)?.ok_or(StoreError::Unreachable)?;
    let (feed, beyond) = (rows.take(feed)?, rows.take(beyond)?);
    app.shard_cache.borrow_mut().apply(read_at, FeedRead { shard: &shard, rows: &feed, beyond: &beyond });
    Ok(())
}

/// Questions in a row that a feed read may overtake before a request gives up.
const MEETINGS: usize = 3;

/// Loads a tenant with one query: its revision (with its document, unless KV's copy has the same digest), its denials
/// unless it is crowded, and the position in the feed.
///
/// A network that has asked for too many unknown names may query D1 for one name a second that KV has no copy for. A
/// name that KV has a copy for is always queried; D1 decides.
async fn meet<P: Platform>(app: &App<P>, named: &TenantName) -> Result<Rc<OpenedTenant>, Refusal> {
    let name = named.name.as_str();
    let copy = copy_of(app, name).await;
    if copy.is_none() && !app.refused_names.borrow_mut().may_ask(&named.network, app.platform.now_ms()) {
        return Err(Refusal::throttled(1));
    }
    for _ in 0..MEETINGS {
        let read_at = app.platform.now_ms();
        let PendingRead { shard, tenant, denials, crowded } = ask(app, name, copy.as_ref()).await?;
        let Some(row) = tenant else {
            app.shard_cache.borrow_mut().set_unknown_name(name, &shard);
            charge(app, &named.network).await;
            return Err(Refusal::not_found());
        };
        let known = Rc::new(open(app, row, copy.as_ref())?);
        let mut cache = app.shard_cache.borrow_mut();
        let denials = Denials { rows: &denials, crowded };
        if cache.add_tenant(read_at, &shard, known.clone(), denials) {
            cache.set_name(name, Some(known.tenant.id));
            return Ok(known);
        }
    }
    Err(Refusal::unavailable())
}

/// Counts an unknown name for a network. Names of tenants do not count: a gateway asks for thousands of them, and
/// attackers may share its address.
async fn charge<P: Platform>(app: &App<P>, network: &str) {
    if !app.platform.admits(Limit::Network, &format!("nobody/{network}")).await {
        app.refused_names.borrow_mut().over_limit(network, app.platform.now_ms());
    }
}

/// The result of the first query about a tenant.
struct PendingRead {
    shard: ShardRow,
    tenant: Option<TenantRow>,
    denials: Vec<DenialRow>,
    crowded: bool,
}

async fn ask<P: Platform>(
    app: &App<P>,
    name: &str,
    copy: Option<&DocumentCopy>,
) -> Result<PendingRead, Refusal> {
    let mut batch = Batch::new(NAMES_SHARD);
    let shard = batch.add::<ShardRow>(sql::SHARD.bind([]));
    let params = [name.into(), copy.map(|copy| copy.digest.as_str()).into()];
    let tenant = batch.add::<TenantRow>(sql::TENANT_BY_NAME.bind(params));
    let denials = batch.add::<DenialRow>(sql::DENIALS_BY_NAME.bind([name.into()]));
    let crowded = batch.add_counted(sql::CROWDED_BY_NAME.bind([name.into()]));
    let rows = batch.run(&app.platform).await?;
    let shard = rows.take_one(shard)?.ok_or_else(Refusal::unavailable)?;
    Ok(PendingRead {
        shard,
        tenant: rows.take_one(tenant)?,
        denials: rows.take(denials)?,
        crowded: rows.count(crowded)? > 0,
    })
}

/// KV's copy of a document. It is untrusted: it is parsed only after D1 has confirmed its digest.
struct DocumentCopy {
    unverified_text: String,
    digest: String,
}

/// The copy that KV may have of a name's tenant.
async fn copy_of<P: Platform>(app: &App<P>, name: &str) -> Option<DocumentCopy> {
    let id = app.platform.get(&name_key(name)).await?;
    let text = app.platform.get(&document_key(TenantId::parse(&id).ok()?)).await?;
    Some(DocumentCopy { digest: content_digest(text.as_bytes()), unverified_text: text })
}

/// KV key of a name's tenant.
#[must_use]
pub fn name_key(name: &str) -> String {
    format!("name/{name}")
}

/// KV key of a tenant's document.
#[must_use]
pub fn document_key(tenant: TenantId) -> String {
    format!("tenant/{tenant}")
}

/// Reads a newer document of a tenant.
///
/// # Errors
/// 404 if the tenant was deleted, 503 if it cannot be read.
pub async fn renew<P: Platform>(app: &App<P>, tenant: TenantId) -> Result<Rc<OpenedTenant>, Refusal> {
    let mut batch = Batch::new(NAMES_SHARD);
    let document = batch.add::<TenantRow>(sql::DOCUMENT.bind([tenant.to_string().into()]));
    let rows = batch.run(&app.platform).await?;
    let row = rows.take_one(document)?.ok_or_else(Refusal::not_found)?;
    let known = Rc::new(open(app, row, None)?);
    app.shard_cache.borrow_mut().replace_document(known.clone());
    Ok(known)
}

fn open<P: Platform>(
    app: &App<P>,
    row: TenantRow,
    copy: Option<&DocumentCopy>,
) -> Result<OpenedTenant, Refusal> {
    // A row without a document means that the copy has the right digest.
    let text = row.document.as_deref().or(copy.map(|copy| copy.unverified_text.as_str()));
    let tenant = text.and_then(|text| serde_json::from_str::<Tenant>(text).ok());
    let tenant = tenant.filter(|tenant| tenant.id == row.id && tenant.revision() == (row.history, row.rev));
    let settings = app.settings()?;
    tenant.and_then(|tenant| OpenedTenant::open(tenant, settings).ok()).ok_or_else(Refusal::unavailable)
}

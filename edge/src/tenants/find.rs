//! Which tenant a request is for, and what this isolate knows of it.
//!
//! The name (a host or slug) leads to the tenant's document: from the isolate, else from D1, which
//! is asked in any case when an isolate meets a tenant for the first time. A copy in KV only saves
//! the document's way: one whose SHA-256 is not the one in D1's row is not used.

use std::rc::Rc;

use serde::Deserialize;
use shared::contract::refusal::Refusal;
use shared::ids::TenantId;
use shared::tenant::{Status, Tenant};
use shared::wire::signature::content_digest;

use crate::app::App;
use crate::context::Context;
use crate::isolate::feed::{BeyondRow, DenialRow, Denials, FeedRead, FeedRow, ShardRow};
use crate::isolate::knowledge::BEYOND;
use crate::isolate::opened::OpenedTenant;
use crate::platform::{Limit, Platform, StoreError};
use crate::sql::batch::Batch;
use crate::sql::{self, millis};

/// Feed rows that one read asks for, some 200 kB. Of the rest it asks whom they concern.
const FEED_LIMIT: usize = 1000;
/// Shard 0 holds the names, and today everything else.
pub const NAMES_SHARD: u8 = 0;

/// How a request names its tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantName {
    /// `host:<host>` or `slug:<slug>`: the key in D1.
    pub name: String,
    /// A slug that the tenant must have besides, from `X-Tenant` on a tenant's own host.
    pub also_slug: Option<String>,
    /// The network that asks: a name that this isolate does not know costs a read, which a stranger
    /// with many invented names must not have for nothing.
    pub network: String,
}

#[derive(Deserialize)]
struct TenantRow {
    id: TenantId,
    history: i64,
    rev: i64,
    document: Option<String>,
}

/// Finds the tenant without any storage, if what is known is young enough to serve.
///
/// `None` where a read is needed first.
pub fn find_now<P: Platform>(
    ctx: Context<'_, P>,
    named: &TenantName,
) -> Option<Result<Rc<OpenedTenant>, Refusal>> {
    let mut knowledge = ctx.app.knowledge.borrow_mut();
    let tenant = match knowledge.named(&named.name)? {
        None if knowledge.age_ms(ctx.now_ms).is_some_and(|age| age <= shared::contract::limits::STALE_MS) => {
            return Some(Err(Refusal::not_found()));
        }
        None => return None,
        Some(tenant) => tenant,
    };
    let (known, behind) = knowledge.known(tenant, ctx.now_ms)?;
    if behind {
        return None;
    }
    knowledge.may_serve(ctx.now_ms).then(|| served(known, named))
}

/// Finds the tenant for a route that judges tokens by the feed: what is older than three seconds
/// is read first. If it cannot be read, known tenants are served up to their staleness limit.
///
/// # Errors
/// 404 for a name that is nobody's, 503 if the data cannot be read.
pub async fn find_fresh<P: Platform>(
    ctx: Context<'_, P>,
    named: &TenantName,
) -> Result<Rc<OpenedTenant>, Refusal> {
    if let Some(found) = find_now(ctx, named) {
        return found;
    }
    let age = ctx.app.knowledge.borrow().age_ms(ctx.now_ms);
    if age.is_some_and(|age| age > shared::contract::limits::STALE_MS) && read_feed(ctx.app).await.is_err() {
        return find_stale(ctx, named, age);
    }
    let known = match in_memory(ctx, named) {
        Some(known) => known?,
        None => meet(ctx.app, named).await?,
    };
    served(known, named)
}

/// Finds the tenant for a route whose own batch asks for the tenant's state: what is known serves
/// at any age.
///
/// # Errors
/// As [`find_fresh`].
pub async fn find_known<P: Platform>(
    ctx: Context<'_, P>,
    named: &TenantName,
) -> Result<Rc<OpenedTenant>, Refusal> {
    let remembered = {
        let mut knowledge = ctx.app.knowledge.borrow_mut();
        knowledge.named(&named.name).flatten().and_then(|tenant| knowledge.known(tenant, ctx.now_ms))
    };
    match remembered {
        Some((known, false)) => served(known, named),
        Some((_, true)) | None => find_fresh(ctx, named).await,
    }
}

/// What memory has of the tenant of a request that was answered, at any age: whose pages may read the
/// answer. `None` where the request's name is nobody's.
pub fn remembered<P: Platform>(ctx: Context<'_, P>, named: &TenantName) -> Option<Rc<OpenedTenant>> {
    let known = {
        let mut knowledge = ctx.app.knowledge.borrow_mut();
        knowledge.named(&named.name).flatten().and_then(|tenant| knowledge.known(tenant, ctx.now_ms))
    };
    known.and_then(|(known, _)| served(known, named).ok())
}

/// Whether memory does not say whose the name is: it is not known to be nobody's either.
pub fn is_forgotten<P: Platform>(ctx: Context<'_, P>, named: &TenantName) -> bool {
    let mut knowledge = ctx.app.knowledge.borrow_mut();
    match knowledge.named(&named.name) {
        None => true,
        Some(owner) => owner.is_some_and(|tenant| knowledge.known(tenant, ctx.now_ms).is_none()),
    }
}

/// The feed cannot be read: what was known goes on for the tenant's staleness limit.
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

/// What memory says of a name now; `None` where it says nothing, or knows of a newer document.
fn in_memory<P: Platform>(
    ctx: Context<'_, P>,
    named: &TenantName,
) -> Option<Result<Rc<OpenedTenant>, Refusal>> {
    let mut knowledge = ctx.app.knowledge.borrow_mut();
    match knowledge.named(&named.name)? {
        None => Some(Err(Refusal::not_found())),
        Some(tenant) => {
            knowledge.known(tenant, ctx.now_ms).filter(|(_, behind)| !behind).map(|(known, _)| Ok(known))
        }
    }
}

/// What every caller must see of a tenant before anything else is said.
fn served(known: Rc<OpenedTenant>, named: &TenantName) -> Result<Rc<OpenedTenant>, Refusal> {
    let slug_held = named.also_slug.as_ref().is_none_or(|slug| slug == known.tenant.slug.as_str());
    match known.tenant.status {
        Status::Active | Status::Suspended if slug_held => Ok(known),
        Status::Active | Status::Suspended | Status::Provisioning | Status::Deleted => {
            Err(Refusal::not_found())
        }
    }
}

/// Reads the feed once and takes it in.
///
/// # Errors
/// The database did not answer.
pub async fn read_feed<P: Platform>(app: &App<P>) -> Result<(), StoreError> {
    let read_at = app.platform.now_ms();
    let cursor = app.knowledge.borrow().cursor();
    let mut batch = Batch::new(NAMES_SHARD);
    let shard = batch.add::<ShardRow>(sql::SHARD.bind([]));
    let limit = millis(FEED_LIMIT as u64);
    let feed = batch.add::<FeedRow>(sql::FEED_AFTER.bind([cursor.into(), limit.into()]));
    let most = millis(BEYOND as u64);
    let beyond = batch.add::<BeyondRow>(sql::FEED_BEYOND.bind([cursor.into(), limit.into(), most.into()]));
    let rows = batch.run(&app.platform).await?;
    let shard = rows.take_one(shard)?.ok_or(StoreError::Unreachable)?;
    let (feed, beyond) = (rows.take(feed)?, rows.take(beyond)?);
    app.knowledge.borrow_mut().apply(read_at, FeedRead { shard: &shard, rows: &feed, beyond: &beyond });
    Ok(())
}

/// Questions in a row that a feed read may overtake before a request gives up.
const MEETINGS: usize = 3;

/// Meets a tenant: one question for its revision (with its document, unless KV's copy is the same
/// bytes), the denials that live unless it is crowded, and where the feed is.
///
/// A network that has asked for too many names of nobody's asks D1 about one a second of those that KV has
/// no copy for. What KV has a copy for is asked about in any case; D1 decides what it is.
async fn meet<P: Platform>(app: &App<P>, named: &TenantName) -> Result<Rc<OpenedTenant>, Refusal> {
    let name = named.name.as_str();
    let copy = copy_of(app, name).await;
    if copy.is_none() && !app.guessers.borrow_mut().may_ask(&named.network, app.platform.now_ms()) {
        return Err(Refusal::throttled(1));
    }
    for _ in 0..MEETINGS {
        let read_at = app.platform.now_ms();
        let Introduction { shard, tenant, denials, crowded } = ask(app, name, copy.as_ref()).await?;
        let Some(row) = tenant else {
            app.knowledge.borrow_mut().nobody(name, &shard);
            charge(app, &named.network).await;
            return Err(Refusal::not_found());
        };
        let known = Rc::new(open(app, row, copy.as_ref())?);
        let mut knowledge = app.knowledge.borrow_mut();
        let denials = Denials { rows: &denials, crowded };
        if knowledge.meet(read_at, &shard, known.clone(), denials) {
            knowledge.name(name, Some(known.tenant.id));
            return Ok(known);
        }
    }
    Err(Refusal::unavailable())
}

/// Charges a network for a name that turned out to be nobody's. A name of a tenant costs nothing: a gateway
/// asks for thousands of them, and strangers may share its address.
async fn charge<P: Platform>(app: &App<P>, network: &str) {
    if !app.platform.admits(Limit::Network, &format!("nobody/{network}")).await {
        app.guessers.borrow_mut().over_limit(network, app.platform.now_ms());
    }
}

/// What the first question about a tenant found.
struct Introduction {
    shard: ShardRow,
    tenant: Option<TenantRow>,
    denials: Vec<DenialRow>,
    crowded: bool,
}

async fn ask<P: Platform>(
    app: &App<P>,
    name: &str,
    copy: Option<&DocumentCopy>,
) -> Result<Introduction, Refusal> {
    let mut batch = Batch::new(NAMES_SHARD);
    let shard = batch.add::<ShardRow>(sql::SHARD.bind([]));
    let params = [name.into(), copy.map(|copy| copy.digest.as_str()).into()];
    let tenant = batch.add::<TenantRow>(sql::TENANT_BY_NAME.bind(params));
    let denials = batch.add::<DenialRow>(sql::DENIALS_BY_NAME.bind([name.into()]));
    let crowded = batch.add_counted(sql::CROWDED_BY_NAME.bind([name.into()]));
    let rows = batch.run(&app.platform).await?;
    let shard = rows.take_one(shard)?.ok_or_else(Refusal::unavailable)?;
    Ok(Introduction {
        shard,
        tenant: rows.take_one(tenant)?,
        denials: rows.take(denials)?,
        crowded: rows.count(crowded)? > 0,
    })
}

/// What KV has in place of a document. Whoever may write KV chose these bytes: they are not read before
/// D1 has said that they are the document's.
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

/// Reads a document that is newer than the one known.
///
/// # Errors
/// 404 if the tenant is gone, 503 if it cannot be read.
pub async fn renew<P: Platform>(app: &App<P>, tenant: TenantId) -> Result<Rc<OpenedTenant>, Refusal> {
    let mut batch = Batch::new(NAMES_SHARD);
    let document = batch.add::<TenantRow>(sql::DOCUMENT.bind([tenant.to_string().into()]));
    let rows = batch.run(&app.platform).await?;
    let row = rows.take_one(document)?.ok_or_else(Refusal::not_found)?;
    let known = Rc::new(open(app, row, None)?);
    app.knowledge.borrow_mut().renew(known.clone());
    Ok(known)
}

fn open<P: Platform>(
    app: &App<P>,
    row: TenantRow,
    copy: Option<&DocumentCopy>,
) -> Result<OpenedTenant, Refusal> {
    // Without a document the row says that the copy has its digest.
    let text = row.document.as_deref().or(copy.map(|copy| copy.unverified_text.as_str()));
    let tenant = text.and_then(|text| serde_json::from_str::<Tenant>(text).ok());
    let tenant = tenant.filter(|tenant| tenant.id == row.id && tenant.revision() == (row.history, row.rev));
    let settings = app.settings()?;
    tenant.and_then(|tenant| OpenedTenant::open(tenant, settings).ok()).ok_or_else(Refusal::unavailable)
}

//! The steps of a rotation, each a transaction that sees that it is still due, or a pass of many short ones.

use chrono::{DateTime, TimeDelta, Utc};
use shared::contract::limits::{ATTEMPT_WINDOW_SECS, IDEMPOTENCY_SECS, LEGACY_SECS};
use shared::ids::TenantId;

use super::progress::{self, left_behind};
use super::removal::Goes;
use super::store::{self, Rotation};
use super::work::{Outcome, Stop, begin, begin_at};
use super::{adding, removal};
use crate::audit::{self, Action, Actor};
use crate::control::Control;
use crate::crypt::lookup::{self, Stage};
use crate::db::TenantTx;
use crate::db::changes::Priority;
use crate::failure::Failure;
use crate::tenants::{self, TenantError};

/// Added to the longest time that an isolate serves a document: clocks, and requests that are under way.
const SLACK: TimeDelta = TimeDelta::seconds(60);
/// How often the log names users who keep an old root from going.
const REMINDER: TimeDelta = TimeDelta::days(1);

/// One step. What it finds done already, it leaves to the next.
pub(super) async fn step(
    control: &Control,
    tenant: TenantId,
    done: &mut (impl FnMut(usize) + Send),
) -> Result<(), Stop> {
    let (tx, rotation) = begin(control, tenant).await?;
    tx.commit().await?;
    match rotation.stage {
        Stage::Adding => {
            // Users that are created meanwhile have both. So a first pass writes, and a second one checks.
            if adding::pass(control, tenant, done).await? == 0 {
                added(control, tenant).await?;
            }
            Ok(())
        }
        Stage::Confirming => switch(control, tenant).await,
        Stage::Switched => end_old_names(control, tenant).await,
        Stage::Removing => {
            let goes = Goes { left_behind: false, tokens: false };
            if !removal::pass(control, tenant, goes, done).await? {
                removed(control, tenant).await?;
            }
            Ok(())
        }
        Stage::Former => end(control, tenant, done).await,
    }
}

/// Every user has identifiers of both roots: now the edge needs them.
async fn added(control: &Control, tenant: TenantId) -> Result<(), Stop> {
    let Some((mut tx, rotation)) = begin_at(control, tenant, Stage::Adding).await? else { return Ok(()) };
    let rev = Some(store::rev(&mut tx).await?);
    let left = left_behind(&mut tx, rotation.version).await?;
    if left.users > 0 {
        tracing::error!(%tenant, users = left.users,
            "users have no identifiers under the new lookup root: `wardgate lookup status` names them");
    }
    store::save(&mut tx, &Rotation { stage: Stage::Confirming, rev, ..rotation }).await?;
    tx.commit().await?;
    Ok(())
}

/// Switches to the new root, once the edge has the new identifiers of all users.
async fn switch(control: &Control, tenant: TenantId) -> Result<(), Stop> {
    let Some((mut tx, rotation)) = begin_at(control, tenant, Stage::Confirming).await? else { return Ok(()) };
    if !store::is_confirmed(&mut tx, rotation.rev.unwrap_or(i64::MAX)).await? {
        tx.commit().await?;
        return Err(Stop::Ended(Outcome::WaitsForEdge));
    }
    // Waits for transactions that write or read only under the old root.
    lookup::hold(&mut tx).await?;
    let now = control.clock.now();
    let switched = Rotation { stage: Stage::Switched, switched_at: Some(now), due_at: now, ..rotation };
    store::save(&mut tx, &switched).await?;
    tx.changes().document(tenant, Priority::InTurn);
    record(&mut tx, &Actor::control(), now, Action::LookupSwitched, rotation.version);
    tx.commit().await?;
    Ok(())
}

/// Records when the edge has the document with the new root. The old identifiers are to be deleted when no isolate
/// can have the old document, and no window of attempts that began under it is left.
async fn end_old_names(control: &Control, tenant: TenantId) -> Result<(), Stop> {
    let Some((mut tx, rotation)) = begin_at(control, tenant, Stage::Switched).await? else { return Ok(()) };
    let now = control.clock.now();
    let Some(confirmed_at) = rotation.confirmed_at else {
        let confirmed = store::is_document_confirmed(&mut tx).await?;
        if confirmed {
            store::save(&mut tx, &Rotation { confirmed_at: Some(now), due_at: now, ..rotation }).await?;
        }
        tx.commit().await?;
        return if confirmed { Ok(()) } else { Err(Stop::Ended(Outcome::WaitsForEdge)) };
    };
    let longest = staleness_secs(&mut tx).await?.max(ATTEMPT_WINDOW_SECS);
    let due_at = confirmed_at + seconds(longest) + SLACK;
    if now < due_at {
        return wait(tx, Rotation { due_at, ..rotation }).await;
    }
    // Waits for transactions that still write identifiers under the old root.
    lookup::hold(&mut tx).await?;
    store::save(&mut tx, &Rotation { stage: Stage::Removing, due_at: now, ..rotation }).await?;
    // The new document no longer names the old root for attempts.
    tx.changes().document(tenant, Priority::InTurn);
    tx.commit().await?;
    Ok(())
}

/// The old identifiers are deleted; the old root is kept for values that cannot be hashed again.
async fn removed(control: &Control, tenant: TenantId) -> Result<(), Stop> {
    let Some((mut tx, rotation)) = begin_at(control, tenant, Stage::Removing).await? else { return Ok(()) };
    store::save(&mut tx, &Rotation { stage: Stage::Former, ..rotation }).await?;
    tx.commit().await?;
    Ok(())
}

/// Takes the old root away when nothing needs it.
async fn end(control: &Control, tenant: TenantId, done: &mut (impl FnMut(usize) + Send)) -> Result<(), Stop> {
    let Some((mut tx, rotation)) = begin_at(control, tenant, Stage::Former).await? else { return Ok(()) };
    let now = control.clock.now();
    if left_behind(&mut tx, rotation.version).await?.users > 0 {
        // They may have been repaired since.
        tx.commit().await?;
        adding::pass(control, tenant, done).await?;
        let Some((begun, _)) = begin_at(control, tenant, Stage::Former).await? else { return Ok(()) };
        tx = begun;
    }
    let due_at = needed_until(&mut tx, &rotation, now).await?;
    if now < due_at {
        return wait(tx, Rotation { due_at, ..rotation }).await;
    }
    tx.commit().await?;
    // Repaired users have new identifiers by now, so their old ones are deleted like those of all users.
    let goes = Goes { left_behind: rotation.forget, tokens: true };
    while removal::pass(control, tenant, goes, done).await? {}
    let Some((mut tx, rotation)) = begin_at(control, tenant, Stage::Former).await? else { return Ok(()) };
    // Waits for transactions that list tokens under the old root.
    lookup::hold(&mut tx).await?;
    let left = progress::left_of_before(&mut tx, rotation.version).await?;
    if left == 0 {
        conclude(&mut tx, &rotation, now).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Until when the old root is kept.
async fn needed_until(
    tx: &mut TenantTx,
    rotation: &Rotation,
    now: DateTime<Utc>,
) -> Result<DateTime<Utc>, Failure> {
    if rotation.forget {
        return Ok(now);
    }
    let switched_at = rotation.switched_at.unwrap_or(rotation.began_at);
    let mut until = switched_at + seconds(IDEMPOTENCY_SECS);
    if progress::has_old_tokens(tx, rotation.version).await? {
        until = until.max(switched_at + TimeDelta::seconds(LEGACY_SECS));
    }
    let left = left_behind(tx, rotation.version).await?;
    if until <= now && left.users > 0 {
        tracing::error!(tenant = %tx.tenant(), users = left.users,
            "users have no identifiers but those under the old lookup root: repair them, or give them up with \
             `wardgate lookup forget`");
        until = now + REMINDER;
    }
    Ok(until)
}

async fn conclude(tx: &mut TenantTx, rotation: &Rotation, now: DateTime<Utc>) -> Result<(), Failure> {
    let tenant = tx.tenant();
    let roots = lookup::roots(tx).await?;
    if let Some((former, _)) = roots.former() {
        lookup::delete(tx, former.version).await?;
    }
    store::delete(tx).await?;
    tx.changes().document(tenant, Priority::InTurn);
    record(tx, &Actor::control(), now, Action::LookupRotated, rotation.version);
    Ok(())
}

/// Ends the rotation of a deleted tenant: the one root that its document names is left.
pub(super) async fn abandon(control: &Control, tenant: TenantId) -> Result<Outcome, Failure> {
    let mut tx = control.db.work_tx(tenant).await?;
    lookup::hold(&mut tx).await?;
    if store::find(&mut tx).await?.is_some() {
        let roots = lookup::roots(&mut tx).await?;
        if let Some((other, _)) = &roots.other {
            lookup::delete(&mut tx, other.version).await?;
        }
        store::delete(&mut tx).await?;
        tx.changes().document(tenant, Priority::InTurn);
        record(&mut tx, &Actor::control(), control.clock.now(), Action::LookupRotated, roots.current.version);
    }
    tx.commit().await?;
    Ok(Outcome::Over)
}

async fn wait(mut tx: TenantTx, rotation: Rotation) -> Result<(), Stop> {
    store::save(&mut tx, &rotation).await?;
    tx.commit().await?;
    Err(Stop::Ended(Outcome::WaitsForTime))
}

async fn staleness_secs(tx: &mut TenantTx) -> Result<u64, Failure> {
    let id = tx.tenant();
    match tenants::find(tx, id).await {
        Ok(tenant) => Ok(tenant.settings.staleness_limit_secs),
        Err(TenantError::Failure(failure)) => Err(failure),
        Err(_) => Err(Failure::Unreadable("tenant")),
    }
}

pub(super) fn record(tx: &mut TenantTx, actor: &Actor, now: DateTime<Utc>, action: Action, version: i32) {
    let target = Some(tx.tenant().to_string());
    audit::record(tx, actor, now, action, target, serde_json::json!({ "version": version }));
}

fn seconds(secs: u64) -> TimeDelta {
    TimeDelta::seconds(i64::try_from(secs).unwrap_or(i64::MAX / 1000))
}

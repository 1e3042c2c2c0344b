//! Entries of the audit log: noting them on a transaction, and reading them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use shared::ids::UserId;
use utoipa::ToSchema;
use uuid::Uuid;

use super::within::NamedUsers;
use super::{Action, Actor};
use crate::db::TenantTx;
use crate::db::body::{Body, BodyKeys};
use crate::db::chain::Link;
use crate::db::entries::{self, Entry};
use crate::failure::Failure;
use crate::users::Viewer;

/// The member of `details` with text that users wrote.
const REASON: &str = "reason";
/// The member of `details` with the id of another user.
const BY: &str = "by";

/// Records that `actor` did `action` to `target`. `details` names fields and states, never values of personal data;
/// text that a user wrote is in its member `reason`.
pub fn record(
    tx: &mut TenantTx,
    actor: &Actor,
    now: DateTime<Utc>,
    action: Action,
    target: Option<String>,
    details: Value,
) {
    tx.note(Entry { target, ..by(actor, now, (action, "done"), details) });
}

/// Records that `actor` was refused because `permission` is missing.
pub fn refuse(
    tx: &mut TenantTx,
    actor: &Actor,
    now: DateTime<Utc>,
    target: Option<String>,
    permission: &str,
) {
    let details = json!({ "permission": permission });
    tx.note(Entry { target, ..by(actor, now, (Action::PermissionRefused, "refused"), details) });
}

/// Records that `actor` tried to do `action` to `target`, and why it was refused.
pub fn attempt(
    tx: &mut TenantTx,
    actor: &Actor,
    now: DateTime<Utc>,
    action: Action,
    target: Option<String>,
    details: Value,
) {
    tx.note(Entry { target, ..by(actor, now, (action, "refused"), details) });
}

/// Records that `actor` did `action` to each of `targets`.
pub fn record_each(
    tx: &mut TenantTx,
    actor: &Actor,
    now: DateTime<Utc>,
    action: Action,
    targets: Vec<String>,
) {
    for target in targets {
        tx.note(Entry { target: Some(target), ..by(actor, now, (action, "done"), json!({})) });
    }
}

fn by(actor: &Actor, at: DateTime<Utc>, (action, outcome): (Action, &'static str), details: Value) -> Entry {
    Entry {
        at,
        actor_kind: actor.kind(),
        actor: actor.id(),
        action: action.as_str().into(),
        outcome,
        target: None,
        event_id: None,
        request_id: actor.request_id.clone(),
        body: Body { client: actor.client.clone(), details },
    }
}

/// An event of the edge, as the log stores it.
#[derive(Debug)]
pub struct Fact {
    /// Its id at the edge.
    pub event_id: Uuid,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// What happened.
    pub action: String,
    /// The user, if known.
    pub user: Option<UserId>,
    /// The client's network.
    pub network: Option<String>,
    /// Session, name hash, count.
    pub details: Value,
}

/// Records an event of the edge; a second delivery changes nothing.
pub fn record_fact(tx: &mut TenantTx, fact: Fact) {
    let refusals = [
        "edge.sign_in_refused",
        "edge.networks_refused",
        "edge.network_refused",
        "edge.second_factor_refused",
        "edge.refusals_dropped",
    ];
    let refused = refusals.contains(&fact.action.as_str());
    let user = fact.user.map(|user| user.to_string());
    tx.note(Entry {
        at: fact.at,
        actor_kind: "edge",
        actor: user.clone(),
        action: fact.action.into(),
        outcome: if refused { "refused" } else { "done" },
        target: user,
        event_id: Some(fact.event_id),
        request_id: None,
        body: Body { client: fact.network, details: fact.details },
    });
}

/// Which of these events, by their ids at the edge, the tenant's log has.
///
/// # Errors
/// Errors of the database.
pub async fn recorded_facts(tx: &mut TenantTx, facts: &[Uuid]) -> Result<Vec<Uuid>, Failure> {
    let tenant = tx.tenant();
    entries::recorded(tx, tenant, facts).await
}

/// The outcomes of an action.
pub(super) const OUTCOMES: [&str; 2] = ["done", "refused"];

/// A stored entry, decrypted.
#[derive(Debug)]
pub struct Recorded {
    pub(super) link: Link,
    body: Body,
}

/// An entry of the audit log.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditEntry)]
pub struct EntryOut {
    id: Uuid,
    /// Its position in the tenant's log: from 1, without gaps. Absent for callers with roles of branches only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = i64, required = false)]
    position: Option<i64>,
    /// When it happened.
    #[serde(serialize_with = "crate::http::time::micros")]
    at: DateTime<Utc>,
    /// When it was written. It never decreases from one position to the next.
    #[serde(serialize_with = "crate::http::time::micros")]
    recorded_at: DateTime<Utc>,
    /// `person`, `platform`, `operator`, `edge` or `control`.
    actor_kind: String,
    #[schema(required)]
    actor: Option<String>,
    action: String,
    /// `done` or `refused`.
    outcome: String,
    #[schema(required)]
    target: Option<String>,
    #[schema(required)]
    request_id: Option<String>,
    /// The client's address; masked or absent if the caller's roles do not show it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    client: Option<Option<String>>,
    /// Names of fields and states, never values of personal data. The `reason` of an unmasking is shown only to the user
    /// who gave it and to callers who see every field in clear. `{"unreadable": true}` if it cannot be decrypted.
    details: Value,
}

impl Recorded {
    /// The columns of an entry.
    pub(super) const COLUMNS: &'static str = "tenant_id, position, recorded_at, id, at, actor_kind, actor, action, \
         outcome, target, event_id, request_id, body";

    /// Decrypts stored entries. An entry that cannot be decrypted (tampered with, or its user's key destroyed) is kept as unreadable.
    ///
    /// # Errors
    /// Errors of the database.
    pub(super) async fn open(tx: &mut TenantTx, links: Vec<Link>) -> Result<Vec<Self>, Failure> {
        let (tenant, bodies) = (tx.keep_keys(), links.iter().map(|link| &link.body[..]));
        let keys = BodyKeys::for_stored(tx, &tenant, bodies).await?;
        Ok(links.into_iter().map(|link| Self::of(&keys, link)).collect())
    }

    /// The same with given keys.
    pub(super) fn of(keys: &BodyKeys, link: Link) -> Self {
        let body = keys.open(link.id, &link.body).unwrap_or_else(|_| {
            tracing::error!(tenant = %link.tenant_id, position = link.position, "an audit entry does not open");
            unreadable()
        });
        Self { link, body }
    }

    /// The users other than the target whom the entry names.
    pub(super) fn others(&self) -> impl Iterator<Item = &str> {
        self.link.actor.as_deref().into_iter().chain(self.body.details.get(BY).and_then(Value::as_str))
    }

    /// An entry of an export, not decrypted.
    pub(super) fn of_export(link: Link) -> Self {
        Self { link, body: unreadable() }
    }
}

impl EntryOut {
    /// The entry without other users than those that are named.
    pub(super) fn naming(mut self, named: &NamedUsers) -> Self {
        if *named == NamedUsers::Everyone {
            return self;
        }
        // It counts the entries about all users.
        self.position = None;
        if !self.actor.as_deref().is_some_and(|actor| named.has(actor)) {
            self.actor = None;
            self.client = None;
        }
        let is_by_other = self.details.get(BY).and_then(Value::as_str).is_some_and(|by| !named.has(by));
        if is_by_other && let Some(details) = self.details.as_object_mut() {
            details.remove(BY);
        }
        self
    }

    /// The entry as `viewer` may see it.
    #[must_use]
    pub fn seen_by(viewer: &Viewer, Recorded { link, body }: Recorded) -> Self {
        let (actor, mut details) = (link.actor.as_deref(), body.details);
        if !viewer.is_shown_text_of(actor)
            && let Some(details) = details.as_object_mut()
        {
            details.remove(REASON);
        }
        Self {
            client: viewer.client(actor, body.client),
            details,
            id: link.id,
            position: Some(link.position),
            at: link.at,
            recorded_at: link.recorded_at,
            actor_kind: link.actor_kind,
            actor: link.actor,
            action: link.action,
            outcome: link.outcome,
            target: link.target,
            request_id: link.request_id,
        }
    }
}

fn unreadable() -> Body {
    Body { client: None, details: json!({ "unreadable": true }) }
}

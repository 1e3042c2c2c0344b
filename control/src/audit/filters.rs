//! The filters and orders of the audit log, and the SQL for them.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use shared::ids;
use shared::tenant::visibility::PersonalField;
use shared::wire::facts::FactKind;
use sqlx::{Postgres, QueryBuilder};
use utoipa::IntoParams;
use uuid::Uuid;

use super::actor::KINDS;
use super::store::{OUTCOMES, Recorded};
use super::{Action, within};
use crate::db::body::client_key;
use crate::db::{Scope, TenantTx};
use crate::failure::Failure;
use crate::http::body::FromFields;
use crate::http::fields::{Fields, OfDay};
use crate::http::list::List;
use crate::http::rows::{self, Column, Count, Order, Placed, Rows, plan_by_values};
use crate::http::time::text;
use crate::users::visibility::{Asks, Permitted};

/// The filters of the audit log; an absent filter matches all.
#[derive(Clone, Default, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Filters {
    /// The id of the user who acted: of the tenant, or of the platform.
    pub actor: Option<Uuid>,
    /// `person`, `platform`, `operator`, `edge` or `control`.
    #[param(value_type = Option<String>)]
    pub actor_kind: Option<&'static str>,
    /// One or more actions, separated by commas.
    #[param(value_type = Option<String>)]
    pub action: Vec<String>,
    /// `done` or `refused`.
    #[param(value_type = Option<String>)]
    pub outcome: Option<&'static str>,
    /// The target of the action: an id, a `kid`, or the path of a refused request.
    pub subject: Option<String>,
    /// The client's address or network.
    pub client: Option<String>,
    /// The id of the request.
    pub request_id: Option<String>,
    /// At this time or later; a date stands for its first moment.
    pub created_after: Option<DateTime<Utc>>,
    /// At this time or earlier; a date stands for its last moment.
    pub created_before: Option<DateTime<Utc>>,
}

/// Aliases of filters, after the names of the fields in answers.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "described; read by `FromFields`")]
pub struct Named {
    /// Alias of `subject`.
    target: Option<String>,
    /// Alias of `created_after`.
    at_after: Option<DateTime<Utc>>,
    /// Alias of `created_before`.
    at_before: Option<DateTime<Utc>>,
}

impl FromFields for Filters {
    fn read(fields: &mut Fields) -> Option<Self> {
        const AFTER: [&str; 3] = ["created_after", "created_at_after", "at_after"];
        const BEFORE: [&str; 3] = ["created_before", "created_at_before", "at_before"];
        let subject = fields.by_any_name(&["subject", "target"], |fields, name| fields.text(name));
        Some(Self {
            actor: fields.uuid("actor"),
            actor_kind: fields.choice("actor_kind", &KINDS.map(|kind| (kind, kind))),
            action: actions(fields),
            outcome: fields.choice("outcome", &OUTCOMES.map(|outcome| (outcome, outcome))),
            subject: subject.map(canonical),
            client: fields.text("client").map(|text| address(&text)),
            request_id: fields.text("request_id"),
            created_after: fields.by_any_name(&AFTER, |fields, name| fields.moment(name, OfDay::Begin)),
            created_before: fields.by_any_name(&BEFORE, |fields, name| fields.moment(name, OfDay::End)),
        })
    }
}

/// Brings an id into the spelling that the log has.
fn canonical(subject: String) -> String {
    ids::uuid(&subject).map_or(subject, |id| id.hyphenated().to_string())
}

/// Brings an address into the spelling that the log has.
fn address(text: &str) -> String {
    text.parse::<IpAddr>().map_or_else(|_| text.to_owned(), |address| address.to_string())
}

/// Refuses unknown actions: a misspelt one would look like one that never happened.
fn actions(fields: &mut Fields) -> Vec<String> {
    let text = fields.text("action").unwrap_or_default();
    let actions: Vec<_> =
        text.split(',').map(str::trim).filter(|action| !action.is_empty()).map(ToOwned::to_owned).collect();
    for action in &actions {
        let ours = Action::ALL.iter().any(|known| known.as_str() == action);
        let of_edge = action.strip_prefix("edge.");
        let of_edge = of_edge.is_some_and(|kind| FactKind::KNOWN.iter().any(|known| known.as_str() == kind));
        if !ours && !of_edge {
            fields.fault("action", format!("\"{action}\" is not a valid choice."));
        }
    }
    actions
}

/// A field that entries can be ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At;

impl List for Filters {
    type Key = At;
    const ORDERINGS: &'static [(&'static str, At)] = &[("at", At), ("created_at", At)];
    const DEFAULT: Order<At> = Order { by: At, descending: true };
}

impl Column for At {
    fn column(self) -> (&'static str, &'static str) {
        ("at", "timestamptz")
    }
}

impl Placed<At> for Recorded {
    fn id(&self) -> Uuid {
        self.link.id
    }

    fn key(&self, At: At) -> String {
        text(self.link.at)
    }
}

impl Asks for Filters {
    fn asks(&self, _: &[Order<At>]) -> Vec<(&'static str, Vec<PersonalField>)> {
        self.client.iter().map(|_| ("client", vec![PersonalField::Client])).collect()
    }
}

/// The keyed hashes to compare for the filter `client`.
async fn client_of(tx: &mut TenantTx, filters: &Filters) -> Result<Option<String>, Failure> {
    let Some(address) = &filters.client else { return Ok(None) };
    let keys = tx.keep_keys();
    Ok(Some(client_key(tx, &keys, address).await?))
}

/// ` from audit_entries` with the conditions of the filters.
fn from(
    sql: &mut QueryBuilder<Postgres>,
    (tenant, scope): (Uuid, &Scope),
    filters: &Filters,
    client: Option<&String>,
) {
    sql.push(" from audit_entries\nwhere tenant_id = ").push_bind(tenant);
    if let Some(roots) = scope.branches() {
        within::condition(sql, tenant, roots, within::SUBJECT);
        if filters.actor.is_some() || client.is_some() {
            // Entries of other actors do not show who acted.
            within::condition(sql, tenant, roots, within::ACTOR);
        }
    }
    if let Some(actor) = filters.actor {
        sql.push("\nand actor = ").push_bind(actor.hyphenated().to_string());
    }
    if let Some(kind) = filters.actor_kind {
        sql.push("\nand actor_kind = ").push_bind(kind);
    }
    match filters.action.as_slice() {
        [] => {}
        // An index that is entered at one place gives its rows in their order.
        [action] => drop(sql.push("\nand action = ").push_bind(action.clone())),
        several => drop(sql.push("\nand action = any (").push_bind(several.to_vec()).push(")")),
    }
    if let Some(outcome) = filters.outcome {
        sql.push("\nand outcome = ").push_bind(outcome);
    }
    if let Some(subject) = &filters.subject {
        sql.push("\nand target = ").push_bind(subject.clone());
    }
    if let Some(client) = client {
        sql.push("\nand client_key = ").push_bind(client.clone());
    }
    if let Some(request) = &filters.request_id {
        sql.push("\nand request_id = ").push_bind(request.clone());
    }
    if let Some(after) = filters.created_after {
        sql.push("\nand at >= ").push_bind(after);
    }
    if let Some(before) = filters.created_before {
        sql.push("\nand at <= ").push_bind(before);
    }
}

/// How many entries match; `all` counts them, however many.
///
/// # Errors
/// Errors of the database.
pub async fn count(tx: &mut TenantTx, permitted: &Permitted<Filters>, all: bool) -> Result<Count, Failure> {
    let (tenant, client) = (tx.tenant().uuid(), client_of(tx, permitted.filters()).await?);
    plan_by_values(tx).await?;
    let scope = tx.scope().clone();
    let from = |sql: &mut _| from(sql, (tenant, &scope), permitted.filters(), client.as_ref());
    match scope {
        Scope::Within(_) if !all => rows::count_to_the_limit(tx, from).await,
        _ => rows::count(tx, all, from).await,
    }
}

/// Some of the entries that match.
///
/// # Errors
/// Errors of the database.
pub async fn list(
    tx: &mut TenantTx,
    permitted: &Permitted<Filters>,
    rows: &Rows<At>,
) -> Result<Vec<Recorded>, Failure> {
    let (tenant, client) = (tx.tenant().uuid(), client_of(tx, permitted.filters()).await?);
    let mut sql = QueryBuilder::new(format!("select {}", Recorded::COLUMNS));
    from(&mut sql, (tenant, tx.scope()), permitted.filters(), client.as_ref());
    rows.end(&mut sql, "id");
    plan_by_values(tx).await?;
    let links = sql.build_query_as().fetch_all(&mut **tx).await?;
    Recorded::open(tx, links).await
}

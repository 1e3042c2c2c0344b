//! Query plans of the main statements, as the role that serves requests, under row-level security. The extension
//! `auto_explain` reports the plans of control's own statements, so that no copy of a statement can differ.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

use control::audit::{self, Action, Actor};
use control::control::Control;
use control::http::rows::position;
use control::users::{self, Matching};
use serde_json::json;
use shared::ids::{TenantId, UserId};
use sqlx::AssertSqlSafe;
use tracing::field::{Field, Visit};
use tracing::instrument::WithSubscriber as _;
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::{Layer, Registry};
use uuid::Uuid;

use super::Outcome;
use super::asks::{ASKS, Place};
use super::lists::{From, list};
use super::stage::Stage;

/// Where notices of PostgreSQL arrive.
const NOTICES: &str = "sqlx::postgres::notice";
/// Explains every statement of a session to its client.
const EXPLAIN: [(&str, &str); 7] = [
    ("session_preload_libraries", "auto_explain"),
    ("auto_explain.log_min_duration", "0"),
    ("auto_explain.log_analyze", "on"),
    ("auto_explain.log_buffers", "on"),
    ("auto_explain.log_level", "notice"),
    ("auto_explain.log_parameter_max_length", "0"),
    ("client_min_messages", "notice"),
];

/// Keeps notices.
#[derive(Clone, Default)]
struct Notices(Arc<Mutex<Vec<String>>>);

impl Notices {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<S: Subscriber> Layer<S> for Notices {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == NOTICES {
            event.record(&mut Message(self));
        }
    }
}

struct Message<'n>(&'n Notices);

impl Visit for Message<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.0.0.lock().unwrap_or_else(PoisonError::into_inner).push(value.to_owned());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// The plans, as text.
///
/// # Errors
/// Errors of the database.
pub async fn of(stage: &Stage) -> Outcome<String> {
    let mut admin = stage.database().admin().await?;
    let app = stage.database().app();
    for (name, value) in EXPLAIN {
        let set = format!("alter role {app} set {name} = '{value}'");
        sqlx::raw_sql(AssertSqlSafe(set)).execute(&mut admin).await?;
    }
    // Its connections are new.
    let control = stage.database().control()?;
    let notices = Notices::default();
    let subscriber = Registry::default().with(notices.clone());
    let explained = explained(&control, stage, &notices).with_subscriber(subscriber).await;
    for (name, _) in EXPLAIN {
        let reset = format!("alter role {app} reset {name}");
        sqlx::raw_sql(AssertSqlSafe(reset)).execute(&mut admin).await?;
    }
    control.db.close().await;
    explained
}

async fn explained(control: &Control, stage: &Stage, notices: &Notices) -> Outcome<String> {
    let mut text = String::new();
    for (title, tenant) in
        [("One large tenant", stage.large.id), ("A small tenant in a shared cell", stage.small[0].id)]
    {
        text += &format!("# {title}\n");
        // The first statements of a transaction are run once before.
        control.db.tenant_tx(tenant).await?;
        notices.take();
        let mut note = |what: &str| {
            text += &format!("\n## {what}\n");
            for plan in notices.take() {
                text += &format!("\n{}\n", plan.trim_end());
            }
        };
        let half = half_way(control, tenant).await?;
        notices.take();
        read(control, tenant, half).await?;
        note("read of one user");
        for ask in ASKS {
            let now = control.clock.now();
            let from = match ask.place {
                Place::First => From::Row(0),
                Place::Number => From::Row(9_980.min(half.1 / 20 * 20)),
                Place::Last => From::Last,
                Place::Deep => {
                    let mut tx = control.db.tenant_tx(tenant).await?;
                    let user = users::find(&mut tx, UserId::from(half.0)).await?;
                    drop(tx);
                    notices.take();
                    let order = users::in_order(1, 0).order;
                    From::Behind(position(&user, &order))
                }
            };
            let of = u32::try_from(half.1 * 2)?;
            let asked = ask.asked(&ask.query(now, of / 2, of))?;
            list(control, tenant, asked, from).await?;
            note(ask.what);
        }
        let mut tx = control.db.tenant_tx(tenant).await?;
        let target = Some(half.0.to_string());
        let details = json!({"fields": ["phone"]});
        audit::record(&mut tx, &Actor::operator(), control.clock.now(), Action::UserEdited, target, details);
        tx.commit().await?;
        note("one audit entry");
        text.push('\n');
    }
    Ok(text)
}

/// The user half way in the list, and how many are before.
async fn half_way(control: &Control, tenant: TenantId) -> Outcome<(Uuid, i64)> {
    let mut tx = control.db.tenant_tx(tenant).await?;
    let half = users::count(&mut tx, &Matching::default(), true).await?.number() / 2;
    let user = users::list(&mut tx, &Matching::default(), &users::in_order(1, half)).await?.pop();
    Ok((user.ok_or("a list has a half")?.id.uuid(), half))
}

async fn read(control: &Control, tenant: TenantId, (user, _): (Uuid, i64)) -> Outcome<()> {
    let mut tx = control.db.tenant_tx(tenant).await?;
    users::find(&mut tx, UserId::from(user)).await?;
    Ok(())
}

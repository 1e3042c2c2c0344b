//! A change of a tenant's session root, as a state machine and as a row.
//!
//! ```text
//! begun ──edge confirms──▶ planned ──sign_from, edge confirms──▶ both ──remove_at──▶ one root again
//! ```
//!
//! The new root is published before it signs, so that no isolate gets a token of a root that it does not have. The
//! former one is removed when no session with a token of it can be left: after the longest lifetime of a session of
//! the tenant, counted from the switch.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use shared::ids::TenantId;
use sqlx::PgPool;

use crate::db::TenantTx;
use crate::failure::Failure;
use crate::http::time;

/// Added to every wait, for clocks that are not quite together.
const MARGIN: TimeDelta = TimeDelta::seconds(60);

/// A change that is under way. A tenant has one at most, because two roots verify at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rotation {
    /// The version of the new root.
    pub version: i32,
    /// When it was made.
    #[serde(serialize_with = "time::micros")]
    pub begun_at: DateTime<Utc>,
    /// From when it signs; known once the edge has confirmed that it knows it.
    #[serde(serialize_with = "time::micros_option")]
    pub sign_from: Option<DateTime<Utc>>,
    /// When the former root leaves; known once the edge has confirmed `sign_from`.
    #[serde(serialize_with = "time::micros_option")]
    pub remove_at: Option<DateTime<Utc>>,
}

/// The next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The new root signs from then on.
    SignFrom(DateTime<Utc>),
    /// The former root leaves then.
    RemoveAt(DateTime<Utc>),
    /// It leaves now.
    Remove,
}

/// What the steps depend on.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Whether the edge has confirmed the document as it is now.
    pub confirmed: bool,
    /// How long an isolate uses its cached documents while it cannot read new ones.
    pub staleness: TimeDelta,
    /// The longest that a session of the tenant can last, by its present settings or any before.
    pub longest_session: TimeDelta,
}

impl Rotation {
    /// The step that is due at `now`, if any.
    #[must_use]
    pub fn due(&self, now: DateTime<Utc>, terms: Terms) -> Option<Step> {
        match (self.sign_from, self.remove_at) {
            (_, Some(remove_at)) => (remove_at <= now).then_some(Step::Remove),
            // An edge that receives the time late uses the former root until then.
            (Some(sign_from), None) => (terms.confirmed && sign_from <= now)
                .then(|| Step::RemoveAt(now + terms.longest_session + MARGIN)),
            (None, None) => terms.confirmed.then(|| Step::SignFrom(now + terms.staleness + MARGIN)),
        }
    }

    /// The name of its stage.
    #[must_use]
    pub fn state(&self, now: DateTime<Utc>) -> &'static str {
        match self.sign_from {
            None => "begun",
            Some(sign_from) if now < sign_from => "planned",
            Some(_) => "both",
        }
    }
}

/// The change that is under way.
///
/// # Errors
/// Errors of the database.
pub async fn rotation(tx: &mut TenantTx) -> Result<Option<Rotation>, Failure> {
    let tenant = tx.tenant();
    let rotation = sqlx::query_as!(
        Rotation,
        "select version, begun_at, sign_from, remove_at from platform.session_rotations where tenant_id = $1",
        tenant.uuid(),
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(rotation)
}

/// Writes the stage of a change, also of a new one.
///
/// # Errors
/// Errors of the database.
pub(super) async fn put(tx: &mut TenantTx, rotation: &Rotation) -> Result<(), Failure> {
    let tenant = tx.tenant();
    sqlx::query!(
        "insert into platform.session_rotations (tenant_id, version, begun_at, sign_from, remove_at)
         values ($1, $2, $3, $4, $5)
         on conflict (tenant_id) do update
         set sign_from = excluded.sign_from, remove_at = excluded.remove_at",
        tenant.uuid(),
        rotation.version,
        rotation.begun_at,
        rotation.sign_from,
        rotation.remove_at,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Ends the change that is under way, if any is.
///
/// # Errors
/// Errors of the database.
pub(super) async fn clear(tx: &mut TenantTx) -> Result<(), Failure> {
    let tenant = tx.tenant();
    sqlx::query!("delete from platform.session_rotations where tenant_id = $1", tenant.uuid())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Whether the edge has confirmed the document as it is now, and the longest that a session can last by settings
/// before the present ones.
///
/// # Errors
/// Errors of the database.
pub(super) async fn confirmed(tx: &mut TenantTx) -> Result<(bool, u64), Failure> {
    let tenant = tx.tenant();
    let row = sqlx::query!(
        r#"select t.longest_session_secs,
            exists (
                select from platform.revisions r
                join platform.edge_rows e on e.tenant_id = r.tenant_id and e.kind = 'document'
                where r.tenant_id = t.id and r.mark_history = r.history and e.rev <= r.mark
            ) as "confirmed!"
         from platform.tenants t
         where t.id = $1"#,
        tenant.uuid(),
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok((row.confirmed, u64::try_from(row.longest_session_secs).unwrap_or(0)))
}

/// The tenants whose change may have a step due.
///
/// # Errors
/// Errors of the database.
pub(super) async fn under_way(relay: &PgPool, now: DateTime<Utc>) -> Result<Vec<TenantId>, Failure> {
    let tenants = sqlx::query_scalar!(
        "select s.tenant_id
         from platform.session_rotations s
         join platform.tenants t on t.id = s.tenant_id
         join platform.revisions r on r.tenant_id = s.tenant_id
         where coalesce(s.remove_at, s.sign_from, s.begun_at) <= $1
             and t.status in ('active', 'suspended')
             and r.halted_at is null
         order by s.begun_at",
        now,
    )
    .fetch_all(relay)
    .await?;
    Ok(tenants.into_iter().map(TenantId::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + secs, 0).unwrap()
    }

    fn terms(confirmed: bool) -> Terms {
        let (staleness, longest_session) = (TimeDelta::seconds(900), TimeDelta::days(30));
        Terms { confirmed, staleness, longest_session }
    }

    #[test]
    fn each_step_waits_for_the_edge_and_for_its_time() {
        let mut rotation = Rotation { version: 2, begun_at: at(0), sign_from: None, remove_at: None };
        assert_eq!(rotation.due(at(100_000), terms(false)), None);
        assert_eq!(rotation.due(at(10), terms(true)), Some(Step::SignFrom(at(970))));
        rotation.sign_from = Some(at(970));
        assert_eq!((rotation.state(at(969)), rotation.state(at(970))), ("planned", "both"));
        assert_eq!(rotation.due(at(969), terms(true)), None);
        // An edge that has not heard of the time signs with the former root, whatever the clock says.
        assert_eq!(rotation.due(at(100_000), terms(false)), None);
        let remove_at = at(2000 + 30 * 86_400 + 60);
        assert_eq!(rotation.due(at(2000), terms(true)), Some(Step::RemoveAt(remove_at)));
        rotation.remove_at = Some(remove_at);
        assert_eq!(rotation.due(remove_at - TimeDelta::seconds(1), terms(true)), None);
        assert_eq!(rotation.due(remove_at, terms(false)), Some(Step::Remove));
    }
}

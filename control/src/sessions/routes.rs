//! `/api/user/sessions/` ([`own`]) and `/api/user/users/<id>/sessions/`.

pub mod own;

use axum::extract::{Path, State};
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use shared::contract::permissions::Permitted as _;
use shared::contract::permissions::marker::{SessionsEnd, SessionsRead};
use shared::contract::refusal::Refusal;
use shared::ids::{SessionId, TenantId, UserId};
use shared::tenant::visibility::{PersonalField, Visibility};
use shared::wire::client::ClientInfo;
use shared::wire::push::SessionOut as Living;
use utoipa::ToSchema;

use super::device::Device;
use super::end;
use crate::access::{Authenticated, Within, outranked};
use crate::control::Control;
use crate::edges::{CallError, in_force};
use crate::failure::chain;
use crate::http::answer::{Refused, no_content};
use crate::http::described::Paging;
use crate::http::list::{ListQuery, Part, Unfiltered};
use crate::http::page::ListOut;
use crate::users::{self, UserError};

/// The device of a session, from the `User-Agent` of the sign-in.
#[derive(Serialize, ToSchema)]
#[schema(as = SessionDevice)]
pub struct DeviceOut {
    /// A text such as "Firefox on Linux".
    name: String,
    /// The browser or other client.
    #[schema(required)]
    browser: Option<String>,
    /// The operating system.
    #[schema(required)]
    system: Option<String>,
    /// The `User-Agent` of the sign-in, its first 256 bytes.
    agent: String,
}

/// The place of the client's address at the sign-in, as the edge's runtime reports it.
#[derive(Serialize, ToSchema)]
#[schema(as = SessionPlace)]
pub struct PlaceOut {
    /// ISO 3166-1 alpha-2 code.
    #[schema(required)]
    country: Option<String>,
    /// Absent if the caller sees only the country.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    city: Option<Option<String>>,
}

/// An active session.
#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
pub struct SessionOut {
    /// The claim `sid` of its tokens. It is not a credential.
    #[schema(value_type = String)]
    id: SessionId,
    /// Whether it is the session of this request.
    current: bool,
    /// Null if unknown. Absent if the caller's roles do not show it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<DeviceOut>)]
    device: Option<Option<DeviceOut>>,
    /// As `device`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<PlaceOut>)]
    place: Option<Option<PlaceOut>>,
    /// When the user signed in.
    #[serde(serialize_with = "crate::http::time::micros")]
    created_at: DateTime<Utc>,
    /// When the refresh token was last used, or an access cookie renewed.
    #[serde(serialize_with = "crate::http::time::micros")]
    last_used_at: DateTime<Utc>,
    /// When it ends if it is not used any more.
    #[serde(serialize_with = "crate::http::time::micros")]
    idle_expires_at: DateTime<Utc>,
    /// When it ends at the latest.
    #[schema(required)]
    #[serde(serialize_with = "crate::http::time::micros_option")]
    expires_at: Option<DateTime<Utc>>,
    /// The claim `amr` (RFC 8176): how the user signed in.
    amr: Vec<String>,
    /// The time of the last sign-in or step-up.
    #[schema(required)]
    #[serde(serialize_with = "crate::http::time::micros_option")]
    auth_time: Option<DateTime<Utc>>,
}

impl SessionOut {
    /// A session as a viewer with this visibility of `client` sees it.
    #[must_use]
    pub fn of(session: Living, current: Option<SessionId>, visibility: Visibility) -> Self {
        let at = |ms: u64| {
            let at = i64::try_from(ms).ok().and_then(DateTime::from_timestamp_millis);
            at.unwrap_or(DateTime::UNIX_EPOCH)
        };
        let Living {
            sid,
            created_at,
            rotated_at,
            expires_at,
            used_at,
            absolute_deadline,
            amr,
            auth_time,
            client,
        } = session;
        let (device, place) = shown(client, visibility);
        Self {
            id: sid,
            current: current == Some(sid),
            device,
            place,
            created_at: at(created_at),
            last_used_at: at(used_at.unwrap_or(rotated_at)),
            idle_expires_at: at(expires_at),
            expires_at: absolute_deadline.map(at),
            amr,
            // A session of a token of another service: when its user signed in is not known.
            auth_time: auth_time.filter(|ms| *ms > 0).map(at),
        }
    }
}

/// Device and place, as far as they are shown: masked, only the country.
fn shown(
    client: ClientInfo,
    visibility: Visibility,
) -> (Option<Option<DeviceOut>>, Option<Option<PlaceOut>>) {
    let ClientInfo { agent, country, city } = client;
    let is_somewhere = country.is_some() || city.is_some();
    match visibility {
        Visibility::Absent => (None, None),
        Visibility::Masked => {
            let place = country.is_some().then_some(PlaceOut { country, city: None });
            (None, Some(place))
        }
        Visibility::Clear => {
            let place = is_somewhere.then_some(PlaceOut { country, city: Some(city) });
            (Some(agent.map(DeviceOut::of)), Some(place))
        }
    }
}

impl DeviceOut {
    fn of(agent: String) -> Self {
        let device = Device::of(&agent);
        Self { name: device.name(&agent), browser: device.browser, system: device.system, agent }
    }
}

/// The example in the OpenAPI document.
fn example() -> Value {
    json!({
        "id": "AAECAwQFBgcICQoLDA0ODxA", "current": true,
        "device": {
            "name": "Firefox on Linux", "browser": "Firefox", "system": "Linux",
            "agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        },
        "place": {"country": "PT", "city": "Lisboa"},
        "created_at": "2026-01-02T03:04:05.678000Z", "last_used_at": "2026-01-02T08:00:12.345000Z",
        "idle_expires_at": "2026-01-03T08:00:12.345000Z", "expires_at": "2026-02-01T03:04:05.678000Z",
        "amr": ["pwd", "otp", "mfa"], "auth_time": "2026-01-02T03:04:05.678000Z",
    })
}

/// Reads the sessions of a user from the edge: 503 if it does not answer.
async fn living(control: &Control, (tenant, user): (TenantId, UserId)) -> Result<Vec<Living>, Refused> {
    let asked = control.edge.sessions(tenant, user, control.clock.now()).await;
    let outcome = if asked.is_ok() { "listed" } else { "away" };
    metrics::counter!("wardgate_session_lists_total", "outcome" => outcome).increment(1);
    asked.map_err(away)
}

fn away(error: CallError) -> Refused {
    tracing::warn!(error = %chain(&error), "the edge does not list sessions");
    Refusal::unavailable().into()
}

/// The answer with one page of a user's sessions.
fn answer(
    living: Vec<Living>,
    current: Option<SessionId>,
    visibility: Visibility,
    part: &Part<()>,
) -> Result<Response, Refused> {
    part.of_all(living.into_iter().map(|session| SessionOut::of(session, current, visibility)).collect())
}

/// Parses the id of a session in a path.
fn parse(id: &str) -> Result<SessionId, Refused> {
    SessionId::parse(id).map_err(|_| no_session())
}

fn no_session() -> Refused {
    Refusal::plain(404, "No Session matches the given query.").into()
}

fn user_of(id: &str) -> Result<UserId, UserError> {
    UserId::parse(id).map_err(|_| UserError::NotFound)
}

/// Lists the active sessions of a user: 403 for a user at or above the caller's rank; 503 if the edge does not answer.
#[utoipa::path(
    get, path = "/api/user/users/{id}/sessions/", tag = "Sessions", operation_id = "users_sessions", summary = "List the sessions of a user",
    description = "Needs `sessions.read` and a rank above the user's, or the caller's own id. Read from the edge: \
        503 if it does not answer within two seconds. Device and place of other users are shown as far as the caller's \
        roles show `client`; masked, the country alone is shown. The most recently used session comes first.",
    params(("id" = Uuid, Path), Paging),
    responses((status = 200, description = "One page of the list", body = ListOut<SessionOut>, example = json!({
        "count": 1, "next": null, "previous": null, "results": [example()],
    })))
)]
pub async fn list(
    State(control): State<Control>,
    within: Within<SessionsRead>,
    Path(id): Path<String>,
    ListQuery { part, .. }: ListQuery<Unfiltered>,
) -> Result<Response, Refused> {
    let Authenticated { mut tx, actor, viewer, tenant, session, .. } = within.by;
    let user = users::find(&mut tx, user_of(&id)?).await?;
    if !actor.is(user.id) && users::outrank(&actor, &user).is_err() {
        let target = user.id.to_string();
        return Err(outranked(&control, tx, &actor, &target, SessionsRead::PERMISSION).await);
    }
    // No connection is held while the edge is asked.
    drop(tx);
    let visibility = viewer.visibilities_of(user.id).of(PersonalField::Client);
    answer(living(&control, (tenant.id, user.id)).await?, session, visibility, &part)
}

/// Ends one session of a user: 204; 403 for a user at or above the caller's rank; 404.
#[utoipa::path(
    delete, path = "/api/user/users/{id}/sessions/{sid}/", tag = "Sessions", operation_id = "users_end_session", summary = "End one session of a user",
    description = "Needs `sessions.end` and a rank above the user's, or the caller's own id. If the edge does not \
        answer, the change is stored and sent later; the answer is then 204 even if the user has no such session.",
    params(("id" = Uuid, Path), ("sid" = String, Path)),
    responses((status = 204, description = "Ended", headers(("Wardgate-In-Force" = String, description = "`edge`: the edge has confirmed the change; `pending`: it will be sent again until it does"))))
)]
pub async fn end(
    State(control): State<Control>,
    within: Within<SessionsEnd>,
    Path((id, sid)): Path<(String, String)>,
) -> Result<Response, Refused> {
    let Authenticated { mut tx, actor, .. } = within.by;
    let (user, sid) = (user_of(&id)?, parse(&sid)?);
    let target = user.to_string();
    let found = users::find(&mut tx, user).await?;
    if !actor.is(user) && users::outrank(&actor, &found).is_err() {
        return Err(outranked(&control, tx, &actor, &target, SessionsEnd::PERMISSION).await);
    }
    let mut tx = unless_gone(&control, tx, user, sid).await?;
    match end::one(&control, &mut tx, &actor, (user, sid)).await {
        Ok(()) => {}
        Err(UserError::Rank) => {
            return Err(outranked(&control, tx, &actor, &target, SessionsEnd::PERMISSION).await);
        }
        Err(other) => return Err(other.into()),
    }
    Ok(in_force::commit(&control, tx).await?.on(no_content()))
}

/// Asks the edge, without holding a connection, whether the user has this session: 404 if not. Without an answer of the edge, it is assumed.
async fn unless_gone(
    control: &Control,
    tx: crate::db::TenantTx,
    user: UserId,
    sid: SessionId,
) -> Result<crate::db::TenantTx, Refused> {
    let ask = control.edge.sessions(tx.tenant(), user, control.clock.now());
    let (living, tx) = tx.pause(&control.db, ask).await?;
    match living {
        Ok(living) if living.iter().all(|session| session.sid != sid) => Err(no_session()),
        Ok(_) => Ok(tx),
        Err(error) => {
            tracing::warn!(error = %chain(&error), "the edge does not say whether a session lives: its end is kept");
            Ok(tx)
        }
    }
}

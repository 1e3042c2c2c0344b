//! An edge that stores pushes in memory, by the rules of `shared::wire::push`: a row is stored only if it is newer, a
//! range only if it follows the mark, a message completely or not at all.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use control::world::Clock;
use serde::Serialize;
use serde_json::{Value, json};
use shared::ids::{SessionId, TenantId, UserId};
use shared::tenant::Tenant;
use shared::user::UserStatus;
use shared::wire::facts::{DrainIn, DrainOut, Fact};
use shared::wire::push::{
    Command, DeviceOut, DevicesOut, ForgottenOut, IdentifierRow, Mark, NameRow, Push, Pushed, RestoredOut,
    SessionOut, SessionsOut, SnapshotStep, StatusOut, TenantMark, UserRow,
};
use shared::wire::seal::Sealed;
use shared::wire::signature::{Message, ServiceKey, Tag, content_digest, verify};
use tokio::net::TcpListener;

use crate::scene::key;

/// A row, its revision and the snapshot that last met it.
#[derive(Clone)]
struct Kept<T> {
    at: (i64, i64),
    row: Option<T>,
    stamp: String,
}

/// How an edge answers commands.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum Commands {
    #[default]
    Answered,
    /// 503.
    Refused,
    /// Not at all.
    Silence,
}

#[derive(Default)]
pub struct Memory {
    /// The control's own clock, so that a test that moves it moves both sides.
    pub clock: Clock,
    pub marks: BTreeMap<TenantId, Mark>,
    pub documents: BTreeMap<TenantId, Tenant>,
    users: BTreeMap<(TenantId, String), Kept<UserRow>>,
    identifiers: BTreeMap<(TenantId, String), Kept<IdentifierRow>>,
    names: BTreeMap<String, Kept<NameRow>>,
    /// Every message that was taken, in order.
    pub taken: Vec<Push>,
    /// Answers to give instead of serving: a status each.
    pub faults: VecDeque<u16>,
    /// Refuses messages with a range, so that a backlog builds up.
    pub refuse_ranges: bool,
    /// Takes pushes and loses the answer, this many times.
    pub lose_push_answers: usize,
    /// The names of its key-encryption keys, where it looks whether it can open what is pushed.
    pub key_names: Option<Vec<&'static str>>,
    /// Networks that were confirmed and counts that were lifted, in order.
    pub orders: Vec<Command>,
    /// Facts that wait to be drained.
    pub outbox: Vec<Fact>,
    pub acknowledged: i64,
    /// Remembered devices.
    pub devices: Vec<((TenantId, UserId), DeviceOut)>,
    /// The active sessions of users.
    pub sessions: BTreeMap<(TenantId, UserId), Vec<SessionOut>>,
    /// How commands are answered.
    pub commands: Commands,
    /// How often its database was emptied or restored.
    pub lives: u32,
    /// Does what a drain asks and loses the answer, this many times.
    pub lose_drain_answers: usize,
}

/// See the module.
#[derive(Clone)]
pub struct Edge {
    pub url: String,
    state: Arc<Mutex<Memory>>,
}

impl Edge {
    pub async fn start() -> Self {
        let state = Arc::new(Mutex::new(Memory::default()));
        let app = Router::new()
            .route("/internal/v1/push", post(push))
            .route("/internal/v1/command", post(command))
            .route("/internal/v1/drain", post(drain))
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state(state.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, state }
    }

    pub fn state(&self) -> MutexGuard<'_, Memory> {
        self.state.lock().unwrap()
    }

    /// A user as the edge has them; `None` for one it never saw or that is a tombstone.
    pub fn user(&self, tenant: TenantId, user: UserId) -> Option<UserRow> {
        let state = self.state();
        let row = state.users.get(&(tenant, user.to_string()))?.row.clone()?;
        (row.status != UserStatus::Deleted).then_some(row)
    }

    /// Numbers of users and identifiers of a tenant that are not deleted.
    pub fn counts(&self, tenant: TenantId) -> (usize, usize) {
        let state = self.state();
        let users = state.users.iter().filter(|((of, _), kept)| {
            *of == tenant && kept.row.as_ref().is_some_and(|row| row.status != UserStatus::Deleted)
        });
        let identifiers = state.identifiers.iter().filter(|((of, _), kept)| {
            *of == tenant && kept.row.as_ref().is_some_and(|row| row.user.is_some())
        });
        (users.count(), identifiers.count())
    }

    /// The user of an identifier's hash.
    pub fn identifier(&self, tenant: TenantId, hash: &str) -> Option<UserId> {
        self.state().identifiers.get(&(tenant, hash.to_owned()))?.row.as_ref()?.user
    }

    /// The tenant of a name.
    pub fn name(&self, name: &str) -> Option<TenantId> {
        self.state().names.get(name)?.row.as_ref()?.tenant
    }

    pub fn mark(&self, tenant: TenantId) -> Mark {
        self.state().marks.get(&tenant).copied().unwrap_or_default()
    }
}

/// Whether the call is signed for `tag`; what is not changes nothing.
fn signed(clock: &Clock, tag: Tag, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let digest = content_digest(body);
    let message = Message {
        method: "POST",
        authority: "edge.test",
        path: uri.path(),
        query: "",
        content_digest: Some(&digest),
        headers: &[],
    };
    let service = ServiceKey::parse(&key("c1", 2)).unwrap();
    let peers = [service.peer()];
    let now = u64::try_from(clock.now().timestamp()).unwrap();
    text("content-digest") == digest
        && verify(&peers, tag, &message, text("signature-input"), text("signature"), now).is_ok()
}

fn answer(status: u16, body: impl Serialize) -> Response {
    (StatusCode::from_u16(status).unwrap(), axum::Json(body)).into_response()
}

type Shared = State<Arc<Mutex<Memory>>>;

async fn push(State(state): Shared, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let clock = state.lock().unwrap().clock.clone();
    if !signed(&clock, Tag::Push, &uri, &headers, &body) {
        return answer(401, json!({}));
    }
    let mut state = state.lock().unwrap();
    if let Some(status) = state.faults.pop_front() {
        return answer(status, json!({"code": "unavailable"}));
    }
    let push: Push = serde_json::from_slice(&body).unwrap();
    push.check().unwrap();
    if state.refuse_ranges && push.complete.is_some() {
        return answer(503, json!({"code": "unavailable"}));
    }
    let unknown = |name: String| state.key_names.as_ref().is_some_and(|known| !known.contains(&&*name));
    if sealed_under(&push).into_values().any(unknown) {
        return answer(422, json!({"detail": "", "code": "edge_key_unknown"}));
    }
    let taken = state.take(&push);
    if state.lose_push_answers > 0 {
        state.lose_push_answers -= 1;
        return answer(502, Value::Null);
    }
    match taken {
        Ok(remaining) => answer(
            200,
            Pushed { mark: state.marks.get(&push.tenant).copied().unwrap_or_default(), remaining },
        ),
        Err(code) => {
            let mark = state.marks.get(&push.tenant).copied().unwrap_or_default();
            answer(409, json!({"detail": "", "code": code, "history": mark.history, "mark": mark.rev}))
        }
    }
}

/// The names of the keys that seal a message, by the row: the document's has the name of its tenant.
pub fn sealed_under(push: &Push) -> BTreeMap<(String, i64), String> {
    let key = |sealed: &str| Sealed::parse(sealed).unwrap().key_id().to_owned();
    let document = push.document.iter().map(|row| {
        let root = key(&row.document.session_roots[0].sealed);
        assert!(row.document.session_roots.iter().all(|other| key(&other.sealed) == root));
        assert!(row.document.captcha.iter().all(|captcha| key(&captcha.secret) == root));
        ((push.tenant.to_string(), row.rev), root)
    });
    let users = push
        .users
        .iter()
        .filter_map(|user| Some(((user.id.to_string(), user.rev), key(user.verifier.as_deref()?))));
    document.chain(users).collect()
}

fn put<K: Ord, T>(rows: &mut BTreeMap<K, Kept<T>>, id: K, at: (i64, i64), row: T, stamp: Option<&str>) {
    let kept = rows.entry(id).or_insert(Kept { at: (0, 0), row: None, stamp: String::new() });
    if at > kept.at {
        kept.at = at;
        kept.row = Some(row);
    }
    if let Some(stamp) = stamp.filter(|stamp| **stamp > *kept.stamp) {
        kept.stamp = stamp.to_owned();
    }
}

fn sweep<K, T>(
    rows: &mut BTreeMap<K, Kept<T>>,
    of: impl Fn(&K) -> bool,
    at: (i64, i64),
    stamp: &str,
    most: usize,
) -> bool {
    let old = rows
        .iter_mut()
        .filter(|(id, kept)| of(id) && *kept.stamp < *stamp && kept.at <= at && kept.row.is_some());
    let mut swept = 0;
    for (_, kept) in old.take(most) {
        kept.at = at;
        kept.row = None;
        swept += 1;
    }
    swept == most
}

impl Memory {
    fn incarnation(&self) -> String {
        format!("life {}", self.lives)
    }

    fn take(&mut self, push: &Push) -> Result<bool, &'static str> {
        let mark = self.marks.get(&push.tenant).copied().unwrap_or_default();
        if push.history < mark.history {
            return Err("stale_history");
        }
        if let Some(range) = push.complete {
            let follows = push.history == mark.history && range.from <= mark.rev;
            let begins = push.history > mark.history && range.from == 0;
            if !follows && !begins {
                return Err("revision_gap");
            }
        }
        self.taken.push(push.clone());
        let (tenant, history) = (push.tenant, push.history);
        let stamp =
            push.snapshot.as_ref().filter(|it| it.step == SnapshotStep::Page).map(|it| it.id.as_str());
        if let Some(row) = &push.document {
            let known = self.documents.get(&tenant).map_or((0, 0), Tenant::revision);
            if (history, row.rev) > known {
                self.documents.insert(tenant, (*row.document).clone().into_value());
            }
        }
        for row in &push.names {
            put(&mut self.names, row.name.clone(), (history, row.rev), row.clone(), stamp);
        }
        for row in &push.users {
            put(
                &mut self.users,
                (tenant, row.id.to_string()),
                (history, row.rev),
                row.clone().into_value(),
                stamp,
            );
        }
        for row in &push.identifiers {
            put(&mut self.identifiers, (tenant, row.hash.clone()), (history, row.rev), row.clone(), stamp);
        }
        for ((_, user), living) in self.sessions.iter_mut().filter(|((of, _), _)| *of == tenant) {
            let ends = |sid: &SessionId| {
                push.ended_sessions.contains(sid)
                    && push.session_owners.get(sid).is_none_or(|owner| owner == user)
            };
            living.retain(|session| !ends(&session.sid));
        }
        let remaining = push.snapshot.as_ref().is_some_and(|snapshot| {
            let at = (history, snapshot.to);
            match snapshot.step {
                SnapshotStep::Page => false,
                SnapshotStep::Sweep => {
                    let users = sweep(&mut self.users, |(of, _)| *of == tenant, at, &snapshot.id, 3);
                    let names = sweep(&mut self.identifiers, |(of, _)| *of == tenant, at, &snapshot.id, 3);
                    users || names
                }
                SnapshotStep::SweepNames => sweep(&mut self.names, |_| true, at, &snapshot.id, 3),
            }
        });
        if let Some(range) = push.complete {
            let to = Mark { history, rev: range.to };
            if to > mark {
                self.marks.insert(tenant, to);
            }
        }
        Ok(remaining)
    }
}

async fn command(State(state): Shared, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let clock = state.lock().unwrap().clock.clone();
    if !signed(&clock, Tag::Command, &uri, &headers, &body) {
        return answer(401, json!({}));
    }
    let how = state.lock().unwrap().commands;
    match how {
        Commands::Answered => {}
        Commands::Refused => return answer(503, json!({"code": "unavailable"})),
        Commands::Silence => std::future::pending().await,
    }
    let mut state = state.lock().unwrap();
    let tenants = match serde_json::from_slice(&body).unwrap() {
        Command::Sessions { tenant, user } => {
            let sessions = state.sessions.get(&(tenant, user)).cloned().unwrap_or_default();
            return answer(200, SessionsOut { sessions });
        }
        Command::Status { tenants } => tenants,
        Command::Devices { tenant, user } => {
            if let Some(status) = state.faults.pop_front() {
                return answer(status, json!({"code": "unavailable"}));
            }
            let of = state.devices.iter().filter(|(owner, _)| *owner == (tenant, user));
            return answer(200, DevicesOut { devices: of.map(|(_, device)| device.clone()).collect() });
        }
        Command::ForgetDevices { tenant, user, device } => {
            if let Some(status) = state.faults.pop_front() {
                return answer(status, json!({"code": "unavailable"}));
            }
            let before = state.devices.len();
            state.devices.retain(|(owner, kept)| {
                *owner != (tenant, user) || device.as_ref().is_some_and(|device| *device != kept.id)
            });
            let forgotten = u64::try_from(before - state.devices.len()).unwrap();
            return answer(200, ForgottenOut { forgotten });
        }
        Command::Restored { shard: 0 } => {
            state.lives += 1;
            return answer(200, RestoredOut { incarnation: state.incarnation() });
        }
        command @ (Command::ConfirmNetwork { .. } | Command::LiftAttempts { .. }) => {
            if let Some(status) = state.faults.pop_front() {
                return answer(status, json!({}));
            }
            state.orders.push(command);
            // Each answer is read from the fields that it has.
            return answer(200, json!({"confirmed": true, "lifted": 2}));
        }
        _ => return answer(400, Value::Null),
    };
    let marks = tenants.iter().filter_map(|tenant| {
        let mark = state.marks.get(tenant).copied();
        let document = state.documents.get(tenant).map(|document| document.history);
        let history = Some(mark.map(|mark| mark.history).max(document)?);
        Some(TenantMark { tenant: *tenant, mark: mark.unwrap_or_default(), history, doc_rev: 0, kv_rev: 0 })
    });
    answer(200, StatusOut { incarnation: state.incarnation(), now_ms: 0, outbox: 0, marks: marks.collect() })
}

async fn drain(State(state): Shared, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let clock = state.lock().unwrap().clock.clone();
    if !signed(&clock, Tag::Drain, &uri, &headers, &body) {
        return answer(401, json!({}));
    }
    let mut state = state.lock().unwrap();
    let drain: DrainIn = serde_json::from_slice(&body).unwrap();
    let incarnation = state.incarnation();
    if let Some(acknowledge) = drain.acknowledge.filter(|it| it.incarnation == incarnation) {
        let greatest = state.outbox.iter().map(|fact| fact.seq).fold(state.acknowledged, i64::max);
        let there = state.outbox.iter().find(|fact| fact.seq == acknowledge.seq);
        if acknowledge.seq > greatest || there.is_some_and(|fact| Some(fact.id) != acknowledge.id) {
            return answer(409, json!({"detail": "", "code": "outbox_restored"}));
        }
        state.acknowledged = state.acknowledged.max(acknowledge.seq);
        let acknowledged = state.acknowledged;
        state.outbox.retain(|fact| fact.seq > acknowledged);
    }
    let limit = usize::try_from(drain.limit).unwrap();
    let facts: Vec<Fact> = state.outbox.iter().take(limit).cloned().collect();
    let more = state.outbox.len() > limit;
    if state.lose_drain_answers > 0 {
        state.lose_drain_answers -= 1;
        return answer(502, Value::Null);
    }
    answer(200, DrainOut { incarnation, facts, more })
}

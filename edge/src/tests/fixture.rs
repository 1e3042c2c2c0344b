//! A world in memory, and actors in it: `world.tenant("acme")`, `acme.user("ada")`,
//! `acme.sign_in("ada")`.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::OnceLock;

use answers::Seen;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeySize, PublicKeyComponents};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::executor::block_on;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use shared::contract::limits::{
    NAME_PER_MINUTE, NETWORK_PER_MINUTE, NETWORK_TOTAL_PER_MINUTE, SESSION_PER_MINUTE,
    TENANT_SESSIONS_PER_MINUTE,
};
use shared::contract::routes::{RouteKind, find as find_route};
use shared::derive::{Purpose, Secret, derive, identifier_hash, legacy_token_hash, legacy_user_hash};
use shared::identifiers::Identifier;
use shared::ids::{Slug, TenantId, UserId};
use shared::passwords::{Password, Verifier, Workspace};
use shared::tenant::settings::Settings as TenantSettings;
use shared::tenant::{KeyState, Root, SessionRoot, SigningKey, Status, Tenant};
use shared::tokens::claims::UserIdForm;
use shared::tokens::jwk::PublicKey;
use shared::tokens::legacy::{Legacy, Marker};
use shared::user::UserStatus;
use shared::wire::needs::{FORMER_LOOKUP_ROOT, Needs};
use shared::wire::password::{PasswordIn, PasswordOut};
use shared::wire::push::{Complete, DocumentRow, IdentifierRow, NameRow, Push, UserRow};
use shared::wire::seal::{Context, EdgeKey, Kind, Sealed};
use shared::wire::signature::{Message, PeerKey, ServiceKey, Tag, content_digest, verify};
use zeroize::Zeroizing;

use super::siteverify::Siteverify;
use crate::app::App;
use crate::http::{Body, BodyError, Incoming, Outgoing, Response};
use crate::log::Level;
use crate::platform::{
    Clock, Copies, CryptoError, Entropy, Limit, Limiter, Log, Param, Rows, Rs256, Statement, Store,
    StoreError, Upstream, UpstreamError,
};
use crate::serve::{handle, run_after};
use crate::settings::{RouteSet, Settings};

pub const PASSWORD: &str = "correct horse battery";
pub const START_MS: u64 = 1_800_000_000_000;
const EDGE: &str = "edge-1";
const PLATFORM: u8 = 250;

fn named_key(id: &str, fill: u8) -> String {
    format!("{id}:{}", URL_SAFE_NO_PAD.encode([fill; 32]))
}

/// Control's service key, and another key.
pub fn control_key() -> ServiceKey {
    ServiceKey::parse(&named_key("control", 7)).unwrap()
}

pub fn edge_key() -> EdgeKey {
    EdgeKey::parse(&named_key("kek-a", 9)).unwrap()
}

/// The one that replaces it.
pub fn second_edge_key() -> EdgeKey {
    EdgeKey::parse(&named_key("kek-b", 10)).unwrap()
}

/// Both, as an edge has them while one replaces the other.
pub fn edge_keys() -> [EdgeKey; 2] {
    [edge_key(), second_edge_key()]
}

/// Control's service key after a change.
pub fn second_control_key() -> ServiceKey {
    ServiceKey::parse(&named_key("control-2", 11)).unwrap()
}

pub fn edge_service_peer() -> PeerKey {
    ServiceKey::parse(&named_key("edge", 8)).unwrap().peer()
}

pub fn settings() -> Settings {
    Settings {
        routes: RouteSet::All,
        edge_id: EDGE.into(),
        authority: "edge.example".into(),
        shared_hosts: vec!["auth.example".into()],
        default_tenant: None,
        control_url: "http://control.example".into(),
        control_authority: "control.example".into(),
        control_keys: vec![control_key().peer()],
        edge_keys: vec![edge_key()],
        service_key: ServiceKey::parse(&named_key("edge", 8)).unwrap(),
    }
}

/// RSA keys are slow to make, so that the tests share three.
fn rsa(at: usize) -> &'static (Vec<u8>, PublicKey) {
    static KEYS: OnceLock<Vec<(Vec<u8>, PublicKey)>> = OnceLock::new();
    let make = || {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let public: PublicKeyComponents<Vec<u8>> = pair.public_key().into();
        let key = PublicKey::from_bytes(&public.n, &public.e).unwrap();
        let der = aws_lc_rs::encoding::AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
        (der.as_ref().to_vec(), key)
    };
    &KEYS.get_or_init(|| (0..3).map(|_| make()).collect())[at]
}

fn verifier() -> &'static str {
    static PHC: OnceLock<String> = OnceLock::new();
    PHC.get_or_init(|| {
        Workspace::default().hash(&Password::parse(PASSWORD).unwrap(), [4; 16]).to_phc().to_string()
    })
}

pub fn seal(tenant: TenantId, kind: Kind, subject: &str, plaintext: &[u8]) -> String {
    let context = Context { edge: EDGE, tenant, kind, subject };
    Sealed::seal(&edge_key(), &context, [5; 12], plaintext).unwrap().to_string()
}

pub fn signing_key(tenant: TenantId, at: usize, state: KeyState, sign_from: Option<u64>) -> SigningKey {
    let (der, public) = rsa(at);
    let kid = public.key_id();
    let sealed = Some(seal(tenant, Kind::SigningKey, kid.as_str(), der));
    SigningKey { kid, public: public.clone(), state, sign_from, sealed }
}

fn lookup_root(tenant: TenantId) -> Secret {
    let mut bytes = [0x11; 32];
    bytes[..16].copy_from_slice(tenant.as_bytes());
    Secret::new(bytes)
}

fn second_lookup_root(tenant: TenantId) -> Secret {
    let mut bytes = [0x44; 32];
    bytes[..16].copy_from_slice(tenant.as_bytes());
    Secret::new(bytes)
}

fn session_root(tenant: TenantId) -> Secret {
    let mut bytes = [0x22; 32];
    bytes[..16].copy_from_slice(tenant.as_bytes());
    Secret::new(bytes)
}

/// A second session root, beside the one there is, that signs from `sign_from`.
pub fn second_session_root(tenant: &mut Tenant, sign_from: Option<u64>) {
    let sealed = seal(tenant.id, Kind::SessionRoot, "2", &[0x33; 32]);
    tenant.session_roots.truncate(1);
    tenant.session_roots.push(SessionRoot { version: 2, sealed, sign_from });
}

/// Seals everything of a tenant at the edge again, under `key`.
pub fn reseal(acme: &Actor, key: &EdgeKey) -> Push {
    let id = acme.id();
    let again = |text: &str, kind, subject: &str| {
        let context = Context { edge: EDGE, tenant: id, kind, subject };
        let plaintext = Sealed::parse(text).unwrap().open(&edge_keys(), &context).unwrap();
        Sealed::seal(key, &context, [6; 12], &plaintext).unwrap().to_string()
    };
    {
        let mut tenant = acme.tenant.borrow_mut();
        for root in &mut tenant.session_roots {
            root.sealed = again(&root.sealed, Kind::SessionRoot, &root.version.to_string());
        }
        tenant.lookup_root.sealed = again(&tenant.lookup_root.sealed, Kind::LookupRoot, "1");
        if let Some(captcha) = &mut tenant.captcha {
            let url = captcha.policy.verify_url.to_string();
            captcha.secret = again(&captcha.secret, Kind::CaptchaSecret, &url);
        }
        tenant.dummy_verifier = again(&tenant.dummy_verifier, Kind::Dummy, "");
        for key in &mut tenant.keys {
            key.sealed = key.sealed.as_deref().map(|text| again(text, Kind::SigningKey, key.kid.as_str()));
        }
    }
    let mut row = acme.user_row("ada");
    row.verifier = row.verifier.map(|text| again(&text, Kind::Verifier, &row.id.to_string()));
    Push { users: vec![row.into()], ..acme.document_push() }
}

/// A tenant's document as control would build it.
pub fn document(slug: &str, fill: u8) -> Tenant {
    let id = TenantId::new(1, [fill; 10]);
    Tenant {
        id,
        slug: Slug::parse(slug).unwrap(),
        status: Status::Active,
        history: 1,
        doc_rev: 1,
        issuer: format!("https://auth.example/t/{slug}"),
        audience: None,
        former_claims: vec![],
        hosts: vec![shared::ids::HostName::parse(&format!("{slug}.example")).unwrap()],
        shards: vec![0],
        // The clock does not move, so a budget is not refilled.
        settings: TenantSettings { hashes_per_sec: 0, ..TenantSettings::default() },
        keys: vec![signing_key(id, 0, KeyState::Active, Some(1)), signing_key(id, 1, KeyState::Next, None)],
        session_roots: vec![SessionRoot {
            version: 1,
            sealed: seal(id, Kind::SessionRoot, "1", session_root(id).expose()),
            sign_from: None,
        }],
        lookup_root: Root { version: 1, sealed: seal(id, Kind::LookupRoot, "1", lookup_root(id).expose()) },
        former_lookup_root: None,
        dummy_verifier: seal(id, Kind::Dummy, "", Verifier::dummy([1; 16], [2; 32]).to_phc().as_bytes()),
        user_id: UserIdForm::Uuid,
        legacy: None,
        foreign: None,
        captcha: None,
        needs: Needs::default(),
    }
}

pub fn tenant_and_settings() -> (Tenant, Settings) {
    (document("acme", 1), settings())
}

type Meanwhile = Box<dyn FnOnce(&rusqlite::Connection)>;

/// The world, with its switches.
pub struct Memory {
    pub db: RefCell<rusqlite::Connection>,
    pub kv: RefCell<HashMap<String, String>>,
    pub now_ms: Cell<u64>,
    /// Batches that were awaited.
    pub batches: Cell<u32>,
    /// Bytes of the largest answer that the database gave.
    pub largest_answer: Cell<usize>,
    pub store_down: Cell<bool>,
    /// The next batch happens, but its answer is lost.
    pub lose_answer: Cell<bool>,
    pub kv_down: Cell<bool>,
    /// KV takes no more writes, as if it were frozen in the past.
    pub kv_frozen: Cell<bool>,
    /// This limit refuses every request.
    pub limited: Cell<Option<Limit>>,
    /// Calls under each key of a limit within a minute.
    pub charged: RefCell<HashMap<(Limit, String, u64), u32>>,
    /// Lines of the log.
    pub logged: RefCell<Vec<String>>,
    pub control_down: Cell<bool>,
    pub forwarded: RefCell<Vec<(Outgoing, Vec<u8>)>>,
    /// Additional headers of control's answers.
    pub control_adds: RefCell<Vec<(&'static str, &'static str)>>,
    /// Passwords whose hashes control has.
    pub foreign: RefCell<HashMap<UserId, String>>,
    /// A forced answer of control about a password.
    pub control_says: RefCell<Option<String>>,
    /// Questions about passwords that reached control, signed as they must be.
    pub asked: RefCell<Vec<PasswordIn>>,
    /// Runs in the middle of a batch's round trip: what commits while a request waits.
    pub meanwhile: RefCell<Option<Meanwhile>>,
    /// Every batch lets others go first, as a round trip does.
    pub yields: Cell<bool>,
    /// Runs while a signature is checked: what other requests of the isolate do meanwhile.
    pub while_verifying: RefCell<Option<Box<dyn FnOnce()>>>,
    /// Runs while control's answer is awaited.
    pub while_forwarding: RefCell<Option<Box<dyn FnOnce()>>>,
    /// The CAPTCHA service.
    pub siteverify: Siteverify,
    /// The keys that unseal signing keys.
    pub edge_keys: Vec<EdgeKey>,
    entropy: Cell<u64>,
}

impl Memory {
    fn new() -> Self {
        let db = rusqlite::Connection::open_in_memory().unwrap();
        db.execute_batch(include_str!("../../../migrations/edge/0001_shard.sql")).unwrap();
        Self {
            db: RefCell::new(db),
            kv: RefCell::default(),
            now_ms: Cell::new(START_MS),
            batches: Cell::new(0),
            largest_answer: Cell::new(0),
            store_down: Cell::new(false),
            lose_answer: Cell::new(false),
            kv_down: Cell::new(false),
            kv_frozen: Cell::new(false),
            limited: Cell::new(None),
            charged: RefCell::default(),
            logged: RefCell::default(),
            control_down: Cell::new(false),
            forwarded: RefCell::default(),
            control_adds: RefCell::default(),
            foreign: RefCell::default(),
            control_says: RefCell::default(),
            asked: RefCell::default(),
            meanwhile: RefCell::new(None),
            yields: Cell::new(false),
            while_verifying: RefCell::new(None),
            while_forwarding: RefCell::new(None),
            siteverify: Siteverify::default(),
            edge_keys: vec![edge_key()],
            entropy: Cell::new(1),
        }
    }

    /// A copy of the database, to restore later.
    pub fn bookmark(&self) -> rusqlite::Connection {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let at = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("file:bookmark-{at}?mode=memory&cache=shared");
        let copy = rusqlite::Connection::open(&name).unwrap();
        self.db.borrow().execute("vacuum into ?1", [&name]).unwrap();
        copy
    }

    /// D1 by Time Travel: the database is again what it was, its name included.
    pub fn travel_to(&self, bookmark: rusqlite::Connection) {
        *self.db.borrow_mut() = bookmark;
    }

    /// Runs one statement by hand.
    pub fn run(&self, statement: &Statement) -> Vec<Value> {
        run(&self.db.borrow(), statement).unwrap()
    }
}

/// Rows of a statement, as D1 would give them.
pub fn run(db: &rusqlite::Connection, statement: &Statement) -> rusqlite::Result<Vec<Value>> {
    let mut prepared = db.prepare(statement.sql)?;
    let names: Vec<String> = prepared.column_names().into_iter().map(str::to_owned).collect();
    let params = statement.params.iter().map(|param| match param {
        Param::Null => rusqlite::types::Value::Null,
        Param::Int(int) => rusqlite::types::Value::Integer(*int),
        Param::Text(text) => rusqlite::types::Value::Text(text.clone()),
    });
    let mut rows = prepared.query(rusqlite::params_from_iter(params))?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        let mut object = serde_json::Map::new();
        for (at, name) in names.iter().enumerate() {
            let value = match row.get_ref(at)? {
                rusqlite::types::ValueRef::Null => Value::Null,
                rusqlite::types::ValueRef::Integer(int) => int.into(),
                rusqlite::types::ValueRef::Real(real) => real.into(),
                rusqlite::types::ValueRef::Text(text) => String::from_utf8_lossy(text).into(),
                rusqlite::types::ValueRef::Blob(_) => Value::Null,
            };
            object.insert(name.clone(), value);
        }
        out.push(Value::Object(object));
    }
    Ok(out)
}

pub struct MemoryRows(Vec<Value>);

impl Rows for MemoryRows {
    fn read<T: DeserializeOwned>(&self) -> Result<Vec<T>, StoreError> {
        let rows = self.0.iter().cloned().map(serde_json::from_value);
        rows.collect::<Result<_, _>>().map_err(|error| panic!("a row does not fit: {error}"))
    }
}

async fn let_others_go_first() {
    let mut gone = false;
    let once = |context: &mut std::task::Context<'_>| {
        context.waker().wake_by_ref();
        if std::mem::replace(&mut gone, true) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    };
    std::future::poll_fn(once).await;
}

impl Store for Memory {
    type Rows = MemoryRows;
    async fn batch(&self, _: u8, statements: Vec<Statement>) -> Result<Vec<MemoryRows>, StoreError> {
        self.batches.set(self.batches.get() + 1);
        if self.yields.get() {
            let_others_go_first().await;
        }
        if self.store_down.get() {
            return Err(StoreError::Unreachable);
        }
        let mut db = self.db.borrow_mut();
        if let Some(meanwhile) = self.meanwhile.take() {
            meanwhile(&db);
        }
        let transaction = db.transaction().unwrap();
        let mut results = Vec::new();
        for statement in &statements {
            match run(&transaction, statement) {
                Ok(rows) => results.push(MemoryRows(rows)),
                Err(error) if error.to_string().contains("revision_gap") => {
                    return Err(StoreError::RevisionGap);
                }
                Err(error) if error.to_string().contains("stale_history") => {
                    return Err(StoreError::StaleHistory);
                }
                Err(error) => panic!("{error} in {}", statement.sql),
            }
        }
        transaction.commit().unwrap();
        let bytes = results.iter().flat_map(|rows| &rows.0).map(|row| row.to_string().len()).sum();
        self.largest_answer.set(self.largest_answer.get().max(bytes));
        if self.lose_answer.take() { Err(StoreError::Unreachable) } else { Ok(results) }
    }
}

impl Clock for Memory {
    fn now_ms(&self) -> u64 {
        self.now_ms.get()
    }
    fn service_now_secs(&self) -> u64 {
        self.now_ms.get() / 1000
    }
}

impl Entropy for Memory {
    /// Different every time, the same in every run.
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let next = self
                .entropy
                .get()
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            self.entropy.set(next);
            chunk.copy_from_slice(&next.rotate_left(17).to_be_bytes()[..chunk.len()]);
        }
    }
}

impl Copies for Memory {
    async fn get(&self, key: &str) -> Option<String> {
        if self.kv_down.get() { None } else { self.kv.borrow().get(key).cloned() }
    }
    async fn put(&self, key: &str, value: &str) -> bool {
        if self.kv_down.get() {
            return false;
        }
        if !self.kv_frozen.get() {
            self.kv.borrow_mut().insert(key.to_owned(), value.to_owned());
        }
        true
    }
}

impl Rs256 for Memory {
    async fn sign(&self, tenant: TenantId, key: &SigningKey, input: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let context = Context { edge: EDGE, tenant, kind: Kind::SigningKey, subject: key.kid.as_str() };
        let sealed = Sealed::parse(key.sealed.as_deref().ok_or(CryptoError)?).map_err(|_| CryptoError)?;
        let der = sealed.open(&self.edge_keys, &context).map_err(|_| CryptoError)?;
        let pair = RsaKeyPair::from_pkcs8(&der).map_err(|_| CryptoError)?;
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), input, &mut signature).map_err(|_| CryptoError)?;
        Ok(signature)
    }
    async fn verify(&self, key: &PublicKey, input: &[u8], signature: &[u8]) -> Result<bool, CryptoError> {
        if let Some(meanwhile) = self.while_verifying.take() {
            meanwhile();
        }
        let components = PublicKeyComponents { n: key.modulus(), e: &[1, 0, 1][..] };
        Ok(components.verify(&RSA_PKCS1_2048_8192_SHA256, input, signature).is_ok())
    }
}

impl Limiter for Memory {
    async fn admits(&self, limit: Limit, key: &str) -> bool {
        let most = match limit {
            Limit::NetworkTotal => NETWORK_TOTAL_PER_MINUTE,
            Limit::Network => NETWORK_PER_MINUTE,
            Limit::Name => NAME_PER_MINUTE,
            Limit::Session => SESSION_PER_MINUTE,
            Limit::TenantSessions => TENANT_SESSIONS_PER_MINUTE,
        };
        let mut charged = self.charged.borrow_mut();
        let calls = charged.entry((limit, key.to_owned(), self.now_ms() / 60_000)).or_default();
        *calls += 1;
        *calls <= most && self.limited.get() != Some(limit)
    }
}

impl Log for Memory {
    fn log(&self, _: Level, line: &str) {
        self.logged.borrow_mut().push(line.to_owned());
    }
}

impl Upstream for Memory {
    type Request = Request;
    type Stream = String;
    async fn send(&self, outgoing: Outgoing, request: Request) -> Result<Response<String>, UpstreamError> {
        if self.control_down.get() {
            return Err(UpstreamError);
        }
        let body = if outgoing.carries_body() { request.body } else { vec![] };
        self.forwarded.borrow_mut().push((outgoing, body));
        if let Some(meanwhile) = self.while_forwarding.take() {
            meanwhile();
        }
        let headers =
            [("Content-Type", "application/json"), ("Connection", "close"), ("Wardgate-Inside", "1")];
        let adds = self.control_adds.borrow();
        let headers = headers.iter().chain(adds.iter());
        let headers = headers.map(|(name, value)| ((*name).into(), (*value).to_owned())).collect();
        Ok(Response { status: 200, headers, body: Body::Stream("{}".into()) })
    }
    async fn ask(&self, outgoing: Outgoing, message: Zeroizing<Vec<u8>>) -> Result<Vec<u8>, UpstreamError> {
        if self.control_down.get() {
            return Err(UpstreamError);
        }
        assert_eq!(outgoing.url, format!("http://control.example{}", shared::wire::password::PATH));
        let header = |name| outgoing.headers.iter().find(|(known, _)| *known == name).unwrap().1.as_str();
        let digest = content_digest(&message);
        let signed = Message {
            method: &outgoing.method,
            authority: "control.example",
            path: shared::wire::password::PATH,
            query: "",
            content_digest: Some(&digest),
            headers: &[],
        };
        let (input, signature) = (header("signature-input"), header("signature"));
        let now = self.service_now_secs();
        verify(&[edge_service_peer()], Tag::Password, &signed, input, signature, now).unwrap();
        assert_eq!(header("content-digest"), digest);
        let question: PasswordIn = serde_json::from_slice(&message).unwrap();
        let foreign = self.foreign.borrow();
        let matched = question.user.and_then(|user| foreign.get(&user)) == Some(&question.password);
        self.asked.borrow_mut().push(question);
        let truth = serde_json::to_string(&PasswordOut { matched }).unwrap();
        Ok(self.control_says.borrow().clone().unwrap_or(truth).into_bytes())
    }
}

#[derive(Clone, Default)]
pub struct Request {
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub client: String,
    /// Country and city, as the runtime reports them.
    pub place: [Option<String>; 2],
    /// Runs when the body is read: what happens while a client holds it back.
    pub before_body: Option<Rc<dyn Fn()>>,
}

impl Request {
    pub fn new(method: &str, url: &str) -> Self {
        Self { method: method.into(), url: url.into(), client: "192.0.2.1".into(), ..Self::default() }
    }
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_ascii_lowercase(), value.into()));
        self
    }
    pub fn json(self, body: &impl Serialize) -> Self {
        let body = serde_json::to_vec(body).unwrap();
        Self { body, ..self.header("content-type", "application/json") }
    }
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }
    pub fn before_body(self, happens: impl Fn() + 'static) -> Self {
        Self { before_body: Some(Rc::new(happens)), ..self }
    }
    /// Signs as control would, at `now_secs`.
    pub fn sign(self, key: &ServiceKey, tag: Tag, authority: &str, now_secs: u64) -> Self {
        let digest = content_digest(&self.body);
        let path =
            self.url.split_once("://").and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..])).unwrap();
        let message = Message {
            method: &self.method,
            authority,
            path,
            query: "",
            content_digest: Some(&digest),
            headers: &[],
        };
        let signed = key.sign(tag, &message, now_secs);
        self.header("content-digest", &digest)
            .header("signature-input", &signed.input)
            .header("signature", &signed.signature)
    }
}

impl Incoming for Request {
    fn method(&self) -> String {
        self.method.clone()
    }
    fn url(&self) -> String {
        self.url.clone()
    }
    fn header(&self, name: &str) -> Option<String> {
        let values: Vec<_> =
            self.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }
    fn client(&self) -> String {
        self.client.clone()
    }
    fn place(&self) -> [Option<String>; 2] {
        self.place.clone()
    }
    async fn body(&self, limit: usize) -> Result<Vec<u8>, BodyError> {
        if let Some(before_body) = &self.before_body {
            before_body();
        }
        if self.body.len() > limit { Err(BodyError::TooLarge) } else { Ok(self.body.clone()) }
    }
}

/// An answer, for looking at.
pub struct Answered {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub text: String,
}

impl Answered {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("{} is not JSON", self.text))
    }
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }
    pub fn text(&self, field: &str) -> String {
        self.json()[field].as_str().unwrap_or_else(|| panic!("no {field} in {}", self.text)).to_owned()
    }
    /// Keeps the answer of a route of the edge for the check against the document; what this fixture's
    /// control says is in no document.
    fn kept(self, method: &str, url: &str) -> Self {
        let path = url.split_once("://").and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..]));
        let content_type = self.header("Content-Type").unwrap_or_default();
        let seen = Seen::of(method, path.unwrap_or("/"), self.status, content_type, &self.text);
        let own = |seen: &Seen| {
            let route = find_route(&format!("/{}", seen.kind.route));
            route.is_some_and(|route| matches!(route.kind, RouteKind::Edge | RouteKind::EdgeWithoutAllow))
        };
        seen.filter(own).into_iter().for_each(answers::record);
        self
    }
    /// Everything by which a client can distinguish two answers, except the request id.
    pub fn visible(&self) -> (u16, String, Vec<(String, String)>) {
        let headers = self.headers.iter().filter(|(name, _)| name != "X-Request-Id").cloned().collect();
        (self.status, self.text.clone(), headers)
    }
}

/// One isolate over a world; several may share it.
#[derive(Clone)]
pub struct World {
    pub app: Rc<App<Memory>>,
}

impl World {
    pub fn new() -> Self {
        Self { app: Rc::new(App::new(Memory::new(), Ok(settings()))) }
    }

    /// The same world after a deployment of the Worker with other settings: all isolates are new ones.
    pub fn redeployed(self, settings: Settings) -> Self {
        let edge_keys = settings.edge_keys.clone();
        let Ok(app) = Rc::try_unwrap(self.app) else { panic!("somebody still uses the isolate") };
        Self { app: Rc::new(App::new(Memory { edge_keys, ..app.platform }, Ok(settings))) }
    }

    pub fn memory(&self) -> &Memory {
        &self.app.platform
    }

    pub fn advance(&self, ms: u64) {
        self.memory().now_ms.set(self.memory().now_ms.get() + ms);
    }

    /// The isolate forgets everything, as a new one would.
    pub fn new_isolate(&self) {
        self.app.shard_cache.take();
        self.app.verified.take();
        self.app.refused_names.take();
    }

    /// Sends a request, and then runs the work that follows the response.
    pub fn send(&self, request: Request) -> Answered {
        let (method, url) = (request.method.clone(), request.url.clone());
        let reply = block_on(handle(&self.app, request));
        block_on(run_after(&self.app, reply.after));
        Answered::from(reply.response).kept(&method, &url)
    }

    /// Round trips that a request awaits before its answer: batches, and questions to control.
    pub fn counted(&self, request: Request) -> (Answered, u32) {
        let questions = || u32::try_from(self.memory().asked.borrow().len()).unwrap();
        let trips = || self.memory().batches.get() + questions();
        let before = trips();
        let (method, url) = (request.method.clone(), request.url.clone());
        let reply = block_on(handle(&self.app, request));
        (Answered::from(reply.response).kept(&method, &url), trips() - before)
    }

    pub fn signed(&self, path: &str, tag: Tag, body: &impl Serialize) -> Answered {
        let request = Request::new("POST", &format!("https://edge.example{path}")).json(body);
        self.send(request.sign(&control_key(), tag, "edge.example", self.memory().now_ms.get() / 1000))
    }

    /// A push that another isolate takes: this one learns of it by the feed.
    pub fn push(&self, push: &Push) -> Answered {
        let cache = self.app.shard_cache.take();
        let answer = self.push_here(push);
        self.app.shard_cache.replace(cache);
        answer
    }

    /// A push that this isolate takes.
    pub fn push_here(&self, push: &Push) -> Answered {
        self.signed("/internal/v1/push", Tag::Push, push)
    }

    /// Pushes a tenant's document and names, as control would at its creation.
    pub fn tenant(&self, slug: &str) -> Actor {
        let fill = slug.bytes().fold(1u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte));
        let tenant = document(slug, fill);
        let actor =
            Actor { world: self.clone(), tenant: Rc::new(RefCell::new(tenant)), rev: Rc::new(Cell::new(0)) };
        actor.world.push(&actor.document_push()).expect(200);
        let id = actor.id();
        let names = [format!("slug:{slug}"), format!("host:{slug}.example")];
        let names = names.map(|name| NameRow { name, rev: 1, tenant: Some(id), shard: 0 }).to_vec();
        self.push(&Push { names, ..message(TenantId::new(1, [PLATFORM; 10])) }).expect(200);
        actor
    }
}

impl From<Response<String>> for Answered {
    fn from(response: Response<String>) -> Self {
        let text = match response.body {
            Body::Empty => String::new(),
            Body::Text(text) | Body::Stream(text) => text,
        };
        let headers = response.headers.into_iter().map(|(name, value)| (name.into_owned(), value)).collect();
        Self { status: response.status, headers, text }
    }
}

/// A push without rows.
pub fn message(tenant: TenantId) -> Push {
    Push {
        tenant,
        history: 1,
        complete: None,
        snapshot: None,
        document: None,
        names: vec![],
        users: vec![],
        identifiers: vec![],
        ended_sessions: vec![],
        session_owners: BTreeMap::new(),
    }
}

/// A tenant, with control's hand for it.
#[derive(Clone)]
pub struct Actor {
    pub world: World,
    pub tenant: Rc<RefCell<Tenant>>,
    pub rev: Rc<Cell<i64>>,
}

impl Actor {
    pub fn id(&self) -> TenantId {
        self.tenant.borrow().id
    }

    pub fn next_rev(&self) -> i64 {
        self.rev.set(self.rev.get() + 1);
        self.rev.get()
    }

    /// The document as it is now, at the revision that comes last.
    pub fn document_push(&self) -> Push {
        let rev = self.next_rev();
        self.tenant.borrow_mut().doc_rev = rev;
        let document = self.tenant.borrow().clone().into();
        let document = Some(DocumentRow { rev, document: Box::new(document) });
        Push { document, complete: Some(Complete { from: 0, to: rev }), ..message(self.id()) }
    }

    /// Changes the document and pushes it.
    pub fn edit(&self, change: impl FnOnce(&mut Tenant)) {
        change(&mut self.tenant.borrow_mut());
        self.world.push(&self.document_push()).expect(200);
    }

    pub fn user_id(&self, name: &str) -> UserId {
        let fill = name.bytes().fold(3u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte));
        UserId::new(2, [fill; 10])
    }

    pub fn user_row(&self, name: &str) -> UserRow {
        let id = self.user_id(name);
        let sealed = seal(self.id(), Kind::Verifier, &id.to_string(), verifier().as_bytes());
        UserRow {
            id,
            rev: self.next_rev(),
            status: UserStatus::Active,
            access_epoch: 0,
            session_epoch: 0,
            password_epoch: 0,
            roles: vec!["staff".into()],
            verifier: Some(sealed),
            foreign: false,
            legacy_id: None,
            password_due: None,
            password_changed_at: None,
            password_valid_until: None,
            kept_session: None,
            authenticators: vec![],
            recovery: None,
            needs: Needs::default(),
        }
    }

    /// The tenant came from another service, whose key is the third, until `until` (Unix seconds).
    pub fn came_from(&self, marker: Option<Marker>, until: u64) {
        let key = rsa(OLD_KEY).1.clone();
        self.edit(|tenant| {
            tenant.legacy = Some(Legacy { key, until, marker, listed: false });
            tenant.user_id = UserIdForm::Integer;
        });
    }

    fn identifier_key(&self) -> Secret {
        derive(&lookup_root(self.id()), self.id(), Purpose::Identifier)
    }

    fn second_identifier_key(&self) -> Secret {
        derive(&second_lookup_root(self.id()), self.id(), Purpose::Identifier)
    }

    /// Another lookup root comes into force.
    pub fn switch_lookup_root(&self) {
        let sealed = seal(self.id(), Kind::LookupRoot, "2", second_lookup_root(self.id()).expose());
        self.edit(|tenant| {
            let former = std::mem::replace(&mut tenant.lookup_root, Root { version: 2, sealed });
            tenant.former_lookup_root = Some(former);
            tenant.needs = tenant.needs.clone().and(FORMER_LOOKUP_ROOT);
        });
    }

    /// A row of a name's hash under the other lookup root.
    pub fn second_identifier_row(&self, name: &str, user: Option<UserId>) -> IdentifierRow {
        let identifier = Identifier::parse(name).ok().unwrap();
        let hash = identifier_hash(&self.second_identifier_key(), self.id(), &identifier);
        IdentifierRow { hash: IdentifierRow::encode_hash(&hash), rev: self.next_rev(), user }
    }

    /// The hash of a name under the other lookup root leads to `user`.
    pub fn second_identifier(&self, name: &str, user: Option<UserId>) {
        let identifiers = vec![self.second_identifier_row(name, user)];
        self.world.push(&Push { identifiers, ..message(self.id()) }).expect(200);
    }

    /// The hash of a name under the first one leads to `user`.
    pub fn first_identifier(&self, name: &str, user: Option<UserId>) {
        let identifier = Identifier::parse(name).ok().unwrap();
        self.hashed(identifier_hash(&self.identifier_key(), self.id(), &identifier), user);
    }

    /// The same for an id of the old service.
    pub fn second_old_user(&self, legacy_id: &str, user: UserId) {
        self.hashed(legacy_user_hash(&self.second_identifier_key(), self.id(), legacy_id), Some(user));
    }

    /// A tombstone in place of what an id of the old service led to under the first lookup root.
    pub fn first_old_user_gone(&self, legacy_id: &str) {
        self.hashed(legacy_user_hash(&self.identifier_key(), self.id(), legacy_id), None);
    }

    fn hashed(&self, hash: [u8; 32], user: Option<UserId>) {
        let rows =
            vec![IdentifierRow { hash: IdentifierRow::encode_hash(&hash), rev: self.next_rev(), user }];
        self.world.push(&Push { identifiers: rows, ..message(self.id()) }).expect(200);
    }

    /// Makes a user with the id that the old service gave.
    pub fn old_user(&self, name: &str, legacy_id: &str) -> UserId {
        let id = self.user(name);
        self.change(name, |row| row.legacy_id = Some(legacy_id.into()));
        self.hashed(legacy_user_hash(&self.identifier_key(), self.id(), legacy_id), Some(id));
        id
    }

    /// Puts a refresh token of the old service on the list of those that are out.
    pub fn outstanding(&self, jti: &str, user: UserId) {
        self.hashed(legacy_token_hash(&self.identifier_key(), self.id(), jti), Some(user));
    }

    pub fn identifier_row(&self, name: &str, user: Option<UserId>) -> IdentifierRow {
        let identifier = Identifier::parse(name).ok().unwrap();
        let hash = identifier_hash(&self.identifier_key(), self.id(), &identifier);
        IdentifierRow { hash: IdentifierRow::encode_hash(&hash), rev: self.rev.get(), user }
    }

    /// Makes a user with the shared password.
    pub fn user(&self, name: &str) -> UserId {
        let row = self.user_row(name);
        let id = row.id;
        let identifiers = vec![self.identifier_row(name, Some(id))];
        self.world.push(&Push { users: vec![row.into()], identifiers, ..message(self.id()) }).expect(200);
        id
    }

    /// Changes a user and pushes the row, ahead of any backlog.
    pub fn change(&self, name: &str, change: impl FnOnce(&mut UserRow)) {
        let mut row = self.user_row(name);
        change(&mut row);
        self.world.push(&Push { users: vec![row.into()], ..message(self.id()) }).expect(200);
    }

    /// Thousands of other users, pushed as control does, page by page.
    pub fn users_change(&self, count: u32, change: impl Fn(&mut UserRow)) {
        let mut rows = (0..count).map(|number| {
            let id = UserId::new(3, [[0; 6].as_slice(), &number.to_be_bytes()].concat().try_into().unwrap());
            let mut row = UserRow { id, verifier: None, ..self.user_row("template") };
            change(&mut row);
            row.into()
        });
        loop {
            let users: Vec<_> = rows.by_ref().take(shared::contract::limits::PUSH_ROWS).collect();
            if users.is_empty() {
                return;
            }
            self.world.push(&Push { users, ..message(self.id()) }).expect(200);
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://auth.example/t/{}{path}", self.tenant.borrow().slug)
    }

    pub fn request(&self, method: &str, path: &str) -> Request {
        Request::new(method, &self.url(path))
    }

    pub fn post(&self, path: &str, body: &Value) -> Answered {
        self.world.send(self.request("POST", path).json(body))
    }

    pub fn try_sign_in(&self, name: &str, password: &str) -> Answered {
        self.post("/api/token/", &json!({"username": name, "password": password}))
    }

    pub fn sign_in(&self, name: &str) -> Tokens {
        let answer = self.try_sign_in(name, PASSWORD).expect(200);
        Tokens { access: answer.text("access"), refresh: answer.text("refresh") }
    }

    pub fn refresh(&self, token: &str) -> Answered {
        self.post("/api/token/refresh/", &json!({"refresh": token}))
    }

    pub fn refreshed(&self, token: &str) -> Tokens {
        let answer = self.refresh(token).expect(200);
        Tokens { access: answer.text("access"), refresh: answer.text("refresh") }
    }

    pub fn validate(&self, token: &str) -> Answered {
        self.world.send(self.request("POST", "/api/token/validate/").bearer(token))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    pub access: String,
    pub refresh: String,
}

/// The claims of a token, not verified.
pub fn claims(token: &str) -> Value {
    let payload = shared::tokens::jws::Jws::split(token).unwrap().payload_bytes().unwrap();
    serde_json::from_slice(&payload).unwrap()
}

/// Signs claims with the tenant's key, as only its owner could.
pub fn forge(at: usize, claims: &Value) -> String {
    forge_as(&json!({"alg": "RS256", "typ": "JWT", "kid": rsa(at).1.key_id()}), at, claims)
}

/// Which key the old service has.
pub const OLD_KEY: usize = 2;

/// Signs claims as the old service does.
pub fn old_token(claims: &Value) -> String {
    forge_as(&json!({"alg": "RS256", "typ": "JWT"}), OLD_KEY, claims)
}

/// Signs claims under any header.
pub fn forge_as(header: &Value, at: usize, claims: &Value) -> String {
    let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    let (input, pair) = (format!("{header}.{claims}"), RsaKeyPair::from_pkcs8(&rsa(at).0).unwrap());
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), input.as_bytes(), &mut signature).unwrap();
    shared::tokens::join_signature(input, &signature)
}

/// The old service's key, as it is published.
pub fn old_pem() -> String {
    rsa(OLD_KEY).1.to_pem().unwrap()
}

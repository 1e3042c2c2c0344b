//! The stage: a database for this run, a tenant for each test, users who call the API.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::OnceLock;

use answers::Seen;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use control::audit::Actor;
use control::control::Control;
use control::db::{TenantTx, migrate};
use control::failure::Failure;
use control::settings::load_from;
use control::tenants::{self, Isolation, NewTenant, Tenant, provision};
use control::users::{self, NewUser, Profile, User};
use control::{api, keys};
use reqwest::Method;
use serde_json::Value;
use shared::contract::routes::{self, RouteKind};
use shared::epochs;
use shared::ids::{SessionId, Slug, UserId};
use shared::tenant::settings::Settings;
use shared::tokens::claims::{AccessClaims, UserIdClaim};
use shared::tokens::{access_signing_input, join_signature};
use shared::user::UserStatus;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::edge::Edge;

pub const PASSWORD: &str = "correct horse battery staple";

/// A key in the form of the settings.
pub fn key(id: &str, fill: u8) -> String {
    format!("{id}:{}", URL_SAFE_NO_PAD.encode([fill; 32]))
}

/// The superuser's URL, or a failure that says what is missing.
pub fn superuser_url() -> String {
    std::env::var("WARDGATE_TEST_DATABASE_URL")
        .expect("WARDGATE_TEST_DATABASE_URL is not set: it names a PostgreSQL superuser for these tests")
}

/// The same URL with another user and database.
fn url_of(user: &str, password: &str, database: &str) -> String {
    let mut url = reqwest::Url::parse(&superuser_url()).expect("WARDGATE_TEST_DATABASE_URL is no URL");
    url.set_path(database);
    if !user.is_empty() {
        url.set_username(user).unwrap();
        url.set_password(Some(password)).unwrap();
    }
    url.to_string()
}

/// A database with its four roles. They are left behind: PostgreSQL for tests is thrown away whole.
#[derive(Clone)]
pub struct Database {
    pub name: String,
    /// Variables of every control on it that differ from those of others.
    pub more: Vec<(&'static str, String)>,
}

impl Database {
    /// A new, empty database.
    pub async fn empty() -> Self {
        let random: [u8; 8] = control::world::random().unwrap();
        let name = format!("wgt_{}", random.map(|byte| format!("{byte:02x}")).concat());
        let mut admin = PgConnection::connect(&superuser_url()).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(format!("create database {name}"))).execute(&mut admin).await.unwrap();
        admin.close().await.unwrap();
        Self { name, more: vec![] }
    }

    /// The database of this run, migrated once.
    pub async fn of_this_run() -> Self {
        static DATABASE: OnceLock<Database> = OnceLock::new();
        tokio::task::spawn_blocking(|| {
            DATABASE.get_or_init(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let database = Self::empty().await;
                    database.migrate().await;
                    database
                })
            })
        })
        .await
        .unwrap()
        .clone()
    }

    pub async fn migrate(&self) {
        let control = self.control("http://127.0.0.1:1").await;
        migrate::platform(&control.settings.database).await.unwrap();
        tenants::ensure_platform(&control).await.unwrap();
        for outcome in migrate::cells(&control.settings.database, &control.roles).await.unwrap() {
            outcome.version.unwrap();
        }
    }

    pub fn role_url(&self, role: &str) -> String {
        url_of(&format!("{}_{role}", self.name), "secret", &self.name)
    }

    pub fn admin_url(&self) -> String {
        url_of("", "", &self.name)
    }

    pub async fn admin(&self) -> PgConnection {
        PgConnection::connect(&self.admin_url()).await.unwrap()
    }

    /// Where this database's checkpoints are. Like the database, it is left behind.
    pub fn checkpoint_folder(&self) -> String {
        std::env::temp_dir().join(format!("{}-checkpoints", self.name)).display().to_string()
    }

    /// The environment of a control on this database that feeds the edge at `edge_url`.
    pub fn variables(&self, edge_url: &str) -> HashMap<&'static str, String> {
        let mut variables = HashMap::from([
            ("WARDGATE_DATABASE_ADMIN_URL", self.admin_url()),
            ("WARDGATE_DATABASE_MIGRATE_URL", self.role_url("migrate")),
            ("WARDGATE_DATABASE_APP_URL", self.role_url("app")),
            ("WARDGATE_DATABASE_RELAY_URL", self.role_url("relay")),
            ("WARDGATE_DATABASE_MAX_CONNECTIONS", "5".into()),
            ("WARDGATE_HTTP_AUTHORITY", "control.test".into()),
            ("WARDGATE_HTTP_DIRECT", "true".into()),
            ("WARDGATE_HTTP_SHARED_ORIGIN", "https://shared.test".into()),
            ("WARDGATE_HTTP_SHARED_HOSTS", "shared.test".into()),
            ("WARDGATE_EDGE_ID", "edge-test".into()),
            ("WARDGATE_EDGE_URL", edge_url.into()),
            ("WARDGATE_EDGE_AUTHORITY", "edge.test".into()),
            ("WARDGATE_EDGE_KEK", key("a", 1)),
            // No pusher runs unless a test starts one, so no confirmation would come.
            ("WARDGATE_EDGE_IN_FORCE_MS", "0".into()),
            ("WARDGATE_SERVICE_KEY", key("c1", 2)),
            ("WARDGATE_ENCRYPTION_KEK", key("rest", 3)),
            ("WARDGATE_AUDIT_CHECKPOINT_KEY", key("audit-1", 6)),
            ("WARDGATE_AUDIT_CHECKPOINT_FOLDER", self.checkpoint_folder()),
            ("WARDGATE_PASSWORDS_CONCURRENCY", "2".into()),
            ("WARDGATE_EDGE_PUBLIC_KEYS", crate::forward::edge_key().public()),
        ]);
        variables.extend(self.more.iter().cloned());
        variables
    }

    /// A control on this database that feeds the edge at `edge_url`.
    pub async fn control(&self, edge_url: &str) -> Control {
        let variables = self.variables(edge_url);
        let settings = load_from(None, |name| variables.get(name).cloned()).unwrap();
        control::control::new(settings).unwrap()
    }
}

/// A tenant on the stage, with the control that serves it and the edge that control feeds.
#[derive(Clone)]
pub struct Scene {
    pub database: Database,
    pub control: Control,
    pub edge: Edge,
    pub tenant: Tenant,
    pub api: SocketAddr,
}

impl Scene {
    /// A fresh tenant with a cell of its own, in the database of this run.
    pub async fn new() -> Self {
        Self::of(Database::of_this_run().await, Isolation::Schema).await
    }

    /// A fresh tenant in the shared cell.
    pub async fn shared() -> Self {
        Self::of(Database::of_this_run().await, Isolation::Shared).await
    }

    /// A fresh tenant in a database of its own: for tests that look at more than one tenant.
    pub async fn alone() -> Self {
        let database = Database::empty().await;
        database.migrate().await;
        Self::of(database, Isolation::Schema).await
    }

    /// A fresh tenant in a database of its own, under a control with these additional variables.
    pub async fn under(more: Vec<(&'static str, String)>, isolation: Isolation) -> Self {
        let database = Database { more, ..Database::empty().await };
        database.migrate().await;
        Self::of(database, isolation).await
    }

    /// A fresh tenant in the database of this run, under a control with these additional variables.
    pub async fn with(more: Vec<(&'static str, String)>) -> Self {
        Self::of(Database { more, ..Database::of_this_run().await }, Isolation::Schema).await
    }

    /// The same scene with another control process, which has no state in memory.
    pub async fn restarted(self) -> Self {
        let control = self.database.control(&self.edge.url).await;
        self.edge.state().clock = control.clock.clone();
        let api = serve(&control).await;
        Self { control, api, ..self }
    }

    async fn of(database: Database, isolation: Isolation) -> Self {
        let edge = Edge::start().await;
        let control = database.control(&edge.url).await;
        edge.state().clock = control.clock.clone();
        let tenant = new_tenant(&control, isolation).await;
        let api = serve(&control).await;
        Self { database, control, edge, tenant, api }
    }

    /// A fresh tenant under the same control.
    pub async fn neighbour(&self, isolation: Isolation) -> Self {
        Self { tenant: new_tenant(&self.control, isolation).await, ..self.clone() }
    }

    /// The same scene inside the platform tenant.
    pub async fn platform(&self) -> Self {
        let id = self.control.db.platform().await.unwrap();
        let mut tx = self.control.db.tenant_tx(id).await.unwrap();
        let tenant = tenants::find(&mut tx, id).await.unwrap();
        Self { tenant, ..self.clone() }
    }

    /// A user with one role, by the command line's authority.
    pub async fn member(&self, username: &str, role: &str) -> Member {
        let profile = Profile { username: username.into(), ..Profile::default() };
        let user = self.person(profile, &[role]).await;
        self.acting_as(&user).await
    }

    /// A user with this profile and these roles, by the command line's authority.
    pub async fn person(&self, profile: Profile, roles: &[&str]) -> User {
        let new = NewUser {
            profile,
            status: UserStatus::Active,
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            branch: None,
            password: None,
            must_change_password: false,
            email_verified: true,
        };
        let mut tx = self.tx().await;
        let user = users::create(&self.control, &mut tx, &Actor::operator(), new).await.unwrap();
        tx.commit().await.unwrap();
        user
    }

    /// A transaction of the tenant, however long others of the test keep its share.
    pub async fn tx(&self) -> TenantTx {
        loop {
            match self.control.db.tenant_tx(self.tenant.id).await {
                Err(Failure::Busy(_)) => {}
                begun => return begun.unwrap(),
            }
        }
    }

    /// A caller of the API with a token of `user` as they are now.
    pub async fn acting_as(&self, user: &User) -> Member {
        let mut tx = self.tx().await;
        let floor = epochs::floor(tx.history().await.unwrap());
        drop(tx);
        let claims = self.claims(user.id, floor + user.access_epoch);
        Member { id: user.id, token: self.sign(&claims).await, api: self.api }
    }

    /// Good claims of a user, five minutes long.
    pub fn claims(&self, user: UserId, epoch: i64) -> AccessClaims<'static> {
        let now = self.control.clock.now().timestamp();
        AccessClaims {
            token_type: "access".into(),
            exp: now + 300,
            iat: now,
            jti: "0".repeat(32).into(),
            user_id: UserIdClaim::Text(user.to_string()),
            sub: user,
            iss: self.tenant.issuer.clone().into(),
            tenant: self.tenant.id,
            sid: SessionId::new(0, [7; 16]),
            epoch,
            roles: vec![],
            amr: vec!["pwd".into()],
            auth_time: now,
            aud: None,
            nbf: None,
        }
    }

    /// Signs claims with the tenant's active key, as the edge would.
    pub async fn sign(&self, claims: &AccessClaims<'_>) -> String {
        use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
        let mut tx = self.tx().await;
        let published = keys::store::published(&mut tx).await.unwrap();
        let active = published.iter().find(|key| key.key.state == keys::model::State::Active).unwrap();
        let pair = RsaKeyPair::from_pkcs8(active.pkcs8.as_ref().unwrap()).unwrap();
        let input = access_signing_input(&active.key.kid, claims).unwrap();
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(&RSA_PKCS1_SHA256, &aws_lc_rs::rand::SystemRandom::new(), input.as_bytes(), &mut signature)
            .unwrap();
        join_signature(input, &signature)
    }

    /// The row of a user now.
    pub async fn user(&self, id: UserId) -> User {
        let mut tx = self.control.db.tenant_tx(self.tenant.id).await.unwrap();
        users::find(&mut tx, id).await.unwrap()
    }

    /// Actions in the tenant's log, oldest first.
    pub async fn logged(&self) -> Vec<String> {
        let mut tx = self.control.db.tenant_tx(self.tenant.id).await.unwrap();
        sqlx::query_scalar("select action from audit_entries where tenant_id = $1 order by at, id")
            .bind(self.tenant.id.uuid())
            .fetch_all(&mut *tx)
            .await
            .unwrap()
    }

    /// Pushes what the edge is missing of the tenant.
    pub async fn push(&self) {
        control::edges::pusher::push_now(&self.control, self.tenant.id).await.unwrap();
    }

    /// Every row of every table, as text.
    pub async fn rows(&self) -> String {
        let mut admin = self.database.admin().await;
        let tables: Vec<(String,)> = sqlx::query_as(
            "select format('%I.%I', schemaname, tablename)
            from pg_tables
            where schemaname not in ('pg_catalog', 'information_schema')",
        )
        .fetch_all(&mut admin)
        .await
        .unwrap();
        let mut text = String::new();
        for (table,) in tables {
            let rows: (Option<String>,) =
                sqlx::query_as(AssertSqlSafe(format!("select string_agg(t::text, chr(10)) from {table} t")))
                    .fetch_one(&mut admin)
                    .await
                    .unwrap();
            text += &rows.0.unwrap_or_default();
        }
        text
    }

    /// A request without credentials.
    pub async fn anonymous(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        call(self.api, method, path, None, body).await
    }
}

/// A tenant that can be used, with a random slug.
pub async fn new_tenant(control: &Control, isolation: Isolation) -> Tenant {
    let tenant = committed_tenant(control, isolation).await;
    provision::run(control, tenant.id).await.unwrap();
    let mut tx = control.db.tenant_tx(tenant.id).await.unwrap();
    tenants::find(&mut tx, tenant.id).await.unwrap()
}

/// The data of a new tenant with a random slug.
pub fn new(isolation: Isolation) -> NewTenant {
    let random: [u8; 6] = control::world::random().unwrap();
    let slug = format!("t{}", random.map(|byte| format!("{byte:02x}")).concat());
    NewTenant {
        slug: Slug::parse(&slug).unwrap(),
        name: slug,
        hosts: vec![],
        issuer: None,
        audience: None,
        isolation,
        settings: Settings { min_password_length: 8, ..Settings::default() },
        admin: None,
    }
}

/// A tenant whose job has not run yet.
pub async fn committed_tenant(control: &Control, isolation: Isolation) -> Tenant {
    let platform = control.db.platform().await.unwrap();
    let key = tenants::prepare(control).await.unwrap();
    let mut tx = control.db.tenant_tx(platform).await.unwrap();
    let tenant = tenants::create(control, &mut tx, &Actor::operator(), &key, new(isolation)).await.unwrap();
    tx.commit().await.unwrap();
    tenant
}

/// Serves the API on a free port until the test's runtime ends.
pub async fn serve(control: &Control) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(api::serve(control.clone(), listener, CancellationToken::new()));
    address
}

/// A caller of the API.
#[derive(Clone)]
pub struct Member {
    pub id: UserId,
    pub token: String,
    api: SocketAddr,
}

impl Member {
    /// The same user at the control of another scene.
    pub fn at(&self, scene: &Scene) -> Self {
        Self { api: scene.api, ..self.clone() }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.call(Method::POST, path, Some(body)).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.call(Method::PATCH, path, Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.call(Method::DELETE, path, None).await
    }

    /// With these additional headers.
    pub async fn with(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Answer {
        let mut request = reqwest::Client::new()
            .request(method, format!("http://{}{path}", self.api))
            .bearer_auth(&self.token);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        Answer::to(request).await
    }

    pub async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        call(self.api, method, path, Some(&format!("Bearer {}", self.token)), body).await
    }
}

/// One request with the given `Authorization`.
pub async fn call(
    api: SocketAddr,
    method: Method,
    path: &str,
    authorization: Option<&str>,
    body: Option<Value>,
) -> Answer {
    let mut request = reqwest::Client::new().request(method, format!("http://{api}{path}"));
    if let Some(authorization) = authorization {
        request = request.header("authorization", authorization);
    }
    if let Some(body) = body {
        request = request.json(&body);
    }
    Answer::to(request).await
}

/// An answer of the API.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
    /// The body as it came.
    pub text: String,
}

impl Answer {
    /// Sends a request, and keeps the answer for the check against the published document.
    pub async fn to(request: reqwest::RequestBuilder) -> Self {
        let (client, request) = request.build_split();
        let request = request.unwrap();
        let (method, path) = (request.method().to_string(), request.url().path().to_owned());
        let response = client.execute(request).await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await.unwrap();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let answer = Self { status, headers, body, text };
        let seen = Seen::of(&method, &path, status, answer.header("content-type"), &answer.text);
        // Health of control is another's than the edge's, and in no document.
        let of_the_edge = |seen: &Seen| {
            let route = routes::find(&format!("/{}", seen.kind.route.replace('*', "x")));
            route.is_some_and(|route| matches!(route.kind, RouteKind::Edge | RouteKind::EdgeWithoutAllow))
        };
        seen.filter(|seen| !of_the_edge(seen)).into_iter().for_each(answers::record);
        answer
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// Fails the test unless the status is this one.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.body);
        self
    }

    pub fn id(&self) -> UserId {
        UserId::parse(self.body["id"].as_str().unwrap()).unwrap()
    }
}

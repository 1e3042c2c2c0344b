//! A tenant of one test's own.

use futures::{StreamExt as _, stream};
use reqwest::Method;
use serde_json::{Value, json};
use shared::ids::TenantId;

use super::{Admin, Session, User, Way};
use crate::http::Http;
use crate::settings::SHARED_ORIGIN;
use crate::siteverify::{SECRET, SITE_KEY, Siteverify};
use crate::stack::Stack;
use crate::verifier::{KeySet, Signer, open};
use crate::{secrets, seed, wait};

/// Users that are made at the same time.
const AT_ONCE: usize = 4;

/// A tenant, its administrator, and the platform's.
pub struct Tenant<'s> {
    stack: &'s Stack,
    /// Its id.
    pub id: TenantId,
    /// Its short name.
    pub slug: String,
    /// A client of it, by its path on a shared host.
    pub http: Http,
    /// Its first root-admin.
    pub admin: Admin<'s>,
    /// The platform's administrator.
    pub operator: Admin<'s>,
}

impl<'s> Tenant<'s> {
    /// A tenant as the defaults make it, whose administrators sign in by password alone.
    pub async fn create(stack: &'s Stack) -> Self {
        Self::create_with(stack, json!({})).await
    }

    /// A tenant with these additional members.
    ///
    /// # Panics
    /// If the platform's administrator may not create it.
    pub async fn create_with(stack: &'s Stack, more: Value) -> Self {
        let operator = Admin::operator(stack).await;
        let slug = format!("t{}", seed::unique());
        let password = secrets::password();
        let admin = json!({"username": "root", "email": format!("root@{slug}.test"), "password": password});
        let mut body = json!({"slug": slug, "name": "Of one test", "admin": admin});
        for (name, value) in more.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        for (name, value) in [("second_factor_roles", json!([])), ("step_up_secs", json!(0))] {
            if body["settings"].get(name).is_none() {
                body["settings"][name] = value;
            }
        }
        // Tests sign in many at once.
        if body["settings"].get("hashes_per_sec").is_none() {
            body["settings"]["hashes_per_sec"] = json!(0);
        }
        let created = operator.post("/api/tenant/tenants/", &body).await.expect(201);
        let id = TenantId::parse(&created.text_at("id")).expect("a tenant's id");
        let path = format!("/api/tenant/tenants/{id}/");
        wait::until("the tenant to be active", async || {
            let status = operator.get(&path).await.expect(200).text_at("status");
            (status == "active").then_some(())
        })
        .await;
        settle(stack, operator.tenant()).await;
        settle(stack, id).await;
        let http = Http::new(format!("{}/t/{slug}", stack.edge_url()));
        let admin = Admin::sign_in(stack, http.clone(), "root", &password).await;
        Self { stack, id, slug, http, admin, operator }
    }

    /// The stack it is on.
    #[must_use]
    pub fn stack(&self) -> &'s Stack {
        self.stack
    }

    /// Its path in the API.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/api/tenant/tenants/{}/", self.id)
    }

    /// A user with the role `client`, known to the edge.
    pub async fn user(&self, username: &str) -> User<'_> {
        self.user_with(username, json!({})).await
    }

    /// A user with these additional members, once the edge has it.
    pub async fn user_with(&self, username: &str, more: Value) -> User<'_> {
        let user = User::create(self, username, more).await;
        self.settle().await;
        user
    }

    /// Several users, known to the edge.
    pub async fn users(&self, count: usize) -> Vec<User<'_>> {
        let create = async |at| User::create(self, &format!("u{at}"), json!({})).await;
        // A few at a time: each costs control a hash, and what is asked of it beyond its means it refuses.
        let users = stream::iter(0..count).map(create).buffered(AT_ONCE).collect().await;
        self.settle().await;
        users
    }

    /// Waits until the edge has everything that control has committed for the tenant until now.
    pub async fn settle(&self) {
        settle(self.stack, self.id).await;
    }

    /// Lets administrators call control without the edge, whose clock is going to move.
    pub fn administer_by_hand(&self) {
        self.admin.call_by(Way::ByHand);
        self.operator.call_by(Way::ByHand);
    }

    /// Has the platform change it. The edge learns of it a moment later.
    pub async fn change(&self, change: &Value) {
        let _ = self.operator.patch(&self.path(), change).await.expect(200);
    }

    /// Has the platform make it ask for a CAPTCHA of this service; `more` says when, and what holds where it fails.
    pub async fn ask_for_captcha(&self, service: &Siteverify, more: &Value) {
        let mut body = json!({"site_key": SITE_KEY, "secret": SECRET, "verify_url": service.url()});
        for (name, value) in more.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        let path = format!("{}captcha/", self.path());
        let _ = self.operator.call(Method::PUT, &path, Some(&body)).await.expect(200);
        self.settle().await;
    }

    /// Has the platform suspend it.
    pub async fn suspend(&self) {
        self.change(&json!({"status": "suspended"})).await;
    }

    /// Has the platform resume it.
    pub async fn resume(&self) {
        self.change(&json!({"status": "active"})).await;
    }

    /// Its published keys.
    pub async fn keys(&self) -> KeySet {
        KeySet::of(&self.http.get("/.well-known/jwks.json").await.expect(200).json())
    }

    /// Where it publishes them, for clients that fetch them themselves.
    #[must_use]
    pub fn jwks_url(&self) -> String {
        format!("{}/.well-known/jwks.json", self.http.base())
    }

    /// The key that signs, as PEM.
    pub async fn public_key(&self) -> String {
        self.http.get("/api/public-key/").await.expect(200).text_at("public_key")
    }

    /// The issuer of its tokens, where it was made without a host of its own.
    #[must_use]
    pub fn issuer(&self) -> String {
        format!("{SHARED_ORIGIN}/t/{}", self.slug)
    }

    /// Has the platform import a key that the test has made, to sign what the edge would not.
    ///
    /// # Panics
    /// Where that is refused.
    pub async fn import_key(&self) -> Signer {
        let signer = Signer::generate();
        let path = format!("{}keys/import/", self.path());
        let imported = self.operator.post(&path, &json!({"pkcs8": signer.pem()})).await.expect(201);
        assert_eq!(imported.text_at("kid"), signer.kid());
        // Data in the edge's database is served a moment later.
        wait::until("the key to be published", async || {
            self.keys().await.kids().iter().any(|kid| kid == signer.kid()).then_some(())
        })
        .await;
        signer
    }

    /// Has the platform end the key of a session's token, and gives the session after a refresh: the
    /// next key signs at once.
    ///
    /// # Panics
    /// Where the old one still signs.
    pub async fn rotated(&self, session: &Session) -> Session {
        let ended = open(&session.access).header["kid"].clone();
        self.revoke_key(ended.as_str().expect("a key id")).await;
        let refused = async || (session.validate().await.status == 401).then_some(());
        wait::until("the key to end at the edge", refused).await;
        let session = session.refreshed().await;
        assert_ne!(open(&session.access).header["kid"], ended);
        session
    }

    /// Has the platform end a signing key at once: the tenant's own administrator may hold a token of
    /// that very key.
    pub async fn revoke_key(&self, kid: &str) {
        let path = format!("{}keys/{kid}/revoke/", self.path());
        let _ = self.operator.post(&path, &json!({})).await.expect(200);
    }
}

async fn settle(stack: &Stack, tenant: TenantId) {
    wait::until("the edge to have everything", async || {
        stack.database.edge_has_all(tenant).await.then_some(())
    })
    .await;
}

//! A user of a tenant.

use serde_json::{Value, json};
use shared::ids::UserId;

use super::{Session, Tenant};
use crate::http::{Reply, served};
use crate::secrets;

/// A user, with the password that they know.
pub struct User<'t> {
    tenant: &'t Tenant<'t>,
    /// Their id.
    pub id: UserId,
    /// Their user name.
    pub username: String,
    /// Their password.
    pub password: String,
}

impl<'t> User<'t> {
    /// Makes a user by the tenant's administrator, without a password where `more` says null. The
    /// edge learns of them a moment later.
    pub(super) async fn create(tenant: &'t Tenant<'t>, username: &str, more: Value) -> Self {
        let password = secrets::password();
        let mut body = json!({
            "username": username,
            "email": format!("{username}@{}.test", tenant.slug),
            "password": password,
            "roles": ["client"],
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        if body["password"].is_null() {
            body.as_object_mut().expect("an object").remove("password");
        }
        let created = tenant.admin.post("/api/user/users/", &body).await.expect(201);
        let id = UserId::parse(&created.text_at("id")).expect("a user's id");
        let password = body["password"].as_str().unwrap_or_default().to_owned();
        Self { tenant, id, username: username.to_owned(), password }
    }

    /// Their path in the API.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/api/user/users/{}/", self.id)
    }

    /// Signs in, which has to succeed.
    pub async fn sign_in(&self) -> Session {
        Session::of(&self.tenant.http, &self.try_sign_in().await.expect(200))
    }

    /// Tries to sign in with the right password.
    pub async fn try_sign_in(&self) -> Reply {
        self.try_sign_in_with(&self.password).await
    }

    /// Tries to sign in with any password.
    pub async fn try_sign_in_with(&self, password: &str) -> Reply {
        let body = json!({"username": self.username, "password": password});
        served(async || self.tenant.http.post("/api/token/", &body).await).await
    }

    /// Has the administrator change them. The edge learns of it a moment later.
    pub async fn change(&self, change: &Value) {
        let _ = self.tenant.admin.patch(&self.path(), change).await.expect(200);
    }

    /// Has the administrator suspend them.
    pub async fn suspend(&self) {
        self.change(&json!({"status": "suspended"})).await;
    }

    /// Has the administrator let them in again.
    pub async fn resume(&self) {
        self.change(&json!({"status": "active"})).await;
    }
}

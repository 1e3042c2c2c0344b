//! A signed-in session, in the hands of its owner or of a thief.

use reqwest::Method;
use serde_json::{Value, json};

use crate::http::{Http, Reply};
use crate::verifier;

/// An access and a refresh token, and the host that they are for.
#[derive(Clone)]
pub struct Session {
    http: Http,
    /// The access token.
    pub access: String,
    /// The refresh token.
    pub refresh: String,
}

impl Session {
    /// The session of a sign-in's or refresh's answer.
    #[must_use]
    #[track_caller]
    pub fn of(http: &Http, reply: &Reply) -> Self {
        Self { http: http.clone(), access: reply.text_at("access"), refresh: reply.text_at("refresh") }
    }

    /// The same tokens, sent to another host.
    #[must_use]
    pub fn presented_at(&self, http: &Http) -> Self {
        Self { http: http.clone(), ..self.clone() }
    }

    /// The same session with another access token.
    #[must_use]
    pub fn with_access(&self, token: impl Into<String>) -> Self {
        Self { access: token.into(), ..self.clone() }
    }

    /// The claims of the access token, unverified.
    #[must_use]
    pub fn claims(&self) -> Value {
        verifier::open(&self.access).claims
    }

    /// A claim that is a text.
    ///
    /// # Panics
    /// Where there is none.
    #[must_use]
    pub fn claim(&self, name: &str) -> String {
        self.claims()[name].as_str().expect(name).to_owned()
    }

    /// Generation of the refresh token: the second half of its `jti`.
    ///
    /// # Panics
    /// Where there is none.
    #[must_use]
    pub fn generation(&self) -> u64 {
        let claims = verifier::open(&self.refresh).claims;
        let (_, generation) =
            claims["jti"].as_str().and_then(|jti| jti.split_once('.')).expect("a generation");
        generation.parse().expect("a number")
    }

    /// Validates the access token.
    pub async fn validate(&self) -> Reply {
        self.http.post_as(&self.access, "/api/token/validate/").await
    }

    /// Verifies a token at the route that takes both kinds.
    pub async fn verify(&self, token: &str) -> Reply {
        self.http.post("/api/token/verify/", &json!({"token": token})).await
    }

    /// Presents the refresh token.
    pub async fn try_refresh(&self) -> Reply {
        self.http.post("/api/token/refresh/", &json!({"refresh": self.refresh})).await
    }

    /// The session after a refresh that has to succeed.
    pub async fn refreshed(&self) -> Self {
        Self::of(&self.http, &self.try_refresh().await.expect(200))
    }

    /// Asks control, through the edge, who this is.
    pub async fn me(&self) -> Reply {
        self.get("/api/user/me/").await
    }

    /// `GET` by Bearer.
    pub async fn get(&self, path: &str) -> Reply {
        Reply::to(self.http.request(Method::GET, path).bearer_auth(&self.access)).await
    }

    /// Ends the session.
    pub async fn log_out(&self) -> Reply {
        self.http.post_as(&self.access, "/api/logout/").await
    }

    /// Ends all sessions of the user.
    pub async fn log_out_everywhere(&self) -> Reply {
        let everywhere = json!({"everywhere": true});
        let request = self.http.request(Method::POST, "/api/logout/").bearer_auth(&self.access);
        Reply::to(request.json(&everywhere)).await
    }
}

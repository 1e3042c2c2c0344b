//! Signed calls to the edge: push, command, drain.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use shared::contract::limits::SESSION_LIST_MS;
use shared::contract::refusal::Code;
use shared::ids::{TenantId, UserId};
use shared::wire::facts::{DrainIn, DrainOut};
use shared::wire::push::{Command, Mark, Push, Pushed, SessionOut, SessionsOut};
use shared::wire::signature::{Message, Tag, content_digest};

use crate::failure::Failure;
use crate::settings::{OwnKey, Settings};

/// A call that takes longer is repeated: its signature is valid for a minute, and a repeat is harmless.
const TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Calls one edge.
#[derive(Clone)]
pub struct EdgeClient {
    http: reqwest::Client,
    url: String,
    authority: String,
    key: OwnKey,
}

/// The edge's answer to a push.
#[derive(Debug)]
pub enum Reply {
    /// 200.
    Pushed(Pushed),
    /// 409: the push does not follow the mark.
    Gap(Mark),
    /// 409: the edge knows a later history.
    Stale(Mark),
}

/// Why a call did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No answer, or half of one.
    #[error("the edge did not answer")]
    Unreachable(#[from] reqwest::Error),
    /// No answer within the time that the caller waits.
    #[error("the edge did not answer in time")]
    Late,
    /// The edge cannot open what this control seals.
    #[error(
        "the edge does not have the key of `edge.kek`, or has another one under its name: give it to the Worker first"
    )]
    KeyUnknown,
    /// An answer that says no.
    #[error("the edge answered {status} {code}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// Its code, if it gave one.
        code: String,
    },
}

#[derive(Deserialize)]
struct Conflict {
    code: String,
    history: i64,
    mark: i64,
}

impl EdgeClient {
    /// Prepares calls by the settings.
    ///
    /// # Errors
    /// If TLS cannot be set up.
    pub fn new(settings: &Settings) -> Result<Self, Failure> {
        let http = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("wardgate/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|_| Failure::Crypto("setting up TLS"))?;
        let edge = &settings.edge;
        Ok(Self {
            http,
            url: edge.url.trim_end_matches('/').to_owned(),
            authority: edge.authority.clone(),
            key: settings.service.key.clone(),
        })
    }

    /// Sends rows.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn push(&self, push: &Push, now: DateTime<Utc>) -> Result<Reply, CallError> {
        let response = self.post("/internal/v1/push", Tag::Push, push, now).await?;
        if response.status().as_u16() == 409 {
            let conflict: Conflict = response.json().await?;
            let mark = Mark { history: conflict.history, rev: conflict.mark };
            return Ok(if conflict.code == "stale_history" { Reply::Stale(mark) } else { Reply::Gap(mark) });
        }
        Ok(Reply::Pushed(read(response).await?))
    }

    /// Asks or orders something; the answer is of the type that the command is documented with.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn command<T: DeserializeOwned>(
        &self,
        command: &Command,
        now: DateTime<Utc>,
    ) -> Result<T, CallError> {
        read(self.post("/internal/v1/command", Tag::Command, command, now).await?).await
    }

    /// The active sessions of a user, the most recently used first. A client waits for the answer, so the call takes
    /// at most two seconds.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn sessions(
        &self,
        tenant: TenantId,
        user: UserId,
        now: DateTime<Utc>,
    ) -> Result<Vec<SessionOut>, CallError> {
        let (command, patience) =
            (Command::Sessions { tenant, user }, Duration::from_millis(SESSION_LIST_MS));
        let answered = tokio::time::timeout(patience, self.command::<SessionsOut>(&command, now)).await;
        let mut sessions = answered.unwrap_or(Err(CallError::Late))?.sessions;
        sessions.sort_by_key(|session| {
            (std::cmp::Reverse(session.used_at.unwrap_or(session.rotated_at)), session.sid)
        });
        Ok(sessions)
    }

    /// Acknowledges facts and asks for more.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn drain(&self, drain: &DrainIn, now: DateTime<Utc>) -> Result<DrainOut, CallError> {
        read(self.post("/internal/v1/drain", Tag::Drain, drain, now).await?).await
    }

    async fn post(
        &self,
        path: &str,
        tag: Tag,
        body: &impl Serialize,
        now: DateTime<Utc>,
    ) -> Result<reqwest::Response, CallError> {
        // The types of `shared` always serialise.
        let body = serde_json::to_vec(body).unwrap_or_default();
        let digest = content_digest(&body);
        let message = Message {
            method: "POST",
            authority: &self.authority,
            path,
            query: "",
            content_digest: Some(&digest),
            headers: &[],
        };
        let signed = self.key.0.sign(tag, &message, u64::try_from(now.timestamp()).unwrap_or(0));
        let request = self
            .http
            .post(format!("{}{path}", self.url))
            .header("content-type", "application/json")
            .header("content-digest", digest)
            .header("signature-input", signed.input)
            .header("signature", signed.signature)
            .body(body);
        Ok(request.send().await?)
    }
}

async fn read<T: DeserializeOwned>(response: reqwest::Response) -> Result<T, CallError> {
    let status = response.status().as_u16();
    if status == 200 {
        return Ok(response.json().await?);
    }
    #[derive(Deserialize, Default)]
    struct Refused {
        #[serde(default)]
        code: String,
    }
    let refused: Refused = response.json().await.unwrap_or_default();
    if refused.code == Code::EdgeKeyUnknown.as_str() {
        return Err(CallError::KeyUnknown);
    }
    Err(CallError::Refused { status, code: refused.code })
}

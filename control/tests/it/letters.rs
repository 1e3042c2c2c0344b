//! Queued mails: processing stored requests, and reading the mails that wait to be sent.

use control::accounts::answer::AnswerRequest;
use control::audit::Actor;
use control::crypt::row_key::RowKey;
use control::crypt::sealed::Column;
use control::jobs::queue::Job as _;
use control::requests::{RequestId, RequestKind};
use control::tenants::{self, Edit};
use reqwest::Method;
use serde_json::Value;
use shared::tenant::settings::Settings;
use shared::wire::signature::{Message, Tag};
use uuid::Uuid;

use crate::forward::edge_key;
use crate::scene::{Answer, Scene};

/// A mail that waits to be sent.
#[derive(Debug)]
pub struct Waiting {
    pub kind: String,
    pub to: String,
    /// Everything that it is made of.
    pub content: Value,
}

impl Waiting {
    /// The token of its link, which must be of this kind.
    #[track_caller]
    pub fn token(&self, good_for: &str) -> String {
        assert_eq!(self.content["link"][0], good_for, "{}", self.content);
        self.content["link"][1].as_str().unwrap().to_owned()
    }
}

impl Scene {
    /// A request without a credential at this tenant, as the edge forwards it.
    pub async fn stranger(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        self.stranger_with(method, path, &[], body).await
    }

    /// The same with these headers, which the edge would remove.
    pub async fn stranger_with(
        &self,
        method: Method,
        path: &str,
        more: &[(&'static str, &str)],
        body: Option<Value>,
    ) -> Answer {
        let mut headers = vec![
            ("wardgate-tenant", self.tenant.id.to_string()),
            ("wardgate-client", "192.0.2.7".to_owned()),
            ("wardgate-caller", "anonymous".to_owned()),
            ("wardgate-base", "https://acme.test".to_owned()),
            ("x-request-id", "req-1".to_owned()),
        ];
        if body.is_some() {
            headers.push(("content-type", "application/json".to_owned()));
        }
        let covered: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let (bare, query) = path.split_once('?').unwrap_or((path, ""));
        let message = Message {
            method: method.as_str(),
            authority: "control.test",
            path: bare,
            query,
            content_digest: None,
            headers: &covered,
        };
        let now = u64::try_from(self.control.clock.now().timestamp()).unwrap();
        let signed = edge_key().sign(Tag::Forward, &message, now);
        let mut request = reqwest::Client::new().request(method, format!("http://{}{path}", self.api));
        for (name, value) in
            headers.iter().map(|(name, value)| (*name, value.as_str())).chain(more.iter().copied())
        {
            request = request.header(name, value);
        }
        request = request.header("signature-input", signed.input).header("signature", signed.signature);
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        Answer::to(request).await
    }

    /// Runs the job of every request that there is, of answered ones, too: a job may run twice.
    pub async fn answer(&self) {
        for job in self.to_answer().await {
            job.run(&self.control).await.unwrap();
        }
    }

    /// The jobs that answer what is asked for.
    pub async fn to_answer(&self) -> Vec<AnswerRequest> {
        let mut tx = self.control.db.tenant_tx(self.tenant.id).await.unwrap();
        let rows: Vec<(String, Uuid)> =
            sqlx::query_as("select kind, id from requests where tenant_id = $1 order by created_at, id")
                .bind(self.tenant.id.uuid())
                .fetch_all(&mut *tx)
                .await
                .unwrap();
        let job = |(kind, id): (String, Uuid)| {
            let kind: RequestKind = serde_json::from_value(kind.into()).unwrap();
            AnswerRequest { tenant: self.tenant.id, kind, request: RequestId::from(id) }
        };
        rows.into_iter().map(job).collect()
    }

    /// Mails that wait, oldest first.
    pub async fn unsent(&self) -> Vec<Waiting> {
        let mut tx = self.control.db.tenant_tx(self.tenant.id).await.unwrap();
        let rows: Vec<(Uuid, String, Vec<u8>, Vec<u8>)> = sqlx::query_as(
            "select id, kind, wrapped_key, sealed from mails where tenant_id = $1 order by created_at, id",
        )
        .bind(self.tenant.id.uuid())
        .fetch_all(&mut *tx)
        .await
        .unwrap();
        let open = |(id, kind, wrapped, sealed): (Uuid, String, Vec<u8>, Vec<u8>)| {
            let key = RowKey::unwrap(tx.keys(), Column::MailKey, &id.to_string(), &wrapped).unwrap();
            let content: Value = key.open(&sealed).unwrap();
            Waiting { kind, to: content["to"]["address"].as_str().unwrap().to_owned(), content }
        };
        rows.into_iter().map(open).collect()
    }

    /// Kinds and addresses of the mails that wait, oldest first.
    pub async fn mailed(&self) -> Vec<(String, String)> {
        self.unsent().await.into_iter().map(|mail| (mail.kind, mail.to)).collect()
    }

    /// Answers what was asked for, and takes away the mails that it made.
    pub async fn answered(&self) -> Vec<Waiting> {
        self.answer().await;
        let mails = self.unsent().await;
        self.delivered().await;
        mails
    }

    /// Everything has been sent, and the budgets of this hour are new.
    pub async fn delivered(&self) {
        let mut tx = self.control.db.tenant_tx(self.tenant.id).await.unwrap();
        for table in ["mails", "mail_counts"] {
            sqlx::query(sqlx::AssertSqlSafe(format!("delete from {table} where tenant_id = $1")))
                .bind(self.tenant.id.uuid())
                .execute(&mut *tx)
                .await
                .unwrap();
        }
        tx.commit().await.unwrap();
    }

    /// Gives the tenant other settings.
    pub async fn with_settings(&self, choose: impl FnOnce(&mut Settings)) {
        let mut tx = self.control.db.tenant_tx(self.tenant.id).await.unwrap();
        let before = tenants::find(&mut tx, self.tenant.id).await.unwrap();
        let mut settings = before.settings;
        choose(&mut settings);
        let edit = Edit { settings: Some(settings), ..Edit::default() };
        tenants::edit(&self.control, &mut tx, &Actor::operator(), self.tenant.id, edit).await.unwrap();
        tx.commit().await.unwrap();
    }
}

//! A bucket in the server of moto, which implements the API of S3, behind a proxy ([`crate::gate`]).
//!
//! The server implements the parts of object lock that matter here: a put with a lock needs a bucket with object
//! lock, and a locked version cannot be deleted before its date. Unlike AWS it checks neither signatures nor
//! permissions, and allows shortening a lock.

use std::ops::{Deref, DerefMut};

use reqwest::{Method, Response, StatusCode};

use crate::gate::{Door, Words};
use crate::key_service::Server;

const REGION: &str = "us-east-1";
/// The prefix of object names, as in the settings of the tests' control.
pub const PREFIX: &str = "wardgate/";

pub struct Bucket {
    pub name: String,
    door: Door,
}

/// A version of an object, or a mark of a deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    pub key: String,
    pub id: String,
    pub deletion: bool,
}

impl Bucket {
    /// With object lock.
    pub async fn locked() -> Self {
        Self::start(&[("x-amz-bucket-object-lock-enabled", "true")]).await
    }

    /// Without, and without versions.
    pub async fn plain() -> Self {
        Self::start(&[]).await
    }

    async fn start(headers: &[(&str, &str)]) -> Self {
        let server = tokio::task::spawn_blocking(Server::of_this_run).await.unwrap();
        let random: [u8; 8] = control::world::random().unwrap();
        let name = format!("b{}", random.map(|byte| format!("{byte:02x}")).concat());
        let bucket = Self { name, door: Door::open(&server.url, Words::Xml).await };
        assert_eq!(bucket.call(Method::PUT, "", headers, "").await.status(), StatusCode::OK);
        bucket
    }

    /// The variables of a control that writes here, with a lock of so many days.
    pub fn variables(&self, lock_days: Option<u32>) -> Vec<(&'static str, String)> {
        vec![
            ("WARDGATE_AUDIT_STORE", "s3".into()),
            ("WARDGATE_AUDIT_CHECKPOINT_FOLDER", String::new()),
            ("WARDGATE_AUDIT_BUCKET", self.name.clone()),
            ("WARDGATE_AUDIT_BUCKET_PREFIX", PREFIX.into()),
            ("WARDGATE_AUDIT_BUCKET_REGION", REGION.into()),
            ("WARDGATE_AUDIT_BUCKET_ENDPOINT", self.url()),
            ("WARDGATE_AUDIT_BUCKET_PATH_STYLE", "true".into()),
            ("WARDGATE_AUDIT_BUCKET_LOCK_DAYS", lock_days.map(|days| days.to_string()).unwrap_or_default()),
            ("WARDGATE_AUDIT_BUCKET_ACCESS_KEY_ID", "AKID".into()),
            ("WARDGATE_AUDIT_BUCKET_SECRET_ACCESS_KEY", "s3cret".into()),
        ]
    }

    /// A call that goes past the gate. `path` begins behind the bucket's name.
    pub async fn call(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
        let scope = format!("AWS4-HMAC-SHA256 Credential=AKID/20260101/{REGION}/s3/aws4_request");
        let url = format!("{}/{}{path}", Server::of_this_run().url, self.name);
        let mut request =
            reqwest::Client::new().request(method, url).header("authorization", scope).body(body.to_owned());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    /// Everything in it, of each name the newest first.
    pub async fn versions(&self) -> Vec<Version> {
        let text = self.call(Method::GET, "?versions", &[], "").await.text().await.unwrap();
        let inner = |part: &str, name: &str| {
            let (_, rest) = part.split_once(&format!("<{name}>")).unwrap();
            rest.split_once(&format!("</{name}>")).unwrap().0.to_owned()
        };
        let of = |tag: &str, deletion| {
            let parts = text.split(&format!("<{tag}>")).skip(1).map(str::to_owned).collect::<Vec<_>>();
            parts.into_iter().map(move |part| Version {
                key: inner(&part, "Key"),
                id: inner(&part, "VersionId"),
                deletion,
            })
        };
        of("Version", false).chain(of("DeleteMarker", true)).collect()
    }
}

impl Deref for Bucket {
    type Target = Door;
    fn deref(&self) -> &Door {
        &self.door
    }
}

impl DerefMut for Bucket {
    fn deref_mut(&mut self) -> &mut Door {
        &mut self.door
    }
}

//! Objects in a bucket of S3 or of a service with the same API. Only five calls are used: put, head, get, list of
//! versions, and once the bucket's state of object lock.
//!
//! Every call has a timeout that depends on the size of the object. Every put is conditional (`If-None-Match: *`) and
//! carries its SHA-256. With object lock each object is locked by the put itself, in the mode `COMPLIANCE`: until the
//! date no one can remove that version or shorten the time, the owner of the account included. The response to a put
//! does not mention the lock, so the lock of the new version is read back: a service other than AWS may ignore the
//! headers of a put. An overwrite adds a newer version, and a deletion adds a delete marker, so the oldest version is
//! the one that counts.

use std::error::Error;
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Config, Credentials, IdentityCache, Region, RequestChecksumCalculation,
    ResponseChecksumValidation, StalledStreamProtectionConfig,
};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::{ByteStream, DateTime as Moment};
use aws_sdk_s3::types::{ChecksumAlgorithm, ObjectLockEnabled, ObjectLockMode};
use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::OnceCell;

use super::object::{Found, ObjectError, Trouble};
use super::versions::Versions;
use crate::aws::{self, UsualChain, came_of};
use crate::settings::Audit;

/// The time of a call in all, and what each part of an object adds to it.
const BOUND: Duration = Duration::from_secs(10);
const PART: usize = 256 * 1024;
const OF_A_PART: Duration = Duration::from_secs(1);

/// The time to connect, and to find credentials.
const CONNECT: Duration = Duration::from_secs(2);
const CREDENTIALS: Duration = Duration::from_secs(3);

/// The pause before the one repeat is drawn from zero to this.
const PAUSE: Duration = Duration::from_millis(200);

/// A bucket, and the part of it that is ours. No `Debug`.
pub struct Bucket {
    client: Client,
    bucket: String,
    prefix: String,
    lock_days: Option<u32>,
    /// Set once the bucket was seen to lock.
    locks: OnceCell<()>,
}

impl Bucket {
    pub(super) fn of(settings: &Audit) -> Option<Self> {
        let bucket = settings.bucket.clone()?;
        let region = Region::new(settings.bucket_region.clone()?);
        let http = aws::http();
        let mut config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(region.clone())
            .http_client(http.clone())
            .force_path_style(settings.bucket_path_style)
            .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT).build())
            .retry_config(
                RetryConfig::standard()
                    .with_max_attempts(2)
                    .with_initial_backoff(PAUSE)
                    .with_max_backoff(PAUSE),
            )
            // Every call has a bound of its own.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            // Puts carry their SHA-256, and reads are verified by signatures; services other than AWS do not know the
            // checksums that the SDK would add.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .identity_cache(IdentityCache::lazy().load_timeout(CREDENTIALS).build());
        config = match (&settings.bucket_access_key_id, &settings.bucket_secret_access_key) {
            (Some(id), Some(secret)) => config.credentials_provider(Credentials::new(
                id.clone(),
                secret.expose(),
                None,
                None,
                "settings",
            )),
            _ => config.credentials_provider(UsualChain::new(http, region)),
        };
        if let Some(endpoint) = &settings.bucket_endpoint {
            config = config.endpoint_url(endpoint.as_str());
        }
        let (prefix, lock_days) = (settings.bucket_prefix.clone(), settings.bucket_lock_days);
        Some(Self {
            client: Client::from_conf(config.build()),
            bucket,
            prefix,
            lock_days,
            locks: OnceCell::new(),
        })
    }

    pub(super) fn name(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.prefix)
    }

    /// Whether the bucket locks, where it should. Once it did, it is not asked again: object lock cannot be switched
    /// off.
    pub(super) async fn check(&self) -> Result<(), ObjectError> {
        if self.lock_days.is_none() {
            return Ok(());
        }
        self.locks.get_or_try_init(|| self.look_for_lock()).await.copied()
    }

    async fn look_for_lock(&self) -> Result<(), ObjectError> {
        let call = self.client.get_object_lock_configuration().bucket(&self.bucket).send();
        let not_locked = || ObjectError::NotLocked(self.bucket.clone());
        match self.bounded(0, call).await {
            Ok(state) => {
                let enabled = state.object_lock_configuration.and_then(|state| state.object_lock_enabled);
                if enabled == Some(ObjectLockEnabled::Enabled) { Ok(()) } else { Err(not_locked()) }
            }
            Err(ObjectError::Service(_, Trouble::Refused(code)))
                if code == "ObjectLockConfigurationNotFoundError" =>
            {
                Err(not_locked())
            }
            Err(error) => Err(error),
        }
    }

    pub(super) async fn put(
        &self,
        name: &str,
        bytes: Vec<u8>,
        now: DateTime<Utc>,
    ) -> Result<(), ObjectError> {
        self.check().await?;
        let mut call = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(self.key(name))
            .if_none_match("*")
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .body(ByteStream::from(bytes.clone()));
        let until =
            self.lock_days.map(|days| Moment::from_secs((now + TimeDelta::days(days.into())).timestamp()));
        if let Some(until) = until {
            call = call.object_lock_mode(ObjectLockMode::Compliance).object_lock_retain_until_date(until);
        }
        let version = match self.bounded(bytes.len(), call.send()).await {
            Ok(put) => put.version_id,
            // Perhaps by the first of two tries, whose answer was lost.
            Err(ObjectError::Service(_, Trouble::Refused(code))) if code == "PreconditionFailed" => {
                match self.get(name, None).await? {
                    Some(there) if there == bytes => None,
                    _ => return Err(ObjectError::Exists(name.to_owned())),
                }
            }
            Err(error) => return Err(error),
        };
        match until {
            Some(until) => self.look_for_lock_of(name, version, until).await,
            None => Ok(()),
        }
    }

    /// Whether a version, or what is read under a name, is locked until then or longer.
    async fn look_for_lock_of(
        &self,
        name: &str,
        version: Option<String>,
        until: Moment,
    ) -> Result<(), ObjectError> {
        let call = self.client.head_object().bucket(&self.bucket).key(self.key(name));
        let there = self.bounded(0, call.set_version_id(version).send()).await?;
        let is_locked = there.object_lock_mode == Some(ObjectLockMode::Compliance)
            && there.object_lock_retain_until_date.is_some_and(|date| date.secs() >= until.secs());
        if is_locked { Ok(()) } else { Err(ObjectError::Unlocked(self.bucket.clone(), name.to_owned())) }
    }

    /// `None` where there is no such object, or no such version of it.
    pub(super) async fn get(
        &self,
        name: &str,
        version: Option<&str>,
    ) -> Result<Option<Vec<u8>>, ObjectError> {
        let call = self.client.get_object().bucket(&self.bucket).key(self.key(name));
        let answer = self.bounded(0, call.set_version_id(version.map(ToOwned::to_owned)).send()).await;
        let answer = match answer {
            Err(ObjectError::Service(_, Trouble::Refused(code)))
                if ["NoSuchKey", "NoSuchVersion"].contains(&code.as_str()) =>
            {
                return Ok(None);
            }
            answer => answer?,
        };
        let size = answer.content_length.and_then(|size| usize::try_from(size).ok()).unwrap_or(0);
        let body = tokio::time::timeout(bound(size), answer.body.collect()).await;
        let body = body.map_err(|_| self.trouble(Trouble::TimedOut))?;
        Ok(Some(body.map_err(|_| self.trouble(Trouble::Unreachable))?.to_vec()))
    }

    pub(super) async fn list(&self, begin: &str) -> Result<Vec<Found>, ObjectError> {
        let mut found = Versions::default();
        let (mut key, mut version) = (None, None);
        loop {
            let call = self
                .client
                .list_object_versions()
                .bucket(&self.bucket)
                .prefix(self.key(begin))
                .set_key_marker(key)
                .set_version_id_marker(version)
                .send();
            let part = self.bounded(0, call).await?;
            for it in part.versions.unwrap_or_default() {
                if let Some(name) = it.key.as_deref().and_then(|key| key.strip_prefix(&self.prefix)) {
                    found.version(name, it.version_id.filter(|id| id != "null"));
                }
            }
            for it in part.delete_markers.unwrap_or_default() {
                if let Some(name) = it.key.as_deref().and_then(|key| key.strip_prefix(&self.prefix)) {
                    found.deletion(name);
                }
            }
            if part.is_truncated != Some(true) {
                return Ok(found.into_found());
            }
            (key, version) = (part.next_key_marker, part.next_version_id_marker);
        }
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn trouble(&self, trouble: Trouble) -> ObjectError {
        ObjectError::Service(self.bucket.clone(), trouble)
    }

    async fn bounded<T, E>(
        &self,
        bytes: usize,
        call: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, ObjectError>
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        match tokio::time::timeout(bound(bytes), call).await {
            Err(_) => Err(self.trouble(Trouble::TimedOut)),
            Ok(answer) => answer.map_err(|error| self.trouble(meaning(&error))),
        }
    }
}

/// The time of a call that sends or takes so many bytes.
fn bound(bytes: usize) -> Duration {
    BOUND + OF_A_PART * u32::try_from(bytes / PART).unwrap_or(u32::MAX)
}

/// Maps an error of a call to what is wrong with the service.
fn meaning<E>(error: &SdkError<E, HttpResponse>) -> Trouble
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match error {
        SdkError::ServiceError(answer) => {
            let status = answer.raw().status().as_u16();
            meaning_of(answer.err().code().unwrap_or_default(), status)
        }
        _ if came_of::<CredentialsError>(error) => Trouble::NoCredentials,
        SdkError::TimeoutError(_) => Trouble::TimedOut,
        SdkError::DispatchFailure(failure) if failure.is_timeout() => Trouble::TimedOut,
        SdkError::DispatchFailure(_) => Trouble::Unreachable,
        SdkError::ResponseError(_) => Trouble::Unreachable,
        _ => Trouble::Refused(String::from("the call cannot be made")),
    }
}

fn meaning_of(code: &str, status: u16) -> Trouble {
    let said = || if code.is_empty() { format!("HTTP {status}") } else { code.to_owned() };
    match (code, status) {
        ("SlowDown" | "Throttling" | "ThrottlingException" | "RequestLimitExceeded", _) | (_, 429) => {
            Trouble::Throttled
        }
        (_, 401 | 403) => Trouble::Denied(said()),
        // 507: full.
        (_, 500..) => Trouble::Failing(said()),
        _ => Trouble::Refused(said()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_service_have_their_meaning() {
        for (code, status, expected) in [
            ("SlowDown", 503, Trouble::Throttled),
            ("", 429, Trouble::Throttled),
            ("AccessDenied", 403, Trouble::Denied("AccessDenied".into())),
            ("InvalidAccessKeyId", 403, Trouble::Denied("InvalidAccessKeyId".into())),
            ("ServiceUnavailable", 503, Trouble::Failing("ServiceUnavailable".into())),
            ("", 507, Trouble::Failing("HTTP 507".into())),
            ("NoSuchBucket", 404, Trouble::Refused("NoSuchBucket".into())),
            ("PreconditionFailed", 412, Trouble::Refused("PreconditionFailed".into())),
        ] {
            assert_eq!(meaning_of(code, status), expected, "{code} {status}");
        }
        assert_eq!(bound(0), BOUND);
        assert!(bound(20 << 20) > Duration::from_secs(60));
    }
}

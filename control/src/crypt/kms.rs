//! Key-encryption keys in AWS KMS, or in a service with its API: only `Encrypt` and `Decrypt`.
//!
//! A call ends within [`BOUND`], which includes the wait for a slot, the search for credentials and one retry. The
//! number of concurrent calls is limited, so that a hanging service does not block all requests.
//!
//! The service sees the keys in clear, and the associated data, which its own audit log records.

use std::error::Error;
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_kms::Client;
use aws_sdk_kms::config::http::HttpResponse;
use aws_sdk_kms::config::retry::RetryConfig;
use aws_sdk_kms::config::timeout::TimeoutConfig;
use aws_sdk_kms::config::{
    BehaviorVersion, Config, Credentials, IdentityCache, Region, StalledStreamProtectionConfig,
};
use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kms::operation::RequestId;
use aws_sdk_kms::primitives::Blob;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::provider::{KeyProvider, Opened, ProviderError};
use crate::aws::{self, UsualChain, came_of};
use crate::failure::{Failure, KeyOutage};
use crate::settings::{Encryption, KmsKey};

/// The time of one call in all.
const BOUND: Duration = Duration::from_secs(2);

/// The time of one try, of which two fit within the bound.
const TRY: Duration = Duration::from_millis(950);

/// The time to connect, and to find credentials, within a try.
const CONNECT: Duration = Duration::from_millis(500);
const CREDENTIALS: Duration = Duration::from_millis(900);

/// The pause before the repeat is drawn from zero to this.
const PAUSE: Duration = Duration::from_millis(50);

/// Calls at once. AWS takes thousands a second from an account; this bounds what waits for a hanging service.
const TURNS: usize = 64;

/// The name under which the encryption context holds the associated data, in base64url: values of a context
/// are text.
const CONTEXT: &str = "wardgate";

/// Keys in the service, by their ids. No `Debug`.
pub struct KmsKeys {
    current: KmsKey,
    former: Option<KmsKey>,
    client: Client,
    turns: Semaphore,
}

impl KmsKeys {
    /// A client for the keys of the settings; `None` where they have none. Nothing is called yet.
    ///
    /// # Errors
    /// Without a region, which `settings` refuses.
    pub fn of(settings: &Encryption) -> Result<Option<Self>, Failure> {
        let Some(current) = settings.kms_key.clone() else { return Ok(None) };
        let region = settings.kms_region.as_deref().or_else(|| current.region());
        let region = Region::new(region.ok_or(Failure::Crypto("making a key provider"))?.to_owned());
        let http = aws::http();

        let mut config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(region.clone())
            .http_client(http.clone())
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(CONNECT)
                    .operation_attempt_timeout(TRY)
                    .operation_timeout(BOUND)
                    .build(),
            )
            .retry_config(
                RetryConfig::standard()
                    .with_max_attempts(2)
                    .with_initial_backoff(PAUSE)
                    .with_max_backoff(PAUSE),
            )
            // Answers are a few hundred bytes, and the bound holds for all of them.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .identity_cache(IdentityCache::lazy().load_timeout(CREDENTIALS).build());
        config = match (&settings.kms_access_key_id, &settings.kms_secret_access_key) {
            (Some(id), Some(secret)) => config.credentials_provider(Credentials::new(
                id.clone(),
                secret.expose(),
                None,
                None,
                "settings",
            )),
            _ => config.credentials_provider(UsualChain::new(http, region)),
        };
        if let Some(endpoint) = &settings.kms_endpoint {
            config = config.endpoint_url(endpoint.as_str());
        }
        Ok(Some(Self {
            current,
            former: settings.former_kms_key.clone(),
            client: Client::from_conf(config.build()),
            turns: Semaphore::new(TURNS),
        }))
    }

    async fn encrypt(&self, key: &KmsKey, data: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, ProviderError> {
        let call = self.client.encrypt().key_id(key.name());
        let call =
            call.encryption_context(CONTEXT, URL_SAFE_NO_PAD.encode(data)).plaintext(Blob::new(plaintext));
        let answer = call.send().await.map_err(|error| meaning(&error))?;
        answer.ciphertext_blob.map(Blob::into_inner).ok_or(ProviderError::Unavailable(KeyOutage::Failing))
    }

    async fn decrypt(&self, key: &KmsKey, data: &[u8], wrapped: &[u8]) -> Result<Opened, ProviderError> {
        // The ciphertext names its key, too. The call names the key that must have wrapped it: an attacker who writes
        // into the database could put in a value that was wrapped under the attacker's own key.
        let call = self.client.decrypt().key_id(key.name());
        let call = call
            .encryption_context(CONTEXT, URL_SAFE_NO_PAD.encode(data))
            .ciphertext_blob(Blob::new(wrapped));
        let answer = call.send().await.map_err(|error| meaning(&error))?;
        let plaintext = answer.plaintext.map(|blob| Zeroizing::new(blob.into_inner()));
        plaintext.ok_or(ProviderError::Unavailable(KeyOutage::Failing))
    }

    /// One call in its turn, and no longer than [`BOUND`].
    async fn bounded<T>(
        &self,
        call: impl Future<Output = Result<T, ProviderError>>,
    ) -> Result<T, ProviderError> {
        let in_turn = async {
            let _turn = self.turns.acquire().await.map_err(|_| ProviderError::Failed)?;
            call.await
        };
        let timed_out = ProviderError::Unavailable(KeyOutage::TimedOut);
        tokio::time::timeout(BOUND, in_turn).await.unwrap_or(Err(timed_out))
    }
}

impl KeyProvider for KmsKeys {
    fn current(&self) -> &str {
        self.current.id()
    }

    async fn wrap(&self, key_id: &str, data: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, ProviderError> {
        if key_id != self.current.id() {
            return Err(ProviderError::UnknownKey);
        }
        self.bounded(self.encrypt(&self.current, data, plaintext)).await
    }

    async fn unwrap(&self, key_id: &str, data: &[u8], wrapped: &[u8]) -> Result<Opened, ProviderError> {
        let mut keys = [Some(&self.current), self.former.as_ref()].into_iter().flatten();
        let key = keys.find(|key| key.id() == key_id).ok_or(ProviderError::UnknownKey)?;
        self.bounded(self.decrypt(key, data, wrapped)).await
    }
}

/// Classifies an error of a call: of the value, or of the service.
fn meaning<E>(error: &SdkError<E, HttpResponse>) -> ProviderError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let outage = match error {
        SdkError::ServiceError(answer) => {
            let (code, status) = (answer.err().code().unwrap_or_default(), answer.raw().status().as_u16());
            let meaning = meaning_of(code, status);
            if meaning != ProviderError::Refused {
                let request_id = error.request_id().unwrap_or_default();
                tracing::warn!(code, status, request_id, "the key service refused a call");
            }
            return meaning;
        }
        _ if came_of::<CredentialsError>(error) => KeyOutage::NoCredentials,
        SdkError::TimeoutError(_) => KeyOutage::TimedOut,
        SdkError::DispatchFailure(failure) if failure.is_timeout() => KeyOutage::TimedOut,
        SdkError::DispatchFailure(_) => KeyOutage::Unreachable,
        SdkError::ResponseError(_) => KeyOutage::Failing,
        _ => return ProviderError::Failed,
    };
    ProviderError::Unavailable(outage)
}

/// The errors of `Encrypt` and `Decrypt` and those common to all calls, as AWS's reference of the API has them.
fn meaning_of(code: &str, status: u16) -> ProviderError {
    let outage = match code {
        // Another associated data, altered bytes; another key than the one that is named.
        "InvalidCiphertextException" | "IncorrectKeyException" => return ProviderError::Refused,
        "DisabledException" | "KMSInvalidStateException" => KeyOutage::KeyDisabled,
        "NotFoundException" => KeyOutage::KeyMissing,
        "ThrottlingException" | "LimitExceededException" | "TooManyRequestsException" => KeyOutage::Throttled,
        "AccessDeniedException"
        | "ExpiredTokenException"
        | "IncompleteSignature"
        | "IncompleteSignatureException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "NotAuthorized"
        | "OptInRequired"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClientException" => KeyOutage::Denied,
        "DependencyTimeoutException" | "KeyUnavailableException" | "KMSInternalException" => {
            KeyOutage::Failing
        }
        _ if status == 429 => KeyOutage::Throttled,
        _ if status >= 500 => KeyOutage::Failing,
        _ => return ProviderError::Failed,
    };
    ProviderError::Unavailable(outage)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn only_what_speaks_of_the_value_makes_it_unreadable() {
        let outage = |outage| ProviderError::Unavailable(outage);
        for (code, status, meaning) in [
            ("InvalidCiphertextException", 400, ProviderError::Refused),
            ("IncorrectKeyException", 400, ProviderError::Refused),
            ("DisabledException", 400, outage(KeyOutage::KeyDisabled)),
            ("KMSInvalidStateException", 400, outage(KeyOutage::KeyDisabled)),
            ("NotFoundException", 400, outage(KeyOutage::KeyMissing)),
            ("ThrottlingException", 400, outage(KeyOutage::Throttled)),
            ("AccessDeniedException", 400, outage(KeyOutage::Denied)),
            ("UnrecognizedClientException", 400, outage(KeyOutage::Denied)),
            ("KMSInternalException", 500, outage(KeyOutage::Failing)),
            ("", 429, outage(KeyOutage::Throttled)),
            ("", 502, outage(KeyOutage::Failing)),
            ("ValidationException", 400, ProviderError::Failed),
            ("", 404, ProviderError::Failed),
        ] {
            assert_eq!(meaning_of(code, status), meaning, "{code} {status}");
        }
    }

    #[tokio::test]
    async fn a_service_that_hangs_holds_a_bounded_number_of_calls() {
        let keys = KmsKeys {
            current: serde_json::from_value("1234abcd-12ab-34cd-56ef-1234567890ab".into()).unwrap(),
            former: None,
            client: Client::from_conf(Config::builder().behavior_version(BehaviorVersion::latest()).build()),
            turns: Semaphore::new(TURNS),
        };
        let begun = AtomicUsize::new(0);
        let hang = || async {
            begun.fetch_add(1, Ordering::Relaxed);
            std::future::pending::<Result<(), ProviderError>>().await
        };
        let calls = futures::future::join_all((0..TURNS + 10).map(|_| keys.bounded(hang())));
        assert!(tokio::task::unconstrained(calls).now_or_never().is_none());
        assert_eq!(begun.into_inner(), TURNS);
    }

    #[test]
    fn two_tries_fit_within_the_bound() {
        assert!(TRY * 2 + PAUSE <= BOUND);
        assert!(CONNECT < TRY && CREDENTIALS < TRY);
    }
}

//! The key providers of this process, and the count of their calls.

use std::time::Instant;

#[cfg(feature = "aws-kms")]
use super::kms::KmsKeys;
use super::provider::{KeyProvider, LocalKeys, Opened, ProviderError};
use crate::failure::Failure;
use crate::settings::{Encryption, ProviderKind};

/// The providers of the settings: the first one wraps, each opens what it wrapped.
pub struct Providers(Vec<Provider>);

/// One provider, of the kinds that there are.
enum Provider {
    File(LocalKeys),
    #[cfg(feature = "aws-kms")]
    AwsKms(KmsKeys),
}

impl Providers {
    /// Makes those for which the settings have keys.
    ///
    /// # Errors
    /// For a client of a key service that cannot be made.
    pub fn new(settings: &Encryption) -> Result<Self, Failure> {
        let mut all = Vec::new();
        if let Some(kek) = &settings.kek {
            all.push(Provider::File(LocalKeys::new(kek).opening(settings.former_kek.as_ref())));
        }
        #[cfg(feature = "aws-kms")]
        all.extend(KmsKeys::of(settings)?.map(Provider::AwsKms));
        if settings.provider == ProviderKind::AwsKms {
            all.reverse();
        }
        // The settings hold the key of the provider that wraps: `settings::together`.
        if all.is_empty() { Err(Failure::Crypto("making a key provider")) } else { Ok(Self(all)) }
    }
}

impl From<LocalKeys> for Providers {
    fn from(keys: LocalKeys) -> Self {
        Self(vec![Provider::File(keys)])
    }
}

impl Provider {
    /// As settings and metrics name it.
    fn name(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            #[cfg(feature = "aws-kms")]
            Self::AwsKms(_) => "aws-kms",
        }
    }

    fn current(&self) -> &str {
        match self {
            Self::File(keys) => keys.current(),
            #[cfg(feature = "aws-kms")]
            Self::AwsKms(keys) => keys.current(),
        }
    }

    async fn wrap(&self, key_id: &str, data: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, ProviderError> {
        match self {
            Self::File(keys) => keys.wrap(key_id, data, plaintext).await,
            #[cfg(feature = "aws-kms")]
            Self::AwsKms(keys) => keys.wrap(key_id, data, plaintext).await,
        }
    }

    async fn unwrap(&self, key_id: &str, data: &[u8], wrapped: &[u8]) -> Result<Opened, ProviderError> {
        match self {
            Self::File(keys) => keys.unwrap(key_id, data, wrapped).await,
            #[cfg(feature = "aws-kms")]
            Self::AwsKms(keys) => keys.unwrap(key_id, data, wrapped).await,
        }
    }
}

impl KeyProvider for Providers {
    fn current(&self) -> &str {
        self.0.first().map_or("", Provider::current)
    }

    async fn wrap(&self, key_id: &str, data: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, ProviderError> {
        let provider = self.0.first().ok_or(ProviderError::UnknownKey)?;
        counted(provider.name(), "wrap", provider.wrap(key_id, data, plaintext)).await
    }

    async fn unwrap(&self, key_id: &str, data: &[u8], wrapped: &[u8]) -> Result<Opened, ProviderError> {
        for provider in &self.0 {
            match counted(provider.name(), "unwrap", provider.unwrap(key_id, data, wrapped)).await {
                Err(ProviderError::UnknownKey) => {}
                answered => return answered,
            }
        }
        Err(ProviderError::UnknownKey)
    }
}

/// Counts a call and its time, unless the key is another provider's.
async fn counted<T>(
    provider: &'static str,
    operation: &'static str,
    call: impl Future<Output = Result<T, ProviderError>>,
) -> Result<T, ProviderError> {
    #[allow(clippy::disallowed_methods, reason = "a duration is only reported")]
    let began = Instant::now();
    let answered = call.await;
    let outcome = match &answered {
        Ok(_) => "done",
        Err(ProviderError::UnknownKey) => return answered,
        Err(ProviderError::Refused) => "refused",
        Err(ProviderError::Unavailable(outage)) => outage.label(),
        Err(ProviderError::Failed) => "failed",
    };
    let labels = [("provider", provider), ("operation", operation), ("outcome", outcome)];
    metrics::counter!("wardgate_key_provider_calls_total", &labels).increment(1);
    metrics::histogram!("wardgate_key_provider_seconds", "provider" => provider, "operation" => operation)
        .record(began.elapsed().as_secs_f64());
    answered
}

#[cfg(test)]
mod tests {
    use shared::derive::Secret;

    use super::*;
    use crate::settings::KeyedSecret;

    #[tokio::test]
    async fn calls_are_counted_by_their_outcome() {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let _here = metrics::set_default_local_recorder(&recorder);
        let key = KeyedSecret { id: "k1".to_owned(), secret: Secret::new([1; 32]) };
        let providers = Providers::from(LocalKeys::new(&key));
        let wrapped = providers.wrap("k1", b"place", b"secret").await.unwrap();
        providers.unwrap("k1", b"place", &wrapped).await.unwrap();
        providers.unwrap("k1", b"other", &wrapped).await.unwrap_err();
        providers.unwrap("k2", b"place", &wrapped).await.unwrap_err();
        let counted = |operation: &str, outcome: &str| {
            let labels = format!(r#"provider="file",operation="{operation}",outcome="{outcome}""#);
            recorder.handle().render().contains(&format!("wardgate_key_provider_calls_total{{{labels}}} 1\n"))
        };
        assert!(counted("wrap", "done") && counted("unwrap", "done") && counted("unwrap", "refused"));
    }
}

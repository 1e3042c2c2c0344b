//! The key providers of this process, and the count of their calls.

use std::time::Instant;

use futures::future::BoxFuture;
use zeroize::Zeroizing;

#[cfg(feature = "aws-kms")]
use super::kms::KmsKeys;
use super::provider::{KeyProvider, LocalKeys, ProviderError};
use crate::failure::Failure;
use crate::settings::{Encryption, ProviderKind};

/// The providers of the settings: the first one wraps, each opens what it wrapped.
pub struct Providers(Vec<(&'static str, Box<dyn KeyProvider>)>);

impl Providers {
    /// Makes those for which the settings have keys.
    ///
    /// # Errors
    /// For a client of a key service that cannot be made.
    pub fn new(settings: &Encryption) -> Result<Self, Failure> {
        let mut all: Vec<(&'static str, Box<dyn KeyProvider>)> = Vec::new();
        if let Some(kek) = &settings.kek {
            let keys = LocalKeys::new(kek).opening(settings.former_kek.as_ref());
            all.push(("file", Box::new(keys)));
        }
        #[cfg(feature = "aws-kms")]
        if let Some(keys) = KmsKeys::of(settings)? {
            all.push(("aws-kms", Box::new(keys)));
        }
        if settings.provider == ProviderKind::AwsKms {
            all.reverse();
        }
        // The settings hold the key of the provider that wraps: `settings::together`.
        if all.is_empty() { Err(Failure::Crypto("making a key provider")) } else { Ok(Self(all)) }
    }
}

impl KeyProvider for Providers {
    fn current(&self) -> &str {
        self.0.first().map_or("", |(_, provider)| provider.current())
    }

    fn wrap<'a>(
        &'a self,
        key_id: &'a str,
        associated_data: &'a [u8],
        plaintext: &'a [u8],
    ) -> BoxFuture<'a, Result<Vec<u8>, ProviderError>> {
        Box::pin(async move {
            let (name, provider) = self.0.first().ok_or(ProviderError::UnknownKey)?;
            counted(name, "wrap", provider.wrap(key_id, associated_data, plaintext)).await
        })
    }

    fn unwrap<'a>(
        &'a self,
        key_id: &'a str,
        associated_data: &'a [u8],
        wrapped: &'a [u8],
    ) -> BoxFuture<'a, Result<Zeroizing<Vec<u8>>, ProviderError>> {
        Box::pin(async move {
            for (name, provider) in &self.0 {
                let opened = provider.unwrap(key_id, associated_data, wrapped);
                match counted(name, "unwrap", opened).await {
                    Err(ProviderError::UnknownKey) => {}
                    answered => return answered,
                }
            }
            Err(ProviderError::UnknownKey)
        })
    }
}

/// Counts a call and its time, unless the key is another provider's.
async fn counted<T>(
    provider: &'static str,
    operation: &'static str,
    call: BoxFuture<'_, Result<T, ProviderError>>,
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
        let providers = Providers(vec![("file", Box::new(LocalKeys::new(&key)))]);
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

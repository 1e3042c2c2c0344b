//! What the clients of AWS's services share: TLS, and where credentials are found.

use std::error::Error;

use aws_config::Region;
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use tokio::sync::OnceCell;

/// A client with the TLS of everything else here.
pub(crate) fn http() -> SharedHttpClient {
    Builder::new().tls_provider(Provider::Rustls(CryptoMode::AwsLc)).build_https()
}

/// Where the SDK usually finds credentials. The search begins with the first call, because it needs a runtime.
#[derive(Debug)]
pub(crate) struct UsualChain {
    http: SharedHttpClient,
    region: Region,
    chain: OnceCell<DefaultCredentialsChain>,
}

impl UsualChain {
    /// For a service of this region. Nothing is called yet.
    pub(crate) fn new(http: SharedHttpClient, region: Region) -> Self {
        Self { http, region, chain: OnceCell::new() }
    }

    async fn chain(&self) -> &DefaultCredentialsChain {
        let make = || {
            let config = ProviderConfig::without_region()
                .with_region(Some(self.region.clone()))
                .with_http_client(self.http.clone());
            DefaultCredentialsChain::builder().configure(config).region(self.region.clone()).build()
        };
        self.chain.get_or_init(make).await
    }
}

impl ProvideCredentials for UsualChain {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async move { self.chain().await.provide_credentials().await })
    }
}

/// Whether an error has a source of this type.
pub(crate) fn came_of<T: Error + 'static>(error: &(dyn Error + 'static)) -> bool {
    let mut beneath = Some(error);
    while let Some(error) = beneath {
        if error.is::<T>() {
            return true;
        }
        beneath = error.source();
    }
    false
}

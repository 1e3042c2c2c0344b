//! The types of settings that are more than text. Secrets have no `Debug` and never print themselves.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};
use shared::derive::Secret;
use shared::wire::seal::{EdgeKey, parse_named_key};
use shared::wire::signature::{PeerKey, ServiceKey};
use zeroize::Zeroizing;

/// `<key id>:<32 bytes in base64url>`, secret.
#[derive(Clone)]
pub struct KeyedSecret {
    /// The name by which the other side knows the key.
    pub id: String,
    /// The bytes.
    pub secret: Secret,
}

/// A key-encryption key of the edge.
#[derive(Clone)]
pub struct EdgeKek(pub EdgeKey);

/// The public half of an Ed25519 key, by its name.
#[derive(Clone, Debug)]
pub struct PublicKey(pub PeerKey);

/// An Ed25519 key of our own.
#[derive(Clone)]
pub struct OwnKey(pub Arc<ServiceKey>);

/// A PostgreSQL URL. It holds a password, so it does not print itself.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// Takes a URL as it is; connecting is what checks it.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    /// The URL, for the driver alone.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// A list in the file, or comma-separated text in the environment.
#[derive(Clone, Debug)]
pub struct List<T>(pub Vec<T>);

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For a terminal.
    Text,
}

/// Where the keys are that wrap secrets at rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProviderKind {
    /// In the settings.
    File,
    /// In AWS KMS, or in a service with the same API.
    AwsKms,
}

/// How the connection to a mail server is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum MailTls {
    /// By STARTTLS, before anything else is said.
    Starttls,
    /// From the beginning.
    Implicit,
    /// Not at all: on this machine alone.
    None,
}

/// Where objects go that must outlive the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    /// A folder.
    Folder,
    /// A bucket of S3, or of a service with the same API.
    S3,
}

/// A symmetric key of AWS KMS, by its ARN or its id.
#[derive(Clone, Debug)]
pub struct KmsKey(String);

impl KmsKey {
    /// The key id for the API: the setting as it is, because a key of another account is found only by its ARN.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }

    /// The key's id, the same however the setting names the key. It is what stored values name.
    #[must_use]
    pub fn id(&self) -> &str {
        self.0.rsplit_once(":key/").map_or(self.0.as_str(), |(_, id)| id)
    }

    /// The region in an ARN: `arn:<partition>:kms:<region>:<account>:key/<id>`.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        self.0.strip_prefix("arn:")?.split(':').nth(2).filter(|region| !region.is_empty())
    }
}

/// Where a service is called: what travels there is secret or proof, so it is TLS or this machine.
#[derive(Clone, Debug)]
pub struct ServiceEndpoint(String);

impl ServiceEndpoint {
    /// The URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A secret in the form in which another service gave it.
#[derive(Clone)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// The text, for the service that gave it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Says what was expected, never what came: it could be a secret.
const EXPECTED: &str = "expected <key id>:<exactly 32 bytes in base64url without padding>";

impl<'de> Deserialize<'de> for KeyedSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        let (id, secret) = parse_named_key(&text).map_err(|_| serde::de::Error::custom(EXPECTED))?;
        Ok(Self { id, secret })
    }
}

impl<'de> Deserialize<'de> for EdgeKek {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        EdgeKey::parse(&text).map(Self).map_err(|_| serde::de::Error::custom(EXPECTED))
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        PeerKey::parse(&text).map(Self).map_err(|_| serde::de::Error::custom(EXPECTED))
    }
}

impl<'de> Deserialize<'de> for OwnKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        let key = ServiceKey::parse(&text).map_err(|_| serde::de::Error::custom(EXPECTED))?;
        Ok(Self(Arc::new(key)))
    }
}

impl<'de> Deserialize<'de> for KmsKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let key = Self(String::deserialize(deserializer)?);
        // An alias comes to mean another key, and what the first one wrapped would not open.
        let is_alias = key.name().starts_with("alias/") || key.name().contains(":alias/");
        let is_arn = !key.name().contains([':', '/']) || (key.region().is_some() && key.id() != key.name());
        let fits =
            (1..=255).contains(&key.id().len()) && key.name().bytes().all(|byte| byte.is_ascii_graphic());
        if is_alias || !is_arn || !fits {
            return Err(serde::de::Error::custom("expected the ARN or the id of a key, and no alias"));
        }
        Ok(key)
    }
}

impl<'de> Deserialize<'de> for ServiceEndpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let url = reqwest::Url::parse(&text).ok().filter(|url| match url.scheme() {
            "https" => true,
            "http" => url.host_str().is_some_and(is_this_machine),
            _ => false,
        });
        let url = url.filter(|url| url.username().is_empty() && url.password().is_none());
        url.map(|_| Self(text)).ok_or_else(|| {
            serde::de::Error::custom("expected an https URL, or an http URL of a loopback address")
        })
    }
}

/// A loopback address as a URL writes it. No name: resolvers may say otherwise.
fn is_this_machine(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items<T>(std::marker::PhantomData<T>);

        impl<'de, T: Deserialize<'de>> serde::de::Visitor<'de> for Items<T> {
            type Value = Vec<T>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a list, or text separated by commas")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Vec<T>, E> {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                items
                    .map(|item| T::deserialize(serde::de::value::StringDeserializer::new(item.to_owned())))
                    .collect()
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(items)
            }
        }

        deserializer.deserialize_any(Items(std::marker::PhantomData)).map(Self)
    }
}

//! The types of settings that are more than text. Secrets have no `Debug` and never print themselves.

use std::sync::Arc;

use serde::{Deserialize, Deserializer};
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

/// Who may sign calls of the edge.
#[derive(Clone, Debug)]
pub struct EdgePublic(pub PeerKey);

/// The key that signs our own calls.
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

impl<'de> Deserialize<'de> for EdgePublic {
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

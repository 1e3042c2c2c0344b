//! The keys of an isolate, as WebCrypto has them.
//!
//! A tenant's private key is opened by `unwrapKey` into a key that cannot be read out again: its
//! bytes are never in our memory.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::Hash;

use shared::ids::{KeyId, TenantId};
use shared::tenant::SigningKey;
use shared::tokens::jwk::PublicKey;
use shared::wire::seal::{Context, EdgeKey, Kind, Sealed};
use worker::js_sys::futures::JsFuture;
use worker::js_sys::{Array, Object, Promise, Reflect, Uint8Array, global};
use worker::wasm_bindgen::{JsCast, JsValue};
use worker::web_sys::{CryptoKey, SubtleCrypto, WorkerGlobalScope};

use crate::settings::Settings;

/// Keys of one kind that an isolate keeps. Beyond that it starts over: importing costs some 20 µs,
/// unwrapping not much more.
const KEPT: usize = 1024;

/// RFC 7518, section 3.3, by WebCrypto's name.
pub const RS256: &str = "RSASSA-PKCS1-v1_5";

/// The keys that unseal, and a cache of imported keys.
pub struct Keys {
    edge_id: String,
    edge_keys: Vec<EdgeKey>,
    signing: Kept<(TenantId, KeyId)>,
    /// By modulus: an imported public key does not depend on the tenant; the caller has already chosen the key for
    /// the token.
    verifying: Kept<String>,
    /// What verifies, and by which algorithm: looked up once, since each look is a call into JavaScript.
    verifier: Option<(SubtleCrypto, Object)>,
}

type Kept<K> = RefCell<HashMap<K, CryptoKey>>;

impl Keys {
    /// An empty cache. Without settings no key can be unsealed.
    pub fn new(settings: Option<&Settings>) -> Self {
        Self {
            edge_id: settings.map(|settings| settings.edge_id.clone()).unwrap_or_default(),
            edge_keys: settings.map(|settings| settings.edge_keys.clone()).unwrap_or_default(),
            signing: Kept::default(),
            verifying: Kept::default(),
            verifier: subtle().and_then(|subtle| Ok((subtle, rs256()?))).ok(),
        }
    }

    /// The key that signs, opened at its first use.
    pub async fn signing(&self, tenant: TenantId, key: &SigningKey) -> Result<CryptoKey, JsValue> {
        let at = (tenant, key.kid.clone());
        let known = self.signing.borrow().get(&at).cloned();
        match known {
            Some(opened) => Ok(opened),
            None => Ok(keep(&self.signing, at, self.open(tenant, key).await?)),
        }
    }

    /// The key that verifies, imported at its first use.
    pub async fn verifying(&self, key: &PublicKey) -> Result<CryptoKey, JsValue> {
        let known = self.verifying.borrow().get(key.n()).cloned();
        match known {
            Some(imported) => Ok(imported),
            None => Ok(keep(&self.verifying, key.n().to_owned(), import(key).await?)),
        }
    }

    /// The key that verifies, if it was imported before.
    pub fn imported(&self, key: &PublicKey) -> Option<CryptoKey> {
        self.verifying.borrow().get(key.n()).cloned()
    }

    /// WebCrypto and its name of the algorithm.
    pub fn verifier(&self) -> Option<&(SubtleCrypto, Object)> {
        self.verifier.as_ref()
    }

    /// Opens a private key for signing. The associated data names edge, tenant and key: one that
    /// was moved does not open.
    async fn open(&self, tenant: TenantId, key: &SigningKey) -> Result<CryptoKey, JsValue> {
        let text = key.sealed.as_deref().ok_or("a key that may not sign any more")?;
        let sealed = Sealed::parse(text).map_err(|error| error.to_string())?;
        let edge_key = self.edge_keys.iter().find(|known| known.id() == sealed.key_id());
        let edge_key = edge_key.ok_or("sealed under a key that this edge does not have")?;
        let context =
            Context { edge: &self.edge_id, tenant, kind: Kind::SigningKey, subject: key.kid.as_str() };
        let associated = context.associated_data(edge_key.id());
        let unwrap = object(&[
            ("name", "AES-GCM".into()),
            ("iv", Uint8Array::from(sealed.nonce().as_slice()).into()),
            ("additionalData", Uint8Array::from(associated.as_slice()).into()),
        ])?;
        let promise = subtle()?.unwrap_key_with_js_u8_array_and_object_and_object(
            "pkcs8",
            &Uint8Array::from(sealed.ciphertext()),
            &unwrapping_key(edge_key).await?,
            &unwrap,
            &rs256()?,
            false,
            &usages("sign"),
        )?;
        imported(promise).await
    }
}

fn keep<K: Eq + Hash>(kept: &Kept<K>, at: K, key: CryptoKey) -> CryptoKey {
    let mut kept = kept.borrow_mut();
    if kept.len() >= KEPT {
        kept.clear();
    }
    kept.insert(at, key.clone());
    key
}

async fn unwrapping_key(key: &EdgeKey) -> Result<CryptoKey, JsValue> {
    let secret = Uint8Array::from(key.secret().expose().as_slice());
    imported(subtle()?.import_key_with_str("raw", &secret, "AES-GCM", false, &usages("unwrapKey"))?).await
}

async fn import(key: &PublicKey) -> Result<CryptoKey, JsValue> {
    let jwk = object(&[("kty", "RSA".into()), ("n", key.n().into()), ("e", key.e().into())])?;
    imported(subtle()?.import_key_with_object("jwk", &jwk, &rs256()?, false, &usages("verify"))?).await
}

async fn imported(promise: Promise) -> Result<CryptoKey, JsValue> {
    JsFuture::from(promise).await?.dyn_into()
}

fn rs256() -> Result<Object, JsValue> {
    object(&[("name", RS256.into()), ("hash", "SHA-256".into())])
}

fn usages(usage: &str) -> JsValue {
    Array::of1(&usage.into()).into()
}

fn object(members: &[(&str, JsValue)]) -> Result<Object, JsValue> {
    let object = Object::new();
    for (name, value) in members {
        Reflect::set(&object, &JsValue::from_str(name), value)?;
    }
    Ok(object)
}

pub fn subtle() -> Result<SubtleCrypto, JsValue> {
    Ok(global().unchecked_into::<WorkerGlobalScope>().crypto()?.subtle())
}

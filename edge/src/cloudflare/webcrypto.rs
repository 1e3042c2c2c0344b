//! RS256 by WebCrypto, with the keys of [`super::keys`].

use shared::ids::TenantId;
use shared::tenant::SigningKey;
use shared::tokens::jwk::PublicKey;
use worker::js_sys::futures::JsFuture;
use worker::js_sys::{ArrayBuffer, Promise, Uint8Array};
use worker::wasm_bindgen::{JsCast, JsValue};

use super::keys::{RS256, subtle};
use super::{Cloudflare, log};
use crate::platform::{CryptoError, Rs256};

impl Rs256 for Cloudflare {
    async fn sign(&self, tenant: TenantId, key: &SigningKey, input: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let signed = async {
            let opened = self.keys.signing(tenant, key).await?;
            let promise =
                subtle()?.sign_with_str_and_js_u8_array(RS256, &opened, &Uint8Array::from(input))?;
            let signature: ArrayBuffer = JsFuture::from(promise).await?.dyn_into()?;
            Ok(Uint8Array::new(&signature).to_vec())
        };
        signed.await.map_err(|error| failed("signing", &error))
    }

    async fn verify(&self, key: &PublicKey, input: &[u8], signature: &[u8]) -> Result<bool, CryptoError> {
        let verified = async {
            let imported = self.keys.verifying(key).await?;
            let (signature, input) = (Uint8Array::from(signature), Uint8Array::from(input));
            let promise = subtle()?
                .verify_with_str_and_js_u8_array_and_js_u8_array(RS256, &imported, &signature, &input)?;
            Ok(JsFuture::from(promise).await?.is_truthy())
        };
        verified.await.map_err(|error| failed("verifying", &error))
    }
}

impl Cloudflare {
    /// Begins to check a signature whose key was imported before: nothing is waited for here, and no future made of the
    /// promise. `None` where the key is not there yet, or WebCrypto refuses.
    ///
    /// The bytes are read where they are: `verify` copies them before it returns (WebCrypto, section 14.3.4, steps 2 and 3).
    pub fn begin_verifying(&self, key: &PublicKey, input: &[u8], signature: &[u8]) -> Option<Promise> {
        let imported = self.keys.imported(key)?;
        let (subtle, algorithm) = self.keys.verifier()?;
        subtle.verify_with_object_and_u8_array_and_u8_array(algorithm, &imported, signature, input).ok()
    }
}

fn failed(what: &str, error: &JsValue) -> CryptoError {
    log::error(what, &format!("{error:?}"));
    CryptoError
}

//! Makes signing keys: seconds of a processor for the largest, so a bounded number at once, each tenant one at
//! a time, and never while a connection is held.

use shared::ids::TenantId;
use shared::tokens::jwk::PublicKey;

use super::rsa::{self, Private};
use crate::crypt::sealed::{Column, Sealer};
use crate::failure::Failure;
use crate::passwords::turns::Turns;
use crate::shares::Kind;

/// Keys that are made at once.
const CONCURRENCY: usize = 2;
/// Of one tenant: another does not wait for the seconds that a key may take.
const EACH: usize = 1;

/// Makes keys.
#[derive(Clone)]
pub struct KeyMaker {
    turns: Turns,
    rest: Sealer,
}

/// A key as its row has it: the private half is wrapped.
pub struct RestingKey {
    /// The public half.
    pub public: PublicKey,
    /// The private half as it rests.
    pub wrapped: Vec<u8>,
}

impl KeyMaker {
    /// Makes keys that rest as `rest` wraps them.
    #[must_use]
    pub fn new(rest: Sealer) -> Self {
        Self { turns: Turns::new(Kind::Keys, CONCURRENCY, EACH), rest }
    }

    /// Makes a key of `bits` for a tenant; `payer` is the tenant whose share of the work it is.
    ///
    /// # Errors
    /// [`Failure::Busy`] after five seconds in the queue; without randomness.
    pub async fn make(&self, payer: TenantId, tenant: TenantId, bits: u64) -> Result<RestingKey, Failure> {
        let key = self.turns.take(payer, "making a key", move || rsa::generate(bits)).await??;
        self.keep(tenant, &key).await
    }

    /// Wraps a key that was imported for a tenant.
    ///
    /// # Errors
    /// If the provider fails.
    pub async fn keep(&self, tenant: TenantId, key: &Private) -> Result<RestingKey, Failure> {
        let kid = key.public.key_id();
        let wrapped = self.rest.wrap(tenant, Column::SigningKey, kid.as_str(), &key.pkcs8).await?;
        Ok(RestingKey { public: key.public.clone(), wrapped })
    }
}

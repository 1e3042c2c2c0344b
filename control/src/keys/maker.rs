//! Makes signing keys: seconds of a processor for the largest, so a bounded number at once, each tenant one at
//! a time, and never while a connection is held.

use shared::ids::TenantId;
use shared::tokens::jwk::PublicKey;

use super::rsa::{self, Private};
use crate::crypt::sealed::{Column, Sealer};
use crate::failure::Failure;
use crate::passwords::turns::Turns;
use crate::shares::Kind;

/// Keys that are made at once for requests, and as many for rotations and new tenants.
const CONCURRENCY: usize = 2;
/// Of one tenant: another does not wait for the seconds that a key may take.
const EACH: usize = 1;

/// Makes keys.
#[derive(Clone)]
pub struct KeyMaker {
    turns: Turns,
    /// Of what control makes by itself.
    own_turns: Turns,
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
        let turns = || Turns::new(Kind::Keys, CONCURRENCY, EACH);
        Self { turns: turns(), own_turns: turns(), rest }
    }

    /// Makes a key of `bits` for a tenant; `payer` is the tenant whose share of the work it is.
    ///
    /// # Errors
    /// [`Failure::Busy`] after five seconds in the queue; without randomness.
    pub async fn make(&self, payer: TenantId, tenant: TenantId, bits: u64) -> Result<RestingKey, Failure> {
        self.in_turn(&self.turns, payer, tenant, bits).await
    }

    /// As [`KeyMaker::make`], for rotations and new tenants, which control starts by itself. They have turns of
    /// their own, so requests for keys do not delay them.
    ///
    /// # Errors
    /// As [`KeyMaker::make`].
    pub async fn make_by_itself(&self, tenant: TenantId, bits: u64) -> Result<RestingKey, Failure> {
        self.in_turn(&self.own_turns, tenant, tenant, bits).await
    }

    async fn in_turn(
        &self,
        turns: &Turns,
        payer: TenantId,
        tenant: TenantId,
        bits: u64,
    ) -> Result<RestingKey, Failure> {
        let key = turns.take(payer, "making a key", move || rsa::generate(bits)).await??;
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use shared::derive::Secret;
    use tokio::sync::oneshot;

    use super::*;
    use crate::crypt::provider::LocalKeys;
    use crate::settings::KeyedSecret;

    fn tenant(fill: u8) -> TenantId {
        TenantId::new(1, [fill; 10])
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn keys_that_users_ask_for_do_not_keep_a_rotation_waiting() {
        let key = KeyedSecret { id: "k1".to_owned(), secret: Secret::new([1; 32]) };
        let maker = KeyMaker::new(Sealer::new(LocalKeys::new(&key)));
        let mut asked = Vec::new();
        for fill in 1..=2 {
            let ((go_on, waits), (begun, begins)) = (mpsc::channel::<()>(), oneshot::channel::<()>());
            let turns = maker.turns.clone();
            let hold = move || (begun.send(()), waits.recv());
            let work = tokio::spawn(async move { turns.take(tenant(fill), "a test", hold).await });
            begins.await.unwrap();
            asked.push((go_on, work));
        }
        assert!(maker.make_by_itself(tenant(3), 2048).await.is_ok());
        for (go_on, work) in asked {
            go_on.send(()).unwrap();
            assert!(work.await.unwrap().is_ok());
        }
    }
}

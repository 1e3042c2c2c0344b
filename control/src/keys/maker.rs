//! Makes signing keys: seconds of a processor for the largest, so a bounded number at once, each tenant one at
//! a time, and never while a connection is held.

use shared::ids::TenantId;
use shared::tokens::jwk::PublicKey;

use super::rsa::{self, Private};
use crate::crypt::sealed::Column;
use crate::db::Db;
use crate::failure::Failure;
use crate::passwords::hash_queue::HashQueue;
use crate::shares::Kind;

/// Keys that are made at once for requests, and as many for rotations and new tenants.
const CONCURRENCY: usize = 2;
/// Of one tenant: another does not wait for the seconds that a key may take.
const EACH: usize = 1;

/// Makes keys.
#[derive(Clone)]
pub struct KeyMaker {
    queues: Queues,
    db: Db,
}

/// The shares and the queue.
#[derive(Clone)]
struct Queues {
    /// Keys that users ask for.
    asked: HashQueue,
    /// Keys that control makes by itself: they do not wait for the others.
    own: HashQueue,
}

/// A key as its row has it: the private half is wrapped.
pub struct RestingKey {
    /// The public half.
    pub public: PublicKey,
    /// The private key, encrypted for storage.
    pub wrapped: Vec<u8>,
}

impl KeyMaker {
    /// Generates keys, encrypted under the data keys of tenants.
    #[must_use]
    pub fn new(db: Db) -> Self {
        Self { queues: Queues::new(), db }
    }

    /// Makes a key of `bits` for a tenant; `payer` is the tenant whose share of the work it is.
    ///
    /// # Errors
    /// [`Failure::Busy`] after five seconds in the queue; no randomness.
    pub async fn make(&self, payer: TenantId, tenant: TenantId, bits: u64) -> Result<RestingKey, Failure> {
        let key = generate(&self.queues.asked, payer, bits).await?;
        self.keep(tenant, &key).await
    }

    /// As [`KeyMaker::make`], for rotations and new tenants, which control starts by itself. They have turns of
    /// their own, so requests for keys do not delay them.
    ///
    /// # Errors
    /// As [`KeyMaker::make`].
    pub async fn make_by_itself(&self, tenant: TenantId, bits: u64) -> Result<RestingKey, Failure> {
        let key = generate(&self.queues.own, tenant, bits).await?;
        self.keep(tenant, &key).await
    }

    /// Seals a key that was imported for a tenant.
    ///
    /// # Errors
    /// As [`Db::keys`].
    pub async fn keep(&self, tenant: TenantId, key: &Private) -> Result<RestingKey, Failure> {
        let kid = key.public.key_id();
        let keys = self.db.keys(tenant).await?;
        let wrapped = keys.seal(Column::SigningKey, kid.as_str(), &key.pkcs8)?;
        Ok(RestingKey { public: key.public.clone(), wrapped })
    }
}

impl Queues {
    fn new() -> Self {
        let turns = || HashQueue::new(Kind::Keys, CONCURRENCY, EACH);
        Self { asked: turns(), own: turns() }
    }
}

async fn generate(turns: &HashQueue, payer: TenantId, bits: u64) -> Result<Private, Failure> {
    turns.take(payer, "making a key", move || rsa::generate(bits)).await?
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tokio::sync::oneshot;

    use super::*;

    fn tenant(fill: u8) -> TenantId {
        TenantId::new(1, [fill; 10])
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn keys_that_users_ask_for_do_not_keep_a_rotation_waiting() {
        let queues = Queues::new();
        let mut asked = Vec::new();
        for fill in 1..=2 {
            let ((go_on, waits), (begun, begins)) = (mpsc::channel::<()>(), oneshot::channel::<()>());
            let turns = queues.asked.clone();
            let hold = move || (begun.send(()), waits.recv());
            let work = tokio::spawn(async move { turns.take(tenant(fill), "a test", hold).await });
            begins.await.unwrap();
            asked.push((go_on, work));
        }
        assert!(generate(&queues.own, tenant(3), 2048).await.is_ok());
        for (go_on, work) in asked {
            go_on.send(()).unwrap();
            assert!(work.await.unwrap().is_ok());
        }
    }
}

//! Jobs whose handlers do what a test says. They go by the names of kinds that the queue knows.

use std::collections::{HashMap, HashSet};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use chrono::TimeDelta;
use control::control::Control;
use control::failure::Failure;
use control::jobs::kind::Kind;
use control::jobs::queue::{self, Enqueued, Job, Pool, Retry};
use serde::{Deserialize, Serialize};
use shared::ids::TenantId;

use crate::scene::Scene;

/// The names of the [`Act`]s that this run has done.
static DONE: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);
/// Hanging acts continue once the name of their stage is in it.
static RELEASED: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);
/// How many of a tenant's run in a pool now, and at most so far.
static RUNNING: LazyLock<Mutex<Running>> = LazyLock::new(Mutex::default);

type Running = HashMap<(TenantId, &'static str), [usize; 2]>;

/// Both kinds of [`Act`].
pub const ACTS: [Kind; 2] = [Kind::of::<Act<false>>(), Kind::of::<Act<true>>()];

/// The behaviour of a handler.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub enum What {
    Work,
    Hang,
    Fail,
    FailForGood,
    Wait,
    Panic,
    /// Enqueues a job about the same thing, and fails.
    FailReplaced,
}

/// A job of the pool for mail, or of the one for upkeep.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Act<const MAIL: bool> {
    pub tenant: Option<TenantId>,
    /// The test's own: several databases have jobs of this process.
    pub stage: String,
    pub name: String,
    pub what: What,
}

#[derive(Debug, thiserror::Error)]
pub enum ActError {
    #[error("it failed: {}", "x".repeat(600))]
    Failed(#[source] Said),
    #[error("it never will")]
    ForGood,
    #[error("not now")]
    Later,
}

/// An error of a remote system.
#[derive(Debug, thiserror::Error)]
#[error("550 ada@acme.example is unknown")]
pub struct Said;

impl<const MAIL: bool> Job for Act<MAIL> {
    const TASK: &'static str = if MAIL { "rotate_lookup" } else { "rebuild_search" };
    const POOL: Pool = if MAIL { Pool::Mail } else { Pool::Upkeep };
    const ATTEMPTS: u16 = 5;
    const DELAYS_SECS: &'static [i32] = &[60, 120, 300];
    type Error = ActError;

    async fn run(self, control: &Control) -> Result<(), ActError> {
        let running = |by: isize| {
            let Some(tenant) = self.tenant else { return };
            let mut running = RUNNING.lock().unwrap();
            let [now, most] = running.entry((tenant, Self::TASK)).or_default();
            *now = now.saturating_add_signed(by);
            *most = (*most).max(*now);
        };
        match self.what {
            What::Work => {
                DONE.lock().unwrap().insert(self.full_name());
                Ok(())
            }
            What::Hang => {
                running(1);
                while !RELEASED.lock().unwrap().contains(&self.stage) {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                running(-1);
                DONE.lock().unwrap().insert(self.full_name());
                Ok(())
            }
            What::Fail => Err(ActError::Failed(Said)),
            What::FailForGood => Err(ActError::ForGood),
            What::Wait => Err(ActError::Later),
            What::Panic => panic!("with ada@acme.example"),
            What::FailReplaced => {
                let other = Self { what: What::Work, ..self };
                let mut connection = control.db.work().acquire().await.unwrap();
                queue::enqueue(&mut connection, &other, TimeDelta::minutes(5)).await.unwrap();
                Err(ActError::Later)
            }
        }
    }

    fn retry(failure: &ActError) -> Retry {
        match failure {
            ActError::Failed(_) => Retry::Again,
            ActError::ForGood => Retry::ForGood,
            ActError::Later => Retry::Later(TimeDelta::minutes(10)),
        }
    }
}

impl<const MAIL: bool> Enqueued for Act<MAIL> {
    const MOST_WAITING: u32 = 30;

    fn about(&self) -> String {
        self.full_name()
    }

    fn tenant(&self) -> Option<TenantId> {
        self.tenant
    }
}

impl<const MAIL: bool> Act<MAIL> {
    pub fn new(scene: &Scene, tenant: Option<TenantId>, name: &str, what: What) -> Self {
        Self { tenant, stage: scene.tenant.id.to_string(), name: name.to_owned(), what }
    }

    fn full_name(&self) -> String {
        format!("{}/{}", self.stage, self.name)
    }

    pub async fn enqueue(&self, scene: &Scene) -> Result<(), Failure> {
        let mut connection = scene.control.db.app().acquire().await.unwrap();
        queue::enqueue(&mut connection, self, TimeDelta::zero()).await
    }

    pub fn is_done(&self) -> bool {
        DONE.lock().unwrap().contains(&self.full_name())
    }

    /// How many of the tenant's run now, and did at most.
    pub fn running(&self) -> [usize; 2] {
        let key = (self.tenant.unwrap(), Self::TASK);
        RUNNING.lock().unwrap().get(&key).copied().unwrap_or_default()
    }
}

/// Lets the hanging jobs of the scene continue.
pub fn release(scene: &Scene) {
    RELEASED.lock().unwrap().insert(scene.tenant.id.to_string());
}

/// Some tenant, which need not exist.
pub fn tenant(number: u8) -> TenantId {
    TenantId::new(u64::from(number), [number; 10])
}

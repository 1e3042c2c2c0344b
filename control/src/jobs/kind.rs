//! Adapts a [`Job`] to the library.

use std::fmt;

use graphile_worker::{IntoTaskHandlerResult, TaskHandler, WorkerContext, WorkerOptions};
use serde::{Deserialize, Serialize};

use super::queue::{Job, Pool};
use super::release::Failed;
use crate::control::Control;
use crate::failure::chain;

/// One line of the list of kinds: a name, and how the library learns the handler.
pub struct Kind {
    /// See [`Job::TASK`].
    pub task: &'static str,
    /// See [`Job::POOL`].
    pub pool: Pool,
    pub(super) define: fn(WorkerOptions) -> WorkerOptions,
}

impl Kind {
    /// The line of this kind.
    #[must_use]
    pub const fn of<J: Job>() -> Self {
        Self { task: J::TASK, pool: J::POOL, define: |options| options.define_job::<Task<J>>() }
    }
}

/// The state that the library passes to handlers, without `Debug`.
#[derive(Clone)]
pub(super) struct Means(pub(super) Control);

impl fmt::Debug for Means {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Means")
    }
}

/// The handler of one kind.
#[derive(Serialize, Deserialize)]
#[serde(transparent, bound = "J: Job")]
pub(super) struct Task<J>(J);

impl<J: Job> TaskHandler for Task<J> {
    const IDENTIFIER: &'static str = J::TASK;

    async fn run(self, context: WorkerContext) -> impl IntoTaskHandlerResult {
        let Some(Means(control)) = context.get_ext::<Means>() else {
            return Err(Cause(String::from("a runner without means")));
        };
        let Err(error) = self.0.run(control).await else { return Ok(()) };
        let failed =
            Failed { retry: J::retry(&error), reason: error.to_string(), causes: chain(&error).to_string() };
        // The future is sent between threads, which not every error can be.
        drop(error);
        Err(Cause(failed.release(control, &context).await))
    }
}

/// The library keeps the `Debug` of an error, so this one is the message.
struct Cause(String);

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

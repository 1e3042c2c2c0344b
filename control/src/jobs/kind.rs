//! A [`Job`] as the library wants it.

use std::fmt;

use graphile_worker::{IntoTaskHandlerResult, TaskHandler, WorkerContext, WorkerOptions};
use serde::{Deserialize, Serialize};

use super::queue::Job;
use crate::control::Control;
use crate::failure::chain;

/// One line of the list of kinds: a name, and how the library learns the handler.
pub struct Kind {
    /// See [`Job::TASK`].
    pub task: &'static str,
    pub(super) define: fn(WorkerOptions) -> WorkerOptions,
}

impl Kind {
    pub(super) const fn of<J: Job>() -> Self {
        Self { task: J::TASK, define: |options| options.define_job::<Task<J>>() }
    }
}

/// What the handlers work with, as the library passes it on. No `Debug` of what is inside.
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
            return Err(Cause("a runner without means".into()));
        };
        self.0.run(control).await.map_err(|error| Cause(chain(&error).to_string()))
    }
}

/// The library keeps the `Debug` of an error, so this one is the message.
struct Cause(String);

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

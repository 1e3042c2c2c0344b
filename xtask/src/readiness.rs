//! Waiting until a server says by HTTP that it is ready.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use ureq::Agent;

use crate::events::Events;
use crate::postgres::log_tail;
use crate::program::Running;
use crate::wait::until;

const LIMIT: Duration = Duration::from_secs(60);

/// Asks until the answer is 200. Ends early when the program does, or when we were asked to end.
pub fn wait(url: &str, program: &mut Running, log: &Path, events: &Events) -> Result<()> {
    let agent: Agent = Agent::config_builder().timeout_global(Some(Duration::from_secs(2))).build().into();
    let mut last = String::from("no answer");
    let mut ready = false;
    let _ = until(LIMIT, || {
        match agent.get(url).call() {
            Ok(_) => ready = true,
            Err(error) => last = error.to_string(),
        }
        ready || program.ended().is_some() || events.go_on().is_err()
    });
    events.go_on()?;
    if !ready {
        bail!("{} is not ready ({url}: {last}); the end of its log:\n{}", program.name, log_tail(log));
    }
    Ok(())
}

//! Numbered steps with what each is for and how long it took.
#![expect(clippy::disallowed_methods, reason = "a duration that is only shown")]

use std::fmt::Display;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::events::Events;

/// Counts the steps of one command.
pub struct Steps<'a> {
    total: usize,
    done: usize,
    started: Instant,
    events: &'a Events,
}

impl<'a> Steps<'a> {
    /// A command of `total` steps, between which it may be asked to end.
    pub fn new(total: usize, events: &'a Events) -> Self {
        Self { total, done: 0, started: Instant::now(), events }
    }

    /// Runs one step: its title first, since it may print for minutes, then the time.
    pub fn step<T>(&mut self, title: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let (value, time) = self.timed(title, work)?;
        println!("      {time}");
        Ok(value)
    }

    /// The same for a result that is worth showing beside the time.
    pub fn noted<T: Display>(&mut self, title: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let (value, time) = self.timed(title, work)?;
        println!("      {time}, {value}");
        Ok(value)
    }

    fn timed<T>(&mut self, title: &str, work: impl FnOnce() -> Result<T>) -> Result<(T, String)> {
        self.events.go_on()?;
        self.done += 1;
        debug_assert!(self.done <= self.total, "more steps than were announced");
        println!("[{}/{}] {title}", self.done, self.total);
        let start = Instant::now();
        Ok((work()?, seconds(start.elapsed())))
    }

    /// The time since the first step.
    pub fn elapsed(&self) -> String {
        seconds(self.started.elapsed())
    }
}

/// `0.4 s`, `12.0 s`, `3 min 05 s`.
fn seconds(time: Duration) -> String {
    let whole = time.as_secs();
    if whole < 60 {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        format!("{} min {:02} s", whole / 60, whole % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        assert_eq!(seconds(Duration::from_millis(440)), "0.4 s");
        assert_eq!(seconds(Duration::from_secs(185)), "3 min 05 s");
    }
}

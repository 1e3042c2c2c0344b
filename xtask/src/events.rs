//! What can happen while things run: signals, ends of programs, and what the Worker's script says.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use anyhow::{Context, Result};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;

use crate::edge::Message;

/// One thing that happened.
pub enum Event {
    /// The program shall end.
    Stop,
    /// Parts that have ended shall be started again.
    Restart,
    /// A child has ended, which one is to be found out.
    ChildEnded,
    /// The Worker's script said something.
    Edge(Message),
}

/// Where events arrive, and whether we were asked to end.
pub struct Events {
    sender: Sender<Event>,
    receiver: Receiver<Event>,
    stop: Arc<AtomicBool>,
}

/// We were asked to end: no failure, and nothing to report.
#[derive(Debug, thiserror::Error)]
#[error("stopped")]
pub struct Stopped;

impl Events {
    /// Listens from here on: a signal no longer ends this process by itself.
    pub fn listen() -> Result<Self> {
        let (sender, receiver) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let mut signals =
            Signals::new([SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGCHLD]).context("cannot listen to signals")?;
        let (forward, asked) = (sender.clone(), Arc::clone(&stop));
        std::thread::spawn(move || {
            for signal in signals.forever() {
                let event = match signal {
                    SIGUSR1 => Event::Restart,
                    SIGCHLD => Event::ChildEnded,
                    _ => {
                        asked.store(true, Ordering::Relaxed);
                        Event::Stop
                    }
                };
                if forward.send(event).is_err() {
                    return;
                }
            }
        });
        Ok(Self { sender, receiver, stop })
    }

    /// A sender of events.
    pub fn sender(&self) -> Sender<Event> {
        self.sender.clone()
    }

    /// An error once we were asked to end; steps ask before they begin.
    pub fn go_on(&self) -> Result<(), Stopped> {
        if self.stop.load(Ordering::Relaxed) { Err(Stopped) } else { Ok(()) }
    }

    /// The next event; `None` when there was none in time.
    pub fn next(&self, limit: Duration) -> Option<Event> {
        self.receiver.recv_timeout(limit).ok()
    }
}

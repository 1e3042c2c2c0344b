//! A PostgreSQL of one test's own, which it may kill and start again.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::process::{Process, Talk, kill_9};
use crate::{environment, wait};

/// A running server.
pub struct Server {
    process: Process,
    pid: u32,
    /// As superuser.
    pub url: String,
}

impl Server {
    /// Starts the cluster of a folder, and creates it if there is none.
    ///
    /// # Panics
    /// Where it does not start.
    #[must_use]
    pub fn start(name: &str, folder: &Path, port: u16) -> Self {
        let mut command = Command::new(environment::xtask());
        command.arg("postgres").arg("--state").arg(folder).args(["--port", &port.to_string()]);
        let mut process = Process::start(&format!("{name}-postgres"), command, Talk::Json);
        let ready = process.said(Duration::from_secs(60));
        let pid = ready["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).expect("its process id");
        Self { process, pid, url: ready["url"].as_str().expect("its address").to_owned() }
    }

    /// Kills the server. Its keeper ends when it has buried the server: until then the process id is
    /// taken, and the next server would believe that this one still runs.
    pub async fn kill(&mut self) {
        kill_9(self.pid);
        let ended = async || self.process.ended();
        wait::until("the server's keeper to end", ended).await;
    }
}

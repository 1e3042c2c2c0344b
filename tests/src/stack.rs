//! Control, the Worker and a database as one set, and the levers that break it.
//!
//! Most tests share one stack, each with a tenant of its own. What kills something or moves the
//! clock has a stack of its own.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::PoisonError;
use std::time::Duration;

use rand::Rng as _;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::{Mutex, OnceCell};

use crate::database::Database;
use crate::http::{Http, Reply, is_ours};
use crate::process::{Process, Talk};
use crate::secrets::Secrets;
use crate::tap::Tap;
use crate::{environment, seed, settings, wait};

/// A part that a stack has in addition to the Worker, control and the database.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extra {
    Nothing,
    /// A [`Tap`] between control and the edge.
    Tap,
    /// Databases of the Worker that outlive it, so that it can be deployed again.
    Redeploys,
}

/// One running set.
pub struct Stack {
    name: String,
    /// The Worker's own socket.
    edge_url: String,
    workerd_pid: u32,
    control_port: u16,
    /// Keys and passwords.
    pub secrets: Secrets,
    /// Its database.
    pub database: Database,
    /// The wire from control to the edge, where it was asked for.
    pub tap: Option<Tap>,
    control_settings: std::sync::Mutex<Vec<(&'static str, String)>>,
    // Fields are dropped in order, so that no part calls one that has ended.
    control: Mutex<Option<Process>>,
    edge: Mutex<Option<Process>>,
    /// The folder of the Worker's databases, for a stack whose Worker can be deployed again.
    kept: Option<TempDir>,
    clock_ms: Mutex<i64>,
}

impl Stack {
    /// The stack that tests share, until the test process ends.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Stack> = OnceCell::const_new();
        SHARED
            .get_or_init(|| async { Self::start("shared", Database::create().await, Extra::Nothing).await })
            .await
    }

    /// A stack of one test's own, whose clock it may move and whose control it may kill.
    pub async fn own(name: &str) -> Self {
        Self::start(name, Database::create().await, Extra::Nothing).await
    }

    /// The same over a database that the test may kill, with a Worker that can be [deployed again](Self::deploy).
    pub async fn over(name: &str, database: Database) -> Self {
        Self::start(name, database, Extra::Redeploys).await
    }

    /// A stack of one test's own with a [`Tap`] between control and the edge.
    pub async fn tapped(name: &str) -> Self {
        Self::start(name, Database::create().await, Extra::Tap).await
    }

    /// A stack for one test whose Worker can be [deployed again](Self::deploy).
    pub async fn deployed(name: &str) -> Self {
        Self::start(name, Database::create().await, Extra::Redeploys).await
    }

    async fn start(name: &str, database: Database, extra: Extra) -> Self {
        let secrets = Secrets::generate();
        let (control_port, metrics_port) = (free_port(), free_port());
        let kept = (extra == Extra::Redeploys)
            .then(|| tempfile::tempdir().expect("a folder for the Worker's databases"));
        let at = kept.as_ref().map(|folder| (folder.path(), free_port()));
        let (edge, ready) = start_edge(name, settings::edge(&secrets, control_port), at);
        let workerd_pid = ready["workerd_pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
        let edge_url = ready["direct_url"].as_str().expect("the Worker's address").to_owned();
        is_ours(&edge_url);
        let tap = match edge_url.strip_prefix("http://") {
            Some(address) if extra == Extra::Tap => {
                Some(Tap::open(address.to_owned(), seed::rng(name)).await)
            }
            _ => None,
        };
        let for_control = tap.as_ref().map_or(edge_url.as_str(), Tap::url);
        let control_settings =
            settings::control(&secrets, &database, [control_port, metrics_port], for_control);
        let stack = Self {
            name: name.to_owned(),
            workerd_pid: workerd_pid.expect("the runtime's process id"),
            edge_url,
            control_port,
            secrets,
            database,
            tap,
            control_settings: control_settings.into(),
            control: Mutex::new(None),
            edge: Mutex::new(Some(edge)),
            kept,
            clock_ms: Mutex::new(0),
        };
        stack.command(&["migrate"], "");
        let operator = ["user", "create", "operator", "--tenant", "platform", "--role", "root-admin"];
        let password = stack.secrets.operator_password.clone();
        stack.command(&[&operator[..], &["--password-stdin"]].concat(), &password);
        // Every test signs in there.
        stack.command(&["tenant", "edit", "platform", "--set", "hashes_per_sec=0"], "");
        stack.start_control().await;
        stack.await_platform().await;
        stack
    }

    /// The platform's users can sign in when its document and they have reached the edge.
    async fn await_platform(&self) {
        let http = Http::new(self.edge_url.clone());
        let known = async || {
            let keys = http.get("/t/platform/.well-known/jwks.json").await;
            let body =
                serde_json::json!({"username": "operator", "password": self.secrets.operator_password});
            let signed_in =
                keys.status == 200 && http.post("/t/platform/api/token/", &body).await.status == 200;
            signed_in.then_some(())
        };
        // Wrong tries are counted, ten in five minutes: what is not known yet must not use them up.
        wait::until("the platform tenant at the edge", async || {
            tokio::time::sleep(Duration::from_millis(300)).await;
            known().await
        })
        .await;
    }

    /// Where clients find the edge.
    #[must_use]
    pub fn edge_url(&self) -> &str {
        &self.edge_url
    }

    /// Control's own address, which no client knows.
    #[must_use]
    pub fn control_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.control_port)
    }

    /// The runtime's process id.
    #[must_use]
    pub fn workerd_pid(&self) -> u32 {
        self.workerd_pid
    }

    /// Runs a command of the service's command line with `input` on its standard input.
    ///
    /// # Panics
    /// Where it fails.
    pub fn command(&self, arguments: &[&str], input: &str) -> String {
        run(self.control_command(arguments), input)
    }

    /// Runs a command of the service's command line while the test goes on.
    ///
    /// # Panics
    /// Where it fails.
    pub async fn command_beside(&self, arguments: &[&str]) -> String {
        let command = self.control_command(arguments);
        tokio::task::spawn_blocking(move || run(command, "")).await.expect("its end")
    }

    fn control_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(environment::control_binary());
        let settings = self.control_settings.lock().unwrap_or_else(PoisonError::into_inner).clone();
        command.args(arguments).envs(settings).env_remove("WARDGATE_CONFIG");
        command
    }

    /// Starts a command of the service's command line, which the test may kill.
    #[must_use]
    pub fn start_command(&self, arguments: &[&str]) -> Process {
        Process::start(&format!("{}-command", self.name), self.control_command(arguments), Talk::No)
    }

    /// Restarts control with other values of some settings.
    ///
    /// # Panics
    /// Where it ends instead.
    pub async fn configure(&self, changed: &[(&'static str, &str)]) {
        {
            let mut settings = self.control_settings.lock().unwrap_or_else(PoisonError::into_inner);
            settings.retain(|(name, _)| changed.iter().all(|(other, _)| other != name));
            settings.extend(changed.iter().map(|(name, value)| (*name, (*value).to_owned())));
        }
        self.kill_control().await;
        self.start_control().await;
    }

    /// Deploys the Worker again with other values of some variables, over the same databases: at the same address, in
    /// new isolates.
    ///
    /// # Panics
    /// Where the stack was not started by [`Stack::deployed`].
    pub async fn deploy(&self, changed: &[(&str, &str)]) {
        let folder = self.kept.as_ref().expect("a stack whose Worker can be deployed anew");
        let port = self.edge_url.rsplit(':').next().and_then(|port| port.parse().ok());
        let mut edge = self.edge.lock().await;
        // Two on one database would be in each other's way.
        drop(edge.take());
        // Of a name that is there twice the last value counts.
        let more = changed.iter().map(|(name, value)| format!("{name}=\"{value}\"\n"));
        let vars = more.fold(settings::edge(&self.secrets, self.control_port), |vars, line| vars + &line);
        let (name, folder) = (self.name.clone(), folder.path().to_owned());
        // On a thread of its own: meanwhile clients notice that their connections to the former Worker are closed.
        let start = move || start_edge(&name, vars, Some((&folder, port.expect("a port"))));
        let (started, _) = tokio::task::spawn_blocking(start).await.expect("the Worker's start");
        *edge = Some(started);
    }

    /// Starts control and waits until it is ready.
    ///
    /// # Panics
    /// Where it ends instead.
    pub async fn start_control(&self) {
        let name = format!("{}-control", self.name);
        let mut process = Process::start(&name, self.control_command(&["serve"]), Talk::No);
        let http = Http::new(self.control_url());
        wait::until("control to be ready", async || {
            assert!(process.ended().is_none(), "control ended:\n{}", process.log_tail());
            let ready = Reply::try_to(http.request(reqwest::Method::GET, "/readyz")).await;
            ready.is_ok_and(|reply| reply.status == 200).then_some(())
        })
        .await;
        *self.control.lock().await = Some(process);
    }

    /// Ends control as a power cut would.
    pub async fn kill_control(&self) {
        if let Some(mut control) = self.control.lock().await.take() {
            control.kill();
        }
    }

    /// The end of control's log.
    pub async fn control_log(&self) -> String {
        self.control.lock().await.as_ref().map(Process::log_tail).unwrap_or_default()
    }

    /// The end of the Worker's log.
    pub async fn edge_log(&self) -> String {
        self.edge.lock().await.as_ref().map(Process::log_tail).unwrap_or_default()
    }

    /// Lets time pass at the edge, but for service signatures. Control's time stays as it is.
    pub async fn pass(&self, time: Duration) {
        let mut clock_ms = self.clock_ms.lock().await;
        *clock_ms += i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        let http = Http::new(self.edge_url.clone());
        let shift = http.request(reqwest::Method::POST, "/test/clock").body(clock_ms.to_string());
        let _ = Reply::to(shift).await.expect(204);
    }

    /// Bytes of the largest answer that the edge's database has given.
    ///
    /// # Panics
    /// Where the edge does not say.
    pub async fn largest_answer(&self) -> usize {
        let reply = Http::new(self.edge_url.clone()).get("/test/largest-answer").await.expect(200);
        reply.text.parse().expect("a number")
    }

    /// The edge's Unix time in seconds.
    pub async fn edge_now_secs(&self) -> u64 {
        let shift_secs = *self.clock_ms.lock().await / 1000;
        crate::clock::now_secs().saturating_add_signed(shift_secs)
    }
}

/// Runs a command with `input` on its standard input, and says what it said.
fn run(mut command: Command, input: &str) -> String {
    use std::io::Write as _;
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("control's binary");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("its standard input");
    let done = child.wait_with_output().expect("its end");
    let (said, errors) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    // Not the command itself: its environment has secrets.
    let arguments: Vec<_> = command.get_args().collect();
    assert!(done.status.success(), "wardgate {arguments:?}: {}\n{said}{errors}", done.status);
    said.into_owned()
}

/// Starts the Worker, `at` a folder and a port where it is to be found again. Its variables are read before it is ready
/// and deleted after it.
fn start_edge(name: &str, variables: String, at: Option<(&Path, u16)>) -> (Process, Value) {
    let vars = tempfile::NamedTempFile::new().expect("a file for the Worker's variables");
    std::fs::write(vars.path(), variables).expect("the Worker's variables");
    let mut command = environment::workerd();
    command.arg("--vars").arg(vars.path());
    if let Some((folder, port)) = at {
        command.arg("--state").arg(folder).args(["--direct-port", &port.to_string()]);
    }
    let mut edge = Process::start(&format!("{name}-edge"), command, Talk::Json);
    let ready = edge.said(wait::PATIENCE);
    (edge, ready)
}

/// A free port outside the range of ephemeral ports, so that no outgoing connection takes it before control is
/// restarted.
///
/// # Panics
/// Where all of a hundred are taken.
#[must_use]
pub fn free_port() -> u16 {
    let mut rng = rand::rng();
    let ports = (0..100).map(|_| rng.random_range(12_000..30_000));
    let mut free = ports.filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.next().expect("a free port")
}

//! The server and its handle.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Mutex, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::fault::{Fault, Step};
use crate::kept::Kept;
use crate::received::Received;
use crate::session;
use crate::stream::Stream;
#[cfg(feature = "tls")]
use crate::tls::Identity;

/// How long [`Mailbox::until`] and its like wait.
pub const TIMEOUT: Duration = Duration::from_secs(120);
const BACKLOG: u32 = 1024;

/// Whether and how connections are encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tls {
    /// In clear.
    #[default]
    None,
    /// In clear until `STARTTLS`, which is offered and not demanded.
    Start,
    /// From the first byte.
    Implicit,
}

/// Name and password that `AUTH PLAIN` and `AUTH LOGIN` accept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The name.
    pub user: String,
    /// The password.
    pub password: String,
}

/// How a server is to be.
#[derive(Clone, Debug)]
pub struct Options {
    /// The port on 127.0.0.1, or 0 for a free one.
    pub port: u16,
    /// TLS.
    pub tls: Tls,
    /// The names and addresses of the certificate.
    pub names: Vec<String>,
    /// With these, `MAIL` demands `AUTH` first; without, `AUTH` is not offered.
    pub credentials: Option<Credentials>,
    /// Whether `SMTPUTF8` is offered, without which an address has to be ASCII (RFC 6531).
    pub utf8: bool,
    /// Where mails are kept in place of memory.
    pub kept: Option<Kept>,
}

impl Default for Options {
    fn default() -> Self {
        let names = ["localhost", "127.0.0.1"].map(ToOwned::to_owned).to_vec();
        Self { port: 0, tls: Tls::None, names, credentials: None, utf8: true, kept: None }
    }
}

/// A running server. Dropping it closes it with all of its connections.
pub struct Mailbox {
    shared: Arc<Shared>,
    port: u16,
    listening: Mutex<Listening>,
    /// Its own, so that the server outlives the test that has started it where several tests share it.
    runtime: Option<Runtime>,
}

enum Listening {
    Up(JoinHandle<()>),
    /// Bound without listening: connections are refused, and no other program can take the port.
    Down(Option<TcpSocket>),
}

/// State that the connections share.
pub(crate) struct Shared {
    pub(crate) options: Options,
    #[cfg(feature = "tls")]
    pub(crate) identity: Option<Identity>,
    state: watch::Sender<State>,
}

#[derive(Default)]
struct State {
    received: Vec<Received>,
    fault: Option<Fault>,
    /// How often it may strike yet; without a number, always.
    left: Option<usize>,
    struck: usize,
    connections: usize,
}

impl Mailbox {
    /// A server in clear on a free port.
    ///
    /// # Errors
    /// The system gives no port or no thread.
    pub async fn start() -> io::Result<Self> {
        Self::with(Options::default()).await
    }

    /// A server as the options say.
    ///
    /// # Errors
    /// The port is taken, or the system gives no thread; a name of the certificate is none; TLS is wanted and
    /// was not compiled in.
    pub async fn with(options: Options) -> io::Result<Self> {
        #[cfg(not(feature = "tls"))]
        if options.tls != Tls::None {
            return Err(io::Error::other("built without the feature `tls`"));
        }
        #[cfg(feature = "tls")]
        let identity = match options.tls {
            Tls::None => None,
            Tls::Start | Tls::Implicit => Some(Identity::make(&options.names)?),
        };
        let runtime =
            Builder::new_multi_thread().worker_threads(1).thread_name("mailbox").enable_all().build()?;
        let port = options.port;
        let shared = Arc::new(Shared {
            options,
            #[cfg(feature = "tls")]
            identity,
            state: watch::Sender::default(),
        });
        let (listening, port) = listen(&runtime, &shared, bind(port)?)?;
        Ok(Self { shared, port, listening: Mutex::new(listening), runtime: Some(runtime) })
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The certificate that a client has to trust, PEM; without TLS empty.
    #[must_use]
    pub fn authority(&self) -> &str {
        #[cfg(feature = "tls")]
        return self.shared.identity.as_ref().map_or("", |identity| &identity.authority);
        #[cfg(not(feature = "tls"))]
        ""
    }

    /// The mails, in the order of their arrival. With a folder they are there instead.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.shared.state.borrow().received.clone()
    }

    /// The mails of one recipient.
    #[must_use]
    pub fn received_by(&self, address: &str) -> Vec<Received> {
        self.shared.state.borrow().received_by(address)
    }

    /// How often a fault has struck.
    #[must_use]
    pub fn struck(&self) -> usize {
        self.shared.state.borrow().struck
    }

    /// How many connections were accepted.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.state.borrow().connections
    }

    /// Waits for `count` mails, and gives all that are there then.
    ///
    /// # Panics
    /// After [`TIMEOUT`], with the subjects of what came instead.
    pub async fn until(&self, count: usize) -> Vec<Received> {
        self.wait_for(&format!("{count} mails"), |state| state.received.len() >= count).await;
        self.received()
    }

    /// Waits for `count` mails of one recipient, and gives all that are there then.
    ///
    /// # Panics
    /// After [`TIMEOUT`].
    pub async fn until_by(&self, address: &str, count: usize) -> Vec<Received> {
        let what = format!("{count} mails for {address}");
        self.wait_for(&what, |state| state.received_by(address).len() >= count).await;
        self.received_by(address)
    }

    /// Waits until faults have struck `count` times in all.
    ///
    /// # Panics
    /// After [`TIMEOUT`].
    pub async fn until_struck(&self, count: usize) {
        self.wait_for(&format!("{count} strikes"), |state| state.struck >= count).await;
    }

    async fn wait_for(&self, what: &str, mut condition: impl FnMut(&State) -> bool) {
        let mut state = self.shared.state.subscribe();
        let came = tokio::time::timeout(TIMEOUT, state.wait_for(|state| condition(state))).await.is_ok();
        let subjects = || self.received().iter().map(Received::subject).collect::<Vec<_>>();
        assert!(came, "waited {TIMEOUT:?} in vain for {what}; there are {:?}", subjects());
    }

    /// Forgets the mails.
    pub fn clear(&self) {
        self.shared.state.send_modify(|state| state.received.clear());
    }

    /// Fails from here on, in this way and no other.
    pub fn fail(&self, fault: Fault) {
        self.shared.state.send_modify(|state| (state.fault, state.left) = (Some(fault), None));
    }

    /// Fails the next `times` times, and is whole again.
    pub fn fail_times(&self, fault: Fault, times: usize) {
        self.shared.state.send_modify(|state| (state.fault, state.left) = (Some(fault), Some(times)));
    }

    /// Ends all faults. Connections that already hang continue to hang.
    pub fn heal(&self) {
        self.shared.state.send_modify(|state| (state.fault, state.left) = (None, None));
    }

    /// Closes every connection and refuses new ones, until [`up`](Self::up). The port stays its own.
    ///
    /// # Errors
    /// The system does not give the port back.
    pub async fn down(&self) -> io::Result<()> {
        let mut listening = self.listening.lock().await;
        if let Listening::Up(task) = &mut *listening {
            task.abort();
            let _ = task.await;
            *listening = Listening::Down(Some(bind(self.port)?));
        }
        Ok(())
    }

    /// Listens again, on the same port.
    ///
    /// # Errors
    /// The system does not give the port back.
    pub async fn up(&self) -> io::Result<()> {
        let mut listening = self.listening.lock().await;
        let Some(runtime) = &self.runtime else { return Ok(()) };
        if let Listening::Down(held) = &mut *listening {
            let socket = match held.take() {
                Some(socket) => socket,
                None => bind(self.port)?,
            };
            (*listening, _) = listen(runtime, &self.shared, socket)?;
        }
        Ok(())
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        // A runtime must not be dropped where another one runs; this way it may.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn bind(port: u16) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    Ok(socket)
}

fn listen(runtime: &Runtime, shared: &Arc<Shared>, socket: TcpSocket) -> io::Result<(Listening, u16)> {
    let _context = runtime.enter();
    let listener = socket.listen(BACKLOG)?;
    let port = listener.local_addr()?.port();
    Ok((Listening::Up(runtime.spawn(accept(listener, Arc::clone(shared)))), port))
}

/// Until it is aborted, which ends the connections, too.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut sessions = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                // A small reply should not wait for the next.
                let _ = stream.set_nodelay(true);
                shared.state.send_modify(|state| state.connections += 1);
                sessions.spawn(hold(Box::new(stream), Arc::clone(&shared)));
            }
            Some(_) = sessions.join_next(), if !sessions.is_empty() => {}
        }
    }
}

/// One connection. What goes wrong with it concerns its client alone.
async fn hold(stream: Stream, shared: Arc<Shared>) {
    let _ = session::hold(stream, &shared).await;
}

impl Shared {
    /// The fault that strikes now, if one does.
    pub(crate) fn strike(&self, step: Step) -> Option<Fault> {
        let mut struck = None;
        self.state.send_if_modified(|state| {
            struck = state.fault.clone().filter(|fault| fault.strikes(step));
            if struck.is_some() {
                state.struck += 1;
                state.left = state.left.map(|left| left.saturating_sub(1));
                if state.left == Some(0) {
                    (state.fault, state.left) = (None, None);
                }
            }
            struck.is_some()
        });
        struck
    }

    /// Takes a mail. What was taken outlives a crash, where it goes into a folder.
    pub(crate) fn keep(&self, received: Received) -> io::Result<()> {
        match &self.options.kept {
            Some(kept) => kept.put(&received),
            None => {
                self.state.send_modify(|state| state.received.push(received));
                Ok(())
            }
        }
    }
}

impl State {
    fn received_by(&self, address: &str) -> Vec<Received> {
        let is_for = |mail: &&Received| mail.to.iter().any(|to| to.eq_ignore_ascii_case(address));
        self.received.iter().filter(is_for).cloned().collect()
    }
}

//! A stretch of wire between control and the edge that can lose what passes over it, or deliver it
//! twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use rand::Rng as _;
use rand::rngs::StdRng;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;

/// The proxy. It carries one call per connection, and corrupts drain calls while it is set to.
pub struct Tap {
    url: String,
    wire: Arc<Wire>,
}

struct Wire {
    edge: String,
    lossy: AtomicBool,
    drains: AtomicU32,
    lost: Mutex<Lost>,
    last_answer: Mutex<Option<Vec<u8>>>,
    rng: Mutex<StdRng>,
}

/// Counts of what the proxy corrupted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lost {
    /// Calls that never reached the edge: with them, what they acknowledged.
    pub requests: u32,
    /// Answers that never reached control.
    pub answers: u32,
    /// Answers that reached control a second time.
    pub repeated: u32,
}

/// The treatment of one call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Passes,
    NeverArrives,
    AnswerIsLost,
    AnswerIsRepeated,
}

impl Tap {
    /// A wire to the edge at `edge` (host and port), losing by chance from `rng`.
    ///
    /// # Panics
    /// Where no port can be had.
    pub async fn open(edge: String, rng: StdRng) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port for the tap");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let wire = Arc::new(Wire {
            edge,
            lossy: AtomicBool::new(false),
            drains: AtomicU32::new(0),
            lost: Mutex::default(),
            last_answer: Mutex::default(),
            rng: Mutex::new(rng),
        });
        let carrier = wire.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let wire = carrier.clone();
                // A call that breaks in the middle is what this is for.
                tokio::spawn(async move { wire.carry(client).await.ok() });
            }
        });
        Self { url, wire }
    }

    /// Where control finds the edge.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Mishandles about half of the drain calls from now on, or none.
    pub fn lose_drains(&self, lossy: bool) {
        self.wire.lossy.store(lossy, Ordering::SeqCst);
    }

    /// Drain calls that control has made so far.
    #[must_use]
    pub fn drains(&self) -> u32 {
        self.wire.drains.load(Ordering::SeqCst)
    }

    /// The counts so far.
    pub async fn lost(&self) -> Lost {
        *self.wire.lost.lock().await
    }
}

impl Wire {
    async fn carry(&self, mut client: TcpStream) -> std::io::Result<()> {
        let request = read_request(&mut client).await?;
        let drains = request.starts_with(b"POST /internal/v1/drain");
        let fate = if drains { self.fate().await } else { Fate::Passes };
        if fate == Fate::NeverArrives {
            self.lost.lock().await.requests += 1;
            return Ok(());
        }
        if fate == Fate::AnswerIsRepeated
            && let Some(answer) = self.last_answer.lock().await.clone()
        {
            self.lost.lock().await.repeated += 1;
            return client.write_all(&answer).await;
        }
        let mut upstream = TcpStream::connect(&self.edge).await?;
        upstream.write_all(&request).await?;
        let mut answer = Vec::new();
        upstream.read_to_end(&mut answer).await?;
        if drains && !String::from_utf8_lossy(&answer).contains("\"facts\":[]") {
            *self.last_answer.lock().await = Some(answer.clone());
        }
        if fate == Fate::AnswerIsLost {
            self.lost.lock().await.answers += 1;
            return Ok(());
        }
        client.write_all(&answer).await
    }

    /// The treatment of a drain call.
    async fn fate(&self) -> Fate {
        self.drains.fetch_add(1, Ordering::SeqCst);
        if !self.lossy.load(Ordering::SeqCst) {
            return Fate::Passes;
        }
        match self.rng.lock().await.random_range(0..5) {
            0 => Fate::NeverArrives,
            1 => Fate::AnswerIsLost,
            2 => Fate::AnswerIsRepeated,
            _ => Fate::Passes,
        }
    }
}

/// Reads one complete request and sets `Connection: close`: its answer then ends with the connection, and the proxy
/// need not parse HTTP.
async fn read_request(client: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if client.read_buf(&mut bytes).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    let size: usize = head_end + length.unwrap_or(0);
    while bytes.len() < size {
        if client.read_buf(&mut bytes).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    let first_line = bytes.windows(2).position(|window| window == b"\r\n").unwrap_or(0) + 2;
    bytes.splice(first_line..first_line, *b"connection: close\r\n");
    Ok(bytes)
}

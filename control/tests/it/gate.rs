//! A gate before a server, which does what the server cannot: errors, throttling, silence, connections that break off or
//! are refused.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The treatment of a request.
#[derive(Clone, Copy, Debug)]
pub enum Fate {
    /// The server answers.
    Served,
    /// The server answers after this time.
    Late(Duration),
    /// The server answers, and never sees headers whose names begin so.
    Without(&'static str),
    /// This error of the API: status and code.
    Error(u16, &'static str),
    /// No answer, ever.
    Silence,
    /// The connection breaks off.
    Dropped,
}

/// How the server words its errors.
#[derive(Clone, Copy)]
pub enum Words {
    Json,
    Xml,
}

struct Gate {
    /// The server.
    url: String,
    words: Words,
    fate: Fate,
    /// The next requests, before `fate` holds.
    next: Vec<Fate>,
    /// How many requests have come.
    requests: usize,
}

/// The gate, and the address at which it takes connections.
pub struct Door {
    at: SocketAddr,
    gate: Arc<Mutex<Gate>>,
    door: Option<JoinHandle<()>>,
}

impl Door {
    /// Before the server at `url`.
    pub async fn open(url: &str, words: Words) -> Self {
        let gate = Gate { url: url.to_owned(), words, fate: Fate::Served, next: vec![], requests: 0 };
        let gate = Arc::new(Mutex::new(gate));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let door = Some(open_door(listener, gate.clone()));
        Self { at, gate, door }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.at)
    }

    /// From now on, requests meet this.
    pub fn now(&self, fate: Fate) {
        self.gate().fate = fate;
    }

    /// The next requests meet these, one each.
    pub fn next(&self, fates: &[Fate]) {
        self.gate().next = fates.iter().rev().copied().collect();
    }

    /// How many requests have come since this was asked.
    pub fn requests(&self) -> usize {
        std::mem::take(&mut self.gate().requests)
    }

    /// Connections are refused.
    pub async fn go(&mut self) {
        let door = self.door.take().expect("an open door");
        door.abort();
        let _ = door.await;
    }

    /// Connections are taken again, at the same address.
    pub async fn come_back(&mut self) {
        let listener = TcpListener::bind(self.at).await.unwrap();
        self.door = Some(open_door(listener, self.gate.clone()));
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap()
    }
}

fn open_door(listener: TcpListener, gate: Arc<Mutex<Gate>>) -> JoinHandle<()> {
    tokio::spawn(async move {
        // When the listener ends, its connections end.
        let mut inside = tokio::task::JoinSet::new();
        loop {
            let (client, _) = listener.accept().await.unwrap();
            inside.spawn(serve(client, gate.clone()));
        }
    })
}

/// One request on one connection.
async fn serve(mut client: TcpStream, gate: Arc<Mutex<Gate>>) {
    let Some((head, body)) = read(&mut client).await else { return };
    let fate = {
        let mut gate = gate.lock().unwrap();
        gate.requests += 1;
        gate.next.pop().unwrap_or(gate.fate)
    };
    let (url, words) = {
        let gate = gate.lock().unwrap();
        (gate.url.clone(), gate.words)
    };
    let (status, headers, answer) = match fate {
        Fate::Served => forward(&url, &head, body, None).await,
        Fate::Without(begin) => forward(&url, &head, body, Some(begin)).await,
        Fate::Late(time) => {
            tokio::time::sleep(time).await;
            forward(&url, &head, body, None).await
        }
        Fate::Error(status, code) => error(words, status, code),
        Fate::Silence => std::future::pending().await,
        Fate::Dropped => return,
    };
    let mut head =
        format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n", answer.len());
    for (name, value) in &headers {
        head += &format!("{name}: {}\r\n", value.to_str().unwrap());
    }
    head += "\r\n";
    // A client that has lost its patience is gone.
    let _ = client.write_all(&[head.as_bytes(), &answer].concat()).await;
}

/// Head and body of a request; `None` if the client goes before it is whole.
async fn read(client: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let split = |bytes: &[u8]| bytes.windows(4).position(|window| window == b"\r\n\r\n");
    loop {
        if let Some(at) = split(&bytes) {
            let head = String::from_utf8(bytes[..at].to_vec()).unwrap();
            let length: usize = header(&head, "content-length").parse().unwrap_or(0);
            if bytes.len() >= at + 4 + length {
                return Some((head, bytes[at + 4..].to_vec()));
            }
        }
        if client.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

fn header<'a>(head: &'a str, name: &str) -> &'a str {
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.filter(|(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, value)| value).next().unwrap_or_default()
}

/// Headers of the connection, which are not forwarded.
const OF_A_CONNECTION: [&str; 5] = ["host", "connection", "content-length", "transfer-encoding", "expect"];

type Answer = (u16, HeaderMap, Vec<u8>);

fn error(words: Words, status: u16, code: &str) -> Answer {
    let (kind, text) = match words {
        Words::Json => ("application/x-amz-json-1.1", json!({"__type": code, "message": code}).to_string()),
        Words::Xml => {
            ("application/xml", format!("<Error><Code>{code}</Code><Message>{code}</Message></Error>"))
        }
    };
    let headers = HeaderMap::from_iter([(reqwest::header::CONTENT_TYPE, HeaderValue::from_static(kind))]);
    (status, headers, text.into_bytes())
}

/// Forwards a request without the headers with this prefix, and returns the answer of the server.
async fn forward(url: &str, head: &str, body: Vec<u8>, without: Option<&str>) -> Answer {
    let mut lines = head.lines();
    let mut asked = lines.next().unwrap().split(' ');
    let (method, path) = (asked.next().unwrap(), asked.next().unwrap());
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        let name = name.to_lowercase();
        let is_left_out = without.is_some_and(|begin| name.starts_with(begin));
        if !is_left_out && !OF_A_CONNECTION.contains(&name.as_str()) {
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
    }
    let request = reqwest::Client::new().request(method.parse().unwrap(), format!("{url}{path}"));
    let answer = request.headers(headers).body(body).send().await.unwrap();
    let (status, mut headers) = (answer.status().as_u16(), answer.headers().clone());
    for name in OF_A_CONNECTION {
        headers.remove(name);
    }
    (status, headers, answer.bytes().await.unwrap().to_vec())
}

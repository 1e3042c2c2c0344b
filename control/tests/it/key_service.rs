//! A key service: the server of moto, which speaks the API of AWS KMS, and a gate before it that does what
//! the server cannot: disabled keys, throttling, silence, connections that break off or are refused.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const REGION: &str = "eu-central-1";

/// Serves on a free port, and ends when its standard input does: with the process of the tests, however that ends.
const SERVE: &str = "
import os, sys, threading
from moto.server import main
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
main(['-H', '127.0.0.1', '-p', '0'])
";

/// moto's server. One serves all tests: their keys are their own.
struct Server {
    _child: Child,
    url: String,
}

impl Server {
    fn of_this_run() -> &'static Self {
        static SERVER: OnceLock<Server> = OnceLock::new();
        SERVER.get_or_init(Self::start)
    }

    fn start() -> Self {
        let python = std::env::var_os("WARDGATE_TEST_PYTHON").expect(
            "WARDGATE_TEST_PYTHON is not set: it names a Python with tests/clients/python/requirements.txt",
        );
        let mut child = Command::new(python)
            .args(["-c", SERVE])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the Python of WARDGATE_TEST_PYTHON");
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut before = String::new();
        let url = said.by_ref().map_while(Result::ok).find_map(|line| {
            let url = line.split_once("Running on ").map(|(_, url)| url.trim().to_owned());
            before += &line;
            url
        });
        let url = url.unwrap_or_else(|| {
            panic!("moto (tests/clients/python/requirements.txt) does not serve: {before}")
        });
        // What it says of each request is read, or it would stop at a full pipe.
        std::thread::spawn(move || said.for_each(drop));
        Self { _child: child, url }
    }

    /// A call that goes past the gate.
    async fn call(&self, action: &str, body: Value) -> Value {
        // The region is the one of the signature, which is not verified.
        let scope = format!("AWS4-HMAC-SHA256 Credential=AKID/20260101/{REGION}/kms/aws4_request");
        let request = reqwest::Client::new()
            .post(&self.url)
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", format!("TrentService.{action}"))
            .header("authorization", scope);
        request.body(body.to_string()).send().await.unwrap().json().await.unwrap()
    }
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug)]
pub enum Fate {
    /// The server answers.
    Served,
    /// The server answers after this time.
    Late(Duration),
    /// This error of the API: status and code.
    Error(u16, &'static str),
    /// No answer, ever.
    Silence,
    /// The connection breaks off.
    Dropped,
}

struct Gate {
    fate: Fate,
    /// The next requests, before `fate` holds.
    next: Vec<Fate>,
    /// How many requests have come.
    requests: usize,
}

/// A key in the service, and the way to it.
pub struct KeyService {
    /// The ARN of the key.
    pub key: String,
    at: SocketAddr,
    gate: Arc<Mutex<Gate>>,
    door: Option<JoinHandle<()>>,
}

impl KeyService {
    /// With a key of its own.
    pub async fn start() -> Self {
        let server = tokio::task::spawn_blocking(Server::of_this_run).await.unwrap();
        let made = server.call("CreateKey", json!({})).await;
        let key = made["KeyMetadata"]["Arn"].as_str().unwrap().to_owned();
        let gate = Arc::new(Mutex::new(Gate { fate: Fate::Served, next: vec![], requests: 0 }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let door = Some(open_door(listener, gate.clone()));
        Self { key, at, gate, door }
    }

    /// What stored values name the key by.
    pub fn key_id(&self) -> &str {
        self.key.rsplit('/').next().unwrap()
    }

    /// The variables of a control that has its keys here.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        vec![
            ("WARDGATE_ENCRYPTION_KEK", String::new()),
            ("WARDGATE_ENCRYPTION_PROVIDER", "aws-kms".into()),
            ("WARDGATE_ENCRYPTION_KMS_KEY", self.key.clone()),
            ("WARDGATE_ENCRYPTION_KMS_ENDPOINT", format!("http://{}", self.at)),
            ("WARDGATE_ENCRYPTION_KMS_ACCESS_KEY_ID", "AKID".into()),
            ("WARDGATE_ENCRYPTION_KMS_SECRET_ACCESS_KEY", "s3cret".into()),
        ]
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
        // With the door, what came through it ends.
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
    let (status, answer) = match fate {
        Fate::Served => forward(&head, body).await,
        Fate::Late(time) => {
            tokio::time::sleep(time).await;
            forward(&head, body).await
        }
        Fate::Error(status, code) => {
            (status, json!({"__type": code, "message": code}).to_string().into_bytes())
        }
        Fate::Silence => std::future::pending().await,
        Fate::Dropped => return,
    };
    let head = format!(
        "HTTP/1.1 {status} x\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n",
        answer.len()
    );
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
            let length: usize = header(&head, "content-length").parse().unwrap();
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

async fn forward(head: &str, body: Vec<u8>) -> (u16, Vec<u8>) {
    let mut request = reqwest::Client::new().post(&Server::of_this_run().url).body(body);
    for name in ["content-type", "x-amz-target", "x-amz-date", "authorization"] {
        request = request.header(name, header(head, name));
    }
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.bytes().await.unwrap().to_vec())
}

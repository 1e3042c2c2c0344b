//! A CAPTCHA service on this machine, as Cloudflare documents `siteverify`, and what such a service does when it does not
//! work.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What the service knows the tenant by, with characters that a form has to escape.
pub const SECRET: &str = "0x4AAA/s3cret+&=%";
/// The key of its widget.
pub const SITE_KEY: &str = "0x4AAAAAAADnPIDROrmt1Wwj";
/// Tokens that begin so are solved.
pub const SOLVED: &str = "solved-";

/// How the service behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Manner {
    /// As documented.
    Honest,
    /// As documented, after a while.
    Slow(Duration),
    /// It takes the question and says nothing.
    Silent,
    /// It begins an answer and stops in the middle of it.
    Stalls,
    /// An answer of this status that is no JSON.
    Rubbish(u16),
    /// It sends the client elsewhere.
    Redirects(String),
    /// An answer that does not end.
    Endless,
    /// It closes the connection.
    Hangs,
}

struct Service {
    manner: Manner,
    asked: Vec<BTreeMap<String, String>>,
    used: HashSet<String>,
}

/// The service. It ends with the test.
pub struct Siteverify {
    url: String,
    service: Arc<Mutex<Service>>,
}

impl Siteverify {
    /// Starts one.
    ///
    /// # Panics
    /// Where no port can be had.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port for the CAPTCHA service");
        let url = format!("http://{}/siteverify", listener.local_addr().expect("its address"));
        let service = Service { manner: Manner::Honest, asked: Vec::new(), used: HashSet::new() };
        let service = Arc::new(Mutex::new(service));
        let serving = service.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let service = serving.clone();
                // A client that goes away in the middle is what this is for.
                tokio::spawn(async move { serve(client, &service).await.ok() });
            }
        });
        Self { url, service }
    }

    /// Where it is asked.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Behaves so from now on.
    pub fn behave(&self, manner: Manner) {
        lock(&self.service).manner = manner;
    }

    /// What it was asked so far: the fields of each form.
    #[must_use]
    pub fn asked(&self) -> Vec<BTreeMap<String, String>> {
        lock(&self.service).asked.clone()
    }
}

fn lock(service: &Mutex<Service>) -> MutexGuard<'_, Service> {
    service.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Service {
    fn answer(&mut self, form: &BTreeMap<String, String>) -> Value {
        let refused = |code: &str| json!({"success": false, "error-codes": [code]});
        let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        if field("secret") != SECRET {
            return refused("invalid-input-secret");
        }
        if !field("response").starts_with(SOLVED) {
            return refused("invalid-input-response");
        }
        if !self.used.insert(field("response").to_owned()) {
            return refused("timeout-or-duplicate");
        }
        let at = chrono::DateTime::from_timestamp(i64::try_from(crate::clock::now_secs()).unwrap_or(0), 0);
        json!({
            "success": true, "challenge_ts": at.unwrap_or_default().to_rfc3339(), "hostname": "app.acme.test",
            "error-codes": [], "action": "login", "cdata": "",
        })
    }
}

async fn serve(mut client: TcpStream, service: &Mutex<Service>) -> std::io::Result<()> {
    let form = read_form(&mut client).await?;
    let (manner, answer) = {
        let mut service = lock(service);
        service.asked.push(form.clone());
        (service.manner.clone(), service.answer(&form).to_string())
    };
    let head = |status: &str, more: &str, length: usize| {
        format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{more}\r\n")
    };
    let json = "content-type: application/json\r\n";
    match manner {
        Manner::Honest => {}
        Manner::Slow(time) => tokio::time::sleep(time).await,
        Manner::Silent => std::future::pending().await,
        Manner::Stalls => {
            client.write_all((head("200 OK", json, answer.len()) + "{\"success\":true").as_bytes()).await?;
            client.flush().await?;
            std::future::pending().await
        }
        Manner::Rubbish(status) => {
            let body = "<html>It is not here.</html>";
            let head = head(&format!("{status} Rubbish"), "content-type: text/html\r\n", body.len());
            return client.write_all((head + body).as_bytes()).await;
        }
        Manner::Redirects(to) => {
            let head = head("307 Temporary Redirect", &format!("location: {to}\r\n"), 0);
            return client.write_all(head.as_bytes()).await;
        }
        Manner::Endless => {
            client
                .write_all(format!("HTTP/1.1 200 OK\r\nconnection: close\r\n{json}\r\n").as_bytes())
                .await?;
            loop {
                client.write_all(&[b' '; 4096]).await?;
            }
        }
        Manner::Hangs => return Ok(()),
    }
    client.write_all((head("200 OK", json, answer.len()) + &answer).as_bytes()).await
}

/// The fields of a request: a form as the URL Standard has it, or nothing is read.
async fn read_form(client: &mut TcpStream) -> std::io::Result<BTreeMap<String, String>> {
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
    let value = |name: &str| head.lines().find_map(|line| line.strip_prefix(name).map(str::trim));
    let length = value("content-length:").and_then(|length| length.parse::<usize>().ok()).unwrap_or(0);
    let is_form = head.starts_with("post /siteverify ")
        && value("content-type:") == Some("application/x-www-form-urlencoded");
    while bytes.len() < head_end + length {
        if client.read_buf(&mut bytes).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    let body = if is_form { &bytes[head_end..] } else { &[][..] };
    Ok(form_urlencoded::parse(body).into_owned().collect())
}

//! nginx, Traefik and Envoy before an application, configured as `docs/gateways.md` says; the wire between
//! them and the edge; the application.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;

use crate::actors::Tenant;
use crate::http::{Http, Reply};
use crate::process::{Process, Talk};
use crate::{environment, stack, wait};

/// The guide, whose configurations are what is run here.
const GUIDE: &str = include_str!("../../../docs/gateways.md");
/// The application's public name in the guide.
const APPLICATION_HOST: &str = "app.example.com";
/// The tenant's own host in the guide.
const TENANT_HOST: &str = "id.acme.example";

/// Which program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// With `auth_request`.
    Nginx,
    /// With `ForwardAuth`.
    Traefik,
    /// With `ext_authz`. Its package has no build for every macOS.
    #[cfg(target_os = "linux")]
    Envoy,
}

/// Those that run here.
pub const KINDS: &[Kind] = &[
    Kind::Nginx,
    Kind::Traefik,
    #[cfg(target_os = "linux")]
    Kind::Envoy,
];

/// A running gateway.
pub struct Gateway {
    http: Http,
    process: Process,
    _folder: TempDir,
}

impl Gateway {
    /// Starts one before `application` that asks over `wire` about `tenant`, whose own host is `tenant_host`,
    /// and waits until it answers.
    ///
    /// # Panics
    /// Where it ends instead.
    pub async fn start(
        kind: Kind,
        wire: &Wire,
        application: &Application,
        tenant: &Tenant<'_>,
        tenant_host: &str,
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the gateway");
        let port = stack::free_port();
        let addresses = Addresses {
            port,
            wire: wire.address,
            application: application.address,
            slug: &tenant.slug,
            tenant_host,
        };
        let command = match kind {
            Kind::Nginx => nginx(folder.path(), &addresses),
            Kind::Traefik => traefik(folder.path(), &addresses),
            #[cfg(target_os = "linux")]
            Kind::Envoy => envoy(folder.path(), &addresses),
        };
        let process = Process::start(&format!("{kind:?}").to_lowercase(), command, Talk::No);
        let http = Http::new(format!("http://127.0.0.1:{port}"));
        let mut gateway = Self { http, process, _folder: folder };
        wait::until("the gateway to answer", async || {
            let ended = gateway.process.ended();
            assert!(ended.is_none(), "{kind:?} ended:\n{}", gateway.process.log_tail());
            let answer = Reply::try_to(gateway.request(Method::GET, "/ready")).await;
            answer.is_ok_and(|reply| reply.status == 401).then_some(())
        })
        .await;
        gateway
    }

    /// A request to the application's public name.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, path).header("host", APPLICATION_HOST)
    }

    /// `GET` by Bearer.
    pub async fn get_as(&self, token: &str, path: &str) -> Reply {
        Reply::to(self.request(Method::GET, path).bearer_auth(token)).await
    }
}

/// Replacements of the addresses in the guide.
struct Addresses<'a> {
    port: u16,
    wire: SocketAddr,
    application: SocketAddr,
    slug: &'a str,
    tenant_host: &'a str,
}

impl Addresses<'_> {
    /// A configuration of the guide with the addresses of this test in it, each of which it must name.
    fn set(&self, configuration: &str, more: &[(&str, String)]) -> String {
        let mut set = configuration.to_owned();
        let host = (TENANT_HOST, self.tenant_host.to_owned());
        for (text, put) in more.iter().chain([&host]) {
            assert!(set.contains(text), "the guide says nothing of {text}");
            set = set.replace(text, put);
        }
        set
    }
}

/// The first block of the guide after a heading.
fn block(heading: &str, language: &str) -> &'static str {
    let section = GUIDE.split_once(&format!("\n## {heading}\n")).expect("a section").1;
    let block = section.split_once(&format!("\n```{language}\n")).expect("a block").1;
    block.split_once("\n```").expect("its end").0
}

fn write(folder: &Path, name: &str, text: &str) -> std::path::PathBuf {
    let file = folder.join(name);
    std::fs::write(&file, text).expect("a configuration");
    file
}

fn nginx(folder: &Path, addresses: &Addresses<'_>) -> Command {
    let server = addresses.set(
        block("nginx", "nginx"),
        &[
            ("server id.acme.example:443;", format!("server {};", addresses.wire)),
            ("listen 8080;", format!("listen 127.0.0.1:{};", addresses.port)),
            ("proxy_pass https://wardgate", "proxy_pass http://wardgate".to_owned()),
            ("http://127.0.0.1:9000", format!("http://{}", addresses.application)),
        ],
    );
    // Alone, in the foreground, and with everything that it writes in its own folder.
    let kept = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let kept = kept.map(|what| format!("{what}_temp_path {what};\n")).concat();
    let around = "daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log stderr;\nevents {}\n";
    write(folder, "nginx.conf", &format!("{around}http {{\naccess_log off;\n{kept}{server}\n}}\n"));
    let mut command = environment::nginx();
    command.arg("-p").arg(folder).args(["-c", "nginx.conf", "-e", "stderr"]);
    command
}

fn traefik(folder: &Path, addresses: &Addresses<'_>) -> Command {
    // Go resolves no name under localhost: the tenant stands in the path.
    let middleware = block("Traefik", "yaml");
    let address = format!("http://{}/t/{}/", addresses.wire, addresses.slug);
    let middleware = middleware.replace("https://id.acme.example/", &address);
    assert!(middleware.contains(&address));
    let middleware =
        middleware.replace("http://127.0.0.1:9000", &format!("http://{}", addresses.application));
    let file = write(folder, "dynamic.yaml", &middleware);
    assert!(GUIDE.contains("http.aliasHeadersStrategy=delete"));
    let mut command = environment::packaged("traefik");
    command.arg(format!("--entryPoints.web.address=127.0.0.1:{}", addresses.port));
    command.arg("--entryPoints.web.http.aliasHeadersStrategy=delete");
    command.arg(format!("--providers.file.filename={}", file.display()));
    command.args(["--global.checkNewVersion=false", "--global.sendAnonymousUsage=false"]);
    command.current_dir(folder);
    command
}

#[cfg(target_os = "linux")]
fn envoy(folder: &Path, addresses: &Addresses<'_>) -> Command {
    let (without_tls, _) =
        block("Envoy", "yaml").split_once("\n      transport_socket:").expect("TLS at the end");
    let wire = format!("address: {}, port_value: {}", addresses.wire.ip(), addresses.wire.port());
    let configuration = addresses.set(
        without_tls,
        &[
            (
                "address: 0.0.0.0, port_value: 8080",
                format!("address: 127.0.0.1, port_value: {}", addresses.port),
            ),
            ("port_value: 9001", format!("port_value: {}", stack::free_port())),
            ("port_value: 9000", format!("port_value: {}", addresses.application.port())),
            ("address: id.acme.example, port_value: 443", wire),
        ],
    );
    let file = write(folder, "envoy.yaml", &configuration);
    let mut command = environment::packaged("envoy");
    command.arg("-c").arg(file).args(["--use-dynamic-base-id", "--concurrency", "1", "-l", "warning"]);
    command.current_dir(folder);
    command
}

/// What the proxy does with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Carries it to the edge.
    Passes,
    /// Answers in the edge's place.
    IsAnswered(&'static str),
    /// Takes no connection.
    IsCut,
}

/// The wire between a gateway and the edge, on which connections are counted.
pub struct Wire {
    /// Where the gateway finds the edge.
    pub address: SocketAddr,
    state: Arc<WireState>,
}

struct WireState {
    connections: AtomicUsize,
    fate: Mutex<Fate>,
    carried: Mutex<Vec<tokio::task::AbortHandle>>,
}

impl Wire {
    /// A wire to the edge at `url`.
    ///
    /// # Panics
    /// Where no port can be had.
    pub async fn to(url: &str) -> Self {
        let edge = url.strip_prefix("http://").expect("an address without TLS").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port for the wire");
        let address = listener.local_addr().expect("its address");
        let state = Arc::new(WireState {
            connections: AtomicUsize::new(0),
            fate: Mutex::new(Fate::Passes),
            carried: Mutex::default(),
        });
        let carrier = state.clone();
        tokio::spawn(async move {
            while let Ok((gateway, _)) = listener.accept().await {
                carrier.connections.fetch_add(1, Ordering::Relaxed);
                let (fate, edge) = (carrier.fate.lock().await.clone(), edge.clone());
                let task = tokio::spawn(async move { carry(gateway, &edge, fate).await.ok() });
                carrier.carried.lock().await.push(task.abort_handle());
            }
        });
        Self { address, state }
    }

    /// Connections that were opened until now.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::Relaxed)
    }

    /// Sets what happens from now on. Open connections are closed.
    pub async fn decide(&self, fate: Fate) {
        *self.state.fate.lock().await = fate;
        for task in self.state.carried.lock().await.drain(..) {
            task.abort();
        }
    }
}

async fn carry(mut gateway: TcpStream, edge: &str, fate: Fate) -> std::io::Result<()> {
    match fate {
        Fate::Passes => {
            let mut edge = TcpStream::connect(edge).await?;
            tokio::io::copy_bidirectional(&mut gateway, &mut edge).await.map(|_| ())
        }
        Fate::IsAnswered(answer) => {
            // The whole question first: a connection that closes over unread bytes is reset.
            let mut question = BufReader::new(&mut gateway);
            while head_line(&mut question).await?.is_some() {}
            gateway.write_all(answer.as_bytes()).await?;
            gateway.shutdown().await
        }
        Fate::IsCut => Ok(()),
    }
}

/// The next line of a head; none at its end, or where the connection ends.
async fn head_line(input: &mut (impl tokio::io::AsyncBufRead + Unpin)) -> std::io::Result<Option<String>> {
    let mut line = String::new();
    input.read_line(&mut line).await?;
    let line = line.trim_end();
    Ok((!line.is_empty()).then(|| line.to_owned()))
}

/// An application that has no idea of tokens: it says back what reached it.
pub struct Application {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
}

impl Application {
    /// Starts one.
    ///
    /// # Panics
    /// Where no port can be had.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port for the application");
        let address = listener.local_addr().expect("its address");
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = requests.clone();
        tokio::spawn(async move {
            while let Ok((gateway, _)) = listener.accept().await {
                let counted = counted.clone();
                tokio::spawn(async move { say_back(gateway, &counted).await.ok() });
            }
        });
        Self { address, requests }
    }

    /// Requests that reached it until now.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

/// Answers every request of a connection with `{"method", "path", "headers": [[name, value]], "body"}`.
async fn say_back(mut gateway: TcpStream, requests: &AtomicUsize) -> std::io::Result<()> {
    let (input, mut output) = gateway.split();
    let mut input = BufReader::new(input);
    while let Some(first) = head_line(&mut input).await? {
        let mut words = first.split(' ');
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let mut headers = Vec::new();
        while let Some(line) = head_line(&mut input).await? {
            let (name, value) = line.split_once(':').unwrap_or((&line, ""));
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        let length = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        let mut body = vec![0; length.and_then(|(_, length)| length.parse().ok()).unwrap_or(0)];
        input.read_exact(&mut body).await?;
        requests.fetch_add(1, Ordering::Relaxed);
        let body = String::from_utf8_lossy(&body);
        let said = json!({"method": method, "path": path, "headers": headers, "body": body}).to_string();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            said.len()
        );
        output.write_all(head.as_bytes()).await?;
        if method != "HEAD" {
            output.write_all(said.as_bytes()).await?;
        }
    }
    Ok(())
}

/// Every header that reached the application and that it could take for one of `X-Auth-*`, under the name
/// that CGI, WSGI and PHP give it.
///
/// # Panics
/// Where the application did not answer.
#[must_use]
pub fn identity(reply: &Reply) -> Vec<(String, String)> {
    let said = reply.json();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let headers = said["headers"].as_array().expect("headers").iter();
    let named = headers.map(|header| {
        let folded: String =
            text(&header[0]).chars().map(|char| if char.is_alphanumeric() { char } else { '_' }).collect();
        (folded.to_uppercase(), text(&header[1]))
    });
    let mut identity: Vec<_> = named.filter(|(name, _)| name.starts_with("X_AUTH_")).collect();
    identity.sort();
    identity
}

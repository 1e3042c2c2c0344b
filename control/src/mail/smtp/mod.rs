//! One delivery: connect, TLS, authenticate, send. Each step is bounded in time, and the server's answers in size.
//!
//! Each mail has a connection of its own. The library lettre implements SMTP; the stream is made here, so that the
//! connection goes to the address that was checked and every read is bounded. The library's log of a session would
//! hold the password and the link of the mail, so its feature `tracing` stays off.

mod outcome;
mod reach;
mod stream;

pub use outcome::{Answer, Taken, Undelivered};
pub use reach::is_inside;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lettre::address::Envelope;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use rustls::ClientConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use rustls_platform_verifier::Verifier;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use self::outcome::Stage;
use self::stream::Bounded;
use crate::failure::Failure;
use crate::settings::{Mail, MailTls};

/// A server that takes mail. No `Debug`: it holds a password.
#[derive(Clone)]
pub struct Server {
    /// A name or an address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is encrypted.
    pub tls: MailTls,
    /// User name and password.
    pub credentials: Option<(String, Zeroizing<String>)>,
    /// Whether it is a tenant's, which reaches nothing inside.
    pub of_tenant: bool,
    /// The name of the `EHLO` command.
    pub hello: String,
}

/// Delivers. Cheap to clone.
#[derive(Clone)]
pub struct Smtp {
    inner: Arc<Inner>,
}

struct Inner {
    /// Certificates that are trusted beside the platform's.
    extra: Vec<CertificateDer<'static>>,
    extra_pem: Vec<u8>,
    /// Hosts inside that tenants' servers may be.
    allowed: Vec<String>,
    connect: Duration,
    step: Duration,
    whole: Duration,
}

impl Smtp {
    /// By the settings. Nothing is connected yet.
    ///
    /// # Errors
    /// For a file of certificates that cannot be read.
    pub fn of(settings: &Mail) -> Result<Self, Failure> {
        let (extra, extra_pem) = match &settings.ca_file {
            Some(path) => certificates(path)?,
            None => (Vec::new(), Vec::new()),
        };
        let whole = Duration::from_secs(settings.timeout_secs);
        // Every server has answered long before half of the time; what is left is for the steps that follow.
        let step = whole / 2;
        let connect = step.min(Duration::from_secs(10));
        let allowed = settings.inside_hosts.0.clone();
        Ok(Self { inner: Arc::new(Inner { extra, extra_pem, allowed, connect, step, whole }) })
    }

    /// Whether a tenant's server may have this host name. Its addresses are checked at each connection.
    #[must_use]
    pub fn allows(&self, host: &str) -> bool {
        let is_inside_itself = host.parse().is_ok_and(is_inside) || host.eq_ignore_ascii_case("localhost");
        self.is_listed(host) || !is_inside_itself
    }

    /// Whether the settings let tenants use this host wherever it is.
    #[must_use]
    pub fn is_listed(&self, host: &str) -> bool {
        self.inner.allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(host))
    }

    /// Hands a message to a server.
    ///
    /// # Errors
    /// See [`Undelivered`].
    pub async fn deliver(
        &self,
        server: &Server,
        envelope: &Envelope,
        message: &[u8],
    ) -> Result<Taken, Undelivered> {
        match tokio::time::timeout(self.inner.whole, self.session(server, envelope, message)).await {
            Ok(done) => done,
            Err(_) => Err(Undelivered::later("the delivery took too long")),
        }
    }

    async fn session(
        &self,
        server: &Server,
        envelope: &Envelope,
        message: &[u8],
    ) -> Result<Taken, Undelivered> {
        let hello = ClientId::Domain(server.hello.clone());
        let address = self.address(server).await?;
        let stream = self.connect(address).await?;
        let mut connection = match server.tls {
            MailTls::Implicit => {
                let stream = self.step(Stage::Tls, self.encrypt(&server.host, stream)).await?;
                self.hello(Bounded::new(stream, address), &hello, envelope).await?
            }
            MailTls::Starttls | MailTls::None => {
                self.hello(Bounded::new(stream, address), &hello, envelope).await?
            }
        };
        if server.tls == MailTls::Starttls {
            let parameters = self.parameters(&server.host)?;
            self.smtp((Stage::Tls, envelope), connection.starttls(parameters, &hello)).await?;
        }
        if let Some((user, password)) = &server.credentials {
            let credentials = Credentials::new(user.clone(), password.as_str().to_owned());
            let mechanisms = [Mechanism::Plain, Mechanism::Login];
            self.smtp((Stage::SignIn, envelope), connection.auth(&mechanisms, &credentials)).await?;
        }
        let reply = self.smtp((Stage::Message, envelope), connection.send(envelope, message)).await?;
        // The server has accepted the message; an error of the connection no longer matters.
        let _ = tokio::time::timeout(self.inner.connect, connection.quit()).await;
        Ok(Taken::of(&reply, envelope))
    }

    /// Where the server is. The address that was judged is the one that is connected to: a name may mean another one the
    /// next moment.
    async fn address(&self, server: &Server) -> Result<SocketAddr, Undelivered> {
        let resolve = tokio::net::lookup_host((server.host.as_str(), server.port));
        let found = tokio::time::timeout(self.inner.connect, resolve).await;
        let found = found.map_err(|_| Undelivered::later("the server's name was not resolved in time"))?;
        let found = found.map_err(|_| Undelivered::later("the server's name is not resolved"))?;
        let is_free = !server.of_tenant || self.is_listed(&server.host);
        let may = |address: &SocketAddr| is_free || !is_inside(address.ip());
        let address = found.into_iter().find(may);
        let address =
            address.ok_or(Undelivered::later("the server has no address that tenants may reach"))?;
        if server.tls == MailTls::None && !is_this_machine(address.ip()) {
            return Err(Undelivered::later("mail leaves this machine only encrypted"));
        }
        Ok(address)
    }

    async fn connect(&self, address: SocketAddr) -> Result<TcpStream, Undelivered> {
        match tokio::time::timeout(self.inner.connect, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => {
                Err(Undelivered::Later(format!("the server cannot be reached: {}", error.kind())))
            }
            Err(_) => Err(Undelivered::later("the server cannot be reached: timed out")),
        }
    }

    async fn encrypt(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Undelivered> {
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|_| Undelivered::later("no certificate can be for the server's name"))?;
        let connected = TlsConnector::from(self.config()?).connect(name, stream).await;
        connected.map_err(|error| Undelivered::of_tls(&error))
    }

    fn config(&self) -> Result<Arc<ClientConfig>, Undelivered> {
        let failed = |_| Undelivered::later("TLS cannot be set up");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = Verifier::new_with_extra_roots(self.inner.extra.iter().cloned(), provider.clone());
        let verifier = Arc::new(verifier.map_err(failed)?);
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(failed)?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        Ok(Arc::new(config))
    }

    /// The TLS parameters in the library's form, for STARTTLS.
    fn parameters(&self, host: &str) -> Result<TlsParameters, Undelivered> {
        let failed = |_| Undelivered::later("TLS cannot be set up");
        let mut parameters = TlsParameters::builder(host.to_owned());
        if !self.inner.extra_pem.is_empty() {
            let extra = Certificate::from_pem(&self.inner.extra_pem).map_err(failed)?;
            parameters = parameters.add_root_certificate(extra);
        }
        parameters.build_rustls().map_err(failed)
    }

    async fn hello<S>(
        &self,
        stream: Bounded<S>,
        hello: &ClientId,
        envelope: &Envelope,
    ) -> Result<AsyncSmtpConnection, Undelivered>
    where
        Bounded<S>: lettre::transport::smtp::client::AsyncTokioStream,
        S: 'static,
    {
        let greeted = AsyncSmtpConnection::connect_with_transport(Box::new(stream), hello);
        self.smtp((Stage::Greeting, envelope), greeted).await
    }

    async fn smtp<T>(
        &self,
        (stage, envelope): (Stage, &Envelope),
        work: impl Future<Output = Result<T, lettre::transport::smtp::Error>>,
    ) -> Result<T, Undelivered> {
        let work = async { work.await.map_err(|error| Undelivered::of(stage, &error, envelope)) };
        self.step(stage, work).await
    }

    async fn step<T>(
        &self,
        stage: Stage,
        work: impl Future<Output = Result<T, Undelivered>>,
    ) -> Result<T, Undelivered> {
        match tokio::time::timeout(self.inner.step, work).await {
            Ok(done) => done,
            Err(_) => Err(Undelivered::Later(format!("the server did not answer in time {}", stage.words()))),
        }
    }
}

/// This machine, whatever form its address has.
fn is_this_machine(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

fn certificates(path: &Path) -> Result<(Vec<CertificateDer<'static>>, Vec<u8>), Failure> {
    let why = |what: &dyn std::fmt::Display| {
        Failure::Schema(format!("WARDGATE_MAIL_CA_FILE: {}: {what}", path.display()))
    };
    let pem = std::fs::read(path).map_err(|error: io::Error| why(&error))?;
    let parsed = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let parsed = parsed.map_err(|_| why(&"expected certificates in PEM"))?;
    if parsed.is_empty() {
        return Err(why(&"it has no certificate in PEM"));
    }
    Ok((parsed, pem))
}

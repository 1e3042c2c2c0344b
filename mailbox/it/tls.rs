//! Encrypted connections, with a client that checks the certificate.

use std::sync::Arc;

use mailbox::{Mailbox, Options, Tls};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::client::{Client, Io, MESSAGE};

/// The handshake of a client that trusts this authority and expects this name.
async fn secured(stream: impl Io + 'static, authority: &str, name: &'static str) -> std::io::Result<Client> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(name).unwrap();
    Ok(Client::over(TlsConnector::from(Arc::new(config)).connect(name, stream).await?))
}

async fn tcp(mailbox: &Mailbox) -> TcpStream {
    TcpStream::connect(("127.0.0.1", mailbox.port())).await.unwrap()
}

#[tokio::test]
async fn implicit_tls_is_verified_by_name_and_authority() {
    let options = Options { tls: Tls::Implicit, ..Options::default() };
    let mailbox = Mailbox::with(options.clone()).await.unwrap();
    for name in ["localhost", "127.0.0.1"] {
        let mut client = secured(tcp(&mailbox).await, mailbox.authority(), name).await.unwrap();
        assert!(client.reply().await.starts_with("220 "));
        assert!(!client.say("EHLO test").await.contains("STARTTLS"));
        assert!(client.mail(MESSAGE).await.starts_with("250 "));
    }
    assert!(mailbox.received().iter().all(|mail| mail.tls));
    assert!(secured(tcp(&mailbox).await, mailbox.authority(), "mail.test").await.is_err(), "another name");
    let other = Mailbox::with(options).await.unwrap();
    assert!(secured(tcp(&mailbox).await, other.authority(), "localhost").await.is_err(), "another authority");
    let names = vec!["mail.test".to_owned()];
    let named = Mailbox::with(Options { tls: Tls::Implicit, names, ..Options::default() }).await.unwrap();
    secured(tcp(&named).await, named.authority(), "mail.test").await.unwrap();
}

#[tokio::test]
async fn starttls_begins_the_dialogue_anew() {
    let mailbox = Mailbox::with(Options { tls: Tls::Start, ..Options::default() }).await.unwrap();
    let mut client = Client::connect(mailbox.port()).await;
    assert!(client.say("EHLO test").await.contains("STARTTLS"));
    client.expect("MAIL FROM:<a@b.test>", "250 ").await;
    client.expect("STARTTLS", "220 ").await;
    let mut client = secured(client.into_inner(), mailbox.authority(), "localhost").await.unwrap();
    client.expect("RCPT TO:<a@b.test>", "503 ").await;
    client.expect("STARTTLS", "502 ").await;
    client.expect("MAIL FROM:<a@b.test>", "503 ").await;
    assert!(client.mail(MESSAGE).await.starts_with("250 "));
    // In clear it is still served, for clients that must not use that.
    assert!(Client::connect(mailbox.port()).await.mail(MESSAGE).await.starts_with("250 "));
    let tls: Vec<_> = mailbox.received().iter().map(|mail| mail.tls).collect();
    assert_eq!(tls, [true, false]);
}

/// Data that is sent in clear after STARTTLS must not count as sent by TLS (CVE-2011-0411).
#[tokio::test]
async fn what_was_sent_ahead_in_clear_is_forgotten() {
    let mailbox = Mailbox::with(Options { tls: Tls::Start, ..Options::default() }).await.unwrap();
    let mut client = Client::connect(mailbox.port()).await;
    client.expect("EHLO test", "250-").await;
    client.send("STARTTLS\r\nEHLO evil\r\nMAIL FROM:<evil@b.test>\r\n").await;
    assert!(client.reply().await.starts_with("220 "));
    let mut client = secured(client.into_inner(), mailbox.authority(), "localhost").await.unwrap();
    client.expect("EHLO test", "250-").await;
    client.expect("MAIL FROM:<a@b.test>", "250 ").await;
}

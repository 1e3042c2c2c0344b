//! A client of SMTP that says each line as the test has it.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufStream};
use tokio::net::TcpStream;

/// How long a reply may take, on a machine that may be busy.
const TIMEOUT: Duration = Duration::from_secs(60);

pub const MESSAGE: &str =
    "From: Acme <no-reply@acme.test>\r\nTo: ada@acme.test\r\nSubject: Hello\r\n\r\nHi.\r\n";

pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

pub struct Client {
    stream: BufStream<Box<dyn Io>>,
}

impl Client {
    /// Connects and reads the greeting.
    pub async fn connect(port: u16) -> Self {
        let mut client = Self::open(port).await;
        assert!(client.reply().await.starts_with("220 "));
        client
    }

    pub async fn open(port: u16) -> Self {
        Self::over(TcpStream::connect(("127.0.0.1", port)).await.unwrap())
    }

    pub fn over(stream: impl Io + 'static) -> Self {
        Self { stream: BufStream::new(Box::new(stream)) }
    }

    #[cfg(feature = "tls")]
    pub fn into_inner(self) -> Box<dyn Io> {
        self.stream.into_inner()
    }

    /// A reply whole, also of several lines; empty where the server has closed.
    pub async fn reply(&mut self) -> String {
        let mut all = String::new();
        loop {
            let mut line = String::new();
            // A connection that was cut hard has said no more than one that was closed.
            let read =
                tokio::time::timeout(TIMEOUT, self.stream.read_line(&mut line)).await.expect("a reply");
            all += &line;
            if read.unwrap_or_default() == 0 || line.as_bytes().get(3) != Some(&b'-') {
                return all;
            }
        }
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// A command and its reply.
    pub async fn say(&mut self, command: &str) -> String {
        self.send(format!("{command}\r\n")).await;
        self.reply().await
    }

    /// A command whose reply has to begin in this way.
    #[track_caller]
    pub fn expect(&mut self, command: &str, begins: &str) -> impl Future<Output = ()> {
        let at = std::panic::Location::caller();
        async move {
            let reply = self.say(command).await;
            assert!(reply.starts_with(begins), "{command}: {reply} ({at})");
        }
    }

    /// Everything up to the message.
    pub async fn up_to_data(&mut self) {
        self.expect("EHLO test", "250-").await;
        self.expect("MAIL FROM:<no-reply@acme.test>", "250 ").await;
        self.expect("RCPT TO:<ada@acme.test>", "250 ").await;
        self.expect("DATA", "354 ").await;
    }

    /// A whole mail and the reply to it.
    pub async fn mail(&mut self, message: &str) -> String {
        self.up_to_data().await;
        self.send(format!("{message}.\r\n")).await;
        self.reply().await
    }
}

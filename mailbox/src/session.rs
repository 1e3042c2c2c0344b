//! One connection's dialogue (RFC 5321). Commands and the end of a message are parsed by a library; here is
//! what is answered, and where a fault strikes.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use smtp_proto::request::receiver::DataReceiver;
use smtp_proto::{
    AUTH_LOGIN, AUTH_PLAIN, EXT_8BIT_MIME, EXT_AUTH, EXT_ENHANCED_STATUS_CODES, EXT_PIPELINING, EXT_SIZE,
    EXT_SMTP_UTF8, EXT_START_TLS, EhloResponse, Error, Request,
};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};

use crate::fault::{Fault, Step};
use crate::received::Received;
use crate::server::{Shared, Tls};
use crate::stream::Stream;

const NAME: &str = "mailbox.localhost";
/// RFC 5321 (4.5.3.1.4) asks for 512 and what extensions add.
const LINE_BYTES: u64 = 4096;
/// Longest message, in bytes.
const MESSAGE_BYTES: usize = 32 << 20;

/// What follows a command.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Command,
    Handshake,
    End,
}

#[derive(Default)]
struct Envelope {
    from: String,
    to: Vec<String>,
}

struct Session<'a> {
    stream: BufStream<Stream>,
    shared: &'a Shared,
    tls: bool,
    user: Option<String>,
    greeted: bool,
    envelope: Option<Envelope>,
}

/// Holds the dialogue to its end.
pub(crate) async fn hold(stream: Stream, shared: &Shared) -> io::Result<()> {
    let implicit = shared.options.tls == Tls::Implicit;
    let stream = if implicit { handshake(stream, shared).await? } else { stream };
    let mut session = Session::new(stream, shared, implicit);
    let mut next = session.greet().await?;
    loop {
        next = match next {
            Next::Command => session.command().await?,
            Next::Handshake => {
                // Whatever was read ahead came in clear and is not to be believed (RFC 3207, 5).
                let stream = handshake(session.stream.into_inner(), shared).await?;
                session = Session::new(stream, shared, true);
                Next::Command
            }
            Next::End => return session.stream.shutdown().await,
        };
    }
}

async fn handshake(stream: Stream, shared: &Shared) -> io::Result<Stream> {
    #[cfg(feature = "tls")]
    if let Some(identity) = &shared.identity {
        return identity.accept(stream).await;
    }
    let _ = (stream, shared);
    Err(io::Error::other("no certificate"))
}

impl<'a> Session<'a> {
    fn new(stream: Stream, shared: &'a Shared, tls: bool) -> Self {
        Self { stream: BufStream::new(stream), shared, tls, user: None, greeted: false, envelope: None }
    }

    async fn greet(&mut self) -> io::Result<Next> {
        if let Some(next) = self.strike(Step::Connect).await? {
            // Only QUIT is left to a client that was refused here (RFC 5321, 3.1).
            return Ok(next);
        }
        self.reply(220, &format!("{NAME} ESMTP; keeps everything, sends nothing on")).await
    }

    async fn command(&mut self) -> io::Result<Next> {
        let Some(line) = self.line().await? else { return Ok(Next::End) };
        let request = match Request::parse(&mut line.iter()) {
            Ok(request) => request.into_owned(),
            Err(Error::UnknownCommand) => return self.reply(500, "5.5.1 Unknown command").await,
            Err(error) => return self.reply(501, &format!("5.5.2 {error}")).await,
        };
        match request {
            Request::Ehlo { .. } => self.hello(true).await,
            Request::Helo { .. } => self.hello(false).await,
            Request::StartTls => self.start_tls().await,
            Request::Auth { mechanism, initial_response } => self.auth(mechanism, initial_response).await,
            Request::Mail { from } => self.mail(from.address).await,
            Request::Rcpt { to } => self.recipient(to.address).await,
            Request::Data => self.data().await,
            Request::Rset => {
                self.envelope = None;
                self.reply(250, "2.0.0 OK").await
            }
            Request::Noop { .. } => self.reply(250, "2.0.0 OK").await,
            Request::Quit => {
                self.reply(221, "2.0.0 Bye").await?;
                Ok(Next::End)
            }
            _ => self.reply(502, "5.5.1 Not implemented").await,
        }
    }

    async fn hello(&mut self, extended: bool) -> io::Result<Next> {
        if let Some(next) = self.strike(Step::Hello).await? {
            return Ok(next);
        }
        (self.greeted, self.envelope) = (true, None);
        if !extended {
            return self.reply(250, NAME).await;
        }
        let options = &self.shared.options;
        let mut answer = EhloResponse::new(NAME);
        answer.size = MESSAGE_BYTES;
        answer.auth_mechanisms = AUTH_PLAIN | AUTH_LOGIN;
        answer.capabilities = EXT_8BIT_MIME | EXT_ENHANCED_STATUS_CODES | EXT_PIPELINING | EXT_SIZE;
        let offered = [
            (options.utf8, EXT_SMTP_UTF8),
            (options.tls == Tls::Start && !self.tls, EXT_START_TLS),
            (options.credentials.is_some(), EXT_AUTH),
        ];
        for (offered, capability) in offered {
            answer.capabilities |= if offered { capability } else { 0 };
        }
        let mut lines = Vec::new();
        answer.write(&mut lines)?;
        self.stream.write_all(&lines).await?;
        self.stream.flush().await?;
        Ok(Next::Command)
    }

    async fn start_tls(&mut self) -> io::Result<Next> {
        if let Some(next) = self.strike(Step::StartTls).await? {
            return Ok(next);
        }
        if self.shared.options.tls != Tls::Start || self.tls {
            return self.reply(502, "5.5.1 Not offered").await;
        }
        self.reply(220, "2.0.0 Go ahead").await?;
        Ok(Next::Handshake)
    }

    async fn auth(&mut self, mechanism: u64, initial: String) -> io::Result<Next> {
        if let Some(next) = self.strike(Step::Auth).await? {
            return Ok(next);
        }
        let Some(wanted) = &self.shared.options.credentials else {
            return self.reply(502, "5.5.1 Not offered").await;
        };
        let given = match mechanism {
            AUTH_PLAIN => {
                let answer = if initial.is_empty() { self.ask("").await? } else { initial };
                let decoded = decode(&answer);
                let mut parts = decoded.split('\0').skip(1).map(ToOwned::to_owned);
                (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
            }
            AUTH_LOGIN => {
                let user = if initial.is_empty() { self.ask("Username:").await? } else { initial };
                (decode(&user), decode(&self.ask("Password:").await?))
            }
            _ => return self.reply(504, "5.5.4 Unknown mechanism").await,
        };
        if given != (wanted.user.clone(), wanted.password.clone()) {
            return self.reply(535, "5.7.8 Wrong name or password").await;
        }
        self.user = Some(given.0);
        self.reply(235, "2.7.0 Welcome").await
    }

    /// A challenge of `AUTH` and its answer.
    async fn ask(&mut self, challenge: &str) -> io::Result<String> {
        self.reply(334, &STANDARD.encode(challenge)).await?;
        let line = self.line().await?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    async fn mail(&mut self, from: String) -> io::Result<Next> {
        if let Some(next) = self.strike(Step::Mail).await? {
            return Ok(next);
        }
        if !self.greeted || self.envelope.is_some() {
            return self.reply(503, "5.5.1 Not now").await;
        }
        if self.shared.options.credentials.is_some() && self.user.is_none() {
            return self.reply(530, "5.7.0 Sign in first").await;
        }
        self.envelope = Some(Envelope { from, to: Vec::new() });
        self.reply(250, "2.1.0 OK").await
    }

    async fn recipient(&mut self, to: String) -> io::Result<Next> {
        if let Some(next) = self.strike(Step::Recipient).await? {
            return Ok(next);
        }
        match &mut self.envelope {
            Some(envelope) => {
                envelope.to.push(to);
                self.reply(250, "2.1.5 OK").await
            }
            None => self.reply(503, "5.5.1 MAIL first").await,
        }
    }

    async fn data(&mut self) -> io::Result<Next> {
        if let Some(next) = self.strike(Step::Data).await? {
            return Ok(next);
        }
        let Some(Envelope { from, to }) = self.envelope.take_if(|envelope| !envelope.to.is_empty()) else {
            return self.reply(503, "5.5.1 RCPT first").await;
        };
        self.reply(354, "End with <CRLF>.<CRLF>").await?;
        let Some(raw) = self.message().await? else {
            self.reply(552, "5.3.4 Too large").await?;
            return Ok(Next::End);
        };
        let received = Received { from, to, raw, at: now(), tls: self.tls, user: self.user.clone() };
        self.take(received).await
    }

    /// Keeps the mail unless a fault refuses it: a client that never learns of its success sends it again.
    async fn take(&mut self, received: Received) -> io::Result<Next> {
        let fault = self.shared.strike(Step::Message);
        if let Some(fault @ Fault::Refuse { .. }) = fault {
            return Ok(self.suffer(fault).await?.unwrap_or(Next::Command));
        }
        if let Err(error) = self.shared.keep(received) {
            return self.reply(452, &format!("4.3.1 Cannot keep it: {error}")).await;
        }
        if let Some(fault) = fault
            && let Some(next) = self.suffer(fault).await?
        {
            return Ok(next);
        }
        self.reply(250, "2.0.0 Kept").await
    }

    /// The message up to its final dot; `None` where it is too large.
    async fn message(&mut self) -> io::Result<Option<Vec<u8>>> {
        // The library looks for a dot after a line's end, so the message is given one to begin with.
        let (mut receiver, mut message) = (DataReceiver::new(), Vec::new());
        receiver.ingest(&mut b"\r\n".iter(), &mut message);
        loop {
            let bytes = self.stream.fill_buf().await?;
            if bytes.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let mut iter = bytes.iter();
            let whole = receiver.ingest(&mut iter, &mut message);
            let used = bytes.len() - iter.len();
            self.stream.consume(used);
            if whole {
                return Ok(Some(message.split_off(2)));
            }
            if message.len() > MESSAGE_BYTES {
                return Ok(None);
            }
        }
    }

    /// A line with its end; `None` where the client has closed, or sends what is no line.
    async fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        (&mut self.stream).take(LINE_BYTES).read_until(b'\n', &mut line).await?;
        Ok(line.ends_with(b"\n").then_some(line))
    }

    async fn reply(&mut self, code: u16, text: &str) -> io::Result<Next> {
        self.stream.write_all(format!("{code} {text}\r\n").as_bytes()).await?;
        self.stream.flush().await?;
        Ok(Next::Command)
    }

    /// What follows if a fault is set for this step; `None` if the step continues as usual.
    async fn strike(&mut self, step: Step) -> io::Result<Option<Next>> {
        match self.shared.strike(step) {
            Some(fault) => self.suffer(fault).await,
            None => Ok(None),
        }
    }

    async fn suffer(&mut self, fault: Fault) -> io::Result<Option<Next>> {
        match fault {
            Fault::Refuse { code, text, .. } => {
                self.reply(code, &text).await?;
                Ok(Some(if code == 421 { Next::End } else { Next::Command }))
            }
            Fault::Cut(_) => Ok(Some(Next::End)),
            Fault::Hang(_) => {
                // Until the client gives up.
                tokio::io::copy(&mut self.stream, &mut tokio::io::sink()).await?;
                Ok(Some(Next::End))
            }
            Fault::Slow(delay) => {
                tokio::time::sleep(delay).await;
                Ok(None)
            }
        }
    }
}

fn decode(base64: &str) -> String {
    String::from_utf8_lossy(&STANDARD.decode(base64).unwrap_or_default()).into_owned()
}

#[expect(clippy::disallowed_methods, reason = "shown, and never compared with another machine's")]
fn now() -> std::time::SystemTime {
    std::time::SystemTime::now()
}

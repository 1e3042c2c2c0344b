//! The outcome of a delivery, without personal data.
//!
//! Servers repeat addresses in their replies, and add links to their pages. So a code with a fixed text is stored and
//! answered; the server's reply, with addresses removed, is for the log and for the administrator who tests a server.

use std::fmt;

use lettre::address::Envelope;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::response::Response;

/// Longest text of a server that is kept, in characters.
const TEXT_CHARS: usize = 200;

/// How far a session was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Greeting,
    Tls,
    SignIn,
    Message,
}

impl Stage {
    pub fn words(self) -> &'static str {
        match self {
            Self::Greeting => "at its greeting",
            Self::Tls => "while the connection was encrypted",
            Self::SignIn => "at the sign-in",
            Self::Message => "for the message",
        }
    }
}

/// The server took it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// What it answered, without addresses.
    pub reply: String,
}

impl Taken {
    pub(super) fn of(reply: &Response, envelope: &Envelope) -> Self {
        let text: Vec<&str> = reply.message().collect();
        Self { reply: format!("{} {}", reply.code(), without_addresses(&text.join(" "), envelope)) }
    }
}

/// The reply of a server that did not accept a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The reply code (RFC 5321, section 4.2).
    pub code: u16,
    /// The enhanced status code (RFC 3463), where it sent one.
    pub status: Option<String>,
    /// Its text without addresses.
    pub text: String,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(status) = &self.status {
            write!(f, " {status}")?;
        }
        write!(f, ", {}", self.meaning())
    }
}

impl std::error::Error for Answer {}

impl Answer {
    fn of(code: u16, text: &str, envelope: &Envelope) -> Self {
        let status = text.split_whitespace().next().filter(|word| is_status(word)).map(str::to_owned);
        Self { code, status, text: without_addresses(text, envelope) }
    }

    /// By the subject and the detail of the status code (RFC 3463, section 3), else by the reply code.
    fn meaning(&self) -> &'static str {
        let status = self.status.as_deref().and_then(|status| status.split_once('.')).map(|(_, rest)| rest);
        match (status, self.code) {
            (Some("1.1" | "1.10"), _) => "there is no such mailbox",
            (Some("1.2"), _) => "there is no such domain",
            (Some("2.1"), _) => "the mailbox takes no mail",
            (Some("2.2"), _) => "the mailbox is full",
            (Some("7.8"), _) | (_, 535) => "the user name or the password is not accepted",
            (Some(rest), _) if rest.starts_with("1.") => "an address is not accepted",
            (Some(rest), _) if rest.starts_with("2.") => "the mailbox is not available",
            (Some(rest), _) if rest.starts_with("4.") => "the way to the recipient's server does not work",
            (Some(rest), _) if rest.starts_with("6.") => "the content is not accepted",
            (Some(rest), _) if rest.starts_with("7.") => "the server's policy forbids it",
            (_, 421) => "the server ends the session",
            (_, 450 | 550) => "the mailbox is not available",
            (_, 452 | 552) => "there is no room for it",
            (_, 501 | 553) => "an address is not accepted",
            (_, 530) => "the server wants a sign-in",
            (_, _) => "the server does not take it",
        }
    }
}

/// The server did not accept it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undelivered {
    /// It refused this message, or its recipient.
    #[error("refused for good: {0}")]
    ForGood(Answer),
    /// The recipient's address needs SMTPUTF8, which the server does not have.
    #[error("the server takes no addresses beyond ASCII (SMTPUTF8)")]
    BeyondAscii,
    /// Trying again may help: it answered so.
    #[error("not taken {0}: {1}")]
    Answered(&'static str, Answer),
    /// Trying again may help: the server is away or set up wrongly, or we are.
    #[error("{0}")]
    Later(String),
}

impl Undelivered {
    pub(super) fn later(why: &str) -> Self {
        Self::Later(why.to_owned())
    }

    /// Whether no other try can help.
    #[must_use]
    pub fn is_for_good(&self) -> bool {
        match self {
            Self::ForGood(_) | Self::BeyondAscii => true,
            Self::Answered(..) | Self::Later(_) => false,
        }
    }

    /// What the server answered.
    #[must_use]
    pub fn answer(&self) -> Option<&Answer> {
        match self {
            Self::ForGood(answer) | Self::Answered(_, answer) => Some(answer),
            Self::BeyondAscii | Self::Later(_) => None,
        }
    }

    /// Only a reply about the message itself is a permanent failure of the message. A server that refuses the
    /// authentication or the connection is configured wrongly, and accepts the mail once that is repaired; likewise
    /// one that requires authentication (RFC 4954, section 6).
    pub(super) fn of(stage: Stage, error: &Error, envelope: &Envelope) -> Self {
        let said = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
        match error.status().map(u16::from) {
            Some(code) => {
                let answer = Answer::of(code, &said, envelope);
                let wants_sign_in = matches!(code, 530 | 534 | 535 | 538);
                if error.is_permanent() && stage == Stage::Message && !wants_sign_in {
                    Self::ForGood(answer)
                } else {
                    Self::Answered(stage.words(), answer)
                }
            }
            None if error.is_client() && stage == Stage::Message => Self::BeyondAscii,
            None if error.is_client() && stage == Stage::Tls => Self::later("the server has no STARTTLS"),
            None if error.is_client() => Self::later("the server has no way to sign in that is known here"),
            None if error.is_tls() => Self::later("the connection could not be encrypted"),
            None if is_untrusted(error) => Self::later(UNTRUSTED),
            None => Self::Later(format!("the connection was cut {}", stage.words())),
        }
    }

    pub(super) fn of_tls(error: &std::io::Error) -> Self {
        if is_untrusted(error) {
            Self::later(UNTRUSTED)
        } else {
            Self::later("the connection could not be encrypted")
        }
    }
}

const UNTRUSTED: &str = "the server's certificate is not trusted";

/// Whether a certificate is the reason, however deep in the error.
fn is_untrusted(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut at = Some(error);
    while let Some(error) = at {
        if let Some(rustls::Error::InvalidCertificate(_)) = error.downcast_ref::<rustls::Error>() {
            return true;
        }
        // An error of the operating system's kind hides what is in it from `source`.
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        at = match inner {
            Some(inner) => Some(inner as &(dyn std::error::Error + 'static)),
            None => error.source(),
        };
    }
    false
}

/// `5.1.1`.
fn is_status(word: &str) -> bool {
    let parts: Vec<&str> = word.split('.').collect();
    let is_number = |part: &&str| (1..=3).contains(&part.len()) && part.bytes().all(|it| it.is_ascii_digit());
    parts.len() == 3 && parts.iter().all(is_number)
}

/// A server's text on one line, without the words that hold an address or a part of one.
fn without_addresses(text: &str, envelope: &Envelope) -> String {
    let addresses = envelope.to().iter().chain(envelope.from());
    let parts: Vec<String> = addresses
        .flat_map(|address| [address.user(), address.domain()])
        .filter(|part| part.len() > 2)
        .map(str::to_lowercase)
        .collect();
    let names_somebody = |word: &str| {
        let word = word.to_lowercase();
        word.contains('@') || word.contains("%40") || parts.iter().any(|part| word.contains(part.as_str()))
    };
    let words = text.split_whitespace().filter(|word| !names_somebody(word));
    let text = words.collect::<Vec<_>>().join(" ");
    text.chars().filter(|c| !c.is_control()).take(TEXT_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope() -> Envelope {
        let address = |text: &str| text.parse().unwrap();
        Envelope::new(Some(address("accounts@acme.example")), vec![address("ada.lovelace@example.org")])
            .unwrap()
    }

    #[test]
    fn an_answer_says_why_and_names_nobody() {
        for (code, text, said) in [
            (
                550,
                "5.1.1 <ada.lovelace@example.org>: Recipient address rejected",
                "550 5.1.1, there is no such mailbox",
            ),
            (552, "5.2.2 Ada.Lovelace is over quota", "552 5.2.2, the mailbox is full"),
            (
                554,
                "5.7.1 Service unavailable; see https://x.test/?e=ada.lovelace%40example.org",
                "554 5.7.1, the server's policy forbids it",
            ),
            (550, "No such user here", "550, the mailbox is not available"),
            (451, "4.7.1 Greylisted", "451 4.7.1, the server's policy forbids it"),
            (
                535,
                "5.7.8 Error: authentication failed",
                "535 5.7.8, the user name or the password is not accepted",
            ),
            (599, "", "599, the server does not take it"),
        ] {
            let answer = Answer::of(code, text, &envelope());
            assert_eq!(answer.to_string(), said);
            let kept = answer.text.to_lowercase();
            assert!(
                !kept.contains("lovelace") && !kept.contains('@') && !kept.contains("example.org"),
                "{kept}"
            );
        }
        let answer = Answer::of(
            550,
            "5.1.1 <ada.lovelace@example.org>: Recipient\r\n address\u{1b} rejected",
            &envelope(),
        );
        assert_eq!(answer.text, "5.1.1 Recipient address rejected");
    }
}

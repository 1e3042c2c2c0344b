//! The message of a mail: MIME with a text and the same as HTML. A repeat has the same Message-ID, date and bytes, so that
//! a mail client that gets it twice shows it once.

use std::time::SystemTime;

use chrono::{DateTime, Utc};
use lettre::address::{Address, Envelope};
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message, MultiPart, SinglePart};
use zeroize::Zeroizing;

use super::address::address;
use super::letter::MailId;
use super::plain::plain;
use super::sender::Sender;
use super::words::Words;

/// Longest display name, in characters.
const NAME_CHARS: usize = 100;
/// Longest subject, in characters.
const SUBJECT_CHARS: usize = 200;

/// A message and its recipient.
pub struct Mime {
    /// Addresses of sender and recipient.
    pub envelope: Envelope,
    /// The message as it is sent.
    pub bytes: Zeroizing<Vec<u8>>,
}

/// Why no message can be made. Both are wrong for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MimeError {
    /// The recipient's address.
    #[error("mail cannot be sent to the recipient's address")]
    Recipient,
    /// The sender's address, or the address for answers.
    #[error("mail cannot be sent from the sender's address")]
    Sender,
}

/// The headers of a message.
pub(super) struct Head<'a> {
    pub id: MailId,
    pub at: DateTime<Utc>,
    pub address: &'a str,
    /// The recipient's name, or empty.
    pub name: &'a str,
    /// The tenant's name and slug.
    pub tenant: (&'a str, &'a str),
}

/// Plain text of a header. What looks like an encoded word (RFC 2047) is one to a reader, so it gets a blank.
fn header_text(text: &str, most: usize) -> String {
    plain(text, most).replace("=?", "= ?")
}

/// A name beside an address, as plain text; `None` for an empty one.
fn mailbox(name: &str, address: Address) -> Mailbox {
    let name = header_text(name, NAME_CHARS);
    Mailbox::new((!name.is_empty()).then_some(name), address)
}

fn raw(name: &'static str, value: String) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value)
}

/// Makes the message.
///
/// # Errors
/// See [`MimeError`].
pub(super) fn mime(sender: &Sender, head: &Head<'_>, words: &Words) -> Result<Mime, MimeError> {
    let from = address(&sender.from).map_err(|_| MimeError::Sender)?;
    let to = address(head.address).map_err(|_| MimeError::Recipient)?;
    let (tenant, slug) = head.tenant;
    let from_name = if sender.from_name.is_empty() { tenant } else { &sender.from_name };
    let id = head.id;
    let list = format!("<account.{slug}.{}>", from.domain());
    let builder = Message::builder()
        .message_id(Some(format!("<{id}@{}>", from.domain())))
        .date(SystemTime::from(head.at))
        .from(mailbox(from_name, from.clone()))
        .to(mailbox(head.name, to.clone()))
        .subject(header_text(&words.subject, SUBJECT_CHARS))
        .raw_header(raw("List-Id", list))
        // RFC 3834: no vacation notice answers it.
        .raw_header(raw("Auto-Submitted", String::from("auto-generated")))
        .raw_header(raw("X-Auto-Response-Suppress", String::from("All")));
    let builder = match sender.reply_to.as_str() {
        "" => builder,
        text => builder.reply_to(Mailbox::new(None, address(text).map_err(|_| MimeError::Sender)?)),
    };
    let envelope = Envelope::new(Some(from), vec![to]).map_err(|_| MimeError::Recipient)?;
    let body = MultiPart::alternative()
        .boundary(format!("={id}"))
        .singlepart(SinglePart::plain(words.text.as_str().to_owned()))
        .singlepart(SinglePart::html(words.html.as_str().to_owned()));
    let message = builder.envelope(envelope).multipart(body).map_err(|_| MimeError::Recipient)?;
    Ok(Mime { envelope: message.envelope().clone(), bytes: Zeroizing::new(message.formatted()) })
}

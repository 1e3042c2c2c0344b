//! A mail that was received, parsed as a reader's program would: by a library, and never by the code that made
//! it.

use std::time::SystemTime;

use mail_parser::{HeaderForm, HeaderName, HeaderValue, Message, MessageParser, PartType};
use serde::Serialize;

/// One mail: its envelope, and the message as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The envelope's sender, empty for a bounce.
    pub from: String,
    /// The envelope's recipients.
    pub to: Vec<String>,
    /// The message, without the dots that SMTP adds.
    pub raw: Vec<u8>,
    /// When all of it was there.
    pub at: SystemTime,
    /// Whether it came by TLS.
    pub tls: bool,
    /// The name that the client had signed in with.
    pub user: Option<String>,
}

/// A link of a mail's text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Link {
    /// All of it.
    pub url: String,
    /// The URL before the fragment.
    pub page: String,
    /// The parameter `token` of the fragment.
    pub token: Option<String>,
}

impl Link {
    fn parse(url: &str) -> Self {
        let (page, fragment) = url.split_once('#').unwrap_or((url, ""));
        let token = fragment.split('&').find_map(|pair| pair.strip_prefix("token="));
        Self { url: url.to_owned(), page: page.to_owned(), token: token.map(ToOwned::to_owned) }
    }
}

impl Received {
    /// The message as the library reads it; `None` where it finds not one part.
    fn message(&self) -> Option<Message<'_>> {
        MessageParser::default().parse(&self.raw).filter(|message| !message.parts.is_empty())
    }

    /// Every header of this name, unfolded, encoded words decoded.
    #[must_use]
    pub fn headers(&self, name: &str) -> Vec<String> {
        let (Some(name), Some(message)) = (HeaderName::parse(name), self.message()) else {
            return Vec::new();
        };
        let values = message.header_as(name.into_owned(), HeaderForm::Text);
        values.into_iter().map(|value| value.into_text().unwrap_or_default().into_owned()).collect()
    }

    /// The first header of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        self.headers(name).into_iter().next()
    }

    /// Names and values of all headers, in their order.
    #[must_use]
    pub fn all_headers(&self) -> Vec<(String, String)> {
        let Some(message) = self.message() else { return Vec::new() };
        let mut seen: Vec<(String, std::vec::IntoIter<String>)> = Vec::new();
        let names = message.headers().iter().map(|header| header.name().to_owned());
        let pairs = names.map(|name| {
            // A repeated name is another of its values.
            let at =
                seen.iter().position(|(known, _)| known.eq_ignore_ascii_case(&name)).unwrap_or_else(|| {
                    seen.push((name.clone(), self.headers(&name).into_iter()));
                    seen.len() - 1
                });
            (name, seen[at].1.next().unwrap_or_default())
        });
        pairs.collect()
    }

    /// The subject; empty without one.
    #[must_use]
    pub fn subject(&self) -> String {
        self.header("Subject").unwrap_or_default()
    }

    /// The Message-ID without its brackets; empty without one.
    #[must_use]
    pub fn message_id(&self) -> String {
        self.message().and_then(|message| message.message_id().map(ToOwned::to_owned)).unwrap_or_default()
    }

    /// Names and addresses of a header that holds addresses: `From`, `To`, `Reply-To`.
    #[must_use]
    pub fn addresses(&self, header: &str) -> Vec<(String, String)> {
        let (Some(name), Some(message)) = (HeaderName::parse(header), self.message()) else {
            return Vec::new();
        };
        let values = message.header_as(name.into_owned(), HeaderForm::Addresses);
        let of = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let mut pairs = Vec::new();
        for list in values.into_iter().filter_map(HeaderValue::into_address) {
            pairs.extend(list.iter().map(|one| (of(one.name()), of(one.address()))));
        }
        pairs
    }

    /// The part of type `text/plain`; empty without one.
    #[must_use]
    pub fn text(&self) -> String {
        self.body(|part| match part {
            PartType::Text(text) => Some(text.to_string()),
            _ => None,
        })
    }

    /// The part of type `text/html`; empty without one.
    #[must_use]
    pub fn html(&self) -> String {
        self.body(|part| match part {
            PartType::Html(html) => Some(html.to_string()),
            _ => None,
        })
    }

    fn body(&self, of: impl Fn(&PartType<'_>) -> Option<String>) -> String {
        let message = self.message();
        let mut parts = message.iter().flat_map(|message| &message.parts);
        parts.find_map(|part| of(&part.body)).unwrap_or_default()
    }

    /// The links of the text, in their order: each begins with its scheme and ends at a blank or a bracket.
    #[must_use]
    pub fn links(&self) -> Vec<Link> {
        let text = self.text();
        let ends = |c: char| c.is_whitespace() || matches!(c, '<' | '>' | '"' | ')');
        let words = text.split(ends).filter_map(|word| {
            let at = word.find("https://").or_else(|| word.find("http://"))?;
            word.get(at..).map(|url| url.trim_end_matches(['.', ',', ';']))
        });
        words.map(Link::parse).collect()
    }

    /// The first link that carries a token.
    ///
    /// # Panics
    /// Where there is none: the text is shown.
    #[must_use]
    pub fn link(&self) -> Link {
        let found = self.links().into_iter().find(|link| link.token.is_some());
        found.unwrap_or_else(|| panic!("a link with a token in:\n{}", self.text()))
    }

    /// The token of [`link`](Self::link).
    ///
    /// # Panics
    /// Where there is no link with a token.
    #[must_use]
    pub fn token(&self) -> String {
        self.link().token.unwrap_or_default()
    }
}

//! The URL of a page of the tenant's own that links in mails lead to.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Invalid;
use crate::contract::limits::PAGE_URL_BYTES;
use crate::tenant::origin::Origin;

/// An origin as a browser sends it, a path, and perhaps a query; no fragment, because the token stands there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PageUrl {
    text: String,
    origin: Origin,
}

impl PageUrl {
    /// Parses a URL.
    ///
    /// # Errors
    /// A URL without a valid origin and a path, with a fragment, or with characters that must be encoded (RFC 3986,
    /// section 2).
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let invalid = Invalid("page");
        let (scheme, rest) = text.split_once("://").ok_or(invalid)?;
        let slash = rest.find('/').ok_or(invalid)?;
        let (authority, path) = rest.split_at_checked(slash).ok_or(invalid)?;
        let origin = Origin::parse(&format!("{scheme}://{authority}")).map_err(|_| invalid)?;
        let holds =
            path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?%".contains(&byte));
        if holds && text.len() <= PAGE_URL_BYTES {
            Ok(Self { text: text.to_owned(), origin })
        } else {
            Err(invalid)
        }
    }

    /// The URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its origin.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }
}

impl fmt::Display for PageUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for PageUrl {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(&text)
    }
}

impl From<PageUrl> for String {
    fn from(url: PageUrl) -> Self {
        url.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_an_origin_a_path_and_no_fragment() {
        for (text, origin) in [
            ("https://app.acme.example/reset", "https://app.acme.example"),
            ("https://app.acme.example/", "https://app.acme.example"),
            ("https://app.acme.example:8443/a/b/?lang=de&x=%20", "https://app.acme.example:8443"),
            ("http://localhost:3000/reset", "http://localhost:3000"),
        ] {
            let page = PageUrl::parse(text).unwrap();
            assert_eq!((page.as_str(), page.origin().as_str()), (text, origin));
        }
        for bad in [
            "",
            "/reset",
            "//app.acme.example/reset",
            "https://app.acme.example",
            "https://app.acme.example?x",
            "http://app.acme.example/reset",
            "https://app.acme.example/reset#",
            "https://app.acme.example/reset#token=",
            "https://App.acme.example/reset",
            "https://u@app.acme.example/reset",
            "https://app.acme.example/re set",
            "https://app.acme.example/\"onmouseover=\"",
            "https://app.acme.example/<b>",
            "https://app.acme.example\\@evil.example/",
            "https://app.acme.example/\r\nBcc: eve@example.org",
            "https://b\u{fc}cher.example/",
            "https://app.acme.example/b\u{fc}cher",
            "javascript:alert(1)",
            "javascript://app.acme.example/%0aalert(1)",
        ] {
            assert!(PageUrl::parse(bad).is_err(), "{bad}");
        }
        let long = |length: usize| PageUrl::parse(&format!("https://a.example/{}", "x".repeat(length - 18)));
        assert!(long(PAGE_URL_BYTES).is_ok() && long(PAGE_URL_BYTES + 1).is_err());
    }
}

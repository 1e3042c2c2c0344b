//! Forms, as one object of texts: `application/x-www-form-urlencoded` and `multipart/form-data` (RFC 7578).
//!
//! The whole body is in memory, limited by the route. A duplicate field is refused, as a duplicate JSON key is,
//! because two parsers that choose different ones would allow a bypass of checks.

use std::convert::Infallible;

use futures_util::FutureExt as _;
use futures_util::stream;
use multer::Multipart;
use multer::bytes::Bytes;
use serde_json::{Map, Value};

use crate::contract::limits::BODY_VALUES;
use crate::contract::refusal::Refusal;

/// The media type of a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormType {
    /// `application/x-www-form-urlencoded`.
    UrlEncoded,
    /// `multipart/form-data`.
    Multipart,
}

impl FormType {
    /// The form that a `Content-Type` announces; `None` where it is another media type.
    #[must_use]
    pub fn of(content_type: &str) -> Option<Self> {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            Some(Self::UrlEncoded)
        } else if essence.eq_ignore_ascii_case("multipart/form-data") {
            Some(Self::Multipart)
        } else {
            None
        }
    }

    /// Reads a form.
    ///
    /// # Errors
    /// 400: truncated, without a boundary, a part without a name, a file, not UTF-8, a duplicate field, or more than
    /// [`BODY_VALUES`] fields.
    pub fn read(self, content_type: &str, bytes: &[u8]) -> Result<Map<String, Value>, Refusal> {
        match self {
            Self::UrlEncoded => url_encoded(bytes),
            Self::Multipart => multipart(content_type, bytes),
        }
    }

    fn broken(self, reason: &str) -> Refusal {
        let form = match self {
            Self::UrlEncoded => "Form",
            Self::Multipart => "Multipart form",
        };
        Refusal::plain(400, &format!("{form} parse error - {reason}"))
    }

    fn put(self, object: &mut Map<String, Value>, name: String, value: String) -> Result<(), Refusal> {
        if object.len() >= BODY_VALUES {
            return Err(self.broken("too many fields"));
        }
        match object.insert(name, Value::String(value)) {
            None => Ok(()),
            Some(_) => Err(self.broken("duplicate key")),
        }
    }
}

fn url_encoded(bytes: &[u8]) -> Result<Map<String, Value>, Refusal> {
    let mut object = Map::new();
    for (name, value) in form_urlencoded::parse(bytes) {
        FormType::UrlEncoded.put(&mut object, name.into_owned(), value.into_owned())?;
    }
    Ok(object)
}

fn multipart(content_type: &str, bytes: &[u8]) -> Result<Map<String, Value>, Refusal> {
    let broken = |error: &multer::Error| FormType::Multipart.broken(&error.to_string());
    let boundary = multer::parse_boundary(content_type).map_err(|error| broken(&error))?;
    if boundary.is_empty() {
        return Err(broken(&multer::Error::NoBoundary));
    }
    let whole = stream::iter([Ok::<_, Infallible>(Bytes::copy_from_slice(bytes))]);
    // The whole body is in memory, so this does not wait.
    let read = parts(Multipart::new(whole, boundary)).now_or_never();
    read.unwrap_or_else(|| Err(broken(&multer::Error::IncompleteStream)))
}

async fn parts(mut parts: Multipart<'_>) -> Result<Map<String, Value>, Refusal> {
    let broken = |reason: &str| FormType::Multipart.broken(reason);
    let mut object = Map::new();
    while let Some(part) = parts.next_field().await.map_err(|error| broken(&error.to_string()))? {
        let Some(name) = part.name().map(ToOwned::to_owned) else {
            return Err(broken("a part has no name"));
        };
        match part.file_name() {
            None => {}
            // A browser sends this for a file input without a file.
            Some("") => continue,
            Some(_) => return Err(Refusal::field(&name, "Not a valid string.")),
        }
        let bytes = part.bytes().await.map_err(|error| broken(&error.to_string()))?;
        let value = String::from_utf8(bytes.to_vec()).map_err(|_| broken("a field is not UTF-8"))?;
        FormType::Multipart.put(&mut object, name, value)?;
    }
    Ok(object)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const MULTIPART: &str = "multipart/form-data; boundary=x";

    fn read(content_type: &str, body: &[u8]) -> Result<Value, Value> {
        let form = FormType::of(content_type).unwrap();
        form.read(content_type, body).map(Value::Object).map_err(|refusal| refusal.body)
    }

    fn form(parts: &[&str]) -> String {
        let part = |part: &&str| format!("--x\r\nContent-Disposition: form-data; {part}\r\n");
        parts.iter().map(part).collect::<String>() + "--x--\r\n"
    }

    #[test]
    fn media_types() {
        assert_eq!(FormType::of("Multipart/Form-Data; boundary=x"), Some(FormType::Multipart));
        assert_eq!(
            FormType::of(" application/X-www-form-urlencoded ;charset=utf-8"),
            Some(FormType::UrlEncoded)
        );
        for other in ["", "application/json", "multipart/mixed; boundary=x", "multipart/form-data2"] {
            assert_eq!(FormType::of(other), None, "{other}");
        }
    }

    #[test]
    fn both_forms_give_the_same_object() {
        let expected = json!({"a": "1", "b": " x y\u{e4}\r\n"});
        assert_eq!(
            read("application/x-www-form-urlencoded", b"a=1&b=+x+y%C3%A4%0D%0A"),
            Ok(expected.clone())
        );
        let parts = form(&[
            "name=\"a\"\r\n\r\n1",
            "name=b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n x y\u{e4}\r\n",
            "name=\"empty file\"; filename=\"\"\r\nContent-Type: application/octet-stream\r\n\r\n",
        ]);
        for content_type in
            [MULTIPART, "MULTIPART/form-data; Boundary=\"x\"", "multipart/form-data;charset=utf-8;boundary=x"]
        {
            assert_eq!(read(content_type, parts.as_bytes()), Ok(expected.clone()), "{content_type}");
        }
        assert_eq!(read(MULTIPART, b"--x--"), Ok(json!({})));
        assert_eq!(read("application/x-www-form-urlencoded", b""), Ok(json!({})));
    }

    #[test]
    fn what_is_no_form_of_ours_says_why() {
        let detail = |content_type: &str, body: &[u8]| {
            let refused = read(content_type, body).unwrap_err();
            refused["detail"].as_str().unwrap().to_owned()
        };
        let twice = form(&["name=a\r\n\r\n1", "name=\"a\"\r\n\r\n1"]);
        assert_eq!(detail(MULTIPART, twice.as_bytes()), "Multipart form parse error - duplicate key");
        assert_eq!(
            detail("application/x-www-form-urlencoded", b"a=1&a=1"),
            "Form parse error - duplicate key"
        );
        let broken: [(&str, &[u8]); 9] = [
            ("multipart/form-data", b"--x--"),
            ("multipart/form-data; boundary=", b"--x--"),
            (MULTIPART, b"--y--"),
            (MULTIPART, b"--x"),
            (MULTIPART, b"--x\r\n\r\n"),
            (MULTIPART, b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n1"),
            (MULTIPART, b"--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--"),
            (MULTIPART, b"--x\r\n: \r\n\r\n1\r\n--x--"),
            (MULTIPART, b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n\xff\r\n--x--"),
        ];
        for (content_type, body) in broken {
            let detail = detail(content_type, body);
            assert!(detail.starts_with("Multipart form parse error - "), "{detail}");
        }
        let file = form(&["name=\"avatar\"; filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\nPNG"]);
        assert_eq!(read(MULTIPART, file.as_bytes()), Err(json!({"avatar": ["Not a valid string."]})));
    }

    #[test]
    fn the_number_of_fields_is_bounded() {
        let fields = |count: usize| (0..count).map(|at| format!("{at}=&")).collect::<String>();
        let read_url = |count| read("application/x-www-form-urlencoded", fields(count).as_bytes());
        assert!(read_url(BODY_VALUES).is_ok());
        assert_eq!(read_url(BODY_VALUES + 1), Err(json!({"detail": "Form parse error - too many fields"})));
        let parts: Vec<_> = (0..=BODY_VALUES).map(|at| format!("name={at}\r\n\r\n")).collect();
        let parts: Vec<_> = parts.iter().map(String::as_str).collect();
        assert_eq!(
            read(MULTIPART, form(&parts).as_bytes()),
            Err(json!({"detail": "Multipart form parse error - too many fields"}))
        );
    }

    proptest! {
        #[test]
        fn any_body_is_safe(body: Vec<u8>, text in "(--x|\r\n|Content-Disposition: form-data; name=|[a\"; -]){0,30}") {
            let _ = (read(MULTIPART, &body), read(MULTIPART, text.as_bytes()));
        }
    }
}

//! Service signatures: one profile of RFC 9421 (HTTP Message Signatures) with Ed25519, in both
//! directions.
//!
//! The verifier builds the expected string and compares; there is no general parser. Each kind of call has a `tag`,
//! so a signature cannot be used for another kind, and `@authority` is the receiver's own configured one, so a
//! signature for staging is invalid in production.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ed25519_dalek::{Signature as Ed25519Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};

use crate::Invalid;
use crate::contract::limits::SIGNATURE_SECS;
use crate::fields::encode;
use crate::wire::seal::parse_named_key;

/// Headers that a `forward` signature covers if present, in this order. Not `content-length`: a proxy that buffers a
/// chunked body adds it, and one that streams removes it.
pub const FORWARD_HEADERS: [&str; 8] = [
    "wardgate-tenant",
    "wardgate-client",
    "wardgate-caller",
    "wardgate-base",
    "wardgate-ticket",
    "x-request-id",
    "authorization",
    "content-type",
];

/// The headers of a forwarded request that its signature covers: those of [`FORWARD_HEADERS`] that are
/// present.
pub fn covered_headers(read: impl Fn(&str) -> Option<String>) -> Vec<(&'static str, String)> {
    FORWARD_HEADERS.into_iter().filter_map(|name| Some((name, read(name)?))).collect()
}

/// The kind of call of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// Control pushes rows to the edge.
    Push,
    /// A command of control to the edge.
    Command,
    /// Control drains the edge's outbox.
    Drain,
    /// The edge asks control to check a password against an imported hash.
    Password,
    /// The edge forwards a client's request to control; its body streams and has no digest.
    Forward,
}

impl Tag {
    fn as_str(self) -> &'static str {
        match self {
            Self::Push => "wardgate-push",
            Self::Command => "wardgate-command",
            Self::Drain => "wardgate-drain",
            Self::Password => "wardgate-password",
            Self::Forward => "wardgate-forward",
        }
    }
}

/// The parts of a request that are signed.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Upper-case method.
    pub method: &'a str,
    /// Host and, unless default, port of the receiver.
    pub authority: &'a str,
    /// Absolute path as sent.
    pub path: &'a str,
    /// Query as sent, without `?`; empty if there is none.
    pub query: &'a str,
    /// `Content-Digest` of the body; `None` for [`Tag::Forward`].
    pub content_digest: Option<&'a str>,
    /// Lower-case name and value of the covered headers that are present, in the order of
    /// [`FORWARD_HEADERS`]; empty but for [`Tag::Forward`].
    pub headers: &'a [(&'a str, &'a str)],
}

/// The two headers of a signed request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// `Signature-Input`.
    pub input: String,
    /// `Signature`.
    pub signature: String,
}

/// The signature is missing, malformed, stale, of another key, tag, authority, path or body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no valid service signature")]
pub struct Unsigned;

/// `Content-Digest` (RFC 9530) of a body.
#[must_use]
pub fn content_digest(body: &[u8]) -> String {
    format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(body)))
}

/// Our own service key. No `Debug`.
pub struct ServiceKey {
    id: String,
    key: SigningKey,
}

impl ServiceKey {
    /// Parses `<key id>:<32-byte seed in base64url>`.
    ///
    /// # Errors
    /// Another form.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let (id, seed) = parse_named_key(text)?;
        Ok(Self { id, key: SigningKey::from_bytes(seed.expose()) })
    }

    /// `<key id>:<public key in base64url>`, as the other side's settings have it.
    #[must_use]
    pub fn public(&self) -> String {
        format!("{}:{}", self.id, URL_SAFE_NO_PAD.encode(self.key.verifying_key().as_bytes()))
    }

    /// The public half, as the other side verifies by it.
    #[must_use]
    pub fn peer(&self) -> PeerKey {
        PeerKey { id: self.id.clone(), key: self.key.verifying_key() }
    }

    /// Signs a statement, which is not a request: fields after the label of their use ([`crate::fields`]). The
    /// signature is base64url. The signed bytes begin with the length of the label, those of a request with a quote,
    /// so neither can be used as the other.
    #[must_use]
    pub fn sign_statement(&self, label: &str, fields: &[&[u8]]) -> String {
        URL_SAFE_NO_PAD.encode(self.key.sign(&encode(label, fields)).to_bytes())
    }

    /// Signs `message` at `now_secs` (Unix) for a minute.
    #[must_use]
    pub fn sign(&self, tag: Tag, message: &Message<'_>, now_secs: u64) -> Signed {
        let expires = now_secs.saturating_add(SIGNATURE_SECS);
        let parameters = parameters(tag, message, now_secs, expires, &self.id);
        let signature = self.key.sign(base(message, &parameters).as_bytes());
        let signature = format!("wg=:{}:", STANDARD.encode(signature.to_bytes()));
        Signed { input: format!("wg={parameters}"), signature }
    }
}

/// The public key of the other side, named.
#[derive(Clone, Debug)]
pub struct PeerKey {
    id: String,
    key: VerifyingKey,
}

impl PeerKey {
    /// Parses `<key id>:<public key in base64url>`.
    ///
    /// # Errors
    /// Another form, or bytes that are no point or a weak one.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let (id, bytes) = parse_named_key(text)?;
        let key = VerifyingKey::from_bytes(bytes.expose()).map_err(|_| Invalid("Ed25519 public key"))?;
        if key.is_weak() { Err(Invalid("Ed25519 public key")) } else { Ok(Self { id, key }) }
    }
}

impl PeerKey {
    /// Verifies a signature of [`ServiceKey::sign_statement`].
    ///
    /// # Errors
    /// [`Unsigned`], for any reason.
    pub fn verify_statement(&self, label: &str, fields: &[&[u8]], signature: &str) -> Result<(), Unsigned> {
        let bytes = URL_SAFE_NO_PAD.decode(signature).map_err(|_| Unsigned)?;
        let bytes = Ed25519Signature::from_slice(&bytes).map_err(|_| Unsigned)?;
        self.key.verify_strict(&encode(label, fields), &bytes).map_err(|_| Unsigned)
    }
}

/// Verifies a request that claims to be `tag` for the receiver that `message.authority` names.
///
/// # Errors
/// [`Unsigned`], for any reason.
pub fn verify(
    peers: &[PeerKey],
    tag: Tag,
    message: &Message<'_>,
    input: &str,
    signature: &str,
    now_secs: u64,
) -> Result<(), Unsigned> {
    let covered = components(message);
    let rest =
        input.strip_prefix("wg=").and_then(|rest| rest.strip_prefix(covered.as_str())).ok_or(Unsigned)?;
    let (created, rest) = number(rest.strip_prefix(";created=").ok_or(Unsigned)?)?;
    let (expires, rest) = number(rest.strip_prefix(";expires=").ok_or(Unsigned)?)?;
    let rest = rest.strip_prefix(";keyid=\"").ok_or(Unsigned)?;
    let (key_id, _) = rest.split_once('"').ok_or(Unsigned)?;
    let in_time = created <= now_secs.saturating_add(SIGNATURE_SECS)
        && now_secs < expires
        && expires.saturating_sub(created) <= SIGNATURE_SECS;
    let peer = peers.iter().find(|peer| peer.id == key_id).ok_or(Unsigned)?;
    let parameters = parameters(tag, message, created, expires, key_id);
    if !in_time || input.strip_prefix("wg=") != Some(parameters.as_str()) {
        return Err(Unsigned);
    }
    let encoded = signature.strip_prefix("wg=:").and_then(|rest| rest.strip_suffix(':')).ok_or(Unsigned)?;
    let bytes = STANDARD.decode(encoded).map_err(|_| Unsigned)?;
    let bytes = Ed25519Signature::from_slice(&bytes).map_err(|_| Unsigned)?;
    peer.key.verify_strict(base(message, &parameters).as_bytes(), &bytes).map_err(|_| Unsigned)
}

/// Parses digits up to the next other character.
fn number(text: &str) -> Result<(u64, &str), Unsigned> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end).ok_or(Unsigned)?;
    Ok((digits.parse().map_err(|_| Unsigned)?, rest))
}

/// The covered components as an inner list (RFC 9421, section 2.3).
fn components(message: &Message<'_>) -> String {
    let mut list = String::from(r#"("@method" "@authority" "@path" "@query""#);
    if message.content_digest.is_some() {
        list.push_str(r#" "content-digest""#);
    }
    for (name, _) in message.headers {
        list.push_str(" \"");
        list.push_str(name);
        list.push('"');
    }
    list.push(')');
    list
}

fn parameters(tag: Tag, message: &Message<'_>, created: u64, expires: u64, key_id: &str) -> String {
    let (components, tag) = (components(message), tag.as_str());
    format!(r#"{components};created={created};expires={expires};keyid="{key_id}";tag="{tag}""#)
}

/// The signature base (RFC 9421, section 2.5). Header values are one line each, since a value with
/// a line feed reaches neither side's HTTP library.
fn base(message: &Message<'_>, parameters: &str) -> String {
    let Message { method, authority, path, query, .. } = message;
    let mut base = format!(
        "\"@method\": {method}\n\"@authority\": {}\n\"@path\": {path}\n\"@query\": ?{query}\n",
        authority.to_ascii_lowercase()
    );
    let digest = message.content_digest.map(|digest| ("content-digest", digest));
    for (name, value) in digest.iter().chain(message.headers) {
        base.push('"');
        base.push_str(name);
        base.push_str("\": ");
        base.push_str(value.trim());
        base.push('\n');
    }
    base.push_str("\"@signature-params\": ");
    base.push_str(parameters);
    base
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(id: &str, fill: u8) -> ServiceKey {
        ServiceKey::parse(&format!("{id}:{}", URL_SAFE_NO_PAD.encode([fill; 32]))).unwrap()
    }

    fn message<'a>(digest: &'a str, headers: &'a [(&'a str, &'a str)]) -> Message<'a> {
        Message {
            method: "POST",
            authority: "edge.example",
            path: "/internal/v1/push",
            query: "",
            content_digest: (!digest.is_empty()).then_some(digest),
            headers,
        }
    }

    /// The base was written by hand from RFC 9421, section 2.5, and signed with Python's
    /// `cryptography`.
    #[test]
    fn the_signature_matches_the_vector() {
        let vector: serde_json::Value =
            serde_json::from_str(include_str!("../../vectors/signature.json")).unwrap();
        let digest = content_digest(b"{}");
        let signed = key("c1", 7).sign(Tag::Push, &message(&digest, &[]), 1_700_000_000);
        assert_eq!(signed.input, vector["signature_input"].as_str().unwrap());
        assert_eq!(signed.signature, vector["signature"].as_str().unwrap());
    }

    #[test]
    fn a_statement_is_good_under_its_label_with_its_fields_by_its_key() {
        let own = key("a1", 7);
        let signature = own.sign_statement("audit-checkpoint/v1", &[b"one", b"two"]);
        let check = |key: &ServiceKey, label, fields: &[&[u8]], signature: &str| {
            key.peer().verify_statement(label, fields, signature).is_ok()
        };
        assert!(check(&own, "audit-checkpoint/v1", &[b"one", b"two"], &signature));
        let parsed = PeerKey::parse(&own.public()).unwrap();
        assert!(parsed.verify_statement("audit-checkpoint/v1", &[b"one", b"two"], &signature).is_ok());
        assert!(!check(&key("a1", 8), "audit-checkpoint/v1", &[b"one", b"two"], &signature));
        assert!(!check(&own, "audit-restore/v1", &[b"one", b"two"], &signature));
        assert!(!check(&own, "audit-checkpoint/v1", &[b"onet", b"wo"], &signature));
        for garbage in ["", "=", &signature[1..], &signature.replace('-', "+")[..20]] {
            assert!(!check(&own, "audit-checkpoint/v1", &[b"one", b"two"], garbage), "{garbage}");
        }
    }

    #[test]
    fn a_signature_is_good_for_one_call_at_one_place_for_a_minute() {
        let service = key("c1", 7);
        let peers = [service.peer()];
        let digest = content_digest(b"{}");
        let good = message(&digest, &[]);
        let signed = service.sign(Tag::Push, &good, 1000);
        let check = |tag, message: &Message<'_>, now| {
            verify(&peers, tag, message, &signed.input, &signed.signature, now)
        };
        assert_eq!(check(Tag::Push, &good, 1000), Ok(()));
        assert_eq!(check(Tag::Push, &good, 1059), Ok(()));
        assert_eq!(check(Tag::Push, &good, 1060), Err(Unsigned), "stale");
        assert_eq!(check(Tag::Push, &good, 939), Err(Unsigned), "from the future");
        assert_eq!(check(Tag::Command, &good, 1000), Err(Unsigned), "wrong tag");
        let other = content_digest(b"{ }");
        for wrong in [
            Message { authority: "staging.example", ..good },
            Message { path: "/internal/v1/drain", ..good },
            Message { query: "a=1", ..good },
            Message { method: "PUT", ..good },
            Message { content_digest: Some(&other), ..good },
            Message { content_digest: None, ..good },
        ] {
            assert_eq!(check(Tag::Push, &wrong, 1000), Err(Unsigned), "{wrong:?}");
        }
    }

    #[test]
    fn keys_and_lifetimes_of_others_are_refused() {
        let service = key("c1", 7);
        let message = message("", &[("wardgate-tenant", "a")]);
        let signed = service.sign(Tag::Forward, &message, 1000);
        let check = |peers: &[PeerKey], input: &str| {
            verify(peers, Tag::Forward, &message, input, &signed.signature, 1000)
        };
        assert_eq!(check(&[service.peer()], &signed.input), Ok(()));
        assert_eq!(check(&[key("c1", 8).peer()], &signed.input), Err(Unsigned));
        assert_eq!(check(&[key("c2", 7).peer()], &signed.input), Err(Unsigned));
        assert_eq!(check(&[], &signed.input), Err(Unsigned));
        assert_eq!(
            check(&[service.peer()], &signed.input.replace("expires=1060", "expires=9060")),
            Err(Unsigned)
        );
        assert_eq!(check(&[service.peer()], &format!("{}, other=()", signed.input)), Err(Unsigned));
    }

    #[test]
    fn a_covered_header_cannot_be_added_dropped_or_changed() {
        let service = key("e1", 7);
        let peers = [service.peer()];
        let headers = [("wardgate-tenant", "a"), ("authorization", "Bearer x")];
        let signed = service.sign(Tag::Forward, &message("", &headers), 1000);
        let check = |headers: &[(&str, &str)]| {
            verify(&peers, Tag::Forward, &message("", headers), &signed.input, &signed.signature, 1000)
        };
        assert_eq!(check(&headers), Ok(()));
        assert_eq!(check(&headers[..1]), Err(Unsigned));
        assert_eq!(check(&[headers[1], headers[0]]), Err(Unsigned));
        assert_eq!(check(&[headers[0], ("authorization", "Bearer y")]), Err(Unsigned));
        assert_eq!(check(&[headers[0], headers[1], ("content-type", "x")]), Err(Unsigned));
    }

    #[test]
    fn a_proxy_may_tell_or_take_away_the_length() {
        let headers = [("wardgate-tenant", "a"), ("content-type", "text/plain"), ("content-length", "2")];
        let covered = |headers: &[(&str, &str)]| {
            let read = |name: &str| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
            covered_headers(|name| read(name).map(str::to_owned))
        };
        assert_eq!(covered(&headers), covered(&headers[..2]));
        assert_eq!(covered(&headers).len(), 2);
    }

    proptest! {
        #[test]
        fn any_header_text_is_safe(input: String, signature: String) {
            let peers = [key("c1", 7).peer()];
            prop_assert!(verify(&peers, Tag::Push, &message("", &[]), &input, &signature, 1000).is_err());
        }
    }
}

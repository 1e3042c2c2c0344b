//! Reads RSA keys from files. A file in another format is refused with its format and the command that converts it.
//!
//! Accepted formats: PEM (SubjectPublicKeyInfo, PKCS#1, PKCS#8, an X.509 certificate for its public key) and a JWK.
//! For every other format the error names it.

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde::Deserialize;
use serde::de::IgnoredAny;
use shared::tokens::jwk::PublicKey;
use webpki::EndEntityCert;

use super::rsa::{self, ImportError, Private};

/// Why a file is not taken. It never shows what is in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// Nothing is in it.
    #[error("It is empty.")]
    Empty,
    /// A private key where the public half is wanted, which alone should leave the old service.
    #[error("This is a private key: `openssl pkey -in FILE -pubout` writes its public half.")]
    IsPrivate,
    /// A public key or a certificate where the private key is wanted.
    #[error("This is a public key or a certificate: expected the private key.")]
    IsPublic,
    /// A private key under a passphrase.
    #[error("This private key is encrypted: `openssl pkey -in FILE -out PLAIN` decrypts it.")]
    Encrypted,
    /// A key for elliptic curves.
    #[error("This is a key for elliptic curves: tokens here are signed by RS256, which needs an RSA key.")]
    Curve,
    /// OpenSSH's form of a public key.
    #[error("This is OpenSSH's form of a public key: `ssh-keygen -e -m PKCS8 -f FILE` writes it as PEM.")]
    SshPublic,
    /// OpenSSH's form of a private key.
    #[error(
        "This is OpenSSH's form of a private key: `ssh-keygen -p -m PKCS8 -f COPY` turns a copy of it into PEM."
    )]
    SshPrivate,
    /// A request for a certificate.
    #[error(
        "This is a request for a certificate: `openssl req -in FILE -noout -pubkey` writes its public key."
    )]
    Request,
    /// A certificate that cannot be read, such as one of version 1.
    #[error("This certificate cannot be read: `openssl x509 -in FILE -noout -pubkey` writes its public key.")]
    Certificate,
    /// A set of keys.
    #[error("This is a set of keys: give one of its keys, as an object of its own.")]
    KeySet,
    /// DER without PEM around it.
    #[error(
        "This is binary (DER): `openssl pkey -inform DER -in FILE` writes a private key as PEM, with -pubin a public one."
    )]
    Binary,
    /// UTF-16, as PowerShell redirects output.
    #[error("This is UTF-16, as `>` of PowerShell writes it: save it as UTF-8.")]
    Utf16,
    /// Under 2048 or over 4096 bits, or another exponent than 65537.
    #[error("Expected an RSA key of 2048 to 4096 bits with e = 65537.")]
    WrongSize,
    /// No RSA public key in a known form.
    #[error(
        "Expected an RSA public key of 2048 to 4096 bits with e = 65537: PEM (as `openssl pkey -pubout` writes it), a certificate in PEM, or a JWK."
    )]
    NoPublicKey,
    /// No RSA private key in a known form.
    #[error("{}", ImportError::Malformed)]
    NoPrivateKey,
}

/// An entry of a JWKS as a file of its own.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    n: Option<String>,
    e: Option<String>,
    d: Option<IgnoredAny>,
}

/// A document of one or more keys.
#[derive(Deserialize)]
struct Jwks {
    #[serde(rename = "keys")]
    _keys: IgnoredAny,
}

/// The RSA public key of a file.
///
/// # Errors
/// See [`KeyFault`].
pub fn public_key(bytes: &[u8]) -> Result<PublicKey, KeyFault> {
    let bytes = without_mark(bytes);
    if let Ok(Jwk { kty, n, e, d }) = serde_json::from_slice::<Jwk>(bytes) {
        return match (kty.as_str(), n, e, d) {
            ("RSA", _, _, Some(_)) => Err(KeyFault::IsPrivate),
            ("RSA", Some(n), Some(e), None) => PublicKey::parse(&n, &e).map_err(|_| KeyFault::WrongSize),
            ("EC" | "OKP", ..) => Err(KeyFault::Curve),
            _ => Err(KeyFault::NoPublicKey),
        };
    }
    match label(bytes).as_deref() {
        Some("PUBLIC KEY" | "RSA PUBLIC KEY") => {
            let text = std::str::from_utf8(bytes).unwrap_or_default();
            PublicKey::from_pem(text).map_err(|_| KeyFault::NoPublicKey)
        }
        Some("CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE") => of_certificate(bytes),
        Some("PRIVATE KEY" | "RSA PRIVATE KEY") => Err(KeyFault::IsPrivate),
        label => Err(form(bytes, label).unwrap_or(KeyFault::NoPublicKey)),
    }
}

/// The key of the first certificate. Its signature and validity are not checked: the operator provides the key, and
/// the certificate is only its container.
fn of_certificate(bytes: &[u8]) -> Result<PublicKey, KeyFault> {
    let der = CertificateDer::from_pem_slice(bytes).map_err(|_| KeyFault::Certificate)?;
    let certificate = EndEntityCert::try_from(&der).map_err(|_| KeyFault::Certificate)?;
    PublicKey::from_spki_der(&certificate.subject_public_key_info()).map_err(|_| KeyFault::NoPublicKey)
}

/// The RSA private key of a file.
///
/// # Errors
/// See [`KeyFault`].
pub fn private_key(bytes: &[u8]) -> Result<Private, KeyFault> {
    let bytes = without_mark(bytes);
    let taken = match serde_json::from_slice::<rsa::PrivateJwk>(bytes) {
        Ok(jwk) => rsa::from_jwk(&jwk),
        Err(_) => rsa::from_pem(bytes),
    };
    taken.map_err(|error| match error {
        ImportError::WrongSize => KeyFault::WrongSize,
        ImportError::Malformed => no_private_key(bytes),
    })
}

fn no_private_key(bytes: &[u8]) -> KeyFault {
    if let Ok(Jwk { kty, d, .. }) = serde_json::from_slice::<Jwk>(bytes) {
        return match (kty.as_str(), d) {
            ("EC" | "OKP", _) => KeyFault::Curve,
            ("RSA", None) => KeyFault::IsPublic,
            _ => KeyFault::NoPrivateKey,
        };
    }
    match label(bytes).as_deref() {
        Some("PUBLIC KEY" | "RSA PUBLIC KEY" | "CERTIFICATE" | "CERTIFICATE REQUEST") => KeyFault::IsPublic,
        label => form(bytes, label).unwrap_or(KeyFault::NoPrivateKey),
    }
}

/// The format of a file that is neither an accepted public nor private key.
fn form(bytes: &[u8], label: Option<&str>) -> Option<KeyFault> {
    let text = std::str::from_utf8(bytes);
    match (label, text) {
        (Some("ENCRYPTED PRIVATE KEY"), _) => Some(KeyFault::Encrypted),
        // RFC 1421's way, which openssl used before PKCS#8.
        (Some(label), Ok(text)) if label.ends_with("PRIVATE KEY") && text.contains("ENCRYPTED") => {
            Some(KeyFault::Encrypted)
        }
        (Some("EC PRIVATE KEY" | "EC PARAMETERS"), _) => Some(KeyFault::Curve),
        (Some("OPENSSH PRIVATE KEY"), _) => Some(KeyFault::SshPrivate),
        (Some("SSH2 PUBLIC KEY"), _) => Some(KeyFault::SshPublic),
        (Some("CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST"), _) => Some(KeyFault::Request),
        (Some(_), _) => None,
        (None, _) if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) => {
            Some(KeyFault::Utf16)
        }
        // The tag of a SEQUENCE, with which every key in DER begins.
        (None, _) if bytes.starts_with(&[0x30, 0x82]) => Some(KeyFault::Binary),
        (None, Ok(text)) if text.trim().is_empty() => Some(KeyFault::Empty),
        (None, Ok(text)) if text.trim_start().starts_with("ssh-") => Some(KeyFault::SshPublic),
        (None, Ok(text)) if text.trim_start().starts_with("ecdsa-") => Some(KeyFault::Curve),
        (None, Ok(text)) if serde_json::from_str::<Jwks>(text).is_ok() => Some(KeyFault::KeySet),
        (None, _) => None,
    }
}

/// The label of the first PEM in a file, which may have words before it.
fn label(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let (_, rest) = text.split_once("-----BEGIN ").or_else(|| text.split_once("---- BEGIN "))?;
    let (label, _) = rest.split_once("----")?;
    Some(label.trim_end_matches('-').trim().to_owned())
}

/// Without the byte order mark that some editors put before UTF-8.
fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(&[0xef, 0xbb, 0xbf]).unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PKCS8: &str = include_str!("../../tests/keys/rsa2048.pem");
    const PKCS1: &str = include_str!("../../tests/keys/rsa2048-pkcs1.pem");
    const PUBLIC: &str = include_str!("../../tests/keys/rsa2048-public.pem");
    const PUBLIC_PKCS1: &str = include_str!("../../tests/keys/rsa2048-public-pkcs1.pem");
    const CERTIFICATE: &str = include_str!("../../tests/keys/rsa2048-certificate.pem");
    const JWK: &str = include_str!("../../tests/keys/rsa2048.jwk.json");

    fn public_jwk() -> String {
        let whole: serde_json::Value = serde_json::from_str(JWK).unwrap();
        serde_json::json!({"kty": "RSA", "n": whole["n"], "e": whole["e"], "kid": "old"}).to_string()
    }

    #[test]
    fn one_key_in_every_form_is_one_key() {
        let key = private_key(PKCS8.as_bytes()).ok().unwrap();
        for text in [
            PKCS1,
            JWK,
            &format!("\u{feff}{PKCS8}"),
            &format!("Bag Attributes\n    friendlyName: old\n{PKCS8}"),
        ] {
            assert_eq!(
                private_key(text.as_bytes()).ok().map(|it| it.public),
                Some(key.public.clone()),
                "{text}"
            );
        }
        for text in [PUBLIC, PUBLIC_PKCS1, CERTIFICATE, &public_jwk(), &format!("\u{feff}{PUBLIC}")] {
            assert_eq!(public_key(text.as_bytes()), Ok(key.public.clone()), "{text}");
        }
    }

    #[test]
    fn what_is_taken_for_a_public_key_is_told_what_it_is() {
        let utf16: Vec<u8> =
            [0xff, 0xfe].into_iter().chain(PUBLIC.bytes().flat_map(|byte| [byte, 0])).collect();
        for (bytes, fault) in [
            (&b""[..], KeyFault::Empty),
            (b" \n", KeyFault::Empty),
            (PKCS8.as_bytes(), KeyFault::IsPrivate),
            (PKCS1.as_bytes(), KeyFault::IsPrivate),
            (JWK.as_bytes(), KeyFault::IsPrivate),
            (
                b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----",
                KeyFault::Encrypted,
            ),
            (
                b"-----BEGIN OPENSSH PRIVATE KEY-----\nAA==\n-----END OPENSSH PRIVATE KEY-----",
                KeyFault::SshPrivate,
            ),
            (b"-----BEGIN EC PRIVATE KEY-----\nAA==\n-----END EC PRIVATE KEY-----", KeyFault::Curve),
            (
                b"-----BEGIN CERTIFICATE REQUEST-----\nAA==\n-----END CERTIFICATE REQUEST-----",
                KeyFault::Request,
            ),
            (b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----", KeyFault::Certificate),
            (b"ssh-rsa AAAAB3Nza ada@example", KeyFault::SshPublic),
            (b"{\"keys\": []}", KeyFault::KeySet),
            (br#"{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}"#, KeyFault::Curve),
            (br#"{"kty": "RSA", "n": "AQAB", "e": "AQAB"}"#, KeyFault::WrongSize),
            (&[0x30, 0x82, 0x01, 0x22], KeyFault::Binary),
            (&utf16, KeyFault::Utf16),
            (b"django-insecure-5ecr3t", KeyFault::NoPublicKey),
        ] {
            assert_eq!(public_key(bytes), Err(fault), "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn what_is_taken_for_a_private_key_is_told_what_it_is() {
        let encrypted = PKCS1.replacen('\n', "\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n", 1);
        for (text, fault) in [
            (PUBLIC, KeyFault::IsPublic),
            (PUBLIC_PKCS1, KeyFault::IsPublic),
            (CERTIFICATE, KeyFault::IsPublic),
            (&public_jwk(), KeyFault::IsPublic),
            (&encrypted, KeyFault::Encrypted),
            ("-----BEGIN EC PRIVATE KEY-----\nAA==\n-----END EC PRIVATE KEY-----", KeyFault::Curve),
            (include_str!("../../tests/keys/rsa1024.pem"), KeyFault::WrongSize),
            (r#"{"kty": "RSA", "n": "AQAB", "e": "AQAB", "d": "AQAB"}"#, KeyFault::NoPrivateKey),
            ("", KeyFault::Empty),
            ("django-insecure-5ecr3t", KeyFault::NoPrivateKey),
        ] {
            assert_eq!(private_key(text.as_bytes()).err(), Some(fault), "{text}");
        }
    }
}

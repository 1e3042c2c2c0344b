//! Tokens that no verifier may take, made from one that it must.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::actors::{Session, Tenant};
use crate::verifier::{Signer, open};

/// The fault of a token, and the token.
pub type Bad = (&'static str, String);

/// Bad tokens beside `good`, a session of `tenant`; `other` is a session of another tenant.
pub async fn bad(tenant: &Tenant<'_>, good: &Session, other: &Session) -> Vec<Bad> {
    let claims = good.claims();
    let published = tenant.import_key().await;
    let mut expired = claims.clone();
    (expired["iat"], expired["exp"]) = (shifted(&claims, "iat", -600), shifted(&claims, "exp", -600));
    let mut promoted = claims.clone();
    promoted["roles"] = json!(["root-admin"]);
    let (head, payload, signature) = parts(&good.access);
    let kid = open(&good.access).header["kid"].clone();
    vec![
        ("expired, though of a published key", published.sign(&expired)),
        ("another tenant's", other.access.clone()),
        ("a refresh token", good.refresh.clone()),
        ("with other claims", format!("{head}.{}.{signature}", encode(&promoted))),
        ("with half a signature", good.access[..good.access.len() - signature.len() / 2].to_owned()),
        ("of a key that nobody published", Signer::generate().sign(&claims)),
        ("unsigned", format!("{}.{payload}.", encode(&json!({"alg": "none", "typ": "JWT", "kid": kid})))),
        ("HS256 under the public key", confused(&claims, &kid, &tenant.public_key().await)),
    ]
}

/// RFC 8725, section 2.1: a published key, taken for the secret of an HMAC.
fn confused(claims: &Value, kid: &Value, pem: &str) -> String {
    let signed = format!("{}.{}", encode(&json!({"alg": "HS256", "typ": "JWT", "kid": kid})), encode(claims));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, pem.as_bytes()), signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
}

fn parts(token: &str) -> (&str, &str, &str) {
    let mut parts = token.split('.');
    let mut part = || parts.next().expect("three parts");
    (part(), part(), part())
}

fn encode(part: &Value) -> String {
    URL_SAFE_NO_PAD.encode(part.to_string())
}

fn shifted(claims: &Value, name: &str, secs: i64) -> Value {
    json!(claims[name].as_i64().expect(name) + secs)
}

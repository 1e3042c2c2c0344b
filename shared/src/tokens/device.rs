//! Remembered devices: a cookie with which a browser needs no code for some days.
//!
//! The value of the cookie is a prefix and 88 bytes in base64url: the user, 32 random bytes, the expiry (Unix
//! seconds), and an HMAC of these and the tenant under a key that is derived from the session root. So a value that
//! this tenant did not issue is refused before storage is read. The edge stores the digest of the random bytes, by
//! which the device is listed and revoked; the MAC alone does not suffice. The cookie is used only together with a
//! correct password.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use super::opaque;
use crate::derive::{Secret, mac};
use crate::ids::{TenantId, UserId};

/// The prefix of a device cookie, unique among credentials.
const PREFIX: &str = "wgd_";
const BYTES: usize = 16 + 32 + 8 + 32;

/// A remembered device. No `Debug`.
pub struct RememberedDevice {
    /// The user whose browser is remembered.
    pub user: UserId,
    id: [u8; 32],
    /// The expiry, in Unix seconds.
    pub expires_at: u64,
}

impl RememberedDevice {
    /// A device of random bytes.
    #[must_use]
    pub fn new(user: UserId, random: [u8; 32], expires_at: u64) -> Self {
        Self { user, id: random, expires_at }
    }

    fn mac(&self, key: &Secret, tenant: TenantId) -> [u8; 32] {
        let expires_at = self.expires_at.to_be_bytes();
        mac(key, "device/v1", &[tenant.as_bytes(), self.user.as_bytes(), &self.id, &expires_at])
    }

    /// Parses the value of a cookie; `None` for any other text, and for a MAC of none of `keys`.
    #[must_use]
    pub fn verify(keys: &[Secret], tenant: TenantId, unverified: &str) -> Option<Self> {
        let mut bytes = [0; BYTES];
        let text = unverified.strip_prefix(PREFIX)?;
        if URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) != Ok(BYTES) {
            return None;
        }
        let (user, rest) = bytes.split_first_chunk::<16>()?;
        let (id, rest) = rest.split_first_chunk::<32>()?;
        let (expires_at, claimed) = rest.split_first_chunk::<8>()?;
        let device = Self {
            user: UserId::from(Uuid::from_bytes(*user)),
            id: *id,
            expires_at: u64::from_be_bytes(*expires_at),
        };
        let holds = |key: &Secret| bool::from(device.mac(key, tenant).as_slice().ct_eq(claimed));
        let good = keys.iter().any(holds);
        good.then_some(device)
    }

    /// The value of the cookie.
    #[must_use]
    pub fn to_text(&self, key: &Secret, tenant: TenantId) -> String {
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.extend(self.user.as_bytes());
        bytes.extend(self.id);
        bytes.extend(self.expires_at.to_be_bytes());
        bytes.extend(self.mac(key, tenant));
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    /// The stored digest of the device, which is also its id in lists.
    #[must_use]
    pub fn digest(&self) -> String {
        opaque::digest(&self.id)
    }
}

/// Whether a text has the form of a device's id.
#[must_use]
pub fn is_digest(text: &str) -> bool {
    let mut bytes = [0; 32];
    URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) == Ok(32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant() -> TenantId {
        TenantId::parse("01890a5d-ac96-774b-bcce-b302099a8057").unwrap()
    }

    fn user() -> UserId {
        UserId::parse("0190a5da-c967-74bb-8ceb-302099a8057f").unwrap()
    }

    fn device() -> RememberedDevice {
        RememberedDevice::new(user(), [7; 32], 1_800_000_000)
    }

    /// Computed with Python's `hmac`, `hashlib`, `struct` and `base64`.
    #[test]
    fn a_value_matches_the_vector() {
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../vectors/device.json")).unwrap();
        let key = Secret::new([0x0b; 32]);
        assert_eq!(device().to_text(&key, tenant()), vectors["value"].as_str().unwrap());
        assert_eq!(device().digest(), vectors["digest"].as_str().unwrap());
        assert!(is_digest(&device().digest()));
    }

    #[test]
    fn a_value_is_good_at_its_tenant_under_its_key_whole() {
        let keys = [Secret::new([1; 32]), Secret::new([2; 32])];
        for key in &keys {
            let text = device().to_text(key, tenant());
            let read = RememberedDevice::verify(&keys, tenant(), &text).unwrap();
            assert_eq!((read.user, read.expires_at), (user(), 1_800_000_000));
            assert_eq!(read.digest(), device().digest());
        }
        let text = device().to_text(&keys[0], tenant());
        let other = TenantId::new(1, [1; 10]);
        assert!(RememberedDevice::verify(&keys, other, &text).is_none());
        assert!(RememberedDevice::verify(&[Secret::new([3; 32])], tenant(), &text).is_none());
        assert!(RememberedDevice::verify(&[], tenant(), &text).is_none());
        for bad in ["", "wgd_", &text[4..], &text[..text.len() - 1], &format!("{text}A"), &format!("{text}=")]
        {
            assert!(RememberedDevice::verify(&keys, tenant(), bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn no_bit_can_be_changed() {
        let keys = [Secret::new([1; 32])];
        let text = device().to_text(&keys[0], tenant());
        let bytes = URL_SAFE_NO_PAD.decode(&text[4..]).unwrap();
        for at in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[at / 8] ^= 1 << (at % 8);
            let changed = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(changed));
            assert!(RememberedDevice::verify(&keys, tenant(), &changed).is_none(), "{at}");
        }
    }
}

//! The tenant's document: all data of the edge about a tenant, pushed as a whole by control, with its own revision.
//! It has no secret in clear.

pub mod captcha;
pub mod header_name;
pub mod networks;
pub mod notices;
pub mod origin;
pub mod page_url;
pub mod profile;
pub mod registration;
pub mod role_timeout;
pub mod settings;
pub mod visibility;

use serde::{Deserialize, Deserializer, Serialize};

use crate::ids::{HostName, KeyId, Slug, TenantId};
use crate::tenant::captcha::Captcha;
use crate::tenant::settings::Settings;
use crate::tokens::claims::{Expected, FormerClaims, UserIdForm};
use crate::tokens::jwk::PublicKey;
use crate::tokens::legacy::Legacy;
use crate::wire::needs::Needs;

/// State of a tenant. An unknown value of a later release is read as suspended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Created, but its cell does not exist yet. Clients of the edge get 404.
    Provisioning,
    /// Active.
    Active,
    /// Deleted; its names and ids are never reused.
    Deleted,
    /// Suspended: only keys and health are served.
    #[serde(other)]
    Suspended,
}

/// State of a signing key. Removed keys are not in the document. An unknown value of a later release is read as
/// revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyState {
    /// Published, does not sign before its `sign_from`.
    Next,
    /// Signs.
    Active,
    /// Signed; its tokens still verify.
    Retired,
    /// Refused at once and not published.
    #[serde(other)]
    Revoked,
}

/// A signing key at the edge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningKey {
    /// RFC 7638 thumbprint.
    pub kid: KeyId,
    /// The public half.
    pub public: PublicKey,
    /// The state in control. The signing key is chosen by `sign_from`, so that all isolates switch at once without
    /// another push.
    pub state: KeyState,
    /// Unix seconds from which it signs; `None` before a rotation is scheduled.
    pub sign_from: Option<u64>,
    /// PKCS#8, sealed to the edge; absent once it may not sign any more.
    pub sealed: Option<String>,
}

/// A root secret, sealed to the edge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// Its version, incremented at every rotation.
    pub version: u32,
    /// 32 bytes, sealed.
    pub sealed: String,
}

/// A session root, sealed to the edge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRoot {
    /// Its version, incremented at every rotation.
    pub version: u32,
    /// 32 bytes, sealed.
    pub sealed: String,
    /// Unix seconds from which it signs, so that all isolates switch at once without another push. `None` for the
    /// first of a tenant, and for a new one that the edge has not confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign_from: Option<u64>,
}

/// The tenant's document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// Its short name.
    pub slug: Slug,
    /// Its state.
    pub status: Status,
    /// Restore counter of the tenant in control.
    pub history: i64,
    /// Revision of this document within `history`.
    pub doc_rev: i64,
    /// `iss` of every token.
    pub issuer: String,
    /// `aud` of access tokens, where the tenant has one.
    pub audience: Option<String>,
    /// Former issuers and audiences, while tokens with them may be unexpired. A reader that does not know the field
    /// refuses such tokens.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former_claims: Vec<FormerClaims>,
    /// Its own hosts.
    pub hosts: Vec<HostName>,
    /// The D1 shards with its users.
    pub shards: Vec<u8>,
    /// Its settings.
    pub settings: Settings,
    /// Its signing keys, oldest first. A key of an unknown form is skipped; a later release that signs with one must
    /// add a word to `needs`.
    #[serde(deserialize_with = "readable")]
    pub keys: Vec<SigningKey>,
    /// Its session roots, one or two: both verify. [`Tenant::session_root`] says which one signs.
    pub session_roots: Vec<SessionRoot>,
    /// Its lookup root.
    pub lookup_root: Root,
    /// The former lookup root, while hashes under it are in use. A reader that does not know the field does not find
    /// these; a document that must not be misread has a word in `needs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former_lookup_root: Option<Root>,
    /// A sealed verifier that no password satisfies.
    pub dummy_verifier: String,
    /// The form of the claim `user_id`.
    pub user_id: UserIdForm,
    /// The legacy tokens that are accepted.
    pub legacy: Option<Legacy>,
    /// Present while a user has an imported password hash of another service.
    pub foreign: Option<Foreign>,
    /// The CAPTCHA of sign-ins, if there is one. It has a word in `needs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub captcha: Option<Captcha>,
    /// The features that a reader must know to sign users in.
    #[serde(default, skip_serializing_if = "Needs::is_empty")]
    pub needs: Needs,
}

/// Passwords that control checks, because their hashes are not ours (yet).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Foreign {
    /// Unix seconds from which imported hashes are not checked any more; without it they are checked until none is
    /// left.
    pub until: Option<u64>,
}

/// The keys that this release can read.
fn readable<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<SigningKey>, D::Error> {
    let keys = Vec::<serde_json::Value>::deserialize(deserializer)?;
    Ok(keys.into_iter().filter_map(|key| serde_json::from_value(key).ok()).collect())
}

impl Tenant {
    /// The key that signs at `now_secs`: of the keys that are not revoked and whose `sign_from` has passed, the
    /// latest.
    #[must_use]
    pub fn signing_key(&self, now_secs: u64) -> Option<&SigningKey> {
        let ready = self.keys.iter().filter(|key| key.state != KeyState::Revoked && key.sealed.is_some());
        let due = ready.filter(|key| key.sign_from.is_some_and(|from| from <= now_secs));
        due.max_by_key(|key| key.sign_from)
    }

    /// The key that verifies tokens naming `kid`, unless it is unknown or revoked.
    #[must_use]
    pub fn verifying_key(&self, kid: &str) -> Option<&SigningKey> {
        self.keys.iter().find(|key| key.kid.as_str() == kid && key.state != KeyState::Revoked)
    }

    /// The published keys: next, active and retired.
    pub fn published_keys(&self) -> impl Iterator<Item = &SigningKey> {
        self.keys.iter().filter(|key| key.state != KeyState::Revoked)
    }

    /// The index in `session_roots` of the root that signs tokens of the time `made_secs`: of the roots whose
    /// `sign_from` had passed then, the latest, and without one the oldest. So a token of one time is signed by the
    /// same root before and after the switch.
    #[must_use]
    pub fn session_root(&self, made_secs: u64) -> usize {
        let roots = || self.session_roots.iter().enumerate();
        let due = roots().filter(|(_, root)| root.sign_from.is_some_and(|from| from <= made_secs));
        let latest = due.max_by_key(|(_, root)| root.sign_from);
        latest.or_else(|| roots().min_by_key(|(_, root)| root.version)).map_or(0, |(place, _)| place)
    }

    /// The requirements of the tenant's access tokens.
    #[must_use]
    pub fn expected(&self) -> Expected<'_> {
        Expected {
            tenant: self.id,
            issuer: &self.issuer,
            audience: self.audience.as_deref(),
            former: &self.former_claims,
        }
    }

    /// Whether refused sign-ins at `now_secs` call control because of imported hashes.
    #[must_use]
    pub fn asks_about_foreign(&self, now_secs: u64) -> bool {
        self.foreign.is_some_and(|foreign| foreign.until.is_none_or(|until| now_secs < until))
    }

    /// (`history`, `doc_rev`): a reader never goes back to a smaller one.
    #[must_use]
    pub fn revision(&self) -> (i64, i64) {
        (self.history, self.doc_rev)
    }

    /// The shard of the tenant's users. A list of one today.
    #[must_use]
    pub fn shard(&self) -> u8 {
        self.shards.first().copied().unwrap_or(0)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    pub(crate) fn key(fill: u8, state: KeyState, sign_from: Option<u64>) -> SigningKey {
        let public = PublicKey::parse(&URL_SAFE_NO_PAD.encode([fill | 0x81; 256]), "AQAB").unwrap();
        SigningKey { kid: public.key_id(), public, state, sign_from, sealed: Some(String::from("sealed")) }
    }

    pub(crate) fn tenant() -> Tenant {
        Tenant {
            id: TenantId::new(1, [1; 10]),
            slug: Slug::parse("acme").unwrap(),
            status: Status::Active,
            history: 1,
            doc_rev: 7,
            issuer: String::from("https://acme.example"),
            audience: None,
            former_claims: vec![],
            hosts: vec![],
            shards: vec![0],
            settings: Settings::default(),
            keys: vec![key(0, KeyState::Active, Some(10)), key(2, KeyState::Next, Some(20))],
            session_roots: vec![],
            lookup_root: Root { version: 1, sealed: String::new() },
            former_lookup_root: None,
            dummy_verifier: String::new(),
            user_id: UserIdForm::Uuid,
            legacy: None,
            foreign: None,
            captcha: None,
            needs: Needs::default(),
        }
    }

    #[test]
    fn a_key_signs_from_its_time_without_another_push() {
        let mut tenant = tenant();
        let signing = |tenant: &Tenant, now| tenant.signing_key(now).map(|key| key.sign_from);
        assert_eq!(signing(&tenant, 9), None);
        assert_eq!(signing(&tenant, 19), Some(Some(10)));
        assert_eq!(signing(&tenant, 20), Some(Some(20)));
        tenant.keys[1].state = KeyState::Revoked;
        assert_eq!(signing(&tenant, 20), Some(Some(10)));
        assert_eq!(tenant.published_keys().count(), 1);
        let revoked = tenant.keys[1].kid.clone();
        assert!(tenant.verifying_key(revoked.as_str()).is_none());
    }

    #[test]
    fn a_session_root_signs_what_is_made_from_its_time_on() {
        let root = |version, sign_from| SessionRoot { version, sealed: String::from("sealed"), sign_from };
        let signs = |roots: &[SessionRoot], made| {
            let tenant = Tenant { session_roots: roots.to_vec(), ..tenant() };
            tenant.session_roots.get(tenant.session_root(made)).map(|root| root.version)
        };
        let (first, unconfirmed) = (root(1, None), root(2, None));
        assert_eq!(signs(&[], 5), None);
        for made in [0, 5, u64::MAX] {
            assert_eq!(signs(std::slice::from_ref(&first), made), Some(1));
            assert_eq!(signs(&[first.clone(), unconfirmed.clone()], made), Some(1));
            assert_eq!(signs(&[unconfirmed.clone(), first.clone()], made), Some(1));
        }
        for roots in [[first.clone(), root(2, Some(100))], [root(2, Some(100)), first]] {
            assert_eq!(signs(&roots, 99), Some(1), "also when it is asked for later");
            assert_eq!(signs(&roots, 100), Some(2));
        }
        let again = [root(2, Some(100)), root(3, Some(200))];
        assert_eq!([50, 150, 200].map(|made| signs(&again, made)), [Some(2), Some(2), Some(3)]);
    }

    #[test]
    fn the_document_survives_its_json() {
        let json = serde_json::to_string(&tenant()).unwrap();
        assert_eq!(serde_json::from_str::<Tenant>(&json).unwrap(), tenant());
    }
}

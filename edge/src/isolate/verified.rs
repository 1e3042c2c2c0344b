//! A cache of access tokens with a verified signature, so that the next request with the same token costs no
//! cryptography. Bounded; expiry, denials and the key's state are checked on every hit.

use std::cell::OnceCell;
use std::rc::Rc;

use shared::contract::refusal::TokenFault;
use shared::ids::{SessionId, TenantId, UserId};
use shared::tokens::claims::UserIdClaim;

use super::generations::Generations;

/// Entries of one generation; two are kept.
const ENTRIES: usize = 4096;
/// Characters of the signature that are the key of the map; the whole token is compared, too.
const KEY: usize = 16;

/// The claims of a verified access token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedToken {
    /// The tenant.
    pub tenant: TenantId,
    /// The revision of the document that its signature was verified under.
    pub revision: (i64, i64),
    /// The user.
    pub sub: UserId,
    /// The user's id as clients of the old service read it.
    pub user_id: UserIdClaim,
    /// The session.
    pub sid: SessionId,
    /// The access epoch.
    pub epoch: i64,
    /// Role names.
    pub roles: Vec<String>,
    /// Whether its session used a second factor.
    pub mfa: bool,
    /// Unix seconds.
    pub exp: i64,
    /// Unix seconds until which this is all there is to know, but for denials.
    pub known_until: i64,
    /// The session that a token of the legacy service leads to. A legacy token satisfies no administrative
    /// permission and no recent sign-in.
    pub legacy: Option<LegacyTrail>,
    /// The state of its user's and session's rows, if they were read for it.
    pub standing: Option<Standing>,
    /// The body of the answer to its validation, once it was made: it says nothing but claims.
    pub body: OnceCell<Box<str>>,
}

/// The state of a token's user and session, with the time when it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The start of the read, Unix milliseconds.
    pub as_of: u64,
    /// The verdict on the token.
    pub verdict: Result<(), TokenFault>,
}

impl Standing {
    /// Milliseconds since the read.
    #[must_use]
    pub fn age_ms(self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.as_of)
    }
}

/// The user and session of a verified legacy token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegacyTrail {
    /// The id of its session. For an access token there is no such family until a sign-out with it creates one.
    pub sid: SessionId,
    /// Keyed hash of its user's id.
    pub user: String,
    /// The same under the former lookup root, while it is in use.
    pub former_user: Option<String>,
    /// The keyed hash of its `jti`, if it must be on the list of outstanding tokens.
    pub listed: Option<String>,
    /// The same under the former lookup root, because an issued token cannot be listed again.
    pub former_listed: Option<String>,
    /// Unix seconds.
    pub expires_at: i64,
    /// (`history`, `doc_rev`) of the document whose key verified it.
    pub vouched: (i64, i64),
}

type Key = [u8; KEY];

/// The cache.
#[derive(Default)]
pub struct VerifiedTokens(Generations<Key, (String, Rc<VerifiedToken>), ENTRIES>);

fn key(token: &str) -> Option<Key> {
    token.as_bytes().last_chunk::<KEY>().copied()
}

impl VerifiedTokens {
    /// The entry of exactly this token.
    #[must_use]
    pub fn get(&self, token: &str) -> Option<&Rc<VerifiedToken>> {
        let entry = self.0.get(&key(token)?);
        entry.filter(|(known, _)| known == token).map(|(_, access)| access)
    }

    /// Stores the state of a token's user and session; the latest read counts.
    pub fn stands(&mut self, token: &str, standing: Standing) {
        let entry = key(token).and_then(|key| self.0.get_mut(&key));
        if let Some((_, access)) = entry.filter(|(known, _)| known == token)
            && access.standing.is_none_or(|known| known.as_of <= standing.as_of)
        {
            Rc::make_mut(access).standing = Some(standing);
        }
    }

    /// Remembers a token that was verified.
    pub fn insert(&mut self, token: &str, access: VerifiedToken) {
        let Some(key) = key(token) else { return };
        self.0.insert(key, (token.to_owned(), Rc::new(access)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(exp: i64) -> VerifiedToken {
        VerifiedToken {
            tenant: TenantId::new(1, [1; 10]),
            revision: (1, 1),
            sub: UserId::new(1, [1; 10]),
            user_id: UserIdClaim::Integer(1),
            sid: SessionId::new(0, [1; 16]),
            epoch: 0,
            roles: vec![],
            mfa: false,
            exp,
            known_until: exp,
            legacy: None,
            standing: None,
            body: OnceCell::new(),
        }
    }

    #[test]
    fn only_the_very_token_is_found() {
        let mut verified = VerifiedTokens::default();
        verified.insert("header.payload.signature-of-many-characters", access(1));
        assert!(verified.get("header.payload.signature-of-many-characters").is_some());
        assert!(verified.get("header.PAYLOAD.signature-of-many-characters").is_none());
        assert!(verified.get("short").is_none());
    }

    #[test]
    fn it_is_bounded_and_keeps_the_young() {
        let mut verified = VerifiedTokens::default();
        for index in 0..3 * ENTRIES {
            verified.insert(&format!("token-{index:032}"), access(1));
        }
        assert!(verified.get(&format!("token-{:032}", 3 * ENTRIES - 1)).is_some());
        assert!(verified.get(&format!("token-{:032}", 0)).is_none());
    }
}

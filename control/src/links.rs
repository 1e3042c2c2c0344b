//! The tokens of mailed links: each can be used once, for one purpose, before it expires.
//!
//! A token is 32 random bytes. PostgreSQL holds its SHA-256, which needs no key, because the bytes cannot be guessed.
//! A user, or a request, has one valid link of a kind: a newer one replaces it.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use shared::contract::limits::{
    ADDRESS_LINK_SECS, INVITE_LINK_SECS, NETWORK_LINK_SECS, RESET_LINK_SECS, UNDO_LINK_SECS, VERIFY_LINK_SECS,
};
use shared::ids::UserId;
use zeroize::Zeroizing;

use crate::db::TenantTx;
use crate::failure::Failure;
use crate::requests::RequestId;
use crate::world::random;

const TOKEN_BYTES: usize = 32;

/// The purpose of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LinkKind {
    /// Verifies the address of a registration, or of a user with an unverified address.
    Verify,
    /// Sets a new password.
    Reset,
    /// Accepts an invitation.
    Invite,
    /// Proves a user's new address.
    Address,
    /// Takes a change of address back.
    Undo,
    /// Confirms the network that it is used from.
    Network,
}

impl LinkKind {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Verify, Self::Reset, Self::Invite, Self::Address, Self::Undo, Self::Network];

    /// As stored, and as the path of its page names it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Verify => "verify",
            Self::Reset => "reset",
            Self::Invite => "invite",
            Self::Address => "address",
            Self::Undo => "undo",
            Self::Network => "network",
        }
    }

    /// Its lifetime.
    #[must_use]
    pub fn lifetime(self) -> TimeDelta {
        TimeDelta::seconds(match self {
            Self::Verify => VERIFY_LINK_SECS,
            Self::Reset => RESET_LINK_SECS,
            Self::Invite => INVITE_LINK_SECS,
            Self::Address => ADDRESS_LINK_SECS,
            Self::Undo => UNDO_LINK_SECS,
            Self::Network => NETWORK_LINK_SECS,
        })
    }
}

/// The holder of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A user.
    User(UserId),
    /// A request: a registration or an invitation, or a user's change of address.
    Request(RequestId),
}

/// The secret of a link. It has no `Debug`: it belongs into one mail, and nowhere else.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LinkToken(Zeroizing<String>);

impl LinkToken {
    fn make() -> Result<Self, Failure> {
        let bytes = Zeroizing::new(random::<TOKEN_BYTES>()?);
        Ok(Self(Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_slice()))))
    }

    /// The text, for the mail.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// The digest of a presented token; `None` for a text that is not a token.
fn digest_of(presented: &str) -> Option<Vec<u8>> {
    let mut bytes = Zeroizing::new([0; TOKEN_BYTES]);
    let length = URL_SAFE_NO_PAD.decode_slice(presented.trim(), bytes.as_mut_slice()).ok()?;
    (length == TOKEN_BYTES).then(|| digest(&SHA256, bytes.as_slice()).as_ref().to_vec())
}

/// Creates a link. An older one of the kind and holder is good no more.
///
/// # Errors
/// The database's, or without randomness.
pub async fn make(
    tx: &mut TenantTx,
    kind: LinkKind,
    holder: Holder,
    now: DateTime<Utc>,
) -> Result<LinkToken, Failure> {
    let token = LinkToken::make()?;
    let (user, request) = columns(holder);
    sqlx::query!(
        "insert into links (tenant_id, kind, digest, user_id, request_id, created_at, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7)
         on conflict (tenant_id, kind, holder) do update
         set digest = excluded.digest, created_at = excluded.created_at, expires_at = excluded.expires_at",
        tx.tenant().uuid(),
        kind.as_str(),
        digest_of(token.expose()),
        user,
        request,
        now,
        now + kind.lifetime(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(token)
}

/// Whether a link could be taken now: asked before a password is hashed for it.
///
/// # Errors
/// Errors of the database.
pub async fn look(
    tx: &mut TenantTx,
    kind: LinkKind,
    presented: &str,
    now: DateTime<Utc>,
) -> Result<Option<Holder>, Failure> {
    let Some(digest) = digest_of(presented) else { return Ok(None) };
    let row = sqlx::query!(
        "select user_id, request_id
         from links
         where tenant_id = $1 and kind = $2 and digest = $3 and expires_at > $4",
        tx.tenant().uuid(),
        kind.as_str(),
        digest,
        now,
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row.and_then(|row| holder(row.user_id, row.request_id)))
}

/// Uses a link up: of many concurrent calls one gets its holder. If the transaction is not committed, the link stays
/// valid.
///
/// # Errors
/// Errors of the database.
pub async fn take(
    tx: &mut TenantTx,
    kind: LinkKind,
    presented: &str,
    now: DateTime<Utc>,
) -> Result<Option<Holder>, Failure> {
    let Some(digest) = digest_of(presented) else { return Ok(None) };
    let row = sqlx::query!(
        "delete from links
         where tenant_id = $1 and kind = $2 and digest = $3 and expires_at > $4
         returning user_id, request_id",
        tx.tenant().uuid(),
        kind.as_str(),
        digest,
        now,
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row.and_then(|row| holder(row.user_id, row.request_id)))
}

/// Revokes the valid link of a kind and holder. Returns whether there was one.
///
/// # Errors
/// Errors of the database.
pub async fn revoke(tx: &mut TenantTx, kind: LinkKind, holder: Holder) -> Result<bool, Failure> {
    let (user, request) = columns(holder);
    let gone = sqlx::query!(
        "delete from links where tenant_id = $1 and kind = $2 and holder = coalesce($3::uuid, $4::uuid)",
        tx.tenant().uuid(),
        kind.as_str(),
        user,
        request,
    )
    .execute(&mut **tx)
    .await?;
    Ok(gone.rows_affected() > 0)
}

/// Ends the mailed links that can change the account of a user or sign in to it, and those of the requests that wait for
/// it. The link that takes a change of address back stays, because the user may need it next.
///
/// # Errors
/// Errors of the database.
pub async fn end_of_user(tx: &mut TenantTx, user: UserId) -> Result<(), Failure> {
    let ended = [LinkKind::Verify, LinkKind::Reset, LinkKind::Address, LinkKind::Network];
    let ended = ended.map(|kind| kind.as_str().to_owned());
    sqlx::query!(
        "delete from links
         where tenant_id = $1 and kind = any ($3)
             and (user_id = $2 or request_id in (
                 select id from requests where tenant_id = $1 and user_id = $2
             ))",
        tx.tenant().uuid(),
        user.uuid(),
        &ended,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Deletes links of the tenant that have expired.
///
/// # Errors
/// Errors of the database.
pub async fn prune(tx: &mut TenantTx, now: DateTime<Utc>) -> Result<(), Failure> {
    sqlx::query!("delete from links where tenant_id = $1 and expires_at <= $2", tx.tenant().uuid(), now)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

fn columns(holder: Holder) -> (Option<uuid::Uuid>, Option<uuid::Uuid>) {
    match holder {
        Holder::User(user) => (Some(user.uuid()), None),
        Holder::Request(request) => (None, Some(request.uuid())),
    }
}

fn holder(user: Option<uuid::Uuid>, request: Option<uuid::Uuid>) -> Option<Holder> {
    match (user, request) {
        (Some(user), _) => Some(Holder::User(user.into())),
        (None, Some(request)) => Some(Holder::Request(request.into())),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_token_has_no_digest() {
        let token = LinkToken::make().unwrap();
        assert_eq!(token.expose().len(), 43);
        assert_eq!(digest_of(token.expose()), digest_of(&format!(" {}\n", token.expose())));
        for garbage in ["", "x", &token.expose()[..42], &format!("{}A", token.expose()), "%", "\u{e4}"] {
            assert_eq!(digest_of(garbage), None, "{garbage}");
        }
    }
}

//! The push of control to the edge, and the edge's answer; also control's commands.
//!
//! Every row has the revision of its last change. A row is written only if its (`history`, `rev`) is greater than the
//! stored one, so order, repeats, overlap and replay are harmless. A message is one D1 batch, which is a transaction.
//!
//! The two halves are deployed one after the other, so messages of the previous and the next release are read, too: a
//! new field has a default, and an unknown one is ignored or stored. [`crate::wire::needs`] names the features that
//! must not be ignored.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::Invalid;
use crate::ids::{AuthenticatorId, SessionId, TenantId, UserId};
use crate::tenant::Tenant;
use crate::user::UserStatus;
use crate::wire::client::ClientInfo;
use crate::wire::needs::Needs;
use crate::wire::verbatim::Verbatim;

/// `POST /internal/v1/push`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Push {
    /// The tenant of the rows and of the mark. Names are sent for the platform tenant.
    pub tenant: TenantId,
    /// The tenant's restore counter; every row of the message is of this history.
    pub history: i64,
    /// The range of revisions that this message completes. Absent for changes sent ahead.
    #[serde(default)]
    pub complete: Option<Complete>,
    /// Present while a snapshot is sent.
    #[serde(default)]
    pub snapshot: Option<Snapshot>,
    /// The tenant's document, if it changed.
    #[serde(default)]
    pub document: Option<DocumentRow>,
    /// Names that changed; at the platform tenant alone.
    #[serde(default)]
    pub names: Vec<NameRow>,
    /// Users that changed.
    #[serde(default)]
    pub users: Vec<Verbatim<UserRow>>,
    /// Identifiers that changed.
    #[serde(default)]
    pub identifiers: Vec<IdentifierRow>,
    /// Sessions that ended; they have no revision, because ending is final.
    #[serde(default)]
    pub ended_sessions: Vec<SessionId>,
    /// The owners of the sessions: a session of another user is not ended. A session without an entry is ended
    /// whatever its owner.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub session_owners: BTreeMap<SessionId, UserId>,
}

/// Says that every change with `from < rev <= to` is in this message or an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Complete {
    /// The least mark that this message continues from; 0 at the end of a snapshot.
    pub from: i64,
    /// The new mark.
    pub to: i64,
}

/// A part of a snapshot: pages stamp their rows, the sweep turns unstamped rows into tombstones, and the message
/// after it moves the mark with `complete {from: 0, to}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// A unique name of this snapshot, 1 to 64 characters. Of two snapshots of a tenant the one that began later has
    /// the greater name, byte by byte: stamps only grow and a sweep spares greater ones, so a message of an older
    /// snapshot that arrives late, or again, deletes no row.
    pub id: String,
    /// The revision counter when it began: rows above it are not touched.
    pub to: i64,
    /// The step of this message.
    pub step: SnapshotStep,
}

/// Steps of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotStep {
    /// Rows of the snapshot.
    Page,
    /// Turns users and identifiers that no page named into tombstones; repeated while the answer says `remaining`.
    Sweep,
    /// The same for names; only in the platform tenant's snapshot.
    SweepNames,
}

/// A tenant's document, or its tombstone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DocumentRow {
    /// Revision of the change.
    pub rev: i64,
    /// The document; its status is `deleted` for a deleted tenant.
    pub document: Box<Verbatim<Tenant>>,
}

/// A host or slug, or its tombstone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameRow {
    /// `host:<host>` or `slug:<slug>`.
    pub name: String,
    /// Revision in the platform tenant's counter.
    pub rev: i64,
    /// The tenant it names; absent in a tombstone.
    pub tenant: Option<TenantId>,
    /// The shard with the tenant's document.
    pub shard: u8,
}

/// A user as a sign-in needs them: no name, no address, no password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRow {
    /// The user.
    pub id: UserId,
    /// Revision of the change.
    pub rev: i64,
    /// Their status; `deleted` makes the row a tombstone.
    pub status: UserStatus,
    /// Raised by every change that ends access tokens.
    pub access_epoch: i64,
    /// Raised by every change that ends sessions.
    pub session_epoch: i64,
    /// The access epoch of the last password change.
    pub password_epoch: i64,
    /// Role names.
    pub roles: Vec<String>,
    /// The sealed verifier; absent for a user without a password.
    pub verifier: Option<String>,
    /// Whether the user has an imported password hash, which control checks.
    #[serde(default)]
    pub foreign: bool,
    /// The id that the old service gave, where the tenant came from one.
    #[serde(default)]
    pub legacy_id: Option<String>,
    /// Why the user must choose a new password before there is a session; absent: they need not, unless the
    /// password is older than the tenant's `password_max_age_secs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_due: Option<PasswordDue>,
    /// When the password was set, Unix milliseconds. Absent: unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_changed_at: Option<u64>,
    /// When a one-time password expires, Unix milliseconds: from then on it counts as wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_valid_until: Option<u64>,
    /// The session that continues although `session_epoch` was raised. A reader that does not know the field ends it,
    /// too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_session: Option<KeptSession>,
    /// All active authenticators of the user. With one, `needs` has
    /// [`SECOND_FACTOR`](crate::wire::needs::SECOND_FACTOR).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authenticators: Vec<AuthenticatorRow>,
    /// The user's recovery codes, if any. They are accepted only if the user has an authenticator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<RecoveryRow>,
    /// The features that a reader must know to sign this user in.
    #[serde(default, skip_serializing_if = "Needs::is_empty")]
    pub needs: Needs,
}

/// An authenticator as a sign-in needs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthenticatorRow {
    /// Which.
    pub id: AuthenticatorId,
    /// The seed, sealed ([`crate::wire::seal::Kind::TotpSeed`]).
    pub seed: String,
    /// The last used time step that control knows: that of the enrolment, or of a fact. The edge keeps the greater
    /// one of this and its own.
    pub last_step: i64,
}

/// A user's set of recovery codes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryRow {
    /// The key of their hashes, sealed ([`crate::wire::seal::Kind::RecoveryKey`]).
    pub key: String,
    /// The codes, including used ones. A code that the edge knows as used stays used.
    pub codes: Vec<RecoveryCodeRow>,
}

/// A recovery code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryCodeRow {
    /// Its keyed hash in base64url ([`crate::second_factor::recovery::RecoveryCode::hash`]).
    pub hash: String,
    /// When control learned that it was used, Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_at: Option<u64>,
}

/// Why a user must choose a new password. An unknown value of a later release is read as required, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PasswordDue {
    /// A change is required.
    #[serde(other)]
    Must,
}

impl PasswordDue {
    /// Its name in columns.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Must => "must",
        }
    }
}

/// The session in which a user has changed the password: it is lifted to the session epoch of the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptSession {
    /// Which.
    pub sid: SessionId,
    /// The lowest session epoch that the session may have: with a lower one it has ended. More than one below the
    /// row's if the same session was kept several times in a row.
    pub from: i64,
}

/// A keyed hash by which a user is found, or its tombstone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentifierRow {
    /// 32 bytes in base64url: of a user name or address ([`crate::derive::identifier_hash`]), of an old
    /// service's id ([`crate::derive::legacy_user_hash`]), or of a refresh token of that service that
    /// is still out ([`crate::derive::legacy_token_hash`]).
    pub hash: String,
    /// Revision of the change.
    pub rev: i64,
    /// The user; absent in a tombstone.
    pub user: Option<UserId>,
}

impl IdentifierRow {
    /// The text form of a keyed hash.
    #[must_use]
    pub fn encode_hash(hash: &[u8; 32]) -> String {
        URL_SAFE_NO_PAD.encode(hash)
    }
}

/// The revision up to which the edge has everything of a tenant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mark {
    /// The restore counter.
    pub history: i64,
    /// The revision.
    pub rev: i64,
}

/// 200 of a push.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pushed {
    /// The tenant's mark after the message.
    pub mark: Mark,
    /// Whether the sweep must be repeated; false for other messages.
    pub remaining: bool,
}

impl Push {
    /// Rows in the message, of all kinds.
    #[must_use]
    pub fn rows(&self) -> usize {
        let document = usize::from(self.document.is_some());
        document + self.names.len() + self.users.len() + self.identifiers.len() + self.ended_sessions.len()
    }

    /// Checks what types cannot: sizes, ranges, and that no row belongs to another tenant.
    ///
    /// # Errors
    /// The first fault.
    pub fn check(&self) -> Result<(), Invalid> {
        let document_fits = self.document.as_ref().is_none_or(|row| {
            row.document.id == self.tenant
                && row.document.history == self.history
                && row.document.doc_rev == row.rev
        });
        let hashes_fit = self.identifiers.iter().all(|row| {
            let mut hash = [0; 32];
            URL_SAFE_NO_PAD.decode_slice(&row.hash, &mut hash) == Ok(32)
        });
        let range_fits = self.complete.is_none_or(|range| 0 <= range.from && range.from <= range.to);
        let snapshot_fits = self
            .snapshot
            .as_ref()
            .is_none_or(|it| (1..=64).contains(&it.id.len()) && self.complete.is_none());
        if self.rows() > crate::contract::limits::PUSH_ROWS {
            Err(Invalid("push: too many rows"))
        } else if self.history < 1 || !range_fits || !snapshot_fits {
            Err(Invalid("push: range"))
        } else if !document_fits {
            Err(Invalid("push: document of this tenant and revision"))
        } else if !hashes_fit {
            Err(Invalid("push: identifier hash"))
        } else {
            Ok(())
        }
    }
}

/// `POST /internal/v1/command`: questions of control, and the one order that has no revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// The marks of these tenants and the shard's incarnation; at most 500.
    Status {
        /// The tenants.
        tenants: Vec<TenantId>,
    },
    /// Lists the active sessions of a user.
    Sessions {
        /// The tenant.
        tenant: TenantId,
        /// The user.
        user: UserId,
    },
    /// Ends one session.
    EndSession {
        /// The tenant.
        tenant: TenantId,
        /// The session.
        sid: SessionId,
    },
    /// Makes a network known to a user for a time, after the user has confirmed it by a mailed link.
    ConfirmNetwork {
        /// The tenant.
        tenant: TenantId,
        /// The user.
        user: UserId,
        /// The network, as [`crate::network::of`] writes it.
        network: String,
        /// Until when, Unix milliseconds.
        until_ms: i64,
    },
    /// Lifts every count of wrong passwords of an account.
    LiftAttempts {
        /// The tenant.
        tenant: TenantId,
        /// The user.
        user: UserId,
    },
    /// Lists the valid remembered devices of a user.
    Devices {
        /// The tenant.
        tenant: TenantId,
        /// The user.
        user: UserId,
    },
    /// Forgets one remembered device of a user, or all.
    ForgetDevices {
        /// The tenant.
        tenant: TenantId,
        /// The user.
        user: UserId,
        /// Which; absent: all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        device: Option<String>,
    },
    /// Gives the shard's restored database a new incarnation.
    Restored {
        /// The shard.
        shard: u8,
    },
}

/// Answer to [`Command::Status`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusOut {
    /// Random id of the database; another one after a reset, and after `wardgate edges restored`.
    pub incarnation: String,
    /// The edge's Unix time in milliseconds.
    pub now_ms: u64,
    /// Facts that wait to be drained.
    pub outbox: u64,
    /// The marks of the tenants that have data here; 0/0 before the first.
    pub marks: Vec<TenantMark>,
}

/// A tenant's mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantMark {
    /// The tenant.
    pub tenant: TenantId,
    /// Its mark.
    pub mark: Mark,
    /// The highest history that the edge has seen. During a snapshot it is above the mark's. Absent from the previous
    /// release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<i64>,
    /// Revision of its document at the edge.
    pub doc_rev: i64,
    /// Revision of its document in KV, as far as D1 knows.
    pub kv_rev: i64,
}

/// Answer to [`Command::Sessions`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionsOut {
    /// The active sessions, newest sign-in first.
    pub sessions: Vec<SessionOut>,
}

/// An active session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionOut {
    /// Its id.
    pub sid: SessionId,
    /// When the user signed in, Unix milliseconds.
    pub created_at: u64,
    /// When it was last refreshed, Unix milliseconds.
    pub rotated_at: u64,
    /// When it ends if it is not used, Unix milliseconds.
    pub expires_at: u64,
    /// When it was last refreshed or renewed, Unix milliseconds. This field and later ones are absent from an edge of
    /// the previous release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_at: Option<u64>,
    /// When it ends at the latest, Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absolute_deadline: Option<u64>,
    /// How the user signed in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub amr: Vec<String>,
    /// The last sign-in or step-up, Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<u64>,
    /// The client that opened it.
    #[serde(default, skip_serializing_if = "ClientInfo::is_unknown")]
    pub client: ClientInfo,
}

/// Answer to [`Command::EndSession`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndSessionOut {
    /// Whether this call ended it.
    pub ended: bool,
}

/// Answer to [`Command::ConfirmNetwork`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfirmNetworkOut {
    /// Whether the user exists and is active.
    pub confirmed: bool,
}

/// Answer to [`Command::LiftAttempts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiftAttemptsOut {
    /// The number of deleted counters.
    pub lifted: usize,
}

/// Answer to [`Command::Devices`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DevicesOut {
    /// The devices, the newest first.
    pub devices: Vec<DeviceOut>,
}

/// A remembered device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceOut {
    /// Its id, not a secret ([`crate::tokens::device::RememberedDevice::digest`]).
    pub id: String,
    /// The `User-Agent`.
    pub name: String,
    /// When it was remembered, Unix milliseconds.
    pub created_at: u64,
    /// When it was last used in place of a code, Unix milliseconds.
    #[serde(default)]
    pub used_at: Option<u64>,
    /// When it ends, Unix milliseconds.
    pub expires_at: u64,
}

/// Answer to [`Command::ForgetDevices`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgottenOut {
    /// The number of revoked devices.
    pub forgotten: u64,
}

/// Answer to [`Command::Restored`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoredOut {
    /// The new random id of the database.
    pub incarnation: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty() -> Push {
        Push {
            tenant: TenantId::new(1, [1; 10]),
            history: 1,
            complete: Some(Complete { from: 0, to: 7 }),
            snapshot: None,
            document: Some(DocumentRow { rev: 7, document: Box::new(crate::tenant::tests::tenant().into()) }),
            names: vec![],
            users: vec![],
            identifiers: vec![],
            ended_sessions: vec![],
            session_owners: BTreeMap::new(),
        }
    }

    #[test]
    fn a_message_survives_its_json() {
        let json = serde_json::to_string(&empty()).unwrap();
        assert_eq!(serde_json::from_str::<Push>(&json).unwrap(), empty());
        assert_eq!(empty().check(), Ok(()));
    }

    #[test]
    fn what_types_cannot_say_is_checked() {
        let with = |change: &dyn Fn(&mut Push)| {
            let mut push = empty();
            change(&mut push);
            push.check()
        };
        assert!(with(&|push| push.tenant = TenantId::new(2, [2; 10])).is_err());
        assert!(with(&|push| push.history = 0).is_err());
        assert!(with(&|push| push.complete = Some(Complete { from: 8, to: 7 })).is_err());
        assert!(
            with(&|push| push.identifiers.push(IdentifierRow { hash: "AA".into(), rev: 1, user: None }))
                .is_err()
        );
        let row = IdentifierRow { hash: IdentifierRow::encode_hash(&[1; 32]), rev: 1, user: None };
        assert!(with(&|push| push.identifiers = vec![row.clone(); 500]).is_err());
        assert!(with(&|push| push.identifiers = vec![row.clone(); 499]).is_ok());
    }
}

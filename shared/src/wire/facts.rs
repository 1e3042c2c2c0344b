//! Facts: events of the edge, which control reads with a signed call, a cursor and acknowledgements.
//!
//! Delivered at least once: control recognises a fact by its id, so a second delivery changes nothing.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ids::{EventId, SessionId, TenantId, UserId};

/// The kind of event.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum FactKind {
    /// A family was created. [`Fact::more`] has `amr`, the `client`
    /// ([`ClientInfo`](crate::wire::client::ClientInfo)), `authenticator` and `step` of a one-time code, and `device`
    /// of a remembered device.
    SignedIn,
    /// A family was born of a refresh token of the service that the tenant came from.
    LegacyExchanged,
    /// A right name and password got a ticket in place of a session: the password has to be changed first.
    PasswordChangeRequired,
    /// A right name and password got a ticket in place of a session: a second factor has to be enrolled first.
    MfaEnrollmentRequired,
    /// A user re-authenticated in a session. [`Fact::more`] has `method` (`otp`, `recovery_code` or `password`), and
    /// `authenticator` and `step` of a one-time code.
    SteppedUp,
    /// A recovery code was used; [`Fact::more`] has its `hash`.
    RecoveryCodeUsed,
    /// A browser is remembered after a correct code; [`Fact::more`] has its `device`.
    DeviceRemembered,
    /// A code was wrong after a right password, or a code or password at a step-up: one fact a try. [`Fact::more`]
    /// has `method`, as of [`Self::SteppedUp`].
    SecondFactorRefused,
    /// Sign-ins were refused: one fact per name hash, network and minute, with a count.
    SignInRefused,
    /// So many passwords of an account were wrong that networks from which its user did not sign in lately are refused for a
    /// time.
    NetworksRefused,
    /// Requests were refused because the tenant does not allow their network: one fact per network and minute. Its
    /// count is the number of isolates that refused one.
    NetworkRefused,
    /// Refused sign-ins without a fact of their own, because too many facts waited: one fact per tenant, with a
    /// count.
    RefusalsDropped,
    /// A family ended by its owner.
    SignedOut,
    /// All families of a user ended by their owner.
    SignedOutEverywhere,
    /// A refresh token that is too far behind was presented; its family ended.
    ReuseDetected,
    /// A refresh token ahead of its row was presented: the database was restored.
    StorageRollback,
    /// The least recently used of too many families ended: `count` of them, of which one is named.
    SessionEvicted,
    /// Control ended a session by a command.
    SessionEnded,
    /// An unknown kind of a later release: stored, passed on and logged unchanged.
    Other(String),
}

impl FactKind {
    /// The kinds that this release knows.
    pub const KNOWN: [Self; 18] = [
        Self::SignedIn,
        Self::LegacyExchanged,
        Self::PasswordChangeRequired,
        Self::MfaEnrollmentRequired,
        Self::SteppedUp,
        Self::RecoveryCodeUsed,
        Self::DeviceRemembered,
        Self::SecondFactorRefused,
        Self::SignInRefused,
        Self::NetworksRefused,
        Self::NetworkRefused,
        Self::RefusalsDropped,
        Self::SignedOut,
        Self::SignedOutEverywhere,
        Self::ReuseDetected,
        Self::StorageRollback,
        Self::SessionEvicted,
        Self::SessionEnded,
    ];

    /// Its name in bodies and columns.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::SignedIn => "signed_in",
            Self::LegacyExchanged => "legacy_exchanged",
            Self::PasswordChangeRequired => "password_change_required",
            Self::MfaEnrollmentRequired => "mfa_enrollment_required",
            Self::SteppedUp => "stepped_up",
            Self::RecoveryCodeUsed => "recovery_code_used",
            Self::DeviceRemembered => "device_remembered",
            Self::SecondFactorRefused => "second_factor_refused",
            Self::SignInRefused => "sign_in_refused",
            Self::NetworksRefused => "networks_refused",
            Self::NetworkRefused => "network_refused",
            Self::RefusalsDropped => "refusals_dropped",
            Self::SignedOut => "signed_out",
            Self::SignedOutEverywhere => "signed_out_everywhere",
            Self::ReuseDetected => "reuse_detected",
            Self::StorageRollback => "storage_rollback",
            Self::SessionEvicted => "session_evicted",
            Self::SessionEnded => "session_ended",
            Self::Other(word) => word,
        }
    }
}

impl From<String> for FactKind {
    fn from(word: String) -> Self {
        Self::KNOWN.into_iter().find(|kind| kind.as_str() == word).unwrap_or(Self::Other(word))
    }
}

impl From<FactKind> for String {
    fn from(kind: FactKind) -> Self {
        kind.as_str().to_owned()
    }
}

/// One fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// Position in the shard's outbox.
    pub seq: i64,
    /// Unique, generated at the edge.
    pub id: EventId,
    /// The tenant.
    pub tenant: TenantId,
    /// The time, Unix milliseconds; for a counted fact, the start of its minute.
    pub at_ms: i64,
    /// The kind.
    pub kind: FactKind,
    /// The user, if known.
    #[serde(default)]
    pub user: Option<UserId>,
    /// The session, where there is one.
    #[serde(default)]
    pub sid: Option<SessionId>,
    /// The caller's network: an address, IPv6 by /64.
    #[serde(default)]
    pub network: Option<String>,
    /// Keyed hash of the tried name, if there is no user.
    #[serde(default)]
    pub name_hash: Option<String>,
    /// The number of events; 1 except for [`FactKind::SignInRefused`], [`FactKind::RefusalsDropped`],
    /// [`FactKind::SignedOutEverywhere`] and [`FactKind::SessionEvicted`].
    pub count: i64,
    /// Fields of some kinds, and unknown fields of later releases, stored unchanged.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// `POST /internal/v1/drain`: acknowledges committed facts and asks for more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainIn {
    /// The shard.
    pub shard: u8,
    /// The facts that control has committed; absent at its first call.
    #[serde(default)]
    pub acknowledge: Option<Acknowledge>,
    /// The greatest number of facts in the answer, at most 500.
    pub limit: u32,
}

/// Facts up to and including `seq` of this incarnation of the database are committed in control.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledge {
    /// The incarnation of the facts; an acknowledgement of another one has no effect.
    pub incarnation: String,
    /// The last position.
    pub seq: i64,
    /// The fact at that position. If the database has another one there, it was restored since, and no fact is
    /// deleted. Absent if control does not know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<EventId>,
}

/// 200 of a drain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainOut {
    /// The incarnation of the database, to be acknowledged with.
    pub incarnation: String,
    /// The oldest facts that are not acknowledged, in order.
    pub facts: Vec<Fact>,
    /// Whether more wait.
    pub more: bool,
}

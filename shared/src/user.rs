//! What both sides say of a user besides ids: the state they are in.

use serde::{Deserialize, Serialize};

/// State of a user, as both sides and the feed spell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UserStatus {
    /// May sign in.
    Active,
    /// Stopped by an administrator.
    Suspended,
    /// `is_active: false`; the same as suspended to the edge.
    Inactive,
    /// Not ready yet.
    Pending,
    /// Gone: the row is a tombstone.
    Deleted,
}

impl UserStatus {
    /// The word in bodies and columns.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Inactive => "inactive",
            Self::Pending => "pending",
            Self::Deleted => "deleted",
        }
    }
}

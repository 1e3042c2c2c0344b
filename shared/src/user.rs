//! What both sides say of a user besides ids: the state they are in.

use serde::{Deserialize, Serialize};

/// State of a user, as both sides and the feed spell it. A word of a later release reads as suspended: it
/// is not active.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UserStatus {
    /// May sign in.
    Active,
    /// `is_active: false`; the same as suspended to the edge.
    Inactive,
    /// Not ready yet.
    Pending,
    /// Gone: the row is a tombstone.
    Deleted,
    /// Stopped by an administrator.
    #[serde(other)]
    Suspended,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_active_is_active() {
        let read = |word: &str| serde_json::from_str::<UserStatus>(&format!("\"{word}\"")).unwrap();
        for status in [
            UserStatus::Active,
            UserStatus::Suspended,
            UserStatus::Inactive,
            UserStatus::Pending,
            UserStatus::Deleted,
        ] {
            assert_eq!(read(status.as_str()), status);
        }
        assert_eq!(read("locked"), UserStatus::Suspended);
    }
}

//! The status of a user, shared by both halves.

use serde::{Deserialize, Serialize};

/// Status of a user, as both halves and the feed spell it. An unknown value of a later release is read as suspended.
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
    /// Its name in bodies and columns.
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

//! The users that the caller of a request may see.

use uuid::Uuid;

/// Over which users a request reaches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// All users of the tenant.
    #[default]
    Everyone,
    /// The users of these branches and of those below them.
    Within(Vec<Uuid>),
}

impl Scope {
    /// The branches, as statements compare them: null for all users.
    #[must_use]
    pub fn branches(&self) -> Option<&[Uuid]> {
        match self {
            Self::Everyone => None,
            Self::Within(branches) => Some(branches),
        }
    }
}

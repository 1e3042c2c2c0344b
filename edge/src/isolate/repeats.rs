//! Answers that the entry keeps, to give them again to the same request.
//!
//! The entry has the text of the request and the answer; here is what decides whether the answer still holds. Numbers are
//! the entry's, which never gives one twice, also not to a new instance of the module after an abort.

use std::rc::Rc;

use shared::ids::TenantId;

use super::generations::Generations;
use super::tenant_name::TenantName;
use super::verified::VerifiedToken;

/// Entries of one generation; two are kept. The entry keeps as many, and knows it when one is gone here.
const ENTRIES: usize = 1024;

/// An answer that is kept.
pub struct Repeat {
    /// The name of the tenant, as the request had it.
    pub named: TenantName,
    /// What it was concluded from.
    pub source: Source,
    /// For the log.
    pub method: &'static str,
    /// For the log.
    pub route: &'static str,
    /// For the log.
    pub status: u16,
}

/// What an answer was concluded from, beside the text of its request.
pub enum Source {
    /// A good token.
    Token(Rc<VerifiedToken>),
    /// The tenant's document, at this revision.
    Document(TenantId, (i64, i64)),
}

impl Source {
    /// The tenant.
    #[must_use]
    pub fn tenant(&self) -> TenantId {
        match self {
            Self::Token(access) => access.tenant,
            Self::Document(tenant, _) => *tenant,
        }
    }
}

/// What is kept, by number.
pub type Repeats = Generations<u32, Rc<Repeat>, ENTRIES>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entry_keeps_as_many() {
        let entry = include_str!("../../entry/index.mjs");
        assert!(entry.contains(&format!("const KEPT = {ENTRIES};")));
    }
}

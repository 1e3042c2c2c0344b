//! Answers that the entry keeps, to give them again to the same request.
//!
//! The entry has the text of the request and the answer; here is what decides whether the answer still holds. Numbers are
//! the entry's, which never gives one twice, also not to a new instance of the module after an abort.

use std::collections::HashMap;
use std::rc::Rc;

use shared::ids::TenantId;

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

/// What is kept, in two generations: when one is full, the older one is dropped.
#[derive(Default)]
pub struct Repeats {
    young: HashMap<u32, Rc<Repeat>>,
    old: HashMap<u32, Rc<Repeat>>,
}

impl Repeats {
    /// What is kept under a number.
    #[must_use]
    pub fn get(&self, number: u32) -> Option<Rc<Repeat>> {
        self.young.get(&number).or_else(|| self.old.get(&number)).map(Rc::clone)
    }

    /// Keeps it under a number.
    pub fn insert(&mut self, number: u32, repeat: Repeat) {
        if self.young.len() >= ENTRIES {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(number, Rc::new(repeat));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entry_keeps_as_many() {
        let entry = include_str!("../../entry/index.mjs");
        assert!(entry.contains(&format!("const KEPT = {ENTRIES};")));
    }
}

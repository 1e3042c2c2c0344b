//! The name of a cell. It is put into SQL as text, so it exists only validated.

use std::fmt;

use shared::ids::TenantId;

use crate::failure::Failure;

/// A schema that holds tenants: `t_` and 1 to 38 of `[a-z0-9_]`. Never needs quoting.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CellName(String);

impl CellName {
    /// The cell of the platform tenant; also what compile-time checks of SQL look into.
    #[must_use]
    pub fn platform() -> Self {
        Self("t_platform".to_owned())
    }

    /// The cell that tenants with `isolation = "shared"` live in.
    #[must_use]
    pub fn shared() -> Self {
        Self("t_shared".to_owned())
    }

    /// The cell of a tenant that has one to itself.
    #[must_use]
    pub fn own(tenant: TenantId) -> Self {
        Self(format!("t_{}", tenant.uuid().simple()))
    }

    /// Parses a stored name.
    ///
    /// # Errors
    /// For anything that could mean more than a name inside SQL.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let tail = text.strip_prefix("t_").unwrap_or_default();
        let plain = tail.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if plain && (1..=38).contains(&tail.len()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Failure::Unreadable("cell name"))
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CellName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_that_are_made_parse() {
        for cell in [CellName::platform(), CellName::shared(), CellName::own(TenantId::new(1, [9; 10]))] {
            assert_eq!(CellName::parse(cell.as_str()).unwrap(), cell);
        }
    }

    proptest! {
        #[test]
        fn nothing_else_gets_into_sql(text in "(t_)?[a-zA-Z0-9_\"'; -]{0,45}") {
            if let Ok(cell) = CellName::parse(&text) {
                prop_assert!(cell.as_str().bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'));
            }
        }
    }
}

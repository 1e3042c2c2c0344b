//! A named SQL text and its parameters.

use shared::wire::needs::UNDERSTOOD;

use crate::platform::{Param, Statement};

/// The text of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sql(pub &'static str);

impl Sql {
    /// Binds `?1`, `?2`, ...
    pub fn bind<const N: usize>(self, params: [Param; N]) -> Statement {
        Statement { sql: self.0, params: params.into() }
    }
}

/// The features that this release knows, as a parameter of statements: see [`shared::wire::needs`].
#[must_use]
pub fn understood() -> Param {
    Param::Text(serde_json::json!(UNDERSTOOD).to_string())
}

/// Milliseconds as D1 binds them.
#[must_use]
pub fn millis(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

/// Seconds as milliseconds for D1.
#[must_use]
pub fn secs_as_ms(secs: u64) -> i64 {
    millis(secs.saturating_mul(1000))
}

/// Names statements, and lists them for the test that prepares each.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $sql:expr;)*) => {
        $($(#[$doc])* pub const $name: Sql = Sql($sql);)*

        /// The statements of this file by name.
        #[cfg(test)]
        pub(super) const LIST: &[(&str, Sql)] = &[$((stringify!($name), $name),)*];
    };
}
pub(super) use statements;

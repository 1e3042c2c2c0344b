//! Session timeouts of a role, shorter than those for all users of the tenant.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Invalid;

/// Longest name of a role, in characters.
const ROLE_CHARS: usize = 64;
/// Shortest timeout, in seconds.
const LEAST_SECS: u64 = 60;
/// Longest timeout, in seconds: a year.
const GREATEST_SECS: u64 = 365 * 86_400;

/// The start of a timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timeout {
    /// From the last use.
    Idle,
    /// From the sign-in.
    Absolute,
}

impl Timeout {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Idle, Self::Absolute];

    /// Its name in settings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle_secs",
            Self::Absolute => "absolute_secs",
        }
    }
}

/// A session timeout for users with a role: `<role>.<idle_secs|absolute_secs>=<seconds>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RoleTimeout {
    /// The role.
    pub role: String,
    /// The kind of timeout.
    pub timeout: Timeout,
    /// Seconds.
    pub secs: u64,
}

impl RoleTimeout {
    /// Parses an administrator's input.
    ///
    /// # Errors
    /// Another form, an impossible role name, seconds out of bounds.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let invalid = Invalid("timeout: expected <role>.<idle_secs|absolute_secs>=<60 to 31536000>");
        let (of, secs) = text.split_once('=').ok_or(invalid)?;
        let (role, word) = of.rsplit_once('.').ok_or(invalid)?;
        let timeout = Timeout::ALL.into_iter().find(|timeout| timeout.as_str() == word).ok_or(invalid)?;
        let of_a_role = |c: char| !c.is_control() && !c.is_whitespace() && !",=*".contains(c);
        let is_role = (1..=ROLE_CHARS).contains(&role.chars().count()) && role.chars().all(of_a_role);
        let is_number =
            !secs.is_empty() && secs.bytes().all(|byte| byte.is_ascii_digit()) && !secs.starts_with('0');
        let secs = secs.parse().map_err(|_| invalid)?;
        if is_role && is_number && (LEAST_SECS..=GREATEST_SECS).contains(&secs) {
            Ok(Self { role: role.to_owned(), timeout, secs })
        } else {
            Err(invalid)
        }
    }
}

impl fmt::Display for RoleTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}={}", self.role, self.timeout.as_str(), self.secs)
    }
}

impl TryFrom<String> for RoleTimeout {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(&text)
    }
}

impl From<RoleTimeout> for String {
    fn from(timeout: RoleTimeout) -> Self {
        timeout.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_names_role_kind_and_seconds() {
        let timeout = RoleTimeout::parse("root-admin.idle_secs=900").unwrap();
        assert_eq!(
            (timeout.role.as_str(), timeout.timeout, timeout.secs),
            ("root-admin", Timeout::Idle, 900)
        );
        assert_eq!(timeout.to_string(), "root-admin.idle_secs=900");
        assert_eq!(RoleTimeout::parse("a.b.absolute_secs=60").unwrap().role, "a.b");
        for bad in [
            "",
            "staff",
            "staff.idle_secs",
            "staff.idle=60",
            ".idle_secs=60",
            "*.idle_secs=60",
            "st aff.idle_secs=60",
            "staff.idle_secs=59",
            "staff.idle_secs=31536001",
            "staff.idle_secs=+60",
            "staff.idle_secs=060",
            "staff.idle_secs=",
            "staff.idle_secs=6e1",
        ] {
            assert!(RoleTimeout::parse(bad).is_err(), "{bad}");
        }
    }
}

//! What an import found and did: numbers, and the users who were refused, by id and column, never by name.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;

/// Why a user does not come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Why {
    /// Their id at the legacy service, or where they stand if they have none.
    pub id: String,
    /// The column that is to blame.
    pub column: String,
    /// The reason.
    pub reason: String,
}

/// See the module.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Whether nothing was to be written.
    pub check: bool,
    /// Users that the source has.
    pub read: u64,
    /// Imported, or to be imported, for the first time.
    pub new: u64,
    /// Changed there since the last import.
    pub changed: u64,
    /// As they were at the last import.
    pub unchanged: u64,
    /// Changed there and here since: kept as they are here.
    pub kept: u64,
    /// Users who were refused: one entry for each reason.
    pub refused: Vec<Why>,
    /// Users by the algorithm and parameters of their passwords.
    pub passwords: BTreeMap<String, u64>,
    /// Users without a password here, by the reason.
    pub without_password: BTreeMap<String, u64>,
    /// Users by role.
    pub roles: BTreeMap<String, u64>,
    /// Groups, or values of the role column, that were mapped to nothing, and how many have them.
    pub unmapped: BTreeMap<String, u64>,
    /// Users with a second factor there.
    pub with_totp: u64,
    /// Devices that become authenticators here, at the first import of them.
    pub authenticators: u64,
    /// Devices that do not, by the reason. They are kept, sealed.
    pub devices_kept: BTreeMap<String, u64>,
    /// Users all of whose devices are kept.
    pub without_authenticator: u64,
    /// Their status here.
    pub totp_people: String,
    /// From when on a second factor is demanded of administrators, where this import has put that off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub second_factor_from: Option<String>,
    /// How `user_id` is written here.
    pub user_id: String,
    /// The zone by which times were read that named none.
    pub time_zone: String,
    /// How many those are.
    pub local_times: u64,
    /// Those of them that the zone's clock showed twice or never, and how they were read.
    pub unclear_times: Vec<Why>,
}

impl Report {
    /// How many do not come.
    #[must_use]
    pub fn refused_users(&self) -> usize {
        self.refused.iter().map(|why| &why.id).collect::<HashSet<_>>().len()
    }

    pub(super) fn count(map: &mut BTreeMap<String, u64>, name: impl Into<String>) {
        *map.entry(name.into()).or_default() += 1;
    }
}

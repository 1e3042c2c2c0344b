//! Maps a user of the source: roles, status, and the action of the import.

use std::collections::{BTreeMap, HashMap};

use foreign::Hash;
use shared::language;
use shared::user::UserStatus;

use super::found::{Found, Group};
use super::report::Why;
use crate::legacy::hashing::{Digests, Hashing, NameHashes};
use crate::users::Profile;

/// Longest id of a legacy service: a UUID has 36.
const ID_CHARS: usize = 64;

/// The mapping of roles.
#[derive(Clone)]
pub struct Mapping {
    /// By group, or by value of the role column; `None` brings no role.
    pub roles: BTreeMap<String, Option<String>>,
    /// Of superusers.
    pub superusers: Option<String>,
    /// Of staff who are not superusers.
    pub staff: Option<String>,
    /// Of users who get no other.
    pub others: Option<String>,
    /// Status of active users with a second factor there of which nothing fits here.
    pub with_totp: UserStatus,
}

/// A user as they shall be here.
pub(super) struct Judged {
    pub profile: Profile,
    pub status: UserStatus,
    pub roles: Vec<String>,
    pub names: NameHashes,
    pub digests: Digests,
    /// Groups without a mapping.
    pub unmapped: Vec<String>,
    /// Algorithm and parameters of the password, or why there is none.
    pub password: Result<String, &'static str>,
}

/// Whether an id can be one.
pub(super) fn id_fault(id: &str) -> Option<&'static str> {
    if id.is_empty() || id.chars().count() > ID_CHARS || id.chars().any(char::is_control) {
        return Some("is empty, too long or not text");
    }
    None
}

/// The profile of a user as it was found.
pub(super) fn profile(found: &Found) -> Profile {
    let email = found.email.trim();
    Profile {
        username: found.username.clone(),
        email: (!email.is_empty()).then(|| email.to_owned()),
        first_name: found.first_name.clone(),
        last_name: found.last_name.clone(),
        phone: found.phone.clone(),
        // A malformed language tag is no reason to refuse a user.
        language: language::canonical(&found.language.trim().replace('_', "-")).unwrap_or_default(),
    }
}

/// Judges a user alone; other users with the same names are looked up elsewhere. `totp` says whether one of their devices
/// fits, where they have any.
pub(super) fn judge(
    found: &Found,
    totp: Option<bool>,
    mapping: &Mapping,
    groups: &HashMap<String, String>,
    hashing: &Hashing,
) -> Result<Judged, Vec<Why>> {
    let id = found.id.clone().unwrap_or_default();
    let why = |column: &str, reason: String| Why { id: id.clone(), column: column.to_owned(), reason };
    let profile = profile(found);
    let names = hashing.names(&profile).map_err(|faults| {
        let fault = |(field, messages): (&'static str, Vec<String>)| why(field, messages.join(" "));
        faults.0.into_iter().map(fault).collect::<Vec<_>>()
    })?;
    let (roles, unmapped) = roles(found, mapping, groups).map_err(|reason| vec![why("groups", reason)])?;
    let status = match (found.is_active, totp) {
        (false, _) => UserStatus::Inactive,
        (true, Some(false)) => mapping.with_totp,
        (true, Some(true) | None) => UserStatus::Active,
    };
    let digests = Digests {
        row: hashing.digest(&[
            found.username.as_bytes(),
            profile.email.as_deref().unwrap_or_default().as_bytes(),
            found.first_name.as_bytes(),
            found.last_name.as_bytes(),
            found.phone.as_bytes(),
            profile.language.as_bytes(),
            status.as_str().as_bytes(),
            roles.join("\0").as_bytes(),
        ]),
        password: hashing.digest(&[found.password.as_bytes()]),
    };
    let password = match Hash::parse(&found.password) {
        Ok(hash) => Ok(hash.params().to_string()),
        Err(foreign::Unusable::Unset) => Err("none is set there"),
        Err(foreign::Unusable::Algorithm) => Err("the algorithm is not supported"),
        Err(foreign::Unusable::Malformed) => Err("the hash is malformed"),
        Err(foreign::Unusable::Bounds) => Err("the parameters are beyond the bounds"),
    };
    Ok(Judged { profile, status, roles, names, digests, unmapped, password })
}

/// Roles, and what was found and is mapped to none.
fn roles(
    found: &Found,
    mapping: &Mapping,
    groups: &HashMap<String, String>,
) -> Result<(Vec<String>, Vec<String>), String> {
    let mut named = Vec::new();
    for group in &found.groups {
        named.push(match group {
            Group::Name(name) => name.clone(),
            Group::Key(key) => {
                groups.get(key).cloned().ok_or_else(|| format!("there is no group with the key {key}"))?
            }
        });
    }
    named.extend(found.role.clone().filter(|role| !role.is_empty()));
    let (mut roles, mut unmapped) = (Vec::new(), Vec::new());
    for name in named {
        match mapping.roles.get(&name) {
            Some(role) => roles.extend(role.clone()),
            None => unmapped.push(name),
        }
    }
    if found.is_superuser {
        roles.extend(mapping.superusers.clone());
    } else if found.is_staff {
        roles.extend(mapping.staff.clone());
    }
    if roles.is_empty() {
        roles.extend(mapping.others.clone());
    }
    roles.sort_unstable();
    roles.dedup();
    Ok((roles, unmapped))
}

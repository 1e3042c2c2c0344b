//! Roles that a command names.

use super::known::unknown;
use super::outcome::CliError;
use crate::db::TenantTx;
use crate::users;

/// The API names one role that is not there; here, where they are typed, all that there are.
pub(super) async fn roles_exist(tx: &mut TenantTx, wanted: &[String]) -> Result<(), CliError> {
    let there = users::role_names(tx).await?;
    match wanted.iter().find(|role| !there.contains(role)) {
        Some(role) => {
            let there: Vec<&str> = there.iter().map(String::as_str).collect();
            Err(CliError::Refused(unknown("role", role, &there)))
        }
        None => Ok(()),
    }
}

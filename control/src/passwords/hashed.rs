//! A chosen password, hashed before the transaction that sets it begins, so that no connection of the pool waits
//! for a hash.

use shared::ids::TenantId;
use shared::passwords::{Password, Verifier};

use super::{Hasher, Names, Policy, faults};
use crate::control::Control;
use crate::db::TenantTx;
use crate::failure::Failure;

/// See the module. Whether it may be used is asked when it is set, because that depends on its owner.
pub struct Hashed(Result<(Password, Verifier), &'static str>);

impl Hashed {
    /// Hashes a password; what could never be one is not hashed.
    ///
    /// # Errors
    /// [`Failure::Busy`] if too many wait.
    pub async fn of(hasher: &Hasher, tenant: TenantId, typed: &str) -> Result<Self, Failure> {
        match Password::parse(typed) {
            Ok(password) => {
                let verifier = hasher.hash(tenant, password.clone()).await?;
                Ok(Self(Ok((password, verifier))))
            }
            Err(_) if typed.is_empty() => Ok(Self(Err("This field may not be blank."))),
            Err(_) => Ok(Self(Err("Ensure this field has no more than 1024 bytes."))),
        }
    }

    /// Hashes a password, if one was typed, while the request's connection serves others.
    ///
    /// # Errors
    /// As [`Hashed::of`] and [`TenantTx::pause`].
    pub async fn between(
        control: &Control,
        tx: TenantTx,
        typed: Option<String>,
    ) -> Result<(Option<Self>, TenantTx), Failure> {
        let Some(typed) = typed else { return Ok((None, tx)) };
        let hash = Self::of(&control.hasher, tx.payer(), &typed);
        let (hashed, tx) = tx.pause(&control.db, hash).await?;
        Ok((Some(hashed?), tx))
    }

    /// Whether this is the password of one of these verifiers; false for what could never be a password. Each of them
    /// costs a hash.
    ///
    /// # Errors
    /// [`Failure::Busy`] if too many wait.
    pub async fn is_one_of(
        &self,
        hasher: &Hasher,
        tenant: TenantId,
        verifiers: Vec<Verifier>,
    ) -> Result<bool, Failure> {
        let Ok((password, _)) = &self.0 else { return Ok(false) };
        for verifier in verifiers {
            if hasher.verify(tenant, password.clone(), verifier).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The verifier, if the policy allows the password for a user with these names.
    ///
    /// # Errors
    /// All faults of the password.
    pub fn check(&self, policy: &Policy<'_>, names: Names<'_>) -> Result<&Verifier, Vec<String>> {
        let (password, verifier) = self.0.as_ref().map_err(|fault| vec![(*fault).to_owned()])?;
        let found = faults(password, policy, names);
        if found.is_empty() { Ok(verifier) } else { Err(found) }
    }
}

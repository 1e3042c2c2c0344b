//! Tokens of administrators: requests are signed in as any are.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use control::control::Control;
use control::tenants::Tenant;
use control::{keys, users};
use shared::epochs;
use shared::ids::{KeyId, SessionId, UserId};
use shared::tokens::claims::{AccessClaims, UserIdClaim};
use shared::tokens::{access_signing_input, join_signature};

use super::Outcome;
use super::stage::ADMIN;

/// Makes tokens of a tenant's administrator.
pub struct Signer {
    tenant: Tenant,
    admin: UserId,
    epoch: i64,
    kid: KeyId,
    key: RsaKeyPair,
}

impl Signer {
    /// The signer of a tenant.
    ///
    /// # Errors
    /// Errors of the database.
    pub async fn of(control: &Control, tenant: &Tenant) -> Outcome<Self> {
        let mut tx = control.db.tenant_tx(tenant.id).await?;
        let admin = users::find_by_name(&mut tx, ADMIN).await?;
        let epoch = epochs::floor(tx.history().await?) + admin.access_epoch;
        let published = keys::store::published(&mut tx).await?;
        let active = published.into_iter().find(|key| key.key.state == keys::model::State::Active);
        let active = active.ok_or("a tenant has an active key")?;
        let key = RsaKeyPair::from_pkcs8(&active.pkcs8.ok_or("an active key can sign")?)?;
        Ok(Self { tenant: tenant.clone(), admin: admin.id, epoch, kid: active.key.kid, key })
    }

    /// A token for five minutes.
    ///
    /// # Errors
    /// If it cannot be signed.
    pub fn token(&self, now: i64) -> Outcome<String> {
        let claims = AccessClaims {
            token_type: "access".into(),
            exp: now + 300,
            iat: now,
            jti: "0".repeat(32).into(),
            user_id: UserIdClaim::Text(self.admin.to_string()),
            sub: self.admin,
            iss: self.tenant.issuer.clone().into(),
            tenant: self.tenant.id,
            sid: SessionId::new(0, [7; 16]),
            epoch: self.epoch,
            roles: vec![],
            amr: vec!["pwd".into()],
            auth_time: now,
            aud: None,
            nbf: None,
        };
        let input = access_signing_input(&self.kid, &claims).map_err(|_| "claims have a form")?;
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), input.as_bytes(), &mut signature)?;
        Ok(join_signature(input, &signature))
    }
}

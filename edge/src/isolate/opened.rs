//! A tenant's document, with the keys that were opened for it.

use shared::derive::{Purpose, Secret, derive};
use shared::passwords::Verifier;
use shared::tenant::{Root, Tenant};
use shared::tokens::{RefreshKey, claimed_root};
use shared::wire::seal::{Context, Kind, Sealed};

use crate::settings::Settings;

/// The keys that come from one lookup root. No `Debug`.
pub struct LookupKeys {
    /// Hashes names and addresses.
    pub identifier: Secret,
    /// Hashes names for the attempt counter.
    pub attempt: Secret,
}

/// A tenant's document with the keys that were opened for it. No `Debug`.
pub struct OpenedTenant {
    /// The document.
    pub tenant: Tenant,
    /// Keys of refresh tokens, one of each session root, in the document's order.
    pub refresh_keys: Vec<RefreshKey>,
    /// The keys of CSRF values, in the same order.
    pub csrf_keys: Vec<Secret>,
    /// The keys of remembered devices' MACs, in the same order.
    pub device_keys: Vec<Secret>,
    /// Find users, and count attempts at their names.
    pub lookup: LookupKeys,
    /// The former lookup keys, while hashes under them are in use.
    pub former_lookup: Option<LookupKeys>,
    /// The verifier for sign-ins with an unknown name.
    pub dummy: Sealed,
    /// The JWKS, as it is served.
    pub jwks: String,
}

/// The document does not open with this edge's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a tenant's document does not open with this edge's keys")]
pub struct DoesNotOpen;

impl OpenedTenant {
    /// Opens the roots of `tenant` and derives the keys.
    ///
    /// # Errors
    /// A sealed value that does not open.
    pub fn open(tenant: Tenant, settings: &Settings) -> Result<Self, DoesNotOpen> {
        let lookup = open_lookup(&tenant, &tenant.lookup_root, settings)?;
        let former_lookup = tenant.former_lookup_root.as_ref();
        let former_lookup = former_lookup.map(|root| open_lookup(&tenant, root, settings)).transpose()?;
        let (mut refresh_keys, mut csrf_keys, mut device_keys) = (Vec::new(), Vec::new(), Vec::new());
        for root in &tenant.session_roots {
            let secret = open_root(&tenant, (root.version, &root.sealed), Kind::SessionRoot, settings)?;
            refresh_keys.push(RefreshKey::new(root.version, &secret, tenant.id));
            csrf_keys.push(derive(&secret, tenant.id, Purpose::Csrf));
            device_keys.push(derive(&secret, tenant.id, Purpose::Device));
        }
        let jwks: Vec<_> = tenant.published_keys().map(|key| key.public.to_jwk(&key.kid)).collect();
        Ok(Self {
            lookup,
            former_lookup,
            dummy: Sealed::parse(&tenant.dummy_verifier).map_err(|_| DoesNotOpen)?,
            jwks: serde_json::json!({ "keys": jwks }).to_string(),
            refresh_keys,
            csrf_keys,
            device_keys,
            tenant,
        })
    }

    /// The key of a refresh token with the `iat` `made_secs`.
    #[must_use]
    pub fn refresh_key(&self, made_secs: i64) -> Option<&RefreshKey> {
        self.refresh_keys.get(self.tenant.session_root(u64::try_from(made_secs).unwrap_or(0)))
    }

    /// The key for a CSRF value that is issued at `now_secs`.
    #[must_use]
    pub fn csrf_key(&self, now_secs: u64) -> Option<&Secret> {
        self.csrf_keys.get(self.tenant.session_root(now_secs))
    }

    /// The key for a device cookie that is issued at `now_secs`.
    #[must_use]
    pub fn device_key(&self, now_secs: u64) -> Option<&Secret> {
        self.device_keys.get(self.tenant.session_root(now_secs))
    }

    /// Whether a token's header names a session root that the document does not have: of a later document, a former
    /// one, or forged.
    #[must_use]
    pub fn lacks_root_of(&self, unverified_token: &str) -> bool {
        let claimed = claimed_root(unverified_token);
        claimed.is_some_and(|version| self.refresh_keys.iter().all(|key| key.version() != version))
    }

    /// Unseals the verifier of a user, or the dummy without a user: the same work.
    ///
    /// # Errors
    /// A value that cannot be unsealed.
    pub fn verifier(
        &self,
        stored: Option<(&Sealed, &str)>,
        settings: &Settings,
    ) -> Result<Verifier, DoesNotOpen> {
        let (sealed, kind, subject) = match stored {
            Some((sealed, user)) => (sealed, Kind::Verifier, user),
            None => (&self.dummy, Kind::Dummy, ""),
        };
        let context = Context { edge: &settings.edge_id, tenant: self.tenant.id, kind, subject };
        let phc = sealed.open(&settings.edge_keys, &context).map_err(|_| DoesNotOpen)?;
        std::str::from_utf8(&phc).ok().and_then(|phc| Verifier::parse(phc).ok()).ok_or(DoesNotOpen)
    }
}

fn open_lookup(tenant: &Tenant, root: &Root, settings: &Settings) -> Result<LookupKeys, DoesNotOpen> {
    let secret = open_root(tenant, (root.version, &root.sealed), Kind::LookupRoot, settings)?;
    Ok(LookupKeys {
        identifier: derive(&secret, tenant.id, Purpose::Identifier),
        attempt: derive(&secret, tenant.id, Purpose::Attempt),
    })
}

fn open_root(
    tenant: &Tenant,
    (version, sealed): (u32, &str),
    kind: Kind,
    settings: &Settings,
) -> Result<Secret, DoesNotOpen> {
    let subject = version.to_string();
    let context = Context { edge: &settings.edge_id, tenant: tenant.id, kind, subject: &subject };
    let sealed = Sealed::parse(sealed).map_err(|_| DoesNotOpen)?;
    let bytes = sealed.open(&settings.edge_keys, &context).map_err(|_| DoesNotOpen)?;
    Secret::from_slice(&bytes).ok_or(DoesNotOpen)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn known() -> OpenedTenant {
        let (tenant, settings) = crate::tests::fixture::tenant_and_settings();
        OpenedTenant::open(tenant, &settings).ok().unwrap()
    }
}

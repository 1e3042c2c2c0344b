//! A tenant's document, with the keys that were opened for it.

use shared::derive::{Purpose, Secret, derive};
use shared::passwords::Verifier;
use shared::tenant::{Root, Tenant};
use shared::tokens::RefreshKey;
use shared::wire::seal::{Context, Kind, Sealed};

use crate::settings::Settings;

/// A tenant's document with the keys that were opened for it. No `Debug`.
pub struct OpenedTenant {
    /// The document.
    pub tenant: Tenant,
    /// Keys of refresh tokens: the current one first.
    pub refresh_keys: Vec<RefreshKey>,
    /// Make the CSRF values of sessions: the current one first.
    pub csrf_keys: Vec<Secret>,
    /// Hashes names and addresses.
    pub identifier_key: Secret,
    /// Hashes names for the attempt counter.
    pub attempt_key: Secret,
    /// What sign-ins of nobody are checked against.
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
        let lookup = open_root(&tenant, &tenant.lookup_root, Kind::LookupRoot, settings)?;
        let (mut refresh_keys, mut csrf_keys) = (Vec::new(), Vec::new());
        for root in &tenant.session_roots {
            let secret = open_root(&tenant, root, Kind::SessionRoot, settings)?;
            refresh_keys.push(RefreshKey::new(root.version, &secret, tenant.id));
            csrf_keys.push(derive(&secret, tenant.id, Purpose::Csrf));
        }
        let jwks: Vec<_> = tenant.published_keys().map(|key| key.public.to_jwk(&key.kid)).collect();
        Ok(Self {
            identifier_key: derive(&lookup, tenant.id, Purpose::Identifier),
            attempt_key: derive(&lookup, tenant.id, Purpose::Attempt),
            dummy: Sealed::parse(&tenant.dummy_verifier).map_err(|_| DoesNotOpen)?,
            jwks: serde_json::json!({ "keys": jwks }).to_string(),
            refresh_keys,
            csrf_keys,
            tenant,
        })
    }

    /// Opens the verifier of a user, or the dummy for nobody: the same work.
    ///
    /// # Errors
    /// A value that does not open here.
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

fn open_root(tenant: &Tenant, root: &Root, kind: Kind, settings: &Settings) -> Result<Secret, DoesNotOpen> {
    let subject = root.version.to_string();
    let context = Context { edge: &settings.edge_id, tenant: tenant.id, kind, subject: &subject };
    let sealed = Sealed::parse(&root.sealed).map_err(|_| DoesNotOpen)?;
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

//! How a request names its tenant, before the tenant is found.

/// How a request names its tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantName {
    /// `host:<host>` or `slug:<slug>`: the key in D1.
    pub name: String,
    /// A slug that the tenant must also have, from `X-Tenant` on a tenant's own host.
    pub also_slug: Option<String>,
    /// The client's network: an unknown name costs a read, so networks that invent many names are limited.
    pub network: String,
}

//! A tenant in an answer.

use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::ids::{HostName, Slug, TenantId};
use shared::settings::Settings;

use super::Tenant;
use super::model::{Isolation, status_text};

/// The contract's form.
#[derive(Debug, Serialize)]
pub struct TenantOut {
    /// Its id.
    pub id: TenantId,
    /// Its short name.
    pub slug: Slug,
    name: String,
    hosts: Vec<HostName>,
    /// `iss` of its tokens.
    pub issuer: String,
    audience: Option<String>,
    /// Its state.
    pub status: &'static str,
    isolation: Isolation,
    settings: Settings,
    #[serde(serialize_with = "crate::http::time::micros")]
    created_at: DateTime<Utc>,
    #[serde(serialize_with = "crate::http::time::micros")]
    updated_at: DateTime<Utc>,
}

impl TenantOut {
    /// Words a tenant; the shared origin is in the issuer of one without a host.
    #[must_use]
    pub fn new(tenant: Tenant, shared_origin: &str) -> Self {
        Self {
            issuer: tenant.issuer(shared_origin),
            id: tenant.id,
            slug: tenant.slug,
            name: tenant.name,
            hosts: tenant.hosts,
            audience: tenant.audience,
            status: status_text(tenant.status),
            isolation: tenant.isolation,
            settings: tenant.settings,
            created_at: tenant.created_at,
            updated_at: tenant.updated_at,
        }
    }
}

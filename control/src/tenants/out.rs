//! A tenant in an answer.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use shared::ids::{HostName, Slug, TenantId};
use shared::settings::Settings;
use utoipa::ToSchema;

use super::Tenant;
use super::model::{Isolation, status_text};

/// A tenant.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Tenant)]
pub struct TenantOut {
    /// Its id.
    #[schema(value_type = Uuid)]
    pub id: TenantId,
    /// Its short name.
    #[schema(value_type = String)]
    pub slug: Slug,
    name: String,
    /// Its own, the first of which is in its issuer.
    #[schema(value_type = Vec<String>)]
    hosts: Vec<HostName>,
    /// `iss` of its tokens.
    pub issuer: String,
    #[schema(required)]
    audience: Option<String>,
    /// `provisioning`, `active`, `suspended` or `deleted`.
    pub status: &'static str,
    isolation: Isolation,
    settings: Settings,
    #[serde(serialize_with = "crate::http::time::micros")]
    created_at: DateTime<Utc>,
    #[serde(serialize_with = "crate::http::time::micros")]
    updated_at: DateTime<Utc>,
}

/// A tenant as the documentation shows one.
pub(super) fn example() -> Value {
    json!({
        "id": "019a1f0e-4a6b-7c10-8b2d-0f1e2d3c4b5a", "slug": "acme", "name": "Acme", "hosts": ["acme.example"],
        "issuer": "https://acme.example", "audience": null, "status": "active", "isolation": "schema",
        "settings": Settings::default(), "created_at": "2026-01-02T03:04:05.678901Z",
        "updated_at": "2026-01-02T03:04:05.678901Z",
    })
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

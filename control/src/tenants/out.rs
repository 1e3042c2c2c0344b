//! A tenant in an answer.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use shared::ids::{HostName, KeyId, Slug, TenantId};
use shared::tenant::Status;
use shared::tenant::settings::Settings;
use shared::tokens::legacy::Legacy;
use utoipa::ToSchema;

use super::Tenant;
use super::model::{Isolation, status_text};
use super::second_factor::{DemandToCome, to_come};
use crate::http::validators::Editable;
use crate::legacy::service::form_text;

/// A tenant.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Tenant)]
pub struct TenantOut {
    /// Its id.
    #[schema(value_type = Uuid)]
    pub id: TenantId,
    /// Its short name in URLs and headers.
    #[schema(value_type = String)]
    pub slug: Slug,
    name: String,
    /// Its own hosts.
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
    /// The form of the claim `user_id`: `uuid`, or the legacy id as an `integer` or a `string`.
    user_id: &'static str,
    #[schema(required)]
    legacy: Option<LegacyOut>,
    foreign: ForeignOut,
    #[serde(serialize_with = "crate::http::time::micros")]
    created_at: DateTime<Utc>,
    #[serde(serialize_with = "crate::http::time::micros")]
    updated_at: DateTime<Utc>,
    /// Only for an imported tenant, until its requirement of a second factor begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = DemandToCome, required = false)]
    second_factor_notice: Option<DemandToCome>,
    #[serde(skip)]
    is_imported: bool,
}

/// The legacy tokens that the tenant accepts.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AcceptedLegacyTokens)]
struct LegacyOut {
    /// The RFC 7638 thumbprint of the key.
    #[schema(value_type = String)]
    kid: KeyId,
    #[serde(serialize_with = "crate::http::time::micros")]
    until: DateTime<Utc>,
    #[schema(required)]
    claim: Option<String>,
    #[schema(required)]
    value: Option<Value>,
    /// Whether a refresh token must also be on the imported list of outstanding tokens.
    listed: bool,
}

/// Imported password hashes of another service.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ForeignPasswords)]
struct ForeignOut {
    /// Whether any are left.
    left: bool,
    #[serde(serialize_with = "crate::http::time::micros_option")]
    #[schema(required)]
    until: Option<DateTime<Utc>>,
}

impl From<Legacy> for LegacyOut {
    fn from(legacy: Legacy) -> Self {
        let until = i64::try_from(legacy.until).ok().and_then(|secs| DateTime::from_timestamp(secs, 0));
        let (claim, value) = legacy.marker.map(|marker| (marker.claim, marker.value)).unzip();
        Self {
            kid: legacy.key.key_id(),
            until: until.unwrap_or_default(),
            claim,
            value,
            listed: legacy.listed,
        }
    }
}

impl Editable for TenantOut {
    /// Without the fields that change without an edit: the state `provisioning`, and `foreign.left`.
    fn edited(&self) -> impl Serialize {
        let names = (&self.name, &self.hosts, &self.issuer, &self.audience);
        let suspended = self.status == status_text(Status::Suspended);
        (self.id, names, suspended, &self.settings, self.user_id, &self.legacy, self.foreign.until)
    }
}

/// The example in the OpenAPI document.
pub(super) fn example() -> Value {
    json!({
        "id": "019a1f0e-4a6b-7c10-8b2d-0f1e2d3c4b5a", "slug": "acme", "name": "Acme", "hosts": ["acme.example"],
        "issuer": "https://acme.example", "audience": null, "status": "active", "isolation": "schema",
        "settings": Settings::default(), "user_id": "uuid", "legacy": null,
        "foreign": {"left": false, "until": null}, "created_at": "2026-01-02T03:04:05.678901Z",
        "updated_at": "2026-01-02T03:04:05.678901Z",
    })
}

impl TenantOut {
    /// The answer for a tenant.
    #[must_use]
    pub fn new(tenant: Tenant) -> Self {
        Self {
            second_factor_notice: None,
            is_imported: tenant.legacy.imported_at.is_some(),
            issuer: tenant.issuer,
            id: tenant.id,
            slug: tenant.slug,
            name: tenant.name,
            hosts: tenant.hosts,
            audience: tenant.audience,
            status: status_text(tenant.status),
            isolation: tenant.isolation,
            settings: tenant.settings,
            user_id: form_text(tenant.legacy.user_id),
            foreign: ForeignOut { left: tenant.legacy.foreign_left, until: tenant.legacy.foreign_until },
            legacy: tenant.legacy.tokens.map(LegacyOut::from),
            created_at: tenant.created_at,
            updated_at: tenant.updated_at,
        }
    }

    /// The same with `second_factor_notice`, which depends on the time.
    #[must_use]
    pub fn at(self, now: DateTime<Utc>) -> Self {
        let second_factor_notice = if self.is_imported { to_come(&self.settings, now) } else { None };
        Self { second_factor_notice, ..self }
    }
}

//! A tenant as control knows it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use shared::ids::{HostName, Slug, TenantId};
use shared::tenant::Status;
use shared::tenant::settings::Settings;

use crate::db::CellName;
use crate::failure::Failure;
use crate::legacy::service::LegacyService;
use crate::tenants::claims::Former;

/// Where a tenant's users are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// In a schema of the tenant's own.
    #[default]
    Schema,
    /// In the schema that small tenants share.
    Shared,
}

impl Isolation {
    /// As stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Schema => "schema",
            Self::Shared => "shared",
        }
    }

    /// Reads the stored form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Schema, Self::Shared].into_iter().find(|isolation| isolation.as_str() == text)
    }
}

/// A tenant.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// Its id, never reused.
    pub id: TenantId,
    /// Its short name, never reused.
    pub slug: Slug,
    /// Its display name.
    pub name: String,
    /// Its own hosts.
    pub hosts: Vec<HostName>,
    /// Its state.
    pub status: Status,
    /// Whether it is the tenant of the platform's administrators.
    pub is_platform: bool,
    /// Where its users are stored.
    pub isolation: Isolation,
    /// The schema of its users.
    pub cell: CellName,
    /// `iss` of its tokens.
    pub issuer: String,
    /// `aud` of its access tokens, if it has one.
    pub audience: Option<String>,
    /// Former issuers and audiences, the earliest first.
    pub former_claims: Vec<Former>,
    /// Its settings.
    pub settings: Settings,
    /// Its legacy service: accepted tokens and imported hashes.
    pub legacy: LegacyService,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last edited.
    pub updated_at: DateTime<Utc>,
}

impl Tenant {
    /// The names (hosts and slug) by which the edge finds the tenant, as rows of the platform tenant.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let hosts = self.hosts.iter().map(host_name);
        std::iter::once(format!("slug:{}", self.slug)).chain(hosts).collect()
    }
}

/// A host as a name row of the edge.
#[must_use]
pub fn host_name(host: &HostName) -> String {
    format!("host:{host}")
}

/// The stored and answered form of a state.
#[must_use]
pub fn status_text(status: Status) -> &'static str {
    match status {
        Status::Provisioning => "provisioning",
        Status::Active => "active",
        Status::Suspended => "suspended",
        Status::Deleted => "deleted",
    }
}

pub(super) fn parse_status(text: &str) -> Option<Status> {
    [Status::Provisioning, Status::Active, Status::Suspended, Status::Deleted]
        .into_iter()
        .find(|status| status_text(*status) == text)
}

/// The first root-admin of a new tenant; stored, wrapped, until the tenant has a cell.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FirstAdmin {
    /// With a password.
    Known(KnownAdmin),
    /// To be invited once the tenant is active.
    Invited(InvitedAdmin),
}

/// A first root-admin who can sign in as soon as the tenant is active.
#[derive(Serialize, Deserialize)]
pub struct KnownAdmin {
    /// User name.
    pub username: String,
    /// Address.
    pub email: Option<String>,
    /// The verifier of the password as PHC text.
    pub verifier: String,
}

/// A first root-admin who gets an invitation by mail.
#[derive(Serialize, Deserialize)]
pub struct InvitedAdmin {
    /// A suggested user name.
    pub username: Option<String>,
    /// Address.
    pub email: String,
}

/// Why an operation on a tenant failed.
#[derive(Debug, thiserror::Error)]
pub enum TenantError {
    /// There is no tenant with that id or slug, or it is deleted.
    #[error("no such tenant")]
    NotFound,
    /// Invalid fields with their messages.
    #[error("fields are not acceptable")]
    Fields(Vec<(&'static str, String)>),
    /// The platform tenant cannot be deleted or suspended.
    #[error("the platform tenant cannot be suspended or deleted")]
    IsPlatform,
    /// Its state does not allow this.
    #[error("the tenant's state does not allow this")]
    WrongState,
    /// The limit of cells in the database is reached.
    #[error(
        "this database has reached WARDGATE_DATABASE_MAX_DEDICATED_CELLS; use isolation \"shared\" or raise the limit"
    )]
    CellsExhausted,
    /// An internal failure.
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl TenantError {
    /// One invalid field.
    #[must_use]
    pub fn field(name: &'static str, message: &str) -> Self {
        Self::Fields(vec![(name, message.to_owned())])
    }
}

impl From<sqlx::Error> for TenantError {
    fn from(error: sqlx::Error) -> Self {
        Self::Failure(error.into())
    }
}

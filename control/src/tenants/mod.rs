//! Tenants: who they are, what they chose, and the document the edge has of each.

pub mod captcha;
pub mod claims;
mod create;
pub mod data_key;
pub mod document;
mod edit;
pub mod filters;
pub(crate) mod input;
mod model;
pub mod named_roles;
mod networks;
mod out;
mod platform;
pub mod provision;
mod refused;
pub mod routes;
mod second_factor;
mod store;
mod visibility;

pub use create::{NewTenant, create, prepare};
pub use edit::{Edit, EditLegacy, delete, edit, resume, suspend};
pub use filters::Filters;
pub use model::{FirstAdmin, InvitedAdmin, Isolation, KnownAdmin, Tenant, TenantError};
pub use out::TenantOut;
pub use platform::ensure_platform;
pub use refused::no_tenant;
pub use second_factor::{demand_to_come, first_settings, settings_of_imported};
pub use store::{find, find_by_slug, lock};

//! Which fields of a user a caller sees.
//!
//! [`field_visibilities`] decides for roles and fields how much is shown, by the defaults, the tenant's rules and the platform's
//! bounds; [`mask`] makes the masked form of a field. [`Viewer`] is the caller. Only a viewer makes responses about
//! users ([`UserOut`], [`ShownFields`]) and permits list requests ([`asked`]), and nothing else in the crate turns a
//! personal text into JSON. docs/security.md has the table of defaults.

pub mod asked;
mod field_visibilities;
mod mask;
pub mod out;
mod shown_fields;
mod viewer;

pub use asked::{Asks, Permitted};
pub use field_visibilities::{FieldVisibilities, beyond};
pub use mask::MASK;
pub use out::UserOut;
pub use shown_fields::{ShownFields, ShownNames};
pub use viewer::{ShownProfile, Viewer};
pub(in crate::users) use viewer::{face, whole};

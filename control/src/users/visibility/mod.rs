//! Who is shown what of a user.
//!
//! [`sights`] says for roles and fields how much is shown, by the defaults, the tenant's rules and the platform's
//! bounds; [`mask`] what a field that is masked looks like. [`Viewer`] is who asks. Only a viewer makes what is
//! answered of a user ([`UserOut`], [`Face`]) and lets a list be asked for ([`asked`]), and nothing else of the crate
//! turns a personal text into JSON. docs/security.md has the table of defaults.

pub mod asked;
mod face;
mod mask;
pub mod out;
mod sights;
mod viewer;

pub use asked::{Asks, Permitted};
pub use face::Face;
pub use mask::MASK;
pub use out::UserOut;
pub use sights::{Sights, beyond};
pub use viewer::Viewer;
pub(in crate::users) use viewer::{face, whole};

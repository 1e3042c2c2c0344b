//! Profiles of users: education, employment, skills and certifications, in an order that their owner chooses.
//!
//! An entry is a JSON object that is encrypted under its user's key; [`model`] has the fields of each section, and all
//! sections share the code. Whose profile is shown to whom is decided by `users::visibility`. How complete a profile is
//! stands in the user's row: `users::completion`.

mod change;
pub mod input;
mod model;
mod out;
mod refused;
pub mod routes;
mod store;

pub use change::{create, delete, edit, may_write};
pub use model::{Entry, ProfileError, Section};
pub use out::ProfileOut;
pub use store::{find, section};

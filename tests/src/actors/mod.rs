//! Who uses the product: administrators, people, and their sessions. Tests read as what they do.

mod admin;
mod page;
mod person;
mod session;
mod tenant;

pub use admin::{Admin, Way};
pub use page::Page;
pub use person::Person;
pub use session::Session;
pub use tenant::Tenant;

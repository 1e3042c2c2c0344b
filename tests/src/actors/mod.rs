//! Who uses the product: administrators, users, and their sessions. Tests read as what they do.

mod admin;
mod authenticator;
mod page;
mod session;
mod tenant;
mod user;

pub use admin::{Admin, Way};
pub use authenticator::Authenticator;
pub use page::Page;
pub use session::Session;
pub use tenant::Tenant;
pub use user::User;

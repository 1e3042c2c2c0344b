//! Secrets and personal data at rest.

pub mod personal;
pub mod roots;
pub mod sealed;

//! Signing keys and roots of tenants.
pub mod model;
pub mod rsa;

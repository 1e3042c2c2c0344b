//! The service that a tenant came from: its users, their passwords, its tokens, and the import.
//!
//! [`service`] is what a tenant still has of it, [`import`] brings its users here by way of [`people`],
//! [`passwords`] checks what it hashed, [`devices`] makes authenticators of its second factors, and [`tokens`] says which
//! of its tokens are still accepted.

pub mod devices;
pub mod hashing;
pub mod ids;
pub mod import;
pub mod passwords;
pub mod people;
pub mod service;
pub mod tokens;

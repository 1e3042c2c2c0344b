//! Secrets and personal data at rest: who holds the keys ([`provider`]), how a column holds a secret
//! ([`sealed`]), what a tenant's MAC keys come from ([`roots`]), and personal texts ([`personal`]).

pub mod personal;
pub mod provider;
pub mod roots;
pub mod sealed;

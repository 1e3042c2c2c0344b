//! Secrets and personal data at rest: who holds the keys ([`provider`], [`kms`], [`providers`]), how a column
//! holds a secret ([`sealed`]), what a tenant's MAC keys come from ([`roots`]), and personal texts ([`personal`]).

#[cfg(feature = "aws-kms")]
pub mod kms;
pub mod personal;
pub mod provider;
pub mod providers;
pub mod roots;
pub mod sealed;

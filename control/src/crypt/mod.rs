//! Secrets and personal data at rest, under keys in layers. A provider ([`provider`], [`kms`], [`providers`]) holds
//! key-encryption keys and wraps the data key of each tenant ([`wrapped`]), which seals what columns hold ([`sealed`],
//! [`aead`]). What a tenant's MAC keys come from is in [`roots`] and [`lookup`], personal texts are in [`personal`], the
//! key of its audit log in [`audit_key`]. Rows about people who are no users have keys of their own ([`row_key`]), and so
//! has what an import lays aside ([`passing`]).

pub mod aead;
pub mod audit_key;
pub mod columns;
#[cfg(feature = "aws-kms")]
pub mod kms;
pub mod lookup;
pub mod passing;
pub mod personal;
pub mod provider;
pub mod providers;
pub mod roots;
pub mod row_key;
pub mod sealed;
pub mod wrapped;

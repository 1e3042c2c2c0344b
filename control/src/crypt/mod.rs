//! Encryption of secrets and personal data at rest, with keys in layers. A provider ([`provider`], [`kms`],
//! [`providers`]) has the key-encryption keys and wraps the data key of each tenant ([`wrapped`]), which encrypts
//! columns ([`sealed`], [`aead`]). [`roots`] and [`lookup`] have the roots of a tenant's MAC keys, [`personal`]
//! personal data, [`audit_key`] the key of its audit log. Rows about people who are not users have keys of their own
//! ([`row_key`]), and so have temporary tables of an import ([`passing`]).

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

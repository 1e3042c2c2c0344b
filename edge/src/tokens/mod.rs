//! Access tokens and the keys that sign them: issued, judged, remembered, published.

pub mod access;
pub mod amr;
pub mod error;
pub mod keys;
pub mod legacy;
pub mod refresh_token;
pub mod standing;
pub mod validate;

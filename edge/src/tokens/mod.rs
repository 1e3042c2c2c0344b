//! Access tokens and the keys that sign them: issued, judged, remembered, published.

pub mod access;
pub mod keys;
pub mod legacy;
pub mod validate;
pub mod verified;

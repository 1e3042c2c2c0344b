//! Access tokens and the keys that sign them: issued, judged, remembered, published. And tickets: looked up.

pub mod access;
pub mod amr;
pub mod error;
pub mod keys;
pub mod legacy;
pub mod password_due;
pub mod refresh_token;
pub mod standing;
pub mod ticket;
pub mod validate;

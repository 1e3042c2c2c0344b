//! Which tenant a request is for, and how what is known of it is kept fresh.

pub mod find;
pub mod networks;
pub mod state;
pub mod target;

//! Which tenant a request is for, and what this isolate knows of it.

pub mod feed;
pub mod find;
pub mod known;
pub mod state;
pub mod target;

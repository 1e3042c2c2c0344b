//! Sessions: refresh families, the outcome of a presented refresh token, and the tokens that are issued.

pub mod advance;
pub mod family;
pub mod issued;
pub mod logout;
mod pace;
pub mod refresh;
pub mod renew;
pub mod verify;

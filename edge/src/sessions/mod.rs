//! Sessions: refresh families, what a refresh token of one means, and the tokens that are made for them.

pub mod family;
pub mod issued;
pub mod logout;
mod pace;
pub mod refresh;
pub mod renew;
pub mod turn;
pub mod verify;

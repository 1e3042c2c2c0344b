//! What a user shows beside the password: one-time codes and recovery codes, made and checked alike on both sides.

pub mod recovery;
pub mod totp;

//! Second factors: one-time codes and recovery codes, computed alike in both halves.

pub mod recovery;
pub mod totp;

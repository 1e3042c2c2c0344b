//! Users of another service come here: `wardgate import`.
//!
//! 1. A source ([`postgres`], [`dump`]) is read as a stream of [`found::Item`]s.
//! 2. They are laid out, wrapped, in temporary tables ([`stage`]), where users with the same
//!    name are found. Nothing is held in memory.
//! 3. Page by page each is judged ([`judge`]): new, changed there since, changed here since, or why not
//!    to come. `--check` ends here.
//! 4. Page by page they are written ([`run()`]), each page in one transaction, like everything else:
//!    revisions, audit entries and the flag of foreign passwords included. A run that was killed is
//!    repeated; users who were imported are found unchanged.

mod decide;
pub mod dump;
mod format;
pub mod found;
mod judge;
pub mod moment;
pub mod postgres;
mod report;
mod run;
mod settle;
mod stage;
mod state;
mod write;

pub use judge::Mapping;
pub use report::{Report, Why};
pub use run::{Source, run};
pub use state::Options;

use crate::failure::Failure;

/// Why an import did not take place.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The source cannot be read; says where.
    #[error("{0}")]
    Source(String),
    /// Invalid arguments.
    #[error("{0}")]
    Refused(String),
    /// An internal failure.
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl From<sqlx::Error> for ImportError {
    fn from(error: sqlx::Error) -> Self {
        Self::Failure(error.into())
    }
}

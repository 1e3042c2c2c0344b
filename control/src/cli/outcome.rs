//! What a command says when it did not do what was asked, and the exit code of that.

use std::process::ExitCode;

use crate::edges::LaneError;
use crate::edges::client::CallError;
use crate::failure::{Failure, chain};
use crate::keys::KeyError;
use crate::keys::rsa::ImportError;
use crate::legacy::import;
use crate::settings::SettingsError;
use crate::tenants::TenantError;
use crate::users::{Faults, UserError};

/// An outcome that is not success.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    /// Something went wrong beneath.
    #[error("{0}")]
    Failed(String),
    /// A setting is missing or unusable.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// What was asked does not hold, or is not allowed now.
    #[error("{0}")]
    Refused(String),
}

impl CliError {
    pub(super) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Failed(_) => 1,
            Self::Settings(_) => 3,
            Self::NotFound(_) => 4,
            Self::Refused(_) => 5,
        })
    }
}

impl From<Failure> for CliError {
    fn from(failure: Failure) -> Self {
        Self::Failed(chain(&failure).to_string())
    }
}

impl From<sqlx::Error> for CliError {
    fn from(error: sqlx::Error) -> Self {
        Failure::Database(error).into()
    }
}

impl From<CallError> for CliError {
    fn from(error: CallError) -> Self {
        Self::Failed(chain(&error).to_string())
    }
}

impl From<LaneError> for CliError {
    fn from(error: LaneError) -> Self {
        Self::Failed(chain(&error).to_string())
    }
}

impl From<ImportError> for CliError {
    fn from(error: ImportError) -> Self {
        Self::Refused(error.to_string())
    }
}

impl From<import::ImportError> for CliError {
    fn from(error: import::ImportError) -> Self {
        match error {
            import::ImportError::Failure(failure) => failure.into(),
            import::ImportError::Source(_) => Self::Failed(error.to_string()),
            import::ImportError::Refused(_) => Self::Refused(error.to_string()),
        }
    }
}

impl From<TenantError> for CliError {
    fn from(error: TenantError) -> Self {
        match error {
            TenantError::Failure(failure) => failure.into(),
            TenantError::NotFound => Self::NotFound(error.to_string()),
            TenantError::Fields(faults) => Self::Refused(
                faults
                    .iter()
                    .map(|(field, fault)| format!("{field}: {fault}"))
                    .collect::<Vec<_>>()
                    .join("\n"),
            ),
            TenantError::IsPlatform | TenantError::WrongState | TenantError::CellsExhausted => {
                Self::Refused(error.to_string())
            }
        }
    }
}

impl From<UserError> for CliError {
    fn from(error: UserError) -> Self {
        match error {
            UserError::Failure(failure) => failure.into(),
            UserError::NotFound => Self::NotFound(error.to_string()),
            UserError::Fields(Faults(faults)) => {
                let lines = faults.iter().map(|(field, messages)| format!("{field}: {}", messages.join(" ")));
                Self::Refused(lines.collect::<Vec<_>>().join("\n"))
            }
            UserError::Rank | UserError::LastRootAdmin => Self::Refused(error.to_string()),
        }
    }
}

impl From<KeyError> for CliError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Failure(failure) => failure.into(),
            KeyError::Refused(crate::keys::model::KeyRefusal::NoSuchKey) => Self::NotFound(error.to_string()),
            KeyError::Refused(_) | KeyError::WrongTenant | KeyError::Rank => Self::Refused(error.to_string()),
        }
    }
}

impl From<crate::serve::ServeError> for CliError {
    fn from(error: crate::serve::ServeError) -> Self {
        Self::Failed(chain(&error).to_string())
    }
}

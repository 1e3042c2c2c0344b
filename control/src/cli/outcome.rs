//! What a command says when it did not do what was asked, and the exit code of that.

use std::process::ExitCode;

use shared::contract::refusal::Refusal;

use crate::accounts::AccountError;
use crate::audit::archive::ArchiveError;
use crate::audit::checkpoints::CheckpointError;
use crate::branches::BranchError;
use crate::edges::LaneError;
use crate::edges::client::CallError;
use crate::failure::{Failure, chain};
use crate::http::list;
use crate::keys::KeyError;
use crate::keys::rsa::ImportError;
use crate::legacy::import;
use crate::objects::ObjectError;
use crate::roles::RoleError;
use crate::sessions::rotate::RootError;
use crate::settings::SettingsError;
use crate::tenants::TenantError;
use crate::users::{Faults, ListError, UserError};

/// An outcome that is not success.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    /// An internal failure.
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

/// What the API's words, which are the old service's, leave open.
const RULES: [(&str, &str); 2] = [
    (
        "Enter a valid username.",
        " It has no blanks and no control characters, at most 254 bytes, and behind an @ only a domain.",
    ),
    ("Enter a valid email address.", " Expected one like ada@acme.example."),
];

impl From<Failure> for CliError {
    fn from(failure: Failure) -> Self {
        let failure = match failure {
            Failure::Settings(error) => return error.into(),
            other => other,
        };
        let advice = match &failure {
            Failure::Database(error) => advice(error).unwrap_or_default(),
            _ => "",
        };
        Self::Failed(format!("{}{advice}", chain(&failure)))
    }
}

/// What an operator can do about an error of the database.
fn advice(error: &sqlx::Error) -> Option<&'static str> {
    match error {
        sqlx::Error::PoolTimedOut => Some(
            ": is it up, and do WARDGATE_DATABASE_APP_URL and WARDGATE_DATABASE_RELAY_URL name it? psql with the \
             same URL says more",
        ),
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) => {
            Some(": is it up, and do the settings `database.*_url` name it?")
        }
        // Appendix A of PostgreSQL's manual.
        sqlx::Error::Database(error) => match error.code()?.as_ref() {
            "42P01" | "3F000" | "42703" => Some(": has it been migrated by this release? `wardgate migrate`"),
            "28P01" | "28000" => Some(
                ": `wardgate migrate` with WARDGATE_DATABASE_ADMIN_URL makes the roles, with the passwords of the \
                 three URLs",
            ),
            "3D000" => Some(": `createdb` makes it"),
            _ => None,
        },
        _ => None,
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

impl From<CheckpointError> for CliError {
    fn from(error: CheckpointError) -> Self {
        match error {
            CheckpointError::Failure(failure) => failure.into(),
            CheckpointError::Object(error) => error.into(),
        }
    }
}

impl From<ObjectError> for CliError {
    fn from(error: ObjectError) -> Self {
        Self::Failed(chain(&error).to_string())
    }
}

impl From<ArchiveError> for CliError {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::Checkpoint(error) => error.into(),
            ArchiveError::Finding(_) | ArchiveError::Disturbed(..) => Self::Refused(error.to_string()),
        }
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
            TenantError::WrongState => {
                Self::Refused("the tenant is still being made: a running `serve` finishes that".into())
            }
            TenantError::IsPlatform | TenantError::CellsExhausted => Self::Refused(error.to_string()),
        }
    }
}

/// Fields with their faults, a line for each.
fn bad_fields(Faults(faults): &Faults) -> CliError {
    let line = |(field, messages): &(&str, Vec<String>)| {
        let messages = messages.join(" ");
        let rule = RULES.iter().find(|(said, _)| *said == messages).map(|(_, rule)| *rule);
        format!("{field}: {messages}{}", rule.unwrap_or_default())
    };
    CliError::Refused(faults.iter().map(line).collect::<Vec<_>>().join("\n"))
}

impl From<RoleError> for CliError {
    fn from(error: RoleError) -> Self {
        match error {
            RoleError::Failure(failure) => failure.into(),
            RoleError::NotFound => Self::NotFound(error.to_string()),
            RoleError::Fields(faults) => bad_fields(&faults),
            RoleError::InUse { users, settings } => {
                let detail = Refusal::role_in_use(users, &settings).body;
                Self::Refused(detail["detail"].as_str().unwrap_or_default().to_owned())
            }
            RoleError::Rank | RoleError::Predefined | RoleError::Full => Self::Refused(error.to_string()),
        }
    }
}

impl From<BranchError> for CliError {
    fn from(error: BranchError) -> Self {
        match error {
            BranchError::Failure(failure) => failure.into(),
            BranchError::NotFound => Self::NotFound(error.to_string()),
            BranchError::Fields(faults) => bad_fields(&faults),
            BranchError::InUse { users, branches, roles } => {
                let detail = Refusal::branch_in_use(users, branches, &roles).body;
                Self::Refused(detail["detail"].as_str().unwrap_or_default().to_owned())
            }
            BranchError::Rank | BranchError::Full => Self::Refused(error.to_string()),
        }
    }
}

impl From<UserError> for CliError {
    fn from(error: UserError) -> Self {
        match error {
            UserError::Failure(failure) => failure.into(),
            UserError::NotFound => Self::NotFound(error.to_string()),
            UserError::Fields(faults) => bad_fields(&faults),
            UserError::LastRootAdmin => Self::Refused(format!(
                "{error}: make another user one first, by `wardgate user set-roles NAME root-admin`"
            )),
            UserError::Rank => Self::Refused(error.to_string()),
        }
    }
}

impl From<AccountError> for CliError {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::User(error) => error.into(),
            AccountError::Failure(failure) => failure.into(),
            AccountError::NotFound => Self::NotFound(error.to_string()),
            AccountError::Link
            | AccountError::Closed
            | AccountError::TooMany
            | AccountError::Full
            | AccountError::Tries(_)
            | AccountError::Password => Self::Refused(error.to_string()),
        }
    }
}

impl From<ListError> for CliError {
    fn from(error: ListError) -> Self {
        match error {
            ListError::Failure(failure) => failure.into(),
            ListError::Rebuilding => Self::Failed(error.to_string()),
            ListError::TooManyToOrder(_) => Self::Refused(format!("--ordering: {error}")),
        }
    }
}

/// Arguments that stand for fields of a list, with their faults.
pub(super) fn bad_arguments(faults: list::Faults) -> CliError {
    let line = |(field, messages): &(String, Vec<String>)| {
        format!("--{}: {}", field.replace('_', "-"), messages.join(" "))
    };
    CliError::Refused(faults.iter().map(line).collect::<Vec<_>>().join("\n"))
}

impl From<KeyError> for CliError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Failure(failure) => failure.into(),
            KeyError::Refused(crate::keys::model::KeyRefusal::NoSuchKey) => Self::NotFound(error.to_string()),
            KeyError::WrongTenant => Self::Refused(String::from(
                "the platform tenant makes its own keys and takes none: --tenant names another tenant",
            )),
            KeyError::Refused(_) | KeyError::Rank => Self::Refused(error.to_string()),
        }
    }
}

impl From<RootError> for CliError {
    fn from(error: RootError) -> Self {
        match error {
            RootError::Failure(failure) => failure.into(),
            RootError::UnderWay(_) | RootError::WrongTenant => Self::Refused(error.to_string()),
        }
    }
}

impl From<crate::serve::ServeError> for CliError {
    fn from(error: crate::serve::ServeError) -> Self {
        match error {
            crate::serve::ServeError::Failure(failure) => failure.into(),
            error => Self::Failed(chain(&error).to_string()),
        }
    }
}

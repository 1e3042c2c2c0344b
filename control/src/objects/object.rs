//! An object that was found, and why one was not written or read.

use std::path::PathBuf;

/// An object that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its name: parts divided by `/`.
    pub name: String,
    /// A change to it after it was written.
    pub disturbed: Option<Disturbance>,
    /// Its first version.
    pub(super) first: First,
}

/// The first version of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum First {
    /// The object, where there are no versions.
    Itself,
    /// The oldest version.
    #[cfg(feature = "aws-s3")]
    Version(String),
    /// A mark of a deletion alone: every version is gone.
    #[cfg(feature = "aws-s3")]
    Nothing,
}

/// A change to an object that nothing of Wardgate makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disturbance {
    /// Another version was written over the first.
    Overwritten,
    /// It was deleted; a bucket with versions has it still.
    Deleted,
}

impl Disturbance {
    /// As a text that follows the object's name.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Overwritten => "another version was written over it; the first one counts",
            Self::Deleted => "it was deleted; what the bucket keeps of it counts",
        }
    }
}

/// Why an object was not written or read.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// A file or folder.
    #[error("{0}")]
    Io(PathBuf, #[source] std::io::Error),
    /// Objects are never written over.
    #[error("there is an object `{0}` already")]
    Exists(String),
    /// The bucket does not do what the settings require.
    #[error(
        "the bucket `{0}` has no object lock, which WARDGATE_AUDIT_BUCKET_LOCK_DAYS asks for: switch it on for the \
         bucket (docs/deployment.md), or write without it"
    )]
    NotLocked(String),
    /// An object was written but is not locked as required, or the service does not report its lock.
    #[error(
        "the bucket `{0}` has not locked the object `{1}` as WARDGATE_AUDIT_BUCKET_LOCK_DAYS asks for, or does not let us \
         see its lock (s3:GetObjectRetention)"
    )]
    Unlocked(String, String),
    /// The service did not do what was asked.
    #[error("the bucket `{0}` {1}")]
    Service(String, Trouble),
}

/// What is wrong with the service of a bucket.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// It did not answer within the time for a call.
    #[error("did not answer in time")]
    TimedOut,
    /// No connection, or one that broke off.
    #[error("cannot be reached")]
    Unreachable,
    /// It limits how often it is called.
    #[error("limits our calls")]
    Throttled,
    /// It failed itself, or is full.
    #[error("failed: {0}")]
    Failing(String),
    /// It does not accept our credentials, or they may not do this.
    #[error("does not let us do this: {0}")]
    Denied(String),
    /// No credentials were found for it.
    #[error("needs credentials, and there are none")]
    NoCredentials,
    /// It is not there, or does not do this.
    #[error("refused: {0}")]
    Refused(String),
}

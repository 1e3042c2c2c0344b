//! Where objects go that must outlive the database and its operators: checkpoints and archives of the audit logs. A
//! folder, or a bucket of a service that speaks the API of S3.
//!
//! An object is written once, whole, under a name that none had before, and never touched again. A bucket with
//! versions keeps what was there first, whatever is written over it or deleted: that is what is read, and what was done
//! to it since is told beside it ([`Found`]).

#[cfg(feature = "aws-s3")]
mod bucket;
mod folder;
#[cfg(feature = "aws-s3")]
mod versions;

use std::path::PathBuf;

use chrono::{DateTime, Utc};

use self::folder::Folder;
use crate::failure::Failure;
use crate::settings::{Audit, StoreKind};

/// A place for objects.
pub enum Objects {
    /// A folder of this machine, or one that is mounted.
    Folder(Folder),
    /// A bucket.
    #[cfg(feature = "aws-s3")]
    Bucket(Box<bucket::Bucket>),
}

/// An object that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its name: parts divided by `/`.
    pub name: String,
    /// What was done to it after it was written.
    pub disturbed: Option<Disturbance>,
    /// What is there of it.
    first: First,
}

/// What was written first under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
enum First {
    /// The object, where there are no versions.
    Itself,
    /// The oldest version.
    #[cfg(feature = "aws-s3")]
    Version(String),
    /// A mark of a deletion alone: every version is gone.
    #[cfg(feature = "aws-s3")]
    Nothing,
}

/// What should not have been done to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disturbance {
    /// Another version was written over the first.
    Overwritten,
    /// It was deleted; a bucket with versions has it still.
    Deleted,
}

impl Disturbance {
    /// In words, behind the object's name.
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
    /// What the settings ask for, the bucket does not do.
    #[error(
        "the bucket `{0}` has no object lock, which WARDGATE_AUDIT_BUCKET_LOCK_DAYS asks for: switch it on for the \
         bucket (docs/deployment.md), or write without it"
    )]
    NotLocked(String),
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

impl Objects {
    /// The place of the settings. Nothing is read or called yet.
    ///
    /// # Errors
    /// Without what `settings` demands.
    pub fn of(settings: &Audit) -> Result<Self, Failure> {
        let missing = || Failure::Unreadable("settings `audit`");
        match settings.store {
            StoreKind::Folder => Ok(Self::folder(settings.checkpoint_folder.clone().ok_or_else(missing)?)),
            #[cfg(feature = "aws-s3")]
            StoreKind::S3 => Ok(Self::Bucket(Box::new(bucket::Bucket::of(settings).ok_or_else(missing)?))),
            #[cfg(not(feature = "aws-s3"))]
            StoreKind::S3 => Err(missing()),
        }
    }

    /// A folder.
    #[must_use]
    pub fn folder(path: PathBuf) -> Self {
        Self::Folder(Folder(path))
    }

    /// What people call it.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Folder(Folder(path)) => path.display().to_string(),
            #[cfg(feature = "aws-s3")]
            Self::Bucket(bucket) => bucket.name(),
        }
    }

    /// Whether it keeps what is written as the settings ask for. A folder that is not there yet is made later.
    ///
    /// # Errors
    /// See [`ObjectError`].
    pub async fn check(&self) -> Result<(), ObjectError> {
        match self {
            Self::Folder(_) => Ok(()),
            #[cfg(feature = "aws-s3")]
            Self::Bucket(bucket) => bucket.check().await,
        }
    }

    /// Writes an object, whole or not at all.
    ///
    /// # Errors
    /// See [`ObjectError`]. After one the object may be there all the same.
    pub async fn put(&self, name: &str, bytes: Vec<u8>, now: DateTime<Utc>) -> Result<(), ObjectError> {
        match self {
            Self::Folder(folder) => folder.put(name, bytes).await,
            #[cfg(feature = "aws-s3")]
            Self::Bucket(bucket) => bucket.put(name, bytes, now).await,
        }
    }

    /// The objects whose names begin so, in the order of their names. `None` for a folder that is not there.
    ///
    /// # Errors
    /// See [`ObjectError`].
    pub async fn list(&self, begin: &str) -> Result<Option<Vec<Found>>, ObjectError> {
        match self {
            Self::Folder(folder) => folder.list(begin).await,
            #[cfg(feature = "aws-s3")]
            Self::Bucket(bucket) => bucket.list(begin).await.map(Some),
        }
    }

    /// What was written first under a name; `None` where nothing of it is left.
    ///
    /// # Errors
    /// See [`ObjectError`].
    pub async fn read(&self, found: &Found) -> Result<Option<Vec<u8>>, ObjectError> {
        match (self, &found.first) {
            #[cfg(feature = "aws-s3")]
            (_, First::Nothing) => Ok(None),
            (Self::Folder(folder), _) => folder.get(&found.name).await,
            #[cfg(feature = "aws-s3")]
            (Self::Bucket(bucket), First::Version(version)) => bucket.get(&found.name, Some(version)).await,
            #[cfg(feature = "aws-s3")]
            (Self::Bucket(bucket), First::Itself) => bucket.get(&found.name, None).await,
        }
    }

    /// The object of a name, with what was done to it. `None` where nothing of it is left.
    ///
    /// # Errors
    /// See [`ObjectError`].
    pub async fn find(&self, name: &str) -> Result<Option<(Found, Vec<u8>)>, ObjectError> {
        let found = self.list(name).await?.unwrap_or_default();
        let Some(found) = found.into_iter().find(|found| found.name == name) else { return Ok(None) };
        Ok(self.read(&found).await?.map(|bytes| (found, bytes)))
    }
}

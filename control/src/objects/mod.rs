//! Storage of objects that must survive the loss of the database and be safe from its administrators: checkpoints and
//! archives of the audit logs. A folder, or a bucket of a service with the API of S3.
//!
//! An object is written once, whole, under a new name, and never changed. A bucket with versioning keeps the first
//! version after an overwrite or a deletion: the first version is what is read, and [`Found`] also reports later
//! overwrites and deletions.

#[cfg(feature = "aws-s3")]
mod bucket;
mod folder;
mod object;
#[cfg(feature = "aws-s3")]
mod versions;

use std::path::PathBuf;

use chrono::{DateTime, Utc};

use self::folder::Folder;
#[cfg(feature = "aws-s3")]
use self::object::First;
pub use self::object::{Disturbance, Found, ObjectError};
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

    /// Its name for messages.
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
    /// See [`ObjectError`]. After an error the object may still have been written.
    #[cfg_attr(not(feature = "aws-s3"), expect(unused_variables, reason = "a folder locks nothing"))]
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

    /// The first version of a name; `None` if no version is left.
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

    /// The object of a name, with later changes to it. `None` if no version is left.
    ///
    /// # Errors
    /// See [`ObjectError`].
    pub async fn find(&self, name: &str) -> Result<Option<(Found, Vec<u8>)>, ObjectError> {
        let found = self.list(name).await?.unwrap_or_default();
        let Some(found) = found.into_iter().find(|found| found.name == name) else { return Ok(None) };
        Ok(self.read(&found).await?.map(|bytes| (found, bytes)))
    }
}

//! The filters that this control looks passwords up in: the one that ships with it, and the one of the setting
//! `passwords.filter`.
//!
//! A filter of all breached passwords takes a gigabyte and a second to read. So the start looks at its beginning and
//! its length, `serve` reads it before it listens, and a command reads it when a password is given.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, OnceLock};

use super::filter::{Filter, FilterError};
use crate::failure::{Failure, chain};
use crate::settings::{Passwords, SettingsError};

/// Django's list of common passwords; control/passwords/README.md says where it is from.
static SHIPPED: &[u8] = include_bytes!("../../passwords/common.filter");

static COMMON: LazyLock<Option<Filter>> =
    LazyLock::new(|| Filter::read(SHIPPED, u64::try_from(SHIPPED.len()).unwrap_or(0)).ok());

/// The filter that ships with the binary.
///
/// # Errors
/// [`Failure::Unreadable`] for a binary that was built with another file.
pub fn common() -> Result<&'static Filter, Failure> {
    COMMON.as_ref().ok_or(Failure::Unreadable("filter of common passwords"))
}

/// See the module. Cheap to clone.
#[derive(Clone, Default)]
pub struct Filters(Arc<Inner>);

#[derive(Default)]
struct Inner {
    path: Option<PathBuf>,
    own: OnceLock<Filter>,
}

impl Filters {
    /// Those of the settings. Of a file only its beginning and its length are looked at.
    ///
    /// # Errors
    /// By the setting's name, where the file is no filter.
    pub fn of(settings: &Passwords) -> Result<Self, SettingsError> {
        let path = settings.filter.clone();
        if let Some(path) = &path {
            Filter::peek(path).map_err(|error| unusable(path, &error))?;
        }
        Ok(Self(Arc::new(Inner { path, own: OnceLock::new() })))
    }

    /// The filter of the setting, read when it is first asked for.
    ///
    /// # Errors
    /// By the setting's name, where the file is damaged or gone.
    pub fn own(&self) -> Result<Option<&Filter>, SettingsError> {
        let Some(path) = &self.0.path else { return Ok(None) };
        if let Some(filter) = self.0.own.get() {
            return Ok(Some(filter));
        }
        let filter = Filter::open(path).map_err(|error| unusable(path, &error))?;
        Ok(Some(self.0.own.get_or_init(|| filter)))
    }

    /// Reads what is not read yet, and gives a way to ask.
    ///
    /// # Errors
    /// As [`Filters::own`] and [`common`].
    pub fn ready(&self) -> Result<Ready<'_>, Failure> {
        Ok(Ready { common: common()?, own: self.own()? })
    }
}

/// A filter that lists a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lister {
    /// The one that ships with the binary.
    Common,
    /// The one of the setting.
    Own,
}

impl Lister {
    /// As metrics name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Common => "common",
            Self::Own => "own",
        }
    }
}

/// Filters in memory.
#[derive(Clone, Copy)]
pub struct Ready<'a> {
    common: &'a Filter,
    own: Option<&'a Filter>,
}

impl Ready<'_> {
    /// The first of them that lists a password.
    #[must_use]
    pub fn lister(&self, password: &str) -> Option<Lister> {
        if self.common.lists(password) {
            return Some(Lister::Common);
        }
        self.own.filter(|filter| filter.lists(password)).map(|_| Lister::Own)
    }
}

fn unusable(path: &Path, error: &FilterError) -> SettingsError {
    SettingsError::of("passwords.filter", format!("{}: {}", path.display(), chain(error)))
}

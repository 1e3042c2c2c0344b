//! Why settings are refused, in an operator's words.

use super::fields;

/// Why the settings were refused. No message holds a value: it could be a secret.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A setting without default was not given.
    #[error("{variable} is missing (or `{key}` in the settings file)")]
    Missing {
        /// Its variable.
        variable: String,
        /// Its path in the file.
        key: String,
    },
    /// A setting was given and makes no sense.
    #[error("{variable} (`{key}`) is not usable: {why}")]
    Unusable {
        /// Its variable.
        variable: String,
        /// Its path in the file.
        key: String,
        /// What was expected.
        why: String,
    },
    /// The file could not be read or parsed, or has a key that does not exist.
    #[error("the settings file is not usable: {0}")]
    File(String),
}

impl SettingsError {
    /// A setting, by its path in the file, that is not usable.
    #[must_use]
    pub fn of(key: &str, why: String) -> Self {
        let variable = fields().find(|field| field.key() == key).map(|field| field.variable());
        Self::Unusable { variable: variable.unwrap_or_default(), key: key.to_owned(), why }
    }
}

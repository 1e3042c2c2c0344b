//! Why settings are refused, in an operator's words.

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

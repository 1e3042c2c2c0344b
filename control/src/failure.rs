//! Failures outside of the domain: the database, its content, the machine.
//!
//! Slices have small enums of their own for outcomes of the domain, with one variant that carries
//! a [`Failure`]. `Display` never repeats its source; the chain is logged once, at the boundary.

use std::sync::Arc;

use crate::settings::SettingsError;

/// A failure that no caller can do anything about.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// PostgreSQL did not do what was asked.
    #[error("the database did not answer as it should")]
    Database(#[from] sqlx::Error),
    /// A stored value cannot be decrypted: its key-encryption key is not in the settings, or the row was altered.
    #[error("stored {0} cannot be read")]
    Unreadable(&'static str),
    /// The key provider is out of service. What is stored is unchanged and will open when it is back.
    #[error("the key provider wraps and unwraps nothing at present")]
    KeyProvider(#[from] KeyOutage),
    /// The key of the tenant that sealed something was replaced before that could be committed.
    #[error("the tenant's key was replaced meanwhile")]
    KeyReplaced,
    /// Too much waits for a tenant's part of what is named, or waited too long ([`crate::shares`]).
    #[error("too much waits for the tenant's share of {0}")]
    Busy(&'static str),
    /// A shared operation failed for all that waited for it.
    #[error(transparent)]
    Shared(Arc<Failure>),
    /// The machine gave no randomness.
    #[error("no randomness")]
    Entropy,
    /// A cryptographic operation that cannot fail on good input failed.
    #[error("{0} failed")]
    Crypto(&'static str),
    /// The edge knows revisions above ours, so nothing is written for this tenant until a reseed.
    #[error("the tenant is halted: the edge has seen later revisions; run `wardgate edges reseed`")]
    Halted,
    /// The target of a setting is not usable.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Roles or schemas are not as they must be; the text says what is wrong and where.
    #[error("{0}")]
    Schema(String),
}

/// Why a key provider is unavailable. None of these concerns a stored value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyOutage {
    /// It did not answer within the time for a call, a repeat of it included.
    #[error("it did not answer in time")]
    TimedOut,
    /// No connection, or one that broke off.
    #[error("it cannot be reached")]
    Unreachable,
    /// It limits how often it is called.
    #[error("it limits our calls")]
    Throttled,
    /// It failed itself, or waits for another service.
    #[error("it failed")]
    Failing,
    /// Its owner has disabled the key, or is about to delete it.
    #[error("the key is disabled, or is about to be deleted")]
    KeyDisabled,
    /// It has no such key: deleted, or of another region or account.
    #[error("it has no such key")]
    KeyMissing,
    /// It does not accept our credentials, or they may not use the key.
    #[error("it does not let us use the key")]
    Denied,
    /// No credentials were found for it.
    #[error("there are no credentials for it")]
    NoCredentials,
}

impl KeyOutage {
    /// As `/metrics` counts it.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::TimedOut => "timed_out",
            Self::Unreachable => "unreachable",
            Self::Throttled => "throttled",
            Self::Failing => "failing",
            Self::KeyDisabled => "key_disabled",
            Self::KeyMissing => "key_missing",
            Self::Denied => "denied",
            Self::NoCredentials => "no_credentials",
        }
    }
}

impl Failure {
    /// Whether trying again later may help: nothing that is stored has to be repaired.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Database(error) => is_passing(error),
            Self::Shared(failure) => failure.is_passing(),
            Self::Halted | Self::Busy(_) | Self::KeyProvider(_) | Self::KeyReplaced => true,
            Self::Unreadable(_) | Self::Entropy | Self::Crypto(_) | Self::Settings(_) | Self::Schema(_) => {
                false
            }
        }
    }
}

/// Connection trouble, a server that shuts down or is full, a deadlock or a timeout.
fn is_passing(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => {
            true
        }
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            // Classes of PostgreSQL's appendix A: 08 connection, 53 resources, 57 operator
            // intervention, 40 rollback, 55P03 lock not available.
            ["08", "53", "57", "40"].iter().any(|class| code.starts_with(class)) || code == "55P03"
        }),
        _ => false,
    }
}

/// An error with everything it came from, on one line: for logs and the command line, never for a
/// body.
pub struct Chain<'a>(&'a dyn std::error::Error);

/// See [`Chain`].
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> Chain<'_> {
    Chain(error)
}

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut before = self.0.to_string();
        f.write_str(&before)?;
        let mut source = self.0.source();
        while let Some(inner) = source {
            let text = inner.to_string();
            // Some libraries say within an error what its source says again.
            if !before.ends_with(&text) {
                write!(f, ": {text}")?;
            }
            before = text;
            source = inner.source();
        }
        Ok(())
    }
}

/// Maps a violated constraint to a domain error at the query, in place of a check before, which would race.
pub trait OnConstraint<T> {
    /// The domain's error if `constraint` was violated; other errors are unchanged.
    ///
    /// # Errors
    /// `meaning` for a violation of `constraint`, else the failure itself.
    fn on_constraint<E: From<Failure>>(self, constraint: &str, meaning: impl FnOnce() -> E) -> Result<T, E>;
}

impl<T> OnConstraint<T> for Result<T, sqlx::Error> {
    fn on_constraint<E: From<Failure>>(self, constraint: &str, meaning: impl FnOnce() -> E) -> Result<T, E> {
        self.map_err(|error| match &error {
            sqlx::Error::Database(inner) if inner.constraint() == Some(constraint) => meaning(),
            _ => Failure::Database(error).into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_says_everything_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("{text}")]
        struct Link {
            text: &'static str,
            source: Option<Box<Link>>,
        }
        let link = |text, source: Option<Link>| Link { text, source: source.map(Box::new) };
        let innermost = link("refused (111)", None);
        let repeated = link("no connection: refused (111)", Some(innermost));
        let outermost = link("the database did not answer", Some(repeated));
        assert_eq!(
            chain(&outermost).to_string(),
            "the database did not answer: no connection: refused (111)"
        );
    }
}

//! Why a token was not taken.

use shared::contract::refusal::{Refusal, TokenFault};

use crate::platform::{CryptoError, StoreError};

/// A token's fault, or a refusal that has nothing to do with the token.
#[derive(Debug)]
pub enum TokenError {
    /// The token is not valid; each route has its own refusal for it.
    Token(TokenFault),
    /// Something else, as it is.
    Other(Refusal),
}

impl From<TokenFault> for TokenError {
    fn from(fault: TokenFault) -> Self {
        Self::Token(fault)
    }
}

impl From<Refusal> for TokenError {
    fn from(refusal: Refusal) -> Self {
        Self::Other(refusal)
    }
}

impl TokenError {
    /// The refusal; `words` converts a token's fault.
    pub fn with(self, words: impl FnOnce(TokenFault) -> Refusal) -> Refusal {
        match self {
            Self::Token(fault) => words(fault),
            Self::Other(refusal) => refusal,
        }
    }
}

impl From<StoreError> for TokenError {
    fn from(error: StoreError) -> Self {
        Self::Other(error.into())
    }
}

impl From<CryptoError> for TokenError {
    fn from(error: CryptoError) -> Self {
        Self::Other(error.into())
    }
}

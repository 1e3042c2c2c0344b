//! What the API answers to each [`KeyError`].

use shared::contract::refusal::{Code, Refusal};

use super::KeyError;
use super::model::KeyRefusal;
use crate::http::answer::Refused;
use crate::http::time;

impl From<KeyError> for Refused {
    fn from(error: KeyError) -> Self {
        let conflict = |detail: &str| Self(Refusal::new(409, detail, Code::Conflict));
        match error {
            KeyError::Refused(KeyRefusal::NoSuchKey) => {
                Self(Refusal::plain(404, "No Key matches the given query."))
            }
            KeyError::Refused(KeyRefusal::UnderWay(sign_from)) => conflict(&format!(
                "A rotation is under way: the next key signs from {}.",
                time::text(sign_from)
            )),
            KeyError::Refused(KeyRefusal::NotConfirmed) => {
                conflict("The edge has not confirmed the next key yet; try again.")
            }
            KeyError::Refused(KeyRefusal::Ended) => conflict("The key is revoked or removed already."),
            KeyError::Refused(KeyRefusal::Known) => conflict("The tenant has this key already."),
            KeyError::WrongTenant => conflict("This tenant takes no such key operation."),
            KeyError::Rank => Self(Refusal::forbidden()),
            KeyError::Failure(failure) => failure.into(),
        }
    }
}

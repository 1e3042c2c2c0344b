//! What the API answers to each [`MfaError`].

use shared::contract::limits::AUTHENTICATORS;
use shared::contract::refusal::{Code, Refusal};

use super::MfaError;
use crate::http::answer::Refused;

impl From<MfaError> for Refused {
    fn from(error: MfaError) -> Self {
        match error {
            MfaError::NotFound => Self(Refusal::plain(404, "No Authenticator matches the given query.")),
            MfaError::TooMany => {
                let detail = format!("There are {AUTHENTICATORS} authenticators already: remove one first.");
                Self(Refusal::new(409, &detail, Code::Conflict))
            }
            MfaError::NoEnrolment => {
                Self(Refusal::field("id", "This enrolment has ended or never began: begin another one."))
            }
            MfaError::WrongCode => Self(Refusal::field("otp", "Invalid or expired code.")),
            MfaError::Demanded => Self(Refusal::new(
                409,
                "A second factor is demanded of you: enrol another authenticator before you remove the last one.",
                Code::Conflict,
            )),
            MfaError::NotEnabled => {
                Self(Refusal::new(409, "There is no authenticator: enrol one first.", Code::Conflict))
            }
            MfaError::Failure(failure) => failure.into(),
        }
    }
}

//! Every refusal that an answer may carry, with the texts of the contract.
//!
//! Only a [`Refusal`] has HTTP terms: status, body and `Retry-After`. A [`TokenFault`] is the fault of a token, and has the
//! refusal for each kind of route. Clients of SimpleJWT services compare these texts, so they are the recorded ones.

use serde_json::{Map, Value, json};

use super::limits::{CHALLENGE_SECS, REBUILDING_SECS, TICKET_SECS};
use crate::tokens::challenge::Challenge;
use crate::tokens::ticket::Ticket;

macro_rules! codes {
    ($(#[doc = $meaning:literal] $name:ident = $text:literal,)*) => {
        /// Machine-readable codes, as published with the documentation.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $(#[doc = $meaning] $name,)* }

        impl Code {
            /// All of them, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code as it stands in a body.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// Its meaning, for the documentation.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning.trim_ascii(),)* }
            }
        }
    };
}

codes! {
    /// The token is invalid, expired or revoked.
    TokenNotValid = "token_not_valid",
    /// The `Authorization` header does not have two parts.
    BadAuthorizationHeader = "bad_authorization_header",
    /// The user is not active.
    UserInactive = "user_inactive",
    /// The user was deleted.
    UserNotFound = "user_not_found",
    /// The password was changed after the token was issued.
    PasswordChanged = "password_changed",
    /// The password is correct, but must be changed first; `ticket` allows that.
    PasswordChangeRequired = "password_change_required",
    /// The password is correct, and a second factor is required: send `mfa_token` to `POST /api/verify-otp/`.
    MfaRequired = "mfa_required",
    /// The code is wrong or was used before, or the `mfa_token` is unknown, expired or used.
    OtpInvalid = "otp_invalid",
    /// The tenant requires a second factor, and the user has none; `ticket` allows enrolling one.
    MfaEnrollmentRequired = "mfa_enrollment_required",
    /// The route requires a recent second factor or password: see `POST /api/step-up/`.
    StepUpRequired = "step_up_required",
    /// A CAPTCHA must be solved, or a new one: `site_key` is the key of its widget.
    CaptchaRequired = "captcha_required",
    /// The tenant does not allow such requests from the client's network.
    NetworkNotAllowed = "network_not_allowed",
    /// The tenant is suspended.
    TenantSuspended = "tenant_suspended",
    /// The tenant does not allow registration without an invitation.
    RegistrationClosed = "registration_closed",
    /// A request with cookies lacks an allowed `Origin` or the session's `X-CSRFToken`.
    CsrfFailed = "csrf_failed",
    /// The body is too large.
    TooLarge = "too_large",
    /// The service, or a part that it needs, is temporarily unavailable.
    Unavailable = "unavailable",
    /// The search index is being rebuilt, which takes seconds to minutes.
    Rebuilding = "rebuilding",
    /// An internal error.
    Internal = "internal",
    /// A push does not continue from the tenant's mark.
    RevisionGap = "revision_gap",
    /// A push has a smaller `history` than the edge knows.
    StaleHistory = "stale_history",
    /// A push holds values that are sealed under a key-encryption key that this edge does not have.
    EdgeKeyUnknown = "edge_key_unknown",
    /// An acknowledgement names facts that this database never sent: the database was restored.
    OutboxRestored = "outbox_restored",
    /// The service signature is missing or invalid.
    SignatureInvalid = "signature_invalid",
    /// The object's state does not allow this.
    Conflict = "conflict",
    /// The role is in use: by `users` users, and by the tenant's settings in `settings`.
    RoleInUse = "role_in_use",
    /// The branch is in use: by `users` users, `branches` branches directly below it, and the roles in `roles`.
    BranchInUse = "branch_in_use",
    /// The object was changed after it was read.
    PreconditionFailed = "precondition_failed",
    /// The `Idempotency-Key` was used for another request.
    IdempotencyKeyReused = "idempotency_key_reused",
}

/// An error answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// JSON body.
    pub body: Value,
    /// `Retry-After` in seconds.
    pub retry_after_secs: Option<u64>,
}

impl Refusal {
    /// `{"detail", "code"}`.
    #[must_use]
    pub fn new(status: u16, detail: &str, code: Code) -> Self {
        Self { status, body: json!({"detail": detail, "code": code.as_str()}), retry_after_secs: None }
    }

    /// `{"detail"}` alone, where the recorded contract has no code.
    #[must_use]
    pub fn plain(status: u16, detail: &str) -> Self {
        Self { status, body: json!({"detail": detail}), retry_after_secs: None }
    }

    /// 400 with messages by field.
    #[must_use]
    pub fn fields<F: Into<String>>(faults: impl IntoIterator<Item = (F, Vec<String>)>) -> Self {
        let body = faults
            .into_iter()
            .map(|(field, messages)| (field.into(), json!(messages)))
            .collect::<Map<_, _>>();
        Self { status: 400, body: Value::Object(body), retry_after_secs: None }
    }

    /// 400 with one message of one field.
    #[must_use]
    pub fn field(field: &str, message: &str) -> Self {
        Self::fields([(field, vec![message.to_owned()])])
    }

    /// 400: the body is not JSON.
    #[must_use]
    pub fn json_parse(reason: &str) -> Self {
        Self::plain(400, &format!("JSON parse error - {reason}"))
    }

    /// 400: the body is JSON but not an object; the type is named as in Python.
    #[must_use]
    pub fn not_an_object(value: &Value) -> Self {
        let kind = match value {
            Value::Null => "NoneType",
            Value::Bool(_) => "bool",
            Value::Number(number) if number.is_f64() => "float",
            Value::Number(_) => "int",
            Value::String(_) => "str",
            Value::Array(_) => "list",
            Value::Object(_) => "dict",
        };
        Self::field("non_field_errors", &format!("Invalid data. Expected a dictionary, but got {kind}."))
    }

    /// 401: no credentials on a protected route.
    #[must_use]
    pub fn no_credentials() -> Self {
        Self::plain(401, "Authentication credentials were not provided.")
    }

    /// The same at validate, with `"valid": false`.
    #[must_use]
    pub fn no_credentials_at_validate() -> Self {
        let body = json!({"valid": false, "detail": "Authentication credentials were not provided."});
        Self { status: 401, body, retry_after_secs: None }
    }

    /// 401: `Authorization` is not two parts.
    #[must_use]
    pub fn bad_authorization_header() -> Self {
        Self::new(
            401,
            "Authorization header must contain two space-delimited values",
            Code::BadAuthorizationHeader,
        )
    }

    /// 401: a sign-in that failed for any reason.
    #[must_use]
    pub fn no_active_account() -> Self {
        Self::plain(401, "No active account found with the given credentials")
    }

    /// 401: a service signature that is missing, stale or foreign.
    #[must_use]
    pub fn unsigned() -> Self {
        Self::new(401, "A valid service signature is required.", Code::SignatureInvalid)
    }

    /// 403: the caller may not.
    #[must_use]
    pub fn forbidden() -> Self {
        Self::plain(403, "You do not have permission to perform this action.")
    }

    /// 403: the tenant is suspended.
    #[must_use]
    pub fn tenant_suspended() -> Self {
        Self::new(403, "This tenant is suspended.", Code::TenantSuspended)
    }

    /// 403: the tenant does not allow requests from the client's network.
    #[must_use]
    pub fn network_not_allowed() -> Self {
        Self::new(403, "This network is not allowed.", Code::NetworkNotAllowed)
    }

    /// 403: a CAPTCHA must be solved. The same answer for a missing and for an invalid token.
    #[must_use]
    pub fn captcha_required(site_key: &str) -> Self {
        let mut refusal = Self::new(403, "A CAPTCHA must be solved.", Code::CaptchaRequired);
        if let Value::Object(body) = &mut refusal.body {
            body.insert(String::from("site_key"), site_key.into());
        }
        refusal
    }

    /// 403: the tenant does not allow registration without an invitation.
    #[must_use]
    pub fn registration_closed() -> Self {
        Self::new(403, "Registration is closed.", Code::RegistrationClosed)
    }

    /// 403: the password is correct, but must be changed first, with the ticket.
    #[must_use]
    pub fn password_change_required(ticket: &Ticket) -> Self {
        let mut refusal = Self::new(403, "Password change required.", Code::PasswordChangeRequired);
        if let Value::Object(body) = &mut refusal.body {
            body.insert(String::from("ticket"), ticket.to_text().into());
            body.insert(String::from("expires_in"), TICKET_SECS.into());
        }
        refusal
    }

    /// 403: the password is correct, and the tenant requires a second factor, which the user can enrol with the
    /// ticket.
    #[must_use]
    pub fn mfa_enrollment_required(ticket: &Ticket) -> Self {
        let detail = "Multi-factor authentication must be set up.";
        let mut refusal = Self::new(403, detail, Code::MfaEnrollmentRequired);
        if let Value::Object(body) = &mut refusal.body {
            body.insert(String::from("ticket"), ticket.to_text().into());
            body.insert(String::from("expires_in"), TICKET_SECS.into());
        }
        refusal
    }

    /// 401 at `token`: the password is correct, and a second factor is required.
    #[must_use]
    pub fn mfa_required(challenge: &Challenge, methods: &[&str]) -> Self {
        let mut refusal = Self::new(401, "Multi-factor authentication required.", Code::MfaRequired);
        if let Value::Object(body) = &mut refusal.body {
            body.insert(String::from("mfa_token"), challenge.to_text().into());
            body.insert(String::from("methods"), json!(methods));
            body.insert(String::from("expires_in"), CHALLENGE_SECS.into());
        }
        refusal
    }

    /// 401: the code is wrong or used, or its challenge is invalid: one answer for all of these.
    #[must_use]
    pub fn otp_invalid() -> Self {
        Self::new(401, "Invalid or expired code.", Code::OtpInvalid)
    }

    /// 403: the route requires a sign-in or step-up within `max_age_secs`, by one of `methods`.
    #[must_use]
    pub fn step_up_required(methods: &[&str], max_age_secs: i64) -> Self {
        let mut refusal = Self::new(403, "A recent step-up is required.", Code::StepUpRequired);
        if let Value::Object(body) = &mut refusal.body {
            body.insert(String::from("methods"), json!(methods));
            body.insert(String::from("max_age"), max_age_secs.into());
        }
        refusal
    }

    /// 403: by cookie, without a listed `Origin` and the session's `X-CSRFToken`.
    #[must_use]
    pub fn csrf_failed() -> Self {
        Self::new(403, "CSRF verification failed.", Code::CsrfFailed)
    }

    /// 404: a path, tenant or object that is not there.
    #[must_use]
    pub fn not_found() -> Self {
        Self::plain(404, "Not found.")
    }

    /// 405.
    #[must_use]
    pub fn method_not_allowed(method: &str) -> Self {
        Self::plain(405, &format!("Method \"{method}\" not allowed."))
    }

    /// 406: no representation is acceptable to the client.
    #[must_use]
    pub fn not_acceptable() -> Self {
        Self::plain(406, "Could not satisfy the request Accept header.")
    }

    /// 412: the object has been changed since it was read.
    #[must_use]
    pub fn precondition_failed() -> Self {
        Self::new(412, "The object has been changed since it was read.", Code::PreconditionFailed)
    }

    /// 409: a role that users have or settings name is not deleted.
    #[must_use]
    pub fn role_in_use(users: i64, settings: &[&str]) -> Self {
        let users_have = match users {
            0 => None,
            1 => Some(String::from("1 user has the role")),
            _ => Some(format!("{users} users have the role")),
        };
        let named = (!settings.is_empty()).then(|| format!("settings name it: {}", settings.join(", ")));
        let reasons: Vec<_> = users_have.into_iter().chain(named).collect();
        let detail = format!("The role is in use: {}.", reasons.join("; "));
        let mut refusal = Self::new(409, &detail, Code::RoleInUse);
        if let Value::Object(body) = &mut refusal.body {
            body.insert(String::from("users"), users.into());
            body.insert(String::from("settings"), json!(settings));
        }
        refusal
    }

    /// 409: a branch with users or branches, or one that a role names, is not deleted.
    #[must_use]
    pub fn branch_in_use(users: i64, branches: i64, roles: &[String]) -> Self {
        let counted = |count: i64, one: &str, several: &str| match count {
            0 => None,
            1 => Some(format!("1 {one}")),
            _ => Some(format!("{count} {several}")),
        };
        let users_are = counted(users, "user is in it", "users are in it");
        let branches_are = counted(branches, "branch is below it", "branches are below it");
        let named = (!roles.is_empty()).then(|| format!("roles name it: {}", roles.join(", ")));
        let reasons: Vec<_> = users_are.into_iter().chain(branches_are).chain(named).collect();
        let detail = format!("The branch is in use: {}.", reasons.join("; "));
        let mut refusal = Self::new(409, &detail, Code::BranchInUse);
        if let Value::Object(body) = &mut refusal.body {
            body.insert(String::from("users"), users.into());
            body.insert(String::from("branches"), branches.into());
            body.insert(String::from("roles"), json!(roles));
        }
        refusal
    }

    /// 413.
    #[must_use]
    pub fn too_large() -> Self {
        Self::new(413, "Request body is too large.", Code::TooLarge)
    }

    /// 415: a media type that the route does not read; absent with a body is one, too.
    #[must_use]
    pub fn unsupported_media_type(media_type: &str) -> Self {
        Self::plain(415, &format!("Unsupported media type \"{media_type}\" in request."))
    }

    /// 429 with the seconds until the next try.
    #[must_use]
    pub fn throttled(wait_secs: u64) -> Self {
        let unit = if wait_secs == 1 { "second" } else { "seconds" };
        let detail = format!("Request was throttled. Expected available in {wait_secs} {unit}.");
        Self { retry_after_secs: Some(wait_secs), ..Self::plain(429, &detail) }
    }

    /// 503: storage or control cannot be reached, so there is nothing to decide by.
    #[must_use]
    pub fn unavailable() -> Self {
        let refusal = Self::new(503, "Service temporarily unavailable.", Code::Unavailable);
        Self { retry_after_secs: Some(1), ..refusal }
    }

    /// 503: the search index is being rebuilt.
    #[must_use]
    pub fn rebuilding() -> Self {
        let refusal = Self::new(503, "The search index is being rebuilt.", Code::Rebuilding);
        Self { retry_after_secs: Some(REBUILDING_SECS), ..refusal }
    }

    /// 500: a fault of ours; the log has the cause.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(500, "Internal error.", Code::Internal)
    }
}

/// The fault of a token, in the order of the checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TokenFault {
    /// Malformed, a wrong signature, another tenant's, or an unknown or revoked key.
    #[error("invalid token")]
    Invalid,
    /// Past `exp`, or past a deadline of its family.
    #[error("expired token")]
    Expired,
    /// A valid token of another kind.
    #[error("token of another kind")]
    WrongType,
    /// The user is deleted.
    #[error("user deleted")]
    UserNotFound,
    /// The user is not active.
    #[error("user not active")]
    UserInactive,
    /// The password was changed after the token was issued.
    #[error("password changed")]
    PasswordChanged,
    /// A lower epoch, an ended family, a generation that is behind.
    #[error("ended session")]
    Blacklisted,
}

impl TokenFault {
    fn words(self) -> &'static str {
        match self {
            Self::Invalid => "Token is invalid",
            Self::Expired => "Token is expired",
            Self::WrongType => "Token has wrong type",
            Self::UserNotFound | Self::UserInactive | Self::PasswordChanged | Self::Blacklisted => {
                "Token is blacklisted"
            }
        }
    }

    /// The answer of a protected route to a Bearer token with this fault.
    #[must_use]
    pub fn as_bearer(self) -> Refusal {
        match self {
            Self::UserNotFound => Refusal::new(401, "User not found", Code::UserNotFound),
            Self::UserInactive => Refusal::new(401, "User is inactive", Code::UserInactive),
            Self::PasswordChanged => {
                Refusal::new(401, "The user's password has been changed.", Code::PasswordChanged)
            }
            Self::Invalid | Self::Expired | Self::WrongType | Self::Blacklisted => Refusal {
                status: 401,
                body: json!({
                    "detail": "Given token not valid for any token type",
                    "code": Code::TokenNotValid.as_str(),
                    "messages": [{"token_class": "AccessToken", "token_type": "access", "message": self.words()}],
                }),
                retry_after_secs: None,
            },
        }
    }

    /// The refusal at refresh, where only the user's status has a text of its own.
    #[must_use]
    pub fn at_refresh(self) -> Refusal {
        match self {
            Self::UserInactive | Self::UserNotFound => {
                Refusal::plain(401, "No active account found for the given token.")
            }
            Self::Invalid | Self::Expired | Self::WrongType | Self::PasswordChanged | Self::Blacklisted => {
                Refusal::new(401, self.words(), Code::TokenNotValid)
            }
        }
    }

    /// The refusal at verify. SimpleJWT's serializer checks the blacklist itself, hence 400.
    #[must_use]
    pub fn at_verify(self) -> Refusal {
        match self {
            Self::UserNotFound | Self::UserInactive | Self::PasswordChanged | Self::Blacklisted => {
                Refusal::field("non_field_errors", self.words())
            }
            Self::Invalid | Self::Expired | Self::WrongType => {
                Refusal::new(401, self.words(), Code::TokenNotValid)
            }
        }
    }

    /// At blacklist and logout, of a refresh token in the body.
    #[must_use]
    pub fn at_sign_out(self) -> Refusal {
        Refusal::new(401, self.words(), Code::TokenNotValid)
    }

    /// The refusal at validate, with `"valid": false`.
    #[must_use]
    pub fn at_validate(self) -> Refusal {
        let body = json!({"valid": false, "detail": self.words(), "code": Code::TokenNotValid.as_str()});
        Refusal { status: 401, body, retry_after_secs: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recorded_words_stand() {
        assert_eq!(
            TokenFault::Invalid.as_bearer().body,
            json!({"detail": "Given token not valid for any token type", "code": "token_not_valid",
                "messages": [{"token_class": "AccessToken", "token_type": "access", "message": "Token is invalid"}]})
        );
        assert_eq!(
            TokenFault::UserInactive.as_bearer().body,
            json!({"detail": "User is inactive", "code": "user_inactive"})
        );
        assert_eq!(
            TokenFault::UserInactive.at_refresh().body,
            json!({"detail": "No active account found for the given token."})
        );
        for fault in [
            TokenFault::UserNotFound,
            TokenFault::UserInactive,
            TokenFault::PasswordChanged,
            TokenFault::Blacklisted,
        ] {
            let (verify, end) = (fault.at_verify(), fault.at_sign_out());
            let expected = json!({"non_field_errors": ["Token is blacklisted"]});
            assert_eq!((verify.status, verify.body), (400, expected));
            let expected = json!({"detail": "Token is blacklisted", "code": "token_not_valid"});
            assert_eq!((end.status, end.body), (401, expected));
        }
        for (fault, words) in [
            (TokenFault::Invalid, "Token is invalid"),
            (TokenFault::Expired, "Token is expired"),
            (TokenFault::WrongType, "Token has wrong type"),
        ] {
            let verify = fault.at_verify();
            let expected = json!({"detail": words, "code": "token_not_valid"});
            assert_eq!((verify.status, verify.body), (401, expected));
        }
        assert_eq!(
            TokenFault::Blacklisted.at_validate().body,
            json!({"valid": false, "detail": "Token is blacklisted", "code": "token_not_valid"})
        );
        assert_eq!(
            Refusal::throttled(60).body["detail"],
            "Request was throttled. Expected available in 60 seconds."
        );
        assert_eq!(
            Refusal::not_an_object(&json!([])).body,
            json!({"non_field_errors": ["Invalid data. Expected a dictionary, but got list."]})
        );
    }
}

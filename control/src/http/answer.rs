//! Answers: JSON for success, and [`Refused`] for every error. Each slice converts its own errors, for example `impl
//! From<UserError> for Refused` in `users/refused.rs`.

use std::any::Any;
use std::marker::PhantomData;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use shared::contract::refusal::{Refusal, TokenFault};

use crate::failure::{Failure, chain};

/// A refusal on its way out. The chain of causes was logged when it was made.
#[derive(Debug)]
pub struct Refused(pub Refusal);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Refusal { status, body, retry_after_secs } = self.0;
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = json(status, &body);
        if status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(WWW_AUTHENTICATE, HeaderValue::from_static(r#"Bearer realm="api""#));
        }
        if let Some(secs) = retry_after_secs {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(secs));
        }
        response
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self(refusal)
    }
}

impl From<TokenFault> for Refused {
    fn from(fault: TokenFault) -> Self {
        Self(fault.as_bearer())
    }
}

/// The boundary: internal failures are logged here, once, and never reach a body.
impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        if failure.is_passing() {
            tracing::warn!(error = %chain(&failure), "unavailable");
            return Self(Refusal::unavailable());
        }
        tracing::error!(error = %chain(&failure), "internal error");
        Self(Refusal::internal())
    }
}

impl From<sqlx::Error> for Refused {
    fn from(error: sqlx::Error) -> Self {
        Failure::Database(error).into()
    }
}

/// A JSON answer.
#[must_use]
pub fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => {
            let mut response = Response::new(Body::from(bytes));
            *response.status_mut() = status;
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// 200 with JSON.
#[must_use]
pub fn ok(body: &impl Serialize) -> Response {
    json(StatusCode::OK, body)
}

/// 201 with JSON.
#[must_use]
pub fn created(body: &impl Serialize) -> Response {
    json(StatusCode::CREATED, body)
}

/// 204.
#[must_use]
pub fn no_content() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

/// Proof that an extractor let the request pass; its transaction is over.
pub struct Passed<A>(PhantomData<A>);

impl<A, S> FromRequestParts<S> for Passed<A>
where
    A: FromRequestParts<S> + Send,
    S: Send + Sync,
{
    type Rejection = A::Rejection;

    async fn from_request_parts(
        parts: &mut axum::http::request::Parts,
        state: &S,
    ) -> Result<Self, A::Rejection> {
        A::from_request_parts(parts, state).await.map(|_| Self(PhantomData))
    }
}

/// 405, after the checks of the caller: 401 and 403 come first.
pub async fn wrong_method<A>(_: Passed<A>, method: Method) -> Refused {
    Refused(Refusal::method_not_allowed(method.as_str()))
}

/// 500 of a panic. Its message could hold anything, so it is not shown; the hook has printed it.
pub fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    tracing::error!("a handler panicked");
    Refused(Refusal::internal()).into_response()
}

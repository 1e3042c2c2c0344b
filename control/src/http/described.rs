//! Parameters and headers that many routes take, as the document describes them. They are read where they
//! count: [`super::list`], [`super::once`], [`super::validators`].

#![allow(dead_code, reason = "what is described is never made")]

use chrono::{DateTime, Utc};
use utoipa::IntoParams;

/// The page of a list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Paging {
    /// A number from 1, or `last`.
    #[param(example = "1")]
    page: Option<String>,
    /// At most 100, 20 if absent.
    page_size: Option<u32>,
    /// `exact` counts all rows; without it a count above 10,000 is an estimate.
    count: Option<String>,
}

/// The position in a list, by cursor.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Cursor {
    /// In place of `page`: empty for the first page, then as `next` and `previous` have it. Rows that are inserted or
    /// deleted meanwhile cause neither repeats nor gaps.
    cursor: Option<String>,
}

/// The order of a list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Ordering {
    /// One or more fields, separated by commas; `-` before a field reverses it. Ties are ordered by id.
    ordering: Option<String>,
}

/// Aliases of `created_after` and `created_before`.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CreatedAt {
    /// As `created_after`.
    created_at_after: Option<DateTime<Utc>>,
    /// As `created_before`.
    created_at_before: Option<DateTime<Utc>>,
}

/// The key of a creation that must not be repeated.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct IdempotencyKey {
    /// A repeat with the same key within a day, by the same user and with the same body, is answered with the object that
    /// the first request created.
    #[param(rename = "Idempotency-Key", max_length = 255)]
    idempotency_key: Option<String>,
}

/// The precondition of a change.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct IfMatch {
    /// The `ETag` that the object was read with. If the object was changed since, the answer is 412.
    #[param(rename = "If-Match")]
    if_match: Option<String>,
}

/// The precondition of a read.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct IfNoneMatch {
    /// The `ETag` of the client's copy: 304 while it is current.
    #[param(rename = "If-None-Match")]
    if_none_match: Option<String>,
}

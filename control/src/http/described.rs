//! Parameters and headers that many routes take, as the document describes them. They are read where they
//! count: [`super::list`], [`super::once`], [`super::validators`].

#![allow(dead_code, reason = "what is described is never made")]

use chrono::{DateTime, Utc};
use utoipa::IntoParams;

/// Which page.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Paging {
    /// A number from 1, or `last`.
    #[param(example = "1")]
    page: Option<String>,
    /// At most 100, 20 if absent.
    page_size: Option<u32>,
    /// `exact`: counts all, where the count would be an estimate beyond 10,000.
    count: Option<String>,
}

/// Which part, of a list that grows.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Cursor {
    /// In place of `page`: blank to begin, then as the links have it. Rows that come and go meanwhile
    /// neither repeat nor hide others.
    cursor: Option<String>,
}

/// In which order.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Ordering {
    /// One or more, divided by commas; with `-` the other way round. Equal ones come by their ids.
    ordering: Option<String>,
}

/// Other names of `created_after` and `created_before`.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CreatedAt {
    /// As `created_after`.
    created_at_after: Option<DateTime<Utc>>,
    /// As `created_before`.
    created_at_before: Option<DateTime<Utc>>,
}

/// A creation that happens once.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct IdempotencyKey {
    /// Whatever is sent again with it within a day, by the same person and with the same body, is answered
    /// with what was made.
    #[param(rename = "Idempotency-Key", max_length = 255)]
    idempotency_key: Option<String>,
}

/// A change of what was read.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct IfMatch {
    /// The `ETag` that it was read with: what has been changed since is not changed (412).
    #[param(rename = "If-Match")]
    if_match: Option<String>,
}

/// A copy that may still be good.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct IfNoneMatch {
    /// The `ETag` of the copy: 304 while it is good.
    #[param(rename = "If-None-Match")]
    if_none_match: Option<String>,
}

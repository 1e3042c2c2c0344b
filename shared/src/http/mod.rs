//! HTTP parsing that both halves share: conditional requests, media ranges, forms.

pub mod accept;
pub mod conditions;
pub mod form;

//! What both sides read of HTTP alike: preconditions, media ranges, forms.

pub mod accept;
pub mod conditions;
pub mod form;

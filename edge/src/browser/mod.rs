//! Browsers: cookies, requests that may use them (CSRF), and pages that may read an answer (CORS).

pub mod cookies;
pub mod cors;
pub mod origin;

//! Browsers: cookies, who may act by them (CSRF), and which pages may read an answer (CORS).

pub mod cookies;
pub mod cors;
pub mod origin;

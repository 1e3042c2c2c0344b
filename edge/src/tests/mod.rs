//! The edge's routes in process: the real statements over SQLite with `migrations/edge`, real
//! signatures, a clock that is moved by hand, and failures on purpose.

pub mod entry;
pub mod fixture;
pub mod siteverify;

mod attempts;
mod browser;
mod budgets;
mod captcha;
mod cookies;
mod cors;
mod crowds;
mod documented;
mod edge_keys;
mod epochs;
mod faults;
mod foreign;
mod forms;
mod forwarding;
mod gateways;
mod issuer;
mod kept_sessions;
mod keys;
mod legacy;
mod limits;
mod listed;
mod log;
mod lookup_root;
mod needs;
mod networks;
mod origins;
mod pace;
mod renewal;
mod requests;
mod scale;
mod second_factor;
mod session_root;
mod sessions;
mod sign_in;
mod statements;
mod strict;
mod sync;
mod tickets;
mod validation;

//! End to end: real workerd, real control, real PostgreSQL; a fresh tenant for every test, so that
//! they run side by side.
//!
//! Each module is one promise. What the promises have in common, the stack and the actors, is the
//! library beside this folder.

mod at_rest;
mod attempts;
mod bad_requests;
mod bench_isolation;
mod browser;
mod captcha;
mod contract;
mod cookies;
mod cross_site;
mod development;
mod django;
mod drain;
mod edits;
mod foreign;
mod forwarding;
mod gateways;
mod in_force;
mod inside;
mod isolation;
mod legacy;
mod lookup_root;
mod main_job;
mod mass_changes;
mod outage;
mod owed_password;
mod panic;
mod password_contract;
mod promised_mail;
mod refresh;
mod resource_servers;
mod revocation;
mod rotation;
mod rotations_killed;
mod schema;
mod second_factor;
mod secrets;
mod sessions;
mod silence;
mod strangers;
mod timing;
mod uniform;
mod verifiers;

//! The stage of the end-to-end tests: the real parts, the actors, and an independent look at tokens.
//!
//! Nothing is simulated here but the passing of time. [`stack::Stack`] runs PostgreSQL's database,
//! control and the Worker on workerd; [`actors`] are the users who use them; [`verifier`] judges
//! tokens with a library that neither side uses for it. The tests themselves are in `it/`.
//!
//! `./wardgate test` starts what this needs and says where it is; `./wardgate test --only NAME`
//! runs one test, and `--long` brings whole counts ([`environment::scaled`]). Random tests print their
//! seed, and `WARDGATE_TEST_SEED` replays it.

pub mod actors;
pub mod clients;
pub mod clock;
pub mod database;
pub mod dev;
pub mod environment;
pub mod http;
pub mod marks;
pub mod process;
pub mod ranks;
pub mod secrets;
pub mod seed;
pub mod server;
pub mod settings;
pub mod signed;
pub mod siteverify;
pub mod stack;
pub mod tap;
pub mod verifier;
pub mod wait;

//! Control against PostgreSQL, in one binary. `WARDGATE_TEST_DATABASE_URL` names a superuser; a run
//! makes a database of its own there, and each test a fresh tenant in it.

mod access;
mod audit;
mod chain;
mod claims;
mod cli;
mod commands;
mod drain;
mod dumps;
mod edge;
mod foreign;
mod forward;
mod ids;
mod import;
mod isolation;
mod jobs;
mod key_providers;
mod key_service;
mod keys;
mod killed;
mod legacy;
mod legacy_service;
mod lists;
mod load;
mod migrations;
mod pusher;
mod repeats;
mod revisions;
mod scale;
mod scene;
mod schema;
mod setup;
mod tampers;
mod tenants;
mod users;

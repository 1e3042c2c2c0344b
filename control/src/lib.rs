//! Wardgate's control plane: administers tenants, users, roles and keys in PostgreSQL, and pushes changes to the
//! edge.
//!
//! One folder per noun, with model (pure), store (SQL) and routes. [`api`] lists every path, [`access`] has the
//! extractors for authorisation, [`edges`] the pushes to the edge, [`db::TenantTx`] is the transaction of every
//! request.

pub mod access;
pub mod accounts;
pub mod api;
pub mod audit;
#[cfg(feature = "aws")]
mod aws;
pub mod branches;
pub mod cli;
pub mod control;
pub mod crypt;
pub mod db;
pub mod edges;
pub mod failure;
pub mod http;
pub mod jobs;
pub mod keys;
pub mod language;
pub mod legacy;
pub mod links;
pub mod mail;
pub mod mfa;
pub mod notices;
pub mod objects;
pub mod pages;
pub mod passwords;
pub mod profiles;
pub mod requests;
pub mod resets;
pub mod roles;
pub mod serve;
pub mod sessions;
pub mod settings;
pub mod setup;
pub mod shares;
pub mod tenants;
pub mod users;
pub mod world;

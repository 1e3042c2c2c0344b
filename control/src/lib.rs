//! Wardgate's control plane: owns tenants, users, roles and keys over PostgreSQL, and feeds the edge.
//!
//! Sliced by noun. Each slice has its model (pure), its store (SQL) and its routes; [`api`] lists
//! every path, [`access`] says who may call, [`edges`] is how the edge learns, [`db::TenantTx`] the
//! transaction everything happens in.

pub mod access;
pub mod accounts;
pub mod api;
pub mod audit;
#[cfg(feature = "aws")]
mod aws;
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

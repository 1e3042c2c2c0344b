//! What an operator may choose: one documented struct per concern, read once at the start.
//!
//! A TOML file (named by `WARDGATE_CONFIG`) comes first, the environment overrides it. Every field
//! is declared once, in [`concerns`]; its text there is also the text of `wardgate.sample.toml`.
//! No secret has a default: a missing or short one is refused by its variable's name.

mod concerns;
mod error;
mod load;
mod sample;
mod together;
mod values;

pub use concerns::{Audit, Database, Edge, Encryption, Http, Log, Mail, Passwords, Service, Visibility};
pub use error::SettingsError;
pub use load::{load, load_from};
pub use sample::sample;
pub use values::{
    DatabaseUrl, EdgeKek, KeyedSecret, KmsKey, List, LogFormat, MailTls, OwnKey, ProviderKind, PublicKey,
    SecretText, ServiceEndpoint, StoreKind,
};

use serde::Deserialize;

/// All settings of control.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// PostgreSQL.
    pub database: Database,
    /// The listeners and their access rules.
    pub http: Http,
    /// The edge that this control feeds.
    pub edge: Edge,
    /// How this control signs its own calls.
    pub service: Service,
    /// The keys that wrap secrets at rest.
    pub encryption: Encryption,
    /// Checkpoints and archives of the audit logs.
    pub audit: Audit,
    /// How much a tenant may let its roles be shown of users.
    pub visibility: Visibility,
    /// The server that takes mail.
    pub mail: Mail,
    /// The cost of passwords, and lists that none may be on.
    pub passwords: Passwords,
    /// Logging.
    pub log: Log,
}

/// One setting: its place in the file, its environment variable, and its meaning.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// The table of the TOML file.
    pub table: &'static str,
    /// The key in that table.
    pub name: &'static str,
    /// Its documentation, a line each.
    pub doc: &'static [&'static str],
    /// Its default.
    pub default: Default,
}

/// The default of a setting.
#[derive(Clone, Copy, Debug)]
pub enum Default {
    /// The start is refused.
    Required,
    /// Nothing; the field's documentation says what then happens.
    Absent,
    /// This TOML value.
    Is(&'static str),
}

impl Field {
    /// The environment variable.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("WARDGATE_{}_{}", self.table, self.name).to_uppercase()
    }

    /// The path in the file.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}.{}", self.table, self.name)
    }
}

/// Every setting, in the order of the sample file.
pub fn fields() -> impl Iterator<Item = &'static Field> {
    [
        Database::FIELDS,
        Http::FIELDS,
        Edge::FIELDS,
        Service::FIELDS,
        Encryption::FIELDS,
        Audit::FIELDS,
        Visibility::FIELDS,
        Mail::FIELDS,
        Passwords::FIELDS,
        Log::FIELDS,
    ]
    .into_iter()
    .flatten()
}

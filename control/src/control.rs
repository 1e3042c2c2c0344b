//! The shared state of control, created once at the start.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::crypt::providers::Providers;
use crate::crypt::wrapped::KeyWrapper;
use crate::db::{Db, Roles};
use crate::edges::EdgeClient;
use crate::failure::Failure;
use crate::keys::maker::KeyMaker;
use crate::legacy::passwords::ForeignChecker;
use crate::mail::smtp::Smtp;
use crate::objects::Objects;
use crate::passwords::{Filters, Hasher};
use crate::settings::Settings;
use crate::world::Clock;

/// The control plane's means. Cheap to clone.
pub type Control = Arc<Inner>;

/// See [`Control`].
pub struct Inner {
    /// The settings of this process.
    pub settings: Settings,
    /// The database.
    pub db: Db,
    /// The names of the database roles.
    pub roles: Roles,
    /// Makes signing keys.
    pub keys: KeyMaker,
    /// Hashes passwords.
    pub hasher: Hasher,
    /// Lists of common and breached passwords.
    pub filters: Filters,
    /// Checks passwords that another service hashed.
    pub foreign: ForeignChecker,
    /// Calls the edge.
    pub edge: EdgeClient,
    /// Called when the edge has confirmed something.
    pub confirmations: Notify,
    /// Hands mail to servers.
    pub smtp: Smtp,
    /// Where checkpoints and archives of the audit logs go.
    pub objects: Objects,
    /// The time.
    pub clock: Clock,
}

/// Creates it from the settings, without connecting.
///
/// # Errors
/// Malformed URLs or URLs of the wrong role, a key provider that cannot be created, an invalid filter of passwords.
pub fn new(settings: Settings) -> Result<Control, Failure> {
    let clock = Clock::default();
    let wrapper = KeyWrapper::new(Providers::new(&settings.encryption)?);
    let db = Db::new(&settings.database, wrapper, settings.edge.kek.0.id(), clock.clone())?;
    Ok(Arc::new(Inner {
        roles: Roles::of(&settings.database)?,
        keys: KeyMaker::new(db.clone()),
        db,
        hasher: Hasher::new(settings.passwords.concurrency),
        filters: Filters::of(&settings.passwords)?,
        foreign: ForeignChecker::new(settings.passwords.foreign_concurrency),
        edge: EdgeClient::new(&settings)?,
        confirmations: Notify::new(),
        smtp: Smtp::of(&settings.mail)?,
        objects: Objects::of(&settings.audit)?,
        clock,
        settings,
    }))
}

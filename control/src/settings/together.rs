//! What settings need of each other.

use super::error::SettingsError;
use super::{Audit, ProviderKind, Settings, StoreKind, fields};

/// Refuses settings that make no sense together.
///
/// # Errors
/// By the variable that is missing, or that has to change.
pub(super) fn check(settings: &Settings) -> Result<(), SettingsError> {
    if settings.edge.public_keys.0.len() > 2 {
        return Err(unusable("edge.public_keys", "expected one key, or two while one replaces the other"));
    }
    let encryption = &settings.encryption;
    match encryption.provider {
        ProviderKind::File => needed("encryption.kek", encryption.kek.is_some())?,
        ProviderKind::AwsKms => needed("encryption.kms_key", encryption.kms_key.is_some())?,
    }
    needed("encryption.kek", encryption.kek.is_some() || encryption.former_kek.is_none())?;
    needed("encryption.kms_key", encryption.kms_key.is_some() || encryption.former_kms_key.is_none())?;
    if let Some(key) = &encryption.kms_key {
        if cfg!(not(feature = "aws-kms")) {
            return Err(unusable("encryption.kms_key", "this build has no `aws-kms`"));
        }
        needed("encryption.kms_region", encryption.kms_region.is_some() || key.region().is_some())?;
    }
    let (key_id, secret) = (&encryption.kms_access_key_id, &encryption.kms_secret_access_key);
    needed("encryption.kms_access_key_id", key_id.is_some() || secret.is_none())?;
    needed("encryption.kms_secret_access_key", secret.is_some() || key_id.is_none())?;

    audit(&settings.audit)?;

    // A stored value names its key by id alone.
    let ids = [
        ("encryption.kek", encryption.kek.as_ref().map(|key| key.id.as_str())),
        ("encryption.former_kek", encryption.former_kek.as_ref().map(|key| key.id.as_str())),
        ("encryption.kms_key", encryption.kms_key.as_ref().map(|key| key.id())),
        ("encryption.former_kms_key", encryption.former_kms_key.as_ref().map(|key| key.id())),
    ];
    for (at, (setting, id)) in ids.iter().enumerate() {
        if id.is_some() && ids[..at].iter().any(|(_, other)| other == id) {
            return Err(unusable(setting, "expected another id than that of every other key"));
        }
    }
    Ok(())
}

fn audit(audit: &Audit) -> Result<(), SettingsError> {
    match audit.store {
        StoreKind::Folder => needed("audit.checkpoint_folder", audit.checkpoint_folder.is_some())?,
        StoreKind::S3 if cfg!(not(feature = "aws-s3")) => {
            return Err(unusable("audit.store", "this build has no `aws-s3`"));
        }
        StoreKind::S3 => {
            needed("audit.bucket", audit.bucket.is_some())?;
            needed("audit.bucket_region", audit.bucket_region.is_some())?;
        }
    }
    if audit.bucket_lock_days.is_some_and(|days| !(1..=36_500).contains(&days)) {
        return Err(unusable("audit.bucket_lock_days", "expected 1 to 36500"));
    }
    let (key_id, secret) = (&audit.bucket_access_key_id, &audit.bucket_secret_access_key);
    needed("audit.bucket_access_key_id", key_id.is_some() || secret.is_none())?;
    needed("audit.bucket_secret_access_key", secret.is_some() || key_id.is_none())
}

fn needed(key: &str, given: bool) -> Result<(), SettingsError> {
    let missing = || SettingsError::Missing { variable: variable(key), key: key.to_owned() };
    if given { Ok(()) } else { Err(missing()) }
}

fn unusable(key: &str, why: &str) -> SettingsError {
    SettingsError::Unusable { variable: variable(key), key: key.to_owned(), why: why.to_owned() }
}

fn variable(key: &str) -> String {
    fields().find(|field| field.key() == key).map(|field| field.variable()).unwrap_or_default()
}

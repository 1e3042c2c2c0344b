//! What settings need of each other.

use super::error::SettingsError;
use super::{Audit, Mail, MailTls, ProviderKind, Settings, StoreKind, fields};

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
    mail(&settings.mail)?;

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

fn mail(mail: &Mail) -> Result<(), SettingsError> {
    needed("mail.host", mail.host.is_some() || mail.from.is_none())?;
    needed("mail.from", mail.from.is_some() || mail.host.is_none())?;
    needed("mail.username", mail.username.is_some() || mail.password.is_none())?;
    needed("mail.password", mail.password.is_some() || mail.username.is_none())?;
    if mail.from.as_ref().is_some_and(|from| !is_address(from)) {
        return Err(unusable("mail.from", "expected an address, as accounts@acme.example"));
    }
    if !(1..=600).contains(&mail.timeout_secs) {
        return Err(unusable("mail.timeout_secs", "expected 1 to 600"));
    }
    let is_here = |host: &String| {
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    };
    if mail.tls == MailTls::None && mail.host.as_ref().is_some_and(|host| !is_here(host)) {
        return Err(unusable("mail.tls", "`none` is for a loopback address, or localhost"));
    }
    Ok(())
}

/// As much of the form of an address as a slip would miss. A name beside it would be one.
fn is_address(text: &str) -> bool {
    let parts = text.split_once('@').filter(|(local, domain)| !local.is_empty() && !domain.is_empty());
    parts.is_some() && !text.contains(|c: char| c.is_whitespace() || c.is_control() || "<>\",".contains(c))
}

fn needed(key: &str, given: bool) -> Result<(), SettingsError> {
    let missing = || SettingsError::Missing { variable: variable(key), key: key.to_owned() };
    if given { Ok(()) } else { Err(missing()) }
}

fn unusable(key: &str, why: &str) -> SettingsError {
    SettingsError::of(key, why.to_owned())
}

fn variable(key: &str) -> String {
    fields().find(|field| field.key() == key).map(|field| field.variable()).unwrap_or_default()
}

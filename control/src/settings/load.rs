//! Reads the file and the environment into [`Settings`], and says in an operator's words what is wrong.

use std::path::Path;

use config::{Config, ConfigError, File, FileFormat};

use super::error::SettingsError;
use super::{Default, Settings, fields, together};

/// Reads the settings of this process: the file that `WARDGATE_CONFIG` names, then the environment.
///
/// # Errors
/// See [`SettingsError`].
pub fn load() -> Result<Settings, SettingsError> {
    let file = std::env::var_os("WARDGATE_CONFIG").filter(|path| !path.is_empty());
    load_from(file.as_deref().map(Path::new), |variable| std::env::var(variable).ok())
}

/// Reads the settings from `file` and from `variable`, which reads the environment.
///
/// # Errors
/// See [`SettingsError`].
pub fn load_from(
    file: Option<&Path>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Settings, SettingsError> {
    let mut builder = Config::builder().add_source(File::from_str(&defaults(), FileFormat::Toml));
    if let Some(path) = file {
        builder = builder.add_source(File::from(path).format(FileFormat::Toml));
    }
    for field in fields() {
        if let Some(value) = variable(&field.variable()).filter(|value| !value.is_empty()) {
            builder =
                builder.set_override(field.key(), value).map_err(|e| SettingsError::File(e.to_string()))?;
        }
    }
    let config = builder.build().map_err(|error| SettingsError::File(place(&error)))?;
    for field in fields().filter(|field| matches!(field.default, Default::Required)) {
        if matches!(config.get::<config::Value>(&field.key()), Err(ConfigError::NotFound(_))) {
            return Err(SettingsError::Missing { variable: field.variable(), key: field.key() });
        }
    }
    let settings = config.try_deserialize().map_err(unusable)?;
    together::check(&settings)?;
    Ok(settings)
}

fn defaults() -> String {
    let mut toml = String::new();
    for field in fields() {
        if let Default::Is(value) = field.default {
            toml.push_str(&format!("{}.{} = {value}\n", field.table, field.name));
        }
    }
    toml
}

/// Finds the setting of an error, so that the message can name its variable.
fn unusable(error: ConfigError) -> SettingsError {
    let text = error.to_string();
    match fields().find(|field| text.contains(&format!("`{}`", field.key()))) {
        Some(field) => {
            SettingsError::Unusable { variable: field.variable(), key: field.key(), why: why(&error) }
        }
        None => SettingsError::File(why(&error)),
    }
}

/// Which file does not parse, and where: the parser's own text shows the line, and the secret in it.
fn place(error: &ConfigError) -> String {
    match error {
        ConfigError::FileParse { uri, cause } => {
            let cause = cause.to_string();
            let at = cause.lines().next().unwrap_or_default();
            format!("{}: {at}", uri.as_deref().unwrap_or_default())
        }
        other => why(other),
    }
}

/// The innermost reason. The text of a type error repeats the value, which may be secret, so it is replaced: serde's
/// is "invalid type: string "...", expected ...".
fn why(error: &ConfigError) -> String {
    match error {
        ConfigError::At { error, .. } => why(error),
        ConfigError::Type { expected, .. } => format!("expected {expected}"),
        ConfigError::Message(text) => match text.rsplit_once(", expected ") {
            Some((found, expected)) if found.starts_with("invalid ") => format!("expected {expected}"),
            _ => text.clone(),
        },
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    const KEY: &str = "k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    /// The public key of RFC 8032, section 7.1, test 1.
    const PUBLIC: &str = "k1:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

    fn complete() -> HashMap<String, String> {
        [
            ("WARDGATE_DATABASE_MIGRATE_URL", "postgres://wardgate_migrate@localhost/wardgate"),
            ("WARDGATE_DATABASE_APP_URL", "postgres://wardgate_app@localhost/wardgate"),
            ("WARDGATE_DATABASE_RELAY_URL", "postgres://wardgate_relay@localhost/wardgate"),
            ("WARDGATE_HTTP_AUTHORITY", "control.test"),
            ("WARDGATE_HTTP_SHARED_ORIGIN", "https://shared.test"),
            ("WARDGATE_HTTP_SHARED_HOSTS", "shared.test, localhost"),
            ("WARDGATE_EDGE_ID", "edge-1"),
            ("WARDGATE_EDGE_URL", "http://edge.test"),
            ("WARDGATE_EDGE_AUTHORITY", "edge.test"),
            ("WARDGATE_EDGE_PUBLIC_KEYS", PUBLIC),
            ("WARDGATE_EDGE_KEK", KEY),
            ("WARDGATE_SERVICE_KEY", KEY),
            ("WARDGATE_ENCRYPTION_KEK", KEY),
            ("WARDGATE_AUDIT_CHECKPOINT_KEY", KEY),
            ("WARDGATE_AUDIT_CHECKPOINT_FOLDER", "/var/lib/wardgate/checkpoints"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    fn load_with(change: impl FnOnce(&mut HashMap<String, String>)) -> Result<Settings, SettingsError> {
        let mut environment = complete();
        change(&mut environment);
        load_from(None, |name| environment.get(name).cloned())
    }

    fn refusal(change: impl FnOnce(&mut HashMap<String, String>)) -> String {
        load_with(change).err().expect("these settings must be refused").to_string()
    }

    #[test]
    fn the_environment_alone_is_enough() {
        let settings = load_with(|_| ()).unwrap();
        assert_eq!(settings.http.listen.port(), 8788);
        assert_eq!(settings.http.shared_hosts.0, ["shared.test", "localhost"]);
        assert_eq!(settings.edge.public_keys.0.len(), 1);
        assert!(!settings.http.direct);
        let direct = load_with(|env| drop(env.insert("WARDGATE_HTTP_DIRECT".into(), "true".into()))).unwrap();
        assert!(direct.http.direct);
    }

    #[test]
    fn every_missing_setting_is_named_by_its_variable() {
        for name in complete().keys().filter(|name| !name.contains("SHARED_HOSTS")) {
            let text = refusal(|env| drop(env.remove(name)));
            assert!(text.starts_with(&format!("{name} is missing")), "{name}: {text}");
        }
    }

    #[test]
    fn a_short_secret_is_named_and_not_shown() {
        for name in [
            "WARDGATE_EDGE_KEK",
            "WARDGATE_SERVICE_KEY",
            "WARDGATE_ENCRYPTION_KEK",
            "WARDGATE_ENCRYPTION_FORMER_KEK",
            "WARDGATE_AUDIT_CHECKPOINT_KEY",
        ] {
            let text = refusal(|env| drop(env.insert(name.into(), "k1:c2hvcnQtc2VjcmV0".into())));
            assert!(text.starts_with(name) && text.contains("exactly 32 bytes"), "{text}");
            assert!(!text.contains("c2hvcnQ"), "{text}");
        }
    }

    #[test]
    fn a_file_that_does_not_parse_shows_no_line_of_itself() {
        let file = std::env::temp_dir().join(format!("wardgate-settings-{}.toml", std::process::id()));
        let environment = complete();
        for (text, said) in [
            ("[service]\nkey = \"k1:s3cret\n", "line 2"),
            ("[service]\nkey = k1:s3cret\n", "line 2"),
            ("log = \"k1:s3cret\"\n", "expected"),
            ("[service]\nkye = \"k1:s3cret\"\n", "kye"),
        ] {
            std::fs::write(&file, text).unwrap();
            let refused = load_from(Some(&file), |name| environment.get(name).cloned());
            let refused = refused.err().expect("such a file must be refused").to_string();
            assert!(refused.contains(said) && !refused.contains("s3cret"), "{refused}");
        }
        std::fs::remove_file(&file).unwrap();
    }

    /// With checkpoints in a bucket, and with these.
    fn in_bucket(more: &[(&str, &str)]) -> impl FnOnce(&mut HashMap<String, String>) {
        let given = [("STORE", "s3"), ("BUCKET", "acme-audit"), ("BUCKET_REGION", "eu-central-1")];
        let given: Vec<_> = given
            .iter()
            .chain(more)
            .map(|(name, value)| (format!("WARDGATE_AUDIT_{name}"), (*value).to_owned()))
            .collect();
        move |environment| {
            environment.remove("WARDGATE_AUDIT_CHECKPOINT_FOLDER");
            environment.extend(given);
        }
    }

    #[test]
    fn a_bucket_replaces_the_folder_of_checkpoints() {
        let audit = load_with(in_bucket(&[("BUCKET_LOCK_DAYS", "400"), ("BUCKET_PATH_STYLE", "true")]));
        let audit = audit.unwrap().audit;
        assert_eq!((audit.bucket_lock_days, audit.bucket_path_style), (Some(400), true));
        for (change, said) in [
            (in_bucket(&[("STORE", "folder")]), "WARDGATE_AUDIT_CHECKPOINT_FOLDER is missing"),
            (in_bucket(&[("BUCKET", "")]), "WARDGATE_AUDIT_BUCKET is missing"),
            (in_bucket(&[("BUCKET_REGION", "")]), "WARDGATE_AUDIT_BUCKET_REGION is missing"),
            (in_bucket(&[("BUCKET_LOCK_DAYS", "0")]), "WARDGATE_AUDIT_BUCKET_LOCK_DAYS"),
            (in_bucket(&[("BUCKET_LOCK_DAYS", "36501")]), "expected 1 to 36500"),
            (
                in_bucket(&[("BUCKET_ACCESS_KEY_ID", "AKID")]),
                "WARDGATE_AUDIT_BUCKET_SECRET_ACCESS_KEY is missing",
            ),
            (
                in_bucket(&[("BUCKET_SECRET_ACCESS_KEY", "s3cret")]),
                "WARDGATE_AUDIT_BUCKET_ACCESS_KEY_ID is missing",
            ),
            (in_bucket(&[("BUCKET_ENDPOINT", "http://store.test")]), "expected an https URL"),
            (in_bucket(&[("STORE", "ftp")]), "WARDGATE_AUDIT_STORE"),
        ] {
            let text = refusal(change);
            assert!(text.contains(said) && !text.contains("s3cret"), "{said}: {text}");
        }
    }

    const KMS_KEY: &str = "arn:aws:kms:eu-central-1:111122223333:key/0987dcba-09fe-87dc-65ba-ab0987654321";

    /// Without the key of `file`, with a key in KMS, and with these.
    fn in_kms(more: &[(&str, &str)]) -> impl FnOnce(&mut HashMap<String, String>) {
        let given = [("PROVIDER", "aws-kms"), ("KMS_KEY", KMS_KEY)].iter().chain(more).copied();
        let given: Vec<_> =
            given.map(|(name, value)| (format!("WARDGATE_ENCRYPTION_{name}"), value.to_owned())).collect();
        move |environment| {
            environment.remove("WARDGATE_ENCRYPTION_KEK");
            environment.extend(given);
        }
    }

    #[test]
    fn a_key_in_kms_replaces_the_key_of_the_settings() {
        let encryption = load_with(in_kms(&[])).unwrap().encryption;
        let key = encryption.kms_key.unwrap();
        assert_eq!((key.name(), key.region()), (KMS_KEY, Some("eu-central-1")));
        assert_eq!(key.id(), "0987dcba-09fe-87dc-65ba-ab0987654321");
        let bare = load_with(in_kms(&[("KMS_KEY", key.id()), ("KMS_REGION", "eu-central-1")])).unwrap();
        assert_eq!(bare.encryption.kms_key.unwrap().id(), key.id(), "however the setting names it");
    }

    #[test]
    fn what_a_key_provider_needs_is_named_where_it_is_missing() {
        for (change, said) in [
            (in_kms(&[("PROVIDER", "file")]), "WARDGATE_ENCRYPTION_KEK is missing"),
            (in_kms(&[("KMS_KEY", "")]), "WARDGATE_ENCRYPTION_KMS_KEY is missing"),
            (in_kms(&[("FORMER_KEK", KEY)]), "WARDGATE_ENCRYPTION_KEK is missing"),
            (in_kms(&[("KMS_KEY", "0987dcba")]), "WARDGATE_ENCRYPTION_KMS_REGION is missing"),
            (
                in_kms(&[("KMS_ACCESS_KEY_ID", "AKID")]),
                "WARDGATE_ENCRYPTION_KMS_SECRET_ACCESS_KEY is missing",
            ),
            (
                in_kms(&[("KMS_SECRET_ACCESS_KEY", "s3cret")]),
                "WARDGATE_ENCRYPTION_KMS_ACCESS_KEY_ID is missing",
            ),
            (in_kms(&[("FORMER_KMS_KEY", KMS_KEY)]), "WARDGATE_ENCRYPTION_FORMER_KMS_KEY"),
        ] {
            let text = refusal(change);
            assert!(text.starts_with(said) && !text.contains("s3cret"), "{said}: {text}");
        }
        let twice =
            |env: &mut HashMap<_, _>| drop(env.insert("WARDGATE_ENCRYPTION_FORMER_KEK".into(), KEY.into()));
        let text = refusal(twice);
        assert!(text.starts_with("WARDGATE_ENCRYPTION_FORMER_KEK") && text.contains("another id"), "{text}");
    }

    #[test]
    fn a_key_of_kms_is_no_alias_and_its_service_is_not_called_in_clear() {
        let arn = |rest: &str| format!("arn:aws:kms:eu-central-1:111122223333:{rest}");
        for key in ["alias/wardgate", &arn("alias/wardgate"), &arn("x"), "k/1", "k 1", &"k".repeat(256)] {
            let text = refusal(in_kms(&[("KMS_KEY", key), ("KMS_REGION", "eu-central-1")]));
            assert!(
                text.starts_with("WARDGATE_ENCRYPTION_KMS_KEY") && text.contains("no alias"),
                "{key}: {text}"
            );
        }
        for url in
            ["http://kms.example", "http://localhost:4566", "kms.example", "ftp://127.0.0.1", "https://u:p@x"]
        {
            let text = refusal(in_kms(&[("KMS_ENDPOINT", url)]));
            assert!(text.starts_with("WARDGATE_ENCRYPTION_KMS_ENDPOINT"), "{url}: {text}");
        }
        for url in ["https://kms.example", "http://127.0.0.1:4566", "http://[::1]:4566/"] {
            assert!(load_with(in_kms(&[("KMS_ENDPOINT", url)])).is_ok(), "{url}");
        }
    }

    #[test]
    fn a_value_of_another_type_is_named_and_not_shown() {
        let text = refusal(|env| drop(env.insert("WARDGATE_PASSWORDS_CONCURRENCY".into(), "s3cret".into())));
        assert!(text.starts_with("WARDGATE_PASSWORDS_CONCURRENCY"), "{text}");
        assert!(!text.contains("s3cret"), "{text}");
    }
}

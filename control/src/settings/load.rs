//! Reads the file and the environment into [`Settings`], and says in an operator's words what is wrong.

use std::path::Path;

use config::{Config, ConfigError, File, FileFormat};

use super::{Default, Settings, fields};

/// Why the settings were refused. No message holds a value: it could be a secret.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A setting without default was not given.
    #[error("{variable} is missing (or `{key}` in the settings file)")]
    Missing {
        /// Its variable.
        variable: String,
        /// Its path in the file.
        key: String,
    },
    /// A setting was given and makes no sense.
    #[error("{variable} (`{key}`) is not usable: {why}")]
    Unusable {
        /// Its variable.
        variable: String,
        /// Its path in the file.
        key: String,
        /// What was expected.
        why: String,
    },
    /// The file could not be read or parsed, or has a key that does not exist.
    #[error("the settings file is not usable: {0}")]
    File(String),
}

/// Reads the settings of this process: the file that `WARDGATE_CONFIG` names, then the environment.
///
/// # Errors
/// See [`SettingsError`].
pub fn load() -> Result<Settings, SettingsError> {
    let file = std::env::var_os("WARDGATE_CONFIG").filter(|path| !path.is_empty());
    load_from(file.as_deref().map(Path::new), |variable| std::env::var(variable).ok())
}

/// Reads the settings from `file` and from `variable`, which stands for the environment.
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
    config.try_deserialize().map_err(unusable)
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

/// Finds which setting an error speaks of, so that the message can name its variable.
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

/// The innermost reason. A type error's own text repeats the value, so that one is worded anew: serde's
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
            ("WARDGATE_EDGE_KEK_A", KEY),
            ("WARDGATE_SERVICE_KEY", KEY),
            ("WARDGATE_ENCRYPTION_KEK", KEY),
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
        for name in
            ["WARDGATE_EDGE_KEK_A", "WARDGATE_SERVICE_KEY", "WARDGATE_ENCRYPTION_KEK", "WARDGATE_EDGE_KEK_B"]
        {
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

    #[test]
    fn a_value_of_another_type_is_named_and_not_shown() {
        let text = refusal(|env| drop(env.insert("WARDGATE_PASSWORDS_CONCURRENCY".into(), "s3cret".into())));
        assert!(text.starts_with("WARDGATE_PASSWORDS_CONCURRENCY"), "{text}");
        assert!(!text.contains("s3cret"), "{text}");
    }
}

//! A tenant's settings on the command line: their list with meanings, and `--set name=value`.

use serde::Serialize;
use serde_json::Value;
use shared::tenant::settings::{BOUNDS, Settings};
use utoipa::PartialSchema as _;

use super::known::unknown;
use super::outcome::CliError;
use super::show::{Rows, Show, optional};
use crate::tenants::TenantError;

/// The output for one setting.
#[derive(Serialize)]
struct Setting {
    name: String,
    /// What it means.
    meaning: String,
    default: Value,
    /// Bounds of a number.
    least: Option<u64>,
    greatest: Option<u64>,
}

const SETTINGS: Rows<Setting> = Rows {
    names: ["setting", "settings"],
    head: &["name", "default", "least", "greatest", "meaning"],
    line: |row| {
        let default = match &row.default {
            Value::String(word) => word.clone(),
            Value::Array(items) if items.is_empty() => String::new(),
            other => other.to_string(),
        };
        vec![row.name.clone(), default, optional(row.least), optional(row.greatest), row.meaning.clone()]
    },
};

/// Every setting. Names and meanings are those of the OpenAPI document.
fn all() -> Vec<Setting> {
    let schema = serde_json::to_value(Settings::schema()).unwrap_or_default();
    let defaults = Settings::defaults();
    let setting = |(name, described): (&String, &Value)| {
        let name = name.clone();
        let default = defaults.get(&name).cloned().unwrap_or_default();
        let bounds = BOUNDS.iter().find(|(bounded, ..)| *bounded == name);
        let meaning = described["description"].as_str().unwrap_or_default().to_owned();
        let (least, greatest) = bounds.map(|(_, least, greatest)| (*least, *greatest)).unzip();
        Setting { name, meaning, default, least, greatest }
    };
    schema["properties"].as_object().into_iter().flatten().map(setting).collect()
}

/// Lists them.
pub(super) fn list(show: Show) {
    show.list(&SETTINGS, &all());
}

/// The text after `--help`: the settings, then the examples.
pub(super) fn help(examples: &str) -> String {
    let settings = all();
    let longest = settings.iter().map(|setting| setting.name.len()).max().unwrap_or(0);
    let lines = settings.iter().map(|Setting { name, meaning, default, least, greatest }| {
        let bounds = match (least, greatest) {
            (Some(least), Some(greatest)) => format!(" {least} to {greatest}, default {default}."),
            _ => format!(" Default {default}."),
        };
        format!("  {name:<longest$}  {meaning}{bounds}")
    });
    format!("Settings:\n{}\n\n{examples}", lines.collect::<Vec<_>>().join("\n"))
}

/// Applies `name=value` changes to the settings.
pub(super) fn assigned(before: Settings, changes: &[String]) -> Result<Settings, CliError> {
    let mut settings = before;
    for change in changes {
        let (name, text) = change.split_once('=').ok_or_else(|| {
            CliError::Refused(format!(
                "`{change}` is not name=value: `wardgate tenant settings` lists the names"
            ))
        })?;
        settings.set(name, &value(name, text)?).map_err(|fault| TenantError::Fields(vec![fault]))?;
    }
    let faults: Vec<_> = settings.faults();
    if faults.is_empty() { Ok(settings) } else { Err(TenantError::Fields(faults).into()) }
}

/// Converts a value to JSON of the type of the default; lists are separated by commas.
fn value(name: &str, text: &str) -> Result<Value, CliError> {
    let known = all();
    let Some(setting) = known.iter().find(|setting| setting.name == name) else {
        let names: Vec<&str> = known.iter().map(|setting| setting.name.as_str()).collect();
        return Err(CliError::Refused(unknown("setting", name, &names)));
    };
    match &setting.default {
        Value::Array(_) => Ok(text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect()),
        Value::Number(_) => text.parse::<u64>().map(Value::from).map_err(|_| {
            let (least, greatest) = (optional(setting.least), optional(setting.greatest));
            CliError::Refused(format!("{name}: `{text}` is no whole number from {least} to {greatest}"))
        }),
        Value::Bool(_) => text
            .parse::<bool>()
            .map(Value::from)
            .map_err(|_| CliError::Refused(format!("{name}: `{text}` is neither true nor false"))),
        Value::Null | Value::String(_) | Value::Object(_) => Ok(text.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_listed_with_its_meaning() {
        for setting in all() {
            assert!(!setting.meaning.is_empty() && !setting.default.is_null(), "{}", setting.name);
            assert_eq!(setting.default.is_number(), setting.least.is_some(), "{}", setting.name);
        }
    }

    #[test]
    fn an_unknown_setting_is_answered_with_the_known_ones() {
        let refused =
            |change: &str| assigned(Settings::default(), &[change.to_owned()]).unwrap_err().to_string();
        let said = refused("idle_sec=60");
        assert!(
            said.starts_with("there is no setting `idle_sec`: did you mean `idle_secs`? There are "),
            "{said}"
        );
        assert!(said.contains("retry_window_secs") && said.contains("origins"), "{said}");
        assert_eq!(refused("idle_secs=1h"), "idle_secs: `1h` is no whole number from 60 to 31536000");
        assert_eq!(
            refused("idle_secs"),
            "`idle_secs` is not name=value: `wardgate tenant settings` lists the names"
        );
    }
}

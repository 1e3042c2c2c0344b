//! `wardgate user profile`: a user's profile, as the API shows it to a viewer who sees everything.

use serde_json::Value;

use super::outcome::CliError;
use super::show::Show;
use crate::db::TenantTx;
use crate::profiles::{ProfileError, ProfileOut, Section};
use crate::users::{User, UserError, Viewer};

pub(super) const EXAMPLES: &str = "\
Examples:
  wardgate user profile ada --tenant acme
  wardgate user profile ada --tenant acme --json";

pub(super) async fn show(tx: &mut TenantTx, show: Show, user: &User) -> Result<(), CliError> {
    let profile = ProfileOut::read(tx, &Viewer::operator(), user).await.map_err(|error| match error {
        ProfileError::User(error) => CliError::from(error),
        // A profile that is read whole has no section, entry or field that could be refused.
        _ => UserError::NotFound.into(),
    })?;
    let text = serde_json::to_value(&profile).map(|profile| lines(user.username.expose(), &profile));
    show.one(&profile, &text.unwrap_or_default());
    Ok(())
}

/// The percentage and what is missing, and then the sections that have entries.
fn lines(username: &str, profile: &Value) -> String {
    let completion = &profile["completion"];
    let missing: Vec<_> = texts(&completion["missing"]).collect();
    let mut lines = vec![format!("{username}: {} % complete", completion["percent"])];
    if !missing.is_empty() {
        lines.push(format!("missing: {}", missing.join(", ")));
    }
    for section in Section::ALL {
        let entries = profile[section.as_str()].as_array().into_iter().flatten();
        let entries: Vec<_> = entries.map(|entry| format!("  {}", line(section, entry))).collect();
        if !entries.is_empty() {
            lines.push(format!("{}:", section.as_str()));
            lines.extend(entries);
        }
    }
    lines.join("\n")
}

/// The fields of an entry that have a value, on one line.
fn line(section: Section, entry: &Value) -> String {
    let values = section.field_names().filter_map(|name| match &entry[name] {
        Value::String(text) => Some(text.split_whitespace().collect::<Vec<_>>().join(" ")),
        Value::Number(number) => Some(format!("{name} {number}")),
        _ => None,
    });
    values.collect::<Vec<_>>().join(", ")
}

fn texts(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_profile_reads_well() {
        let profile = json!({
            "completion": {"percent": 30, "missing": ["phone", "employment"]}, "qualifications": [], "employment": [],
            "skills": [
                {"id": "1", "position": 0, "name": "Rust", "level": "expert", "years": 9},
                {"id": "2", "position": 1, "name": "SQL", "level": null, "years": null},
            ],
            "certifications": [{"name": "CKA", "expires_on": "2027-02-28", "link": null}],
        });
        let text = "ada: 30 % complete\nmissing: phone, employment\nskills:\n  Rust, expert, years 9\n  SQL\n\
                    certifications:\n  CKA, 2027-02-28";
        assert_eq!(lines("ada", &profile), text);
    }
}

//! What is asked for of an entry: how it is read, and how it is described.

use chrono::{Days, NaiveDate};
use serde_json::{Map, Value};
use shared::contract::limits::{PROFILE_ENTRIES, PROFILE_LINK_CHARS, SKILL_YEARS};
use utoipa::ToSchema;

use super::model::{Content, EntryField, Form, LEVELS, ProfileError, Section};
use crate::http::body::FromFields;
use crate::http::fields::Fields;
use crate::users::input::language;

/// Education. In a change absent fields stay unchanged, and null empties one.
#[derive(ToSchema)]
#[schema(as = QualificationFields)]
#[allow(dead_code, reason = "described; read by the table of fields")]
pub(super) struct QualificationIn {
    /// Required in a new entry. At most 200 characters, as every text without another limit.
    institution: Option<String>,
    degree: Option<String>,
    /// The field of study.
    field: Option<String>,
    started_on: Option<NaiveDate>,
    /// Not before `started_on`.
    ended_on: Option<NaiveDate>,
    grade: Option<String>,
    /// From 0; the entries behind it move. At the end if absent in a new entry, or if it is beyond the last one.
    position: Option<u64>,
}

/// Employment.
#[derive(ToSchema)]
#[schema(as = EmploymentFields)]
#[allow(dead_code, reason = "described; read by the table of fields")]
pub(super) struct EmploymentIn {
    /// Required in a new entry.
    employer: Option<String>,
    title: Option<String>,
    started_on: Option<NaiveDate>,
    /// Not before `started_on`.
    ended_on: Option<NaiveDate>,
    /// At most 2,000 characters; may have several lines.
    description: Option<String>,
    position: Option<u64>,
}

/// A skill.
#[derive(ToSchema)]
#[schema(as = SkillFields)]
#[allow(dead_code, reason = "described; read by the table of fields")]
pub(super) struct SkillIn {
    /// Required in a new entry.
    name: Option<String>,
    /// `beginner`, `intermediate`, `advanced` or `expert`.
    level: Option<String>,
    /// 0 to 80.
    years: Option<u64>,
    position: Option<u64>,
}

/// A certification.
#[derive(ToSchema)]
#[schema(as = CertificationFields)]
#[allow(dead_code, reason = "described; read by the table of fields")]
pub(super) struct CertificationIn {
    /// Required in a new entry.
    name: Option<String>,
    issuer: Option<String>,
    number: Option<String>,
    /// Not in the future.
    issued_on: Option<NaiveDate>,
    /// Not before `issued_on`.
    expires_on: Option<NaiveDate>,
    /// An http or https URL of at most 500 characters.
    link: Option<String>,
    position: Option<u64>,
}

/// The fields of an entry, by its section.
#[derive(ToSchema)]
#[schema(as = ProfileEntryFields)]
#[serde(untagged)]
#[allow(dead_code, reason = "described; read by the table of fields")]
pub(super) enum EntryIn {
    /// In `qualifications`.
    Qualification(QualificationIn),
    /// In `employment`.
    Employment(EmploymentIn),
    /// In `skills`.
    Skill(SkillIn),
    /// In `certifications`.
    Certification(CertificationIn),
}

/// The body of a request about an entry, before it is known what its section has.
pub struct Given(Map<String, Value>);

impl FromFields for Given {
    fn read(fields: &mut Fields) -> Option<Self> {
        Some(Self(fields.all().clone()))
    }
}

/// A change of names, telephone number or language; absent fields stay unchanged.
#[derive(ToSchema)]
#[schema(as = ProfileChange)]
#[allow(dead_code, reason = "described; read by `FromFields`")]
pub(super) struct NamesIn {
    first_name: Option<String>,
    last_name: Option<String>,
    phone: Option<String>,
    /// The language of mails to the user: a tag such as `de`; empty for the tenant's.
    language: Option<String>,
}

/// The parsed request.
#[derive(Default)]
pub struct Names {
    pub(super) first_name: Option<String>,
    pub(super) last_name: Option<String>,
    pub(super) phone: Option<String>,
    pub(super) language: Option<String>,
}

impl FromFields for Names {
    fn read(fields: &mut Fields) -> Option<Self> {
        Some(Self {
            first_name: fields.text("first_name"),
            last_name: fields.text("last_name"),
            phone: fields.text("phone"),
            language: language(fields),
        })
    }
}

/// An entry as a request wants it.
pub(super) struct Draft {
    pub content: Content,
    /// Where it is wanted, from 0.
    pub position: Option<usize>,
}

/// Reads an entry of a section: a new one, or a change of `before`, of which absent fields stay.
///
/// # Errors
/// [`ProfileError::Fields`] with everything that is wrong.
pub(super) fn read(
    section: Section,
    given: Given,
    before: Option<&Content>,
    today: NaiveDate,
) -> Result<Draft, ProfileError> {
    let mut fields = Fields::new(given.0);
    let draft = draft(&mut fields, section, before, today);
    if fields.faults().is_empty() { Ok(draft) } else { Err(ProfileError::Fields(fields.into_faults())) }
}

fn draft(fields: &mut Fields, section: Section, before: Option<&Content>, today: NaiveDate) -> Draft {
    let mut content = before.cloned().unwrap_or_default();
    for field in section.fields() {
        let text = match field.required {
            true if before.is_some() && !fields.has(field.name) => None,
            true => fields.required_text(field.name).map(Some),
            false => fields.clearable_text(field.name),
        };
        match text {
            None => {}
            Some(None) => drop(content.0.remove(field.name)),
            Some(Some(text)) => match value(field, &text, today) {
                Ok(value) => drop(content.0.insert(field.name.to_owned(), value)),
                Err(message) => fields.fault(field.name, message),
            },
        }
    }
    if let Some((first, last)) = section.span()
        && content.date(first).zip(content.date(last)).is_some_and(|(first, last)| last < first)
    {
        fields.fault(last, format!("Must not be before `{first}`."));
    }
    let position = fields.whole("position", 0, i64::from(i32::MAX));
    // What is beyond the last place is the last place.
    let position = position.map(|place| usize::try_from(place).unwrap_or(PROFILE_ENTRIES));
    Draft { content, position }
}

/// The value of a field that is not empty.
fn value(field: &EntryField, text: &str, today: NaiveDate) -> Result<Value, String> {
    match field.form {
        Form::Line(longest) => checked(text, longest, |c| !c.is_control()),
        Form::Lines(longest) => {
            checked(text, longest, |c| !c.is_control() || matches!(c, '\n' | '\r' | '\t'))
        }
        Form::Date => date(text).map(|_| text.into()),
        Form::PastDate => {
            let date = date(text)?;
            // Somewhere it is tomorrow already.
            let latest = today.checked_add_days(Days::new(1)).unwrap_or(today);
            if date > latest { Err(String::from("Must not be in the future.")) } else { Ok(text.into()) }
        }
        Form::Level => {
            let level = LEVELS.iter().find(|(word, _)| *word == text);
            level
                .map(|(word, _)| Value::from(*word))
                .ok_or_else(|| format!("\"{text}\" is not a valid choice."))
        }
        Form::Years => {
            let years = text.parse::<u64>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
            match years {
                Some(years) if years <= SKILL_YEARS => Ok(years.into()),
                Some(_) => Err(format!("Ensure this value is less than or equal to {SKILL_YEARS}.")),
                None => Err(String::from("Expected a whole number of years.")),
            }
        }
        Form::Link => match is_link(text) {
            true => checked(text, PROFILE_LINK_CHARS, |c| !c.is_control()),
            false => Err(String::from("Enter a URL that begins with https:// or http://.")),
        },
    }
}

fn checked(text: &str, longest: usize, allows: fn(char) -> bool) -> Result<Value, String> {
    if text.chars().count() > longest {
        return Err(format!("Ensure this field has no more than {longest} characters."));
    }
    if text.chars().all(allows) {
        Ok(text.into())
    } else {
        Err(String::from("Control characters are not allowed."))
    }
}

/// A date as `YYYY-MM-DD`, in years that PostgreSQL and every client can hold.
fn date(text: &str) -> Result<NaiveDate, String> {
    let is_plain = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().filter(|_| is_plain);
    let earliest = NaiveDate::from_ymd_opt(1900, 1, 1).unwrap_or(NaiveDate::MIN);
    match date {
        Some(date) if date >= earliest => Ok(date),
        Some(_) => Err(String::from("Enter a date from 1900 on.")),
        None => Err(String::from("Enter a date as YYYY-MM-DD.")),
    }
}

/// Pages show a link to other users: a script or a file must not be one, nor a host that only looks like another.
fn is_link(text: &str) -> bool {
    let scheme = ["https://", "http://"];
    let Some(rest) = scheme.iter().find_map(|scheme| text.strip_prefix(scheme)) else { return false };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    !host.is_empty() && !host.contains('@') && !text.contains(char::is_whitespace) && !text.contains('\\')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn read_at(section: Section, body: Value, before: Option<&Content>) -> Result<Draft, Value> {
        let given = Given(body.as_object().cloned().unwrap());
        read(section, given, before, day("2026-06-15")).map_err(|error| match error {
            ProfileError::Fields(faults) => {
                let said = faults.into_iter().map(|(name, said)| (name, Value::from(said[0].as_str())));
                Value::Object(said.collect())
            }
            other => panic!("{other}"),
        })
    }

    fn faults(section: Section, body: Value) -> Value {
        read_at(section, body, None).map(|_| json!({})).unwrap_or_else(|faults| faults)
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        for (section, body, expected) in [
            (Section::Skills, json!({}), json!({"name": "This field is required."})),
            (
                Section::Qualifications,
                json!({"institution": " ", "degree": "x".repeat(201), "field": "a\nb", "started_on": "2020-2-1"}),
                json!({
                    "institution": "This field may not be blank.",
                    "degree": "Ensure this field has no more than 200 characters.",
                    "field": "Control characters are not allowed.",
                    "started_on": "Enter a date as YYYY-MM-DD.",
                }),
            ),
            (
                Section::Employment,
                json!({"employer": "Acme", "started_on": "2020-02-02", "ended_on": "2020-02-01", "description": "a\u{7}"}),
                json!({"ended_on": "Must not be before `started_on`.", "description": "Control characters are not allowed."}),
            ),
            (
                Section::Employment,
                json!({"employer": "Acme", "started_on": "2020-02-01", "ended_on": "2020-02-01", "description": "a\r\n\tb"}),
                json!({}),
            ),
            (
                Section::Skills,
                json!({"name": "Rust", "level": "Expert", "years": 81, "position": -1}),
                json!({
                    "level": "\"Expert\" is not a valid choice.",
                    "years": "Ensure this value is less than or equal to 80.",
                    "position": "Ensure this value is greater than or equal to 0.",
                }),
            ),
            (
                Section::Skills,
                json!({"name": "Rust", "years": 1.5}),
                json!({"years": "Expected a whole number of years."}),
            ),
            (
                Section::Certifications,
                json!({"name": "CKA", "issued_on": "2026-06-17", "expires_on": "2026-06-16", "link": "javascript:alert(1)"}),
                json!({
                    "issued_on": "Must not be in the future.",
                    "link": "Enter a URL that begins with https:// or http://.",
                }),
            ),
            (
                Section::Certifications,
                json!({"name": "CKA", "issued_on": "2026-06-16", "expires_on": "2026-06-15"}),
                json!({"expires_on": "Must not be before `issued_on`."}),
            ),
            (
                Section::Certifications,
                json!({"name": "CKA", "issued_on": "2026-06-16", "expires_on": "9999-12-31", "link": "https://a.test/b?c#d"}),
                json!({}),
            ),
        ] {
            assert_eq!(faults(section, body.clone()), expected, "{body}");
        }
    }

    #[test]
    fn dates_and_links() {
        for (text, fine) in [
            ("2024-02-29", true),
            ("2023-02-29", false),
            ("1899-12-31", false),
            ("9999-12-31", true),
            ("+999-12-31", false),
            ("24-01-01", false),
            ("2024-01-01T00:00:00", false),
        ] {
            assert_eq!(date(text).is_ok(), fine, "{text}");
        }
        for (text, fine) in [
            ("https://a.test", true),
            ("http://a.test:8080/x", true),
            ("HTTPS://a.test", false),
            ("https://", false),
            ("https:///a", false),
            ("https://a.test@b.test/", false),
            ("https://a.test/x y", false),
            ("https://a.test\\@b.test", false),
            ("ftp://a.test", false),
            ("data:text/html,x", false),
        ] {
            assert_eq!(is_link(text), fine, "{text}");
        }
    }

    #[test]
    fn a_change_is_checked_with_what_stays() {
        let body = json!({"employer": "Acme", "started_on": "2020-02-02", "ended_on": "2021-01-01"});
        let before = read_at(Section::Employment, body, None).ok().unwrap().content;
        let change = |body| read_at(Section::Employment, body, Some(&before));
        let said = change(json!({"ended_on": "2020-01-01"})).err().unwrap();
        assert_eq!(said, json!({"ended_on": "Must not be before `started_on`."}));
        assert_eq!(
            change(json!({"employer": null})).err().unwrap(),
            json!({"employer": "This field may not be null."})
        );
        let after = change(json!({"ended_on": null, "title": " Engineer "})).ok().unwrap().content;
        assert_eq!(
            Value::Object(after.0),
            json!({"employer": "Acme", "started_on": "2020-02-02", "title": "Engineer"})
        );
        assert!(change(json!({})).ok().unwrap().content == before);
    }

    proptest! {
        /// What is accepted is stored as it is, and accepted again.
        #[test]
        fn what_was_accepted_is_accepted_again(
            name in "\\PC{0,20}", issued in "(19|20)[0-9]{2}-[01][0-9]-[0-3][0-9]",
            expires in "20[0-9]{2}-[01][0-9]-[0-3][0-9]", link in "https?://[a-z@.]{0,8}(/\\PC{0,8})?",
        ) {
            let body = json!({"name": name, "issued_on": issued, "expires_on": expires, "link": link});
            if let Ok(Draft { content, .. }) = read_at(Section::Certifications, body, None) {
                prop_assert!(content.date("issued_on") <= content.date("expires_on"));
                let again = Content::parse(&content.text().unwrap()).unwrap();
                prop_assert!(again == content);
                let read = read_at(Section::Certifications, Value::Object(again.0), None);
                prop_assert!(read.is_ok_and(|read| read.content == content));
            }
        }
    }
}

//! Reading the fields of a body or a query, with the legacy service's words for what is wrong. Unknown
//! fields of a body, and fields that are computed, are passed over, as the legacy service did.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use serde_json::{Map, Value};
use shared::identifiers::folded;
use shared::ids;
use uuid::Uuid;

/// PostgreSQL takes no text that has one.
const NULL_CHARACTERS: &str = "Null characters are not allowed.";

/// Each word of a search costs a pass over every name.
const WORDS: usize = 16;

/// The fields of a body and what was found wrong with them.
pub struct Fields {
    object: Map<String, Value>,
    faults: Vec<(String, Vec<String>)>,
    asked: Vec<String>,
}

/// The moment that a date without a time stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfDay {
    /// The first.
    Begin,
    /// The last.
    End,
}

impl Fields {
    /// Begins to read an object.
    #[must_use]
    pub fn new(object: Map<String, Value>) -> Self {
        Self { object, faults: Vec::new(), asked: Vec::new() }
    }

    /// The errors so far.
    #[must_use]
    pub fn faults(&self) -> &[(String, Vec<String>)] {
        &self.faults
    }

    /// The errors, as a refusal.
    #[must_use]
    pub fn into_faults(self) -> Vec<(String, Vec<String>)> {
        self.faults
    }

    /// Whether the body has the field at all.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.object.contains_key(name)
    }

    /// All that the body holds.
    #[must_use]
    pub fn all(&self) -> &Map<String, Value> {
        &self.object
    }

    /// Whether a field is there and null.
    #[must_use]
    pub fn is_null(&self, name: &str) -> bool {
        self.object.get(name).is_some_and(Value::is_null)
    }

    /// Whether the code has read a field of this name, present or not.
    #[must_use]
    pub fn knows(&self, name: &str) -> bool {
        self.asked.iter().any(|asked| asked == name)
    }

    /// The names that were asked for.
    #[cfg(test)]
    pub(crate) fn asked(&self) -> std::collections::BTreeSet<String> {
        self.asked.iter().cloned().collect()
    }

    fn get(&mut self, name: &str) -> Option<&Value> {
        self.asked.push(name.to_owned());
        self.object.get(name)
    }

    /// Passes over a field that clients send and whose value does not matter.
    pub fn ignore(&mut self, name: &str) {
        let _ = self.get(name);
    }

    /// Adds a fault.
    pub fn fault(&mut self, name: &str, message: impl Into<String>) {
        match self.faults.iter_mut().find(|(field, _)| field == name) {
            Some((_, messages)) => messages.push(message.into()),
            None => self.faults.push((name.to_owned(), vec![message.into()])),
        }
    }

    /// A text that must be there; trimmed and not blank.
    pub fn required_text(&mut self, name: &str) -> Option<String> {
        if !self.has(name) {
            self.fault(name, "This field is required.");
            return None;
        }
        let text = self.text(name)?;
        if text.is_empty() {
            self.fault(name, "This field may not be blank.");
            return None;
        }
        Some(text)
    }

    /// A text that may be absent; trimmed.
    pub fn text(&mut self, name: &str) -> Option<String> {
        self.untrimmed(name).map(|text| text.trim().to_owned())
    }

    /// A text that may be absent, exactly as typed: passwords.
    pub fn untrimmed(&mut self, name: &str) -> Option<String> {
        match self.get(name)? {
            Value::String(text) if text.contains('\0') => {
                self.fault(name, NULL_CHARACTERS);
                None
            }
            Value::String(text) => Some(text.clone()),
            Value::Null => {
                self.fault(name, "This field may not be null.");
                None
            }
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
                self.fault(name, "Not a valid string.");
                None
            }
        }
    }

    /// A text that may be taken away: `null` and blank are `Some(None)`.
    pub fn clearable_text(&mut self, name: &str) -> Option<Option<String>> {
        if self.get(name).is_some_and(Value::is_null) {
            return Some(None);
        }
        self.text(name).map(|text| Some(text).filter(|text| !text.is_empty()))
    }

    /// True or false, in the spellings that forms and JSON have.
    pub fn boolean(&mut self, name: &str) -> Option<bool> {
        let spelled = match self.get(name)? {
            Value::Bool(value) => return Some(*value),
            Value::Number(number) => number.to_string(),
            Value::String(text) => text.trim().to_ascii_lowercase(),
            Value::Null | Value::Array(_) | Value::Object(_) => String::new(),
        };
        match spelled.as_str() {
            "true" | "t" | "yes" | "y" | "on" | "1" => Some(true),
            "false" | "f" | "no" | "n" | "off" | "0" => Some(false),
            _ => {
                self.fault(name, "Must be a valid boolean.");
                None
            }
        }
    }

    /// One of several words.
    pub fn choice<T>(&mut self, name: &str, choices: &[(&str, T)]) -> Option<T>
    where
        T: Copy,
    {
        let text = self.text(name)?;
        let found = choices.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            self.fault(name, format!("\"{text}\" is not a valid choice."));
        }
        found
    }

    /// A whole number within bounds.
    pub fn whole<N>(&mut self, name: &str, least: N, greatest: N) -> Option<N>
    where
        N: Copy + PartialOrd + std::str::FromStr + std::fmt::Display,
    {
        let text = self.text(name)?;
        let digits = text.strip_prefix('-').unwrap_or(&text);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            self.fault(name, "A valid integer is required.");
            return None;
        }
        let number = text.parse::<N>().ok();
        let is_less = number.is_some_and(|number| number < least) || text.starts_with('-');
        match number.filter(|number| (least..=greatest).contains(number)) {
            Some(number) => Some(number),
            None if is_less => {
                self.fault(name, format!("Ensure this value is greater than or equal to {least}."));
                None
            }
            None => {
                self.fault(name, format!("Ensure this value is less than or equal to {greatest}."));
                None
            }
        }
    }

    /// A UUID, in any spelling.
    pub fn uuid(&mut self, name: &str) -> Option<Uuid> {
        let parsed = ids::uuid(&self.text(name)?).ok();
        if parsed.is_none() {
            self.fault(name, "Must be a valid UUID.");
        }
        parsed
    }

    /// A UUID that may be taken away: `null` and blank are `Some(None)`.
    pub fn clearable_uuid(&mut self, name: &str) -> Option<Option<Uuid>> {
        match self.clearable_text(name)? {
            None => Some(None),
            Some(_) => self.uuid(name).map(Some),
        }
    }

    /// A moment in ISO 8601; without a zone it is UTC, and a date alone is a moment of its day.
    pub fn moment(&mut self, name: &str, of_day: OfDay) -> Option<DateTime<Utc>> {
        let parsed = moment(&self.text(name)?, of_day);
        if parsed.is_none() {
            self.fault(name, "Enter a valid date/time.");
        }
        parsed
    }

    /// The words of a search in the form in which names are compared, divided at blanks and commas as the
    /// legacy service did.
    pub fn words(&mut self, name: &str) -> Vec<String> {
        let words = words(&self.text(name).unwrap_or_default());
        if words.len() > WORDS {
            self.fault(name, format!("Enter no more than {WORDS} words."));
        }
        words
    }

    /// A field that has several names, by whichever is given.
    pub fn by_any_name<T>(
        &mut self,
        names: &[&'static str],
        read: impl Fn(&mut Self, &'static str) -> Option<T>,
    ) -> Option<T> {
        let (mut given, mut value) = (None, None);
        for name in names {
            let read = read(self, name);
            if !self.has(name) {
                continue;
            }
            match given {
                Some(first) => self.fault(name, format!("This is `{first}`, which is given, too.")),
                None => (given, value) = (Some(*name), read),
            }
        }
        value
    }

    /// A list of texts; a form gives one text, which is a list of one.
    pub fn texts(&mut self, name: &str) -> Option<Vec<String>> {
        let texts = self.any_texts(name)?;
        if texts.iter().any(|text| text.contains('\0')) {
            self.fault(name, NULL_CHARACTERS);
            return None;
        }
        Some(texts)
    }

    fn any_texts(&mut self, name: &str) -> Option<Vec<String>> {
        match self.get(name)? {
            Value::Array(items) => {
                let texts = items.iter().map(|item| item.as_str().map(|text| text.trim().to_owned()));
                let texts: Option<Vec<String>> = texts.collect();
                if texts.is_none() {
                    self.fault(name, "Not a valid string.");
                }
                texts
            }
            Value::String(text) => Some(vec![text.trim().to_owned()]),
            other => {
                let kind = match other {
                    Value::Null => "NoneType",
                    Value::Bool(_) => "bool",
                    Value::Number(_) => "int",
                    _ => "dict",
                };
                self.fault(name, format!("Expected a list of items but got type \"{kind}\"."));
                None
            }
        }
    }

    /// An object within the body.
    pub fn object(&mut self, name: &str) -> Option<Map<String, Value>> {
        match self.get(name)? {
            Value::Object(object) => Some(object.clone()),
            _ => {
                self.fault(name, "Expected an object.");
                None
            }
        }
    }
}

fn words(search: &str) -> Vec<String> {
    let folded = folded(search);
    let words = folded.split(|c: char| c.is_whitespace() || c == ',');
    words.filter(|word| !word.is_empty()).map(ToOwned::to_owned).collect()
}

fn moment(text: &str, of_day: OfDay) -> Option<DateTime<Utc>> {
    if let Ok(date) = text.parse::<NaiveDate>() {
        let time = match of_day {
            OfDay::Begin => NaiveTime::MIN,
            OfDay::End => NaiveTime::from_hms_micro_opt(23, 59, 59, 999_999)?,
        };
        return Some(date.and_time(time).and_utc());
    }
    let zoned = DateTime::parse_from_rfc3339(text).map(|at| at.to_utc());
    zoned.or_else(|_| text.parse::<NaiveDateTime>().map(|at| at.and_utc())).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(value: Value) -> Fields {
        Fields::new(value.as_object().cloned().unwrap())
    }

    #[test]
    fn the_recorded_words_stand() {
        let mut it = fields(json!({
            "blank": " ", "null": null, "list": [], "bool": "maybe", "choice": "x", "texts": 5, "nul": "a\0b",
        }));
        assert_eq!(it.required_text("missing"), None);
        assert_eq!(it.required_text("blank"), None);
        assert_eq!(it.text("null"), None);
        assert_eq!(it.text("list"), None);
        assert_eq!(it.boolean("bool"), None);
        assert_eq!(it.choice("choice", &[("a", 1)]), None);
        assert_eq!(it.texts("texts"), None);
        assert_eq!(it.text("nul"), None);
        let said: Vec<_> =
            it.into_faults().into_iter().map(|(name, messages)| format!("{name}: {}", messages[0])).collect();
        assert_eq!(
            said,
            [
                "missing: This field is required.",
                "blank: This field may not be blank.",
                "null: This field may not be null.",
                "list: Not a valid string.",
                "bool: Must be a valid boolean.",
                "choice: \"x\" is not a valid choice.",
                "texts: Expected a list of items but got type \"int\".",
                "nul: Null characters are not allowed.",
            ]
        );
    }

    #[test]
    fn forms_and_json_read_alike() {
        let mut it =
            fields(json!({"a": true, "b": "true", "c": "0", "d": ["x ", "y"], "e": "x", "f": null, "g": ""}));
        assert_eq!(
            (it.boolean("a"), it.boolean("b"), it.boolean("c")),
            (Some(true), Some(true), Some(false))
        );
        assert_eq!(it.texts("d"), Some(vec!["x".into(), "y".into()]));
        assert_eq!(it.texts("e"), Some(vec!["x".into()]));
        assert_eq!((it.clearable_text("f"), it.clearable_text("g")), (Some(None), Some(None)));
        assert!(it.faults().is_empty());
    }

    #[test]
    fn a_whole_number_is_within_its_bounds() {
        let mut it = fields(json!({
            "a": 5, "b": "10", "c": "1.5", "d": 11, "e": 300, "f": -1, "g": "", "h": "-", "i": "+5", "j": 0,
        }));
        let read: Vec<_> = "abcdefghij".chars().map(|name| it.whole(&name.to_string(), 1_u8, 10)).collect();
        assert_eq!(read[..2], [Some(5), Some(10)]);
        assert!(read[2..].iter().all(Option::is_none));
        let said: Vec<_> = it.faults().iter().map(|(_, said)| said[0].as_str()).collect();
        let [no, more, less] = [
            "A valid integer is required.",
            "Ensure this value is less than or equal to 10.",
            "Ensure this value is greater than or equal to 1.",
        ];
        assert_eq!(said, [no, more, more, less, no, no, no, less]);
    }

    #[test]
    fn a_search_is_divided_into_words() {
        assert_eq!(words(" ada,  Lovelace\tx "), ["ada", "lovelace", "x"]);
        assert_eq!(words("ＡＤＡ，ΟΔΥΣΣΕΥΣ"), ["ada", "οδυσσευσ"]);
        assert!(words(" , ").is_empty());
    }

    #[test]
    fn a_field_has_one_value_by_all_of_its_names() {
        let read = |it: &mut Fields| it.by_any_name(&["a", "b", "c"], |it, name| it.text(name));
        let mut it = fields(json!({"b": "x"}));
        assert_eq!(read(&mut it), Some("x".into()));
        assert!(["a", "b", "c"].iter().all(|name| it.knows(name)) && it.faults().is_empty());
        let mut it = fields(json!({"a": "x", "c": "x"}));
        read(&mut it);
        assert_eq!(it.faults(), [("c".to_owned(), vec!["This is `a`, which is given, too.".to_owned()])]);
    }

    #[test]
    fn moments_and_days() {
        let mut it = fields(json!({
            "zoned": "2026-02-03T04:05:06.7+01:00", "plain": "2026-02-03T04:05:06", "day": "2026-02-03",
            "bad": "2026-02-30", "worse": "yesterday",
        }));
        let text = |at: Option<DateTime<Utc>>| at.map(crate::http::time::text).unwrap_or_default();
        assert_eq!(text(it.moment("zoned", OfDay::Begin)), "2026-02-03T03:05:06.700000Z");
        assert_eq!(text(it.moment("plain", OfDay::Begin)), "2026-02-03T04:05:06.000000Z");
        assert_eq!(text(it.moment("day", OfDay::Begin)), "2026-02-03T00:00:00.000000Z");
        assert_eq!(text(it.moment("day", OfDay::End)), "2026-02-03T23:59:59.999999Z");
        assert_eq!((it.moment("bad", OfDay::Begin), it.moment("worse", OfDay::End)), (None, None));
        assert_eq!(it.faults().len(), 2);
    }
}

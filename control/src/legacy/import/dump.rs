//! What `manage.py dumpdata` wrote: a JSON array, or JSON lines (`--format jsonl`), read as a stream.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde::de::{Deserializer as _, SeqAccess, Visitor};
use serde_json::{Map, Value};
use tokio::sync::mpsc::Sender;
use zeroize::Zeroizing;

use super::ImportError;
use super::format::{self, HEAD};
use super::found::{COLUMNS, Columns, Device, Found, Group, Item, noted};
use super::moment::{Moment, Zone};
use crate::legacy::tokens::Outstanding;

/// Where and what to read.
#[derive(Clone)]
pub struct Dump {
    /// The file; `-` is standard input.
    pub file: PathBuf,
    /// The model of users, as the dump names it.
    pub user_model: String,
    /// Its fields.
    pub columns: Columns,
    /// A field with a role, in place of groups.
    pub role_column: Option<String>,
    /// The zone of times that name none.
    pub zone: Zone,
}

/// One object of a dump.
#[derive(Deserialize)]
struct Object {
    model: String,
    #[serde(default)]
    pk: Value,
    fields: Map<String, Value>,
}

impl Dump {
    /// Sends everything there is; blocks.
    ///
    /// # Errors
    /// [`ImportError::Source`], with the line and column; [`ImportError::Refused`] for a dump without users.
    pub fn read(&self, items: &Sender<Item>) -> Result<(), ImportError> {
        let (mut users, mut others) = (0_u64, BTreeMap::<String, u64>::new());
        self.each(|object| {
            let model = object.model.clone();
            let item = self.item(object)?;
            match &item {
                Some(Item::User(_)) => users += 1,
                Some(Item::Group { .. } | Item::Device(_)) => {}
                None => *others.entry(model).or_default() += 1,
            }
            if let Some(item) = item {
                // The receiver is dropped only after an error of its own.
                let _ = items.blocking_send(item);
            }
            Ok(())
        })?;
        if users > 0 { Ok(()) } else { Err(self.without_users(&others)) }
    }

    fn without_users(&self, others: &BTreeMap<String, u64>) -> ImportError {
        let others: Vec<String> = others.iter().map(|(model, count)| format!("{model} ({count})")).collect();
        let there = if others.is_empty() { String::from("nothing") } else { others.join(", ") };
        ImportError::Refused(format!(
            "the source has no users: no object is of the model `{}`. It has these models: {there}. Name the model of \
             users with --user-model NAME",
            self.user_model
        ))
    }

    /// Sends the refresh tokens that are neither blacklisted nor expired; blocks. They are held until the
    /// end, because the blacklist comes last. Returns how many named no zone for their expiry.
    ///
    /// # Errors
    /// [`ImportError::Source`].
    pub fn outstanding_tokens(
        &self,
        now: DateTime<Utc>,
        sender: &Sender<Outstanding>,
    ) -> Result<u64, ImportError> {
        let (mut tokens, mut blacklisted, mut local) = (HashMap::new(), Vec::new(), 0);
        self.each(|object| {
            let field = |name: &str| object.fields.get(name).map(text).unwrap_or_default();
            match object.model.as_str() {
                "token_blacklist.outstandingtoken" => {
                    let key = text(&object.pk);
                    let expiry =
                        self.time(&object.model, &key, "expires_at", object.fields.get("expires_at"))?;
                    local += u64::from(expiry.as_ref().is_some_and(|it| it.reading.is_local()));
                    let living = expiry.is_some_and(|expiry| expiry.at > now);
                    if object.fields.get("user").is_some_and(Value::is_array) {
                        return Err(natural_foreign("tokens"));
                    }
                    let (jti, legacy_id) = (field("jti"), field("user"));
                    if living && !legacy_id.is_empty() {
                        tokens.insert(text(&object.pk), Outstanding { jti, legacy_id });
                    }
                }
                "token_blacklist.blacklistedtoken" => blacklisted.push(field("token")),
                _ => {}
            }
            Ok(())
        })?;
        for key in blacklisted {
            tokens.remove(&key);
        }
        for token in tokens.into_values() {
            let _ = sender.blocking_send(token);
        }
        Ok(local)
    }

    fn each(&self, mut take: impl FnMut(Object) -> Result<(), ImportError>) -> Result<(), ImportError> {
        let name = match self.file.to_str() {
            Some("-") => String::from("standard input"),
            _ => self.file.display().to_string(),
        };
        let said = |error: &dyn fmt::Display| ImportError::Source(format!("{name}: {error}"));
        let mut input: Box<dyn Read> = match self.file.to_str() {
            Some("-") => Box::new(std::io::stdin()),
            _ => Box::new(File::open(&self.file).map_err(|error| said(&error))?),
        };
        let mut head = Vec::with_capacity(HEAD);
        let most = u64::try_from(HEAD).unwrap_or(u64::MAX);
        input.by_ref().take(most).read_to_end(&mut head).map_err(|error| said(&error))?;
        if let Some(refusal) = format::refusal(&head) {
            return Err(ImportError::Source(format!("{name} {refusal}")));
        }
        if head.starts_with(&MARK) {
            head.drain(..MARK.len());
        }
        let is_array = head.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
        let input = BufReader::new(Cursor::new(head).chain(input));
        let mut failure = None;
        let mut take = |object| match take(object) {
            Ok(()) => true,
            Err(error) => {
                failure = Some(error);
                false
            }
        };
        let mut reader = serde_json::Deserializer::from_reader(input);
        let read = if is_array {
            reader.deserialize_seq(Objects(&mut take)).and_then(|()| reader.end())
        } else {
            each_line(reader, &mut take)
        };
        match (failure, read) {
            (Some(failure), _) => Err(failure),
            // Positions are counted from the first byte, so the message can be used unchanged.
            (None, Err(error)) => Err(said(&format!("not what `manage.py dumpdata` writes: {error}"))),
            (None, Ok(())) => Ok(()),
        }
    }

    fn item(&self, object: Object) -> Result<Option<Item>, ImportError> {
        let Object { model, pk, fields } = object;
        Ok(match model.as_str() {
            "auth.group" => {
                let name = fields.get("name").map(text).unwrap_or_default();
                Some(Item::Group { key: text(&pk), name })
            }
            "otp_totp.totpdevice" if fields.get("confirmed") != Some(&Value::Bool(false)) => {
                Some(Item::Device(device(&pk, &fields)?))
            }
            model if model.eq_ignore_ascii_case(&self.user_model) => {
                Some(Item::User(Box::new(self.user(&pk, &fields)?)))
            }
            _ => None,
        })
    }

    fn user(&self, pk: &Value, fields: &Map<String, Value>) -> Result<Found, ImportError> {
        for (ours, needed) in COLUMNS {
            let asked = self.columns.0.iter().any(|(name, there)| name == ours && !there.is_empty());
            let there = self.columns.there(ours).unwrap_or(ours);
            // The key of an object is in none of its fields.
            let is_key = ours == "id" && matches!(there, "id" | "pk");
            if (needed || asked) && !is_key && !fields.contains_key(there) {
                let names: Vec<&str> = fields.keys().map(String::as_str).collect();
                return Err(ImportError::Source(format!(
                    "`{}` has no field `{there}`: say --column {ours}=NAME, of {}",
                    self.user_model,
                    names.join(", "),
                )));
            }
        }
        let field = |ours| self.columns.there(ours).and_then(|there| fields.get(there));
        let word = |ours| field(ours).map(text).unwrap_or_default();
        let truth = |ours, otherwise| field(ours).map_or(otherwise, is_true);
        // The key is in no field, unless another one than the key was asked for.
        let id = field("id").map(text).or_else(|| (!pk.is_null()).then(|| text(pk)));
        let Some(id) = id else { return Err(natural_primary()) };
        let mut local_times = Vec::new();
        let mut time = |ours| {
            let moment = self.time(&self.user_model, &id, ours, field(ours))?;
            Ok::<_, ImportError>(noted(ours, moment, &mut local_times))
        };
        let (date_joined, last_login) = (time("date_joined")?, time("last_login")?);
        let groups = match (&self.role_column, fields.get("groups")) {
            (None, Some(Value::Array(groups))) => groups.iter().map(group).collect(),
            _ => Vec::new(),
        };
        Ok(Found {
            id: Some(id),
            username: word("username"),
            email: word("email"),
            first_name: word("first_name"),
            last_name: word("last_name"),
            phone: word("phone"),
            language: word("language"),
            password: Zeroizing::new(word("password")),
            is_active: truth("is_active", true),
            is_staff: truth("is_staff", false),
            is_superuser: truth("is_superuser", false),
            date_joined,
            last_login,
            groups,
            role: self.role_column.as_ref().and_then(|name| fields.get(name)).map(text),
            local_times,
        })
    }

    /// The time in a field of an object.
    fn time(
        &self,
        model: &str,
        key: &str,
        name: &str,
        value: Option<&Value>,
    ) -> Result<Option<Moment>, ImportError> {
        let text = match value {
            None | Some(Value::Null) => return Ok(None),
            Some(value) => text(value),
        };
        self.zone
            .read(&text)
            .map_err(|no_time| ImportError::Source(format!("{name} of {model} {key}: `{text}` {no_time}")))
    }
}

/// The mark of UTF-8, which some editors and shells put first.
const MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

/// Users are known here by the ids that tokens have.
fn natural_primary() -> ImportError {
    ImportError::Source(String::from(
        "users have no ids in this dump, as with --natural-primary: dump without that, or name the field that \
         tokens have as `user_id` by --column id=NAME",
    ))
}

fn natural_foreign(what: &str) -> ImportError {
    ImportError::Source(format!("{what} name their users by natural keys: dump without --natural-foreign"))
}

fn each_line<R: Read>(
    reader: serde_json::Deserializer<serde_json::de::IoRead<R>>,
    take: &mut dyn FnMut(Object) -> bool,
) -> Result<(), serde_json::Error> {
    for object in reader.into_iter::<Object>() {
        if !take(object?) {
            break;
        }
    }
    Ok(())
}

/// Hands on the objects of an array one by one.
struct Objects<'a>(&'a mut dyn FnMut(Object) -> bool);

impl<'de> Visitor<'de> for Objects<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of objects, as dumpdata writes it")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut objects: A) -> Result<(), A::Error> {
        while let Some(object) = objects.next_element()? {
            if !(self.0)(object) {
                return Err(serde::de::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}

/// Texts as they are, numbers as written, nothing as nothing; a natural key by its first part.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        Value::Array(parts) => parts.first().map(text).unwrap_or_default(),
        other => other.to_string(),
    }
}

/// Also for fields that are numbers or text, as in a database: any other value is false, so that an inactive user is
/// never imported as active.
fn is_true(value: &Value) -> bool {
    ["true", "t", "1", "yes", "y"].contains(&text(value).to_lowercase().as_str())
}

/// By key, or by name where the dump was made with natural keys.
fn group(value: &Value) -> Group {
    match value {
        Value::Array(_) => Group::Name(text(value)),
        other => Group::Key(text(other)),
    }
}

fn device(pk: &Value, fields: &Map<String, Value>) -> Result<Device, ImportError> {
    let user = fields.get("user").ok_or_else(|| ImportError::Source("a device has no user".into()))?;
    if user.is_array() {
        return Err(natural_foreign("devices"));
    }
    let word = |name: &str| fields.get(name).map(text).unwrap_or_default();
    let number = |name: &str, otherwise| fields.get(name).and_then(Value::as_i64).unwrap_or(otherwise);
    Ok(Device {
        id: text(pk),
        user: text(user),
        name: word("name"),
        key: Zeroizing::new(word("key")),
        step: number("step", 30),
        t0: number("t0", 0),
        digits: number("digits", 6),
        tolerance: number("tolerance", 1),
        drift: number("drift", 0),
        last_t: number("last_t", -1),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn user(columns: &[(&str, &str)], field: &str, value: Value) -> Result<Found, ImportError> {
        let columns = columns.iter().map(|(ours, theirs)| ((*ours).to_owned(), (*theirs).to_owned()));
        let dump = Dump {
            file: PathBuf::new(),
            user_model: String::from("auth.user"),
            columns: Columns(columns.collect()),
            role_column: None,
            zone: Zone::default(),
        };
        let fields = json!({"username": "ada", "password": "!", field: value});
        dump.user(&json!(1), fields.as_object().unwrap())
    }

    #[test]
    fn nobody_becomes_active_by_the_way_in_which_their_field_is_written() {
        for (value, active) in [
            (json!(true), true),
            (json!(1), true),
            (json!("True"), true),
            (json!(false), false),
            (json!(null), false),
            (json!(0), false),
            (json!("0"), false),
            (json!("false"), false),
            (json!(""), false),
        ] {
            for (columns, field) in [(&[][..], "is_active"), (&[("is_active", "enabled")], "enabled")] {
                let found = user(columns, field, value.clone()).ok().unwrap();
                assert_eq!(found.is_active, active, "{field} {value}");
            }
        }
        assert!(user(&[], "other", json!(1)).ok().unwrap().is_active, "a model without that field");
        assert!(user(&[("is_active", "")], "is_active", json!(false)).ok().unwrap().is_active);
        // A named field that does not exist is an error.
        assert!(user(&[("is_active", "enabeld")], "enabled", json!(false)).is_err());
    }
}

//! The sections of a profile with the fields of their entries, and an entry.

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::{Map, Value};
use shared::contract::limits::{PROFILE_DESCRIPTION_CHARS, PROFILE_TEXT_CHARS};
use shared::ids::ProfileEntryId;

use crate::failure::Failure;
use crate::users::UserError;

/// A section of a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// Education.
    Qualifications,
    /// Employment, past and present.
    Employment,
    /// Skills.
    Skills,
    /// Certifications, which may expire.
    Certifications,
}

/// The form of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// One line of at most so many characters.
    Line(usize),
    /// Several lines, of at most so many characters together.
    Lines(usize),
    /// A date.
    Date,
    /// A date that is not in the future.
    PastDate,
    /// One of [`LEVELS`].
    Level,
    /// A number of years.
    Years,
    /// An http or https URL.
    Link,
}

/// A field of an entry.
pub(super) struct EntryField {
    pub name: &'static str,
    pub form: Form,
    pub required: bool,
}

/// How well a skill is mastered, the least first.
pub(super) const LEVELS: [(&str, &str); 4] = [
    ("beginner", "beginner"),
    ("intermediate", "intermediate"),
    ("advanced", "advanced"),
    ("expert", "expert"),
];

const fn required(name: &'static str) -> EntryField {
    EntryField { name, form: Form::Line(PROFILE_TEXT_CHARS), required: true }
}

const fn line(name: &'static str) -> EntryField {
    EntryField { name, form: Form::Line(PROFILE_TEXT_CHARS), required: false }
}

const fn field(name: &'static str, form: Form) -> EntryField {
    EntryField { name, form, required: false }
}

const QUALIFICATION: &[EntryField] = &[
    required("institution"),
    line("degree"),
    line("field"),
    field("started_on", Form::Date),
    field("ended_on", Form::Date),
    line("grade"),
];

const EMPLOYMENT: &[EntryField] = &[
    required("employer"),
    line("title"),
    field("started_on", Form::Date),
    field("ended_on", Form::Date),
    field("description", Form::Lines(PROFILE_DESCRIPTION_CHARS)),
];

const SKILL: &[EntryField] = &[required("name"), field("level", Form::Level), field("years", Form::Years)];

const CERTIFICATION: &[EntryField] = &[
    required("name"),
    line("issuer"),
    line("number"),
    field("issued_on", Form::PastDate),
    field("expires_on", Form::Date),
    field("link", Form::Link),
];

impl Section {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Qualifications, Self::Employment, Self::Skills, Self::Certifications];

    /// Its name in paths, answers and the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Qualifications => "qualifications",
            Self::Employment => "employment",
            Self::Skills => "skills",
            Self::Certifications => "certifications",
        }
    }

    /// The section of a name.
    ///
    /// # Errors
    /// [`ProfileError::NoSection`].
    pub fn parse(name: &str) -> Result<Self, ProfileError> {
        Self::ALL.into_iter().find(|section| section.as_str() == name).ok_or(ProfileError::NoSection)
    }

    /// The fields of its entries.
    pub(super) fn fields(self) -> &'static [EntryField] {
        match self {
            Self::Qualifications => QUALIFICATION,
            Self::Employment => EMPLOYMENT,
            Self::Skills => SKILL,
            Self::Certifications => CERTIFICATION,
        }
    }

    /// The names of these fields.
    pub fn field_names(self) -> impl Iterator<Item = &'static str> {
        self.fields().iter().map(|field| field.name)
    }

    /// Two dates, of which the second must not be before the first.
    pub(super) fn span(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Qualifications | Self::Employment => Some(("started_on", "ended_on")),
            Self::Certifications => Some(("issued_on", "expires_on")),
            Self::Skills => None,
        }
    }
}

/// The fields of an entry that have a value. No `Debug`: they are personal.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Content(pub(super) Map<String, Value>);

impl Content {
    /// Reads what is stored.
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        serde_json::from_str(text).map(Self).map_err(|_| Failure::Unreadable("profile_entries.sealed"))
    }

    /// The form that is stored, encrypted.
    pub(super) fn text(&self) -> Result<String, Failure> {
        serde_json::to_string(&self.0).map_err(|_| Failure::Unreadable("profile entry"))
    }

    /// A field that is a date.
    pub(super) fn date(&self, name: &str) -> Option<NaiveDate> {
        self.0.get(name)?.as_str()?.parse().ok()
    }
}

/// An entry of a profile.
#[derive(Clone)]
pub struct Entry {
    /// Its id.
    pub id: ProfileEntryId,
    /// Its section.
    pub section: Section,
    /// Its place there, from 0.
    pub place: i32,
    /// Its fields.
    pub content: Content,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When its fields were last changed.
    pub updated_at: DateTime<Utc>,
}

/// Why something about a profile was not done.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// Profiles have no section of that name.
    #[error("no such section")]
    NoSection,
    /// The section of the user has no entry of that id.
    #[error("no such entry")]
    NotFound,
    /// The section has as many entries as it may.
    #[error("the section is full")]
    Full,
    /// Fields with their messages.
    #[error("fields are not acceptable")]
    Fields(Vec<(String, Vec<String>)>),
    /// The caller's roles do not show them the profiles of others.
    #[error("the caller's roles hide the profile")]
    Hidden,
    /// About the user whose profile it is.
    #[error(transparent)]
    User(#[from] UserError),
}

impl From<Failure> for ProfileError {
    fn from(failure: Failure) -> Self {
        Self::User(failure.into())
    }
}

impl From<sqlx::Error> for ProfileError {
    fn from(error: sqlx::Error) -> Self {
        Self::User(error.into())
    }
}

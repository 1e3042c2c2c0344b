//! A profile and its entries in an answer. An entry is shown only with the proof that a
//! [`Viewer`] may see it.

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use serde_json::{Map, Value, json};
use shared::ids::{ProfileEntryId, UserId};
use shared::tenant::profile::{Completion, ProfileItem};
use shared::tenant::visibility::{PersonalField, Visibility};
use utoipa::ToSchema;

use super::model::{Entry, ProfileError, Section};
use super::store;
use crate::db::TenantTx;
use crate::http::validators::Editable;
use crate::users::visibility::{ShownNames, ShownProfile};
use crate::users::{User, UserError, Viewer, completion};

/// An entry. Its fields are those of its section.
#[derive(Serialize)]
pub struct EntryOut {
    id: ProfileEntryId,
    position: i32,
    #[serde(flatten)]
    fields: Map<String, Value>,
    #[serde(serialize_with = "crate::http::time::micros")]
    created_at: DateTime<Utc>,
    #[serde(serialize_with = "crate::http::time::micros")]
    updated_at: DateTime<Utc>,
}

impl EntryOut {
    /// An entry of a profile that is shown.
    #[must_use]
    pub fn of(entry: Entry, _shown: &ShownProfile) -> Self {
        let Entry { id, section, place, content, created_at, updated_at } = entry;
        let mut content = content.0;
        let fields = section.fields().iter().map(|field| {
            let value = content.remove(field.name).unwrap_or(Value::Null);
            (field.name.to_owned(), value)
        });
        Self { id, position: place, fields: fields.collect(), created_at, updated_at }
    }
}

impl Editable for EntryOut {
    /// Without the position, which changes when another entry is moved: no edit of the fields is lost by that.
    fn edited(&self) -> impl Serialize {
        (self.id, &self.fields)
    }
}

/// Education.
#[derive(ToSchema)]
#[schema(as = Qualification)]
#[allow(dead_code, reason = "described; `EntryOut` is what is written")]
pub(super) struct QualificationOut {
    #[schema(value_type = Uuid)]
    id: ProfileEntryId,
    /// From 0, without gaps.
    position: u64,
    institution: String,
    #[schema(required)]
    degree: Option<String>,
    /// The field of study.
    #[schema(required)]
    field: Option<String>,
    #[schema(required)]
    started_on: Option<NaiveDate>,
    #[schema(required)]
    ended_on: Option<NaiveDate>,
    #[schema(required)]
    grade: Option<String>,
    created_at: DateTime<Utc>,
    /// When a field was last changed.
    updated_at: DateTime<Utc>,
}

/// Employment.
#[derive(ToSchema)]
#[schema(as = Employment)]
#[allow(dead_code, reason = "described; `EntryOut` is what is written")]
pub(super) struct EmploymentOut {
    #[schema(value_type = Uuid)]
    id: ProfileEntryId,
    /// From 0, without gaps.
    position: u64,
    employer: String,
    #[schema(required)]
    title: Option<String>,
    #[schema(required)]
    started_on: Option<NaiveDate>,
    #[schema(required)]
    ended_on: Option<NaiveDate>,
    #[schema(required)]
    description: Option<String>,
    created_at: DateTime<Utc>,
    /// When a field was last changed.
    updated_at: DateTime<Utc>,
}

/// A skill.
#[derive(ToSchema)]
#[schema(as = Skill)]
#[allow(dead_code, reason = "described; `EntryOut` is what is written")]
pub(super) struct SkillOut {
    #[schema(value_type = Uuid)]
    id: ProfileEntryId,
    /// From 0, without gaps.
    position: u64,
    name: String,
    /// `beginner`, `intermediate`, `advanced` or `expert`.
    #[schema(required)]
    level: Option<String>,
    #[schema(required)]
    years: Option<u64>,
    created_at: DateTime<Utc>,
    /// When a field was last changed.
    updated_at: DateTime<Utc>,
}

/// A certification.
#[derive(ToSchema)]
#[schema(as = Certification)]
#[allow(dead_code, reason = "described; `EntryOut` is what is written")]
pub(super) struct CertificationOut {
    #[schema(value_type = Uuid)]
    id: ProfileEntryId,
    /// From 0, without gaps.
    position: u64,
    name: String,
    #[schema(required)]
    issuer: Option<String>,
    #[schema(required)]
    number: Option<String>,
    #[schema(required)]
    issued_on: Option<NaiveDate>,
    #[schema(required)]
    expires_on: Option<NaiveDate>,
    #[schema(required)]
    link: Option<String>,
    created_at: DateTime<Utc>,
    /// When a field was last changed.
    updated_at: DateTime<Utc>,
}

/// An entry, by its section.
#[derive(ToSchema)]
#[schema(as = ProfileEntry)]
#[serde(untagged)]
#[allow(dead_code, reason = "described; `EntryOut` is what is written")]
pub(super) enum EntrySchema {
    /// In `qualifications`.
    Qualification(QualificationOut),
    /// In `employment`.
    Employment(EmploymentOut),
    /// In `skills`.
    Skill(SkillOut),
    /// In `certifications`.
    Certification(CertificationOut),
}

/// How complete a profile is.
#[derive(Serialize, ToSchema)]
#[schema(as = ProfileCompletion)]
struct CompletionOut {
    /// By the tenant's `profile_weights`, rounded down.
    percent: u8,
    /// The items that count and are not there. An item that the caller's roles hide is never named.
    #[schema(value_type = Vec<String>)]
    missing: Vec<ProfileItem>,
}

/// The profile of a user. The sections are absent if the caller's roles hide profiles, and a personal field is absent if
/// they hide it.
#[derive(Serialize, ToSchema)]
#[schema(as = UserProfile)]
pub struct ProfileOut {
    /// The user's id.
    #[schema(value_type = Uuid)]
    user: UserId,
    #[serde(flatten)]
    names: ShownNames,
    /// The language of mails to the user: a tag such as `de`; empty for the tenant's.
    language: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<QualificationOut>, required = false)]
    qualifications: Option<Vec<EntryOut>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<EmploymentOut>, required = false)]
    employment: Option<Vec<EntryOut>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<SkillOut>, required = false)]
    skills: Option<Vec<EntryOut>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<CertificationOut>, required = false)]
    certifications: Option<Vec<EntryOut>>,
    completion: CompletionOut,
}

impl ProfileOut {
    /// Reads the profile of a user as a viewer is shown it.
    ///
    /// # Errors
    /// Errors of the database, or an entry that cannot be decrypted.
    pub async fn read(tx: &mut TenantTx, viewer: &Viewer, user: &User) -> Result<Self, ProfileError> {
        let Completion { percent, mut missing } =
            completion::of(tx, user.id).await?.ok_or(UserError::NotFound)?;
        missing.retain(|item| is_shown(viewer, user.id, *item));
        let shown = viewer.profile_of(user.id);
        let entries = match &shown {
            Some(_) => store::all(tx, user.id).await?,
            None => Vec::new(),
        };
        let of = |section: Section| {
            let entries = entries.iter().filter(|entry| entry.section == section).cloned();
            shown.as_ref().map(|shown| entries.map(|entry| EntryOut::of(entry, shown)).collect())
        };
        Ok(Self {
            user: user.id,
            names: viewer.names_of(user),
            language: user.language.clone(),
            qualifications: of(Section::Qualifications),
            employment: of(Section::Employment),
            skills: of(Section::Skills),
            certifications: of(Section::Certifications),
            completion: CompletionOut { percent, missing },
        })
    }
}

/// Whether a viewer is shown that a user has or lacks an item.
fn is_shown(viewer: &Viewer, user: UserId, item: ProfileItem) -> bool {
    let of = |field| viewer.visibilities_of(user).of(field) != Visibility::Absent;
    match item {
        ProfileItem::FirstName => of(PersonalField::FirstName),
        ProfileItem::LastName => of(PersonalField::LastName),
        ProfileItem::Phone => of(PersonalField::Phone),
        // Every answer about a user has it.
        ProfileItem::EmailVerified => true,
        ProfileItem::Qualifications
        | ProfileItem::Employment
        | ProfileItem::Skills
        | ProfileItem::Certifications => viewer.profile_of(user).is_some(),
    }
}

impl Editable for ProfileOut {
    /// The fields that a change of the profile can set; entries have tags of their own.
    fn edited(&self) -> impl Serialize {
        (self.user, &self.names, &self.language)
    }
}

/// The example of an entry in the OpenAPI document.
pub(super) fn entry_example() -> Value {
    json!({
        "id": "019a1f0e-8d1e-7f43-a05b-2c3d4e5f6a7b", "position": 0, "name": "Rust", "level": "advanced", "years": 6,
        "created_at": "2026-01-02T03:04:05.678901Z", "updated_at": "2026-01-02T03:04:05.678901Z",
    })
}

/// The example of a profile in the OpenAPI document.
pub(super) fn example() -> Value {
    json!({
        "user": "019a1f0e-5b7c-7d21-9c3e-0a1b2c3d4e5f", "first_name": "Grace", "last_name": "Hopper",
        "phone": "+1 555 0100", "language": "en", "qualifications": [], "employment": [], "skills": [entry_example()],
        "certifications": [],
        "completion": {"percent": 50, "missing": ["qualifications", "employment", "certifications"]},
    })
}

//! The personal fields of a user as a viewer is shown them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::tenant::visibility::{PersonalField, Visibility};
use utoipa::ToSchema;

use super::field_visibilities::FieldVisibilities;
use super::mask;
use crate::crypt::personal::Personal;
use crate::users::model::User;

/// Personal fields of a user; a field is absent if it was not requested or is not shown.
#[derive(Clone, Serialize, ToSchema)]
#[schema(as = UserFields)]
pub struct ShownFields {
    /// User name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub(in crate::users) username: Option<String>,
    /// Address; null for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(in crate::users) email: Option<Option<String>>,
    /// First name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub(in crate::users) first_name: Option<String>,
    /// Last name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub(in crate::users) last_name: Option<String>,
    /// Telephone number.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub(in crate::users) phone: Option<String>,
    /// The user's id at the legacy service, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(in crate::users) legacy_id: Option<Option<String>>,
    /// The last sign-in.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "moment")]
    #[schema(value_type = Option<DateTime<Utc>>)]
    pub(in crate::users) last_login: Option<Option<DateTime<Utc>>>,
    /// The names of masked fields.
    #[serde(skip)]
    pub(in crate::users) masked: Vec<PersonalField>,
}

impl ShownFields {
    pub(super) fn of(user: &User, visibilities: FieldVisibilities) -> Self {
        let mut masked = Vec::new();
        let username = shown(
            (PersonalField::Username, visibilities.of_username(user.username.expose())),
            user.username.expose(),
            &mut masked,
        );
        let mut text =
            |field, text: &Personal| shown((field, visibilities.of(field)), text.expose(), &mut masked);
        let first_name = text(PersonalField::FirstName, &user.first_name);
        let last_name = text(PersonalField::LastName, &user.last_name);
        let phone = text(PersonalField::Phone, &user.phone);
        // A viewer that sees the mask also sees that a field is empty.
        let mut perhaps = |field, text: Option<&str>| match (visibilities.of(field), text) {
            (Visibility::Absent, _) => None,
            (_, None) => Some(None),
            (visibility, Some(text)) => shown((field, visibility), text, &mut masked).map(Some),
        };
        let email = perhaps(PersonalField::Email, user.email.as_ref().map(Personal::expose));
        let legacy_id = perhaps(PersonalField::LegacyId, user.legacy_id.as_deref());
        let last_login = match (visibilities.of(PersonalField::LastLogin), user.last_login) {
            (Visibility::Absent, _) => None,
            (Visibility::Masked, Some(at)) => {
                masked.push(PersonalField::LastLogin);
                Some(Some(mask::moment(at)))
            }
            (Visibility::Masked | Visibility::Clear, at) => Some(at),
        };
        masked.sort_unstable();
        Self { username, email, first_name, last_name, phone, legacy_id, last_login, masked }
    }
}

/// Names and telephone number of a user, as a viewer is shown them.
#[derive(Serialize, ToSchema)]
pub struct ShownNames {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    first_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    last_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    phone: Option<String>,
    /// The names of masked fields. Absent if none is masked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>, required = false)]
    masked: Vec<PersonalField>,
}

impl ShownNames {
    /// Its personal fields.
    pub(super) const FIELDS: [PersonalField; 3] =
        [PersonalField::FirstName, PersonalField::LastName, PersonalField::Phone];
}

impl From<ShownFields> for ShownNames {
    fn from(fields: ShownFields) -> Self {
        let ShownFields { first_name, last_name, phone, masked, .. } = fields;
        Self { first_name, last_name, phone, masked }
    }
}

/// A text, masked as the visibility says. An empty text is shown as it is.
fn shown(
    (field, visibility): (PersonalField, Visibility),
    text: &str,
    masked: &mut Vec<PersonalField>,
) -> Option<String> {
    match visibility {
        Visibility::Absent => None,
        Visibility::Clear => Some(text.to_owned()),
        Visibility::Masked => {
            if !text.is_empty() {
                masked.push(field);
            }
            Some(masked_text(field, text))
        }
    }
}

fn masked_text(field: PersonalField, text: &str) -> String {
    match field {
        PersonalField::Username => match mask::also(text) {
            Some(PersonalField::Email) => mask::address(text),
            Some(PersonalField::Phone) => mask::number(text),
            _ => mask::name(text),
        },
        PersonalField::Email => mask::address(text),
        PersonalField::FirstName | PersonalField::LastName => mask::name(text),
        PersonalField::Phone => mask::number(text),
        PersonalField::LegacyId | PersonalField::LastLogin | PersonalField::Profile => {
            String::from(mask::MASK)
        }
        PersonalField::Client => mask::client(text),
    }
}

/// For `#[serde(serialize_with)]`.
pub(super) fn moment<S: serde::Serializer>(
    at: &Option<Option<DateTime<Utc>>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    crate::http::time::micros_option(&at.flatten(), serializer)
}

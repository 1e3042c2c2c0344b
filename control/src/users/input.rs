//! What is asked for of a user: how it is read, and how it is described.

use shared::ids::UserId;
use shared::user::UserStatus;
use utoipa::ToSchema;
use uuid::Uuid;

use super::fields::LANGUAGE_WORDS;
use super::out::StatusWord;
use super::{Change, NewUser, Profile, Successor, Viewer};
use crate::http::body::FromFields;
use crate::http::fields::Fields;

/// A new user. Computed fields are ignored.
#[derive(ToSchema)]
#[schema(as = NewUser)]
#[allow(dead_code, reason = "described; read by `FromFields`")]
pub struct NewUserIn {
    /// At most 150 characters; user names and addresses share one namespace.
    username: String,
    /// Null or empty for none.
    email: Option<String>,
    /// A user without a password cannot sign in.
    #[schema(format = "password")]
    password: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
    phone: Option<String>,
    /// The language of mails to the user: a tag such as `de`; empty for the tenant's.
    language: Option<String>,
    /// `active` if absent.
    status: Option<StatusWord>,
    /// In place of `status`: false is `inactive`.
    is_active: Option<bool>,
    /// By name.
    roles: Option<Vec<String>>,
    /// The id of the user's branch. Required of callers with roles of branches only.
    branch: Option<Uuid>,
    /// True if absent.
    email_verified: Option<bool>,
    /// Whether the user must choose a new password at the next sign-in.
    must_change_password: Option<bool>,
}

/// A change of a user.
#[derive(ToSchema)]
#[schema(as = UserChange)]
#[allow(dead_code, reason = "described; read by `FromFields`")]
pub struct UserIn {
    username: Option<String>,
    /// Null removes it.
    email: Option<String>,
    #[schema(format = "password")]
    password: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
    phone: Option<String>,
    /// The language of mails to the user: a tag such as `de`; empty for the tenant's.
    language: Option<String>,
    status: Option<StatusWord>,
    /// In place of `status`: false is `inactive`.
    is_active: Option<bool>,
    /// All roles of the user, by name.
    roles: Option<Vec<String>>,
    /// The id of the user's branch; null takes the user out of theirs.
    branch: Option<Uuid>,
    email_verified: Option<bool>,
    /// True ends the user's sessions, and the user must choose a new password at the next sign-in. It becomes false when
    /// the user has chosen one, and stays true when an administrator sets the password.
    must_change_password: Option<bool>,
}

/// The name of a status. The statuses of a user that is not deleted, by name.
pub const STATUSES: [(&str, UserStatus); 4] = [
    ("active", UserStatus::Active),
    ("suspended", UserStatus::Suspended),
    ("inactive", UserStatus::Inactive),
    ("pending", UserStatus::Pending),
];

fn status(fields: &mut Fields) -> Option<UserStatus> {
    let by_name = fields.choice("status", &STATUSES);
    let by_flag = fields
        .boolean("is_active")
        .map(|active| if active { UserStatus::Active } else { UserStatus::Inactive });
    by_name.or(by_flag)
}

/// A language tag in its usual case.
pub(crate) fn language(fields: &mut Fields) -> Option<String> {
    let tag = shared::language::canonical(&fields.text("language")?).ok();
    if tag.is_none() {
        fields.fault("language", LANGUAGE_WORDS);
    }
    tag
}

/// The parsed request, with the password apart.
pub struct Typed<T> {
    /// All fields but the password. [`Typed::by`] makes the change of it.
    pub(super) what: T,
    /// The password as typed.
    pub(super) password: Option<String>,
}

impl Typed<Change> {
    /// The change of the user `id` that `viewer` asks for, with the password hashed meanwhile.
    pub(super) fn by(self, viewer: &Viewer, id: UserId, password: Option<Successor>) -> Change {
        Change { password, seen: Some(viewer.visibilities_of(id)), ..self.what }
    }
}

impl FromFields for Typed<NewUser> {
    fn read(fields: &mut Fields) -> Option<Self> {
        // Every field is read before the first one is missed, so that all faults are said at once.
        let username = fields.required_text("username");
        let email = fields.clearable_text("email").flatten();
        let [first_name, last_name, phone] =
            ["first_name", "last_name", "phone"].map(|name| fields.text(name).unwrap_or_default());
        let language = language(fields).unwrap_or_default();
        let status = status(fields).unwrap_or(UserStatus::Active);
        let roles = fields.texts("roles").unwrap_or_else(|| vec![String::from("client")]);
        let branch = fields.clearable_uuid("branch").flatten();
        let password = fields.untrimmed("password");
        let email_verified = fields.boolean("email_verified").unwrap_or(true);
        let must_change_password = fields.boolean("must_change_password").unwrap_or(false);
        let profile = Profile { username: username?, email, first_name, last_name, phone, language };
        let what =
            NewUser { profile, status, roles, branch, password: None, must_change_password, email_verified };
        Some(Self { what, password })
    }
}

impl FromFields for Typed<Change> {
    fn read(fields: &mut Fields) -> Option<Self> {
        let username = if fields.has("username") { fields.required_text("username") } else { None };
        let what = Change {
            username,
            email: fields.clearable_text("email"),
            first_name: fields.text("first_name"),
            last_name: fields.text("last_name"),
            phone: fields.text("phone"),
            language: language(fields),
            status: status(fields),
            roles: fields.texts("roles"),
            branch: fields.clearable_uuid("branch"),
            password: None,
            must_change_password: fields.boolean("must_change_password"),
            email_verified: fields.boolean("email_verified"),
            seen: None,
            untold: false,
        };
        Some(Self { what, password: fields.untrimmed("password") })
    }
}

/// A change by PUT.
pub struct Replacement(pub(super) Typed<Change>);

impl FromFields for Replacement {
    fn read(fields: &mut Fields) -> Option<Self> {
        if !fields.has("username") {
            fields.fault("username", "This field is required.");
        }
        Typed::read(fields).map(Self)
    }
}

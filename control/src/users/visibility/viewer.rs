//! The caller of a request, and the fields that they see.

use shared::ids::UserId;
use shared::tenant::visibility::{PersonalField, Rule, Visibility};
use uuid::Uuid;

use super::field_visibilities::FieldVisibilities;
use super::mask;
use super::out::UserOut;
use super::shown_fields::{ShownFields, ShownNames};
use crate::db::Scope;
use crate::users::model::User;

/// A caller that users of a tenant are shown to. Handlers get one with the caller (`crate::access`).
#[derive(Clone, Copy)]
pub struct Viewer {
    /// The account that is their own, all of which they are shown.
    own: Option<UserId>,
    /// The fields of other users that they see.
    others: FieldVisibilities,
    /// The most that the platform lets them be shown of others.
    bounds: FieldVisibilities,
}

impl Viewer {
    /// A user of the tenant that has these rules, by those of their current roles that count for the users of a scope: the
    /// roles that belong to no branch, and those of the scope's branches. Of several branches, the one with the roles that
    /// show least of a field counts.
    #[must_use]
    pub fn user(user: &User, scope: &Scope, rules: &[Rule], bounds: &[Rule]) -> Self {
        let counting = |root: Option<Uuid>| -> Vec<String> {
            let is_elsewhere = |name: &String| {
                let of_branch = user.grants.branch_roles().iter().find(|role| role.name == *name);
                of_branch.is_some_and(|role| role.place.id() != root)
            };
            user.roles.iter().filter(|name| !is_elsewhere(name)).cloned().collect()
        };
        let sets: Vec<_> = match scope.branches() {
            None => vec![counting(None)],
            Some(roots) => roots.iter().map(|root| counting(Some(*root))).collect(),
        };
        let others = sets.iter().map(|roles| FieldVisibilities::of_roles(roles, rules, bounds));
        let bounds = sets.iter().map(|roles| FieldVisibilities::bounds_of(roles, bounds));
        Self {
            own: Some(user.id),
            others: others.reduce(FieldVisibilities::least).unwrap_or(FieldVisibilities::ABSENT),
            bounds: bounds.reduce(FieldVisibilities::least).unwrap_or(FieldVisibilities::ABSENT),
        }
    }

    /// A user that sees only themselves.
    #[must_use]
    pub fn oneself(id: UserId) -> Self {
        Self { own: Some(id), others: FieldVisibilities::ABSENT, bounds: FieldVisibilities::ABSENT }
    }

    /// An administrator of the platform inside another tenant. Its users are not theirs: they see ids, and no rule of
    /// the tenant changes that.
    #[must_use]
    pub fn of_platform() -> Self {
        Self { own: None, others: FieldVisibilities::ABSENT, bounds: FieldVisibilities::ABSENT }
    }

    /// The operator at the command line, who has the database anyway. No request may be answered with it: a test
    /// below lists the files that name it.
    #[must_use]
    pub fn operator() -> Self {
        Self { own: None, others: FieldVisibilities::CLEAR, bounds: FieldVisibilities::CLEAR }
    }

    /// How much of the user `id` is shown.
    #[must_use]
    pub fn visibilities_of(&self, id: UserId) -> FieldVisibilities {
        if self.own == Some(id) { FieldVisibilities::CLEAR } else { self.others }
    }

    /// How much of others is shown.
    #[must_use]
    pub fn visibilities(&self) -> FieldVisibilities {
        self.others
    }

    /// The user as this viewer is shown them.
    #[must_use]
    pub fn shows(&self, user: User) -> UserOut {
        let visibilities = self.visibilities_of(user.id);
        UserOut::of(user, visibilities)
    }

    /// Names and telephone number of a user.
    #[must_use]
    pub fn names_of(&self, user: &User) -> ShownNames {
        let visibilities = self.visibilities_of(user.id).within(&ShownNames::FIELDS);
        ShownNames::from(ShownFields::of(user, visibilities))
    }

    /// Whether the entries of a user's profile are shown. They have no masked form.
    #[must_use]
    pub fn profile_of(&self, id: UserId) -> Option<ShownProfile> {
        let visibility = self.visibilities_of(id).of(PersonalField::Profile);
        (visibility == Visibility::Clear).then_some(ShownProfile(()))
    }

    /// Which of `fields` no reason shows: the platform's bounds leave them out.
    #[must_use]
    pub fn never_shown(&self, id: UserId, fields: &[PersonalField]) -> Vec<PersonalField> {
        let of_others = self.own != Some(id);
        let never = fields.iter().filter(|field| of_others && self.bounds.of(**field) == Visibility::Absent);
        never.copied().collect()
    }

    /// The client's address of an entry that `actor` caused. Outside is whether it is shown at all.
    #[must_use]
    pub fn client(&self, actor: Option<&str>, address: Option<String>) -> Option<Option<String>> {
        let visibility =
            if self.is(actor) { Visibility::Clear } else { self.others.of(PersonalField::Client) };
        match visibility {
            Visibility::Absent => None,
            Visibility::Masked => Some(address.as_deref().map(mask::client)),
            Visibility::Clear => Some(address),
        }
    }

    /// An address that is no user's yet, shown as that of a user would be, and whether it is masked.
    #[must_use]
    pub fn address(&self, text: &str) -> (Option<String>, bool) {
        match self.others.of(PersonalField::Email) {
            Visibility::Absent => (None, false),
            Visibility::Masked => (Some(mask::address(text)), true),
            Visibility::Clear => (Some(text.to_owned()), false),
        }
    }

    /// Whether free text by `actor`, which may hold personal data of anyone, is shown.
    #[must_use]
    pub fn is_shown_text_of(&self, actor: Option<&str>) -> bool {
        self.is(actor) || self.others.are_clear()
    }

    fn is(&self, actor: Option<&str>) -> bool {
        self.own.is_some_and(|own| actor == Some(own.to_string().as_str()))
    }
}

/// The proof that a viewer is shown the entries of a profile. Only a [`Viewer`] makes it.
pub struct ShownProfile(());

/// A user's fields without masks, independent of the viewer. The caller must first write an audit entry with the
/// reader and the reason.
pub(in crate::users) fn whole(user: &User, fields: &[PersonalField]) -> ShownFields {
    ShownFields::of(user, FieldVisibilities::only(fields))
}

/// The personal fields as a viewer with these visibilities is shown them.
pub(in crate::users) fn face(user: &User, visibilities: FieldVisibilities) -> ShownFields {
    ShownFields::of(user, visibilities)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use chrono::DateTime;
    use serde_json::{Value, json};
    use shared::derive::Secret;
    use shared::ids::TenantId;
    use shared::user::UserStatus;

    use super::*;
    use crate::branches::Grants;
    use crate::crypt::personal::{Field, UserKey};
    use crate::crypt::sealed::TenantKeys;

    fn user(id: u64, roles: &[&str]) -> User {
        let keys = TenantKeys::new(TenantId::new(1, [1; 10]), vec![(1, Secret::new([3; 32]))]).unwrap();
        let id = UserId::new(id, [2; 10]);
        let (key, _) = UserKey::make(&keys, id).unwrap();
        let text = |field, text: &str| key.open(field, &key.seal(field, text).unwrap()).unwrap();
        User {
            id,
            username: text(Field::Username, "ada"),
            email: Some(text(Field::Email, "ada@example.org")),
            first_name: text(Field::FirstName, "Ada"),
            last_name: text(Field::LastName, ""),
            phone: text(Field::Phone, "+44 7700 900112"),
            language: String::new(),
            status: UserStatus::Active,
            email_verified: true,
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            rank: 0,
            grants: Grants::default(),
            rank_everywhere: 0,
            place: None,
            access_epoch: 0,
            session_epoch: 0,
            password_epoch: 0,
            must_change_password: false,
            mfa_enabled: false,
            profile_completion: 0,
            last_login: DateTime::from_timestamp(1_800_000_000, 0),
            created_at: DateTime::UNIX_EPOCH,
            updated_at: DateTime::UNIX_EPOCH,
            legacy_id: Some("17".into()),
        }
    }

    fn shown(viewer: &Viewer, user: User) -> Value {
        let shown = serde_json::to_value(viewer.shows(user)).unwrap();
        let names = PersonalField::ALL.map(PersonalField::as_str);
        let mut personal = json!({ "masked": shown["masked"] });
        for name in names {
            personal[name] = shown.get(name).cloned().unwrap_or_else(|| json!("absent"));
        }
        personal.as_object_mut().unwrap().retain(|name, _| !["client", "profile"].contains(&name.as_str()));
        personal
    }

    #[test]
    fn each_field_is_shown_as_far_as_the_roles_go() {
        let (ada, staff) =
            (user(1, &["staff"]), Viewer::user(&user(2, &["staff"]), &Scope::Everyone, &[], &[]));
        assert_eq!(
            shown(&staff, ada),
            json!({
                "username": "ada", "email": "a***@example.org", "first_name": "Ada", "last_name": "",
                "phone": "+44 *** 12", "legacy_id": "17", "last_login": "2027-01-15T00:00:00.000000Z",
                "masked": ["email", "phone", "last_login"],
            })
        );
        let rules = ["username", "first_name", "last_name", "phone", "legacy_id"];
        let rules = rules.map(|field| Rule::parse(&format!("staff.{field}=masked")).unwrap());
        let strict = Viewer::user(
            &user(2, &["staff"]),
            &Scope::Everyone,
            &rules,
            &[Rule::parse("*.email=absent").unwrap()],
        );
        assert_eq!(
            shown(&strict, user(1, &[])),
            json!({
                "username": "a***", "email": "absent", "first_name": "A***", "last_name": "",
                "phone": "+44 *** 12", "legacy_id": "***", "last_login": "2027-01-15T00:00:00.000000Z",
                "masked": ["username", "first_name", "phone", "legacy_id", "last_login"],
            })
        );
    }

    #[test]
    fn ones_own_account_is_clear_and_of_others_nothing_is_shown_by_default() {
        for viewer in [
            Viewer::oneself(user(1, &[]).id),
            Viewer::user(&user(1, &["client"]), &Scope::Everyone, &[], &[]),
        ] {
            let (own, other) = (shown(&viewer, user(1, &[])), shown(&viewer, user(2, &[])));
            assert_eq!((&own["phone"], &own["masked"]), (&json!("+44 7700 900112"), &Value::Null));
            for field in ["username", "email", "first_name", "last_name", "phone", "legacy_id", "last_login"]
            {
                assert_eq!(other[field], "absent", "{field}");
            }
        }
    }

    #[test]
    fn a_profile_is_shown_in_clear_or_not_at_all() {
        let bob = user(2, &[]).id;
        for (rules, roles, shown) in [
            (&[][..], &["co-admin"][..], true),
            (&[], &["staff"], false),
            (&["staff.profile=masked"], &["staff"], false),
            (&["staff.profile=clear"], &["staff"], true),
            (&["co-admin.profile=masked"], &["co-admin"], false),
        ] {
            let rules: Vec<_> = rules.iter().map(|text| Rule::parse(text).unwrap()).collect();
            let viewer = Viewer::user(&user(1, roles), &Scope::Everyone, &rules, &[]);
            assert_eq!(viewer.profile_of(bob).is_some(), shown, "{rules:?} {roles:?}");
            assert!(viewer.profile_of(user(1, &[]).id).is_some(), "one's own");
        }
        let names = |viewer: &Viewer| serde_json::to_value(viewer.names_of(&user(2, &[]))).unwrap();
        let staff = Viewer::user(&user(1, &["staff"]), &Scope::Everyone, &[], &[]);
        let expected =
            json!({"first_name": "Ada", "last_name": "", "phone": "+44 *** 12", "masked": ["phone"]});
        assert_eq!(names(&staff), expected);
        assert_eq!(names(&Viewer::of_platform()), json!({}));
    }

    #[test]
    fn the_platform_sees_no_user_of_another_tenant() {
        let root = Viewer::of_platform();
        assert!(root.profile_of(user(1, &[]).id).is_none());
        let seen = shown(&root, user(1, &[]));
        assert!(seen.as_object().unwrap().iter().all(|(name, value)| name == "masked" || value == "absent"));
        assert_eq!(root.never_shown(user(1, &[]).id, &PersonalField::ALL).len(), PersonalField::ALL.len());
    }

    #[test]
    fn an_address_in_the_log_is_the_actors_own() {
        let (own, other) = (user(1, &[]).id.to_string(), user(2, &[]).id.to_string());
        let address = || Some("192.0.2.7".to_owned());
        let rules = [Rule::parse("staff.client=masked").unwrap()];
        let staff = Viewer::user(&user(1, &["staff"]), &Scope::Everyone, &rules, &[]);
        assert_eq!(staff.client(Some(&own), address()), Some(address()));
        assert_eq!(staff.client(Some(&other), address()), Some(Some("192.0.***".into())));
        assert_eq!(staff.client(None, None), Some(None));
        assert_eq!(
            Viewer::user(&user(1, &["staff"]), &Scope::Everyone, &[], &[]).client(Some(&other), address()),
            None
        );
    }

    /// Every file below a folder.
    fn files(folder: &Path) -> Vec<std::path::PathBuf> {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
    }

    #[test]
    fn the_operator_is_at_the_command_line_and_nowhere_else() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let names = |path: &Path| {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            text.contains(concat!("Viewer::", "operator"))
        };
        for path in files(&root).iter().filter(|path| names(path)) {
            let path = path.strip_prefix(&root).unwrap();
            // The offline verification of a file reads only that file; a job that mails root-admins shows each of
            // them only their own name.
            let permitted = path.starts_with("cli")
                || [Path::new("audit/line.rs"), Path::new("mfa/announce.rs")].contains(&path);
            assert!(permitted, "{} shows everything to whoever asks", path.display());
        }
    }
}

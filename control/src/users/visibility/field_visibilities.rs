//! How much of which field a role is shown: defaults, a tenant's rules, the platform's bounds. Pure.

use shared::tenant::visibility::{ANY_ROLE, PersonalField, Rule, Visibility};

use super::mask;

/// How much of each field is shown, in the order of [`PersonalField::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldVisibilities([Visibility; PersonalField::ALL.len()]);

/// Which fields of other users the predefined roles see, in the order of [`PersonalField::ALL`]. Administrators edit
/// these fields, staff need names but no contact data, clients have no access to other users.
const DEFAULTS: [(&str, FieldVisibilities); 4] = {
    use Visibility::{Absent, Clear, Masked};
    [
        ("root-admin", FieldVisibilities::CLEAR),
        ("co-admin", FieldVisibilities::CLEAR),
        ("staff", FieldVisibilities([Clear, Masked, Clear, Clear, Masked, Clear, Masked, Absent, Absent])),
        ("client", FieldVisibilities::ABSENT),
    ]
};

/// The fields that a user name can reveal.
pub const IN_USERNAMES: [PersonalField; 3] =
    [PersonalField::Username, PersonalField::Email, PersonalField::Phone];

impl FieldVisibilities {
    pub(super) const CLEAR: Self = Self([Visibility::Clear; PersonalField::ALL.len()]);
    pub(super) const ABSENT: Self = Self([Visibility::Absent; PersonalField::ALL.len()]);

    /// Which fields of other users a user with these roles sees: for each role by the tenant's rules or the defaults,
    /// within the bounds. Of several roles, the one that shows most of a field counts, as with permissions. A role
    /// that is not predefined shows nothing by default.
    #[must_use]
    pub fn of_roles(roles: &[String], rules: &[Rule], bounds: &[Rule]) -> Self {
        let by_default = |role: &str, field| {
            let known = DEFAULTS.iter().find(|(known, _)| *known == role);
            known.map_or(Visibility::Absent, |(_, visibilities)| visibilities.of(field))
        };
        Self::most(roles, |role, field| {
            let chosen = ruled(rules, role, field).unwrap_or_else(|| by_default(role, field));
            chosen.min(bound(bounds, role, field))
        })
    }

    /// The most that the platform's bounds allow users with these roles to be shown, whatever the tenant's rules say.
    #[must_use]
    pub fn bounds_of(roles: &[String], bounds: &[Rule]) -> Self {
        Self::most(roles, |role, field| bound(bounds, role, field))
    }

    /// What both show of each field.
    #[must_use]
    pub fn least(self, other: Self) -> Self {
        Self(PersonalField::ALL.map(|field| self.of(field).min(other.of(field))))
    }

    fn most(roles: &[String], by: impl Fn(&str, PersonalField) -> Visibility) -> Self {
        let of = |field| roles.iter().map(|role| by(role, field)).max().unwrap_or(Visibility::Absent);
        Self(PersonalField::ALL.map(of))
    }

    /// How much of a field is shown. Of a user name: [`FieldVisibilities::of_username`].
    #[must_use]
    pub fn of(self, field: PersonalField) -> Visibility {
        let at = PersonalField::ALL.iter().position(|known| *known == field);
        at.and_then(|at| self.0.get(at).copied()).unwrap_or(Visibility::Absent)
    }

    /// How much of this user name is shown: not more than of the field that it reveals.
    #[must_use]
    pub fn of_username(self, username: &str) -> Visibility {
        let also = mask::also(username).map_or(Visibility::Clear, |field| self.of(field));
        self.of(PersonalField::Username).min(also)
    }

    /// How much of a field is shown of whomever, whatever the field holds.
    #[must_use]
    pub fn whatever_it_holds(self, field: PersonalField) -> Visibility {
        match field {
            PersonalField::Username => {
                IN_USERNAMES.iter().map(|field| self.of(*field)).min().unwrap_or(Visibility::Absent)
            }
            _ => self.of(field),
        }
    }

    /// Whether nothing is hidden.
    #[must_use]
    pub fn are_clear(self) -> bool {
        self == Self::CLEAR
    }

    /// Nothing but these fields, and those whole.
    #[must_use]
    pub(super) fn only(fields: &[PersonalField]) -> Self {
        Self(
            PersonalField::ALL
                .map(|field| if fields.contains(&field) { Visibility::Clear } else { Visibility::Absent }),
        )
    }

    /// The same for these fields; all others are absent.
    #[must_use]
    pub(super) fn within(self, fields: &[PersonalField]) -> Self {
        Self(
            PersonalField::ALL.map(
                |field| {
                    if fields.contains(&field) { self.of(field) } else { Visibility::Absent }
                },
            ),
        )
    }

    /// A text that other visibilities do not have.
    pub(super) fn text(self) -> String {
        self.0.iter().map(|visibility| visibility.as_str().chars().next().unwrap_or_default()).collect()
    }
}

/// The visibility in the rule of a role for a field, else in that of any role.
fn ruled(rules: &[Rule], role: &str, field: PersonalField) -> Option<Visibility> {
    // Two rules for the same role and field are refused when they are set; if the stored settings have two, the
    // stricter one counts.
    let strictest = |role: &str| {
        let of_role = rules.iter().filter(|rule| rule.role == role && rule.field == field);
        of_role.map(|rule| rule.visibility).min()
    };
    strictest(role).or_else(|| strictest(ANY_ROLE))
}

/// The bound of a role for a field: without one, a tenant may choose all.
fn bound(bounds: &[Rule], role: &str, field: PersonalField) -> Visibility {
    ruled(bounds, role, field).unwrap_or(Visibility::Clear)
}

/// The rules that show more than the platform's bounds allow.
pub fn beyond<'a>(rules: &'a [Rule], bounds: &'a [Rule]) -> impl Iterator<Item = (&'a Rule, Visibility)> {
    rules.iter().filter_map(|rule| {
        let most = bound(bounds, &rule.role, rule.field);
        (rule.visibility > most).then_some((rule, most))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shared::contract::permissions::ROLES;

    use super::*;

    fn rules(texts: &[&str]) -> Vec<Rule> {
        texts.iter().map(|text| Rule::parse(text).unwrap()).collect()
    }

    fn seen(roles: &[&str], field: &str, chosen: &[&str], bounds: &[&str]) -> &'static str {
        let roles: Vec<_> = roles.iter().map(|role| (*role).to_owned()).collect();
        let visibilities = FieldVisibilities::of_roles(&roles, &rules(chosen), &rules(bounds));
        visibilities.of(PersonalField::parse(field).unwrap()).as_str()
    }

    #[test]
    fn defaults_rules_and_bounds() {
        for (roles, field, chosen, bounds, expected) in [
            (&["root-admin"][..], "phone", &[][..], &[][..], "clear"),
            (&["co-admin"], "client", &[], &[], "clear"),
            (&["staff"], "email", &[], &[], "masked"),
            (&["staff"], "username", &[], &[], "clear"),
            (&["staff"], "client", &[], &[], "absent"),
            (&["client"], "username", &[], &[], "absent"),
            (&["auditor"], "username", &[], &[], "absent"),
            (&[], "username", &[], &[], "absent"),
            (&["staff"], "email", &["staff.email=clear"], &[], "clear"),
            (&["root-admin"], "email", &["root-admin.email=absent"], &[], "absent"),
            (&["auditor"], "email", &["*.email=masked"], &[], "masked"),
            (&["staff"], "email", &["*.email=absent", "staff.email=clear"], &[], "clear"),
            // The bound wins over what is chosen, over the default, and for any role.
            (&["staff"], "email", &["staff.email=clear"], &["staff.email=masked"], "masked"),
            (&["root-admin"], "phone", &[], &["root-admin.phone=masked"], "masked"),
            (&["root-admin"], "phone", &[], &["*.phone=absent"], "absent"),
            (&["root-admin"], "phone", &[], &["*.phone=absent", "root-admin.phone=clear"], "clear"),
            // A bound shows nothing by itself.
            (&["staff"], "email", &[], &["staff.email=clear"], "masked"),
            // Of several roles, the one that shows most.
            (&["staff", "client"], "username", &[], &[], "clear"),
            (&["co-admin", "staff"], "email", &["co-admin.email=absent"], &[], "masked"),
            (&["auditor", "staff"], "email", &["auditor.email=clear"], &["auditor.email=absent"], "masked"),
        ] {
            assert_eq!(
                seen(roles, field, chosen, bounds),
                expected,
                "{roles:?} {field} {chosen:?} {bounds:?}"
            );
        }
    }

    #[test]
    fn a_rule_beyond_the_bounds_is_named() {
        let (chosen, bounds) =
            (rules(&["staff.email=clear", "a.phone=masked", "*.client=clear"]), rules(&["*.email=masked"]));
        let named: Vec<_> = beyond(&chosen, &bounds).map(|(rule, most)| (rule.to_string(), most)).collect();
        assert_eq!(named, [("staff.email=clear".to_owned(), Visibility::Masked)]);
    }

    #[test]
    fn a_user_name_that_is_an_address_is_shown_as_the_address() {
        let staff = FieldVisibilities::of_roles(&["staff".into()], &[], &[]);
        assert_eq!(staff.of_username("ada"), Visibility::Clear);
        assert_eq!(staff.of_username("ada@example.org"), Visibility::Masked);
        assert_eq!(staff.of_username("+447700900112"), Visibility::Masked);
        assert_eq!(FieldVisibilities::ABSENT.of_username("ada"), Visibility::Absent);
    }

    /// Who outranks another is shown at least as much by default.
    #[test]
    fn every_predefined_role_has_a_default_and_a_higher_one_shows_no_less() {
        assert_eq!(DEFAULTS.map(|(name, _)| name), ROLES.map(|role| role.name));
        for pair in DEFAULTS.windows(2) {
            for field in PersonalField::ALL {
                assert!(pair[0].1.of(field) >= pair[1].1.of(field), "{} {field:?}", pair[1].0);
            }
        }
    }

    #[test]
    fn the_documentation_has_the_defaults() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/security.md");
        let text = std::fs::read_to_string(path).unwrap();
        for field in PersonalField::ALL {
            let words = DEFAULTS.map(|(_, visibilities)| visibilities.of(field).as_str());
            let row = format!("| `{}` | {} |", field.as_str(), words.join(" | "));
            assert!(text.contains(&row), "docs/security.md has no line {row}");
        }
    }

    fn any_rules() -> impl Strategy<Value = Vec<Rule>> {
        let role = prop::sample::select(vec!["*", "root-admin", "co-admin", "staff", "client", "auditor"]);
        let field = prop::sample::select(PersonalField::ALL.to_vec());
        let visibility = prop::sample::select(Visibility::ALL.to_vec());
        let rule = (role, field, visibility);
        let rule =
            rule.prop_map(|(role, field, visibility)| Rule { role: role.to_owned(), field, visibility });
        prop::collection::vec(rule, 0..12)
    }

    proptest! {
        #[test]
        fn nothing_shows_more_than_its_bound(
            chosen in any_rules(), bounds in any_rules(),
            roles in prop::sample::subsequence(vec!["root-admin", "staff", "client", "auditor"], 0..4),
        ) {
            let roles: Vec<_> = roles.into_iter().map(ToOwned::to_owned).collect();
            let (visibilities, most) = (FieldVisibilities::of_roles(&roles, &chosen, &bounds), FieldVisibilities::bounds_of(&roles, &bounds));
            for field in PersonalField::ALL {
                prop_assert!(visibilities.of(field) <= most.of(field));
            }
        }

        #[test]
        fn a_role_more_never_hides(chosen in any_rules(), bounds in any_rules()) {
            let of = |roles: &[&str]| {
                let roles: Vec<_> = roles.iter().map(|role| (*role).to_owned()).collect();
                FieldVisibilities::of_roles(&roles, &chosen, &bounds)
            };
            for field in PersonalField::ALL {
                prop_assert!(of(&["staff", "auditor"]).of(field) >= of(&["staff"]).of(field));
            }
        }
    }
}

//! A check that costs the same for every user and for none, by construction and not by a clock.
//!
//! Every call costs, for each family of algorithms that a tenant still has, one check at the tenant's most expensive
//! parameters of that family. The check of the user's own hash is one of them; if it is cheaper, further work is
//! added, as in Django's `harden_runtime`.

use subtle::ConstantTimeEq as _;

use crate::compute::compute;
use crate::{Family, Hash, Params};

/// Salt of work whose result is not used.
const NO_SALT: [u8; 16] = *b"nobody's salt ..";
const TAG_BYTES: usize = 32;
/// Most families in one check: all that Django has ever written by default, and at most some seconds of work.
/// Requests without a credential cause checks, and every set of parameters of Argon2 is a family.
pub const FAMILIES: usize = 8;

/// One part of a check's work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The user's own hash is computed and compared.
    Verify(Params),
    /// The same work without a result.
    Burn(Params),
}

impl Step {
    fn params(self) -> Params {
        match self {
            Self::Verify(params) | Self::Burn(params) => params,
        }
    }

    /// Which family's work it is, and how much.
    #[must_use]
    pub fn work(self) -> (Family, u64) {
        (self.params().family(), self.params().units())
    }
}

/// The most expensive parameters of each family. Families beyond [`FAMILIES`] are ignored, also for users that have
/// such a hash.
#[must_use]
pub fn dearest(all: impl IntoIterator<Item = Params>) -> Vec<Params> {
    let mut found: Vec<Params> = Vec::new();
    for params in all {
        match found.iter_mut().find(|other| other.family() == params.family()) {
            Some(other) if other.units() < params.units() => *other = params,
            Some(_) => {}
            None => found.push(params),
        }
    }
    // The order must not tell whose formats these are.
    found.sort_unstable();
    found.truncate(FAMILIES);
    found
}

/// The steps of a check against `own`, where `dearest` holds one entry for each family. If `own`'s is not
/// among them, it is not checked.
#[must_use]
pub fn plan(own: Option<Params>, dearest: &[Params]) -> Vec<Step> {
    let mut steps = Vec::new();
    for &most in dearest {
        match own {
            Some(own) if own.family() == most.family() => {
                steps.push(Step::Verify(own));
                steps.extend(missing(own, most).into_iter().map(Step::Burn));
            }
            _ => steps.push(Step::Burn(most)),
        }
    }
    steps
}

/// The work that `own` lacks compared with `most`, of the same family.
fn missing(own: Params, most: Params) -> Vec<Params> {
    match (own, most) {
        (Params::Pbkdf2Sha256 { rounds: own }, Params::Pbkdf2Sha256 { rounds: most }) if own < most => {
            vec![Params::Pbkdf2Sha256 { rounds: most - own }]
        }
        (Params::Pbkdf2Sha1 { rounds: own }, Params::Pbkdf2Sha1 { rounds: most }) if own < most => {
            vec![Params::Pbkdf2Sha1 { rounds: most - own }]
        }
        // 2^most = 2^own + 2^own + 2^(own+1) + ... + 2^(most-1).
        (Params::Bcrypt { cost: own }, Params::Bcrypt { cost: most }) => {
            (own..most).map(|cost| Params::Bcrypt { cost }).collect()
        }
        _ => Vec::new(),
    }
}

/// Does the steps of [`plan`] and says whether `password` is the one of `own`.
#[must_use]
pub fn check(password: &[u8], own: Option<&Hash>, dearest: &[Params]) -> bool {
    let mut matched = false;
    for step in plan(own.map(Hash::params), dearest) {
        match (step, own) {
            (Step::Verify(params), Some(own)) => {
                let tag = compute(params, own.prehashed, password, &own.salt, own.tag.len());
                matched = tag.is_some_and(|tag| tag.ct_eq(&own.tag).into());
            }
            (step, _) => {
                let burnt = compute(step.params(), false, password, &NO_SALT, TAG_BYTES);
                std::hint::black_box(burnt.is_some());
            }
        }
    }
    matched
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn any_params() -> impl Strategy<Value = Params> {
        prop_oneof![
            (1..2_000_000_u32).prop_map(|rounds| Params::Pbkdf2Sha256 { rounds }),
            (1..2_000_000_u32).prop_map(|rounds| Params::Pbkdf2Sha1 { rounds }),
            (4..15_u32).prop_map(|cost| Params::Bcrypt { cost }),
            (10..15_u8, 1..3_u32).prop_map(|(log_n, p)| Params::Scrypt { log_n, r: 8, p }),
            (1..4_u32, 1..3_u32).prop_map(|(passes, lanes)| Params::Argon2 {
                kind: crate::Argon2Kind::Id,
                version: 19,
                kib: 1024,
                passes,
                lanes
            }),
        ]
    }

    fn work(own: Option<Params>, dearest: &[Params]) -> BTreeMap<Family, u64> {
        let mut total = BTreeMap::new();
        for (family, units) in plan(own, dearest).into_iter().map(Step::work) {
            *total.entry(family).or_default() += units;
        }
        total
    }

    proptest! {
        /// No user, and users of every family: the same work in every family.
        #[test]
        fn every_check_costs_the_same(all in proptest::collection::vec(any_params(), 1..20)) {
            let most = dearest(all.iter().copied());
            let nobody = work(None, &most);
            for own in all {
                prop_assert_eq!(&work(Some(own), &most), &nobody, "{}", own);
                let verified = plan(Some(own), &most).into_iter().filter(|s| *s == Step::Verify(own)).count();
                let known = most.iter().any(|it| it.family() == own.family());
                prop_assert_eq!(verified, usize::from(known));
            }
        }
    }

    #[test]
    fn many_families_are_not_all_worked_through() {
        let argon2 = |kib| Params::parse(&format!("argon2id$19${kib}$1$1")).unwrap();
        let pbkdf2 = Params::parse("pbkdf2_sha256$5").unwrap();
        let all: Vec<_> = (1000..2000).map(argon2).chain([pbkdf2]).collect();
        let most = dearest(all);
        assert_eq!(plan(None, &most).len(), FAMILIES);
        // A user of a family above the limit costs the same, and the common families are never above it.
        assert_eq!(work(Some(argon2(1999)), &most), work(None, &most));
        assert!(plan(Some(pbkdf2), &most).contains(&Step::Verify(pbkdf2)));
    }

    #[test]
    fn the_dearest_of_each_family_is_found() {
        let parse = |text| Params::parse(text).unwrap();
        let all = ["bcrypt$10", "pbkdf2_sha256$5", "bcrypt$12", "pbkdf2_sha256$9", "pbkdf2_sha256$7"];
        let most = dearest(all.map(parse));
        assert_eq!(most, ["pbkdf2_sha256$9", "bcrypt$12"].map(parse));
    }
}

#[cfg(test)]
mod vectors {
    use serde_json::Value;

    use super::*;

    /// From the old service itself, with its own parameters.
    const STOCK: &str = include_str!("../vectors/django_hash_vectors.json");
    /// By Django's own hashers with cheap parameters, over passwords that are hard to get right; and
    /// the variants of bcrypt and Argon2, by the libraries that Django uses.
    const PASSWORDS: &str = include_str!("../vectors/django_passwords.json");

    fn all(text: &str) -> Vec<Value> {
        serde_json::from_str(text).unwrap()
    }

    fn matches(password: &str, encoded: &str) -> Option<bool> {
        let hash = Hash::parse(encoded).ok()?;
        Some(check(password.as_bytes(), Some(&hash), &[hash.params()]))
    }

    #[test]
    fn what_django_wrote_is_checked() {
        let (mut checked, mut refused) = (0, 0);
        for vector in all(STOCK) {
            let (encoded, hasher) = (vector["encoded"].as_str().unwrap(), vector["hasher"].as_str().unwrap());
            let password = vector["password"].as_str().unwrap_or_default();
            match hasher {
                "md5" | "unusable" => {
                    assert_eq!(matches(password, encoded), None, "{hasher}");
                    refused += 1;
                }
                _ => {
                    assert_eq!(matches(password, encoded), Some(true), "{hasher}");
                    assert_eq!(matches("corr3ct-horse", encoded), Some(false), "{hasher}");
                    checked += 1;
                }
            }
        }
        assert_eq!((checked, refused), (6, 2));
    }

    #[test]
    fn passwords_are_bytes_as_typed() {
        let vectors = all(PASSWORDS);
        assert!(vectors.len() > 50, "{}", vectors.len());
        for vector in &vectors {
            let (encoded, password) =
                (vector["encoded"].as_str().unwrap(), vector["password"].as_str().unwrap());
            let what = format!("{} {}", vector["hasher"], vector["case"]);
            assert_eq!(matches(password, encoded), Some(true), "{what}");
            // Another form, a trimmed one, one byte more: another password. Except to bcrypt, behind
            // its 72nd byte.
            for other in vectors.iter().filter(|other| other["hasher"] == vector["hasher"]) {
                let other = other["password"].as_str().unwrap();
                let cut = |text: &str| match vector["hasher"].as_str() {
                    Some("bcrypt") => text.as_bytes().iter().copied().take(72).collect(),
                    _ => text.as_bytes().to_vec(),
                };
                assert_eq!(matches(other, encoded), Some(cut(other) == cut(password)), "{what} {other}");
            }
            assert_eq!(matches(password.trim(), encoded), Some(password.trim() == password), "{what}");
        }
    }

    #[test]
    fn a_cheaper_hash_is_topped_up_and_still_matches() {
        let hash =
            Hash::parse("bcrypt$$2b$12$ZSCIPCnoj1wYwbZNu9F6OOB2ufWpytDjOPfItNRkxqeauqrk0H4g2").unwrap();
        let most = ["bcrypt$13", "pbkdf2_sha256$10"].map(|text| Params::parse(text).unwrap());
        assert!(check(b"Corr3ct-horse", Some(&hash), &most));
        assert!(!check(b"Corr3ct-horse", None, &most));
    }
}

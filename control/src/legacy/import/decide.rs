//! What is to be done about each user of a page, as users are here now.

use std::collections::HashMap;

use shared::ids::UserId;

use super::ImportError;
use super::judge::{Judged, judge};
use super::report::Why;
use super::stage::OnPage;
use super::state::Import;
use crate::db::TenantTx;
use crate::legacy::hashing::Hashing;
use crate::legacy::people::{self, Imported};

/// The decision about a user.
pub(super) enum Verdict {
    New(Box<Judged>),
    Changed(Box<Judged>, UserId, bool),
    Unchanged(UserId),
    Kept(UserId),
}

/// Facts about a user for the report, whatever the decision.
pub(super) struct Facts {
    pub roles: Vec<String>,
    pub unmapped: Vec<String>,
    pub password: Result<String, &'static str>,
}

impl Import<'_> {
    /// Judges the users of a page as they are here now.
    pub async fn judge_page(
        &self,
        tx: &mut TenantTx,
        users: &[OnPage],
    ) -> Result<Vec<Result<(Verdict, Facts), Vec<Why>>>, ImportError> {
        let ids: Vec<String> = users.iter().map(|user| user.id.clone()).collect();
        // The keys of this transaction: the lookup root may be rotated while an import runs.
        let hashing = Hashing::of(tx).await?;
        let known = people::imported(tx, &ids).await?;
        let deleted = people::deleted(tx, &ids).await?;
        let judged: Vec<Result<Judged, Vec<Why>>> = users
            .iter()
            .map(|it| judge(&it.found, it.totp, &self.options.mapping, &self.groups, &hashing))
            .collect();
        let names = judged
            .iter()
            .flatten()
            .flat_map(|it| it.names.username.iter().chain(it.names.email.iter().flatten()));
        let names: Vec<String> = names.map(|hash| hash.text.clone()).collect();
        let owners = people::owners(tx, &names).await?;
        let decide = |(user, judged): (&OnPage, Result<Judged, Vec<Why>>)| {
            let judged = judged?;
            if deleted.contains(&user.id) {
                let reason = String::from("was deleted here");
                return Err(vec![Why { id: user.id.clone(), column: "id".into(), reason }]);
            }
            decide(user, judged, known.get(&user.id), &owners)
        };
        Ok(users.iter().zip(judged).map(decide).collect())
    }
}

/// Decides about a user whose own data is valid.
fn decide(
    user: &OnPage,
    judged: Judged,
    known: Option<&Imported>,
    owners: &HashMap<String, UserId>,
) -> Result<(Verdict, Facts), Vec<Why>> {
    let why = |column: &str, reason: String| vec![Why { id: user.id.clone(), column: column.into(), reason }];
    if let Some((column, other, other_column)) = &user.collision {
        return Err(why(column, format!("is also the {other_column} of {other}: neither comes")));
    }
    let names = [("username", Some(&judged.names.username)), ("email", judged.names.email.as_ref())];
    for (column, hashes) in names {
        let mut owners = hashes.into_iter().flatten().filter_map(|hash| owners.get(&hash.text));
        if let Some(owner) = owners.find(|owner| known.is_none_or(|known| known.id != **owner)) {
            return Err(why(column, format!("belongs to the person {owner} here")));
        }
    }
    let facts = Facts {
        roles: judged.roles.clone(),
        unmapped: judged.unmapped.clone(),
        password: judged.password.clone(),
    };
    let verdict = match known {
        None => Verdict::New(Box::new(judged)),
        Some(Imported { id, digests: None, .. }) => {
            return Err(why("id", format!("was given to the person {id} here")));
        }
        Some(Imported { id, digests: Some(digests), .. }) if *digests == judged.digests => {
            Verdict::Unchanged(*id)
        }
        Some(Imported { id, changed_here: true, .. }) => Verdict::Kept(*id),
        Some(Imported { id, digests: Some(digests), .. }) => {
            let password = digests.password != judged.digests.password;
            Verdict::Changed(Box::new(judged), *id, password)
        }
    };
    Ok((verdict, facts))
}

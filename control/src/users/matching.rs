//! The users that match filters: their number, and pages of them.
//!
//! SQL applies the filters on plain columns. A name, an address and a part of one are found by keyed hashes,
//! decrypted and compared here ([`super::search`]); an order by one of them is made in memory ([`super::order`]).

use shared::identifiers::Identifier;
use shared::ids::{self, TenantId};
use shared::user::UserStatus;
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use super::filters::{ClearKey, Filters, Key, Listed};
use super::input::STATUSES;
use super::model::{ListError, User, UserError};
use super::order::{TO_ORDER, in_memory};
use super::search::index::{self, Index};
use super::search::rebuild;
use super::search::words::{Texts, Words};
use super::store::{briefs, find_by_name, select};
use super::visibility::Permitted;
use crate::branches;
use crate::crypt::personal::Personal;
use crate::db::{Scope, TenantTx};
use crate::failure::Failure;
use crate::http::list::List as _;
use crate::http::rows::{self, COUNTED, Column as _, Count, Rows, plan_by_values};

/// Candidates of a search that are opened before anything else is done. Of more, those that are shown are.
const OPENED: i64 = 2_000;
/// Candidates that are opened for an exact count, where that is asked for.
const OPENED_TO_COUNT: i64 = 100_000;
/// Candidates that are in memory at a time while they are counted.
const PART: usize = 1_000;

/// Filters in terms of the rows of users.
#[derive(Clone, Default)]
pub struct Matching {
    filters: Filters,
    /// The branches whose users the caller may see; absent: all users.
    within: Option<Vec<Uuid>>,
    /// The branches of the filter `branch_within`.
    of_branches: Option<Vec<Uuid>>,
    /// The only ones that can be meant, where that is known.
    among: Option<Vec<Uuid>>,
    /// A search that found too many to open them all.
    candidates: Option<Candidates>,
}

/// Users with the search tokens of the words: candidates, of which [`Words::are_in`] finds those that have the words.
#[derive(Clone)]
struct Candidates {
    tokens: Vec<i64>,
    words: Words,
}

impl Matching {
    /// Resolves a user name, an address or a part of one, in the caller's transaction.
    ///
    /// # Errors
    /// [`ListError::Rebuilding`] while the search index is not complete: the job that completes it is enqueued. Else
    /// errors of the database.
    pub async fn of(mut tx: TenantTx, permitted: Permitted<Filters>) -> Result<(Self, TenantTx), ListError> {
        match Self::found(&mut tx, permitted.filters().clone()).await {
            Ok(matching) => Ok((matching, tx)),
            Err(ListError::Rebuilding) => {
                rebuild::ask(tx).await?;
                Err(ListError::Rebuilding)
            }
            Err(other) => Err(other),
        }
    }

    /// A user name or an address is found by the keyed hash of its canonical form: there is no other index of
    /// either, and no other notion of which spellings are the same.
    async fn found(tx: &mut TenantTx, filters: Filters) -> Result<Self, ListError> {
        let mut among = None;
        if let Some(username) = &filters.username {
            among = Some(named(tx, username, |user| Some(user.username.expose())).await?);
        }
        if let Some(email) = &filters.email {
            let found = named(tx, email, |user| user.email.as_ref().map(Personal::expose));
            let found = found.await?;
            among = Some(match among {
                None => found,
                Some(among) => among.into_iter().filter(|id| found.contains(id)).collect(),
            });
        }
        let mut candidates = None;
        if !filters.search.is_empty() {
            let words = Words::new(filters.search.clone());
            match &among {
                Some(few) => among = Some(holding(tx, &words, few).await?),
                None => match searched(tx, words).await? {
                    Ok(found) => among = Some(found),
                    Err(many) => candidates = Some(many),
                },
            }
        }
        let within = match tx.scope().clone() {
            Scope::Everyone => None,
            Scope::Within(roots) => Some(branches::store::below(tx, &roots).await?),
        };
        let of_branches = match filters.branch_within {
            None => None,
            Some(root) => Some(branches::store::below(tx, &[root]).await?),
        };
        Ok(Self { filters, within, of_branches, among, candidates })
    }

    /// The column of their ids.
    fn id(&self) -> &'static str {
        let of_role = self.filters.role.is_some();
        Listed { key: ClearKey::Id, of_role }.column().0
    }

    /// Whether a row that [`list`] found is one of the list: a candidate may turn out not to be.
    #[must_use]
    pub fn holds(&self, user: &User) -> bool {
        self.candidates.as_ref().is_none_or(|it| {
            let email = user.email.as_ref().map(Personal::expose);
            let (first, last) = (user.first_name.expose(), user.last_name.expose());
            it.words.are_in(&Texts::of(user.username.expose(), email, first, last))
        })
    }
}

/// The user whose `field` is `text` in any spelling, if there is one. User names and addresses share one namespace,
/// so the user that is found may have the text in the other field.
async fn named(
    tx: &mut TenantTx,
    text: &str,
    field: impl for<'u> Fn(&'u User) -> Option<&'u str>,
) -> Result<Vec<Uuid>, Failure> {
    let user = match find_by_name(tx, text).await {
        Ok(user) => user,
        Err(UserError::Failure(failure)) => return Err(failure),
        Err(_) => return Ok(Vec::new()),
    };
    let same = |a: &str, b: &str| match (Identifier::parse(a), Identifier::parse(b)) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    };
    let meant = field(&user).is_some_and(|stored| same(stored, text));
    Ok(if meant { vec![user.id.uuid()] } else { Vec::new() })
}

/// The users that have these words; or the candidates, if they are too many to decrypt.
async fn searched(tx: &mut TenantTx, words: Words) -> Result<Result<Vec<Uuid>, Candidates>, ListError> {
    let index = Index::of(tx).await?;
    if !index::is_complete(tx).await? {
        return Err(ListError::Rebuilding);
    }
    let tokens = index.tokens(words.pieces());
    plan_by_values(tx).await?;
    let found = index::candidates(tx, &tokens, OPENED + 1).await?;
    if i64::try_from(found.len()).is_ok_and(|found| found <= OPENED) {
        Ok(Ok(holding(tx, &words, &found).await?))
    } else {
        Ok(Err(Candidates { tokens, words }))
    }
}

/// Those of these users who are found by the words.
async fn holding(tx: &mut TenantTx, words: &Words, ids: &[Uuid]) -> Result<Vec<Uuid>, Failure> {
    let users = briefs(tx, ids).await?;
    Ok(users.iter().filter(|user| words.are_in(&user.texts())).map(|user| user.id.uuid()).collect())
}

/// Whether a statement reads the candidates of a search without a join. In a join with the users, whose rows are
/// under row-level security, PostgreSQL cannot use the index of the candidates: that is fine for a page, which ends
/// soon in the order of the users, but a count would read the tokens of every user.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fence {
    Set,
    None,
}

/// ` from users` with the conditions of the filters. A filter by a role begins at those who have it, in an index that
/// has the order of the list; where nothing else is asked of their rows, PostgreSQL does not look at them.
fn from(sql: &mut QueryBuilder<Postgres>, tenant: TenantId, matching: &Matching, fence: Fence) {
    let Matching { filters, within, of_branches, among, candidates } = matching;
    match &filters.role {
        None => sql.push(" from users u\nwhere u.tenant_id = ").push_bind(tenant.uuid()),
        Some(role) => {
            sql.push(
                " from user_roles ur\nleft join users u on u.tenant_id = ur.tenant_id and u.id = ur.user_id",
            );
            sql.push("\nwhere ur.tenant_id = ").push_bind(tenant.uuid());
            sql.push(" and ur.role = ").push_bind(role.clone())
        }
    };
    // By their ids, so that the planner knows how many users they have.
    for branches in [within, of_branches].into_iter().flatten() {
        sql.push("\nand u.branch = any (").push_bind(branches.clone()).push(")");
    }
    match filters.branch {
        None => {}
        Some(None) => drop(sql.push("\nand u.branch is null")),
        Some(Some(branch)) => drop(sql.push("\nand u.branch = ").push_bind(branch)),
    }
    if let Some(among) = among {
        sql.push("\nand u.id = any (").push_bind(among.clone()).push(")");
    }
    if let Some(candidates) = candidates {
        sql.push("\nand u.id in (select s.user_id from search_tokens s where s.tenant_id = ");
        sql.push_bind(tenant.uuid()).push(" and s.tokens @> ");
        sql.push_bind(candidates.tokens.clone());
        sql.push(if fence == Fence::Set { " offset 0)" } else { ")" });
    }
    if let Some(status) = filters.status {
        sql.push("\nand u.status = ").push_bind(status.as_str());
    }
    match filters.is_active {
        None => {}
        Some(true) => {
            sql.push("\nand u.status = ").push_bind(UserStatus::Active.as_str());
        }
        Some(false) => {
            let others = STATUSES.iter().filter(|(_, status)| *status != UserStatus::Active);
            let others: Vec<&str> = others.map(|(word, _)| *word).collect();
            sql.push("\nand u.status = any (").push_bind(others).push(")");
        }
    }
    if let Some(verified) = filters.email_verified {
        sql.push("\nand u.email_verified = ").push_bind(verified);
    }
    if let Some(enabled) = filters.mfa_enabled {
        sql.push(if enabled { "\nand exists (" } else { "\nand not exists (" });
        sql.push(
            "select from authenticators a
             where a.tenant_id = u.tenant_id and a.user_id = u.id and a.confirmed_at is not null)",
        );
    }
    if let Some(percent) = filters.profile_completion_lt {
        sql.push("\nand u.profile_completion < ").push_bind(i16::from(percent));
    }
    if let Some(id) = &filters.legacy_id {
        sql.push("\nand u.legacy_id = any (").push_bind(spellings(id)).push(")");
    }
    if let Some(after) = filters.created_after {
        sql.push("\nand u.created_at >= ").push_bind(after);
    }
    if let Some(before) = filters.created_before {
        sql.push("\nand u.created_at <= ").push_bind(before);
    }
}

/// The ids of users who match, without an end.
fn ids(begin: &'static str, tenant: TenantId, matching: &Matching) -> QueryBuilder<Postgres> {
    let mut sql = QueryBuilder::new(begin);
    sql.push("select ").push(matching.id());
    from(&mut sql, tenant, matching, Fence::None);
    sql
}

/// How the legacy service may have written an id: a UUID, hyphenated or not.
fn spellings(id: &str) -> Vec<String> {
    let mut spellings = vec![id.to_owned()];
    if let Ok(uuid) = ids::uuid(id) {
        spellings.extend([uuid.hyphenated().to_string(), uuid.simple().to_string()]);
    }
    spellings
}

/// How many users match; `all` counts them, however many. Of a search with too many candidates to open the number is an
/// estimate where their tokens do not decide it or they are more than are counted, unless `all` asks for it and they are
/// not too many for that.
///
/// # Errors
/// Errors of the database.
pub async fn count(tx: &mut TenantTx, matching: &Matching, all: bool) -> Result<Count, Failure> {
    // An estimate is made of statistics about all users of the tenant, of whom the caller may see a part.
    let counts_rows = all || matching.within.is_some();
    let tenant = tx.tenant();
    plan_by_values(tx).await?;
    let undecided = matching.candidates.as_ref().filter(|it| !it.words.are_pieces());
    if let Some(candidates) = matching.candidates.as_ref().filter(|_| !counts_rows) {
        let found = index::count(tx, &candidates.tokens, COUNTED + 1).await?;
        if undecided.is_some() || found > COUNTED {
            let least = if matching.filters.only_search() { found } else { 0 };
            return rows::estimate(tx, least, |sql| from(sql, tenant, matching, Fence::Set)).await;
        }
    }
    let counted = rows::count(tx, counts_rows, |sql| from(sql, tenant, matching, Fence::Set)).await?;
    match (undecided, counted) {
        (None, _) | (_, Count::Estimate(_) | Count::Opened { .. }) => Ok(counted),
        (Some(candidates), Count::Exact(rows)) if all && rows <= OPENED_TO_COUNT => {
            let count = count_opened(tx, matching, &candidates.words).await?;
            Ok(if count == rows { counted } else { Count::Opened { count, rows } })
        }
        (Some(_), Count::Exact(rows)) => Ok(Count::Estimate(rows)),
    }
}

/// Opens all candidates, part by part, and counts those that hold.
async fn count_opened(tx: &mut TenantTx, matching: &Matching, words: &Words) -> Result<i64, Failure> {
    let mut sql = ids("declare candidates no scroll cursor for ", tx.tenant(), matching);
    sql.build().persistent(false).execute(&mut **tx).await?;
    let fetch = format!("fetch {PART} from candidates");
    let mut count = 0;
    loop {
        let ids: Vec<Uuid> = sqlx::query_scalar(sqlx::AssertSqlSafe(fetch.clone()))
            .persistent(false)
            .fetch_all(&mut **tx)
            .await?;
        count += i64::try_from(holding(tx, words, &ids).await?.len()).unwrap_or(0);
        if ids.len() < PART {
            break;
        }
    }
    sqlx::raw_sql("close candidates").execute(&mut **tx).await?;
    Ok(count)
}

/// Some of the users that match, including candidates that [`Matching::holds`] must check.
///
/// # Errors
/// [`ListError::TooManyToOrder`] for an order that must be made in memory, of more users than its limit; else errors
/// of the database.
pub async fn list(tx: &mut TenantTx, matching: &Matching, rows: &Rows<Key>) -> Result<Vec<User>, ListError> {
    plan_by_values(tx).await?;
    let of_role = matching.filters.role.is_some();
    let ids = match rows.by(|key| key.clear().map(|key| Listed { key, of_role })) {
        Some(rows) => {
            let mut sql = ids("", tx.tenant(), matching);
            rows.end(&mut sql, matching.id());
            sql.build_query_scalar().fetch_all(&mut **tx).await.map_err(Failure::from)?
        }
        None => {
            // One more shows that there are too many.
            let mut sql = ids("", tx.tenant(), matching);
            sql.push("\nlimit ").push_bind(TO_ORDER + 1);
            let ids = sql.build_query_scalar().fetch_all(&mut **tx).await.map_err(Failure::from)?;
            in_memory(tx, ids, rows).await?
        }
    };
    Ok(select(tx, &ids).await?)
}

/// A page of users by number, oldest first.
#[must_use]
pub fn in_order(limit: i64, offset: i64) -> Rows<Key> {
    Rows { order: vec![Filters::DEFAULT], after: None, limit, offset }
}

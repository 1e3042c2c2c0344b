//! `wardgate user list`: with the filters and orders of the API, a page of it or all of it.

use clap::builder::PossibleValuesParser;
use serde_json::{Map, Value};

use super::branch::named;
use super::outcome::{CliError, bad_arguments};
use super::roles::roles_exist;
use super::show::{Beyond, Rows as Table, Show, counted};
use crate::control::Control;
use crate::db::TenantTx;
use crate::http::list::given;
use crate::http::rows::{Count, Order, Rows, position};
use crate::tenants::Tenant;
use crate::users::filters::Key;
use crate::users::visibility::Permitted;
use crate::users::{self, Filters, Matching, STATUSES, User, UserOut, Viewer};

pub(super) const EXAMPLES: &str = "\
A page has 100 users; the last line has the total. --all reads in batches, so memory use stays constant.

Examples:
  wardgate user list --tenant acme --role staff --ordering=-last_login
  wardgate user list --tenant acme --search lovelace
  wardgate user list --tenant acme --all --json > users.json";

/// Users of one batch of --all.
const PART: i64 = 500;

#[derive(clap::Args)]
pub(super) struct ListArgs {
    /// Only users with this status.
    #[arg(long, value_parser = PossibleValuesParser::new(STATUSES.map(|(word, _)| word)))]
    status: Option<String>,
    /// Only users with this role.
    #[arg(long)]
    role: Option<String>,
    /// Only users in this branch, by path or id; `none` for users in no branch.
    #[arg(long)]
    branch: Option<String>,
    /// Only users in this branch or below it.
    #[arg(long, value_name = "BRANCH")]
    branch_within: Option<String>,
    /// Only the user with this user name, in any Unicode spelling and case.
    #[arg(long)]
    username: Option<String>,
    /// Only the user with this address, in any Unicode spelling and case.
    #[arg(long)]
    email: Option<String>,
    /// Only users whose address is verified, or is not.
    #[arg(long, value_name = "BOOL", value_parser = ["true", "false"])]
    email_verified: Option<String>,
    /// Only users whose profile is complete to less than this percentage.
    #[arg(long, value_name = "PERCENT")]
    profile_completion_lt: Option<String>,
    /// Only users created at this time or later: 2026-12-20, or 2026-12-20T08:00:00Z.
    #[arg(long, value_name = "TIME")]
    created_after: Option<String>,
    /// Only users created at this time or earlier.
    #[arg(long, value_name = "TIME")]
    created_before: Option<String>,
    /// Only users with these words in user name, address, first or last name; words of one or two letters at the
    /// beginning of a word there.
    #[arg(long, value_name = "WORDS")]
    search: Option<String>,
    /// One or more of id, username, email, date_joined and last_login, separated by commas; a hyphen reverses the order:
    /// --ordering=-last_login. By username or email at most 10,000 users can be ordered.
    #[arg(long, value_name = "FIELDS", allow_hyphen_values = true)]
    ordering: Option<String>,
    /// The page, from 1.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(i64).range(1..=1_000_000_000))]
    page: i64,
    /// Users on a page.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=1000))]
    page_size: i64,
    /// List all users.
    #[arg(long, conflicts_with_all = ["page", "page_size"])]
    all: bool,
}

const USERS: Table<UserOut> = Table {
    names: ["user", "users"],
    head: &["username", "email", "status", "roles", "id"],
    line: UserOut::line,
};

impl ListArgs {
    /// The same with ids in place of the paths of branches.
    async fn with_branch_ids(mut self, tx: &mut TenantTx) -> Result<Self, CliError> {
        for option in [&mut self.branch, &mut self.branch_within] {
            if let Some(branch) = option.as_deref().filter(|branch| *branch != "none") {
                *option = Some(named(tx, branch).await?.id.to_string());
            }
        }
        Ok(self)
    }

    /// What is asked for, read as the API reads it.
    fn asked(&self) -> Result<(Filters, Vec<Order<Key>>), CliError> {
        let fields = [
            ("status", &self.status),
            ("role", &self.role),
            ("branch", &self.branch),
            ("branch_within", &self.branch_within),
            ("username", &self.username),
            ("email", &self.email),
            ("email_verified", &self.email_verified),
            ("profile_completion_lt", &self.profile_completion_lt),
            ("created_after", &self.created_after),
            ("created_before", &self.created_before),
            ("search", &self.search),
            ("ordering", &self.ordering),
        ];
        let fields =
            fields.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text.clone()?.into())));
        given::<Filters>(fields.collect::<Map<String, Value>>()).map_err(bad_arguments)
    }
}

pub(super) async fn run(
    control: &Control,
    show: Show,
    tenant: &Tenant,
    args: ListArgs,
) -> Result<(), CliError> {
    let mut tx = control.db.tenant_tx(tenant.id).await?;
    let args = args.with_branch_ids(&mut tx).await?;
    let (filters, order) = args.asked()?;
    if let Some(role) = &filters.role {
        roles_exist(&mut tx, std::slice::from_ref(role)).await?;
    }
    let permitted = Viewer::operator().permits(filters, &order);
    let permitted = permitted.map_err(|refusal| CliError::Refused(refusal.body.to_string()))?;
    if args.all {
        drop(tx);
        return all(control, show, tenant, permitted, order).await;
    }
    let (matching, tx) = Matching::of(tx, permitted).await?;
    page(tx, show, &matching, order, &args).await
}

async fn page(
    mut tx: TenantTx,
    show: Show,
    matching: &Matching,
    order: Vec<Order<Key>>,
    args: &ListArgs,
) -> Result<(), CliError> {
    let count = users::count(&mut tx, matching, true).await?;
    let pages = ((count.rows() + args.page_size - 1) / args.page_size).max(1);
    let total = u64::try_from(count.number()).unwrap_or(0);
    if args.page > pages {
        let users = counted(total, USERS.names);
        return Err(CliError::NotFound(format!(
            "there is no page {}: the last of {users} is {pages}",
            args.page
        )));
    }
    let rows = Rows { order, after: None, limit: args.page_size, offset: args.page_size * (args.page - 1) };
    let found = users::list(&mut tx, matching, &rows).await?;
    let mut listing = show.listing(&USERS);
    if listing.part(&out(matching, found)) {
        let next = (args.page < pages).then_some(args.page + 1);
        let is_estimate = matches!(count, Count::Estimate(_));
        listing.end(Some(Beyond { count: total, is_estimate, next }));
    }
    Ok(())
}

/// Each part in a transaction of its own: a slow reader of our output holds none open. So each part is searched for,
/// since the index may have another key by then.
async fn all(
    control: &Control,
    show: Show,
    tenant: &Tenant,
    permitted: Permitted<Filters>,
    order: Vec<Order<Key>>,
) -> Result<(), CliError> {
    let mut listing = show.listing(&USERS);
    let mut after = None;
    loop {
        let tx = control.db.tenant_tx(tenant.id).await?;
        let (matching, mut tx) = Matching::of(tx, permitted.clone()).await?;
        let rows = Rows { order: order.clone(), after, limit: PART, offset: 0 };
        let found = users::list(&mut tx, &matching, &rows).await?;
        drop(tx);
        after = found.last().map(|user| position(user, &order));
        if !listing.part(&out(&matching, found)) {
            return Ok(());
        }
        if after.is_none() {
            listing.end(None);
            return Ok(());
        }
    }
}

fn out(matching: &Matching, users: Vec<User>) -> Vec<UserOut> {
    let held = users.into_iter().filter(|user| matching.holds(user));
    held.map(|user| Viewer::operator().shows(user)).collect()
}

//! `wardgate tenant list`: with the filters and orders of the API.

use serde_json::{Map, Value};

use super::outcome::{CliError, bad_arguments};
use super::show::{Rows, Show};
use crate::control::Control;
use crate::http::list::given;
use crate::tenants::{self, TenantOut};

pub(super) const EXAMPLES: &str = "\
Examples:
  wardgate tenant list --json
  wardgate tenant list --search acme --status suspended
  wardgate tenant list --host acme.example
  wardgate tenant list --ordering=-updated_at,slug";

const TENANTS: Rows<TenantOut> = Rows {
    names: ["tenant", "tenants"],
    head: &["slug", "status", "issuer", "id"],
    line: |row| vec![row.slug.to_string(), row.status.to_owned(), row.issuer.clone(), row.id.to_string()],
};

#[derive(clap::Args)]
pub(super) struct ListArgs {
    /// Only tenants in this state: provisioning, active or suspended.
    #[arg(long)]
    status: Option<String>,
    /// Only the tenant with this slug.
    #[arg(long)]
    slug: Option<String>,
    /// Only the tenant with this host, in Unicode or as A-labels.
    #[arg(long)]
    host: Option<String>,
    /// Only tenants whose users are stored in a schema of their own (`schema`) or in the shared one (`shared`).
    #[arg(long)]
    isolation: Option<String>,
    /// Only tenants created at this time or later: 2026-12-20, or 2026-12-20T08:00:00Z.
    #[arg(long, value_name = "TIME")]
    created_after: Option<String>,
    /// Only tenants created at this time or earlier.
    #[arg(long, value_name = "TIME")]
    created_before: Option<String>,
    /// Only tenants with these words in name, slug or hosts.
    #[arg(long, value_name = "WORDS")]
    search: Option<String>,
    /// One or more of id, slug, name, status, isolation, created_at and updated_at, separated by commas; a hyphen reverses
    /// the order: --ordering=-updated_at.
    #[arg(long, value_name = "FIELDS", allow_hyphen_values = true)]
    ordering: Option<String>,
}

pub(super) async fn run(control: &Control, show: Show, args: ListArgs) -> Result<(), CliError> {
    let fields = [
        ("status", args.status),
        ("slug", args.slug),
        ("host", args.host),
        ("isolation", args.isolation),
        ("created_after", args.created_after),
        ("created_before", args.created_before),
        ("search", args.search),
        ("ordering", args.ordering),
    ];
    let fields = fields.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?.into())));
    let (filters, order) =
        given::<tenants::Filters>(fields.collect::<Map<String, Value>>()).map_err(bad_arguments)?;
    let mut connection = control.db.app().acquire().await?;
    let tenants = tenants::filters::all(&mut connection, &filters, order).await?;
    let rows: Vec<_> = tenants.into_iter().map(TenantOut::new).collect();
    show.list(&TENANTS, &rows);
    Ok(())
}

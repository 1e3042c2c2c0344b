//! `wardgate user invite|invitations|revoke-invitation`.

use serde::Serialize;

use super::branch::chosen;
use super::outcome::CliError;
use super::roles::roles_exist;
use super::show::{Rows, Show};
use crate::accounts::invitations::{self, Invitation, Invited};
use crate::accounts::{AccountError, answer};
use crate::audit::Actor;
use crate::control::Control;
use crate::http::time;
use crate::requests::{RequestId, RequestKind};
use crate::tenants::Tenant;

pub(super) const EXAMPLES: &str = "Example:
  wardgate user invite grace@acme.example --tenant acme --role staff --language de";

#[derive(clap::Args)]
pub(super) struct InviteArgs {
    /// The address of the invitation and of the account.
    email: String,
    /// A role; may be repeated. Default: `client`.
    #[arg(long = "role", default_value = "client")]
    roles: Vec<String>,
    /// The path or id of the branch that the user will be in.
    #[arg(long)]
    branch: Option<String>,
    /// The language of the mail: a tag such as `de`. Default: the tenant's.
    #[arg(long, default_value = "")]
    language: String,
}

/// The output for one invitation.
#[derive(Serialize)]
struct Shown {
    id: String,
    email: String,
    roles: Vec<String>,
    branch: Option<String>,
    invited_by: Option<String>,
    created_at: String,
    expires_at: String,
}

const INVITATIONS: Rows<Shown> = Rows {
    names: ["invitation", "invitations"],
    head: &["email", "roles", "expires at", "id"],
    line: |row| vec![row.email.clone(), row.roles.join(", "), row.expires_at.clone(), row.id.clone()],
};

impl Shown {
    fn of(invitation: &Invitation) -> Self {
        Self {
            id: invitation.id.to_string(),
            email: invitation.invited().email.clone(),
            roles: invitation.invited().roles.clone(),
            branch: invitation.invited().branch.map(|id| id.to_string()),
            invited_by: invitation.by().map(|id| id.to_string()),
            created_at: time::text(invitation.created_at),
            expires_at: time::text(invitation.expires_at),
        }
    }
}

pub(super) async fn invite(
    control: &Control,
    show: Show,
    tenant: &Tenant,
    args: InviteArgs,
) -> Result<(), CliError> {
    let InviteArgs { email, roles, branch, language } = args;
    let language = shared::language::canonical(&language).map_err(|_| {
        CliError::Refused(format!("`{language}` is no language tag: expected one like de or pt-BR"))
    })?;
    let mut tx = control.db.tenant_tx(tenant.id).await?;
    roles_exist(&mut tx, &roles).await?;
    let branch = match &branch {
        None => None,
        Some(branch) => chosen(&mut tx, branch).await?,
    };
    let invited = Invited { email, username: None, roles, branch, language };
    let invitation = invitations::put(control, &mut tx, &Actor::operator(), invited).await?;
    answer::soon(&mut tx, RequestKind::Invitation, invitation.id).await?;
    tx.commit().await?;
    let shown = Shown::of(&invitation);
    show.one(&shown, &format!("invited: {} until {} ({})", shown.email, shown.expires_at, shown.id));
    Ok(())
}

pub(super) async fn list(control: &Control, show: Show, tenant: &Tenant) -> Result<(), CliError> {
    let mut tx = control.db.tenant_tx(tenant.id).await?;
    let open = invitations::list(control, &mut tx).await?;
    show.list(&INVITATIONS, &open.iter().map(Shown::of).collect::<Vec<_>>());
    Ok(())
}

pub(super) async fn revoke(control: &Control, show: Show, tenant: &Tenant, id: &str) -> Result<(), CliError> {
    let parsed = RequestId::parse(id).ok_or(AccountError::NotFound)?;
    let mut tx = control.db.tenant_tx(tenant.id).await?;
    let invitation = invitations::revoke(control, &mut tx, &Actor::operator(), parsed).await?;
    tx.commit().await?;
    let shown = Shown::of(&invitation);
    show.one(&shown, &format!("revoked: {} ({})", shown.email, shown.id));
    Ok(())
}

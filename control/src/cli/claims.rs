//! `wardgate tenant claims` and `set-...`: what a tenant's tokens say of it. Others have stored it, so a change
//! says first what breaks.

use super::confirm::Yes;
use super::outcome::CliError;
use super::show::Show;
use super::target::{made_tenant, tenant_named};
use crate::audit::Actor;
use crate::control::Control;
use crate::http::time;
use crate::legacy::service::form_text;
use crate::tenants::claims::change::{self, Change};
use crate::tenants::routes::claims::ClaimsOut;
use crate::tenants::{Tenant, TenantError};
use shared::contract::limits::FORMER_CLAIMS_SECS;

pub(super) async fn show(control: &Control, show: Show, name: &str) -> Result<(), CliError> {
    print(show, tenant_named(control, name).await?);
    Ok(())
}

pub(super) async fn set(
    control: &Control,
    show: Show,
    name: &str,
    wanted: Change,
    yes: Yes,
) -> Result<(), CliError> {
    let tenant = made_tenant(control, name).await?;
    let breaks = breaks(&tenant, &wanted);
    if breaks.is_empty() {
        print(show, tenant);
        return Ok(());
    }
    for line in breaks {
        show.note(&line);
    }
    yes.to(&format!("changes what others have stored of tenant `{}`", tenant.slug))?;
    let mut tx = control.db.tenant_tx(tenant.id).await?;
    let changed = change::change(control, &mut tx, &Actor::operator(), tenant.id, wanted).await;
    let tenant = changed.map_err(|error| match error {
        TenantError::WrongState => CliError::Refused(format!("tenant `{}` is still being made", tenant.slug)),
        other => other.into(),
    })?;
    tx.commit().await?;
    print(show, tenant);
    Ok(())
}

/// What a change breaks, a line each; nothing where nothing changes.
fn breaks(tenant: &Tenant, change: &Change) -> Vec<String> {
    let mut lines = Vec::new();
    let mut compared = |claim: &str, from: &str, to: &str| {
        lines.push(format!(
            "{claim} of every token that `{}` issues from now on: {to} (until now {from}).",
            tenant.slug
        ));
        lines.push(format!(
            "- Services that compare `{claim}` refuse those tokens until they are configured. Make them accept both first."
        ));
        lines.push(format!(
            "- Wardgate accepts existing tokens until they expire, for at most {} minutes after the edge has the change. No session ends.",
            FORMER_CLAIMS_SECS / 60
        ));
    };
    if let Some(issuer) = change.issuer.as_ref().filter(|issuer| **issuer != tenant.issuer) {
        compared("iss", &tenant.issuer, issuer);
    }
    if let Some(audience) = change.audience.as_ref().filter(|audience| **audience != tenant.audience) {
        let from = tenant.audience.as_deref().unwrap_or("none");
        compared("aud", from, audience.as_deref().unwrap_or("none"));
    }
    if let Some(form) = change.user_id.filter(|form| *form != tenant.legacy.user_id) {
        let (from, to) = (form_text(tenant.legacy.user_id), form_text(form));
        lines.push(format!(
            "user_id of every token that `{}` issues from now on: {to} (until now {from}).",
            tenant.slug
        ));
        lines.push(String::from(
            "- Services that store it meet their users under other ids. Existing tokens keep their form.",
        ));
    }
    if let Some(issuer) = change.issuer.as_ref().filter(|issuer| **issuer != tenant.issuer) {
        lines.extend(issuer_without_host(tenant, issuer));
    }
    lines
}

/// Side effects of an edit of hosts or settings, one line each.
pub(super) fn warnings(before: &Tenant, after: &Tenant) -> Vec<String> {
    let mut lines = Vec::new();
    if before.hosts != after.hosts {
        lines.extend(issuer_without_host(after, &after.issuer));
    }
    if before.settings.cookies != after.settings.cookies {
        lines.push(String::from(
            "the cookies have other names from now on: every browser has to sign in again.",
        ));
    }
    lines
}

/// Where an issuer names a host that is not the tenant's, its keys are served elsewhere.
fn issuer_without_host(tenant: &Tenant, issuer: &str) -> Option<String> {
    let url = reqwest::Url::parse(issuer).ok()?;
    let host = url.host_str()?;
    let own = tenant.hosts.iter().any(|own| own.as_str() == host);
    let of_path = url.path().trim_end_matches('/') == format!("/t/{}", tenant.slug);
    (!own && !of_path).then(|| {
        format!(
            "the issuer {issuer} names no host of the tenant: verifiers that fetch its keys by the issuer need another address."
        )
    })
}

fn print(show: Show, tenant: Tenant) {
    let slug = tenant.slug.clone();
    let out = ClaimsOut::from(tenant);
    let audience = out.audience.as_deref().unwrap_or("none");
    let mut lines = vec![format!("{slug}: iss {}; aud {audience}; user_id {}", out.issuer, out.user_id)];
    for former in &out.former {
        let audience = former.audience.as_deref().unwrap_or("none");
        let accepted = match former.until {
            Some(until) => format!("accepted until {}", time::text(until)),
            None => String::from("accepted, the edge has yet to confirm the change"),
        };
        lines.push(format!("  {accepted}: iss {}; aud {audience}", former.issuer));
    }
    show.one(&out, &lines.join("\n"));
}

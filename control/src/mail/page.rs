//! Where the link of a mail leads. The tenant's settings or its host say it, and never a header of a request.

use shared::tenant::settings::Settings;

use crate::control::Control;
use crate::links::{LinkKind, LinkToken};
use crate::tenants::Tenant;
use crate::tenants::claims::default_issuer;

/// The page of a kind: the one that the tenant's settings name, else a plain one that control serves.
#[must_use]
pub fn page(control: &Control, tenant: &Tenant, kind: LinkKind) -> String {
    match chosen(&tenant.settings, kind) {
        Some(url) => url.to_owned(),
        None => format!("{}/account/{}/", base(control, tenant), kind.as_str()),
    }
}

/// The page with the token where no server and no log sees it: in the fragment.
#[must_use]
pub fn link(control: &Control, tenant: &Tenant, (kind, token): &(LinkKind, LinkToken)) -> String {
    format!("{}#token={}", page(control, tenant, *kind), token.expose())
}

/// The URL at which a tenant's users reach it: what its issuer would be by default, whatever it is.
#[must_use]
pub fn base(control: &Control, tenant: &Tenant) -> String {
    default_issuer(&tenant.slug, &tenant.hosts, &control.settings.http.shared_origin)
}

fn chosen(settings: &Settings, kind: LinkKind) -> Option<&str> {
    let url = match kind {
        LinkKind::Verify => &settings.verify_url,
        LinkKind::Reset => &settings.reset_url,
        LinkKind::Invite => &settings.invite_url,
        LinkKind::Address => &settings.address_url,
        LinkKind::Undo => &settings.undo_url,
        LinkKind::Network => &None,
    };
    url.as_ref().map(|url| url.as_str())
}

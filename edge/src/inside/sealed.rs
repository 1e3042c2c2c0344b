//! Checks whether this edge can unseal the values of a push.
//!
//! Control seals under one key-encryption key at a time. If this edge does not have that key, or has other bytes
//! under the same id, the tenant would be unusable here after the push. So the push is refused, and the present rows
//! stay.

use shared::ids::TenantId;
use shared::tenant::{Root, Tenant};
use shared::wire::push::Push;
use shared::wire::seal::{Context, Kind, Sealed};

use crate::settings::Settings;

/// Whether every sealed value names a key of this edge, and the roots, the secret of the CAPTCHA and the first value
/// of each kind of the users' values can be unsealed: control uses one key, so one verifier stands for all.
#[must_use]
pub fn opens_here(push: &Push, settings: &Settings) -> bool {
    let document = push.document.as_ref().map(|row| &row.document);
    let keys =
        document.iter().flat_map(|document| document.keys.iter().filter_map(|key| key.sealed.as_deref()));
    let verifiers = || push.users.iter().filter_map(|user| Some((user.id, user.verifier.as_deref()?)));
    let seeds =
        || push.users.iter().flat_map(|user| user.authenticators.iter().map(|it| (it.id, it.seed.as_str())));
    let recovery =
        || push.users.iter().filter_map(|user| Some((user.id, user.recovery.as_ref()?.key.as_str())));
    let mut texts = keys
        .chain(verifiers().map(|(_, text)| text))
        .chain(seeds().map(|(_, text)| text))
        .chain(recovery().map(|(_, text)| text));
    let firsts = [
        verifiers().next().map(|(id, text)| (Kind::Verifier, id.to_string(), text)),
        seeds().next().map(|(id, text)| (Kind::TotpSeed, id.to_string(), text)),
        recovery().next().map(|(id, text)| (Kind::RecoveryKey, id.to_string(), text)),
    ];
    let firsts_open = firsts
        .into_iter()
        .flatten()
        .all(|(kind, subject, text)| opens(text, push.tenant, (kind, &subject), settings));
    firsts_open
        && texts.all(|text| is_known(text, settings))
        && document.is_none_or(|document| roots_open(document, settings) && captcha_opens(document, settings))
}

fn captcha_opens(tenant: &Tenant, settings: &Settings) -> bool {
    tenant.captcha.as_ref().is_none_or(|captcha| {
        let url = captcha.policy.verify_url.as_str();
        opens(&captcha.secret, tenant.id, (Kind::CaptchaSecret, url), settings)
    })
}

fn roots_open(tenant: &Tenant, settings: &Settings) -> bool {
    let lookup = std::iter::once(&tenant.lookup_root).chain(&tenant.former_lookup_root);
    let lookup = lookup.map(|Root { version, sealed }| (Kind::LookupRoot, *version, sealed));
    let sessions = tenant.session_roots.iter().map(|root| (Kind::SessionRoot, root.version, &root.sealed));
    sessions
        .chain(lookup)
        .all(|(kind, version, sealed)| opens(sealed, tenant.id, (kind, &version.to_string()), settings))
}

/// A value in the form of a later release is no reason to refuse: its reader judges it.
fn is_known(text: &str, settings: &Settings) -> bool {
    let is_ours = |sealed: Sealed| settings.edge_keys.iter().any(|key| key.id() == sealed.key_id());
    Sealed::parse(text).map_or(true, is_ours)
}

fn opens(text: &str, tenant: TenantId, (kind, subject): (Kind, &str), settings: &Settings) -> bool {
    let context = Context { edge: &settings.edge_id, tenant, kind, subject };
    Sealed::parse(text).map_or(true, |sealed| sealed.open(&settings.edge_keys, &context).is_ok())
}

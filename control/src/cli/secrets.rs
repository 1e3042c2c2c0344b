//! `wardgate secrets`: new secrets for a deployment, in the form of the settings of control and Worker.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use shared::wire::signature::ServiceKey;
use zeroize::Zeroizing;

use super::outcome::CliError;
use super::show::Show;
use crate::world::random;

pub(super) const EXAMPLES: &str = "\
Nothing is stored: put the output into your secret store. Needs no settings and no database.

Examples:
  wardgate secrets
  wardgate secrets --name 2027      # other key ids, so that a second set can be used beside the first";

pub(super) fn run(show: Show, name: &str) -> Result<(), CliError> {
    let edge_kek = key("edge-kek", name)?;
    let edge_service = key("edge-service", name)?;
    let control_service = key("control-service", name)?;
    let control_kek = key("control-kek", name)?;
    let checkpoint = key("audit", name)?;
    let (edge_public, control_public) = (public(&edge_service)?, public(&control_service)?);
    let checkpoint_public = public(&checkpoint)?;
    let text = Zeroizing::new(format!(
        "# control: environment, or the same settings in the file\n\
         WARDGATE_EDGE_KEK={0}\nWARDGATE_EDGE_PUBLIC_KEYS={edge_public}\n\
         WARDGATE_SERVICE_KEY={1}\nWARDGATE_ENCRYPTION_KEK={2}\n\
         WARDGATE_AUDIT_CHECKPOINT_KEY={4}\n\n\
         # to verify the audit logs: the public key of checkpoints\n# {checkpoint_public}\n\n\
         # edge: two secrets (wrangler secret put) and one variable\n\
         EDGE_KEK_A={0}\nEDGE_SERVICE_KEY={3}\nCONTROL_PUBLIC_KEYS={control_public}",
        *edge_kek, *control_service, *control_kek, *edge_service, *checkpoint
    ));
    let json = serde_json::json!({
        "control": {
            "WARDGATE_EDGE_KEK": *edge_kek,
            "WARDGATE_EDGE_PUBLIC_KEYS": edge_public,
            "WARDGATE_SERVICE_KEY": *control_service,
            "WARDGATE_ENCRYPTION_KEK": *control_kek,
            "WARDGATE_AUDIT_CHECKPOINT_KEY": *checkpoint,
        },
        "edge": {
            "EDGE_KEK_A": *edge_kek,
            "EDGE_SERVICE_KEY": *edge_service,
            "CONTROL_PUBLIC_KEYS": control_public,
        },
        "audit_public_key": checkpoint_public,
    });
    show.one(&json, &text);
    Ok(())
}

fn key(what: &str, name: &str) -> Result<Zeroizing<String>, CliError> {
    let bytes = Zeroizing::new(random::<32>()?);
    Ok(Zeroizing::new(format!("{what}-{name}:{}", URL_SAFE_NO_PAD.encode(*bytes))))
}

fn public(service_key: &str) -> Result<String, CliError> {
    let parsed = ServiceKey::parse(service_key);
    parsed.map(|key| key.public()).map_err(|_| CliError::Refused("a name is 1 to 16 of [A-Za-z0-9_-]".into()))
}

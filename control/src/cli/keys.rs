//! `wardgate keys`: signing keys of a tenant.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use zeroize::Zeroizing;

use super::confirm::Yes;
use super::outcome::CliError;
use super::show::{Rows, Show, optional};
use super::target::made_tenant;
use crate::audit::Actor;
use crate::control::Control;
use crate::http::time;
use crate::keys::file as key_file;
use crate::keys::{self, KeyOut};
use crate::tenants::Tenant;

#[derive(Subcommand)]
pub(super) enum Command {
    /// List keys with their states.
    #[command(after_help = "Example:\n  wardgate keys list --tenant acme")]
    List,
    /// Schedule the rotation to the next key. It signs once every cache of the key set has it.
    #[command(after_help = "Example:\n  wardgate keys rotate --tenant acme")]
    Rotate,
    /// Revoke a key: its tokens are refused, and the next key signs at once.
    #[command(
        after_help = "Example:\n  wardgate keys revoke NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs --tenant acme --yes"
    )]
    Revoke {
        /// The key's id, as `keys list` shows it.
        kid: String,
        #[command(flatten)]
        yes: Yes,
    },
    /// Import an RSA private key as the next key: PEM (PKCS#8 or PKCS#1), or a JWK. It is published at once and signs after
    /// a rotation.
    #[command(after_help = "Example:\n  wardgate keys import old-service.pem --tenant acme")]
    Import {
        /// The file.
        file: PathBuf,
    },
}

/// The table of keys. `leaves` is the planned time of deletion, `ended` that of revocation or removal.
const KEYS: Rows<KeyOut> = Rows {
    names: ["key", "keys"],
    head: &["kid", "state", "made", "signs from", "leaves", "ended"],
    line: |row| {
        let at = |moment: Option<_>| optional(moment.map(time::text));
        vec![
            row.kid.to_string(),
            row.state.to_owned(),
            time::text(row.created_at),
            at(row.sign_from),
            at(row.remove_at),
            at(row.ended_at),
        ]
    },
};

pub(super) async fn run(
    control: &Control,
    show: Show,
    tenant: &str,
    command: Command,
) -> Result<(), CliError> {
    let tenant = made_tenant(control, tenant).await?;
    match command {
        Command::List => list(control, show, &tenant).await,
        Command::Rotate => rotate(control, show, &tenant).await,
        Command::Revoke { kid, yes } => revoke(control, show, &tenant, &kid, yes).await,
        Command::Import { file } => import(control, show, &tenant, &file).await,
    }
}

async fn list(control: &Control, show: Show, tenant: &Tenant) -> Result<(), CliError> {
    let mut tx = control.db.tenant_tx(tenant.id).await?;
    let ring = keys::store::ring(&mut tx, &tenant.settings).await?;
    let rows: Vec<_> = ring.keys.into_iter().map(KeyOut::from).collect();
    show.list(&KEYS, &rows);
    Ok(())
}

async fn rotate(control: &Control, show: Show, tenant: &Tenant) -> Result<(), CliError> {
    let mut tx = control.db.tenant_tx(tenant.id).await?;
    let sign_from = keys::rotate(control, &mut tx, &Actor::operator(), tenant).await?;
    tx.commit().await?;
    let text = time::text(sign_from);
    show.one(&serde_json::json!({ "sign_from": text }), &format!("the next key signs from {text}"));
    Ok(())
}

async fn revoke(control: &Control, show: Show, tenant: &Tenant, kid: &str, yes: Yes) -> Result<(), CliError> {
    let mut tx = control.db.tenant_tx(tenant.id).await?;
    let ring = keys::store::ring(&mut tx, &tenant.settings).await?;
    drop(tx);
    let Some(key) = ring.keys.into_iter().find(|key| key.kid.as_str() == kid) else {
        return Err(CliError::NotFound(format!(
            "tenant `{0}` has no key `{kid}`: `wardgate keys list --tenant {0}` lists them",
            tenant.slug
        )));
    };
    let (kid, state) = (key.kid, key.state.as_str());
    yes.to(&format!(
        "ends the {state} key {kid} of tenant `{}` at once: tokens that it signed are refused",
        tenant.slug
    ))?;
    let tx = control.db.tenant_tx(tenant.id).await?;
    let tx = keys::revoke(control, tx, &Actor::operator(), tenant, &kid).await?;
    tx.commit().await?;
    show.one(&serde_json::json!({ "revoked": kid }), &format!("revoked: {kid}"));
    Ok(())
}

async fn import(control: &Control, show: Show, tenant: &Tenant, file: &Path) -> Result<(), CliError> {
    let bytes = std::fs::read(file)
        .map(Zeroizing::new)
        .map_err(|error| CliError::Refused(format!("{}: {error}", file.display())))?;
    let key = key_file::private_key(&bytes).map_err(|fault| said(file, &fault))?;
    let key = control.keys.keep(tenant.id, &key).await?;
    let tx = control.db.tenant_tx(tenant.id).await?;
    let (kid, tx) = keys::import(control, tx, &Actor::operator(), tenant, &key).await?;
    tx.commit().await?;
    show.one(&serde_json::json!({ "imported": kid }), &format!("imported as the next key: {kid}"));
    Ok(())
}

/// What is wrong with a file, by its name.
fn said(file: &Path, fault: &dyn std::fmt::Display) -> CliError {
    CliError::Refused(format!("{}: {fault}", file.display()))
}

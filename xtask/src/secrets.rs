//! The random keys and passwords that `dev` makes once and keeps in its state folder, with their ports.
//!
//! Nothing has a default: a folder without this file gets new random values, so no two machines
//! share one.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};

use crate::state::write_private;

/// No `Debug`: these never belong in an output.
#[derive(Serialize, Deserialize)]
pub struct Secrets {
    /// The issuer in every token names the edge's port, so a state stays with its ports.
    pub port_base: u16,
    /// Whether PostgreSQL is ours to start and to delete.
    pub managed_database: bool,
    /// Passwords of PostgreSQL's roles.
    pub database: DatabasePasswords,
    /// First administrator of the tenant `acme`.
    pub admin_password: String,
    /// Platform administrator.
    pub platform_password: String,
    /// Opens at the edge what control seals.
    pub edge_kek: Key,
    /// Wraps the keys in PostgreSQL.
    pub control_kek: Key,
    /// Signs what the edge sends to control.
    pub edge_service_key: Key,
    /// Signs what control sends to the edge.
    pub control_service_key: Key,
    /// Signs how far the audit logs have come.
    pub audit_checkpoint_key: Key,
}

/// One password a role: the roles differ in what they may do, so none may stand in for another.
#[derive(Serialize, Deserialize)]
pub struct DatabasePasswords {
    /// The superuser, used by `migrate` alone.
    pub superuser: String,
    /// Makes and changes cells.
    pub migrate: String,
    /// Serves requests.
    pub app: String,
    /// Password of the relay role.
    pub relay: String,
}

/// A named 32-byte key, in the form `<name>:<base64url>` that the settings take.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(String);

impl Key {
    fn generate(name: &str) -> Result<Self> {
        Ok(Self(format!("{name}:{}", BASE64_URL_SAFE_NO_PAD.encode(random::<32>()?))))
    }

    /// The secret itself.
    pub fn secret(&self) -> &str {
        &self.0
    }

    /// The Ed25519 public key of this seed under the same name.
    pub fn public(&self) -> Result<String> {
        let (name, seed) = self.0.split_once(':').context("a key has a name")?;
        let seed: [u8; 32] =
            BASE64_URL_SAFE_NO_PAD.decode(seed)?.try_into().ok().context("a seed has 32 bytes")?;
        let public = SigningKey::from_bytes(&seed).verifying_key();
        Ok(format!("{name}:{}", BASE64_URL_SAFE_NO_PAD.encode(public.as_bytes())))
    }
}

impl Secrets {
    /// New secrets.
    pub fn generate(port_base: u16, managed_database: bool) -> Result<Self> {
        Ok(Self {
            port_base,
            managed_database,
            database: DatabasePasswords {
                superuser: password()?,
                migrate: password()?,
                app: password()?,
                relay: password()?,
            },
            admin_password: password()?,
            platform_password: password()?,
            edge_kek: Key::generate("edge-kek-1")?,
            control_kek: Key::generate("control-kek-1")?,
            edge_service_key: Key::generate("edge-1")?,
            control_service_key: Key::generate("control-1")?,
            audit_checkpoint_key: Key::generate("audit-1")?,
        })
    }

    /// The folder's secrets, if it has any.
    pub fn read(file: &Path) -> Result<Option<Self>> {
        match fs::read(file) {
            Ok(text) => Ok(Some(
                serde_json::from_slice(&text).with_context(|| format!("{} is damaged", file.display()))?,
            )),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
        }
    }

    /// Keeps them, readable by the owner alone.
    pub fn write(&self, file: &Path) -> Result<()> {
        write_private(file, &serde_json::to_vec_pretty(self)?)
    }
}

/// 120 random bits in letters and digits that survive a double click, a URL and a shell.
pub fn password() -> Result<String> {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let bytes = random::<24>()?;
    Ok(bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect())
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).context("no randomness")?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_need_no_quoting_and_differ() {
        let (one, two) = (password().unwrap(), password().unwrap());
        assert_eq!(one.len(), 24);
        assert!(one.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert_ne!(one, two);
    }

    #[test]
    fn the_public_key_keeps_the_name() {
        // RFC 8032, section 7.1, test 1.
        let key = Key("k1:nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A".into());
        assert_eq!(key.public().unwrap(), "k1:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
    }

    #[test]
    fn secrets_survive_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secrets.json");
        assert!(Secrets::read(&file).unwrap().is_none());
        let made = Secrets::generate(8780, true).unwrap();
        made.write(&file).unwrap();
        let read = Secrets::read(&file).unwrap().unwrap();
        assert_eq!(read.edge_kek.secret(), made.edge_kek.secret());
        assert_eq!(read.database.app, made.database.app);
    }
}

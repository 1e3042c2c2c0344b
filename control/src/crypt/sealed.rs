//! Secrets at rest in PostgreSQL: encrypted under the data key of their tenant, which is in memory while a
//! transaction of the tenant is open ([`crate::db::TenantTx::keys`]).
//!
//! The associated data names tenant, column and row, so a value that was copied to another place cannot be decrypted.
//! Values for the edge are decrypted by the module that stores them and sealed by `shared::wire::seal`.

use shared::derive::Secret;
use shared::fields;
use shared::ids::TenantId;
use zeroize::Zeroizing;

use super::aead;
use crate::failure::Failure;

/// The form of a sealed value: this byte, the version of the tenant's key in four bytes (big-endian), and what
/// [`aead::seal`] makes. Another byte will say that a second key is needed, too: one that lives outside of the
/// database, so that destroying it erases what backups hold.
const FORM: u8 = 1;

/// The kind of a stored secret; part of its associated data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// A signing key as PKCS#8; row: its key id.
    SigningKey,
    /// A root; row: kind and version.
    Root,
    /// The data key of a user ([`UserKey`](super::personal::UserKey)); row: the user's id.
    UserKey,
    /// A password verifier; row: the user's id.
    Verifier,
    /// The verifier of a password that a user had; row: the user's id and the password epoch.
    PasswordHistory,
    /// A password's hash as another service made it; row: the user's id.
    ForeignHash,
    /// A second factor of another service; row: the user's id and the device's there.
    LegacyTotp,
    /// The seed of an authenticator; row: the user's id and the authenticator's.
    TotpSeed,
    /// The key of a user's recovery codes; row: the user's id.
    RecoveryKey,
    /// The first administrator of a tenant that has no cell yet; row: empty.
    FirstAdmin,
    /// The key of the audit log ([`AuditKey`](super::audit_key::AuditKey)); row: empty.
    AuditKey,
    /// The key of a request ([`RowKey`](super::row_key::RowKey)); row: the request's id.
    RequestKey,
    /// The key of a mail ([`RowKey`](super::row_key::RowKey)); row: the mail's id.
    MailKey,
    /// The server through which a tenant sends its mail; row: empty.
    MailSender,
    /// The secret that a CAPTCHA service knows the tenant by; row: empty.
    CaptchaSecret,
}

impl Column {
    /// All kinds, which are re-encrypted when a tenant gets a new data key.
    pub const ALL: [Self; 15] = [
        Self::Root,
        Self::SigningKey,
        Self::FirstAdmin,
        Self::AuditKey,
        Self::LegacyTotp,
        Self::TotpSeed,
        Self::RecoveryKey,
        Self::UserKey,
        Self::Verifier,
        Self::PasswordHistory,
        Self::ForeignHash,
        Self::RequestKey,
        Self::MailKey,
        Self::MailSender,
        Self::CaptchaSecret,
    ];

    /// The table and the column, as the database names them.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::SigningKey => "signing_keys.wrapped_private",
            Self::Root => "roots.wrapped",
            Self::UserKey => "user_keys.wrapped",
            Self::Verifier => "users.wrapped_verifier",
            Self::PasswordHistory => "password_history.wrapped",
            Self::ForeignHash => "users.foreign_hash",
            Self::LegacyTotp => "legacy_totp.wrapped",
            Self::TotpSeed => "authenticators.wrapped",
            Self::RecoveryKey => "recovery_sets.wrapped",
            Self::FirstAdmin => "first_admins.wrapped",
            Self::AuditKey => "audit_keys.wrapped",
            Self::RequestKey => "requests.wrapped_key",
            Self::MailKey => "mails.wrapped_key",
            Self::MailSender => "mail_senders.wrapped",
            Self::CaptchaSecret => "captchas.wrapped",
        }
    }
}

/// The data keys of a tenant by their versions: one seals, and all open. No `Debug`; wiped when dropped.
pub struct TenantKeys {
    tenant: TenantId,
    keys: Vec<(u32, Secret)>,
    /// The version that seals.
    sealing: u32,
}

impl TenantKeys {
    /// Takes the keys of a tenant by version. The newest seals.
    ///
    /// # Errors
    /// [`Failure::Unreadable`] for a tenant without keys.
    pub fn new(tenant: TenantId, keys: Vec<(u32, Secret)>) -> Result<Self, Failure> {
        let newest = keys.iter().map(|(version, _)| *version).max();
        Ok(Self { tenant, keys, sealing: newest.ok_or(Failure::Unreadable("tenant_keys"))? })
    }

    /// The same, encrypting with `version`.
    ///
    /// # Errors
    /// [`Failure::Unreadable`] for a version that is not there.
    pub fn sealing_with(self, version: u32) -> Result<Self, Failure> {
        self.key(version).ok_or(Failure::Unreadable("tenant_keys"))?;
        Ok(Self { sealing: version, ..self })
    }

    /// The version that seals.
    #[must_use]
    pub fn sealing(&self) -> u32 {
        self.sealing
    }

    /// The tenant of the keys.
    #[must_use]
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// Seals `plaintext` for one place.
    ///
    /// # Errors
    /// No randomness.
    pub fn seal(&self, column: Column, row: &str, plaintext: &[u8]) -> Result<Vec<u8>, Failure> {
        let key = self.key(self.sealing).ok_or(Failure::Unreadable("tenant_keys"))?;
        let sealed = aead::seal(key, &self.associated_data(self.sealing, column, row), plaintext)?;
        Ok([&mark(self.sealing)[..], &sealed].concat())
    }

    /// Decrypts a result of [`TenantKeys::seal`] for the same place.
    ///
    /// # Errors
    /// [`Failure::Unreadable`] for another tenant or key, another place and altered bytes alike.
    pub fn open(&self, column: Column, row: &str, stored: &[u8]) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let unreadable = || Failure::Unreadable(column.label());
        let stored = stored.strip_prefix(&[FORM]).ok_or_else(unreadable)?;
        let (version, sealed) = stored.split_first_chunk::<4>().ok_or_else(unreadable)?;
        let version = u32::from_be_bytes(*version);
        let data = self.associated_data(version, column, row);
        aead::open(self.key(version).ok_or_else(unreadable)?, &data, sealed)?.ok_or_else(unreadable)
    }

    /// Re-encrypts a value under the present key, if another one encrypted it.
    ///
    /// # Errors
    /// As [`TenantKeys::open`].
    pub fn renew(&self, column: Column, row: &str, stored: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        if stored.starts_with(&mark(self.sealing)) {
            return Ok(None);
        }
        Ok(Some(self.seal(column, row, &self.open(column, row, stored)?)?))
    }

    fn key(&self, version: u32) -> Option<&Secret> {
        self.keys.iter().find(|(known, _)| *known == version).map(|(_, key)| key)
    }

    fn associated_data(&self, version: u32, column: Column, row: &str) -> Vec<u8> {
        let list: [&[u8]; 4] =
            [self.tenant.as_bytes(), &version.to_be_bytes(), column.label().as_bytes(), row.as_bytes()];
        fields::encode("rest/v2", &list)
    }
}

/// How values begin that a version sealed.
#[must_use]
pub fn mark(version: u32) -> [u8; 5] {
    let [a, b, c, d] = version.to_be_bytes();
    [FORM, a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(tenant: u8, keys: &[(u32, u8)]) -> TenantKeys {
        let keys = keys.iter().map(|(version, byte)| (*version, Secret::new([*byte; 32]))).collect();
        TenantKeys::new(TenantId::new(1, [tenant; 10]), keys).unwrap()
    }

    #[test]
    fn a_value_opens_in_its_own_place_alone() {
        let stored = keys(1, &[(1, 1)]).seal(Column::Verifier, "ada", b"secret").unwrap();
        for (keys, column, row, opens) in [
            (keys(1, &[(1, 1)]), Column::Verifier, "ada", true),
            (keys(1, &[(1, 1), (2, 2)]), Column::Verifier, "ada", true),
            (keys(1, &[(1, 1)]), Column::Verifier, "bob", false),
            (keys(2, &[(1, 1)]), Column::Verifier, "ada", false),
            (keys(1, &[(1, 1)]), Column::Root, "ada", false),
            (keys(1, &[(1, 2)]), Column::Verifier, "ada", false),
            (keys(1, &[(2, 1)]), Column::Verifier, "ada", false),
        ] {
            let opened = keys.open(column, row, &stored).ok();
            assert_eq!(opened.map(|bytes| bytes.to_vec()), opens.then(|| b"secret".to_vec()));
        }
    }

    #[test]
    fn one_key_seals_and_all_open() {
        let two = || keys(1, &[(1, 1), (2, 2)]);
        let stored = two().seal(Column::Root, "x", b"secret").unwrap();
        assert!(stored.starts_with(&mark(2)), "the newest, unless another is named");
        assert!(keys(1, &[(1, 1)]).open(Column::Root, "x", &stored).is_err());
        let stored = two().sealing_with(1).unwrap().seal(Column::Root, "x", b"secret").unwrap();
        assert_eq!(keys(1, &[(1, 1)]).open(Column::Root, "x", &stored).unwrap().to_vec(), b"secret");
        assert!(two().sealing_with(3).is_err());
    }

    #[test]
    fn a_value_is_renewed_once_in_its_own_place() {
        let two = keys(1, &[(1, 1), (2, 2)]);
        let stored = keys(1, &[(1, 1)]).seal(Column::Root, "x", b"secret").unwrap();
        assert!(two.renew(Column::Root, "y", &stored).is_err(), "another row");
        let renewed = two.renew(Column::Root, "x", &stored).unwrap().unwrap();
        assert_eq!(keys(1, &[(2, 2)]).open(Column::Root, "x", &renewed).unwrap().to_vec(), b"secret");
        assert!(two.renew(Column::Root, "x", &renewed).unwrap().is_none());
    }

    #[test]
    fn a_cut_value_is_refused_without_a_panic() {
        let keys = keys(1, &[(1, 1)]);
        let stored = keys.seal(Column::Root, "x", b"secret").unwrap();
        for length in 0..stored.len() {
            assert!(keys.open(Column::Root, "x", &stored[..length]).is_err());
        }
    }
}

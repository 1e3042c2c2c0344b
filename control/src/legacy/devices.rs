//! Devices for one-time codes of the legacy service (django-otp's TOTP devices): those that fit become authenticators here.
//! The others are kept, sealed.

use chrono::{DateTime, Utc};
use shared::ids::UserId;
use shared::second_factor::totp::{DIGITS, STEP_SECS, Seed};
use zeroize::Zeroizing;

use super::import::found::Device;
use crate::crypt::sealed::Column;
use crate::db::TenantTx;
use crate::failure::Failure;
use crate::mfa::adopt::adopt;

impl Device {
    /// The seed, if codes of the device can be accepted; else the reason.
    ///
    /// # Errors
    /// A device with other digits or steps, with another start of steps, with a clock that is off, or with a
    /// malformed seed.
    pub fn fits(&self) -> Result<Seed, &'static str> {
        if usize::try_from(self.digits) != Ok(DIGITS) {
            return Err("its codes have not six digits");
        }
        if u64::try_from(self.step) != Ok(STEP_SECS) || self.t0 != 0 {
            return Err("its steps are not those of the usual 30 seconds");
        }
        // A code is accepted one step early or late.
        if self.drift.abs() > 1 {
            return Err("its clock is off");
        }
        let bytes = bytes(&self.key).ok_or("its key is not hexadecimal")?;
        Seed::from_slice(&bytes).map_err(|_| "its key has not 16 to 64 bytes")
    }
}

fn bytes(hex: &str) -> Option<Zeroizing<Vec<u8>>> {
    let digits: Option<Vec<u8>> =
        hex.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digits = Zeroizing::new(digits?);
    let (pairs, rest) = digits.as_chunks::<2>();
    let byte = |[high, low]: &[u8; 2]| high << 4 | low;
    rest.is_empty().then(|| Zeroizing::new(pairs.iter().map(byte).collect()))
}

/// Makes a device an authenticator of its user, once: a repeated import makes no other one of it, also where the user has
/// removed it. One that does not fit, or for which the user has no room, is kept.
///
/// # Errors
/// Errors of the database.
pub async fn take(
    tx: &mut TenantTx,
    user: UserId,
    device: &Device,
    now: DateTime<Utc>,
) -> Result<(), Failure> {
    if was_taken(tx, user, &device.id).await? {
        return Ok(());
    }
    let adopted = match device.fits() {
        Ok(seed) => adopt(tx, user, (&seed, device.last_t), now).await?,
        Err(_) => false,
    };
    let wrapped = if adopted { None } else { Some(sealed(tx, user, device)?) };
    // Of a user whose devices are all kept, no entry of the log asks for the key.
    tx.hold_key().await?;
    sqlx::query!(
        "insert into legacy_totp (tenant_id, user_id, device, wrapped) values ($1, $2, $3, $4)
         on conflict (tenant_id, user_id, device) do update
         set wrapped = excluded.wrapped",
        tx.tenant().uuid(),
        user.uuid(),
        device.id,
        wrapped,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn was_taken(tx: &mut TenantTx, user: UserId, device: &str) -> Result<bool, Failure> {
    let taken = sqlx::query_scalar!(
        r#"select wrapped is null as "taken!" from legacy_totp where tenant_id = $1 and user_id = $2 and device = $3"#,
        tx.tenant().uuid(),
        user.uuid(),
        device,
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(taken == Some(true))
}

fn sealed(tx: &TenantTx, user: UserId, device: &Device) -> Result<Vec<u8>, Failure> {
    let plain = serde_json::to_vec(device).map_err(|_| Failure::Unreadable("second factor"))?;
    let plain = Zeroizing::new(plain);
    tx.keys().seal(Column::LegacyTotp, &format!("{user}/{}", device.id), &plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device() -> Device {
        Device {
            id: "1".into(),
            user: "7".into(),
            name: "phone".into(),
            key: Zeroizing::new("3132333435363738393031323334353637383930".into()),
            step: 30,
            t0: 0,
            digits: 6,
            tolerance: 1,
            drift: 0,
            last_t: -1,
        }
    }

    #[test]
    fn a_device_of_the_usual_kind_fits() {
        assert_eq!(device().fits().ok().unwrap().expose(), b"12345678901234567890");
        let key = |text: String| Device { key: Zeroizing::new(text), ..device() };
        for (device, why) in [
            (Device { digits: 8, ..device() }, Some("its codes have not six digits")),
            (Device { step: 60, ..device() }, Some("its steps are not those of the usual 30 seconds")),
            (Device { t0: 1, ..device() }, Some("its steps are not those of the usual 30 seconds")),
            (Device { drift: 1, ..device() }, None),
            (Device { drift: -2, ..device() }, Some("its clock is off")),
            (key("ab".repeat(15)), Some("its key has not 16 to 64 bytes")),
            (key("AB".repeat(16)), None),
            (key("ab".repeat(64)), None),
            (key("ab".repeat(65)), Some("its key has not 16 to 64 bytes")),
            (key("abc".into()), Some("its key is not hexadecimal")),
            (key("xy".repeat(20)), Some("its key is not hexadecimal")),
        ] {
            assert_eq!(device.fits().err(), why);
        }
    }
}

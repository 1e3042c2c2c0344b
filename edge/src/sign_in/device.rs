//! Remembered devices: presented at a sign-in in place of a code, stored after a correct code.
//!
//! A device is identified by a cookie of the tenant's own host ([`shared::tokens::device`]). Its MAC is checked
//! before storage is read; the statement that uses it decides whether it is still valid.

use shared::contract::limits::{DEVICE_NAME_BYTES, DEVICES};
use shared::contract::refusal::Refusal;
use shared::ids::UserId;
use shared::tokens::device::RememberedDevice;

use crate::body::Fields;
use crate::browser::cookies::{DeviceCookie, Names};
use crate::browser::origin::Sender;
use crate::context::Context;
use crate::http::Incoming;
use crate::isolate::opened::OpenedTenant;
use crate::platform::{Platform, Statement};
use crate::sessions::issued::IssuedTokens;
use crate::sql;
use crate::sql::batch::{Batch, BatchRows, CountHandle};
use crate::tenants::target::Target;

const DAY_SECS: u64 = 86_400;

/// The device that a sign-in presents, and whether it asks to remember one. No `Debug`: it is a secret.
pub struct DeviceCall {
    sender: Sender,
    cookies: Option<String>,
    /// The `User-Agent`.
    name: String,
    asks: bool,
}

impl DeviceCall {
    /// Reads a request whose answer sets no cookie: it may present a device, but cannot get one.
    pub fn presenting(target: &Target, request: &impl Incoming, fields: &Fields) -> Self {
        let sender = Sender::of(target, request, fields);
        let name = cut(request.header("user-agent").unwrap_or_default());
        Self { sender, cookies: request.header("cookie"), name, asks: false }
    }

    /// Reads a request that may ask to remember a device. A `remember` that is not a boolean is ignored.
    pub fn of(target: &Target, request: &impl Incoming, fields: &Fields) -> Self {
        let asks = fields.flag("remember").unwrap_or(false);
        Self { asks, ..Self::presenting(target, request, fields) }
    }

    /// The names of the tenant's cookies, where it remembers devices and the sender may have cookies.
    fn names(&self, known: &OpenedTenant) -> Option<Names> {
        self.sender.names(known).filter(|_| known.tenant.settings.remember_device_days > 0)
    }

    /// The device of the cookie, if this tenant gave it and its time is not over.
    pub(super) fn presented<P: Platform>(
        &self,
        ctx: Context<'_, P>,
        known: &OpenedTenant,
    ) -> Option<RememberedDevice> {
        let text = self.names(known)?.device(self.cookies.as_deref()?)?;
        let device = RememberedDevice::verify(&known.device_keys, known.tenant.id, &text)?;
        (device.expires_at > ctx.now_ms / 1000).then_some(device)
    }

    /// The device to remember, if the request asks for it and may.
    pub(super) fn wanted<P: Platform>(
        &self,
        ctx: Context<'_, P>,
        known: &OpenedTenant,
        user: UserId,
    ) -> Option<NewDevice<'_>> {
        self.names(known).filter(|_| self.asks)?;
        let lasts_secs = known.tenant.settings.remember_device_days.saturating_mul(DAY_SECS);
        let expires_at = (ctx.now_ms / 1000).saturating_add(lasts_secs);
        Some(NewDevice {
            device: RememberedDevice::new(user, ctx.app.random(), expires_at),
            name: &self.name,
        })
    }
}

/// Cuts a `User-Agent` to the limit, on one line.
fn cut(mut name: String) -> String {
    name.retain(|char| !char.is_control());
    name.truncate(name.floor_char_boundary(DEVICE_NAME_BYTES));
    name
}

/// The cookie of a device, under the key that signs now.
pub(super) fn cookie<P: Platform>(
    ctx: Context<'_, P>,
    known: &OpenedTenant,
    device: &RememberedDevice,
) -> Option<DeviceCookie> {
    let now_secs = ctx.now_ms / 1000;
    let value = device.to_text(known.device_key(now_secs)?, known.tenant.id);
    Some(DeviceCookie { value, lasts_secs: device.expires_at.saturating_sub(now_secs) })
}

/// The statement of the first batch that reads a presented device, if it is valid.
pub(super) fn living<P: Platform>(ctx: Context<'_, P>, tenant: &str, device: &RememberedDevice) -> Statement {
    let (user, digest) = (device.user.to_string(), device.digest());
    sql::LIVING_DEVICE.bind([tenant.into(), user.into(), digest.into(), ctx.now().into()])
}

/// Shows a device in place of a code, by this event.
pub(super) fn claim<P: Platform>(
    ctx: Context<'_, P>,
    tenant: &str,
    device: &RememberedDevice,
    event: &str,
) -> Statement {
    let (user, digest) = (device.user.to_string(), device.digest());
    sql::CLAIM_DEVICE.bind([tenant.into(), user.into(), digest.into(), ctx.now().into(), event.into()])
}

/// A device that is to be remembered.
pub(super) struct NewDevice<'a> {
    device: RememberedDevice,
    name: &'a str,
}

impl NewDevice<'_> {
    /// Adds to a batch, after the session that a code of `event` opens: insert the device, write its fact, delete the
    /// oldest above the limit.
    pub(super) fn put<P: Platform>(
        &self,
        ctx: Context<'_, P>,
        batch: &mut Batch,
        (tenant, sid, network): (&str, &str, &str),
        event: &str,
    ) -> CountHandle {
        let (user, digest, now) = (self.device.user.to_string(), self.device.digest(), ctx.now());
        let (user, digest) = (user.as_str(), digest.as_str());
        let put = batch.add_counted(sql::INSERT_DEVICE.bind([
            tenant.into(),
            user.into(),
            digest.into(),
            now.into(),
            sql::secs_as_ms(self.device.expires_at).into(),
            self.name.into(),
            event.into(),
            sid.into(),
        ]));
        batch.also(sql::RECORD_DEVICE.bind([
            ctx.event_id().to_string().into(),
            tenant.into(),
            now.into(),
            user.into(),
            sid.into(),
            network.into(),
            digest.into(),
        ]));
        batch.also(sql::EVICT_DEVICES.bind([tenant.into(), user.into(), i64::from(DEVICES).into()]));
        put
    }
}

/// A device in a batch that may put it.
pub(super) struct PutDevice<'a> {
    new: NewDevice<'a>,
    put: CountHandle,
}

impl<'a> PutDevice<'a> {
    /// As [`NewDevice::put`], if there is a device.
    pub(super) fn within<P: Platform>(
        ctx: Context<'_, P>,
        batch: &mut Batch,
        new: Option<NewDevice<'a>>,
        place: (&str, &str, &str),
        event: &str,
    ) -> Option<Self> {
        let new = new?;
        let put = new.put(ctx, batch, place, event);
        Some(Self { new, put })
    }

    /// The tokens of the session, with the cookie of the device if it was put.
    ///
    /// # Errors
    /// 503 where the batch has no answer.
    pub(super) fn issue<P: Platform>(
        put: Option<Self>,
        ctx: Context<'_, P>,
        issued: IssuedTokens,
        rows: &BatchRows<P::Rows>,
    ) -> Result<IssuedTokens, Refusal> {
        let Some(Self { new, put }) = put else { return Ok(issued) };
        if rows.count(put)? == 0 {
            return Ok(issued);
        }
        Ok(IssuedTokens { device: cookie(ctx, &issued.known, &new.device), ..issued })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_line_of_256_bytes_at_most() {
        assert_eq!(cut("Mozilla/5.0\t(X11)\n".into()), "Mozilla/5.0(X11)");
        assert_eq!(cut("a".repeat(300)).len(), 256);
        assert_eq!(cut("\u{e4}".repeat(200)).len(), 256);
        assert_eq!(cut(format!("a{}", "\u{e4}".repeat(200))).len(), 255);
    }
}

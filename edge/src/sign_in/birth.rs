//! A family that a sign-in opens, and what hangs on its being written.

use serde_json::json;
use shared::contract::limits::{FAMILIES, KNOWN_NETWORK_SECS, KNOWN_NETWORKS};
use shared::ids::SessionId;

use crate::context::Context;
use crate::isolate::opened::OpenedTenant;
use crate::platform::Platform;
use crate::sessions::family::FamilyRow;
use crate::sign_in::factor::ReadFactor;
use crate::sign_in::password::UserRow;
use crate::sql::batch::{Batch, Handle};
use crate::sql::{self, secs_as_ms};
use crate::tokens::amr::{Amr, Method};

/// A family that is to be opened.
pub(super) struct Birth<'a, P: Platform> {
    ctx: Context<'a, P>,
    known: &'a OpenedTenant,
    user: &'a UserRow,
    network: &'a str,
    /// The tenant's id.
    pub tenant: String,
    /// The session's name.
    pub sid: SessionId,
}

impl<'a, P: Platform> Birth<'a, P> {
    /// A family of `user` with a new name.
    pub(super) fn new(
        ctx: Context<'a, P>,
        known: &'a OpenedTenant,
        user: &'a UserRow,
        network: &'a str,
    ) -> Self {
        let sid = ctx.session_id(known.tenant.shard());
        Self { ctx, known, user, network, tenant: known.tenant.id.to_string(), sid }
    }

    /// Goes on with a batch: the family, by the event that showed a second factor or by the password alone; the
    /// least recently rotated one goes where there are too many; the network is known to the user; the fact.
    pub(super) fn open(&self, batch: &mut Batch, shown: Option<(&str, &ReadFactor)>) -> Handle<FamilyRow> {
        let (ctx, settings, now) = (self.ctx, &self.known.tenant.settings, self.ctx.now());
        let (id, user, sid) = (self.tenant.as_str(), self.user.id.to_string(), self.sid.to_string());
        let (user, sid, evicted) = (user.as_str(), sid.as_str(), ctx.event_id().to_string());
        let absolute = now.saturating_add(secs_as_ms(settings.absolute_secs));
        let idle = now.saturating_add(secs_as_ms(settings.idle_secs)).min(absolute);
        let amr = match shown {
            Some(_) => Amr::new(&[Method::Pwd, Method::Otp, Method::Mfa]),
            None => Amr::new(&[Method::Pwd]),
        };
        batch.also(sql::INSERT_FAMILY.bind([
            sid.into(),
            id.into(),
            user.into(),
            now.into(),
            idle.into(),
            absolute.into(),
            self.user.session_counter.into(),
            amr.to_column().into(),
            sql::understood(),
            shown.map(|(event, _)| event).into(),
        ]));
        for statement in [sql::RECORD_EVICTION, sql::EVICT_FAMILIES] {
            let most = i64::from(FAMILIES).into();
            batch.also(statement.bind([evicted.as_str().into(), id.into(), now.into(), sid.into(), most]));
        }
        let known_until = now.saturating_add(secs_as_ms(KNOWN_NETWORK_SECS));
        batch.also(sql::KNOW_NETWORK.bind([sid.into(), self.network.into(), known_until.into()]));
        batch.also(sql::FORGET_NETWORKS.bind([id.into(), user.into(), i64::from(KNOWN_NETWORKS).into()]));
        let more = json!({"amr": amr.into_claim()});
        batch.also(sql::RECORD_SIGN_IN.bind([
            ctx.event_id().to_string().into(),
            id.into(),
            now.into(),
            user.into(),
            sid.into(),
            self.network.into(),
            shown.map_or_else(|| more.to_string(), |(_, read)| read.tell(more.clone())).into(),
        ]));
        batch.add::<FamilyRow>(sql::FAMILY.bind([sid.into(), id.into()]))
    }
}

//! A family that a sign-in opens, and what hangs on its being written.

use serde_json::{Map, Value, json};
use shared::contract::limits::{KNOWN_NETWORK_SECS, KNOWN_NETWORKS};
use shared::ids::SessionId;

use crate::context::Context;
use crate::isolate::opened::OpenedTenant;
use crate::platform::Platform;
use crate::sessions::family::FamilyRow;
use crate::sign_in::client::{self, Client};
use crate::sign_in::factor::ReadFactor;
use crate::sign_in::password::UserRow;
use crate::sql::batch::{Batch, Handle};
use crate::sql::{self, millis, secs_as_ms};
use crate::tokens::amr::{Amr, Method};

/// What opens a family beside the password.
#[derive(Clone, Copy)]
pub(super) enum Shown<'a> {
    /// Nothing.
    Nothing,
    /// A code that was used by this event.
    Code(&'a str, &'a ReadFactor),
    /// A remembered device of this digest, likewise.
    Device(&'a str, &'a str),
}

impl Shown<'_> {
    /// The event that showed it.
    fn event(&self) -> Option<&str> {
        match self {
            Self::Nothing => None,
            Self::Code(event, _) | Self::Device(event, _) => Some(event),
        }
    }

    /// A remembered device is a second factor, and no code: whoever asks for a recent code sees that none was shown.
    fn amr(&self) -> Amr {
        match self {
            Self::Nothing => Amr::new(&[Method::Pwd]),
            Self::Code(..) => Amr::new(&[Method::Pwd, Method::Otp, Method::Mfa]),
            Self::Device(..) => Amr::new(&[Method::Pwd, Method::Mfa]),
        }
    }

    /// What control has to know, of the client (sealed) as well.
    fn tell(&self, client: Option<String>) -> String {
        let mut more = Map::new();
        more.insert(String::from("amr"), json!(self.amr().into_claim()));
        if let Some(client) = client {
            more.insert(String::from("client"), client.into());
        }
        match self {
            Self::Nothing => Value::Object(more).to_string(),
            Self::Code(_, read) => read.tell(Value::Object(more)),
            Self::Device(_, digest) => {
                more.insert(String::from("device"), (*digest).into());
                Value::Object(more).to_string()
            }
        }
    }
}

/// A family that is to be opened.
pub(super) struct Birth<'a, P: Platform> {
    ctx: Context<'a, P>,
    known: &'a OpenedTenant,
    user: &'a UserRow,
    client: &'a Client,
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
        client: &'a Client,
    ) -> Self {
        let sid = ctx.session_id(known.tenant.shard());
        Self { ctx, known, user, client, tenant: known.tenant.id.to_string(), sid }
    }

    /// Goes on with a batch: the family, by the event that showed a second factor or by the password alone; the
    /// least recently used one goes where there are too many; the network is known to the user; the fact.
    pub(super) fn open(&self, batch: &mut Batch, shown: Shown<'_>) -> Handle<FamilyRow> {
        let (ctx, settings, now) = (self.ctx, &self.known.tenant.settings, self.ctx.now());
        let (id, user, sid) = (self.tenant.as_str(), self.user.id.to_string(), self.sid.to_string());
        let (user, sid, evicted) = (user.as_str(), sid.as_str(), ctx.event_id().to_string());
        let client = client::sealed(ctx, self.known.tenant.id, self.sid, &self.client.info);
        let absolute = now.saturating_add(secs_as_ms(settings.absolute_secs));
        let idle = now.saturating_add(secs_as_ms(settings.idle_secs)).min(absolute);
        batch.also(sql::INSERT_FAMILY.bind([
            sid.into(),
            id.into(),
            user.into(),
            now.into(),
            idle.into(),
            absolute.into(),
            self.user.session_counter.into(),
            shown.amr().to_column().into(),
            sql::understood(),
            shown.event().into(),
            client.clone().into(),
        ]));
        for statement in [sql::RECORD_EVICTION, sql::EVICT_FAMILIES] {
            let most = millis(settings.most_sessions()).into();
            batch.also(statement.bind([evicted.as_str().into(), id.into(), now.into(), sid.into(), most]));
        }
        let known_until = now.saturating_add(secs_as_ms(KNOWN_NETWORK_SECS));
        let network = self.client.network.as_str();
        batch.also(sql::KNOW_NETWORK.bind([sid.into(), network.into(), known_until.into()]));
        batch.also(sql::FORGET_NETWORKS.bind([id.into(), user.into(), i64::from(KNOWN_NETWORKS).into()]));
        batch.also(sql::RECORD_SIGN_IN.bind([
            ctx.event_id().to_string().into(),
            id.into(),
            now.into(),
            user.into(),
            sid.into(),
            network.into(),
            shown.tell(client).into(),
        ]));
        batch.add::<FamilyRow>(sql::FAMILY.bind([sid.into(), id.into()]))
    }
}

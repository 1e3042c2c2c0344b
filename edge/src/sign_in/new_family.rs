//! The family that a sign-in opens, and the statements that depend on it.

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

/// The second factor of a sign-in.
#[derive(Clone, Copy)]
pub(super) enum Shown<'a> {
    /// Nothing.
    Nothing,
    /// A code that was used by this event.
    Code(&'a str, &'a ReadFactor),
    /// A remembered device of this digest, with the event that used it.
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

    /// A remembered device counts as a second factor (`mfa`), but not as a code (`otp`).
    fn amr(&self) -> Amr {
        match self {
            Self::Nothing => Amr::new(&[Method::Pwd]),
            Self::Code(..) => Amr::new(&[Method::Pwd, Method::Otp, Method::Mfa]),
            Self::Device(..) => Amr::new(&[Method::Pwd, Method::Mfa]),
        }
    }

    /// Adds what control must know, including the sealed client.
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
pub(super) struct NewFamily<'a, P: Platform> {
    ctx: Context<'a, P>,
    known: &'a OpenedTenant,
    user: &'a UserRow,
    client: &'a Client,
    /// The tenant's id.
    pub tenant: String,
    /// The session's name.
    pub sid: SessionId,
}

impl<'a, P: Platform> NewFamily<'a, P> {
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

    /// Adds to a batch: insert the family, with the event of a second factor or for the password alone; end the least
    /// recently used one above the limit; make the network known to the user; write the fact.
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

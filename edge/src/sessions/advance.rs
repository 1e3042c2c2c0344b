//! The batch for every use of a refresh token; refresh and silent renewal differ in one statement of it.

use shared::contract::limits::RENEWAL_SECS;
use shared::contract::refusal::{Refusal, TokenFault};

use crate::context::Context;
use crate::isolate::opened::OpenedTenant;
use crate::platform::{Platform, Statement};
use crate::sessions::family::FamilyRow;
use crate::sql::batch::Batch;
use crate::sql::{self, secs_as_ms};
use crate::tenants::find::TenantName;
use crate::tenants::state::{State, StateRow};
use crate::tokens::refresh_token::VerifiedRefresh;

/// The use of the current refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advance {
    /// The next generation begins.
    Rotate,
    /// The generation stays, and the idle deadline moves, at most once an hour.
    KeepAlive,
}

/// The result of the batch.
pub struct AdvancedFamily {
    /// Whether the document that the batch used is current.
    pub state: State,
    /// The family, as it is now.
    pub family: TokenFamily,
    /// Whether this call rotated the family or moved its deadline.
    pub moved: bool,
    /// Whether this call ended it.
    pub ended: bool,
    /// The retry window in milliseconds that the batch went by: a newer document may have another.
    pub window: i64,
}

/// The family of a token.
pub enum TokenFamily {
    /// Its row.
    Row(Box<FamilyRow>),
    /// There is no row, for this fault of the token.
    Fault(TokenFault),
    /// There is no row for a legacy token, although it is valid: the document that it was verified with is outdated,
    /// or its user needs a feature that this release does not know.
    Withheld,
}

/// One batch: a stolen or rolled-back family ends; the current generation is used; the row and the tenant's state are
/// read. For a legacy token, its family is created first if it does not exist.
///
/// # Errors
/// 503 if the database did not answer.
pub async fn advance<P: Platform>(
    ctx: Context<'_, P>,
    named: &TenantName,
    known: &OpenedTenant,
    token: &VerifiedRefresh,
    kind: Advance,
) -> Result<AdvancedFamily, Refusal> {
    let (sid, tenant) = (token.sid.to_string(), known.tenant.id.to_string());
    let (sid, tenant, event) = (sid.as_str(), tenant.as_str(), ctx.event_id().to_string());
    let window = secs_as_ms(known.tenant.settings.retry_window_secs);
    let mut batch = Batch::new(token.sid.shard());
    let legacy_user = token.open(ctx, known, &mut batch);
    batch.also(sql::END_STOLEN.bind([
        sid.into(),
        tenant.into(),
        token.generation.into(),
        ctx.now().into(),
        window.into(),
        event.as_str().into(),
    ]));
    let moved = batch.add_counted(kind.statement(ctx, known, token));
    batch.also(sql::RECORD_END.bind([event.as_str().into(), ctx.now().into(), sid.into()]));
    let family = batch.add::<FamilyRow>(sql::FAMILY.bind([sid.into(), tenant.into()]));
    let state = batch.add::<StateRow>(sql::TENANT_STATE.bind([tenant.into(), named.name.as_str().into()]));
    let rows = ctx.run(batch).await?;
    let state = StateRow::compare(rows.take_one(state)?.as_ref(), known);
    let moved = rows.count(moved)? > 0;
    let family = match rows.take_one(family)? {
        Some(row) => TokenFamily::Row(Box::new(row)),
        None => token
            .without_row(&rows, legacy_user, ctx, known)?
            .map_or(TokenFamily::Withheld, TokenFamily::Fault),
    };
    let ended = match &family {
        TokenFamily::Row(row) => row.ended_by.as_deref() == Some(event.as_str()),
        TokenFamily::Fault(_) | TokenFamily::Withheld => false,
    };
    if ended {
        ctx.app.shard_cache.borrow_mut().end(known.tenant.id, token.sid);
    }
    Ok(AdvancedFamily { state, family, moved, ended, window })
}

impl Advance {
    fn statement<P: Platform>(
        self,
        ctx: Context<'_, P>,
        known: &OpenedTenant,
        token: &VerifiedRefresh,
    ) -> Statement {
        let settings = &known.tenant.settings;
        let (sid, tenant) = (token.sid.to_string().into(), known.tenant.id.to_string().into());
        let (generation, now, idle) =
            (token.generation.into(), ctx.now().into(), secs_as_ms(settings.idle_secs));
        match self {
            Self::Rotate => sql::ROTATE.bind([sid, tenant, generation, now, idle.into(), sql::understood()]),
            Self::KeepAlive => {
                // A session that ends within the hour if it is not used has to be moved sooner to live at
                // all.
                let every = secs_as_ms(RENEWAL_SECS.min(settings.idle_secs / 2));
                sql::KEEP_ALIVE.bind([
                    sid,
                    tenant,
                    generation,
                    now,
                    idle.into(),
                    every.into(),
                    sql::understood(),
                ])
            }
        }
    }
}

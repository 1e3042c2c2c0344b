//! Step-up: the user of a session re-authenticates, and the session gets a new `auth_time`.

use std::ops::ControlFlow;
use std::rc::Rc;

use serde_json::json;
use shared::contract::refusal::{Refusal, TokenFault};
use shared::derive::step_up_attempt_hash;
use shared::ids::{SessionId, UserId};
use shared::wire::push::IdentifierRow;

use crate::body::{TypedFactor, TypedPassword, TypedProof};
use crate::context::Context;
use crate::isolate::opened::{LookupKeys, OpenedTenant};
use crate::platform::{Platform, Statement};
use crate::sessions::family::FamilyRow;
use crate::sessions::issued::{IssuedTokens, tokens};
use crate::sign_in::attempts::{Attempt, CountedAttempt, Subject, at_step_up};
use crate::sign_in::factor::{FactorTry, ReadFactor, Showing, Verdict};
use crate::sign_in::password::{UserRow, is_right};
use crate::sign_in::settled::settled;
use crate::sign_in::throttle::{admit_at_tenant, admit_network, take_hash};
use crate::sql;
use crate::sql::batch::{Batch, CountHandle};
use crate::tenants::find::TenantName;
use crate::tenants::state::StateRow;
use crate::tokens::amr::{Amr, Method};
use shared::network;

/// A session that was authenticated a moment ago.
pub struct LivingSession<'a> {
    /// The user of the session.
    pub user: UserId,
    /// The session.
    pub sid: SessionId,
    /// The client's address.
    pub client: &'a str,
}

/// Steps a session up.
///
/// 1. The limits by network, and by tenant and network: 429.
/// 2. One batch: the user, the session and the tenant's state; a password's attempt is counted (429 over the limit).
///    401 if the session has ended. 503 if the user's row needs a feature that this release does not know.
/// 3. 400 for a password of a user with a second factor, and for a code of a user without one.
/// 4. The password is checked as at sign-in, within the tenant's budget of hashes (429), or the second factor read.
/// 5. One batch: the second factor is used as at sign-in, and the session gets the new `auth_time` and `amr`: 401
///    `otp_invalid` for a wrong code or password, 429 after too many wrong codes.
/// 6. Tokens of the same session. Its generation does not change, so the client's refresh token stays valid.
///
/// # Errors
/// As above; 403 at a suspended tenant, 503 if storage or a key is unavailable.
pub async fn step_up<P: Platform>(
    ctx: Context<'_, P>,
    named: &TenantName,
    known: Rc<OpenedTenant>,
    session: LivingSession<'_>,
    proof: TypedProof,
) -> Result<IssuedTokens, Refusal> {
    let network = network::of(session.client);
    admit_network(ctx.app, &network).await?;
    admit_at_tenant(ctx.app, &known, &network).await?;
    let attempts = matches!(proof, TypedProof::Password(_)).then(|| Attempts::of(&known, session.user));
    let (tenant, sid) = (known.tenant.id.to_string(), session.sid.to_string());
    let (tenant, sid) = (tenant.as_str(), sid.as_str());
    let mut batch = Batch::new(session.sid.shard());
    let counted = attempts.as_ref().map(|attempts| attempts.count(ctx, &mut batch, tenant));
    let user = batch.add::<UserRow>(sql::USER_BY_SESSION.bind([
        tenant.into(),
        session.user.to_string().into(),
        sid.into(),
    ]));
    let family = batch.add::<FamilyRow>(sql::FAMILY.bind([sid.into(), tenant.into()]));
    let state = batch.add::<StateRow>(sql::TENANT_STATE.bind([tenant.into(), named.name.as_str().into()]));
    let rows = ctx.run(batch).await?;
    let state = StateRow::compare(rows.take_one(state)?.as_ref(), &known);
    let known = settled(ctx, named, known, state).await?;
    let living = rows.take_one(family)?.filter(|row| !row.is_over(ctx.now()));
    let (Some(user), Some(row)) = (rows.take_one(user)?, living) else {
        return Err(TokenFault::Blacklisted.as_bearer());
    };
    if !user.is_understood() {
        return Err(Refusal::unavailable());
    }
    let attempt = match counted.map(|counted| counted.outcome(&rows, ctx.now())).transpose()? {
        Some(ControlFlow::Break(refusal)) => return Err(refusal),
        Some(ControlFlow::Continue(attempt)) => Some(attempt),
        None => None,
    };
    let step = Step { ctx, named, known: &known, tenant, sid, user: &user, row: &row, network: &network };
    match (proof, attempt) {
        (TypedProof::Factor(_), _) if !user.has_factor() => Err(Refusal::otp_invalid()),
        (TypedProof::Factor(typed), _) => step.by_factor(session.sid, &typed).await,
        (TypedProof::Password(_), _) if user.has_factor() => {
            Err(Refusal::field("password", "A second factor is required."))
        }
        (TypedProof::Password(typed), Some(attempt)) => step.by_password(session.sid, &typed, &attempt).await,
        (TypedProof::Password(_), None) => Err(Refusal::internal()),
    }
}

/// The key of the counter of wrong passwords at a step-up, derived from the user's id: no name that is typed at a
/// sign-in has the same key.
struct Attempts {
    now: String,
    former: Option<String>,
}

impl Attempts {
    fn of(known: &OpenedTenant, user: UserId) -> Self {
        let hash = |keys: &LookupKeys| {
            IdentifierRow::encode_hash(&step_up_attempt_hash(&keys.attempt, known.tenant.id, user))
        };
        Self { now: hash(&known.lookup), former: known.former_lookup.as_ref().map(hash) }
    }

    fn count<P: Platform>(&self, ctx: Context<'_, P>, batch: &mut Batch, tenant: &str) -> CountedAttempt {
        let subject = Subject {
            account: &self.now,
            former: self.former.as_deref(),
            identifier: "",
            former_identifier: None,
            network: "",
        };
        CountedAttempt::count(ctx, batch, tenant, &subject, &at_step_up())
    }
}

/// A step-up after its session and user were read.
struct Step<'a, P: Platform> {
    ctx: Context<'a, P>,
    named: &'a TenantName,
    known: &'a Rc<OpenedTenant>,
    tenant: &'a str,
    sid: &'a str,
    user: &'a UserRow,
    row: &'a FamilyRow,
    network: &'a str,
}

impl<P: Platform> Step<'_, P> {
    /// The second batch by a second factor.
    async fn by_factor(&self, sid: SessionId, typed: &TypedFactor) -> Result<IssuedTokens, Refusal> {
        let Self { ctx, known, .. } = *self;
        let read = ReadFactor::read(ctx, &known.tenant, self.user, typed)?;
        let event = ctx.event_id().to_string();
        let mut batch = Batch::new(sid.shard());
        let showing = Showing {
            tenant: self.tenant,
            user: self.user,
            sid: self.sid,
            in_session: true,
            network: self.network,
            challenge: None,
        };
        let tried = FactorTry::judge(ctx, &mut batch, &showing, &read, &event);
        let amr = Amr::from_column(&self.row.amr).with(&[Method::Otp, Method::Mfa]);
        let stepped = self.update(&mut batch, &amr, read.tell_method(), Some(&event));
        let family = batch.add::<FamilyRow>(sql::FAMILY.bind([self.sid.into(), self.tenant.into()]));
        let state = batch.add::<StateRow>(self.state());
        let rows = ctx.run(batch).await?;
        match tried.verdict(&rows, ctx.now())? {
            Verdict::Good if rows.count(stepped)? > 0 => self.issue(sid, rows.take_one(family)?).await,
            // The session ended a moment ago.
            Verdict::Good => Err(TokenFault::Blacklisted.as_bearer()),
            Verdict::Wrong => Err(Refusal::otp_invalid()),
            Verdict::Throttled(refusal) => Err(refusal),
            Verdict::Uncounted => Err(StateRow::compare(rows.take_one(state)?.as_ref(), known).at_code()),
        }
    }

    /// The hash, and the second batch with the password. A correct one takes its attempt back.
    async fn by_password(
        &self,
        sid: SessionId,
        typed: &TypedPassword,
        attempt: &Attempt,
    ) -> Result<IssuedTokens, Refusal> {
        let Self { ctx, known, .. } = *self;
        let mut batch = Batch::new(sid.shard());
        take_hash(ctx, known, attempt).await?;
        if !is_right(ctx, known, Some(self.user), typed).await? {
            batch.also(sql::RECORD_PASSWORD_REFUSED.bind([
                ctx.event_id().to_string().into(),
                self.tenant.into(),
                ctx.now().into(),
                self.user.id.to_string().into(),
                self.sid.into(),
                self.network.into(),
            ]));
            ctx.run(batch).await?;
            return Err(Refusal::otp_invalid());
        }
        let more = json!({"method": "password"}).to_string();
        let stepped = self.update(&mut batch, &Amr::from_column(&self.row.amr), more, None);
        batch.also(attempt.give_back(sql::RETURN_ATTEMPT, self.tenant, self.sid));
        let family = batch.add::<FamilyRow>(sql::FAMILY.bind([self.sid.into(), self.tenant.into()]));
        let state = batch.add::<StateRow>(self.state());
        let rows = ctx.run(batch).await?;
        if rows.count(stepped)? > 0 {
            return self.issue(sid, rows.take_one(family)?).await;
        }
        Err(StateRow::compare(rows.take_one(state)?.as_ref(), known).at_code())
    }

    /// Adds to a batch: the session's new `amr` and `auth_time`, and the fact.
    fn update(&self, batch: &mut Batch, amr: &Amr, more: String, event: Option<&str>) -> CountHandle {
        let (stepped, now) = (self.ctx.event_id().to_string(), self.ctx.now());
        let updated = batch.add_counted(sql::STEP_UP.bind([
            self.sid.into(),
            self.tenant.into(),
            now.into(),
            amr.to_column().into(),
            sql::understood(),
            event.into(),
            stepped.as_str().into(),
        ]));
        batch.also(sql::RECORD_STEP_UP.bind([
            stepped.into(),
            self.tenant.into(),
            now.into(),
            self.sid.into(),
            self.network.into(),
            more.into(),
        ]));
        updated
    }

    fn state(&self) -> Statement {
        sql::TENANT_STATE.bind([self.tenant.into(), self.named.name.as_str().into()])
    }

    async fn issue(&self, sid: SessionId, row: Option<FamilyRow>) -> Result<IssuedTokens, Refusal> {
        let row = row.ok_or_else(|| TokenFault::Blacklisted.as_bearer())?;
        tokens(self.ctx, self.known, sid, &row).await
    }
}

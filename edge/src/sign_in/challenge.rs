//! Challenges: given in place of a session to a user with a second factor, and finished by `verify-otp`.

use std::rc::Rc;

use serde_json::json;
use shared::contract::limits::{CHALLENGE_SECS, CHALLENGE_TRIES};
use shared::contract::refusal::Refusal;
use shared::contract::routes::Audience;
use shared::tokens::challenge::Challenge;

use crate::body::TypedFactor;
use crate::context::Context;
use crate::http;
use crate::isolate::opened::OpenedTenant;
use crate::platform::{Platform, Statement};
use crate::sessions::issued::{IssuedTokens, tokens};
use crate::sign_in::client::Client;
use crate::sign_in::device::{DeviceCall, PutDevice};
use crate::sign_in::factor::{FactorTry, ReadFactor, Showing, Verdict, methods};
use crate::sign_in::new_family::{NewFamily, Shown};
use crate::sign_in::password::UserRow;
use crate::sign_in::settled::settled;
use crate::sign_in::throttle::{ReservedAttempt, admit_at_tenant, admit_network};
use crate::sql::batch::Batch;
use crate::sql::{self, secs_as_ms};
use crate::tenants::find::{TenantName, find_known};
use crate::tenants::networks;
use crate::tenants::state::StateRow;

/// A challenge, and the accepted methods.
pub struct GivenChallenge {
    /// The challenge.
    pub challenge: Challenge,
    /// `totp`, `recovery_code`.
    pub methods: &'static [&'static str],
}

impl GivenChallenge {
    /// The answer of `login`.
    #[must_use]
    pub fn at_login(&self) -> http::Answer {
        http::Answer::json(
            200,
            &json!({
                "mfa_required": true,
                "mfa_token": self.challenge.to_text(),
                "methods": self.methods,
                "expires_in": CHALLENGE_SECS,
            }),
        )
    }
}

/// Issues a challenge, which replaces an older one of the user; takes the password's attempt back. The sign-in is not
/// complete, so there is no fact.
///
/// # Errors
/// The refusal if user or tenant changed during the hash, as for a family; 503 if the database did not answer.
pub(super) async fn give<P: Platform>(
    ctx: Context<'_, P>,
    named: &TenantName,
    reserved: &ReservedAttempt,
    user: &UserRow,
) -> Result<GivenChallenge, Refusal> {
    let methods = methods(user)?;
    let id = reserved.known.tenant.id.to_string();
    let challenge = Challenge::new(ctx.app.random());
    let digest = challenge.digest();
    let (id, digest) = (id.as_str(), digest.as_str());
    let mut batch = Batch::new(reserved.known.tenant.shard());
    let given = batch.add_counted(sql::INSERT_CHALLENGE.bind([
        id.into(),
        user.id.to_string().into(),
        digest.into(),
        ctx.now().saturating_add(secs_as_ms(CHALLENGE_SECS)).into(),
        user.session_counter.into(),
        sql::understood(),
    ]));
    batch.also(reserved.attempt.give_back(sql::RETURN_ATTEMPT_FOR_CHALLENGE, id, digest));
    let state = batch.add::<StateRow>(sql::TENANT_STATE.bind([id.into(), named.name.as_str().into()]));
    let rows = ctx.run(batch).await?;
    let state = rows.take_one(state)?;
    if rows.count(given)? > 0 {
        return Ok(GivenChallenge { challenge, methods });
    }
    Err(StateRow::compare(state.as_ref(), &reserved.known).at_sign_in())
}

/// Finishes a sign-in with a second factor.
///
/// 1. The limits by network, and by tenant and network: 429.
/// 2. One batch: the user of the challenge, and the tenant's state. 503 if the user's row needs a feature that this
///    release does not know.
/// 3. The second factor is read, if there is a user.
/// 4. One batch: the attempt is counted at the challenge and for the user, the code and the challenge are used up,
///    the family is opened, all with one event, so that one of simultaneous calls succeeds. 401 `otp_invalid` for an
///    invalid challenge and a wrong code alike; 429 after too many wrong codes.
/// 5. The tokens; and the device, if the request asks to remember it and the tenant allows it.
///
/// # Errors
/// As above; 403 at a suspended tenant and from a network that the tenant does not allow, 503 if storage or a key is
/// unavailable.
pub async fn verify_otp<P: Platform>(
    ctx: Context<'_, P>,
    named: &TenantName,
    (unverified_token, typed): (&str, &TypedFactor),
    client: &Client,
    device: &DeviceCall,
) -> Result<IssuedTokens, Refusal> {
    let network = client.network.as_str();
    admit_network(ctx.app, network).await?;
    let known = find_known(ctx, named).await?;
    admit_at_tenant(ctx.app, &known, network).await?;
    // A malformed challenge is looked up, too, under a digest that no challenge has.
    let digest = Challenge::parse(unverified_token).map(|challenge| challenge.digest()).unwrap_or_default();
    let (known, user) = look_up(ctx, named, known, &digest).await?;
    networks::admit(ctx, &known, &client.address, Audience::Users).await?;
    let answer = Response { ctx, named, known: &known, digest: &digest, client, device };
    let Some(user) = user else { return Err(answer.miss().await) };
    if !user.is_understood() {
        return Err(Refusal::unavailable());
    }
    answer.judge(&user, typed).await
}

/// The first batch: the user of a challenge, if that user has a second factor, and the document to go on with.
async fn look_up<P: Platform>(
    ctx: Context<'_, P>,
    named: &TenantName,
    known: Rc<OpenedTenant>,
    digest: &str,
) -> Result<(Rc<OpenedTenant>, Option<UserRow>), Refusal> {
    let tenant = known.tenant.id.to_string();
    let mut batch = Batch::new(known.tenant.shard());
    let user = batch.add::<UserRow>(sql::USER_BY_CHALLENGE.bind([tenant.as_str().into(), digest.into()]));
    let state = batch.add::<StateRow>(sql::TENANT_STATE.bind([tenant.into(), named.name.as_str().into()]));
    let rows = ctx.run(batch).await?;
    let state = StateRow::compare(rows.take_one(state)?.as_ref(), &known);
    let user = rows.take_one(user)?.filter(UserRow::has_factor);
    Ok((settled(ctx, named, known, state).await?, user))
}

/// The request to `verify-otp`.
struct Response<'a, P: Platform> {
    ctx: Context<'a, P>,
    named: &'a TenantName,
    known: &'a Rc<OpenedTenant>,
    digest: &'a str,
    client: &'a Client,
    device: &'a DeviceCall,
}

impl<P: Platform> Response<'_, P> {
    fn count(&self, event: &str) -> Statement {
        sql::COUNT_CHALLENGE_TRY.bind([
            self.known.tenant.id.to_string().into(),
            self.digest.into(),
            self.ctx.now().into(),
            event.into(),
            i64::from(CHALLENGE_TRIES).into(),
        ])
    }

    fn state(&self) -> Statement {
        let tenant = self.known.tenant.id.to_string();
        sql::TENANT_STATE.bind([tenant.into(), self.named.name.as_str().into()])
    }

    /// The second batch without a user: as many round trips as with one.
    async fn miss(&self) -> Refusal {
        let mut batch = Batch::new(self.known.tenant.shard());
        batch.also(self.count(&self.ctx.event_id().to_string()));
        batch.also(self.state());
        self.ctx.run(batch).await.map_or_else(Refusal::from, |_| Refusal::otp_invalid())
    }

    /// The second batch.
    async fn judge(&self, user: &UserRow, typed: &TypedFactor) -> Result<IssuedTokens, Refusal> {
        let Self { ctx, known, digest, client, .. } = *self;
        let network = client.network.as_str();
        let read = ReadFactor::read(ctx, &known.tenant, user, typed)?;
        let opening = NewFamily::new(ctx, known, user, client);
        let (sid, event) = (opening.sid.to_string(), ctx.event_id().to_string());
        let (tenant, event) = (opening.tenant.as_str(), event.as_str());
        let mut batch = Batch::new(known.tenant.shard());
        let counted = batch.add_counted(self.count(event));
        let showing =
            Showing { tenant, user, sid: &sid, in_session: false, network, challenge: Some(digest) };
        let tried = FactorTry::judge(ctx, &mut batch, &showing, &read, event);
        batch.also(sql::USE_UP_CHALLENGE.bind([
            tenant.into(),
            digest.into(),
            ctx.now().into(),
            event.into(),
        ]));
        let family = opening.open(&mut batch, Shown::Code(event, &read));
        let device = self.device.wanted(ctx, known, user.id);
        let device = PutDevice::within(ctx, &mut batch, device, (tenant, &sid, network), event);
        let state = batch.add::<StateRow>(self.state());
        let rows = ctx.run(batch).await?;
        let state = StateRow::compare(rows.take_one(state)?.as_ref(), known);
        let counted = rows.count(counted)? > 0;
        match tried.verdict(&rows, ctx.now())? {
            Verdict::Good => {
                let row = rows.take_one(family)?.ok_or_else(|| state.at_sign_in())?;
                let issued = tokens(ctx, known, opening.sid, &row).await?;
                PutDevice::issue(device, ctx, issued, &rows)
            }
            // For an invalid challenge the answer is always 401.
            Verdict::Throttled(refusal) if counted => Err(refusal),
            Verdict::Throttled(_) | Verdict::Wrong => Err(Refusal::otp_invalid()),
            Verdict::Uncounted => Err(state.at_code()),
        }
    }
}

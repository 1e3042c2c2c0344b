//! Sign-in: `token` and `login` differ in their answer alone ([`crate::sessions::issued`]).

use shared::contract::refusal::Refusal;
use shared::contract::routes::Audience;
use shared::tenant::captcha::CaptchaPolicy;
use shared::tokens::ticket::{Ticket, TicketPurpose};

use crate::body::{Credentials, TypedFactor};
use crate::captcha::{self, Visitor};
use crate::context::Context;
use crate::platform::{Platform, Statement};
use crate::sessions::family::FamilyRow;
use crate::sessions::issued::{IssuedTokens, tokens};
use crate::sign_in::challenge::{self, GivenChallenge};
use crate::sign_in::client::Client;
use crate::sign_in::device::{self, DeviceCall, PutDevice};
use crate::sign_in::factor::{FactorTry, ReadFactor, Showing, Verdict};
use crate::sign_in::new_family::{NewFamily, Shown};
use crate::sign_in::password::{UserRow, is_right};
use crate::sign_in::throttle::{
    ReservedAttempt, admit, admit_network, record_refusal, reserve, take_back, take_hash,
};
use crate::sign_in::ticket;
use crate::sql;
use crate::sql::batch::Batch;
use crate::tenants::find::{TenantName, find_known};
use crate::tenants::networks;
use crate::tenants::state::StateRow;

/// The outcome of a sign-in with a correct password. A match over it has no wildcard arm, so that each route handles
/// every variant.
pub enum SignInOutcome {
    /// The session is there, with its tokens.
    Issued(IssuedTokens),
    /// No session yet: the user has a second factor, and has to show it at the challenge.
    FactorNeeded(GivenChallenge),
    /// No session: the password must be changed first, with this ticket.
    PasswordDue(Ticket),
    /// No session: the tenant requires a second factor, which this ticket allows to enrol.
    EnrollmentDue(Ticket),
}

/// Signs a user in.
///
/// 1. The limits by network, by tenant and network, and by tenant, name and network, before storage and any hash:
///    429. If the tenant requires a CAPTCHA at every sign-in: 403 `captcha_required` without a solved one.
/// 2. One batch: count the attempt (429 if account, network or tenant must wait), look up the user and the presented
///    remembered device, and read the tenant's state (a newer document is read and the batch repeated). If the tenant
///    requires a CAPTCHA after many wrong passwords, and the counts have reached that number: 403 as above, and the
///    attempt is taken back.
/// 3. One hash in any case, within the tenant's budget (else 429, and the attempt is taken back). If the tenant has
///    imported hashes, control is asked as well, unless the password has matched: 503 if it does not answer.
/// 4. 503 if the user's row needs a feature that this release does not know. A user who must change the password gets
///    a ticket in place of the session, by a batch like the next one. A user with a second factor who sent neither a
///    code nor a remembered device gets a challenge. A user without one, at a tenant that requires it, gets a ticket
///    for enrolling one.
/// 5. One batch: use the second factor, if there is one (401 `otp_invalid`, 429 after too many wrong ones), or the
///    device (if it was revoked meanwhile: a challenge), and insert the family, if user and tenant are unchanged
///    since before the hash; else 401, the same for every reason.
/// 6. The tokens; and the device, if the request asks to remember it and the tenant allows it.
///
/// # Errors
/// As above; 403 at a suspended tenant and from a network that the tenant does not allow, 503 where storage or a key is out
/// of reach.
pub async fn sign_in<P: Platform>(
    ctx: Context<'_, P>,
    named: &TenantName,
    Credentials { name, password, factor, captcha }: Credentials,
    client: Client,
    device: &DeviceCall,
) -> Result<SignInOutcome, Refusal> {
    let network = client.network.as_str();
    admit_network(ctx.app, network).await?;
    let known = find_known(ctx, named).await?;
    networks::admit(ctx, &known, &client.address, Audience::Users).await?;
    admit(ctx.app, &known, network, &name).await?;
    let mut visitor = Visitor::new(&client.address, captcha);
    captcha::admit(ctx, &known, &mut visitor, |_| false).await?;
    let reserved = reserve(ctx, (named, network), known, &name, device).await?;
    if let Err(refusal) = admit_again(ctx, &reserved, &client, &mut visitor).await {
        take_back(ctx, &reserved.known, &reserved.attempt).await?;
        return Err(refusal);
    }
    take_hash(ctx, &reserved.known, &reserved.attempt).await?;
    // A try stays counted where control does not answer: else an outage would be free guesses.
    let right = is_right(ctx, &reserved.known, reserved.user.as_ref(), &password).await?;
    drop(password);
    let Some(user) = reserved.user.as_ref().filter(|_| right) else {
        record_refusal(ctx, &reserved, network).await?;
        return Err(Refusal::no_active_account());
    };
    if !user.is_understood() {
        return Err(Refusal::unavailable());
    }
    let entry = Entry { ctx, named, reserved: &reserved, user, client: &client, device };
    if user.owes_a_password(&reserved.known.tenant.settings, ctx.now()) {
        return entry.ticket(TicketPurpose::PasswordChange).await.map(SignInOutcome::PasswordDue);
    }
    match factor {
        None if user.has_factor() => match entry.by_device().await? {
            Some(issued) => Ok(SignInOutcome::Issued(issued)),
            None => challenge::give(ctx, named, &reserved, user).await.map(SignInOutcome::FactorNeeded),
        },
        Some(typed) if user.has_factor() => entry.by_factor(&typed).await.map(SignInOutcome::Issued),
        // Without an authenticator a code is neither correct nor wrong.
        Some(_) | None if user.owes_a_factor(ctx.now()) => {
            entry.ticket(TicketPurpose::MfaEnrollment).await.map(SignInOutcome::EnrollmentDue)
        }
        Some(_) | None => entry.by_password().await.map(SignInOutcome::Issued),
    }
}

/// What is judged once the attempt is counted: the networks of a newer document, which may have come with the batch,
/// and the CAPTCHA that the counts ask for. The attempt of a refused request must be taken back.
async fn admit_again<P: Platform>(
    ctx: Context<'_, P>,
    reserved: &ReservedAttempt,
    client: &Client,
    visitor: &mut Visitor<'_>,
) -> Result<(), Refusal> {
    networks::admit(ctx, &reserved.known, &client.address, Audience::Users).await?;
    let is_suspicious = |policy: &CaptchaPolicy| reserved.attempt.is_suspicious(policy);
    captcha::admit(ctx, &reserved.known, visitor, is_suspicious).await
}

/// A sign-in with a correct password.
struct Entry<'a, P: Platform> {
    ctx: Context<'a, P>,
    named: &'a TenantName,
    reserved: &'a ReservedAttempt,
    user: &'a UserRow,
    client: &'a Client,
    device: &'a DeviceCall,
}

impl<P: Platform> Entry<'_, P> {
    async fn ticket(&self, purpose: TicketPurpose) -> Result<Ticket, Refusal> {
        let network = self.client.network.as_str();
        ticket::give(self.ctx, self.named, self.reserved, self.user, purpose, network).await
    }

    fn new_family(&self) -> NewFamily<'_, P> {
        NewFamily::new(self.ctx, &self.reserved.known, self.user, self.client)
    }

    /// The second batch by the password alone: the family, and everything that hangs on its being written.
    async fn by_password(&self) -> Result<IssuedTokens, Refusal> {
        let Self { ctx, reserved, .. } = self;
        let opening = self.new_family();
        let mut batch = Batch::new(reserved.known.tenant.shard());
        let family = opening.open(&mut batch, Shown::Nothing);
        batch.also(self.return_attempt(&opening));
        let state = batch.add::<StateRow>(self.state());
        let rows = ctx.run(batch).await?;
        let state = rows.take_one(state)?;
        let row = rows.take_one(family)?;
        self.issue(&opening, row, state.as_ref()).await
    }

    /// The second batch with password and remembered device; one statement uses the device and checks that it is
    /// still valid. `None` if it is not valid or none was presented.
    async fn by_device(&self) -> Result<Option<IssuedTokens>, Refusal> {
        let Self { ctx, reserved, .. } = self;
        let presented = reserved.device.as_ref().filter(|device| device.user == self.user.id);
        let Some(presented) = presented else { return Ok(None) };
        let (opening, event, digest) = (self.new_family(), ctx.event_id().to_string(), presented.digest());
        let mut batch = Batch::new(reserved.known.tenant.shard());
        let claimed = batch.add_counted(device::claim(*ctx, &opening.tenant, presented, &event));
        let family = opening.open(&mut batch, Shown::Device(&event, &digest));
        batch.also(self.return_attempt(&opening));
        let state = batch.add::<StateRow>(self.state());
        let rows = ctx.run(batch).await?;
        if rows.count(claimed)? == 0 {
            return Ok(None);
        }
        let state = rows.take_one(state)?;
        let issued = self.issue(&opening, rows.take_one(family)?, state.as_ref()).await?;
        // Under the key of now, so that the device outlives a change of the session root.
        Ok(Some(IssuedTokens { device: device::cookie(*ctx, &reserved.known, presented), ..issued }))
    }

    /// A right password gives its own try back with the session.
    fn return_attempt(&self, opening: &NewFamily<'_, P>) -> Statement {
        let (tenant, sid) = (opening.tenant.as_str(), opening.sid.to_string());
        self.reserved.attempt.give_back(sql::RETURN_ATTEMPT, tenant, &sid)
    }

    /// The second batch with password and second factor: the attempt, the code, and the family if it is correct.
    async fn by_factor(&self, typed: &TypedFactor) -> Result<IssuedTokens, Refusal> {
        let Self { ctx, reserved, user, client, .. } = self;
        let network = client.network.as_str();
        let read = ReadFactor::read(*ctx, &reserved.known.tenant, user, typed)?;
        let opening = self.new_family();
        let (sid, event) = (opening.sid.to_string(), ctx.event_id().to_string());
        let (tenant, event) = (opening.tenant.as_str(), event.as_str());
        let mut batch = Batch::new(reserved.known.tenant.shard());
        let showing = Showing { tenant, user, sid: &sid, in_session: false, network, challenge: None };
        let tried = FactorTry::judge(*ctx, &mut batch, &showing, &read, event);
        batch.also(reserved.attempt.give_back_for_code(tenant, &user.id.to_string(), event));
        let family = opening.open(&mut batch, Shown::Code(event, &read));
        let device = self.device.wanted(*ctx, &reserved.known, user.id);
        let device = PutDevice::within(*ctx, &mut batch, device, (tenant, &sid, network), event);
        let state = batch.add::<StateRow>(self.state());
        let rows = ctx.run(batch).await?;
        let state = rows.take_one(state)?;
        match tried.verdict(&rows, ctx.now())? {
            Verdict::Good => {
                let row = rows.take_one(family)?;
                let issued = self.issue(&opening, row, state.as_ref()).await?;
                PutDevice::issue(device, *ctx, issued, &rows)
            }
            Verdict::Wrong => Err(Refusal::otp_invalid()),
            Verdict::Throttled(refusal) => Err(refusal),
            Verdict::Uncounted => Err(StateRow::compare(state.as_ref(), &reserved.known).at_sign_in()),
        }
    }

    fn state(&self) -> Statement {
        let tenant = self.reserved.known.tenant.id.to_string();
        sql::TENANT_STATE.bind([tenant.into(), self.named.name.as_str().into()])
    }

    async fn issue(
        &self,
        opening: &NewFamily<'_, P>,
        row: Option<FamilyRow>,
        state: Option<&StateRow>,
    ) -> Result<IssuedTokens, Refusal> {
        let known = &self.reserved.known;
        match row {
            Some(row) => tokens(self.ctx, known, opening.sid, &row).await,
            None => Err(StateRow::compare(state, known).at_sign_in()),
        }
    }
}

//! `Idempotency-Key`: a creation that is sent twice is done once.
//!
//! A key is bound to tenant, user and route, and stored for a day with the status, the object's id and a keyed hash
//! of the body, but not the answer, which is generated again from the object. It is claimed in the object's
//! transaction, so neither exists without the other. A request that finds the claim in a running transaction is
//! refused.

use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use chrono::{DateTime, TimeDelta, Utc};
use shared::contract::limits::{IDEMPOTENCY_KEY_BYTES, IDEMPOTENCY_SECS};
use shared::contract::refusal::{Code, Refusal};
use shared::derive::{Purpose, Secret, derive, mac};
use shared::ids::UserId;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::answer::Refused;
use super::body::{FromFields, Json, read_object};
use crate::control::Control;
use crate::crypt::lookup;
use crate::db::TenantTx;
use crate::failure::Failure;

const HEADER: &str = "idempotency-key";
/// How many forgotten keys leave at once.
const CHUNK: i64 = 1000;

/// A body whose creation may be asked to happen once.
pub struct Once<T> {
    /// The parsed request.
    pub what: T,
    /// The key, if one was given.
    pub key: Option<Key>,
}

/// A key with the hash of its request.
pub struct Key {
    text: String,
    route: String,
    content: Zeroizing<Vec<u8>>,
}

/// The state of a request with a key.
pub enum Found {
    /// It is the first: the claim is to be kept with the object.
    New(Claim),
    /// It has been answered before, by this object.
    Done(Uuid),
}

/// A key that this transaction alone may use.
pub struct Claim {
    claim: [u8; 32],
    body: [u8; 32],
}

impl<T: FromFields, S: Send + Sync> FromRequest<S> for Once<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refused> {
        let Some(text) = key(request.headers())? else {
            let Json(what) = Json::from_request(request, state).await?;
            return Ok(Self { what, key: None });
        };
        let route = request.uri().path().to_owned();
        let object = read_object(&request)?;
        // Members are in the order of their names, so another order of writing is no other request.
        let content = Zeroizing::new(serde_json::to_vec(&object).map_err(|_| Refusal::internal())?);
        Ok(Self { what: Json::of(object)?.0, key: Some(Key { text, route, content }) })
    }
}

fn key(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    let good = (1..=IDEMPOTENCY_KEY_BYTES).contains(&text.len()) && values.next().is_none();
    if good {
        Ok(Some(text.to_owned()))
    } else {
        let message = format!("Give one key of 1 to {IDEMPOTENCY_KEY_BYTES} ASCII characters.");
        Err(Refusal::field("Idempotency-Key", &message))
    }
}

impl Key {
    /// Claims the key for this transaction and says whether it is the first with it.
    ///
    /// # Errors
    /// 409 while another one is going on, 422 for another request with the same key.
    pub async fn claim(&self, control: &Control, tx: &mut TenantTx, by: UserId) -> Result<Found, Refused> {
        let roots = lookup::kept(tx).await?;
        let tenant = tx.tenant();
        let bound = [tenant.as_bytes(), by.as_bytes(), self.route.as_bytes(), self.text.as_bytes()];
        let claimed = |root: &Secret| {
            let secret = derive(root, tenant, Purpose::Idempotency);
            let claim = mac(&secret, "idempotency-key/v1", &bound);
            Claim { claim, body: mac(&secret, "idempotency-body/v1", &[&claim, &self.content]) }
        };
        let new = claimed(&roots.current.secret);
        // There may be an earlier claim under the former root.
        let former = roots.former().map(|(root, _)| claimed(&root.secret));
        let claims = std::iter::once(&new).chain(&former);
        let sought: Vec<Vec<u8>> = claims.clone().map(|it| it.claim.to_vec()).collect();
        let since = control.clock.now() - remembered();
        let kept = match find(tx, &sought, since).await? {
            // A request that was answered gets its answer again, even while another repeat of it holds the lock.
            Some(kept) => Some(kept),
            None => {
                lock(tx, &new).await?;
                find(tx, &sought, since).await?
            }
        };
        let is_same = |kept: &[u8]| claims.clone().any(|it| kept == it.body);
        match kept {
            None => Ok(Found::New(new)),
            Some(kept) if is_same(&kept.body) => Ok(Found::Done(kept.object)),
            Some(_) => {
                let detail = "This Idempotency-Key was used for another request.";
                Err(Refusal::new(422, detail, Code::IdempotencyKeyReused).into())
            }
        }
    }
}

/// A key that was used, as it is stored.
struct Kept {
    body: Vec<u8>,
    object: Uuid,
}

/// The latest use of one of these claims.
async fn find(tx: &mut TenantTx, claims: &[Vec<u8>], since: DateTime<Utc>) -> Result<Option<Kept>, Failure> {
    let tenant = tx.tenant();
    let kept = sqlx::query_as!(
        Kept,
        "select body, object from platform.idempotency_keys
            where tenant_id = $1 and claim = any ($2) and created_at > $3
            order by created_at desc
            limit 1",
        tenant.uuid(),
        claims,
        since,
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(kept)
}

/// Takes the lock of a claim, which is held until the transaction ends, and is not waited for.
async fn lock(tx: &mut TenantTx, claim: &Claim) -> Result<(), Refused> {
    let [a, b, c, d, e, f, g, h, ..] = claim.claim;
    let free = sqlx::query_scalar!(
        r#"select pg_try_advisory_xact_lock($1) as "free!""#,
        i64::from_be_bytes([a, b, c, d, e, f, g, h]),
    )
    .fetch_one(&mut **tx)
    .await
    .map_err(Failure::from)?;
    if free {
        return Ok(());
    }
    let detail = "A request with this Idempotency-Key is still running.";
    let refusal = Refusal::new(409, detail, Code::Conflict);
    Err(Refusal { retry_after_secs: Some(1), ..refusal }.into())
}

impl Claim {
    /// Stores the key with the object's id, if the transaction commits.
    ///
    /// # Errors
    /// Errors of the database.
    pub async fn keep(self, control: &Control, tx: &mut TenantTx, object: Uuid) -> Result<(), Failure> {
        let tenant = tx.tenant();
        sqlx::query!(
            "insert into platform.idempotency_keys (tenant_id, claim, body, status, object, created_at)
            values ($1, $2, $3, 201, $4, $5)
            on conflict (tenant_id, claim) do update
            set body = excluded.body, status = excluded.status, object = excluded.object,
                created_at = excluded.created_at",
            tenant.uuid(),
            &self.claim,
            &self.body,
            object,
            control.clock.now(),
        )
        .execute(&mut **tx)
        .await?;
        Ok(())
    }
}

fn remembered() -> TimeDelta {
    TimeDelta::seconds(i64::try_from(IDEMPOTENCY_SECS).unwrap_or(86_400))
}

/// Forgets keys whose day is over.
///
/// # Errors
/// Errors of the database.
pub async fn sweep(control: &Control) -> Result<u64, Failure> {
    let swept = sqlx::query!(
        "delete from platform.idempotency_keys k
        using (
            select tenant_id, claim from platform.idempotency_keys
            where created_at <= $1
            limit $2
        ) old
        where k.tenant_id = old.tenant_id and k.claim = old.claim",
        control.clock.now() - remembered(),
        CHUNK,
    )
    .execute(control.db.relay())
    .await?;
    Ok(swept.rows_affected())
}

//! Devices and countries that a user signed in from: a sign-in from a new one is mailed to the user.
//!
//! A device is its browser and operating system without their versions, so that an update is no new device. The first
//! device and the first country of a user cause no mail: there is nothing to compare them with.

use chrono::{DateTime, Utc};
use shared::derive::{Secret, mac};
use shared::ids::UserId;
use shared::wire::client::ClientInfo;
use shared::wire::facts::{Fact, FactKind};

use super::device::Device;
use crate::control::Control;
use crate::crypt::roots;
use crate::db::TenantTx;
use crate::failure::Failure;
use crate::notices::{self, NewDevice};
use crate::users::{self, UserError};

/// The member of a fact that describes the client.
pub const CLIENT: &str = "client";
/// Marks that are kept of a user; those that were seen least recently go.
const MARKS: i64 = 50;

/// State for the facts of one tenant in a batch. No `Debug`: it has a key.
#[derive(Default)]
pub struct Seen {
    key: Option<Secret>,
}

impl Seen {
    async fn key(&mut self, tx: &mut TenantTx) -> Result<Secret, Failure> {
        match &self.key {
            Some(key) => Ok(key.clone()),
            None => Ok(self.key.insert(roots::seen_by(tx).await?).clone()),
        }
    }
}

/// Records the device and country of a sign-in, and mails the user about a new one.
///
/// # Errors
/// Errors of the database.
pub async fn take_over(
    control: &Control,
    tx: &mut TenantTx,
    state: &mut Seen,
    fact: &Fact,
    at: DateTime<Utc>,
) -> Result<(), Failure> {
    let (FactKind::SignedIn, Some(user), Some(client)) = (&fact.kind, fact.user, fact.more.get(CLIENT))
    else {
        return Ok(());
    };
    let Ok(client) = serde_json::from_value::<ClientInfo>(client.clone()) else { return Ok(()) };
    let device = client.agent.as_deref().map(|agent| Device::of(agent).name(agent));
    let seen = [("device", device.as_deref()), ("country", client.country.as_deref())];
    let key = state.key(tx).await?;
    if !is_new(tx, user, (&key, seen), at).await? {
        return Ok(());
    }
    let place: Vec<String> = client.city.into_iter().chain(client.country).collect();
    let new = NewDevice {
        device: device.unwrap_or_default(),
        place: place.join(", "),
        client: fact.network.clone().unwrap_or_default(),
        at,
    };
    match users::find(tx, user).await {
        Ok(user) => notices::new_device(control, tx, &user, new).await,
        Err(UserError::Failure(failure)) => Err(failure),
        Err(_) => Ok(()),
    }
}

/// Notes what was seen, in one statement, and says whether one of it was not seen before though others of its kind were.
async fn is_new(
    tx: &mut TenantTx,
    user: UserId,
    (key, seen): (&Secret, [(&'static str, Option<&str>); 2]),
    at: DateTime<Utc>,
) -> Result<bool, Failure> {
    let tenant = tx.tenant();
    let (mut kinds, mut marks) = (Vec::new(), Vec::new());
    for (kind, text) in seen.into_iter().filter_map(|(kind, text)| Some((kind, text?))) {
        let list: [&[u8]; 4] = [tenant.as_bytes(), user.as_bytes(), kind.as_bytes(), text.as_bytes()];
        kinds.push(kind.to_owned());
        marks.push(mac(key, "seen-device/v1", &list).to_vec());
    }
    let is_new = sqlx::query_scalar!(
        r#"with had as (
            select distinct kind from seen_devices where tenant_id = $1 and user_id = $2
        ),
        put as (
            insert into seen_devices as s (tenant_id, user_id, kind, mark, seen_at)
            select u.tenant_id, u.id, seen.kind, seen.mark, $5
            from users u, unnest($3::text[], $4::bytea[]) as seen (kind, mark)
            where u.tenant_id = $1 and u.id = $2
            on conflict (tenant_id, user_id, mark) do update
            set seen_at = greatest(s.seen_at, excluded.seen_at)
            returning s.kind, s.xmax = 0 as is_new
        )
        select exists (select from put join had using (kind) where put.is_new) as "is_new!""#,
        tenant.uuid(),
        user.uuid(),
        &kinds,
        &marks,
        at,
    )
    .fetch_one(&mut **tx)
    .await?;
    if is_new {
        forget_beyond(tx, user).await?;
    }
    Ok(is_new)
}

async fn forget_beyond(tx: &mut TenantTx, user: UserId) -> Result<(), Failure> {
    sqlx::query!(
        "delete from seen_devices
         where tenant_id = $1 and user_id = $2 and mark in (
            select mark from seen_devices where tenant_id = $1 and user_id = $2
            order by seen_at desc, mark
            offset $3
         )",
        tx.tenant().uuid(),
        user.uuid(),
        MARKS,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

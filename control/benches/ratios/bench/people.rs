//! Users with names that are as long and as often alike as those of people, and their rows, sealed by the product.

use chrono::{DateTime, TimeDelta, Utc};
use control::control::Control;
use control::crypt::personal::UserKey;
use control::db::TenantTx;
use control::users::search::index;
use control::users::store::{PersonalColumns, insert_keys};
use control::users::{Profile, identifiers, verifiers};
use control::world::{random, unix_ms};
use shared::identifiers::Identifier;
use shared::ids::{TenantId, UserId};
use shared::passwords::Verifier;
use uuid::Uuid;

use super::Outcome;
use super::samples::Chance;

const SYLLABLES: [&str; 24] = [
    "ma", "ri", "an", "jo", "ka", "le", "so", "ni", "ta", "el", "ro", "bi", "da", "vi", "ga", "lu", "pe",
    "ha", "ze", "mo", "fe", "wil", "ber", "sch",
];
const FIRST_NAMES: usize = 400;
const LAST_NAMES: usize = 12_000;
const DOMAINS: [&str; 5] =
    ["mail.example", "post.example", "acme.example", "university.example", "home.example"];

fn name(number: usize, endings: &[&str]) -> String {
    let mut text = String::new();
    let mut rest = number;
    for _ in 0..2 {
        text += SYLLABLES[rest % SYLLABLES.len()];
        rest /= SYLLABLES.len();
    }
    text += endings[rest % endings.len()];
    text[..1].to_uppercase() + &text[1..]
}

/// The first name that most users have.
pub fn common_first_name() -> String {
    first_name(0)
}

fn first_name(number: usize) -> String {
    name(number, &["", "na"])
}

fn last_name(number: usize) -> String {
    let endings = [
        "son", "mann", "ova", "ini", "berg", "ston", "ides", "escu", "ez", "ic", "ley", "ford", "wood",
        "ard", "eau", "sen", "ski", "enko", "ado", "ura", "moto",
    ];
    name(number, &endings)
}

/// The profile of the user with this number, the same in every run.
pub fn profile(number: u32) -> Profile {
    let mut chance = Chance(u64::from(number));
    let first_name = first_name(chance.among(FIRST_NAMES));
    let last_name = last_name(chance.among(LAST_NAMES));
    let username = format!("{}.{}{number}", first_name.to_lowercase(), last_name.to_lowercase());
    let email = format!("{username}@{}", DOMAINS[chance.among(DOMAINS.len())]);
    let phone = format!("+44 7700 {:06}", chance.below(1_000_000));
    Profile { username, email: Some(email), first_name, last_name, phone, ..Profile::default() }
}

/// Of a hundred users one is suspended, and so on.
fn status(number: u32) -> &'static str {
    match number % 200 {
        7 | 107 => "suspended",
        31 | 131 | 181 => "inactive",
        53 => "pending",
        _ => "active",
    }
}

fn role(number: u32) -> &'static str {
    match (number % 500, number % 50) {
        (3, _) => "co-admin",
        (_, 11) => "staff",
        _ => "client",
    }
}

/// When the user with this number was made: one every half a minute.
pub fn created_at(now: DateTime<Utc>, number: u32, of: u32) -> DateTime<Utc> {
    now - TimeDelta::seconds(30) * i32::try_from(of - number).unwrap_or(i32::MAX)
}

/// Users of a tenant whose rows are made together.
#[derive(Clone, Copy)]
pub struct Part {
    /// The tenant.
    pub tenant: TenantId,
    /// The number of the first.
    pub from: u32,
    /// The number behind the last.
    pub to: u32,
    /// All users of the tenant.
    pub of: u32,
}

/// The columns of new users.
#[derive(Default)]
pub struct Columns {
    /// Their ids.
    pub ids: Vec<Uuid>,
    wrapped_keys: Vec<Vec<u8>>,
    personal: Vec<PersonalColumns>,
    verifiers: Vec<Vec<u8>>,
    created_at: Vec<DateTime<Utc>>,
    numbers: Vec<u32>,
}

impl Columns {
    /// Seals profiles under new keys.
    ///
    /// # Errors
    /// Without randomness.
    pub fn seal(
        tx: &TenantTx,
        profiles: &[Profile],
        numbers: Vec<u32>,
        created_at: Vec<DateTime<Utc>>,
    ) -> Outcome<Self> {
        let verifier = Verifier::dummy([7; 16], [9; 32]);
        let mut columns = Self { created_at, numbers, ..Self::default() };
        for (profile, at) in profiles.iter().zip(&columns.created_at) {
            let id = UserId::new(unix_ms(*at), random()?);
            let (key, wrapped) = UserKey::make(tx.keys(), id)?;
            columns.ids.push(id.uuid());
            columns.wrapped_keys.push(wrapped);
            columns.personal.push(PersonalColumns::of(&key, profile)?);
            columns.verifiers.push(verifiers::seal(tx.keys(), id, &verifier)?);
        }
        Ok(columns)
    }

    /// Writes the rows of `user_keys` and `users`.
    ///
    /// # Errors
    /// Errors of the database.
    pub async fn insert(&self, tx: &mut TenantTx) -> Outcome<()> {
        insert_keys(tx, &self.ids, &self.wrapped_keys).await?;
        let column =
            |of: fn(&PersonalColumns) -> &Vec<u8>| self.personal.iter().map(|it| of(it).clone()).collect();
        let (usernames, first_names): (Vec<_>, Vec<_>) =
            (column(|it| &it.username), column(|it| &it.first_name));
        let (last_names, phones): (Vec<_>, Vec<_>) = (column(|it| &it.last_name), column(|it| &it.phone));
        let emails: Vec<_> = self.personal.iter().map(|it| it.email.clone()).collect();
        let statuses: Vec<_> = self.numbers.iter().map(|number| status(*number)).collect();
        // One in ten has not confirmed the address yet, one in five has never signed in.
        let verified: Vec<_> = self.numbers.iter().map(|number| number % 10 != 0).collect();
        let logins: Vec<_> = self.created_at.iter().zip(&self.numbers).collect();
        let logins: Vec<_> = logins.iter().map(|(at, number)| (*number % 5 != 0).then_some(**at)).collect();
        sqlx::query(
            "insert into users
                 (tenant_id, id, username, email, first_name, last_name, phone, status, email_verified,
                  wrapped_verifier, last_login, created_at, updated_at)
             select $1, id, username, email, first_name, last_name, phone, status, verified, verifier, login, at, at
             from unnest($2::uuid[], $3::bytea[], $4::bytea[], $5::bytea[], $6::bytea[], $7::bytea[], $8::text[],
                 $9::bool[], $10::bytea[], $11::timestamptz[], $12::timestamptz[])
                 as u (id, username, email, first_name, last_name, phone, status, verified, verifier, login, at)",
        )
        .bind(tx.tenant().uuid())
        .bind(&self.ids)
        .bind(usernames)
        .bind(emails)
        .bind(first_names)
        .bind(last_names)
        .bind(phones)
        .bind(statuses)
        .bind(verified)
        .bind(&self.verifiers)
        .bind(logins)
        .bind(&self.created_at)
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    async fn insert_roles(&self, tx: &mut TenantTx) -> Outcome<()> {
        let roles: Vec<_> = self.numbers.iter().map(|number| role(*number)).collect();
        sqlx::query(
            "insert into user_roles (tenant_id, user_id, role, created_at)
             select $1, * from unnest($2::uuid[], $3::text[], $4::timestamptz[])",
        )
        .bind(tx.tenant().uuid())
        .bind(&self.ids)
        .bind(roles)
        .bind(&self.created_at)
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    async fn insert_identifiers(&self, tx: &mut TenantTx, profiles: &[Profile]) -> Outcome<()> {
        let (keys, tenant) = (identifiers::Keys::to_write(tx).await?, tx.tenant());
        let (mut hashes, mut users, mut versions) = (Vec::new(), Vec::new(), Vec::new());
        for (id, profile) in self.ids.iter().zip(profiles) {
            for name in [Some(&profile.username), profile.email.as_ref()].into_iter().flatten() {
                for hash in keys.name(&Identifier::parse(name)?) {
                    hashes.push(hash.text);
                    users.push(*id);
                    versions.push(hash.version);
                }
            }
        }
        sqlx::query(
            "insert into identifiers (tenant_id, hash, user_id, version)
             select $1, * from unnest($2::text[], $3::uuid[], $4::integer[])",
        )
        .bind(tenant.uuid())
        .bind(hashes)
        .bind(users)
        .bind(versions)
        .execute(&mut **tx)
        .await?;
        Ok(())
    }
}

/// Makes the users of a part, with everything that belongs to a user but the edge's copy.
///
/// # Errors
/// Errors of the database.
pub async fn insert(control: &Control, now: DateTime<Utc>, part: Part) -> Outcome<u32> {
    let numbers: Vec<u32> = (part.from..part.to).collect();
    let profiles: Vec<Profile> = numbers.iter().map(|number| profile(*number)).collect();
    let created_at = numbers.iter().map(|number| created_at(now, *number, part.of)).collect();
    let mut tx = control.db.tenant_tx(part.tenant).await?;
    let columns = Columns::seal(&tx, &profiles, numbers, created_at)?;
    columns.insert(&mut tx).await?;
    columns.insert_identifiers(&mut tx, &profiles).await?;
    columns.insert_roles(&mut tx).await?;
    let users = columns.ids.iter().map(|id| UserId::from(*id)).zip(&profiles);
    index::write(&mut tx, users.collect::<Vec<_>>()).await?;
    tx.commit().await?;
    Ok(part.to - part.from)
}

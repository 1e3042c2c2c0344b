//! Lists of users, by the API and without it, each next to a read of one user.

use std::collections::HashMap;

use control::control::Control;
use control::http::cursor::Position;
use control::http::rows::{Rows, position};
use control::tenants::Tenant;
use control::users::{self, Matching, User};
use reqwest::Client;
use serde::Deserialize;
use shared::ids::{TenantId, UserId};
use uuid::Uuid;

use super::Outcome;
use super::asks::{ASKS, Ask, Asked, Place};
use super::report::{Line, Lists};
use super::samples::{Chance, Samples};
use super::signer::Signer;
use super::stage::Stage;

/// Users of a page.
const PAGE: i64 = 20;
/// Rows that numbers of pages are meant to reach.
const BY_NUMBER: i64 = 10_000;
/// Tokens are replaced after so many seconds.
const FRESH: i64 = 120;

/// Tenants of one size.
pub struct Group<'s> {
    stage: &'s Stage,
    tenants: Vec<Tenant>,
    /// How many users each has.
    users: u32,
    http: Client,
    chance: Chance,
    known: HashMap<TenantId, Known>,
}

/// Data of a tenant, read once.
struct Known {
    signer: Signer,
    token: String,
    signed_at: i64,
    /// Some of its users.
    users: Vec<Uuid>,
    /// Where the page half way begins: the query of the request, and the row before.
    deep: (String, Position),
}

/// How long one question took.
#[derive(Default)]
struct Taken {
    api: Samples,
    store: Samples,
}

#[derive(Deserialize)]
struct Page {
    next: Option<String>,
}

impl<'s> Group<'s> {
    /// Tenants of a stage.
    pub fn new(stage: &'s Stage, tenants: Vec<Tenant>, users: u32) -> Self {
        let (http, chance) = (Client::new(), Chance(1));
        Self { stage, tenants, users, http, chance, known: HashMap::new() }
    }

    /// Asks everything in each of `rounds`, at a tenant of the group by chance.
    ///
    /// # Errors
    /// For an answer other than 200, and the database's.
    pub async fn measure(&mut self, title: &str, rounds: u32) -> Outcome<Lists> {
        let mut reads = Taken::default();
        let mut taken: Vec<Taken> = ASKS.iter().map(|_| Taken::default()).collect();
        for round in 0..rounds {
            let tenant = self.tenants[self.chance.below(self.tenants.len())].id;
            self.meet(tenant).await?;
            self.read(tenant, &mut reads).await?;
            // Whatever one leaves in memories for the next, it is another one in the next round.
            for at in 0..ASKS.len() {
                let at = (at + round as usize) % ASKS.len();
                if round % ASKS[at].every == 0 {
                    self.ask(tenant, ASKS[at], &mut taken[at]).await?;
                }
            }
        }
        let lines = ASKS.iter().zip(&taken).map(|(ask, taken)| Line {
            what: ask.what.to_owned(),
            api: taken.api.times(),
            store: taken.store.times(),
            promise: ask.promise,
        });
        let read = Line {
            what: "read of one user".to_owned(),
            api: reads.api.times(),
            store: reads.store.times(),
            promise: None,
        };
        Ok(Lists { title: title.to_owned(), lines: std::iter::once(read).chain(lines).collect() })
    }

    fn control(&self) -> &'s Control {
        &self.stage.control
    }

    /// Learns what questions to this tenant need.
    async fn meet(&mut self, tenant: TenantId) -> Outcome<()> {
        let control = self.control();
        let now = control.clock.now().timestamp();
        if let Some(known) = self.known.get_mut(&tenant) {
            if now - known.signed_at > FRESH {
                known.token = known.signer.token(now)?;
                known.signed_at = now;
            }
            return Ok(());
        }
        let of = self.tenants.iter().find(|it| it.id == tenant).ok_or("a tenant of the group")?;
        let signer = Signer::of(control, of).await?;
        let token = signer.token(now)?;
        let deep = self.walk(&signer, tenant).await?;
        let users = self.some_users(tenant).await?;
        self.known.insert(tenant, Known { signer, token, signed_at: now, users, deep });
        Ok(())
    }

    /// Users from all over the list.
    async fn some_users(&self, tenant: TenantId) -> Outcome<Vec<Uuid>> {
        let mut tx = self.control().db.tenant_tx(tenant).await?;
        let every = (self.users / 1_000).max(1);
        let users = sqlx::query_scalar(
            "select id from (
                 select id, row_number() over (order by created_at, id) as n from users where tenant_id = $1
             ) u
             where n % $2 = 0",
        )
        .bind(tenant.uuid())
        .bind(i64::from(every))
        .fetch_all(&mut *tx)
        .await?;
        Ok(users)
    }

    /// Follows the cursors of a list half way.
    async fn walk(&self, signer: &Signer, tenant: TenantId) -> Outcome<(String, Position)> {
        let control = self.control();
        let mut path = "/api/user/users/?cursor=".to_owned();
        let steps = (i64::from(self.users) / 2 / PAGE).max(1);
        let (mut token, mut signed_at) = (String::new(), 0);
        for step in 0..steps {
            let now = control.clock.now().timestamp();
            if now - signed_at > FRESH {
                (token, signed_at) = (signer.token(now)?, now);
            }
            if step % 5_000 == 4_999 {
                eprintln!("page {} by cursor", step + 1);
            }
            let page: Page = serde_json::from_slice(&self.get(&token, &path).await?)?;
            let next = page.next.ok_or("a list has another half")?;
            path = next.find("/api/").and_then(|at| next.get(at..)).ok_or("a link has a path")?.to_owned();
        }
        let mut tx = control.db.tenant_tx(tenant).await?;
        let before = users::in_order(1, steps * PAGE - 1);
        let user =
            users::list(&mut tx, &Matching::default(), &before).await?.pop().ok_or("a user is there")?;
        Ok((path, position(&user, &before.order)))
    }

    async fn get(&self, token: &str, path: &str) -> Outcome<Vec<u8>> {
        let url = format!("http://{}{path}", self.stage.api);
        let response = self.http.get(url).bearer_auth(token).send().await?;
        let (status, body) = (response.status(), response.bytes().await?);
        if status != reqwest::StatusCode::OK {
            return Err(format!("{status} for {path}: {}", String::from_utf8_lossy(&body)).into());
        }
        Ok(body.into())
    }

    fn known(&self, tenant: TenantId) -> Outcome<&Known> {
        Ok(self.known.get(&tenant).ok_or("the tenant was met")?)
    }

    /// The baseline: one user by the primary key, decrypted.
    async fn read(&mut self, tenant: TenantId, taken: &mut Taken) -> Outcome<()> {
        let control = self.control();
        // Two users, so that the second read is no cheaper than the first.
        let mut next = self.chance;
        let known = self.known(tenant)?;
        let mut user = || known.users[next.below(known.users.len())];
        let path = format!("/api/user/users/{}/", user());
        taken.api.time(self.get(&known.token, &path)).await?;
        let id = UserId::from(user());
        let read = async {
            let mut tx = control.db.tenant_tx(tenant).await?;
            Outcome::Ok(users::find(&mut tx, id).await?)
        };
        taken.store.time(read).await?;
        self.chance = next;
        Ok(())
    }

    async fn ask(&mut self, tenant: TenantId, ask: Ask, taken: &mut Taken) -> Outcome<()> {
        let control = self.control();
        let now = control.clock.now();
        // Other names for the second, so that it is no cheaper than the first.
        let mut queries =
            [0, 1].map(|_| ask.query(now, self.chance.number(self.users), self.users)).into_iter();
        let (by_api, in_store) = (queries.next().unwrap_or_default(), queries.next().unwrap_or_default());
        let known = self.known(tenant)?;
        let page = (i64::from(self.users) / 2).min(BY_NUMBER) / PAGE;
        let (path, from) = match ask.place {
            Place::First => (format!("/api/user/users/?{by_api}"), From::Row(0)),
            Place::Number => (format!("/api/user/users/?{by_api}&page={page}"), From::Row((page - 1) * PAGE)),
            Place::Last => (format!("/api/user/users/?{by_api}&page=last"), From::Last),
            Place::Deep => (known.deep.0.clone(), From::Behind(known.deep.1.clone())),
        };
        taken.api.time(self.get(&known.token, &path)).await?;
        let asked = ask.asked(&in_store)?;
        taken.store.time(list(control, tenant, asked, from)).await?;
        Ok(())
    }
}

/// Where a page begins.
pub enum From {
    /// Behind so many rows.
    Row(i64),
    /// Behind the row that a cursor names.
    Behind(Position),
    /// Where the last page does.
    Last,
}

/// The work of the route between the check of the token and the answer.
///
/// # Errors
/// Errors of the database.
pub async fn list(control: &Control, tenant: TenantId, asked: Asked, from: From) -> Outcome<Vec<User>> {
    let tx = control.db.tenant_tx(tenant).await?.for_long_read(&control.db).await?;
    let (matching, mut tx) = Matching::of(tx, asked.filters).await?;
    let count = users::count(&mut tx, &matching, asked.counts_all).await?;
    let (after, offset) = match from {
        From::Row(offset) => (None, offset),
        From::Behind(row) => (Some(row), 0),
        From::Last => (None, (count.rows() - 1) / PAGE * PAGE),
    };
    // One row more shows whether there is a next page.
    let rows = Rows { order: asked.order, after, limit: PAGE + 1, offset };
    let mut users = users::list(&mut tx, &matching, &rows).await?;
    users.retain(|user| matching.holds(user));
    Ok(users)
}

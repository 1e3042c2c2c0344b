//! The part of an audit entry that may tell of a user, as it is stored: the client's address and the details.
//!
//! It is encrypted under the data key of the target if that is a user, else of the acting user, else under the key of
//! the log. So destroying a user's key erases the user's data from the log, and the chain, which hashes the stored
//! bytes, still verifies. The first byte is the form.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::ids::UserId;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::crypt::audit_key::AuditKey;
use crate::crypt::personal::UserKey;
use crate::crypt::sealed::TenantKeys;
use crate::failure::Failure;

/// JSON in clear, for an empty body.
const CLEAR: u8 = 0;
/// The JSON, encrypted by [`AuditKey::seal`].
const OF_LOG: u8 = 1;
/// The id of a user in 16 bytes, and what [`UserKey::seal_entry`] makes of the JSON.
const OF_USER: u8 = 2;
const UNREADABLE: Failure = Failure::Unreadable("audit_entries.body");

/// The client's address and the details of an entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Body {
    /// The client's address, as the edge saw it.
    pub client: Option<String>,
    /// Names of fields and states, never values of personal data.
    pub details: Value,
}

impl Body {
    /// Whether there is nothing in it.
    #[must_use]
    pub fn tells_nothing(&self) -> bool {
        self.client.is_none() && self.details.as_object().is_some_and(serde_json::Map::is_empty)
    }
}

/// The key of a tenant's log and those of some of its users, which seal and open bodies.
#[derive(Default)]
pub struct BodyKeys {
    log: Option<AuditKey>,
    users: HashMap<UserId, UserKey>,
}

impl BodyKeys {
    /// The log's, and those of `users` who have one. The connection is in the tenant's rows.
    ///
    /// # Errors
    /// Errors of the database.
    pub async fn of(
        connection: &mut PgConnection,
        tenant: &TenantKeys,
        users: &[Uuid],
    ) -> Result<Self, Failure> {
        let rows = sqlx::query!(
            r#"select null::uuid as user_id, wrapped as "wrapped!" from audit_keys where tenant_id = $1
            union all
            select user_id, wrapped from user_keys where tenant_id = $1 and user_id = any ($2)"#,
            tenant.tenant().uuid(),
            users,
        )
        .fetch_all(connection)
        .await?;
        let mut keys = Self::default();
        // One altered key must not stop the other entries from being written or read.
        for row in rows {
            match row.user_id.map(UserId::from) {
                None => keys.log = AuditKey::unwrap(tenant, &row.wrapped).ok(),
                Some(user) => {
                    keys.users
                        .extend(UserKey::unwrap(tenant, user, &row.wrapped).ok().map(|key| (user, key)));
                }
            }
        }
        Ok(keys)
    }

    /// The keys that these stored bodies need.
    ///
    /// # Errors
    /// As [`BodyKeys::of`].
    pub async fn for_stored<'b>(
        connection: &mut PgConnection,
        tenant: &TenantKeys,
        bodies: impl Iterator<Item = &'b [u8]> + Send,
    ) -> Result<Self, Failure> {
        let sealed: Vec<&[u8]> = bodies.filter(|body| !body.starts_with(&[CLEAR])).collect();
        if sealed.is_empty() {
            return Ok(Self::default());
        }
        let mut users: Vec<Uuid> = sealed.iter().filter_map(|body| Some(of_user(body)?.0.uuid())).collect();
        users.sort_unstable();
        users.dedup();
        Self::of(connection, tenant, &users).await
    }

    /// The stored and hashed bytes of the body of the entry with this id, encrypted under the key of the first of
    /// `owners` that has one.
    ///
    /// # Errors
    /// [`Failure::Unreadable`] if no owner has a key, and that of the log cannot be decrypted; no randomness.
    pub fn close(&self, entry: Uuid, owners: &[Uuid], body: &Body) -> Result<Vec<u8>, Failure> {
        let json = serde_json::to_vec(body).map_err(|_| UNREADABLE)?;
        if body.tells_nothing() {
            return Ok([&[CLEAR], &json[..]].concat());
        }
        let owner = owners.iter().map(|owner| UserId::from(*owner)).find_map(|owner| {
            let key = self.users.get(&owner)?;
            Some((owner, key))
        });
        match owner {
            Some((owner, key)) => {
                let sealed = key.seal_entry(entry, &json)?;
                Ok([&[OF_USER][..], owner.as_bytes(), &sealed].concat())
            }
            None => {
                let sealed = self.of_log()?.seal(entry, &json)?;
                Ok([&[OF_LOG][..], &sealed].concat())
            }
        }
    }

    /// Opens stored bytes of the entry with this id.
    ///
    /// # Errors
    /// [`Failure::Unreadable`] for another form, another entry, and where the user's key was destroyed.
    pub fn open(&self, entry: Uuid, stored: &[u8]) -> Result<Body, Failure> {
        let (form, rest) = stored.split_first().ok_or(UNREADABLE)?;
        let opened = match *form {
            CLEAR => return serde_json::from_slice(rest).map_err(|_| UNREADABLE),
            OF_LOG => self.of_log()?.open(entry, rest)?,
            OF_USER => {
                let (user, sealed) = of_user(stored).ok_or(UNREADABLE)?;
                self.users.get(&user).ok_or(UNREADABLE)?.open_entry(entry, sealed)?
            }
            _ => return Err(UNREADABLE),
        };
        serde_json::from_slice(&opened).map_err(|_| UNREADABLE)
    }

    /// The keyed hash of a body's address, if it has one.
    ///
    /// # Errors
    /// [`Failure::Unreadable`] if the key of the log cannot be decrypted.
    pub fn client_key(&self, body: &Body) -> Result<Option<String>, Failure> {
        body.client.as_deref().map(|address| Ok(self.of_log()?.client(address))).transpose()
    }

    fn of_log(&self) -> Result<&AuditKey, Failure> {
        self.log.as_ref().ok_or(Failure::Unreadable("audit_keys.wrapped"))
    }
}

fn of_user(stored: &[u8]) -> Option<(UserId, &[u8])> {
    let (user, sealed) = stored.strip_prefix(&[OF_USER])?.split_first_chunk::<16>()?;
    Some((UserId::from(Uuid::from_bytes(*user)), sealed))
}

/// Gives a new tenant the key of its log. The connection is in the tenant's rows.
///
/// # Errors
/// Errors of the database.
pub async fn insert_key(connection: &mut PgConnection, tenant: &TenantKeys) -> Result<(), Failure> {
    let (_, wrapped) = AuditKey::make(tenant)?;
    sqlx::query!(
        "insert into audit_keys (tenant_id, wrapped) values ($1, $2)",
        tenant.tenant().uuid(),
        wrapped,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The keyed hash of this client's address, for the filter. The connection must be in the tenant.
///
/// # Errors
/// Errors of the database, and a key of the log that does not open.
pub async fn client_key(
    connection: &mut PgConnection,
    tenant: &TenantKeys,
    address: &str,
) -> Result<String, Failure> {
    let keys = BodyKeys::of(connection, tenant, &[]).await?;
    Ok(keys.of_log()?.client(address))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shared::derive::Secret;
    use shared::ids::TenantId;

    use super::*;

    fn keys(tenant: u8, users: &[u8]) -> BodyKeys {
        let tenant =
            TenantKeys::new(TenantId::new(1, [tenant; 10]), vec![(1, Secret::new([tenant; 32]))]).unwrap();
        let user = |byte: &u8| {
            let id = UserId::new(1, [*byte; 10]);
            (id, UserKey::make(&tenant, id).unwrap().0)
        };
        let users = users.iter().map(user).collect();
        BodyKeys { log: Some(AuditKey::make(&tenant).unwrap().0), users }
    }

    fn id(byte: u8) -> Uuid {
        UserId::new(1, [byte; 10]).uuid()
    }

    #[test]
    fn a_body_opens_in_its_own_entry_under_the_key_of_its_owner_alone() {
        let body = Body { client: Some("192.0.2.7".into()), details: json!({"from": "active"}) };
        let (entry, keys) = (Uuid::from_u128(1), keys(1, &[1, 2]));
        for (owners, form) in [(vec![id(1), id(2)], OF_USER), (vec![id(9)], OF_LOG), (vec![], OF_LOG)] {
            let stored = keys.close(entry, &owners, &body).unwrap();
            assert_eq!(stored[0], form);
            assert_eq!(keys.open(entry, &stored).unwrap(), body);
            assert!(keys.open(Uuid::from_u128(2), &stored).is_err(), "another entry");
            for length in 0..stored.len() {
                assert!(keys.open(entry, &stored[..length]).is_err());
            }
        }
        for owners in [[id(9), id(2)], [id(2), id(1)]] {
            let stored = keys.close(entry, &owners, &body).unwrap();
            assert_eq!(of_user(&stored).unwrap().0.uuid(), id(2), "the first who has a key");
        }
        let stored = keys.close(entry, &[id(2)], &body).unwrap();
        let without = BodyKeys::default();
        assert!(without.open(entry, &stored).is_err(), "a destroyed key erases");
        assert!(without.close(entry, &[], &body).is_err(), "never in clear");
        assert!(without.client_key(&body).is_err());
    }

    #[test]
    fn a_body_that_tells_nothing_is_in_clear() {
        let body = Body { client: None, details: json!({}) };
        let stored = keys(1, &[1]).close(Uuid::nil(), &[id(1)], &body).unwrap();
        assert_eq!(stored, b"\0{\"client\":null,\"details\":{}}");
        assert_eq!(keys(2, &[]).open(Uuid::nil(), &stored).unwrap(), body);
    }
}

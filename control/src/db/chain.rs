//! The canonical form of an audit entry, and its hash, which chains it to the previous entry.
//!
//! The canonical form is the stored columns as length-prefixed fields behind a label ([`shared::fields`]),
//! with the hash of the entry before as the first of them. It is pure: [`super::entries`] writes the chain,
//! `crate::audit::verify` reads it.

use aws_lc_rs::digest::{SHA256, digest};
use chrono::{DateTime, Utc};
use shared::fields;
use sqlx::FromRow;
use uuid::Uuid;

const LABEL: &str = "audit-entry/v1";

/// SHA-256 of an entry's canonical form.
pub type Hash = [u8; 32];

/// The previous hash of the first entry of a log.
pub const GENESIS: Hash = [0; 32];

/// The hashed columns of an entry, as stored.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Link {
    /// The tenant.
    pub tenant_id: Uuid,
    /// Its place in the tenant's log, from 1.
    pub position: i64,
    /// When it was committed.
    pub recorded_at: DateTime<Utc>,
    /// Its id.
    pub id: Uuid,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// The kind of actor.
    pub actor_kind: String,
    /// The actor's id.
    pub actor: Option<String>,
    /// The action.
    pub action: String,
    /// `done` or `refused`.
    pub outcome: String,
    /// The target.
    pub target: Option<String>,
    /// The fact's id at the edge.
    pub event_id: Option<Uuid>,
    /// The request.
    pub request_id: Option<String>,
    /// The personal part ([`super::body`]), as it is stored.
    pub body: Vec<u8>,
}

impl Link {
    /// The canonical form, behind the entry that has the hash `before`.
    #[must_use]
    pub fn form(&self, before: &Hash) -> Vec<u8> {
        let text = |text: &Option<String>| present(text.as_deref().map(str::as_bytes));
        fields::encode(
            LABEL,
            &[
                before,
                self.tenant_id.as_bytes(),
                &self.position.to_be_bytes(),
                &self.recorded_at.timestamp_micros().to_be_bytes(),
                self.id.as_bytes(),
                &self.at.timestamp_micros().to_be_bytes(),
                self.actor_kind.as_bytes(),
                &text(&self.actor),
                self.action.as_bytes(),
                self.outcome.as_bytes(),
                &text(&self.target),
                &present(self.event_id.as_ref().map(|id| &id.as_bytes()[..])),
                &text(&self.request_id),
                &self.body,
            ],
        )
    }

    /// The hash behind the entry that has the hash `before`.
    #[must_use]
    pub fn hash(&self, before: &Hash) -> Hash {
        hash(&self.form(before))
    }

    /// Reads a canonical form: the hash of the entry before, and the entry.
    #[must_use]
    pub fn parse(form: &[u8]) -> Option<(Hash, Self)> {
        let list = fields::decode(LABEL, form)?;
        let [
            before,
            tenant,
            position,
            recorded_at,
            id,
            at,
            kind,
            actor,
            action,
            outcome,
            target,
            event,
            request,
            body,
        ] = list.try_into().ok()?;
        let link = Self {
            tenant_id: Uuid::from_slice(tenant).ok()?,
            position: number(position)?,
            recorded_at: DateTime::from_timestamp_micros(number(recorded_at)?)?,
            id: Uuid::from_slice(id).ok()?,
            at: DateTime::from_timestamp_micros(number(at)?)?,
            actor_kind: text(kind)?,
            actor: perhaps(optional(actor)?, text)?,
            action: text(action)?,
            outcome: text(outcome)?,
            target: perhaps(optional(target)?, text)?,
            event_id: perhaps(optional(event)?, |id| Uuid::from_slice(id).ok())?,
            request_id: perhaps(optional(request)?, text)?,
            body: body.to_vec(),
        };
        Some((before.try_into().ok()?, link))
    }
}

/// The hash of a canonical form.
#[must_use]
pub fn hash(form: &[u8]) -> Hash {
    let mut hash = GENESIS;
    hash.copy_from_slice(digest(&SHA256, form).as_ref());
    hash
}

/// An absent value is an empty field and a present one begins with a byte of its own: an empty text is another
/// value than none.
fn present(value: Option<&[u8]>) -> Vec<u8> {
    value.map(|value| [&[1], value].concat()).unwrap_or_default()
}

fn optional(field: &[u8]) -> Option<Option<&[u8]>> {
    match field.split_first() {
        None => Some(None),
        Some((1, value)) => Some(Some(value)),
        Some(_) => None,
    }
}

/// Reads a value that may be absent: another thing than one that cannot be read.
fn perhaps<T>(value: Option<&[u8]>, read: impl Fn(&[u8]) -> Option<T>) -> Option<Option<T>> {
    match value {
        None => Some(None),
        Some(value) => read(value).map(Some),
    }
}

fn number(field: &[u8]) -> Option<i64> {
    Some(i64::from_be_bytes(field.try_into().ok()?))
}

fn text(field: &[u8]) -> Option<String> {
    String::from_utf8(field.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn link() -> Link {
        Link {
            tenant_id: Uuid::from_u128(1),
            position: 2,
            recorded_at: DateTime::from_timestamp_micros(1_800_000_000_000_003).unwrap(),
            id: Uuid::from_u128(4),
            at: DateTime::from_timestamp_micros(1_800_000_000_000_005).unwrap(),
            actor_kind: "person".into(),
            actor: Some("ada".into()),
            action: "user.edited".into(),
            outcome: "done".into(),
            target: None,
            event_id: None,
            request_id: Some(String::new()),
            body: b"\0{}".to_vec(),
        }
    }

    /// A vector for verifiers in other languages.
    #[test]
    fn the_hash_of_an_entry_is_this() {
        let hash = link().hash(&GENESIS).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(hash, "161ed67244a4f0dc8bc5ab2c84a962b259f030b606250b360243941a98f3a322");
    }

    #[test]
    fn every_column_counts_and_so_does_the_entry_before() {
        let one = link();
        let others = [
            Link { tenant_id: Uuid::from_u128(9), ..one.clone() },
            Link { position: 3, ..one.clone() },
            Link { recorded_at: one.at, ..one.clone() },
            Link { id: Uuid::from_u128(9), ..one.clone() },
            Link { at: one.recorded_at, ..one.clone() },
            Link { actor_kind: "edge".into(), ..one.clone() },
            Link { actor: None, ..one.clone() },
            Link { action: "user.deleted".into(), ..one.clone() },
            Link { outcome: "refused".into(), ..one.clone() },
            Link { target: Some(String::new()), ..one.clone() },
            Link { event_id: Some(Uuid::nil()), ..one.clone() },
            Link { request_id: None, ..one.clone() },
            Link { body: b"\0[]".to_vec(), ..one.clone() },
        ];
        for other in others {
            assert_ne!(one.hash(&GENESIS), other.hash(&GENESIS), "{other:?}");
        }
        assert_ne!(one.hash(&GENESIS), one.hash(&[1; 32]));
    }

    proptest! {
        #[test]
        fn a_form_is_read_back(
            before: Hash, position: i64, actor: Option<String>, target: Option<String>, event: Option<u128>, body: Vec<u8>,
        ) {
            let event_id = event.map(Uuid::from_u128);
            let link = Link { position, actor, target, event_id, body, ..link() };
            prop_assert_eq!(Link::parse(&link.form(&before)), Some((before, link)));
        }

        #[test]
        fn other_bytes_are_refused(bytes: Vec<u8>) {
            prop_assert_eq!(Link::parse(&bytes), None);
        }
    }
}

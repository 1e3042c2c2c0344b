//! The part of the log that a caller with roles of branches sees: entries about users of these branches. Users outside them
//! are not named: as actors of such entries they are left out.

use shared::ids::{self, UserId};
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use crate::db::{Scope, TenantTx};
use crate::failure::Failure;
use crate::users;

/// The user whom an entry is about.
pub(super) const SUBJECT: &str = "coalesce(target, actor)";
/// The user who acted.
pub(super) const ACTOR: &str = "actor";

/// The condition that the id in `column` is that of a user in one of these branches or below it.
pub(super) fn condition(
    sql: &mut QueryBuilder<Postgres>,
    tenant: Uuid,
    roots: &[Uuid],
    column: &'static str,
) {
    sql.push(
        "\nand exists (select from users u join branches b on b.tenant_id = u.tenant_id and b.id = u.branch",
    );
    sql.push(" where u.tenant_id = ").push_bind(tenant);
    // A target may also be a name or a path. `case` keeps them from the conversion.
    sql.push(" and u.id = case when ").push(column);
    sql.push(" ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then ").push(column).push("::uuid end");
    sql.push(" and b.path && ").push_bind(roots.to_vec()).push(")");
}

/// The users who are named in entries.
#[derive(PartialEq, Eq)]
pub(super) enum NamedUsers {
    /// All of them.
    Everyone,
    /// These.
    Only(Vec<Uuid>),
}

impl NamedUsers {
    /// Those of these users who are named for a caller: with roles of branches only, those within the scope of the
    /// transaction, and the caller.
    ///
    /// # Errors
    /// Errors of the database.
    pub(super) async fn of(
        tx: &mut TenantTx,
        caller: UserId,
        named: impl Iterator<Item = &str>,
    ) -> Result<Self, Failure> {
        if *tx.scope() == Scope::Everyone {
            return Ok(Self::Everyone);
        }
        let others: Vec<_> = named.filter_map(|id| ids::uuid(id).ok()).collect();
        let mut named = users::store::within(tx, &others).await?;
        named.push(caller.uuid());
        Ok(Self::Only(named))
    }

    /// Whether the user of this id is named.
    pub(super) fn has(&self, id: &str) -> bool {
        match self {
            Self::Everyone => true,
            Self::Only(named) => ids::uuid(id).is_ok_and(|id| named.contains(&id)),
        }
    }
}

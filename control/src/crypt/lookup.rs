//! A tenant's lookup roots: the present one, and during a rotation a second one.
//!
//! A transaction that looks rows up by keyed hashes reads [`roots`]. One that writes such hashes uses [`kept`], which
//! blocks the next stage of a rotation until the transaction ends. So two concurrent writers always use the same
//! roots, and see each other's identifiers.

use shared::derive::{Purpose, Secret, derive};

use super::roots::RootKind;
use super::sealed::Column;
use crate::db::TenantTx;
use crate::failure::Failure;

/// How far a rotation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Identifiers are made with the new root beside those that there are.
    Adding,
    /// The edge takes them.
    Confirming,
    /// The new root is in force. Isolates of the edge may have an older document.
    Switched,
    /// The identifiers under the former root are being deleted.
    Removing,
    /// The former root is kept for hashes that cannot be recomputed.
    Former,
}

impl Stage {
    /// As stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Adding => "adding",
            Self::Confirming => "confirming",
            Self::Switched => "switched",
            Self::Removing => "removing",
            Self::Former => "former",
        }
    }

    /// Reads what is stored.
    ///
    /// # Errors
    /// [`Failure::Unreadable`] for anything else.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let all = [Self::Adding, Self::Confirming, Self::Switched, Self::Removing, Self::Former];
        all.into_iter().find(|it| it.as_str() == text).ok_or(Failure::Unreadable("lookup_rotations.stage"))
    }

    /// Whether the new root is in force.
    #[must_use]
    pub fn is_switched(self) -> bool {
        self >= Self::Switched
    }
}

/// A lookup root. No `Debug`.
pub struct LookupRoot {
    /// The version.
    pub version: i32,
    /// The root.
    pub secret: Secret,
}

/// The lookup roots of a tenant.
pub struct LookupRoots {
    /// The one in force.
    pub current: LookupRoot,
    /// While it is rotated: the one that comes in or, once that is in force, the one that goes out.
    pub other: Option<(LookupRoot, Stage)>,
}

impl LookupRoots {
    /// The former root, once the new one is in force, and the stage.
    #[must_use]
    pub fn former(&self) -> Option<(&LookupRoot, Stage)> {
        self.other.as_ref().filter(|(_, stage)| stage.is_switched()).map(|(root, stage)| (root, *stage))
    }
}

/// The lookup roots, for a transaction that only reads identifiers.
///
/// # Errors
/// Errors of the database, or a root that cannot be decrypted.
pub async fn roots(tx: &mut TenantTx) -> Result<LookupRoots, Failure> {
    let rows = sqlx::query!(
        r#"select r.version, r.wrapped, l.stage as "stage?"
        from platform.roots r
        left join platform.lookup_rotations l on l.tenant_id = r.tenant_id
        where r.kind = 'lookup'
        order by r.version desc
        limit 2"#,
    )
    .fetch_all(&mut **tx)
    .await?;
    let stage = rows.first().and_then(|row| row.stage.as_deref()).map(Stage::parse).transpose()?;
    let mut roots = Vec::with_capacity(rows.len());
    for row in rows {
        let bytes = tx.keys().open(Column::Root, &RootKind::Lookup.row(row.version), &row.wrapped)?;
        let secret = Secret::from_slice(&bytes).ok_or(Failure::Unreadable("lookup root"))?;
        roots.push(LookupRoot { version: row.version, secret });
    }
    let mut roots = roots.into_iter();
    let newest = roots.next().ok_or(Failure::Unreadable("lookup root"))?;
    Ok(match (stage, roots.next()) {
        (Some(stage), Some(older)) if stage.is_switched() => {
            LookupRoots { current: newest, other: Some((older, stage)) }
        }
        (Some(stage), Some(older)) => LookupRoots { current: older, other: Some((newest, stage)) },
        (_, _) => LookupRoots { current: newest, other: None },
    })
}

/// The lookup roots, for a transaction that writes identifiers: a rotation stays at its stage until it ends.
///
/// # Errors
/// As [`roots`].
pub async fn kept(tx: &mut TenantTx) -> Result<LookupRoots, Failure> {
    let tenant = tx.tenant();
    // A statement of its own: the next one sees what was committed while this one waited.
    sqlx::query!(
        "select pg_advisory_xact_lock_shared(hashtextextended('wardgate/lookup/' || $1::text, 0))",
        tenant.to_string(),
    )
    .execute(&mut **tx)
    .await?;
    roots(tx).await
}

/// Waits for transactions that write identifiers, and keeps new ones waiting until this transaction ends.
///
/// # Errors
/// Errors of the database.
pub async fn hold(tx: &mut TenantTx) -> Result<(), Failure> {
    let tenant = tx.tenant();
    sqlx::query!(
        "select pg_advisory_xact_lock(hashtextextended('wardgate/lookup/' || $1::text, 0))",
        tenant.to_string(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The key of one purpose, derived from the root in force.
///
/// # Errors
/// As [`roots`].
pub async fn key(tx: &mut TenantTx, purpose: Purpose) -> Result<Secret, Failure> {
    let roots = roots(tx).await?;
    Ok(derive(&roots.current.secret, tx.tenant(), purpose))
}

/// Deletes a root that nothing needs any more.
///
/// # Errors
/// Errors of the database.
pub async fn delete(tx: &mut TenantTx, version: i32) -> Result<(), Failure> {
    let tenant = tx.tenant();
    sqlx::query!(
        "delete from platform.roots where tenant_id = $1 and kind = 'lookup' and version = $2",
        tenant.uuid(),
        version,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

//! Deletes the identifiers of the old root, in short transactions and in the order of their hashes.
//!
//! It waits for no lock: rows that another transaction holds are left for the next round. So it cannot deadlock with
//! a rename or a deletion of a user.

use std::time::Duration;

use shared::ids::TenantId;

use super::work::{Stop, begin};
use crate::control::Control;
use crate::db::TenantTx;
use crate::failure::Failure;

/// Identifiers that are looked at together.
const WALK: i64 = 5_000;
/// Identifiers that leave in one transaction.
const CHUNK: usize = 500;

/// Which identifiers of the old root are deleted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Goes {
    /// The identifiers of users who lack those of the new root.
    pub left_behind: bool,
    /// The outstanding tokens of a legacy service.
    pub tokens: bool,
}

/// The pause before the next round if a transaction holds an identifier.
const PAUSE: Duration = Duration::from_millis(100);

/// Goes through all identifiers once; returns whether one was left because another transaction holds it.
pub(super) async fn pass(
    control: &Control,
    tenant: TenantId,
    goes: Goes,
    done: &mut (impl FnMut(usize) + Send),
) -> Result<bool, Stop> {
    let (mut after, mut held) = (String::new(), false);
    loop {
        let (mut tx, rotation) = begin(control, tenant).await?;
        let identifiers = walk(&mut tx, rotation.version, goes, &after).await?;
        tx.commit().await?;
        let Some((last, _)) = identifiers.last() else {
            if held {
                tokio::time::sleep(PAUSE).await;
            }
            return Ok(held);
        };
        after.clone_from(last);
        let going: Vec<String> =
            identifiers.into_iter().filter_map(|(hash, goes)| goes.then_some(hash)).collect();
        for hashes in going.chunks(CHUNK) {
            let (mut tx, _) = begin(control, tenant).await?;
            let gone = delete(&mut tx, hashes).await?;
            for hash in &gone {
                tx.changes().identifier_gone(tenant, hash);
            }
            tx.commit().await?;
            held |= gone.len() < hashes.len();
            done(gone.len());
        }
    }
}

/// The next identifiers, and whether they go.
async fn walk(
    tx: &mut TenantTx,
    version: i32,
    goes: Goes,
    after: &str,
) -> Result<Vec<(String, bool)>, Failure> {
    let tenant = tx.tenant();
    let rows = sqlx::query!(
        r#"select i.hash,
            i.version <> $2 and case i.kind
                when 'legacy_token' then $3
                when 'legacy_user' then true
                else $4 or exists (
                    select from identifiers n
                    where n.tenant_id = $1 and n.user_id = i.user_id and n.kind = 'name' and n.version = $2
                )
            end as "goes!"
         from identifiers i
         where i.tenant_id = $1 and i.hash > $5
         order by i.hash
         limit $6"#,
        tenant.uuid(),
        version,
        goes.tokens,
        goes.left_behind,
        after,
        WALK,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows.into_iter().map(|row| (row.hash, row.goes)).collect())
}

/// Deletes those of these identifiers that exist and that no other transaction holds. A transaction that deletes one
/// also informs the edge; the next round does not find it.
async fn delete(tx: &mut TenantTx, hashes: &[String]) -> Result<Vec<String>, Failure> {
    let tenant = tx.tenant();
    let gone = sqlx::query_scalar!(
        "with free as (
            select hash from identifiers
            where tenant_id = $1 and hash = any ($2)
            order by hash
            for update skip locked
        )
        delete from identifiers i
        using free
        where i.tenant_id = $1 and i.hash = free.hash
        returning i.hash",
        tenant.uuid(),
        hashes,
    );
    Ok(gone.fetch_all(&mut **tx).await?)
}

//! The edge that this database feeds, by its id. What is sealed for one edge opens at no other, so another id
//! must not be a slip: every tenant that is pushed under it would end at the edge that is there.

use crate::control::Control;
use crate::failure::Failure;

/// The edge that was fed until now, if it is another than the settings name.
///
/// # Errors
/// Errors of the database.
pub async fn former(control: &Control) -> Result<Option<String>, Failure> {
    let other = sqlx::query_scalar!(
        "select edge from platform.drains where edge <> $1 order by edge limit 1",
        control.settings.edge.id,
    )
    .fetch_optional(control.db.relay())
    .await?;
    Ok(other)
}

/// Forgets an edge that is gone for good, and says whether it was known. What waited there is lost.
///
/// # Errors
/// Errors of the database.
pub async fn forget(control: &Control, edge: &str) -> Result<bool, Failure> {
    let forgotten =
        sqlx::query!("delete from platform.drains where edge = $1", edge).execute(control.db.relay()).await?;
    Ok(forgotten.rows_affected() > 0)
}

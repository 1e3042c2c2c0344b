//! The cron: sweeps what no decision can need any more, in chunks, and puts KV copies that are behind.
//! Idempotent; a run that is cut off is finished by the next.

use shared::limits::{ATTEMPT_WINDOW_SECS, FEED_SECS, TOMBSTONE_SECS};

use crate::platform::{Platform, StoreError};
use crate::sql::Sql;
use crate::tenants::NAMES_SHARD;
use crate::{App, millis, secs_as_ms, sql, sync};

/// Rows of one kind that one run deletes at most.
const CHUNK: i64 = 1000;

/// One run.
///
/// # Errors
/// The database did not answer.
pub async fn clean<P: Platform>(app: &App<P>) -> Result<(), StoreError> {
    let now = millis(app.platform.now_ms());
    let older = |statement: Sql, secs: u64| {
        statement.bind([now.saturating_sub(secs_as_ms(secs)).into(), CHUNK.into()])
    };
    let statements = vec![
        older(sql::CLEAN_FEED, FEED_SECS),
        older(sql::CLEAN_ATTEMPTS, ATTEMPT_WINDOW_SECS),
        older(sql::CLEAN_ENDED, TOMBSTONE_SECS),
        older(sql::CLEAN_FINISHED, TOMBSTONE_SECS),
        older(sql::CLEAN_IDLE, TOMBSTONE_SECS),
        sql::CLEAN_NEXT.bind([CHUNK.into()]),
        older(sql::CLEAN_USERS, TOMBSTONE_SECS),
        older(sql::CLEAN_IDENTIFIERS, TOMBSTONE_SECS),
        older(sql::CLEAN_NAMES, TOMBSTONE_SECS),
    ];
    app.platform.batch(NAMES_SHARD, statements).await?;
    sync::put_copies(app).await
}

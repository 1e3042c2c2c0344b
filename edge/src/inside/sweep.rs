//! The cron job: deletes expired rows in chunks, and repeats failed writes to KV. Idempotent; the next run completes
//! an interrupted one.

use shared::contract::limits::{CODE_WINDOW_SECS, FEED_SECS, TOMBSTONE_SECS};

use crate::app::App;
use crate::inside::copies;
use crate::platform::{Platform, StoreError};
use crate::sql::batch::Batch;
use crate::sql::{self, Sql, millis, secs_as_ms};
use crate::tenants::find::NAMES_SHARD;

/// Rows of one kind that one batch deletes at most.
const CHUNK: usize = 1000;
/// The greatest number of batches of one run: enough to delete more rows a minute than can be written to a shard.
/// Attackers cause one row for each invented name, and must not do so faster than rows are deleted.
const BATCHES: usize = 20;

/// One run.
///
/// # Errors
/// The database did not answer.
pub async fn clean<P: Platform>(app: &App<P>) -> Result<(), StoreError> {
    for _ in 0..BATCHES {
        if sweep(app).await? < CHUNK {
            break;
        }
    }
    copies::put_copies(app).await
}

/// Deletes a chunk of every kind, and returns the greatest number of deleted rows of one kind.
async fn sweep<P: Platform>(app: &App<P>) -> Result<usize, StoreError> {
    let chunk = i64::try_from(CHUNK).unwrap_or(i64::MAX);
    let now = millis(app.platform.now_ms());
    let older = |statement: Sql, secs: u64| {
        statement.bind([now.saturating_sub(secs_as_ms(secs)).into(), chunk.into()])
    };
    let mut batch = Batch::new(NAMES_SHARD);
    let counted = [
        batch.add_counted(older(sql::CLEAN_FEED, FEED_SECS)),
        batch.add_counted(older(sql::CLEAN_ATTEMPTS, 0)),
        batch.add_counted(older(sql::CLEAN_NETWORKS, 0)),
        batch.add_counted(older(sql::CLEAN_TICKETS, 0)),
        batch.add_counted(older(sql::CLEAN_CODE_TRIES, CODE_WINDOW_SECS)),
        batch.add_counted(older(sql::CLEAN_CHALLENGES, 0)),
        batch.add_counted(older(sql::CLEAN_DEVICES, 0)),
        batch.add_counted(older(sql::CLEAN_ENDED_FAMILIES, TOMBSTONE_SECS)),
        batch.add_counted(older(sql::CLEAN_EXPIRED_FAMILIES, TOMBSTONE_SECS)),
    ];
    let before = now.saturating_sub(secs_as_ms(FEED_SECS));
    batch.also(sql::TELL_UNCROWDED.bind([before.into(), chunk.into(), now.into()]));
    batch.also(older(sql::CLEAR_CROWDED_MARKS, FEED_SECS));
    batch.also(sql::CLEAN_UNUSED_CROWDS.bind([chunk.into()]));
    batch.also(older(sql::CLEAN_IDLE_FAMILIES, TOMBSTONE_SECS));
    batch.also(sql::ADVANCE_IDLE_CURSOR.bind([chunk.into()]));
    batch.also(older(sql::CLEAN_USERS, TOMBSTONE_SECS));
    batch.also(older(sql::CLEAN_IDENTIFIERS, TOMBSTONE_SECS));
    batch.also(older(sql::CLEAN_NAMES, TOMBSTONE_SECS));
    let rows = batch.run(&app.platform).await?;
    counted.into_iter().try_fold(0, |most, swept| Ok(most.max(rows.count(swept)?)))
}

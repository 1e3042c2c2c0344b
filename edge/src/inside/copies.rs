//! KV's copies of tenants' documents: put after a push, and by the cron where that failed.

use serde::Deserialize;
use shared::ids::TenantId;

use crate::app::App;
use crate::platform::{Platform, StoreError};
use crate::sql;
use crate::sql::batch::Batch;
use crate::tenants::find::{NAMES_SHARD, document_key, name_key};

/// Copies that one run puts at most.
const COPIES: i64 = 20;

#[derive(Deserialize)]
struct BehindRow {
    id: TenantId,
    history: i64,
    rev: i64,
    document: String,
}

/// Writes documents to KV if the copy there is outdated: after a push, and again from cron if that failed. D1 records
/// what was written.
///
/// # Errors
/// The database did not answer.
pub async fn put_copies<P: Platform>(app: &App<P>) -> Result<(), StoreError> {
    let mut batch = Batch::new(NAMES_SHARD);
    let behind = batch.add::<BehindRow>(sql::KV_BEHIND.bind([COPIES.into()]));
    let rows = batch.run(&app.platform).await?;
    for row in rows.take(behind)? {
        if !put_copy(app, &row).await {
            continue;
        }
        let params = [row.id.to_string().into(), row.history.into(), row.rev.into()];
        let mut batch = Batch::new(NAMES_SHARD);
        batch.also(sql::KV_PUT.bind(params));
        batch.run(&app.platform).await?;
    }
    Ok(())
}

async fn put_copy<P: Platform>(app: &App<P>, row: &BehindRow) -> bool {
    let Ok(tenant) = serde_json::from_str::<shared::tenant::Tenant>(&row.document) else { return false };
    let id = row.id.to_string();
    let mut names = vec![format!("slug:{}", tenant.slug)];
    names.extend(tenant.hosts.iter().map(|host| format!("host:{host}")));
    for name in names {
        if !app.platform.put(&name_key(&name), &id).await {
            return false;
        }
    }
    app.platform.put(&document_key(row.id), &row.document).await
}

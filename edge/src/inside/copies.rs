//! KV's copies of tenants' documents: put after a push, and by the cron where that failed.

use serde::Deserialize;
use shared::ids::TenantId;

use crate::app::App;
use crate::platform::{Platform, StoreError, read};
use crate::sql;
use crate::sql::millis;
use crate::tenants::find::{NAMES_SHARD, document_key, name_key};

#[derive(Deserialize)]
struct BehindRow {
    id: TenantId,
    history: i64,
    rev: i64,
    document: String,
}

/// Puts the documents whose copy in KV is behind: after a push, and again by the cron where that
/// failed. D1 remembers what was put.
///
/// # Errors
/// The database did not answer.
pub async fn put_copies<P: Platform>(app: &App<P>) -> Result<(), StoreError> {
    let rows = app.platform.batch(NAMES_SHARD, vec![sql::KV_BEHIND.bind([millis(20).into()])]).await?;
    let behind = read::<P, BehindRow>(&rows, 0).map_err(|_| StoreError::Unreachable)?;
    for row in behind {
        if !put_copy(app, &row).await {
            continue;
        }
        let params = [row.id.to_string().into(), row.history.into(), row.rev.into()];
        app.platform.batch(NAMES_SHARD, vec![sql::KV_PUT.bind(params)]).await?;
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

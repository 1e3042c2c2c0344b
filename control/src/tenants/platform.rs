//! The platform tenant: one row that no route can make or delete. `migrate` makes it.

use shared::ids::{Slug, TenantId};
use shared::tenant::Status;
use shared::tenant::settings::Settings;

use super::claims::default_issuer;
use super::create::prepare;
use super::model::{Isolation, Tenant, TenantError};
use super::provision::{activate, first_keys};
use super::second_factor::platform_settings;
use super::store;
use crate::control::Control;
use crate::db::{CellName, migrate};
use crate::failure::Failure;
use crate::legacy::service::LegacyService;

/// Makes the platform tenant with its cell unless it exists; can be repeated after a kill.
///
/// # Errors
/// See [`TenantError`].
pub async fn ensure_platform(control: &Control) -> Result<TenantId, TenantError> {
    let cell = CellName::platform();
    migrate::cell(&control.settings.database, &control.roles, &cell, Isolation::Schema.as_str()).await?;
    let id = match control.db.platform().await {
        Ok(id) => id,
        Err(Failure::Database(sqlx::Error::RowNotFound)) => insert(control, cell).await?,
        Err(error) => return Err(error.into()),
    };
    let mut tx = control.db.tenant_tx(id).await?;
    if store::find(&mut tx, id).await?.status == Status::Provisioning {
        let made = first_keys(control, id, Settings::default().key_bits);
        let (keys, mut tx) = tx.pause(&control.db, made).await?;
        let keys = keys?;
        activate(control, &mut tx, &keys).await?;
        tx.commit().await?;
    }
    Ok(id)
}

async fn insert(control: &Control, cell: CellName) -> Result<TenantId, TenantError> {
    let now = control.clock.now();
    let key = prepare(control).await?;
    let slug = Slug::parse("platform").map_err(|_| Failure::Unreadable("slug"))?;
    let tenant = Tenant {
        id: key.tenant(),
        issuer: default_issuer(&slug, &[], &control.settings.http.shared_origin),
        former_claims: Vec::new(),
        slug,
        name: String::from("Platform"),
        hosts: Vec::new(),
        status: Status::Provisioning,
        is_platform: true,
        isolation: Isolation::Schema,
        cell,
        audience: None,
        settings: platform_settings(),
        legacy: LegacyService::default(),
        created_at: now,
        updated_at: now,
    };
    let mut tx = control.db.app().begin().await?;
    let inserted = store::insert(&mut tx, &tenant).await;
    match inserted {
        Ok(()) => {
            key.keep(&mut tx).await?;
            tx.commit().await?;
            Ok(tenant.id)
        }
        // Another `migrate` was quicker.
        Err(TenantError::Fields(_)) => {
            drop(tx);
            Ok(control.db.platform().await?)
        }
        Err(error) => Err(error),
    }
}

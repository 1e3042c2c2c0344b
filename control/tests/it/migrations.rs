//! `migrate`: idempotent, resumable, one broken cell for itself.

use control::db::{CellName, migrate};
use sqlx::{AssertSqlSafe, Row as _};

use crate::scene::{Database, Scene};

#[tokio::test]
async fn migrating_twice_changes_nothing() {
    let database = Database::empty().await;
    database.migrate().await;
    let snapshot = || async {
        let mut admin = database.admin().await;
        let tables: Vec<String> = sqlx::query_scalar(
            "select schemaname || '.' || tablename from pg_tables
             where schemaname = 'platform' or schemaname like 't\\_%' order by 1",
        )
        .fetch_all(&mut admin)
        .await
        .unwrap();
        let tenants: i64 =
            sqlx::query_scalar("select count(*) from platform.tenants").fetch_one(&mut admin).await.unwrap();
        let keys: i64 = sqlx::query_scalar("select count(*) from platform.signing_keys")
            .fetch_one(&mut admin)
            .await
            .unwrap();
        (tables, tenants, keys)
    };
    let before = snapshot().await;
    assert_eq!((before.1, before.2), (1, 2), "the platform tenant and its two keys");
    database.migrate().await;
    assert_eq!(snapshot().await, before);
}

#[tokio::test]
async fn two_at_once_are_one() {
    let database = Database::empty().await;
    tokio::join!(database.migrate(), database.migrate());
    let mut admin = database.admin().await;
    let keys: i64 =
        sqlx::query_scalar("select count(*) from platform.signing_keys").fetch_one(&mut admin).await.unwrap();
    assert_eq!(keys, 2);
}

#[tokio::test]
async fn a_broken_cell_keeps_no_other_back() {
    let scene = Scene::alone().await;
    let cell = scene.tenant.cell.clone();
    let mut admin = scene.database.admin().await;
    // The record of versions is gone while the tables are there: this cell cannot be migrated.
    let sabotage = format!("drop table {cell}.schema_versions; update platform.cells set version = 0");
    sqlx::raw_sql(AssertSqlSafe(sabotage)).execute(&mut admin).await.unwrap();
    let settings = &scene.control.settings.database;
    let outcomes = migrate::cells(settings, &scene.control.roles).await.unwrap();
    let of = |name: &CellName| outcomes.iter().find(|outcome| outcome.cell == *name).unwrap();
    assert!(of(&cell).version.is_err());
    assert_eq!(*of(&CellName::platform()).version.as_ref().unwrap(), migrate::newest());
    let versions =
        sqlx::query("select name, version from platform.cells").fetch_all(&mut admin).await.unwrap();
    for row in versions {
        let expected = if row.get::<String, _>(0) == cell.as_str() { 0 } else { migrate::newest() };
        assert_eq!(row.get::<i64, _>(1), expected);
    }
}

#[tokio::test]
async fn a_url_for_the_wrong_role_is_refused_by_its_variable() {
    let database = Database::of_this_run().await;
    let control = database.control("http://127.0.0.1:1").await;
    let mut settings = control.settings.clone();
    settings.database.app_url = control::settings::DatabaseUrl::new(database.role_url("migrate"));
    let refused = control::control::new(settings).err().unwrap().to_string();
    assert!(refused.contains("WARDGATE_DATABASE_APP_URL must sign in as"), "{refused}");
}

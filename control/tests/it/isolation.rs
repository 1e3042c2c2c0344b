//! What the serving role can do by hand, in both kinds of cell: no more than serve.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

use crate::scene::Scene;

/// The serving role, signed in by hand, inside the cell of the tenant.
async fn by_hand(scene: &Scene, tenant: Option<String>) -> PgConnection {
    let mut app = PgConnection::connect(&scene.database.role_url("app")).await.unwrap();
    let path = format!("set search_path = {}, pg_temp", scene.tenant.cell);
    sqlx::raw_sql(AssertSqlSafe(path)).execute(&mut app).await.unwrap();
    if let Some(tenant) = tenant {
        let set = format!("set app.tenant = '{tenant}'");
        sqlx::raw_sql(AssertSqlSafe(set)).execute(&mut app).await.unwrap();
    }
    app
}

async fn rows(app: &mut PgConnection, table: &str) -> i64 {
    let count = format!("select count(*) from {table}");
    sqlx::query(AssertSqlSafe(count)).fetch_one(app).await.unwrap().get(0)
}

/// The SQLSTATE with which PostgreSQL refuses.
async fn refusal(app: &mut PgConnection, sql: &str) -> String {
    match sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(app).await {
        Ok(_) => panic!("allowed: {sql}"),
        Err(error) => error.as_database_error().unwrap().code().unwrap().into_owned(),
    }
}

const INSUFFICIENT_PRIVILEGE: &str = "42501";
const FOREIGN_KEY_VIOLATION: &str = "23503";

async fn may_only_serve(scene: &Scene) {
    scene.member("ada", "root-admin").await;
    let own = scene.tenant.id.to_string();
    let cell = scene.tenant.cell.as_str();
    let mut app = by_hand(scene, Some(own.clone())).await;
    assert_eq!(rows(&mut app, "users").await, 1);
    for sql in [
        "alter table users add column x int".to_owned(),
        "alter table users disable row level security".to_owned(),
        "alter table users no force row level security".to_owned(),
        "drop policy tenant_rows on users".to_owned(),
        "create policy mine on users using (true)".to_owned(),
        "truncate users".to_owned(),
        "truncate audit_entries".to_owned(),
        "drop table users".to_owned(),
        format!("create table {cell}.mine (x int)"),
        "create table public.mine (x int)".to_owned(),
        "create temporary table mine (x int)".to_owned(),
        "create schema mine".to_owned(),
        format!("create function {cell}.mine() returns int language sql as 'select 1'"),
        "update audit_entries set action = 'x'".to_owned(),
        "delete from audit_entries".to_owned(),
        "create role mine".to_owned(),
        format!("set role {}_owner", scene.database.name),
        format!("set role {}_migrate", scene.database.name),
        "delete from platform.tenants".to_owned(),
        "truncate platform.signing_keys".to_owned(),
        "delete from platform.edge_rows".to_owned(),
        "update roles set rank = 1000".to_owned(),
    ] {
        assert_eq!(refusal(&mut app, &sql).await, INSUFFICIENT_PRIVILEGE, "{sql}");
    }
}

#[tokio::test]
async fn the_serving_role_can_only_serve_in_a_cell_of_its_own() {
    may_only_serve(&Scene::new().await).await;
}

#[tokio::test]
async fn the_serving_role_can_only_serve_in_the_shared_cell() {
    may_only_serve(&Scene::shared().await).await;
}

async fn sees_nothing_of_others(scene: &Scene, neighbour: &Scene) {
    scene.member("ada", "root-admin").await;
    neighbour.member("bob", "root-admin").await;
    for (scene, name) in [(scene, "cyd"), (neighbour, "dan")] {
        let member = scene.member(name, "client").await;
        member.post("/api/user/profile/skills/", serde_json::json!({"name": "Rust"})).await.expect(201);
    }
    let tables = ["users", "roles", "identifiers", "user_roles", "audit_entries", "profile_entries"];
    let everywhere = tables.iter().chain(&["platform.signing_keys", "platform.roots"]);
    for tenant in [None, Some(String::new()), Some("01890a5d-ac96-774b-bcce-b302099a8057".to_owned())] {
        let mut app = by_hand(scene, tenant.clone()).await;
        for table in everywhere.clone() {
            assert_eq!(rows(&mut app, table).await, 0, "{table} under {tenant:?}");
        }
    }
    // Under the neighbour's id, in this cell: never this tenant's rows.
    let mut app = by_hand(scene, Some(neighbour.tenant.id.to_string())).await;
    for table in tables {
        let foreign = format!("{table} where tenant_id <> '{}'", neighbour.tenant.id);
        assert_eq!(rows(&mut app, &foreign).await, 0, "{table}");
    }
    // Nor can a row be written for another tenant.
    let mut app = by_hand(scene, Some(neighbour.tenant.id.to_string())).await;
    let forged = format!(
        "insert into roles (tenant_id, name, rank, predefined, created_at, updated_at)
        values ('{}', 'forged', 99, false, now(), now())",
        scene.tenant.id
    );
    assert_eq!(refusal(&mut app, &forged).await, INSUFFICIENT_PRIVILEGE);
}

/// The ids of keys are published, so every tenant may ask for them: but each writes its own alone, and
/// none of its keys stays out of that list.
#[tokio::test]
async fn ids_of_keys_are_known_to_all_and_written_by_their_own_tenant() {
    let (scene, neighbour) = (Scene::new().await, Scene::new().await);
    let mut app = by_hand(&scene, Some(scene.tenant.id.to_string())).await;
    let theirs = format!("platform.key_ids where tenant_id = '{}'", neighbour.tenant.id);
    assert_eq!(rows(&mut app, &theirs).await, 2);
    let forged =
        |tenant| format!("insert into platform.key_ids (kid, tenant_id) values ('forged', '{tenant}')");
    assert_eq!(refusal(&mut app, &forged(neighbour.tenant.id)).await, INSUFFICIENT_PRIVILEGE);
    let renamed = "update platform.signing_keys set kid = 'unlisted' where state = 'next'";
    assert_eq!(refusal(&mut app, renamed).await, FOREIGN_KEY_VIOLATION);
    assert_eq!(refusal(&mut app, "delete from platform.key_ids").await, INSUFFICIENT_PRIVILEGE);
}

#[tokio::test]
async fn a_wrong_or_absent_tenant_sees_nothing_in_cells_of_their_own() {
    sees_nothing_of_others(&Scene::new().await, &Scene::new().await).await;
}

#[tokio::test]
async fn a_wrong_or_absent_tenant_sees_nothing_in_the_shared_cell() {
    sees_nothing_of_others(&Scene::shared().await, &Scene::shared().await).await;
}

/// The library's record of migrations has no rows of tenants. The migration explains the search tokens; `search.rs`
/// tests that a search finds no user of another tenant.
#[tokio::test]
async fn every_table_of_a_cell_forces_row_security_but_that_of_tokens() {
    let scene = Scene::shared().await;
    let open = "select c.relname::text
        from pg_class c
        where c.relnamespace = $1::regnamespace and c.relkind in ('r', 'p')
            and not (c.relrowsecurity and c.relforcerowsecurity)
        order by 1";
    let mut admin = scene.database.admin().await;
    for cell in [scene.tenant.cell.as_str(), scene.platform().await.tenant.cell.as_str()] {
        let open: Vec<String> = sqlx::query_scalar(open).bind(cell).fetch_all(&mut admin).await.unwrap();
        assert_eq!(open, ["schema_versions", "search_tokens"], "{cell}");
    }
}

#[tokio::test]
async fn the_setting_does_not_outlive_its_transaction() {
    let scene = Scene::new().await;
    scene.member("ada", "root-admin").await;
    // Dropped half way, as a cancelled request is.
    drop(scene.control.db.tenant_tx(scene.tenant.id).await.unwrap());
    for _ in 0..10 {
        let mut connection = scene.control.db.app().acquire().await.unwrap();
        let row = sqlx::query("select current_setting('app.tenant', true), current_setting('search_path')")
            .fetch_one(&mut *connection)
            .await
            .unwrap();
        assert_eq!(row.get::<Option<String>, _>(0).unwrap_or_default(), "");
        assert!(!row.get::<String, _>(1).contains("t_"));
    }
}

#[tokio::test]
async fn the_relay_reads_no_user_and_no_key() {
    let scene = Scene::new().await;
    let mut relay = PgConnection::connect(&scene.database.role_url("relay")).await.unwrap();
    for sql in [
        format!("select * from {}.users", scene.tenant.cell),
        "select * from platform.signing_keys".to_owned(),
        "select * from platform.roots".to_owned(),
        "select wrapped from platform.tenant_keys".to_owned(),
        "update platform.tenant_keys set wrapped_by = 'x'".to_owned(),
    ] {
        assert_eq!(refusal(&mut relay, &sql).await, INSUFFICIENT_PRIVILEGE, "{sql}");
    }
}

#[tokio::test]
async fn an_exempt_serving_role_is_refused() {
    let scene = Scene::alone().await;
    let app = format!("{}_app", scene.database.name);
    let check = || control::db::refuse_exempt(scene.control.db.app(), &scene.control.roles);
    assert!(check().await.is_ok());
    let mut admin = scene.database.admin().await;
    for (grant, revoke) in [
        (format!("alter role {app} bypassrls"), format!("alter role {app} nobypassrls")),
        (
            format!("grant {0}_owner to {app}", scene.database.name),
            format!("revoke {0}_owner from {app}", scene.database.name),
        ),
    ] {
        sqlx::raw_sql(AssertSqlSafe(grant.clone())).execute(&mut admin).await.unwrap();
        assert!(check().await.is_err(), "{grant}");
        sqlx::raw_sql(AssertSqlSafe(revoke)).execute(&mut admin).await.unwrap();
        assert!(check().await.is_ok());
    }
}

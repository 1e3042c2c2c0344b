//! The content of a copy of the database: of users only ids, states and times are readable.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use control::crypt::columns::{self, Rest, Table};
use control::tenants::Isolation;
use serde_json::json;
use sqlx::AssertSqlSafe;

use crate::scene::{PASSWORD, Scene};

const USERS: &str = "/api/user/users/";

/// Every column of a schema as `table.column`, with its type, as the catalogue has it.
async fn catalogue(scene: &Scene, schema: &str) -> Vec<(String, String)> {
    sqlx::query_as(
        "select table_name || '.' || column_name, data_type::text
         from information_schema.columns
         where table_schema = $1
         order by 1",
    )
    .bind(schema)
    .fetch_all(&mut scene.database.admin().await)
    .await
    .unwrap()
}

#[tokio::test]
async fn every_column_is_listed_with_how_it_rests() {
    let scene = Scene::new().await;
    for (schema, tables) in [("platform", columns::PLATFORM), (scene.tenant.cell.as_str(), columns::CELL)] {
        let listed = |(table, columns): &Table| {
            let names = columns.iter().flat_map(|some| some.names.iter().map(move |name| (*name, some)));
            names.map(|(name, some)| (format!("{table}.{name}"), some)).collect::<Vec<_>>()
        };
        let mut listed: Vec<_> = tables.iter().flat_map(listed).collect();
        listed.sort_by(|a, b| a.0.cmp(&b.0));
        let there = catalogue(&scene, schema).await;
        let names = |all: &[(String, _)]| all.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        assert_eq!(
            listed.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>(),
            names(&there),
            "{schema}"
        );
        for ((name, some), (_, data_type)) in listed.iter().zip(&there) {
            assert!(some.rest != Rest::Sealed || data_type == "bytea", "{name} is sealed, and {data_type}");
            assert!(!some.why.is_empty(), "{name}");
        }
    }
}

/// How bytes may be spelled in a dump.
pub fn spellings(text: &str) -> Vec<String> {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut spellings = vec![text.to_lowercase(), hex(text.as_bytes())];
    // In base64 a text looks different by where it begins; the first and the last letters of each depend on neighbours.
    for before in 0..3 {
        let bytes = [&[0; 3][..before], text.as_bytes()].concat();
        for coded in [STANDARD.encode(&bytes), URL_SAFE_NO_PAD.encode(&bytes)] {
            let coded = coded.trim_end_matches('=');
            spellings.push(coded[4..coded.len() - 2].to_owned());
        }
    }
    spellings
}

#[tokio::test]
async fn no_row_tells_who_somebody_is() {
    for isolation in [Isolation::Schema, Isolation::Shared] {
        let scene = Scene::under(Vec::new(), isolation).await;
        let ada = scene.member("ada", "root-admin").await;
        let made = json!({
            "username": "Markgraf-Quux", "email": "Wolperdinger@Xyzzy.test", "first_name": "Zebulonia",
            "last_name": "Plughsworth", "phone": "+49 151 55501234", "password": PASSWORD,
        });
        let id = ada.post(USERS, made.clone()).await.expect(201).id();
        let changed = json!({
            "username": "Rumpelfax", "email": "grimbold@frobnicate.test", "first_name": "Ottokarine",
            "last_name": "Snollygoster", "phone": "+44 20 79460958",
        });
        ada.patch(&format!("{USERS}{id}/"), changed.clone()).await.expect(200);
        ada.get(&format!("{USERS}?search=rumpel")).await.expect(200);
        let reason = "Because Archibaldine asked by telephone";
        let unmask = json!({"fields": ["phone"], "reason": reason});
        ada.post(&format!("{USERS}{id}/unmask/"), unmask).await.expect(200);
        let gone = ada.post(USERS, json!({"username": "Vergissmeinnicht"})).await.expect(201).id();
        ada.delete(&format!("{USERS}{gone}/")).await.expect(204);
        scene.push().await;
        let log = ada.get("/api/audit/?action=user.unmasked").await.expect(200).body;
        assert_eq!(log["results"][0]["details"]["reason"], reason, "the log opens for who may read it");

        let rows = scene.rows().await;
        assert!(rows.contains(&id.to_string()), "the rows were read");
        let folded = rows.to_lowercase();
        let values = [&made, &changed].into_iter().flat_map(|body| body.as_object().unwrap().values());
        for value in values.map(|value| value.as_str().unwrap()).chain(["Vergissmeinnicht", reason]) {
            for spelled in spellings(value) {
                assert!(!rows.contains(&spelled) && !folded.contains(&spelled), "{value} as {spelled}");
            }
        }
    }
}

#[tokio::test]
async fn a_value_in_another_place_is_an_error_of_its_user_alone() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "root-admin").await;
    let make = async |name: &str| {
        let body = json!({"username": name, "email": format!("{name}@x.test"), "first_name": name});
        ada.post(USERS, body).await.expect(201).id()
    };
    let (bob, cyd) = (make("bob").await, make("cyd").await);
    let users = format!("{}.users", scene.tenant.cell);
    let keys = format!("{}.user_keys", scene.tenant.cell);
    for (what, change) in [
        (
            "another user's value",
            format!(
                "update {users} set email = (select email from {users} where id = '{cyd}') where id = '{bob}'"
            ),
        ),
        ("another column's value", format!("update {users} set last_name = first_name where id = '{bob}'")),
        (
            "another user's key",
            format!(
                "update {keys} set wrapped = (select wrapped from {keys} where user_id = '{cyd}') where user_id = '{bob}'"
            ),
        ),
        ("no key", format!("delete from {keys} where user_id = '{bob}'")),
    ] {
        let mut admin = scene.database.admin().await;
        let backup = format!(
            "create table public.kept_users as select * from {users};
             create table public.kept_keys as select * from {keys}"
        );
        sqlx::raw_sql(AssertSqlSafe(backup)).execute(&mut admin).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(change)).execute(&mut admin).await.unwrap();

        ada.get(&format!("{USERS}{bob}/")).await.expect(500);
        ada.patch(&format!("{USERS}{bob}/"), json!({"phone": "1"})).await.expect(500);
        let read = ada.get(&format!("{USERS}{cyd}/")).await.expect(200);
        assert_eq!(read.body["email"], "cyd@x.test", "{what}");
        let list = ada.get(USERS).await.expect(200);
        let names: Vec<_> =
            list.body["results"].as_array().unwrap().iter().map(|it| &it["username"]).collect();
        assert_eq!(names, ["ada", "cyd"], "{what}");
        assert_eq!(list.body["count"], 3, "{what}: the count says that one is missing");

        let restore = format!(
            "update {users} u set email = k.email, last_name = k.last_name from public.kept_users k where k.id = u.id;
             delete from {keys}; insert into {keys} select * from public.kept_keys;
             drop table public.kept_users, public.kept_keys"
        );
        sqlx::raw_sql(AssertSqlSafe(restore)).execute(&mut admin).await.unwrap();
        ada.get(&format!("{USERS}{bob}/")).await.expect(200);
    }
}

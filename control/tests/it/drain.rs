//! Facts of the edge arrive once, also when answers and acknowledgements are lost.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use control::audit::Actor;
use control::edges::{drain, restored, status};
use control::tenants::Isolation;
use serde_json::json;
use shared::ids::{EventId, SessionId, TenantId, UserId};
use shared::wire::facts::{Fact, FactKind};
use sqlx::AssertSqlSafe;

use crate::cli::Cli;
use crate::scene::{Scene, new_tenant};

fn fact(tenant: TenantId, seq: i64, kind: FactKind, user: Option<UserId>) -> Fact {
    let random: [u8; 10] = control::world::random().unwrap();
    Fact {
        seq,
        id: EventId::new(1_700_000_000_000, random),
        tenant,
        at_ms: 1_700_000_000_000 + seq,
        kind,
        user,
        sid: Some(SessionId::new(0, [3; 16])),
        network: Some("192.0.2.0".into()),
        name_hash: None,
        count: 1,
        more: serde_json::Map::new(),
    }
}

#[tokio::test]
async fn facts_arrive_once_though_answers_and_acknowledgements_are_lost() {
    let scene = Scene::alone().await;
    let bob = scene.member("bob", "client").await;
    let ada = scene.member("ada", "root-admin").await;
    let facts: Vec<_> =
        (1..=3).map(|seq| fact(scene.tenant.id, seq, FactKind::SignedIn, Some(bob.id))).collect();
    scene.edge.state().outbox = facts;
    scene.edge.state().lose_drain_answers = 1;
    assert!(drain::run_once(&scene.control).await.is_err());
    assert!(!drain::run_once(&scene.control).await.unwrap());
    // The cursor of what was committed is forgotten: the same facts come again.
    sqlx::query("update platform.drains set cursor = null").execute(scene.control.db.relay()).await.unwrap();
    drain::run_once(&scene.control).await.unwrap();
    drain::run_once(&scene.control).await.unwrap();
    assert!(scene.edge.state().outbox.is_empty());
    assert_eq!(scene.edge.state().acknowledged, 3);
    let arrived = scene.logged().await.into_iter().filter(|action| action == "edge.signed_in").count();
    assert_eq!(arrived, 3);
    let chained = scene.chain().await.into_iter().filter(|link| link.event_id.is_some()).count();
    assert_eq!(chained, 3, "in the chain like every other entry");
    let shown = ada.get(&format!("/api/user/users/{}/", bob.id)).await.expect(200);
    assert_eq!(shown.body["last_login"], json!("2023-11-14T22:13:20.003000Z"));
}

/// An environment in which `serve` has another id of the edge.
fn with_a_slip(scene: &Scene) -> HashMap<&'static str, String> {
    let mut variables = scene.database.variables(&scene.edge.url);
    variables.insert("WARDGATE_HTTP_LISTEN", "127.0.0.1:0".into());
    variables.insert("WARDGATE_HTTP_METRICS_LISTEN", "127.0.0.1:0".into());
    variables.insert("WARDGATE_EDGE_ID", "edge-tset".into());
    variables
}

/// A machine starts control and PostgreSQL together, and PostgreSQL is the slower one.
#[tokio::test]
async fn another_id_of_the_edge_is_refused_where_the_database_comes_later() {
    let scene = Scene::alone().await;
    drain::run_once(&scene.control).await.unwrap();
    let mut admin = scene.database.admin().await;
    let role = format!("alter role {}_relay connection limit", scene.database.name);
    sqlx::raw_sql(AssertSqlSafe(format!("{role} 0"))).execute(&mut admin).await.unwrap();
    let mut serve = Command::new(env!("CARGO_BIN_EXE_wardgate"))
        .arg("serve")
        .env_clear()
        .envs(with_a_slip(&scene))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(serve.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(said.any(|line| line.contains("serving")));
    sqlx::raw_sql(AssertSqlSafe(format!("{role} -1"))).execute(&mut admin).await.unwrap();
    let fed = "select exists (select from platform.drains where edge = 'edge-tset')";
    let ended = loop {
        if sqlx::query_scalar::<_, bool>(fed).fetch_one(&mut admin).await.unwrap() {
            serve.kill().unwrap();
        }
        if let Some(ended) = serve.try_wait().unwrap() {
            break ended;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(ended.code(), Some(1), "it feeds the edge under another id");
    assert!(said.any(|line| line.contains("WARDGATE_EDGE_ID is `edge-tset`")));
}

#[tokio::test]
async fn another_id_of_the_edge_is_refused_before_anything_is_sealed_for_it() {
    let scene = Scene::alone().await;
    drain::run_once(&scene.control).await.unwrap();
    let cli = Cli { variables: with_a_slip(&scene) };
    let refused = cli.run(&["serve"], "").expect(1);
    for words in ["WARDGATE_EDGE_ID is `edge-tset`", "wardgate edges forget edge-test --yes"] {
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
    }
    cli.run(&["edges", "forget", "edge-tset", "--yes"], "").expect(5);
    cli.run(&["edges", "forget", "edge-test"], "").expect(5);
    assert_eq!(
        control::edges::edge_id::former(&scene.control).await.unwrap(),
        None,
        "the edge of the settings"
    );
    cli.run(&["edges", "forget", "nobody", "--yes"], "").expect(4);
    cli.run(&["edges", "forget", "edge-test", "--yes"], "").expect(0);
    let mut settings = scene.control.settings.clone();
    settings.edge.id = "edge-tset".into();
    let moved = control::control::new(settings).unwrap();
    assert_eq!(control::edges::edge_id::former(&moved).await.unwrap(), None);
}

#[tokio::test]
async fn one_control_drains_at_a_time_and_a_killed_one_keeps_nobody_waiting() {
    let scene = Scene::alone().await;
    drain::run_once(&scene.control).await.unwrap();
    scene.edge.state().outbox = vec![fact(scene.tenant.id, 1, FactKind::ReuseDetected, None)];
    let mut other = scene.database.admin().await;
    let pid: i32 = sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut other).await.unwrap();
    sqlx::raw_sql("begin; select from platform.drains for update").execute(&mut other).await.unwrap();
    drain::run_once(&scene.control).await.unwrap();
    assert!(!scene.logged().await.contains(&"edge.reuse_detected".to_owned()));
    // Closes connections, as the kernel does for a killed process.
    let mut admin = scene.database.admin().await;
    sqlx::query("select pg_terminate_backend($1, 5000)").bind(pid).execute(&mut admin).await.unwrap();
    drain::run_once(&scene.control).await.unwrap();
    assert!(scene.logged().await.contains(&"edge.reuse_detected".to_owned()));
}

#[tokio::test]
async fn facts_of_strangers_do_not_stop_the_others() {
    let scene = Scene::alone().await;
    let nobody = TenantId::new(1, [9; 10]);
    scene.edge.state().outbox = vec![
        fact(nobody, 1, FactKind::SignInRefused, None),
        fact(scene.tenant.id, 2, FactKind::ReuseDetected, None),
    ];
    drain::run_once(&scene.control).await.unwrap();
    drain::run_once(&scene.control).await.unwrap();
    assert!(scene.edge.state().outbox.is_empty());
    assert_eq!(scene.logged().await.last().unwrap(), "tenant.activated");
    assert!(scene.logged().await.contains(&"edge.reuse_detected".to_owned()));
}

#[tokio::test]
async fn a_fact_of_a_later_edge_is_kept_as_it_came_and_stops_nothing() {
    let scene = Scene::alone().await;
    let ada = scene.member("ada", "root-admin").await;
    let mut later = fact(scene.tenant.id, 1, FactKind::Other("factor_used".into()), None);
    later.more.insert("factor".into(), json!("a phone"));
    scene.edge.state().outbox = vec![later, fact(scene.tenant.id, 2, FactKind::SignedOut, None)];
    drain::run_once(&scene.control).await.unwrap();
    drain::run_once(&scene.control).await.unwrap();
    assert!(scene.edge.state().outbox.is_empty());
    assert!(scene.logged().await.contains(&"edge.signed_out".to_owned()));
    let listed = ada.get("/api/audit/?page_size=100").await.expect(200).body;
    let mut entries = listed["results"].as_array().unwrap().iter();
    let kept = entries.find(|entry| entry["action"] == "edge.factor_used").expect("the fact's entry");
    assert_eq!((&kept["details"]["factor"], &kept["details"]["count"]), (&json!("a phone"), &json!(1)));
}

/// Facts of the tenant in the log, by their id at the edge.
async fn logged_facts(scene: &Scene) -> Vec<uuid::Uuid> {
    let mut admin = scene.database.admin().await;
    let text = format!(
        "select event_id from {}.audit_entries where tenant_id = $1 and event_id is not null order by at",
        scene.tenant.cell
    );
    let rows = sqlx::query_scalar(sqlx::AssertSqlSafe(text)).bind(scene.tenant.id.uuid());
    rows.fetch_all(&mut admin).await.unwrap()
}

fn ids(facts: &[Fact]) -> Vec<uuid::Uuid> {
    facts.iter().map(|fact| fact.id.uuid()).collect()
}

async fn until_taken(scene: &Scene) {
    for _ in 0..100 {
        drain::run_once(&scene.control).await.unwrap();
        let waits = status::all(&scene.control, false).await.unwrap().iter().any(|row| row.facts_held > 0);
        if scene.edge.state().outbox.is_empty() && !waits {
            return;
        }
        scene.control.clock.advance(chrono::TimeDelta::minutes(1));
    }
    panic!("the facts were never taken");
}

#[tokio::test]
async fn a_tenant_whose_cell_is_broken_stops_no_other_and_loses_nothing() {
    let scene = Scene::alone().await;
    let broken = scene.neighbour(Isolation::Schema).await;
    let of = |scene: &Scene, seqs: std::ops::RangeInclusive<i64>| -> Vec<Fact> {
        seqs.map(|seq| fact(scene.tenant.id, seq, FactKind::ReuseDetected, None)).collect()
    };
    let mut admin = scene.database.admin().await;
    let mut cell = async |text: &str| {
        let text = text.replace("CELL", &broken.tenant.cell.to_string());
        sqlx::raw_sql(sqlx::AssertSqlSafe(text)).execute(&mut admin).await.unwrap();
    };
    cell("alter table CELL.audit_entries rename to elsewhere").await;
    let (first, mine) = (of(&broken, 1..=2), of(&scene, 3..=4));
    scene.edge.state().outbox = [first.clone(), mine.clone()].concat();
    drain::run_once(&scene.control).await.unwrap();
    let later = of(&broken, 5..=6);
    scene.edge.state().outbox.extend(later.clone());
    drain::run_once(&scene.control).await.unwrap();
    drain::run_once(&scene.control).await.unwrap();
    assert!(scene.edge.state().outbox.is_empty(), "the edge keeps nobody's facts for it");
    assert_eq!(logged_facts(&scene).await, ids(&mine));
    let shown = status::all(&scene.control, true).await.unwrap();
    let row =
        shown.iter().find(|row| row.slug == broken.tenant.slug.as_str()).expect("it is shown as behind");
    assert_eq!(row.facts_held, 4);
    assert!(row.facts_failing_since.is_some() && row.facts_error.as_ref().unwrap().contains("audit_entries"));
    cell("alter table CELL.elsewhere rename to audit_entries").await;
    until_taken(&scene).await;
    assert_eq!(logged_facts(&broken).await, ids(&[first, later].concat()), "once each, in their order");
    let row = status::all(&scene.control, false).await.unwrap();
    let row = row.iter().find(|row| row.slug == broken.tenant.slug.as_str()).unwrap();
    assert_eq!((row.facts_held, row.facts_failing_since, &row.facts_error), (0, None, &None));
}

#[tokio::test]
async fn a_tenant_whose_cell_is_locked_keeps_no_other_waiting() {
    let scene = Scene::alone().await;
    let locked = new_tenant(&scene.control, Isolation::Schema).await;
    let mut admin = scene.database.admin().await;
    let lock = format!("begin; lock table {}.audit_entries", locked.cell);
    sqlx::raw_sql(sqlx::AssertSqlSafe(lock)).execute(&mut admin).await.unwrap();
    let facts =
        [(locked.id, 1), (scene.tenant.id, 2)].map(|(id, seq)| fact(id, seq, FactKind::ReuseDetected, None));
    scene.edge.state().outbox = facts.to_vec();
    drain::run_once(&scene.control).await.unwrap();
    drain::run_once(&scene.control).await.unwrap();
    assert!(scene.edge.state().outbox.is_empty());
    assert_eq!(logged_facts(&scene).await, ids(&facts[1..]));
    sqlx::raw_sql("rollback").execute(&mut admin).await.unwrap();
    until_taken(&scene).await;
    assert_eq!(logged_facts(&Scene { tenant: locked, ..scene }).await, ids(&facts[..1]));
}

#[tokio::test]
async fn after_a_restore_of_the_edge_the_drain_begins_anew_and_loses_nothing() {
    let scene = Scene::alone().await;
    let tenant = scene.tenant.id;
    let born = |seq| fact(tenant, seq, FactKind::SignedIn, None);
    let (kept, lost, new) = (born(1), [born(2), born(3)], [born(2), born(3), born(4)]);
    scene.edge.state().outbox = [vec![kept.clone()], lost.to_vec()].concat();
    drain::run_once(&scene.control).await.unwrap();
    // Time Travel, to before the first acknowledgement; and what is born since.
    scene.edge.state().outbox = [vec![kept.clone()], new.to_vec()].concat();
    for _ in 0..2 {
        let refused = drain::run_once(&scene.control).await.unwrap_err().to_string();
        assert_eq!(refused, "the edge's database was restored from before: run `wardgate edges restored`");
    }
    assert_eq!(scene.edge.state().outbox.len(), 4, "nothing has left");
    let drain_status = status::drain(&scene.control).await.unwrap().unwrap();
    assert_eq!(
        drain_status.last_error.as_deref(),
        Some("the edge's database was restored from before: run `wardgate edges restored`")
    );
    let life = restored::restored(&scene.control, &Actor::operator(), 0).await.unwrap();
    assert_eq!(life, "life 1");
    drain::run_once(&scene.control).await.unwrap();
    drain::run_once(&scene.control).await.unwrap();
    assert!(scene.edge.state().outbox.is_empty());
    let mut facts = [vec![kept], lost.to_vec(), new.to_vec()].concat();
    facts.sort_by_key(|fact| fact.at_ms);
    let mut logged = logged_facts(&scene).await;
    let mut expected = ids(&facts);
    logged.sort();
    expected.sort();
    assert_eq!(logged, expected, "every fact once, also those that the restore took");
    let platform = scene.platform().await;
    assert!(platform.logged().await.contains(&"edge.restored".to_owned()));
    assert_eq!(status::drain(&scene.control).await.unwrap().unwrap().last_error, None);
}

#[tokio::test]
async fn refusals_that_were_dropped_are_in_the_log_with_their_number() {
    let scene = Scene::alone().await;
    let ada = scene.member("ada", "root-admin").await;
    let dropped = Fact {
        count: 4321,
        sid: None,
        network: None,
        ..fact(scene.tenant.id, 1, FactKind::RefusalsDropped, None)
    };
    scene.edge.state().outbox = vec![dropped];
    drain::run_once(&scene.control).await.unwrap();
    let listed = ada.get("/api/audit/?page_size=100").await.expect(200).body;
    let mut entries = listed["results"].as_array().unwrap().iter();
    let entry = entries.find(|entry| entry["action"] == "edge.refusals_dropped").expect("the fact's entry");
    assert_eq!((&entry["details"]["count"], &entry["outcome"]), (&json!(4321), &json!("refused")));
}

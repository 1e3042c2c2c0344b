//! What the owner of the database does to a log is found where it was done.

use control::audit::signed::Signed;
use control::audit::verify::{Verification, verify_against};
use control::audit::{self, Action, Actor, Fault, checkpoints};
use control::db::chain::{GENESIS, Hash, Link};
use control::tenants::Isolation;
use serde_json::json;
use sqlx::{AssertSqlSafe, PgConnection};

use crate::scale::{Chance, scaled};
use crate::scene::Scene;

/// A log with more entries than a chance is likely to hit twice in a row.
const ENTRIES: i64 = 40;
/// Kinds of tampers, and the columns that one of them edits: each comes up in the first rounds.
const KINDS: i64 = 12;
const EDITS: [&str; 14] = [
    "action = 'user.deleted'",
    "outcome = 'refused'",
    "target = target || 'x'",
    "target = case when target is null then '' end",
    "actor = coalesce(actor || 'x', '')",
    "actor_kind = actor_kind || 'x'",
    "at = at + interval '1 microsecond'",
    "recorded_at = recorded_at - interval '1 microsecond'",
    "id = gen_random_uuid()",
    "event_id = gen_random_uuid()",
    "request_id = coalesce(request_id || 'x', '')",
    "body = body || '\\x20'",
    "client_key = coalesce(client_key || 'x', '')",
    "hash = sha256(hash)",
];

#[derive(Clone, sqlx::FromRow)]
struct Stored {
    #[sqlx(flatten)]
    link: Link,
    client_key: Option<String>,
    hash: Vec<u8>,
}

impl Stored {
    /// Gives it the hash that it has behind `before`, and returns that.
    fn hashed(&mut self, before: &Hash) -> Hash {
        let hash = self.link.hash(before);
        self.hash = hash.to_vec();
        hash
    }
}

/// The owner of the database, beside one tenant's log.
struct Owner {
    database: PgConnection,
    scene: Scene,
    /// The log as it was written.
    log: Vec<Stored>,
    /// The signed objects that were copied out of it meanwhile.
    signed: Signed,
}

impl Owner {
    async fn of(scene: Scene) -> Self {
        let actor =
            Actor { client: Some("192.0.2.7".into()), request_id: Some("r".into()), ..Actor::operator() };
        for n in 0..ENTRIES {
            let mut tx = scene.control.db.work_tx(scene.tenant.id).await.unwrap();
            let now = scene.control.clock.now();
            let target = Some(format!("{n}"));
            audit::record(&mut tx, &actor, now, Action::UserEdited, target, json!({"fields": [n]}));
            tx.commit().await.unwrap();
            // The last quarter is not covered yet.
            if [10, 20, 30].contains(&n) {
                checkpoints::copy_out(&scene.control).await.unwrap();
            }
        }
        let mut database = scene.database.admin().await;
        let cell = &scene.tenant.cell;
        // The owner of the database removes the triggers that prevent it.
        let free = format!(
            "set search_path = {cell};
             alter table audit_entries drop constraint if exists audit_entries_pkey;
             alter table audit_entries drop constraint if exists audit_entries_hash_check;
             alter table audit_entries drop constraint if exists audit_entries_actor_kind_check"
        );
        sqlx::raw_sql(AssertSqlSafe(free)).execute(&mut database).await.unwrap();
        let keys = checkpoints::own_keys(&scene.control);
        let mut signed = checkpoints::read(&scene.control.objects, &keys).await.unwrap().unwrap();
        let signed = signed.by_tenant.remove(&scene.tenant.id.uuid()).unwrap();
        let mut owner = Self { database, scene, log: vec![], signed };
        owner.log = sqlx::query_as("select * from audit_entries where tenant_id = $1 order by position")
            .bind(owner.scene.tenant.id.uuid())
            .fetch_all(&mut owner.database)
            .await
            .unwrap();
        owner
    }

    fn last(&self) -> i64 {
        i64::try_from(self.log.len()).unwrap()
    }

    fn entry(&self, position: i64) -> &Stored {
        &self.log[usize::try_from(position - 1).unwrap()]
    }

    fn hash_before(&self, position: i64) -> Hash {
        match position {
            1 => GENESIS,
            _ => self.entry(position - 1).hash.as_slice().try_into().unwrap(),
        }
    }

    async fn write(&mut self, rows: &[Stored]) {
        for Stored { link, client_key, hash } in rows {
            sqlx::query(
                "insert into audit_entries (tenant_id, position, recorded_at, id, at, actor_kind, actor, action,
                    outcome, target, event_id, request_id, body, client_key, hash)
                 values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
            )
            .bind(link.tenant_id)
            .bind(link.position)
            .bind(link.recorded_at)
            .bind(link.id)
            .bind(link.at)
            .bind(&link.actor_kind)
            .bind(&link.actor)
            .bind(&link.action)
            .bind(&link.outcome)
            .bind(&link.target)
            .bind(link.event_id)
            .bind(&link.request_id)
            .bind(&link.body)
            .bind(client_key)
            .bind(hash)
            .execute(&mut self.database)
            .await
            .unwrap();
        }
    }

    /// Puts this in the place of the log from `position` on.
    async fn replace(&mut self, position: i64, rows: &[Stored]) {
        let tenant = self.scene.tenant.id.uuid();
        sqlx::query("delete from audit_entries where tenant_id = $1 and position >= $2")
            .bind(tenant)
            .bind(position)
            .execute(&mut self.database)
            .await
            .unwrap();
        self.write(rows).await;
    }

    async fn set_head(&mut self, position: i64, hash: &[u8]) {
        sqlx::query("update platform.audit_heads set position = $2, hash = $3 where tenant_id = $1")
            .bind(self.scene.tenant.id.uuid())
            .bind(position)
            .bind(hash)
            .execute(&mut self.database)
            .await
            .unwrap();
    }

    async fn restore(&mut self) {
        let (rows, last) = (self.log.clone(), self.last());
        self.replace(i64::MIN, &rows).await;
        self.set_head(last, &self.entry(last).hash.clone()).await;
    }

    async fn verified(&self) -> Verification {
        let mut tx = self.scene.control.db.work_tx(self.scene.tenant.id).await.unwrap();
        let keys = checkpoints::own_keys(&self.scene.control);
        verify_against(&mut tx, &keys, &self.signed).await.unwrap()
    }

    async fn update(&mut self, set: &str, position: i64) {
        let update = format!("update audit_entries set {set} where tenant_id = $1 and position = $2");
        sqlx::query(AssertSqlSafe(update))
            .bind(self.scene.tenant.id.uuid())
            .bind(position)
            .execute(&mut self.database)
            .await
            .unwrap();
    }

    /// Does the tamper of this round and says where it is to be found.
    #[expect(clippy::too_many_lines, reason = "a table of tampers")]
    async fn tamper(&mut self, round: i64, chance: &mut Chance, other: &Self) -> (String, i64) {
        let last = self.last();
        let at = chance.between(1, last);
        let behind = self.log[usize::try_from(at).unwrap()..].to_vec();
        let moved = |rows: Vec<Stored>, by: i64| -> Vec<Stored> {
            let moved = rows.into_iter().map(|row| {
                let position = row.link.position + by;
                Stored { link: Link { position, ..row.link }, ..row }
            });
            moved.collect()
        };
        let covered = self.signed.in_force().into_keys().collect::<Vec<_>>();
        let good = |at: i64| covered.iter().rfind(|position| **position < at).copied().unwrap_or(0);
        // A hash that fits, where a checkpoint has another: within the checkpoint's interval.
        let fitting = |at: i64, found: i64| if covered.contains(&at) { good(at) + 1 } else { found };
        match round % KINDS {
            0 => {
                let edit = EDITS[usize::try_from(round / KINDS).unwrap() % EDITS.len()];
                self.update(edit, at).await;
                // An entry without a target has nothing to which a letter is added.
                let none = edit.starts_with("target = target") && self.entry(at).link.target.is_none();
                (format!("{edit} at {at}"), if none { 0 } else { at })
            }
            1 => {
                self.replace(at, &behind).await;
                (format!("removed {at}"), at)
            }
            2 => {
                self.replace(at, &moved(behind, -1)).await;
                (format!("removed and renumbered {at}"), at)
            }
            3 => {
                let mut forged = self.entry(at).clone();
                forged.link.target = Some("forged".into());
                let hashed = chance.between(0, 1) == 1;
                if hashed {
                    forged.hashed(&self.hash_before(at));
                }
                let rest = moved([vec![self.entry(at).clone()], behind].concat(), 1);
                self.replace(at, &[vec![forged], rest].concat()).await;
                (format!("inserted at {at}, hashed: {hashed}"), if hashed { fitting(at, at) } else { at })
            }
            4 => {
                let first = chance.between(1, last - 1);
                let second = chance.between(first + 1, last);
                for (position, to) in [(first, 0), (second, first), (0, second)] {
                    self.update(&format!("position = {to}"), position).await;
                }
                (format!("swapped {first} and {second}"), first)
            }
            5 => {
                self.replace(at, &[]).await;
                (format!("cut from {at}"), at)
            }
            6 => {
                let mut theirs = other.entry(at.min(other.last())).clone();
                theirs.link.position = at;
                if chance.between(0, 1) == 1 {
                    theirs.link.tenant_id = self.scene.tenant.id.uuid();
                }
                let own = theirs.link.tenant_id == self.scene.tenant.id.uuid();
                self.replace(at, &behind).await;
                self.write(&[theirs]).await;
                (format!("another tenant's at {at}, under this one's id: {own}"), at)
            }
            7 => {
                let mut rewritten = self.entry(at).clone();
                rewritten.link.outcome = "refused".into();
                rewritten.hashed(&self.hash_before(at));
                self.replace(at, &[vec![rewritten], behind].concat()).await;
                // The entry is whole; what does not follow it is the next one.
                (format!("rewritten with its hash {at}"), fitting(at, (at + 1).min(last)))
            }
            8 => {
                let mut rows = [vec![self.entry(at).clone()], behind].concat();
                rows[0].link.outcome = "refused".into();
                let mut hash = self.hash_before(at);
                rows.iter_mut().for_each(|row| hash = row.hashed(&hash));
                self.replace(at, &rows).await;
                self.set_head(last, &hash).await;
                // Only a checkpoint shows it, as an interval, and only where a checkpoint follows.
                let seen = covered.iter().any(|position| *position >= at);
                (format!("made anew from {at}"), if seen { good(at) + 1 } else { 0 })
            }
            9 => {
                self.replace(at, &[]).await;
                let hash = self.hash_before(at);
                self.set_head(at - 1, &hash).await;
                let seen = covered.iter().any(|position| *position >= at);
                (format!("cut from {at} with the head"), if seen { at } else { 0 })
            }
            10 => {
                let outside = if chance.between(0, 1) == 0 { -1 } else { last + 1 };
                let row = self.entry(at).clone();
                let link = Link { position: outside, ..row.link };
                self.write(&[Stored { link, ..row }]).await;
                (format!("added outside of the log at {outside}"), outside)
            }
            _ => {
                let (position, hash) = (chance.between(1, last - 1), self.entry(at).hash.clone());
                self.set_head(position, &hash).await;
                let what = format!("the head moved to {position} with the hash of {at}");
                // With its own hash that entry is right, and the next one is too many.
                (what, if at == position { position + 1 } else { position })
            }
        }
    }
}

#[tokio::test]
async fn what_the_owner_of_the_database_does_is_found_where_it_was_done() {
    let mut chance = Chance::new();
    let scene = Scene::alone().await;
    let shared = scene.neighbour(Isolation::Shared).await;
    let mut owners = [Owner::of(scene).await, Owner::of(shared).await];
    let edits = i64::try_from(EDITS.len()).unwrap();
    for round in 0..scaled(KINDS * edits, 1_000) {
        let [one, other] = &mut owners;
        let (own, theirs) = if round % 2 == 0 { (one, other) } else { (other, one) };
        let (what, expected) = own.tamper(round, &mut chance, theirs).await;
        let found = own.verified().await.finding.map_or(0, |finding| finding.position);
        assert_eq!(found, expected, "round {round}: {what}");
        own.restore().await;
        assert!(own.verified().await.intact, "round {round}: restored after {what}");
    }
}

/// The lines of an export, as they were served.
async fn exported(scene: &Scene, token: &str, query: &str) -> Vec<String> {
    let url = format!("http://{}/api/audit/export/{query}", scene.api);
    let answer = reqwest::Client::new().get(url).bearer_auth(token).send().await.unwrap();
    assert_eq!(
        (answer.status(), &answer.headers()["content-type"]),
        (reqwest::StatusCode::OK, &reqwest::header::HeaderValue::from_static("application/jsonl"))
    );
    answer.text().await.unwrap().lines().map(ToOwned::to_owned).collect()
}

#[tokio::test]
async fn an_export_verifies_with_nothing_but_the_public_key() {
    for scene in [Scene::new().await, Scene::shared().await] {
        let ada = scene.member("ada", "root-admin").await;
        scene.edited(9).await;
        let lines = exported(&scene, &ada.token, "").await;
        assert_eq!(scene.logged().await.last().unwrap(), "audit.exported");
        let log = i64::try_from(lines.len() - 1).unwrap();
        assert_eq!(log, i64::try_from(scene.logged().await.len()).unwrap(), "its own entry is in it");
        let file = std::env::temp_dir().join(format!("{}.jsonl", scene.tenant.slug));
        let key = scene.control.settings.audit.checkpoint_key.0.public();
        let cli = crate::cli::Cli { variables: std::collections::HashMap::new() };
        let verified = |lines: &[String], key: &str| {
            std::fs::write(&file, lines.join("\n")).unwrap();
            let file = file.display().to_string();
            let outcome = cli.run(&["audit", "verify", "--export", &file, "--public-key", key], "");
            let finding = &outcome.json["finding"];
            assert_eq!(outcome.code == 0, finding.is_null(), "{}", outcome.stderr);
            finding["position"].as_i64()
        };
        assert_eq!(verified(&lines, &key), None);
        let part = exported(&scene, &ada.token, "?after=3").await;
        assert_eq!(verified(&part, &key), None);
        let at = |place: usize| i64::try_from(place).unwrap() + 1;
        for place in [0, 4, lines.len() - 2] {
            let mut edited = lines.clone();
            edited[place] = edited[place].replace("\"outcome\":\"done\"", "\"outcome\":\"refused\"");
            assert_eq!(verified(&edited, &key), Some(at(place)), "edited {place}");
            let mut without = lines.clone();
            without.remove(place);
            // A log that begins later is a part of one.
            let expected = if place == 0 { None } else { Some(at(place)) };
            assert_eq!(verified(&without, &key), expected, "without {place}");
            let mut twice = lines.clone();
            twice.insert(place, lines[place].clone());
            assert_eq!(verified(&twice, &key), Some(at(place)), "twice {place}");
        }
        assert_eq!(verified(&lines[..lines.len() - 1], &key), Some(log + 1), "cut");
        assert!(verified(&lines, &crate::forward::edge_key().public()).is_some(), "by another key");
        let other = exported(&scene, &ada.token, "").await;
        let mixed = [&lines[..lines.len() - 1], &other[other.len() - 1..]].concat();
        assert_eq!(verified(&mixed, &key), Some(log + 1), "another export's end");
        let ended_twice = [&lines[..], &lines[lines.len() - 1..]].concat();
        assert_eq!(verified(&ended_twice, &key), Some(log + 1), "a line behind the end");
        let neighbour = scene.neighbour(Isolation::Schema).await;
        let eve = neighbour.member("eve", "root-admin").await;
        let theirs = exported(&neighbour, &eve.token, "").await;
        let mixed = [&lines[..lines.len() - 1], &theirs[theirs.len() - 1..]].concat();
        assert_eq!(verified(&mixed, &key), Some(1), "another tenant's end");
        std::fs::remove_file(&file).unwrap();
    }
}

#[tokio::test]
async fn an_export_is_for_readers_of_the_log_and_long_ones_come_whole() {
    let scene = Scene::new().await;
    let (ada, sue) = (scene.member("ada", "root-admin").await, scene.member("sue", "staff").await);
    sue.get("/api/audit/export/").await.expect(403);
    let mut tx = scene.control.db.work_tx(scene.tenant.id).await.unwrap();
    let targets: Vec<_> = (0..2_500).map(|n| n.to_string()).collect();
    audit::record_each(&mut tx, &Actor::operator(), scene.control.clock.now(), Action::UserImported, targets);
    tx.commit().await.unwrap();
    let lines = exported(&scene, &ada.token, "").await;
    assert_eq!(lines.len() - 1, scene.logged().await.len());
    let keys = checkpoints::own_keys(&scene.control);
    let verified = audit::export::verify([lines.join("\n").as_bytes()], &keys).unwrap();
    assert!(verified.intact, "{verified:?}");
    ada.get("/api/audit/export/?after=999999").await.expect(404);
}

impl Scene {
    pub async fn edited(&self, times: usize) {
        for _ in 0..times {
            let mut tx = self.control.db.work_tx(self.tenant.id).await.unwrap();
            let now = self.control.clock.now();
            audit::record(&mut tx, &Actor::operator(), now, Action::UserEdited, None, json!({}));
            tx.commit().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_restore_is_told_from_a_cut_and_stays_told_until_it_is_accepted() {
    let scene = Scene::alone().await;
    let slug = scene.tenant.slug.to_string();
    let cli = scene.cli();
    let verified =
        |code| cli.run(&["audit", "verify", "--tenant", &slug], "").expect(code).json["results"][0].clone();
    scene.edited(3).await;
    checkpoints::copy_out(&scene.control).await.unwrap();
    let kept = verified(0)["entries"].as_i64().unwrap();
    scene.edited(3).await;
    checkpoints::copy_out(&scene.control).await.unwrap();
    let lost = verified(0)["entries"].as_i64().unwrap();
    // The content of a backup after the first checkpoint.
    let back = format!(
        "delete from {cell}.audit_entries where tenant_id = '{tenant}' and position > {kept};
         update platform.audit_heads
         set position = {kept}, hash = (select hash from {cell}.audit_entries
            where tenant_id = '{tenant}' and position = {kept})
         where tenant_id = '{tenant}'",
        cell = scene.tenant.cell,
        tenant = scene.tenant.id,
    );
    sqlx::raw_sql(AssertSqlSafe(back)).execute(&mut scene.database.admin().await).await.unwrap();
    let finding = verified(5)["finding"].clone();
    assert_eq!((&finding["fault"], &finding["position"]), (&json!("cut"), &json!(kept + 1)));
    cli.run(&["audit", "accept-restore", &slug, "--yes"], "").expect(5);

    control::edges::reseed::reseed(&scene.control, &Actor::operator(), scene.tenant.id).await.unwrap();
    // The log grows beyond its former end.
    scene.edited(5).await;
    checkpoints::copy_out(&scene.control).await.unwrap();
    let finding = verified(5)["finding"].clone();
    assert_eq!(finding["fault"], json!(Fault::Restored));
    assert_eq!((&finding["position"], &finding["until"]), (&json!(kept + 1), &json!(lost)));
    cli.run(&["audit", "accept-restore", &slug], "").expect(5);
    let accepted = cli.run(&["audit", "accept-restore", &slug, "--yes"], "").expect(0).json;
    assert_eq!(accepted, json!({"tenant": scene.tenant.id, "history": 2, "from": kept + 1, "to": lost}));
    assert_eq!(verified(0)["intact"], json!(true));
    assert!(scene.logged().await.contains(&"audit.restore_accepted".to_owned()));
    cli.run(&["audit", "accept-restore", &slug, "--yes"], "").expect(5);
}

#[tokio::test]
async fn checkpoints_are_believed_by_their_key_alone() {
    let scene = Scene::alone().await;
    let cli = scene.cli();
    scene.edited(3).await;
    checkpoints::copy_out(&scene.control).await.unwrap();
    let folder = scene.database.checkpoint_folder();
    let with = |key: &str, code| {
        let arguments = ["audit", "verify", "--checkpoints", &folder, "--public-key", key];
        cli.run(&arguments, "").expect(code)
    };
    let own = scene.control.settings.audit.checkpoint_key.0.public();
    with(&own, 0);
    let stranger = crate::forward::edge_key().public();
    assert!(with(&stranger, 5).stderr.contains("none of the public keys has signed it"));
    with("audit-1:short", 5);
    // With nothing new there is no new file, and a minute that was killed half way signs the same again.
    let files = || walk(std::path::Path::new(&folder));
    let one = files();
    checkpoints::copy_out(&scene.control).await.unwrap();
    assert_eq!((one, files()), (1, 1));
    let forget = "delete from platform.audit_checkpoints";
    sqlx::raw_sql(forget).execute(&mut scene.database.admin().await).await.unwrap();
    checkpoints::copy_out(&scene.control).await.unwrap();
    assert_eq!(files(), 2);
    with(&own, 0);
}

fn walk(folder: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { walk(&path) } else { 1 }).sum()
}

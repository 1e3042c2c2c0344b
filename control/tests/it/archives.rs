//! Archives of the audit log: old entries leave the database and can still be verified, also after a kill of the
//! command, a restore of a backup, or tampering with the archives.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;

use chrono::{DateTime, TimeDelta, Utc};
use control::audit::archive::{self, ArchiveError};
use control::audit::{self, Action, Actor, Fault, checkpoints, removal};
use control::db::chain::{GENESIS, Link};
use control::tenants::Isolation;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use crate::bucket::Bucket;
use crate::cli::Outcome;
use crate::gate::Fate;
use crate::scale::{Chance, scaled};
use crate::scene::Scene;

#[derive(sqlx::FromRow)]
struct Row {
    #[sqlx(flatten)]
    link: Link,
    hash: Vec<u8>,
}

/// When an entry of an old log was recorded.
fn recorded(position: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_225_600, 0).unwrap() + TimeDelta::seconds(position)
}

impl Scene {
    async fn sql(&self, text: &str) {
        let text = text
            .replace("{cell}", self.tenant.cell.as_str())
            .replace("{tenant}", &self.tenant.id.to_string());
        sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut self.database.admin().await).await.unwrap();
    }

    async fn one(&self, text: &str) -> i64 {
        let text = text
            .replace("{cell}", self.tenant.cell.as_str())
            .replace("{tenant}", &self.tenant.id.to_string());
        sqlx::query_scalar(AssertSqlSafe(text)).fetch_one(&mut self.database.admin().await).await.unwrap()
    }

    /// Rows of the tenant's log in the database.
    async fn rows_left(&self) -> i64 {
        self.one("select count(*) from {cell}.audit_entries where tenant_id = '{tenant}'").await
    }

    async fn head(&self) -> i64 {
        self.one("select position from platform.audit_heads where tenant_id = '{tenant}'").await
    }

    /// Writes entries about `n` users, many in a transaction.
    async fn many(&self, n: i64) {
        let actor = Actor { client: Some("192.0.2.7".into()), ..Actor::operator() };
        let targets: Vec<_> = (0..n).map(|n| n.to_string()).collect();
        for targets in targets.chunks(2_000) {
            let mut tx = self.control.db.work_tx(self.tenant.id).await.unwrap();
            let now = self.control.clock.now();
            audit::record_each(&mut tx, &actor, now, Action::UserImported, targets.to_vec());
            tx.commit().await.unwrap();
        }
    }

    /// Moves the times of entries from one on into the past, a second apart, before a checkpoint covers them.
    async fn age(&self, from: i64) {
        let mut owner = self.database.admin().await;
        let text = format!(
            "select * from {}.audit_entries where tenant_id = $1 order by position",
            self.tenant.cell
        );
        let rows: Vec<Row> = sqlx::query_as(AssertSqlSafe(text))
            .bind(self.tenant.id.uuid())
            .fetch_all(&mut owner)
            .await
            .unwrap();
        let mut before = GENESIS;
        let (mut positions, mut times, mut hashes) = (vec![], vec![], vec![]);
        for Row { mut link, hash } in rows {
            if link.position < from {
                before = hash.try_into().unwrap();
                continue;
            }
            link.recorded_at = recorded(link.position);
            before = link.hash(&before);
            positions.push(link.position);
            times.push(link.recorded_at);
            hashes.push(before.to_vec());
        }
        let update = format!(
            "update {}.audit_entries e set recorded_at = d.at, hash = d.hash
             from unnest($2::bigint[], $3::timestamptz[], $4::bytea[]) d (position, at, hash)
             where e.tenant_id = $1 and e.position = d.position",
            self.tenant.cell
        );
        sqlx::query(AssertSqlSafe(update))
            .bind(self.tenant.id.uuid())
            .bind(&positions)
            .bind(&times)
            .bind(&hashes)
            .execute(&mut owner)
            .await
            .unwrap();
        sqlx::query("update platform.audit_heads set hash = $2, recorded_at = $3 where tenant_id = $1")
            .bind(self.tenant.id.uuid())
            .bind(before.as_slice())
            .bind(times.last())
            .execute(&mut owner)
            .await
            .unwrap();
    }

    /// An old log of `n` entries and those with which the tenant was made, covered by a checkpoint.
    async fn with_old(self, n: i64) -> Self {
        self.many(n).await;
        self.age(1).await;
        checkpoints::copy_out(&self.control).await.unwrap();
        self
    }

    /// Archives the entries up to this one.
    fn archive(&self, to: i64) -> Outcome {
        let before = recorded(to + 1).to_rfc3339();
        let slug = self.tenant.slug.to_string();
        self.cli().run(&["audit", "archive", "--tenant", &slug, "--before", &before, "--yes"], "")
    }

    /// Verifies the log by the command line.
    fn looks(&self) -> Value {
        let slug = self.tenant.slug.to_string();
        let outcome = self.cli().run(&["audit", "verify", "--tenant", &slug], "");
        let found = outcome.json["results"][0].clone();
        assert_eq!(outcome.code == 0, found["intact"] == json!(true), "{found} {}", outcome.stderr);
        found
    }

    /// The result: the fault, and the first and last entry.
    fn fault(&self) -> (Value, i64, i64) {
        let found = self.looks();
        let finding = &found["finding"];
        let position = finding["position"].as_i64().unwrap_or_else(|| panic!("nothing was found: {found}"));
        (finding["fault"].clone(), position, finding["until"].as_i64().unwrap_or(position))
    }

    /// The files of the tenant's archives, in order.
    fn archives(&self) -> Vec<PathBuf> {
        let folder = PathBuf::from(self.database.checkpoint_folder())
            .join("archives")
            .join(self.tenant.id.to_string());
        let entries = std::fs::read_dir(folder).map_or_else(|_| vec![], |all| all.collect::<Vec<_>>());
        let mut files: Vec<_> = entries.into_iter().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }
}

/// Old logs in a database of their own: a tenant with a cell of its own, and one in a shared cell, beside a third.
async fn old(n: i64) -> [Scene; 2] {
    let scene = Scene::alone().await;
    let shared = scene.neighbour(Isolation::Shared).await;
    let beside = scene.neighbour(Isolation::Shared).await;
    beside.many(5).await;
    for scene in [&scene, &shared] {
        scene.many(n).await;
        scene.age(1).await;
    }
    checkpoints::copy_out(&scene.control).await.unwrap();
    [scene, shared]
}

fn fault(fault: Fault) -> Value {
    json!(fault)
}

#[tokio::test]
async fn what_is_old_leaves_the_database_and_verification_spans_it() {
    for scene in old(40).await {
        let neighbours = "select count(*) from {cell}.audit_entries where tenant_id <> '{tenant}'";
        let ada = scene.member("ada", "root-admin").await;
        let (head, theirs) = (scene.head().await, scene.one(neighbours).await);
        let young = scene.cli().run(&["audit", "archive", "--before", "2999-01-01", "--yes"], "");
        assert!(young.expect(5).stderr.contains("at least 31 days ago"));
        let asked = ["audit", "archive", "--before", "2026-01-01"];
        assert!(scene.cli().run(&asked, "").expect(5).stderr.contains("say --yes"));

        for (to, archives) in [(7, 1), (7, 0), (20, 1)] {
            let done = scene.archive(to).expect(0).json["results"][0].clone();
            assert_eq!((&done["archives"], &done["error"]), (&json!(archives), &json!(null)), "{done}");
            assert_eq!(done["entries"], done["removed"]);
            let found = scene.looks();
            assert_eq!((&found["archived"], &found["intact"]), (&json!(to), &json!(true)), "{found}");
        }
        // Each archive is an entry of its own.
        let head = head + 2;
        assert_eq!((scene.head().await, scene.rows_left().await), (head, head - 20));
        assert_eq!(scene.one(neighbours).await, theirs, "those of another tenant stay");
        assert_eq!(scene.archives().len(), 2);

        // The API verifies only the entries that are left.
        let whole = ada.get("/api/audit/verify/").await.expect(200).body;
        let expected =
            json!({"intact": true, "from": 21, "to": head, "archived": 20, "head": head, "finding": null});
        assert_eq!(whole, expected);
        let part = ada.get("/api/audit/verify/?after=9").await.expect(200).body;
        assert_eq!((&part["intact"], &part["from"]), (&json!(true), &json!(21)));
        assert_eq!(ada.get("/api/audit/").await.expect(200).body["count"], json!(head - 20));

        // An export begins with the archives, and continues after their end.
        let export = std::env::temp_dir().join(format!("{}.jsonl", scene.tenant.slug));
        let url = format!("http://{}/api/audit/export/", scene.api);
        let text = reqwest::Client::new().get(url).bearer_auth(&ada.token).send().await.unwrap();
        std::fs::write(&export, text.text().await.unwrap()).unwrap();
        let key = scene.control.settings.audit.checkpoint_key.0.public();
        let offline = |files: &[&PathBuf]| {
            let files: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
            let mut arguments = vec!["audit", "verify", "--public-key", &key];
            files.iter().for_each(|file| arguments.extend(["--export", file.as_str()]));
            crate::cli::Cli { variables: std::collections::HashMap::new() }.run(&arguments, "")
        };
        let archives = scene.archives();
        let [one, two] = &archives[..] else { panic!("two archives") };
        let all = offline(&[one, two, &export]).expect(0).json;
        assert_eq!((&all["from"], &all["to"]), (&json!(1), &json!(head + 1)));
        let last = offline(&[two, &export]).expect(0).json;
        assert_eq!(last["from"], json!(8));
        let gap = offline(&[one, &export]).expect(5).json;
        assert_eq!(
            (&gap["finding"]["position"], &gap["finding"]["fault"]),
            (&json!(8), &fault(Fault::Missing))
        );
        std::fs::remove_file(&export).unwrap();

        // Archives the rest, so that no old entry is left.
        scene.archive(head).expect(0);
        let old = "select count(*) from {cell}.audit_entries
            where tenant_id = '{tenant}' and recorded_at < now() - interval '1 day'";
        assert_eq!(scene.one(old).await, 0);
        scene.edited(2).await;
        assert_eq!(scene.looks()["intact"], json!(true));
        assert_eq!(ada.get("/api/audit/verify/").await.expect(200).body["intact"], json!(true));
    }
}

#[tokio::test]
async fn only_what_a_checkpoint_covers_and_what_is_whole_is_archived() {
    let scene = Scene::alone().await;
    scene.many(10).await;
    scene.age(1).await;
    let (tenant, before) = (scene.tenant.id, scene.control.clock.now());
    let none = archive::next(&scene.control, tenant, before).await.unwrap();
    assert!(none.is_none(), "no checkpoint covers it");
    checkpoints::copy_out(&scene.control).await.unwrap();
    let covered = scene.head().await;
    scene.sql("update {cell}.audit_entries set outcome = 'refused' where tenant_id = '{tenant}' and position = 6").await;
    let refused = archive::next(&scene.control, tenant, before).await.unwrap_err();
    assert!(matches!(&refused, ArchiveError::Finding(finding) if finding.position == 6), "{refused}");
    assert!(scene.archives().is_empty());
    scene
        .sql("update {cell}.audit_entries set outcome = 'done' where tenant_id = '{tenant}' and position = 6")
        .await;
    scene.many(3).await;
    let made = archive::next(&scene.control, tenant, before).await.unwrap().unwrap();
    assert_eq!((made.from, made.to), (1, covered), "what came later is not covered yet");
}

#[tokio::test]
async fn nothing_is_removed_that_is_not_safely_stored() {
    for scene in old(20).await {
        let (tenant, rows) = (scene.tenant.id, scene.rows_left().await);
        let cut = recorded(15);
        let made = archive::next(&scene.control, tenant, cut).await.unwrap().unwrap();
        assert_eq!((made.from, made.to), (1, 14));
        let remove = async || removal::remove(&scene.control, tenant, &scene.tenant.cell, |_| ()).await;
        let archives = scene.archives();
        let [file] = &archives[..] else { panic!("one archive") };
        let bytes = std::fs::read(file).unwrap();
        for (what, other) in [("changed", Some([&bytes[..], b"x"].concat())), ("gone", None)] {
            match other {
                Some(other) => std::fs::write(file, other).unwrap(),
                None => std::fs::remove_file(file).unwrap(),
            }
            assert!(matches!(remove().await, Err(ArchiveError::Finding(_))), "{what}");
            std::fs::write(file, &bytes).unwrap();
        }
        // The database has other entries there: it was restored.
        scene.sql("update {cell}.audit_entries set hash = sha256(hash) where tenant_id = '{tenant}' and position = 14").await;
        assert!(matches!(remove().await, Err(ArchiveError::Finding(_))));
        assert_eq!(scene.rows_left().await, rows + 1, "and the archive's own entry");
        let back = format!(
            "update {{cell}}.audit_entries set hash = decode('{}', 'hex') where tenant_id = '{{tenant}}' and position = 14",
            made.hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
        );
        scene.sql(&back).await;
        // The role that serves cannot, whatever is archived.
        let mut tx = scene.control.db.work_tx(tenant).await.unwrap();
        let denied = sqlx::query("delete from audit_entries where position = 1").execute(&mut *tx).await;
        assert_eq!(denied.unwrap_err().as_database_error().unwrap().code().as_deref(), Some("42501"));
        drop(tx);
        assert_eq!(remove().await.unwrap(), 14);
        assert_eq!(remove().await.unwrap(), 0);
        assert_eq!(scene.looks()["intact"], json!(true));
        // Entries before an archive are in none, so no gap arises.
        for to in [16, 18] {
            let made = archive::next(&scene.control, tenant, recorded(to + 1)).await.unwrap().unwrap();
            assert_eq!((made.from, made.to), (to - 1, to));
        }
        let manifest = |from: &str, to: &str| {
            format!(
                "update platform.audit_archives set manifest = replace(manifest, '{from}', '{to}') where tenant_id = '{{tenant}}'"
            )
        };
        scene.sql(&manifest("\"to\":16", "\"to\":17")).await;
        let left = scene.rows_left().await;
        assert_eq!((remove().await.unwrap(), scene.rows_left().await), (0, left));
        scene.sql(&manifest("\"to\":17", "\"to\":16")).await;
        assert_eq!(remove().await.unwrap(), 4);
        assert_eq!(scene.looks()["intact"], json!(true));
    }
}

/// The text of an archive.
fn text_of(bytes: &[u8]) -> String {
    let mut text = String::new();
    GzDecoder::new(bytes).read_to_string(&mut text).unwrap();
    text
}

fn compressed(text: &str) -> Vec<u8> {
    let mut gzip = GzEncoder::new(vec![], Compression::default());
    gzip.write_all(text.as_bytes()).unwrap();
    gzip.finish().unwrap()
}

#[tokio::test]
async fn what_is_done_to_an_archive_is_named() {
    let [one, other] = old(40).await;
    for scene in [&one, &other] {
        for to in [10, 20, 30] {
            scene.archive(to).expect(0);
        }
    }
    for (scene, other) in [(&one, &other), (&other, &one)] {
        let (files, theirs) = (scene.archives(), other.archives());
        let whole: Vec<_> = files.iter().map(|file| std::fs::read(file).unwrap()).collect();
        let ranges = [(1, 10), (11, 20), (21, 30)];
        let (first, many) = scaled((1, 1), (0, 3));
        for (place, file) in files.iter().enumerate().skip(first).take(many) {
            let (from, to) = ranges[place];
            let bytes = &whole[place];
            let mut flipped = bytes.clone();
            let middle = flipped.len() / 2;
            flipped[middle] ^= 1;
            let text = text_of(bytes);
            let lines: Vec<_> = text.lines().collect();
            let without = [&lines[..4], &lines[5..]].concat().join("\n") + "\n";
            for (what, changed) in [
                ("a bit changed", flipped),
                ("cut", bytes[..bytes.len() - 9].to_vec()),
                ("emptied", vec![]),
                ("a line changed", compressed(&text.replacen("\"done\"", "\"refused\"", 1))),
                ("a line removed", compressed(&without)),
                ("the same in other bytes", compressed(&text)),
                ("that of another tenant", std::fs::read(&theirs[place]).unwrap()),
                ("another of this tenant", whole[(place + 1) % 3].clone()),
            ] {
                if changed == *bytes {
                    continue;
                }
                std::fs::write(file, changed).unwrap();
                assert_eq!(scene.fault(), (fault(Fault::ArchiveChanged), from, to), "{what} {place}");
            }
            std::fs::remove_file(file).unwrap();
            assert_eq!(scene.fault(), (fault(Fault::ArchiveMissing), from, to), "{place}");
            std::fs::write(file, bytes).unwrap();
        }

        // The owner of the database removes rows that no archive has, and what it knows of archives.
        let keep = "create table {cell}.kept as select * from {cell}.audit_entries;
            create table {cell}.kept_archives as select * from platform.audit_archives";
        scene.sql(keep).await;
        scene.sql("delete from {cell}.audit_entries where tenant_id = '{tenant}' and position <= 34").await;
        assert_eq!(scene.fault(), (fault(Fault::Missing), 31, 31));
        let ada = scene.member("ada", "root-admin").await;
        let said = ada.get("/api/audit/verify/").await.expect(200).body;
        assert_eq!(said["finding"]["position"], json!(31));
        scene.sql("delete from platform.audit_archives where tenant_id = '{tenant}'").await;
        let said = ada.get("/api/audit/verify/").await.expect(200).body;
        assert_eq!(said["finding"]["position"], json!(1));
        // Manifests stand with the checkpoints, too.
        assert_eq!(scene.fault(), (fault(Fault::Missing), 31, 31));
        let back = "insert into platform.audit_archives select * from {cell}.kept_archives where tenant_id = '{tenant}';
            insert into {cell}.audit_entries select * from {cell}.kept where tenant_id = '{tenant}' and position <= 34";
        scene.sql(back).await;
        assert_eq!(scene.looks()["intact"], json!(true));
        // A manifest without a valid signature counts for nothing.
        scene.sql("update platform.audit_archives set manifest = replace(manifest, '\"to\":30', '\"to\":31') where tenant_id = '{tenant}'").await;
        let said = ada.get("/api/audit/verify/").await.expect(200).body;
        assert_eq!(said["finding"]["position"], json!(21));
        scene.sql("update platform.audit_archives set manifest = replace(manifest, '\"to\":31', '\"to\":30') where tenant_id = '{tenant}';
            drop table {cell}.kept; drop table {cell}.kept_archives").await;
        assert_eq!(scene.looks()["intact"], json!(true));
    }
}

/// An attacker with the database and the key rebuilds the chain, with an archive of it: the manifest of the first
/// archive stays.
#[tokio::test]
async fn an_archive_that_was_made_anew_disagrees_with_the_first() {
    let scene = Scene::alone().await.with_old(20).await;
    let rows = "create table {cell}.kept as select * from {cell}.audit_entries where tenant_id = '{tenant}'";
    scene.sql(rows).await;
    scene.archive(12).expect(0);
    scene.sql(
        "delete from {cell}.audit_entries where tenant_id = '{tenant}';
         delete from platform.audit_archives where tenant_id = '{tenant}';
         insert into {cell}.audit_entries select * from {cell}.kept;
         update {cell}.audit_entries set outcome = 'refused' where tenant_id = '{tenant}' and position = 5;
         update platform.audit_heads set position = (select max(position) from {cell}.kept) where tenant_id = '{tenant}'",
    )
    .await;
    scene.age(1).await;
    checkpoints::copy_out(&scene.control).await.unwrap();
    scene.archive(14).expect(0);
    let (found, from, until) = scene.fault();
    assert_eq!((found, from, until), (fault(Fault::Recomputed), 1, 12));
}

#[tokio::test]
async fn a_database_restored_from_before_an_archive_verifies_and_goes_on() {
    for scene in old(40).await {
        scene.archive(10).expect(0);
        let backup = "drop table if exists {cell}.backup, {cell}.backup_heads, {cell}.backup_archives;
            create table {cell}.backup as select * from {cell}.audit_entries where tenant_id = '{tenant}';
            create table {cell}.backup_heads as select * from platform.audit_heads where tenant_id = '{tenant}';
            create table {cell}.backup_archives as select * from platform.audit_archives where tenant_id = '{tenant}'";
        let restore = "delete from {cell}.audit_entries where tenant_id = '{tenant}';
            delete from platform.audit_archives where tenant_id = '{tenant}';
            insert into {cell}.audit_entries select * from {cell}.backup;
            insert into platform.audit_archives select * from {cell}.backup_archives;
            update platform.audit_heads h set position = b.position, hash = b.hash, recorded_at = b.recorded_at
            from {cell}.backup_heads b where h.tenant_id = b.tenant_id";
        scene.sql(backup).await;
        let backed_up = scene.head().await;
        scene.archive(25).expect(0);
        scene.sql(restore).await;
        // Everything that was archived is in the backup, too; what was written since is lost.
        let made = backed_up + 1;
        assert_eq!(scene.looks()["intact"], json!(true), "no checkpoint covers the archive's own entry");
        // Another archive of the same entries agrees with the first.
        scene.archive(30).expect(0);
        assert_eq!(scene.looks()["intact"], json!(true));
        assert_eq!(scene.archives().len(), 3);

        // The backup was older than the end of an archive: it lost what the archive has.
        scene.sql(restore).await;
        let lost = "delete from {cell}.audit_entries where tenant_id = '{tenant}' and position > 20;
            update platform.audit_heads set position = 20, hash = (select hash from {cell}.audit_entries
                where tenant_id = '{tenant}' and position = 20) where tenant_id = '{tenant}'";
        scene.sql(lost).await;
        assert_eq!(scene.fault().0, fault(Fault::Cut));
        control::edges::reseed::reseed(&scene.control, &Actor::operator(), scene.tenant.id).await.unwrap();
        scene.many(made).await;
        scene.age(21).await;
        checkpoints::copy_out(&scene.control).await.unwrap();
        let (found, from, _) = scene.fault();
        assert_eq!(found, fault(Fault::Restored));
        assert!((11..=21).contains(&from), "behind the last entry that is vouched for: {from}");
        let slug = scene.tenant.slug.to_string();
        scene.cli().run(&["audit", "accept-restore", &slug, "--yes"], "").expect(0);
        let found = scene.looks();
        assert_eq!((&found["intact"], &found["archived"]), (&json!(true), &json!(10)), "{found}");
        scene.archive(28).expect(0);
        let found = scene.looks();
        assert_eq!((&found["intact"], &found["archived"]), (&json!(true), &json!(28)), "{found}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn archives_in_a_bucket_that_fails_remove_nothing_and_go_on_later() {
    let bucket = Bucket::locked().await;
    let scene = Scene::under(bucket.variables(Some(1)), Isolation::Schema).await.with_old(30).await;
    let rows = scene.rows_left().await;
    for fate in [Fate::Dropped, Fate::Error(503, "SlowDown"), Fate::Error(403, "AccessDenied")] {
        bucket.now(fate);
        scene.archive(20).expect(1);
        assert_eq!(scene.rows_left().await, rows, "{fate:?}");
    }
    // It is written and cannot be read back.
    bucket.now(Fate::Served);
    // With nothing due, the command asks whether the bucket locks, then puts, asks for the lock, lists and gets.
    bucket.next(&[Fate::Served, Fate::Served, Fate::Served, Fate::Error(403, "AccessDenied")]);
    let failed = scene.archive(20).expect(1).json["results"][0].clone();
    assert!(failed["error"].as_str().unwrap().contains("AccessDenied"), "{failed}");
    assert_eq!(scene.rows_left().await, rows);
    let written = |versions: &[crate::bucket::Version]| {
        versions.iter().filter(|version| version.key.contains("/archives/")).count()
    };
    assert_eq!(written(&bucket.versions().await), 1, "an object without a manifest counts for nothing");
    // It is read back, and its manifest cannot be written.
    bucket.next(&[[Fate::Served; 5].as_slice(), &[Fate::Error(403, "AccessDenied")]].concat());
    let failed = scene.archive(20).expect(1).json["results"][0].clone();
    assert!(failed["error"].as_str().unwrap().contains("AccessDenied"), "{failed}");
    let noted = "select count(*) from platform.audit_archives where tenant_id = '{tenant}'";
    assert_eq!((scene.rows_left().await, scene.one(noted).await), (rows, 0));
    assert_eq!(written(&bucket.versions().await), 2);
    let done = scene.archive(20).expect(0).json["results"][0].clone();
    assert_eq!(done["removed"], json!(20));
    assert_eq!(scene.looks()["archived"], json!(20));

    // After a deletion, the first version is kept and read, and the deletion is reported; no entries are removed
    // because of it.
    let (tenant, now) = (scene.tenant.id, recorded(26));
    let made = archive::next(&scene.control, tenant, now).await.unwrap().unwrap();
    let at = format!("/{}{}", crate::bucket::PREFIX, made.object);
    bucket.call(Method::DELETE, &at, &[], "").await;
    let left = scene.rows_left().await;
    let refused = removal::remove(&scene.control, tenant, &scene.tenant.cell, |_| ()).await;
    assert!(matches!(refused, Err(ArchiveError::Disturbed(..))), "{refused:?}");
    assert_eq!(scene.rows_left().await, left);
    let slug = scene.tenant.slug.to_string();
    let told = scene.cli().run(&["audit", "verify", "--tenant", &slug], "").expect(5);
    assert_eq!(told.json["results"][0]["intact"], json!(true));
    assert!(told.stderr.contains("it was deleted"), "{}", told.stderr);
}

/// Kills the command some time after its start, or lets it end.
async fn killed_after(scene: &Scene, to: i64, time: std::time::Duration) {
    let before = recorded(to + 1).to_rfc3339();
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_wardgate"))
        .args(["audit", "archive", "--tenant", &scene.tenant.slug.to_string(), "--before", &before, "--yes"])
        .env_clear()
        .envs(&scene.cli().variables)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    tokio::time::sleep(time).await;
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test]
async fn killed_at_any_moment_it_goes_on_and_loses_nothing() {
    let mut chance = Chance::new();
    // The first round ends by itself and says how long one takes; every other one is killed.
    let (kills, entries) = scaled((6, 400), (20, 4_000));
    let rounds = 1 + kills;
    let scene = Scene::alone().await.with_old(rounds * entries).await;
    let began = tokio::time::Instant::now();
    scene.archive(entries).expect(0);
    let whole = i64::try_from(began.elapsed().as_millis()).unwrap();
    for round in 2..=rounds {
        let moment = chance.between(0, whole);
        let time = std::time::Duration::from_millis(moment.unsigned_abs());
        killed_after(&scene, round * entries, time).await;
        let found = scene.looks();
        assert_eq!(found["intact"], json!(true), "round {round} after {moment} of {whole} ms: {found}");
    }
    scene.archive(rounds * entries).expect(0);
    let found = scene.looks();
    assert_eq!((&found["intact"], &found["archived"]), (&json!(true), &json!(rounds * entries)));
    let first =
        scene.one("select min(position) from {cell}.audit_entries where tenant_id = '{tenant}'").await;
    assert_eq!(first, rounds * entries + 1);
}

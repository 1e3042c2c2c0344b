//! Checkpoints in a bucket: locked, so that no one can take them away, and out of order, so that nothing else may be.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use control::audit::{Fault, checkpoints};
use control::failure::chain;
use control::objects::ObjectError;
use control::tenants::Isolation;
use reqwest::{Method, StatusCode};
use serde_json::json;
use sqlx::AssertSqlSafe;

use crate::bucket::{Bucket, PREFIX};
use crate::gate::Fate;
use crate::jobs::Served;
use crate::scale::Numbers;
use crate::scene::Scene;

impl Scene {
    /// The result of verifying the tenant's log, and the other output of the command.
    fn verified(&self, code: i32) -> (serde_json::Value, String) {
        let slug = self.tenant.slug.to_string();
        let outcome = self.cli().run(&["audit", "verify", "--tenant", &slug], "").expect(code);
        (outcome.json["results"][0].clone(), outcome.stderr)
    }

    /// Cuts the last entries off, and moves the head.
    async fn cut(&self, entries: i64) {
        let cut = format!(
            "delete from {cell}.audit_entries e using platform.audit_heads h
             where h.tenant_id = '{tenant}' and e.tenant_id = h.tenant_id and e.position > h.position - {entries};
             update platform.audit_heads h set position = e.position, hash = e.hash
             from {cell}.audit_entries e
             where h.tenant_id = '{tenant}' and e.tenant_id = h.tenant_id
                and e.position = (select max(position) from {cell}.audit_entries where tenant_id = '{tenant}')",
            cell = self.tenant.cell,
            tenant = self.tenant.id,
        );
        sqlx::raw_sql(AssertSqlSafe(cut)).execute(&mut self.database.admin().await).await.unwrap();
    }
}

async fn in_bucket(bucket: &Bucket, lock_days: Option<u32>) -> Scene {
    Scene::under(bucket.variables(lock_days), Isolation::Schema).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_checkpoint_stays_whoever_holds_the_database_the_key_and_the_bucket() {
    let bucket = Bucket::locked().await;
    let scene = in_bucket(&bucket, Some(2)).await;
    scene.edited(3).await;
    checkpoints::copy_out(&scene.control).await.unwrap();
    let (found, _) = scene.verified(0);
    assert_eq!(found["intact"], json!(true));

    let versions = bucket.versions().await;
    let [object] = &versions[..] else { panic!("one object") };
    let at = format!("/{}", object.key);
    assert!(object.key.starts_with(PREFIX) && object.key.ends_with(".jsonl"), "{object:?}");
    let there = bucket.call(Method::GET, &at, &[], "").await;
    assert_eq!(there.headers()["x-amz-object-lock-mode"], "COMPLIANCE");
    let until: DateTime<Utc> =
        there.headers()["x-amz-object-lock-retain-until-date"].to_str().unwrap().parse().unwrap();
    let days = (until - scene.control.clock.now()).as_seconds_f64() / 86_400.0;
    assert!((1.9..2.1).contains(&days), "{until}");
    let version = format!("{at}?versionId={}", object.id);
    let bypass = [("x-amz-bypass-governance-retention", "true")];
    for headers in [&[][..], &bypass] {
        let deleted = bucket.call(Method::DELETE, &version, headers, "").await;
        // With the status 400 here, 403 at AWS.
        assert!(deleted.status().is_client_error());
        assert!(deleted.text().await.unwrap().contains("<Code>AccessDenied</Code>"));
    }

    // The owner of the bucket can only hide it: by another version, and by a delete marker.
    scene.cut(2).await;
    assert_eq!(scene.verified(5).0["finding"]["fault"], json!(Fault::Cut));
    let text = bucket.call(Method::GET, &at, &[], "").await.text().await.unwrap();
    let forged = text.replace("\"position\":", "\"position\":1");
    assert_eq!(bucket.call(Method::PUT, &at, &[], &forged).await.status(), StatusCode::OK);
    let (found, said) = scene.verified(5);
    assert_eq!(found["finding"]["fault"], json!(Fault::Cut));
    assert!(said.contains("another version was written over it"), "{said}");
    assert_eq!(bucket.call(Method::DELETE, &at, &[], "").await.status(), StatusCode::NO_CONTENT);
    let (found, said) = scene.verified(5);
    assert_eq!(found["finding"]["fault"], json!(Fault::Cut));
    assert!(said.contains("it was deleted"), "{said}");
    let versions = bucket.versions().await;
    assert_eq!((versions.len(), versions.iter().filter(|version| version.deletion).count()), (3, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_done_to_an_object_is_told_even_where_the_log_is_whole() {
    let bucket = Bucket::locked().await;
    let scene = in_bucket(&bucket, Some(1)).await;
    scene.edited(1).await;
    checkpoints::copy_out(&scene.control).await.unwrap();
    let at = format!("/{}", bucket.versions().await[0].key);
    bucket.call(Method::DELETE, &at, &[], "").await;
    let strange = format!("/{PREFIX}2026-01-01/00-00-00-00000000.jsonl");
    bucket.call(Method::PUT, &strange, &[], "{}\n").await;
    let (found, said) = scene.verified(5);
    assert_eq!(found["intact"], json!(true));
    assert!(said.contains("it was deleted"), "{said}");
    assert!(said.contains("line 1: none of the public keys has signed it"), "{said}");
    // Later checkpoints are written under new names.
    scene.edited(1).await;
    checkpoints::copy_out(&scene.control).await.unwrap();
    scene.cut(1).await;
    assert_eq!(scene.verified(5).0["finding"]["fault"], json!(Fault::Cut));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_does_not_lock_is_refused_where_a_lock_is_asked_for() {
    let bucket = Bucket::plain().await;
    let scene = in_bucket(&bucket, Some(1)).await;
    scene.edited(1).await;
    let error = checkpoints::copy_out(&scene.control).await.unwrap_err();
    let said = chain(&error).to_string();
    assert!(said.contains(&format!("the bucket `{}` has no object lock", bucket.name)), "{said}");
    assert!(matches!(scene.control.objects.check().await, Err(ObjectError::NotLocked(_))));
    assert!(bucket.versions().await.is_empty());
    // `serve` says so when it starts, whether or not a checkpoint is due.
    let serves = scene.clone();
    let says = move || Served::says(&serves, "checkpoints of the audit logs cannot be written");
    let line = tokio::task::spawn_blocking(says).await.unwrap();
    assert!(line.contains("has no object lock"), "{line}");

    let scene = in_bucket(&bucket, None).await;
    scene.edited(1).await;
    checkpoints::copy_out(&scene.control).await.unwrap();
    assert_eq!(bucket.versions().await.len(), 1);
    assert_eq!(scene.verified(0).0["intact"], json!(true));
}

/// A service that passes over the lock of a put says no word of it: what was written is asked for its lock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_is_not_locked_as_it_should_be_is_not_taken_for_written() {
    let bucket = Bucket::locked().await;
    let scene = in_bucket(&bucket, Some(2)).await;
    let (objects, now) = (&scene.control.objects, scene.control.clock.now());
    objects.check().await.unwrap();
    bucket.next(&[Fate::Without("x-amz-object-lock")]);
    let bare = objects.put("bare.gz", b"one".to_vec(), now).await;
    assert!(matches!(&bare, Err(ObjectError::Unlocked(_, name)) if name == "bare.gz"), "{bare:?}");
    objects.put("a.gz", b"one".to_vec(), now).await.unwrap();
    // Locked, and not for as long as this put asks.
    let short = objects.put("a.gz", b"one".to_vec(), now + TimeDelta::days(1)).await;
    assert!(matches!(&short, Err(ObjectError::Unlocked(_, name)) if name == "a.gz"), "{short:?}");
    // Locked in the mode that the owner of the account may lift.
    let until = (now + TimeDelta::days(3)).format("%Y-%m-%dT%H:%M:%SZ").to_string();
    let lock = [
        ("x-amz-object-lock-mode", "GOVERNANCE"),
        ("x-amz-object-lock-retain-until-date", until.as_str()),
        ("content-md5", "+XxdKZQb+xsv2rCHSQargg=="),
    ];
    let put = bucket.call(Method::PUT, &format!("/{PREFIX}lax.gz"), &lock, "one").await;
    assert_eq!(put.status(), StatusCode::OK);
    let lax = objects.put("lax.gz", b"one".to_vec(), now).await;
    assert!(matches!(&lax, Err(ObjectError::Unlocked(_, name)) if name == "lax.gz"), "{lax:?}");
    bucket.next(&[Fate::Served, Fate::Error(403, "AccessDenied")]);
    let unseen = chain(&objects.put("b.gz", b"one".to_vec(), now).await.unwrap_err()).to_string();
    assert!(unseen.contains("does not let us do this"), "{unseen}");

    // A checkpoint stays due until it is locked.
    scene.edited(1).await;
    bucket.next(&[Fate::Without("x-amz-object-lock")]);
    let error = chain(&checkpoints::copy_out(&scene.control).await.unwrap_err()).to_string();
    assert!(error.contains("has not locked the object"), "{error}");
    let numbers = Numbers::new();
    let kept = numbers.keep();
    checkpoints::measure(&scene.control).await.unwrap();
    assert!(numbers.gauge("wardgate_audit_checkpoint_oldest_due_seconds") > 0.0);
    drop(kept);
    checkpoints::copy_out(&scene.control).await.unwrap();
    assert_eq!(scene.verified(0).0["intact"], json!(true));
}

/// How many connections of the relay's role do something, or hold something.
async fn busy(scene: &Scene) -> i64 {
    let text = format!(
        "select count(*) from pg_stat_activity
         where datname = '{name}' and usename = '{name}_relay' and state <> 'idle'",
        name = scene.database.name
    );
    sqlx::query_scalar(AssertSqlSafe(text)).fetch_one(&mut scene.database.admin().await).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_out_of_order_holds_nothing_and_checkpoints_go_out_when_it_is_back() {
    let numbers = Numbers::new();
    let _kept = numbers.keep();
    let mut bucket = Bucket::locked().await;
    let scene = in_bucket(&bucket, Some(1)).await;
    let ada = scene.member("ada", "root-admin").await;
    let due = async || {
        checkpoints::measure(&scene.control).await.unwrap();
        numbers.gauge("wardgate_audit_checkpoint_oldest_due_seconds")
    };
    checkpoints::copy_out(&scene.control).await.unwrap();
    assert!(due().await.abs() < f64::EPSILON);
    let denied = Fate::Error(403, "AccessDenied");
    for (fate, said) in [
        (Some(Fate::Dropped), "cannot be reached"),
        (Some(Fate::Error(503, "SlowDown")), "limits our calls"),
        (Some(Fate::Error(500, "InternalError")), "failed: InternalError"),
        (Some(Fate::Error(507, "InsufficientStorage")), "failed: InsufficientStorage"),
        (Some(denied), "does not let us do this: AccessDenied"),
        (Some(Fate::Error(404, "NoSuchBucket")), "refused: NoSuchBucket"),
        (Some(Fate::Silence), "did not answer in time"),
        (None, "cannot be reached"),
    ] {
        scene.edited(1).await;
        let before = bucket.versions().await.len();
        match fate {
            Some(fate) => bucket.now(fate),
            None => bucket.go().await,
        }
        let copying = checkpoints::copy_out(&scene.control);
        tokio::pin!(copying);
        let served = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            assert_eq!(busy(&scene).await, 0, "{said}");
            ada.get("/api/user/me/").await.expect(200);
        };
        let (copied, ()) = futures::future::join(copying, served).await;
        let error = chain(&copied.unwrap_err()).to_string();
        assert!(error.contains(said), "{error}");
        assert!(due().await > 0.0, "{said}");
        match fate {
            Some(_) => bucket.now(Fate::Served),
            None => bucket.come_back().await,
        }
        checkpoints::copy_out(&scene.control).await.unwrap();
        assert!(due().await.abs() < f64::EPSILON, "{said}");
        assert_eq!(bucket.versions().await.len(), before + 1, "{said}");
    }
    // One slip is made up for within the call, and so is an answer that comes late.
    for fates in
        [&[Fate::Error(503, "SlowDown")][..], &[Fate::Dropped], &[Fate::Late(Duration::from_secs(3))]]
    {
        scene.edited(1).await;
        bucket.next(fates);
        checkpoints::copy_out(&scene.control).await.unwrap();
    }
    assert_eq!(scene.verified(0).0["intact"], json!(true));
}

/// The first of two tries wrote the object, and its answer was lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_was_written_and_not_confirmed_is_not_written_again() {
    let bucket = Bucket::locked().await;
    let scene = in_bucket(&bucket, Some(1)).await;
    let (objects, now) = (&scene.control.objects, scene.control.clock.now());
    objects.put("a.jsonl", b"one".to_vec(), now).await.unwrap();
    objects.put("a.jsonl", b"one".to_vec(), now).await.unwrap();
    let other = objects.put("a.jsonl", b"two".to_vec(), now).await;
    assert!(matches!(other, Err(ObjectError::Exists(name)) if name == "a.jsonl"));
    assert_eq!(bucket.versions().await.len(), 1);
    let (found, bytes) = objects.find("a.jsonl").await.unwrap().unwrap();
    assert_eq!((found.disturbed, &bytes[..]), (None, &b"one"[..]));
    assert!(objects.find("a.json").await.unwrap().is_none());
}

//! An import that is killed repeatedly ends like an undisturbed one.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use control::db::TenantTx;
use control::users::Matching;
use serde_json::{Value, json};

use crate::legacy_service::LegacyService;
use crate::scale::scaled;
use crate::scene::Scene;

/// The most memory that a run may take, in KiB, however many users come.
const MOST_KIB: u64 = 160 * 1024;

struct Run {
    child: std::process::Child,
    began: std::time::Instant,
    peak_kib: u64,
}

impl Run {
    fn start(scene: &Scene, old: &LegacyService) -> Self {
        let child = std::process::Command::new(env!("CARGO_BIN_EXE_wardgate"))
            .args(["import", "django", "--json", "--tenant", &scene.tenant.slug.to_string()])
            .args(["--role", "editors=staff", "--role", "beta="])
            .env_clear()
            .envs(&scene.cli().variables)
            .env("WARDGATE_IMPORT_DATABASE_URL", old.url())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        #[allow(clippy::disallowed_methods, reason = "a duration is only reported")]
        let began = std::time::Instant::now();
        Self { child, began, peak_kib: 0 }
    }

    /// The kernel's own record of the most that the process has had; `None` once it has ended.
    fn look(&mut self) -> Option<()> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|text| text.trim().trim_end_matches(" kB").parse().ok());
        self.peak_kib = self.peak_kib.max(peak.unwrap_or(0));
        self.child.try_wait().unwrap().is_none().then_some(())
    }

    /// Until it ends by itself: what it said, its seconds, its most KiB.
    async fn finish(mut self) -> (Value, f64, u64) {
        while self.look().is_some() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        let (secs, peak) = (self.began.elapsed().as_secs_f64(), self.peak_kib);
        let output = self.child.wait_with_output().unwrap();
        assert!(output.status.success());
        (serde_json::from_slice(&output.stdout).unwrap(), secs, peak)
    }

    /// Killed a moment after this many users have come.
    async fn kill_at(mut self, scene: &Scene, users: i64, moment: std::time::Duration) -> u64 {
        while scene.number("select count(*) from users").await < users && self.look().is_some() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        tokio::time::sleep(moment).await;
        let _ = self.look();
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.peak_kib
    }
}

impl Scene {
    /// The complete state after an import, without random values.
    async fn end(&self) -> Value {
        let mut tx = self.control.db.tenant_tx(self.tenant.id).await.unwrap();
        let users: (Value,) = sqlx::query_as(
            "with roles_of as (
                select user_id, string_agg(role, ',' order by role) as roles from user_roles group by user_id
            ), names_of as (
                select user_id, count(*) as names from identifiers group by user_id
            ), logged as (
                select target, count(*) as entries from audit_entries where action = 'user.imported' group by target
            )
            select jsonb_build_object(
                'people', count(*),
                'digest', md5(string_agg(concat_ws('|', legacy_id, status,
                    foreign_format, foreign_hash is not null, created_at, last_login, roles, names, entries,
                    i.row_digest is not null, t.device, t.wrapped is null,
                    (select count(*) from authenticators a where a.user_id = u.id)
                ), chr(10) order by legacy_id)),
                'identifiers', (select count(*) from identifiers),
                'next', (select next from legacy_ids)
            )
            from users u
            left join roles_of r on r.user_id = u.id
            left join names_of n on n.user_id = u.id
            left join logged l on l.target = u.id::text
            left join legacy_imports i on i.user_id = u.id
            left join legacy_totp t on t.user_id = u.id",
        )
        .fetch_one(&mut *tx)
        .await
        .unwrap();
        let edge: (Value,) = sqlx::query_as(
            "select jsonb_object_agg(kind, n) from (
                select kind, count(*) as n from platform.edge_rows where tenant_id = $1 group by kind
            ) k",
        )
        .bind(self.tenant.id.uuid())
        .fetch_one(&mut *tx)
        .await
        .unwrap();
        json!({"here": users.0, "profiles": profiles(&mut tx).await, "edge": edge.0})
    }
}

/// A digest of the names and addresses of all users, in an order that two imports share.
async fn profiles(tx: &mut TenantTx) -> u64 {
    const PAGE: i64 = 1000;
    let mut profiles = Vec::new();
    for offset in (0..).step_by(1000) {
        let rows = control::users::in_order(PAGE, offset);
        let page = control::users::list(tx, &Matching::default(), &rows).await.unwrap();
        if page.is_empty() {
            break;
        }
        profiles.extend(page.iter().map(|user| {
            let email = user.email.as_ref().map(|email| email.expose());
            let names = [user.username.expose(), user.first_name.expose(), user.last_name.expose()];
            (user.legacy_id.clone(), email.map(str::to_owned), names.map(str::to_owned))
        }));
    }
    profiles.sort();
    let mut hasher = DefaultHasher::new();
    profiles.hash(&mut hasher);
    hasher.finish()
}

#[tokio::test]
async fn killed_ten_times_it_ends_as_if_it_never_was() {
    let seed = u64::from_le_bytes(control::world::random().unwrap());
    let seed = std::env::var("WARDGATE_TEST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(seed);
    let users: u64 = scaled(2_000, 100_000);
    eprintln!("WARDGATE_TEST_SEED={seed}, {users} people");
    let old = LegacyService::new().await;
    old.sql(&format!(
        "insert into auth_group (id, name) values (1, 'editors'), (2, 'beta');
         insert into auth_user (id, password, last_login, is_superuser, username, first_name, last_name, email,
             is_staff, is_active, date_joined)
         select n, 'pbkdf2_sha256$20000$' || md5(n::text) || '$' || encode(sha256(n::text::bytea), 'base64'),
             timestamptz '2026-01-01Z' + n * interval '1 second', n = 1, 'person' || n, 'First' || n, 'Last' || n,
             case when n % 5 = 0 then '' else 'person' || n || '@acme.test' end,
             n % 100 = 0, n % 50 <> 0, timestamptz '2020-01-01Z' + n * interval '1 minute'
         from generate_series(1, {users}) n;
         insert into auth_user_groups (user_id, group_id)
         select n, 1 + n % 2 from generate_series(1, {users}, 7) n;
         insert into otp_totp_totpdevice (user_id, name, confirmed, key, step, t0, digits, tolerance, drift, last_t,
             throttling_failure_count)
         select n, 'phone', true, md5(n::text), 30, 0, 6, 1, 0, -1, 0 from generate_series(1, {users}, 31) n"
    ))
    .await;
    let undisturbed = Scene::alone().await;
    let (said, secs, peak) = Run::start(&undisturbed, &old).finish().await;
    assert_eq!(said["report"]["new"], users);
    eprintln!("undisturbed: {secs:.1} s, at most {} MiB", peak / 1024);
    assert!(peak <= MOST_KIB, "{peak} KiB");

    let killed = Scene::alone().await;
    // Knuth's multiplier: moments that a seed repeats.
    let mut chance = seed;
    let mut next = || {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f64::from(u32::try_from(chance >> 32).unwrap()) / f64::from(u32::MAX)
    };
    let mut most = 0;
    for round in 0..10 {
        // Somewhere in each tenth of the way, and in whatever the run does then.
        #[allow(clippy::cast_possible_truncation, reason = "thousands of people")]
        let at = (f64::from(u32::try_from(users).unwrap()) * (f64::from(round) + next()) / 10.0) as i64;
        let moment = std::time::Duration::from_secs_f64(next() / 2.0);
        most = most.max(Run::start(&killed, &old).kill_at(&killed, at, moment).await);
        let here = killed.number("select count(*) from users").await;
        eprintln!("killed {} ms after {at} had come: {here} are here", moment.as_millis());
    }
    let (said, secs, peak) = Run::start(&killed, &old).finish().await;
    eprintln!("to the end: {secs:.1} s, at most {} MiB", peak.max(most) / 1024);
    assert!(peak.max(most) <= MOST_KIB, "{peak} KiB");
    let report = &said["report"];
    assert_eq!(report["new"].as_u64().unwrap() + report["unchanged"].as_u64().unwrap(), users);
    assert_eq!(killed.end().await, undisturbed.end().await);
    let imported = |link: &control::db::chain::Link| link.action == "user.imported";
    let logged = killed.chain().await.iter().filter(|link| imported(link)).count();
    assert_eq!(u64::try_from(logged).unwrap(), users, "one chain, and no gap where a run was killed");
    let again = Run::start(&killed, &old).finish().await.0;
    assert_eq!(again["report"]["unchanged"], users);
}

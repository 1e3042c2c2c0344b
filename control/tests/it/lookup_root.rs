//! The rotation of a tenant's lookup root: every user is found at every step, and every name stays unique.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use control::audit::Actor;
use control::crypt::lookup;
use control::edges::reseed;
use control::jobs::runner;
use control::legacy::tokens::{self, Outstanding};
use control::tenants::{self, Isolation};
use control::users::lookup::progress;
use control::users::lookup::rotation::{self, Outcome, Refused};
use control::users::{self, Change, NewUser, Profile, UserError};
use reqwest::Method;
use serde_json::{Value, json};
use shared::derive::{Purpose, Secret, derive, identifier_hash, legacy_token_hash, legacy_user_hash};
use shared::identifiers::Identifier;
use shared::ids::UserId;
use shared::tenant::{Root, Tenant};
use shared::user::UserStatus;
use shared::wire::needs::FORMER_LOOKUP_ROOT;
use shared::wire::push::IdentifierRow;
use shared::wire::seal::{Context, EdgeKey, Kind, Sealed};
use sqlx::AssertSqlSafe;

use crate::scale::{Chance, scaled};
use crate::scene::{Member, PASSWORD, Scene, committed_tenant, key, new_tenant};

const USERS: &str = "/api/user/users/";

fn encoded(hash: [u8; 32]) -> String {
    IdentifierRow::encode_hash(&hash)
}

impl Scene {
    /// The tenant's document as the edge has it.
    pub fn document(&self) -> Tenant {
        self.edge.state().documents[&self.tenant.id].clone()
    }

    fn opened(&self, root: &Root) -> Secret {
        let subject = root.version.to_string();
        let context =
            Context { edge: "edge-test", tenant: self.tenant.id, kind: Kind::LookupRoot, subject: &subject };
        let edge = [EdgeKey::parse(&key("a", 1)).unwrap()];
        let bytes = Sealed::parse(&root.sealed).unwrap().open(&edge, &context).unwrap();
        derive(&Secret::from_slice(&bytes).unwrap(), self.tenant.id, Purpose::Identifier)
    }

    /// The user that the edge finds by a hash, at an isolate with this document: under the current root, then under
    /// the former.
    fn edge_finds(&self, document: &Tenant, hash: impl Fn(&Secret) -> [u8; 32]) -> Option<UserId> {
        let roots = std::iter::once(&document.lookup_root).chain(&document.former_lookup_root);
        let mut hashes = roots.map(|root| encoded(hash(&self.opened(root))));
        hashes.find_map(|hash| self.edge.identifier(self.tenant.id, &hash))
    }

    /// The user that the edge finds by a name.
    pub fn edge_finds_name(&self, document: &Tenant, name: &str) -> Option<UserId> {
        let name = Identifier::parse(name).unwrap();
        self.edge_finds(document, |key| identifier_hash(key, self.tenant.id, &name))
    }

    fn edge_finds_legacy(&self, document: &Tenant, legacy_id: &str) -> Option<UserId> {
        self.edge_finds(document, |key| legacy_user_hash(key, self.tenant.id, legacy_id))
    }

    fn edge_finds_token(&self, document: &Tenant, jti: &str) -> Option<UserId> {
        self.edge_finds(document, |key| legacy_token_hash(key, self.tenant.id, jti))
    }

    pub async fn begin_rotation(&self) {
        let tx = self.control.db.tenant_tx(self.tenant.id).await.unwrap();
        rotation::rotate(&self.control, tx, &Actor::operator()).await.unwrap();
    }

    /// Continues until it waits for something other than another run.
    pub async fn advance(&self) -> Outcome {
        loop {
            let outcome = rotation::advance(&self.control, self.tenant.id, |_| {}).await.unwrap();
            if outcome != Outcome::Elsewhere {
                return outcome;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    pub async fn stage(&self) -> Option<&'static str> {
        Some(self.progress().await.rotation?.stage)
    }

    async fn progress(&self) -> progress::Progress {
        let mut tx = self.control.db.work_tx(self.tenant.id).await.unwrap();
        progress::progress(&mut tx).await.unwrap()
    }

    /// Brings a new root into force, at the edge as well.
    async fn switch(&self) {
        self.begin_rotation().await;
        self.advance().await;
        self.push().await;
        self.advance().await;
        assert_eq!(self.stage().await, Some("switched"));
        self.push().await;
        assert_eq!(self.advance().await, Outcome::WaitsForTime);
    }

    async fn pass(&self, time: TimeDelta) -> Outcome {
        self.control.clock.advance(time);
        let outcome = self.advance().await;
        self.push().await;
        outcome
    }

    async fn root_versions(&self) -> Vec<i32> {
        let versions =
            "select version from platform.roots where kind = 'lookup' and tenant_id = $1 order by version";
        let mut admin = self.database.admin().await;
        sqlx::query_scalar(versions).bind(self.tenant.id.uuid()).fetch_all(&mut admin).await.unwrap()
    }

    async fn has_user(&self, name: &str, email: Option<&str>) -> UserId {
        let profile =
            Profile { username: name.into(), email: email.map(str::to_owned), ..Profile::default() };
        self.person(profile, &[]).await.id
    }

    /// Every identifier: hash, user, kind and version of the root.
    pub async fn identifiers(&self) -> BTreeSet<(String, UserId, String, i32)> {
        let mut tx = self.control.db.work_tx(self.tenant.id).await.unwrap();
        let rows: Vec<(String, uuid::Uuid, String, i32)> =
            sqlx::query_as("select hash, user_id, kind, version from identifiers where tenant_id = $1")
                .bind(self.tenant.id.uuid())
                .fetch_all(&mut *tx)
                .await
                .unwrap();
        rows.into_iter().map(|(hash, user, kind, version)| (hash, user.into(), kind, version)).collect()
    }

    /// The expected identifiers of all users under the current root, computed from their names.
    pub async fn due_identifiers(&self) -> BTreeSet<(String, UserId, String, i32)> {
        let mut tx = self.control.db.work_tx(self.tenant.id).await.unwrap();
        let root = lookup::roots(&mut tx).await.unwrap().current;
        let id = self.tenant.id;
        let secret = derive(&root.secret, id, Purpose::Identifier);
        let imported: Vec<uuid::Uuid> =
            sqlx::query_scalar("select user_id from legacy_imports where tenant_id = $1")
                .bind(id.uuid())
                .fetch_all(&mut *tx)
                .await
                .unwrap();
        let mut due = BTreeSet::new();
        for offset in (0..).step_by(1000) {
            let page = users::list(&mut tx, &users::Matching::default(), &users::in_order(1000, offset))
                .await
                .unwrap();
            if page.is_empty() {
                return due;
            }
            for user in page {
                let names =
                    std::iter::once(user.username.expose()).chain(user.email.as_ref().map(|it| it.expose()));
                for name in names {
                    let name = Identifier::parse(name).unwrap();
                    let hash = encoded(identifier_hash(&secret, id, &name));
                    due.insert((hash, user.id, "name".to_owned(), root.version));
                }
                let legacy_id = user.legacy_id.filter(|_| imported.contains(&user.id.uuid()));
                due.extend(legacy_id.map(|legacy_id| {
                    let hash = encoded(legacy_user_hash(&secret, id, &legacy_id));
                    (hash, user.id, "legacy_user".to_owned(), root.version)
                }));
            }
        }
        unreachable!()
    }
}

/// Users whose names are watched over a rotation.
struct Watch {
    scene: Scene,
    /// Names and addresses, and whose they are.
    names: BTreeMap<String, UserId>,
    /// Documents that isolates may have.
    documents: Vec<Tenant>,
    made: usize,
}

impl Watch {
    async fn of(scene: Scene) -> Self {
        let mut names = BTreeMap::new();
        names.insert("bob".to_owned(), scene.has_user("bob", None).await);
        let cyd = scene.has_user("Cyd", Some("CYD@bücher.example")).await;
        names.extend([("cyd".to_owned(), cyd), ("cyd@bücher.example".to_owned(), cyd)]);
        let dan = scene.has_user("dan@acme.test", Some("dan@acme.test")).await;
        names.insert("dan@acme.test".to_owned(), dan);
        scene.push().await;
        let documents = vec![scene.document()];
        Self { scene, names, documents, made: 0 }
    }

    /// Checks that every user is found, here and at isolates with any of the documents; that taken names stay taken;
    /// and that new and renamed users are found.
    async fn look(&mut self, step: &str) {
        let scene = self.scene.clone();
        self.made += 1;
        let (new, renamed) = (format!("new-{}", self.made), format!("renamed-{}", self.made));
        self.names.insert(new.clone(), scene.has_user(&new, None).await);
        let moved =
            self.names.remove("bob").or_else(|| self.names.remove(&format!("renamed-{}", self.made - 1)));
        let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
        let change = Change { username: Some(renamed.clone()), ..Change::default() };
        users::change(&scene.control, &mut tx, &Actor::operator(), moved.unwrap(), change).await.unwrap();
        tx.commit().await.unwrap();
        self.names.insert(renamed, moved.unwrap());
        let held = scene.edge.state().refuse_ranges;
        if !held {
            scene.push().await;
        }
        let root = scene.member(&format!("root-{}", self.made), "root-admin").await;
        for (name, id) in &self.names {
            self.is_found(step, name, *id, &root, !held).await;
        }
    }

    async fn is_found(&self, step: &str, name: &str, id: UserId, root: &Member, at_edge: bool) {
        let scene = &self.scene;
        let at_isolates = self.documents.iter().filter(|_| at_edge);
        for document in at_isolates {
            let version = document.lookup_root.version;
            assert_eq!(scene.edge_finds_name(document, name), Some(id), "{step}: {name} under {version}");
        }
        let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
        assert_eq!(users::find_by_name(&mut tx, name).await.unwrap().id, id, "{step}: {name}");
        drop(tx);
        let query: String = form_urlencoded::byte_serialize(name.as_bytes()).collect();
        for field in ["username", "email"] {
            let found = root.get(&format!("{USERS}?{field}={query}")).await.expect(200).body;
            let is_one = found["count"] == json!(1);
            let (email, in_both) = (name.contains('@'), name == "dan@acme.test");
            assert_eq!(is_one, in_both || email == (field == "email"), "{step}: {field}={name}");
        }
        root.post(USERS, json!({"username": name.to_uppercase()})).await.expect(400);
    }
}

#[tokio::test]
async fn everybody_is_found_at_every_step() {
    for isolation in [Isolation::Schema, Isolation::Shared] {
        let scene = Scene::under(vec![], isolation).await;
        let mut watch = Watch::of(scene.clone()).await;
        watch.look("before").await;
        scene.begin_rotation().await;
        watch.look("begun").await;
        assert_eq!(scene.advance().await, Outcome::WaitsForEdge);
        assert_eq!(scene.stage().await, Some("confirming"));
        // The direct check pushed, too: to stay at this stage, the edge must not have confirmed it.
        scene.edge.state().refuse_ranges = true;
        watch.look("added").await;
        scene.edge.state().refuse_ranges = false;
        scene.push().await;
        assert_eq!(
            scene.document().lookup_root.version,
            1,
            "the edge first needs everybody's new identifiers"
        );
        assert_eq!(scene.advance().await, Outcome::WaitsForEdge);
        assert_eq!(scene.stage().await, Some("switched"));
        watch.look("switched").await;
        scene.push().await;
        let switched = scene.document();
        assert_eq!(
            (switched.lookup_root.version, switched.former_lookup_root.as_ref().unwrap().version),
            (2, 1)
        );
        assert!(
            !switched.needs.are_met_by(&[]) && switched.needs.are_met(),
            "an older edge must not count anew"
        );
        watch.documents.push(switched);
        watch.look("switched at the edge").await;
        assert_eq!(scene.advance().await, Outcome::WaitsForTime);
        assert_eq!(scene.pass(TimeDelta::minutes(15)).await, Outcome::WaitsForTime);
        watch.look("before isolates have forgotten").await;
        assert_eq!(scene.stage().await, Some("switched"));
        assert_eq!(scene.pass(TimeDelta::minutes(2)).await, Outcome::WaitsForTime);
        assert_eq!(scene.stage().await, Some("former"));
        // No isolate has the former document any more.
        watch.documents = vec![watch.documents.pop().unwrap(), scene.document()];
        assert_eq!(watch.documents[1].needs, shared::wire::needs::Needs::default());
        watch.look("removed").await;
        assert_eq!(scene.identifiers().await, scene.due_identifiers().await);
        assert_eq!(
            scene.root_versions().await,
            [1, 2],
            "repeated creations of before are recognised for a day"
        );
        assert_eq!(scene.pass(TimeDelta::hours(23)).await, Outcome::WaitsForTime);
        assert_eq!(scene.pass(TimeDelta::hours(1)).await, Outcome::Over);
        watch.documents = vec![scene.document()];
        assert!(watch.documents[0].former_lookup_root.is_none());
        watch.look("ended").await;
        assert_eq!(scene.root_versions().await, [2]);
        scene.push().await;
        assert_eq!(scene.edge.counts(scene.tenant.id).1, scene.identifiers().await.len());
        let logged = scene.logged().await;
        let told: Vec<_> = logged.iter().filter(|action| action.starts_with("lookup.")).collect();
        assert_eq!(told, ["lookup.rotation_began", "lookup.switched", "lookup.rotated"]);
        // And again: the version increases.
        scene.switch().await;
        assert_eq!(scene.root_versions().await, [2, 3]);
        watch.documents.push(scene.document());
        watch.look("again").await;
    }
}

impl Scene {
    /// Checks that `step` waits for an open transaction that has claimed a name.
    async fn waits_for_a_writer<T: Send + 'static>(
        &self,
        name: &str,
        step: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let profile = Profile { username: name.into(), ..Profile::default() };
        let new = NewUser {
            profile,
            status: UserStatus::Active,
            roles: vec![],
            branch: None,
            password: None,
            must_change_password: false,
            email_verified: true,
        };
        let mut writer = self.control.db.tenant_tx(self.tenant.id).await.unwrap();
        users::create(&self.control, &mut writer, &Actor::operator(), new).await.unwrap();
        let step = tokio::spawn(step);
        let waits = "select exists (
                select from pg_locks l
                join pg_database d on d.oid = l.database
                where d.datname = current_database() and l.locktype = 'advisory'
                    and l.mode = 'ExclusiveLock' and not l.granted
            )";
        let mut admin = self.database.admin().await;
        while !sqlx::query_scalar::<_, bool>(waits).fetch_one(&mut admin).await.unwrap() {
            assert!(!step.is_finished(), "`{name}` is not waited for");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        writer.commit().await.unwrap();
        step.await.unwrap()
    }

    fn advancing(&self) -> impl Future<Output = Outcome> + Send + 'static {
        let scene = self.clone();
        async move { scene.advance().await }
    }
}

/// A writer knows the roots and the stage of its beginning: neither changes until it ends.
#[tokio::test]
async fn each_stage_waits_for_those_who_write_under_the_one_before() {
    let scene = Scene::alone().await;
    let begun = {
        let scene = scene.clone();
        async move { scene.begin_rotation().await }
    };
    scene.waits_for_a_writer("before", begun).await;
    assert_eq!(scene.advance().await, Outcome::WaitsForEdge);
    scene.push().await;
    assert_eq!(scene.stage().await, Some("confirming"));
    assert_eq!(
        scene.waits_for_a_writer("confirming", scene.advancing()).await,
        Outcome::WaitsForEdge,
        "of the document"
    );
    assert_eq!(scene.stage().await, Some("switched"));
    scene.push().await;
    assert_eq!(scene.advance().await, Outcome::WaitsForTime);
    scene.control.clock.advance(TimeDelta::minutes(17));
    assert_eq!(scene.waits_for_a_writer("switched", scene.advancing()).await, Outcome::WaitsForTime);
    assert_eq!(scene.stage().await, Some("former"));
    scene.control.clock.advance(TimeDelta::days(1));
    assert_eq!(scene.waits_for_a_writer("former", scene.advancing()).await, Outcome::Over);
    scene.push().await;
    assert_eq!(scene.identifiers().await, scene.due_identifiers().await);
    for name in ["before", "confirming", "switched", "former"] {
        assert!(scene.edge_finds_name(&scene.document(), name).is_some(), "{name}");
    }
}

/// Names that tasks of the test fight for.
async fn fight(scene: Scene, mut chance: Chance, rounds: usize) {
    let actor = Actor::operator();
    for round in 0..rounds {
        let name = format!("n{}", chance.between(0, 7));
        let mut tx = loop {
            match scene.control.db.tenant_tx(scene.tenant.id).await {
                Ok(tx) => break tx,
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
            }
        };
        let profile = Profile { username: name.clone(), ..Profile::default() };
        let new = NewUser {
            profile,
            status: UserStatus::Active,
            roles: vec![],
            branch: None,
            password: None,
            must_change_password: false,
            email_verified: true,
        };
        let done = match chance.between(0, 3) {
            0 => match users::find_by_name(&mut tx, &name).await {
                Ok(user) => users::delete(&scene.control, &mut tx, &actor, user.id).await,
                Err(error) => Err(error),
            },
            1 => match users::find_by_name(&mut tx, &name).await {
                Ok(user) => {
                    let other = format!("n{}", chance.between(0, 7));
                    let change = Change { username: Some(other), ..Change::default() };
                    users::change(&scene.control, &mut tx, &actor, user.id, change).await.map(drop)
                }
                Err(error) => Err(error),
            },
            _ => users::create(&scene.control, &mut tx, &actor, new).await.map(drop),
        };
        match done {
            Ok(()) => tx.commit().await.unwrap(),
            Err(UserError::NotFound | UserError::Fields(_)) => {}
            // Two users who take each other's name at once block each other. PostgreSQL ends one transaction: a 503.
            Err(UserError::Failure(failure)) if failure.is_passing() => {}
            Err(error) => panic!("round {round}: {error:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn names_stay_unique_while_they_are_fought_for() {
    let mut chance = Chance::new();
    let scene = Scene::alone().await;
    for rotation in 0..scaled(2, 10) {
        let fighters: Vec<_> = (0..4)
            .map(|_| {
                let seed = Chance::from(u64::try_from(chance.between(0, i64::from(i32::MAX))).unwrap());
                tokio::spawn(fight(scene.clone(), seed, 60))
            })
            .collect();
        let steps = async {
            scene.begin_rotation().await;
            let mut over = false;
            while !over {
                over = scene.advance().await == Outcome::Over;
                scene.push().await;
                let switched = scene.stage().await;
                if matches!(switched, Some("switched" | "former")) {
                    scene.control.clock.advance(TimeDelta::minutes(20));
                }
                // By now users may be half way into the next root: each stage meets some of the fight.
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        steps.await;
        for fighter in fighters {
            fighter.await.unwrap();
        }
        scene.push().await;
        assert_eq!(scene.identifiers().await, scene.due_identifiers().await, "rotation {rotation}");
        assert_eq!(scene.edge.counts(scene.tenant.id).1, scene.identifiers().await.len());
        let names: Vec<String> = scene.everybody_by_name().await;
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{names:?}");
    }
}

impl Scene {
    async fn everybody_by_name(&self) -> Vec<String> {
        let mut tx = self.control.db.work_tx(self.tenant.id).await.unwrap();
        let all = users::list(&mut tx, &users::Matching::default(), &users::in_order(1000, 0)).await.unwrap();
        all.iter().map(|user| user.username.expose().to_owned()).collect()
    }

    fn legacy_users(&self, from: usize, to: usize) -> Value {
        let user = |n: usize| {
            json!({"model": "auth.user", "pk": n, "fields": {"username": format!("u{n}"),
                "email": format!("u{n}@acme.test"), "password": "!"}})
        };
        let users: Vec<Value> = (from..to).map(user).collect();
        self.import_dump(&users).expect(0).json["report"].clone()
    }

    async fn lists(&self, jtis: &[&str]) -> (u64, u64) {
        let of = |jti: &&str| Outstanding { jti: (*jti).to_owned(), legacy_id: "1".to_owned() };
        let listed =
            tokens::list(&self.control, self.tenant.id, &jtis.iter().map(of).collect::<Vec<_>>()).await;
        let listed = listed.unwrap();
        (listed.new, listed.known)
    }
}

#[tokio::test]
async fn legacy_users_and_tokens_live_through_a_rotation() {
    let scene = Scene::alone().await;
    assert_eq!(scene.legacy_users(1, 20)["new"], 19);
    assert_eq!(scene.lists(&["early", "also"]).await, (2, 0));
    let key = control::keys::rsa::generate(2048).unwrap();
    scene.accepts_legacy(&key.public).await;
    scene.begin_rotation().await;
    assert_eq!(scene.lists(&["early", "adding"]).await, (1, 1));
    assert_eq!(scene.legacy_users(20, 30)["new"], 10, "who comes now has identifiers of both roots");
    scene.advance().await;
    scene.push().await;
    scene.advance().await;
    scene.push().await;
    scene.advance().await;
    let old = scene.document();
    assert_eq!(scene.lists(&["early", "switched"]).await, (1, 1));
    scene.push().await;
    for document in [&old, &scene.document()] {
        let first = scene.edge_finds_legacy(document, "1").unwrap();
        assert!((2..30).all(|id| scene.edge_finds_legacy(document, &id.to_string()).is_some()));
        for jti in ["early", "also", "adding", "switched"] {
            assert_eq!(scene.edge_finds_token(document, jti), Some(first), "{jti}");
        }
    }
    assert_eq!(scene.pass(TimeDelta::minutes(17)).await, Outcome::WaitsForTime);
    assert_eq!(scene.lists(&["early", "late"]).await, (1, 1));
    let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
    assert!(tokens::user_of(&mut tx, "7").await.unwrap().is_some());
    drop(tx);
    // A second import recognises all users: its comparison does not depend on the lookup root.
    let again = scene.legacy_users(1, 30);
    assert_eq!((&again["unchanged"], &again["changed"], &again["new"]), (&json!(29), &json!(0), &json!(0)));
    assert_eq!(scene.pass(TimeDelta::days(2)).await, Outcome::WaitsForTime);
    let document = scene.document();
    for jti in ["early", "also", "adding", "switched", "late"] {
        assert!(scene.edge_finds_token(&document, jti).is_some(), "{jti}");
    }
    // A token that was listed only before the rotation cannot be hashed again: it lasts for 30 days, with the old
    // root.
    assert_eq!(scene.pass(TimeDelta::days(28)).await, Outcome::Over);
    let document = scene.document();
    assert!(document.former_lookup_root.is_none() && scene.root_versions().await == [2]);
    assert_eq!(scene.edge_finds_token(&document, "also"), None);
    for jti in ["adding", "switched", "late"] {
        assert!(scene.edge_finds_token(&document, jti).is_some(), "{jti}");
    }
    assert!((1..30).all(|id| scene.edge_finds_legacy(&document, &id.to_string()).is_some()));
}

impl Scene {
    async fn accepts_legacy(&self, key: &shared::tokens::jwk::PublicKey) {
        let until = self.control.clock.now() + TimeDelta::days(29);
        let legacy = tokens::accept(key.clone(), until, None, None, true).unwrap();
        let mut tx = self.control.db.tenant_tx(self.tenant.id).await.unwrap();
        let edit = tenants::Edit {
            legacy: tenants::EditLegacy { tokens: Some(Some(legacy)), ..Default::default() },
            ..tenants::Edit::default()
        };
        tenants::edit(&self.control, &mut tx, &Actor::operator(), self.tenant.id, edit).await.unwrap();
        tx.commit().await.unwrap();
    }
}

#[tokio::test]
async fn a_creation_that_is_repeated_over_the_switch_happens_once_and_cursors_end() {
    let scene = Scene::alone().await;
    let ada = scene.member("ada", "root-admin").await;
    scene.push().await;
    let once = |key: &'static str, body: Value| {
        let ada = ada.clone();
        async move { ada.with(Method::POST, USERS, &[("idempotency-key", key)], Some(body)).await }
    };
    let body = json!({"username": "cyd", "password": PASSWORD});
    let first = once("k", body.clone()).await.expect(201).id();
    let page = ada.get(&format!("{USERS}?page_size=1&cursor=")).await.expect(200);
    let next = page.body["next"].as_str().unwrap();
    let next = next[next.find("/api/").unwrap()..].to_owned();
    ada.get(&next).await.expect(200);
    scene.begin_rotation().await;
    assert_eq!(once("k", body.clone()).await.expect(201).id(), first);
    let second = once("k2", json!({"username": "dan"})).await.expect(201).id();
    ada.get(&next).await.expect(200);
    scene.advance().await;
    scene.push().await;
    scene.advance().await;
    assert_eq!(scene.stage().await, Some("switched"));
    assert_eq!(once("k", body.clone()).await.expect(201).id(), first);
    assert_eq!(once("k2", json!({"username": "dan"})).await.expect(201).id(), second);
    once("k", json!({"username": "eve"})).await.expect(422);
    let refused = ada.get(&next).await.expect(404);
    assert_eq!(refused.body["detail"], "Invalid cursor.");
    scene.push().await;
    scene.pass(TimeDelta::minutes(1)).await;
    scene.pass(TimeDelta::hours(23)).await;
    let ada = scene.acting_as(&scene.user(ada.id).await).await;
    let again = ada.with(Method::POST, USERS, &[("idempotency-key", "k")], Some(body)).await.expect(201);
    assert_eq!(again.id(), first);
}

impl Scene {
    /// Damages a row, as an operator could.
    async fn overwrites(&self, user: UserId, column: &str, value: &str) -> Vec<u8> {
        let cell = &self.tenant.cell;
        let mut admin = self.database.admin().await;
        let was = format!("select {column} from {cell}.users where id = '{user}'");
        let was: Vec<u8> = sqlx::query_scalar(AssertSqlSafe(was)).fetch_one(&mut admin).await.unwrap();
        let set = format!("update {cell}.users set {column} = {value} where id = '{user}'");
        sqlx::raw_sql(AssertSqlSafe(set)).execute(&mut admin).await.unwrap();
        was
    }
}

#[tokio::test]
async fn users_who_do_not_open_keep_what_they_have_until_an_operator_gives_them_up() {
    let scene = Scene::alone().await;
    let (bob, cyd) = (scene.has_user("bob", None).await, scene.has_user("cyd", Some("cyd@acme.test")).await);
    scene.has_user("dan", None).await;
    let was = scene.overwrites(bob, "username", "decode('00', 'hex')").await;
    scene.overwrites(cyd, "email", "decode('01ff', 'hex')").await;
    scene.push().await;
    let old = scene.document();
    scene.switch().await;
    let left = scene.progress().await.rotation.unwrap().left_behind.unwrap();
    assert_eq!((left.users, BTreeSet::from_iter(left.ids)), (2, BTreeSet::from([bob.uuid(), cyd.uuid()])));
    let slug = scene.tenant.slug.as_str();
    let status = |verb: &[&str]| scene.cli().run(verb, "");
    let said = scene.cli().show(&["lookup", "status", slug]);
    assert!(said.contains(&bob.to_string()) && said.contains("2 users have no identifiers"), "{said}");
    status(&["lookup", "forget", slug, "--yes"]).expect(5);
    scene.pass(TimeDelta::minutes(17)).await;
    scene.pass(TimeDelta::days(3)).await;
    let document = scene.document();
    for document in [&old, &document] {
        for (name, id) in [("bob", bob), ("cyd", cyd), ("cyd@acme.test", cyd)] {
            assert_eq!(scene.edge_finds_name(document, name), Some(id), "{name}");
        }
    }
    let root = scene.member("root", "root-admin").await;
    for name in ["bob", "cyd@acme.test"] {
        root.post(USERS, json!({"username": name})).await.expect(400);
    }
    assert_eq!(scene.root_versions().await, [1, 2]);
    // A repaired user gets identifiers; others are given up only by an operator.
    let again = was.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    scene.overwrites(bob, "username", &format!("decode('{again}', 'hex')")).await;
    scene.pass(TimeDelta::days(1)).await;
    assert_eq!(scene.progress().await.rotation.unwrap().left_behind.unwrap().ids, [cyd.uuid()]);
    assert_eq!(scene.root_versions().await, [1, 2]);
    let tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
    assert!(matches!(rotation::rotate(&scene.control, tx, &Actor::operator()).await, Err(Refused::UnderWay)));
    let tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
    rotation::forget(&scene.control, tx, &Actor::operator()).await.unwrap();
    assert_eq!(scene.advance().await, Outcome::Over);
    scene.push().await;
    let document = scene.document();
    assert_eq!(scene.edge_finds_name(&document, "bob"), Some(bob));
    assert_eq!(scene.edge_finds_name(&document, "cyd"), None);
    assert_eq!(scene.root_versions().await, [2]);
    let told: Vec<_> = scene.logged().await.into_iter().filter(|it| it.starts_with("lookup.")).collect();
    let whole = ["lookup.rotation_began", "lookup.switched", "lookup.forgotten", "lookup.rotated"];
    assert_eq!(told, whole);
}

/// Two names that the rules of today take for one: an index that was made under older rules had both.
#[tokio::test]
async fn a_name_that_is_anothers_under_the_new_root_leaves_its_user_behind_whole() {
    let scene = Scene::alone().await;
    let (bob, cyd) = (scene.has_user("bob", Some("bob@acme.test")).await, scene.has_user("cyd", None).await);
    // Both are `cyd` by what their rows say.
    let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
    let wrapped: Vec<u8> = sqlx::query_scalar("select wrapped from user_keys where user_id = $1")
        .bind(bob.uuid())
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    let key = control::crypt::personal::UserKey::unwrap(tx.keys(), bob, &wrapped).unwrap();
    let sealed = key.seal(control::crypt::personal::Field::Username, "cyd").unwrap();
    drop(tx);
    let sealed = sealed.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    scene.overwrites(bob, "username", &format!("decode('{sealed}', 'hex')")).await;
    scene.switch().await;
    let left = scene.progress().await.rotation.unwrap().left_behind.unwrap().ids;
    assert!(left == [bob.uuid()] || left == [cyd.uuid()], "{left:?}");
    scene.pass(TimeDelta::minutes(17)).await;
    // One of the two is `cyd` under the new root; the other one has identifiers only under the old root.
    for (user, names) in [(bob, 2), (cyd, 1)] {
        let version = if left == [user.uuid()] { 1 } else { 2 };
        let has: Vec<_> = scene.identifiers().await.into_iter().filter(|(_, of, ..)| *of == user).collect();
        assert!(has.len() == names && has.iter().all(|(.., of)| *of == version), "{left:?}: {has:?}");
    }
}

#[tokio::test]
async fn a_rotation_is_for_tenants_in_use_and_one_at_a_time() {
    let scene = Scene::alone().await;
    let slug = scene.tenant.slug.as_str().to_owned();
    let provisioning = committed_tenant(&scene.control, Isolation::Shared).await;
    scene.cli().run(&["lookup", "rotate", provisioning.slug.as_str(), "--yes"], "").expect(5);
    let status = scene.cli().run(&["lookup", "status", &slug], "").expect(0).json;
    assert_eq!(status, json!({"version": 1, "rotation": null}));
    scene.cli().run(&["lookup", "rotate", &slug], "").expect(5);
    scene.begin_rotation().await;
    let refused = scene.cli().run(&["lookup", "rotate", &slug, "--yes"], "").expect(5).stderr;
    assert!(refused.contains("is under way"), "{refused}");
    // A suspended tenant, and the platform tenant.
    let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
    tenants::suspend(&scene.control, &mut tx, &Actor::operator(), scene.tenant.id).await.unwrap();
    tx.commit().await.unwrap();
    scene.advance().await;
    scene.push().await;
    scene.advance().await;
    assert_eq!(scene.stage().await, Some("switched"));
    let platform = scene.platform().await;
    let root = platform.has_user("root", None).await;
    platform.switch().await;
    assert_eq!(platform.edge_finds_name(&platform.document(), "root"), Some(root));
    // A tenant that is deleted in the middle, before the switch and after it.
    for switched in [false, true] {
        let other = Scene { tenant: new_tenant(&scene.control, Isolation::Shared).await, ..scene.clone() };
        other.has_user("bob", None).await;
        other.push().await;
        if switched {
            other.switch().await;
        } else {
            other.begin_rotation().await;
        }
        let mut tx = scene.control.db.tenant_tx(other.tenant.id).await.unwrap();
        tenants::delete(&scene.control, &mut tx, &Actor::operator(), other.tenant.id).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(other.advance().await, Outcome::Over);
        other.push().await;
        assert_eq!(other.root_versions().await, [if switched { 2 } else { 1 }]);
        let document = other.document();
        assert!(document.former_lookup_root.is_none() && document.status == shared::tenant::Status::Deleted);
    }
}

#[tokio::test]
async fn a_reseed_in_the_middle_keeps_users_found() {
    for switched in [false, true] {
        let scene = Scene::alone().await;
        let bob = scene.has_user("bob", Some("bob@acme.test")).await;
        scene.push().await;
        if switched {
            scene.switch().await;
        } else {
            scene.begin_rotation().await;
            scene.advance().await;
        }
        reseed::reseed(&scene.control, &Actor::operator(), scene.tenant.id).await.unwrap();
        if !switched {
            assert_eq!(
                scene.advance().await,
                Outcome::WaitsForEdge,
                "the edge has confirmed nothing of this history"
            );
        }
        // The document goes ahead of the snapshot's other pages.
        let before = scene.edge.state().taken.len();
        scene.push().await;
        let pages = scene.edge.state().taken[before..].iter().filter(|push| push.snapshot.is_some()).count();
        assert!(pages > 0);
        assert_eq!(scene.edge_finds_name(&scene.document(), "bob"), Some(bob));
        scene.advance().await;
        scene.push().await;
        assert_eq!(scene.document().lookup_root.version, 2);
        assert!(scene.document().needs.are_met_by(&[FORMER_LOOKUP_ROOT, shared::epochs::NEED]));
        scene.advance().await;
        scene.pass(TimeDelta::minutes(17)).await;
        scene.pass(TimeDelta::days(1)).await;
        assert_eq!(scene.stage().await, None);
        for name in ["bob", "bob@acme.test"] {
            assert_eq!(scene.edge_finds_name(&scene.document(), name), Some(bob), "{name}");
        }
        assert_eq!(scene.edge.counts(scene.tenant.id).1, scene.identifiers().await.len());
    }
}

#[tokio::test]
async fn a_job_does_it_all_without_being_asked_twice() {
    let scene = Scene::alone().await;
    let bob = scene.has_user("bob", None).await;
    scene.begin_rotation().await;
    let stages = ["confirming", "switched", "former"];
    for (stage, time) in stages.into_iter().zip([0, 0, 17]) {
        scene.control.clock.advance(TimeDelta::minutes(time));
        rotation::look(&scene.control).await.unwrap();
        runner::run_due(&scene.control).await.unwrap();
        assert_eq!(scene.stage().await, Some(stage));
        scene.push().await;
        if stage == "switched" {
            rotation::look(&scene.control).await.unwrap();
            runner::run_due(&scene.control).await.unwrap();
        }
    }
    scene.control.clock.advance(TimeDelta::hours(25));
    rotation::look(&scene.control).await.unwrap();
    runner::run_due(&scene.control).await.unwrap();
    scene.push().await;
    assert_eq!((scene.stage().await, scene.root_versions().await), (None, vec![2]));
    assert_eq!(scene.edge_finds_name(&scene.document(), "bob"), Some(bob));
}

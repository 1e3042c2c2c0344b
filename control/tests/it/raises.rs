//! No request raises its sender: walks over routes, fields and roles.

use std::collections::{BTreeMap, BTreeSet};

use control::api::openapi;
use control::branches::{Grants, Place};
use control::roles::{Role, store};
use control::users::{Change, Profile, User};
use reqwest::Method;
use serde_json::{Map, Value, json};
use shared::contract::permissions::{Permission, Permissions};
use shared::contract::routes::{ROUTES, RouteKind};
use shared::ids::UserId;
use shared::tenant::registration::Registration;
use uuid::Uuid;

use crate::scale::{Chance, scaled};
use crate::scene::{Member, PASSWORD, Scene};

/// Columns of a user's row that the user's own requests may change.
const OWN_COLUMNS: [&str; 12] = [
    "access_epoch",
    "session_epoch",
    "kept_session",
    "kept_from",
    "kept_epoch",
    "network_mailed_at",
    "updated_at",
    "first_name",
    "last_name",
    "phone",
    "language",
    "profile_completion",
];

/// Names of fields: of bodies and answers in the document (in a long run of all, else of those about users and roles),
/// and of all columns of a user.
async fn fields(scene: &Scene) -> BTreeSet<String> {
    let schemas = openapi::document()["components"]["schemas"].as_object().unwrap();
    let of = |schema: &Value| -> Vec<String> {
        schema["properties"].as_object().map(|names| names.keys().cloned().collect()).unwrap_or_default()
    };
    let is_of_users = |name: &str| {
        ["User", "Role", "Branch", "Me", "Invitation", "Password"].iter().any(|of| name.contains(of))
    };
    let schemas = schemas.iter().filter(|(name, _)| scaled(is_of_users(name), true));
    let mut names: BTreeSet<String> = schemas.flat_map(|(_, schema)| of(schema)).collect();
    let columns = rows(scene, "users").await;
    names.extend(columns.values().next().unwrap().keys().cloned());
    names
        .extend(["id", "rank", "permissions", "role", "roles", "is_staff", "is_superuser"].map(String::from));
    assert!(names.len() > 50, "{}", names.len());
    names
}

/// The rows of a table of the tenant by their text, or by user.
async fn rows(scene: &Scene, table: &str) -> BTreeMap<String, Map<String, Value>> {
    let mut admin = scene.database.admin().await;
    let sql = format!("select to_jsonb(t) from {}.{table} t where tenant_id = $1", scene.tenant.cell);
    let rows: Vec<Value> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
        .bind(scene.tenant.id.uuid())
        .fetch_all(&mut admin)
        .await
        .unwrap();
    let key =
        |row: &Value| if table == "users" { row["id"].as_str().unwrap().to_owned() } else { row.to_string() };
    rows.into_iter().map(|row| (key(&row), row.as_object().unwrap().clone())).collect()
}

/// All that a request of the lowest role must leave as it is.
async fn kept(scene: &Scene, caller: UserId) -> Vec<BTreeMap<String, Map<String, Value>>> {
    let mut all = Vec::new();
    for table in ["users", "user_roles", "roles", "identifiers", "branches"] {
        all.push(rows(scene, table).await);
    }
    if let Some(own) = all[0].get_mut(&caller.to_string()) {
        own.retain(|column, _| !OWN_COLUMNS.contains(&column.as_str()));
    }
    all
}

/// A value that would raise its sender, or hand over an account, if the field were written.
fn value(field: &str, target: UserId) -> Value {
    match field {
        "roles" => json!(["root-admin"]),
        "permissions" => json!(["users.write", "roles.write"]),
        "role" => json!("root-admin"),
        "rank" => json!(99),
        "status" => json!("suspended"),
        "password" | "new_password" => json!("another battery staple"),
        "email" | "new_email" => json!("mallory@evil.test"),
        "id" | "user" | "user_id" | "sub" => json!(target),
        name if name.starts_with("is_") || name.ends_with("_verified") || name.ends_with("enabled") => {
            json!(true)
        }
        name if name.ends_with("epoch") => json!(0),
        _ => json!("mallory"),
    }
}

#[tokio::test]
async fn the_lowest_role_changes_no_field_of_a_user_on_any_route() {
    let scene = Scene::new().await;
    scene.sets(|settings| settings.registration = Registration::Closed).await;
    let mallory = scene.member("mallory", "client").await;
    let ada = scene.addressed("ada", "staff").await;
    scene.role("empty", 5, &[]).await;
    let fields = fields(&scene).await;
    let mut asked = 0;
    for route in ROUTES.iter().filter(|route| {
        matches!(route.kind, RouteKind::Protected | RouteKind::Anonymous)
            && route.path.starts_with("api/user/")
    }) {
        for method in route.allow.split(", ").filter(|method| !matches!(*method, "GET" | "HEAD" | "OPTIONS"))
        {
            let method: Method = method.parse().unwrap();
            for target in [mallory.id.to_string(), ada.id.to_string(), "empty".to_owned()] {
                if !route.path.contains('*') && target == "empty" {
                    continue;
                }
                let path = format!("/{}/", route.path.replace('*', &target));
                let before = kept(&scene, mallory.id).await;
                // A request may end the caller's other tokens.
                let caller = scene.acting_as(&scene.user(mallory.id).await).await;
                let id = UserId::parse(&target).unwrap_or(ada.id);
                let whole: Map<String, Value> =
                    fields.iter().map(|field| (field.clone(), value(field, id))).collect();
                let mut bodies = vec![None, Some(Value::Object(whole))];
                // One field alone may pass where many together have a fault.
                let alone = scaled(route.path == "api/user/users/*" && method == Method::PATCH, true);
                if alone && method != Method::DELETE {
                    bodies.extend(fields.iter().map(|field| {
                        Some(json!({ "username": "mallory", field.as_str(): value(field, id) }))
                    }));
                }
                for body in bodies {
                    caller.call(method.clone(), &path, body).await;
                    asked += 1;
                }
                assert!(before == kept(&scene, mallory.id).await, "{method} {path} changed something");
            }
        }
    }
    assert!(asked > 150, "{asked}");
}

/// What a walk begins with: one actor, and others whom the actor might become.
struct Walk {
    scene: Scene,
    /// What the actor had at the beginning.
    rank: i32,
    grants: Grants,
    /// What the actor might do with each user at the beginning.
    over: BTreeMap<UserId, Permissions>,
    /// The actor, and everyone whose account the actor holds.
    held: BTreeSet<UserId>,
    made: i64,
}

impl Walk {
    async fn new(rank: i32, permissions: &[&str], also: Option<&str>) -> Self {
        let scene = Scene::new().await;
        let every = Permission::ALL.iter().filter(|permission| !permission.is_platform());
        let every: Vec<_> = every.map(|permission| permission.as_str()).collect();
        for (name, rank, permissions) in [
            ("empty", 5, &[][..]),
            ("signer", 20, &["keys.rotate"]),
            ("granter", 15, &["users.write", "roles.write"]),
            ("all-low", 10, &every),
            ("all-high", 99, &every),
            ("peer", rank, permissions),
        ] {
            scene.role(name, rank, permissions).await;
        }
        for role in
            ["empty", "signer", "granter", "all-low", "all-high", "peer", "staff", "root-admin", "client"]
        {
            let profile = Profile { username: format!("has-{role}"), ..Profile::default() };
            scene.person(profile, &[role]).await;
        }
        // Branches with users and with roles, so that there is power to be had by moving.
        let top = scene.branch("top", None).await;
        let low = scene.branch("low", Some(top)).await;
        let other = scene.branch("other", None).await;
        for (name, rank, permissions, branch) in [
            ("low-log", 20, &["audit.read", "users.unmask"][..], low),
            ("low-writer", 20, &["users.write", "users.read"], low),
            ("top-reader", 20, &["users.read"], top),
        ] {
            scene.branch_role(name, rank, permissions, branch).await;
            scene.put(&format!("has-{name}"), name, Some(other)).await;
        }
        for (name, branch) in [("in-top", top), ("in-low", low), ("in-other", other)] {
            scene.put(name, "client", Some(branch)).await;
        }
        let actor = scene.officer("actor", rank, permissions).await;
        if let Some(also) = also {
            let roles = Change { roles: Some(vec!["actor".into(), also.into()]), ..Change::default() };
            scene.change(actor.id, roles).await;
        }
        // The role that everyone who wants may get has to stay harmless.
        scene.sets(|settings| settings.registration_role = "empty".into()).await;
        let grants = scene.user(actor.id).await.grants;
        let held = BTreeSet::from([actor.id]);
        let mut walk = Self { scene, rank, grants, over: BTreeMap::new(), held, made: 0 };
        let places = walk.places().await;
        let users = walk.users().await.into_iter();
        walk.over = users.map(|user| (user.id, walk.grants.at(place(&places, &user)))).collect();
        walk
    }

    async fn places(&self) -> BTreeMap<Uuid, Place> {
        let branches = control::branches::store::all(&mut self.scene.tx().await).await.unwrap();
        branches.into_iter().map(|branch| (branch.id, branch.place)).collect()
    }

    async fn users(&self) -> Vec<User> {
        let ids: Vec<Uuid> = rows(&self.scene, "users").await.keys().map(|id| id.parse().unwrap()).collect();
        control::users::store::select(&mut self.scene.tx().await, &ids).await.unwrap()
    }

    async fn roles(&self) -> Vec<Role> {
        store::all(&mut self.scene.tx().await).await.unwrap()
    }

    /// A name that nothing has yet.
    fn next_name(&mut self) -> String {
        self.made += 1;
        format!("made-{}", self.made)
    }

    /// One request by the actor, or by a user whom the actor holds.
    async fn step(&mut self, chance: &mut Chance) -> String {
        let (users, roles) = (self.users().await, self.roles().await);
        let callers: Vec<_> = users.iter().filter(|user| self.held.contains(&user.id)).collect();
        let caller = *pick(chance, &callers);
        let caller = self.scene.acting_as(caller).await;
        let target = pick(chance, &users);
        let role = pick(chance, &roles);
        let name = self.next_name();
        let some_roles = json!([role.name, pick(chance, &roles).name]);
        let rank = [1, self.rank - 1, self.rank, self.rank + 1, 99][index(chance, 5)];
        let (one, other) = (pick(chance, Permission::ALL).as_str(), pick(chance, Permission::ALL).as_str());
        let sets = [json!([one]), json!([one, other]), json!(["users.write", "roles.write"]), json!([])];
        let permissions = pick(chance, &sets).clone();
        let of_user = format!("/api/user/users/{}/", target.id);
        let of_role = format!("/api/user/roles/{}/", role.name);
        let tenant = format!("/api/tenant/tenants/{}/", self.scene.tenant.id);
        let address = format!("{name}@acme.test");
        let branches: Vec<_> = self.places().await.into_keys().collect();
        let (branch, parent) = (*pick(chance, &branches), *pick(chance, &branches));
        let of_branch = format!("/api/tenant/branches/{branch}/");
        let (method, path, body) = match chance.between(0, 18) {
            0 => (Method::PATCH, of_user, json!({ "roles": [role.name] })),
            1 => (Method::PATCH, of_user, json!({ "roles": some_roles })),
            2 => (Method::PUT, of_user, json!({ "username": name, "roles": some_roles })),
            3 => (Method::PATCH, of_user, json!({ "password": PASSWORD })),
            4 => (Method::PATCH, of_user, json!({ "email": address, "email_verified": true })),
            5 => (Method::POST, "/api/user/users/".into(), json!({ "username": name, "roles": [role.name] })),
            6 => (
                Method::POST,
                "/api/user/roles/".into(),
                json!({ "name": name, "rank": rank, "permissions": permissions }),
            ),
            7 => (Method::PATCH, of_role, json!({ "permissions": permissions })),
            8 => (Method::PATCH, of_role, json!({ "rank": rank })),
            9 => (Method::PATCH, of_role, json!({ "rank": rank, "permissions": permissions })),
            10 => (Method::DELETE, of_role, Value::Null),
            11 => (Method::DELETE, of_user, Value::Null),
            13 => (Method::PATCH, of_user, json!({ "branch": branch })),
            14 => (Method::PATCH, of_branch, json!({ "parent": parent })),
            15 => (Method::PATCH, of_role, json!({ "branch": branch })),
            16 => (
                Method::POST,
                "/api/user/roles/".into(),
                json!({ "name": name, "rank": rank, "permissions": ["audit.read"], "branch": branch }),
            ),
            17 => (
                Method::POST,
                "/api/user/users/".into(),
                json!({ "username": name, "roles": [role.name], "branch": branch }),
            ),
            12 => (Method::PATCH, tenant, json!({ "settings": { "registration_role": role.name } })),
            _ => (Method::PATCH, of_user, json!({ "username": name, "status": "active" })),
        };
        let body = (!body.is_null()).then_some(body);
        let answer = caller.call(method.clone(), &path, body.clone()).await;
        assert!(
            answer.status != 401 && answer.status < 500,
            "{method} {path}: {} {}",
            answer.status,
            answer.body
        );
        let asked = body.unwrap_or_default();
        if answer.status == 201 && path == "/api/user/users/" {
            self.held.insert(answer.id());
        }
        if answer.status == 200 && (asked.get("password").is_some() || asked.get("email").is_some()) {
            self.held.insert(target.id);
        }
        format!("{} {method} {path} {asked}: {}", caller.id, answer.status)
    }

    /// No account of the actor has more permissions than the actor had, and registration gives none.
    async fn check(&self, steps: &[String]) {
        let (users, places) = (self.users().await, self.places().await);
        for user in users.iter().filter(|user| self.held.contains(&user.id)) {
            let raised = user.rank > self.rank || !self.grants.includes(&user.grants);
            assert!(!raised, "{} has {:?}, rank {}:\n{}", user.id, user.roles, user.rank, steps.join("\n"));
            for other in &users {
                let Some(before) = self.over.get(&other.id) else { continue };
                let now = user.grants.at(place(&places, other));
                assert!(before.includes(now), "{} over {}:\n{}", user.id, other.id, steps.join("\n"));
            }
        }
        let mut tx = self.scene.tx().await;
        let tenant = control::tenants::find(&mut tx, self.scene.tenant.id).await.unwrap();
        drop(tx);
        let roles = self.roles().await;
        let registered = roles.iter().find(|role| role.name == tenant.settings.registration_role).unwrap();
        assert!(registered.is_for_registration(), "{registered:?}:\n{}", steps.join("\n"));
    }
}

/// Where a user is.
fn place<'a>(places: &'a BTreeMap<Uuid, Place>, user: &User) -> Option<&'a Place> {
    user.branch().and_then(|branch| places.get(&branch))
}

fn index(chance: &mut Chance, length: usize) -> usize {
    usize::try_from(chance.between(0, i64::try_from(length).unwrap() - 1)).unwrap()
}

fn pick<'a, T>(chance: &mut Chance, from: &'a [T]) -> &'a T {
    &from[index(chance, from.len())]
}

/// The roles that could have a way up: those that change users, roles or settings, alone and together.
const ACTORS: [(i32, &[&str], Option<&str>); 9] = [
    (50, &["users.write"], None),
    (50, &["users.write", "branches.write"], Some("low-log")),
    (50, &["roles.write"], Some("low-log")),
    (60, &["users.read", "users.write", "roles.read", "roles.write"], None),
    (50, &[], Some("low-writer")),
    (30, &["users.write", "users.delete", "roles.write"], None),
    (45, &["users.write", "roles.write", "tenant.write"], None),
    (99, &["users.write", "roles.write", "sessions.end", "branches.write"], Some("low-log")),
    (10, &[], None),
];

#[tokio::test]
async fn no_role_raises_itself_in_any_number_of_steps() {
    let mut chance = Chance::new();
    let mut done = 0;
    for (rank, permissions, also) in ACTORS {
        let mut walk = Walk::new(rank, permissions, also).await;
        let mut steps = Vec::new();
        for _ in 0..scaled(20, 3000) {
            let step = walk.step(&mut chance).await;
            done += u32::from(step.ends_with(": 200") || step.ends_with(": 201") || step.ends_with(": 204"));
            steps.push(step);
            walk.check(&steps).await;
        }
    }
    assert!(done > 10, "only {done} steps were allowed: the walk proves little");
}

/// The actors of an ordinary run, or all of them.
fn actors() -> &'static [(i32, &'static [&'static str], Option<&'static str>)] {
    &ACTORS[..scaled(4, ACTORS.len())]
}

/// Every single step that one role could take towards another, and then what the raised role could do.
#[tokio::test]
async fn no_role_raises_itself_in_one_step_or_in_two() {
    for (rank, permissions, also) in actors().iter().copied() {
        let walk = Walk::new(rank, permissions, also).await;
        let scene = &walk.scene;
        let actor = *walk.held.first().unwrap();
        let own = format!("/api/user/users/{actor}/");
        let names: Vec<_> = walk.roles().await.into_iter().map(|role| role.name).collect();
        let first: Vec<(Method, String, Value)> = names
            .iter()
            .flat_map(|name| {
                let of_role = format!("/api/user/roles/{name}/");
                [
                    (Method::PATCH, of_role.clone(), json!({"rank": 99})),
                    (Method::PATCH, of_role.clone(), json!({"rank": rank - 1})),
                    (Method::PATCH, of_role.clone(), json!({"permissions": ["tenant.write"]})),
                    (Method::PATCH, of_role, json!({ "permissions": permissions })),
                    (Method::PATCH, own.clone(), json!({ "roles": [name] })),
                    (Method::PATCH, own.clone(), json!({ "roles": ["actor", name] })),
                    (
                        Method::POST,
                        "/api/user/users/".into(),
                        json!({"username": format!("p-{name}"), "roles": [name]}),
                    ),
                ]
            })
            .collect();
        for (method, path, body) in &first {
            let caller = scene.acting_as(&scene.user(actor).await).await;
            let answer = caller.call(method.clone(), path, Some(body.clone())).await;
            let mut puppets = vec![actor];
            puppets.extend((answer.status == 201).then(|| answer.id()));
            // A step that was refused has changed nothing.
            let changed = [200, 201].contains(&answer.status);
            for name in names.iter().filter(|_| scaled(changed, true)) {
                for puppet in &puppets {
                    let caller = scene.acting_as(&scene.user(*puppet).await).await;
                    give(&caller, actor, name).await;
                }
            }
            for held in puppets {
                let user = scene.user(held).await;
                let raised = user.rank > rank || !walk.grants.includes(&user.grants);
                assert!(!raised, "{rank} {permissions:?}: {method} {path} {body}: {:?}", user.roles);
            }
        }
    }
}

async fn give(caller: &Member, to: UserId, role: &str) {
    let path = format!("/api/user/users/{to}/");
    let answer = caller.patch(&path, json!({ "roles": ["actor", role] })).await;
    assert!(answer.status < 500, "{}", answer.body);
}

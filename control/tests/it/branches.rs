//! Branches: the tree, the users in it, and roles whose permissions hold in a branch and below it.

use std::collections::{BTreeMap, BTreeSet};

use control::audit::Actor;
use control::branches::{self, NewBranch};
use control::roles::{self, NewRole};
use control::users::{self, Change, Profile, User};
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use shared::contract::limits::BRANCH_DEPTH;
use shared::contract::routes::{ROUTES, RouteKind};
use shared::tenant::visibility::Rule;
use uuid::Uuid;

use crate::scale::{Chance, scaled};
use crate::scene::{Member, PASSWORD, Scene};

const PATH: &str = "/api/tenant/branches/";
const USERS: &str = "/api/user/users/";
/// What an administrator of a branch may do.
const ADMIN: [&str; 9] = [
    "users.read",
    "users.write",
    "users.delete",
    "users.unmask",
    "sessions.read",
    "sessions.end",
    "roles.read",
    "branches.read",
    "audit.read",
];

impl Scene {
    /// A branch, by the command line's authority.
    pub async fn branch(&self, name: &str, parent: Option<Uuid>) -> Uuid {
        let mut tx = self.tx().await;
        let new = NewBranch { name: name.into(), parent };
        let branch = branches::create(&self.control, &mut tx, &Actor::operator(), new).await.unwrap();
        tx.commit().await.unwrap();
        branch.id
    }

    /// A custom role of a branch.
    pub async fn branch_role(&self, name: &str, rank: i32, permissions: &[&str], branch: Uuid) {
        let new = NewRole {
            name: name.into(),
            title: String::new(),
            description: String::new(),
            rank,
            permissions: permissions.iter().map(|name| (*name).to_owned()).collect(),
            branch: Some(branch),
        };
        let mut tx = self.tx().await;
        roles::create(&self.control, &mut tx, &Actor::operator(), new).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// A user in no branch with a role of this branch that sees personal fields in clear.
    async fn branch_admin(&self, name: &str, rank: i32, permissions: &[&str], branch: Uuid) -> Member {
        self.branch_role(name, rank, permissions, branch).await;
        self.sets(|settings| {
            let rules =
                ["username", "email", "first_name", "last_name", "phone", "client", "last_login", "profile"]
                    .map(|field| format!("{name}.{field}=clear"));
            settings.visibility.extend(rules.iter().map(|rule| Rule::parse(rule).unwrap()));
        })
        .await;
        self.member(name, name).await
    }

    /// A user with a role, in a branch.
    pub async fn put(&self, name: &str, role: &str, branch: Option<Uuid>) -> User {
        let email = Some(format!("{name}@acme.test"));
        let profile = Profile { username: name.into(), email, ..Profile::default() };
        let user = self.person(profile, &[role]).await;
        self.moved(&user, branch).await
    }

    async fn moved(&self, user: &User, branch: Option<Uuid>) -> User {
        let mut tx = self.tx().await;
        let change = Change { branch: Some(branch), ..Change::default() };
        let user = users::change(&self.control, &mut tx, &Actor::operator(), user.id, change).await.unwrap();
        tx.commit().await.unwrap();
        user
    }
}

fn of(id: Uuid) -> String {
    format!("{PATH}{id}/")
}

fn user(id: impl std::fmt::Display) -> String {
    format!("{USERS}{id}/")
}

fn names(page: &Value, field: &str) -> Vec<String> {
    let name = |row: &Value| row[field].as_str().unwrap_or_default().to_owned();
    page["results"].as_array().unwrap().iter().map(name).collect()
}

#[tokio::test]
async fn a_branch_is_created_read_changed_moved_and_deleted() {
    for scene in [Scene::new().await, Scene::shared().await] {
        let root = scene.member("root", "root-admin").await;
        let germany = root.post(PATH, json!({ "name": " Germany " })).await.expect(201);
        assert_eq!(
            (
                &germany.body["name"],
                &germany.body["parent"],
                &germany.body["path"],
                &germany.body["archived"]
            ),
            (&json!("Germany"), &json!(null), &json!(["Germany"]), &json!(false))
        );
        let berlin =
            root.post(PATH, json!({ "name": "Berlin", "parent": germany.body["id"] })).await.expect(201);
        assert_eq!(berlin.body["path"], json!(["Germany", "Berlin"]));
        let path = of(berlin.body["id"].as_str().unwrap().parse().unwrap());
        let read = root.get(&path).await.expect(200);
        assert_eq!((&read.body, read.header("etag")), (&berlin.body, berlin.header("etag")));
        let known = [("if-none-match", read.header("etag"))];
        root.with(Method::GET, &path, &known, None).await.expect(304);

        let as_read = [("if-match", read.header("etag"))];
        let change = json!({ "name": "Mitte", "parent": null, "archived": true });
        let moved = root.with(Method::PATCH, &path, &as_read, Some(change.clone())).await.expect(200);
        assert_eq!(moved.body["path"], json!(["Mitte"]));
        assert_eq!(moved.body["archived"], json!(true));
        root.with(Method::PATCH, &path, &as_read, Some(change.clone())).await.expect(412);
        root.with(Method::DELETE, &path, &as_read, None).await.expect(412);
        // What is as it was is no change.
        assert_eq!(root.patch(&path, change).await.expect(200).body, moved.body);
        // The new name may be taken where the branch was: it is compared with those where it comes to be.
        let munich = json!({ "name": "Munich", "parent": germany.body["id"] });
        root.post(PATH, munich.clone()).await.expect(201);
        root.patch(&path, json!({ "name": "Munich" })).await.expect(200);
        root.patch(&path, munich).await.expect(400);
        let back = json!({ "name": "Berlin", "parent": germany.body["id"], "archived": true });
        root.patch(&path, back).await.expect(200);
        let renamed = json!({ "name": "Munich", "parent": null });
        assert_eq!(root.patch(&path, renamed).await.expect(200).body["path"], json!(["Munich"]));
        root.patch(&path, json!({ "name": "Mitte", "archived": true })).await.expect(200);
        root.delete(&path).await.expect(204);
        let gone = root.get(&path).await.expect(404);
        assert_eq!(gone.body, json!({ "detail": "No Branch matches the given query." }));
        root.patch(&path, json!({ "name": "x" })).await.expect(404);
        root.delete(&path).await.expect(404);

        let query = format!("/api/audit/?target={}&ordering=created_at", berlin.body["id"].as_str().unwrap());
        let log = root.get(&query).await.expect(200).body;
        let mut actions = names(&log, "action");
        actions.dedup();
        assert_eq!(actions, ["branch.created", "branch.edited", "branch.deleted"]);
        assert_eq!(
            log["results"][1]["details"],
            json!({
                "name": { "from": "Berlin", "to": "Mitte" },
                "parent": { "from": germany.body["id"], "to": null },
                "archived": { "from": false, "to": true },
            })
        );
    }
}

#[tokio::test]
async fn a_branch_with_faults_is_refused_with_all_of_them() {
    let scene = Scene::new().await;
    let root = scene.member("root", "root-admin").await;
    let top = scene.branch("Top", None).await;
    let below = scene.branch("Below", Some(top)).await;
    let unknown = Uuid::nil();
    let not_there = format!("Invalid pk \"{unknown}\" - object does not exist.");
    for (body, expected) in [
        (json!({}), json!({ "name": ["This field is required."] })),
        (json!({ "name": "  " }), json!({ "name": ["This field may not be blank."] })),
        (
            json!({ "name": "a/b", "parent": unknown }),
            json!({ "name": ["A slash is not allowed: it separates the names of a path."], "parent": [not_there] }),
        ),
        (
            json!({ "name": "x".repeat(101) }),
            json!({ "name": ["Ensure this field has no more than 100 characters."] }),
        ),
        (json!({ "name": "a\u{7}b" }), json!({ "name": ["Control characters are not allowed."] })),
        (json!({ "name": "a", "parent": "x" }), json!({ "parent": ["Must be a valid UUID."] })),
        // In another case, and in another Unicode form.
        (json!({ "name": "TOP" }), json!({ "name": ["A branch with that name already exists here."] })),
        (
            json!({ "name": "\u{ff34}op" }),
            json!({ "name": ["A branch with that name already exists here."] }),
        ),
    ] {
        assert_eq!(root.post(PATH, body.clone()).await.expect(400).body, expected, "{body}");
    }
    // Elsewhere the name is free.
    root.post(PATH, json!({ "name": "Top", "parent": top })).await.expect(201);
    let taken = root.patch(&of(below), json!({ "name": "top" })).await.expect(400);
    assert_eq!(taken.body, json!({ "name": ["A branch with that name already exists here."] }));
    for parent in [top, below] {
        let refused = root.patch(&of(top), json!({ "parent": parent })).await.expect(400);
        assert_eq!(refused.body, json!({ "parent": ["A branch cannot be moved below itself."] }));
    }
}

#[tokio::test]
async fn the_tree_has_a_limit_of_depth_for_new_and_for_moved_branches() {
    let scene = Scene::new().await;
    let root = scene.member("root", "root-admin").await;
    let mut chain = vec![scene.branch("1", None).await];
    for level in 2..=BRANCH_DEPTH {
        chain.push(scene.branch(&level.to_string(), chain.last().copied()).await);
    }
    let deepest = chain[BRANCH_DEPTH - 1];
    let refused = root.post(PATH, json!({ "name": "deeper", "parent": deepest })).await.expect(400);
    assert_eq!(refused.body, json!({ "parent": ["The tree has at most 8 levels."] }));
    let two = scene.branch("two", None).await;
    scene.branch("levels", Some(two)).await;
    root.patch(&of(two), json!({ "parent": chain[BRANCH_DEPTH - 2] })).await.expect(400);
    root.patch(&of(two), json!({ "parent": chain[BRANCH_DEPTH - 3] })).await.expect(200);
    // The branches below a branch move with it.
    root.patch(&of(chain[1]), json!({ "parent": null })).await.expect(200);
    let list = root.get(&format!("{PATH}?within={}", chain[1])).await.expect(200).body;
    assert_eq!(list["count"], BRANCH_DEPTH + 1);
    assert_eq!(names(&list, "name"), ["2", "3", "4", "5", "6", "7", "8", "two", "levels"]);
    let deep = root.get(&of(deepest)).await.expect(200).body;
    assert_eq!(deep["path"], json!(["2", "3", "4", "5", "6", "7", "8"]));
}

#[tokio::test]
async fn branches_are_listed_in_the_order_of_the_tree_filtered_searched_and_ordered() {
    let scene = Scene::new().await;
    let root = scene.member("root", "root-admin").await;
    let b = scene.branch("B", None).await;
    let a = scene.branch("a", None).await;
    let inner = scene.branch("Z inner", Some(a)).await;
    scene.branch("Other inner", Some(b)).await;
    root.patch(&of(b), json!({ "archived": true })).await.expect(200);
    for (query, expected) in [
        (String::new(), &["a", "Z inner", "B", "Other inner"][..]),
        (String::from("?ordering=-name"), &["Z inner", "Other inner", "B", "a"]),
        (String::from("?ordering=created_at"), &["B", "a", "Z inner", "Other inner"]),
        (String::from("?search=INNER"), &["Z inner", "Other inner"]),
        (String::from("?archived=true"), &["B"]),
        (format!("?parent={a}"), &["Z inner"]),
        (format!("?within={a}"), &["a", "Z inner"]),
        (format!("?within={inner}&page_size=1"), &["Z inner"]),
        (String::from("?page_size=1&page=2"), &["Z inner"]),
    ] {
        let page = root.get(&format!("{PATH}{query}")).await.expect(200).body;
        assert_eq!(names(&page, "name"), expected, "{query}");
    }
    for query in ["?depth=1", "?ordering=parent", "?parent=x"] {
        root.get(&format!("{PATH}{query}")).await.expect(400);
    }
}

/// Moves at random, 16 at once: the places that the rows have are those that follow from their parents, and no branch is
/// below itself.
#[tokio::test]
async fn moves_at_once_leave_a_tree() {
    let scene = Scene::new().await;
    let root = scene.member("root", "root-admin").await;
    let mut chance = Chance::new();
    let mut ids = Vec::new();
    for number in 0..8 {
        ids.push(scene.branch(&number.to_string(), None).await);
    }
    for _ in 0..scaled(4, 60) {
        let moves = (0..16).map(|_| {
            let mut any = || ids[usize::try_from(chance.between(0, 7)).unwrap()];
            let (branch, parent) = (any(), any());
            let root = root.clone();
            async move { root.patch(&of(branch), json!({ "parent": parent })).await }
        });
        for answer in join_all(moves.collect::<Vec<_>>()).await {
            assert!(answer.status == 200 || answer.status == 400, "{} {}", answer.status, answer.body);
        }
        let rows = branches::store::all(&mut scene.tx().await).await.unwrap();
        let parents: BTreeMap<_, _> = rows.iter().map(|row| (row.id, row.parent)).collect();
        for row in &rows {
            let mut path = vec![row.id];
            let mut at = row.parent;
            while let Some(id) = at {
                assert!(!path.contains(&id), "{id} is below itself");
                path.insert(0, id);
                at = parents[&id];
            }
            assert_eq!(row.place.clone().ids(), path);
        }
    }
}

#[tokio::test]
async fn a_branch_in_use_is_not_deleted() {
    let scene = Scene::new().await;
    let root = scene.member("root", "root-admin").await;
    let branch = scene.branch("Berlin", None).await;
    let below = scene.branch("Mitte", Some(branch)).await;
    let ada = scene.put("ada", "client", Some(branch)).await;
    scene.branch_role("berlin-admin", 30, &["users.read"], branch).await;
    let refused = root.delete(&of(branch)).await.expect(409);
    assert_eq!(
        refused.body,
        json!({
            "detail": "The branch is in use: 1 user is in it; 1 branch is below it; roles name it: berlin-admin.",
            "code": "branch_in_use", "users": 1, "branches": 1, "roles": ["berlin-admin"],
        })
    );
    root.delete(&of(below)).await.expect(204);
    root.patch(&user(ada.id), json!({ "branch": null })).await.expect(200);
    root.delete(&of(branch)).await.expect(409);
    root.patch("/api/user/roles/berlin-admin/", json!({ "branch": null })).await.expect(200);
    root.delete(&of(branch)).await.expect(204);
}

/// A user who is put into a branch while it is deleted or archived: one of the two is refused.
#[tokio::test]
async fn a_branch_that_goes_takes_no_user_with_it() {
    let scene = Scene::new().await;
    let root = scene.member("root", "root-admin").await;
    let ada = scene.put("ada", "client", None).await;
    for round in 0..scaled(8, 100) {
        let branch = scene.branch(&format!("b{round}"), None).await;
        let (path, id) = (of(branch), user(ada.id));
        let ends = async {
            match round % 2 {
                0 => root.delete(&path).await,
                _ => root.patch(&path, json!({ "archived": true })).await,
            }
        };
        let (ended, put) = futures::join!(ends, root.patch(&id, json!({ "branch": branch })));
        let outcome = (ended.status, put.status);
        match round % 2 {
            0 => assert!([(204, 400), (409, 200)].contains(&outcome), "{outcome:?} {}", put.body),
            _ => assert!([(200, 400), (200, 200)].contains(&outcome), "{outcome:?} {}", put.body),
        }
        root.patch(&id, json!({ "branch": null })).await.expect(200);
    }
}

#[tokio::test]
async fn users_are_put_into_branches_and_found_by_them() {
    for scene in [Scene::new().await, Scene::shared().await] {
        let root = scene.member("root", "root-admin").await;
        let top = scene.branch("Top", None).await;
        let below = scene.branch("Below", Some(top)).await;
        let made = root.post(USERS, json!({ "username": "ada", "branch": top })).await.expect(201);
        assert_eq!(made.body["branch"], json!(top));
        let path = user(made.id());
        let moved = root.patch(&path, json!({ "branch": below })).await.expect(200);
        assert_eq!(moved.body["branch"], json!(below));
        assert_ne!(moved.header("etag"), made.header("etag"));
        root.post(USERS, json!({ "username": "grace", "branch": top })).await.expect(201);
        for (query, expected) in [
            (format!("branch={top}"), vec!["grace"]),
            (format!("branch={below}"), vec!["ada"]),
            (format!("branch_within={top}"), vec!["ada", "grace"]),
            (String::from("branch=none"), vec!["root"]),
            (format!("branch={top}&search=ada"), vec![]),
            (format!("branch_within={top}&role=client&ordering=-created_at"), vec!["grace", "ada"]),
        ] {
            let page = root.get(&format!("{USERS}?{query}")).await.expect(200).body;
            assert_eq!(names(&page, "username"), expected, "{query}");
            assert_eq!(page["count"], expected.len(), "{query}");
        }
        for (branch, fault) in [
            (json!(Uuid::nil()), format!("Invalid pk \"{}\" - object does not exist.", Uuid::nil())),
            (json!("x"), String::from("Must be a valid UUID.")),
        ] {
            let refused = root.patch(&path, json!({ "branch": branch })).await.expect(400);
            assert_eq!(refused.body, json!({ "branch": [fault] }));
            let refused = root.post(USERS, json!({ "username": "new", "branch": branch })).await.expect(400);
            assert_eq!(refused.body, json!({ "branch": [fault] }));
        }
        // One of another tenant is unknown here.
        let elsewhere = scene.neighbour(scene.tenant.isolation).await;
        let foreign = elsewhere.branch("Foreign", None).await;
        root.patch(&path, json!({ "branch": foreign })).await.expect(400);
        root.get(&of(foreign)).await.expect(404);
        root.patch(&of(foreign), json!({ "name": "x" })).await.expect(404);
        assert_eq!(root.get(&format!("{USERS}?branch={foreign}")).await.expect(200).body["count"], 0);

        root.patch(&of(top), json!({ "archived": true })).await.expect(200);
        let refused = root.post(USERS, json!({ "username": "new", "branch": top })).await.expect(400);
        assert_eq!(
            refused.body,
            json!({ "branch": ["The branch is archived: no user can be added to it."] })
        );
        // Those who are in it stay, and can be edited.
        let grace = names(&root.get(&format!("{USERS}?branch={top}")).await.expect(200).body, "id");
        root.patch(&user(&grace[0]), json!({ "first_name": "Grace", "branch": top })).await.expect(200);
        root.patch(&path, json!({ "branch": null })).await.expect(200);
        let log = root.get(&format!("/api/audit/?action=user.branch_changed&target={}", made.id())).await;
        assert_eq!(log.expect(200).body["results"][0]["details"], json!({ "from": below, "to": null }));
    }
}

#[tokio::test]
async fn a_role_of_a_branch_reaches_its_users_and_those_below() {
    for scene in [Scene::new().await, Scene::shared().await] {
        let top = scene.branch("Top", None).await;
        let mine = scene.branch("Mine", Some(top)).await;
        let below = scene.branch("Below", Some(mine)).await;
        let other = scene.branch("Other", Some(top)).await;
        for (name, branch) in [
            ("above", Some(top)),
            ("here", Some(mine)),
            ("lower", Some(below)),
            ("beside", Some(other)),
            ("free", None),
        ] {
            scene.put(name, "client", branch).await;
        }
        let admin = scene.branch_admin("mine-admin", 30, &ADMIN, mine).await;
        let me = admin.get("/api/user/me/").await.expect(200).body;
        assert_eq!(me["permissions"], json!([]));
        let mut sorted = ADMIN;
        sorted.sort_unstable();
        assert_eq!(me["branch_permissions"], json!([{ "branch": mine, "permissions": sorted }]));

        let list = admin.get(USERS).await.expect(200).body;
        assert_eq!(
            (names(&list, "username"), &list["count"]),
            (vec!["here".into(), "lower".into()], &json!(2))
        );
        assert_eq!(names(&admin.get(PATH).await.expect(200).body, "name"), ["Mine", "Below"]);
        admin.get(&of(top)).await.expect(404);
        admin.get(&of(below)).await.expect(200);
        admin.get("/api/user/roles/").await.expect(200);

        // New users need a branch, and it is one of theirs.
        let body = |branch: Value| json!({ "username": format!("new-{branch}"), "branch": branch });
        assert_eq!(
            admin.post(USERS, body(json!(null))).await.expect(400).body,
            json!({ "branch": ["This field is required."] })
        );
        let unknown = admin.post(USERS, body(json!(Uuid::nil()))).await.expect(400).body;
        let foreign = admin.post(USERS, body(json!(other))).await.expect(400).body;
        assert_eq!(
            unknown.to_string(),
            foreign.to_string().replace(&other.to_string(), &Uuid::nil().to_string())
        );
        let new = admin.post(USERS, body(json!(below))).await.expect(201);
        // Users are moved within the branches alone.
        admin.patch(&user(new.id()), json!({ "branch": mine })).await.expect(200);
        for branch in [json!(null), json!(other), json!(top)] {
            admin.patch(&user(new.id()), json!({ "branch": branch })).await.expect(400);
        }
        admin.patch(&user(new.id()), json!({ "first_name": "New", "status": "suspended" })).await.expect(200);
        admin.delete(&user(new.id())).await.expect(204);
        // What is not about users stays closed.
        for path in ["/api/audit/verify/", "/api/audit/export/"] {
            admin.get(path).await.expect(403);
        }
        admin.post(PATH, json!({ "name": "x", "parent": mine })).await.expect(403);
        admin.get(&format!("/api/tenant/tenants/{}/", scene.tenant.id)).await.expect(403);

        // With the branch, its users move out of reach and others into it, at once.
        let root = scene.member("root", "root-admin").await;
        root.patch(&of(below), json!({ "parent": other })).await.expect(200);
        assert_eq!(names(&admin.get(USERS).await.expect(200).body, "username"), ["here"]);
        root.patch(&of(other), json!({ "parent": mine })).await.expect(200);
        assert_eq!(names(&admin.get(USERS).await.expect(200).body, "username"), ["here", "lower", "beside"]);
        root.patch("/api/user/roles/mine-admin/", json!({ "branch": other })).await.expect(200);
        assert_eq!(names(&admin.get(USERS).await.expect(200).body, "username"), ["lower", "beside"]);
    }
}

/// A tree with users in it, and an administrator of one of its branches.
struct Forest {
    scene: Scene,
    root: Member,
    admin: Member,
    inside: BTreeSet<String>,
    outside: Vec<User>,
}

impl Forest {
    async fn new(scene: Scene, chance: &mut Chance) -> Self {
        let root = scene.member("root", "root-admin").await;
        let mut branches: Vec<(Uuid, Vec<Uuid>)> = Vec::new();
        for number in 0..7 {
            let parent = match chance.between(0, 3) {
                0 => None,
                _ if branches.is_empty() => None,
                _ => Some(branches[index(chance, branches.len())].clone()),
            };
            let id = scene.branch(&format!("branch {number}"), parent.as_ref().map(|(id, _)| *id)).await;
            let path = parent.map(|(_, path)| path).unwrap_or_default();
            branches.push((id, [path, vec![id]].concat()));
        }
        let (mine, _) = branches[index(chance, branches.len())].clone();
        let admin = scene.branch_admin("mine-admin", 50, &ADMIN, mine).await;
        let (mut inside, mut outside) = (BTreeSet::new(), Vec::new());
        for number in 0..24 {
            let at = index(chance, branches.len() + 1);
            let branch = branches.get(at);
            let role = ["client", "staff"][index(chance, 2)];
            // Some names share parts, so that searches find users on both sides.
            let name = format!("{}-{number}x", ["ada", "adam", "grace"][index(chance, 3)]);
            let user = scene.put(&name, role, branch.map(|(id, _)| *id)).await;
            match branch {
                Some((_, path)) if path.contains(&mine) => drop(inside.insert(user.id.to_string())),
                _ => outside.push(user),
            }
        }
        let (here, there) = (mine, branches.iter().find(|(_, path)| !path.contains(&mine)));
        let branches = [Some(here), there.map(|(id, _)| *id), None];
        for (number, branch) in branches.into_iter().enumerate() {
            let body = json!({ "email": format!("invited{number}@acme.test"), "branch": branch });
            root.post("/api/user/invitations/", body).await.expect(201);
        }
        Self { scene, root, admin, inside, outside }
    }

    /// Nothing in an answer names a user outside.
    fn names_nobody_outside(&self, asked: &str, body: &Value) {
        let text = body.to_string();
        for user in &self.outside {
            for secret in [user.id.to_string(), user.username.expose().to_owned()] {
                assert!(!text.contains(&secret), "{asked} names {secret}: {text}");
            }
        }
    }

    /// A part of a name, an id or a field of some user, inside or outside.
    fn query(&self, chance: &mut Chance) -> String {
        let user = &self.outside[index(chance, self.outside.len())];
        let name = user.username.expose();
        let filters = [
            String::new(),
            String::from("search=ada"),
            String::from("search=x"),
            format!("search={name}"),
            format!("username={name}"),
            format!("email={name}@acme.test"),
            String::from("role=staff"),
            String::from("role=mine-admin"),
            String::from("status=active"),
            String::from("branch=none"),
            format!("branch={}", user.branch().unwrap_or_default()),
            format!("branch_within={}", user.branch().unwrap_or_default()),
            format!("created_after={}", control::http::time::text(user.created_at)),
            String::from("email_verified=true"),
            String::from("mfa_enabled=false"),
        ];
        let orders = ["", "username", "-username", "email", "-created_at", "last_login", "id", "-id"];
        let (one, other) = (index(chance, filters.len()), index(chance, filters.len()));
        let order = orders[index(chance, orders.len())];
        let other = if filters[one].split('=').next() == filters[other].split('=').next() {
            ""
        } else {
            &filters[other]
        };
        format!("{}&{other}&ordering={order}&count=exact", filters[one])
    }
}

fn index(chance: &mut Chance, len: usize) -> usize {
    usize::try_from(chance.between(0, i64::try_from(len).unwrap() - 1)).unwrap()
}

/// For an administrator of a branch, every list is what a root-admin sees of the users within: results, order, count,
/// pages and cursors; and no answer names anybody else.
#[tokio::test]
async fn an_administrator_of_a_branch_lists_nobody_outside() {
    let mut chance = Chance::new();
    for round in 0..scaled(2, 12) {
        let scene = if round % 2 == 0 { Scene::new().await } else { Scene::shared().await };
        let forest = Forest::new(scene, &mut chance).await;
        for _ in 0..scaled(40, 300) {
            let query = forest.query(&mut chance);
            let all = forest.root.get(&format!("{USERS}?{query}&page_size=100")).await.expect(200).body;
            let mut expected = names(&all, "id");
            expected.retain(|id| forest.inside.contains(id));
            let seen = forest.admin.get(&format!("{USERS}?{query}&page_size=100")).await.expect(200).body;
            assert_eq!(names(&seen, "id"), expected, "{query}");
            assert_eq!(seen["count"], expected.len(), "{query}");
            forest.names_nobody_outside(&query, &seen["results"]);

            let mut walked = Vec::new();
            let mut next = Some(format!("{USERS}?{query}&page_size=3&cursor="));
            while let Some(path) = next {
                let page = forest.admin.get(&path).await.expect(200).body;
                walked.extend(names(&page, "id"));
                next = page["next"].as_str().map(|url| url[url.find("/api/").unwrap()..].to_owned());
            }
            assert_eq!(walked, expected, "{query} by cursors");
        }
        for path in [
            "/api/audit/?page_size=100",
            "/api/user/invitations/",
            "/api/audit/?page_size=100&action=user.created",
        ] {
            let page = forest.admin.get(path).await.expect(200).body;
            assert!(page["count"].as_i64().unwrap() > 0, "{path}");
            forest.names_nobody_outside(path, &page["results"]);
        }
        let invited = forest.admin.get("/api/user/invitations/").await.expect(200).body;
        assert_eq!(names(&invited, "email"), ["invited0@acme.test"]);
        // By whom it was done is not said of users outside, and cannot be asked for.
        let root = forest.root.id;
        assert_eq!(forest.admin.get(&format!("/api/audit/?actor={root}")).await.expect(200).body["count"], 0);
        let log = forest.admin.get("/api/audit/?action=user.created&page_size=100").await.expect(200).body;
        assert!(log["results"].as_array().unwrap().iter().all(|entry| entry.get("position").is_none()));
        assert_eq!(log["count"], forest.inside.len());
        let some = &forest.outside[0];
        assert_eq!(
            forest.admin.get(&format!("/api/audit/?target={}", some.id)).await.expect(200).body["count"],
            0
        );
    }
}

/// On every route, a user outside is answered as one who never was.
#[tokio::test]
async fn a_user_outside_the_branch_does_not_exist_on_any_route() {
    let mut chance = Chance::new();
    let forest = Forest::new(Scene::new().await, &mut chance).await;
    let nobody = Uuid::from_u128(0x0000_7000_8000_0000_0000_0000_0000);
    let bodies = [
        json!({ "first_name": "x" }),
        json!({ "username": "x", "status": "suspended", "roles": ["client"], "branch": null }),
        json!({ "password": PASSWORD }),
        json!({ "fields": ["email"], "reason": "because" }),
    ];
    let mut asked = 0;
    for route in ROUTES.iter().filter(|route| route.kind == RouteKind::Protected) {
        let of_user = route.path.starts_with("api/user/users/*") || route.path == "api/user/invitations/*";
        let by_body = route.path == "api/user/password/regenerate";
        if !of_user && !by_body {
            continue;
        }
        for method in route.allow.split(", ").filter(|method| !matches!(*method, "HEAD" | "OPTIONS")) {
            let method: Method = method.parse().unwrap();
            for outside in forest.outside.iter().take(scaled(3, 24)) {
                for body in &bodies {
                    let call = |id: String| {
                        let path = format!("/{}/", route.path.replace('*', &id));
                        let mut body = body.clone();
                        body["user"] = json!(id);
                        let body = (method != Method::GET).then_some(body);
                        let (admin, method) = (forest.admin.clone(), method.clone());
                        async move { admin.call(method, &path, body).await }
                    };
                    let (there, never) = (call(outside.id.to_string()).await, call(nobody.to_string()).await);
                    assert_eq!(there.status, never.status, "{method} {}", route.path);
                    assert!([400, 404].contains(&there.status), "{method} {}: {}", route.path, there.body);
                    let text = there.body.to_string().replace(&outside.id.to_string(), &nobody.to_string());
                    assert_eq!(text, never.body.to_string(), "{method} {}", route.path);
                    asked += 1;
                }
            }
        }
    }
    assert!(asked > 100, "{asked}");
    for outside in &forest.outside {
        assert_eq!(forest.scene.user(outside.id).await.updated_at, outside.updated_at);
    }
}

/// The ways to power over more users than one's own: to grant, to take over, to move users, to move branches.
#[tokio::test]
async fn nobody_reaches_further_by_roles_of_branches() {
    let scene = Scene::new().await;
    let top = scene.branch("Top", None).await;
    let mine = scene.branch("Mine", Some(top)).await;
    let below = scene.branch("Below", Some(mine)).await;
    for (name, branch) in [("top-reader", top), ("mine-reader", mine), ("below-reader", below)] {
        scene.branch_role(name, 20, &["users.read"], branch).await;
    }
    scene.branch_role("below-auditor", 20, &["audit.read"], below).await;
    let admin = scene.branch_admin("mine-admin", 50, &["users.read", "users.write"], mine).await;
    let ada = scene.put("ada", "client", Some(mine)).await;
    // Only a role within the branch, of permissions that the administrator has there.
    for (role, may) in [
        ("mine-reader", true),
        ("below-reader", true),
        ("top-reader", false),
        ("below-auditor", false),
        ("staff", false),
        ("client", true),
    ] {
        let answer = admin.patch(&user(ada.id), json!({ "roles": [role] })).await;
        assert_eq!(answer.status, if may { 200 } else { 403 }, "{role}: {}", answer.body);
        let body = json!({ "email": format!("{role}@acme.test"), "roles": [role], "branch": mine });
        let answer = admin.post("/api/user/invitations/", body).await;
        assert_eq!(answer.status, if may { 201 } else { 403 }, "{role}: {}", answer.body);
    }
    // A user of the branch with power elsewhere is not taken over.
    let strong = scene.put("strong", "staff", Some(mine)).await;
    admin.patch(&user(strong.id), json!({ "password": PASSWORD })).await.expect(403);
    admin.patch(&user(strong.id), json!({ "first_name": "Strong" })).await.expect(200);
    admin.patch(&user(ada.id), json!({ "password": PASSWORD })).await.expect(200);

    // Roles of a branch get power over who comes into it: only an administrator who has that power over them moves them.
    let other = scene.branch("Other", None).await;
    scene.branch_role("mine-log", 40, &["audit.read"], mine).await;
    scene.role("writer", 60, &["users.read", "users.write", "branches.write", "branches.read"]).await;
    let profile = Profile { username: "writer".into(), ..Profile::default() };
    let writer = scene.person(profile, &["writer", "mine-log"]).await;
    let writer = scene.acting_as(&writer).await;
    let grace = scene.put("grace", "client", Some(other)).await;
    writer.patch(&user(grace.id), json!({ "branch": mine })).await.expect(403);
    writer.patch(&of(other), json!({ "parent": mine })).await.expect(403);
    writer.patch(&user(grace.id), json!({ "branch": top })).await.expect(200);
    writer.patch(&of(other), json!({ "parent": top })).await.expect(200);
    // Out of their reach, and within it, they may.
    writer.patch(&user(ada.id), json!({ "branch": below })).await.expect(200);
    writer.patch(&user(ada.id), json!({ "branch": top })).await.expect(200);

    // A role of a branch is edited within what the editor has.
    scene.role("definer", 70, &["roles.write", "roles.read", "users.read"]).await;
    let profile = Profile { username: "definer".into(), ..Profile::default() };
    let definer = scene.person(profile, &["definer", "mine-log"]).await;
    let definer = scene.acting_as(&definer).await;
    let path = |name: &str| format!("/api/user/roles/{name}/");
    definer.patch(&path("below-auditor"), json!({ "branch": mine })).await.expect(200);
    definer.patch(&path("below-auditor"), json!({ "branch": top })).await.expect(403);
    definer.patch(&path("below-auditor"), json!({ "branch": null })).await.expect(403);
    definer.patch(&path("top-reader"), json!({ "branch": null })).await.expect(200);
    definer
        .patch(&path("mine-reader"), json!({ "permissions": ["audit.read", "users.read"] }))
        .await
        .expect(200);
    definer.patch(&path("top-reader"), json!({ "permissions": ["audit.read"] })).await.expect(403);
    let new = |name: &str, permission: &str, branch: Value| json!({ "name": name, "rank": 10, "permissions": [permission], "branch": branch });
    definer.post("/api/user/roles/", new("a", "audit.read", json!(below))).await.expect(201);
    definer.post("/api/user/roles/", new("b", "audit.read", json!(top))).await.expect(403);
    definer.post("/api/user/roles/", new("c", "audit.read", json!(null))).await.expect(403);
    let root = scene.member("root", "root-admin").await;
    let refused = root.post("/api/user/roles/", new("d", "keys.read", json!(top))).await.expect(400);
    assert_eq!(refused.body, json!({ "permissions": ["\"keys.read\" cannot be limited to a branch."] }));
    let refused = root.post("/api/user/roles/", new("d", "users.read", json!(Uuid::nil()))).await.expect(400);
    assert!(refused.body["branch"][0].as_str().unwrap().starts_with("Invalid pk"), "{}", refused.body);
}

/// The rank of a role of a branch counts in the branch and below it, and so does what the role is shown.
#[tokio::test]
async fn the_rank_and_the_view_of_a_role_of_a_branch_end_with_the_branch() {
    let scene = Scene::new().await;
    let mine = scene.branch("Mine", None).await;
    let other = scene.branch("Other", None).await;
    scene.role("help-desk", 30, &["users.read", "users.write", "roles.write", "branches.write"]).await;
    scene.branch_role("mine-chief", 60, &["users.read", "users.write"], mine).await;
    scene
        .sets(|settings| {
            let rules = ["mine-chief.username=clear", "mine-chief.email=clear"];
            settings.visibility.extend(rules.map(|rule| Rule::parse(rule).unwrap()));
        })
        .await;
    let profile = Profile { username: "hank".into(), ..Profile::default() };
    let hank = scene.person(profile, &["help-desk", "mine-chief"]).await;
    let hank = scene.acting_as(&hank).await;
    let (inside, outside) =
        (scene.put("inside", "staff", Some(mine)).await, scene.put("outside", "staff", Some(other)).await);
    let suspend = json!({ "status": "suspended" });
    hank.patch(&user(outside.id), suspend.clone()).await.expect(403);
    hank.patch(&user(inside.id), suspend).await.expect(200);
    hank.patch("/api/user/roles/client/", json!({ "title": "x" })).await.expect(409);
    scene.role("forty", 40, &[]).await;
    hank.patch("/api/user/roles/forty/", json!({ "title": "x" })).await.expect(403);
    // Over all users `help-desk` counts alone, and it is shown nothing.
    for query in ["search=outside", "email=outside@acme.test", "username=inside", "ordering=email"] {
        hank.get(&format!("{USERS}?{query}")).await.expect(400);
    }
    assert_eq!(hank.get(&user(inside.id)).await.expect(200).body.get("email"), None);

    // With the roles of one branch alone, what they show of it is seen.
    let chief = scene.member("chief", "mine-chief").await;
    let seen = chief.get(&user(inside.id)).await.expect(200).body;
    assert_eq!(seen["email"], "inside@acme.test");

    // A move takes roles away and gives them: each must be below the mover's rank.
    scene.branch_role("other-chief", 40, &["users.read"], other).await;
    let ada = scene.put("ada", "client", Some(other)).await;
    hank.patch(&user(ada.id), json!({ "branch": null })).await.expect(403);
    hank.patch(&of(other), json!({ "parent": mine })).await.expect(403);
    scene.branch_role("other-reader", 20, &["users.read"], scene.branch("Third", None).await).await;
    hank.patch(&of(other), json!({ "name": "Others" })).await.expect(200);
}

/// An invitation into a branch holds while its inviter may invite there and the branch takes users.
#[tokio::test]
async fn an_invitation_puts_into_its_branch() {
    let scene = Scene::new().await;
    let mine = scene.branch("Mine", None).await;
    let other = scene.branch("Other", None).await;
    let admin = scene.branch_admin("mine-admin", 50, &["users.read", "users.write"], mine).await;
    let body = |branch: Value| json!({ "email": "grace@acme.test", "branch": branch });
    admin.post("/api/user/invitations/", body(json!(null))).await.expect(400);
    admin.post("/api/user/invitations/", body(json!(other))).await.expect(400);
    let made = admin.post("/api/user/invitations/", body(json!(mine))).await.expect(201);
    assert_eq!((&made.body["branch"], &made.body["invited_by"]), (&json!(mine), &json!(admin.id)));
    let root = scene.member("root", "root-admin").await;
    let theirs = root.post("/api/user/invitations/", body(json!(other))).await.expect(201);
    admin
        .delete(&format!("/api/user/invitations/{}/", theirs.body["id"].as_str().unwrap()))
        .await
        .expect(404);
    admin.delete(&format!("/api/user/invitations/{}/", made.body["id"].as_str().unwrap())).await.expect(204);
}

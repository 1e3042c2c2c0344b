//! Visibility of personal fields: no response shows a hidden field, and no filter reveals it.

use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use control::audit::{self, Actor, Fact};
use control::profiles;
use control::settings::List;
use control::tenants::{self, Edit, Isolation};
use control::users::visibility::FieldVisibilities;
use control::users::{Profile, User, store};
use reqwest::Method;
use serde_json::{Value, json};
use shared::tenant::settings::Settings;
use shared::tenant::visibility::{PersonalField, Rule, Visibility};

use crate::scale::Chance;
use crate::scale::scaled;
use crate::scene::{Answer, Member, Scene, serve};

const USERS: &str = "/api/user/users/";

/// Rules as they are written.
pub fn rules(texts: &[&str]) -> Vec<Rule> {
    texts.iter().map(|text| Rule::parse(text).unwrap()).collect()
}

impl Scene {
    /// The tenant's rules, as the command line sets them.
    pub async fn choose(&self, rules: Vec<Rule>) {
        let mut tx = self.control.db.tenant_tx(self.tenant.id).await.unwrap();
        let before = tenants::find(&mut tx, self.tenant.id).await.unwrap().settings;
        let edit = Edit { settings: Some(Settings { visibility: rules, ..before }), ..Edit::default() };
        tenants::edit(&self.control, &mut tx, &Actor::operator(), self.tenant.id, edit).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// The same scene under a platform with these bounds.
    pub async fn within(&self, bounds: Vec<Rule>) -> Self {
        let mut settings = self.control.settings.clone();
        settings.visibility.clearest = List(bounds);
        let control = control::control::new(settings).unwrap();
        let api = serve(&control).await;
        let (database, edge, tenant) = (self.database.clone(), self.edge.clone(), self.tenant.clone());
        Self { database, control, edge, tenant, api }
    }

    /// Makes a role that is not predefined.
    async fn custom_role(&self, name: &str) {
        let mut tx = self.control.db.tenant_tx(self.tenant.id).await.unwrap();
        sqlx::query(
            "insert into roles (tenant_id, name, rank, predefined, created_at, updated_at)
            values ($1, $2, 30, false, now(), now())",
        )
        .bind(self.tenant.id.uuid())
        .bind(name)
        .execute(&mut *tx)
        .await
        .unwrap();
        tx.commit().await.unwrap();
    }
}

/// Letters that nothing else in an answer has.
fn marker(chance: &mut Chance) -> String {
    let letter = |chance: &mut Chance| char::from(b'a' + u8::try_from(chance.between(0, 25)).unwrap());
    let letters: String = (0..9).map(|_| letter(chance)).collect();
    format!("q{letters}")
}

fn digits(chance: &mut Chance, count: usize) -> String {
    (0..count).map(|_| chance.between(1, 9).to_string()).collect()
}

/// An address that no other user of this run has: the log is asked for it, and has one entry.
fn fresh_address() -> String {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    // Three digits each, so that no shorter text is found in it.
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    format!("203.0.{}.{}", 100 + number / 156 % 156, 100 + number % 156)
}

/// A profile with user names of every kind and values of every length.
fn profile(chance: &mut Chance) -> Profile {
    let (local, domain, phone) = (marker(chance), marker(chance), format!("+4477{}", digits(chance, 8)));
    let email = format!("{local}@{domain}.example");
    let username = match chance.between(0, 3) {
        0 => email.clone(),
        1 => phone.clone(),
        _ => marker(chance),
    };
    let mut name = || if chance.between(0, 3) == 0 { String::from("Al") } else { marker(chance) };
    Profile {
        username,
        email: Some(email),
        first_name: name(),
        last_name: name(),
        phone,
        ..Profile::default()
    }
}

/// A user with the values that responses may hold.
struct Person {
    user: User,
    values: Vec<(PersonalField, String)>,
}

impl Person {
    async fn join(scene: &Scene, chance: &mut Chance, roles: &[&str]) -> Self {
        let user = scene.person(profile(chance), roles).await;
        let legacy_id = digits(chance, 12);
        let at = scene.control.clock.now() - chrono::TimeDelta::minutes(chance.between(2_000, 900_000));
        let client = fresh_address();
        let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
        let tenant = scene.tenant.id.uuid();
        sqlx::query("update users set legacy_id = $3 where tenant_id = $1 and id = $2")
            .bind(tenant)
            .bind(user.id.uuid())
            .bind(&legacy_id)
            .execute(&mut *tx)
            .await
            .unwrap();
        store::signed_in(&mut tx, user.id, at).await.unwrap();
        let fact = Fact {
            event_id: uuid::Uuid::from_bytes(control::world::random().unwrap()),
            // To callers that may read the log it reveals when users signed in, although `last_login` may be hidden
            // elsewhere.
            at: scene.control.clock.now(),
            action: "edge.signed_in".into(),
            user: Some(user.id),
            network: Some(client.clone()),
            details: json!({}),
        };
        audit::record_fact(&mut tx, fact);
        tx.commit().await.unwrap();
        use PersonalField as P;
        let mut values = vec![
            (P::Username, user.username.expose().to_owned()),
            (P::Email, user.email.as_ref().unwrap().expose().to_owned()),
            (P::FirstName, user.first_name.expose().to_owned()),
            (P::LastName, user.last_name.expose().to_owned()),
            (P::Phone, user.phone.expose().to_owned()),
            (P::LegacyId, legacy_id),
            (P::LastLogin, at.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()),
            (P::Client, client),
            (P::Profile, skill(scene, &user, chance).await),
        ];
        // Too short to be distinguished from other text.
        values.retain(|(_, value)| value.len() > 5);
        Self { user, values }
    }

    fn value(&self, field: PersonalField) -> Option<&str> {
        self.values.iter().find(|(known, _)| *known == field).map(|(_, value)| value.as_str())
    }

    /// The values that these visibilities hide. A value that is hidden in one field and shown in another counts as shown.
    fn hidden(&self, visibilities: FieldVisibilities) -> Vec<&str> {
        // A user name that is the address or the number shows no more than that field.
        let repeated = |value: &str| {
            let same = |field: &PersonalField| self.value(*field) == Some(value);
            let field = [PersonalField::Email, PersonalField::Phone].into_iter().find(same);
            field.map_or(Visibility::Clear, |field| visibilities.of(field))
        };
        let visibility = |field: PersonalField, value: &str| match field {
            PersonalField::Username => visibilities.of(field).min(repeated(value)),
            _ => visibilities.of(field),
        };
        let shows = |value: &str| {
            self.values
                .iter()
                .any(|(field, other)| other == value && visibility(*field, other) == Visibility::Clear)
        };
        self.values.iter().map(|(_, value)| value.as_str()).filter(|value| !shows(value)).collect()
    }
}

/// Gives a user an entry in the profile, with a name that nothing else in an answer has.
async fn skill(scene: &Scene, user: &User, chance: &mut Chance) -> String {
    let name = marker(chance);
    let own = scene.acting_as(user).await;
    own.post("/api/user/profile/skills/", json!({ "name": name })).await.expect(201);
    name
}

/// A caller, as one of the people.
struct Caller {
    own: usize,
    roles: Vec<&'static str>,
    member: Member,
}

/// A tenant with many users, some of which are callers.
struct Crowd {
    scene: Scene,
    people: Vec<Person>,
    callers: Vec<Caller>,
}

const CALLERS: [&[&str]; 6] =
    [&["root-admin"], &["co-admin"], &["staff"], &["client"], &["auditor", "staff"], &["auditor"]];

impl Crowd {
    async fn gather(scene: Scene, chance: &mut Chance) -> Self {
        scene.custom_role("auditor").await;
        let (mut people, mut callers) = (Vec::new(), Vec::new());
        for roles in CALLERS {
            let person = Person::join(&scene, chance, roles).await;
            let member = scene.acting_as(&scene.user(person.user.id).await).await;
            callers.push(Caller { own: people.len(), roles: roles.to_vec(), member });
            people.push(person);
        }
        for _ in 0..4 {
            people.push(Person::join(&scene, chance, &["client"]).await);
        }
        // A reason with personal data that others may not see.
        let of = &people[7];
        let reason = format!(
            "call {} {}",
            of.value(PersonalField::Phone).unwrap(),
            of.value(PersonalField::Email).unwrap()
        );
        let body = json!({"fields": ["phone"], "reason": reason});
        let asker = scene.member(&marker(chance), "root-admin").await;
        asker.post(&format!("{USERS}{}/unmask/", people[6].user.id), body).await.expect(200);
        Self { scene, people, callers }
    }

    /// Everything that a caller can ask, and what is answered.
    async fn look(&self, at: &Scene, caller: &Caller, visibilities: FieldVisibilities, chance: &mut Chance) {
        let seen = Look {
            crowd: self,
            caller: &caller.member.at(at),
            own: caller.own,
            visibilities,
            roles: &caller.roles,
        };
        let of = &self.people[usize::try_from(chance.between(6, 9)).unwrap()];
        for path in ["/api/user/me/", "/api/user/roles/", "/api/user/permissions/", "/api/audit/verify/"] {
            seen.get(path).await;
        }
        for query in ["", "?page=last&page_size=3", "?cursor=&page_size=3", "?ordering=-id", "?status=active"]
        {
            let answer = seen.get(&format!("{USERS}{query}")).await;
            if let Some(next) = answer.body["next"].as_str() {
                seen.get(&next[next.find("/api/").unwrap()..]).await;
            }
        }
        seen.get("/api/audit/?page_size=100").await;
        seen.get("/api/audit/export/").await;
        for person in &self.people {
            let path = format!("{USERS}{}/", person.user.id);
            seen.profile(person, &path).await;
            let answer = seen.get(&path).await;
            if answer.status == 200 {
                let etag = [("if-none-match", answer.header("etag"))];
                assert_eq!(seen.caller.with(Method::GET, &path, &etag, None).await.status, 304);
                // The response is sent back completely, and no field becomes its mask.
                seen.ask(Method::PATCH, &path, Some(answer.body.clone())).await;
                seen.ask(Method::PUT, &path, Some(answer.body)).await;
                let now = self.scene.user(person.user.id).await;
                assert!(
                    now.username == person.user.username && now.email == person.user.email,
                    "{:?}",
                    seen.roles
                );
                assert!(now.first_name == person.user.first_name && now.last_name == person.user.last_name);
                assert!(now.phone == person.user.phone);
            }
        }
        seen.questions(of).await;
        // A taken name is refused without revealing whose it is, and a new user is shown like others.
        let taken =
            json!({"username": of.value(PersonalField::Username), "email": of.value(PersonalField::Email)});
        seen.ask(Method::POST, USERS, Some(taken)).await;
    }
}

/// One caller under one policy.
struct Look<'a> {
    crowd: &'a Crowd,
    caller: &'a Member,
    own: usize,
    visibilities: FieldVisibilities,
    roles: &'a [&'static str],
}

impl Look<'_> {
    async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, None).await
    }

    /// Asks, and looks for what must not be in the answer, head and body.
    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let answer = self.caller.call(method.clone(), path, body).await;
        assert!(answer.status < 500, "{method} {path}: {}", answer.text);
        let text = format!("{:?}\n{}\n{}", answer.headers, answer.text, hashed(&answer.text));
        for (at, person) in self.crowd.people.iter().enumerate().filter(|(at, _)| *at != self.own) {
            for value in person.hidden(self.visibilities) {
                assert!(
                    !text.contains(value),
                    "{method} {path} shows {value} of person {at} to {:?}, {:?}: {text}",
                    self.roles,
                    self.visibilities
                );
            }
        }
        answer
    }

    /// Asks for the profile and each part of it, and writes to it.
    async fn profile(&self, person: &Person, path: &str) {
        let path = format!("{path}profile/");
        let profile = self.get(&path).await;
        if profile.status == 403 {
            return;
        }
        self.ask(Method::PATCH, &path, Some(json!({ "phone": profile.body["phone"] }))).await;
        let mut tx = self.crowd.scene.tx().await;
        let skills = profiles::section(&mut tx, person.user.id, profiles::Section::Skills).await.unwrap();
        drop(tx);
        let entry = format!("{path}skills/{}/", skills[0].id);
        let seen = self.get(&entry).await;
        let is_own = self.crowd.people[self.own].user.id == person.user.id;
        let shown = is_own || self.visibilities.of(PersonalField::Profile) == Visibility::Clear;
        assert_eq!(seen.status, if shown { 200 } else { 403 }, "{entry} {:?}", self.roles);
        assert_eq!(profile.body.get("skills").is_some(), shown, "{path} {:?}", self.roles);
        self.get(&format!("{path}skills/")).await;
        self.ask(Method::PATCH, &entry, Some(json!({ "years": 3 }))).await;
        self.ask(Method::POST, &format!("{path}skills/"), Some(json!({ "name": "" }))).await;
    }

    /// Asks by each field, for a value that is there and for one that is not. By a hidden field the answers are one.
    async fn questions(&self, of: &Person) {
        use PersonalField as P;
        let value = |field| of.value(field).unwrap_or("q").to_owned();
        let sure =
            |fields: &[P]| fields.iter().all(|field| self.visibilities.of(*field) == Visibility::Clear);
        let searched = [P::Username, P::Email, P::FirstName, P::LastName, P::Phone];
        let shown_username = self.visibilities.of_username(&value(P::Username)) == Visibility::Clear;
        for (list, parameter, hit, may) in [
            (USERS, "username", value(P::Username), shown_username),
            (USERS, "email", value(P::Email), sure(&[P::Email])),
            (USERS, "legacy_id", value(P::LegacyId), sure(&[P::LegacyId])),
            (USERS, "search", value(P::Email), sure(&searched)),
            ("/api/audit/", "client", value(P::Client), sure(&[P::Client])),
        ] {
            let path = |text: &str| {
                let text = text.replace('@', "%40").replace('+', "%2B");
                format!("{list}?{parameter}={text}")
            };
            let found = self.get(&path(&hit)).await;
            if found.status == 403 {
                continue;
            }
            // As long, and of the same form.
            let miss: String = hit.chars().map(|c| if c.is_ascii_digit() { '1' } else { c }).collect();
            let miss = miss.replace('q', "x");
            let missed = self.get(&path(&miss)).await;
            if may {
                assert_eq!(
                    (found.status, &found.body["count"]),
                    (200, &json!(1)),
                    "{parameter} {:?}",
                    self.roles
                );
                assert_eq!((missed.status, &missed.body["count"]), (200, &json!(0)), "{parameter}");
            } else {
                assert_eq!((found.status, found.text), (400, missed.text), "{parameter} {:?}", self.roles);
                assert_eq!(missed.status, 400);
            }
        }
        for (ordering, may) in [
            ("username", sure(&[P::Username, P::Email, P::Phone])),
            ("-email", sure(&[P::Email])),
            ("created_at,last_login", sure(&[P::LastLogin])),
            ("id", true),
        ] {
            let answer = self.get(&format!("{USERS}?ordering={ordering}")).await;
            let expected = if may { 200 } else { 400 };
            assert!([expected, 403].contains(&answer.status), "{ordering} {:?}: {}", self.roles, answer.text);
        }
    }
}

/// The hashed form of the entries of an export, decoded from base64url.
fn hashed(export: &str) -> String {
    let lines = export.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let forms = lines.filter_map(|line| URL_SAFE_NO_PAD.decode(line["hashed"].as_str()?).ok());
    forms.map(|form| String::from_utf8_lossy(&form).into_owned()).collect()
}

/// Some rules, each field of a role once.
fn some_rules(chance: &mut Chance) -> Vec<Rule> {
    let mut rules = Vec::new();
    for role in ["*", "root-admin", "co-admin", "staff", "client", "auditor"] {
        for field in PersonalField::ALL {
            if chance.between(0, 2) == 0 {
                let visibility = Visibility::ALL[usize::try_from(chance.between(0, 2)).unwrap()];
                rules.push(Rule { role: role.into(), field, visibility });
            }
        }
    }
    rules
}

#[tokio::test]
async fn no_exit_shows_what_the_policy_hides() {
    let mut chance = Chance::new();
    for isolation in [Isolation::Schema, Isolation::Shared] {
        let scene = match isolation {
            Isolation::Schema => Scene::new().await,
            Isolation::Shared => Scene::shared().await,
        };
        let crowd = Crowd::gather(scene, &mut chance).await;
        for round in 0..scaled(2, 40) {
            // First as it is by default.
            let chosen = if round == 0 { vec![] } else { some_rules(&mut chance) };
            let bounds = if round % 2 == 0 { vec![] } else { some_rules(&mut chance) };
            crowd.scene.choose(chosen.clone()).await;
            let within = crowd.scene.within(bounds.clone()).await;
            for caller in &crowd.callers {
                let roles: Vec<_> = caller.roles.iter().map(|role| (*role).to_owned()).collect();
                let visibilities = FieldVisibilities::of_roles(&roles, &chosen, &bounds);
                crowd.look(&within, caller, visibilities, &mut chance).await;
            }
            within.control.db.close().await;
        }
    }
}

#[tokio::test]
async fn ones_own_account_is_shown_whole_and_others_as_the_role_says() {
    for scene in [Scene::new().await, Scene::shared().await] {
        let profile = |name: &str| Profile {
            username: name.into(),
            email: Some(format!("{name}@acme.test")),
            first_name: "Grace".into(),
            last_name: "Hopper".into(),
            phone: "+1 555 010 0199".into(),
            language: "de".into(),
        };
        let bob = scene.person(profile("robert"), &["client"]).await;
        let sue = scene.person(profile("susan"), &["staff"]).await;
        let (bob, sue) = (scene.acting_as(&bob).await, scene.acting_as(&sue).await);
        for own in [&bob, &sue] {
            let me = own.get("/api/user/me/").await.expect(200).body;
            assert_eq!((&me["phone"], me.get("masked")), (&json!("+1 555 010 0199"), None));
        }
        let list = sue.get(USERS).await.expect(200).body;
        let row = |name: &str| {
            let mut rows = list["results"].as_array().unwrap().iter();
            rows.find(|row| row["username"] == name).unwrap().clone()
        };
        assert_eq!((&row("susan")["email"], row("susan").get("masked")), (&json!("susan@acme.test"), None));
        let other = row("robert");
        assert_eq!(
            (&other["email"], &other["phone"], &other["first_name"], &other["masked"]),
            (&json!("r***@acme.test"), &json!("+1 *** 99"), &json!("Grace"), &json!(["email", "phone"]))
        );
        assert_eq!(sue.get(&format!("{USERS}{}/", bob.id)).await.expect(200).body, other);
        scene.choose(rules(&["staff.email=absent"])).await;
        let other = sue.get(&format!("{USERS}{}/", bob.id)).await.expect(200).body;
        assert_eq!((other.get("email"), &other["masked"]), (None, &json!(["phone"])));
    }
}

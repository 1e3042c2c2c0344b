//! Second factors, as users and administrators meet them: what the tests of them have in common, and the recent proof
//! that every change asks for.

use control::tenants::{self, Edit};
use control::users;
use reqwest::Method;
use serde_json::{Value, json};
use shared::contract::limits::STEP_UP_SECS;
use shared::epochs;
use shared::ids::{AuthenticatorId, SessionId, UserId};
use shared::second_factor::totp::{STEP_SECS, Seed, code_at};
use shared::tenant::settings::Settings;
use shared::tokens::claims::AccessClaims;
use shared::wire::push::UserRow;
use shared::wire::seal::{Context, EdgeKey, Kind, Sealed};

use crate::forward::with_ticket;
use crate::scene::{Answer, Member, Scene, key};

pub const MFA: &str = "/api/user/mfa/";
pub const TOTP: &str = "/api/user/mfa/totp/";
pub const CONFIRM: &str = "/api/user/mfa/totp/confirm/";
pub const CODES: &str = "/api/user/mfa/recovery-codes/";

/// The session of tokens that these tests make.
pub fn session() -> SessionId {
    SessionId::new(0, [7; 16])
}

/// A user with an authenticator.
pub struct Enrolled {
    /// With a token of now, whose session has shown the second factor.
    pub member: Member,
    pub id: AuthenticatorId,
    pub seed: Seed,
    pub codes: Vec<String>,
}

impl Scene {
    /// The seed that an enrolment is answered with.
    pub fn seed_of(&self, begun: &Answer) -> Seed {
        let secret = begun.body["secret"].as_str().unwrap();
        Seed::from_slice(totp_rs::Secret::try_from_base32(secret).unwrap().as_ref()).unwrap()
    }

    pub fn step(&self) -> i64 {
        self.control.clock.now().timestamp() / i64::try_from(STEP_SECS).unwrap()
    }

    /// The code of a seed now.
    pub fn code(&self, seed: &Seed) -> String {
        code_at(seed, u64::try_from(self.step()).unwrap()).unwrap()
    }

    /// A code that is valid neither now nor in the adjacent steps.
    pub fn wrong_code(&self, seed: &Seed) -> String {
        let steps = u64::try_from(self.step()).unwrap() - 2..=u64::try_from(self.step()).unwrap() + 2;
        let good: Vec<String> = steps.map(|step| code_at(seed, step).unwrap()).collect();
        let mut codes = (0..).map(|number| format!("{number:06}"));
        codes.find(|code| !good.contains(code)).unwrap()
    }

    /// A caller with a token of now that says this of its session.
    pub async fn proven(&self, user: UserId, amr: &[&str], age_secs: i64) -> Member {
        let user = self.user(user).await;
        let mut tx = self.tx().await;
        let floor = epochs::floor(tx.history().await.unwrap());
        drop(tx);
        let claims = self.claims(user.id, floor + user.access_epoch);
        let claims = AccessClaims {
            amr: amr.iter().map(|method| (*method).to_owned()).collect(),
            auth_time: claims.iat - age_secs,
            ..claims
        };
        let mut member = self.acting_as(&user).await;
        member.token = self.sign(&claims).await;
        member
    }

    /// A caller whose session has shown a second factor just now.
    pub async fn with_mfa(&self, user: UserId) -> Member {
        self.proven(user, &["pwd", "otp", "mfa"], 0).await
    }

    /// Enrols an authenticator by the API.
    pub async fn enrols(&self, member: &Member) -> Enrolled {
        let begun = member.post(TOTP, json!({"name": "Phone"})).await.expect(201);
        let (seed, id) = (self.seed_of(&begun), begun.body["id"].as_str().unwrap());
        let confirmed = member.post(CONFIRM, json!({"id": id, "otp": self.code(&seed)})).await.expect(200);
        let codes = confirmed.body["recovery_codes"].as_array().into_iter().flatten();
        let codes = codes.map(|code| code.as_str().unwrap().to_owned()).collect();
        let id = AuthenticatorId::parse(id).unwrap();
        Enrolled { member: self.with_mfa(member.id).await, id, seed, codes }
    }

    /// A user of a role who has an address and an authenticator.
    pub async fn enrolled(&self, name: &str, role: &str) -> Enrolled {
        let user = self.addressed(name, role).await;
        self.enrols(&self.acting_as(&user).await).await
    }

    /// The ticket that the edge issues after a sign-in now that needs an enrolment.
    pub async fn enrolment_ticket(&self, user: UserId) -> String {
        let mut tx = self.tx().await;
        let floor = epochs::floor(tx.history().await.unwrap());
        let user = users::find(&mut tx, user).await.unwrap();
        let (password, access) = (user.password_epoch, floor + user.access_epoch);
        let user = user.id;
        format!("purpose=mfa_enrollment; user={user}; password_epoch={password}; access_epoch={access}")
    }

    /// The row as the edge has it.
    pub async fn row_at_edge(&self, user: UserId) -> UserRow {
        self.push().await;
        self.edge.user(self.tenant.id, user).unwrap()
    }

    /// Opens what is sealed to the edge.
    pub fn unsealed(&self, kind: Kind, subject: &str, sealed: &str) -> Vec<u8> {
        let keys = [EdgeKey::parse(&key("a", 1)).unwrap()];
        let context = Context { edge: "edge-test", tenant: self.tenant.id, kind, subject };
        Sealed::parse(sealed).unwrap().open(&keys, &context).unwrap().to_vec()
    }

    /// Access, session and password epoch.
    pub async fn epoch_counts(&self, user: UserId) -> (i64, i64, i64) {
        let user = self.user(user).await;
        (user.access_epoch, user.session_epoch, user.password_epoch)
    }

    /// Changes settings as an operator does, with a reason.
    pub async fn sets(&self, change: impl FnOnce(&mut Settings)) {
        let mut tx = self.tx().await;
        let mut settings = tenants::find(&mut tx, self.tenant.id).await.unwrap().settings;
        change(&mut settings);
        let reason = Some(String::from("for a test"));
        let edit = Edit { settings: Some(settings), reason, ..Edit::default() };
        let operator = control::audit::Actor::operator();
        tenants::edit(&self.control, &mut tx, &operator, self.tenant.id, edit).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Demands a second factor of these roles.
    pub async fn demands(&self, roles: &[&str]) {
        let roles = roles.iter().map(|role| (*role).to_owned()).collect();
        self.sets(|settings| settings.second_factor_roles = roles).await;
    }
}

/// Every change of the own second factor that a session can ask for.
async fn changes(caller: &Member, id: AuthenticatorId) -> Vec<Answer> {
    let one = format!("{TOTP}{id}/");
    let calls = [
        (Method::POST, TOTP, json!({})),
        (Method::POST, CONFIRM, json!({"id": id, "otp": "123456"})),
        (Method::PATCH, one.as_str(), json!({"name": "x"})),
        (Method::DELETE, one.as_str(), Value::Null),
        (Method::DELETE, TOTP, Value::Null),
        (Method::POST, CODES, json!({})),
    ];
    let mut answers = Vec::new();
    for (method, path, body) in calls {
        answers.push(caller.call(method, path, Some(body).filter(|body| !body.is_null())).await);
    }
    answers
}

#[tokio::test]
async fn every_change_asks_for_a_recent_proof_with_a_second_factor_where_there_is_one() {
    let scene = Scene::new().await;
    let ada = scene.enrolled("ada", "client").await;
    let before = scene.epoch_counts(ada.member.id).await;
    for (amr, age) in [(&["pwd"][..], 0), (&["pwd", "otp", "mfa"], STEP_UP_SECS + 1)] {
        let caller = scene.proven(ada.member.id, amr, age).await;
        for refused in changes(&caller, ada.id).await {
            let refused = refused.expect(403);
            assert_eq!(
                refused.body,
                json!({
                    "detail": "A recent step-up is required.", "code": "step_up_required",
                    "methods": ["totp", "recovery_code"], "max_age": STEP_UP_SECS,
                })
            );
        }
    }
    assert_eq!(scene.epoch_counts(ada.member.id).await, before);
    let bob = scene.member("bob", "client").await;
    let old = scene.proven(bob.id, &["pwd"], STEP_UP_SECS + 1).await;
    for refused in changes(&old, ada.id).await {
        assert_eq!(refused.expect(403).body["methods"], json!(["password"]));
    }
    old.get(MFA).await.expect(200);
    scene.proven(bob.id, &["pwd"], STEP_UP_SECS - 60).await.post(TOTP, json!({})).await.expect(201);
}

#[tokio::test]
async fn a_ticket_of_another_purpose_opens_nothing_here() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "client").await;
    let ticket = scene.enrolment_ticket(ada.id).await.replace("mfa_enrollment", "password_change");
    for path in [TOTP, CONFIRM] {
        with_ticket(&scene, path, &ticket, "{}").await.expect(401);
    }
    let ticket = scene.enrolment_ticket(ada.id).await;
    with_ticket(&scene, "/api/user/password/change/", &ticket, "{}").await.expect(401);
    for path in [MFA, TOTP, CONFIRM, CODES] {
        scene.anonymous(Method::POST, path, Some(json!({}))).await.expect(401);
    }
}

#[tokio::test]
async fn users_with_an_authenticator_are_told_apart() {
    let scene = Scene::new().await;
    let root = scene.member("root", "root-admin").await;
    let ada = scene.enrolled("ada", "client").await;
    let waiting = scene.member("bob", "client").await;
    waiting.post(TOTP, json!({})).await.expect(201);
    let shown = root.get(&format!("/api/user/users/{}/", ada.member.id)).await.expect(200);
    assert_eq!(shown.body["mfa_enabled"], true);
    assert_eq!(waiting.get("/api/user/me/").await.expect(200).body["mfa_enabled"], false);
    for (filter, expected) in [("true", vec!["ada"]), ("false", vec!["root", "bob"])] {
        let listed = root.get(&format!("/api/user/users/?mfa_enabled={filter}")).await.expect(200).body;
        let names: Vec<_> = listed["results"].as_array().unwrap().iter().map(|it| &it["username"]).collect();
        assert_eq!(names, expected, "{filter}");
    }
}

//! Compatibility of releases: `vectors/releases` has the messages of each release, and this release must read all of
//! them, also with unknown additions.
//!
//! `next` has the messages of the present code; a release renames that folder to its number. To renew it after a
//! change: `WARDGATE_WRITE_VECTORS=1 cargo test -p wardgate-shared releases`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::epochs;
use crate::ids::{AuthenticatorId, EventId, HostName, SessionId, TenantId, UserId};
use crate::tenant::captcha::{self, Captcha, CaptchaPolicy};
use crate::tenant::networks::Network;
use crate::tenant::role_timeout::RoleTimeout;
use crate::tenant::{Foreign, Root, SessionRoot, Status, Tenant, tests};
use crate::tokens::claims::{FormerClaims, UserIdForm};
use crate::tokens::legacy::{Legacy, Marker};
use crate::user::UserStatus;
use crate::wire::client::ClientInfo;
use crate::wire::facts::{Acknowledge, DrainIn, DrainOut, Fact, FactKind};
use crate::wire::needs::{
    CAPTCHA, FORMER_LOOKUP_ROOT, NETWORKS, Needs, PASSWORD_DUE, PASSWORD_MAX_AGE, ROLE_TIMEOUTS,
    SECOND_FACTOR, SECOND_FACTOR_POLICY,
};
use crate::wire::password::{PasswordIn, PasswordOut};
use crate::wire::push::{
    AuthenticatorRow, Command, Complete, ConfirmNetworkOut, DeviceOut, DevicesOut, DocumentRow,
    EndSessionOut, ForgottenOut, IdentifierRow, KeptSession, LiftAttemptsOut, Mark, NameRow, PasswordDue,
    Push, Pushed, RecoveryCodeRow, RecoveryRow, RestoredOut, SessionOut, SessionsOut, Snapshot, SnapshotStep,
    StatusOut, TenantMark, UserRow,
};
use crate::wire::verbatim::Verbatim;

/// The folder of the present code's messages.
const NEXT: &str = "next";
/// Messages with fields that no release before writes.
const ADDED: [&str; 9] = [
    "push-captcha",
    "push-networks",
    "push-ended-session",
    "push-role-timeouts",
    "push-former-claims",
    "push-session-roots",
    "push-former-lookup-root",
    "push-password-due",
    "push-second-factor",
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/releases")
}

fn tenant_id() -> TenantId {
    TenantId::new(1, [1; 10])
}

fn user_id() -> UserId {
    UserId::new(2, [2; 10])
}

fn session() -> SessionId {
    SessionId::new(0, [3; 16])
}

fn document() -> Tenant {
    let mut document = tests::tenant();
    document.audience = Some(String::from("acme-api"));
    document.hosts = vec![HostName::parse("login.acme.example").unwrap()];
    document.session_roots =
        vec![SessionRoot { version: 1, sealed: String::from("sealed"), sign_from: None }];
    document.user_id = UserIdForm::Integer;
    document.legacy = Some(Legacy {
        key: document.keys[0].public.clone(),
        until: 2_000_000_000,
        marker: Some(Marker { claim: String::from("tenant"), value: json!("acme") }),
        listed: true,
    });
    document.foreign = Some(Foreign { until: Some(2_000_000_000) });
    document
}

fn push() -> Push {
    let user = |status, verifier| {
        Verbatim::from(UserRow {
            id: user_id(),
            rev: 6,
            status,
            access_epoch: 3,
            session_epoch: 2,
            password_epoch: 1,
            roles: vec![String::from("staff")],
            verifier,
            foreign: true,
            legacy_id: Some(String::from("42")),
            password_due: None,
            password_changed_at: None,
            password_valid_until: None,
            kept_session: None,
            authenticators: vec![],
            recovery: None,
            needs: Needs::default(),
        })
    };
    let hash = IdentifierRow::encode_hash(&[4; 32]);
    Push {
        tenant: tenant_id(),
        history: 1,
        complete: Some(Complete { from: 5, to: 7 }),
        snapshot: None,
        document: Some(DocumentRow { rev: 7, document: Box::new(document().into()) }),
        names: vec![
            NameRow { name: String::from("slug:acme"), rev: 6, tenant: Some(tenant_id()), shard: 0 },
            NameRow { name: String::from("host:old.example"), rev: 7, tenant: None, shard: 0 },
        ],
        users: vec![
            user(UserStatus::Active, Some(String::from("sealed"))),
            user(UserStatus::Suspended, None),
            user(UserStatus::Inactive, None),
            user(UserStatus::Pending, None),
            user(UserStatus::Deleted, None),
        ],
        identifiers: vec![IdentifierRow { hash, rev: 6, user: Some(user_id()) }],
        ended_sessions: vec![session()],
        session_owners: BTreeMap::new(),
    }
}

fn former_claims() -> Push {
    let former = |issuer: &str, audience: Option<&str>| FormerClaims {
        issuer: String::from(issuer),
        audience: audience.map(String::from),
        until: 2_000_000_000,
    };
    let mut document = document();
    document.former_claims =
        vec![former("https://old.example", None), former("https://acme.example", Some("old-api"))];
    let document = Some(DocumentRow { rev: 7, document: Box::new(document.into()) });
    Push { document, names: vec![], users: vec![], identifiers: vec![], ended_sessions: vec![], ..push() }
}

/// A rotation of the session root after it was confirmed.
fn session_roots() -> Push {
    let mut document = document();
    let sealed = String::from("sealed");
    document.session_roots.push(SessionRoot { version: 2, sealed, sign_from: Some(2_000_000_000) });
    let document = Some(DocumentRow { rev: 7, document: Box::new(document.into()) });
    Push { document, names: vec![], users: vec![], identifiers: vec![], ended_sessions: vec![], ..push() }
}

fn former_lookup_root() -> Push {
    let mut document = document();
    document.lookup_root = Root { version: 2, sealed: String::from("sealed") };
    document.former_lookup_root = Some(Root { version: 1, sealed: String::from("sealed before") });
    document.needs = document.needs.and(FORMER_LOOKUP_ROOT);
    let document = Some(DocumentRow { rev: 7, document: Box::new(document.into()) });
    Push { document, names: vec![], users: vec![], identifiers: vec![], ended_sessions: vec![], ..push() }
}

/// A tenant with a maximum age of passwords, and users who must change theirs.
fn password_due() -> Push {
    let mut document = document();
    document.settings.password_max_age_secs = 7_776_000;
    document.needs = document.needs.and(PASSWORD_MAX_AGE);
    let document = Some(DocumentRow { rev: 7, document: Box::new(document.into()) });
    let row = push().users.swap_remove(0).into_value();
    let (must, kept) = (Some(PasswordDue::Must), Some(KeptSession { sid: session(), from: 1 }));
    let one_time = UserRow {
        password_due: must,
        password_valid_until: Some(1_700_000_086_400),
        needs: Needs::of(&[PASSWORD_DUE]),
        ..row.clone()
    };
    let changed = UserRow { password_changed_at: Some(1_700_000_000_000), kept_session: kept, ..row };
    let users = vec![one_time.into(), changed.into()];
    Push { document, names: vec![], users, identifiers: vec![], ended_sessions: vec![], ..push() }
}

/// A tenant that requires a second factor of two roles, and a user who has one.
fn second_factor() -> Push {
    let mut document = document();
    document.settings.second_factor_roles = vec![String::from("root-admin"), String::from("co-admin")];
    document.settings.second_factor_from = Some("2027-01-31T08:00:00Z".parse().unwrap());
    document.needs = document.needs.and(SECOND_FACTOR_POLICY);
    let document = Some(DocumentRow { rev: 7, document: Box::new(document.into()) });
    let row = push().users.swap_remove(0).into_value();
    let code = |fill, used_at| RecoveryCodeRow { hash: IdentifierRow::encode_hash(&[fill; 32]), used_at };
    let row = UserRow {
        authenticators: vec![AuthenticatorRow {
            id: AuthenticatorId::new(6, [6; 10]),
            seed: String::from("sealed"),
            last_step: 56_666_666,
        }],
        recovery: Some(RecoveryRow {
            key: String::from("sealed"),
            codes: vec![code(7, None), code(8, Some(1_700_000_000_000))],
        }),
        needs: Needs::of(&[SECOND_FACTOR]),
        ..row
    };
    let users = vec![row.into()];
    Push { document, names: vec![], users, identifiers: vec![], ended_sessions: vec![], ..push() }
}

/// A strict tenant that lists networks and has a budget of its own.
fn networks() -> Push {
    let mut document = document();
    let settings = &mut document.settings;
    (settings.strict, settings.hashes_per_sec) = (true, 40);
    settings.allowed_networks = vec![Network::parse("192.0.2.0/24").unwrap()];
    settings.admin_denied_networks = vec![Network::parse("2001:db8::/32").unwrap()];
    document.needs = document.needs.and(NETWORKS);
    let document = Some(DocumentRow { rev: 7, document: Box::new(document.into()) });
    Push { document, names: vec![], users: vec![], identifiers: vec![], ended_sessions: vec![], ..push() }
}

/// A tenant that asks for a CAPTCHA.
fn captcha() -> Push {
    let policy = CaptchaPolicy {
        forms: true,
        hostnames: vec![HostName::parse("login.acme.example").unwrap()],
        action: String::from("login"),
        ..captcha::tests::policy()
    };
    let mut document = document();
    document.captcha = Some(Captcha { policy, secret: String::from("sealed") });
    document.needs = document.needs.and(CAPTCHA);
    let document = Some(DocumentRow { rev: 7, document: Box::new(document.into()) });
    Push { document, names: vec![], users: vec![], identifiers: vec![], ended_sessions: vec![], ..push() }
}

/// A session that control ended, with its user.
fn ended_session() -> Push {
    let owners = BTreeMap::from([(session(), user_id())]);
    Push {
        document: None,
        names: vec![],
        users: vec![],
        identifiers: vec![],
        session_owners: owners,
        ..push()
    }
}

fn client() -> ClientInfo {
    ClientInfo::new(
        Some("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
        Some("PT"),
        Some("Lisboa"),
    )
}

/// A tenant with shorter timeouts for administrators, and a limit of sessions.
fn role_timeouts() -> Push {
    let mut document = document();
    let timeout = |text| RoleTimeout::parse(text).unwrap();
    document.settings.role_timeouts =
        vec![timeout("root-admin.idle_secs=900"), timeout("root-admin.absolute_secs=28800")];
    document.settings.max_sessions = 5;
    document.needs = document.needs.and(ROLE_TIMEOUTS);
    let document = Some(DocumentRow { rev: 7, document: Box::new(document.into()) });
    Push { document, names: vec![], users: vec![], identifiers: vec![], ended_sessions: vec![], ..push() }
}

fn sweep() -> Push {
    let snapshot = Snapshot { id: String::from("01"), to: 7, step: SnapshotStep::Sweep };
    Push {
        complete: None,
        snapshot: Some(snapshot),
        document: None,
        names: vec![],
        users: vec![],
        identifiers: vec![],
        ended_sessions: vec![],
        ..push()
    }
}

fn facts() -> DrainOut {
    let kinds = [
        FactKind::SignedIn,
        FactKind::LegacyExchanged,
        FactKind::SignInRefused,
        FactKind::SignedOut,
        FactKind::SignedOutEverywhere,
        FactKind::ReuseDetected,
        FactKind::StorageRollback,
        FactKind::SessionEvicted,
        FactKind::SessionEnded,
    ];
    let fact = |(seq, kind): (i64, FactKind)| Fact {
        seq,
        id: EventId::new(5, [5; 10]),
        tenant: tenant_id(),
        at_ms: 1_700_000_000_000,
        kind,
        user: Some(user_id()),
        sid: Some(session()),
        network: Some(String::from("192.0.2.1")),
        name_hash: None,
        count: 1,
        more: Map::new(),
    };
    DrainOut { incarnation: String::from("a"), facts: (1..).zip(kinds).map(fact).collect(), more: false }
}

/// Facts about second factors.
fn factors() -> DrainOut {
    let authenticator = AuthenticatorId::new(6, [6; 10]);
    let amr = json!(["pwd", "otp", "mfa"]);
    let told = [
        (
            FactKind::SignedIn,
            json!({"amr": amr, "authenticator": authenticator, "step": 56_666_667, "client": client()}),
        ),
        (FactKind::RecoveryCodeUsed, json!({"hash": IdentifierRow::encode_hash(&[7; 32])})),
        (FactKind::SteppedUp, json!({"method": "otp", "authenticator": authenticator, "step": 56_666_668})),
        (FactKind::SecondFactorRefused, json!({"method": "otp"})),
        (FactKind::DeviceRemembered, json!({"device": IdentifierRow::encode_hash(&[8; 32])})),
        (FactKind::MfaEnrollmentRequired, json!({})),
    ];
    let mut out = facts();
    out.facts.truncate(told.len());
    for (fact, (kind, more)) in out.facts.iter_mut().zip(told) {
        (fact.kind, fact.more) = (kind, more.as_object().cloned().unwrap_or_default());
    }
    out
}

/// A remembered device.
fn device() -> DeviceOut {
    DeviceOut {
        id: IdentifierRow::encode_hash(&[8; 32]),
        name: String::from("Lynx/2.9"),
        created_at: 1,
        used_at: Some(2),
        expires_at: 3,
    }
}

fn forget_devices() -> Command {
    Command::ForgetDevices { tenant: tenant_id(), user: user_id(), device: Some(device().id) }
}

/// Every message between the halves, by the name of its file.
fn messages() -> Vec<(&'static str, Value)> {
    fn of<T: Serialize>(name: &'static str, message: T) -> (&'static str, Value) {
        (name, serde_json::to_value(message).unwrap())
    }
    let (tenant, user, sid) = (tenant_id(), user_id(), session());
    let mark = Mark { history: 1, rev: 7 };
    let acknowledge = Some(Acknowledge { incarnation: String::from("a"), seq: 9, id: None });
    let living = SessionOut {
        sid,
        created_at: 1,
        rotated_at: 2,
        expires_at: 3,
        used_at: None,
        absolute_deadline: None,
        amr: vec![],
        auth_time: None,
        client: ClientInfo::default(),
    };
    let marks = vec![TenantMark { tenant, mark, history: None, doc_rev: 7, kv_rev: 7 }];
    vec![
        of("push", push()),
        of("push-former-claims", former_claims()),
        of("push-session-roots", session_roots()),
        of("push-former-lookup-root", former_lookup_root()),
        of("push-password-due", password_due()),
        of("push-second-factor", second_factor()),
        of("push-networks", networks()),
        of("push-captcha", captcha()),
        of("push-ended-session", ended_session()),
        of("push-role-timeouts", role_timeouts()),
        of("push-sweep", sweep()),
        of("pushed", Pushed { mark, remaining: false }),
        of("command-status", Command::Status { tenants: vec![tenant] }),
        of("command-sessions", Command::Sessions { tenant, user }),
        of("command-end-session", Command::EndSession { tenant, sid }),
        of("status", StatusOut { incarnation: String::from("a"), now_ms: 1, outbox: 0, marks }),
        of("sessions", SessionsOut { sessions: vec![living] }),
        of("end-session", EndSessionOut { ended: true }),
        of("drain", DrainIn { shard: 0, acknowledge, limit: 500 }),
        of("drained", facts()),
        of("password", PasswordIn { tenant, user: Some(user), password: String::from("as typed") }),
        of("password-checked", PasswordOut { matched: true }),
    ]
}

/// Additions since the previous release: messages, fields and words.
fn additions() -> Vec<(&'static str, Value)> {
    fn of<T: Serialize>(name: &'static str, message: T) -> (&'static str, Value) {
        (name, serde_json::to_value(message).unwrap())
    }
    let id = Some(EventId::new(5, [5; 10]));
    let acknowledge = Some(Acknowledge { incarnation: String::from("a"), seq: 9, id });
    let mut dropped = facts();
    dropped.facts.truncate(1);
    for fact in &mut dropped.facts {
        (fact.kind, fact.user, fact.sid, fact.network) = (FactKind::RefusalsDropped, None, None, None);
    }
    let mut due = facts();
    due.facts.truncate(1);
    for fact in &mut due.facts {
        (fact.kind, fact.sid) = (FactKind::PasswordChangeRequired, None);
    }
    let mut denied = facts();
    denied.facts.truncate(1);
    for fact in &mut denied.facts {
        (fact.kind, fact.user, fact.sid) = (FactKind::NetworkRefused, None, None);
    }
    let mut refused = facts();
    refused.facts.truncate(1);
    for fact in &mut refused.facts {
        (fact.kind, fact.sid) = (FactKind::NetworksRefused, None);
    }
    let (tenant, user, network) = (tenant_id(), user_id(), String::from("192.0.2.1"));
    let mark = Mark { history: 1, rev: 7 };
    let begun = TenantMark { tenant: tenant_id(), mark, history: Some(2), doc_rev: 8, kv_rev: 7 };
    let marks = vec![begun];
    let of_client = SessionOut {
        sid: session(),
        created_at: 1,
        rotated_at: 2,
        expires_at: 4,
        used_at: Some(3),
        absolute_deadline: Some(5),
        amr: vec![String::from("pwd")],
        auth_time: Some(1),
        client: client(),
    };
    vec![
        of("status-of-histories", StatusOut { incarnation: String::from("a"), now_ms: 1, outbox: 0, marks }),
        of("command-restored", Command::Restored { shard: 0 }),
        of("command-confirm-network", Command::ConfirmNetwork { tenant, user, network, until_ms: 9 }),
        of("confirm-network", ConfirmNetworkOut { confirmed: true }),
        of("command-lift-attempts", Command::LiftAttempts { tenant, user }),
        of("lift-attempts", LiftAttemptsOut { lifted: 2 }),
        of("drained-networks-refused", refused),
        of("drained-network-refused", denied),
        of("command-devices", Command::Devices { tenant: tenant_id(), user: user_id() }),
        of("command-forget-devices", forget_devices()),
        of("devices", DevicesOut { devices: vec![device()] }),
        of("forgotten", ForgottenOut { forgotten: 1 }),
        of("restored", RestoredOut { incarnation: String::from("b") }),
        of("sessions-of-clients", SessionsOut { sessions: vec![of_client] }),
        of("drain-of-fact", DrainIn { shard: 0, acknowledge, limit: 500 }),
        of("drained-dropped", dropped),
        of("drained-password-due", due),
        of("drained-second-factor", factors()),
    ]
}

/// Parses a message as its reader does, and serialises the result.
fn reread(name: &str, text: &str) -> Result<Value, serde_json::Error> {
    fn through<T: DeserializeOwned + Serialize>(text: &str) -> Result<Value, serde_json::Error> {
        serde_json::to_value(serde_json::from_str::<T>(text)?)
    }
    match name {
        "push"
        | "push-former-claims"
        | "push-session-roots"
        | "push-former-lookup-root"
        | "push-password-due"
        | "push-second-factor"
        | "push-networks"
        | "push-captcha"
        | "push-ended-session"
        | "push-role-timeouts"
        | "push-sweep" => through::<Push>(text),
        "pushed" => through::<Pushed>(text),
        "command-status"
        | "command-sessions"
        | "command-end-session"
        | "command-confirm-network"
        | "command-lift-attempts"
        | "command-restored"
        | "command-devices"
        | "command-forget-devices" => through::<Command>(text),
        "confirm-network" => through::<ConfirmNetworkOut>(text),
        "lift-attempts" => through::<LiftAttemptsOut>(text),
        "devices" => through::<DevicesOut>(text),
        "forgotten" => through::<ForgottenOut>(text),
        "status" | "status-of-histories" => through::<StatusOut>(text),
        "sessions" | "sessions-of-clients" => through::<SessionsOut>(text),
        "end-session" => through::<EndSessionOut>(text),
        "restored" => through::<RestoredOut>(text),
        "drain" | "drain-of-fact" => through::<DrainIn>(text),
        "drained"
        | "drained-dropped"
        | "drained-networks-refused"
        | "drained-network-refused"
        | "drained-password-due"
        | "drained-second-factor" => through::<DrainOut>(text),
        "password" => through::<PasswordIn>(text),
        "password-checked" => through::<PasswordOut>(text),
        other => panic!("{other}.json: say here how it is read"),
    }
}

/// The kept messages: release, name of the message, text.
fn kept() -> Vec<(String, String, String)> {
    let mut kept = Vec::new();
    for release in fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()) {
        for file in fs::read_dir(&release).unwrap().map(|entry| entry.unwrap().path()) {
            let name = |path: &Path| path.file_stem().unwrap().to_string_lossy().into_owned();
            // A release has dots in its name.
            let release = release.file_name().unwrap().to_string_lossy().into_owned();
            kept.push((release, name(&file), fs::read_to_string(&file).unwrap()));
        }
    }
    kept
}

/// A field in every object, at every depth.
fn with_additions(value: &mut Value) {
    match value {
        Value::Object(object) => {
            // The keys of `session_owners` are ids, not names of fields.
            let fields = object.iter_mut().filter(|(name, _)| *name != "session_owners");
            fields.for_each(|(_, value)| with_additions(value));
            object.insert(String::from("a_later_field"), json!({"of": ["any", "form"]}));
        }
        Value::Array(items) => items.iter_mut().for_each(with_additions),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn what_is_written_now_is_kept() {
    let next = folder().join(NEXT);
    let written: Vec<_> = messages().into_iter().chain(additions()).collect();
    for (name, message) in &written {
        let file = next.join(format!("{name}.json"));
        let text = format!("{}\n", serde_json::to_string_pretty(message).unwrap());
        if std::env::var_os("WARDGATE_WRITE_VECTORS").is_some() {
            fs::create_dir_all(&next).unwrap();
            fs::write(&file, &text).unwrap();
        }
        assert_eq!(fs::read_to_string(&file).unwrap_or_default(), text, "{}", file.display());
    }
    assert_eq!(kept().iter().filter(|(release, ..)| release == NEXT).count(), written.len());
}

#[test]
fn every_release_is_read_and_understood_whole() {
    for (release, name, text) in kept() {
        let written: Value = serde_json::from_str(&text).unwrap();
        let read = reread(&name, &text).unwrap_or_else(|error| panic!("{release}/{name}: {error}"));
        assert_eq!(read, written, "{release}/{name}");
    }
}

/// A message without additions is written as the release before wrote it, which knew no field more.
#[test]
fn the_release_before_reads_what_is_written_now() {
    let before = kept();
    for (name, message) in messages().into_iter().filter(|(name, _)| !ADDED.contains(name)) {
        let of_before: Vec<_> =
            before.iter().filter(|(release, kept, _)| release != NEXT && kept == name).collect();
        assert!(!of_before.is_empty(), "{name}");
        for (release, _, text) in of_before {
            assert_eq!(serde_json::from_str::<Value>(text).unwrap(), message, "{release}/{name}");
        }
    }
}

#[test]
fn additions_of_a_later_release_are_read() {
    for (release, name, text) in kept() {
        let mut later: Value = serde_json::from_str(&text).unwrap();
        with_additions(&mut later);
        let read = reread(&name, &later.to_string());
        let read = read.unwrap_or_else(|error| panic!("{release}/{name}: {error}"));
        // Known fields must still be read beside the addition.
        let plain = reread(&name, &text).unwrap();
        let known = plain.as_object().unwrap().keys().all(|key| read.get(key).is_some());
        assert!(known, "{release}/{name}: {read}");
    }
}

#[test]
fn what_is_not_known_of_users_documents_and_facts_is_kept() {
    let mut later = serde_json::to_value(push()).unwrap();
    (later["users"][0]["totp"], later["users"][0]["status"]) = (json!("sealed"), json!("locked"));
    later["document"]["document"]["settings"]["second_factor"] = json!("required");
    let push: Push = serde_json::from_value(later.clone()).unwrap();
    let again = serde_json::to_value(&push).unwrap();
    assert_eq!(again["users"][0], later["users"][0]);
    assert_eq!(again["document"], later["document"]);
    let mut later = serde_json::to_value(facts()).unwrap();
    (later["facts"][0]["kind"], later["facts"][0]["device"]) = (json!("factor_used"), json!("a phone"));
    let drained: DrainOut = serde_json::from_value(later.clone()).unwrap();
    assert_eq!(drained.facts[0].kind, FactKind::Other(String::from("factor_used")));
    assert_eq!(serde_json::to_value(&drained).unwrap(), later);
}

#[test]
fn words_of_a_later_release_read_as_the_strictest() {
    let mut later = serde_json::to_value(push()).unwrap();
    later["users"][0]["status"] = json!("locked");
    later["document"]["document"]["status"] = json!("frozen");
    later["document"]["document"]["keys"][0]["state"] = json!("standby");
    later["document"]["document"]["needs"] = json!(["frozen tenants"]);
    later["users"][1]["needs"] = json!(["totp"]);
    let push: Push = serde_json::from_value(later).unwrap();
    assert_eq!(push.users[0].status, UserStatus::Suspended);
    assert!(push.users[0].needs.are_met() && !push.users[1].needs.are_met());
    let document = &push.document.unwrap().document;
    assert_eq!(document.status, Status::Suspended);
    assert!(!document.needs.are_met());
    assert_eq!(document.published_keys().count(), 1);
}

/// An older reader ignores the field, and refuses tokens of a former issuer.
#[test]
fn former_claims_are_written_only_where_there_are_any() {
    let document = |push: Push| serde_json::to_value(push.document.unwrap().document).unwrap();
    let (without, mut with) = (document(push()), document(former_claims()));
    assert!(without.get("former_claims").is_none());
    assert_eq!(with["former_claims"][0]["issuer"], "https://old.example");
    with.as_object_mut().unwrap().remove("former_claims");
    assert_eq!(with, without);
}

/// An older reader signs with the first root, which therefore signs until the switch is complete.
#[test]
fn a_second_session_root_changes_nothing_for_a_reader_of_before() {
    let roots = |push: Push| push.document.unwrap().document.session_roots.clone();
    let (without, with) = (roots(push()), roots(session_roots()));
    assert_eq!(with.first(), without.first());
}

/// An older reader ignores the field and would restart counters of attempts, so the word makes it refuse sign-ins.
#[test]
fn a_former_lookup_root_says_that_it_must_be_understood() {
    let document = |push: Push| serde_json::to_value(push.document.unwrap().document).unwrap();
    assert!(document(push()).get("former_lookup_root").is_none());
    let with = former_lookup_root().document.unwrap().document.into_value();
    assert!(with.needs.are_met() && !with.needs.are_met_by(&[epochs::NEED]));
}

/// An older reader would open a session: the words prevent that.
#[test]
fn a_password_that_is_due_says_that_it_must_be_understood() {
    let push = password_due();
    let document = &push.document.as_ref().unwrap().document;
    let (row, changed) = (&push.users[0], &push.users[1]);
    assert!(document.needs.are_met() && row.needs.are_met());
    let before = [epochs::NEED, FORMER_LOOKUP_ROOT];
    assert!(!document.needs.are_met_by(&before) && !row.needs.are_met_by(&before));
    assert!(changed.needs.are_met_by(&before), "a session that is kept may end");
}

/// An older reader would open a session for the password alone.
#[test]
fn a_second_factor_says_that_it_must_be_understood() {
    let push = second_factor();
    let (document, row) = (&push.document.as_ref().unwrap().document, &push.users[0]);
    assert!(document.needs.are_met() && row.needs.are_met());
    let before = [epochs::NEED, FORMER_LOOKUP_ROOT, PASSWORD_DUE, PASSWORD_MAX_AGE];
    assert!(!document.needs.are_met_by(&before) && !row.needs.are_met_by(&before));
}

#[test]
fn a_later_reason_for_a_new_password_reads_as_one() {
    let mut later = serde_json::to_value(password_due()).unwrap();
    later["users"][1]["password_due"] = json!("leaked");
    let push: Push = serde_json::from_value(later).unwrap();
    assert_eq!(push.users[1].password_due, Some(PasswordDue::Must));
}

#[test]
fn a_key_of_a_later_form_is_passed_over() {
    let mut later = serde_json::to_value(push()).unwrap();
    later["document"]["document"]["keys"][0]["public"] = json!({"kty": "OKP", "crv": "Ed25519", "x": "AA"});
    let push: Push = serde_json::from_value(later).unwrap();
    assert_eq!(push.document.unwrap().document.keys.len(), 1);
}

//! Keys that wrap the keys in PostgreSQL: in a key service, with failures of the network and of the key, and in the
//! settings, with a change of the key.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use control::crypt::provider::{KeyProvider, ProviderError};
use control::crypt::providers::Providers;
use control::edges::{LaneError, pusher};
use control::failure::{Failure, KeyOutage};
use control::keys;
use control::tenants::Isolation;
use serde_json::json;
use shared::ids::UserId;
use shared::passwords::{Password, Verifier, Workspace};
use shared::wire::seal::{Context, EdgeKey, Kind, Sealed};

use crate::cli::Outcome;
use crate::gate::Fate;
use crate::key_service::KeyService;
use crate::scale::{Chance, scaled};
use crate::scene::{Answer, Member, PASSWORD, Scene, committed_tenant, key};

/// Within the bound, and beyond it.
const SLOW: Fate = Fate::Late(Duration::from_millis(300));
const TOO_SLOW: Fate = Fate::Late(Duration::from_secs(30));

impl Scene {
    async fn under_key_service(service: &KeyService) -> Self {
        Self::under(service.variables(), Isolation::Schema).await
    }

    /// How many users and entries of the audit log there are.
    async fn counts(&self) -> (i64, usize) {
        (self.number("select count(*) from users").await, self.logged().await.len())
    }

    /// Whether the edge finds the password right, by what it was pushed.
    pub fn edge_signs_in(&self, user: UserId, password: &str) -> bool {
        let sealed = self.edge.user(self.tenant.id, user).unwrap().verifier.unwrap();
        let subject = user.to_string();
        let context =
            Context { edge: "edge-test", tenant: self.tenant.id, kind: Kind::Verifier, subject: &subject };
        let edge = [EdgeKey::parse(&key("a", 1)).unwrap()];
        let phc = Sealed::parse(&sealed).unwrap().open(&edge, &context).unwrap();
        let verifier = Verifier::parse(std::str::from_utf8(&phc).unwrap()).unwrap();
        Workspace::default().verify(&Password::parse(password).unwrap(), &verifier)
    }
}

impl Member {
    /// Asks for a user with a password: something new is sealed.
    async fn makes(&self, username: &str) -> Answer {
        self.post("/api/user/users/", json!({"username": username, "password": PASSWORD})).await
    }
}

/// Why the provider of a control does not work.
async fn outage_of(scene: &Scene) -> KeyOutage {
    let provider = Providers::new(&scene.control.settings.encryption).unwrap();
    match provider.wrap(provider.current(), b"place", b"secret").await {
        Err(ProviderError::Unavailable(outage)) => outage,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_tenant_lives_under_a_key_of_the_service() {
    let service = KeyService::start().await;
    for isolation in [Isolation::Schema, Isolation::Shared] {
        let scene = Scene::under(service.variables(), isolation).await;
        // The token is signed with a key that the service has unwrapped.
        let ada = scene.member("ada", "root-admin").await;
        let bob = ada.makes("bob").await.expect(201).id();
        ada.get("/api/user/me/").await.expect(200);
        scene.push().await;
        assert!(scene.edge_signs_in(bob, PASSWORD) && !scene.edge_signs_in(bob, "wrong"));

        let mut admin = scene.database.admin().await;
        let wrapped: Vec<(Vec<u8>,)> =
            sqlx::query_as("select wrapped from platform.tenant_keys").fetch_all(&mut admin).await.unwrap();
        let id = [&[36], service.key_id().as_bytes()].concat();
        assert!(wrapped.len() >= 2 && wrapped.iter().all(|(bytes,)| bytes.starts_with(&id)));

        // No wrapped key is stored in clear, in any encoding.
        let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
        let kind = control::crypt::roots::RootKind::Session;
        let roots = control::crypt::roots::roots(&mut tx, kind).await.unwrap();
        let published = keys::store::published(&mut tx).await.unwrap();
        let pkcs8 = published.iter().find_map(|key| key.pkcs8.as_ref()).unwrap();
        // The part before its end is also in the public key.
        let (_, secret) = pkcs8.split_at(pkcs8.len() - 40);
        drop(tx);
        let rows = scene.rows().await;
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        for clear in [roots[0].1.expose().as_slice(), secret, b"$argon2id$", PASSWORD.as_bytes()] {
            for text in [
                String::from_utf8_lossy(clear).into_owned(),
                hex(clear),
                STANDARD.encode(&clear[..clear.len() / 3 * 3]),
                URL_SAFE_NO_PAD.encode(&clear[..clear.len() / 3 * 3]),
            ] {
                assert!(!rows.contains(&text), "{text}");
            }
        }
        assert!(rows.contains(&hex(service.key_id().as_bytes())), "the rows were read");
    }
}

#[tokio::test]
async fn a_service_out_of_order_is_a_quick_503_until_it_is_back() {
    let mut service = KeyService::start().await;
    let mut scene = Scene::under_key_service(&service).await;
    let ada = scene.member("ada", "root-admin").await;
    for (number, (fate, outage)) in [
        (Some(Fate::Error(400, "DisabledException")), KeyOutage::KeyDisabled),
        (Some(Fate::Error(400, "KMSInvalidStateException")), KeyOutage::KeyDisabled),
        (Some(Fate::Error(400, "ThrottlingException")), KeyOutage::Throttled),
        (Some(Fate::Error(500, "KMSInternalException")), KeyOutage::Failing),
        (Some(Fate::Error(400, "NotFoundException")), KeyOutage::KeyMissing),
        (Some(Fate::Error(400, "AccessDeniedException")), KeyOutage::Denied),
        (Some(Fate::Silence), KeyOutage::TimedOut),
        (Some(TOO_SLOW), KeyOutage::TimedOut),
        (Some(Fate::Dropped), KeyOutage::Unreachable),
        (None, KeyOutage::Unreachable),
    ]
    .into_iter()
    .enumerate()
    {
        let before = scene.counts().await;
        // No key is in memory.
        scene = scene.restarted().await;
        let ada = ada.at(&scene);
        match fate {
            Some(fate) => service.now(fate),
            None => service.go().await,
        }
        service.requests();
        let name = format!("u{number}");
        let refused = ada.makes(&name).await.expect(503);
        assert_eq!(refused.header("retry-after"), "1");
        assert_eq!(
            refused.body,
            json!({"detail": "Service temporarily unavailable.", "code": "unavailable"})
        );
        let requests = service.requests();
        assert!(requests <= 2, "{outage:?}: a call is repeated once at most, not {requests} times");
        assert_eq!(outage_of(&scene).await, outage);
        // A request is refused before anything of it is to be pushed; of the one before, all was.
        let pushed = pusher::push_now(&scene.control, scene.tenant.id).await;
        if number == 0 {
            let Err(LaneError::Failure(Failure::Shared(failure))) = pushed else { panic!("{pushed:?}") };
            assert!(matches!(*failure, Failure::KeyProvider(_)), "{failure:?}");
        }

        service.now(Fate::Served);
        if fate.is_none() {
            service.come_back().await;
        }
        assert_eq!(scene.counts().await, before, "nothing is half done");
        ada.makes(&name).await.expect(201);
        scene.push().await;
    }
    assert_eq!(scene.counts().await.0, 11, "nothing is lost");
}

#[tokio::test]
async fn a_slow_answer_and_one_that_is_lost_are_waited_for() {
    let service = KeyService::start().await;
    let mut scene = Scene::under_key_service(&service).await;
    let ada = scene.member("ada", "root-admin").await;
    scene = scene.restarted().await;
    service.now(SLOW);
    ada.at(&scene).makes("slow").await.expect(201);
    service.now(Fate::Served);
    for (name, lost) in [
        ("dropped", Fate::Dropped),
        ("silent", Fate::Silence),
        ("throttled", Fate::Error(400, "ThrottlingException")),
        ("failing", Fate::Error(500, "KMSInternalException")),
    ] {
        scene = scene.restarted().await;
        service.next(&[lost]);
        ada.at(&scene).makes(name).await.expect(201);
    }
}

// The gate serves while a command is waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_say_what_the_service_does() {
    #[track_caller]
    fn fails(outcome: Outcome, said: &str) {
        let outcome = outcome.expect(1);
        let all = format!("the key provider wraps and unwraps nothing at present: {said}");
        assert!(outcome.stderr.contains(&all), "{}", outcome.stderr);
    }

    let mut service = KeyService::start().await;
    let scene = Scene::under_key_service(&service).await;
    let slug = scene.tenant.slug.to_string();
    let make = |cli: &crate::cli::Cli, name: &str| {
        let arguments = ["user", "create", name, "--tenant", &slug, "--password-stdin"];
        cli.run(&arguments, &format!("{PASSWORD}\n"))
    };
    service.now(Fate::Error(400, "DisabledException"));
    fails(make(&scene.cli(), "ada"), "the key is disabled, or is about to be deleted");
    service.now(Fate::Silence);
    fails(make(&scene.cli(), "ada"), "it did not answer in time");
    service.go().await;
    fails(make(&scene.cli(), "ada"), "it cannot be reached");
    service.come_back().await;
    service.now(Fate::Served);

    // Without credentials in the settings, those of the environment hold.
    let mut cli = scene.cli();
    for name in ["WARDGATE_ENCRYPTION_KMS_ACCESS_KEY_ID", "WARDGATE_ENCRYPTION_KMS_SECRET_ACCESS_KEY"] {
        cli.variables.remove(name);
    }
    cli.variables.insert("AWS_EC2_METADATA_DISABLED", "true".into());
    fails(make(&cli, "ada"), "there are no credentials for it");
    cli.variables.insert("AWS_ACCESS_KEY_ID", "AKID".into());
    cli.variables.insert("AWS_SECRET_ACCESS_KEY", "s3cret".into());
    make(&cli, "ada").expect(0);
}

#[tokio::test]
async fn a_value_in_another_place_is_unreadable_and_no_outage() {
    let service = KeyService::start().await;
    let scene = Scene::under_key_service(&service).await;
    let provider = Providers::new(&scene.control.settings.encryption).unwrap();
    let id = provider.current().to_owned();
    assert_eq!(id, service.key_id());
    let wrapped = provider.wrap(&id, b"place", b"secret").await.unwrap();
    assert_eq!(provider.unwrap(&id, b"place", &wrapped).await.unwrap().to_vec(), b"secret");
    let mut altered = wrapped.clone();
    *altered.last_mut().unwrap() ^= 1;
    for (data, wrapped) in [(&b"other"[..], &wrapped), (b"", &wrapped), (b"place", &altered)] {
        assert_eq!(provider.unwrap(&id, data, wrapped).await.err(), Some(ProviderError::Refused));
    }
    service.requests();
    assert_eq!(provider.unwrap("another", b"place", &wrapped).await.err(), Some(ProviderError::UnknownKey));
    assert_eq!(provider.wrap("another", b"place", b"secret").await.err(), Some(ProviderError::UnknownKey));
    assert_eq!(service.requests(), 0, "a key that a row names and the settings do not is never asked for");
    // Another key of the same account wrapped this for the same place.
    let other = KeyService::start().await;
    let mut settings = scene.control.settings.encryption.clone();
    settings.kms_key = serde_json::from_value(json!(other.key)).unwrap();
    let theirs = Providers::new(&settings).unwrap().wrap(other.key_id(), b"place", b"planted").await.unwrap();
    assert!(provider.unwrap(&id, b"place", &theirs).await.is_err(), "the call names the key");
    service.next(&[Fate::Error(400, "IncorrectKeyException")]);
    assert_eq!(provider.unwrap(&id, b"place", &wrapped).await.err(), Some(ProviderError::Refused));

    let ada = scene.member("ada", "root-admin").await;
    let mut admin = scene.database.admin().await;
    sqlx::query(
        "update platform.roots r
        set wrapped = other.wrapped
        from platform.roots other
        where r.kind = 'lookup' and other.kind = 'session' and other.tenant_id = r.tenant_id",
    )
    .execute(&mut admin)
    .await
    .unwrap();
    let scene = scene.restarted().await;
    ada.at(&scene).makes("bob").await.expect(500);
    let pushed = pusher::push_now(&scene.control, scene.tenant.id).await;
    assert!(matches!(pushed, Err(LaneError::Failure(Failure::Unreadable(_)))), "{pushed:?}");
}

#[tokio::test]
async fn a_provider_and_a_key_give_way_to_another_while_both_open() {
    let (service, next) = (KeyService::start().await, KeyService::start().await);
    let mut scene = Scene::alone().await;
    let ada = scene.member("ada", "root-admin").await;
    let mut users = vec![ada.makes("u0").await.expect(201).id()];

    // From the settings to the service, to another key of it, and back to another key of the settings.
    let mut moved = service.variables();
    moved[0].1 = key("rest", 3);
    let mut renewed = moved.clone();
    renewed[2].1 = next.key.clone();
    renewed.push(("WARDGATE_ENCRYPTION_FORMER_KMS_KEY", service.key.clone()));
    let mut back = renewed.clone();
    back[0].1 = key("rest-2", 4);
    back[1].1 = "file".into();
    back.push(("WARDGATE_ENCRYPTION_FORMER_KEK", key("rest", 3)));
    for (name, role, more, current) in [
        ("u1", "staff", moved, service.key_id()),
        ("u2", "client", renewed, next.key_id()),
        ("u3", "staff", back, "rest-2"),
    ] {
        scene.database.more = more;
        scene = scene.restarted().await;
        let ada = ada.at(&scene);
        users.push(ada.makes(name).await.expect(201).id());
        // Users with another role are sent to the edge again, so what each of the keys wrapped is opened.
        for user in &users {
            ada.patch(&format!("/api/user/users/{user}/"), json!({"roles": [role]})).await.expect(200);
        }
        scene.push().await;
        assert!(users.iter().all(|user| scene.edge_signs_in(*user, PASSWORD)));
        assert_eq!(Providers::new(&scene.control.settings.encryption).unwrap().current(), current);
    }
    // The keys of tenants are still wrapped by the first key. A `serve` that is killed in the middle loses nothing.
    let wrappings = async || scene.control.db.wrappings().await.unwrap();
    let keys: i64 = wrappings().await.iter().map(|it| it.keys).sum();
    assert!(wrappings().await.iter().all(|it| it.key == "rest" && !it.current), "{:?}", wrappings().await);
    assert_eq!(scene.control.db.rewrap(1).await.unwrap(), 1);
    let status = scene.cli().run(&["encryption", "status"], "").expect(0);
    assert_eq!(status.json["results"].as_array().unwrap().len(), 2);
    let rewrapped = scene.cli().run(&["encryption", "rewrap"], "").expect(0);
    assert_eq!(rewrapped.json["rewrapped"], keys - 1);
    assert_eq!(scene.cli().run(&["encryption", "rewrap"], "").expect(0).json["rewrapped"], 0);
    let [now] = &wrappings().await[..] else { panic!("{:?}", wrappings().await) };
    assert!(now.current && now.key == "rest-2" && now.keys == keys);
    assert_eq!(scene.platform().await.count_logged("tenant_keys.rewrapped").await, 1);

    // Now the former keys are needed no more.
    scene.database.more.clear();
    scene.database.more.push(("WARDGATE_ENCRYPTION_KEK", key("rest-2", 4)));
    scene = scene.restarted().await;
    let made = ada.at(&scene).makes("u4").await.expect(201).id();
    scene.push().await;
    assert!(scene.edge_signs_in(made, PASSWORD));
    // Without the key that wraps, all is unreadable, which is no outage.
    scene.database.more.clear();
    scene.database.more.push(("WARDGATE_ENCRYPTION_KEK", key("rest-3", 5)));
    scene = scene.restarted().await;
    ada.at(&scene).makes("u5").await.expect(500);
}

#[tokio::test]
async fn a_rewrap_that_is_killed_again_and_again_ends_and_loses_no_key() {
    const TENANTS: usize = 30;
    let kills: u64 = scaled(6, 20);
    let mut chance = Chance::new();
    let mut scene = Scene::alone().await;
    let mut tenants = Vec::new();
    for _ in 0..TENANTS {
        tenants.push(committed_tenant(&scene.control, Isolation::Shared).await.id);
    }
    // From one key to the other and back, so that each round has all of them to wrap.
    let (first, second) = (key("rest", 3), key("rest-2", 4));
    let keys = [(second.clone(), first.clone()), (first, second)];
    for round in 0..kills {
        let (current, former) = &keys[usize::try_from(round % 2).unwrap()];
        scene.database.more = vec![
            ("WARDGATE_ENCRYPTION_KEK", current.clone()),
            ("WARDGATE_ENCRYPTION_FORMER_KEK", former.clone()),
        ];
        scene = scene.restarted().await;
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_wardgate"))
            .args(["encryption", "rewrap"])
            .env_clear()
            .envs(&scene.cli().variables)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let moment = chance.between(0, 400).unsigned_abs();
        tokio::time::sleep(Duration::from_millis(moment)).await;
        command.kill().unwrap();
        command.wait().unwrap();
        // Whatever was wrapped by then: both keys open all.
        for tenant in &tenants {
            scene.control.db.keys(*tenant).await.unwrap();
        }
        while scene.control.db.rewrap(7).await.unwrap() > 0 {}
        scene.database.more.pop();
        scene = scene.restarted().await;
        for tenant in &tenants {
            scene.control.db.keys(*tenant).await.unwrap();
        }
    }
}

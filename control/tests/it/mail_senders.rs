//! The mail server of a tenant's own: who sees and sets it, and what it reaches.

use control::jobs::queue::{Job as _, Retry};
use control::mail::send::SendMail;
use control::users::Profile;
use mailbox::{Credentials, Mailbox, Options};
use reqwest::Method;
use serde_json::{Value, json};

use crate::mail::through;
use crate::scene::{Member, Scene};

impl Scene {
    fn mail_path(&self) -> String {
        format!("/api/tenant/tenants/{}/mail/", self.tenant.id)
    }

    /// A root-admin with an address.
    async fn root(&self) -> Member {
        let profile =
            Profile { username: "root".into(), email: Some("root@acme.test".into()), ..Profile::default() };
        self.acting_as(&self.person(profile, &["root-admin"]).await).await
    }
}

async fn put(member: &Member, path: &str, body: Value) -> crate::scene::Answer {
    member.call(Method::PUT, path, Some(body)).await
}

fn inside(port: u16) -> Vec<(&'static str, String)> {
    let mut variables = through(port);
    variables.push(("WARDGATE_MAIL_INSIDE_HOSTS", "127.0.0.1".into()));
    variables
}

#[tokio::test]
async fn a_tenant_sends_through_a_server_of_its_own() {
    let platforms = Mailbox::start().await.unwrap();
    let credentials = Credentials { user: "acme".into(), password: "s3cret-of-acme".into() };
    let own = Mailbox::with(Options { credentials: Some(credentials), ..Options::default() }).await.unwrap();
    let scene = Scene::with(inside(platforms.port())).await;
    let (root, path) = (scene.root().await, scene.mail_path());
    root.get(&path).await.expect(404);
    let wanted = json!({
        "from": "hello@acme.test", "from_name": "Acme", "reply_to": "help@acme.test", "host": "127.0.0.1",
        "port": own.port(), "tls": "none", "username": "acme", "password": "s3cret-of-acme",
    });
    let set = put(&root, &path, wanted.clone()).await.expect(200);
    assert_eq!((&set.body["has_password"], &set.body["username"]), (&json!(true), &json!("acme")));
    let read = root.get(&path).await.expect(200);
    assert_eq!(read.body, set.body);
    assert!(!read.text.contains("s3cret") && !scene.rows().await.contains("s3cret-of-acme"));
    let mail = scene.reset(&scene.ada().await).await;
    scene.send(mail).await.unwrap();
    let received = own.received().pop().unwrap();
    assert_eq!(received.addresses("From"), [("Acme".to_owned(), "hello@acme.test".to_owned())]);
    assert_eq!(received.addresses("Reply-To")[0].1, "help@acme.test");
    assert_eq!(
        (received.user.as_deref(), received.message_id()),
        (Some("acme"), format!("{mail}@acme.test"))
    );
    assert_eq!(platforms.received().len(), 0);
    // A test mail goes to the caller, and the response has the server's reply.
    let test = root.post(&format!("{path}test/"), json!({})).await.expect(200);
    assert_eq!(test.body, json!({"accepted": true, "detail": "250 2.0.0 Kept"}));
    assert_eq!(own.received().pop().unwrap().to, ["root@acme.test"]);
    // The password stays where host and user name do, and is given to no other server.
    let mut kept = wanted.clone();
    kept.as_object_mut().unwrap().remove("password");
    kept["from_name"] = json!("Acme Ltd");
    put(&root, &path, kept.clone()).await.expect(200);
    root.post(&format!("{path}test/"), json!({})).await.expect(200);
    assert_eq!(own.received().pop().unwrap().addresses("From")[0].0, "Acme Ltd");
    for (name, other) in
        [("host", json!("smtp.evil.example")), ("port", json!(platforms.port())), ("username", json!("eve"))]
    {
        let mut moved = kept.clone();
        moved[name] = other;
        let refused = put(&root, &path, moved).await.expect(400);
        assert_eq!(
            refused.body["password"],
            json!(["A user name needs a password, and a password a user name."])
        );
    }
    let before = read.header("etag").to_owned();
    root.with(Method::PUT, &path, &[("if-match", &before)], Some(wanted)).await.expect(412);
    root.delete(&path).await.expect(204);
    root.get(&path).await.expect(404);
    root.delete(&path).await.expect(404);
    root.post(&format!("{path}test/"), json!({})).await.expect(200);
    assert_eq!(platforms.received().len(), 1);
    let logged = scene.logged().await;
    let of = |action: &str| logged.iter().filter(|it| *it == action).count();
    assert_eq!((of("mail.sender_set"), of("mail.sender_removed"), of("mail.tested")), (2, 1, 3));
}

#[tokio::test]
async fn what_a_server_refuses_is_said_to_who_tests_it() {
    let mailbox = Mailbox::start().await.unwrap();
    let scene = Scene::with(inside(mailbox.port())).await;
    let (root, test) = (scene.root().await, format!("{}test/", scene.mail_path()));
    mailbox.fail(mailbox::Fault::refuse(
        mailbox::Step::Recipient,
        554,
        "5.7.1 <root@acme.test> Relay access denied",
    ));
    let refused = root.post(&test, json!({})).await.expect(200);
    let detail =
        "refused for good: 554 5.7.1, the server's policy forbids it (554 5.7.1 Relay access denied)";
    assert_eq!(refused.body, json!({"accepted": false, "detail": detail}));
    mailbox.fail(mailbox::Fault::Hang(mailbox::Step::Hello));
    let began = tokio::time::Instant::now();
    let refused = root.post(&test, json!({})).await.expect(200);
    assert_eq!(refused.body["accepted"], false);
    assert!(began.elapsed() < std::time::Duration::from_secs(5));
    mailbox.heal();
    for _ in 2..20 {
        root.post(&test, json!({})).await.expect(200);
    }
    let throttled = root.post(&test, json!({})).await.expect(429);
    assert!(throttled.header("retry-after").parse::<u32>().unwrap() > 3000);
}

#[tokio::test]
async fn a_server_of_a_tenant_is_none_of_the_inside() {
    let mailbox = Mailbox::start().await.unwrap();
    let scene = Scene::with(through(mailbox.port())).await;
    let (root, path) = (scene.root().await, scene.mail_path());
    let with = |more: &[(&str, Value)]| {
        let mut wanted = json!({"from": "hello@acme.test", "host": "smtp.acme.example"});
        more.iter().for_each(|(name, value)| wanted[*name] = value.clone());
        wanted
    };
    for (name, value) in [
        ("host", json!("127.0.0.1")),
        ("host", json!("localhost")),
        ("host", json!("::1")),
        ("host", json!("::ffff:10.0.0.1")),
        ("host", json!("169.254.169.254")),
        ("host", json!("10.0.0.1")),
        ("host", json!("smtp.acme.example:25")),
        ("host", json!("smtp.acme.example/x")),
        ("host", json!("SMTP.acme.example")),
        ("port", json!(22)),
        ("port", json!(0)),
        ("port", json!("x")),
        ("tls", json!("none")),
        ("tls", json!("tls")),
        ("from", json!("Acme <hello@acme.test>")),
        ("from", json!("hello@acme.test\r\nBcc: eve@evil.test")),
        ("reply_to", json!("help")),
        ("from_name", json!("Acme\r\nBcc: eve@evil.test")),
        ("password", json!("without a name")),
    ] {
        let refused = put(&root, &path, with(&[(name, value.clone())])).await.expect(400);
        assert!(refused.body[name].is_array(), "{name} {value}: {}", refused.body);
    }
    put(&root, &path, with(&[])).await.expect(200);
    // A name that means an address inside is found out when it is connected to.
    sender_of(&scene, "localhost", mailbox.port()).await;
    let error = scene.send(scene.reset(&scene.ada().await).await).await.unwrap_err();
    assert_eq!(error.to_string(), "the server has no address that tenants may reach");
    assert_eq!((SendMail::retry(&error), mailbox.connections()), (Retry::Again, 0));
}

/// A sender past every check, as a name that comes to mean another address.
async fn sender_of(scene: &Scene, host: &str, port: u16) {
    let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
    let sender = control::mail::sender::Sender {
        from: "hello@acme.test".into(),
        from_name: String::new(),
        reply_to: String::new(),
        host: host.into(),
        port,
        tls: control::settings::MailTls::None,
        username: String::new(),
        password: String::new().into(),
    };
    let operator = control::audit::Actor::operator();
    control::mail::sender::put(&scene.control, &mut tx, &operator, &sender).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn only_who_may_edit_the_tenant_sets_its_server() {
    let mailbox = Mailbox::start().await.unwrap();
    let scene = Scene::with(inside(mailbox.port())).await;
    let (path, body) = (scene.mail_path(), json!({"from": "hello@acme.test", "host": "smtp.acme.example"}));
    let co_admin = scene.member("co", "co-admin").await;
    let staff = scene.member("staff", "staff").await;
    co_admin.get(&path).await.expect(404);
    staff.get(&path).await.expect(403);
    for member in [&co_admin, &staff] {
        put(member, &path, body.clone()).await.expect(403);
        member.delete(&path).await.expect(403);
        member.post(&format!("{path}test/"), json!({})).await.expect(403);
    }
    // An administrator of another tenant finds none; one of the platform sets it, and a test goes to their own address.
    let neighbour = scene.neighbour(control::tenants::Isolation::Shared).await;
    let stranger = neighbour.root().await;
    put(&stranger, &path, body.clone()).await.expect(404);
    let platform = scene.platform().await;
    let name = format!("p{}", scene.tenant.slug);
    let profile = Profile {
        username: name.clone(),
        email: Some(format!("{name}@wardgate.test")),
        ..Profile::default()
    };
    let operator = platform.acting_as(&platform.person(profile, &["root-admin"]).await).await;
    put(&operator, &path, body).await.expect(200);
    operator.delete(&path).await.expect(204);
    operator.post(&format!("{path}test/"), json!({})).await.expect(200);
    assert_eq!(mailbox.received().pop().unwrap().to, [format!("{name}@wardgate.test")]);
    // A caller without an address cannot get a test mail.
    scene.member("bare", "root-admin").await.post(&format!("{path}test/"), json!({})).await.expect(400);
}

#[tokio::test]
async fn the_command_line_shows_sets_tests_and_removes_it() {
    let mailbox = Mailbox::start().await.unwrap();
    let scene = Scene::with(inside(mailbox.port())).await;
    let port = mailbox.port().to_string();
    let run = |arguments: &[&str], input: &str| {
        let mut cli = scene.cli();
        cli.variables.insert("WARDGATE_TENANT", scene.tenant.slug.to_string());
        cli.run(&[&["mail"], arguments].concat(), input)
    };
    assert_eq!(run(&["show"], "").expect(0).json, Value::Null);
    let set = ["set", "127.0.0.1", "--port", &port, "--tls", "none", "--from", "hello@acme.test"];
    let shown = run(&set, "").expect(0).json;
    assert_eq!((&shown["host"], &shown["has_password"]), (&json!("127.0.0.1"), &json!(false)));
    assert_eq!(run(&["show"], "").expect(0).json, shown);
    assert_eq!(run(&["test", "ada@acme.test"], "").expect(0).json["accepted"], true);
    assert_eq!(mailbox.received().pop().unwrap().from, "hello@acme.test");
    let secret = [&set[..], &["--username", "acme"]].concat();
    assert_eq!(run(&secret, "s3cret\n").expect(0).json["has_password"], true);
    mailbox.fail(mailbox::Fault::refuse(mailbox::Step::Recipient, 550, "5.1.1 no"));
    run(&["test", "ada@acme.test"], "").expect(1);
    run(&["remove"], "").expect(5);
    run(&["remove", "--yes"], "").expect(0);
    run(&["remove", "--yes"], "").expect(4);
}

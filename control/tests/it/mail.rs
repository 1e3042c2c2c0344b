//! Mail: what arrives, and the outcome for every behaviour of the server.

use std::time::Duration;

use chrono::TimeDelta;
use control::jobs::queue::{Job as _, Retry};
use control::jobs::runner;
use control::links::{self, Holder, LinkKind};
use control::mail::send::{ForgetMail, SendError, SendMail};
use control::mail::{FactorChange, Facts, MailId, MailKind, NewMail, Posted, Recipient, post};
use control::tenants::{self, Edit};
use control::users::{Profile, User};
use mailbox::{Credentials, Fault, Mailbox, Options, Step, Tls};
use reqwest::Method;
use serde_json::json;
use shared::tenant::settings::Settings;
use tokio_util::sync::CancellationToken;

use crate::mail_server::MailServer;
use crate::scene::Scene;

/// The variables of a control that sends through this port.
pub fn through(port: u16) -> Vec<(&'static str, String)> {
    vec![
        ("WARDGATE_MAIL_HOST", "127.0.0.1".into()),
        ("WARDGATE_MAIL_PORT", port.to_string()),
        ("WARDGATE_MAIL_TLS", "none".into()),
        ("WARDGATE_MAIL_FROM", "accounts@wardgate.test".into()),
        ("WARDGATE_MAIL_TIMEOUT_SECS", "2".into()),
    ]
}

impl Scene {
    pub async fn ada(&self) -> User {
        self.person(
            Profile {
                username: "ada".into(),
                email: Some("ada@acme.test".into()),
                first_name: "Ada".into(),
                last_name: "Lovelace".into(),
                ..Profile::default()
            },
            &["client"],
        )
        .await
    }

    /// Posts a letter, with a link of this kind to the user.
    pub async fn post(&self, kind: MailKind, to: Recipient, link: Option<LinkKind>, facts: Facts) -> Posted {
        let mut tx = self.control.db.tenant_tx(self.tenant.id).await.unwrap();
        let now = self.control.clock.now();
        let link = match (link, to.user) {
            (Some(kind), Some(user)) => {
                Some((kind, links::make(&mut tx, kind, Holder::User(user), now).await.unwrap()))
            }
            _ => None,
        };
        let posted = post(&mut tx, &self.control, NewMail { kind, to, link, facts }).await.unwrap();
        tx.commit().await.unwrap();
        posted
    }

    /// A mail to a user with the link that resets a password.
    pub async fn reset(&self, user: &User) -> MailId {
        let facts = Facts { username: user.username.expose().to_owned(), ..Facts::default() };
        let to = Recipient::user(user).unwrap();
        queued(self.post(MailKind::ResetPassword, to, Some(LinkKind::Reset), facts).await)
    }

    /// Runs the job of a mail, as the runner would.
    pub async fn send(&self, mail: MailId) -> Result<(), SendError> {
        SendMail { tenant: self.tenant.id, mail }.run(&self.control).await
    }

    /// How many mails of the tenant wait.
    pub async fn mails_left(&self) -> i64 {
        let mut tx = self.control.db.tenant_tx(self.tenant.id).await.unwrap();
        sqlx::query_scalar("select count(*) from mails where tenant_id = $1")
            .bind(self.tenant.id.uuid())
            .fetch_one(&mut *tx)
            .await
            .unwrap()
    }

    /// Changes settings by name, and reads the tenant again.
    pub async fn adjust(&mut self, changes: &[(&str, serde_json::Value)]) {
        let mut tx = self.control.db.tenant_tx(self.tenant.id).await.unwrap();
        let mut settings: Settings = self.tenant.settings.clone();
        for (name, value) in changes {
            settings.set(name, value).unwrap();
        }
        let edit = Edit { settings: Some(settings), ..Edit::default() };
        let operator = control::audit::Actor::operator();
        self.tenant = tenants::edit(&self.control, &mut tx, &operator, self.tenant.id, edit).await.unwrap();
        tx.commit().await.unwrap();
    }
}

pub fn queued(posted: Posted) -> MailId {
    match posted {
        Posted::Queued(mail) => mail,
        Posted::OverBudget => panic!("over budget"),
    }
}

/// The link of a kind.
fn link_of(kind: MailKind) -> Option<LinkKind> {
    match kind {
        MailKind::VerifyAddress => Some(LinkKind::Verify),
        MailKind::ResetPassword => Some(LinkKind::Reset),
        MailKind::Invitation => Some(LinkKind::Invite),
        MailKind::ConfirmNewAddress => Some(LinkKind::Address),
        MailKind::AddressChanging | MailKind::AddressChanged => Some(LinkKind::Undo),
        MailKind::NetworksRefused => Some(LinkKind::Network),
        MailKind::AlreadyRegistered
        | MailKind::OneTimePassword
        | MailKind::PasswordChanged
        | MailKind::SecondFactorChanged
        | MailKind::NewDevice
        | MailKind::SecondFactorDemanded
        | MailKind::Test => None,
    }
}

/// Facts that every template finds what it needs in. Each begins as a line of a template could.
fn facts() -> Facts {
    Facts {
        username: "@link ada&<b>".into(),
        password: Some("pass-<word>&1".to_owned().into()),
        by: "@link Grace <Hopper>".into(),
        role: "@code staff".into(),
        client: "192.0.2.7".into(),
        device: "Firefox on Linux <x>".into(),
        factor: FactorChange::Removed,
        ..Facts::default()
    }
}

#[tokio::test]
async fn every_kind_arrives_in_the_language_of_its_recipient() {
    let mailbox = Mailbox::start().await.unwrap();
    let mut scene = Scene::with(through(mailbox.port())).await;
    scene.adjust(&[("support", json!("help@acme.test"))]).await;
    let base = format!("https://shared.test/t/{}/account", scene.tenant.slug);
    for (at, (kind, language)) in
        MailKind::ALL.into_iter().flat_map(|kind| [(kind, "en-GB"), (kind, "de-AT")]).enumerate()
    {
        // An account of its own, since each has its budget.
        let profile = Profile {
            username: format!("u{at}"),
            email: Some(format!("u{at}@d{at}.test")),
            language: language.into(),
            ..Profile::default()
        };
        let user = scene.person(profile, &["client"]).await;
        let link = link_of(kind);
        let mail = queued(scene.post(kind, Recipient::user(&user).unwrap(), link, facts()).await);
        scene.send(mail).await.unwrap();
        let received = mailbox.received().pop().unwrap();
        let (text, html) = (received.text(), received.html());
        assert_eq!(received.to, [format!("u{at}@d{at}.test")]);
        assert!(!received.subject().is_empty() && received.subject().lines().count() == 1);
        let greets = if language == "en-GB" { "Hello," } else { "Guten Tag," };
        assert!(text.starts_with(greets), "{kind:?} {language}: {text}");
        assert!(html.contains(&format!("<html lang=\"{}\">", &language[..2])), "{html}");
        assert!(text.contains("help@acme.test") && html.contains("help@acme.test"));
        // Input of users is plain text: it becomes no link, code or tag.
        let (pages, tags) = (received.links(), html.matches("<a ").count());
        assert_eq!((pages.len(), tags), (usize::from(link.is_some()), usize::from(link.is_some())), "{text}");
        if let (Some(link), Some(page)) = (link, pages.first()) {
            assert_eq!(page.page, format!("{base}/{}/", link.as_str()));
            assert_eq!(page.token.as_ref().unwrap().len(), 43);
            assert!(html.contains(&format!("href=\"{}\"", page.url)), "{html}");
        }
        let code = kind == MailKind::OneTimePassword;
        assert_eq!(text.lines().any(|line| line == "    pass-<word>&1"), code, "{text}");
        assert_eq!(html.contains("pass-&#60;word&#62;&#38;1</code>"), code, "{html}");
        for raw in ["<b>", "<Hopper>", "<x>", "{{", "{%", "<img", "src="] {
            assert!(!html.contains(raw), "{kind:?} {language} {raw}: {html}");
        }
        // A mail to an address that is not proven has none of the words of who asked for it.
        let stranger = matches!(kind, MailKind::VerifyAddress | MailKind::ConfirmNewAddress);
        assert!(!(stranger && text.contains("ada&<b>")), "{text}");
    }
    assert_eq!(scene.mails_left().await, 0);
}

#[tokio::test]
async fn the_head_says_who_what_and_that_no_answer_is_wanted() {
    let mailbox = Mailbox::start().await.unwrap();
    let scene = Scene::with(through(mailbox.port())).await;
    let mail = scene.reset(&scene.ada().await).await;
    scene.send(mail).await.unwrap();
    let received = mailbox.received().pop().unwrap();
    let slug = scene.tenant.slug.as_str();
    assert_eq!(received.message_id(), format!("{mail}@wardgate.test"));
    assert_eq!(received.from, "accounts@wardgate.test");
    assert_eq!(received.addresses("From"), [(slug.to_owned(), "accounts@wardgate.test".to_owned())]);
    assert_eq!(received.addresses("To"), [("Ada Lovelace".to_owned(), "ada@acme.test".to_owned())]);
    assert_eq!(received.header("List-Id").unwrap(), format!("<account.{slug}.wardgate.test>"));
    assert_eq!(received.header("Auto-Submitted").unwrap(), "auto-generated");
    assert!(received.header("Date").is_some() && received.header("Reply-To").is_none());
    let mut names: Vec<_> = received.all_headers().into_iter().map(|(name, _)| name.to_lowercase()).collect();
    names.sort();
    let before = names.len();
    names.dedup();
    assert_eq!(names.len(), before, "none twice: {names:?}");
    let logged = scene.logged().await;
    assert_eq!(logged.last().unwrap(), "mail.sent");
    assert!(!scene.rows().await.contains("ada@acme.test"), "nothing rests in clear");
}

#[tokio::test]
async fn what_waits_is_sealed_and_the_queue_names_nobody() {
    let mailbox = Mailbox::start().await.unwrap();
    let scene = Scene::with(through(mailbox.port())).await;
    let ada = scene.ada().await;
    scene.reset(&ada).await;
    let rows = scene.rows().await;
    assert!(!rows.contains("ada@acme.test") && !rows.contains("Lovelace"), "sealed");
    // A mail goes with its account.
    let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
    control::users::delete(&scene.control, &mut tx, &control::audit::Actor::operator(), ada.id)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(scene.mails_left().await, 0);
}

#[tokio::test]
async fn a_mail_that_was_rolled_back_never_was() {
    let mailbox = Mailbox::start().await.unwrap();
    let scene = Scene::with(through(mailbox.port())).await;
    let ada = scene.ada().await;
    for _ in 0..10 {
        let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
        let to = Recipient::user(&ada).unwrap();
        let letter = NewMail { kind: MailKind::ResetPassword, to, link: None, facts: Facts::default() };
        assert!(matches!(post(&mut tx, &scene.control, letter).await.unwrap(), Posted::Queued(_)));
    }
    assert_eq!(scene.mails_left().await, 0);
}

/// Every way in which a server can fail for now, and the mail arrives once it is well: with one Message-ID, byte for byte.
#[tokio::test]
async fn a_server_that_fails_for_now_gets_the_same_message_again() {
    let mailbox = Mailbox::start().await.unwrap();
    let scene = Scene::with(through(mailbox.port())).await;
    let steps = [Step::Connect, Step::Hello, Step::Mail, Step::Recipient, Step::Data, Step::Message];
    let mut faults = vec![Fault::cut_after_data(), Fault::Hang(Step::Message), Fault::Hang(Step::Connect)];
    faults.extend(steps.map(|step| Fault::refuse(step, 421, "4.3.2 ada@acme.test: later")));
    faults.extend(steps.map(|step| Fault::refuse(step, 451, "4.7.1 <ada@acme.test> greylisted")));
    faults.extend(steps.map(Fault::Cut));
    for (at, fault) in faults.into_iter().enumerate() {
        mailbox.clear();
        let profile = Profile {
            username: format!("u{at}"),
            email: Some(format!("ada@d{at}.test")),
            ..Profile::default()
        };
        let mail = scene.reset(&scene.person(profile, &["client"]).await).await;
        mailbox.fail(fault.clone());
        let error = scene.send(mail).await.unwrap_err();
        assert_eq!(SendMail::retry(&error), Retry::Again, "{fault:?}: {error}");
        assert!(!error.to_string().contains("ada"), "{error}");
        mailbox.heal();
        scene.send(mail).await.unwrap();
        let received = mailbox.received();
        let twice = matches!(fault, Fault::Cut(Step::Message) | Fault::Hang(Step::Message));
        assert_eq!(received.len(), if twice { 2 } else { 1 }, "{fault:?}");
        assert!(received.iter().all(|it| it.message_id() == format!("{mail}@wardgate.test")));
        assert!(received.iter().all(|it| it.raw == received[0].raw), "the same bytes");
        // Nothing is left to do.
        scene.send(mail).await.unwrap();
        assert_eq!(mailbox.received().len(), received.len());
    }
    assert_eq!(scene.mails_left().await, 0);
}

#[tokio::test]
async fn a_server_that_is_away_or_hangs_costs_a_bounded_time() {
    let mailbox = Mailbox::start().await.unwrap();
    let scene = Scene::with(through(mailbox.port())).await;
    let mail = scene.reset(&scene.ada().await).await;
    mailbox.down().await.unwrap();
    let error = scene.send(mail).await.unwrap_err();
    assert_eq!(error.to_string(), "the server cannot be reached: connection refused");
    mailbox.up().await.unwrap();
    for (step, said) in [(Step::Connect, "at its greeting"), (Step::Recipient, "for the message")] {
        mailbox.fail(Fault::Hang(step));
        let began = tokio::time::Instant::now();
        let error = scene.send(mail).await.unwrap_err();
        assert_eq!(error.to_string(), format!("the server did not answer in time {said}"));
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    }
    // A server that answers, and never comes to an end.
    mailbox.fail(Fault::Slow(Duration::from_millis(700)));
    let error = scene.send(mail).await.unwrap_err();
    assert_eq!(SendMail::retry(&error), Retry::Again, "{error}");
    mailbox.heal();
    // An hour later, the link is still valid for the minute that is left.
    scene.control.clock.advance(TimeDelta::minutes(59));
    scene.send(mail).await.unwrap();
    assert_eq!(mailbox.received().len(), 1);
}

#[tokio::test]
async fn a_refusal_for_good_says_why_and_names_nobody() {
    let mailbox = Mailbox::start().await.unwrap();
    let scene = Scene::with(through(mailbox.port())).await;
    let ada = scene.ada().await;
    for (step, code, text, why) in [
        (Step::Recipient, 550, "5.1.1 <ada@acme.test>: no such user", "550 5.1.1, there is no such mailbox"),
        (Step::Message, 554, "spam from accounts@wardgate.test", "554, the server does not take it"),
        (Step::Mail, 552, "5.2.2 ada is full", "552 5.2.2, the mailbox is full"),
    ] {
        let mail = scene.reset(&ada).await;
        mailbox.fail(Fault::refuse(step, code, text));
        let error = scene.send(mail).await.unwrap_err();
        assert_eq!(SendMail::retry(&error), Retry::ForGood);
        assert_eq!(error.to_string(), format!("refused for good: {why}"));
        assert_eq!(scene.logged().await.last().unwrap(), "mail.refused");
    }
    // A mail that failed because of a wrong setting is sent once that is repaired.
    scene.control.clock.advance(TimeDelta::hours(1));
    for (step, code) in [(Step::Connect, 554), (Step::Hello, 550), (Step::Mail, 530)] {
        let mail = scene.reset(&ada).await;
        mailbox.fail(Fault::refuse(step, code, "5.7.0 sign in first"));
        assert_eq!(SendMail::retry(&scene.send(mail).await.unwrap_err()), Retry::Again, "{step:?}");
    }
    // Kept for an operator until it expires.
    let kept = scene.mails_left().await;
    scene.control.clock.advance(TimeDelta::hours(1));
    mailbox.heal();
    scene.control.clock.advance(TimeDelta::hours(2));
    let mail = scene.reset(&ada).await;
    ForgetMail { tenant: scene.tenant.id, mail }.run(&scene.control).await.unwrap();
    assert_eq!((kept, scene.mails_left().await), (6, 6));
}

#[tokio::test]
async fn a_mail_that_nobody_needs_any_more_is_dropped() {
    let mailbox = Mailbox::start().await.unwrap();
    let scene = Scene::with(through(mailbox.port())).await;
    let ada = scene.ada().await;
    let mail = scene.reset(&ada).await;
    scene.control.clock.advance(TimeDelta::minutes(61));
    scene.send(mail).await.unwrap();
    assert_eq!((mailbox.received().len(), scene.mails_left().await), (0, 0));
}

#[tokio::test]
async fn mail_that_is_off_waits() {
    let scene = Scene::new().await;
    let mail = scene.reset(&scene.ada().await).await;
    let error = scene.send(mail).await.unwrap_err();
    assert!(matches!(SendMail::retry(&error), Retry::Later(_)), "{error}");
    assert!(error.to_string().starts_with("mail is off: WARDGATE_MAIL_HOST"), "{error}");
}

/// The queue, as it runs: what a server refuses is a dead letter, and what it could not take arrives later.
#[tokio::test]
async fn the_queue_sends_what_it_can_and_keeps_what_is_refused() {
    let mailbox = Mailbox::start().await.unwrap();
    let scene = Scene::under(through(mailbox.port()), tenants::Isolation::Schema).await;
    let ada = scene.ada().await;
    let stop = CancellationToken::new();
    let running = tokio::spawn(runner::run(scene.control.clone(), stop.clone()));
    mailbox.fail_times(Fault::refuse(Step::Recipient, 450, "4.2.1 later"), 1);
    let first = scene.reset(&ada).await;
    let received = mailbox.until(1).await;
    assert_eq!(received[0].message_id(), format!("{first}@wardgate.test"));
    mailbox.fail(Fault::refuse(Step::Recipient, 550, "5.1.1 <ada@acme.test> unknown"));
    let second = scene.reset(&ada).await;
    let dead = || async {
        let mut admin = scene.database.admin().await;
        sqlx::query_scalar::<_, String>(
            "select reason from platform.queue
             where kind = 'send_mail' and state = 'dead' and payload ->> 'mail' = $1",
        )
        .bind(second.to_string())
        .fetch_optional(&mut admin)
        .await
        .unwrap()
    };
    let reason = loop {
        match dead().await {
            Some(reason) => break reason,
            None => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    assert_eq!(reason, "refused for good: 550 5.1.1, there is no such mailbox");
    stop.cancel();
    running.await.unwrap();
    assert_eq!(scene.mails_left().await, 1);
}

#[tokio::test]
async fn a_connection_is_encrypted_and_its_certificate_is_checked() {
    for tls in [Tls::Start, Tls::Implicit] {
        let credentials = Credentials { user: "wardgate".into(), password: "s3cret".into() };
        let options = Options { tls, credentials: Some(credentials), ..Options::default() };
        let mailbox = Mailbox::with(options).await.unwrap();
        let word = if tls == Tls::Start { "starttls" } else { "implicit" };
        let file = std::env::temp_dir().join(format!("wardgate-ca-{}.pem", mailbox.port()));
        std::fs::write(&file, mailbox.authority()).unwrap();
        let with = |more: &[(&'static str, &str)]| {
            let mut variables = through(mailbox.port());
            variables.push(("WARDGATE_MAIL_TLS", word.into()));
            variables.push(("WARDGATE_MAIL_HOST", "localhost".into()));
            variables.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
            variables
        };
        let (user, password) = (("WARDGATE_MAIL_USERNAME", "wardgate"), "WARDGATE_MAIL_PASSWORD");
        let trusted = ("WARDGATE_MAIL_CA_FILE", file.to_str().unwrap());
        for (more, said) in [
            (vec![user, (password, "s3cret")], "the server's certificate is not trusted"),
            (vec![trusted, user, (password, "wrong")], "not taken at the sign-in: 535"),
            (vec![trusted], "not taken for the message: 530"),
        ] {
            let scene = Scene::with(with(&more)).await;
            let mail = scene.reset(&scene.ada().await).await;
            let error = scene.send(mail).await.unwrap_err();
            assert!(error.to_string().starts_with(said), "{tls:?}: {error}");
            assert_eq!((SendMail::retry(&error), mailbox.received().len()), (Retry::Again, 0));
        }
        let scene = Scene::with(with(&[trusted, user, (password, "s3cret")])).await;
        scene.send(scene.reset(&scene.ada().await).await).await.unwrap();
        let received = mailbox.received().pop().unwrap();
        assert!(received.tls);
        assert_eq!(received.user.as_deref(), Some("wardgate"));
        std::fs::remove_file(file).unwrap();
    }
    // No credentials are sent to a server that offers no TLS: an attacker may have removed the offer.
    let mailbox = Mailbox::start().await.unwrap();
    let mut variables = through(mailbox.port());
    variables.push(("WARDGATE_MAIL_TLS", "starttls".into()));
    let scene = Scene::with(variables).await;
    let error = scene.send(scene.reset(&scene.ada().await).await).await.unwrap_err();
    assert_eq!(error.to_string(), "the server has no STARTTLS");
}

#[tokio::test]
async fn an_address_beyond_ascii_needs_a_server_that_takes_it() {
    let mailbox = Mailbox::with(Options { utf8: false, ..Options::default() }).await.unwrap();
    let scene = Scene::with(through(mailbox.port())).await;
    let person = |name: &str, email: &str| Profile {
        username: name.into(),
        email: Some(email.into()),
        ..Profile::default()
    };
    let domain = scene.person(person("a", "Ada@bücher.example"), &["client"]).await;
    scene.send(scene.reset(&domain).await).await.unwrap();
    assert_eq!(mailbox.received().pop().unwrap().to, ["Ada@xn--bcher-kva.example"]);
    let local = scene.person(person("b", "größe@acme.test"), &["client"]).await;
    let error = scene.send(scene.reset(&local).await).await.unwrap_err();
    assert_eq!(SendMail::retry(&error), Retry::ForGood, "{error}");
}

/// Names that would be headers, addresses or another direction of the text arrive as text, as a library that is not ours
/// reads them.
#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table of names")]
async fn a_name_arrives_as_text_and_nothing_else() {
    let mut server = tokio::task::spawn_blocking(MailServer::start).await.unwrap();
    let mut scene = Scene::with(through(server.port)).await;
    let names = [
        ("Ada\r\nBcc: eve@evil.test", "Ada Bcc: eve@evil.test"),
        ("Ada\nSubject: x\n\nbody", "Ada Subject: x body"),
        ("Ada\rX: y", "Ada X: y"),
        ("\"Ada\" <eve@evil.test>, \\", "\"Ada\" <eve@evil.test>, \\"),
        ("eve@evil.test", "eve@evil.test"),
        ("=?utf-8?q?Eve?=", "=?utf-8?q?Eve?="),
        ("Žofie Müller 李 \u{1f469}", "Žofie Müller 李 \u{1f469}"),
        ("\u{202e}adA\u{202c} \u{2066}x\u{2069}", "adA x"),
        ("Ada\u{2028}Bcc: x\u{85}y\0z", "Ada Bcc: x y z"),
        ("(comment) Ada; group: x;", "(comment) Ada; group: x;"),
    ];
    let long = ("ü".repeat(254), "ü".repeat(100));
    let spaced = ("Ada ".repeat(64), "Ada ".repeat(25).trim().to_owned());
    let names = names.map(|(name, arrives)| (name.to_owned(), arrives.to_owned()));
    let expected = [
        "message-id",
        "date",
        "from",
        "to",
        "subject",
        "list-id",
        "auto-submitted",
        "x-auto-response-suppress",
        "mime-version",
        "content-type",
    ];
    for (at, (name, arrives)) in names.into_iter().chain([long, spaced]).enumerate() {
        scene.rename(&name).await;
        let user = scene.person(
            Profile {
                username: format!("u{at}"),
                email: Some(format!("u{at}@d{at}.test")),
                ..Profile::default()
            },
            &["client"],
        );
        let to = Recipient { name: name.clone(), ..Recipient::user(&user.await).unwrap() };
        let facts =
            Facts { username: name.clone(), by: name.clone(), role: name.clone(), ..Facts::default() };
        let mail = queued(scene.post(MailKind::Invitation, to, None, facts).await);
        scene.send(mail).await.unwrap();
        let received = server.received();
        let names: Vec<_> = received["names"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it.as_str().unwrap().to_lowercase())
            .collect();
        let mut sorted = (names.clone(), expected.to_vec());
        sorted.0.sort();
        sorted.1.sort_unstable();
        assert_eq!(sorted.0, sorted.1, "{name:?}");
        // A text that looks like an encoded word gets a blank, or it would be decoded.
        let shown = arrives.replace("=?", "= ?");
        // Python keeps the blanks between the encoded words of a long name (its issue 79728).
        let joined = |list: &str| -> serde_json::Value {
            let name = received[list][0][0].as_str().unwrap();
            let long = !arrives.is_ascii() && arrives.len() > 75;
            let name = if long { name.replace(' ', "") } else { name.to_owned() };
            json!([[name, received[list][0][1]]])
        };
        assert_eq!(joined("To"), json!([[shown, format!("u{at}@d{at}.test")]]), "{name:?}");
        assert_eq!(joined("From"), json!([[shown, "accounts@wardgate.test"]]), "{name:?}");
        assert_eq!(received["defects"], json!([]), "{name:?}: {received}");
        assert_eq!(
            (&received["from"], &received["to"]),
            (&json!("accounts@wardgate.test"), &json!([format!("u{at}@d{at}.test")]))
        );
        assert_eq!((&received["type"], &received["ascii"]), (&json!("multipart/alternative"), &json!(true)));
        assert!(received["longest"].as_u64().unwrap() <= 998, "{received}");
        let subject = received["headers"].as_array().unwrap().iter().find(|it| it[0] == "Subject").unwrap();
        assert_eq!(subject[1], json!(format!("Invitation to {shown}")), "{name:?}");
        let parts = received["parts"].as_array().unwrap();
        assert_eq!((&parts[0][0], &parts[1][0]), (&json!("text/plain"), &json!("text/html")));
        assert!(
            parts[0][1].as_str().unwrap().contains(&format!("You are invited to {arrives} by {arrives}")),
            "{parts:?}"
        );
        assert!(!parts[1][1].as_str().unwrap().contains("<eve"), "{parts:?}");
    }
}

impl Scene {
    /// Gives the tenant a name past every check: one that was stored before there was any.
    async fn rename(&mut self, name: &str) {
        let name = name.replace('\0', "\u{1}");
        sqlx::query("update platform.tenants set name = $2 where id = $1")
            .bind(self.tenant.id.uuid())
            .bind(&name)
            .execute(&mut self.database.admin().await)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_link_leads_where_the_tenant_says_and_nowhere_else() {
    let mailbox = Mailbox::start().await.unwrap();
    let mut scene = Scene::with(through(mailbox.port())).await;
    let admin = scene.member("root", "root-admin").await;
    let path = format!("/api/tenant/tenants/{}/", scene.tenant.id);
    let set = |settings| admin.patch(&path, json!({ "settings": settings }));
    let refused = set(json!({"reset_url": "https://app.acme.test/reset"})).await.expect(400);
    assert_eq!(
        refused.body["reset_url"],
        json!(["\"https://app.acme.test\" is not on the list of origins."])
    );
    let settings =
        json!({"origins": ["https://app.acme.test"], "reset_url": "https://app.acme.test/reset?x=1"});
    let answer = set(settings).await.expect(200);
    assert_eq!(answer.body["settings"]["reset_url"], "https://app.acme.test/reset?x=1");
    set(json!({"origins": []})).await.expect(400);
    let ada = scene.ada().await;
    scene.send(scene.reset(&ada).await).await.unwrap();
    assert_eq!(mailbox.received().pop().unwrap().link().page, "https://app.acme.test/reset?x=1");
    // A host of the tenant's own, where no page is set.
    let hosts = Edit {
        hosts: Some(vec![shared::ids::HostName::parse(&format!("{}.example", scene.tenant.slug)).unwrap()]),
        ..Edit::default()
    };
    let mut tx = scene.control.db.tenant_tx(scene.tenant.id).await.unwrap();
    let operator = control::audit::Actor::operator();
    scene.tenant = tenants::edit(&scene.control, &mut tx, &operator, scene.tenant.id, hosts).await.unwrap();
    tx.commit().await.unwrap();
    set(json!({"reset_url": null})).await.expect(200);
    scene.send(scene.reset(&ada).await).await.unwrap();
    let page = format!("https://{}.example/account/reset/", scene.tenant.slug);
    assert_eq!(mailbox.received().pop().unwrap().link().page, page);
}

#[tokio::test]
async fn a_user_has_a_language() {
    let scene = Scene::new().await;
    let admin = scene.member("root", "root-admin").await;
    let made =
        admin.post("/api/user/users/", json!({"username": "ada", "language": "DE-at"})).await.expect(201);
    assert_eq!(made.body["language"], "de-AT");
    let path = format!("/api/user/users/{}/", made.id());
    let fault = json!({"language": ["Enter a language tag, as de or pt-BR."]});
    for bad in ["de_AT", "x", "deutschland", "de\r\nX: y"] {
        let refused = admin.patch(&path, json!({"language": bad})).await.expect(400);
        assert_eq!(refused.body, fault, "{bad}");
    }
    assert_eq!(admin.patch(&path, json!({"language": "fr"})).await.expect(200).body["language"], "fr");
    assert_eq!(admin.patch(&path, json!({"language": ""})).await.expect(200).body["language"], "");
    let whole = admin.call(Method::PUT, &path, Some(json!({"username": "ada"}))).await.expect(200);
    assert_eq!(whole.body["language"], "");
    let ada = scene.acting_as(&scene.user(made.id()).await).await;
    assert_eq!(ada.get("/api/user/me/").await.expect(200).body["language"], "");
}

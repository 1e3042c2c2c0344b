//! Second factors on the command line, and the words of mails about them.

use control::mail::{FactorChange, Facts, MailKind, Recipient};
use mailbox::Mailbox;
use serde_json::json;

use crate::mail::{queued, through};
use crate::scene::Scene;

#[tokio::test]
async fn an_operator_shows_and_resets_a_second_factor() {
    let scene = Scene::new().await;
    let ada = scene.enrolled("ada", "staff").await;
    let mut cli = scene.cli();
    cli.variables.insert("WARDGATE_TENANT", scene.tenant.slug.to_string());
    let shown = cli.run(&["user", "mfa", "show", "ada"], "").expect(0).json;
    assert_eq!((&shown["enabled"], &shown["required"]), (&json!(true), &json!(false)));
    assert_eq!(
        (&shown["authenticators"][0]["name"], &shown["recovery_codes_left"]),
        (&json!("Phone"), &json!(10))
    );
    cli.run(&["user", "mfa", "show", "nobody"], "").expect(4);
    cli.run(&["user", "mfa", "reset", "ada"], "").expect(5);
    assert!(scene.user(ada.member.id).await.mfa_enabled, "not without --yes");
    let reset = cli.run(&["user", "mfa", "reset", "ada", "--yes"], "").expect(0).json;
    assert_eq!(reset["authenticators_removed"], 1);
    assert!(scene.row_at_edge(ada.member.id).await.authenticators.is_empty());
    let shown = cli.run(&["user", "mfa", "show", "ada"], "").expect(0).json;
    assert_eq!((&shown["enabled"], &shown["recovery_codes_left"]), (&json!(false), &json!(0)));
    assert_eq!(scene.factor_mails().await, ["added", "removed"]);
}

#[tokio::test]
async fn an_operator_needs_a_reason_too() {
    let scene = Scene::new().await;
    let cli = scene.cli();
    let slug = scene.tenant.slug.to_string();
    let edit = |more: &[&str]| cli.run(&[&["tenant", "edit", slug.as_str()], more].concat(), "");
    edit(&["--set", "second_factor_roles=root-admin,staff"]).expect(0);
    let refused = edit(&["--set", "second_factor_roles=staff"]).expect(5);
    assert!(refused.stderr.contains("say why"), "{}", refused.stderr);
    edit(&["--set", "second_factor_roles=staff", "--reason", "Ticket 4711"]).expect(0);
    let shown = cli.run(&["tenant", "show", &slug], "").expect(0).json;
    assert_eq!(shown["settings"]["second_factor_roles"], json!(["staff"]));
    edit(&["--set", "second_factor_from=soon"]).expect(5);
    edit(&["--set", "second_factor_from=2999-01-01T00:00:00Z"]).expect(0);
    edit(&["--set", "second_factor_from="]).expect(0);
    edit(&["--set", "second_factor_roles=king"]).expect(5);
}

#[tokio::test]
async fn a_new_tenant_demands_a_second_factor_of_its_administrators() {
    let scene = Scene::alone().await;
    let cli = scene.cli();
    let roles = |slug: &str, more: &[&str]| {
        let made = cli.run(&[&["tenant", "create", slug], more].concat(), "").expect(0).json;
        made["settings"].get("second_factor_roles").cloned()
    };
    assert_eq!(roles("beta", &[]), Some(json!(["root-admin", "co-admin"])));
    assert_eq!(roles("gamma", &["--set", "second_factor_roles="]), None);
    assert_eq!(roles("delta", &["--set", "second_factor_roles=*"]), Some(json!(["*"])));
}

#[tokio::test]
async fn mails_say_what_happened_to_a_second_factor() {
    let mailbox = Mailbox::start().await.unwrap();
    let scene = Scene::with(through(mailbox.port())).await;
    for (at, (factor, english, german)) in [
        (FactorChange::Added, "A second factor was added to your account", "hinzugefügt"),
        (FactorChange::Removed, "A second factor was removed from your account", "entfernt"),
        (FactorChange::CodesMade, "New recovery codes were made for your account", "erstellt"),
        (FactorChange::Remembered, "A browser that needs no code for some days was remembered", "gemerkt"),
        (FactorChange::CodeUsed, "Codes that you have left: 7.", "Codes, die Ihnen bleiben: 7."),
    ]
    .into_iter()
    .enumerate()
    {
        for (language, words) in [("en", english), ("de", german)] {
            let profile = control::users::Profile {
                username: format!("u{at}{language}"),
                email: Some(format!("u@d{at}{language}.test")),
                language: language.into(),
                ..Default::default()
            };
            let user = scene.person(profile, &["client"]).await;
            let facts = Facts { factor, codes_left: 7, ..Facts::default() };
            let to = Recipient::user(&user).unwrap();
            let mail = queued(scene.post(MailKind::SecondFactorChanged, to, None, facts).await);
            scene.send(mail).await.unwrap();
            let text = mailbox.received().pop().unwrap().text();
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(text.contains(words), "{text}");
        }
    }
}

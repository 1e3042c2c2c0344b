//! What is asked and answered (RFC 5321).

use mailbox::{Credentials, Mailbox, Options};

use crate::client::{Client, MESSAGE};

#[tokio::test]
async fn a_mail_is_kept_as_it_was_sent() {
    let mailbox = Mailbox::start().await.unwrap();
    let mut client = Client::connect(mailbox.port()).await;
    assert_eq!(client.mail(MESSAGE).await, "250 2.0.0 Kept\r\n");
    client.expect("QUIT", "221 ").await;
    assert_eq!(client.reply().await, "", "the connection is closed");
    let [mail] = &mailbox.until(1).await[..] else { panic!("one mail") };
    assert_eq!((mail.from.as_str(), &mail.to[..]), ("no-reply@acme.test", &["ada@acme.test".to_owned()][..]));
    assert_eq!(String::from_utf8_lossy(&mail.raw), MESSAGE);
    assert_eq!((mail.tls, &mail.user), (false, &None));
    assert_eq!(mailbox.received_by("ADA@acme.test").len(), 1);
    assert_eq!(mailbox.received_by("bob@acme.test").len(), 0);
    mailbox.clear();
    assert_eq!(mailbox.received().len(), 0);
}

/// Only a dot between two ends of lines ends a message: what else looks like it, smuggles a second one into
/// servers that are less strict.
#[tokio::test]
async fn dots_and_ends_of_lines_are_taken_literally() {
    let mailbox = Mailbox::start().await.unwrap();
    let mut client = Client::connect(mailbox.port()).await;
    for (sent, kept) in [
        ("..\r\n", ".\r\n"),
        ("a\r\n..b\r\n", "a\r\n.b\r\n"),
        ("a\n.\nb\r\n", "a\n.\nb\r\n"),
        ("a\n.\r\nMAIL FROM:<x@y>\r\n", "a\n.\r\nMAIL FROM:<x@y>\r\n"),
        ("", ""),
        ("\r\n", "\r\n"),
    ] {
        mailbox.clear();
        assert!(client.mail(sent).await.starts_with("250 "), "{sent:?}");
        assert_eq!(String::from_utf8_lossy(&mailbox.received()[0].raw), kept, "{sent:?}");
    }
}

#[tokio::test]
async fn commands_have_an_order() {
    let mailbox = Mailbox::start().await.unwrap();
    let mut client = Client::connect(mailbox.port()).await;
    client.expect("MAIL FROM:<a@b.test>", "503 ").await;
    client.expect("HELO test", "250 ").await;
    client.expect("RCPT TO:<a@b.test>", "503 ").await;
    client.expect("MAIL FROM:<>", "250 ").await;
    client.expect("MAIL FROM:<a@b.test>", "503 ").await;
    client.expect("DATA", "503 ").await;
    client.expect("RSET", "250 ").await;
    client.expect("DATA", "503 ").await;
    client.expect("NOOP", "250 ").await;
    client.expect("FROB", "500 ").await;
    client.expect("MAIL FROM:a b", "501 ").await;
    client.expect("VRFY ada", "502 ").await;
    client.expect("STARTTLS", "502 ").await;
    client.expect("AUTH PLAIN AGFkYQBwdw==", "502 ").await;
    assert!(client.mail(MESSAGE).await.starts_with("250 "), "and after all that a mail");
}

#[tokio::test]
async fn commands_may_be_sent_ahead() {
    let mailbox = Mailbox::start().await.unwrap();
    let mut client = Client::connect(mailbox.port()).await;
    client.expect("EHLO test", "250-").await;
    client.send("MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nRCPT TO:<e@f.test>\r\nDATA\r\n").await;
    for begins in ["250 ", "250 ", "250 ", "354 "] {
        assert!(client.reply().await.starts_with(begins));
    }
    client.send("Subject: x\r\n\r\n.\r\nNOOP\r\n").await;
    assert!(client.reply().await.starts_with("250 2.0.0 Kept"));
    assert!(client.reply().await.starts_with("250 "));
    assert_eq!(mailbox.received()[0].to, ["c@d.test", "e@f.test"]);
}

#[tokio::test]
async fn what_is_offered_follows_the_options() {
    let plain = Mailbox::start().await.unwrap();
    let offered = Client::connect(plain.port()).await.say("EHLO test").await;
    assert!(offered.contains("8BITMIME") && offered.contains("SMTPUTF8") && offered.contains("SIZE"));
    assert!(!offered.contains("AUTH") && !offered.contains("STARTTLS"), "{offered}");
    let ascii = Mailbox::with(Options { utf8: false, ..Options::default() }).await.unwrap();
    assert!(!Client::connect(ascii.port()).await.say("EHLO test").await.contains("SMTPUTF8"));
}

#[tokio::test]
async fn a_server_with_credentials_demands_them() {
    let credentials = Some(Credentials { user: "ada".into(), password: "p\u{e4}ss".into() });
    let mailbox = Mailbox::with(Options { credentials, ..Options::default() }).await.unwrap();
    // base64 of `\0ada\0päss`, `\0ada\0pass`, `ada`, `päss` and `pass`.
    let (plain, wrong) = ("AGFkYQBww6Rzcw==", "AGFkYQBwYXNz");
    let (user, password, other) = ("YWRh", "cMOkc3M=", "cGFzcw==");
    let mut client = Client::connect(mailbox.port()).await;
    assert!(client.say("EHLO test").await.contains("AUTH"));
    client.expect("MAIL FROM:<a@b.test>", "530 ").await;
    client.expect(&format!("AUTH PLAIN {wrong}"), "535 ").await;
    client.expect("AUTH PLAIN *", "535 ").await;
    client.expect("AUTH CRAM-MD5", "504 ").await;
    client.expect("MAIL FROM:<a@b.test>", "530 ").await;
    client.expect("AUTH LOGIN", "334 VXNlcm5hbWU6").await;
    client.expect(user, "334 UGFzc3dvcmQ6").await;
    client.expect(other, "535 ").await;
    client.expect("AUTH LOGIN", "334 ").await;
    client.expect(user, "334 ").await;
    client.expect(password, "235 ").await;
    assert!(client.mail(MESSAGE).await.starts_with("250 "));
    for first in [format!("AUTH PLAIN {plain}"), "AUTH PLAIN".to_owned()] {
        let mut client = Client::connect(mailbox.port()).await;
        let reply = client.say(&first).await;
        let reply = if reply.starts_with("334 ") { client.say(plain).await } else { reply };
        assert!(reply.starts_with("235 "), "{reply}");
    }
    assert_eq!(mailbox.received()[0].user.as_deref(), Some("ada"));
}

#[tokio::test]
async fn a_line_without_an_end_and_a_client_that_leaves_harm_no_other() {
    let mailbox = Mailbox::start().await.unwrap();
    let mut endless = Client::connect(mailbox.port()).await;
    endless.send(vec![b'x'; 5000]).await;
    assert_eq!(endless.reply().await, "");
    let mut leaves = Client::connect(mailbox.port()).await;
    leaves.up_to_data().await;
    leaves.send("Subject: half").await;
    drop(leaves);
    assert!(Client::connect(mailbox.port()).await.mail(MESSAGE).await.starts_with("250 "));
    assert_eq!(mailbox.received().len(), 1);
    assert_eq!(mailbox.connections(), 3);
}

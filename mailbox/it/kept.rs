//! Mails in a folder.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, UNIX_EPOCH};

use mailbox::shown::{Line, Shown};
use mailbox::{Kept, Mailbox, Options, Received};

use crate::client::{Client, MESSAGE};

pub fn mail(to: &str, raw: &str) -> Received {
    Received {
        from: "no-reply@acme.test".into(),
        to: vec![to.into()],
        raw: raw.into(),
        at: UNIX_EPOCH + Duration::from_secs(1_800_000_000),
        tls: false,
        user: None,
    }
}

#[test]
fn what_was_kept_is_read_again_and_only_its_owner_can_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let mails = folder.path().join("mails");
    let sent = Received {
        raw: vec![0, 159, 146, 150, b'\r'],
        tls: true,
        user: Some("ada".into()),
        ..mail("a@b", "")
    };
    Kept::open(&mails, 10).unwrap().put(&sent).unwrap();
    let kept = Kept::open(&mails, 10).unwrap();
    assert_eq!(kept.last().unwrap(), Some((1, sent)));
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&mails), mode(&mails.join("00000001.json"))), (0o700, 0o600));
    kept.put(&mail("b@c", MESSAGE)).unwrap();
    assert_eq!(kept.numbers().unwrap(), [2, 1], "numbers go on after a restart");
}

#[test]
fn the_oldest_go() {
    let folder = tempfile::tempdir().unwrap();
    let kept = Kept::open(folder.path(), 3).unwrap();
    assert_eq!(kept.last().unwrap(), None);
    for number in 1..=5 {
        kept.put(&mail(&format!("{number}@b"), MESSAGE)).unwrap();
    }
    std::fs::write(folder.path().join("notes.txt"), "not a mail").unwrap();
    std::fs::write(folder.path().join("00000004.json"), "broken").unwrap();
    assert_eq!(kept.numbers().unwrap(), [5, 4, 3]);
    assert_eq!(kept.get(1), None);
    let lines: Vec<_> = Line::all(&kept).unwrap().iter().map(Line::text).collect();
    let expected = ["    5  2027-01-15T08:00:00Z  5@b  Hello", "    3  2027-01-15T08:00:00Z  3@b  Hello"];
    assert_eq!(lines, expected, "what cannot be read is left out");
    let (number, last) = kept.last().unwrap().unwrap();
    assert_eq!(
        Shown::of(number, &last).terminal(),
        "Number: 5\nReceived: 2027-01-15T08:00:00Z\nTo: 5@b\nSubject: Hello\n\nHi.\n"
    );
}

#[tokio::test]
async fn a_server_with_a_folder_keeps_mails_there() {
    let folder = tempfile::tempdir().unwrap();
    let kept = Kept::open(folder.path(), 10).unwrap();
    let mailbox = Mailbox::with(Options { kept: Some(kept.clone()), ..Options::default() }).await.unwrap();
    let clients = (0..8).map(|_| async { Client::connect(mailbox.port()).await.mail(MESSAGE).await });
    let clients: Vec<_> = clients.collect();
    for client in clients {
        assert!(client.await.starts_with("250 "));
    }
    assert_eq!(kept.numbers().unwrap(), [8, 7, 6, 5, 4, 3, 2, 1]);
    assert_eq!(mailbox.received().len(), 0);
    std::fs::remove_dir_all(folder.path()).unwrap();
    let reply = Client::connect(mailbox.port()).await.mail(MESSAGE).await;
    assert!(reply.starts_with("452 "), "what cannot be kept is not acknowledged: {reply}");
}

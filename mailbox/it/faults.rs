//! Failing on purpose.

use std::time::Duration;

use mailbox::{Fault, Mailbox, Step};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::client::{Client, MESSAGE};

/// Brings a client to this step and returns the reply there; empty if the server has closed the connection.
async fn reply_at(port: u16, step: Step) -> String {
    let mut client = Client::open(port).await;
    let greeting = client.reply().await;
    if step == Step::Connect {
        return greeting;
    }
    let commands = [
        (Step::Hello, "EHLO test"),
        (Step::Mail, "MAIL FROM:<a@b.test>"),
        (Step::Recipient, "RCPT TO:<ada@acme.test>"),
        (Step::Data, "DATA"),
        (Step::Message, "Subject: x\r\n\r\n."),
    ];
    for (at, command) in commands {
        let reply = client.say(command).await;
        if at == step {
            return reply;
        }
        assert!(reply.starts_with(['2', '3']), "{command}: {reply}");
    }
    unreachable!("{step:?}")
}

const STEPS: [Step; 6] = [Step::Connect, Step::Hello, Step::Mail, Step::Recipient, Step::Data, Step::Message];

#[tokio::test]
async fn it_refuses_at_every_step_and_keeps_nothing_that_it_refused() {
    let mailbox = Mailbox::start().await.unwrap();
    for (struck, step) in STEPS.into_iter().enumerate() {
        mailbox.fail(Fault::refuse(step, 451, "4.7.1 Later"));
        assert_eq!(reply_at(mailbox.port(), step).await, "451 4.7.1 Later\r\n", "{step:?}");
        assert_eq!(mailbox.struck(), struck + 1);
    }
    assert_eq!(mailbox.received().len(), 0);
    mailbox.heal();
    assert!(Client::connect(mailbox.port()).await.mail(MESSAGE).await.starts_with("250 "));
    // A refusal leaves the dialogue open, but for 421.
    mailbox.fail(Fault::refuse(Step::Mail, 550, "5.7.1 Never"));
    let mut client = Client::connect(mailbox.port()).await;
    client.expect("EHLO test", "250-").await;
    client.expect("MAIL FROM:<a@b.test>", "550 ").await;
    mailbox.fail(Fault::refuse(Step::Mail, 421, "4.3.2 Closing"));
    client.expect("MAIL FROM:<a@b.test>", "421 ").await;
    assert_eq!(client.reply().await, "");
}

#[tokio::test]
async fn it_cuts_at_every_step_and_keeps_what_was_whole() {
    let mailbox = Mailbox::start().await.unwrap();
    for step in STEPS {
        mailbox.fail(Fault::Cut(step));
        assert_eq!(reply_at(mailbox.port(), step).await, "", "{step:?}");
        assert_eq!(mailbox.received().len(), usize::from(step == Step::Message), "{step:?}");
    }
    assert_eq!(Fault::cut_after_data(), Fault::Cut(Step::Message));
}

#[tokio::test]
async fn it_hangs_until_the_client_gives_up() {
    let mailbox = Mailbox::start().await.unwrap();
    for step in STEPS {
        mailbox.fail(Fault::Hang(step));
        let hangs = tokio::spawn(reply_at(mailbox.port(), step));
        mailbox.until_struck(mailbox.struck() + 1).await;
        assert!(timeout(Duration::from_millis(50), hangs).await.is_err(), "{step:?}");
    }
    // Others are served meanwhile.
    mailbox.heal();
    assert!(Client::connect(mailbox.port()).await.mail(MESSAGE).await.starts_with("250 "));
}

#[tokio::test]
async fn it_is_slow_at_every_step() {
    let mailbox = Mailbox::start().await.unwrap();
    let delay = Duration::from_millis(60);
    mailbox.fail(Fault::Slow(delay));
    let start = Instant::now();
    assert!(Client::connect(mailbox.port()).await.mail(MESSAGE).await.starts_with("250 "));
    assert!(start.elapsed() >= 6 * delay, "greeting, EHLO, MAIL, RCPT, DATA, message: {:?}", start.elapsed());
    assert_eq!(mailbox.struck(), 6);
}

#[tokio::test]
async fn it_heals_by_itself_after_some_times() {
    let mailbox = Mailbox::start().await.unwrap();
    mailbox.fail_times(Fault::refuse(Step::Message, 451, "4.7.1 Later"), 2);
    let mut client = Client::connect(mailbox.port()).await;
    for begins in ["451 ", "451 ", "250 ", "250 "] {
        let reply = client.mail(MESSAGE).await;
        assert!(reply.starts_with(begins), "{reply}");
    }
    assert_eq!((mailbox.struck(), mailbox.received().len()), (2, 2));
}

#[tokio::test]
async fn it_goes_down_and_comes_back_on_its_port() {
    let mailbox = Mailbox::start().await.unwrap();
    let port = mailbox.port();
    for round in 1..=20 {
        let mut open = Client::connect(port).await;
        open.up_to_data().await;
        mailbox.down().await.unwrap();
        mailbox.down().await.unwrap();
        assert_eq!(open.reply().await, "", "what was open is cut");
        let refused = TcpStream::connect(("127.0.0.1", port)).await.expect_err("nobody listens");
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        mailbox.up().await.unwrap();
        mailbox.up().await.unwrap();
        assert!(Client::connect(port).await.mail(MESSAGE).await.starts_with("250 "));
        assert_eq!((mailbox.port(), mailbox.received().len()), (port, round));
    }
}

/// Several tests may share one, and it may be dropped anywhere.
#[test]
fn it_outlives_the_runtime_that_started_it() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mailbox = runtime().block_on(Mailbox::start()).unwrap();
    let reply = runtime().block_on(async { Client::connect(mailbox.port()).await.mail(MESSAGE).await });
    assert!(reply.starts_with("250 "));
    let port = mailbox.port();
    runtime().block_on(async { drop(mailbox) });
    let gone = || std::net::TcpStream::connect(("127.0.0.1", port)).is_err();
    assert!(
        (0..1000).any(|_| gone() || {
            std::thread::yield_now();
            false
        }),
        "the port is free"
    );
}

//! The page, over HTTP.

use std::net::{Ipv4Addr, SocketAddr};

use mailbox::{Kept, page};
use reqwest::header::{HOST, HeaderMap};
use tokio::net::TcpListener;

use crate::kept::mail;

struct Page {
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }
}

impl Page {
    async fn with(mails: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::open(folder.path(), 10).unwrap();
        for raw in mails {
            kept.put(&mail("<i>@b.test", raw)).unwrap();
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = page::router(kept, address.port());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, _folder: folder }
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(path, &format!("127.0.0.1:{}", self.address.port())).await
    }

    async fn ask(&self, path: &str, host: &str) -> Answer {
        let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        let request =
            client.build().unwrap().get(format!("http://{}{path}", self.address)).header(HOST, host);
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer { status, headers, text: response.text().await.unwrap() }
    }
}

const EVIL: &str = "Subject: <script>alert(1)</script> \"x\"\r\nX-Evil: <img src=x onerror=alert(2)>\r\n\
    MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n\
    --b\r\nContent-Type: text/plain\r\n\r\n</pre><script>alert(3)</script>\r\nhttps://id.test/#token=a'b\r\n\
    javascript:alert(4)\r\n\
    --b\r\nContent-Type: text/html\r\n\r\n<script>alert(5)</script><p>Hello</p>\r\n--b--\r\n";

#[tokio::test]
async fn mails_are_listed_and_shown() {
    let page = Page::with(&["Subject: first\r\n\r\nx\r\n", EVIL]).await;
    assert_eq!((page.get("/").await.status, page.get("/").await.header("location")), (303, "/mail"));
    let list = page.get("/mail").await;
    assert_eq!(list.status, 200);
    let (newest, oldest) = (list.text.find("/mail/2").unwrap(), list.text.find("/mail/1").unwrap());
    assert!(newest < oldest, "the newest first");
    let one = page.get("/mail/2").await;
    assert_eq!(one.status, 200);
    assert!(one.text.contains("href=\"https://id.test/#token=a&#39;b\""), "{}", one.text);
    let html = page.get("/mail/2/html").await;
    assert!(html.text.contains("<p>Hello</p>"));
    let raw = page.get("/mail/2/raw").await;
    assert_eq!((raw.text.as_str(), raw.header("content-type")), (EVIL, "text/plain; charset=utf-8"));
    for path in ["/mail/3", "/mail/3/html", "/mail/3/raw", "/other"] {
        assert_eq!(page.get(path).await.status, 404, "{path}");
    }
    assert!(Page::with(&[]).await.get("/mail/").await.text.contains("There is no mail yet."));
}

#[tokio::test]
async fn what_a_mail_says_runs_nowhere() {
    let page = Page::with(&[EVIL]).await;
    for path in ["/mail", "/mail/1"] {
        let answer = page.get(path).await;
        assert!(!answer.text.contains("<script") && !answer.text.contains("<img"), "{path}: {}", answer.text);
        assert!(!answer.text.contains("<i>") && !answer.text.contains("href=\"javascript"), "{path}");
        let policy = answer.header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
    }
    assert!(page.get("/mail/1").await.text.contains("<iframe sandbox "));
    let policy = page.get("/mail/1/html").await.header("content-security-policy").to_owned();
    assert!(policy.starts_with("sandbox; default-src 'none'") && !policy.contains("script"), "{policy}");
}

#[tokio::test]
async fn only_the_machines_own_names_are_answered() {
    let page = Page::with(&[EVIL]).await;
    let port = page.address.port();
    for host in [format!("127.0.0.1:{port}"), format!("localhost:{port}"), format!("LOCALHOST:{port}")] {
        assert_eq!(page.ask("/mail", &host).await.status, 200, "{host}");
    }
    for host in [
        format!("evil.test:{port}"),
        "127.0.0.1".to_owned(),
        format!("127.0.0.1:{}", port - 1),
        format!("127.0.0.1.evil.test:{port}"),
        format!("localhost:{port}.evil.test"),
    ] {
        for path in ["/", "/mail", "/mail/1", "/mail/1/html", "/mail/1/raw", "/style.css", "/other"] {
            let refused = page.ask(path, &host).await;
            assert_eq!(refused.status, 403, "{host} {path}");
            assert!(!refused.text.contains("token"), "{host} {path}");
        }
    }
    for path in ["/mail", "/mail/1", "/mail/1/html", "/mail/1/raw"] {
        let answer = page.get(path).await;
        assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin", "{path}");
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
    }
}

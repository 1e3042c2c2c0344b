//! How long a request takes that names an account, an address or a link tells nothing of those that there are: judged by
//! ranks over interleaved requests, with a mail server that is up, one that never answers, and none.

use std::net::Ipv4Addr;

use futures::{StreamExt as _, stream};
use mailbox::Mailbox;
use rand::rngs::StdRng;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use wardgate_tests::actors::Tenant;
use wardgate_tests::environment::scaled;
use wardgate_tests::http::{Reply, served};
use wardgate_tests::ranks::Sample;
use wardgate_tests::seed;
use wardgate_tests::stack::{Stack, free_port};

/// Requests of each kind at one tenant: with all kinds of a route they stay below what strangers may ask for in a minute.
const LOT: usize = 30;
/// Mails that an account gets in an hour, and more domains than mails of a minute need.
const MAILS: usize = 3;
const DOMAINS: usize = 20;
const PASSWORD: &str = "correct horse battery staple";
/// What a kind would take longer, as a part of the whole, is seen. A busy machine may need so many times as many lots for it.
const SHARE: f64 = 0.5;
const MORE: usize = 5;

/// A route that is asked about names, addresses or links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Register,
    Reset,
    Resend,
    Verify,
    Invite,
}

impl Route {
    const ALL: [Self; 5] = [Self::Register, Self::Reset, Self::Resend, Self::Verify, Self::Invite];

    fn path(self) -> &'static str {
        match self {
            Self::Register => "/api/user/public-register/",
            Self::Reset => "/api/user/password/reset/",
            Self::Resend => "/api/user/email/verify/resend/",
            Self::Verify => "/api/user/email/verify/",
            Self::Invite => "/api/user/invitations/",
        }
    }

    /// What its requests name. `known` is the proven address of a user, `claimed` one that its user has not proven,
    /// `waiting` that of a registration, and `spent` one that has had its mails of this hour. `named` is a free address with
    /// a user name that is taken.
    fn kinds(self) -> &'static [&'static str] {
        match self {
            Self::Register => &["unknown", "known", "spent", "claimed", "named", "waiting"],
            Self::Reset => &["unknown", "known", "spent", "claimed", "suspended"],
            Self::Resend => &["unknown", "waiting", "claimed", "known"],
            Self::Verify => &["unknown", "used", "replaced", "elsewhere"],
            Self::Invite => &["unknown", "known", "claimed", "invited"],
        }
    }
}

/// A tenant and its users, for one lot of requests.
struct Lot<'s> {
    acme: Tenant<'s>,
    links: &'s Links<'s>,
}

impl<'s> Lot<'s> {
    async fn make(stack: &'s Stack, links: &'s Links<'s>) -> Self {
        let lot = Self { acme: open_tenant(stack).await, links };
        let each = 0..LOT.div_ceil(MAILS);
        let names_users = [Route::Register, Route::Reset, Route::Resend, Route::Invite];
        let users = names_users.into_iter().flat_map(|route| {
            let many = each.clone().flat_map(|at| [("known", at), ("claimed", at)]);
            many.chain([("spent", 0), ("suspended", 0)]).map(move |(kind, at)| (route, kind, at))
        });
        let make = async |(route, kind, at)| lot.make_user(route, kind, at).await;
        stream::iter(users).map(make).buffer_unordered(4).collect::<Vec<()>>().await;
        for route in [Route::Register, Route::Reset] {
            for _ in 0..=MAILS {
                let spend = json!({ "email": lot.address(route, "spent", 0) });
                let _ = lot.acme.http.post(Route::Reset.path(), &spend).await.expect(200);
            }
        }
        for at in each {
            for route in [Route::Register, Route::Resend] {
                let waits = registration(&lot.address(route, "waiting", at), &format!("{route:?}-w{at}"));
                let _ = lot.acme.http.post(Route::Register.path(), &waits).await.expect(202);
            }
            let invited = json!({ "email": lot.address(Route::Invite, "invited", at) });
            let _ =
                served(async || lot.acme.admin.post(Route::Invite.path(), &invited).await).await.expect(201);
        }
        lot
    }

    async fn make_user(&self, route: Route, kind: &str, at: usize) {
        let body = json!({
            "username": format!("{route:?}-{kind}{at}"),
            "email": self.address(route, kind, at),
            "status": if kind == "suspended" { "suspended" } else { "active" },
            "email_verified": kind != "claimed",
        });
        let _ = served(async || self.acme.admin.post("/api/user/users/", &body).await).await.expect(201);
    }

    fn address(&self, route: Route, kind: &str, at: usize) -> String {
        format!("{kind}{at}@{route:?}{}.{}.test", at % DOMAINS, self.acme.slug).to_lowercase()
    }

    async fn ask(&self, route: Route, kind: &'static str, round: usize) -> Reply {
        let at = match kind {
            "unknown" | "named" => round,
            "spent" | "suspended" => 0,
            _ => round / MAILS,
        };
        let email = self.address(route, kind, at);
        match route {
            Route::Register => {
                let username = match kind {
                    "named" => format!("{route:?}-known{}", round / MAILS),
                    _ => format!("{route:?}-{kind}-{round}"),
                };
                self.post(route, round, &registration(&email, &username)).await.expect(202)
            }
            Route::Reset => self.post(route, round, &json!({ "email": email })).await.expect(200),
            Route::Resend => self.post(route, round, &json!({ "email": email })).await.expect(202),
            Route::Verify => {
                let token = json!({ "token": self.links.token(kind) });
                self.post_at(&self.links.acme, route, round, &token).await.expect(400)
            }
            Route::Invite => {
                alike(self.acme.admin.post(route.path(), &json!({ "email": email })).await.expect(201))
            }
        }
    }

    async fn post(&self, route: Route, round: usize, body: &Value) -> Reply {
        self.post_at(&self.acme, route, round, body).await
    }

    /// From many networks, of which none is stopped.
    async fn post_at(&self, at: &Tenant<'_>, route: Route, round: usize, body: &Value) -> Reply {
        let client = Ipv4Addr::new(198, 51, 100, u8::try_from(round % 200).expect("a byte"));
        let request = at.http.request(Method::POST, route.path());
        Reply::to(request.header("cf-connecting-ip", client.to_string()).json(body)).await
    }
}

fn registration(email: &str, username: &str) -> Value {
    json!({ "email": email, "username": username, "password": PASSWORD })
}

/// An invitation's answer without what is every invitation's own.
fn alike(mut reply: Reply) -> Reply {
    let mut body = reply.json();
    for own in ["id", "email", "invited_by", "created_at", "expires_at"] {
        assert!(body[own].is_string(), "{own}: {body}");
        body[own] = Value::Null;
    }
    reply.text = body.to_string();
    reply.headers.remove("content-length");
    reply
}

/// A tenant with open registration.
async fn open_tenant(stack: &Stack) -> Tenant<'_> {
    Tenant::create_with(stack, json!({ "settings": { "registration": "open" } })).await
}

/// A tenant with links that prove addresses and are not good there, or not any more.
struct Links<'s> {
    acme: Tenant<'s>,
    used: String,
    replaced: String,
    elsewhere: String,
}

impl<'s> Links<'s> {
    async fn make(stack: &'s Stack, mailbox: &Mailbox) -> Self {
        let (acme, other) = (open_tenant(stack).await, open_tenant(stack).await);
        let used = first_link(&acme, "used", mailbox).await;
        let _ = acme.http.post(Route::Verify.path(), &json!({ "token": used })).await.expect(200);
        let replaced = first_link(&acme, "replaced", mailbox).await;
        let email = format!("replaced@{}.test", acme.slug);
        let _ = acme.http.post(Route::Resend.path(), &json!({ "email": email })).await.expect(202);
        mailbox.until_by(&email, 2).await;
        let elsewhere = first_link(&other, "elsewhere", mailbox).await;
        Self { acme, used, replaced, elsewhere }
    }

    fn token(&self, kind: &str) -> &str {
        match kind {
            "used" => &self.used,
            "replaced" => &self.replaced,
            "elsewhere" => &self.elsewhere,
            // Of the right form.
            _ => "kCyyuIqNGKBDFcg0FtBzQv2uROaz_Ui5jFKYlCsVEAE",
        }
    }
}

/// The token of the link that a registration is mailed.
async fn first_link(at: &Tenant<'_>, name: &str, mailbox: &Mailbox) -> String {
    let email = format!("{name}@{}.test", at.slug);
    let _ = at.http.post(Route::Register.path(), &registration(&email, name)).await.expect(202);
    mailbox.until_by(&email, 1).await[0].token()
}

/// Lots of requests to every route, each at a tenant of its own: so many, and more of a route where they do not show enough.
async fn measure(stack: &Stack, links: &Links<'_>, rng: &mut StdRng, lots: usize) -> Vec<Sample> {
    let mut samples: Vec<_> = Route::ALL.iter().map(|route| Sample::of(route.kinds())).collect();
    for at in 0..MORE * lots {
        let wanted: Vec<_> = Route::ALL
            .into_iter()
            .zip(&mut samples)
            .filter(|(route, sample)| at < lots || !sample.would_show(route.kinds()[1], SHARE))
            .collect();
        if wanted.is_empty() {
            break;
        }
        let lot = Lot::make(stack, links).await;
        for (route, sample) in wanted {
            sample.take(rng, LOT, async |kind: &'static str, round| lot.ask(route, kind, round).await).await;
        }
    }
    samples
}

#[tokio::test]
async fn how_long_it_takes_tells_nothing_of_names_addresses_and_links() {
    let lots = scaled(2, 10);
    let mut rng = seed::rng("strangers");
    let stack = Stack::own("strangers").await;
    let mailbox = Mailbox::start().await.expect("a mail server");
    // One that takes connections and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let silent_port = silent.local_addr().expect("its address").port();
    let mut links = None;
    let ports = [("up", mailbox.port()), ("silent", silent_port), ("down", free_port())];
    for (server, port) in ports.into_iter().take(scaled(1, 3)) {
        let port = port.to_string();
        let from = ("WARDGATE_MAIL_FROM", "accounts@wardgate.test");
        let reached = [("WARDGATE_MAIL_HOST", "127.0.0.1"), ("WARDGATE_MAIL_PORT", port.as_str())];
        stack.configure(&[reached[0], reached[1], ("WARDGATE_MAIL_TLS", "none"), from]).await;
        if links.is_none() {
            links = Some(Links::make(&stack, &mailbox).await);
        }
        let links = links.as_ref().expect("made while mails arrive");
        let samples = measure(&stack, links, &mut rng, lots).await;
        for (route, sample) in Route::ALL.into_iter().zip(&samples) {
            sample.judge(&format!("{route:?}, server {server}"), route.kinds()[1], SHARE);
        }
    }
    assert!(!mailbox.received().is_empty(), "the known get mail");
}

//! Gateways, configured as `docs/gateways.md` says: whom they let through to an application, what it learns
//! of them, and that no client can say it in their place.

use reqwest::Method;
use serde_json::json;
use wardgate_tests::actors::{Session, Tenant, User};
use wardgate_tests::clients::gateway::{Application, Fate, Gateway, KINDS, Kind, Wire, identity};
use wardgate_tests::http::Reply;
use wardgate_tests::seed;
use wardgate_tests::stack::Stack;
use wardgate_tests::wait::until;

/// What the edge says where it limits or is blind.
const THROTTLED: &str =
    "HTTP/1.1 429 Too Many Requests\r\nretry-after: 7\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const BLIND: &str =
    "HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const NO_TENANT: &str = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// A gateway before an application, and who comes to it.
struct Scene<'t> {
    kind: Kind,
    gateway: Gateway,
    wire: Wire,
    application: Application,
    acme: &'t Tenant<'t>,
    ada: User<'t>,
    session: Session,
    /// The same name, mightier, at another tenant.
    eve: &'t Session,
    other: &'t Tenant<'t>,
}

impl<'t> Scene<'t> {
    async fn of(
        kind: Kind,
        acme: &'t Tenant<'t>,
        other: &'t Tenant<'t>,
        host: &str,
        eve: &'t Session,
    ) -> Self {
        let name = format!("ada-{kind:?}").to_lowercase();
        let ada = acme.user_with(&name, json!({"roles": ["staff", "client"]})).await;
        let session = ada.sign_in().await;
        let (wire, application) = tokio::join!(Wire::to(acme.stack().edge_url()), Application::start());
        let gateway = Gateway::start(kind, &wire, &application, acme, host).await;
        Self { kind, gateway, wire, application, acme, ada, session, eve, other }
    }

    /// What the application has to know of Ada, whatever a client says.
    fn expected(&self) -> Vec<(String, String)> {
        let claims = self.session.claims();
        let roles = claims["roles"].as_array().expect("roles").iter();
        let roles: Vec<_> = roles.map(|role| role.as_str().expect("a role")).collect();
        vec![
            ("X_AUTH_ROLES".to_owned(), roles.join(",")),
            ("X_AUTH_TENANT".to_owned(), self.acme.id.to_string()),
            ("X_AUTH_USER_ID".to_owned(), self.ada.id.to_string()),
        ]
    }

    async fn the_application_learns_who_it_is(&self) {
        let kind = self.kind;
        let reply = self.gateway.get_as(&self.session.access, "/orders?page=2").await.expect(200);
        assert_eq!(identity(&reply), self.expected(), "{kind:?}");
        assert_eq!(reply.json()["path"], "/orders?page=2", "{kind:?}");
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS] {
            let request = self.gateway.request(method.clone(), "/orders").bearer_auth(&self.session.access);
            let reply = Reply::to(request.body("a body")).await.expect(200);
            assert_eq!(identity(&reply), self.expected(), "{kind:?} {method}");
            let said = reply.json();
            assert_eq!(
                (&said["method"], &said["body"]),
                (&json!(method.as_str()), &json!("a body")),
                "{kind:?}"
            );
        }
        let head = self.gateway.request(Method::HEAD, "/orders").bearer_auth(&self.session.access);
        let _ = Reply::to(head).await.expect(200);
    }

    async fn no_client_says_who_it_is(&self) {
        let names = [
            "X-Auth-User-Id",
            "x-auth-roles",
            "X-AUTH-TENANT",
            "X_Auth_User_Id",
            "X-Auth_Roles",
            "x.auth.roles",
        ];
        for name in names {
            let request = self.gateway.request(Method::GET, "/").bearer_auth(&self.session.access);
            let forged = request.header(name, "root-admin").header(name, "root-admin");
            let reply = Reply::to(forged).await.expect(200);
            assert_eq!(identity(&reply), self.expected(), "{:?}: {name}", self.kind);
        }
        // Nor can a client have the gateway drop what it found out (RFC 9110, section 7.6.1).
        let request = self.gateway.request(Method::GET, "/").bearer_auth(&self.session.access);
        let dropped = request.header("connection", "keep-alive, X-Auth-User-Id, X-Auth-Roles, Authorization");
        let reply = Reply::to(dropped).await;
        if reply.status == 200 {
            assert_eq!(identity(&reply), self.expected(), "{:?}: Connection", self.kind);
        }
    }

    async fn nobody_else_gets_through(&self) {
        let before = self.application.requests();
        for method in [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS]
        {
            let reply = Reply::to(self.gateway.request(method.clone(), "/")).await;
            assert_eq!(reply.status, 401, "{:?} {method}", self.kind);
            assert_eq!(reply.header("www-authenticate"), "Bearer realm=\"api\"", "{:?} {method}", self.kind);
        }
        for bad in ["garbage", &self.session.refresh, &self.eve.access] {
            let _ = self.gateway.get_as(bad, "/").await.expect(401);
            // What a client says of the request, and of its tenant, opens nothing.
            for (name, value) in [
                ("x-tenant", self.other.slug.as_str()),
                ("x-forwarded-method", "OPTIONS"),
                ("x-forwarded-uri", "/healthz"),
                ("x-original-uri", "/healthz"),
                ("x-forwarded-host", "127.0.0.1"),
                ("x-http-method-override", "OPTIONS"),
            ] {
                let request = self.gateway.request(Method::GET, "/").bearer_auth(bad).header(name, value);
                let reply = Reply::to(request).await;
                assert_eq!(reply.status, 401, "{:?}: {name}", self.kind);
            }
        }
        let in_query = format!("/?token={}", self.session.access);
        let reply = Reply::to(self.gateway.request(Method::GET, &in_query)).await;
        assert_eq!(reply.status, 401, "{:?}: in the query", self.kind);
        let x_tenant = self.gateway.request(Method::GET, "/").bearer_auth(&self.session.access);
        let reply = Reply::to(x_tenant.header("x-tenant", &self.other.slug)).await.expect(200);
        assert_eq!(identity(&reply), self.expected(), "{:?}: X-Tenant changes nothing", self.kind);
        assert_eq!(self.application.requests(), before + 1, "{:?}", self.kind);
    }

    async fn connections_are_kept(&self) {
        let before = self.wire.connections();
        for _ in 0..20 {
            let _ = self.gateway.get_as(&self.session.access, "/").await.expect(200);
            let _ = self.gateway.get_as("garbage", "/").await.expect(401);
        }
        let opened = self.wire.connections() - before;
        assert!(opened <= 2, "{:?}: {opened} connections for 40 questions", self.kind);
    }

    async fn what_is_not_known_is_refused_as_the_guide_says(&self) {
        let before = self.application.requests();
        let (table, cut) = match self.kind {
            Kind::Nginx => ([(THROTTLED, 429, "7"), (BLIND, 503, "1"), (NO_TENANT, 503, "")], 503),
            Kind::Traefik => ([(THROTTLED, 429, "7"), (BLIND, 503, "1"), (NO_TENANT, 404, "")], 500),
            #[cfg(target_os = "linux")]
            Kind::Envoy => ([(THROTTLED, 429, "7"), (BLIND, 503, ""), (NO_TENANT, 404, "")], 503),
        };
        // A connection that breaks while it is taken for the next question is an answer that is lost.
        let becomes = async |status: u16, what: &str| {
            let asked = async || {
                let reply = self.gateway.get_as(&self.session.access, "/").await;
                (reply.status == status).then_some(reply)
            };
            until(&format!("{:?}: {status} for {what}", self.kind), asked).await.0
        };
        for (answer, status, retry_after) in table {
            self.wire.decide(Fate::IsAnswered(answer)).await;
            let reply = becomes(status, answer).await;
            assert_eq!(reply.header("retry-after"), retry_after, "{:?}: {answer}", self.kind);
        }
        self.wire.decide(Fate::IsCut).await;
        let _ = becomes(cut, "no answer").await;
        assert_eq!(self.application.requests(), before, "{:?}", self.kind);
        self.wire.decide(Fate::Passes).await;
        let _ = becomes(200, "a good token").await;
    }

    async fn a_suspended_user_is_refused_within_seconds(&self) {
        self.ada.suspend().await;
        let refused =
            async || (self.gateway.get_as(&self.session.access, "/").await.status == 401).then_some(());
        let ((), took) = until("the gateway to refuse", refused).await;
        eprintln!("{:?} refuses a suspended user after {took:?}", self.kind);
    }
}

#[tokio::test]
async fn gateways_let_only_users_through_and_say_who_they_are() {
    let stack = Stack::shared().await;
    let host = format!("id.g{}.localhost", seed::unique());
    let (acme, other) =
        tokio::join!(Tenant::create_with(stack, json!({"hosts": [host]})), Tenant::create(stack));
    let eve = other.user_with("ada", json!({"roles": ["root-admin"]})).await.sign_in().await;
    for kind in KINDS {
        let scene = Scene::of(*kind, &acme, &other, &host, &eve).await;
        scene.the_application_learns_who_it_is().await;
        scene.no_client_says_who_it_is().await;
        scene.nobody_else_gets_through().await;
        scene.connections_are_kept().await;
        scene.what_is_not_known_is_refused_as_the_guide_says().await;
        scene.a_suspended_user_is_refused_within_seconds().await;
    }
}

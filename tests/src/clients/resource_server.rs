//! A Django project with Django REST framework and SimpleJWT that trusts one tenant's tokens.

use reqwest::Method;

use crate::actors::Tenant;
use crate::http::{Http, Reply};
use crate::process::{Process, Talk};
use crate::{environment, stack, wait};

/// Where the server has its key from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// `JWK_URL`: it fetches the key set itself.
    Jwks,
    /// `VERIFYING_KEY`: the PEM of `/api/public-key/`, as it was when the server was started.
    Pem,
}

/// The running server.
pub struct ResourceServer {
    http: Http,
    _process: Process,
}

impl ResourceServer {
    /// Starts one and waits until it answers.
    ///
    /// # Panics
    /// Where it ends instead.
    pub async fn start(tenant: &Tenant<'_>, trust: Trust) -> Self {
        let address = format!("127.0.0.1:{}", stack::free_port());
        let mut command = environment::python("manage.py");
        command.args(["runserver", "--noreload", &address]).env("ISSUER", tenant.issuer());
        let name = match trust {
            Trust::Jwks => {
                command.env("DJANGO_SETTINGS_MODULE", "resource_server.settings");
                command.env("JWK_URL", tenant.jwks_url());
                "django-jwks"
            }
            Trust::Pem => {
                command.env("DJANGO_SETTINGS_MODULE", "resource_server.settings_pem");
                command.env("VERIFYING_KEY", tenant.public_key().await);
                "django-pem"
            }
        };
        let mut process = Process::start(name, command, Talk::No);
        let http = Http::new(format!("http://{address}"));
        wait::until("Django to answer", async || {
            assert!(process.ended().is_none(), "Django ended:\n{}", process.log_tail());
            let answer = Reply::try_to(http.request(Method::GET, "/whoami/")).await;
            answer.is_ok_and(|reply| reply.status == 401).then_some(())
        })
        .await;
        Self { http, _process: process }
    }

    /// Calls its protected route.
    pub async fn whoami(&self, token: &str) -> Reply {
        Reply::to(self.http.request(Method::GET, "/whoami/").bearer_auth(token)).await
    }
}

//! What `dev` says to people: that it runs, where, and what to try.

use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat, Utc};

use crate::dev_json::DevJson;
use crate::state::State;

/// The time, for people.
#[expect(clippy::disallowed_methods, reason = "shown, never compared")]
pub fn now() -> String {
    DateTime::<Utc>::from(SystemTime::now()).to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Prints the addresses and accounts of the stack; the lines to paste come last.
pub fn print(dev: &DevJson, time: &str) {
    let DevJson { edge, control, mail, postgres, tenant, admin, platform_admin, .. } = dev;
    let own_host = tenant
        .hosts
        .first()
        .map_or(String::new(), |host| format!(", or the host {}", with_port_of(&edge.url, host)));
    println!("\nWardgate runs, after {time}. `./wardgate stop` ends it.\n");
    println!("  edge        {}   every route, to read and to try: {}/docs", edge.url, edge.url);
    println!("  control     {}   metrics {}", control.url, control.metrics_url);
    println!("  mail        {}   what control sends; ./wardgate mail prints the last", mail.url);
    println!("  PostgreSQL  {}", postgres.owner_url);
    println!("  state       {}   (dev.json, logs/)", dev.state_dir.display());
    println!();
    println!("  tenant      {}   the default here; elsewhere /t/{}/{own_host}", tenant.slug, tenant.slug);
    println!("  {:<11} {}   password {}", admin.roles.join(", "), admin.username, admin.password);
    println!("  platform    {}   password {}", platform_admin.username, platform_admin.password);
    println!("\nSign in, call a protected route, see the keys:\n");
    for line in curl_lines(dev) {
        println!("{line}");
    }
    println!();
}

/// `host` with the port of `url`, as a client has to write it.
fn with_port_of(url: &str, host: &str) -> String {
    match url.rsplit_once(':') {
        Some((_, port)) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// For `dev --prepare`: how to go on with wrangler.
pub fn print_prepared(dev: &DevJson, time: &str) {
    let DevJson { tenant, admin, state_dir, .. } = dev;
    println!("\nPrepared, after {time}. Nothing runs now.\n");
    println!("  ./wardgate wrangler dev          the pinned wrangler, on {}", dev.edge.url);
    println!(
        "  wrangler dev --persist-to {}   your own, in the clone; it reads .dev.vars",
        state_dir.join("edge").display()
    );
    println!();
    println!("  tenant      {}", tenant.slug);
    println!("  {:<11} {}   password {}", admin.roles.join(", "), admin.username, admin.password);
    println!(
        "\nWhat the edge serves itself works there; what control serves is 503 until `./wardgate dev`.\n"
    );
    let [sign_in, ..] = curl_lines(dev);
    println!("{sign_in}\n");
}

/// Three lines for a shell. The first keeps its answer, from which the second takes the access token.
pub fn curl_lines(dev: &DevJson) -> [String; 3] {
    let DevJson { edge, tenant, admin, .. } = dev;
    let url = &edge.url;
    let body = format!(r#"{{"username":"{}","password":"{}"}}"#, admin.username, admin.password);
    let json = "-H 'Content-Type: application/json'";
    let access = r#"$(echo "$ANSWER" | sed -E 's/.*"access":"([^"]+)".*/\1/')"#;
    [
        format!(r#"ANSWER=$(curl -s {url}/api/token/ {json} -d '{body}'); echo "$ANSWER""#),
        format!(r#"curl -s {url}/api/user/users/ -H "Authorization: Bearer {access}"; echo"#),
        format!("curl -s {}; echo", tenant.jwks_url),
    ]
}

/// For the second `dev` on the same state.
pub fn who_runs(state: &State) -> String {
    let folder = state.folder().display();
    match DevJson::read(state) {
        Some(dev) => format!(
            "dev runs already (pid {}, since {}) on {folder}: edge {}, control {}. `./wardgate stop` ends it; \
             another --state with another --port-base runs beside it",
            dev.pid, dev.started_at, dev.edge.url, dev.control.url
        ),
        None => format!("another command uses {folder}: a dev that starts or stops, or `wrangler dev`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_the_tenant_is_shown_with_the_port_of_the_edge() {
        assert_eq!(with_port_of("http://127.0.0.1:8787", "acme.localhost"), "acme.localhost:8787");
    }
}

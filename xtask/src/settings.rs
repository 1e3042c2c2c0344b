//! The settings of control and edge as `dev` writes them: rendered from secrets and ports alone.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use ureq::http::Uri;

use crate::ports::Ports;
use crate::postgres::{DATABASE, SUPERUSER};
use crate::secrets::Secrets;

/// The tenant that `dev` makes.
pub const TENANT: &str = "acme";
/// The host that is the tenant's own. Browsers and curl resolve it to this machine.
pub const TENANT_HOST: &str = "acme.localhost";
/// Name of the edge in everything sealed for it.
const EDGE: &str = "dev";
/// The first line of every file that `dev` writes.
pub const WRITTEN_BY_DEV: &str = "# Written by ./wardgate dev at every start.\n";
/// Hosts on which a header or a path prefix chooses the tenant.
const SHARED_HOSTS: [&str; 2] = ["127.0.0.1", "localhost"];

/// Where everything is reached.
pub struct Addresses {
    /// The edge, without a final slash.
    pub edge: String,
    /// Control.
    pub control: String,
    /// Control's metrics.
    pub metrics: String,
    /// PostgreSQL as its superuser, or as the user of DATABASE_URL.
    pub admin_database: String,
    /// PostgreSQL as the role that makes cells.
    pub migrate_database: String,
    /// PostgreSQL as the role that serves requests.
    pub app_database: String,
    /// PostgreSQL as the relay role, which finds due work.
    pub relay_database: String,
}

impl Addresses {
    /// Everything on this machine, but for a database that `external` names.
    pub fn new(ports: Ports, secrets: &Secrets, external: Option<&str>) -> Result<Self> {
        let own = format!(
            "postgres://{SUPERUSER}:{}@127.0.0.1:{}/{DATABASE}",
            secrets.database.superuser, ports.postgres
        );
        let admin = external.unwrap_or(&own);
        let name = database_name(admin)?;
        let role = |role: &str, password: &str| as_user(admin, &format!("{name}_{role}"), password);
        Ok(Self {
            edge: format!("http://127.0.0.1:{}", ports.edge),
            control: format!("http://127.0.0.1:{}", ports.control),
            metrics: format!("http://127.0.0.1:{}/metrics", ports.metrics),
            migrate_database: role("migrate", &secrets.database.migrate)?,
            app_database: role("app", &secrets.database.app)?,
            relay_database: role("relay", &secrets.database.relay)?,
            admin_database: admin.to_owned(),
        })
    }

    /// The issuer of the tenant's tokens.
    pub fn issuer(&self) -> String {
        format!("{}/t/{TENANT}", self.edge)
    }
}

/// The same database as another user.
fn as_user(url: &str, user: &str, password: &str) -> Result<String> {
    let uri: Uri = url.parse().context("the database's URL is not one")?;
    let authority = uri.authority().context("the database's URL names no host")?.as_str();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    Ok(format!("postgres://{user}:{password}@{host}{path}"))
}

fn database_name(url: &str) -> Result<String> {
    let uri: Uri = url.parse().context("the database's URL is not one")?;
    let name = uri.path().trim_start_matches('/');
    if name.is_empty()
        || !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    {
        bail!(
            "the database's URL must end in a name of a-z, 0-9 and _: the service's roles are named after it"
        );
    }
    Ok(name.to_owned())
}

#[derive(Serialize)]
struct Control<'a> {
    database: Database<'a>,
    http: Http<'a>,
    edge: Edge<'a>,
    service: Service<'a>,
    encryption: Encryption<'a>,
    audit: Audit<'a>,
    mail: Mail<'a>,
}

#[derive(Serialize)]
struct Database<'a> {
    admin_url: &'a str,
    migrate_url: &'a str,
    app_url: &'a str,
    relay_url: &'a str,
}

#[derive(Serialize)]
struct Http<'a> {
    listen: &'a str,
    authority: &'a str,
    direct: bool,
    metrics_listen: &'a str,
    shared_origin: &'a str,
    shared_hosts: [&'a str; 2],
}

#[derive(Serialize)]
struct Edge<'a> {
    id: &'a str,
    url: &'a str,
    authority: &'a str,
    public_keys: [&'a str; 1],
    kek: &'a str,
}

#[derive(Serialize)]
struct Service<'a> {
    key: &'a str,
}

#[derive(Serialize)]
struct Encryption<'a> {
    kek: &'a str,
}

#[derive(Serialize)]
struct Audit<'a> {
    checkpoint_key: &'a str,
    checkpoint_folder: &'a Path,
}

/// The platform's sender: the mailbox.
#[derive(Serialize)]
struct Mail<'a> {
    host: &'a str,
    port: u16,
    tls: &'a str,
    from: &'a str,
}

/// control.toml. Checkpoints of the audit logs go to the folder `checkpoints`.
pub fn control(ports: Ports, secrets: &Secrets, addresses: &Addresses, checkpoints: &Path) -> Result<String> {
    let authority = format!("127.0.0.1:{}", ports.control);
    let edge_authority = format!("127.0.0.1:{}", ports.edge);
    let settings = Control {
        database: Database {
            admin_url: &addresses.admin_database,
            migrate_url: &addresses.migrate_database,
            app_url: &addresses.app_database,
            relay_url: &addresses.relay_database,
        },
        http: Http {
            listen: &authority,
            authority: &authority,
            direct: true,
            metrics_listen: &format!("127.0.0.1:{}", ports.metrics),
            shared_origin: &addresses.edge,
            shared_hosts: SHARED_HOSTS,
        },
        edge: Edge {
            id: EDGE,
            url: &addresses.edge,
            authority: &edge_authority,
            public_keys: [&secrets.edge_service_key.public()?],
            kek: secrets.edge_kek.secret(),
        },
        service: Service { key: secrets.control_service_key.secret() },
        encryption: Encryption { kek: secrets.control_kek.secret() },
        audit: Audit {
            checkpoint_key: secrets.audit_checkpoint_key.secret(),
            checkpoint_folder: checkpoints,
        },
        mail: Mail { host: "127.0.0.1", port: ports.smtp, tls: "none", from: "wardgate@wardgate.test" },
    };
    let text = toml::to_string(&settings).context("cannot render control.toml")?;
    Ok(format!("{WRITTEN_BY_DEV}{text}"))
}

/// edge.vars, a dotenv file. Values hold no quotes and no line breaks, so nothing needs escaping.
pub fn edge(ports: Ports, secrets: &Secrets, addresses: &Addresses) -> Result<String> {
    let values = [
        ("ROLE", "all".to_owned()),
        ("EDGE_ID", EDGE.to_owned()),
        ("AUTHORITY", format!("127.0.0.1:{}", ports.edge)),
        ("SHARED_HOSTS", SHARED_HOSTS.join(",")),
        ("DEFAULT_TENANT", TENANT.to_owned()),
        ("CONTROL_URL", addresses.control.clone()),
        ("CONTROL_AUTHORITY", format!("127.0.0.1:{}", ports.control)),
        ("CONTROL_PUBLIC_KEYS", secrets.control_service_key.public()?),
        ("EDGE_KEK_A", secrets.edge_kek.secret().to_owned()),
        ("EDGE_SERVICE_KEY", secrets.edge_service_key.secret().to_owned()),
    ];
    let lines = values.map(|(name, value)| format!("{name}=\"{value}\"\n"));
    Ok(format!("{WRITTEN_BY_DEV}{}", lines.concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> (Ports, Secrets) {
        (Ports::from_base(8780), Secrets::generate(8780, true).unwrap())
    }

    #[test]
    fn control_and_edge_name_each_other_alike() {
        let (ports, secrets) = example();
        let addresses = Addresses::new(ports, &secrets, None).unwrap();
        let control: toml::Table =
            control(ports, &secrets, &addresses, Path::new("checkpoints")).unwrap().parse().unwrap();
        let edge = edge(ports, &secrets, &addresses).unwrap();
        let value = |name: &str| {
            let line = edge.lines().find_map(|line| line.strip_prefix(&format!("{name}=\""))).unwrap();
            line.trim_end_matches('"').to_owned()
        };
        assert_eq!(control["http"]["authority"].as_str().unwrap(), value("CONTROL_AUTHORITY"));
        assert_eq!(control["edge"]["authority"].as_str().unwrap(), value("AUTHORITY"));
        assert_eq!(control["edge"]["kek"].as_str().unwrap(), value("EDGE_KEK_A"));
        assert_eq!(control["edge"]["id"].as_str().unwrap(), value("EDGE_ID"));
        assert_eq!(control["edge"]["url"].as_str().unwrap(), "http://127.0.0.1:8787");
        assert_ne!(control["service"]["key"].as_str().unwrap(), value("CONTROL_PUBLIC_KEYS"));
    }

    #[test]
    fn the_mailbox_is_the_sender() {
        let (ports, secrets) = example();
        let addresses = Addresses::new(ports, &secrets, None).unwrap();
        let control: toml::Table =
            control(ports, &secrets, &addresses, Path::new("checkpoints")).unwrap().parse().unwrap();
        let mail = control["mail"].as_table().unwrap();
        assert_eq!((mail["port"].as_integer(), mail["tls"].as_str()), (Some(8792), Some("none")));
    }

    #[test]
    fn each_role_has_its_own_user_and_password() {
        let (ports, secrets) = example();
        let addresses = Addresses::new(ports, &secrets, None).unwrap();
        let expected = format!("postgres://wardgate_app:{}@127.0.0.1:8790/wardgate", secrets.database.app);
        assert_eq!(addresses.app_database, expected);
    }

    #[test]
    fn an_external_database_keeps_its_host_name_and_parameters() {
        let (ports, secrets) = example();
        let url = "postgresql://admin:p%40ss@db.example:6432/people_1?sslmode=require";
        let addresses = Addresses::new(ports, &secrets, Some(url)).unwrap();
        assert_eq!(addresses.admin_database, url);
        let expected = format!(
            "postgres://people_1_relay:{}@db.example:6432/people_1?sslmode=require",
            secrets.database.relay
        );
        assert_eq!(addresses.relay_database, expected);
    }

    #[test]
    fn a_database_url_without_a_name_is_refused() {
        let (ports, secrets) = example();
        assert!(Addresses::new(ports, &secrets, Some("postgres://u:p@h/")).is_err());
        assert!(Addresses::new(ports, &secrets, Some("postgres://u:p@h/My-Db")).is_err());
    }
}

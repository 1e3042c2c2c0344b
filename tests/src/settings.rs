//! The settings of control and the edge of a stack.

use shared::wire::signature::ServiceKey;

use crate::database::Database;
use crate::secrets::{Secrets, signer};

/// Name of the edge in everything sealed for it.
pub const EDGE_ID: &str = "e2e";
/// The `@authority` of signed calls to the edge. It need not be its address.
pub const EDGE_AUTHORITY: &str = "edge.test";
/// The `@authority` of forwarded requests.
pub const CONTROL_AUTHORITY: &str = "control.test";
/// Where tenants without a host have their issuer.
pub const SHARED_ORIGIN: &str = "https://auth.test";
/// Hosts on which a path prefix or a header names the tenant.
pub const SHARED_HOSTS: &str = "127.0.0.1,localhost";

/// Control's environment. `edge_url` is where it finds the edge.
#[must_use]
pub fn control(
    secrets: &Secrets,
    database: &Database,
    [port, metrics_port]: [u16; 2],
    edge_url: &str,
) -> Vec<(&'static str, String)> {
    let role = |role| database.role_url(role, &secrets.database_password);
    vec![
        ("WARDGATE_DATABASE_ADMIN_URL", database.admin_url()),
        ("WARDGATE_DATABASE_MIGRATE_URL", role("migrate")),
        ("WARDGATE_DATABASE_APP_URL", role("app")),
        ("WARDGATE_DATABASE_RELAY_URL", role("relay")),
        ("WARDGATE_HTTP_LISTEN", format!("127.0.0.1:{port}")),
        ("WARDGATE_HTTP_METRICS_LISTEN", format!("127.0.0.1:{metrics_port}")),
        ("WARDGATE_HTTP_AUTHORITY", CONTROL_AUTHORITY.to_owned()),
        ("WARDGATE_HTTP_DIRECT", "false".to_owned()),
        ("WARDGATE_HTTP_SHARED_ORIGIN", SHARED_ORIGIN.to_owned()),
        ("WARDGATE_HTTP_SHARED_HOSTS", SHARED_HOSTS.to_owned()),
        ("WARDGATE_EDGE_ID", EDGE_ID.to_owned()),
        ("WARDGATE_EDGE_URL", edge_url.to_owned()),
        ("WARDGATE_EDGE_AUTHORITY", EDGE_AUTHORITY.to_owned()),
        ("WARDGATE_EDGE_PUBLIC_KEYS", public(&secrets.edge_service)),
        ("WARDGATE_EDGE_KEK", secrets.edge_kek.clone()),
        ("WARDGATE_SERVICE_KEY", secrets.control_service.clone()),
        ("WARDGATE_ENCRYPTION_KEK", secrets.control_kek.clone()),
        ("WARDGATE_AUDIT_CHECKPOINT_KEY", secrets.audit_checkpoint.clone()),
        ("WARDGATE_AUDIT_CHECKPOINT_FOLDER", database.checkpoint_folder()),
    ]
}

/// The Worker's variables and secrets, as a dotenv file.
#[must_use]
pub fn edge(secrets: &Secrets, control_port: u16) -> String {
    let variables = [
        ("ROLE", "all".to_owned()),
        ("EDGE_ID", EDGE_ID.to_owned()),
        ("AUTHORITY", EDGE_AUTHORITY.to_owned()),
        ("SHARED_HOSTS", SHARED_HOSTS.to_owned()),
        ("CONTROL_URL", format!("http://127.0.0.1:{control_port}")),
        ("CONTROL_AUTHORITY", CONTROL_AUTHORITY.to_owned()),
        ("CONTROL_PUBLIC_KEYS", public(&secrets.control_service)),
        ("EDGE_KEK_A", secrets.edge_kek.clone()),
        ("EDGE_SERVICE_KEY", secrets.edge_service.clone()),
    ];
    variables.map(|(name, value)| format!("{name}=\"{value}\"\n")).concat()
}

fn public(key: &str) -> String {
    let signer: ServiceKey = signer(key);
    signer.public()
}

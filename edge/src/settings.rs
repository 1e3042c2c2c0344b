//! The settings of the Worker: variables and secrets, read once.
//!
//! No secret has a default. If a setting is missing or malformed, `/readyz` names the variable and every other route
//! is 503.

use shared::wire::seal::EdgeKey;
use shared::wire::signature::{PeerKey, ServiceKey};

/// The settings.
pub struct Settings {
    /// `ROLE`: which routes are served.
    pub routes: RouteSet,
    /// `EDGE_ID`: this edge's name, part of every sealed value.
    pub edge_id: String,
    /// `AUTHORITY`: the authority in signatures of calls to this edge.
    pub authority: String,
    /// `SHARED_HOSTS`: hosts on which a header or path names the tenant, comma separated.
    pub shared_hosts: Vec<String>,
    /// `DEFAULT_TENANT`: slug of the tenant of shared hosts without header or path; development only.
    pub default_tenant: Option<String>,
    /// `CONTROL_URL`: origin that requests are forwarded to.
    pub control_url: String,
    /// `CONTROL_AUTHORITY`: the authority in forward signatures.
    pub control_authority: String,
    /// `CONTROL_PUBLIC_KEYS`: the public keys of push, command and drain signatures; one or two, comma separated.
    pub control_keys: Vec<PeerKey>,
    /// `EDGE_KEK_A`, `EDGE_KEK_B`: the keys that unseal values; the second only during a change.
    pub edge_keys: Vec<EdgeKey>,
    /// `EDGE_SERVICE_KEY`: signs forwarded requests.
    pub service_key: ServiceKey,
}

/// The set of routes that this deployment serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteSet {
    /// Every route: development and the smallest set-up.
    All,
    /// Validate, keys, health, forwarding.
    Front,
    /// Routes that hash a password or write a session.
    Login,
    /// Push, command, drain.
    Hub,
}

/// The variable that is missing or malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("setting {0} is missing or malformed")]
pub struct SettingFault(pub &'static str);

impl Settings {
    /// Reads the settings through `read`, which gives a variable's or secret's text.
    ///
    /// # Errors
    /// The first variable that is missing or malformed.
    pub fn read(read: impl Fn(&str) -> Option<String>) -> Result<Self, SettingFault> {
        let text = |name: &'static str| read(name).filter(|text| !text.is_empty()).ok_or(SettingFault(name));
        let routes = match text("ROLE")?.as_str() {
            "all" => RouteSet::All,
            "front" => RouteSet::Front,
            "login" => RouteSet::Login,
            "hub" => RouteSet::Hub,
            _ => return Err(SettingFault("ROLE")),
        };
        let edge_key = |name| EdgeKey::parse(&text(name)?).map_err(|_| SettingFault(name));
        let mut edge_keys = vec![edge_key("EDGE_KEK_A")?];
        if read("EDGE_KEK_B").is_some_and(|text| !text.is_empty()) {
            edge_keys.push(edge_key("EDGE_KEK_B")?);
        }
        let control_keys = text("CONTROL_PUBLIC_KEYS")?
            .split(',')
            .map(|key| PeerKey::parse(key.trim()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| SettingFault("CONTROL_PUBLIC_KEYS"))?;
        let control_url = text("CONTROL_URL")?.trim_end_matches('/').to_owned();
        if control_keys.len() > 2
            || !(control_url.starts_with("https://") || control_url.starts_with("http://"))
        {
            return Err(SettingFault(if control_keys.len() > 2 {
                "CONTROL_PUBLIC_KEYS"
            } else {
                "CONTROL_URL"
            }));
        }
        Ok(Self {
            routes,
            edge_id: text("EDGE_ID")?,
            authority: text("AUTHORITY")?,
            shared_hosts: list(&text("SHARED_HOSTS")?),
            default_tenant: read("DEFAULT_TENANT").filter(|slug| !slug.is_empty()),
            control_url,
            control_authority: text("CONTROL_AUTHORITY")?,
            control_keys,
            edge_keys,
            service_key: ServiceKey::parse(&text("EDGE_SERVICE_KEY")?)
                .map_err(|_| SettingFault("EDGE_SERVICE_KEY"))?,
        })
    }
}

fn list(text: &str) -> Vec<String> {
    text.split(',').map(|item| item.trim().to_ascii_lowercase()).filter(|item| !item.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> Vec<(&'static str, String)> {
        let key = "k:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let service = ServiceKey::parse(key).unwrap();
        [
            ("ROLE", "all"),
            ("EDGE_ID", "edge-1"),
            ("AUTHORITY", "edge.example"),
            ("SHARED_HOSTS", "Auth.Example, localhost"),
            ("CONTROL_URL", "http://127.0.0.1:8788/"),
            ("CONTROL_AUTHORITY", "control.example"),
            ("CONTROL_PUBLIC_KEYS", &service.public()),
            ("EDGE_KEK_A", key),
            ("EDGE_SERVICE_KEY", key),
        ]
        .map(|(name, value)| (name, value.to_owned()))
        .to_vec()
    }

    fn read(variables: &[(&'static str, String)]) -> Result<Settings, SettingFault> {
        Settings::read(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
        })
    }

    #[test]
    fn each_missing_or_weak_setting_is_refused_by_its_name() {
        let good = read(&variables()).ok().unwrap();
        assert_eq!(good.shared_hosts, ["auth.example", "localhost"]);
        assert_eq!(good.control_url, "http://127.0.0.1:8788");
        for (at, (name, _)) in variables().iter().enumerate() {
            let mut missing = variables();
            missing.remove(at);
            assert_eq!(read(&missing).err(), Some(SettingFault(name)));
        }
        for name in ["EDGE_KEK_A", "EDGE_SERVICE_KEY", "CONTROL_PUBLIC_KEYS", "CONTROL_URL", "ROLE"] {
            let mut weak = variables();
            weak.iter_mut().find(|(known, _)| *known == name).unwrap().1 = "k:AAAA".into();
            assert_eq!(read(&weak).err(), Some(SettingFault(name)));
        }
    }
}

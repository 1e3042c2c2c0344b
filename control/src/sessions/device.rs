//! The device of a client, parsed from `User-Agent` with the rules of uap-core in `control/devices`.
//!
//! A client chooses its `User-Agent`. The device helps a user recognise their sessions, and decides nothing.

use std::sync::LazyLock;

use serde::Deserialize;
use ua_parser::{os, user_agent};

/// A browser or program, and the operating system it runs on, without versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// The browser or program.
    pub browser: Option<String>,
    /// The operating system.
    pub system: Option<String>,
}

/// The name that the rules give to something unknown.
const OTHER: &str = "Other";

#[derive(Deserialize)]
struct Rules {
    user_agent_parsers: Vec<user_agent::Parser<'static>>,
    os_parsers: Vec<os::Parser<'static>>,
}

struct Readers {
    browsers: user_agent::Extractor<'static>,
    systems: os::Extractor<'static>,
}

/// `None` is a mistake of ours, which a test finds: then no device is known.
static READERS: LazyLock<Option<Readers>> = LazyLock::new(|| {
    let rules: Rules = serde_json::from_str(include_str!("../../devices/uap-core.json")).ok()?;
    let browsers = user_agent::Builder::new().push_all(rules.user_agent_parsers).ok()?.build().ok()?;
    let systems = os::Builder::new().push_all(rules.os_parsers).ok()?.build().ok()?;
    Some(Readers { browsers, systems })
});

/// Reads the rules, which takes a moment the first time.
pub fn load() {
    LazyLock::force(&READERS);
}

impl Device {
    /// Reads what a client calls itself.
    #[must_use]
    pub fn of(agent: &str) -> Self {
        let Some(Readers { browsers, systems }) = READERS.as_ref() else {
            return Self { browser: None, system: None };
        };
        let known = |name: String| Some(name).filter(|name| !name.is_empty() && name != OTHER);
        Self {
            browser: browsers.extract(agent).and_then(|found| known(found.family.into_owned())),
            system: systems.extract(agent).and_then(|found| known(found.os.into_owned())),
        }
    }

    /// For people, and the same for every version: "Firefox on Linux". What no rule knows is called by its first word.
    #[must_use]
    pub fn name(&self, agent: &str) -> String {
        match (&self.browser, &self.system) {
            (Some(browser), Some(system)) => format!("{browser} on {system}"),
            (Some(name), None) | (None, Some(name)) => name.clone(),
            (None, None) => {
                let word = |c: &char| c.is_alphanumeric() || "._-".contains(*c);
                agent.chars().take_while(word).take(40).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_and_programs_are_named_without_versions() {
        for (agent, name) in [
            ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36",
                "Chrome on Windows",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36 Edg/138.0.0.0",
                "Edge on Windows",
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15",
                "Safari on Mac OS X",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
                "Mobile Safari on iOS",
            ),
            (
                "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Mobile Safari/537.36",
                "Chrome Mobile on Android",
            ),
            ("curl/8.5.0", "curl"),
            ("acme-sync/3 (build 7)", "acme-sync"),
            ("", ""),
            ("(<script>)", ""),
        ] {
            assert_eq!(Device::of(agent).name(agent), name, "{agent}");
        }
    }

    /// Another release of a browser is the same device.
    #[test]
    fn an_update_is_no_new_device() {
        let firefox = |version: u32| {
            let agent =
                format!("Mozilla/5.0 (X11; Linux x86_64; rv:{version}.0) Gecko/20100101 Firefox/{version}.0");
            Device::of(&agent).name(&agent)
        };
        assert!((100..200).all(|version| firefox(version) == firefox(99)));
    }
}

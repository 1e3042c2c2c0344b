//! A headless Chromium with one user's cookies, and the pages that it visits.

use serde_json::{Value, json};

use crate::process::{Process, Talk};
use crate::{environment, wait};

/// A running browser. A test that fails leaves pictures of its tabs behind, and says where.
pub struct Browser {
    process: Process,
    port: u64,
}

/// A tab of it.
#[derive(Clone, Copy, Debug)]
pub struct Tab(u64);

impl Browser {
    /// Starts one, without any cookie.
    ///
    /// # Panics
    /// Where it does not start.
    #[must_use]
    pub fn start(name: &str) -> Self {
        let mut command = environment::node("browser.mjs");
        command.arg(environment::chromium());
        let mut process = Process::start(&format!("{name}-browser"), command, Talk::Json);
        let port = process.said(wait::PATIENCE)["port"].as_u64().expect("the port of the pages");
        Self { process, port }
    }

    /// The origin of the pages of a host, which has to be a name under `localhost`.
    #[must_use]
    pub fn origin(&self, host: &str) -> String {
        format!("http://{host}:{}", self.port)
    }

    /// Opens a tab.
    ///
    /// # Panics
    /// Where there is nothing at `url`.
    pub fn open(&mut self, url: &str) -> Tab {
        Tab(self.ask(&json!({"open": url}))["tab"].as_u64().expect("a tab"))
    }

    /// Opens a tab that asks for pages in a language.
    ///
    /// # Panics
    /// Where there is nothing at `url`.
    pub fn open_in(&mut self, language: &str, url: &str) -> Tab {
        Tab(self.ask(&json!({"open": url, "language": language}))["tab"].as_u64().expect("a tab"))
    }

    /// Goes elsewhere in a tab.
    ///
    /// # Panics
    /// Where there is nothing at `url`.
    pub fn go(&mut self, tab: Tab, url: &str) {
        self.ask(&json!({"tab": tab.0, "go": url}));
    }

    /// Runs the body of an async function of `arg` in a tab and gives what it returns.
    ///
    /// # Panics
    /// Where it throws.
    #[track_caller]
    pub fn run(&mut self, tab: Tab, script: &str, arg: Value) -> Value {
        self.run_at_once(&[(tab, script, arg)]).remove(0)
    }

    /// Runs several at the same time.
    ///
    /// # Panics
    /// Where one throws.
    #[track_caller]
    pub fn run_at_once(&mut self, scripts: &[(Tab, &str, Value)]) -> Vec<Value> {
        let scripts: Vec<_> = scripts.iter().map(|(tab, script, arg)| json!([tab.0, script, arg])).collect();
        let said = self.ask(&json!({"run": scripts}));
        let done = said["done"].as_array().expect("results").iter();
        let value = |result: &Value| {
            assert!(result["thrown"].is_null(), "a page threw: {}", result["thrown"]);
            result["value"].clone()
        };
        done.map(value).collect()
    }

    /// The cookies that it would send to `url`, including `HttpOnly` ones.
    ///
    /// # Panics
    /// Where `url` is none.
    pub fn cookies(&mut self, url: &str) -> Vec<Value> {
        self.ask(&json!({"cookies": url}))["cookies"].as_array().expect("a list").clone()
    }

    #[track_caller]
    fn ask(&mut self, what: &Value) -> Value {
        let said = self.process.ask(what, wait::PATIENCE);
        assert!(said["failed"].is_null(), "the browser failed: {}", said["failed"]);
        said
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let folder = tempfile::Builder::new().prefix("wardgate-browser-").disable_cleanup(true).tempdir();
        // The test has failed already; a browser that is gone has nothing to show.
        if let Ok(folder) = folder
            && self.process.try_ask(&json!({"pictures": folder.path()}), wait::PATIENCE).is_some()
        {
            eprintln!("{}: pictures of its tabs are in {}", self.process.name(), folder.path().display());
        }
    }
}

//! A key service: the server of moto, which implements the API of AWS KMS, behind a proxy ([`crate::gate`]).

use std::io::{BufRead as _, BufReader};
use std::ops::{Deref, DerefMut};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::gate::{Door, Words};

const REGION: &str = "eu-central-1";

/// Serves on a free port, and ends when its standard input does: with the process of the tests, however that ends.
const SERVE: &str = "
import os, sys, threading
from moto.server import main
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
main(['-H', '127.0.0.1', '-p', '0'])
";

/// moto's server. One serves all tests: their keys and buckets are their own.
pub struct Server {
    _child: Child,
    pub url: String,
}

impl Server {
    pub fn of_this_run() -> &'static Self {
        static SERVER: OnceLock<Server> = OnceLock::new();
        SERVER.get_or_init(Self::start)
    }

    fn start() -> Self {
        let python = std::env::var_os("WARDGATE_TEST_PYTHON").expect(
            "WARDGATE_TEST_PYTHON is not set: it names a Python with tests/clients/python/requirements.txt",
        );
        let mut child = Command::new(python)
            .args(["-c", SERVE])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the Python of WARDGATE_TEST_PYTHON");
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut before = String::new();
        let url = said.by_ref().map_while(Result::ok).find_map(|line| {
            let url = line.split_once("Running on ").map(|(_, url)| url.trim().to_owned());
            before += &line;
            url
        });
        let url = url.unwrap_or_else(|| {
            panic!("moto (tests/clients/python/requirements.txt) does not serve: {before}")
        });
        // Its log of requests is read, because it would block on a full pipe.
        std::thread::spawn(move || said.for_each(drop));
        Self { _child: child, url }
    }

    /// A call that goes past the gate.
    async fn call(&self, action: &str, body: Value) -> Value {
        // The region is the one of the signature, which is not verified.
        let scope = format!("AWS4-HMAC-SHA256 Credential=AKID/20260101/{REGION}/kms/aws4_request");
        let request = reqwest::Client::new()
            .post(&self.url)
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", format!("TrentService.{action}"))
            .header("authorization", scope);
        request.body(body.to_string()).send().await.unwrap().json().await.unwrap()
    }
}

/// A key in the service, and the way to it.
pub struct KeyService {
    /// The ARN of the key.
    pub key: String,
    door: Door,
}

impl KeyService {
    /// With a key of its own.
    pub async fn start() -> Self {
        let server = tokio::task::spawn_blocking(Server::of_this_run).await.unwrap();
        let made = server.call("CreateKey", json!({})).await;
        let key = made["KeyMetadata"]["Arn"].as_str().unwrap().to_owned();
        Self { key, door: Door::open(&server.url, Words::Json).await }
    }

    /// The id of the key in stored values.
    pub fn key_id(&self) -> &str {
        self.key.rsplit('/').next().unwrap()
    }

    /// The variables of a control that has its keys here.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        vec![
            ("WARDGATE_ENCRYPTION_KEK", String::new()),
            ("WARDGATE_ENCRYPTION_PROVIDER", "aws-kms".into()),
            ("WARDGATE_ENCRYPTION_KMS_KEY", self.key.clone()),
            ("WARDGATE_ENCRYPTION_KMS_ENDPOINT", self.url()),
            ("WARDGATE_ENCRYPTION_KMS_ACCESS_KEY_ID", "AKID".into()),
            ("WARDGATE_ENCRYPTION_KMS_SECRET_ACCESS_KEY", "s3cret".into()),
        ]
    }
}

impl Deref for KeyService {
    type Target = Door;
    fn deref(&self) -> &Door {
        &self.door
    }
}

impl DerefMut for KeyService {
    fn deref_mut(&mut self) -> &mut Door {
        &mut self.door
    }
}

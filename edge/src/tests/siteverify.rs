//! A CAPTCHA service as Cloudflare documents `siteverify`: it takes a form, knows the tenant's secret, and makes each
//! token good once.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use chrono::DateTime;
use serde_json::{Value, json};
use shared::tenant::captcha::{Captcha, CaptchaPolicy};
use shared::wire::needs::CAPTCHA;
use shared::wire::seal::Kind;
use zeroize::Zeroizing;

use super::fixture::{Actor, Memory, seal};
use crate::http::Outgoing;
use crate::platform::{CaptchaError, CaptchaService, Clock as _};

/// What the service knows the tenant by: with characters that a form has to escape.
pub const SECRET: &str = "0x4AAA/s3cret+&=%";
pub const SITE_KEY: &str = "0x4AAAAAAADnPIDROrmt1Wwj";
/// Tokens that begin so are solved.
pub const SOLVED: &str = "solved-";

/// What the service was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub url: String,
    pub form: BTreeMap<String, String>,
    pub patience: Duration,
}

/// The service.
#[derive(Default)]
pub struct Siteverify {
    pub calls: RefCell<Vec<Call>>,
    /// What it answers in place of the truth.
    pub says: RefCell<Option<Result<(u16, String), CaptchaError>>>,
    used: RefCell<HashSet<String>>,
}

impl Siteverify {
    fn answer(&self, form: &BTreeMap<String, String>, now_ms: u64) -> Value {
        let refused = |code: &str| json!({"success": false, "error-codes": [code]});
        let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        if field("secret") != SECRET {
            return refused("invalid-input-secret");
        }
        if !field("response").starts_with(SOLVED) {
            return refused("invalid-input-response");
        }
        if !self.used.borrow_mut().insert(field("response").to_owned()) {
            return refused("timeout-or-duplicate");
        }
        let at = DateTime::from_timestamp_millis(i64::try_from(now_ms).unwrap()).unwrap();
        json!({
            "success": true, "challenge_ts": at.to_rfc3339(), "hostname": "acme.example", "error-codes": [],
            "action": "login", "cdata": "",
        })
    }
}

impl CaptchaService for Memory {
    async fn verify_captcha(
        &self,
        outgoing: Outgoing,
        form: Zeroizing<Vec<u8>>,
        patience: Duration,
        limit: usize,
    ) -> Result<(u16, Vec<u8>), CaptchaError> {
        let content_type = outgoing.headers.iter().find(|(name, _)| *name == "content-type").unwrap();
        assert_eq!(
            (outgoing.method.as_str(), content_type.1.as_str()),
            ("POST", "application/x-www-form-urlencoded")
        );
        let form: BTreeMap<_, _> = form_urlencoded::parse(&form).into_owned().collect();
        let truth = self.siteverify.answer(&form, self.now_ms());
        self.siteverify.calls.borrow_mut().push(Call { url: outgoing.url, form, patience });
        let said = self.siteverify.says.borrow().clone();
        let (status, body) = said.unwrap_or_else(|| Ok((200, truth.to_string())))?;
        if body.len() > limit { Err(CaptchaError::TooLong) } else { Ok((status, body.into_bytes())) }
    }
}

/// The tenant asks for a CAPTCHA.
pub fn asks(acme: &Actor, change: impl FnOnce(&mut CaptchaPolicy)) {
    let mut policy: CaptchaPolicy = serde_json::from_value(json!({"site_key": SITE_KEY})).unwrap();
    change(&mut policy);
    let secret = seal(acme.id(), Kind::CaptchaSecret, policy.verify_url.as_str(), SECRET.as_bytes());
    acme.edit(|tenant| {
        tenant.captcha = Some(Captcha { policy, secret });
        tenant.needs = tenant.needs.clone().and(CAPTCHA);
    });
}

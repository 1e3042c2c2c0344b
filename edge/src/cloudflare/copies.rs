//! KV.

use super::{Cloudflare, log};
use crate::platform::Copies;

impl Copies for Cloudflare {
    async fn get(&self, key: &str) -> Option<String> {
        let found = self.copies.as_ref()?.get(key).text().await;
        found.unwrap_or_else(|error| {
            log::error("a copy could not be read", &error.to_string());
            None
        })
    }

    async fn put(&self, key: &str, value: &str) -> bool {
        let Some(put) = self.copies.as_ref().and_then(|copies| copies.put(key, value).ok()) else {
            return false;
        };
        let done = put.execute().await;
        if let Err(error) = &done {
            log::error("a copy could not be put", &error.to_string());
        }
        done.is_ok()
    }
}
